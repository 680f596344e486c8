//! What the report of a month counts, and how.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Forecast, Month, Sample, forecast};
use crate::catalog::{PastDelivery, PastRun, RunResult};
use crate::trend::steady_slope;

/// Failures that are told one by one.
const FAILURES_TOLD: usize = 30;
/// Days that the growth must be of before a month's is told.
const GROWTH_DAYS_MIN: f64 = 14.0;
/// A month as growth counts it.
const MONTH_DAYS: f64 = 30.0;

/// What the catalogue remembers, for as long as the plots go back, and what is configured now.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// All verbs, oldest first.
    pub runs: Vec<PastRun>,
    /// Copies, oldest first.
    pub deliveries: Vec<PastDelivery>,
    /// Names of the destinations.
    pub destinations: Vec<String>,
    /// Whether a run is active: the newest that has no end is no dead one.
    pub active: bool,
}

/// The figures of a month. `docs/reports.md` tells how each is counted.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Monthly {
    /// `2026-10`.
    pub month: String,
    /// Begin of the month, RFC 3339.
    pub from: String,
    /// Begin of the next, RFC 3339.
    pub to: String,
    /// Time zone of the two.
    pub time_zone: String,
    /// Backups that were begun and have ended, in whatever way.
    pub executions: u64,
    /// Of these: everything is at every destination, with or without warnings.
    pub successes: u64,
    /// Of the successes: with warnings.
    pub with_warnings: u64,
    /// Of the executions: a set was made that is not whole, or that a destination did not take.
    pub incomplete: u64,
    /// Of the executions: no set was made.
    pub failed: u64,
    /// Of the executions: killed, so that nobody knows.
    pub interrupted: u64,
    /// Share of the successes, 0 to 1; absent without executions.
    pub success_rate: Option<f64>,
    /// Mean bytes before compression of the successes that took everything.
    pub mean_plain: Option<u64>,
    /// Mean bytes stored, of the same.
    pub mean_stored: Option<u64>,
    /// Mean seconds, of the same.
    pub mean_seconds: Option<f64>,
    /// Share that compression saved, 0 to 1, of the same.
    pub saving: Option<f64>,
    /// Bytes before compression that a backup grows by in 30 days, over the last year; absent with too little to tell.
    pub growth: Option<f64>,
    /// Destinations.
    pub destinations: Vec<DestinationMonth>,
    /// Verifications.
    pub verifications: Rehearsals,
    /// Restore drills.
    pub drills: Rehearsals,
    /// The first failures.
    pub failures: Vec<Failure>,
    /// How many there were.
    pub failures_total: u64,
    /// The last year day by day, for the plots; days without a success are not in it.
    pub days: Vec<Day>,
}

/// One destination in a month.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DestinationMonth {
    /// Its name.
    pub name: String,
    /// Executions while it was a destination.
    pub executions: u64,
    /// Sets that are whole there, of those executions.
    pub complete: u64,
    /// Of these: completed by a later attempt.
    pub later: u64,
    /// Bytes that went there.
    pub bytes: u64,
    /// Bytes a second while sets went there; absent where nothing did.
    pub bytes_per_second: Option<f64>,
    /// Bytes that were free when it was last asked, where it says.
    pub free: Option<u64>,
    /// When it is full.
    pub forecast: Forecast,
}

/// Verifications or drills of a month.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Rehearsals {
    /// How many held.
    pub good: u64,
    /// How many did not.
    pub failed: u64,
    /// What the last said, where it said something.
    pub last: Option<String>,
}

/// One failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Failure {
    /// When it began, RFC 3339.
    pub at: String,
    /// `run`, `verify`, `prune`, `drill`, `repair`.
    pub verb: String,
    /// What went wrong; empty where it was killed.
    pub detail: String,
}

/// One day of successes that took everything.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Day {
    /// `2026-10-31`.
    pub day: String,
    /// Mean bytes before compression.
    pub plain: f64,
    /// Mean bytes stored.
    pub stored: f64,
    /// Mean seconds.
    pub seconds: f64,
    /// Bytes a second to each destination.
    pub rates: BTreeMap<String, f64>,
}

/// How a backup ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Good,
    Incomplete,
    Failed,
    Interrupted,
}

/// A backup that has ended.
struct Execution<'a> {
    run: &'a PastRun,
    ending: Ending,
}

impl Execution<'_> {
    /// What it made, where it was good and took everything.
    fn whole(&self) -> Option<(RunResult, f64)> {
        let result = self.run.result.filter(|result| self.ending == Ending::Good && !result.selected)?;
        let seconds = self.run.finished?.duration_since(self.run.started).as_secs_f64();
        Some((result, seconds))
    }
}

impl Monthly {
    /// The figures of `month`; `history` holds at least the month, and for the plots the year before its end.
    pub fn of(month: Month, zone: &TimeZone, history: &History) -> Self {
        let (from, to) = month.range(zone);
        let all = executions(history);
        let inside = |at: Timestamp| (from..to).contains(&at);
        let executions: Vec<&Execution<'_>> = all.iter().filter(|execution| inside(execution.run.started)).collect();
        let count = |ending| executions.iter().filter(|execution| execution.ending == ending).count() as u64;
        let good = count(Ending::Good);
        let whole: Vec<(RunResult, f64)> = executions.iter().filter_map(|execution| execution.whole()).collect();
        let plain: u64 = whole.iter().map(|(result, _)| result.plain).sum();
        let stored: u64 = whole.iter().map(|(result, _)| result.stored).sum();
        let mean = |sum: u64| sum.checked_div(whole.len() as u64);
        let month_runs = || history.runs.iter().filter(|run| inside(run.started));
        let failures: Vec<Failure> = failures(&executions, month_runs());
        let warned = |execution: &&&Execution<'_>| execution.ending == Ending::Good && execution.run.outcome.as_deref() == Some("warnings");
        Self {
            month: month.to_string(),
            from: from.to_string(),
            to: to.to_string(),
            time_zone: zone.iana_name().unwrap_or("local").to_owned(),
            executions: executions.len() as u64,
            successes: good,
            with_warnings: executions.iter().filter(warned).count() as u64,
            incomplete: count(Ending::Incomplete),
            failed: count(Ending::Failed),
            interrupted: count(Ending::Interrupted),
            success_rate: (!executions.is_empty()).then(|| good as f64 / executions.len() as f64),
            mean_plain: mean(plain),
            mean_stored: mean(stored),
            mean_seconds: (!whole.is_empty()).then(|| whole.iter().map(|(_, seconds)| seconds).sum::<f64>() / whole.len() as f64),
            saving: (plain > 0).then(|| 1.0 - stored as f64 / plain as f64),
            growth: growth(&all),
            destinations: destinations(history, &executions, (from, to)),
            verifications: rehearsals(month_runs(), "verify"),
            drills: rehearsals(month_runs(), "drill"),
            failures_total: failures.len() as u64,
            failures: failures.into_iter().take(FAILURES_TOLD).collect(),
            days: days(&all, &history.deliveries, zone),
        }
    }
}

fn executions(history: &History) -> Vec<Execution<'_>> {
    let runs = || history.runs.iter().filter(|run| run.verb == "run");
    let newest_open = runs().rfind(|run| run.finished.is_none()).map(|run| run.started);
    let is_active = |run: &PastRun| history.active && run.finished.is_none() && Some(run.started) == newest_open;
    let ending = |run: &PastRun| match (run.outcome.as_deref(), run.result) {
        (Some("done" | "warnings"), _) => Ending::Good,
        (Some(_), Some(_)) => Ending::Incomplete,
        (Some(_), None) => Ending::Failed,
        (None, _) => Ending::Interrupted,
    };
    runs().filter(|run| !is_active(run)).map(|run| Execution { run, ending: ending(run) }).collect()
}

fn failures<'a>(executions: &[&Execution<'_>], all: impl Iterator<Item = &'a PastRun>) -> Vec<Failure> {
    let failure = |run: &PastRun| Failure { at: run.started.to_string(), verb: run.verb.clone(), detail: run.detail.clone() };
    let of_runs = executions.iter().filter(|execution| execution.ending != Ending::Good).map(|execution| failure(execution.run));
    let others =
        all.filter(|run| matches!(run.verb.as_str(), "verify" | "prune" | "drill" | "repair") && run.outcome.as_deref() == Some("failed"));
    let mut failures: Vec<Failure> = of_runs.chain(others.map(failure)).collect();
    failures.sort_by(|one, other| one.at.cmp(&other.at));
    failures
}

fn rehearsals<'a>(runs: impl Iterator<Item = &'a PastRun>, verb: &str) -> Rehearsals {
    let mut counted = Rehearsals::default();
    for run in runs.filter(|run| run.verb == verb) {
        match run.outcome.as_deref() {
            Some("done" | "warnings") => counted.good += 1,
            Some(_) => counted.failed += 1,
            // Still going on, or killed: it proved nothing.
            None => continue,
        }
        counted.last = Some(run.detail.clone()).filter(|detail| !detail.is_empty());
    }
    counted
}

fn destinations(history: &History, executions: &[&Execution<'_>], (from, to): (Timestamp, Timestamp)) -> Vec<DestinationMonth> {
    let mut names = history.destinations.clone();
    let in_month = || history.deliveries.iter().filter(|past| (from..to).contains(&past.at));
    for past in in_month() {
        if !names.contains(&past.delivery.destination) {
            names.push(past.delivery.destination.clone());
        }
    }
    names.into_iter().map(|name| destination(&name, history, executions, to)).collect()
}

fn destination(name: &str, history: &History, executions: &[&Execution<'_>], to: Timestamp) -> DestinationMonth {
    let own: Vec<&PastDelivery> = history.deliveries.iter().filter(|past| past.delivery.destination == name).collect();
    let of = |run: &PastRun| own.iter().find(|past| Some(&past.set) == run.set.as_ref());
    // What was begun before it was a destination, or after it was none any more, it did not fail to take.
    let begins = own.first().map(|past| past.set.as_str());
    let ends = own.last().map(|past| past.set.as_str()).filter(|_| !history.destinations.iter().any(|known| known == name));
    let concerned = |run: &PastRun| {
        let Some(set) = run.set.as_deref() else { return begins.is_some() };
        begins.is_some_and(|begins| set >= begins) && ends.is_none_or(|ends| set <= ends)
    };
    let concerned: Vec<&PastRun> = executions.iter().map(|execution| execution.run).filter(|run| concerned(run)).collect();
    let taken: Vec<&PastDelivery> = concerned.iter().filter_map(|run| of(run).copied()).collect();
    let complete = || taken.iter().filter(|past| past.delivery.complete);
    let bytes: u64 = taken.iter().map(|past| past.delivery.bytes).sum();
    let seconds: f64 = taken.iter().map(|past| past.delivery.seconds).sum();
    let samples: Vec<Sample> =
        own.iter().filter(|past| past.at < to).filter_map(|past| Some(Sample { at: past.at, free: past.delivery.free? })).collect();
    DestinationMonth {
        name: name.to_owned(),
        executions: concerned.len() as u64,
        complete: complete().count() as u64,
        later: complete().filter(|past| past.attempts > 1).count() as u64,
        bytes,
        bytes_per_second: (bytes > 0 && seconds > 0.0).then(|| bytes as f64 / seconds),
        free: samples.last().map(|sample| sample.free),
        forecast: forecast(&samples),
    }
}

/// Bytes that a backup grows by in 30 days.
fn growth(all: &[Execution<'_>]) -> Option<f64> {
    let points: Vec<(f64, f64)> = all
        .iter()
        .filter_map(|execution| Some((execution.run.started.as_second() as f64 / 86_400.0, execution.whole()?.0.plain as f64)))
        .collect();
    let span = points.last()?.0 - points.first()?.0;
    // Of a year of hourly backups, as many as a line needs.
    let step = points.len().div_ceil(400).max(1);
    let points: Vec<(f64, f64)> = points.into_iter().step_by(step).collect();
    steady_slope(&points).filter(|_| span >= GROWTH_DAYS_MIN).map(|slope| slope * MONTH_DAYS)
}

/// Sums of a day.
#[derive(Default)]
struct Sums {
    count: f64,
    plain: f64,
    stored: f64,
    seconds: f64,
    sent: BTreeMap<String, (f64, f64)>,
}

fn days(all: &[Execution<'_>], deliveries: &[PastDelivery], zone: &TimeZone) -> Vec<Day> {
    let mut sums: BTreeMap<Date, Sums> = BTreeMap::new();
    let mut of_set: BTreeMap<&str, Vec<&PastDelivery>> = BTreeMap::new();
    for past in deliveries.iter().filter(|past| past.delivery.bytes > 0) {
        of_set.entry(&past.set).or_default().push(past);
    }
    for execution in all {
        let Some((result, seconds)) = execution.whole() else { continue };
        let day = sums.entry(execution.run.started.to_zoned_datetime(zone.clone()).date()).or_default();
        day.count += 1.0;
        day.plain += result.plain as f64;
        day.stored += result.stored as f64;
        day.seconds += seconds;
        for past in execution.run.set.as_deref().and_then(|set| of_set.get(set)).into_iter().flatten() {
            let sent = day.sent.entry(past.delivery.destination.clone()).or_default();
            *sent = (sent.0 + past.delivery.bytes as f64, sent.1 + past.delivery.seconds);
        }
    }
    let day = |(day, sums): (Date, Sums)| Day {
        day: day.to_string(),
        plain: sums.plain / sums.count,
        stored: sums.stored / sums.count,
        seconds: sums.seconds / sums.count,
        rates: sums
            .sent
            .into_iter()
            .filter(|(_, (_, seconds))| *seconds > 0.0)
            .map(|(name, (bytes, seconds))| (name, bytes / seconds))
            .collect(),
    };
    sums.into_iter().map(day).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::Delivery;

    fn zone() -> TimeZone {
        TimeZone::get("America/Sao_Paulo").expect("a zone")
    }

    fn run(at: &str, outcome: Option<&str>, result: Option<RunResult>) -> PastRun {
        let started: Timestamp = format!("{at}-03:00").parse().expect("a time");
        PastRun {
            verb: "run".into(),
            set: Some(format!("backup_{}", at.replace(['-', 'T', ':'], "_"))),
            started,
            finished: outcome.map(|_| Timestamp::from_second(started.as_second() + 600).expect("a time")),
            outcome: outcome.map(str::to_owned),
            detail: if outcome == Some("failed") { "it broke".into() } else { String::new() },
            result,
        }
    }

    fn made(plain: u64, stored: u64) -> RunResult {
        RunResult { plain, stored, ..RunResult::default() }
    }

    fn delivery(run: &PastRun, destination: &str, complete: bool) -> PastDelivery {
        let delivery =
            Delivery { destination: destination.into(), complete, bytes: 100, seconds: 2.0, free: Some(1_000), detail: String::new() };
        PastDelivery { set: run.set.clone().expect("a set"), at: run.finished.unwrap_or(run.started), attempts: 1, delivery }
    }

    fn of(month: &str, history: &History) -> Monthly {
        Monthly::of(month.parse().expect("a month"), &zone(), history)
    }

    #[test]
    fn what_failed_is_in_no_mean_and_what_is_incomplete_is_no_success() {
        let runs = vec![
            run("2026-10-01T02:00:00", Some("done"), Some(made(1_000, 250))),
            run("2026-10-02T02:00:00", Some("warnings"), Some(made(3_000, 750))),
            run("2026-10-03T02:00:00", Some("failed"), Some(made(900_000, 900_000))),
            run("2026-10-04T02:00:00", Some("failed"), None),
            run("2026-10-05T02:00:00", None, None),
            // One schema, by hand: a success, and no measure of the whole.
            run("2026-10-05T12:00:00", Some("done"), Some(RunResult { selected: true, ..made(7, 7) })),
            // Still going on.
            run("2026-10-31T23:00:00", None, None),
            run("2026-11-01T02:00:00", Some("done"), Some(made(5, 5))),
        ];
        let active = History { active: true, runs, ..History::default() };
        let found = of("2026-10", &active);
        let counts = (found.executions, found.successes, found.with_warnings, found.incomplete, found.failed, found.interrupted);
        assert_eq!(counts, (6, 3, 1, 1, 1, 1));
        assert_eq!(
            (found.mean_plain, found.mean_stored, found.mean_seconds, found.saving),
            (Some(2_000), Some(500), Some(600.0), Some(0.75))
        );
        assert_eq!((found.success_rate, found.failures_total), (Some(0.5), 3));
        let quiet = History { active: false, ..active };
        assert_eq!(of("2026-10", &quiet).interrupted, 2);
    }

    #[test]
    fn a_run_belongs_to_the_month_of_the_zone() {
        let history = History { runs: vec![run("2026-10-31T23:59:59", Some("done"), Some(made(1, 1)))], ..History::default() };
        assert_eq!((of("2026-10", &history).executions, of("2026-11", &history).executions), (1, 0));
    }

    #[test]
    fn a_destination_is_measured_while_it_is_one() {
        let runs: Vec<PastRun> = (1..=4).map(|day| run(&format!("2026-10-0{day}T02:00:00"), Some("failed"), Some(made(1, 1)))).collect();
        let mut later = delivery(&runs[1], "disco", true);
        later.attempts = 2;
        let deliveries = vec![
            delivery(&runs[0], "disco", true),
            delivery(&runs[0], "antigo", true),
            later,
            delivery(&runs[2], "disco", false),
            delivery(&runs[2], "novo", true),
        ];
        let destinations = ["disco", "novo", "nunca"].map(str::to_owned).to_vec();
        let found = of("2026-10", &History { runs, deliveries, destinations, active: false }).destinations;
        let told: Vec<_> = found.iter().map(|place| (place.name.as_str(), place.complete, place.executions, place.later)).collect();
        // The fourth run came to no copy at all, and both that are configured lack it.
        assert_eq!(told, [("disco", 2, 4, 1), ("novo", 1, 2, 0), ("nunca", 0, 0, 0), ("antigo", 1, 1, 0)]);
        assert_eq!((found[0].bytes, found[0].bytes_per_second, found[0].free), (300, Some(50.0), Some(1_000)));
    }

    #[test]
    fn a_month_without_a_run_has_no_rate_and_no_mean() {
        let found = of("2026-10", &History { destinations: vec!["disco".into()], ..History::default() });
        assert_eq!((found.executions, found.success_rate, found.mean_plain, found.saving, found.growth), (0, None, None, None, None));
    }

    #[test]
    fn verifications_drills_and_what_failed_are_told() {
        let other = |verb: &str, at: &str, outcome| PastRun { verb: verb.into(), set: None, result: None, ..run(at, Some(outcome), None) };
        let runs = vec![
            other("verify", "2026-10-07T03:00:00", "done"),
            other("verify", "2026-10-14T03:00:00", "failed"),
            other("drill", "2026-10-20T05:00:00", "warnings"),
            other("prune", "2026-10-25T04:00:00", "failed"),
            other("restore", "2026-10-26T04:00:00", "failed"),
        ];
        let found = of("2026-10", &History { runs, ..History::default() });
        assert_eq!((found.verifications.good, found.verifications.failed, found.drills.good), (1, 1, 1));
        assert_eq!(found.failures.iter().map(|failure| failure.verb.as_str()).collect::<Vec<_>>(), ["verify", "prune"]);
    }

    #[test]
    fn growth_is_told_of_a_fortnight_and_more() {
        let runs = |days: i64| History {
            runs: (0..days)
                .map(|day| {
                    let at = Timestamp::from_second(1_790_000_000 + day * 86_400).expect("a time").to_zoned_datetime(zone()).datetime();
                    run(&at.to_string(), Some("done"), Some(made(1_000_000 + u64::try_from(day).expect("small") * 1_000, 10)))
                })
                .collect(),
            ..History::default()
        };
        assert_eq!(of("2026-10", &runs(10)).growth, None);
        let growth = of("2026-10", &runs(40)).growth.expect("some");
        assert!((growth - 30_000.0).abs() < 1.0, "{growth}");
    }

    proptest! {
        #[test]
        fn the_parts_are_the_whole(endings in prop::collection::vec((0_u8..4, 0_i64..60), 0..60), active in any::<bool>()) {
            let runs = endings.iter().map(|(ending, day)| {
                let at = Timestamp::from_second(1_790_000_000 + day * 86_400).expect("a time").to_zoned_datetime(zone()).datetime().to_string();
                match ending {
                    0 => run(&at, Some("done"), Some(made(2, 1))),
                    1 => run(&at, Some("failed"), Some(made(2, 1))),
                    2 => run(&at, Some("failed"), None),
                    _ => run(&at, None, None),
                }
            }).collect();
            let found = of("2026-10", &History { runs, active, ..History::default() });
            prop_assert_eq!(found.executions, found.successes + found.incomplete + found.failed + found.interrupted);
            prop_assert_eq!(found.failures_total, found.executions - found.successes);
            prop_assert!(found.success_rate.is_none_or(|rate| (0.0..=1.0).contains(&rate)));
            prop_assert_eq!(found.mean_plain.is_some(), found.successes > 0);
        }
    }
}
