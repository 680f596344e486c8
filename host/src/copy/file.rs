//! One file to one destination: follows the growing spool file, resumes at the durable offset, believes nothing.
//!
//! A plug-in's word is checked at every step: the offset after a write, size and checksum after the end (traps 9 and 10).

use std::future::Future;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{CopyError, RetryPolicy, UploadJournal};
use crate::ports::{Destination, DestinationError, DestinationErrorKind, Limits, Meter, Object, Upload};
use crate::spool::{Available, Follower};

/// Bytes of one write where the service has no part size of its own.
const WINDOW: u64 = 16 << 20;
/// How often a session may be lost or its object found wrong before the copy is given up.
const RESTARTS: u32 = 3;

/// Size and digests that the finished object must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Bytes.
    pub size: u64,
    /// Lower-case hex.
    pub sha256: String,
    /// Lower-case hex.
    pub md5: String,
}

/// One file to copy.
#[derive(Debug, Clone)]
pub struct CopyJob {
    /// Key at the destination, set name included.
    pub key: String,
    /// Where the bytes come from.
    pub file: Follower,
    /// Known once the file has ended.
    pub expected: watch::Receiver<Option<Expected>>,
    /// The object may be there already, from before a restart: look first.
    pub look_first: bool,
}

/// Where and how a copy goes.
pub struct CopyContext<'a> {
    /// The destination.
    pub destination: &'a dyn Destination,
    /// What it accepts.
    pub limits: Limits,
    /// Retries.
    pub policy: RetryPolicy,
    /// Open sessions.
    pub journal: &'a dyn UploadJournal,
    /// Bytes confirmed.
    pub meter: &'a Meter,
    /// Ends the copy between two steps.
    pub cancel: &'a CancellationToken,
}

/// Copies one file and proves it: returns the object as the destination reports it.
///
/// # Errors
/// When the copy cannot be completed; nothing is listed under the key then, or it is removed again.
pub async fn copy_file(context: &CopyContext<'_>, mut job: CopyJob) -> Result<Object, CopyError> {
    if job.look_first
        && let Some(object) = already_there(context, &job).await
    {
        context.journal.forget(&job.key);
        return Ok(object);
    }
    let mut state = Attempts { failures: 0, restarts: 0, durable: 0 };
    loop {
        let before = state.durable;
        let error = match attempt(context, &mut job, &mut state).await {
            Err(CopyError::Destination { source, .. }) => source,
            other => return other,
        };
        if state.durable > before {
            state.failures = 0;
        }
        state.failures += 1;
        let starts_anew = matches!(error.kind, DestinationErrorKind::SessionLost | DestinationErrorKind::Integrity);
        if starts_anew {
            context.journal.forget(&job.key);
            state.restarts += 1;
            state.durable = 0;
        }
        let again = (error.retryable && state.failures < context.policy.attempts) || (starts_anew && state.restarts <= RESTARTS);
        if !again {
            return Err(CopyError::Destination { key: job.key, source: error });
        }
        tracing::info!(destination = context.destination.name(), key = job.key, %error, "copy interrupted; trying again");
        tokio::select! {
            () = context.cancel.cancelled() => return Err(CopyError::Cancelled),
            () = tokio::time::sleep(context.policy.pause(state.failures, &error)) => {}
        }
    }
}

struct Attempts {
    failures: u32,
    restarts: u32,
    /// Furthest offset that the destination confirmed in this session.
    durable: u64,
}

async fn attempt(context: &CopyContext<'_>, job: &mut CopyJob, state: &mut Attempts) -> Result<Object, CopyError> {
    let mut upload = open(context, job).await?;
    let mut offset = step(context, job, upload.offset()).await?;
    if let Available::Whole(total) = job.file.wait_for(offset).await
        && offset > total
    {
        return Err(lie(job, format!("it says that {offset} bytes are stored of a file of {total}")));
    }
    loop {
        remember(context, job, upload.as_mut()).await?;
        let window = context.limits.part_size.unwrap_or(WINDOW).max(1);
        let available = tokio::select! {
            () = context.cancel.cancelled() => return Err(CopyError::Cancelled),
            available = job.file.wait_for(offset + window) => available,
        };
        let length = match available {
            Available::Part => window,
            Available::Whole(total) if offset == total => break,
            Available::Whole(total) => window.min(total - offset),
            Available::Aborted => {
                let _ = step(context, job, upload.abort()).await;
                context.journal.forget(&job.key);
                return Err(CopyError::Aborted { key: job.key.clone() });
            }
        };
        let body = job.file.body(offset, length).await.map_err(|source| CopyError::Spool { key: job.key.clone(), source })?;
        let reached = step(context, job, upload.write(body, length)).await?;
        if reached != offset + length {
            return Err(lie(job, format!("it was given {length} bytes at offset {offset} and says that it is at {reached}")));
        }
        offset = reached;
        context.meter.add_cipher(length);
        state.durable = state.durable.max(offset);
    }
    let expected = expected(job).await?;
    let object = step(context, job, upload.finish()).await?;
    context.journal.forget(&job.key);
    if let Err(what) = matches(&object, &expected) {
        // What is wrong must not stay where it could be taken for a backup; where deleting is refused, the missing seal says so.
        let _ = step(context, job, context.destination.delete(&job.key)).await;
        let source = DestinationError::transient(DestinationErrorKind::Integrity, what);
        return Err(CopyError::Destination { key: job.key.clone(), source });
    }
    Ok(object)
}

async fn open(context: &CopyContext<'_>, job: &CopyJob) -> Result<Box<dyn Upload>, CopyError> {
    let size = job.expected.borrow().as_ref().map(|expected| expected.size);
    match context.journal.token(&job.key) {
        Some(token) => step(context, job, context.destination.resume(&job.key, &token)).await,
        None => step(context, job, context.destination.begin(&job.key, size)).await,
    }
}

async fn remember(context: &CopyContext<'_>, job: &CopyJob, upload: &mut dyn Upload) -> Result<(), CopyError> {
    let token = step(context, job, upload.token()).await?;
    context.journal.remember(&job.key, &token);
    Ok(())
}

async fn expected(job: &mut CopyJob) -> Result<Expected, CopyError> {
    let key = job.key.clone();
    let known = job.expected.wait_for(Option::is_some).await.ok().and_then(|expected| expected.clone());
    known.ok_or(CopyError::Aborted { key })
}

/// One call with its deadline; cancelling does not wait for it.
async fn step<T>(context: &CopyContext<'_>, job: &CopyJob, call: impl Future<Output = Result<T, DestinationError>>) -> Result<T, CopyError> {
    let failed = |source| CopyError::Destination { key: job.key.clone(), source };
    tokio::select! {
        () = context.cancel.cancelled() => Err(CopyError::Cancelled),
        ended = tokio::time::timeout(context.policy.call, call) => match ended {
            Ok(result) => result.map_err(failed),
            Err(_) => {
                let message = format!("the destination did not answer within {} s", context.policy.call.as_secs());
                Err(failed(DestinationError::transient(DestinationErrorKind::Timeout, message)))
            }
        },
    }
}

fn lie(job: &CopyJob, what: String) -> CopyError {
    let message = format!("the plug-in breaks its contract: {what}");
    CopyError::Destination { key: job.key.clone(), source: DestinationError::fatal(DestinationErrorKind::Plugin, message) }
}

/// Compares what the service reports with what was sent.
fn matches(object: &Object, expected: &Expected) -> Result<(), String> {
    if object.size != expected.size {
        return Err(format!("the destination stored {} bytes instead of {}", object.size, expected.size));
    }
    let differs = |algorithm: &str, ours: &str| {
        let theirs = object.checksum.as_deref().and_then(|checksum| checksum.strip_prefix(algorithm)?.strip_prefix(':'));
        theirs.is_some_and(|theirs| !theirs.eq_ignore_ascii_case(ours))
    };
    if differs("sha256", &expected.sha256) || differs("md5", &expected.md5) {
        return Err(format!("the destination reports the checksum {}, which is not that of what was sent", object.checksum.as_deref().unwrap_or("")));
    }
    Ok(())
}

async fn already_there(context: &CopyContext<'_>, job: &CopyJob) -> Option<Object> {
    let expected = job.expected.borrow().clone()?;
    let object = step(context, job, context.destination.stat(&job.key)).await.ok()?;
    matches(&object, &expected).ok().map(|()| object)
}
