//! What came of a job, as an alert: the facts that a person is shown, what is wrong, and what helps.
//!
//! A failure and the success after it are about the same problem, so that whoever was told of the one is told of the other.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{DrillReport, DrilledPart, FetchError, JobError, Observation, ProduceError, RepairedCopy, Report, RunReport, VerifiedCopy};
use crate::copy::DestinationOutcome;
use crate::monitor::Transition;
use crate::notify::{Advice, Alert, Event, Problem, Severity};
use crate::pipeline::PipelineError;
use crate::plugin::PluginError;
use crate::retention::{Held, Pruned};
use crate::set::SealError;
use crate::spool::SpoolError;
use crate::text::{Locale, check_in_words, problem_title};

/// Warnings of which an alert has the words.
const WARNINGS_TOLD: usize = 10;

/// Of a backup that made a set, wherever that is.
pub fn of_run(report: &RunReport) -> Alert {
    let problems = problems_of_run(report);
    let (event, title) = match (report.is_good(), report.warnings_total) {
        (false, _) => (Event::RunFailed, format!("backup {} is not whole, or not everywhere", report.set)),
        (true, 0) => (Event::RunDone, format!("backup {} is done", report.set)),
        (true, warnings) => (Event::RunWarnings, format!("backup {} is done with {warnings} warnings", report.set)),
    };
    let warnings = report.warnings.iter().take(WARNINGS_TOLD).map(|warning| format!("{}: {}", warning.subject, warning.message));
    let alert = Alert::new(event, report.finished, &title)
        .about("run")
        .with("set", report.set.as_str())
        .with("started", report.started.to_string())
        .with("finished", report.finished.to_string())
        .with("seconds", seconds_between(report.started, report.finished))
        .with("databases", report.databases)
        .with("directories", report.directories)
        .with("plain", report.plain)
        .with("stored", report.stored)
        .with("places", report.destinations.iter().map(place_of_copy).collect::<Vec<_>>())
        .with_list("missing", report.missing.iter().cloned())
        .with("warnings", report.warnings_total)
        .with_list("warning_list", warnings);
    if problems.is_empty() { alert } else { alert.with_problems(&problems) }
}

fn place_of_copy(outcome: &DestinationOutcome) -> Value {
    json!({ "name": outcome.name, "good": outcome.complete, "bytes": outcome.bytes, "seconds": outcome.seconds })
}

fn problems_of_run(report: &RunReport) -> Vec<Problem> {
    let of_copy = |copy: &DestinationOutcome| {
        let message = copy.error.clone().unwrap_or_else(|| "the copy is not complete".to_owned());
        let advice = match copy.kind {
            Some(kind) => Advice::of_destination(kind, &message),
            None => Advice::of_words(&message),
        };
        Problem { subject: copy.name.clone(), message, advice }
    };
    let of_missing = |name: &String| {
        // A whole server is missing as `SERVER: …`, and the warning is under its name alone.
        let same = |subject: &str| name == subject || name.strip_prefix(subject).is_some_and(|rest| rest.starts_with(": "));
        let about = report.warnings.iter().find(|warning| warning.message.starts_with("NOT IN THE BACKUP") && same(&warning.subject));
        let message = about.map_or_else(|| "it is not in the backup, or not all of it".to_owned(), |warning| warning.message.clone());
        let advice = match Advice::of_words(&message) {
            Advice::Unknown => Advice::Partial,
            known => known,
        };
        Problem { subject: name.clone(), message, advice }
    };
    let copies = report.destinations.iter().filter(|copy| !copy.complete).map(of_copy);
    copies.chain(report.missing.iter().map(of_missing)).collect()
}

/// Of a job that failed as a whole: `event` is [`Event::RunFailed`], [`Event::VerifyFailed`] or whichever is its.
pub fn of_failure(event: Event, error: &JobError, at: Timestamp) -> Alert {
    let message = error.to_string();
    let about = event.name().split_once('.').map_or(event.name(), |(verb, _)| verb);
    Alert::new(event, at, &message).about(about).with_problem(&subject(error), &message, advice(error))
}

/// What an error is about.
fn subject(error: &JobError) -> String {
    match error {
        JobError::Destination { name, .. } => name.clone(),
        JobError::Fetch(
            FetchError::Destination { destination, .. } | FetchError::Incomplete { destination, .. } | FetchError::Seal { destination, .. },
        ) => destination.clone(),
        _ => String::new(),
    }
}

/// What helps against an error.
fn advice(error: &JobError) -> Advice {
    let words = || Advice::of_words(&error.to_string());
    match error {
        JobError::Config(config) if config.problems.iter().any(|problem| problem.key.starts_with("passphrase")) => {
            Advice::PassphraseMissing
        }
        JobError::Config(_) | JobError::Request(_) => Advice::Settings,
        JobError::Spool(spool)
        | JobError::Produce(ProduceError::Spool(spool))
        | JobError::Fetch(FetchError::Room { source: spool, .. }) => of_spool(spool),
        JobError::Plugin(plugin) => of_plugin(plugin),
        JobError::Destination { source, .. } | JobError::Fetch(FetchError::Destination { source, .. }) => {
            Advice::of_destination(source.kind, &source.message)
        }
        JobError::Fetch(FetchError::Seal { source: SealError::Broken, .. }) | JobError::Pipeline(PipelineError::WrongPassphrase) => {
            Advice::PassphraseWrong
        }
        JobError::Hook(_) => Advice::Hook,
        JobError::Differs(_) => Advice::Differs,
        error if error.is_damage() => Advice::Damaged { set: None, good: Vec::new() },
        _ => words(),
    }
}

fn of_spool(error: &SpoolError) -> Advice {
    match error {
        SpoolError::Full { path, free, needed } => {
            Advice::DiskFull { path: path.display().to_string(), free: *free, needed: Some(*needed) }
        }
        SpoolError::Io { path, source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
            Advice::DiskFull { path: path.display().to_string(), free: 0, needed: None }
        }
        SpoolError::Busy { .. } => Advice::Busy,
        SpoolError::Open(_) | SpoolError::Io { .. } => Advice::Unknown,
    }
}

fn of_plugin(error: &PluginError) -> Advice {
    match error {
        PluginError::Read { .. } | PluginError::Pending { .. } | PluginError::Changed { .. } | PluginError::Unsigned { .. } => {
            Advice::PluginApproval
        }
        PluginError::Settings { .. } => Advice::Settings,
        _ => Advice::Plugin,
    }
}

/// Of a verification.
pub fn of_verification(copies: &[VerifiedCopy], at: Timestamp) -> Alert {
    let problems: Vec<Problem> = copies.iter().flat_map(|copy| problems_of_copy(copy, copies)).collect();
    let warned = copies.iter().any(|copy| !copy.warnings.is_empty());
    let bad = copies.iter().filter(|copy| !copy.problems.is_empty()).count();
    let (event, title) = match bad {
        0 => (Event::VerifyDone, format!("{} copies were read back and hold", copies.len())),
        _ => (Event::VerifyFailed, format!("{bad} of {} copies do not hold", copies.len())),
    };
    let place =
        |copy: &VerifiedCopy| json!({ "name": copy.destination, "set": copy.set, "good": copy.problems.is_empty(), "bytes": copy.bytes });
    let warnings =
        copies.iter().flat_map(|copy| copy.warnings.iter().map(|warning| format!("{} · {}: {warning}", copy.set, copy.destination)));
    let mut alert = Alert::new(event, at, &title)
        .about("verify")
        .with("copies", copies.len())
        .with("bytes", copies.iter().map(|copy| copy.bytes).sum::<u64>())
        .with("places", copies.iter().take(WARNINGS_TOLD).map(place).collect::<Vec<_>>())
        .with_list("warning_list", warnings.take(WARNINGS_TOLD));
    if event == Event::VerifyDone && warned {
        alert.severity = Severity::Warning;
    }
    if problems.is_empty() { alert } else { alert.with_problems(&problems) }
}

/// What is wrong with a copy, with the destinations whose copy of the same set held.
fn problems_of_copy(copy: &VerifiedCopy, all: &[VerifiedCopy]) -> Vec<Problem> {
    let good = || {
        all.iter()
            .filter(|other| !copy.set.is_empty() && other.set == copy.set && other.problems.is_empty())
            .map(|other| other.destination.clone())
    };
    let subject = if copy.set.is_empty() { copy.destination.clone() } else { format!("{} · {}", copy.set, copy.destination) };
    let advice = |message: &str| match (copy.damaged, copy.set.is_empty()) {
        (true, _) if message.contains("passphrase is another") => Advice::PassphraseWrong,
        (true, _) => Advice::Damaged { set: Some(copy.set.clone()), good: good().collect() },
        (false, true) if message.contains("no complete set") => Advice::NoSet,
        (false, _) => Advice::of_words(message),
    };
    copy.problems.iter().map(|message| Problem { subject: subject.clone(), message: message.clone(), advice: advice(message) }).collect()
}

/// Of a check, where the look changed something.
pub fn of_check(seen: &Observation, locale: Locale) -> Option<Alert> {
    let (failed, recovered) = match seen.kind {
        "watch" => (Event::WatchFailed, Event::WatchRecovered),
        _ => (Event::CheckFailed, Event::CheckRecovered),
    };
    let (value, detail) = check_in_words(&seen.look, locale);
    let about = |event: Event, title: &str| {
        let alert = Alert::new(event, seen.at, title).about(format!("check:{}", seen.check));
        alert.with("check", seen.check.as_str()).with("subject", seen.kind).with("value", value.as_str())
    };
    match (seen.transition, seen.look.fault()) {
        (Transition::Began | Transition::Changed { .. }, Some(fault)) => {
            let title = problem_title(&seen.check, seen.kind, fault, locale);
            let advice = Advice::of_words(&detail);
            Some(about(failed, &title).with("since", seen.since.to_string()).with_problem(&title, &detail, advice))
        }
        (Transition::Recovered { began, .. }, _) => {
            let title = format!("{} is well again", seen.check);
            Some(about(recovered, &title).with("detail", detail.as_str()).with("since", began.to_string()))
        }
        _ => None,
    }
}

/// Of a rehearsed restore.
pub fn of_drill(report: &DrillReport) -> Alert {
    let (event, title) = if report.good {
        (Event::DrillDone, format!("{} came back whole in {:.0} s", report.set, report.recovery_seconds))
    } else {
        (Event::DrillFailed, format!("not all of {} came back as it was", report.set))
    };
    let warnings = report.warnings.iter().take(WARNINGS_TOLD).map(|warning| format!("{}: {}", warning.subject, warning.message));
    let mut alert = Alert::new(event, report.finished, &title)
        .about("drill")
        .with("set", report.set.as_str())
        .with("started", report.started.to_string())
        .with("finished", report.finished.to_string())
        .with("plain", report.plain)
        .with("stored", report.stored)
        .with("recovery_seconds", report.recovery_seconds)
        .with_list("warning_list", warnings);
    if report.good && !report.is_quiet() {
        alert.severity = Severity::Warning;
    }
    let problem =
        |part: &DrilledPart| Some(Problem { subject: part.artifact.clone(), message: part.problem.clone()?, advice: Advice::Differs });
    let problems: Vec<Problem> = report.parts.iter().filter_map(problem).collect();
    if problems.is_empty() { alert } else { alert.with_problems(&problems) }
}

/// Of a repair.
pub fn of_repair(copies: &[RepairedCopy], at: Timestamp) -> Alert {
    let bad: Vec<&RepairedCopy> = copies.iter().filter(|copy| !copy.is_good()).collect();
    let (event, title) = match bad.len() {
        0 => (Event::RepairDone, format!("{} copies are whole", copies.len())),
        bad => (Event::RepairFailed, format!("{bad} of {} copies could not be made whole", copies.len())),
    };
    let place = |copy: &RepairedCopy| json!({ "name": copy.destination, "set": copy.set, "good": copy.is_good() });
    let alert = Alert::new(event, at, &title)
        .about("repair")
        .with("copies", copies.len())
        .with("places", copies.iter().take(WARNINGS_TOLD).map(place).collect::<Vec<_>>());
    let problem = |copy: &&RepairedCopy| Problem {
        subject: format!("{} · {}", copy.set, copy.destination),
        message: copy.problems.join("; "),
        advice: Advice::of_words(&copy.problems.join("; ")),
    };
    let problems: Vec<Problem> = bad.iter().map(problem).collect();
    if problems.is_empty() { alert } else { alert.with_problems(&problems) }
}

/// Of a clean-up.
pub fn of_prune(places: &[Pruned], at: Timestamp) -> Alert {
    let removed: usize = places.iter().map(Pruned::removed).sum();
    let freed: u64 = places.iter().flat_map(|place| &place.sets).filter(|set| set.removed).map(|set| set.bytes).sum();
    let problems: Vec<Problem> = places.iter().flat_map(problems_of_place).collect();
    let (event, title) = match problems.len() {
        0 => (Event::PruneDone, format!("{removed} copies were removed")),
        wrong => (Event::PruneFailed, format!("{removed} copies were removed, {wrong} things could not be done")),
    };
    let place = |place: &Pruned| {
        let held = matches!(place.held, Some(Held::NotGranted)).then_some("not-granted");
        json!({ "name": place.destination, "good": place.is_clean(), "removed": place.removed(), "held": held })
    };
    let alert = Alert::new(event, at, &title)
        .about("prune")
        .with("removed", removed)
        .with("freed", freed)
        .with("places", places.iter().map(place).collect::<Vec<_>>());
    if problems.is_empty() { alert } else { alert.with_problems(&problems) }
}

fn problems_of_place(place: &Pruned) -> Vec<Problem> {
    let problem = |subject: String, message: &String| Problem { subject, message: message.clone(), advice: of_removal(message) };
    let whole = place.error.iter().map(|error| problem(place.destination.clone(), error));
    let sets = place.sets.iter().filter_map(|set| Some(problem(format!("{} · {}", set.set, place.destination), set.error.as_ref()?)));
    whole.chain(sets).collect()
}

/// What helps where something cannot be removed: a service that lets nobody remove anything says that access is denied.
fn of_removal(message: &str) -> Advice {
    let words = message.to_lowercase();
    let locked = ["object lock", "worm", "retention", "immutable", "access denied", "accessdenied", "permission denied", "forbidden"];
    if locked.iter().any(|word| words.contains(word)) { Advice::AppendOnly } else { Advice::of_words(message) }
}

/// Of the report of a month: what a webhook gets of it. The mail is the report itself.
pub fn of_report(report: &Report, at: Timestamp) -> Alert {
    let figures = serde_json::to_value(&report.monthly).unwrap_or_default();
    let told = ["executions", "successes", "incomplete", "failed", "interrupted", "failures_total"];
    let title = format!("report of {}: {} of {} backups succeeded", report.month, report.monthly.successes, report.monthly.executions);
    let alert = Alert::new(Event::ReportMonthly, at, &title).with("month", report.month.to_string());
    let alert = told.iter().fold(alert, |alert, name| alert.with(name, figures[*name].clone()));
    Alert { severity: report.severity, ..alert }
}

fn seconds_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_second() - from.as_second()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigError, Problem as Mistake};
    use crate::ports::{DestinationError, DestinationErrorKind, Warning};

    const SET: &str = "backup_2026_03_15_02_00_15";

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn copy(name: &str, error: Option<(&str, DestinationErrorKind)>) -> DestinationOutcome {
        DestinationOutcome {
            name: name.into(),
            complete: error.is_none(),
            bytes: 7,
            seconds: 1.5,
            error: error.map(|(message, _)| message.to_owned()),
            kind: error.map(|(_, kind)| kind),
            free: None,
            lost: false,
        }
    }

    fn report(destinations: Vec<DestinationOutcome>, missing: &[&str], warnings: &[(&str, &str)]) -> RunReport {
        RunReport {
            set: SET.into(),
            started: at("2026-03-15T05:00:15Z"),
            finished: at("2026-03-15T05:47:32Z"),
            databases: 15,
            directories: 3,
            plain: 2_000,
            stored: 500,
            missing: missing.iter().map(|&name| name.to_owned()).collect(),
            destinations,
            warnings: warnings
                .iter()
                .map(|(subject, message)| Warning { subject: (*subject).into(), message: (*message).into() })
                .collect(),
            warnings_total: warnings.len() as u64,
        }
    }

    fn advised(alert: &Alert) -> Vec<(String, Advice)> {
        alert.problems().into_iter().map(|problem| (problem.subject, problem.advice)).collect()
    }

    #[test]
    fn a_good_run_carries_what_the_mission_shows_and_no_problem() {
        let alert = of_run(&report(vec![copy("disco", None)], &[], &[]));
        assert_eq!((alert.event, alert.severity, alert.at), (Event::RunDone, Severity::Info, at("2026-03-15T05:47:32Z")));
        let facts = serde_json::json!({
            "set": SET, "started": "2026-03-15T05:00:15Z", "finished": "2026-03-15T05:47:32Z", "seconds": 2_837, "databases": 15,
            "directories": 3, "plain": 2_000, "stored": 500, "warnings": 0,
            "places": [{ "name": "disco", "good": true, "bytes": 7, "seconds": 1.5 }],
        });
        assert_eq!(Value::Object(alert.facts), facts);
        assert_eq!(of_run(&report(vec![copy("disco", None)], &[], &[("a", "b")])).event, Event::RunWarnings);
    }

    #[test]
    fn each_thing_that_failed_in_a_run_gets_its_own_help() {
        let denied = "NOT IN THE BACKUP: cannot connect to database `principal` at x: Access denied for user 'cofre'";
        let alert = of_run(&report(
            vec![
                copy("disco", None),
                copy("nuvem", Some(("cannot copy `a`: 503", DestinationErrorKind::Unavailable))),
                copy("cofre2", Some(("cannot copy `a`: quota", DestinationErrorKind::OutOfSpace))),
            ],
            &["principal: (all schemas)", "empresa1"],
            &[("principal", denied)],
        ));
        assert_eq!((alert.event, alert.severity), (Event::RunFailed, Severity::Critical));
        let known: Vec<_> = advised(&alert);
        let expected = [
            ("nuvem", Advice::Unreachable),
            ("cofre2", Advice::DestinationFull),
            ("principal: (all schemas)", Advice::Credentials),
            ("empresa1", Advice::Partial),
        ];
        assert_eq!(known, expected.map(|(subject, advice)| (subject.to_owned(), advice)));
    }

    #[test]
    fn a_job_that_failed_as_a_whole_gets_the_help_of_its_error() {
        let mistake = |key: &str| {
            let problem = Mistake { line: None, key: key.into(), message: "cannot be read".into() };
            JobError::Config(ConfigError { path: "/etc/cofre/cofre.toml".into(), problems: vec![problem] })
        };
        let full = || SpoolError::Full { path: "/s".into(), free: 1, needed: 2 };
        let place = |kind| JobError::Destination { name: "nuvem".into(), source: DestinationError::fatal(kind, "no") };
        let is_full = Advice::DiskFull { path: "/s".into(), free: 1, needed: Some(2) };
        for (error, advice) in [
            (mistake("passphrase.file"), Advice::PassphraseMissing),
            (mistake("job.schedule"), Advice::Settings),
            (JobError::Spool(full()), is_full.clone()),
            (JobError::Produce(ProduceError::Spool(full())), is_full),
            (JobError::Spool(SpoolError::Busy { holder: "1".into() }), Advice::Busy),
            (place(DestinationErrorKind::AccessDenied), Advice::Credentials),
            (place(DestinationErrorKind::RateLimited), Advice::RateLimited),
            (JobError::Plugin(PluginError::Pending { path: "/p.wasm".into() }), Advice::PluginApproval),
            (JobError::Pipeline(PipelineError::WrongPassphrase), Advice::PassphraseWrong),
            (
                JobError::Failed("cannot write: No space left on device".into()),
                Advice::DiskFull { path: String::new(), free: 0, needed: None },
            ),
            (JobError::Failed("?".into()), Advice::Unknown),
        ] {
            let alert = of_failure(Event::RunFailed, &error, at("2026-03-15T05:00:00Z"));
            assert_eq!(advised(&alert)[0].1, advice, "{error}");
            assert_eq!(alert.problem.as_deref(), Some("run"));
        }
    }

    #[test]
    fn a_damaged_copy_is_named_with_the_one_that_is_still_good() {
        let copy = |destination: &str, problem: Option<&str>| VerifiedCopy {
            set: SET.into(),
            destination: destination.into(),
            problems: problem.map(str::to_owned).into_iter().collect(),
            damaged: problem.is_some(),
            ..VerifiedCopy::default()
        };
        let copies = [copy("disco", None), copy("nuvem", Some("`a` is damaged"))];
        let alert = of_verification(&copies, at("2026-03-18T06:10:00Z"));
        assert_eq!(alert.event, Event::VerifyFailed);
        let advice = Advice::Damaged { set: Some(SET.into()), good: vec!["disco".into()] };
        assert_eq!(advised(&alert), [(format!("{SET} · nuvem"), advice)]);
        let none =
            VerifiedCopy { destination: "nuvem".into(), problems: vec!["there is no complete set".into()], ..VerifiedCopy::default() };
        assert_eq!(advised(&of_verification(&[none], at("2026-03-18T06:10:00Z"))), [("nuvem".to_owned(), Advice::NoSet)]);
        assert_eq!(of_verification(&copies[..1], at("2026-03-18T06:10:00Z")).event, Event::VerifyDone);
    }

    #[test]
    fn a_removal_that_the_service_refuses_is_no_bad_credential() {
        let set = |error: Option<&str>| crate::retention::PrunedSet {
            set: SET.parse().expect("a name"),
            bytes: 9,
            keep: false,
            reasons: Vec::new(),
            removed: error.is_none(),
            error: error.map(str::to_owned),
        };
        let place = |error| Pruned { destination: "nuvem".into(), sets: vec![set(error)], held: None, error: None };
        let done = of_prune(&[place(None)], at("2026-03-15T07:00:00Z"));
        assert_eq!((done.event, &done.facts["removed"], &done.facts["freed"]), (Event::PruneDone, &json!(1), &json!(9)));
        let failed = of_prune(&[place(Some("AccessDenied: Object Lock"))], at("2026-03-15T07:00:00Z"));
        assert_eq!((failed.event, advised(&failed)), (Event::PruneFailed, vec![(format!("{SET} · nuvem"), Advice::AppendOnly)]));
    }
}
