//! What must never pass for a good backup: another passphrase, a flipped bit, a cut, a swap, a missing file, a killed run.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cofre_tests::cofre::Installation;
use cofre_tests::compare;
use cofre_tests::sample;

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
    let cofre = installation()?;
    sample::mixed(&cofre.path("files"), 60_000_000, 9)?;
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
        let resumed = cofre.json(0, &["resume"]).with_context(|| format!("round {round}, killed after {wait:?}"))?;
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
