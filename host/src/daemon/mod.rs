//! The daemon: looks which jobs are due, does them one after the other, and sleeps until the next. Everything that it knows of a job is in
//! the catalogue, so that it may be killed at any moment.
//!
//! A job counts as seen to when it has ended, however it ended; one that a stop or a crash interrupted is due again. Three starts without an
//! end are a failure like any other: what takes the process down must not do so for ever.

mod checks;
mod post;
mod supervisor;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::catalog::JobState;
use crate::job::{self, Context, DrillRequest, JobError, PruneRequest, RunRequest, SetChoice, VerifyRequest, tell};
use crate::notify::{Advice, Alert, Event};
use crate::ports::Meter;
use crate::report::Month;
use crate::retention::Pruned;
use crate::schedule::{Action, Due, JobSpec, Overlap};
use crate::spool::SpoolError;
use crate::text::Locale;

pub use supervisor::serve;

/// Starts of a job that did not end before it counts as failed.
const STARTS_MAX: u32 = 3;
/// How long a job waits for another process that holds the lock before it looks again.
const BUSY: Duration = Duration::from_secs(60);

/// What came of one job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Turn {
    /// The job.
    pub job: String,
    /// What it does: `run`, `verify`, `prune`, `drill`, `report`.
    pub action: &'static str,
    /// When it began, RFC 3339.
    pub at: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
    /// One line about it.
    pub detail: String,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Done.
    Done,
    /// Done, with warnings.
    Warnings,
    /// Failed.
    Failed,
    /// It was to begin while nothing ran, and is not made good.
    Missed,
    /// Another process holds the lock: it waits.
    Waiting,
    /// The daemon was told to stop.
    Stopped,
}

/// What came of one look.
#[derive(Debug, Clone, Serialize)]
pub struct Look {
    /// What was done.
    pub turns: Vec<Turn>,
    /// When the next job is due; `None` where no job ever is.
    pub next: Option<Timestamp>,
}

/// Does everything that is due, the longest due first. `fresh` is whether the daemon has only just started.
///
/// # Errors
/// When the catalogue cannot be used. What goes wrong in a job is in its turn.
pub async fn look(context: &mut Context, fresh: bool) -> Result<Look, JobError> {
    let mut turns = Vec::new();
    let mut waiting: Vec<String> = Vec::new();
    if fresh {
        begin(context)?;
    }
    loop {
        let (due, next) = survey(context, &waiting)?;
        let Some(ready) = due else { return Ok(Look { turns, next }) };
        let turn = take(context, ready).await?;
        tracing::info!(job = turn.job, outcome = ?turn.outcome, "{}", turn.detail);
        if turn.outcome == Outcome::Waiting {
            waiting.push(turn.job.clone());
        }
        let stopped = turn.outcome == Outcome::Stopped;
        turns.push(turn);
        if stopped || context.cancel.is_cancelled() {
            return Ok(Look { turns, next: None });
        }
    }
}

/// Makes those jobs due that run at each start.
fn begin(context: &Context) -> Result<(), JobError> {
    for spec in context.config.jobs.iter().filter(|spec| spec.at_start && spec.enabled) {
        context.catalog.job_again(&spec.name, JobSpec::AT_ONCE)?;
    }
    Ok(())
}

/// A job that is to be seen to.
struct Ready {
    spec: JobSpec,
    /// When it was to begin, where it is not made good.
    missed: Option<Timestamp>,
    /// Starts that did not end.
    begun: u32,
}

/// The job that has been due for longest, and when another look is worth while.
fn survey(context: &Context, waiting: &[String]) -> Result<(Option<Ready>, Option<Timestamp>), JobError> {
    let now = Timestamp::now();
    let (mut first, mut next) = (None::<(Timestamp, Ready)>, None::<Timestamp>);
    let mut earlier = |at: Timestamp| next = Some(next.map_or(at, |next| next.min(at)));
    for spec in &context.config.jobs {
        let JobState { since, begun } = if let Some(state) = context.catalog.job(&spec.name)? {
            state
        } else {
            // A job that is new was not missed.
            context.catalog.job_seen(&spec.name, now)?;
            JobState { since: now, begun: 0 }
        };
        let due = spec.due(since, now);
        match due {
            Due::Now | Due::Missed(_) if waiting.contains(&spec.name) => earlier(now.checked_add(BUSY).unwrap_or(now)),
            Due::Now | Due::Missed(_) => {
                let since = spec.next(since).unwrap_or(now);
                if first.as_ref().is_none_or(|(other, _)| since < *other) {
                    let missed = if let Due::Missed(then) = due { Some(then) } else { None };
                    first = Some((since, Ready { spec: spec.clone(), missed, begun }));
                }
            }
            Due::At(at) => earlier(at),
            Due::Never => {}
        }
    }
    Ok((first.map(|(_, ready)| ready), next))
}

async fn take(context: &mut Context, Ready { spec, missed, begun }: Ready) -> Result<Turn, JobError> {
    let at = Timestamp::now();
    let turn = |outcome, detail: String| Turn { job: spec.name.clone(), action: spec.action.name(), at, outcome, detail };
    if let Some(then) = missed {
        context.catalog.job_seen(&spec.name, at)?;
        let missed = Alert::new(Event::JobMissed, at, &format!("job `{}` was missed", spec.name));
        tell::raise(context, missed.with("job", spec.name.as_str()).with("action", spec.action.name()).with("due", then.to_string()));
        return Ok(turn(Outcome::Missed, format!("it was to begin at {then}, when nothing ran")));
    }
    if begun >= STARTS_MAX {
        context.catalog.job_seen(&spec.name, at)?;
        let why = format!("it was begun {begun} times and never ended: the process was killed each time; see the system's log");
        raise_failure(context, &spec, &why);
        return Ok(turn(Outcome::Failed, why));
    }
    context.catalog.job_begins(&spec.name)?;
    let (outcome, detail) = timed(context, &spec).await;
    if matches!(outcome, Outcome::Done | Outcome::Warnings) {
        tell::solved(context, &problem_of(&spec));
    }
    let (outcome, detail) = match context.audit.failure() {
        Some(why) if outcome == Outcome::Done => (Outcome::Warnings, format!("{detail}; not, or not whole, in the audit log: {why}")),
        _ => (outcome, detail),
    };
    match outcome {
        Outcome::Waiting | Outcome::Stopped => context.catalog.job_stopped(&spec.name)?,
        // What became due meanwhile is passed over, or is due right now.
        _ if spec.overlap == Overlap::Queue => context.catalog.job_seen(&spec.name, at)?,
        _ => context.catalog.job_seen(&spec.name, Timestamp::now())?,
    }
    Ok(turn(outcome, detail))
}

/// Does a job within its time. A job that is told to end ends soon, in its own way; nobody pulls the rug from under it.
async fn timed(context: &mut Context, spec: &JobSpec) -> (Outcome, String) {
    let whole = context.cancel.clone();
    let own = whole.child_token();
    context.cancel = own.clone();
    let alarm = spec.timeout.map(|limit| {
        let own = own.clone();
        tokio::spawn(async move {
            tokio::time::sleep(limit).await;
            own.cancel();
        })
    });
    let ended = act(context, &spec.action).await;
    if let Some(alarm) = alarm {
        alarm.abort();
    }
    context.cancel = whole;
    match ended {
        // In whatever words: what was told to end did not fail.
        Err(_) if context.cancel.is_cancelled() => (Outcome::Stopped, "the daemon was told to stop".to_owned()),
        Err(_) if own.is_cancelled() => {
            let limit = spec.timeout.unwrap_or_default().as_secs();
            let why = format!("it took longer than its timeout of {limit} s and was ended");
            raise_failure(context, spec, &why);
            (Outcome::Failed, why)
        }
        Err(JobError::Spool(SpoolError::Busy { holder })) => (Outcome::Waiting, format!("waits for {holder}")),
        Err(error) => (Outcome::Failed, error.to_string()),
        Ok(ended) => ended,
    }
}

/// What only the daemon knows to be wrong with a job; what the job itself says, it tells itself.
fn raise_failure(context: &Context, spec: &JobSpec, why: &str) {
    let failed = Alert::new(Event::JobFailed, Timestamp::now(), &format!("job `{}`: {why}", spec.name));
    let failed = failed.about(problem_of(spec)).with("job", spec.name.as_str()).with("action", spec.action.name());
    tell::raise(context, failed.with_problem(&spec.name, why, Advice::Unknown));
}

fn problem_of(spec: &JobSpec) -> String {
    format!("job:{}", spec.name)
}

async fn act(context: &Context, action: &Action) -> Result<(Outcome, String), JobError> {
    let meter = Arc::new(Meter::default());
    match action {
        Action::Run { only, tags } => {
            let report = job::run(context, &RunRequest { only: only.clone(), tags: tags.clone() }, meter).await?;
            Ok((of(report.is_good(), report.warnings_total == 0), report.set))
        }
        Action::Verify { every, deep } => {
            let copies = job::verify(context, &VerifyRequest { every: *every, deep: *deep, ..VerifyRequest::default() }, meter).await?;
            let problems = job::told_of_copies(&copies, |copy| &copy.problems);
            let sound = copies.iter().all(|copy| copy.warnings.is_empty());
            let detail = if problems.is_empty() { format!("{} copies", copies.len()) } else { problems.clone() };
            Ok((of(problems.is_empty(), sound), detail))
        }
        Action::Drill { only } => {
            let request = DrillRequest { set: SetChoice::Latest, from: None, only: only.clone(), into: None };
            let report = job::drill(context, &request, meter).await?;
            let detail = if report.good {
                format!("{}: {:.0} s to recover {} artifacts", report.set, report.recovery_seconds, report.parts.len())
            } else {
                format!("{}: {}", report.set, report.problems().join("; "))
            };
            Ok((of(report.good, report.is_quiet()), detail))
        }
        Action::Prune => {
            let places = job::prune(context, &PruneRequest::default()).await?;
            let removed: usize = places.iter().map(Pruned::removed).sum();
            let clean = places.iter().all(Pruned::is_clean);
            Ok((of(clean, true), format!("{removed} copies removed")))
        }
        Action::Report => {
            let month = Month::at(Timestamp::now(), &context.config.zone).previous();
            let report = job::monthly(context, month, Locale::choose(None, context.config.locale.as_deref()))?;
            tell::raise_report(context, &report);
            Ok((Outcome::Done, month.to_string()))
        }
    }
}

fn of(good: bool, quiet: bool) -> Outcome {
    match (good, quiet) {
        (false, _) => Outcome::Failed,
        (true, true) => Outcome::Done,
        (true, false) => Outcome::Warnings,
    }
}
