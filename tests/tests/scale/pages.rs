//! The pages and the events over a year of daily sets of five hundred tenants: how heavy each page is, how long the slowest takes, and what
//! two hundred listeners cost.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cofre_tests::api::Api;
use cofre_tests::cofre::Installation;
use jiff::Timestamp;
use serde_json::json;

use super::history::{TENANTS, lived, schema};
use super::{Times, YEAR};

const PASSWORD: &str = "uma senha bem comprida";
/// Bytes that a page may have, with all that it loads.
const HEAVIEST: usize = 200_000;
const LISTENERS: usize = 200;
/// Bytes that all of the listeners may cost.
const LISTENERS_MAX: u64 = 50 << 20;
/// How long an event may be on its way to a listener.
const PATIENCE: Duration = Duration::from_secs(60);

fn installation() -> Result<Installation> {
    let tenants: Vec<String> = (0..TENANTS).map(|tenant| format!("t{tenant:04} = [\"{}\"]", schema(tenant))).collect();
    let rest = format!(
        "[encryption]\niterations = 10000\n[web]\nlisten = [\"127.0.0.1:0\"]\n[[directory]]\npath = \"@DIR@/files\"\n\
         [[mysql]]\nname = \"main\"\nsocket = \"@DIR@/none.sock\"\nuser = \"x\"\ntenants = {{ {} }}\n",
        tenants.join(", ")
    );
    let cofre = Installation::new(&rest)?;
    cofre.own_plugins(
        &["local", "s3", "sftp", "ftp", "gdrive", "dropbox", "webdav", "azure-blob", "rest", "email", "webhook", "telegram"],
        &["slack"],
    )?;
    cofre.configure(&format!("{}{}{}", cofre.configuration()?, cofre.local("disk")?, cofre.local("cloud")?))?;
    std::fs::create_dir(cofre.path("files"))?;
    std::fs::write(cofre.path("files/note"), "uma nota")?;
    std::fs::write(cofre.path("password"), format!("{PASSWORD}\n"))?;
    std::fs::set_permissions(cofre.path("password"), PermissionsExt::from_mode(0o600))?;
    let file = cofre.path("password").display().to_string();
    cofre.run(0, &["user", "add", "ana", "--role", "administrator", "--password-file", &file])?;
    Ok(cofre)
}

/// Logs in as a browser does, and returns curl's arguments for whoever is in.
fn log_in(cofre: &Installation, api: &Api) -> Result<[String; 2]> {
    let jar = cofre.path("cookies").display().to_string();
    let form = ["--cookie-jar", &jar, "--data-urlencode", "name=ana", "--data-urlencode", &format!("password={PASSWORD}")];
    let answer = api.ask(("POST", "/login"), None, None, &form)?;
    ensure!(answer.status == 303, "{answer:?}");
    Ok(["--cookie".to_owned(), jar])
}

/// A page: its bytes, and the seconds until it was there.
fn page(api: &Api, path: &str, who: &[String; 2]) -> Result<(String, f64)> {
    let answer = api.ask(("GET", path), None, None, &[&who[0], &who[1], "--write-out", "\n%{time_total}"])?;
    ensure!(answer.status == 200, "{path}: {answer:?}");
    let (text, seconds) = answer.text.rsplit_once('\n').context("no time")?;
    Ok((text.to_owned(), seconds.parse()?))
}

/// What a page loads beside itself, each once.
fn assets(text: &str) -> BTreeSet<&str> {
    let named = text.split('"').filter(|part| part.starts_with("/assets/"));
    named.map(|part| part.split('#').next().unwrap_or(part)).collect()
}

#[test]
fn a_year_of_five_hundred_tenants_makes_no_page_heavy() -> Result<()> {
    let cofre = installation()?;
    let sets = lived(&cofre, YEAR)?;
    let newest = sets.last().context("no set")?;
    let api = Api::start(&cofre, &["serve"])?;
    let who = log_in(&cofre, &api)?;
    let month = Timestamp::now().to_zoned_datetime(jiff::tz::TimeZone::system()).strftime("%Y-%m").to_string();
    let mut paths: Vec<String> = "/ /runs /sets /sets?tenant=t0007 /sets?state=damaged /sets?destination=cloud&state=incomplete /checks /reports \
                                  /audit /audit?by=nobody /restore /tenants /settings /settings/databases /settings/directories \
                                  /settings/destinations /settings/notifiers /settings/schedules /settings/retention /plugins /users /tokens \
                                  /account"
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    paths.extend([
        format!("/reports/{month}"),
        format!("/sets?before={newest}"),
        format!("/sets/{newest}"),
        format!("/sets/{newest}?from=400"),
        format!("/restore?set={newest}"),
    ]);
    let (mut slowest, mut weights, mut heavy) = ((0.0, String::new()), BTreeMap::new(), Vec::new());
    for path in &paths {
        let (text, first) = page(&api, path, &who)?;
        let (_, again) = page(&api, path, &who)?;
        let mut bytes = text.len();
        for asset in assets(&text) {
            if !weights.contains_key(asset) {
                weights.insert(asset.to_owned(), page(&api, asset, &who)?.0.len());
            }
            bytes += weights.get(asset).copied().unwrap_or_default();
        }
        println!("{path}: {} bytes of {bytes}, {first:.3} s, {again:.3} s", text.len());
        if bytes >= HEAVIEST {
            heavy.push(format!("{path} loads {bytes} bytes, {} of them its own", text.len()));
        }
        if again > slowest.0 {
            slowest = (again, path.clone());
        }
    }
    println!("the slowest is {}", slowest.1);
    let mut times = Times::default();
    times.took("page-year", slowest.0);
    times.write()?;
    ensure!(heavy.is_empty(), "{}", heavy.join("; "));
    ensure!(page(&api, "/sets?tenant=t0007", &who)?.0.contains(&format!("/sets/{newest}")), "the tenant's newest set is not there");
    ensure!(api.stop()? == Some(0), "it did not end well");
    Ok(())
}

/// A listener: what comes after the head of the answer.
fn listen(address: &str, token: &str) -> Result<BufReader<TcpStream>> {
    let place = address.strip_prefix("http://").context("no plain address")?;
    let stream = TcpStream::connect(place)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(&stream, "GET /api/v1/events HTTP/1.1\r\nHost: {place}\r\nAuthorization: Bearer {token}\r\n\r\n")?;
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        ensure!(reader.read_line(&mut head)? > 0, "no answer: {head}");
    }
    ensure!(head.starts_with("HTTP/1.1 200 ") && head.contains("text/event-stream"), "{head}");
    Ok(reader)
}

/// Waits until a listener has heard that a task ended.
fn hears_the_end(listener: &mut BufReader<TcpStream>) -> Result<()> {
    let mut line = String::new();
    while !(line.starts_with("data:") && line.contains("\"state\":\"done\"")) {
        line.clear();
        ensure!(listener.read_line(&mut line)? > 0, "the events ended");
    }
    Ok(())
}

#[test]
fn two_hundred_listeners_hear_everything_and_cost_little_memory() -> Result<()> {
    let cofre = Installation::new("[encryption]\niterations = 10000\n[[directory]]\npath = \"@DIR@/files\"\n")?;
    cofre.configure(&format!("{}{}", cofre.configuration()?, cofre.local("disk")?))?;
    std::fs::create_dir(cofre.path("files"))?;
    std::fs::write(cofre.path("files/note"), "uma nota")?;
    let made = cofre.json(0, &["token", "create", "--name", "all", "--scope", "status:read", "--scope", "run:create"])?;
    let token = made["text"].as_str().context("no token")?;
    let api = Api::start(&cofre, &["serve", "--listen", "127.0.0.1:0"])?;
    // What the first run needs, plug-ins above all, is no cost of listeners.
    let run = || api.task("/api/v1/runs", token, &json!({}));
    ensure!(run()?.0["state"] == "done", "the first run failed");
    let before = api.memory()?;
    let mut listeners = (0..LISTENERS).map(|_| listen(&api.address, token)).collect::<Result<Vec<_>>>()?;
    let silent = api.memory()?;
    ensure!(run()?.0["state"] == "done", "the run failed");
    for listener in &mut listeners {
        hears_the_end(listener)?;
    }
    let after = api.memory()?.max(silent);
    println!("{before} bytes before, {after} with {LISTENERS} listeners");
    ensure!(after.saturating_sub(before) < LISTENERS_MAX, "{LISTENERS} listeners cost {} bytes", after - before);
    drop(listeners);
    ensure!(api.stop()? == Some(0), "it did not end well");
    Ok(())
}
