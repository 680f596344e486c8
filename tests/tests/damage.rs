//! What must never pass for a good backup: another passphrase, a flipped bit, a cut, a swap, a missing file, a killed run.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cofre_tests::cofre::Installation;
use cofre_tests::compare;
use cofre_tests::sample;
use cofre_tests::servers::MariaDb;

fn installation() -> Result<Installation> {
    let cofre = Installation::new("[encryption]\niterations = 10000\n[[directory]]\npath = \"@DIR@/files\"\n")?;
    cofre.configure(&format!("{}{}", cofre.configuration()?, cofre.local("disk")?))?;
    std::fs::create_dir(cofre.path("files"))?;
    sample::mixed(&cofre.path("files"), 3_000_000, 5)?;
    Ok(cofre)
}

fn artifact(cofre: &Installation, set: &str) -> Result<PathBuf> {
    let folder = cofre.path("disk").join(set).join("config");
    let found = std::fs::read_dir(folder)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.display().to_string().contains("files"));
    found.context("no artifact")
}

fn refuses(cofre: &Installation, code: i32) -> Result<()> {
    cofre.run(code, &["verify"])?;
    let refused = tempfile::tempdir()?;
    cofre.run(code, &["restore", "latest", "--to", &refused.path().display().to_string()])?;
    ensure!(!refused.path().join("tmp").exists(), "something was written from an artifact that cannot be trusted");
    Ok(())
}

#[test]
fn damage_is_found_and_nothing_of_it_is_restored() -> Result<()> {
    let cofre = installation()?;
    cofre.run(0, &["run"])?;
    let set = cofre.sets("disk")?[0].clone();
    let path = artifact(&cofre, &set)?;
    let good = std::fs::read(&path)?;
    let middle = good.len() as u64 / 2;
    let file = std::fs::OpenOptions::new().write(true).open(&path)?;
    file.write_all_at(&[good[usize::try_from(middle)?] ^ 1], middle)?;
    refuses(&cofre, 4)?;
    std::fs::write(&path, &good[..good.len() - 16])?;
    refuses(&cofre, 4)?;
    std::fs::remove_file(&path)?;
    refuses(&cofre, 4)?;
    std::fs::write(&path, &good)?;
    cofre.run(0, &["verify", "--deep"])?;
    // The manifest itself.
    let manifest = cofre.path("disk").join(&set).join("manifest.json");
    let text = std::fs::read_to_string(&manifest)?;
    std::fs::write(&manifest, text.replacen("\"warnings\": 0", "\"warnings\": 1", 1))?;
    cofre.run(4, &["verify"])?;
    std::fs::write(&manifest, &text)?;
    // Another passphrase.
    std::fs::write(cofre.path("passphrase"), "outra\n")?;
    let output = cofre.run(4, &["verify"])?;
    ensure!(String::from_utf8_lossy(&output.stdout).contains("passphrase is another one"));
    Ok(())
}

#[test]
fn artifacts_that_changed_places_are_found_within_a_set_and_between_sets() -> Result<()> {
    let cofre = installation()?;
    cofre.run(0, &["run"])?;
    cofre.run(0, &["run"])?;
    let sets = cofre.sets("disk")?;
    let (old, new) = (artifact(&cofre, &sets[0])?, artifact(&cofre, &sets[1])?);
    let good = std::fs::read(&new)?;
    std::fs::copy(&old, &new)?;
    refuses(&cofre, 4)?;
    let own = new.with_file_name("_cofre_.tar.gz.enc");
    std::fs::rename(&own, &new)?;
    std::fs::write(&own, &good)?;
    refuses(&cofre, 4)?;
    std::fs::rename(&new, cofre.path("own"))?;
    std::fs::rename(&own, &new)?;
    std::fs::rename(cofre.path("own"), &own)?;
    cofre.run(0, &["verify", "--deep"]).map(drop)
}

#[test]
fn one_damaged_artifact_keeps_nobody_from_the_others_and_is_never_called_restored() -> Result<()> {
    let cofre = installation()?;
    cofre.configure(&format!("{}[[directory]]\npath = \"@DIR@/more\"\n", cofre.configuration()?))?;
    std::fs::create_dir(cofre.path("more"))?;
    sample::mixed(&cofre.path("more"), 500_000, 6)?;
    cofre.run(0, &["run"])?;
    let path = artifact(&cofre, &cofre.sets("disk")?[0])?;
    std::fs::OpenOptions::new().write(true).open(&path)?.write_all_at(b"nonsense", 4_000)?;
    let output = cofre.run(4, &["restore", "latest", "--to", &cofre.path("out").display().to_string()])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(said.contains("1 of 3 artifacts could NOT be restored") && said.contains("files"), "{said}");
    let below = |name: &str| -> Result<PathBuf> { Ok(cofre.path("out").join(cofre.path(name).strip_prefix("/")?)) };
    compare::trees(&cofre.path("more"), &below("more")?)?;
    ensure!(!below("files")?.exists());
    Ok(())
}

#[test]
fn an_old_set_cannot_pass_for_a_new_one() -> Result<()> {
    let cofre = installation()?;
    cofre.run(0, &["run"])?;
    let set = cofre.sets("disk")?[0].clone();
    std::fs::rename(cofre.path("disk").join(&set), cofre.path("disk/backup_2030_01_01_00_00_00"))?;
    let output = cofre.run(4, &["verify"])?;
    ensure!(String::from_utf8_lossy(&output.stdout).contains("renamed or swapped"));
    Ok(())
}

#[test]
fn a_set_without_its_seal_is_not_a_backup() -> Result<()> {
    let cofre = installation()?;
    cofre.run(0, &["run"])?;
    std::fs::remove_file(cofre.path("disk").join(&cofre.sets("disk")?[0]).join("manifest.json.seal"))?;
    cofre.run(1, &["verify"])?;
    cofre.run(1, &["restore", "latest", "--to", &cofre.path("out").display().to_string()])?;
    Ok(())
}

#[test]
fn a_run_killed_at_any_moment_is_never_called_done_and_mends_itself() -> Result<()> {
    let server = MariaDb::start()?;
    sample::tenant(&server, "empresa1", 3_000)?;
    let cofre = installation()?;
    sample::mixed(&cofre.path("files"), 60_000_000, 9)?;
    let database = format!("[[mysql]]\nname = \"main\"\nsocket = \"{}\"\nuser = \"root\"\n", server.socket().display());
    cofre.configure(&format!("{}{database}", cofre.configuration()?))?;
    let started = Instant::now();
    cofre.run(0, &["run"])?;
    let whole = started.elapsed();
    let mut random = sample::Random::new(0xC0F2E);
    for round in 0..10_u64 {
        let mut child = cofre.command(&["run", "--quiet"]).spawn()?;
        let wait = whole.mul_f64((random.draw() % 1_000) as f64 / 1_000.0);
        std::thread::sleep(wait);
        child.kill()?;
        child.wait()?;
        // Whatever is sealed at the destination must be whole.
        for set in cofre.sets("disk")? {
            if cofre.path("disk").join(&set).join("manifest.json.seal").exists() {
                cofre.run(0, &["verify", &set]).with_context(|| format!("round {round}, killed after {wait:?}"))?;
            }
        }
        let sealed = sealed_in_spool(&cofre)?;
        let resumed = cofre.json(0, &["resume"]).with_context(|| format!("round {round}, killed after {wait:?}"))?;
        let there = cofre.sets("disk")?;
        ensure!(
            sealed.iter().all(|set| there.contains(set)),
            "round {round}, killed after {wait:?}: {sealed:?} was whole and is lost: {resumed}"
        );
        for set in cofre.sets("disk")? {
            let sealed = cofre.path("disk").join(&set).join("manifest.json.seal").exists();
            ensure!(sealed, "round {round}, killed after {wait:?}: {set} was left half done: {resumed}");
        }
        ensure!(
            std::fs::read_dir(cofre.path("state/spool"))?
                .filter_map(Result::ok)
                .all(|entry| !entry.file_name().to_string_lossy().starts_with("backup_"))
        );
    }
    cofre.run(0, &["run"])?;
    cofre.run(0, &["verify", "all", "--deep"])?;
    cofre.run(0, &["restore", "latest", "--to", &cofre.path("out").display().to_string()])?;
    compare::trees(&cofre.path("files"), &cofre.path("out").join(cofre.path("files").strip_prefix("/")?))
}

/// Sets in the spool that only had to be copied; one that was copied and is being removed has another name already.
fn sealed_in_spool(cofre: &Installation) -> Result<Vec<String>> {
    let sets = std::fs::read_dir(cofre.path("state/spool"))?.filter_map(Result::ok);
    let sealed = sets.filter(|entry| std::fs::read(entry.path().join("state")).is_ok_and(|state| state == b"sealed\n"));
    let names = sealed.map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(names.filter(|name| !name.ends_with(".removed")).collect())
}

#[test]
fn only_one_run_at_a_time() -> Result<()> {
    let cofre = installation()?;
    let text = cofre.configuration()?;
    cofre.configure(&format!("{text}[[hook]]\nwhen = \"before-run\"\nshell = \"touch @DIR@/began; sleep 30\"\n"))?;
    let mut first = cofre.command(&["run", "--quiet"]).spawn()?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while !cofre.path("began").exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    let second = cofre.run(5, &["run"]);
    first.kill()?;
    first.wait()?;
    let said = String::from_utf8_lossy(&second?.stderr).into_owned();
    ensure!(said.contains(&first.id().to_string()), "{said}");
    cofre.configure(&text)?;
    cofre.run(0, &["run"]).map(drop)
}

#[test]
fn a_broken_destination_does_not_keep_the_other_from_its_set() -> Result<()> {
    let cofre = installation()?;
    let text = cofre.configuration()?;
    cofre.configure(&format!("{text}{}", cofre.local("gone")?))?;
    std::fs::remove_dir(cofre.path("gone"))?;
    cofre.run(1, &["run"])?;
    cofre.run(0, &["verify", "--from", "disk"])?;
    // The spool kept what the other one still needs.
    std::fs::create_dir(cofre.path("gone"))?;
    cofre.run(0, &["resume"])?;
    ensure!(cofre.sets("gone")? == cofre.sets("disk")?);
    cofre.run(0, &["verify", "--deep", "--from", "gone"]).map(drop)
}

/// A set that `disk` has whole and `gone` has nothing of, while the spool has lost an artifact.
fn with_a_file_lost() -> Result<Installation> {
    let cofre = installation()?;
    cofre.configure(&format!("{}{}", cofre.configuration()?, cofre.local("gone")?))?;
    // A directory that is not there: its destination cannot be opened, and the spool keeps what it will need.
    std::fs::remove_dir(cofre.path("gone"))?;
    cofre.run(1, &["run"])?;
    std::fs::create_dir(cofre.path("gone"))?;
    let spool = cofre.path("state/spool");
    let set = std::fs::read_dir(&spool)?.filter_map(Result::ok).map(|entry| entry.file_name().to_string_lossy().into_owned());
    let set = set.into_iter().find(|name| name.starts_with("backup_")).context("the spool kept nothing")?;
    let folder = spool.join(set).join("config");
    let lost = std::fs::read_dir(folder)?.filter_map(Result::ok).find(|entry| entry.file_name().to_string_lossy().contains("files"));
    std::fs::remove_file(lost.context("the spool kept no artifact")?.path())?;
    Ok(cofre)
}

#[test]
fn a_copy_that_can_never_be_whole_is_given_up_and_what_it_left_is_removed() -> Result<()> {
    let cofre = with_a_file_lost()?;
    let resumed = cofre.json(1, &["resume"])?;
    ensure!(resumed.to_string().contains("make a new backup"), "{resumed}");
    ensure!(cofre.sets("gone")?.is_empty(), "something of the set was left");
    ensure!(cofre.json(0, &["resume"])?.as_array().is_some_and(Vec::is_empty), "it is tried again");
    let listed = cofre.json(0, &["list"])?;
    ensure!(listed[0]["copies"][1]["given_up"] == true && listed[0]["copies"][1]["complete"] == false, "{listed}");
    cofre.run(0, &["verify", "--from", "disk", "--deep"])?;
    cofre.run(0, &["run"])?;
    cofre.run(0, &["verify", "--from", "gone"]).map(drop)
}

#[test]
fn where_no_copy_is_whole_what_is_left_of_it_stays() -> Result<()> {
    let cofre = with_a_file_lost()?;
    let text = cofre.configuration()?;
    let (head, gone) = (text.split("[[destination]]").next().unwrap_or_default(), cofre.local("gone")?);
    cofre.configure(&format!("{head}{gone}"))?;
    cofre.run(0, &["catalog", "rebuild", "--from", "gone"])?;
    for _ in 0..2 {
        cofre.run(1, &["resume"])?;
        ensure!(cofre.sets("gone")?.len() == 1, "the only pieces of the set were removed");
    }
    Ok(())
}

#[test]
fn no_secret_and_no_plaintext_is_left_on_any_disk() -> Result<()> {
    let cofre = installation()?;
    let marker = "conteudo-que-ninguem-pode-ler-7d1f";
    std::fs::write(cofre.path("files/marcado"), marker.repeat(50))?;
    cofre.run(0, &["run", "-vv"])?;
    for folder in ["disk", "state"] {
        let output = std::process::Command::new("grep")
            .args(["-r", "-l", "-a", "-e", marker, "-e", cofre_tests::cofre::PASSPHRASE])
            .arg(cofre.path(folder))
            .output()?;
        ensure!(output.stdout.is_empty(), "found in {}", String::from_utf8_lossy(&output.stdout));
    }
    Ok(())
}
