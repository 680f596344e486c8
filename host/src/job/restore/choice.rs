//! Which set a restore takes: the newest that is sealed and holds what was asked for. Every newer one that was passed over is
//! named, with the reason: an old set must never come back in silence.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::find::{Found, find, flaws};
use super::{RestoreRequest, SetChoice};
use crate::config::DestinationConfig;
use crate::job::context::{Context, JobError};
use crate::job::fetch::{FetchError, Reader};
use crate::job::inspect::list_at;
use crate::pipeline::Passphrase;
use crate::ports::{Destination, Warnings};
use crate::set::{ArtifactRecord, SealedManifest, SetName};

/// Sets that are looked into, newest first; each costs the derivation of a key. What only older ones hold is restored by their name.
const SETS_LOOKED_INTO: usize = 100;
/// Sets that were passed over and are named.
const PASSED_OVER_TOLD: usize = 10;

/// The copies of one set whose seal holds, in the order of the configuration, and what to restore of it.
pub(in crate::job) struct Chosen<'a> {
    pub copies: Vec<HeldCopy<'a>>,
    pub records: Vec<ArtifactRecord>,
}

/// One copy of a set.
pub(in crate::job) struct HeldCopy<'a> {
    pub place: Place<'a>,
    pub sealed: SealedManifest,
}

/// A destination that can be read from.
#[derive(Clone)]
pub(in crate::job) struct Place<'a> {
    context: &'a Context,
    config: &'a DestinationConfig,
    destination: Arc<dyn Destination>,
}

impl Place<'_> {
    pub(super) fn reader(&self) -> Reader<'_> {
        Reader::new(self.context, self.config, self.destination.as_ref())
    }

    pub(super) fn name(&self) -> &str {
        &self.config.settings.name
    }
}

/// Chooses the set and the artifacts; says in `warnings` what was passed over, and what the set lacks.
pub(in crate::job) async fn choose<'a>(
    context: &'a Context,
    request: &RestoreRequest,
    passphrase: &Passphrase,
    warnings: &Warnings,
) -> Result<Chosen<'a>, JobError> {
    let mut search =
        Search { request, passphrase, sets: BTreeMap::new(), unsealed: Vec::new(), unreachable: Vec::new(), passed: Vec::new() };
    search.look_around(context).await?;
    let (copies, found) = search.newest().await?;
    let manifest = copies[0].sealed.manifest();
    search.tell(manifest.set, warnings);
    for lacking in &found.lacking {
        warnings.push(manifest.set.to_string(), format!("NOT IN THE BACKUP: {lacking}"));
    }
    for flaw in flaws(manifest, &found.records) {
        let message = format!("NOT IN THE BACKUP: {flaw}, which could not be read; the passport of the set names them among its warnings");
        warnings.push(manifest.set.to_string(), message);
    }
    Ok(Chosen { records: found.records, copies })
}

struct Search<'a, 'r> {
    request: &'r RestoreRequest,
    passphrase: &'r Passphrase,
    /// Sealed sets that fit the choice, and where they are.
    sets: BTreeMap<SetName, Vec<Place<'a>>>,
    /// Sets that fit and are sealed nowhere.
    unsealed: Vec<SetName>,
    /// Destinations that could not be looked at.
    unreachable: Vec<(String, JobError)>,
    /// Newer sets that were passed over.
    passed: Vec<(SetName, Passed)>,
}

enum Passed {
    /// No copy of it can be opened.
    Broken(FetchError),
    /// It lacks something.
    Lacks(Vec<String>),
}

impl<'a> Search<'a, '_> {
    async fn look_around(&mut self, context: &'a Context) -> Result<(), JobError> {
        let mut unsealed = Vec::new();
        for config in context.chosen(self.request.from.as_deref())? {
            let destination = match context.destination(config).await {
                Ok(destination) => destination,
                Err(error) => {
                    self.unreachable.push((config.settings.name.clone(), error));
                    continue;
                }
            };
            let place = Place { context, config, destination };
            if let SetChoice::Named(set) = self.request.set {
                self.sets.entry(set).or_default().push(place);
                continue;
            }
            match list_at(place.destination.as_ref()).await {
                Ok(sets) => {
                    for set in sets.into_iter().filter(|set| self.request.set.fits(set.name)) {
                        if set.complete {
                            self.sets.entry(set.name).or_default().push(place.clone());
                        } else {
                            unsealed.push(set.name);
                        }
                    }
                }
                Err(error) => self.unreachable.push((place.name().to_owned(), error)),
            }
        }
        self.unsealed = unsealed.into_iter().filter(|set| !self.sets.contains_key(set)).collect();
        Ok(())
    }

    /// The newest set that holds all that was asked for; else the newest that holds some of it.
    async fn newest(&mut self) -> Result<(Vec<HeldCopy<'a>>, Found), JobError> {
        let mut second = None;
        for (set, places) in self.sets.iter().rev().take(SETS_LOOKED_INTO) {
            let copy = match self.first_copy(*set, places).await {
                Ok(copy) => copy,
                Err(FetchError::Cancelled) => return Err(JobError::Cancelled),
                Err(error) => {
                    self.passed.push((*set, Passed::Broken(error)));
                    continue;
                }
            };
            let found = find(copy.sealed.manifest(), &self.request.what, &self.request.target)?;
            if found.lacking.is_empty() && !found.useless {
                return Ok((self.all_copies(copy, places).await?, found));
            }
            self.passed.push((*set, Passed::Lacks(found.lacking.clone())));
            if !found.useless && second.is_none() {
                second = Some((copy, places, found));
            }
        }
        match second {
            Some((copy, places, found)) => {
                let set = copy.sealed.manifest().set;
                self.passed.retain(|(passed, _)| *passed > set);
                Ok((self.all_copies(copy, places).await?, found))
            }
            None => Err(self.nothing()),
        }
    }

    async fn first_copy(&self, set: SetName, places: &[Place<'a>]) -> Result<HeldCopy<'a>, FetchError> {
        let mut last = FetchError::Cancelled;
        for place in places {
            match place.reader().open_set(set, self.passphrase).await {
                Ok(sealed) => return Ok(HeldCopy { place: place.clone(), sealed }),
                Err(FetchError::Cancelled) => return Err(FetchError::Cancelled),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The copies at all places, so that what is damaged at one of them comes from another.
    async fn all_copies(&self, first: HeldCopy<'a>, places: &[Place<'a>]) -> Result<Vec<HeldCopy<'a>>, JobError> {
        let set = first.sealed.manifest().set;
        let mut copies = Vec::new();
        let mut first = Some(first);
        for place in places {
            if first.as_ref().is_some_and(|first| first.place.name() == place.name()) {
                copies.extend(first.take());
                continue;
            }
            match place.reader().open_set(set, self.passphrase).await {
                Ok(sealed) => copies.push(HeldCopy { place: place.clone(), sealed }),
                Err(FetchError::Cancelled) => return Err(JobError::Cancelled),
                Err(error) => tracing::warn!(%error, "this copy is passed over"),
            }
        }
        Ok(copies)
    }

    fn tell(&self, chosen: SetName, warnings: &Warnings) {
        let named = matches!(self.request.set, SetChoice::Named(_));
        for (destination, error) in self.unreachable.iter().filter(|_| !named) {
            warnings.push(destination, format!("this destination could not be looked at, and may hold a newer set: {error}"));
        }
        let newer = self.passed.iter().map(|(set, why)| (*set, why.to_string()));
        let unsealed = self.unsealed.iter().map(|set| (*set, "it is complete at no destination".to_owned()));
        let mut newer: Vec<_> = newer.chain(unsealed).filter(|(set, _)| *set > chosen).collect();
        newer.sort_by_key(|(set, _)| std::cmp::Reverse(*set));
        for (set, why) in newer.iter().take(PASSED_OVER_TOLD) {
            warnings
                .push(set.to_string(), format!("this set is newer than the one that is restored ({chosen}), and was passed over: {why}"));
        }
        if let Some(more) = newer.len().checked_sub(PASSED_OVER_TOLD).filter(|more| *more > 0) {
            warnings.push(chosen.to_string(), format!("{more} more sets are newer and were passed over"));
        }
    }

    /// Why there is nothing to restore.
    fn nothing(&mut self) -> JobError {
        let looked_at = self.passed.len();
        match self.passed.first().map(|(set, why)| (set, why.to_string())) {
            None => {
                let problems: Vec<_> = self.unreachable.iter().map(|(_, error)| error.to_string()).collect();
                let why = if problems.is_empty() { String::new() } else { format!(": {}", problems.join("; ")) };
                JobError::Failed(format!("there is no such complete set at any destination{why}"))
            }
            Some(_) if self.passed.iter().all(|(_, why)| matches!(why, Passed::Broken(_))) => match self.passed.swap_remove(0).1 {
                Passed::Broken(error) => error.into(),
                Passed::Lacks(_) => JobError::Cancelled,
            },
            Some((set, why)) if looked_at == 1 => JobError::Request(format!("set {set} cannot give that: {why}")),
            Some((set, why)) => JobError::Request(format!(
                "none of the {looked_at} newest sets holds that; the newest, {set}, cannot give it: {why} (an older set is restored by its name or its day)"
            )),
        }
    }
}

impl std::fmt::Display for Passed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Broken(error) => write!(f, "{error}"),
            Self::Lacks(what) => write!(f, "it holds no {}", what.join("; no ")),
        }
    }
}

impl SetChoice {
    fn fits(&self, set: SetName) -> bool {
        match self {
            Self::Latest => true,
            Self::Named(name) => *name == set,
            Self::Day(day) => set.moment().date() == *day,
        }
    }
}
