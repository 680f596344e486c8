//! `/metrics`: how it stands, for Prometheus, in the OpenMetrics text format (version 1.0.0). Everything is read when it is asked for, from
//! the catalogue, so that a restart forgets no counter.

use std::fmt::Write as _;

use axum::extract::{Request, State as Extract};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;

use super::caller::{Caller, Peer};
use super::endpoint::Need;
use super::problem::{Kind, Problem};
use super::state::State;
use crate::access::Scope;
use crate::job::{self, Status};
use crate::ports::Severity;

/// The media type.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Longest label, in characters.
const LABEL_MAX: usize = 200;

/// Answers, to whoever may see the state, and to this machine where that is configured.
pub(super) async fn answer(Extract(state): Extract<State>, request: Request) -> Response {
    let here = request.extensions().get::<Peer>().is_some_and(|peer| peer.address.ip().to_canonical().is_loopback());
    if !(state.settings().metrics_public && here) {
        let caller = request.extensions().get::<Caller>().cloned();
        if let Err(problem) = Need::Whole(Scope::StatusRead).demand(caller) {
            return problem.into_response();
        }
    }
    let (context, tasks) = (state.context(), state.tasks().at_work());
    let read = tokio::task::spawn_blocking(move || -> Result<String, job::JobError> {
        let checks = job::standings(&context)?;
        Ok(exposition(&job::status(&context)?, &checks, tasks))
    });
    match read.await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Ok(Err(error)) => Problem::from(error).into_response(),
        Err(_) => Problem::new(Kind::Failed, "the metrics could not be read; see the log").into_response(),
    }
}

/// The text.
fn exposition(status: &Status, checks: &[job::CheckStanding], tasks: usize) -> String {
    let mut text = Text::default();
    text.family("cofre_build", "info", "What runs here.");
    text.line("cofre_build_info", &[("version", status.version)], 1.0);
    text.family("cofre_state", "gauge", "0 where all is well, 1 where something should be looked after, 2 where something is critical.");
    text.line("cofre_state", &[], f64::from(status.state as u8));
    text.gauge("cofre_run_active", "Whether a run is active.", f64::from(u8::from(status.active)));
    text.gauge("cofre_tasks_running", "Tasks of the API that are at work.", tasks as f64);
    text.gauge("cofre_spool_pending_sets", "Sets that wait in the spool for a destination.", status.pending as f64);
    text.gauge("cofre_letters_waiting", "Alerts that wait for their service.", status.letters_waiting as f64);
    text.gauge("cofre_sets", "Sets that are known.", status.sets as f64);
    text.gauge("cofre_sets_stored_bytes", "Bytes that one copy of each set takes.", status.stored as f64);
    of_jobs(status, &mut text);
    of_destinations(status, &mut text);
    of_verbs(status, &mut text);
    of_problems(status, checks, &mut text);
    text.end()
}

fn of_jobs(status: &Status, text: &mut Text) {
    text.family("cofre_job_next_run_timestamp_seconds", "gauge", "When a job begins next.");
    for job in &status.jobs {
        if let Some(next) = job.next.first() {
            text.line("cofre_job_next_run_timestamp_seconds", &[("job", &job.job), ("action", job.action)], seconds(*next));
        }
    }
    let newest = || status.jobs.iter().filter_map(|job| Some((job, job.newest.as_ref()?)));
    text.family("cofre_job_last_success_timestamp_seconds", "gauge", "When the newest good set of a backup job was finished.");
    for (job, newest) in newest() {
        text.line("cofre_job_last_success_timestamp_seconds", &[("job", &job.job)], seconds(newest.finished));
    }
    text.family("cofre_job_age_seconds", "gauge", "How old the newest good set of a backup job is.");
    for (job, newest) in newest() {
        text.line("cofre_job_age_seconds", &[("job", &job.job)], newest.age_seconds as f64);
    }
}

fn of_destinations(status: &Status, text: &mut Text) {
    type Value = fn(&job::DestinationStanding) -> Option<f64>;
    let families: [(&str, &str, &str, Value); 7] = [
        ("cofre_destination_last_success_timestamp_seconds", "gauge", "When the newest good set there was finished.", |one| {
            one.newest.as_ref().map(|newest| seconds(newest.finished))
        }),
        ("cofre_destination_age_seconds", "gauge", "How old the newest good set there is.", |one| {
            one.newest.as_ref().map(|newest| newest.age_seconds as f64)
        }),
        ("cofre_destination_free_bytes", "gauge", "Bytes that are free there, as it last said.", |one| one.free.map(|free| free as f64)),
        ("cofre_destination_sent_bytes", "counter", "Bytes that were sent there.", |one| Some(one.bytes as f64)),
        ("cofre_destination_sent_seconds", "counter", "How long that took.", |one| Some(one.seconds)),
        ("cofre_destination_attempts", "counter", "Attempts to bring a set there.", |one| Some(one.attempts as f64)),
        ("cofre_destination_incomplete_sets", "gauge", "Sets that it did not take whole.", |one| Some(one.failed as f64)),
    ];
    for (name, kind, help, value) in families {
        text.family(name, kind, help);
        let line = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
        for one in &status.destinations {
            if let Some(value) = value(one) {
                text.line(&line, &[("destination", &one.destination), ("plugin", &one.plugin)], value);
            }
        }
    }
}

fn of_verbs(status: &Status, text: &mut Text) {
    type Value = fn(&crate::catalog::LastEnd) -> Option<f64>;
    let families: [(&str, &str, Value); 4] = [
        ("cofre_last_end_timestamp_seconds", "When a verb last ended.", |end| Some(seconds(end.finished))),
        ("cofre_last_success_timestamp_seconds", "When a verb last ended well.", |end| end.succeeded.map(seconds)),
        ("cofre_last_duration_seconds", "How long that took.", |end| Some(end.finished.duration_since(end.started).as_secs_f64())),
        ("cofre_last_failed", "Whether it failed.", |end| Some(f64::from(u8::from(end.outcome == "failed")))),
    ];
    for (name, help, value) in families {
        text.family(name, "gauge", help);
        for end in &status.ends {
            if let Some(value) = value(end) {
                text.line(name, &[("verb", &end.verb)], value);
            }
        }
    }
}

fn of_problems(status: &Status, checks: &[job::CheckStanding], text: &mut Text) {
    text.family("cofre_problems", "gauge", "What is wrong right now, by how bad it is.");
    for severity in [Severity::Critical, Severity::Warning] {
        let count = status.problems.iter().filter(|problem| problem.severity == severity).count();
        text.line("cofre_problems", &[("severity", severity.as_str())], count as f64);
    }
    text.family("cofre_problem_since_timestamp_seconds", "gauge", "Since when something is wrong.");
    for problem in &status.problems {
        let labels = [("problem", problem.problem.as_str()), ("severity", problem.severity.as_str())];
        text.line("cofre_problem_since_timestamp_seconds", &labels, seconds(problem.since));
    }
    text.family("cofre_check_failed", "gauge", "Whether a check has a problem.");
    for check in checks {
        let failed = f64::from(u8::from(check.problem.is_some()));
        text.line("cofre_check_failed", &[("check", &check.check), ("kind", check.kind)], failed);
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1e3
}

/// Lines of the format.
#[derive(Default)]
struct Text(String);

impl Text {
    /// What follows is of this family.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# TYPE {name} {kind}\n# HELP {name} {help}");
    }

    /// A family of one line.
    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "gauge", help);
        self.line(name, &[], value);
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        if !labels.is_empty() {
            let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
            let _ = write!(self.0, "{{{}}}", labels.join(","));
        }
        let _ = writeln!(self.0, " {value}");
    }

    fn end(mut self) -> String {
        self.0.push_str("# EOF\n");
        self.0
    }
}

/// The value of a label between its quotes.
fn escaped(value: &str) -> String {
    value.chars().take(LABEL_MAX).collect::<String>().replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::tell::Trouble;
    use crate::job::{CheckStanding, DestinationStanding, JobStanding, Light, NewestSet, Standing};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_772_000_000 + second).expect("a time")
    }

    fn status() -> Status {
        let newest = NewestSet { set: "backup_2026_03_15_02_00_00".into(), finished: at(0), age_seconds: 60 };
        Status {
            state: Light::Yellow,
            reason: None,
            at: at(60),
            version: "0.1.0",
            active: true,
            holder: None,
            pending: 1,
            letters_waiting: 2,
            sets: 3,
            stored: 4,
            runs: Vec::new(),
            ends: vec![crate::catalog::LastEnd {
                verb: "run".into(),
                started: at(-10),
                finished: at(0),
                outcome: "failed".into(),
                succeeded: None,
            }],
            jobs: vec![JobStanding {
                enabled: true,
                job: "noite".into(),
                action: "run",
                schedule: "0 2 * * *".into(),
                time_zone: None,
                only: Vec::new(),
                next: vec![at(100)],
                newest: Some(newest.clone()),
            }],
            destinations: vec![DestinationStanding {
                destination: "disco".into(),
                plugin: "local".into(),
                deletes: false,
                newest: Some(newest),
                free: None,
                bytes: 10,
                seconds: 0.5,
                attempts: 2,
                failed: 1,
            }],
            problems: vec![Trouble {
                problem: "check:\"a\\b\"\n".into(),
                severity: Severity::Warning,
                since: at(1),
                event: "check.failed".into(),
                title: String::new(),
                detail: Vec::new(),
                alert: None,
            }],
        }
    }

    #[test]
    fn the_text_reads_as_the_format_wants_it() {
        let check =
            CheckStanding { check: "site".into(), kind: "http", looked: None, standing: Standing::Good, since: None, problem: None };
        insta::assert_snapshot!(exposition(&status(), &[check], 1));
    }

    #[test]
    fn every_line_belongs_to_the_family_before_it() {
        let text = exposition(&status(), &[], 0);
        let mut family = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a kind");
                family = match kind {
                    "counter" => format!("{name}_total"),
                    "info" => format!("{name}_info"),
                    _ => name.to_owned(),
                };
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().expect("a name");
                assert_eq!(name, family, "{line}");
            }
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
