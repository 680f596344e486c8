//! The API, served by the real program and asked by curl: a backup begun, followed, listed, restored and downloaded; and who may not.

use anyhow::{Context, Result, ensure};
use cofre_tests::api::Api;
use cofre_tests::cofre::{Installation, PASSPHRASE};
use serde_json::{Value, json};

const BASE: &str = "/api/v1";

fn installation(web: &str) -> Result<Installation> {
    let cofre = Installation::new(
        "[encryption]\niterations = 10000\n[[job]]\nname = \"noite\"\naction = \"run\"\nschedule = \"0 2 * * *\"\n[[job]]\nname = \"arquivos\"\naction = \"run\"\nschedule = \"0 3 * * *\"\nonly = [\"config\"]\n[[directory]]\npath = \"@DIR@/files\"\ntenant = \"acme\"\n",
    )?;
    cofre.configure(&format!("{}{}{web}", cofre.configuration()?, cofre.local("disk")?))?;
    std::fs::create_dir(cofre.path("files"))?;
    std::fs::write(cofre.path("files/note"), "uma nota\n")?;
    std::fs::write(cofre.path("files/large"), "x".repeat(3 << 20))?;
    Ok(cofre)
}

/// A token by the command line.
fn token(cofre: &Installation, arguments: &[&str]) -> Result<String> {
    let output = cofre.run(0, &[&["--json", "token", "create", "--name"], arguments].concat())?;
    let document: Value = serde_json::from_slice(&output.stdout)?;
    document["result"]["text"].as_str().map(str::to_owned).with_context(|| format!("no token: {document}"))
}

fn whole(cofre: &Installation) -> Result<String> {
    let made = cofre.whole_token()?;
    made["text"].as_str().map(str::to_owned).with_context(|| format!("no token: {made}"))
}

#[test]
fn a_backup_is_begun_followed_listed_restored_and_downloaded() -> Result<()> {
    let cofre = installation("")?;
    let token = whole(&cofre)?;
    let api = Api::start(&cofre, &["serve", "--listen", "127.0.0.1:0"])?;
    ensure!(api.said.iter().any(|line| line.contains("/setup?")), "no link for the first administrator: {:?}", api.said);
    let get = |path: &str| api.ask(("GET", &format!("{BASE}{path}")), Some(&token), None, &[]);

    let (run, events) = api.task(&format!("{BASE}/runs"), &token, &json!({ "tags": ["manual"] }))?;
    ensure!(run["state"] == "done", "{run}");
    ensure!(events.contains("event: progress") && events.contains("event: line") && events.contains("event: end"), "{events}");
    ensure!(run["by"].as_str().is_some_and(|by| by.starts_with("token:")), "{run}");
    let set = run["result"]["set"].as_str().context("no set")?.to_owned();

    let sets = get("/sets?destination=disk&state=good&tag=manual&tenant=acme")?.json()?;
    ensure!(sets["items"][0]["name"] == set.as_str() && sets["items"].as_array().is_some_and(|sets| sets.len() == 1), "{sets}");
    for (other, why) in [("tag=other", "another tag"), ("job=arquivos", "another job")] {
        ensure!(get(&format!("/sets?{other}"))?.json()?["items"] == json!([]), "a set of {why}");
    }
    ensure!(get("/sets?job=noite")?.json()?["items"][0]["name"] == set.as_str(), "no set of the job");
    ensure!(get("/sets?job=none")?.status == 422, "a job that is not there");
    let log = get(&format!("/sets/{set}/log"))?.json()?;
    ensure!(log["text"].as_str().is_some_and(|text| text.contains(&set)), "{log}");
    let detail = get(&format!("/sets/{set}"))?.json()?;
    let key = detail["contents"].as_array().into_iter().flatten().find(|line| line["kind"] == "directory").context("no directory")?;
    let (key, path) = (key["key"].as_str().context("no key")?, cofre.path("files/note"));

    let what = json!({ "path": path, "to": cofre.path("restored"), "dry_run": true });
    let (dry, _) = api.task(&format!("{BASE}/restores"), &token, &what)?;
    ensure!(dry["state"] == "done" && dry["result"]["dry_run"] == true && !cofre.path("restored").exists(), "{dry}");
    let (restored, _) = api.task(&format!("{BASE}/restores"), &token, &json!({ "path": path, "to": cofre.path("restored") }))?;
    ensure!(restored["state"] == "done", "{restored}");
    let back = cofre.path("restored").join(path.strip_prefix("/")?);
    ensure!(std::fs::read_to_string(&back)? == "uma nota\n", "another content");

    let file = get(&format!("/sets/{set}/artifacts/{key}?path={}", path.display()))?;
    ensure!((file.status, file.text.as_str()) == (200, "uma nota\n"), "{file:?}");
    ensure!(file.header("content-disposition") == Some("attachment; filename=\"note\""), "{}", file.headers);
    let none = get(&format!("/sets/{set}/artifacts/{key}?path={}", cofre.path("files/none").display()))?;
    ensure!(none.status == 422, "{none:?}");

    ensure!(get(&format!("/sets/{set}/manifest"))?.json()?["manifest"]["set"] == set.as_str());
    let prune = get("/prune")?.json()?;
    ensure!(prune[0]["sets"][0]["keep"] == true, "{prune}");
    let pinned = api.ask(("POST", &format!("{BASE}/sets/{set}/pin")), Some(&token), None, &[])?.json()?;
    ensure!(pinned[0]["pinned"] == true, "{pinned}");
    let probe = api.ask(("POST", &format!("{BASE}/destinations/disk/probe")), Some(&token), None, &[])?.json()?;
    ensure!(probe[0]["findings"].as_array().is_some_and(|all| all.iter().all(|one| one["ok"] == true)), "{probe}");

    let metrics = api.ask(("GET", "/metrics"), Some(&token), None, &[])?;
    ensure!(
        metrics.text.contains("cofre_destination_age_seconds{destination=\"disk\"") && metrics.text.ends_with("# EOF\n"),
        "{}",
        metrics.text
    );
    let audit = get("/audit?limit=500")?.text;
    for what in ["\"run\"", "\"restore\"", "\"via\":\"token:"] {
        ensure!(audit.contains(what), "{what} is not in the audit log: {audit}");
    }
    ensure!(get("/audit/verification")?.json()?["fault"].is_null());
    let config = get("/config")?.text;
    ensure!(config.contains("passphrase") && !config.contains(PASSPHRASE), "{config}");
    ensure!(api.stop()? == Some(0), "it did not end well");
    Ok(())
}

#[test]
fn a_run_that_is_active_is_named_and_can_be_cancelled() -> Result<()> {
    let cofre = installation("[[hook]]\nwhen = \"before-run\"\nshell = \"echo begun > @DIR@/begun; exec sleep 100\"\ntimeout = \"5m\"\n")?;
    let token = whole(&cofre)?;
    let api = Api::start(&cofre, &["serve", "--listen", "127.0.0.1:0"])?;
    let runs = format!("{BASE}/runs");
    let first = api.ask(("POST", &runs), Some(&token), Some(&json!({})), &[])?;
    let location = first.header("location").context("no location")?.to_owned();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !cofre.path("begun").exists() {
        ensure!(std::time::Instant::now() < deadline, "it never began");
        std::thread::yield_now();
    }
    let second = api.ask(("POST", &runs), Some(&token), Some(&json!({})), &[])?;
    ensure!(second.status == 409 && second.json()?["type"] == "/problems/busy" && second.text.contains("process"), "{second:?}");
    ensure!(api.ask(("DELETE", &location), Some(&token), None, &[])?.status == 204);
    let events = api.ask(("GET", &format!("{location}/events")), Some(&token), None, &["--no-buffer"])?.text;
    ensure!(events.contains("\"state\":\"cancelled\""), "{events}");
    Ok(())
}

#[test]
fn every_operation_is_closed_to_who_may_not() -> Result<()> {
    let cofre = installation("")?;
    let limited = token(&cofre, &["limited", "--scope", "tenant:deliver", "--tenant", "acme"])?;
    let api = Api::start(&cofre, &["serve", "--listen", "127.0.0.1:0"])?;
    let document = api.ask(("GET", &format!("{BASE}/openapi.json")), None, None, &[])?.json()?;
    let mut looked = 0;
    for (path, operations) in document["paths"].as_object().context("no paths")? {
        let address = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect::<Vec<_>>().join("/");
        for (method, operation) in operations.as_object().context("no operations")? {
            let what = (method.to_uppercase(), address.as_str());
            let without = api.ask((&what.0, what.1), None, Some(&json!({})), &[])?;
            ensure!(without.status == 401 && without.header("www-authenticate").is_some(), "{what:?}: {without:?}");
            let scope = operation["security"][0]["token"][0].as_str();
            if let Some(scope) = scope.filter(|scope| *scope != "tenant:deliver") {
                let small = api.ask((&what.0, what.1), Some(&limited), Some(&json!({})), &[])?;
                ensure!(small.status == 403 && small.json()?["scope"] == scope, "{what:?}: {small:?}");
            }
            looked += 1;
        }
    }
    ensure!(looked > 40, "{looked} operations");
    let other =
        api.ask(("POST", &format!("{BASE}/tenants/beta/deliveries")), Some(&limited), Some(&json!({ "recipient": "a@b.c" })), &[])?;
    ensure!(other.status == 403 && other.json()?["type"] == "/problems/tenant", "{other:?}");
    let rebound = api.ask(("GET", &format!("{BASE}/status")), Some(&limited), None, &["--header", "Host: evil.example"])?;
    ensure!(rebound.status == 421, "{rebound:?}");
    Ok(())
}

#[test]
fn the_daemon_serves_it_where_the_configuration_says_so_and_a_taken_port_is_one_clear_error() -> Result<()> {
    let cofre = installation("[web]\nlisten = [\"127.0.0.1:0\"]\n")?;
    let api = Api::start(&cofre, &["daemon"])?;
    ensure!(api.ask(("GET", "/healthz"), None, None, &[])?.status == 200);
    ensure!(api.ask(("GET", "/readyz"), None, None, &[])?.status == 200);
    let port = api.address.rsplit(':').next().context("no port")?;
    let taken = cofre.run(1, &["serve", "--listen", &format!("127.0.0.1:{port}")])?;
    let said = String::from_utf8_lossy(&taken.stderr);
    ensure!(said.lines().count() == 1 && said.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{said}");
    ensure!(api.stop()? == Some(0), "it did not end well");
    Ok(())
}

#[test]
fn beyond_this_machine_it_serves_under_a_certificate_of_its_own() -> Result<()> {
    let cofre = installation("")?;
    let api = Api::start(&cofre, &["serve", "--listen", "0.0.0.0:0"])?;
    ensure!(api.address.starts_with("https://"), "{}", api.address);
    let certificate = cofre.path("state/web/certificate.pem");
    let answer = api.ask(("GET", "/healthz"), None, None, &["--cacert", &certificate.display().to_string()])?;
    ensure!(answer.status == 200 && answer.header("strict-transport-security").is_some(), "{answer:?}");
    let digest = api.said.iter().find_map(|line| line.strip_prefix("SHA-256: ")).context("no fingerprint")?.replace(':', "");
    let pem = std::fs::read_to_string(&certificate)?;
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, body)?;
    ensure!(digest.eq_ignore_ascii_case(&hex::encode(<sha2::Sha256 as sha2::Digest>::digest(der))), "another fingerprint");
    Ok(())
}
