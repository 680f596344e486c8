//! The audit log: what each command leaves in it, that nothing is removed while it cannot be written, and that a touched line is named.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cofre_tests::cofre::{Installation, PASSPHRASE, said};
use serde_json::Value;

fn installation() -> Result<Installation> {
    let cofre = Installation::new("[encryption]\niterations = 10000\n[[directory]]\npath = \"@DIR@/files\"\n")?;
    cofre.configure(&format!("{}{}", cofre.configuration()?, cofre.local("disk")?))?;
    std::fs::create_dir(cofre.path("files"))?;
    std::fs::write(cofre.path("files/note"), "uma nota\n")?;
    Ok(cofre)
}

/// `action outcome` of every entry, oldest first.
fn told(cofre: &Installation) -> Result<Vec<String>> {
    let listed = cofre.json(0, &["audit", "list"])?;
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let entries = listed["entries"].as_array().context("no entries")?;
    Ok(entries.iter().map(|entry| format!("{} {}", text(entry, "action"), text(entry, "outcome"))).collect())
}

fn altered(path: &Path, from: &str, to: &str) -> Result<()> {
    let text = std::fs::read_to_string(path)?;
    ensure!(text.contains(from), "there is no {from} in {text}");
    Ok(std::fs::write(path, text.replacen(from, to, 1))?)
}

#[test]
fn whoever_touches_a_line_is_found_and_the_line_is_named() -> Result<()> {
    let cofre = installation()?;
    for day in ["2026-01-01", "2026-01-02", "2026-03-01"] {
        cofre.run_at(&format!("{day} 02:00:00"), 0, &["run", "--quiet"])?;
    }
    cofre.run_at("2026-03-05 04:00:00", 0, &["prune"])?;
    let newest = cofre.sets("disk")?.pop().context("no set")?;
    cofre.run(0, &["pin", &newest])?;
    cofre.run(0, &["pin", &newest, "--remove"])?;
    cofre.run(0, &["restore", "latest", "--to", &cofre.path("restored").display().to_string()])?;
    cofre.run(0, &["verify"])?;
    cofre.configure(&format!("{}\n# another\n", cofre.configuration()?))?;
    cofre.run(0, &["show"])?;
    let expected = [
        "configuration done",
        "run begun",
        "run done",
        "run begun",
        "run done",
        "run begun",
        "run done",
        "prune begun",
        "remove begun",
        "remove done",
        "prune done",
        "pin begun",
        "pin done",
        "unpin begun",
        "unpin done",
        "restore begun",
        "restore done",
        "verify begun",
        "verify done",
        "configuration done",
        "access done",
    ];
    ensure!(told(&cofre)? == expected, "{:?}", told(&cofre)?);
    let log = cofre.path("state/audit.log");
    let text = std::fs::read_to_string(&log)?;
    ensure!(!text.contains(PASSPHRASE), "the passphrase is in the audit log");
    let uid = rustix::process::geteuid().as_raw();
    ensure!(text.lines().all(|line| line.contains(&format!("\"actor\":{{\"uid\":{uid}"))), "{text}");
    let since = cofre.json(0, &["audit", "list", "--since", "2026-03-01T00:00:00Z"])?;
    ensure!(since["entries"].as_array().is_some_and(|entries| entries.len() == expected.len() - 5), "{since}");

    let sound = cofre.json(0, &["audit", "verify"])?;
    ensure!(sound["head"]["count"] == expected.len() && sound["fault"].is_null(), "{sound}");
    let head = format!("{} {}", expected.len(), sound["head"]["hash"].as_str().context("no hash")?);
    cofre.run(0, &["audit", "verify", "--head", &head])?;
    // As docs/formats/audit.md says, without cofre.
    let document = std::fs::read_to_string(cofre_tests::cofre::root().join("docs/formats/audit.md"))?;
    let script = document.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).context("no script")?;
    let by_hand = || Command::new("sh").arg("-c").arg(script).current_dir(cofre.path("state")).output();
    ensure!(by_hand()?.stdout.is_empty() && by_hand()?.status.success(), "{}", said(&by_hand()?));
    // A copy elsewhere, which needs no configuration.
    let copy = cofre.path("copy");
    std::fs::create_dir(&copy)?;
    for name in ["audit.log", "audit.head"] {
        std::fs::copy(cofre.path("state").join(name), copy.join(name))?;
    }
    cofre.run(0, &["audit", "verify", "--at", &copy.display().to_string()])?;

    // An editor that makes the removal of a set an innocent look at it.
    altered(&log, "\"action\":\"remove\"", "\"action\":\"access\"")?;
    let found = cofre.json(4, &["audit", "verify"])?;
    ensure!(found["fault"]["line"] == 9 && found["fault"]["file"] == "audit.log", "{found}");
    let shown = said(&cofre.run(4, &["audit", "verify"])?);
    ensure!(shown.contains("audit.log:9"), "{shown}");
    ensure!(said(&by_hand()?).contains("does not follow"), "{}", said(&by_hand()?));
    // One that takes out the line.
    let without: String = text.split_inclusive('\n').enumerate().filter(|(at, _)| *at != 8).map(|(_, line)| line).collect();
    std::fs::write(&log, without)?;
    ensure!(cofre.json(4, &["audit", "verify"])?["fault"]["entry"] == 9);
    // One that takes out the end, and the head with it: the catalogue knows better.
    let fewer: String = text.split_inclusive('\n').take(8).collect();
    std::fs::write(&log, fewer)?;
    std::fs::remove_file(cofre.path("state/audit.head"))?;
    let found = cofre.json(4, &["audit", "verify"])?;
    ensure!(found["fault"]["entry"] == 9, "{found}");
    std::fs::write(&log, &text)?;
    std::fs::copy(copy.join("audit.head"), cofre.path("state/audit.head"))?;
    cofre.run(0, &["audit", "verify"]).map(drop)
}

#[test]
fn nothing_is_removed_that_cannot_be_written_down_and_a_backup_is_made_all_the_same() -> Result<()> {
    let cofre = installation()?;
    for day in ["2026-01-01", "2026-01-02", "2026-01-03"] {
        cofre.run_at(&format!("{day} 02:00:00"), 0, &["run", "--quiet"])?;
    }
    let newest = cofre.sets("disk")?.pop().context("no set")?;
    cofre.run(0, &["pin", &newest])?;
    let log = cofre.path("state/audit.log");
    let kept = cofre.path("audit.kept");
    std::fs::rename(&log, &kept)?;
    std::fs::create_dir(&log)?;
    let target = cofre.path("restored").display().to_string();
    let refused: [&[&str]; 3] = [&["prune"], &["pin", &newest, "--remove"], &["restore", "latest", "--to", &target, "--force"]];
    for arguments in refused {
        let output = cofre.run_at("2026-03-31 04:00:00", 1, arguments)?;
        ensure!(said(&output).contains("audit log"), "{}", said(&output));
    }
    ensure!(cofre.sets("disk")?.len() == 3 && !cofre.path("restored").exists(), "something was done");
    let output = cofre.run_at("2026-01-04 02:00:00", 3, &["run"])?;
    ensure!(said(&output).contains("audit log"), "{}", said(&output));
    ensure!(cofre.sets("disk")?.len() == 4);
    cofre.run(3, &["restore", "latest", "--to", &target])?;
    cofre.run(3, &["verify"])?;
    std::fs::remove_dir(&log)?;
    std::fs::rename(&kept, &log)?;
    cofre.run_at("2026-03-31 04:00:00", 0, &["prune"])?;
    cofre.run(0, &["audit", "verify"]).map(drop)
}

#[test]
fn the_daemon_signs_as_itself_and_plug_ins_are_in_the_log() -> Result<()> {
    let cofre = installation()?;
    let job = "[[job]]\nname = \"now\"\naction = \"run\"\nschedule = \"@daily\"\nat_start = true\n";
    cofre.configure(&format!("{}{job}", cofre.configuration()?))?;
    cofre.run(0, &["daemon", "--once"])?;
    let listed = cofre.json(0, &["audit", "list"])?;
    let entries = listed["entries"].as_array().context("no entries")?;
    ensure!(!entries.is_empty() && entries.iter().all(|entry| entry["actor"]["daemon"] == true), "{listed}");
    // A room of its own: the approvals of the other tests are theirs.
    let (room, file) = (cofre.path("room"), cofre_tests::cofre::plugins().join("local.wasm"));
    std::fs::create_dir(&room)?;
    let text = cofre.configuration()?;
    let plugins = text.find("[plugins]").context("no plug-ins")?;
    let rest = text[plugins..].find("\n[encryption]").context("nothing follows")?;
    let own = format!("[plugins]\ndirectory = \"{0}\"\nlock = \"{0}/plugins.lock\"", room.display());
    cofre.configure(&format!("{}{own}{}", &text[..plugins], &text[plugins + rest..]))?;
    cofre.run(0, &["plugin", "add", "--yes", &file.display().to_string()])?;
    cofre.run(0, &["plugin", "remove", "local", "--force"])?;
    let expected = ["plugin-approve begun", "plugin-approve done", "plugin-remove begun", "plugin-remove done", "configuration done"];
    ensure!(told(&cofre)?.ends_with(&expected.map(str::to_owned)), "{:?}", told(&cofre)?);
    cofre.run(0, &["audit", "verify"]).map(drop)
}
