//! Scheduled jobs as written, and what they mean. Without any, the mission's own: a backup each night, a clean-up and a verification each
//! week, a report each month.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Deserialize;

use super::diagnostics::Problems;
use super::retention::RawRetention;
use super::units::{parse_duration, parse_share};
use crate::schedule::{Action, JobSpec, Overlap, Schedule, Window};

/// What the daemon does, and when.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawJob {
    /// Name of the job.
    pub name: String,
    /// `run`, `verify`, `prune`, `drill` or `report`.
    pub action: String,
    /// Five fields, minute hour day month weekday (`0 2 * * *`), or `@hourly`, `@daily`, `@weekly`, `@monthly`.
    pub schedule: String,
    /// Time zone of the schedule, for example `America/Sao_Paulo`. Default: `time_zone` of the configuration.
    pub time_zone: Option<String>,
    /// `run`, `drill`: only these, as `cofre run --only`. Default: everything.
    pub only: Vec<String>,
    /// `run`: tags of its sets.
    pub tags: Vec<String>,
    /// `run`: which of its sets stay; its keys lie over those of `[retention]`.
    pub retention: Option<RawRetention>,
    /// `verify`: all sets, rather than the newest at each destination. Default true.
    pub all: Option<bool>,
    /// `verify`: only a share of the sets each time, `1/4`; each is read at least once in so many verifications. Default: all of them.
    pub share: Option<String>,
    /// `verify`: also decrypt and read every archive. Default false.
    pub deep: Option<bool>,
    /// It begins up to so much later, each time by another share of it. Default `0s`.
    pub jitter: Option<String>,
    /// Whether it is made good after a time in which nothing ran. Default true.
    pub catch_up: Option<bool>,
    /// Whether it also runs when the daemon starts. Default false.
    pub at_start: Option<bool>,
    /// Whether it begins by itself at all. Default true.
    pub enabled: Option<bool>,
    /// Hours in which it does not begin, `08:00-18:00`; it begins after them instead.
    pub not_between: Vec<String>,
    /// How long it may take; it is cancelled then, and a backup goes on with its copies at the next run. Default: as long as it takes.
    pub timeout: Option<String>,
    /// Where it is due while it still runs: `skip` (default), or `queue` to run once more right after.
    pub overlap: Option<String>,
}

/// The mission's times, in words that a person can copy into the configuration: name, action, schedule.
pub const DEFAULT_JOBS: [(&str, &str, &str); 4] = [
    ("backup", "run", "0 2 * * *"),
    ("clean-up", "prune", "0 4 * * SUN"),
    ("verification", "verify", "0 3 * * WED"),
    ("report", "report", "0 6 1 * *"),
];

/// Resolves all jobs; `general` is the time zone of the configuration.
pub(super) fn resolve(raw: &[RawJob], general: &TimeZone, problems: &mut Problems<'_>) -> Vec<JobSpec> {
    if raw.is_empty() {
        let default = |(name, action, schedule): &(&str, &str, &str)| RawJob {
            name: (*name).to_owned(),
            action: (*action).to_owned(),
            schedule: (*schedule).to_owned(),
            ..RawJob::default()
        };
        return DEFAULT_JOBS.iter().map(default).filter_map(|raw| job(0, &raw, general, problems)).collect();
    }
    let mut names = BTreeSet::new();
    for (index, job) in raw.iter().enumerate() {
        if job.name.is_empty() {
            problems.add(("job", index, "name"), "a job needs a name, under which its runs are kept");
        } else if !names.insert(&job.name) {
            problems.add(("job", index, "name"), format!("there are two jobs called `{}`", job.name));
        }
    }
    raw.iter().enumerate().filter_map(|(index, raw)| job(index, raw, general, problems)).collect()
}

/// The zone of that name; that of the machine without one.
pub(super) fn time_zone(name: Option<&str>) -> Result<TimeZone, String> {
    match name {
        None => Ok(TimeZone::system()),
        Some(name) => TimeZone::get(name).map_err(|_| format!("`{name}` is no time zone; write for example `America/Sao_Paulo` or `UTC`")),
    }
}

fn job(index: usize, raw: &RawJob, general: &TimeZone, problems: &mut Problems<'_>) -> Option<JobSpec> {
    let place = |key| ("job", index, key);
    let zone = match &raw.time_zone {
        Some(name) => problems.keep(place("time_zone"), time_zone(Some(name)))?,
        None => general.clone(),
    };
    let action = action(index, raw, problems);
    let schedule = problems.keep(place("schedule"), Schedule::parse(&raw.schedule, zone));
    let mut duration = |key, text: Option<&String>| text.and_then(|text| problems.keep(("job", index, key), parse_duration(text)));
    let (jitter, timeout) = (duration("jitter", raw.jitter.as_ref()), duration("timeout", raw.timeout.as_ref()));
    let closed = raw.not_between.iter().filter_map(|text| problems.keep(place("not_between"), Window::parse(text))).collect();
    let overlap = match raw.overlap.as_deref() {
        None | Some("skip") => Overlap::Skip,
        Some("queue") => Overlap::Queue,
        Some(other) => {
            problems.add(place("overlap"), format!("`{other}` is not known; write `skip` or `queue`"));
            Overlap::Skip
        }
    };
    Some(JobSpec {
        name: raw.name.clone(),
        action: action?,
        schedule: schedule?,
        jitter: jitter.unwrap_or(Duration::ZERO),
        catch_up: raw.catch_up.unwrap_or(true),
        at_start: raw.at_start.unwrap_or(false),
        enabled: raw.enabled.unwrap_or(true),
        closed,
        timeout,
        overlap,
    })
}

/// What a job does. A key that another action has means nothing here, and whoever wrote it believes otherwise.
fn action(index: usize, raw: &RawJob, problems: &mut Problems<'_>) -> Option<Action> {
    let of_selections = [("only", !raw.only.is_empty())];
    let of_run = [("tags", !raw.tags.is_empty()), ("retention", raw.retention.is_some())];
    let of_verify = [("all", raw.all.is_some()), ("share", raw.share.is_some()), ("deep", raw.deep.is_some())];
    let mut foreign = |keys: &[(&'static str, bool)]| {
        for (key, _) in keys.iter().filter(|(_, written)| *written) {
            problems.add(("job", index, key), format!("a job with action `{}` has no `{key}`", raw.action));
        }
    };
    match raw.action.as_str() {
        "run" => {
            foreign(&of_verify);
            Some(Action::Run { only: raw.only.clone(), tags: raw.tags.clone() })
        }
        "verify" => {
            foreign(&of_selections);
            foreign(&of_run);
            Some(Action::Verify { every: every(index, raw, problems), deep: raw.deep.unwrap_or(false) })
        }
        "prune" => {
            foreign(&of_selections);
            foreign(&of_run);
            foreign(&of_verify);
            Some(Action::Prune)
        }
        "report" => {
            foreign(&of_run);
            foreign(&of_verify);
            Some(Action::Report)
        }
        "drill" => {
            foreign(&of_run);
            foreign(&of_verify);
            Some(Action::Drill { only: raw.only.clone() })
        }
        other => {
            problems.add(("job", index, "action"), format!("`{other}` is no action; write `run`, `verify`, `prune`, `drill` or `report`"));
            None
        }
    }
}

/// In how many verifications each set is read; `None` is the newest each time.
fn every(index: usize, raw: &RawJob, problems: &mut Problems<'_>) -> Option<NonZeroU32> {
    let share = raw.share.as_deref().and_then(|text| problems.keep(("job", index, "share"), parse_share(text)));
    match (raw.all.unwrap_or(true), &raw.share) {
        (false, Some(_)) => {
            problems
                .add(("job", index, "share"), "`all = false` is the newest sets alone, of which there is no share; leave one of them out");
            None
        }
        (false, None) => None,
        (true, _) => Some(share.unwrap_or(NonZeroU32::MIN)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn resolved(text: &str) -> Result<Vec<JobSpec>, Vec<(usize, String)>> {
        #[derive(Deserialize)]
        struct Jobs {
            time_zone: Option<String>,
            #[serde(default)]
            job: Vec<RawJob>,
        }
        let raw: Jobs = toml::from_str(text).expect("TOML");
        let mut problems = Problems::new(text);
        let zone = problems.keep(("", 0, "time_zone"), time_zone(raw.time_zone.as_deref())).unwrap_or(TimeZone::UTC);
        let jobs = resolve(&raw.job, &zone, &mut problems);
        match problems.into_error(Path::new("x")) {
            None => Ok(jobs),
            Some(error) => Err(error.problems.into_iter().map(|found| (found.line.unwrap_or(0), found.message)).collect()),
        }
    }

    #[test]
    fn without_jobs_they_are_the_missions() {
        let jobs = resolved("time_zone = 'America/Sao_Paulo'\n").expect("good");
        let told: Vec<_> = jobs.iter().map(|job| (job.name.as_str(), job.action.name(), job.schedule.text())).collect();
        assert_eq!(told, DEFAULT_JOBS);
        assert_eq!(jobs[2].action, Action::Verify { every: Some(NonZeroU32::MIN), deep: false });
        assert!(jobs.iter().all(|job| job.catch_up && job.schedule.zone().iana_name() == Some("America/Sao_Paulo")));
    }

    #[test]
    fn a_verification_reads_all_sets_a_share_of_them_or_the_newest() {
        let of = |more: &str| {
            let text = format!("[[job]]\nname = 'a'\naction = 'verify'\nschedule = '@weekly'\n{more}");
            resolved(&text).map(|jobs| jobs[0].action.clone())
        };
        let reads = |every: Option<u32>| Ok(Action::Verify { every: every.and_then(NonZeroU32::new), deep: false });
        assert_eq!(of(""), reads(Some(1)));
        assert_eq!(of("share = '1/4'\n"), reads(Some(4)));
        assert_eq!(of("all = false\n"), reads(None));
        for wrong in ["share = '1/0'\n", "share = '4'\n", "share = '2/4'\n", "share = '1/4'\nall = false\n", "only = ['sql']\n"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_job_that_is_disabled_stays_a_job_and_is_never_due() {
        let jobs =
            resolved("[[job]]\nname = 'a'\naction = 'prune'\nschedule = '@daily'\nat_start = true\nenabled = false\n").expect("good");
        let now = "2026-03-15T12:00:00Z".parse().expect("a time");
        assert_eq!(jobs[0].due(JobSpec::AT_ONCE, now), crate::schedule::Due::Never);
        assert!(!jobs[0].enabled && jobs[0].next(now).is_some(), "when it would begin is still known");
        assert!(resolved("[[job]]\nname = 'a'\naction = 'prune'\nschedule = '@daily'\n").expect("good")[0].enabled);
    }

    #[test]
    fn a_drill_may_be_of_some_things_only() {
        let jobs = resolved("[[job]]\nname = 'a'\naction = 'drill'\nschedule = '@monthly'\nonly = ['sql']\n").expect("good");
        assert_eq!(jobs[0].action, Action::Drill { only: vec!["sql".to_owned()] });
        assert!(resolved("[[job]]\nname = 'a'\naction = 'drill'\nschedule = '@monthly'\ndeep = true\n").is_err());
    }

    #[test]
    fn every_mistake_names_its_line() {
        let text = "time_zone = 'Mars/Base'\n[[job]]\nname = 'a'\naction = 'verify'\nschedule = '61 * * * *'\nonly = ['x']\n[[job]]\nname = 'a'\naction = 'fly'\nschedule = '@daily'\njitter = 'some'\nnot_between = ['8-18']\noverlap = 'never'\n";
        let problems = resolved(text).expect_err("wrong");
        let lines: Vec<usize> = problems.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 5, 6, 8, 9, 11, 12, 13], "{problems:?}");
    }
}
