//! The daemon: the default schedule over weeks of a faked clock, missed and interrupted jobs, a new configuration, and what systemd is told.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cofre_tests::cofre::Installation;
use serde_json::Value;

fn installation(jobs: &str) -> Result<Installation> {
    let cofre = Installation::new("[encryption]\niterations = 10000\n[[directory]]\npath = \"@DIR@/files\"\n")?;
    let text = cofre.configuration()?.replace("locale = \"en\"", "locale = \"en\"\ntime_zone = \"UTC\"");
    cofre.configure(&format!("{text}{}{jobs}", cofre.local("disk")?))?;
    std::fs::create_dir(cofre.path("files"))?;
    std::fs::write(cofre.path("files/note"), "uma nota\n")?;
    Ok(cofre)
}

/// What `cofre daemon --once` did at a moment, `job: outcome`, and when it is to be asked again.
fn look(cofre: &Installation, moment: &str) -> Result<(Vec<String>, Option<String>)> {
    let output = cofre.command_at(moment, &["--json", "daemon", "--once"])?.output()?;
    let document: Value = serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))?;
    let turns = document["result"]["turns"].as_array().with_context(|| format!("no turns: {document}"))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let turns = turns.iter().map(|turn| format!("{}: {}", text(&turn["job"]), text(&turn["outcome"]))).collect();
    // As faketime reads it.
    let next = document["result"]["next"].as_str().map(|next| next.replace('T', " ").trim_end_matches('Z').to_owned());
    Ok((turns, next))
}

#[test]
fn the_default_schedule_runs_by_itself_for_weeks() -> Result<()> {
    let cofre = installation("")?;
    // Sunday, 1 March 2026.
    let mut moment = "2026-03-01 00:00:00".to_owned();
    let mut done = Vec::new();
    while moment.as_str() < "2026-04-10" {
        let (turns, next) = look(&cofre, &moment)?;
        done.extend(turns.into_iter().map(|turn| (moment.clone(), turn)));
        let next = next.context("nothing is due any more")?;
        ensure!(next > moment, "the time does not go on: {next} after {moment}");
        moment = next;
    }
    let at = |hour: &str, turn: &str| done.iter().filter(|(moment, what)| moment.ends_with(hour) && what == turn).count();
    ensure!(at("02:00:00", "backup: done") == 40, "{done:?}");
    ensure!(at("04:00:00", "clean-up: done") == 6 && at("03:00:00", "verification: done") == 6, "{done:?}");
    ensure!(at("06:00:00", "report: done") == 2, "{done:?}");
    ensure!(done.len() == 54, "{done:?}");
    // The last clean-up was on Sunday, 5 April: younger than 30 days at that hour, and what came since.
    let sets = cofre.sets("disk")?;
    ensure!(sets.first().is_some_and(|name| name.starts_with("backup_2026_03_07_")), "{sets:?}");
    ensure!(sets.len() == 34, "{sets:?}");
    cofre.run(0, &["verify", "all"]).map(drop)
}

#[test]
fn what_was_missed_is_made_good_once_or_named() -> Result<()> {
    let job = |name: &str, catch_up: bool| {
        format!("[[job]]\nname = \"{name}\"\naction = \"run\"\nschedule = \"0 2 * * *\"\ncatch_up = {catch_up}\ntags = [\"{name}\"]\n")
    };
    let cofre = installation(&format!("{}{}", job("good", true), job("not", false)))?;
    let (turns, next) = look(&cofre, "2026-03-01 12:00:00")?;
    ensure!(turns.is_empty() && next.as_deref() == Some("2026-03-02 02:00:00"), "a new job was missed: {turns:?}, {next:?}");
    let (turns, next) = look(&cofre, "2026-03-06 09:00:00")?;
    ensure!(turns == ["good: done", "not: missed"], "{turns:?}");
    ensure!(next.as_deref() == Some("2026-03-07 02:00:00"), "{next:?}");
    ensure!(cofre.sets("disk")?.len() == 1, "more than one run was made good");
    // A few minutes late is on time.
    let (turns, _) = look(&cofre, "2026-03-07 02:05:00")?;
    ensure!(turns == ["good: done", "not: done"], "{turns:?}");
    Ok(())
}

#[test]
fn a_job_that_takes_too_long_is_ended_and_says_so() -> Result<()> {
    let hook = "[[hook]]\nwhen = \"before-run\"\nshell = \"sleep 100\"\ntimeout = \"5m\"\n";
    let job = "[[job]]\nname = \"long\"\naction = \"run\"\nschedule = \"@hourly\"\nat_start = true\ncatch_up = false\ntimeout = \"1s\"\n";
    let cofre = installation(&format!("{job}{hook}"))?;
    let started = Instant::now();
    let output = cofre.run(1, &["daemon", "--once"])?;
    ensure!(started.elapsed() < Duration::from_secs(60), "it was not ended");
    ensure!(String::from_utf8_lossy(&output.stdout).contains("timeout of 1 s"), "{output:?}");
    ensure!(cofre.sets("disk")?.is_empty(), "a run that was ended left a set");
    Ok(())
}

#[test]
fn a_backup_that_is_killed_is_made_at_the_next_look_and_not_for_ever() -> Result<()> {
    let job = "[[job]]\nname = \"nightly\"\naction = \"run\"\nschedule = \"0 2 * * *\"\n";
    let hook = "[[hook]]\nwhen = \"before-run\"\nshell = \"echo begun >> @DIR@/begun; sleep 100\"\ntimeout = \"5m\"\n";
    let cofre = installation(&format!("{job}{hook}"))?;
    look(&cofre, "2026-03-01 12:00:00")?;
    for kills in 1..=3 {
        let mut child =
            cofre.command_at("2026-03-02 02:00:00", &["daemon", "--once"])?.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while std::fs::read_to_string(cofre.path("begun")).unwrap_or_default().lines().count() < kills {
            ensure!(Instant::now() < deadline, "the run never began");
            std::thread::yield_now();
        }
        child.kill()?;
        child.wait()?;
    }
    let quick = cofre.configuration()?.replace("; sleep 100", "");
    cofre.configure(&quick)?;
    let (turns, next) = look(&cofre, "2026-03-02 02:10:00")?;
    ensure!(turns == ["nightly: failed"] && next.as_deref() == Some("2026-03-03 02:00:00"), "{turns:?}, {next:?}");
    let (turns, _) = look(&cofre, "2026-03-03 02:00:00")?;
    ensure!(turns == ["nightly: done"], "{turns:?}");
    cofre.run(0, &["verify"]).map(drop)
}

#[test]
fn the_next_times_are_told_in_the_jobs_zone() -> Result<()> {
    let cofre = installation(
        "[[job]]\nname = \"noite\"\naction = \"run\"\nschedule = \"0 2 * * *\"\ntime_zone = \"America/Sao_Paulo\"\nnot_between = [\"01:00-03:30\"]\n",
    )?;
    let output = cofre.run_at("2026-03-01 12:00:00", 0, &["--json", "schedule", "-n", "2"])?;
    let document: Value = serde_json::from_slice(&output.stdout)?;
    let at: Vec<_> = document["result"].as_array().context("no times")?.iter().map(|time| time["at"].clone()).collect();
    ensure!(at == ["2026-03-02T06:30:00Z", "2026-03-03T06:30:00Z"], "{at:?}");
    let text = cofre.run_at("2026-03-01 12:00:00", 0, &["schedule", "-n", "1"])?;
    ensure!(String::from_utf8_lossy(&text.stdout).contains("2026-03-02 03:30:00  America/Sao_Paulo  noite"), "{text:?}");
    Ok(())
}

/// A daemon, ended with the test.
struct Daemon {
    child: Child,
    told: UnixDatagram,
}

impl Daemon {
    fn start(cofre: &Installation) -> Result<Self> {
        let socket = cofre.path("notify.socket");
        let told = UnixDatagram::bind(&socket)?;
        told.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut command = cofre.command(&["daemon", "--verbose"]);
        command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "600000").stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(Self { child: command.spawn()?, told })
    }

    /// Waits until systemd would have been told this.
    fn tells(&self, wanted: &str) -> Result<()> {
        let mut message = [0; 4_096];
        loop {
            let length = self.told.recv(&mut message).with_context(|| format!("systemd was never told {wanted}"))?;
            if String::from_utf8_lossy(&message[..length]).lines().any(|line| line == wanted) {
                return Ok(());
            }
        }
    }

    fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id())?).context("no process")?;
        Ok(rustix::process::kill_process(pid, signal)?)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn systemd_is_told_a_bad_configuration_is_refused_and_a_stop_is_orderly() -> Result<()> {
    let cofre = installation("[[job]]\nname = \"first\"\naction = \"run\"\nschedule = \"@yearly\"\nat_start = true\n")?;
    let mut daemon = Daemon::start(&cofre)?;
    let mut lines = BufReader::new(daemon.child.stdout.take().context("no output")?).lines();
    let mut log = BufReader::new(daemon.child.stderr.take().context("no log")?).lines();
    let mut logged = |wanted: &str| -> Result<()> {
        loop {
            let line = log.next().with_context(|| format!("the log ended without `{wanted}`"))??;
            if line.contains(wanted) {
                return Ok(());
            }
        }
    };
    daemon.tells("READY=1")?;
    daemon.tells("WATCHDOG=1")?;
    let line = lines.next().context("nothing was said")??;
    ensure!(line.starts_with("✅ first (run): backup_"), "{line}");
    let good = cofre.configuration()?;
    cofre.configure(&good.replace("@yearly", "every year"))?;
    daemon.signal(rustix::process::Signal::HUP)?;
    daemon.tells("RELOADING=1")?;
    logged("the old one stays")?;
    cofre.configure(&good.replace("\"first\"", "\"second\""))?;
    daemon.signal(rustix::process::Signal::HUP)?;
    logged("the configuration was read again")?;
    daemon.signal(rustix::process::Signal::TERM)?;
    daemon.tells("STOPPING=1")?;
    let status = daemon.child.wait()?;
    ensure!(status.success(), "{status}");
    Ok(())
}
