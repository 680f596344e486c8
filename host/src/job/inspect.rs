//! Looks at what there is: sets at a destination, one set in detail, and the catalogue read again from the sets themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::context::{Context, JobError};
use super::fetch::Reader;
use crate::audit::{Action, Outcome};
use crate::catalog::CopyState;
use crate::ports::{Destination, DestinationError, DestinationErrorKind, Object};
use crate::set::{Manifest, PINNED, SEAL, SetName};

/// Pages of one listing; beyond it the destination is taken for faulty.
const PAGES_MAX: usize = 100_000;
/// Longest that one page may take to come.
const PAGE: Duration = Duration::from_secs(120);

/// One set as a destination lists it.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct ListedSet {
    /// Its name.
    #[schemars(with = "String")]
    pub name: SetName,
    /// Whether its seal is there; the seal itself is not checked.
    pub complete: bool,
    /// Whether a person said that it stays.
    pub pinned: bool,
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Sets at one destination, newest first.
///
/// # Errors
/// When it cannot be listed.
pub async fn list_at(destination: &dyn Destination) -> Result<Vec<ListedSet>, JobError> {
    let mut sets: BTreeMap<SetName, ListedSet> = BTreeMap::new();
    let mut take = |object: Object| {
        let Some((set, file)) = object.key.split_once('/') else { return };
        let Ok(name) = set.parse::<SetName>() else { return };
        let listed = sets.entry(name).or_insert(ListedSet { name, complete: false, pinned: false, files: 0, bytes: 0 });
        listed.files += 1;
        listed.bytes += object.size;
        listed.complete |= file == SEAL;
        listed.pinned |= file == PINNED;
    };
    each_object(destination, "backup_", &mut take).await?;
    Ok(sets.into_values().rev().collect())
}

/// Gives `take` every object whose key begins with `prefix`.
///
/// # Errors
/// When the destination cannot be listed.
pub(super) async fn each_object(
    destination: &dyn Destination,
    prefix: &str,
    take: &mut (dyn FnMut(Object) + Send),
) -> Result<(), JobError> {
    let failed = |source| JobError::Destination { name: destination.name().to_owned(), source };
    let mut cursor = None;
    for _ in 0..PAGES_MAX {
        let page = tokio::time::timeout(PAGE, destination.list(prefix, cursor.as_deref())).await;
        let late = || DestinationError::transient(DestinationErrorKind::Timeout, format!("no list of objects within {} s", PAGE.as_secs()));
        let page = page.unwrap_or_else(|_| Err(late())).map_err(failed)?;
        page.objects.into_iter().for_each(&mut *take);
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(());
        }
    }
    Err(JobError::Failed(format!("the listing of destination `{}` does not end", destination.name())))
}

/// The same for a configured destination.
///
/// # Errors
/// When there is none of that name, or it cannot be listed.
pub async fn sets_at(context: &Context, name: &str) -> Result<Vec<ListedSet>, JobError> {
    context.audit.access(name, "list");
    at(context, name).await
}

async fn at(context: &Context, name: &str) -> Result<Vec<ListedSet>, JobError> {
    let config = context.chosen(Some(name))?[0];
    list_at(context.destination(config).await?.as_ref()).await
}

/// The newest complete set at any of the chosen destinations.
async fn newest(context: &Context, from: Option<&str>) -> Result<SetName, JobError> {
    let (mut newest, mut last) = (None, None);
    for config in context.chosen(from)? {
        match at(context, &config.settings.name).await {
            Ok(sets) => newest = newest.max(sets.iter().find(|set| set.complete).map(|set| set.name)),
            Err(error) => last = Some(error),
        }
    }
    newest.ok_or_else(|| {
        last.unwrap_or_else(|| JobError::Failed("there is no complete set at any destination; make one with: cofre run".to_owned()))
    })
}

/// The sealed manifest of a set (the newest where none is named), from the first destination that has it whole.
///
/// # Errors
/// When none has it.
pub async fn show(context: &Context, set: Option<SetName>, from: Option<&str>) -> Result<(String, Manifest), JobError> {
    let passphrase = context.config.passphrase()?;
    let set = match set {
        Some(set) => set,
        None => newest(context, from).await?,
    };
    context.audit.access(&set.to_string(), "show");
    let mut last = None;
    for config in context.chosen(from)? {
        let opened = match context.destination(config).await {
            Ok(destination) => Reader::new(context, config, destination.as_ref()).open_set(set, &passphrase).await.map_err(JobError::from),
            Err(error) => Err(error),
        };
        match opened {
            Ok(sealed) => return Ok((config.settings.name.clone(), sealed.manifest().clone())),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| JobError::Request("no destination is configured".to_owned())))
}

/// Reads the catalogue's sets again from a destination. Returns how many were read, and what was passed over.
///
/// # Errors
/// When the destination cannot be listed.
pub async fn rebuild(context: &Context, from: &str) -> Result<(usize, Vec<String>), JobError> {
    let intent = context.audit.begin(Action::CatalogRebuild, from, &[]);
    let rebuilt = read_again(context, from).await;
    match &rebuilt {
        Ok((read, passed)) => {
            let outcome = if passed.is_empty() { Outcome::Done } else { Outcome::Warnings };
            intent.end(outcome, &[("sets", &read.to_string()), ("passed_over", &passed.join("; "))]);
        }
        Err(error) => intent.end(Outcome::Failed, &[("error", &error.to_string())]),
    }
    rebuilt
}

async fn read_again(context: &Context, from: &str) -> Result<(usize, Vec<String>), JobError> {
    let passphrase = context.config.passphrase()?;
    let config = context.chosen(Some(from))?[0];
    let destination = context.destination(config).await?;
    let reader = Reader::new(context, config, destination.as_ref());
    let sets = list_at(destination.as_ref()).await?;
    context.catalog.forget_sets()?;
    let (mut read, mut passed) = (0, Vec::new());
    for set in sets {
        match reader.open_set(set.name, &passphrase).await {
            Ok(sealed) => {
                context.catalog.record_set(sealed.manifest())?;
                context.catalog.record_copy(set.name, from, CopyState::Complete, "complete")?;
                read += 1;
            }
            Err(error) => passed.push(error.to_string()),
        }
    }
    Ok((read, passed))
}
