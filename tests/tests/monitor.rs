//! Checks against what they are about: a database that stops, a port that closes, a service that ends, a certificate that runs out, a disk
//! that fills, a backup that is not made; and a destination that is watched by somebody without a passphrase.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail, ensure};
use cofre_tests::cofre::{Installation, PASSPHRASE};
use cofre_tests::local;
use cofre_tests::page::Page;
use cofre_tests::servers::MariaDb;
use serde_json::Value;

fn installation(rest: &str) -> Result<Installation> {
    let cofre = Installation::new("[encryption]\niterations = 10000\n[[directory]]\npath = \"@DIR@/files\"\n")?;
    let text = cofre.configuration()?.replace("locale = \"en\"", "locale = \"en\"\ntime_zone = \"UTC\"");
    cofre.configure(&format!("{text}{}{rest}", cofre.local("disk")?))?;
    std::fs::create_dir(cofre.path("files"))?;
    std::fs::write(cofre.path("files/note"), "uma nota\n")?;
    Ok(cofre)
}

/// A command that may fail: its code, and the `result` of its JSON.
fn asked(mut command: Command) -> Result<(Option<i32>, Value)> {
    let output = command.output()?;
    let document: Value = serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))?;
    Ok((output.status.code(), document["result"].clone()))
}

/// What `cofre monitor` says of one check: `good`, or its fault.
fn state(cofre: &Installation, check: &str) -> Result<String> {
    let (code, result) = asked(cofre.command(&["--json", "monitor"]))?;
    let found = of(&result, check)?;
    let state = found["fault"].as_str().or(found["verdict"].as_str()).unwrap_or_default().to_owned();
    let bad = result.as_array().into_iter().flatten().any(|one| one["verdict"] == "bad");
    ensure!(code == Some(i32::from(bad)), "the exit code is {code:?}: {result}");
    Ok(state)
}

/// The observation of one check.
fn of<'a>(observations: &'a Value, check: &str) -> Result<&'a Value> {
    let found = observations.as_array().into_iter().flatten().find(|one| one["check"] == check);
    found.with_context(|| format!("no check `{check}` in {observations}"))
}

/// A process that is ended with the test.
struct Owned(Child);

impl Owned {
    /// Tells it to stop, and waits until it has: a hook that it runs ends with it.
    fn stop(&mut self) -> Result<ExitStatus> {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.0.id())?).context("no process")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        Ok(self.0.wait()?)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_database_that_stops_is_told_of_while_a_backup_goes_on() -> Result<()> {
    let mut server = MariaDb::start()?;
    let database = format!("[[mysql]]\nname = \"main\"\nsocket = \"{}\"\nuser = \"root\"\n", server.socket().display());
    let check = "[[check]]\nname = \"db\"\nkind = \"mysql\"\nsource = \"main\"\ninterval = \"1s\"\nfailures = 2\n";
    let job = "[[job]]\nname = \"long\"\naction = \"run\"\nschedule = \"@yearly\"\nat_start = true\n";
    let hook = "[[hook]]\nwhen = \"before-run\"\nshell = \"echo begun > @DIR@/begun; sleep 300\"\ntimeout = \"60m\"\n";
    let cofre = installation(&format!("{database}{check}{job}{hook}"))?;
    ensure!(state(&cofre, "db")? == "good");
    let mut daemon = Owned(cofre.command(&["daemon"]).stdout(Stdio::piped()).spawn()?);
    let mut lines = BufReader::new(daemon.0.stdout.take().context("no output")?).lines();
    let mut told = |wanted: &str| -> Result<()> {
        for line in &mut lines {
            let line = line?;
            ensure!(!line.contains("long (run)"), "the backup ended: {line}");
            if line.contains(wanted) {
                return Ok(());
            }
        }
        bail!("the daemon ended and never said `{wanted}`")
    };
    server.stop();
    ensure!(state(&cofre, "db")? == "unreachable");
    told("❌ The application has no connection to its database: db")?;
    ensure!(cofre.path("begun").exists(), "the backup was to be at work by then");
    server.start_again()?;
    told("✅ db: is well again")?;
    ensure!(state(&cofre, "db")? == "good");
    let status = daemon.stop()?;
    ensure!(status.success(), "{status}");
    Ok(())
}

#[test]
fn a_server_that_takes_connections_and_says_nothing_does_not_answer() -> Result<()> {
    let server = MariaDb::start()?;
    let database = format!("[[mysql]]\nname = \"main\"\nhost = \"127.0.0.1\"\nport = {}\nuser = \"root\"\n", server.port());
    let check = "[[check]]\nname = \"db\"\nkind = \"mysql\"\nsource = \"main\"\ntimeout = \"1s\"\n";
    let cofre = installation(&format!("{database}{check}"))?;
    server.signal(rustix::process::Signal::STOP)?;
    let silent = state(&cofre, "db");
    server.signal(rustix::process::Signal::CONT)?;
    ensure!(silent.as_deref().is_ok_and(|state| state == "silent"), "{silent:?}");
    Ok(())
}

#[test]
fn a_port_that_closes_and_a_service_that_ends_are_seen() -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let cofre = installation("")?;
    let program = cofre.path("cofre-servico");
    std::fs::copy("/bin/sleep", &program)?;
    let mut service = Owned(Command::new(&program).arg("1000").spawn()?);
    let checks = format!(
        "[[check]]\nname = \"porta\"\nkind = \"tcp\"\nhost = \"127.0.0.1\"\nport = {}\n[[check]]\nname = \"processo\"\nkind = \"service\"\nprocess = \"cofre-servico\"\n",
        listener.local_addr()?.port()
    );
    cofre.configure(&format!("{}{checks}", cofre.configuration()?))?;
    ensure!(state(&cofre, "porta")? == "good" && state(&cofre, "processo")? == "good");
    drop(listener);
    ensure!(state(&cofre, "porta")? == "unreachable" && state(&cofre, "processo")? == "good");
    service.0.kill()?;
    service.0.wait()?;
    ensure!(state(&cofre, "processo")? == "inactive");
    Ok(())
}

#[test]
fn a_unit_is_what_systemctl_says_of_it() -> Result<()> {
    let cofre = installation("[[check]]\nname = \"apache\"\nkind = \"service\"\nunit = \"apache2.service\"\n")?;
    let stand_in = cofre.path("bin/systemctl");
    std::fs::create_dir(cofre.path("bin"))?;
    std::fs::write(&stand_in, "#!/bin/sh\n[ \"$4\" = apache2.service ] && cat \"$(dirname \"$0\")/answer\"\n")?;
    std::fs::set_permissions(&stand_in, std::fs::Permissions::from_mode(0o755))?;
    for (answer, wanted) in [
        ("LoadState=loaded\nActiveState=active\nSubState=running\n", "✅  apache"),
        ("LoadState=loaded\nActiveState=failed\nSubState=failed\n", "❌  apache"),
    ] {
        std::fs::write(cofre.path("bin/answer"), answer)?;
        let path = format!("{}:{}", cofre.path("bin").display(), std::env::var("PATH")?);
        let output = cofre.command(&["monitor"]).env("PATH", path).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(said.lines().any(|line| line.starts_with(wanted)), "{answer}: {said}");
    }
    Ok(())
}

/// So many days from now, as faketime reads it.
fn days_from_now(days: u32) -> Result<String> {
    let output = Command::new("date").args(["-u", "-d", &format!("+{days} days"), "+%F %T"]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[test]
fn a_certificate_is_told_of_before_it_ends_and_after() -> Result<()> {
    let page = Page::start()?;
    let check = |name: &str, more: &str| {
        format!("[[check]]\nname = \"{name}\"\nkind = \"http\"\nurl = \"https://localhost:{}/\"\n{more}\n", page.port())
    };
    let trusted = format!("ca_file = \"{}\"\n", page.authority().display());
    let checks = [
        check("site", &trusted),
        check("strict", &format!("{trusted}status = [204]\n")),
        check("stranger", ""),
        check("early", &format!("{trusted}certificate = \"31d\"\n")),
    ];
    let cofre = installation(&checks.concat())?;
    let states = ["site", "strict", "stranger", "early"].map(|name| state(&cofre, name).unwrap_or_else(|error| error.to_string()));
    ensure!(states == ["good", "status", "certificate", "expiring"], "{states:?}");
    for (days, wanted) in [(10, "good"), (17, "expiring"), (40, "certificate")] {
        let (_, result) = asked(cofre.command_at(&days_from_now(days)?, &["--json", "monitor"])?)?;
        let site = of(&result, "site")?;
        ensure!(site["fault"] == wanted || site["verdict"] == wanted, "in {days} days: {site}");
    }
    Ok(())
}

#[test]
fn a_disk_that_fills_is_seen_and_one_that_is_emptied_too() -> Result<()> {
    let cofre = installation(
        "[[check]]\nname = \"full\"\nkind = \"disk\"\npath = \"@DIR@\"\nmin_free = \"900TiB\"\n[[check]]\nname = \"gone\"\nkind = \"disk\"\npath = \"@DIR@/absent\"\n[[check]]\nname = \"small\"\nkind = \"disk\"\npath = \"@DIR@/small\"\nmin_free = \"20%\"\n",
    )?;
    ensure!(state(&cofre, "full")? == "low" && state(&cofre, "gone")? == "unknown");
    std::fs::create_dir(cofre.path("small"))?;
    let Some(mounted) = local::mount(&cofre.path("small"), "1m")? else { return Ok(()) };
    ensure!(state(&cofre, "small")? == "good");
    let file = cofre.path("small/file");
    std::fs::write(&file, vec![1; 900 << 10])?;
    ensure!(state(&cofre, "small")? == "low");
    std::fs::remove_file(&file)?;
    ensure!(state(&cofre, "small")? == "good");
    drop(mounted);
    Ok(())
}

/// What `cofre daemon --once` says at a moment of a check: its transition.
fn transition(cofre: &Installation, moment: &str, check: &str) -> Result<String> {
    let (_, result) = asked(cofre.command_at(moment, &["--json", "daemon", "--once"])?)?;
    let found = result["checks"].as_array().into_iter().flatten().find(|one| one["check"] == check);
    Ok(found.map_or("not due", |one| one["transition"].as_str().unwrap_or_default()).to_owned())
}

#[test]
fn a_backup_that_is_not_made_begins_a_problem_and_the_next_one_ends_it() -> Result<()> {
    let job = "[[job]]\nname = \"never\"\naction = \"run\"\nschedule = \"@yearly\"\n";
    let check = "[[check]]\nname = \"fresh\"\nkind = \"backup\"\nmax_age = \"26h\"\n";
    let cofre = installation(&format!("{job}{check}"))?;
    cofre.run_at("2026-03-01 02:00:00", 0, &["run", "--quiet"])?;
    let at = |moment: &str| transition(&cofre, &format!("2026-03-{moment}:00"), "fresh");
    ensure!(at("02 04:00")? == "none", "25 hours are not too old");
    ensure!(at("02 04:01")? == "not due");
    let looks = [at("02 04:05")?, at("02 04:10")?, at("02 04:15")?, at("02 04:20")?];
    ensure!(looks == ["none", "none", "began", "persists"], "{looks:?}");
    cofre.run_at("2026-03-02 04:30:00", 0, &["run", "--quiet"])?;
    let looks = [at("02 04:35")?, at("02 04:40")?, at("02 04:45")?];
    ensure!(looks == ["persists", "recovered", "none"], "{looks:?}");
    Ok(())
}

#[test]
fn the_schedule_says_how_old_a_backup_may_be() -> Result<()> {
    let cofre = installation("")?;
    let at =
        |moment: &str| -> Result<(Option<i32>, Value)> { asked(cofre.command_at(&format!("2026-03-{moment}"), &["--json", "monitor"])?) };
    let (code, result) = at("01 12:00:00")?;
    let backup = of(&result, "backup:backup")?;
    ensure!(code == Some(0) && backup["facts"]["max_age"] == 26 * 3_600, "{backup}");
    // Nothing was ever made: from the first look of the daemon on somebody waits for it, and the last look was 26 hours ago.
    cofre.configure(&format!(
        "{}[[job]]\nname = \"backup\"\naction = \"run\"\nschedule = \"0 2 * * *\"\ncatch_up = false\n",
        cofre.configuration()?
    ))?;
    transition(&cofre, "2026-03-01 12:00:00", "backup:backup")?;
    let (code, result) = at("02 14:01:00")?;
    ensure!(code == Some(1) && of(&result, "backup:backup")?["fault"] == "no-backup", "{result}");
    Ok(())
}

/// A configuration for another machine: the destination, and nothing of the server's.
fn watcher(server: &Installation, rest: &str) -> Result<()> {
    let text = server.configuration()?;
    let plugins = text.split("[plugins]").nth(1).and_then(|rest| rest.split("[encryption]").next()).context("no plug-ins")?;
    let cache = text.lines().find(|line| line.starts_with("cache_dir")).context("no cache")?;
    let destination = "[[destination]]\nname = \"disk\"\nplugin = \"local\"\ngrants = { directory = \"@DIR@/disk\" }\n";
    server
        .configure(&format!("locale = \"en\"\n[storage]\nstate_dir = \"@DIR@/watcher\"\n{cache}\n[plugins]{plugins}{destination}{rest}"))?;
    std::fs::remove_file(server.path("passphrase"))?;
    std::fs::remove_dir_all(server.path("state"))?;
    Ok(())
}

/// Three nightly sets, and a machine that watches them.
fn watched(rest: &str) -> Result<Installation> {
    let cofre = installation("")?;
    std::fs::write(cofre.path("files/noise"), noise(400 << 10))?;
    for day in ["13", "14", "15"] {
        cofre.run_at(&format!("2026-03-{day} 02:00:00"), 0, &["run", "--quiet"])?;
    }
    watcher(&cofre, rest)?;
    Ok(cofre)
}

/// Bytes that no compressor makes smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    })
    .take(length)
    .collect()
}

/// What `cofre watch` says at a moment: its code, and what it observed.
fn watch(cofre: &Installation, moment: &str) -> Result<(Option<i32>, Value)> {
    let (code, result) = asked(cofre.command_at(moment, &["--json", "watch"])?)?;
    ensure!(!result.to_string().contains(PASSPHRASE));
    Ok((code, result[0].clone()))
}

/// The largest object of the newest set.
fn largest(cofre: &Installation) -> Result<PathBuf> {
    let newest = cofre.sets("disk")?.pop().context("no set")?;
    let folder = cofre.path("disk").join(newest).join("config");
    let mut objects = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        objects.push((entry.metadata()?.len(), entry.path()));
    }
    Ok(objects.into_iter().max().context("no object")?.1)
}

#[test]
fn a_destination_is_watched_without_the_passphrase() -> Result<()> {
    let cofre = watched("")?;
    let (code, seen) = watch(&cofre, "2026-03-15 12:00:00")?;
    ensure!(code == Some(0) && seen["facts"]["sets"] == 3 && seen["verdict"] == "good", "{seen}");
    let (code, seen) = watch(&cofre, "2026-03-16 04:30:00")?;
    ensure!(code == Some(1) && seen["fault"] == "stale", "{seen}");
    // Everything else still wants one.
    let output = cofre.run(2, &["list"])?;
    ensure!(String::from_utf8_lossy(&output.stderr).contains("passphrase"), "{output:?}");
    Ok(())
}

#[test]
fn an_object_that_is_cut_or_gone_is_named() -> Result<()> {
    let cofre = watched("")?;
    let object = largest(&cofre)?;
    let name = object.file_name().context("no name")?.to_string_lossy().into_owned();
    let whole = std::fs::read(&object)?;
    std::fs::write(&object, &whole[..whole.len() - 1])?;
    let (code, seen) = watch(&cofre, "2026-03-15 12:00:00")?;
    let wrong = format!("config/{name} has {} bytes instead of {}", whole.len() - 1, whole.len());
    ensure!(code == Some(1) && seen["fault"] == "damaged" && seen["facts"]["wrong"][0] == wrong.as_str(), "{seen}");
    std::fs::remove_file(&object)?;
    let (_, seen) = watch(&cofre, "2026-03-15 13:00:00")?;
    ensure!(seen["facts"]["wrong"][0] == format!("config/{name} is missing").as_str(), "{seen}");
    let (_, seen) = watch(&cofre, "2026-03-15 14:00:00")?;
    ensure!(seen["transition"] == "began" && seen["standing"] == "problem", "{seen}");
    std::fs::write(&object, &whole)?;
    let (code, seen) = watch(&cofre, "2026-03-15 15:00:00")?;
    ensure!(code == Some(0) && seen["verdict"] == "good" && seen["standing"] == "recovering", "{seen}");
    let (code, seen) = watch(&cofre, "2026-03-15 16:00:00")?;
    ensure!(code == Some(0) && seen["transition"] == "recovered", "{seen}");
    Ok(())
}

#[test]
fn a_set_without_a_seal_or_a_manifest_does_not_count_as_new() -> Result<()> {
    let cofre = watched("[[watch]]\ndestination = \"disk\"\nmin_sets = 3\n")?;
    let newest = cofre.path("disk").join(cofre.sets("disk")?.pop().context("no set")?);
    let (seal, manifest) = (newest.join("manifest.json.seal"), newest.join("manifest.json"));
    let kept = std::fs::read(&seal)?;
    std::fs::remove_file(&seal)?;
    let (_, seen) = watch(&cofre, "2026-03-15 03:00:00")?;
    ensure!(seen["fault"] == "too-few" && seen["facts"]["newest"].as_str().is_some_and(|name| name.contains("_14_")), "{seen}");
    let (_, seen) = watch(&cofre, "2026-03-15 12:00:00")?;
    ensure!(seen["fault"] == "stale", "{seen}");
    std::fs::write(&seal, kept)?;
    std::fs::remove_file(&manifest)?;
    let (_, seen) = watch(&cofre, "2026-03-15 12:00:00")?;
    ensure!(seen["fault"] == "damaged" && seen["facts"]["wrong"][0] == "manifest.json is missing", "{seen}");
    Ok(())
}

#[test]
fn a_backup_of_nothing_is_seen_by_its_size() -> Result<()> {
    let cofre = installation("")?;
    std::fs::write(cofre.path("files/noise"), noise(400 << 10))?;
    cofre.run_at("2026-03-13 02:00:00", 0, &["run", "--quiet"])?;
    cofre.run_at("2026-03-14 02:00:00", 0, &["run", "--quiet"])?;
    std::fs::remove_file(cofre.path("files/noise"))?;
    cofre.run_at("2026-03-15 02:00:00", 0, &["run", "--quiet"])?;
    watcher(&cofre, "")?;
    let (code, seen) = watch(&cofre, "2026-03-15 12:00:00")?;
    ensure!(code == Some(1) && seen["fault"] == "shrunk", "{seen}");
    Ok(())
}

#[test]
fn a_watch_goes_on_until_it_is_told_to_stop() -> Result<()> {
    let cofre = watched("")?;
    let mut command = cofre.command_at("2026-03-15 12:00:00", &["watch", "--every", "1s"])?;
    let mut watch = Owned(command.stdout(Stdio::piped()).spawn()?);
    let mut lines = BufReader::new(watch.0.stdout.take().context("no output")?).lines();
    let line = lines.next().context("nothing was said")??;
    ensure!(line.starts_with("✅  disk  good"), "{line}");
    std::fs::remove_file(largest(&cofre)?)?;
    let line = lines.find(|line| line.as_ref().is_ok_and(|line| line.starts_with("❌  disk  PROBLEM"))).context("it was not seen")??;
    ensure!(line.contains("is missing"), "{line}");
    let status = watch.stop()?;
    ensure!(status.success(), "{status}");
    Ok(())
}
