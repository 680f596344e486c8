//! Retention at a real destination, over weeks of a faked clock: what stays, what goes and why; what must never go; and a removal that dies.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cofre_tests::cofre::Installation;
use serde_json::Value;

fn installation() -> Result<Installation> {
    let cofre = Installation::new("[encryption]\niterations = 10000\n[[directory]]\npath = \"@DIR@/files\"\n")?;
    cofre.configure(&format!("{}{}", cofre.configuration()?, cofre.local("disk")?))?;
    std::fs::create_dir(cofre.path("files"))?;
    std::fs::write(cofre.path("files/note"), "uma nota\n")?;
    Ok(cofre)
}

fn run_on(cofre: &Installation, days: &[&str]) -> Result<()> {
    for day in days {
        cofre.run_at(&format!("{day} 02:00:00"), 0, &["run", "--quiet"])?;
    }
    Ok(())
}

/// The day in the name of a set.
fn day_of(name: &str) -> String {
    name["backup_".len().."backup_2026_01_01".len()].replace('_', "-")
}

/// Days of the sets at the destination, oldest first.
fn days(cofre: &Installation) -> Result<Vec<String>> {
    Ok(cofre.sets("disk")?.iter().map(|name| day_of(name)).collect())
}

fn set(cofre: &Installation, day: &str) -> Result<(String, PathBuf)> {
    let prefix = format!("backup_{}", day.replace('-', "_"));
    let name = cofre.sets("disk")?.into_iter().find(|name| name.starts_with(&prefix)).with_context(|| format!("no set of {day}"))?;
    let path = cofre.path("disk").join(&name);
    Ok((name, path))
}

/// What `cofre prune --dry-run` says: a set's day, whether it stays, and the first reason.
fn explained(cofre: &Installation, moment: &str) -> Result<Vec<(String, bool, String)>> {
    let output = cofre.run_at(moment, 0, &["--json", "prune", "--dry-run"])?;
    let document: Value = serde_json::from_slice(&output.stdout)?;
    let sets = document["result"][0]["sets"].as_array().context("no sets")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let line = |set: &Value| (day_of(&text(&set["set"])), set["keep"] == true, text(&set["reasons"][0]["reason"]));
    Ok(sets.iter().map(line).collect())
}

const NOW: &str = "2026-03-31 04:00:00";

#[test]
fn the_missions_rule_holds_and_every_set_says_why() -> Result<()> {
    let cofre = installation()?;
    run_on(&cofre, &["2026-01-15", "2026-02-28", "2026-03-02", "2026-03-20"])?;
    let before = explained(&cofre, NOW)?;
    let expected = [
        ("2026-03-20", true, "newest-good"),
        ("2026-03-02", true, "last"),
        ("2026-02-28", false, "no-rule"),
        ("2026-01-15", false, "no-rule"),
    ];
    ensure!(before.iter().map(|(day, keep, why)| (day.as_str(), *keep, why.as_str())).eq(expected), "{before:?}");
    ensure!(days(&cofre)?.len() == 4, "a dry run removed something");
    cofre.run_at(NOW, 0, &["prune"])?;
    ensure!(days(&cofre)? == ["2026-03-02", "2026-03-20"], "{:?}", days(&cofre)?);
    // A year later the last two are still there.
    cofre.run_at("2027-03-31 04:00:00", 0, &["prune"])?;
    ensure!(days(&cofre)? == ["2026-03-02", "2026-03-20"], "{:?}", days(&cofre)?);
    let listed = cofre.json(0, &["list"])?;
    ensure!(listed.as_array().is_some_and(|sets| sets.len() == 2), "the catalogue names what is gone: {listed}");
    cofre.run(0, &["verify", "all"]).map(drop)
}

#[test]
fn what_is_damaged_or_unfinished_is_no_version_and_what_is_pinned_or_tagged_stays() -> Result<()> {
    let cofre = installation()?;
    cofre.configure(&format!("{}[retention]\nkeep_tags = [\"fechamento\"]\n", cofre.configuration()?))?;
    run_on(&cofre, &["2025-01-01", "2025-01-02", "2025-01-03"])?;
    cofre.run_at("2025-01-04 02:00:00", 0, &["run", "--quiet", "--tag", "fechamento"])?;
    run_on(&cofre, &["2025-01-05", "2025-01-06", "2025-01-07"])?;
    let (pinned, _) = set(&cofre, "2025-01-01")?;
    cofre.run(0, &["pin", &pinned])?;
    // The newest is damaged, and the one before it lost its seal: the two before these are the last two versions.
    let (damaged, path) = set(&cofre, "2025-01-07")?;
    let artifact =
        std::fs::read_dir(path.join("config"))?.filter_map(Result::ok).map(|entry| entry.path()).next().context("no artifact")?;
    std::fs::OpenOptions::new().write(true).open(artifact)?.write_all_at(b"xxxx", 40)?;
    cofre.run(4, &["verify", &damaged])?;
    std::fs::remove_file(set(&cofre, "2025-01-06")?.1.join("manifest.json.seal"))?;
    run_on(&cofre, &["2025-01-08"])?;
    let why = explained(&cofre, NOW)?;
    let expected = [
        ("2025-01-08", true, "newest-good"),
        ("2025-01-07", false, "not-a-version"),
        ("2025-01-06", false, "orphan"),
        ("2025-01-05", true, "last"),
        ("2025-01-04", true, "tag"),
        ("2025-01-03", false, "no-rule"),
        ("2025-01-02", false, "no-rule"),
        ("2025-01-01", true, "pinned"),
    ];
    ensure!(why.iter().map(|(day, keep, why)| (day.as_str(), *keep, why.as_str())).eq(expected), "{why:?}");
    // Losing the catalogue loses no pin, no tag and no judgement but the one of the damage, which nobody remembers.
    std::fs::remove_dir_all(cofre.path("state"))?;
    let again = explained(&cofre, NOW)?;
    ensure!(again[1].1 && again[1].2 == "last", "{again:?}");
    // Whose rest the unsealed set is, nobody can tell any more.
    ensure!(again[2].1 && again[2].2 == "strange", "{again:?}");
    for at in [4, 7] {
        ensure!(again[at] == why[at], "{again:?}");
    }
    cofre.run_at(NOW, 0, &["prune"])?;
    ensure!(days(&cofre)?.contains(&"2025-01-01".to_owned()));
    cofre.run(0, &["pin", &pinned, "--remove"])?;
    cofre.run_at(NOW, 0, &["prune"])?;
    ensure!(!days(&cofre)?.contains(&"2025-01-01".to_owned()));
    cofre.run(2, &["pin", &pinned]).map(drop)
}

#[test]
fn nothing_goes_where_deletion_is_not_granted_or_that_is_not_ours() -> Result<()> {
    let cofre = installation()?;
    run_on(&cofre, &["2025-01-01", "2025-01-02", "2025-01-03"])?;
    let granted = cofre.configuration()?;
    cofre.configure(&granted.replace(", delete = true", ""))?;
    let output = cofre.run_at(NOW, 0, &["prune"])?;
    ensure!(String::from_utf8_lossy(&output.stdout).contains("grants.delete = true"), "{output:?}");
    ensure!(days(&cofre)?.len() == 3, "something was removed without a grant");
    // Another installation's sets in the same place, under another passphrase.
    cofre.configure(&granted)?;
    std::fs::remove_dir_all(cofre.path("state"))?;
    std::fs::write(cofre.path("passphrase"), "a-frase-de-outro-servidor\n")?;
    run_on(&cofre, &["2025-02-01"])?;
    cofre.run_at(NOW, 0, &["prune"])?;
    ensure!(days(&cofre)?.len() == 4, "the sets of another installation were removed: {:?}", days(&cofre)?);
    Ok(())
}

#[test]
fn sizes_and_intervals_are_limits() -> Result<()> {
    let cofre = installation()?;
    let plain = cofre.configuration()?;
    run_on(&cofre, &["2026-03-28", "2026-03-29", "2026-03-30", "2026-03-31"])?;
    cofre.configure(&format!("{plain}[retention]\nmax_size = \"1B\"\nmin_interval = \"12h\"\n"))?;
    cofre.run_at("2026-03-31 04:00:00", 0, &["prune"])?;
    ensure!(days(&cofre)? == ["2026-03-31"], "{:?}", days(&cofre)?);
    run_on(&cofre, &["2026-04-01"])?;
    // The removal of the 31st counts from when it was made.
    let output = cofre.run_at("2026-03-31 15:59:00", 0, &["--json", "prune"])?;
    let document: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(document["result"][0]["held"]["because"] == "too-soon", "{document}");
    cofre.run_at("2026-04-01 03:00:00", 0, &["prune"])?;
    ensure!(days(&cofre)? == ["2026-04-01"], "{:?}", days(&cofre)?);
    Ok(())
}

#[test]
fn a_removal_that_is_killed_leaves_no_half_set_that_looks_whole() -> Result<()> {
    let cofre = installation()?;
    // Many small artifacts, so that a removal has many steps.
    let mut text = cofre.configuration()?;
    for number in 0..40 {
        std::fs::create_dir(cofre.path(&format!("d{number}")))?;
        text = text.replace("[[destination]]", &format!("[[directory]]\npath = \"@DIR@/d{number}\"\n[[destination]]"));
    }
    cofre.configure(&text)?;
    let old: Vec<String> = (1..=9).map(|day| format!("2025-01-0{day}")).collect();
    run_on(&cofre, &old.iter().map(String::as_str).collect::<Vec<_>>())?;
    run_on(&cofre, &["2026-03-29", "2026-03-30"])?;
    let whole = std::fs::read_dir(set(&cofre, "2026-03-30")?.1.join("config"))?.count();
    for pause in [3, 7, 11, 15, 20, 25, 35, 50, 70] {
        let mut child = cofre.command_at(NOW, &["prune", "--quiet"])?.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        std::thread::sleep(Duration::from_millis(pause * 10));
        child.kill()?;
        child.wait()?;
        for name in cofre.sets("disk")? {
            let path = cofre.path("disk").join(&name);
            let files = std::fs::read_dir(path.join("config")).map_or(0, Iterator::count);
            ensure!(!path.join("manifest.json.seal").exists() || files == whole, "{name} is sealed and has {files} of {whole} artifacts");
        }
        let listed = cofre.json(0, &["list"])?;
        for known in listed.as_array().context("no list")? {
            let name = known["name"].as_str().unwrap_or_default();
            let sealed = cofre.path("disk").join(name).join("manifest.json.seal").exists();
            ensure!(sealed || known["copies"][0]["complete"] == false, "the catalogue claims {name}, whose seal is gone");
        }
    }
    cofre.run_at(NOW, 0, &["prune"])?;
    ensure!(days(&cofre)? == ["2026-03-29", "2026-03-30"], "{:?}", days(&cofre)?);
    cofre.run(0, &["verify", "all", "--deep"]).map(drop)
}
