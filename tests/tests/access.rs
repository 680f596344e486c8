//! Users and tokens over the command line: what is made and removed, what each leaves in the audit log, and that no secret is anywhere it
//! does not belong.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use cofre_tests::cofre::{Installation, said};
use serde_json::Value;

const PASSWORD: &str = "uma senha bem comprida";

fn installation() -> Result<Installation> {
    let tenants = "[[directory]]\npath = \"@DIR@/acme\"\ntenant = \"acme\"\n";
    let cofre = Installation::new(&format!("[encryption]\niterations = 10000\n{tenants}"))?;
    cofre.configure(&format!("{}{}", cofre.configuration()?, cofre.local("disk")?))?;
    Ok(cofre)
}

/// A private file with a password.
fn password_file(cofre: &Installation, text: &str) -> Result<PathBuf> {
    let path = cofre.path("password");
    std::fs::write(&path, format!("{text}\n"))?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600))?;
    Ok(path)
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("no {key} in {value}"))
}

/// The newest entries that are about access, oldest first: outcome, object and facts.
fn told(cofre: &Installation) -> Result<Vec<String>> {
    let listed = cofre.json(0, &["audit", "list"])?;
    let entries = listed["entries"].as_array().context("no entries")?;
    let about = entries.iter().filter(|entry| entry["action"] == "access-change");
    Ok(about.map(|entry| format!("{} {} {}", entry["outcome"], entry["object"], entry["detail"]).replace('"', "")).collect())
}

/// Whether any file of the state has these bytes.
fn is_stored(cofre: &Installation, secret: &str) -> Result<bool> {
    for entry in std::fs::read_dir(cofre.path("state"))? {
        let path = entry?.path();
        if path.is_file() && std::fs::read(&path)?.windows(secret.len()).any(|window| window == secret.as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[test]
fn a_token_is_told_once_and_ends_when_it_is_revoked() -> Result<()> {
    let cofre = installation()?;
    let made = cofre.json(
        0,
        &[
            "token",
            "create",
            "--name",
            "ERP",
            "--scope",
            "tenant:deliver",
            "--scope",
            "status:read",
            "--tenant",
            "acme",
            "--expires",
            "90d",
        ],
    )?;
    let (id, secret) = (text(&made["token"], "id")?, text(&made, "text")?);
    ensure!(secret.starts_with(&format!("cofre_{id}_")) && secret.len() == 67, "{made}");
    ensure!(!is_stored(&cofre, secret)? && !is_stored(&cofre, &secret[15..])?, "the token is in a file");
    let listed = cofre.json(0, &["token", "list"])?;
    let token = &listed[0];
    ensure!(token["scopes"] == serde_json::json!(["status:read", "tenant:deliver"]), "{token}");
    ensure!(token["tenants"] == serde_json::json!(["acme"]) && token["expires"].is_string() && token["revoked"].is_null(), "{token}");
    let shown = said(&cofre.run(0, &["token", "list"])?);
    ensure!(shown.contains(id) && shown.contains("never used") && shown.contains("✅ good"), "{shown}");
    ensure!(!shown.contains(&secret[15..]), "the token was shown again");

    cofre.run(0, &["token", "revoke", id])?;
    let shown = said(&cofre.run(0, &["--locale", "pt-BR", "token", "list"])?);
    ensure!(shown.contains("❌ revogado"), "{shown}");
    let refused = said(&cofre.run(2, &["token", "revoke", id])?);
    ensure!(refused.contains("cofre token list"), "{refused}");
    let entries = told(&cofre)?;
    ensure!(entries.len() == 6, "{entries:?}");
    ensure!(entries[0].starts_with("begun token ERP") && entries[0].contains("status:read tenant:deliver"), "{entries:?}");
    ensure!(entries[1] == format!("done token ERP {{id:{id}}}"), "{entries:?}");
    ensure!(entries[3] == format!("done token {id} null") && entries[5].starts_with(&format!("failed token {id}")), "{entries:?}");
    cofre.run(0, &["audit", "verify"]).map(drop)
}

#[test]
fn a_token_that_makes_no_sense_is_not_made() -> Result<()> {
    let cofre = installation()?;
    let refused: [(&[&str], &str); 6] = [
        (&["token", "create", "--name", "x"], "--scope"),
        (&["token", "create", "--name", "x", "--scope", "status:write"], "status:read"),
        (&["token", "create", "--name", "x", "--scope", "status:read", "--tenant", "nobody"], "cofre tenant list"),
        (&["token", "create", "--name", "x", "--scope", "config:write", "--tenant", "acme"], "whole of cofre"),
        (&["token", "create", "--name", "x", "--scope", "status:read", "--expires", "soon"], "not a duration"),
        (&["--quiet", "token", "create", "--name", "x", "--scope", "status:read"], "--quiet"),
    ];
    for (arguments, why) in refused {
        let output = said(&cofre.run(2, arguments)?);
        ensure!(output.contains(why), "{arguments:?}: {output}");
    }
    ensure!(cofre.json(0, &["token", "list"])? == serde_json::json!([]));
    Ok(())
}

#[test]
fn users_come_and_go_and_an_administrator_stays() -> Result<()> {
    let cofre = installation()?;
    let file = password_file(&cofre, PASSWORD)?.display().to_string();
    let link = cofre.json(0, &["user", "setup-link"])?;
    let path = text(&link, "path")?;
    let secret = path.strip_prefix("/setup?secret=").context("no link")?;
    ensure!(text(&link, "link")? == format!("http://127.0.0.1:8743{path}"), "{link}");
    ensure!(secret.len() == 52 && !is_stored(&cofre, secret)?, "{path}");
    ensure!(cofre.json(0, &["user", "setup-link"])?["path"] != path, "each link is another");

    let maria = cofre.json(0, &["user", "add", "Maria", "--role", "administrator", "--password-file", &file])?;
    ensure!(maria["name"] == "maria" && maria["role"] == "administrator" && maria["totp"] == false, "{maria}");
    cofre.run(0, &["user", "add", "rui", "--role", "viewer", "--password-file", &file])?;
    ensure!(!is_stored(&cofre, PASSWORD)?, "the password is in a file");
    let mode = std::fs::metadata(cofre.path("state/access.db"))?.permissions().mode();
    ensure!(mode & 0o777 == 0o600, "{mode:o}");
    let refused: [(&[&str], &str); 6] = [
        (&["user", "setup-link"], "set up already"),
        (&["user", "add", "MARIA", "--role", "viewer", "--password-file", &file], "there is a user `maria`"),
        (&["user", "role", "maria", "operator"], "last administrator"),
        (&["user", "remove", "maria"], "last administrator"),
        (&["user", "totp", "off", "nobody"], "cofre user list"),
        (&["user", "role", "rui", "king"], "administrator"),
    ];
    for (arguments, why) in refused {
        let output = said(&cofre.run(2, arguments)?);
        ensure!(output.contains(why), "{arguments:?}: {output}");
    }
    cofre.run(0, &["user", "role", "rui", "administrator"])?;
    cofre.run(0, &["user", "role", "maria", "operator"])?;
    cofre.run(0, &["user", "totp", "off", "maria"])?;
    cofre.run(0, &["user", "password", "maria", "--password-file", &file])?;
    let shown = said(&cofre.run(0, &["user", "list"])?);
    ensure!(shown.contains("operator") && shown.contains("no second factor") && shown.contains("never logged in"), "{shown}");
    cofre.run(0, &["user", "remove", "maria"])?;
    let users = cofre.json(0, &["user", "list"])?;
    ensure!(users.as_array().is_some_and(|users| users.len() == 1 && users[0]["name"] == "rui"), "{users}");

    let entries = told(&cofre)?;
    for line in ["done user rui", "failed user maria {error:`maria` is the last administrator", "begun user maria {what:password set}"] {
        ensure!(entries.iter().any(|entry| entry.starts_with(line)), "{line} is not in {entries:?}");
    }
    let log = std::fs::read_to_string(cofre.path("state/audit.log"))?;
    ensure!(!log.contains(PASSWORD) && !log.contains(secret), "a secret is in the audit log");
    cofre.run(0, &["audit", "verify"]).map(drop)
}

#[test]
fn a_password_comes_from_a_private_file_and_is_long_enough() -> Result<()> {
    let cofre = installation()?;
    let add = |file: &str| cofre.run(2, &["user", "add", "maria", "--role", "viewer", "--password-file", file]);
    let file = password_file(&cofre, "short")?;
    let name = file.display().to_string();
    ensure!(said(&add(&name)?).contains("at least 12 characters"));
    std::fs::write(&file, format!("{PASSWORD}\n"))?;
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644))?;
    let output = said(&add(&name)?);
    ensure!(output.contains("chmod 600") && !output.contains(PASSWORD), "{output}");
    std::fs::remove_file(&file)?;
    ensure!(said(&add(&name)?).contains("cannot read"));
    Ok(())
}

#[test]
fn nothing_is_changed_that_cannot_be_written_down_and_a_damaged_file_names_the_mend() -> Result<()> {
    let cofre = installation()?;
    cofre.run(0, &["token", "create", "--name", "one", "--scope", "status:read"])?;
    let log = cofre.path("state/audit.log");
    std::fs::rename(&log, cofre.path("kept"))?;
    std::fs::create_dir(&log)?;
    let output = said(&cofre.run(1, &["token", "create", "--name", "two", "--scope", "status:read"])?);
    ensure!(output.contains("audit log"), "{output}");
    std::fs::remove_dir(&log)?;
    std::fs::rename(cofre.path("kept"), &log)?;
    ensure!(cofre.json(0, &["token", "list"])?.as_array().is_some_and(|tokens| tokens.len() == 1));

    for name in ["access.db-wal", "access.db-shm"] {
        let _ = std::fs::remove_file(cofre.path("state").join(name));
    }
    std::fs::write(cofre.path("state/access.db"), "no database, and never was one\n".repeat(100))?;
    let output = said(&cofre.run(1, &["token", "list"])?);
    ensure!(output.contains("access.db") && output.contains("move it away") && output.contains("cofre user add"), "{output}");
    Ok(())
}
