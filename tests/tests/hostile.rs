//! Hostile and broken plug-ins, one at a time beside an honest one: each ends as one failed copy with a clear message, and
//! the other destination gets its set.

use std::net::TcpListener;

use anyhow::{Context, Result, ensure};
use cofre_tests::cofre::{Installation, root};

struct Case {
    mode: &'static str,
    at: &'static str,
    limits: &'static str,
    says: &'static str,
}

const fn case(mode: &'static str, at: &'static str, limits: &'static str, says: &'static str) -> Case {
    Case { mode, at, limits, says }
}

const CASES: [Case; 22] = [
    case("spin", "probe", "cpu = \"200ms\"", "limit `cpu`"),
    case("spin", "write", "cpu = \"200ms\"", "limit `cpu`"),
    case("hang-forever", "probe", "wall = \"300ms\"", "limit `wall`"),
    case("memory-bomb", "probe", "memory = \"64MiB\"", "limit `memory`"),
    case("log-flood", "probe", "log = \"64KiB\"", "limit `log`"),
    case("trap", "probe", "", "plug-in `hostile`: `probe` failed"),
    case("trap", "finish", "", "plug-in `hostile`: `finish` failed"),
    case("panic", "begin", "", "plug-in `hostile`: `begin` failed"),
    case("exit", "probe", "", "plug-in `hostile`: `probe` failed"),
    case("stack-bomb", "probe", "", "plug-in `hostile`: `probe` failed"),
    case("ok", "probe", "memories = 0", "cannot start"),
    case("ok", "probe", "instances = 1", "cannot start"),
    case("ok", "probe", "tables = 0", "cannot start"),
    case("ok", "probe", "table_elements = 1", "cannot start"),
    case("lie-offset-forward", "write", "", "breaks its contract|says that it is at offset"),
    case("lie-offset-back", "write", "", "breaks its contract|says that it is at offset"),
    case("finish-without-reading", "write", "", "breaks its contract|took 0"),
    case("lie-finish-size", "finish", "", "stored"),
    case("lie-finish-short", "finish", "", "stored"),
    case("lie-finish-checksum", "finish", "", "checksum"),
    case("huge-token", "write", "", "token"),
    case("zero-part-size", "probe", "", "parts of no bytes"),
];

fn hostile(mode: &str, at: &str, limits: &str, more: &str) -> String {
    format!(
        "[[destination]]\nname = \"hostile\"\nplugin = \"{}\"\nsettings = {{ mode = \"{mode}\", at = \"{at}\"{more} }}\nlimits = {{ {limits} }}\nretry = {{ attempts = 1, first_pause = \"1ms\" }}\n",
        root().join("target/guests/hostile.wasm").display()
    )
}

fn installation() -> Result<(Installation, String)> {
    let cofre = Installation::new("[encryption]\niterations = 10000\n[[directory]]\npath = \"@DIR@/files\"\n")?;
    std::fs::create_dir(cofre.path("files"))?;
    std::fs::write(cofre.path("files/one"), "content")?;
    let head = format!("{}{}", cofre.configuration()?, cofre.local("disk")?);
    Ok((cofre, head))
}

/// Runs beside an honest destination; returns what was said of the hostile one.
fn run_beside(cofre: &Installation, head: &str, destination: &str) -> Result<String> {
    cofre.configure(&format!("{head}{destination}"))?;
    let report = cofre.json(1, &["run"])?;
    let of = |name: &str| {
        report["destinations"].as_array().and_then(|all| all.iter().find(|one| one["name"] == name)).cloned().unwrap_or_default()
    };
    ensure!(of("disk")["complete"] == true, "the honest destination was held up: {report}");
    ensure!(of("hostile")["complete"] == false, "the hostile destination counts as complete: {report}");
    // The set waits for the hostile destination in the spool; the next case starts afresh.
    for entry in std::fs::read_dir(cofre.path("state/spool"))? {
        let path = entry?.path();
        if path.is_dir() {
            std::fs::remove_dir_all(path)?;
        }
    }
    Ok(of("hostile")["error"].as_str().context("no error is told")?.to_owned())
}

#[test]
fn every_limit_and_every_lie_is_one_failed_copy_with_a_clear_message() -> Result<()> {
    let (cofre, head) = installation()?;
    let mut wrong = Vec::new();
    for Case { mode, at, limits, says } in CASES {
        match run_beside(&cofre, &head, &hostile(mode, at, limits, "")) {
            Ok(error) if says.split('|').any(|says| error.contains(says)) => {}
            Ok(error) => wrong.push(format!("{mode} at {at}: expected `{says}`, got: {error}")),
            Err(error) => wrong.push(format!("{mode} at {at}: {error:#}")),
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    cofre.run(0, &["verify", "--deep", "--from", "disk"]).map(drop)
}

#[test]
fn a_table_bomb_does_not_start() -> Result<()> {
    let (cofre, head) = installation()?;
    let bomb = format!("[[destination]]\nname = \"hostile\"\nplugin = \"{}\"\n", root().join("target/guests/table-bomb.wasm").display());
    let error = run_beside(&cofre, &head, &bomb)?;
    ensure!(error.contains("table_elements") || error.contains("table"), "{error}");
    Ok(())
}

#[test]
fn a_plug_in_sees_and_reaches_nothing_that_was_not_granted() -> Result<()> {
    let (cofre, head) = installation()?;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    let seen = |mode: &str, more: &str, grant: &str| run_beside(&cofre, &head, &format!("{}{grant}", hostile(mode, "probe", "", more)));
    let environment = seen("environment", "", "")?;
    ensure!(environment.contains("variables=0 arguments=0"), "{environment}");
    for mode in ["filesystem", "write-file", "escape-directory"] {
        let files = seen(mode, "", "")?;
        ensure!(!files.contains("=ok"), "{mode}: {files}");
    }
    let target = format!(", target = \"127.0.0.1:{port}\"");
    for mode in ["connect-bare-address", "listen", "udp"] {
        let reached = seen(mode, &target, "")?;
        ensure!(!reached.contains("=ok"), "{mode}: {reached}");
    }
    let name = format!(", target = \"localhost:{port}\"");
    for (mode, grant) in [("resolve-denied-name", ""), ("connect-denied", "grants = { network = [\"localhost:1\"] }\n")] {
        let reached = seen(mode, &name, grant)?;
        ensure!(!reached.contains("=ok"), "{mode}: {reached}");
        ensure!(reached.contains("not granted"), "{mode}: {reached}");
    }
    let url = format!(", url = \"http://localhost:{port}/\"");
    let fetched = seen("http-get", &url, "")?;
    ensure!(fetched.contains("grants.network"), "{fetched}");
    ensure!(listener.accept().is_err(), "something connected");
    // With the grant, and only to that port, it gets through.
    let granted = seen("connect", &name, &format!("grants = {{ network = [\"localhost:{port}\"] }}\n"))?;
    ensure!(granted.contains("connect=ok"), "{granted}");
    ensure!(listener.accept().is_ok(), "nothing connected");
    Ok(())
}

#[test]
fn what_is_no_component_is_refused() -> Result<()> {
    let (cofre, head) = installation()?;
    for (name, bytes, says) in [
        ("text.wasm", b"hello".as_slice(), "not a WebAssembly component"),
        ("core.wasm", b"\0asm\x01\0\0\0".as_slice(), "not a WebAssembly component"),
        ("elf.wasm", b"\x7fELF\x02\x01\x01\0".as_slice(), "not a WebAssembly component"),
        ("empty.wasm", b"\0asm\x0d\0\x01\0".as_slice(), "not approved yet"),
    ] {
        std::fs::write(cofre.path(name), bytes)?;
        let error = run_beside(&cofre, &head, &format!("[[destination]]\nname = \"hostile\"\nplugin = \"@DIR@/{name}\"\n"))?;
        ensure!(error.contains(says), "{name}: {error}");
    }
    // Approving it is what asks what it is.
    let refused = cofre.run(1, &["plugin", "add", "--yes", &cofre.path("empty.wasm").display().to_string()])?;
    ensure!(cofre_tests::cofre::said(&refused).contains("does not export"), "{}", cofre_tests::cofre::said(&refused));
    let described = root().join("target/guests/describe-side-effects.wasm").display().to_string();
    let inspected = cofre.run(0, &["plugin", "inspect", &described])?;
    let said = String::from_utf8_lossy(&inspected.stdout).into_owned();
    ensure!(!said.contains("=ok"), "a plug-in that describes itself reached something: {said}");
    let forever = root().join("target/guests/describe-forever.wasm").display().to_string();
    cofre.run(1, &["plugin", "inspect", &forever]).map(drop)
}
