//! The OpenAPI document held against what is really answered: schemathesis makes requests out of it, good ones and bad ones, thousands of them,
//! and nothing may answer with a server's error, or with anything that the document does not tell.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use cofre_tests::api::Api;
use cofre_tests::cofre::{Installation, root};
use cofre_tests::packages;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

fn installation() -> Result<Installation> {
    let cofre = Installation::new("[encryption]\niterations = 10000\n[[directory]]\npath = \"@DIR@/files\"\ntenant = \"acme\"\n")?;
    cofre.own_plugins(&["local"], &["rest"])?;
    cofre.configure(&format!("{}{}{}", cofre.configuration()?, cofre.local("disk")?, cofre.local("second")?))?;
    std::fs::create_dir(cofre.path("files"))?;
    std::fs::write(cofre.path("files/note"), "uma nota\n")?;
    Ok(cofre)
}

/// What there is, by the address that leads to it and the part of it that names one.
fn known(api: &Api, token: &str, run: &Value) -> Result<Value> {
    let set = run["result"]["set"].as_str().context("no set")?;
    let detail = api.ask(("GET", &format!("/api/v1/sets/{set}")), Some(token), None, &[])?.json()?;
    let directory = detail["contents"].as_array().into_iter().flatten().find(|line| line["kind"] == "directory").context("no directory")?;
    let mut known = json!({ "/sets/{set}/artifacts/{key}": { "set": set, "key": directory["key"] } });
    for path in ["", "/manifest", "/log", "/contents", "/pin"] {
        known[format!("/sets/{{set}}{path}")] = json!({ "set": set });
    }
    for path in ["/sets", "/probe", "/rebuild"] {
        known[format!("/destinations/{{name}}{path}")] = json!({ "name": "disk" });
    }
    for path in ["", "/events"] {
        known[format!("/tasks/{{id}}{path}")] = json!({ "id": run["id"] });
    }
    for path in ["", "/approval"] {
        known[format!("/plugins/{{name}}{path}")] = json!({ "name": "local" });
    }
    known["/tenants/{name}/deliveries"] = json!({ "name": "acme" });
    known["/reports/{month}"] = json!({ "month": Timestamp::now().to_zoned_datetime(TimeZone::UTC).strftime("%Y-%m").to_string() });
    Ok(known)
}

#[test]
fn what_is_answered_is_what_the_document_tells() -> Result<()> {
    let python = packages::python("schemathesis", &["schemathesis==4.32.5"])?;
    let cofre = installation()?;
    let made = cofre.whole_token()?;
    let token = made["text"].as_str().context("no token")?;
    let api = Api::start(&cofre, &["serve", "--listen", "127.0.0.1:0"])?;
    // Something to see in every list.
    let run = api.task("/api/v1/runs", token, &json!({}))?.0;
    ensure!(run["state"] == "done", "the run failed: {run}");
    let output = Command::new(&python)
        .args(["-m", "schemathesis.cli"])
        .arg("--config-file")
        .arg(root().join("tests/openapi/schemathesis.toml"))
        .arg("run")
        .arg(format!("{}/api/v1/openapi.json", api.address))
        .env("COFRE_TOKEN", token)
        .env("COFRE_OWN", made["token"]["id"].as_str().context("no name")?)
        .env("COFRE_KNOWN", known(&api, token, &run)?.to_string())
        .env("SCHEMATHESIS_HOOKS", root().join("tests/openapi/hooks.py"))
        .current_dir(cofre.path("state"))
        .output()
        .context("cannot run schemathesis")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    ensure!(said.contains("Tested: 52") && said.contains(" passed"), "{said}");
    println!("{said}");
    ensure!(api.ask(("GET", "/readyz"), None, None, &[])?.status == 200, "it is not ready any more");
    ensure!(api.stop()? == Some(0), "it did not end well");
    Ok(())
}
