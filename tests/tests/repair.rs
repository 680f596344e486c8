//! Copies that are damaged: named with the copy that is still good, mended from there, and never called mended when they are not.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cofre_tests::cofre::{Installation, said};
use cofre_tests::sample;
use serde_json::Value;

/// A set at two destinations.
fn installation() -> Result<(Installation, String)> {
    let cofre = Installation::new("[encryption]\niterations = 10000\n[[directory]]\npath = \"@DIR@/files\"\n")?;
    let configuration = format!("{}{}{}", cofre.configuration()?, cofre.local("disk")?, cofre.local("cloud")?);
    cofre.configure(&configuration)?;
    std::fs::create_dir(cofre.path("files"))?;
    sample::mixed(&cofre.path("files"), 300_000, 5)?;
    cofre.run(0, &["run"])?;
    let set = cofre.sets("disk")?.pop().context("no set")?;
    Ok((cofre, set))
}

/// The artifact of the directory.
fn artifact(cofre: &Installation, destination: &str, set: &str) -> Result<PathBuf> {
    let folder = cofre.path(destination).join(set).join("config");
    let mut found = std::fs::read_dir(folder)?.filter_map(Result::ok).map(|entry| entry.path());
    found.find(|path| path.display().to_string().contains("files")).context("no artifact")
}

fn own_artifact(cofre: &Installation, destination: &str, set: &str) -> PathBuf {
    cofre.path(destination).join(set).join("config/_cofre_.tar.gz.enc")
}

fn damage(path: &Path) -> Result<()> {
    Ok(std::fs::OpenOptions::new().write(true).open(path)?.write_all_at(b"nonsense", 100)?)
}

/// What is said of the copy at a destination.
fn of<'a>(copies: &'a Value, destination: &str) -> Result<&'a Value> {
    let copies = copies.as_array().context("no list")?;
    copies.iter().find(|copy| copy["destination"] == destination).with_context(|| format!("nothing of {destination}: {copies:?}"))
}

#[test]
fn damage_is_named_with_the_good_copy_and_mended_from_there() -> Result<()> {
    let (cofre, set) = installation()?;
    let bad = artifact(&cofre, "cloud", &set)?;
    let good = std::fs::read(&bad)?;
    damage(&bad)?;
    let damaged = std::fs::read(&bad)?;
    let verified = cofre.json(4, &["verify", "all"])?;
    let copy = of(&verified, "cloud")?;
    let key = bad.file_name().context("a name")?.to_string_lossy().into_owned();
    let command = format!("cofre repair {set} --to cloud");
    ensure!(copy["set"] == set.as_str() && copy["problems"][0].as_str().is_some_and(|problem| problem.contains(&key)), "{copy}");
    ensure!(copy["good"]["destination"] == "disk" && copy["good"]["verified"].is_string() && copy["mend"] == command.as_str(), "{copy}");
    ensure!(of(&verified, "disk")?["problems"] == Value::Array(Vec::new()));
    let text = said(&cofre.run(4, &["verify", "all"])?);
    ensure!(text.contains("good copy: disk") && text.contains(&format!("to mend it: {command}")), "{text}");
    let status = cofre.json(0, &["status"])?.to_string();
    ensure!(status.contains(&command) && status.contains(&set), "{status}");

    let dry = cofre.json(0, &["repair", "--dry-run"])?;
    ensure!(of(&dry, "cloud")?["outcome"] == "would-mend" && std::fs::read(&bad)? == damaged, "{dry}");
    let mended = cofre.json(0, &["repair"])?;
    ensure!(mended.as_array().is_some_and(|copies| copies.len() == 1), "{mended}");
    let copy = of(&mended, "cloud")?;
    ensure!(copy["outcome"] == "mended" && copy["objects"].as_array().is_some_and(|objects| objects.len() == 1), "{copy}");
    ensure!(copy["objects"][0]["from"] == "disk" && copy["objects"][0]["missing"] == false, "{copy}");
    ensure!(std::fs::read(&bad)? == good);
    cofre.run(0, &["verify", "all", "--deep"])?;
    ensure!(cofre.json(0, &["repair"])? == Value::Array(Vec::new()), "there is nothing more to mend");
    // Asked for by name, it is read all the same.
    ensure!(of(&cofre.json(0, &["repair", &set, "--to", "cloud"])?, "cloud")?["outcome"] == "sound");
    Ok(())
}

#[test]
fn what_was_removed_is_missed_and_comes_back() -> Result<()> {
    let (cofre, set) = installation()?;
    let folder = cofre.path("cloud").join(&set);
    let all = |folder: &Path| -> Result<Vec<(String, Vec<u8>)>> {
        let mut files = Vec::new();
        for folder in [folder.to_path_buf(), folder.join("config")] {
            for entry in std::fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_file() {
                    files.push((path.display().to_string(), std::fs::read(&path)?));
                }
            }
        }
        files.sort();
        Ok(files)
    };
    let whole = all(&folder)?;
    let lose: [(&str, &dyn Fn() -> Result<()>); 4] = [
        ("an artifact", &|| Ok(std::fs::remove_file(artifact(&cofre, "cloud", &set)?)?)),
        ("a readable file", &|| Ok(std::fs::remove_file(folder.join("RESTORE.md"))?)),
        ("the seal", &|| Ok(std::fs::remove_file(folder.join("manifest.json.seal"))?)),
        ("all of it", &|| Ok(std::fs::remove_dir_all(&folder)?)),
    ];
    for (what, lose) in lose {
        lose()?;
        // As often as somebody looks.
        for _ in 0..2 {
            let verified = cofre.json(4, &["verify", "all"]).with_context(|| format!("{what} was not missed"))?;
            ensure!(of(&verified, "cloud")?["good"]["destination"] == "disk", "{what}: {verified}");
        }
        let mended = cofre.json(0, &["repair"]).with_context(|| what.to_owned())?;
        ensure!(of(&mended, "cloud")?["objects"][0]["missing"] == true, "{what}: {mended}");
        ensure!(all(&folder)? == whole, "{what} did not come back as it was");
        cofre.run(0, &["verify", "all", "--deep"])?;
    }
    Ok(())
}

#[test]
fn copies_with_different_damage_mend_each_other_and_the_same_damage_is_final() -> Result<()> {
    let (cofre, set) = installation()?;
    damage(&artifact(&cofre, "cloud", &set)?)?;
    damage(&own_artifact(&cofre, "disk", &set))?;
    let verified = cofre.json(4, &["verify", "all"])?;
    ensure!(of(&verified, "cloud")?["good"].is_null() && of(&verified, "cloud")?["mend"].is_null(), "{verified}");
    let mended = cofre.json(0, &["repair"])?;
    ensure!(of(&mended, "cloud")?["outcome"] == "mended" && of(&mended, "disk")?["outcome"] == "mended", "{mended}");
    cofre.run(0, &["verify", "all", "--deep"])?;

    for destination in ["disk", "cloud"] {
        damage(&artifact(&cofre, destination, &set)?)?;
    }
    let before = std::fs::read(artifact(&cofre, "cloud", &set)?)?;
    cofre.run(4, &["verify", "all"])?;
    let stays = cofre.json(4, &["repair"])?;
    for destination in ["disk", "cloud"] {
        let copy = of(&stays, destination)?;
        ensure!(copy["outcome"] == "unrepairable", "{copy}");
        ensure!(copy["problems"][0].as_str().is_some_and(|problem| problem.contains("cannot be had from any other copy")), "{copy}");
    }
    ensure!(std::fs::read(artifact(&cofre, "cloud", &set)?)? == before, "what could not be mended was touched");
    cofre.run(4, &["verify", "all"]).map(drop)
}

#[test]
fn where_nothing_may_be_replaced_only_what_is_missing_is_mended_and_the_rest_is_told() -> Result<()> {
    let (cofre, set) = installation()?;
    let text = cofre.configuration()?;
    let granted = |delete: bool| format!("{}\", delete = {delete}", cofre.path("cloud").display());
    cofre.configure(&text.replace(&granted(true), &granted(false)))?;
    let wrong = artifact(&cofre, "cloud", &set)?;
    damage(&wrong)?;
    let damaged = std::fs::read(&wrong)?;
    std::fs::remove_file(own_artifact(&cofre, "cloud", &set))?;
    cofre.run(4, &["verify", "all"])?;
    let told = cofre.json(4, &["repair"])?;
    let copy = of(&told, "cloud")?;
    ensure!(copy["outcome"] == "unrepairable" && copy["problems"].as_array().is_some_and(|problems| problems.len() == 1), "{copy}");
    ensure!(copy["problems"][0].as_str().is_some_and(|problem| problem.contains("grants.delete")), "{copy}");
    ensure!(std::fs::read(&wrong)? == damaged && own_artifact(&cofre, "cloud", &set).exists());
    // Somebody with another credential takes the wrong one away.
    std::fs::remove_file(&wrong)?;
    ensure!(of(&cofre.json(0, &["repair"])?, "cloud")?["outcome"] == "mended");
    cofre.run(0, &["verify", "all", "--deep"]).map(drop)
}

#[test]
fn nothing_is_mended_from_a_destination_that_is_out_of_reach_and_that_is_no_verdict() -> Result<()> {
    let (cofre, set) = installation()?;
    damage(&artifact(&cofre, "cloud", &set)?)?;
    cofre.run(4, &["verify", "all"])?;
    std::fs::rename(cofre.path("disk"), cofre.path("away"))?;
    let failed = cofre.json(1, &["repair"])?;
    ensure!(of(&failed, "cloud")?["outcome"] == "failed", "{failed}");
    std::fs::rename(cofre.path("away"), cofre.path("disk"))?;
    cofre.run(0, &["repair", "--from", "disk"])?;
    cofre.run(2, &["repair", &set, "--to", "cloud", "--from", "cloud"])?;
    cofre.run(2, &["repair", "--to", "nowhere"])?;
    cofre.run(0, &["verify", "all"]).map(drop)
}

#[test]
fn a_share_of_the_sets_each_time_reads_all_of_them_in_so_many_times() -> Result<()> {
    let (cofre, _) = installation()?;
    for day in 1..=6 {
        cofre.run_at(&format!("2030-03-{day:02} 02:00:00"), 0, &["run"])?;
    }
    let read = |day: u32| -> Result<Vec<String>> {
        let output = cofre.run_at(&format!("2030-03-{day:02} 03:00:00"), 0, &["--json", "verify", "--share", "1/3", "--from", "disk"])?;
        let document: Value = serde_json::from_slice(&output.stdout)?;
        let copies = document["result"].as_array().context("no copies")?.iter();
        Ok(copies.map(|copy| copy["set"].as_str().unwrap_or_default().to_owned()).collect())
    };
    let all = cofre.sets("disk")?;
    ensure!(read(10)?.len() == 7, "what was never read is read");
    let mut together: Vec<String> = Vec::new();
    for day in [17, 24, 31] {
        let sets = read(day)?;
        ensure!(sets.len() == 3 && sets.contains(&all[6]), "{sets:?}");
        together.extend(sets);
    }
    together.sort();
    together.dedup();
    ensure!(together == all, "{together:?} of {all:?}");
    cofre.run(2, &["verify", "--share", "3"]).map(drop)
}
