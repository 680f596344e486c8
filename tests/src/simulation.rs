//! Weeks of an unattended server on a faked clock: the default schedule, a machine that is off, a clock change, a full disk, a destination
//! that is away, a mail server that is down, a copy that rots. What must come of it is worked out here from the script alone, and compared
//! with the sets that are there (opened with openssl and tar) and with the mails that arrived.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan as _, ZonedDateTime};
use serde_json::{Value, json};

use crate::cofre::{Installation, PASSPHRASE};
use crate::servers::MariaDb;
use crate::smtp::{PASSWORD, Smtp};

/// Where clocks go forward at 02:00, the very time of the backup.
const ZONE: &str = "America/New_York";
/// The script begins anew after so many days: whole weeks.
const CYCLE: i64 = 63;
/// Longest time between two looks; the real daemon looks all the time.
const STEP: SignedDuration = SignedDuration::from_hours(6);
/// Destinations.
const PLACES: [&str; 2] = ["disk", "nuvem"];
/// Days that the mission keeps.
const KEPT: i64 = 30;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Off,
    DiskFull,
    Away,
    NoMail,
    Rot,
}

/// What goes wrong from when to when, in hours after noon of day 0, a Friday.
const SCRIPT: [(Trouble, i64, i64); 5] = [
    // Two nights and a verification are missed.
    (Trouble::Off, 3 * 24, 5 * 24),
    (Trouble::DiskFull, 10 * 24, 11 * 24),
    (Trouble::Away, 17 * 24, 18 * 24),
    (Trouble::NoMail, 24 * 24, 25 * 24),
    // After the backup of a Wednesday, right before its verification.
    (Trouble::Rot, 32 * 24 + 15, 34 * 24),
];

/// A day, and the event that was told on it.
type Told = (String, String);

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Backups that were due and done.
    pub runs: usize,
    /// Sets that must be at a destination and are not, or do not open.
    pub lost: usize,
    /// Sets that were called done and are not whole at every destination.
    pub falsely_complete: usize,
    /// Mails that arrived.
    pub alerts_sent: usize,
    /// Alerts that had to come and did not.
    pub alerts_missing: usize,
    /// Alerts of a failure on a day without trouble.
    pub alerts_false: usize,
    /// Sets that retention had to remove and did not.
    pub kept_too_long: usize,
    /// What is wrong, in words.
    pub wrong: Vec<String>,
}

impl Outcome {
    /// As `cargo xtask simulate --json` writes it.
    pub fn json(&self) -> Value {
        json!({
            "runs": self.runs,
            "lost": self.lost,
            "falsely_complete": self.falsely_complete,
            "alerts_sent": self.alerts_sent,
            "alerts_missing": self.alerts_missing,
            "alerts_false": self.alerts_false,
            "kept_too_long": self.kept_too_long,
            "wrong": self.wrong,
        })
    }
}

/// Lives through so many days; `observe` hears of each look that did something.
///
/// # Errors
/// When a server cannot be had, or the daemon says something that is none of its answers.
pub fn run(days: i64, observe: impl Fn(&str)) -> Result<Outcome> {
    let mut world = World::new()?;
    let end = world.begin.checked_add(days.days())?;
    while world.now < end {
        world.change()?;
        let next = if world.has(Trouble::Off) { None } else { world.look(&observe)? };
        let step = world.now.checked_add(STEP)?;
        let next = next.filter(|next| *next > world.now).map_or(step.clone(), |next| next.min(step));
        let change = world.next_change()?;
        world.now = change.map_or(next.clone(), |change| change.min(next));
    }
    world.judge()
}

struct World {
    cofre: Installation,
    database: MariaDb,
    smtp: Smtp,
    begin: ZonedDateTime,
    now: ZonedDateTime,
    troubles: Vec<Trouble>,
    /// The file whose byte was changed, and where.
    rotten: Option<(PathBuf, usize)>,
    /// Sets that were made: when, and what is in them.
    made: BTreeMap<String, (ZonedDateTime, String)>,
    cleaned: Option<ZonedDateTime>,
    looks: usize,
    outcome: Outcome,
}

impl World {
    fn new() -> Result<Self> {
        let (smtp, database) = (Smtp::start()?, MariaDb::start()?);
        database.sql("CREATE DATABASE erp; CREATE TABLE erp.visita (momento VARCHAR(40) PRIMARY KEY)")?;
        let cofre = Installation::new("[encryption]\niterations = 10000\n")?;
        std::fs::create_dir(cofre.path("files"))?;
        let mut text = cofre.configuration()?.replace("locale = \"en\"", &format!("locale = \"pt-BR\"\ntime_zone = \"{ZONE}\""));
        text = text.replace("spool_reserve = \"10MiB\"", "spool_reserve = \"10MiB\"\nspool_patience = \"1s\"");
        let socket = database.socket().display().to_string();
        let _ = write!(text, "[[mysql]]\nname = \"main\"\nsocket = \"{socket}\"\nuser = \"root\"\n[[directory]]\npath = \"@DIR@/files\"\n");
        for place in PLACES {
            text += &cofre.local(place)?;
        }
        text += &format!("[[notifier]]\nname = \"admins\"\n{}", smtp.notifier(", to = [\"ti@example.com\"]"));
        cofre.configure(&text)?;
        let begin = first_noon()?;
        Ok(Self {
            cofre,
            database,
            smtp,
            now: begin.clone(),
            begin,
            troubles: Vec::new(),
            rotten: None,
            made: BTreeMap::new(),
            cleaned: None,
            looks: 0,
            outcome: Outcome::default(),
        })
    }

    fn has(&self, trouble: Trouble) -> bool {
        self.troubles.contains(&trouble)
    }

    /// Begin and end of every trouble in the days that are lived through.
    fn script(&self) -> Result<Vec<(Trouble, ZonedDateTime, ZonedDateTime)>> {
        let at = |hours: i64| -> Result<ZonedDateTime> {
            // Days have their own length, and hours of the last one count from noon.
            Ok(self.begin.checked_add((hours / 24).days())?.checked_add((hours % 24).hours())?)
        };
        let mut all = Vec::new();
        for cycle in 0..=6 {
            for (trouble, from, to) in SCRIPT {
                all.push((trouble, at(cycle * CYCLE * 24 + from)?, at(cycle * CYCLE * 24 + to)?));
            }
        }
        Ok(all)
    }

    fn next_change(&self) -> Result<Option<ZonedDateTime>> {
        let times = self.script()?.into_iter().flat_map(|(_, from, to)| [from, to]);
        Ok(times.filter(|at| *at > self.now).min())
    }

    /// Lets begin and end what begins and ends now.
    fn change(&mut self) -> Result<()> {
        for (trouble, from, to) in self.script()? {
            let is_now = from <= self.now && self.now < to;
            match (self.has(trouble), is_now) {
                (false, true) => {
                    self.troubles.push(trouble);
                    self.turn(trouble, true)?;
                }
                (true, false) if to <= self.now && self.now.duration_since(&to) < STEP => {
                    self.troubles.retain(|known| *known != trouble);
                    self.turn(trouble, false)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn turn(&mut self, trouble: Trouble, on: bool) -> Result<()> {
        match (trouble, on) {
            (Trouble::Off, _) => {}
            (Trouble::DiskFull, true) => self.reserve("10MiB", "900000GiB")?,
            (Trouble::DiskFull, false) => self.reserve("900000GiB", "10MiB")?,
            (Trouble::Away, true) => std::fs::rename(self.cofre.path("nuvem"), self.cofre.path("away"))?,
            (Trouble::Away, false) => std::fs::rename(self.cofre.path("away"), self.cofre.path("nuvem"))?,
            (Trouble::NoMail, true) => self.smtp.kill(),
            (Trouble::NoMail, false) => self.smtp.revive()?,
            (Trouble::Rot, true) => {
                let newest = self.cofre.sets("disk")?.pop().context("there is no set")?;
                let file = self.cofre.path("disk").join(newest).join("sql/erp.sql.tar.gz.enc");
                let middle = usize::try_from(std::fs::metadata(&file)?.len())? / 2;
                flip(&file, middle)?;
                self.rotten = Some((file, middle));
            }
            (Trouble::Rot, false) => {
                if let Some((file, at)) = self.rotten.take() {
                    flip(&file, at)?;
                }
            }
        }
        Ok(())
    }

    fn reserve(&self, from: &str, to: &str) -> Result<()> {
        let text = self.cofre.configuration()?;
        ensure!(text.contains(from), "the configuration has no {from}");
        self.cofre.configure(&text.replace(&format!("spool_reserve = \"{from}\""), &format!("spool_reserve = \"{to}\"")))
    }

    /// One look of the daemon; returns when the next job is due.
    fn look(&mut self, observe: &impl Fn(&str)) -> Result<Option<ZonedDateTime>> {
        let marker = self.now.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        std::fs::write(self.cofre.path("files/nota"), &marker)?;
        self.database.sql(&format!("REPLACE INTO erp.visita VALUES ('{marker}')"))?;
        let moment = self.now.with_time_zone(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S").to_string();
        let mut command = self.cofre.command_at(&moment, &["--json", "daemon", "--once"])?;
        let output = command.env("COFRE_T_PASSWORD", PASSWORD).output()?;
        let document: Value = serde_json::from_slice(&output.stdout).with_context(|| format!("{moment}: {output:?}"))?;
        let turns = document["result"]["turns"].as_array().with_context(|| format!("{moment}: no turns: {document}"))?.clone();
        self.looks += 1;
        for turn in &turns {
            let text = |key: &str| turn[key].as_str().unwrap_or_default();
            observe(&format!("{} {} {}: {}", self.now.strftime("%Y-%m-%d %H:%M"), text("action"), text("outcome"), text("detail")));
            match text("action") {
                "run" => self.ran(text("outcome"), text("detail"), &marker)?,
                "prune" => self.cleaned = Some(self.now.clone()),
                _ => {}
            }
        }
        let next = document["result"]["next"].as_str().map(str::parse::<jiff::Timestamp>).transpose()?;
        Ok(next.map(|next| next.to_zoned_datetime(self.now.time_zone().clone())))
    }

    fn ran(&mut self, outcome: &str, set: &str, marker: &str) -> Result<()> {
        let good = matches!(outcome, "done" | "warnings");
        self.outcome.runs += usize::from(good);
        if set.starts_with("backup_") {
            self.made.insert(set.to_owned(), (self.now.clone(), marker.to_owned()));
        }
        if good {
            for place in PLACES {
                if let Err(error) = self.open(place, set, marker) {
                    self.outcome.falsely_complete += 1;
                    self.outcome.wrong.push(format!("{set} was called {outcome} and is not whole at {place}: {error:#}"));
                }
            }
        }
        Ok(())
    }

    /// Opens a set with openssl and tar alone, and finds in it what was there when it was made.
    fn open(&self, place: &str, set: &str, marker: &str) -> Result<()> {
        let script = "set -eo pipefail; cd \"$1\"; sha256sum --quiet -c SHA256SUMS >&2; \
            for file in $(find . -name '*.tar.gz.enc'); do \
            openssl enc -d -aes-256-cbc -pbkdf2 -iter 10000 -md sha256 -pass \"pass:$2\" -in \"$file\" | tar -xzOf -; done";
        let folder = self.cofre.path(place).join(set);
        let output = Command::new("bash").args(["-c", script, "open"]).arg(&folder).arg(PASSPHRASE).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        // Once as the file, once as the row of the table.
        ensure!(text.matches(marker).count() >= 2, "it does not hold what was there at {marker}");
        Ok(())
    }

    /// Compares what is with what must be.
    fn judge(mut self) -> Result<Outcome> {
        let younger_than =
            |at: &ZonedDateTime, than: &ZonedDateTime, days: i64| than.duration_since(at) < SignedDuration::from_hours(24 * days);
        let newest: Vec<String> = self.made.keys().rev().take(2).cloned().collect();
        for place in PLACES {
            let there = self.cofre.sets(place)?;
            for (set, (at, marker)) in &self.made {
                let must_stay = younger_than(at, &self.now, KEPT) || newest.contains(set);
                let must_go = self.cleaned.as_ref().is_some_and(|cleaned| !younger_than(at, cleaned, KEPT)) && !newest.contains(set);
                if must_stay && let Err(error) = self.open(place, set, marker) {
                    self.outcome.lost += 1;
                    self.outcome.wrong.push(format!("{set} is lost at {place}: {error:#}"));
                }
                if must_go && there.contains(set) {
                    self.outcome.kept_too_long += 1;
                    self.outcome.wrong.push(format!("{set} is still at {place}"));
                }
            }
        }
        self.judge_alerts()?;
        Ok(self.outcome)
    }

    fn judge_alerts(&mut self) -> Result<()> {
        let mails = self.smtp.mails()?;
        self.outcome.alerts_sent = mails.len();
        let mut came: Vec<Told> = Vec::new();
        for mail in &mails {
            let event = mail.header("X-Cofre-Event").context("a mail names no event")?.to_owned();
            let date = mail.header("Date").context("a mail has no date")?;
            let date = jiff::fmt::rfc2822::parse(date)?.with_time_zone(self.now.time_zone().clone());
            ensure!(mail.tls && mail.defects.is_empty(), "a mail that is none: {mail:?}");
            came.push((date.date().to_string(), event));
        }
        let (expected, troubled) = self.expected()?;
        for wanted in &expected {
            if !came.contains(wanted) {
                self.outcome.alerts_missing += 1;
                self.outcome.wrong.push(format!("nobody was told of {} on {}", wanted.1, wanted.0));
            }
        }
        for (day, event) in came {
            let is_bad = event.ends_with(".failed") || event == "job.missed" || event == "problem.persists";
            if is_bad && !troubled.contains(&day) {
                self.outcome.alerts_false += 1;
                self.outcome.wrong.push(format!("{event} was told on {day}, when nothing was wrong"));
            }
        }
        Ok(())
    }

    /// What must be told on which day, and the days on which something may be wrong.
    fn expected(&self) -> Result<(Vec<Told>, Vec<String>)> {
        let script = self.script()?;
        let during = |trouble: Trouble, at: &ZonedDateTime| {
            script
                .iter()
                .find(|(known, from, to)| *known == trouble && from <= at && at < to)
                .map(|(_, from, to)| (from.clone(), to.clone()))
        };
        let (mut expected, mut troubled) = (Vec::new(), Vec::new());
        for (trouble, from, to) in &script {
            // That a copy holds again is only known when it was read again.
            let last = if *trouble == Trouble::Rot { to.checked_add(6.days())?.date() } else { to.date() };
            let mut day = from.date();
            while day <= last {
                troubled.push(day.to_string());
                day = day.tomorrow()?;
            }
            // What was missed is made good when the machine is on again.
            if *trouble == Trouble::Off && *to < self.now {
                expected.extend(["run.done", "verify.done"].map(|event| (to.date().to_string(), event.to_owned())));
            }
        }
        let mut day = self.begin.date().tomorrow()?;
        while day < self.now.date() {
            let at = |hour: i8| day.at(hour, 0, 0, 0).to_zoned_datetime(self.now.time_zone().clone());
            let mut tell = |event: &str| expected.push((day.to_string(), event.to_owned()));
            if day.day() == 1 && during(Trouble::Off, &at(6)?).is_none() {
                tell("report.monthly");
            }
            let night = at(2)?;
            match (during(Trouble::Off, &night), during(Trouble::DiskFull, &night).or(during(Trouble::Away, &night))) {
                (None, Some((from, _))) if night.duration_since(&from) < SignedDuration::from_hours(24) => tell("run.failed"),
                (Some(_), _) | (None, Some(_)) => {}
                (None, None) => tell("run.done"),
            }
            match day.weekday() {
                jiff::civil::Weekday::Sunday => tell("prune.done"),
                jiff::civil::Weekday::Wednesday if during(Trouble::Off, &at(3)?).is_some() => {}
                jiff::civil::Weekday::Wednesday if during(Trouble::Rot, &at(3)?).is_some() => tell("verify.failed"),
                jiff::civil::Weekday::Wednesday => tell("verify.done"),
                _ => {}
            }
            day = day.tomorrow()?;
        }
        Ok((expected, troubled))
    }
}

/// Noon of the next Friday from 20 February on: three weeks before clocks change.
fn first_noon() -> Result<ZonedDateTime> {
    let now = ZonedDateTime::now().with_time_zone(TimeZone::get(ZONE)?);
    let mut day = jiff::civil::date(now.year(), 2, 20);
    if day <= now.date() {
        day = jiff::civil::date(now.year() + 1, 2, 20);
    }
    while day.weekday() != jiff::civil::Weekday::Friday {
        day = day.tomorrow()?;
    }
    Ok(day.at(12, 0, 0, 0).to_zoned_datetime(now.time_zone().clone())?)
}

/// Changes one byte, or changes it back.
fn flip(file: &std::path::Path, at: usize) -> Result<()> {
    let mut bytes = std::fs::read(file)?;
    *bytes.get_mut(at).context("the file is shorter than that")? ^= 1;
    Ok(std::fs::write(file, bytes)?)
}
