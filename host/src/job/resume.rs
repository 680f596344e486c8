//! What earlier runs left: a sealed set is copied on, a dead one is removed from the spool and from the destinations.

use serde::Serialize;

use super::context::{Context, JobError};
use super::run::{artifacts_of, expected, settle};
use crate::copy::{DestinationOutcome, Expected, SetCopies, clean_up};
use crate::pipeline::Passphrase;
use crate::set::{MANIFEST, SEAL, SealedManifest, SetName};
use crate::spool::LeftOver;

/// What became of one set.
#[derive(Debug, Clone, Serialize)]
pub struct Resumed {
    /// The set.
    pub set: String,
    /// Destinations that were still missing it; empty for a dead set that was removed.
    pub destinations: Vec<DestinationOutcome>,
}

/// Goes on with what was left. Takes the run lock.
///
/// # Errors
/// When the spool or the catalogue cannot be used.
pub async fn resume(context: &Context) -> Result<Vec<Resumed>, JobError> {
    let _lock = context.spool.lock_run()?;
    let passphrase = context.config.passphrase()?;
    tidy(context, &passphrase).await
}

/// The same for a caller that holds the lock.
pub(super) async fn tidy(context: &Context, passphrase: &Passphrase) -> Result<Vec<Resumed>, JobError> {
    let mut resumed = Vec::new();
    for (set, state) in context.spool.left_overs()? {
        if context.cancel.is_cancelled() {
            return Err(JobError::Cancelled);
        }
        match state {
            LeftOver::Producing => {
                tracing::warn!(%set, "the run of this set died before its sources were read: removing what it left");
                clean_up_dead(context, set).await?;
                resumed.push(Resumed { set: set.to_string(), destinations: Vec::new() });
            }
            LeftOver::Sealed => {
                tracing::info!(%set, "going on with the copies of this set");
                resumed.push(Resumed { set: set.to_string(), destinations: copy_on(context, set, passphrase).await? });
            }
        }
    }
    Ok(resumed)
}

/// Removes a set that can never be: sessions and objects at the destinations, then the spool.
pub(super) async fn clean_up_dead(context: &Context, set: SetName) -> Result<(), JobError> {
    let open = context.catalog.uploads(set)?;
    let mut clean = true;
    for config in &context.config.destinations {
        let name = &config.settings.name;
        let sessions: Vec<_> =
            open.iter().filter(|(destination, _, _)| destination == name).map(|(_, key, token)| (key.clone(), token.clone())).collect();
        let removed = match context.destination(config).await {
            Ok(destination) => {
                clean_up(&context.lane(set, config, destination), &format!("{set}/"), &sessions).await.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = removed {
            clean = false;
            tracing::warn!(%set, destination = name, error, "what a dead run left could not be removed; the next run tries again");
        }
    }
    let spool = context.spool.open_set(set);
    if clean { Ok(spool.remove_all()?) } else { Ok(spool.discard()?) }
}

async fn copy_on(context: &Context, set: SetName, passphrase: &Passphrase) -> Result<Vec<DestinationOutcome>, JobError> {
    let spool = context.spool.open_set(set);
    // The spool is private, but a disk is a disk: nothing goes out that its own seal does not vouch for.
    let sealed = SealedManifest::open(spool.get(MANIFEST)?, &spool.get(SEAL)?, passphrase.as_bytes())?;
    let manifest = sealed.manifest();
    let incomplete = context.catalog.incomplete(set)?;
    let known = context.catalog.sets()?.iter().any(|known| known.name == set.to_string());
    let (mut lanes, mut outcomes) = (Vec::new(), Vec::new());
    for config in &context.config.destinations {
        if known && !incomplete.contains(&config.settings.name) {
            continue;
        }
        match context.destination(config).await {
            Ok(destination) => lanes.push(context.lane(set, config, destination)),
            Err(error) => {
                let outcome = DestinationOutcome {
                    name: config.settings.name.clone(),
                    complete: false,
                    bytes: 0,
                    seconds: 0.0,
                    error: Some(error.to_string()),
                };
                outcomes.push(outcome);
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
    settle(context, &spool, &outcomes)?;
    Ok(outcomes)
}
