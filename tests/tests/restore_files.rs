//! Which set a restore takes, what a partial one says of itself, and what is refused before anything is downloaded.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cofre_tests::cofre::{Installation, said};
use cofre_tests::compare;
use cofre_tests::sample;

/// Two directories, `one` and `two`, and one destination, `disk`.
fn installation() -> Result<Installation> {
    let cofre =
        Installation::new("[encryption]\niterations = 10000\n[[directory]]\npath = \"@DIR@/one\"\n[[directory]]\npath = \"@DIR@/two\"\n")?;
    cofre.configure(&format!("{}{}", cofre.configuration()?, cofre.local("disk")?))?;
    for name in ["one", "two"] {
        std::fs::create_dir(cofre.path(name))?;
        std::fs::write(cofre.path(name).join("file"), format!("{name}, first"))?;
    }
    Ok(cofre)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Where a directory of the installation lies below the place that it was restored to.
fn restored(cofre: &Installation, to: &str, name: &str) -> Result<PathBuf> {
    Ok(cofre.path(to).join(cofre.path(name).strip_prefix("/")?))
}

fn key_of(cofre: &Installation, set: &str, name: &str) -> Result<PathBuf> {
    let files = std::fs::read_dir(cofre.path("disk").join(set).join("config"))?;
    let found = files.filter_map(|entry| Some(entry.ok()?.path())).find(|path| text(path).contains(&format!("_{name}_")));
    found.with_context(|| format!("{set} has no artifact of {name}"))
}

#[test]
fn the_newest_set_that_holds_what_is_asked_for_is_taken_and_a_newer_one_never_passed_over_in_silence() -> Result<()> {
    let cofre = installation()?;
    let (one, two) = (text(&cofre.path("one")), text(&cofre.path("two")));
    cofre.run(0, &["run"])?;
    // From now on `two` fails every night.
    std::fs::write(cofre.path("one/file"), "one, second")?;
    std::fs::rename(cofre.path("two"), cofre.path("away"))?;
    let failed = said(&cofre.run(1, &["run"])?);
    ensure!(failed.contains("NOT IN THE BACKUP") && failed.contains(&two), "{failed}");
    let sets = cofre.sets("disk")?;
    let (whole, partial) = (&sets[0], &sets[1]);
    let manifest = cofre.json(3, &["show", "latest"])?["manifest"].clone();
    ensure!(manifest["missing"][0]["name"] == two.as_str() && manifest["missing"].as_array().map(Vec::len) == Some(1), "{manifest}");
    let notes = std::fs::read_to_string(cofre.path("disk").join(partial).join("RESTORE.md"))?;
    ensure!(notes.contains(&format!("- **NOT IN THIS SET**: `{two}`")), "{notes}");
    // What the newest set holds comes from it.
    let output = said(&cofre.run(0, &["restore", "latest", "--path", &one, "--to", &text(&cofre.path("a"))])?);
    ensure!(output.contains(partial) && output.contains("disk"), "{output}");
    ensure!(std::fs::read_to_string(restored(&cofre, "a", "one")?.join("file"))? == "one, second");
    // What it does not hold, and everything, from the one before; and that is said.
    for arguments in [vec!["restore", "latest", "--path", &two], vec!["restore", "latest"]] {
        let to = text(tempfile::tempdir()?.path());
        let output = said(&cofre.run(3, &[&arguments[..], &["--to", &to]].concat())?);
        ensure!(output.contains(whole), "{output}");
        ensure!(output.contains(&format!("subject={partial}")) && output.contains("passed over") && output.contains(&two), "{output}");
        std::fs::remove_dir_all(to)?;
    }
    // A set of a selection is no whole set either.
    std::fs::rename(cofre.path("away"), cofre.path("two"))?;
    cofre.run(0, &["run", "--only", &one])?;
    let selected = cofre.sets("disk")?[2].clone();
    let output = said(&cofre.run(3, &["restore", "latest", "--to", &text(&cofre.path("b"))])?);
    ensure!(output.contains(whole) && output.contains(&format!("subject={selected}")) && output.contains("told to take only"), "{output}");
    ensure!(restored(&cofre, "b", "two")?.join("file").exists());
    let output = said(&cofre.run(0, &["restore", "latest", "--path", &one, "--to", &text(&cofre.path("c"))])?);
    ensure!(output.contains(&selected), "{output}");
    // By its name even a partial set is restored, and says what it lacks.
    let output = said(&cofre.run(3, &["restore", partial, "--to", &text(&cofre.path("d"))])?);
    ensure!(output.contains("NOT IN THE BACKUP") && output.contains(&two), "{output}");
    let output = said(&cofre.run(2, &["restore", partial, "--path", &two, "--to", &text(&cofre.path("e"))])?);
    ensure!(output.contains("could not be read"), "{output}");
    // And a partial set does not verify as if it were whole.
    let output = said(&cofre.run(3, &["verify", partial])?);
    ensure!(output.contains("NOT IN THE BACKUP") && output.contains(&two), "{output}");
    let output = said(&cofre.run(3, &["verify", &selected, "--deep"])?);
    ensure!(output.contains("told to take only"), "{output}");
    cofre.run(0, &["verify", whole]).map(drop)
}

#[test]
fn a_newer_set_that_cannot_be_trusted_or_was_never_sealed_is_named() -> Result<()> {
    let cofre = installation()?;
    cofre.run(0, &["run"])?;
    cofre.run(0, &["run"])?;
    cofre.run(0, &["run"])?;
    let sets = cofre.sets("disk")?;
    std::fs::remove_file(cofre.path("disk").join(&sets[2]).join("manifest.json.seal"))?;
    std::fs::write(cofre.path("disk").join(&sets[1]).join("manifest.json"), "{}")?;
    let output = said(&cofre.run(3, &["restore", "latest", "--to", &text(&cofre.path("out"))])?);
    ensure!(output.contains(&format!("from {}", sets[0])), "{output}");
    for newer in &sets[1..] {
        ensure!(output.contains(&format!("subject={newer}")), "{output}");
    }
    ensure!(output.contains("seal does not hold") && output.contains("complete at no destination"), "{output}");
    Ok(())
}

#[test]
fn a_file_that_cannot_be_read_is_missing_by_its_name_and_the_set_is_partial() -> Result<()> {
    // The kernel refuses to tell the speed of the loopback device.
    let source = Path::new("/sys/class/net/lo");
    if std::fs::read(source.join("speed")).is_ok() || !source.join("speed").exists() {
        eprintln!("NOT TESTED: {} can be read here", source.join("speed").display());
        return Ok(());
    }
    let cofre = Installation::new("[encryption]\niterations = 10000\n[[directory]]\npath = \"/sys/class/net/lo\"\n")?;
    cofre.configure(&format!("{}{}", cofre.configuration()?, cofre.local("disk")?))?;
    let report = cofre.json(1, &["run"])?;
    let missing = report["missing"].as_array().cloned().unwrap_or_default();
    ensure!(missing.iter().any(|name| name == "/sys/class/net/lo/speed"), "{report}");
    let manifest = cofre.json(3, &["show", "latest"])?["manifest"].clone();
    let entry = &manifest["missing"][0];
    ensure!(entry["name"] == "/sys/class/net/lo" && entry["parts"].as_u64() == Some(missing.len() as u64), "{manifest}");
    ensure!(!manifest.to_string().contains("speed"), "the names of files are nobody's business: {manifest}");
    ensure!(said(&cofre.run(3, &["verify"])?).contains("NOT IN THE BACKUP"));
    // It is still the newest set, and what it holds is restored from it.
    let output = said(&cofre.run(3, &["restore", "latest", "--path", "/sys/class/net/lo/mtu", "--to", &text(&cofre.path("out"))])?);
    ensure!(output.contains("NOT IN THE BACKUP"), "{output}");
    ensure!(cofre.path("out/sys/class/net/lo/mtu").exists());
    Ok(())
}

#[test]
fn a_mount_that_is_left_out_is_a_warning_of_the_run_and_of_check() -> Result<()> {
    let cofre = installation()?;
    std::fs::create_dir(cofre.path("one/data"))?;
    let mounted = |arguments: &[&str]| -> Result<std::process::Output> {
        let command = cofre.command(arguments);
        let script = "mount -t tmpfs none \"$0\" || exit 77; exec \"$@\"";
        let mut unshare = Command::new("unshare");
        unshare.args(["-m", "sh", "-c", script]).arg(cofre.path("one/data")).arg(command.get_program()).args(command.get_args());
        Ok(unshare.output()?)
    };
    let run = mounted(&["run"])?;
    if run.status.code() == Some(77) || said(&run).contains("unshare failed") {
        eprintln!("NOT TESTED: nothing can be mounted here: {}", said(&run));
        return Ok(());
    }
    let place = text(&cofre.path("one/data"));
    ensure!(run.status.code() == Some(3) && said(&run).contains(&place) && said(&run).contains("tmpfs"), "{:?} {}", run.status, said(&run));
    let check = mounted(&["check"])?;
    ensure!(check.status.code() == Some(0) && said(&check).contains(&format!("{place} (tmpfs)")), "{:?} {}", check.status, said(&check));
    ensure!(!said(&cofre.run(0, &["check"])?).contains("tmpfs"));
    Ok(())
}

#[test]
fn what_is_in_the_way_is_found_before_anything_is_downloaded() -> Result<()> {
    let cofre = installation()?;
    let one = text(&cofre.path("one"));
    cofre.run(0, &["run"])?;
    let set = cofre.sets("disk")?[0].clone();
    let key = key_of(&cofre, &set, "one")?;
    let to = text(&cofre.path("out"));
    cofre.run(0, &["restore", "latest", "--to", &to])?;
    // The artifact is gone: whatever is said of the target now was said without it.
    let kept = std::fs::read(&key)?;
    std::fs::remove_file(&key)?;
    for arguments in [
        vec!["restore", "latest", "--path", &one, "--to", &to],
        vec!["restore", "latest", "--to", &to],
        vec!["restore", "latest", "--to", &to, "--dry-run"],
    ] {
        let output = said(&cofre.run(1, &arguments)?);
        ensure!(output.contains("exists already") && output.contains("--force"), "{output}");
    }
    let output = said(&cofre.run(0, &["restore", "latest", "--path", &one, "--to", &to, "--force", "--dry-run"])?);
    ensure!(output.contains("would be restored") && output.contains("replace what is there") && output.contains(&set), "{output}");
    let inside = text(&cofre.path("one/nowhere"));
    let output = said(&cofre.run(0, &["restore", "latest", "--path", &inside, "--to", &text(&cofre.path("x")), "--dry-run"])?);
    ensure!(output.contains("not looked at: ") && output.contains(&format!("whether `{inside}` is in the archive")), "{output}");
    for (arguments, reason) in [
        (vec!["restore", "latest", "--glob", "/**/file", "--stdout"], "--path"),
        (vec!["restore", "latest", "--schema", "x", "--table", "t", "--to", &to], "--database"),
        (vec!["restore", "latest", "--schema", "x", "--table", "t", "--stdout"], "--database"),
        (vec!["restore", "latest", "--database", "nenhum"], "nenhum"),
        (vec!["restore", "latest", "--path", "relative", "--to", &to], "--path"),
        (vec!["restore", "latest", "--path", "/nowhere", "--to", &to], "/nowhere"),
    ] {
        let output = said(&cofre.run(2, &arguments)?);
        ensure!(output.contains(reason), "{arguments:?}: {output}");
    }
    std::fs::write(&key, kept)?;
    cofre.run(0, &["restore", "latest", "--path", &one, "--to", &to, "--force"])?;
    compare::trees(&cofre.path("one"), &restored(&cofre, "out", "one")?)
}

#[test]
fn a_download_never_takes_the_room_that_runs_need() -> Result<()> {
    let cofre = installation()?;
    cofre.run(0, &["run"])?;
    let text_of = cofre.configuration()?;
    cofre.configure(&text_of.replace("spool_reserve = \"10MiB\"", "spool_reserve = \"900000GiB\""))?;
    let output = said(&cofre.run(1, &["restore", "latest", "--to", &text(&cofre.path("out"))])?);
    ensure!(output.contains("not enough space") && output.contains("reserve"), "{output}");
    ensure!(!cofre.path("out").exists());
    // Only what is decrypted needs room.
    cofre.run(0, &["verify"])?;
    let output = said(&cofre.run(1, &["verify", "--deep"])?);
    ensure!(output.contains("not enough space"), "{output}");
    Ok(())
}

#[test]
fn a_destination_that_is_behind_is_a_warning_of_verify_and_both_are_recorded() -> Result<()> {
    let cofre = installation()?;
    let behind = cofre.local("behind")?;
    cofre.configure(&format!("{}{behind}", cofre.configuration()?))?;
    cofre.run(0, &["run"])?;
    cofre.run(0, &["verify"])?;
    std::fs::rename(cofre.path("behind"), cofre.path("away"))?;
    cofre.run(1, &["run"])?;
    std::fs::rename(cofre.path("away"), cofre.path("behind"))?;
    let (old, new) = (cofre.sets("disk")?[0].clone(), cofre.sets("disk")?[1].clone());
    let copies = cofre.json(3, &["verify"])?;
    ensure!(copies[0]["set"] == new.as_str() && copies[0]["warnings"] == serde_json::json!([]), "{copies}");
    let warned = copies[1]["warnings"][0].as_str().unwrap_or_default().to_owned();
    ensure!(copies[1]["set"] == old.as_str() && warned.contains(&new) && warned.contains("disk"), "{copies}");
    cofre.run(0, &["resume"])?;
    cofre.run(0, &["verify"])?;
    let status = cofre.json(0, &["status"])?;
    let runs: Vec<_> = status["runs"].as_array().into_iter().flatten().map(|run| format!("{} {}", run["verb"], run["outcome"])).collect();
    let newest = ["\"verify\" \"done\"", "\"resume\" \"done\"", "\"verify\" \"warnings\"", "\"run\" \"failed\"", "\"verify\" \"done\""];
    ensure!(runs.starts_with(&newest.map(str::to_owned)), "{runs:?}");
    Ok(())
}

#[test]
fn a_new_machine_restores_with_the_passphrase_and_one_destination_alone() -> Result<()> {
    let burnt = installation()?;
    sample::tree(&burnt.path("one/tree"), 3)?;
    burnt.run(0, &["run"])?;
    let fresh = Installation::new("")?;
    fresh.configure(&format!("{}{}", fresh.configuration()?, fresh.local("disk")?))?;
    let copied = Command::new("cp").arg("-a").arg(burnt.path("disk").join(&burnt.sets("disk")?[0])).arg(fresh.path("disk")).status()?;
    ensure!(copied.success());
    fresh.run(0, &["restore", "latest", "--to", &text(&fresh.path("out"))])?;
    compare::trees(&burnt.path("one"), &fresh.path("out").join(burnt.path("one").strip_prefix("/")?))?;
    // What it takes to build the machine again came along.
    let configuration = std::fs::read_to_string(fresh.path("out/cofre/cofre.toml"))?;
    ensure!(configuration.contains("[[directory]]"), "{configuration}");
    ensure!(fresh.path("out/cofre/plugins.lock").exists() && fresh.path("out/cofre/passport.json").exists());
    Ok(())
}

#[test]
fn a_selected_file_that_is_a_second_name_goes_to_standard_output_too() -> Result<()> {
    let cofre = installation()?;
    std::fs::hard_link(cofre.path("one/file"), cofre.path("one/second"))?;
    cofre.run(0, &["run"])?;
    let output = cofre.run(0, &["restore", "latest", "--path", &text(&cofre.path("one/second")), "--stdout"])?;
    ensure!(output.stdout == b"one, first", "{}", said(&output));
    Ok(())
}
