//! What earlier runs left: a sealed set is copied on, a dead one is removed from the spool and from the destinations.

use serde::Serialize;

use super::context::{Context, JobError};
use super::run::{after_copies, artifacts_of, expected, hooks, settle};
use crate::audit::{Action, Event, Outcome};
use crate::catalog::CopyState;
use crate::config::HookMoment;
use crate::copy::{CleanedUp, DestinationOutcome, Expected, SetCopies, clean_up};
use crate::hooks::HookContext;
use crate::pipeline::Passphrase;
use crate::ports::{DestinationErrorKind, Meter, Warnings};
use crate::set::{MANIFEST, SEAL, SealedManifest, SetName};
use crate::spool::LeftOver;

/// What became of one set.
#[derive(Debug, Clone, Serialize)]
pub struct Resumed {
    /// The set.
    pub set: String,
    /// Destinations that were still missing it; empty for a dead set that was removed.
    pub destinations: Vec<DestinationOutcome>,
    /// Pieces of a dead set that stay where deletion is not granted.
    pub left: Vec<LeftBehind>,
    /// Why nothing could be done about it.
    pub error: Option<String>,
}

/// Pieces of a dead set at one destination, which cofre may not remove.
#[derive(Debug, Clone, Serialize)]
pub struct LeftBehind {
    /// Name of the destination.
    pub destination: String,
    /// How many objects.
    pub objects: u64,
    /// The first keys.
    pub keys: Vec<String>,
}

impl std::fmt::Display for LeftBehind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { objects, keys, .. } = self;
        let more = if keys.len() as u64 == *objects { "" } else { ", …" };
        write!(f, "{objects} objects of a run that died stay there, as deletion is not granted: {}{more}", keys.join(", "))
    }
}

/// How far a set that can never be whole was removed from one destination.
pub(super) enum Removal {
    /// Nothing is left that cofre may remove.
    Done(Option<LeftBehind>),
    /// The next run tries again.
    Later,
}

/// Goes on with what was left. Takes the run lock.
///
/// # Errors
/// When the spool or the catalogue cannot be used.
pub async fn resume(context: &Context, meter: &Meter) -> Result<Vec<Resumed>, JobError> {
    let _lock = context.spool.lock_run()?;
    let passphrase = context.config.passphrase()?;
    let number = context.catalog.begin_run("resume", None)?;
    let intent = context.audit.begin(Action::Resume, "spool", &[]);
    let result = tidy(context, &passphrase, meter, None).await;
    let (outcome, detail) = match &result {
        Ok(resumed) => {
            let whole = |set: &&Resumed| set.error.is_none() && set.destinations.iter().all(|copy| copy.complete);
            let open: Vec<_> = resumed.iter().filter(|set| !whole(set)).map(|set| set.set.as_str()).collect();
            if open.is_empty() {
                (Outcome::Done, format!("{} sets", resumed.len()))
            } else {
                (Outcome::Failed, format!("not complete: {}", open.join(", ")))
            }
        }
        Err(error) => (Outcome::Failed, error.to_string()),
    };
    intent.end(outcome, &[("result", &detail)]);
    context.catalog.finish_run(number, outcome.name(), &detail)?;
    result
}

/// The same for a caller that holds the lock, for all sets but its own. What is wrong with one set does not keep the others waiting.
pub(super) async fn tidy(
    context: &Context,
    passphrase: &Passphrase,
    meter: &Meter,
    own: Option<SetName>,
) -> Result<Vec<Resumed>, JobError> {
    let mut resumed = Vec::new();
    for (set, state) in context.spool.left_overs()?.into_iter().filter(|(set, _)| Some(*set) != own) {
        let mut this = Resumed { set: set.to_string(), destinations: Vec::new(), left: Vec::new(), error: None };
        let done = match state {
            LeftOver::Producing => {
                tracing::warn!(%set, "this set can never be whole: removing what is left of it");
                let cleaned = clean_up_dead(context, set).await.map(|left| this.left = left);
                let (outcome, error) = match &cleaned {
                    Ok(()) => (Outcome::Done, String::new()),
                    Err(error) => (Outcome::Failed, error.to_string()),
                };
                let why = "what is left of a run that died";
                context.audit.note(&Event::new(Action::Remove, &this.set, outcome).with("why", why).with("error", &error));
                cleaned
            }
            LeftOver::Sealed => {
                tracing::info!(%set, "going on with the copies of this set");
                copy_on(context, set, passphrase, meter).await.map(|destinations| this.destinations = destinations)
            }
        };
        if context.cancel.is_cancelled() {
            return Err(JobError::Cancelled);
        }
        this.error = done.err().map(|error| error.to_string());
        resumed.push(this);
    }
    Ok(resumed)
}

/// Removes a set that can never be: sessions and objects at the destinations, then the spool. Returns what has to stay.
pub(super) async fn clean_up_dead(context: &Context, set: SetName) -> Result<Vec<LeftBehind>, JobError> {
    let (mut clean, mut left) = (true, Vec::new());
    let copies = context.catalog.copies(set)?;
    let is_whole_at = |name: &String| copies.iter().any(|(known, state)| known == name && *state == CopyState::Complete);
    for config in context.config.destinations.iter().filter(|config| !is_whole_at(&config.settings.name)) {
        match clean_up_at(context, set, &config.settings.name).await? {
            Removal::Done(stays) => left.extend(stays),
            Removal::Later => clean = false,
        }
    }
    let spool = context.spool.open_set(set);
    if clean {
        spool.remove_all()?;
    } else {
        spool.discard()?;
    }
    Ok(left)
}

/// Removes the sessions and objects of a set that one destination can never have whole, as far as that is granted.
pub(super) async fn clean_up_at(context: &Context, set: SetName, name: &str) -> Result<Removal, JobError> {
    let sessions = context.catalog.uploads(set, name)?;
    for config in context.chosen(Some(name))? {
        let removed = match context.destination(config).await {
            Ok(destination) => {
                match clean_up(&context.lane(set, config, destination), &format!("{set}/"), &sessions).await {
                    // It is whole there: nothing of it is left over.
                    Err(error) if error.kind == DestinationErrorKind::AlreadyExists => Ok(CleanedUp::Removed(0)),
                    ended => ended.map_err(|error| error.to_string()),
                }
            }
            Err(error) => Err(error.to_string()),
        };
        match removed {
            Ok(CleanedUp::Removed(_)) => {}
            Ok(CleanedUp::Left { count, keys }) => {
                let left = LeftBehind { destination: name.to_owned(), objects: count, keys };
                tracing::warn!(%set, destination = name, "{left}");
                return Ok(Removal::Done(Some(left)));
            }
            Err(error) => {
                tracing::warn!(%set, destination = name, error, "what is left of a set there could not be removed; the next run tries again");
                return Ok(Removal::Later);
            }
        }
    }
    Ok(Removal::Done(None))
}

async fn copy_on(context: &Context, set: SetName, passphrase: &Passphrase, meter: &Meter) -> Result<Vec<DestinationOutcome>, JobError> {
    let spool = context.spool.open_set(set);
    // The spool is private, but a disk is a disk: nothing goes out that its own seal does not vouch for.
    let sealed = SealedManifest::open(spool.get(MANIFEST)?, &spool.get(SEAL)?, passphrase.as_bytes())?;
    let manifest = sealed.manifest();
    let copies = context.catalog.copies(set)?;
    // A destination that the catalogue does not know of with this set may well lack it.
    let settled = |name: &String| copies.iter().any(|(known, state)| known == name && *state != CopyState::Incomplete);
    let (mut lanes, mut outcomes, warnings) = (Vec::new(), Vec::new(), Warnings::default());
    for config in context.config.destinations.iter().filter(|config| !settled(&config.settings.name)) {
        let hook = HookContext { set: set.to_string(), subject: config.settings.name.clone(), ..HookContext::default() };
        let opened = match hooks(context, HookMoment::BeforeCopy, &hook, &warnings).await {
            Ok(()) => context.destination(config).await,
            Err(error) => Err(error),
        };
        match opened {
            Ok(destination) => {
                let lane = context.lane(set, config, destination);
                meter.destination(&config.settings.name, &lane.meter);
                lanes.push(lane);
            }
            Err(error) => {
                outcomes.push(DestinationOutcome::failed(&config.settings.name, error.to_string()));
            }
        }
    }
    let copies = SetCopies::start(spool.clone(), lanes, outcomes.len(), true, &context.cancel);
    let artifacts = artifacts_of(manifest);
    for (key, expected) in &artifacts {
        // A file that is gone was confirmed by every destination; closing looks for it there.
        if spool.adopt(key).is_some() {
            copies.artifact_started(key);
            copies.artifact_finished(key, expected.clone());
        }
    }
    let mut closing: Vec<(String, Expected)> = manifest.files.iter().map(|file| (file.key.clone(), expected(file))).collect();
    for (key, bytes) in [(MANIFEST, sealed.bytes()), (SEAL, sealed.seal_text().as_bytes())] {
        closing.push((key.to_owned(), super::run::expected_of(bytes)));
    }
    for (key, _) in &closing {
        spool.adopt(key);
    }
    context.catalog.record_set(manifest)?;
    outcomes.extend(copies.close(artifacts, &closing).await);
    settle(context, &spool, &outcomes).await?;
    after_copies(context, set, &outcomes, &warnings).await?;
    for warning in warnings.snapshot().0 {
        tracing::warn!(subject = warning.subject, "{}", warning.message);
    }
    Ok(outcomes)
}
