//! The pages, in a real browser, of the real program: a live MariaDB, a mail server, a plug-in that waits, and a service that is down.

use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, ensure};
use cofre_tests::api::Api;
use cofre_tests::browser;
use cofre_tests::cofre::Installation;
use cofre_tests::compare;
use cofre_tests::sample;
use cofre_tests::servers::{MariaDb, free_port};
use cofre_tests::smtp::{PASSWORD, Smtp};
use serde_json::json;

const RECIPIENT: &str = "ana@cliente.example";
/// A table of the sample.
const TABLE: &str = "clientes";

#[test]
fn somebody_who_never_opens_a_terminal_does_everything_in_a_browser() -> Result<()> {
    let (server, smtp, port) = (MariaDb::start()?, Smtp::start()?, free_port()?);
    sample::tenant(&server, "acme_erp", 300)?;
    let cofre = Installation::new("")?;
    cofre.own_plugins(&["local", "email"], &["rest"])?;
    let (secret, second) = (cofre.path("smtp-password"), cofre.path("segundo"));
    std::fs::write(&secret, PASSWORD)?;
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600))?;
    std::fs::create_dir(&second)?;
    let mail = smtp
        .notifier(", to = [\"ti@example.com\"]")
        .replace("{ env = \"COFRE_T_PASSWORD\" }", &format!("{{ file = \"{}\" }}", secret.display()));
    let source = format!(
        "[encryption]\niterations = 10000\n[web]\nlisten = [\"127.0.0.1:0\"]\n\
         [[mysql]] # the ERP\nname = \"main\"\nsocket = \"{}\"\nuser = \"root\"\ntenants = {{ acme = [\"acme_*\"] }}\n",
        server.socket().display()
    );
    let check = format!(
        "[[check]]\nname = \"porta\"\nkind = \"tcp\"\nhost = \"127.0.0.1\"\nport = {port}\ninterval = \"1s\"\nfailures = 1\nsuccesses = 1\n"
    );
    let all = format!("{}{source}[[notifier]]\nname = \"correio\"\n{mail}{check}{}", cofre.configuration()?, cofre.local("disk")?);
    cofre.configure(&all)?;
    let api = Api::start(&cofre, &["daemon"])?;
    let setup = api.said.iter().find_map(|line| line.split_whitespace().find(|word| word.contains("/setup?"))).context("no link")?;
    let given = json!({
        "address": api.address, "setup": setup, "table": TABLE, "second": second, "recipient": RECIPIENT, "port": port,
    });
    let seen = browser::drive("journey.js", &given)?;
    ensure!(seen["axe"] == json!({}), "axe finds: {}", seen["axe"]);
    ensure!(seen["strange"] == json!([]), "others were asked: {}", seen["strange"]);
    ensure!(
        seen["console"].as_array().is_some_and(|lines| lines.iter().all(|line| line.as_str().is_some_and(|line| line.contains("422")))),
        "the browser says: {}",
        seen["console"]
    );
    ensure!(seen["heaviest"].as_u64().is_some_and(|bytes| bytes < 200_000), "a page has {} bytes", seen["heaviest"]);
    ensure!(cofre.sets("disk")?.iter().any(|set| seen["set"] == set.as_str()), "{seen}");
    ensure!(seen["waiting"] == 0, "a plug-in waits still: {seen}");
    ensure!(seen["passphrase"].is_string() && seen["again"] == false, "the passphrase was shown otherwise than once: {seen}");
    // What was asked for in the browser is so outside it.
    let sums = |schema: &str| -> Result<Option<String>> { Ok(compare::checksums(&server, schema)?.get(TABLE).cloned()) };
    ensure!(sums("acme_erp")?.is_some() && sums("acme_erp")? == sums("acme_conferencia")?, "the table that was restored is another one");
    let mails = smtp.mails()?;
    ensure!(mails.iter().any(|mail| mail.recipients == [RECIPIENT] && mail.files.len() == 1), "no file for the tenant");
    let text = cofre.configuration()?;
    ensure!(text.contains("[[mysql]] # the ERP") && text.contains("name = \"segundo\""), "{text}");
    ensure!(text.len() > all.len() && api.stop()? == Some(0), "it did not end well");
    Ok(())
}
