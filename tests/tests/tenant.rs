//! The backup of one tenant on demand: whole, of nobody else, opened with plain tools, and its passphrase nowhere but on the screen.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use cofre_tests::cofre::{Installation, said, tools};
use cofre_tests::compare;
use cofre_tests::sample;
use cofre_tests::servers::{MariaDb, S3_KEY, S3_SECRET, SeaweedFs};
use cofre_tests::smtp::{Mail, PASSWORD, Smtp};
use serde_json::Value;

const RECIPIENT: &str = "ana@cliente.example";
const ITERATIONS: u32 = 10_000;
/// What only the tenant `beta` has.
const MARKER: &str = "segredo-plantado-de-beta-77d1";

/// Three tenants: `acme` with two schemas, `beta` with a marker, `gama`.
fn server() -> Result<MariaDb> {
    let server = MariaDb::start()?;
    for schema in ["acme_erp", "acme_loja", "beta_erp", "gama_erp"] {
        sample::tenant(&server, schema, 300)?;
    }
    server.sql(&format!("CREATE TABLE beta_erp.marca (texto TEXT); INSERT INTO beta_erp.marca VALUES ('{MARKER}')"))?;
    Ok(server)
}

fn installation(server: &MariaDb, smtp: &Smtp, more: &str) -> Result<Installation> {
    let cofre = Installation::new(&format!("[encryption]\niterations = {ITERATIONS}\n"))?;
    let source = format!(
        "[[mysql]]\nname = \"main\"\nsocket = \"{}\"\nuser = \"root\"\nconnections = 2\n\
         tenants = {{ acme = [\"acme_*\"], beta = [\"beta_*\"], gama = [\"gama_*\"] }}\n",
        server.socket().display()
    );
    let mail = format!("[[notifier]]\nname = \"correio\"\n{}", smtp.notifier(", to = [\"ti@example.com\"]"));
    let directory = cofre.path("arquivos");
    std::fs::create_dir_all(directory.join("notas"))?;
    std::fs::write(directory.join("notas/nota.xml"), "<nota/>")?;
    let directory = format!("[[directory]]\npath = \"{}\"\ntenant = \"acme\"\n", directory.display());
    cofre.configure(&format!("{}{}{source}{directory}{mail}{more}", cofre.configuration()?, cofre.local("disk")?))?;
    Ok(cofre)
}

fn with_secrets(command: &mut Command) -> &mut Command {
    command.env("COFRE_T_PASSWORD", PASSWORD).env("T_KEY", S3_KEY).env("T_SECRET", S3_SECRET)
}

fn run(cofre: &Installation, code: i32, arguments: &[&str]) -> Result<Output> {
    let output = with_secrets(&mut cofre.command(arguments)).output()?;
    ensure!(output.status.code() == Some(code), "{arguments:?} ended with {:?}: {}", output.status, said(&output));
    Ok(output)
}

fn json(cofre: &Installation, code: i32, arguments: &[&str]) -> Result<Value> {
    let output = run(cofre, code, &[&["--json"], arguments].concat())?;
    Ok(serde_json::from_slice::<Value>(&output.stdout)?["result"].clone())
}

/// The mails to one person.
fn to<'a>(mails: &'a [Mail], person: &str) -> Vec<&'a Mail> {
    mails.iter().filter(|mail| mail.recipients == [person]).collect()
}

/// Opens an artifact with plain tools, and returns whether that went.
fn open(artifact: &Path, passphrase: &str, into: &Path) -> Result<bool> {
    std::fs::create_dir_all(into)?;
    let script = "set -eo pipefail; openssl enc -d -aes-256-cbc -pbkdf2 -iter $ITERATIONS -md sha256 -pass env:PASSPHRASE -in \"$ARTIFACT\" | tar -xzf -";
    let mut command = Command::new("bash");
    command.args(["-c", script]).current_dir(into).env("ITERATIONS", ITERATIONS.to_string());
    Ok(command.env("PASSPHRASE", passphrase).env("ARTIFACT", artifact).output()?.status.success())
}

/// Whether a text is in any file below a directory.
fn holds(directory: &Path, text: &str) -> Result<bool> {
    let status = Command::new("grep").args(["-raqF", "--", text]).arg(directory).status()?;
    Ok(status.code().context("grep was killed")? == 0)
}

/// Loads what was unpacked, and compares it with what it was made of.
fn loads(server: &MariaDb, unpacked: &Path, schema: &str) -> Result<()> {
    let copy = format!("copia_{schema}");
    server.sql(&format!("CREATE DATABASE {copy}"))?;
    let script = std::fs::File::open(unpacked.join(format!("{schema}.sql")))?;
    let output = server.client().arg(&copy).stdin(script).current_dir(unpacked).output()?;
    ensure!(output.status.success() && output.stderr.is_empty(), "{}", said(&output));
    compare::schemas(server, schema, &copy)
}

#[test]
fn a_tenants_backup_is_whole_and_its_own_and_its_passphrase_only_on_the_screen() -> Result<()> {
    let (server, smtp) = (server()?, Smtp::start()?);
    let cofre = installation(&server, &smtp, "")?;
    let output = run(&cofre, 0, &["-vv", "--json", "tenant", "backup", "acme", "--email", RECIPIENT])?;
    let sent = serde_json::from_slice::<Value>(&output.stdout)?["result"].clone();
    let passphrase = sent["passphrase"].as_str().context("no passphrase")?;
    ensure!(!String::from_utf8_lossy(&output.stderr).contains(passphrase), "the passphrase was logged");
    ensure!(sent["delivered"] == true && sent["way"] == "attachment", "{sent}");
    ensure!(sent["schemas"] == serde_json::json!(["acme_erp", "acme_loja"]), "{sent}");
    let mails = smtp.mails()?;
    let mail = *to(&mails, RECIPIENT).first().context("no mail to the tenant")?;
    let [file] = mail.files.as_slice() else { anyhow::bail!("{} files", mail.files.len()) };
    ensure!(sent["file"] == file.name.as_str() && sent["size"] == file.bytes.len(), "{sent}, {}", file.name);
    let artifact = cofre.path("artifact");
    std::fs::write(&artifact, &file.bytes)?;
    let unpacked = cofre.path("unpacked");
    ensure!(!open(&artifact, "another-one", &unpacked)?, "it opens with any passphrase");
    ensure!(open(&artifact, passphrase, &unpacked)?, "it does not open");
    ensure!(!holds(&unpacked, MARKER)?, "it holds what is another tenant's");
    let mut files: Vec<_> = std::fs::read_dir(&unpacked)?.map(|file| file.map(|file| file.file_name())).collect::<Result<_, _>>()?;
    files.sort();
    let root = cofre.path("arquivos");
    let root = root.strip_prefix("/")?;
    ensure!(
        files.iter().filter(|name| Some(name.as_os_str()) != root.iter().next()).eq([
            "acme_erp.d",
            "acme_erp.sql",
            "acme_loja.d",
            "acme_loja.sql"
        ]
        .iter()),
        "{files:?}"
    );
    ensure!(std::fs::read_to_string(unpacked.join(root).join("notas/nota.xml"))? == "<nota/>");
    loads(&server, &unpacked, "acme_erp")?;
    loads(&server, &unpacked, "acme_loja")?;
    let trail = json(&cofre, 0, &["audit", "list"])?.to_string();
    ensure!(trail.contains("tenant-delivery") && trail.contains(RECIPIENT) && !trail.contains(passphrase), "{trail}");
    // The administrators hear of it; nobody but the screen has the passphrase.
    let told = to(&mails, "ti@example.com");
    ensure!(told.len() == 1 && told[0].header("X-Cofre-Event") == Some("tenant.delivered"), "{} mails", told.len());
    ensure!(told[0].text.as_deref().unwrap_or_default().contains(RECIPIENT) && told[0].files.is_empty(), "{:?}", told[0].text);
    for mail in &mails {
        let all = format!("{}{:?}{:?}", String::from_utf8_lossy(&mail.raw), mail.text, mail.html);
        ensure!(!all.contains(passphrase), "the passphrase was sent");
    }
    ensure!(!holds(&cofre.path("state"), passphrase)? && !holds(&cofre.path("disk"), passphrase)?, "the passphrase was kept");
    ensure!(std::fs::read_dir(cofre.path("state/spool/scratch"))?.count() == 0, "a file was left");
    Ok(())
}

#[test]
fn a_given_passphrase_is_never_shown_and_wrong_use_sends_nothing() -> Result<()> {
    let (server, smtp) = (server()?, Smtp::start()?);
    let cofre = installation(&server, &smtp, "")?;
    let (file, own) = (cofre.path("entrega"), "senha combinada por telefone");
    std::fs::write(&file, format!("{own}\n"))?;
    let file = file.to_str().context("a path")?;
    let ask = ["tenant", "backup", "gama", "--email", RECIPIENT, "--passphrase-file", file];
    // Others could read it.
    run(&cofre, 2, &ask)?;
    std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let output = run(&cofre, 0, &[&["-vv"], ask.as_slice()].concat())?;
    ensure!(!said(&output).contains(own), "{}", said(&output));
    let mails = smtp.mails()?;
    let artifact = cofre.path("artifact");
    std::fs::write(&artifact, &to(&mails, RECIPIENT)[0].files[0].bytes)?;
    ensure!(open(&artifact, own, &cofre.path("unpacked"))?, "it does not open");
    for (arguments, why) in [
        (vec!["tenant", "backup", "delta", "--email", RECIPIENT], "acme, beta, gama"),
        (vec!["tenant", "backup", "acme", "--email", "a@b.c\nBcc: x@y.z"], "not an address"),
        (vec!["tenant", "backup", "acme", "--email", RECIPIENT, "--notifier", "pombo"], "no notifier `pombo`"),
        (vec!["tenant", "backup", "acme", "--email", RECIPIENT, "--via", "lua"], "no destination `lua`"),
        (vec!["--quiet", "tenant", "backup", "acme", "--email", RECIPIENT], "--passphrase-file"),
    ] {
        let output = run(&cofre, 2, &arguments)?;
        ensure!(said(&output).contains(why), "{arguments:?}: {}", said(&output));
    }
    // The passphrase of all backups is not one for a delivery.
    let system = cofre.path("passphrase");
    let output =
        run(&cofre, 2, &["tenant", "backup", "acme", "--email", RECIPIENT, "--passphrase-file", system.to_str().context("a path")?])?;
    ensure!(said(&output).contains("one of its own"), "{}", said(&output));
    // Whose a schema is must be beyond doubt.
    cofre.configure(&cofre.configuration()?.replace("beta = [\"beta_*\"]", "beta = [\"beta_*\", \"*_loja\"]"))?;
    let output = run(&cofre, 1, &["tenant", "backup", "acme", "--email", RECIPIENT])?;
    ensure!(said(&output).contains("acme and beta"), "{}", said(&output));
    let mails = smtp.mails()?;
    ensure!(to(&mails, RECIPIENT).len() == 1, "something was sent");
    let failed: Vec<_> = to(&mails, "ti@example.com").into_iter().filter_map(|mail| mail.header("X-Cofre-Event")).collect();
    ensure!(failed == ["tenant.delivered", "tenant.failed"], "{failed:?}");
    let tenants = json(&cofre, 0, &["tenant", "list"])?;
    ensure!(tenants[0]["name"] == "acme" && tenants[0]["sources"][0]["schemas"][0] == "acme_*", "{tenants}");
    Ok(())
}

#[test]
fn a_delivery_waits_for_a_mail_server_that_is_down() -> Result<()> {
    let server = server()?;
    let mut smtp = Smtp::start()?;
    let cofre = installation(&server, &smtp, "")?;
    smtp.kill();
    let sent = json(&cofre, 3, &["tenant", "backup", "acme", "--email", RECIPIENT])?;
    ensure!(sent["delivered"] == false && sent["error"].is_string(), "{sent}");
    let passphrase = sent["passphrase"].as_str().context("no passphrase")?;
    smtp.revive()?;
    // Later than the first pauses, by a clock that is set on.
    let later = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_mins(10))?.strftime("%Y-%m-%d %H:%M:%S").to_string();
    with_secrets(&mut cofre.command_at(&later, &["daemon", "--once"])?).output()?;
    let mails = smtp.mails()?;
    let mail = *to(&mails, RECIPIENT).first().context("it never came")?;
    let artifact = cofre.path("artifact");
    std::fs::write(&artifact, &mail.files.first().context("no file")?.bytes)?;
    ensure!(open(&artifact, passphrase, &cofre.path("unpacked"))?, "it does not open");
    ensure!(!holds(&cofre.path("state"), passphrase)?, "the passphrase was kept");
    Ok(())
}

#[test]
fn what_is_too_large_for_a_mail_is_downloaded_for_a_while_and_then_gone() -> Result<()> {
    let (server, smtp) = (server()?, Smtp::start()?);
    let cofre = installation(&server, &smtp, "[tenant_delivery]\nmax_attachment = \"1kB\"\nlink_lifetime = \"5m\"\n")?;
    let ask = ["tenant", "backup", "acme", "--email", RECIPIENT];
    let output = run(&cofre, 1, &ask)?;
    ensure!(said(&output).contains("set tenant_delivery.destination or give --via"), "{}", said(&output));
    // A directory on this machine gives no addresses, and keeps nothing of it.
    let output = run(&cofre, 1, &[ask.as_slice(), &["--via", "disk"]].concat())?;
    ensure!(said(&output).contains("gives no addresses"), "{}", said(&output));
    ensure!(!holds(&cofre.path("disk"), "Salted__")?, "a file was left");
    ensure!(to(&smtp.mails()?, RECIPIENT).is_empty(), "something was sent");
    let s3 = SeaweedFs::start(&tools())?;
    s3.make_bucket(&tools(), "entregas")?;
    cofre.configure(&format!(
        "{}destination = \"nuvem\"\n[[destination]]\nname = \"nuvem\"\nplugin = \"s3\"\n\
         settings = {{ endpoint = \"{}\", bucket = \"entregas\", path_style = true }}\n\
         secrets = {{ access_key_id = {{ env = \"T_KEY\" }}, secret_access_key = {{ env = \"T_SECRET\" }} }}\n\
         grants = {{ network = [\"{}\"], delete = true }}\n",
        cofre.configuration()?,
        s3.endpoint(),
        s3.target()
    ))?;
    let sent = json(&cofre, 0, &ask)?;
    ensure!(sent["way"] == "link" && sent["expires"].is_string(), "{sent}");
    let mails = smtp.mails()?;
    let mail = *to(&mails, RECIPIENT).first().context("no mail to the tenant")?;
    let text = mail.text.as_deref().unwrap_or_default();
    let address = text.split_whitespace().find(|word| word.starts_with("http")).with_context(|| format!("no address in: {text}"))?;
    ensure!(mail.files.is_empty(), "it came twice");
    let artifact = cofre.path("artifact");
    let output = Command::new("curl").args(["-fsS", "-o"]).arg(&artifact).arg(address).output()?;
    ensure!(output.status.success(), "{address}: {}", said(&output));
    ensure!(open(&artifact, sent["passphrase"].as_str().context("no passphrase")?, &cofre.path("unpacked"))?, "it does not open");
    for told in to(&mails, "ti@example.com") {
        ensure!(!String::from_utf8_lossy(&told.raw).contains("X-Amz-Signature"), "the link was told to others");
    }
    ensure!(!holds(&cofre.path("state"), "X-Amz-Signature")?, "the link was kept after its delivery");
    let objects = || {
        s3.client(
            &tools(),
            "print(len([o for o in c.list_objects_v2(Bucket='entregas').get('Contents',[]) if o['Key'].startswith('deliveries/')]))",
        )
    };
    ensure!(objects()? == "1", "{}", objects()?);
    run(&cofre, 0, &["prune"])?;
    ensure!(objects()? == "1", "it went before its time");
    let later = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_mins(6))?.strftime("%Y-%m-%d %H:%M:%S").to_string();
    // Within what a service lets clocks differ.
    with_secrets(&mut cofre.command_at(&later, &["prune"])?).output()?;
    ensure!(objects()? == "0", "it is still there");
    Ok(())
}
