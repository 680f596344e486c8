//! Login by a provider of identities: a real one, a real browser, and the real program between them.

use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, ensure};
use cofre_tests::api::Api;
use cofre_tests::browser;
use cofre_tests::cofre::Installation;
use cofre_tests::idp::{CLIENT_SECRET, Idp};
use cofre_tests::servers::free_port;
use serde_json::json;

#[test]
fn whom_the_provider_names_and_cofre_knows_gets_in() -> Result<()> {
    let address = format!("http://127.0.0.1:{}", free_port()?);
    let idp = Idp::start(&format!("{address}/login/oidc/callback"))?;
    let cofre = Installation::new(&format!(
        "[encryption]\niterations = 10000\n[[directory]]\npath = \"@DIR@/files\"\n[web]\nlisten = [\"{}\"]\n\
         [web.oidc]\nissuer = \"{}\"\nclient_id = \"cofre\"\nclient_secret = {{ file = \"@DIR@/secret\" }}\nlabel = \"Empresa\"\n",
        address.trim_start_matches("http://"),
        idp.issuer()
    ))?;
    cofre.configure(&format!("{}{}", cofre.configuration()?, cofre.local("disk")?))?;
    for (name, text) in [("secret", CLIENT_SECRET), ("password", "uma senha bem comprida")] {
        std::fs::write(cofre.path(name), format!("{text}\n"))?;
        std::fs::set_permissions(cofre.path(name), PermissionsExt::from_mode(0o600))?;
    }
    cofre.run(0, &["user", "add", "ana", "--role", "operator", "--password-file", &cofre.path("password").display().to_string()])?;
    let api = Api::start(&cofre, &["serve"])?;
    let seen = browser::drive("oidc.js", &json!({ "address": api.address, "issuer": idp.issuer() }))?;
    ensure!(seen["axe"] == json!([]), "axe finds: {}", seen["axe"]);
    ensure!(seen["refused"] == "/login/oidc/callback", "{seen}");
    let session = seen["cookies"].as_array().into_iter().flatten().find(|cookie| cookie["name"] == "cofre_session");
    ensure!(session.is_some_and(|cookie| cookie["httpOnly"] == true && cookie["sameSite"] == "Strict"), "{seen}");
    let log = std::fs::read_to_string(cofre.path("state/audit.log"))?;
    let line = |object: &str, action: &str| log.lines().find(|line| line.contains(object) && line.contains(action));
    ensure!(line("user ana", "\"login\"").is_some_and(|line| line.contains("oidc")), "{log}");
    ensure!(line("user rui", "\"login-refused\"").is_some(), "{log}");
    ensure!(!log.contains(CLIENT_SECRET), "the secret is in the audit log");
    let users = cofre.json(0, &["user", "list"])?;
    ensure!(users.as_array().context("no list")?.len() == 1, "the provider made a user: {users}");
    ensure!(api.stop()? == Some(0), "it did not end well");
    Ok(())
}
