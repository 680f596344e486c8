//! The life of a plug-in on the administrator's machine: dropped, shown, approved, changed, signed, removed; and what it may not delete.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cofre_tests::cofre::{Installation, plugins, root, said};
use cofre_tests::{packages, sample};
use serde_json::Value;

/// An installation with a plug-in directory of its own, in which nothing is approved yet.
struct Room(Installation);

impl Room {
    fn new(plugins: &str, rest: &str) -> Result<Self> {
        let cofre = Installation::new("")?;
        std::fs::create_dir(cofre.path("plugins"))?;
        std::fs::create_dir(cofre.path("files"))?;
        std::fs::write(cofre.path("files/one"), "content")?;
        let room = Self(cofre);
        room.configure(plugins, rest)?;
        Ok(room)
    }

    fn configure(&self, plugins: &str, rest: &str) -> Result<()> {
        let head = self.0.configuration()?.split("[plugins]").next().unwrap_or_default().to_owned();
        let directory = "[[directory]]\npath = \"@DIR@/files\"\n";
        self.0.configure(&format!("{head}[plugins]\ndirectory = \"@DIR@/plugins\"\n{plugins}\n{directory}{}{rest}", self.0.local("disk")?))
    }

    fn installed(&self, name: &str) -> PathBuf {
        self.0.path("plugins").join(name).with_extension("wasm")
    }

    /// Copies a component as an administrator would who drops it there.
    fn drop_in(&self, name: &str) -> Result<PathBuf> {
        std::fs::copy(plugins().join(name).with_extension("wasm"), self.installed(name))?;
        Ok(self.installed(name))
    }

    fn answered(&self, answer: &str, arguments: &[&str]) -> Result<Output> {
        let mut child = self.0.command(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        child.stdin.take().context("no input")?.write_all(answer.as_bytes())?;
        Ok(child.wait_with_output()?)
    }

    fn state(&self, name: &str) -> Result<String> {
        let listed = self.0.json(0, &["plugin", "list"])?;
        let found = listed.as_array().and_then(|all| all.iter().find(|one| one["name"] == name)).cloned().unwrap_or_default();
        Ok(found["state"].as_str().unwrap_or("nothing").to_owned())
    }
}

/// The same component with an empty custom section behind it, which changes nothing but its digest.
fn change(file: &Path) -> Result<()> {
    let mut bytes = std::fs::read(file)?;
    bytes.extend_from_slice(&[0, 2, 1, b'x']);
    Ok(std::fs::write(file, bytes)?)
}

fn text(output: &Output, code: i32) -> Result<String> {
    let said = said(output);
    ensure!(output.status.code() == Some(code), "{:?} instead of {code}: {said}", output.status);
    Ok(said)
}

#[test]
fn a_dropped_plug_in_does_nothing_until_it_is_approved_and_a_changed_one_until_it_is_again() -> Result<()> {
    let room = Room::new("", "")?;
    let file = room.drop_in("local")?;
    ensure!(room.state("local")? == "pending");
    let refused = said(&room.0.run(1, &["run"])?);
    ensure!(refused.contains("is not approved yet") && refused.contains(&format!("cofre plugin add {}", file.display())), "{refused}");
    ensure!(room.0.sets("disk")?.is_empty(), "it was used all the same");

    let asked = text(&room.answered("n\n", &["plugin", "add", &file.display().to_string()])?, 1)?;
    ensure!(
        asked.contains("wants") && asked.contains("one directory of this machine") && asked.contains("Approve local 0.1.0?"),
        "{asked}"
    );
    ensure!(room.state("local")? == "pending", "no was taken for yes");
    text(&room.answered("", &["plugin", "add", &file.display().to_string()])?, 1)?;
    text(&room.answered("y\n", &["plugin", "add", &file.display().to_string()])?, 0)?;
    ensure!(room.state("local")? == "approved");
    room.0.run(0, &["run"])?;

    change(&file)?;
    ensure!(room.state("local")? == "changed");
    let refused = said(&room.0.run(1, &["run"])?);
    ensure!(refused.contains("is not the file that was approved") && refused.contains("cofre plugin update local"), "{refused}");
    room.0.run(1, &["verify"])?;
    let shown = said(&room.0.run(0, &["plugin", "update", "local", "--yes"])?);
    ensure!(shown.contains("nothing but the code itself"), "{shown}");
    room.0.run(0, &["verify"])?;

    let refused = said(&room.0.run(2, &["plugin", "remove", "local"])?);
    ensure!(refused.contains("is used by disk"), "{refused}");
    room.0.run(0, &["plugin", "remove", "local", "--force"])?;
    ensure!(!file.exists() && room.state("local")? == "missing");
    Ok(())
}

#[test]
fn what_plug_ins_ask_for_is_told_in_plain_words_and_they_are_put_in_their_place() -> Result<()> {
    let room = Room::new("", "")?;
    let source = room.0.path("downloaded");
    std::fs::create_dir(&source)?;
    for name in ["local", "s3"] {
        std::fs::copy(plugins().join(name).with_extension("wasm"), source.join(format!("{name}-1.0.wasm")))?;
    }
    let one = source.join("s3-1.0.wasm");
    let said_of_one = said(&room.0.run(0, &["plugin", "add", "--yes", &one.display().to_string()])?);
    for part in [
        "s3 0.1.0 (destination)",
        "will talk to",
        "{endpoint}, because: the service",
        "will ask for the secret",
        "session_token (optional)",
    ] {
        ensure!(said_of_one.contains(part), "{part}: {said_of_one}");
    }
    ensure!(std::fs::read(room.installed("s3"))? == std::fs::read(&one)?);
    std::fs::write(source.join("broken.wasm"), "no component")?;
    let all = room.0.path("downloaded").display().to_string();
    let answer: Value = serde_json::from_slice(&room.0.run(1, &["--json", "plugin", "add", "--yes", &all])?.stdout)?;
    ensure!(answer["result"]["refused"][0]["file"].as_str().is_some_and(|file| file.ends_with("broken.wasm")), "{answer}");
    ensure!(answer["result"]["plugins"].as_array().is_some_and(|all| all.iter().all(|one| one["state"] == "approved")), "{answer}");
    ensure!(room.state("local")? == "approved" && room.state("s3")? == "approved");
    room.0.run(0, &["run"])?;
    // Nobody is there to ask.
    room.0.run(2, &["--json", "plugin", "update", "s3", &source.join("local-1.0.wasm").display().to_string()])?;
    change(&one)?;
    room.0.run(2, &["--json", "plugin", "update", "s3", &one.display().to_string()])?;
    Ok(())
}

#[test]
fn a_plug_in_that_is_named_by_its_path_is_pinned_where_it_lies() -> Result<()> {
    let room = Room::new("", "")?;
    room.drop_in("local")?;
    room.0.run(0, &["plugin", "add", "--yes", &room.installed("local").display().to_string()])?;
    let elsewhere = room.0.path("hostile.wasm");
    std::fs::copy(root().join("target/guests/hostile.wasm"), &elsewhere)?;
    room.configure(
        "",
        "[[destination]]\nname = \"own\"\nplugin = \"@DIR@/hostile.wasm\"\nsettings = { mode = \"ok\" }\nretry = { attempts = 1 }\n",
    )?;
    let report = room.0.json(1, &["run"])?;
    ensure!(report["destinations"].to_string().contains("is not approved yet"), "{report}");
    room.0.run(0, &["plugin", "add", "--yes", &elsewhere.display().to_string()])?;
    ensure!(room.state("hostile")? == "approved" && !room.installed("hostile").exists(), "it was copied");
    let checked = room.0.json(0, &["plugin", "doctor"])?;
    ensure!(checked.as_array().is_some_and(|all| all.len() == 2), "{checked}");
    Ok(())
}

#[test]
fn the_doctor_finds_what_is_wrong_with_an_instance() -> Result<()> {
    let s3 = |grants: &str, region: &str| {
        format!(
            "[[destination]]\nname = \"cloud\"\nplugin = \"s3\"\nsettings = {{ bucket = \"bkt\"{region} }}\n\
             secrets = {{ access_key_id = {{ command = [\"echo\", \"k\"] }}, secret_access_key = {{ command = [\"echo\", \"s\"] }} }}\ngrants = {{ {grants} }}\n"
        )
    };
    let room = Room::new("", "")?;
    for name in ["local", "s3"] {
        room.drop_in(name)?;
    }
    room.0.run(0, &["plugin", "add", "--yes", &room.0.path("plugins").display().to_string()])?;
    let findings = |code: i32, arguments: &[&str]| -> Result<String> {
        Ok(room.0.json(code, &[&["plugin", "doctor"], arguments].concat())?.to_string())
    };
    room.configure("", &s3("", ""))?;
    let found = findings(1, &[])?;
    ensure!(found.contains("nothing that it asks for is granted") && found.contains("bkt.s3.us-east-1.amazonaws.com:443"), "{found}");
    room.configure("", &s3("network = [\"bkt.s3.us-east-1.amazonaws.com:443\", \"evil.example:443\"]", ""))?;
    let found = findings(1, &["cloud"])?;
    ensure!(found.contains("it does not ask for \\\"evil.example:443\\\""), "{found}");
    room.configure("", &s3("network = [\"bkt.s3.us-east-1.amazonaws.com:443\"]", ""))?;
    let found = findings(0, &[])?;
    ensure!(found.contains("append-only"), "{found}");
    let found = findings(0, &["disk", "--probe"])?;
    ensure!(found.contains("\"probe\"") && found.contains("granted"), "{found}");
    room.configure("", &s3("network = [\"bkt.s3.us-east-1.amazonaws.com:443\"]", ", bukket = 1"))?;
    ensure!(findings(1, &["cloud"])?.contains("did you mean"));
    change(&room.installed("s3"))?;
    ensure!(findings(1, &["cloud"])?.contains("cofre plugin update s3"));
    Ok(())
}

/// A key of minisign without a password; returns its public line and its identifier.
fn key(room: &Room, name: &str) -> Result<(String, String)> {
    let (public, secret) = (room.0.path(&format!("{name}.pub")), room.0.path(&format!("{name}.key")));
    let output =
        Command::new("minisign").args(["-G", "-W", "-p"]).arg(&public).arg("-s").arg(&secret).output().context("cannot run minisign")?;
    ensure!(output.status.success(), "minisign made no key: {}", said(&output));
    let text = std::fs::read_to_string(public)?;
    let line = text.lines().nth(1).context("no key")?.to_owned();
    // minisign writes it as a number, without the zeros before it.
    let identifier = text.lines().next().and_then(|line| line.split_whitespace().last()).context("no identifier")?;
    Ok((line, format!("{identifier:0>16}")))
}

fn sign(room: &Room, name: &str, file: &Path, more: &[&str]) -> Result<()> {
    let output =
        Command::new("minisign").arg("-S").args(more).arg("-s").arg(room.0.path(&format!("{name}.key"))).arg("-m").arg(file).output()?;
    ensure!(output.status.success(), "minisign did not sign: {}", said(&output));
    Ok(())
}

#[test]
fn only_what_a_trusted_key_has_signed_is_used_where_that_is_required() -> Result<()> {
    packages::ensure(&["minisign"])?;
    let room = Room::new("", "")?;
    let ([ours, theirs], stranger) = ([key(&room, "ours")?, key(&room, "theirs")?], key(&room, "stranger")?);
    let file = room.drop_in("local")?;
    let path = file.display().to_string();
    room.0.run(0, &["plugin", "add", "--yes", &path])?;

    let rule = format!("trusted_keys = [\"{}\", \"{}\"]\nrequire_signed = true", ours.0, theirs.0);
    room.configure(&rule, "")?;
    ensure!(room.state("local")? == "unsigned", "an approval of before is no signature");
    ensure!(said(&room.0.run(1, &["run"])?).contains("it has no signature"));
    sign(&room, "stranger", &file, &[])?;
    let refused = said(&room.0.run(1, &["plugin", "add", "--yes", &path])?);
    ensure!(refused.contains(&stranger.1) && refused.contains("not one of plugins.trusted_keys"), "{refused}");
    sign(&room, "ours", &file, &[])?;
    change(&file)?;
    let refused = said(&room.0.run(1, &["plugin", "add", "--yes", &path])?);
    ensure!(refused.contains("it is the signature of other bytes"), "{refused}");
    for legacy in [&["-l"][..], &[]] {
        sign(&room, "ours", &file, legacy)?;
        let added = said(&room.0.run(0, &["plugin", "add", "--yes", &path])?);
        ensure!(legacy.is_empty() || added.contains(&format!("by the trusted key {}", ours.1)), "{added}");
    }
    room.0.run(0, &["run"])?;
    ensure!(said(&room.0.run(0, &["plugin", "list"])?).contains(&ours.1));
    ensure!(std::fs::read_to_string(room.0.path("plugins.lock"))?.contains(&format!("key = \"{}\"", ours.1)));

    // An update by another key, though a trusted one, is nothing that a script consents to in passing.
    let newer = room.0.path("newer.wasm");
    std::fs::copy(&file, &newer)?;
    change(&newer)?;
    sign(&room, "theirs", &newer, &[])?;
    let newer = newer.display().to_string();
    let shown = text(&room.answered("n\n", &["plugin", "update", "local", &newer])?, 1)?;
    ensure!(shown.contains("SIGNED BY ANOTHER KEY") && shown.contains(&ours.1) && shown.contains(&theirs.1), "{shown}");
    ensure!(said(&room.0.run(2, &["plugin", "update", "local", &newer, "--yes"])?).contains("--new-key"));
    room.0.run(0, &["run"])?;
    room.0.run(0, &["plugin", "update", "local", &newer, "--yes", "--new-key"])?;
    ensure!(std::fs::read_to_string(room.0.path("plugins.lock"))?.contains(&format!("key = \"{}\"", theirs.1)));
    room.0.run(0, &["run"])?;
    // A key that is trusted no longer takes its plug-ins with it.
    room.configure(&format!("trusted_keys = [\"{}\"]\nrequire_signed = true", ours.0), "")?;
    ensure!(said(&room.0.run(1, &["run"])?).contains(&theirs.1));
    Ok(())
}

#[test]
fn without_the_grant_what_a_killed_run_left_stays_and_is_named() -> Result<()> {
    let cofre = Installation::new("[[directory]]\npath = \"@DIR@/first\"\n[[directory]]\npath = \"@DIR@/second\"\n")?;
    for name in ["first", "second"] {
        std::fs::create_dir(cofre.path(name))?;
    }
    std::fs::write(cofre.path("first/one"), "content")?;
    sample::mixed(&cofre.path("second"), 400_000_000, 5)?;
    let append_only = cofre.local("disk")?.replace(", delete = true", "");
    cofre.configure(&format!("{}{append_only}", cofre.configuration()?))?;
    let mut run = cofre.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let deadline = Instant::now() + Duration::from_mins(1);
    let stored = || -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for set in cofre.sets("disk")? {
            files.extend(
                std::fs::read_dir(cofre.path("disk").join(set).join("config")).into_iter().flatten().flatten().map(|entry| entry.path()),
            );
        }
        Ok(files)
    };
    while stored()?.is_empty() {
        if Instant::now() > deadline || run.try_wait()?.is_some() {
            bail!("no artifact was copied before the run ended");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    run.kill()?;
    run.wait()?;
    let left = stored()?;
    let output = cofre.command(&["--json", "resume"]).output()?;
    let warned = text(&output, 3)?;
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    let told = &answer["result"][0]["left"][0];
    ensure!(told["destination"] == "disk" && told["objects"].as_u64() == Some(left.len() as u64), "{answer}");
    ensure!(warned.contains("deletion is not granted") && warned.contains("first"), "{warned}");
    ensure!(stored()? == left, "something was removed");
    // The warning is given once: nothing of the dead set is left on this machine.
    let report = cofre.json(0, &["run"])?;
    ensure!(report["warnings_total"] == 0, "{report}");
    ensure!(left.iter().all(|file| file.exists()));
    Ok(())
}
