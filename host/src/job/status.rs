//! How it stands with everything: what runs, what is wrong, how old the newest good backups are, and when each job begins next. The command
//! line, the API and the metrics tell of the same.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::context::{Context, JobError};
use super::tell::{Trouble, troubles};
use crate::catalog::{LastEnd, RunRecord};
use crate::ports::Severity;
use crate::schedule::Action;

/// Runs that are told.
const RUNS_TOLD: u32 = 10;
/// Times of each job that are told.
pub const TIMES_TOLD: usize = 5;

/// How it stands, at one glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Light {
    /// Nothing is wrong.
    Green,
    /// Something should be looked after.
    Yellow,
    /// Something is critical, or there is no good backup.
    Red,
}

/// How it stands with everything.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Status {
    /// At one glance.
    pub state: Light,
    /// The worst of what is wrong; nothing where nothing is.
    pub reason: Option<String>,
    /// When this was looked at, RFC 3339.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// Version of cofre.
    pub version: &'static str,
    /// Whether a run is active.
    pub active: bool,
    /// Who runs, where one is active.
    pub holder: Option<String>,
    /// Sets that wait in the spool.
    pub pending: usize,
    /// Alerts that wait for their service.
    pub letters_waiting: u64,
    /// Sets that are known.
    pub sets: u64,
    /// Bytes that one copy of each takes.
    pub stored: u64,
    /// The newest runs.
    pub runs: Vec<RunRecord>,
    /// How each verb ended last.
    pub ends: Vec<LastEnd>,
    /// Each job.
    pub jobs: Vec<JobStanding>,
    /// Each destination.
    pub destinations: Vec<DestinationStanding>,
    /// What is wrong.
    pub problems: Vec<Trouble>,
}

/// How it stands with a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct JobStanding {
    /// Its name.
    pub job: String,
    /// `run`, `verify`, `drill`, `prune` or `report`.
    pub action: &'static str,
    /// When it begins, as the configuration has it.
    pub schedule: String,
    /// Time zone of that.
    pub time_zone: Option<String>,
    /// What it is told to take alone.
    pub only: Vec<String>,
    /// Whether it begins by itself at all.
    pub enabled: bool,
    /// Its next times, RFC 3339; none where it does not begin by itself.
    #[schemars(with = "Vec<String>")]
    pub next: Vec<Timestamp>,
    /// Of a backup: the newest good set.
    pub newest: Option<NewestSet>,
}

/// The newest good set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NewestSet {
    /// Its name.
    pub set: String,
    /// When it was finished, RFC 3339.
    #[schemars(with = "String")]
    pub finished: Timestamp,
    /// How many seconds ago that is.
    pub age_seconds: u64,
}

/// How it stands with a destination.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DestinationStanding {
    /// Its name.
    pub destination: String,
    /// Name of its plug-in's file, without the ending.
    pub plugin: String,
    /// Whether cofre may delete there.
    pub deletes: bool,
    /// The newest good set that is there.
    pub newest: Option<NewestSet>,
    /// Bytes that are free there, as it last said.
    pub free: Option<u64>,
    /// Bytes that were sent there, in all.
    pub bytes: u64,
    /// Seconds that took.
    pub seconds: f64,
    /// Attempts to bring a set there.
    pub attempts: u64,
    /// Sets that it did not take whole.
    pub failed: u64,
}

/// How it stands with everything.
///
/// # Errors
/// When catalogue or spool cannot be read.
pub fn status(context: &Context) -> Result<Status, JobError> {
    let (catalog, now) = (&context.catalog, Timestamp::now());
    let problems = troubles(context)?;
    let destinations = destinations(context, now)?;
    let jobs = jobs(context, TIMES_TOLD, now)?;
    let (sets, stored) = catalog.holdings()?;
    let holder = context.spool.holder();
    let (state, reason) = light(&problems, destinations.iter().all(|one| one.newest.is_none()));
    Ok(Status {
        state,
        reason,
        at: now,
        version: env!("CARGO_PKG_VERSION"),
        active: holder.is_some(),
        holder,
        pending: context.spool.left_overs()?.len(),
        letters_waiting: catalog.letters_waiting()?,
        sets,
        stored,
        runs: catalog.runs(RUNS_TOLD)?,
        ends: catalog.last_ends()?,
        jobs,
        destinations,
        problems,
    })
}

/// The state that problems mean, and the worst of them.
fn light(problems: &[Trouble], nothing_good: bool) -> (Light, Option<String>) {
    let worst = problems.iter().max_by_key(|problem| problem.severity);
    let state = match worst.map(|worst| worst.severity) {
        Some(Severity::Critical) => Light::Red,
        _ if nothing_good => Light::Red,
        Some(Severity::Warning) => Light::Yellow,
        Some(Severity::Info) | None => Light::Green,
    };
    let nothing = || nothing_good.then(|| "no destination has a good backup yet; make one with: cofre run".to_owned());
    (state, worst.map(|worst| worst.title.clone()).or_else(nothing))
}

/// Each job, and so many of its next times.
///
/// # Errors
/// When the catalogue cannot be read.
pub fn jobs(context: &Context, times: usize, now: Timestamp) -> Result<Vec<JobStanding>, JobError> {
    let standing = |spec: &crate::schedule::JobSpec| -> Result<JobStanding, JobError> {
        let mut since = context.catalog.job(&spec.name)?.map_or(now, |state| state.since);
        let mut next = Vec::new();
        // What is overdue begins at the next look.
        while let Some(at) = spec.next(since).map(|at| at.max(now)).filter(|_| spec.enabled && next.len() < times) {
            next.push(at);
            since = at;
        }
        let only = match &spec.action {
            Action::Run { only, .. } | Action::Drill { only } => only.clone(),
            Action::Verify { .. } | Action::Prune | Action::Report => Vec::new(),
        };
        let newest = match &spec.action {
            Action::Run { .. } => newest(context, None, Some(&only), now)?,
            _ => None,
        };
        Ok(JobStanding {
            job: spec.name.clone(),
            action: spec.action.name(),
            schedule: spec.schedule.text().to_owned(),
            time_zone: spec.schedule.zone().iana_name().map(str::to_owned),
            only,
            enabled: spec.enabled,
            next,
            newest,
        })
    };
    context.config.jobs.iter().map(standing).collect()
}

/// Each destination.
///
/// # Errors
/// When the catalogue cannot be read.
pub fn destinations(context: &Context, now: Timestamp) -> Result<Vec<DestinationStanding>, JobError> {
    let sent = context.catalog.sent()?;
    let standing = |config: &crate::config::DestinationConfig| -> Result<DestinationStanding, JobError> {
        let settings = &config.settings;
        let own = sent.iter().find(|sent| sent.destination == settings.name);
        Ok(DestinationStanding {
            destination: settings.name.clone(),
            plugin: settings.plugin.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default(),
            deletes: settings.grants.delete,
            newest: newest(context, Some(&settings.name), None, now)?,
            free: own.and_then(|sent| sent.free),
            bytes: own.map_or(0, |sent| sent.bytes),
            seconds: own.map_or(0.0, |sent| sent.seconds),
            attempts: own.map_or(0, |sent| sent.attempts),
            failed: own.map_or(0, |sent| sent.failed),
        })
    };
    context.config.destinations.iter().map(standing).collect()
}

fn newest(context: &Context, destination: Option<&str>, only: Option<&[String]>, now: Timestamp) -> Result<Option<NewestSet>, JobError> {
    let found = context.catalog.newest_good(destination, only)?;
    Ok(found.map(|(set, finished)| {
        let age_seconds = u64::try_from(now.duration_since(finished).as_secs()).unwrap_or(0);
        NewestSet { set: set.to_string(), finished, age_seconds }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(severity: Severity) -> Trouble {
        Trouble {
            problem: "run".to_owned(),
            severity,
            since: Timestamp::UNIX_EPOCH,
            event: "run.failed".to_owned(),
            title: severity.as_str().to_owned(),
            detail: Vec::new(),
            alert: None,
        }
    }

    #[test]
    fn the_worst_of_what_is_wrong_is_the_state() {
        let [critical, warning] = [trouble(Severity::Critical), trouble(Severity::Warning)];
        assert_eq!(light(&[], false), (Light::Green, None));
        assert_eq!(light(std::slice::from_ref(&warning), false), (Light::Yellow, Some("warning".to_owned())));
        assert_eq!(light(&[warning.clone(), critical, warning], false), (Light::Red, Some("critical".to_owned())));
        let (state, reason) = light(&[], true);
        assert!(state == Light::Red && reason.is_some_and(|reason| reason.contains("cofre run")));
    }
}
