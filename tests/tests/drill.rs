//! Drills: the newest set comes back into a scratch and is what it was, or the drill fails; and nothing of the scratch stays.

use std::io::Write;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cofre_tests::cofre::{Installation, said};
use cofre_tests::sample;
use cofre_tests::servers::MariaDb;
use serde_json::Value;

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server, a directory and a destination; `more` is appended to the configuration.
fn installation(server: &MariaDb, user: &str, more: &str) -> Result<Installation> {
    let cofre = Installation::new("[encryption]\niterations = 10000\n[[directory]]\npath = \"@DIR@/files\"\n")?;
    let source = format!("[[mysql]]\nname = \"main\"\nsocket = \"{}\"\nuser = \"{user}\"\nconnections = 2\n", server.socket().display());
    let text = cofre.configuration()?.replace("locale = \"en\"", "locale = \"en\"\ntime_zone = \"UTC\"");
    cofre.configure(&format!("{text}{}{source}{more}", cofre.local("disk")?))?;
    std::fs::create_dir(cofre.path("files"))?;
    Ok(cofre)
}

/// Schemas at the server that look like a scratch.
fn scratch(server: &MariaDb) -> Result<Vec<String>> {
    Ok(server.sql("SHOW DATABASES LIKE 'cofre\\_drill\\_%'")?.lines().map(str::to_owned).collect())
}

/// Scratch directories in the spool.
fn directories(cofre: &Installation) -> Result<Vec<String>> {
    let folder = cofre.path("state/spool/scratch");
    let entries = std::fs::read_dir(folder)?.filter_map(Result::ok);
    Ok(entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

fn position(server: &MariaDb) -> Result<String> {
    server.sql("SHOW MASTER STATUS")
}

fn wait_for(what: &str, mut ready: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !ready()? {
        ensure!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

#[test]
fn everything_comes_back_and_nothing_of_it_stays_or_runs() -> Result<()> {
    let server = MariaDb::start()?;
    sample::features(&server, "recursos")?;
    sample::tenant(&server, "empresa1", 300)?;
    server.sql("CREATE DATABASE vivo; CREATE TABLE vivo.marcas (de VARCHAR(80)); CREATE EVENT vivo.marca ON SCHEDULE EVERY 1 SECOND DO INSERT INTO vivo.marcas VALUES (DATABASE())")?;
    let cofre = installation(&server, "root", "")?;
    sample::tree(&cofre.path("files"), 3)?;
    cofre.run(3, &["run"])?; // MyISAM and Aria are warnings
    server.sql("SET GLOBAL log_output = 'TABLE', general_log = ON")?;
    let report = cofre.json(0, &["drill"])?;
    server.sql("SET GLOBAL general_log = OFF")?;
    let made = |kind: &str| {
        server.sql(&format!("SELECT COUNT(*) FROM mysql.general_log WHERE argument REGEXP '^CREATE (DEFINER=[^ ]+ )?{kind} '"))
    };
    ensure!(report["good"] == true && report["warnings_total"] == 0 && report["previous"].is_null(), "{report}");
    let parts = report["parts"].as_array().context("no parts")?;
    let part = |name: &str| parts.iter().find(|part| part["name"] == name).with_context(|| format!("nothing of {name}: {report}"));
    ensure!(part("empresa1")?["items"].as_u64().is_some_and(|rows| rows > 300) && part("recursos")?["problem"].is_null(), "{report}");
    ensure!(part(&cofre.path("files").display().to_string())?["items"].as_u64().is_some_and(|entries| entries > 5), "{report}");
    ensure!(report["recovery_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0) && report["stored"].as_u64() > Some(0), "{report}");
    // Triggers were made, and no event: it would have run.
    ensure!(made("TRIGGER")? != "0" && made("EVENT")? == "0");
    ensure!(server.sql("SELECT COUNT(*) FROM vivo.marcas WHERE de <> 'vivo'")? == "0");
    ensure!(scratch(&server)?.is_empty() && directories(&cofre)?.is_empty(), "{:?} {:?}", scratch(&server)?, directories(&cofre)?);
    // The next one tells how long this one took.
    let again = said(&cofre.run(0, &["drill"])?);
    ensure!(again.contains("RESTORE DRILL COMPLETED") && again.contains("The drill before:"), "{again}");
    let status = cofre.json(0, &["status"])?;
    ensure!(status["runs"][0]["verb"] == "drill" && status["runs"][0]["outcome"] == "done", "{status}");
    Ok(())
}

#[test]
fn a_part_can_be_drilled_elsewhere_and_no_replica_hears_of_it() -> Result<()> {
    let server = MariaDb::start()?;
    sample::tenant(&server, "empresa1", 50)?;
    sample::tenant(&server, "empresa2", 50)?;
    let cofre = installation(&server, "root", "")?;
    std::fs::write(cofre.path("files/note"), "uma nota\n")?;
    cofre.run(0, &["run"])?;
    let before = position(&server)?;
    let elsewhere = cofre.path("elsewhere").display().to_string();
    let report = cofre.json(0, &["drill", "--only", "empresa1", "--only", "config", "--into", &elsewhere])?;
    let names: Vec<&str> = report["parts"].as_array().context("no parts")?.iter().filter_map(|part| part["name"].as_str()).collect();
    ensure!(names.len() == 2 && names.contains(&"empresa1"), "{names:?}");
    ensure!(position(&server)? == before, "the drill is in the binary log");
    ensure!(std::fs::read_dir(&elsewhere)?.next().is_none(), "something of the scratch stayed");
    let output = said(&cofre.run(2, &["drill", "--only", "empresa9"])?);
    ensure!(output.contains("empresa9"), "{output}");
    Ok(())
}

#[test]
fn a_set_that_does_not_come_back_as_it_was_fails_the_drill() -> Result<()> {
    let server = MariaDb::start()?;
    sample::tenant(&server, "empresa1", 50)?;
    server.sql("INSTALL SONAME 'ha_archive'; CREATE DATABASE velho; CREATE TABLE velho.notas (x INT) ENGINE=ARCHIVE; INSERT INTO velho.notas VALUES (1), (2)")?;
    let cofre = installation(&server, "root", "")?;
    std::fs::write(cofre.path("files/note"), "uma nota\n")?;
    cofre.run(3, &["run"])?; // ARCHIVE takes no part in a snapshot, which is a warning
    cofre.run(0, &["drill"])?;
    // The server has lost an engine since, and silently takes another one for its tables.
    server.sql("DROP DATABASE velho; UNINSTALL SONAME 'ha_archive'")?;
    cofre.run(0, &["verify", "all", "--deep"])?;
    let report = cofre.json(4, &["drill"])?;
    let problems: Vec<String> =
        report["parts"].as_array().context("no parts")?.iter().filter_map(|part| part["problem"].as_str().map(str::to_owned)).collect();
    ensure!(report["good"] == false && problems.len() == 1 && problems[0].contains("notas"), "{report}");
    let text = said(&cofre.run(4, &["drill"])?);
    ensure!(text.contains("RESTORE DRILL FAILED") && text.contains("velho.sql"), "{text}");
    ensure!(scratch(&server)?.is_empty() && directories(&cofre)?.is_empty(), "the scratch of a failed drill stayed");
    Ok(())
}

#[test]
fn a_damaged_artifact_fails_the_drill_and_the_others_are_tried() -> Result<()> {
    let server = MariaDb::start()?;
    sample::tenant(&server, "empresa1", 50)?;
    let cofre = installation(&server, "root", "")?;
    std::fs::write(cofre.path("files/note"), "uma nota\n")?;
    cofre.run(0, &["run"])?;
    let set = cofre.sets("disk")?.pop().context("no set")?;
    let artifact = cofre.path("disk").join(set).join("sql/empresa1.sql.tar.gz.enc");
    let mut bytes = std::fs::read(&artifact)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&artifact, bytes)?;
    let report = cofre.json(4, &["drill"])?;
    let of = |problem: bool| report["parts"].as_array().into_iter().flatten().filter(|part| part["problem"].is_string() == problem).count();
    ensure!(of(true) == 1 && of(false) >= 2, "{report}");
    Ok(())
}

/// A client that keeps a lock until it is dropped, as a living drill does.
struct Holder(Child);

impl Holder {
    fn start(server: &MariaDb, lock: &str) -> Result<Self> {
        let mut child = server.client().stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        let input = child.stdin.as_mut().context("no input")?;
        writeln!(input, "SELECT GET_LOCK('{lock}', 10);")?;
        input.flush()?;
        let holder = Self(child);
        wait_for("the lock was not had", || Ok(server.sql(&format!("SELECT IS_USED_LOCK('{lock}') IS NOT NULL"))? == "1"))?;
        Ok(holder)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_a_killed_drill_left_goes_and_what_is_not_its_own_stays() -> Result<()> {
    let server = MariaDb::start()?;
    sample::tenant(&server, "empresa1", 20_000)?;
    let cofre = installation(&server, "root", "")?;
    std::fs::write(cofre.path("files/note"), "uma nota\n")?;
    cofre.run(0, &["run"])?;
    let mut killed = cofre.command(&["drill", "--quiet"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let began = wait_for("the drill never loaded anything", || {
        Ok(server.sql("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA LIKE 'cofre\\_drill\\_%\\_empresa1'")? != "0")
    });
    killed.kill()?;
    let status = killed.wait()?;
    began?;
    ensure!(status.code().is_none(), "the drill ended before it was killed");
    let (left, folder) = (scratch(&server)?, directories(&cofre)?);
    ensure!(left.len() == 1 && folder.len() == 1, "{left:?} {folder:?}");
    // It is nobody's data.
    cofre.run(0, &["run"])?;
    let shown = cofre.json(0, &["show", "latest"])?.to_string();
    ensure!(shown.contains("empresa1.sql") && !shown.contains("cofre_drill"), "{shown}");

    server.sql("CREATE DATABASE cofre_drill_00000000_x; CREATE DATABASE cofre_drill_empresa1")?;
    std::fs::create_dir(cofre.path("state/spool/scratch/cofre-drill-meu"))?;
    let _living = Holder::start(&server, "cofre_drill_00000000")?;
    let report = cofre.json(0, &["drill"])?;
    let swept: Vec<&str> = report["swept"].as_array().context("no list")?.iter().filter_map(Value::as_str).collect();
    ensure!(swept.len() == 2 && swept.contains(&left[0].as_str()), "{swept:?}");
    ensure!(scratch(&server)? == ["cofre_drill_00000000_x", "cofre_drill_empresa1"], "{:?}", scratch(&server)?);
    ensure!(directories(&cofre)? == ["cofre-drill-meu"], "{:?}", directories(&cofre)?);
    Ok(())
}

#[test]
fn a_drill_that_is_told_to_stop_removes_its_scratch_first() -> Result<()> {
    let server = MariaDb::start()?;
    sample::tenant(&server, "empresa1", 20_000)?;
    let cofre = installation(&server, "root", "")?;
    std::fs::write(cofre.path("files/note"), "uma nota\n")?;
    cofre.run(0, &["run"])?;
    let mut child = cofre.command(&["drill", "--quiet"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let began = wait_for("the drill never loaded anything", || {
        Ok(server.sql("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA LIKE 'cofre\\_drill\\_%\\_empresa1'")? != "0")
    });
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id())?).context("no process")?;
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    let status = child.wait()?;
    began?;
    ensure!(status.code() == Some(130), "{status}");
    ensure!(scratch(&server)?.is_empty() && directories(&cofre)?.is_empty(), "{:?} {:?}", scratch(&server)?, directories(&cofre)?);
    Ok(())
}

#[test]
fn rights_and_room_that_lack_are_told_before_anything_is_made() -> Result<()> {
    let server = MariaDb::start()?;
    server.sql("CREATE DATABASE loja; CREATE TABLE loja.t (a INT PRIMARY KEY); INSERT INTO loja.t VALUES (1), (2); CREATE USER ensaio@localhost; GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON loja.* TO ensaio@localhost")?;
    let cofre = installation(&server, "root", "grants = false\n")?;
    std::fs::write(cofre.path("files/note"), "uma nota\n")?;
    cofre.run(0, &["run"])?;
    let text = cofre.configuration()?;
    cofre.configure(&text.replace("user = \"root\"", "user = \"ensaio\""))?;
    let refused = said(&cofre.run(1, &["drill"])?);
    ensure!(refused.contains("GRANT ALL ON `cofre\\_drill\\_%`"), "{refused}");
    ensure!(directories(&cofre)?.is_empty());
    server.sql("GRANT ALL ON `cofre\\_drill\\_%`.* TO ensaio@localhost")?;
    cofre.run(0, &["drill"])?;
    cofre.configure(&text.replace("spool_reserve = \"10MiB\"", "spool_reserve = \"900TiB\""))?;
    let refused = said(&cofre.run(1, &["drill"])?);
    ensure!(refused.contains("not enough space"), "{refused}");
    ensure!(scratch(&server)?.is_empty() && directories(&cofre)?.is_empty());
    Ok(())
}

#[test]
fn a_drill_is_scheduled_like_everything_else() -> Result<()> {
    let server = MariaDb::start()?;
    sample::tenant(&server, "empresa1", 20)?;
    let job = "[[job]]\nname = \"ensaio\"\naction = \"drill\"\nschedule = \"0 5 * * SUN\"\nonly = [\"sql\"]\n";
    let cofre = installation(&server, "root", job)?;
    std::fs::write(cofre.path("files/note"), "uma nota\n")?;
    let look = |moment: &str| -> Result<Value> {
        let output = cofre.command_at(moment, &["--json", "daemon", "--once"])?.output()?;
        let document: Value = serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))?;
        Ok(document["result"]["turns"].clone())
    };
    // Saturday, 7 March 2026.
    cofre.run_at("2026-03-07 02:00:00", 0, &["run"])?;
    ensure!(look("2026-03-07 12:00:00")? == Value::Array(Vec::new()));
    let turns = look("2026-03-08 05:00:00")?;
    ensure!(turns[0]["job"] == "ensaio" && turns[0]["action"] == "drill" && turns[0]["outcome"] == "done", "{turns}");
    ensure!(turns[0]["detail"].as_str().is_some_and(|detail| detail.starts_with("backup_2026_03_07_02_00_")), "{turns}");
    // One that fails is a failure of the job.
    let set = cofre.sets("disk")?.pop().context("no set")?;
    std::fs::remove_file(cofre.path("disk").join(set).join("sql/empresa1.sql.tar.gz.enc"))?;
    let turns = look("2026-03-15 05:00:00")?;
    ensure!(turns[0]["outcome"] == "failed" && turns[0]["detail"].as_str().is_some_and(|detail| detail.contains("empresa1")), "{turns}");
    Ok(())
}
