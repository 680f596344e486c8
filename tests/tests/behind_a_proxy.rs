//! The page and the API behind nginx and Caddy, configured as the documentation says.

use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, ensure};
use cofre_tests::api::{Answer, Api, Events, ask_at};
use cofre_tests::cofre::Installation;
use cofre_tests::servers::free_port;
use cofre_tests::web_proxy::{NAME, WebProxy};
use serde_json::json;

const PASSWORD: &str = "uma senha bem comprida";

/// cofre at a port, with what the documentation has in its configuration, an administrator `ana`, and a token.
fn installation(port: u16) -> Result<(Installation, String)> {
    let web = format!("[web]\nlisten = [\"127.0.0.1:{port}\"]\npublic_url = \"https://{NAME}\"\ntrusted_proxies = [\"127.0.0.1\"]\n");
    let cofre = Installation::new(&format!("[encryption]\niterations = 10000\n{web}[[directory]]\npath = \"@DIR@/files\"\n"))?;
    cofre.configure(&format!("{}{}", cofre.configuration()?, cofre.local("disk")?))?;
    std::fs::create_dir(cofre.path("files"))?;
    std::fs::write(cofre.path("files/note"), "uma nota\n")?;
    std::fs::write(cofre.path("password"), format!("{PASSWORD}\n"))?;
    std::fs::set_permissions(cofre.path("password"), PermissionsExt::from_mode(0o600))?;
    cofre.run(0, &["user", "add", "ana", "--role", "administrator", "--password-file", &cofre.path("password").display().to_string()])?;
    let made = cofre.json(0, &["token", "create", "--name", "script", "--scope", "status:read", "--scope", "run:create"])?;
    let token = made["text"].as_str().context("no token")?.to_owned();
    Ok((cofre, token))
}

/// Asks the proxy as a browser does.
fn ask(proxy: &WebProxy, what: (&str, &str), token: Option<&str>, further: &[&str]) -> Result<Answer> {
    let reach = proxy.curl();
    let all: Vec<&str> = reach.iter().map(String::as_str).chain(further.iter().copied()).collect();
    ask_at(&format!("https://{NAME}"), what, token, None, &all)
}

/// Everything that a proxy can spoil: the name, the cookie, who is throttled, streams, and who names a user.
fn serves_as_if_it_were_not_there(start: impl FnOnce(u16) -> Result<WebProxy>) -> Result<()> {
    let port = free_port()?;
    let (cofre, token) = installation(port)?;
    let api = Api::start(&cofre, &["serve"])?;
    let proxy = start(port)?;
    let jar = proxy.directory().join("cookies").display().to_string();
    let wrong = ["--data-urlencode", "name=ana", "--data-urlencode", "password=wrong wrong wrong"];
    let right = ["--cookie-jar", &jar, "--data-urlencode", "name=ana", "--data-urlencode", &format!("password={PASSWORD}")];

    ensure!(ask(&proxy, ("GET", "/healthz"), None, &[])?.status == 200, "it is not alive");
    let named = ask(&proxy, ("GET", "/api/v1/status"), None, &["--header", "X-Remote-User: ana"])?;
    ensure!(named.status == 401, "whoever sends the header is let in: {named:?}");
    let refused = ask(&proxy, ("POST", "/login"), None, &wrong)?;
    ensure!(refused.status == 422, "{refused:?}");
    let welcome = ask(&proxy, ("POST", "/login"), None, &right)?;
    let cookie = welcome.header("set-cookie").unwrap_or_default();
    ensure!(welcome.status == 303 && cookie.starts_with("__Host-cofre_session=") && cookie.contains("; Secure"), "{welcome:?}");
    let page = ask(&proxy, ("GET", "/"), None, &["--cookie", &jar])?;
    ensure!(page.status == 200 && page.header("content-security-policy").is_some(), "{page:?}");
    let form = ask(&proxy, ("POST", "/account"), None, &["--cookie", &jar, "--data-urlencode", "action=logout-all"])?;
    ensure!(form.status == 403, "a form without its word is taken: {form:?}");

    // A stream that is held back would come at its end only, and this one has none before curl's time is over.
    let reach = proxy.curl();
    let reach: Vec<&str> = reach.iter().map(String::as_str).collect();
    let mut events = Events::listen(&format!("https://{NAME}/api/v1/events"), &token, &reach)?;
    events.until("text/event-stream")?;
    let run = ask_at(&format!("https://{NAME}"), ("POST", "/api/v1/runs"), Some(&token), Some(&json!({})), &reach)?;
    ensure!(run.status == 202, "{run:?}");
    events.until("\"state\":\"done\"")?;
    drop(events);

    let log = std::fs::read_to_string(cofre.path("state/audit.log"))?;
    ensure!(log.contains("\"run\""), "the run is not in the audit log");
    ensure!(api.stop()? == Some(0), "it did not end well");
    Ok(())
}

#[test]
fn nginx_as_documented() -> Result<()> {
    serves_as_if_it_were_not_there(WebProxy::nginx)
}

#[test]
fn caddy_as_documented() -> Result<()> {
    serves_as_if_it_were_not_there(WebProxy::caddy)
}
