//! Retention: removes from each destination what its policy does not keep, and says of every set why it stays or goes.
//!
//! What is there is believed from the destination's own listing, what is known of it from the catalogue or, where that is silent, from the
//! sealed manifest. A set goes with its seal first: whatever interrupts the removal, what is left of it is no set, and the next run of this
//! removes the rest. Nothing is removed that this installation cannot tell for its own.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::context::{Context, JobError};
use super::fetch::Reader;
use super::inspect::{ListedSet, list_at};
use super::{alert, share, tell};
use crate::audit::{Action, Outcome};
use crate::catalog::{CopyState, SetRecord};
use crate::config::DestinationConfig;
use crate::copy::retire;
use crate::notify::Event;
use crate::pipeline::Passphrase;
use crate::ports::Destination;
use crate::retention::{Held, Pruned, PrunedSet, Version, VersionState, decide};
use crate::set::SetName;

/// What the catalogue says of a copy whose removal has begun.
pub(super) const REMOVED_BY_RETENTION: &str = "removed by retention";

/// What to look after.
#[derive(Debug, Clone, Default)]
pub struct PruneRequest {
    /// One destination; `None` is all.
    pub from: Option<String>,
    /// Only say what would happen.
    pub dry_run: bool,
}

/// Removes what the policy of each destination does not keep. Takes the run lock: no set is judged while a run writes it.
///
/// # Errors
/// When nothing could be begun; what is wrong with a destination or a set is in the result.
pub async fn prune(context: &Context, request: &PruneRequest) -> Result<Vec<Pruned>, JobError> {
    let result = recorded(context, request).await;
    if !request.dry_run {
        let scope = request.from.as_deref().unwrap_or_default();
        tell::raise_end(context, (Event::PruneFailed, scope), &result, |places| alert::of_prune(places, jiff::Timestamp::now()));
    }
    result
}

async fn recorded(context: &Context, request: &PruneRequest) -> Result<Vec<Pruned>, JobError> {
    let _lock = context.spool.lock_run()?;
    let passphrase = context.config.passphrase()?;
    let place = request.from.as_deref().unwrap_or("all destinations");
    if request.dry_run {
        context.audit.access(place, "prune --dry-run");
        return prune_all(context, request, &passphrase).await;
    }
    let intent = context.audit.must(Action::Prune, place, &[])?;
    let number = context.catalog.begin_run("prune", None)?;
    let result = prune_all(context, request, &passphrase).await;
    share::remove_expired(context).await;
    let (outcome, detail) = match &result {
        Ok(places) => told(places),
        Err(error) => (Outcome::Failed, error.to_string()),
    };
    intent.end(outcome, &[("result", &detail)]);
    context.catalog.finish_run(number, outcome.name(), &detail)?;
    result
}

fn told(places: &[Pruned]) -> (Outcome, String) {
    let removed: usize = places.iter().map(Pruned::removed).sum();
    let wrong = |place: &Pruned| {
        let sets =
            place.sets.iter().filter_map(|set| set.error.as_ref().map(|error| format!("{}: {}: {error}", place.destination, set.set)));
        place.error.iter().map(|error| format!("{}: {error}", place.destination)).chain(sets).collect::<Vec<_>>()
    };
    let problems: Vec<String> = places.iter().flat_map(wrong).collect();
    if problems.is_empty() { (Outcome::Done, format!("{removed} copies removed")) } else { (Outcome::Failed, problems.join("; ")) }
}

async fn prune_all(context: &Context, request: &PruneRequest, passphrase: &Passphrase) -> Result<Vec<Pruned>, JobError> {
    let mut places = Vec::new();
    for config in context.chosen(request.from.as_deref())? {
        let destination = config.settings.name.clone();
        let pruned = match Place::open(context, config, passphrase).await {
            Ok(place) => place.prune(request.dry_run).await,
            Err(error) => Err(error),
        };
        if context.cancel.is_cancelled() {
            return Err(JobError::Cancelled);
        }
        places.push(pruned.unwrap_or_else(|error| Pruned { destination, sets: Vec::new(), held: None, error: Some(error.to_string()) }));
    }
    Ok(places)
}

/// One destination under judgement.
struct Place<'a> {
    context: &'a Context,
    config: &'a DestinationConfig,
    destination: Arc<dyn Destination>,
    passphrase: &'a Passphrase,
}

impl<'a> Place<'a> {
    async fn open(context: &'a Context, config: &'a DestinationConfig, passphrase: &'a Passphrase) -> Result<Self, JobError> {
        Ok(Self { context, config, destination: context.destination(config).await?, passphrase })
    }

    fn name(&self) -> &str {
        &self.config.settings.name
    }

    async fn prune(&self, dry_run: bool) -> Result<Pruned, JobError> {
        let listed = list_at(self.destination.as_ref()).await?;
        let versions = self.versions(&listed).await?;
        let decisions = decide(&versions, &self.config.retention, jiff::ZonedDateTime::now().datetime());
        let held = self.held()?;
        let mut sets: Vec<PrunedSet> = decisions.into_iter().map(PrunedSet::from).collect();
        let mut removed = false;
        // The oldest first: whatever interrupts this, what is left is the younger part.
        for set in sets.iter_mut().rev().filter(|set| !set.keep && !dry_run && held.is_none()) {
            if self.context.cancel.is_cancelled() {
                break;
            }
            match self.remove_told(set).await {
                Ok(()) => (set.removed, removed) = (true, true),
                Err(error) => set.error = Some(error.to_string()),
            }
        }
        if removed {
            self.context.catalog.record_removal(self.name())?;
        }
        Ok(Pruned { destination: self.name().to_owned(), sets, held, error: None })
    }

    fn held(&self) -> Result<Option<Held>, JobError> {
        if !self.destination.may_delete() {
            return Ok(Some(Held::NotGranted));
        }
        let Some(interval) = self.config.removal_interval else { return Ok(None) };
        let last = self.context.catalog.last_removal(self.name())?;
        let until = last.and_then(|last| last.checked_add(interval).ok());
        Ok(until.filter(|until| *until > jiff::Timestamp::now()).map(|until| Held::TooSoon { until }))
    }

    /// What is there, with what is known of it.
    async fn versions(&self, listed: &[ListedSet]) -> Result<Vec<Version>, JobError> {
        let known: HashMap<String, SetRecord> = self.context.catalog.sets()?.into_iter().map(|set| (set.name.clone(), set)).collect();
        let begun: HashSet<String> = self.context.catalog.begun_sets()?.into_iter().collect();
        let in_spool: HashSet<SetName> = self.context.spool.left_overs()?.into_iter().map(|(set, _)| set).collect();
        let mut versions = Vec::new();
        for set in listed {
            let name = set.name.to_string();
            let read;
            let record = match known.get(&name) {
                None if set.complete => {
                    read = self.read(set.name).await?;
                    read.as_ref()
                }
                record => record,
            };
            let copy = record.and_then(|record| record.copies.iter().find(|copy| copy.destination == self.name()));
            let state = match (set.complete, record) {
                (false, _) if in_spool.contains(&set.name) => VersionState::Unfinished,
                // Somebody else's run may be at it.
                (false, None) if !begun.contains(&name) => VersionState::Strange,
                (false, _) => VersionState::Incomplete,
                (true, None) => VersionState::Strange,
                (true, Some(_)) if copy.is_some_and(|copy| copy.problem.is_some()) => VersionState::Damaged,
                (true, Some(record)) if record.whole => VersionState::Good,
                (true, Some(_)) => VersionState::Partial,
            };
            versions.push(Version {
                set: set.name,
                bytes: set.bytes,
                state,
                verified: copy.is_some_and(|copy| copy.verified.is_some() && copy.problem.is_none()),
                pinned: set.pinned,
                tags: record.map(|record| record.tags.clone()).unwrap_or_default(),
                selection: record.map(|record| record.selection.clone()).unwrap_or_default(),
            });
        }
        Ok(versions)
    }

    /// A set that the catalogue does not know. `None` where its seal does not hold: what cannot be told for our own is not ours to remove.
    async fn read(&self, set: SetName) -> Result<Option<SetRecord>, JobError> {
        let reader = Reader::new(self.context, self.config, self.destination.as_ref());
        match reader.open_set(set, self.passphrase).await {
            Ok(sealed) => {
                self.context.catalog.record_set(sealed.manifest())?;
                self.context.catalog.record_copy(set, self.name(), CopyState::Complete, "complete")?;
                Ok(self.context.catalog.set(set)?)
            }
            Err(error) if error.is_damage() => {
                tracing::warn!(%set, destination = self.name(), %error, "this set is not looked after: its seal does not hold here");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a set, once it is in the audit log that it will be.
    async fn remove_told(&self, set: &PrunedSet) -> Result<(), JobError> {
        // As `--json` says it.
        let why = serde_json::to_string(&set.reasons).unwrap_or_default();
        let facts = [("destination", self.name()), ("why", why.as_str())];
        let intent = self.context.audit.must(Action::Remove, &set.set.to_string(), &facts)?;
        let removed = self.remove(set.set).await;
        intent.ended(&removed);
        removed
    }

    async fn remove(&self, set: SetName) -> Result<(), JobError> {
        let catalog = &self.context.catalog;
        let before = catalog.copies(set)?.into_iter().find(|(name, _)| name == self.name()).map(|(_, state)| state);
        let sessions = catalog.uploads(set, self.name())?;
        // First, so that nobody takes for a copy what is half gone.
        catalog.record_copy(set, self.name(), CopyState::GivenUp, REMOVED_BY_RETENTION)?;
        let lane = self.context.lane(set, self.config, Arc::clone(&self.destination));
        match retire(&lane, &format!("{set}/"), &sessions).await {
            Ok(()) => Ok(catalog.forget_copy(set, self.name())?),
            Err(refused) => {
                if let (true, Some(before)) = (refused.untouched, before) {
                    catalog.record_copy(set, self.name(), before, "complete")?;
                }
                Err(JobError::Destination { name: self.name().to_owned(), source: refused.source })
            }
        }
    }
}
