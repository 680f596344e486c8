//! Takes the looks that are due, and says what they change. It shares nothing with a backup that runs but the catalogue, so that one which
//! takes all night keeps no check waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use crate::catalog::{Catalog, CatalogError, CheckRecord, CheckScope};
use crate::config::Config;
use crate::monitor::{
    BackupRule, CheckKind, CheckSpec, CheckState, DiskRule, Facts, Fault, Look, Sample, Space, Transition, Verdict, days_until_full,
    judge_space, look_at_page, look_at_port, look_at_service, measure_space,
};
use crate::schedule::{Action, longest_gap};
use crate::source::mysql;

/// Looks that are taken at once.
const AT_ONCE: usize = 8;
/// What a backup may be older than the longest pause of its schedule: it takes its time, and not always the same.
const ALLOWANCE: Duration = Duration::from_secs(2 * 3_600);
/// The mission's: where no job says how old a backup may be.
const MAX_AGE: Duration = Duration::from_secs(26 * 3_600);

/// What is known of a check after a look.
#[derive(Debug, Clone, Serialize)]
pub struct Observation {
    /// Name of the check.
    pub check: String,
    /// What it looks at: `mysql`, `disk`, `service`, `tcp`, `http`, `backup`; `watch` for a destination.
    pub kind: &'static str,
    /// When it was looked at.
    pub at: Timestamp,
    /// What was found.
    #[serde(flatten)]
    pub look: Look,
    /// How it stands.
    pub standing: Standing,
    /// Since when it is well, or has its problem.
    pub since: Timestamp,
    /// What the look changed.
    #[serde(flatten)]
    pub transition: Transition,
}

/// How it stands with a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// All is well.
    Good,
    /// The last looks were bad, and not enough of them yet to call it a problem.
    Failing,
    /// It has a problem.
    Problem,
    /// The last looks were good, and not enough of them yet to call the problem over.
    Recovering,
}

impl Standing {
    fn of(state: &CheckState) -> Self {
        match (state.problem.is_some(), state.contrary > 0) {
            (false, false) => Self::Good,
            (false, true) => Self::Failing,
            (true, false) => Self::Problem,
            (true, true) => Self::Recovering,
        }
    }
}

impl Observation {
    /// Takes a look into account.
    pub(super) fn new(spec: (&str, &'static str), look: Look, at: Timestamp, (state, transition): (&CheckState, Transition)) -> Self {
        Self {
            check: spec.0.to_owned(),
            kind: spec.1,
            at,
            look,
            standing: Standing::of(state),
            since: state.since.unwrap_or(at),
            transition,
        }
    }

    /// Whether something is wrong with it, as far as it is known by now.
    pub fn is_bad(&self) -> bool {
        self.look.fault().is_some() || self.standing == Standing::Problem
    }
}

/// How it stood with a check when it was last looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct CheckStanding {
    /// Name of the check.
    pub check: String,
    /// What it looks at: `mysql`, `disk`, `service`, `tcp`, `http`, `backup`.
    pub kind: &'static str,
    /// When it was last looked at, RFC 3339; absent before the first time.
    #[schemars(with = "Option<String>")]
    pub looked: Option<Timestamp>,
    /// How it stands.
    pub standing: Standing,
    /// Since when, RFC 3339.
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
    /// What is wrong.
    pub problem: Option<Fault>,
}

/// How it stood with every check when it was last looked at.
///
/// # Errors
/// When the catalogue cannot be read.
pub fn standings(context: &Context) -> Result<Vec<CheckStanding>, CatalogError> {
    let known = context.catalog.checks(CheckScope::Own)?;
    let standing = |check: &CheckSpec| {
        let record = known.get(&check.name);
        CheckStanding {
            check: check.name.clone(),
            kind: check.kind.name(),
            looked: record.map(|record| record.looked),
            standing: record.map_or(Standing::Good, |record| Standing::of(&record.state)),
            since: record.and_then(|record| record.state.since),
            problem: record.and_then(|record| record.state.problem),
        }
    };
    Ok(context.config.checks.iter().map(standing).collect())
}

/// What one round came to.
#[derive(Debug, Clone, Serialize)]
pub struct Round {
    /// What was looked at.
    pub observations: Vec<Observation>,
    /// When the next look is due; `None` where there is none.
    pub next: Option<Timestamp>,
}

/// Everything that is looked at. It stands on its own, so that it can go on beside a backup.
pub struct Monitor {
    /// As resolved.
    pub config: Arc<Config>,
    /// Catalogue.
    pub catalog: Arc<Catalog>,
    /// The age that the backup of each job may have, by the job's name; under no name that of the job that runs most often.
    ages: BTreeMap<Option<String>, Duration>,
    /// Paths whose file system did not answer yet: they are not asked again before it does.
    hung: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl Monitor {
    /// Everything that a configuration asks for; `now` is from when on its schedules are looked at.
    pub fn of(context: &Context, now: Timestamp) -> Self {
        let config = Arc::clone(&context.config);
        let mut ages = BTreeMap::new();
        for job in config.jobs.iter().filter(|job| matches!(job.action, Action::Run { .. })) {
            let gap = longest_gap(job, now).and_then(|gap| Duration::try_from(gap).ok());
            let age = gap.map_or(MAX_AGE, |gap| gap.saturating_add(ALLOWANCE));
            ages.insert(Some(job.name.clone()), age);
            ages.entry(None).and_modify(|least| *least = age.min(*least)).or_insert(age);
        }
        Self { config, catalog: Arc::clone(&context.catalog), ages, hung: Arc::default() }
    }

    /// Takes every look that is due, remembers what it means, and says what it changed.
    ///
    /// # Errors
    /// When the catalogue cannot be used. What is wrong with what is looked at is in its observation.
    pub async fn round(&self, now: Timestamp) -> Result<Round, CatalogError> {
        let mut known = self.catalog.checks(CheckScope::Own)?;
        let names: Vec<&str> = self.config.checks.iter().map(|check| check.name.as_str()).collect();
        self.catalog.keep_checks(CheckScope::Own, &names)?;
        let due = self.config.checks.iter().filter(|check| until(check, known.get(&check.name), now).is_none());
        let looks = self.looks(due.collect(), &known, now).await;
        let mut observations = Vec::new();
        for (check, look) in looks {
            let mut record =
                known.remove(&check.name).unwrap_or_else(|| CheckRecord { first: now, looked: now, state: CheckState::default() });
            let transition = record.state.observe(look.verdict, now, check.hysteresis);
            record.looked = now;
            self.catalog.record_check(CheckScope::Own, &check.name, now, &record.state)?;
            if let (CheckKind::Disk(_), Facts::Space { free, total, .. }) = (&check.kind, &look.facts) {
                self.catalog.record_sample(&check.name, Sample { at: now.as_second(), used: total.saturating_sub(*free) })?;
            }
            observations.push(Observation::new((check.name.as_str(), check.kind.name()), look, now, (&record.state, transition)));
            known.insert(check.name.clone(), record);
        }
        let next = self.config.checks.iter().filter_map(|check| until(check, known.get(&check.name), now)).min();
        Ok(Round { observations, next })
    }

    /// Looks at everything, whether it is due or not, and remembers nothing: what changes is for the daemon to tell.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn glance(&self, now: Timestamp) -> Result<Vec<Observation>, CatalogError> {
        let known = self.catalog.checks(CheckScope::Own)?;
        let looks = self.looks(self.config.checks.iter().collect(), &known, now).await;
        let observed = |(check, look): (&CheckSpec, Look)| {
            let mut state = known.get(&check.name).map(|record| record.state.clone()).unwrap_or_default();
            let transition = state.observe(look.verdict, now, check.hysteresis);
            Observation::new((check.name.as_str(), check.kind.name()), look, now, (&state, transition))
        };
        Ok(looks.into_iter().map(observed).collect())
    }

    /// Takes looks, a few at once, each within its own time.
    async fn looks<'a>(
        &'a self,
        checks: Vec<&'a CheckSpec>,
        known: &BTreeMap<String, CheckRecord>,
        now: Timestamp,
    ) -> Vec<(&'a CheckSpec, Look)> {
        let places = Semaphore::new(AT_ONCE);
        let one = |check: &'a CheckSpec| {
            let (first, places) = (known.get(&check.name).map_or(now, |record| record.first), &places);
            async move {
                let _place = places.acquire().await;
                let late = || Look::failed(Fault::Silent, format!("no answer within {} s", check.timeout.as_secs_f64()));
                let look = tokio::time::timeout(check.timeout, self.look(check, first, now)).await;
                (check, look.unwrap_or_else(|_| late()))
            }
        };
        join_all(checks.into_iter().map(one)).await
    }

    async fn look(&self, check: &CheckSpec, first: Timestamp, now: Timestamp) -> Look {
        match &check.kind {
            CheckKind::Mysql(name) => self.database(name).await,
            CheckKind::Disk(rule) => self.disk(&check.name, rule, now).await,
            CheckKind::Service(service) => look_at_service(service).await,
            CheckKind::Tcp { host, port } => look_at_port(host, *port).await,
            CheckKind::Http(rule) => look_at_page(rule, now).await,
            CheckKind::Backup(rule) => self.backup(rule, first, now),
        }
    }

    async fn database(&self, name: &str) -> Look {
        let (config, wanted) = (Arc::clone(&self.config), name.to_owned());
        // A password may come from a command.
        let fetched = tokio::task::spawn_blocking(move || {
            let server = config.mysql.iter().find(|server| server.settings.name == wanted)?;
            Some(config.mysql_settings(server))
        });
        let settings = match fetched.await {
            Ok(Some(Ok(settings))) => settings,
            Ok(Some(Err(error))) => return Look::failed(Fault::Unknown, error.to_string()),
            Ok(None) | Err(_) => return Look::failed(Fault::Unknown, format!("the database `{name}` could not be looked at")),
        };
        let (begun, cancel) = (Instant::now(), CancellationToken::new());
        match mysql::ping(settings, &cancel).await {
            Ok(version) => {
                let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                Look { verdict: Verdict::Good, facts: Facts::Answer { milliseconds, version: Some(version) } }
            }
            Err(error) => Look::failed(Fault::Unreachable, error.to_string()),
        }
    }

    async fn disk(&self, check: &str, rule: &DiskRule, now: Timestamp) -> Look {
        let space = match self.space(rule.path.clone()).await {
            Ok(space) => space,
            Err(look) => return look,
        };
        let history = i64::try_from(rule.history.as_secs()).unwrap_or(i64::MAX);
        let mut samples = match self.catalog.samples(check, now.as_second().saturating_sub(history)) {
            Ok(samples) => samples,
            Err(error) => return Look::failed(Fault::Unknown, error.to_string()),
        };
        samples.push(Sample { at: now.as_second(), used: space.used });
        let free = space.free;
        let days = tokio::task::spawn_blocking(move || days_until_full(&samples, free)).await.ok().flatten();
        judge_space(rule, space, days)
    }

    /// Measures a file system on a thread that may hang with it; there is never more than one for a path.
    async fn space(&self, path: PathBuf) -> Result<Space, Look> {
        let hung = Arc::clone(&self.hung);
        if !hung.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone()) {
            return Err(Look::failed(Fault::Silent, format!("the file system of `{}` still does not answer", path.display())));
        }
        let measured = tokio::task::spawn_blocking(move || {
            let space = measure_space(&path);
            hung.lock().unwrap_or_else(PoisonError::into_inner).remove(&path);
            space.map_err(|error| Look::failed(Fault::Unknown, format!("cannot measure the space of `{}`: {error}", path.display())))
        });
        measured.await.unwrap_or_else(|_| Err(Look::failed(Fault::Unknown, "the look at a disk ended unexpectedly")))
    }

    /// Where there never was a backup, the first look is what its age counts from.
    fn backup(&self, rule: &BackupRule, first: Timestamp, now: Timestamp) -> Look {
        let selection = rule.job.as_ref().and_then(|name| self.config.jobs.iter().find(|job| job.name == *name)).and_then(|job| {
            let Action::Run { only, .. } = &job.action else { return None };
            Some(only.as_slice())
        });
        let newest = match self.catalog.newest_good(rule.destination.as_deref(), selection) {
            Ok(newest) => newest,
            Err(error) => return Look::failed(Fault::Unknown, error.to_string()),
        };
        let max_age = rule.max_age.or_else(|| self.ages.get(&rule.job).copied()).unwrap_or(MAX_AGE);
        let since = newest.map_or(first, |(_, finished)| finished);
        let age = Duration::try_from(now.duration_since(since)).unwrap_or(Duration::ZERO);
        let verdict = match (age > max_age, newest) {
            (false, _) => Verdict::Good,
            (true, None) => Verdict::Bad(Fault::NoBackup),
            (true, Some(_)) => Verdict::Bad(Fault::Stale),
        };
        let set = newest.map(|(set, _)| set.to_string());
        Look { verdict, facts: Facts::Backup { set, age: age.as_secs(), max_age: max_age.as_secs() } }
    }
}

/// When the next look is due; `None` now. A clock that was set back keeps no check waiting, and a look may come a tenth of its interval early:
/// whatever calls every five minutes does not do so to the second.
fn until(check: &CheckSpec, known: Option<&CheckRecord>, now: Timestamp) -> Option<Timestamp> {
    let looked = known?.looked;
    let after = |time: Duration| looked.checked_add(SignedDuration::try_from(time).ok()?).ok();
    let early = after(check.interval.saturating_mul(9) / 10)?;
    (looked <= now && early > now).then(|| after(check.interval)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Hysteresis;

    fn context(rest: &str) -> (tempfile::TempDir, Context) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("cofre.toml");
        let text = format!(
            "passphrase = {{ env = \"X\" }}\nstorage = {{ state_dir = \"{}\" }}\n[[destination]]\nname = \"a\"\nplugin = \"/absent.wasm\"\n{rest}",
            directory.path().display()
        );
        std::fs::write(&path, text).expect("written");
        let config = Config::load(&path).expect("a configuration");
        let context = Context::open(config, super::super::actor(false), CancellationToken::new()).expect("opens");
        (directory, context)
    }

    #[tokio::test]
    async fn a_disk_is_told_of_days_before_it_is_full_and_one_that_hangs_is_not_asked_again() {
        let (_directory, context) = context("[[check]]\nname = \"d\"\nkind = \"disk\"\npath = \"/\"\nmin_free = \"1B\"\n");
        let free = measure_space(std::path::Path::new("/")).expect("measured").free;
        let now = Timestamp::now();
        for hour in 1..=120_u32 {
            let sample = Sample { at: now.as_second() - 3_600 * i64::from(hour), used: free / 72 * u64::from(120 - hour) };
            context.catalog.record_sample("d", sample).expect("written");
        }
        let monitor = Monitor::of(&context, now);
        let disk = |observations: Vec<Observation>| observations.into_iter().find(|one| one.check == "d").expect("a disk").look;
        let look = disk(monitor.glance(now).await.expect("looked"));
        let Facts::Space { days_until_full: Some(days), .. } = look.facts else { panic!("{look:?}") };
        assert!(look.fault() == Some(Fault::FullSoon) && (2.5..3.5).contains(&days), "{days}");
        monitor.hung.lock().expect("sound").insert(PathBuf::from("/"));
        assert_eq!(disk(monitor.glance(now).await.expect("looked")).fault(), Some(Fault::Silent));
    }

    #[test]
    fn a_check_is_due_when_its_interval_is_over_or_the_clock_was_set_back() {
        let check = CheckSpec {
            name: "a".to_owned(),
            kind: CheckKind::Tcp { host: "localhost".to_owned(), port: 1 },
            interval: Duration::from_secs(300),
            timeout: Duration::from_secs(1),
            hysteresis: Hysteresis::default(),
        };
        let at = |second: i64| Timestamp::from_second(1_772_000_000 + second).expect("a time");
        let known = CheckRecord { first: at(0), looked: at(0), state: CheckState::default() };
        let next = |second: i64| until(&check, Some(&known), at(second));
        assert_eq!([next(0), next(269), next(270), next(-1)], [Some(at(300)), Some(at(300)), None, None]);
        assert_eq!(until(&check, None, at(0)), None);
    }
}
