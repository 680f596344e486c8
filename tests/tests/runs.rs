//! What a run promises when something around it is not as it should be: it makes the backup that can be made, loses none that was
//! made, and says what is not as it should be.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cofre_tests::cofre::{Installation, said};
use cofre_tests::sample::Random;

const BROKEN: &str = "[[destination]]\nname = \"nas\"\nplugin = \"local\"\ngrants = { directory = \"@DIR@/nas\", delete = true }\n\
                      retry = { first_pause = \"20ms\", attempts = 2 }\n";

/// One directory with a file, and `destinations`; the second text is the configuration without destinations.
fn installation(destinations: &str) -> Result<(Installation, String)> {
    let cofre = Installation::new("[encryption]\niterations = 10000\n[[directory]]\npath = \"@DIR@/data\"\n")?;
    std::fs::create_dir(cofre.path("data"))?;
    std::fs::write(cofre.path("data/nota"), "nota fiscal 1\n")?;
    let base = cofre.configuration()?;
    cofre.configure(&format!("{base}{destinations}"))?;
    Ok((cofre, base))
}

fn pending(cofre: &Installation) -> Result<u64> {
    cofre.json(0, &["status"])?["pending"].as_u64().context("no number")
}

#[test]
fn a_set_that_nobody_holds_stays_when_its_destination_gets_another_name() -> Result<()> {
    let (cofre, base) = installation(BROKEN)?;
    cofre.run(1, &["run"])?;
    ensure!(pending(&cofre)? == 1, "the set is not in the spool");
    cofre.configure(&format!("{base}{}", BROKEN.replace("\"nas\"\nplugin", "\"novo\"\nplugin")))?;
    cofre.run(1, &["resume"])?;
    ensure!(pending(&cofre)? == 1, "the only copy was removed");
    std::fs::create_dir(cofre.path("nas"))?;
    cofre.run(0, &["resume"])?;
    ensure!(pending(&cofre)? == 0 && cofre.sets("nas")?.len() == 1, "it did not reach the destination under its new name");
    cofre.run(0, &["verify", "--deep"])?;
    Ok(())
}

#[test]
fn an_earlier_set_in_trouble_does_not_keep_a_new_one_from_being_made() -> Result<()> {
    let (cofre, base) = installation(BROKEN)?;
    cofre.run(1, &["run"])?;
    // The earlier set was sealed with another passphrase: nothing can be done with it, and it is none of the new one's business.
    std::fs::write(cofre.path("passphrase"), "outra-frase-de-teste-77\n")?;
    std::fs::create_dir(cofre.path("nas"))?;
    cofre.configure(&format!("{base}{BROKEN}"))?;
    let output = cofre.command(&["run"]).output()?;
    ensure!(output.status.code() == Some(3), "{}", said(&output));
    ensure!(cofre.sets("nas")?.len() == 1 && pending(&cofre)? == 1, "{}", said(&output));
    ensure!(cofre.json(0, &["status"])?["runs"][0]["outcome"] == "warnings", "the run is not remembered with its warnings");
    Ok(())
}

#[test]
fn one_server_that_does_not_answer_takes_nothing_else_with_it() -> Result<()> {
    let (cofre, base) = installation("")?;
    let port = cofre_tests::servers::free_port()?;
    let server = format!("[[mysql]]\nname = \"longe\"\nhost = \"127.0.0.1\"\nport = {port}\nuser = \"backup\"\n");
    cofre.configure(&format!("{base}{server}{}", cofre.local("disk")?))?;
    let text = said(&cofre.run(1, &["run"])?);
    ensure!(text.contains("longe: *") && text.contains("FAILED"), "{text}");
    cofre.run(
        0,
        &["restore", "latest", "--path", &cofre.path("data").display().to_string(), "--to", &cofre.path("out").display().to_string()],
    )?;
    ensure!(cofre.path("out").join(cofre.path("data/nota").strip_prefix("/")?).exists());
    Ok(())
}

#[test]
fn a_destination_that_cannot_be_opened_is_one_failed_copy() -> Result<()> {
    let (cofre, base) = installation("")?;
    let other = "[[destination]]\nname = \"nuvem\"\nplugin = \"/nowhere/at-all.wasm\"\n\
                 [[destination]]\nname = \"outra\"\nplugin = \"local\"\ngrants = { directory = \"@DIR@/disk\" }\nsecrets = { key = { file = \"/nowhere/key\" } }\n";
    cofre.configure(&format!("{base}{}{other}", cofre.local("disk")?))?;
    let text = said(&cofre.run(1, &["run"])?);
    ensure!(text.contains("cofre plugin add") && text.contains("/nowhere/key"), "{text}");
    ensure!(cofre.sets("disk")?.len() == 1, "the good destination has no set: {text}");
    cofre.run(0, &["list"])?;
    Ok(())
}

#[test]
fn a_name_that_means_nothing_is_refused_also_beside_one_that_does() -> Result<()> {
    let (cofre, base) = installation("")?;
    cofre.configure(&format!("{base}{}", cofre.local("disk")?))?;
    let data = cofre.path("data").display().to_string();
    let text = said(&cofre.run(2, &["run", "--only", &data, "--only", "empresa1"])?);
    ensure!(text.contains("`empresa1`"), "{text}");
    ensure!(cofre.sets("disk")?.is_empty());
    cofre.run(0, &["run", "--only", &data])?;
    let manifest = std::fs::read_to_string(cofre.path("disk").join(&cofre.sets("disk")?[0]).join("manifest.json"))?;
    ensure!(serde_json::from_str::<serde_json::Value>(&manifest)?["selection"] == serde_json::json!([data]), "{manifest}");
    Ok(())
}

#[test]
fn what_another_server_wrote_into_the_set_withholds_the_seal() -> Result<()> {
    let (cofre, base) = installation("")?;
    let second = "[[directory]]\npath = \"@DIR@/more\"\n";
    std::fs::create_dir(cofre.path("more"))?;
    std::fs::write(cofre.path("more/a"), Random::new(3).bytes(30_000_000))?;
    let hook = "[[hook]]\nwhen = \"after-source\"\nfor = \"@DIR@/more\"\nshell = \"mkdir -p @DIR@/disk/$COFRE_SET/config && echo x > @DIR@/disk/$COFRE_SET/config/alheio\"\n";
    cofre.configure(&format!("{base}{second}{}{hook}", cofre.local("disk")?))?;
    let text = said(&cofre.run(1, &["run"])?);
    ensure!(text.contains("alheio") && text.contains("another server"), "{text}");
    let set = cofre.sets("disk")?.pop().context("nothing was copied")?;
    ensure!(!cofre.path("disk").join(set).join("manifest.json.seal").exists(), "it was sealed all the same");
    Ok(())
}

#[test]
fn hooks_around_a_source_run_whatever_comes_of_it() -> Result<()> {
    let (cofre, base) = installation("")?;
    let port = cofre_tests::servers::free_port()?;
    let script = cofre.path("hook.sh");
    std::fs::write(&script, "#!/bin/sh\necho \"$COFRE_EVENT $COFRE_SUBJECT $COFRE_OUTCOME\" >> \"$1\"\n")?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
    let hook = |when: &str| format!("[[hook]]\nwhen = \"{when}\"\ncommand = [\"{}\", \"@DIR@/log\"]\n", script.display());
    let server = format!("[[mysql]]\nname = \"longe\"\nhost = \"127.0.0.1\"\nport = {port}\nuser = \"backup\"\n");
    let hooks = [hook("before-source"), hook("after-source"), hook("after-run")].concat();
    cofre.configure(&format!("{base}{server}{}{hooks}", cofre.local("disk")?))?;
    cofre.run(1, &["run"])?;
    let log = std::fs::read_to_string(cofre.path("log"))?;
    let data = cofre.path("data").display().to_string();
    for line in [
        "before-source longe ".to_owned(),
        "after-source longe failed".to_owned(),
        format!("before-source {data} "),
        format!("after-source {data} done"),
        "after-run  failed".to_owned(),
    ] {
        ensure!(log.lines().any(|found| found == line), "`{line}` is not in {log}");
    }
    // Afterwards is afterwards, also when somebody cancels.
    std::fs::remove_file(cofre.path("log"))?;
    let waiting = "[[hook]]\nwhen = \"before-source\"\nshell = \"touch @DIR@/begun; sleep 60\"\n";
    cofre.configure(&format!("{base}{}{}{waiting}", cofre.local("disk")?, hook("after-run")))?;
    let mut child = cofre.command(&["run", "--quiet"]).spawn()?;
    wait_for(&cofre.path("begun"))?;
    let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
    let status = child.wait()?;
    ensure!(status.code() == Some(130), "{status:?}");
    ensure!(std::fs::read_to_string(cofre.path("log"))? == "after-run  failed\n");
    Ok(())
}

fn wait_for(path: &Path) -> Result<()> {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !path.exists() {
        ensure!(std::time::Instant::now() < deadline, "{} did not appear", path.display());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    Ok(())
}

#[test]
fn an_old_set_makes_room_where_others_hold_it_and_never_where_nobody_does() -> Result<()> {
    let (cofre, base) = installation("")?;
    let spool = cofre.path("small");
    std::fs::create_dir(&spool)?;
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=40m,mode=700", "none"]).arg(&spool).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        eprintln!("no right to mount here: left out");
        return Ok(());
    }
    let result = room_is_made(&cofre, &base, &spool);
    let _ = Command::new("umount").arg(&spool).status();
    result
}

fn room_is_made(cofre: &Installation, base: &str, spool: &Path) -> Result<()> {
    std::fs::write(cofre.path("data/noise"), Random::new(5).bytes(16_000_000))?;
    let small = format!("spool_reserve = \"1MiB\"\nspool_dir = \"{}\"\nspool_patience = \"2s\"", spool.display());
    let base = base.replace("spool_reserve = \"10MiB\"", &small);
    // Two destinations that do not answer: the first set is held by nobody.
    cofre.configure(&format!("{base}{BROKEN}"))?;
    cofre.run(1, &["run"])?;
    cofre.run(1, &["run"])?;
    ensure!(pending(cofre)? >= 1, "a set that nobody holds made room");
    let oldest = std::fs::read_dir(spool)?
        .filter_map(Result::ok)
        .map(|entry| entry.file_name())
        .filter(|name| name.to_string_lossy().starts_with("backup_"))
        .min();
    let oldest = oldest.context("the spool is empty")?;
    ensure!(std::fs::read_to_string(spool.join(&oldest).join("state"))? == "sealed\n");
    // With one that works, sets that only the other one lacks go when there is no room.
    cofre.configure(&format!("{base}{BROKEN}{}", cofre.local("disk")?))?;
    cofre.run(1, &["resume"])?;
    for _ in 0..3 {
        let text = said(&cofre.run(1, &["run"])?);
        ensure!(!text.contains("not enough space"), "{text}");
    }
    let sets = cofre.json(0, &["list"])?;
    let states = sets.as_array().context("no list")?.iter().flat_map(|set| set["copies"].as_array().into_iter().flatten());
    let given_up = states.filter(|copy| copy["destination"] == "nas" && copy["given_up"] == true).count();
    ensure!(given_up >= 1, "nothing was given up: {sets}");
    cofre.run(0, &["verify", "all", "--from", "disk"])?;
    Ok(())
}
