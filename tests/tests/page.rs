//! The pages, in a real browser, of the real program over a live MariaDB.

use anyhow::{Context, Result, ensure};
use cofre_tests::api::Api;
use cofre_tests::browser;
use cofre_tests::cofre::Installation;
use cofre_tests::sample;
use cofre_tests::servers::MariaDb;
use serde_json::json;

#[test]
fn somebody_who_never_opens_a_terminal_sets_up_backs_up_and_looks_around() -> Result<()> {
    let server = MariaDb::start()?;
    sample::tenant(&server, "acme_erp", 300)?;
    let cofre = Installation::new(&format!(
        "[encryption]\niterations = 10000\n[[mysql]]\nname = \"main\"\nsocket = \"{}\"\nuser = \"root\"\ntenants = {{ acme = [\"acme_*\"] }}\n",
        server.socket().display()
    ))?;
    cofre.configure(&format!("{}{}", cofre.configuration()?, cofre.local("disk")?))?;
    let api = Api::start(&cofre, &["serve", "--listen", "127.0.0.1:0"])?;
    let setup = api.said.iter().find_map(|line| line.split_whitespace().find(|word| word.contains("/setup?"))).context("no link")?;
    let seen = browser::drive("journey.js", &json!({ "address": api.address, "setup": setup }))?;
    ensure!(seen["axe"] == json!({}), "axe finds: {}", seen["axe"]);
    ensure!(seen["strange"] == json!([]), "others were asked: {}", seen["strange"]);
    ensure!(cofre.sets("disk")?.iter().any(|set| seen["set"] == set.as_str()), "{seen}");
    Ok(())
}
