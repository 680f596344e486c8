//! What goes from a destination again: what a dead run left, and sets that retention does not keep.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::CopyError;
use super::file::{CopyContext, small};
use super::session::Session;
use super::set::{Lane, context};
use crate::ports::{DestinationError, DestinationErrorKind, Limits};
use crate::set::SEAL;

/// How long removing what a dead run left at one destination may take.
const CLEANUP: Duration = Duration::from_secs(300);

/// How long removing one set may take: hundreds of objects, each with a login at some services.
const RETIREMENT: Duration = Duration::from_secs(3_600);

/// What needs no limits, since it uploads nothing.
pub(super) const NO_UPLOADS: Limits = Limits { part_size: None, max_object_size: None, parallel_uploads: 1, free_bytes: None };

/// Lists a set again after removing from it, in case that moved what the cursor pointed at.
const CLEANUP_ROUNDS: u32 = 3;

/// What became of the stored objects of a set that can never be whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CleanedUp {
    /// All of them are gone; how many there were.
    Removed(u64),
    /// They stay, as deletion is not granted.
    Left {
        /// How many.
        count: u64,
        /// The first keys.
        keys: Vec<String>,
    },
}

/// Keys of objects that stay which are told one by one.
const LEFT_TOLD: usize = 20;

/// Removes what a dead run left at a destination: open sessions, and stored objects where deletion is granted. `prefix` is the
/// set's, with its `/`; `sessions` are `(key, what the journal kept)`.
///
/// # Errors
/// When something could not be removed, or the set turns out to be complete there: then nothing is touched.
pub async fn clean_up(lane: &Lane, prefix: &str, sessions: &[(String, String)]) -> Result<CleanedUp, DestinationError> {
    let cancel = CancellationToken::new();
    let context = context(lane, NO_UPLOADS, &cancel);
    let work = async {
        spare_the_complete(&context, prefix).await?;
        abort_all(&context, sessions).await?;
        if lane.destination.may_delete() { remove_all(&context, prefix).await } else { left(&context, prefix).await }
    };
    tokio::time::timeout(CLEANUP, work)
        .await
        .unwrap_or_else(|_| Err(DestinationError::transient(DestinationErrorKind::Timeout, "removing what a dead run left took too long")))
}

/// A set that could not be removed.
#[derive(Debug)]
pub struct NotRetired {
    /// Why not.
    pub source: DestinationError,
    /// Whether all of it is still there, seal included.
    pub untouched: bool,
}

/// Removes a complete set: its seal first, so that whatever interrupts this leaves nothing that looks like one. `prefix` and `sessions` are
/// as for [`clean_up`].
///
/// # Errors
/// When something could not be removed.
pub async fn retire(lane: &Lane, prefix: &str, sessions: &[(String, String)]) -> Result<(), NotRetired> {
    let cancel = CancellationToken::new();
    let context = context(lane, NO_UPLOADS, &cancel);
    let seal = format!("{prefix}{SEAL}");
    if let Err(source) = call(&context, &seal, context.destination.delete(&seal)).await {
        // The call may have failed after it did its work.
        let there = call(&context, &seal, context.destination.stat(&seal)).await.is_ok();
        return Err(NotRetired { source, untouched: there });
    }
    let work = async {
        abort_all(&context, sessions).await?;
        remove_all(&context, prefix).await
    };
    let late =
        || DestinationError::transient(DestinationErrorKind::Timeout, "removing the set took too long; the next time goes on with it");
    let ended = tokio::time::timeout(RETIREMENT, work).await.unwrap_or_else(|_| Err(late()));
    ended.map(drop).map_err(|source| NotRetired { source, untouched: false })
}

/// One call of a clean-up, with its deadline.
pub(super) async fn call<T>(
    context: &CopyContext<'_>,
    key: &str,
    call: impl Future<Output = Result<T, DestinationError>>,
) -> Result<T, DestinationError> {
    small(context, key, call).await.map_err(|error| match error {
        CopyError::Destination { source, .. } => source,
        other => DestinationError::fatal(DestinationErrorKind::Other, other.to_string()),
    })
}

async fn spare_the_complete(context: &CopyContext<'_>, prefix: &str) -> Result<(), DestinationError> {
    let seal = format!("{prefix}{SEAL}");
    match call(context, &seal, context.destination.stat(&seal)).await {
        Ok(_) => Err(DestinationError::fatal(
            DestinationErrorKind::AlreadyExists,
            format!("`{prefix}` is sealed and stays: it is a complete set"),
        )),
        Err(error) if error.kind == DestinationErrorKind::NotFound => Ok(()),
        // A seal that cannot be looked at may be there.
        Err(error) => Err(error),
    }
}

async fn abort_all(context: &CopyContext<'_>, sessions: &[(String, String)]) -> Result<(), DestinationError> {
    for (key, kept) in sessions {
        if let Some(session) = Session::from_journal(kept) {
            match call(context, key, context.destination.resume(key, &session.token)).await {
                Ok(upload) => call(context, key, upload.abort()).await?,
                Err(error) if error.retryable || error.kind == DestinationErrorKind::AccessDenied => return Err(error),
                // The service has forgotten it already.
                Err(_) => {}
            }
        }
        context.journal.forget(key);
    }
    Ok(())
}

async fn remove_all(context: &CopyContext<'_>, prefix: &str) -> Result<CleanedUp, DestinationError> {
    let mut removed = 0;
    for _ in 0..CLEANUP_ROUNDS {
        let (mut found, mut cursor) = (0, None::<String>);
        loop {
            let page = call(context, prefix, context.destination.list(prefix, cursor.as_deref())).await?;
            for object in page.objects.iter().filter(|object| object.key.starts_with(prefix)) {
                call(context, &object.key, context.destination.delete(&object.key)).await?;
                found += 1;
            }
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        removed += found;
        if found == 0 {
            return Ok(CleanedUp::Removed(removed));
        }
    }
    Err(DestinationError::transient(DestinationErrorKind::Other, format!("`{prefix}` still holds objects after they were removed")))
}

/// Looks for what would have to be removed.
async fn left(context: &CopyContext<'_>, prefix: &str) -> Result<CleanedUp, DestinationError> {
    let (mut count, mut keys, mut cursor) = (0, Vec::new(), None::<String>);
    loop {
        let page = call(context, prefix, context.destination.list(prefix, cursor.as_deref())).await?;
        for object in page.objects.into_iter().filter(|object| object.key.starts_with(prefix)) {
            count += 1;
            if keys.len() < LEFT_TOLD {
                keys.push(object.key);
            }
        }
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(if count == 0 { CleanedUp::Removed(0) } else { CleanedUp::Left { count, keys } });
        }
    }
}
