//! One file in the place of one that is damaged or missing. An object is replaced by the commit of its successor, so that the old one is
//! there until the new one is whole.

use std::fs::File;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::CopyError;
use super::clean_up::{NO_UPLOADS, call};
use super::file::{CopyJob, Expected, Patience, copy_file, small};
use super::set::{Lane, context};
use crate::ports::{DestinationErrorKind, Limits};
use crate::spool::Follower;

/// What a destination accepts.
///
/// # Errors
/// When it does not answer, however often it is asked.
pub async fn limits_of(lane: &Lane, cancel: &CancellationToken) -> Result<Limits, CopyError> {
    let context = context(lane, NO_UPLOADS, cancel);
    let mut patience = Patience::default();
    loop {
        match small(&context, "probe", context.destination.probe()).await {
            Ok(limits) => return Ok(limits),
            Err(error) => patience.spend(&context, error).await?,
        }
    }
}

/// Stores a whole file under `key`, in the place of what may be there. Where the service replaces nothing, the old object is removed first,
/// if that was granted: the new one lies on this disk, proven, until it is stored.
///
/// # Errors
/// When it cannot be stored.
pub async fn replace(
    lane: &Lane,
    (limits, cancel): (Limits, &CancellationToken),
    (key, file, expected): (&str, Arc<File>, Expected),
) -> Result<(), CopyError> {
    let context = context(lane, limits, cancel);
    let job = || CopyJob {
        key: key.to_owned(),
        file: Follower::of_whole(Arc::clone(&file), expected.size),
        expected: watch::Sender::new(Some(expected.clone())).subscribe(),
        look_first: false,
    };
    match copy_file(&context, job()).await {
        Err(CopyError::Destination { source, .. })
            if source.kind == DestinationErrorKind::AlreadyExists && lane.destination.may_delete() =>
        {
            let removed = call(&context, key, context.destination.delete(key)).await;
            removed.map_err(|source| CopyError::Destination { key: key.to_owned(), source })?;
            copy_file(&context, job()).await.map(drop)
        }
        stored => stored.map(drop),
    }
}
