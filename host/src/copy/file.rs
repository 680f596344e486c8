//! One file to one destination: follows the growing spool file, resumes at the durable offset, believes nothing.
//!
//! A plug-in's word is checked at every step: offsets against what was sent, size and checksum after the end (traps 9 and 10).

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::session::Session;
use super::{CopyError, RetryPolicy, UploadJournal};
use crate::pipeline::Digester;
use crate::ports::{BodySource, Destination, DestinationError, DestinationErrorKind, Limits, Meter, Object, Upload, body_sink};
use crate::spool::{Available, Follower};

/// Bytes of one write where the service has no part size of its own.
const WINDOW: u64 = 16 << 20;
/// How often a session may be lost or its object found wrong before the copy is given up.
const RESTARTS: u32 = 3;
/// Longest a call may take that moves no body.
pub(super) const SMALL_CALL: Duration = Duration::from_secs(120);

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
/// When the copy cannot be completed; nothing is listed under the key then, or it is removed again. An open session stays
/// in the journal, for the next attempt or for [`super::clean_up`].
pub async fn copy_file(context: &CopyContext<'_>, mut job: CopyJob) -> Result<Object, CopyError> {
    let mut progress = Progress::new(context.journal.token(&job.key), job.look_first);
    loop {
        let before = progress.durable;
        let error = match attempt(context, &mut job, &mut progress).await {
            Err(CopyError::Destination { source, .. }) => source,
            other => return other,
        };
        // A session that was lied about holds who knows what: a later run must not build upon it either.
        if starts_anew(&error) || error.kind == DestinationErrorKind::Plugin {
            forsake(context, &job.key, &mut progress, error.kind).await;
        }
        if !progress.may_try_again(&context.policy, before, &error) {
            return Err(CopyError::Destination { key: job.key, source: error });
        }
        tracing::info!(destination = context.destination.name(), key = job.key, %error, "copy interrupted; trying again");
        pause(context, context.policy.pause(progress.failures, &error)).await?;
    }
}

/// Whether the destination holds what is expected under `key`. Tries again where that may help.
pub(super) async fn is_there(context: &CopyContext<'_>, key: &str, expected: &Expected) -> Result<bool, CopyError> {
    let mut patience = Patience::default();
    loop {
        match small(context, key, context.destination.stat(key)).await {
            Ok(object) => return Ok(matches(&object, expected).is_ok()),
            Err(CopyError::Destination { source, .. }) if source.kind == DestinationErrorKind::NotFound => return Ok(false),
            Err(error) => patience.spend(context, error).await?,
        }
    }
}

/// Failures in a row of one call, which is tried again as often as the destination's retries allow.
#[derive(Default)]
pub(super) struct Patience {
    failures: u32,
}

impl Patience {
    /// Waits until the call may be tried again.
    ///
    /// # Errors
    /// With `error`, where trying again will not help or was tried often enough.
    pub(super) async fn spend(&mut self, context: &CopyContext<'_>, error: CopyError) -> Result<(), CopyError> {
        self.failures += 1;
        match error {
            CopyError::Destination { source, .. } if source.retryable && self.failures < context.policy.attempts => {
                pause(context, context.policy.pause(self.failures, &source)).await
            }
            error => Err(error),
        }
    }
}

/// How far a copy is, over all its attempts.
struct Progress {
    session: Option<Session>,
    /// Whether this process opened the session, and so knows for certain what it sent.
    own: bool,
    /// Furthest offset that the destination confirmed in this session.
    durable: u64,
    /// Bytes that the meter has seen.
    counted: u64,
    /// Attempts since the last progress.
    failures: u32,
    /// Sessions lost.
    restarts: u32,
    /// The object may be there already.
    look_first: bool,
    /// Bytes stand in the object for which there is only the destination's word that they are stored.
    on_its_word: bool,
}

impl Progress {
    fn new(journal: Option<String>, look_first: bool) -> Self {
        let session = journal.as_deref().and_then(Session::from_journal);
        Self { session, own: false, durable: 0, counted: 0, failures: 0, restarts: 0, look_first, on_its_word: false }
    }

    fn confirmed(&mut self, offset: u64, meter: &Meter) {
        self.durable = self.durable.max(offset);
        if offset > self.counted {
            meter.add_cipher(offset - self.counted);
            self.counted = offset;
        }
    }

    /// A lost session is bounded by its own count, whatever progress it made before: else a service that loses every one would go on for ever.
    fn may_try_again(&mut self, policy: &RetryPolicy, before: u64, error: &DestinationError) -> bool {
        if self.durable > before {
            self.failures = 0;
        }
        self.failures += 1;
        if starts_anew(error) {
            self.restarts += 1;
            self.durable = 0;
            return self.restarts <= RESTARTS;
        }
        error.retryable && self.failures < policy.attempts
    }
}

fn starts_anew(error: &DestinationError) -> bool {
    matches!(error.kind, DestinationErrorKind::SessionLost | DestinationErrorKind::Integrity)
}

/// Leaves a session for good; one that still exists is aborted, as nobody else will.
async fn forsake(context: &CopyContext<'_>, key: &str, progress: &mut Progress, kind: DestinationErrorKind) {
    progress.own = false;
    // First, so that a crash now cannot bring it back.
    context.journal.forget(key);
    if let Some(session) = progress.session.take()
        && kind != DestinationErrorKind::SessionLost
        && let Ok(upload) = small(context, key, context.destination.resume(key, &session.token)).await
    {
        let _ = small(context, key, upload.abort()).await;
    }
}

async fn attempt(context: &CopyContext<'_>, job: &mut CopyJob, progress: &mut Progress) -> Result<Object, CopyError> {
    if progress.look_first {
        if let Some(object) = already_there(context, job).await? {
            context.journal.forget(&job.key);
            progress.confirmed(object.size, context.meter);
            return Ok(object);
        }
        progress.look_first = false;
    }
    let mut upload = open(context, job, progress).await?;
    let offset = durable_offset(context, job, progress, upload.as_mut()).await?;
    match send(context, job, progress, (upload.as_mut(), offset)).await {
        Ok(expected) => finish(context, job, progress, (upload, &expected)).await,
        Err(error @ CopyError::Aborted { .. }) => {
            // Where aborting fails, the journal keeps the session for `clean_up`.
            if small(context, &job.key, upload.abort()).await.is_ok() {
                context.journal.forget(&job.key);
            }
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// Looks for the object of an earlier attempt. A look that fails for a passing reason is a failed attempt, not an absent object.
async fn already_there(context: &CopyContext<'_>, job: &mut CopyJob) -> Result<Option<Object>, CopyError> {
    let expected = expected(context, job).await?;
    match small(context, &job.key, context.destination.stat(&job.key)).await {
        Ok(object) if matches(&object, &expected).is_err() => Ok(None),
        Ok(object) => read_back(context, &job.key, (&object, &expected)).await.map(|()| Some(object)),
        Err(CopyError::Destination { source, .. }) if !source.retryable => Ok(None),
        Err(error) => Err(error),
    }
}

async fn open(context: &CopyContext<'_>, job: &CopyJob, progress: &mut Progress) -> Result<Box<dyn Upload>, CopyError> {
    let Some(session) = &progress.session else {
        let size = job.expected.borrow().as_ref().map(|expected| expected.size);
        fits(context, job, size.unwrap_or(0))?;
        let upload = small(context, &job.key, context.destination.begin(&job.key, size)).await?;
        progress.own = true;
        return Ok(upload);
    };
    let resumed = small(context, &job.key, context.destination.resume(&job.key, &session.token)).await;
    resumed.map_err(|error| match error {
        CopyError::Destination { key, source } => CopyError::Destination { key, source: unknown_session(source) },
        other => other,
    })
}

/// What says that a token is of no use, in whatever words, means a lost session; what says that nothing works stays what it is.
fn unknown_session(error: DestinationError) -> DestinationError {
    use DestinationErrorKind::{AlreadyExists, InvalidConfig, NotFound, Other, SessionLost, Unsupported};
    let lost = !error.retryable && matches!(error.kind, AlreadyExists | InvalidConfig | NotFound | Other | Unsupported);
    if lost { DestinationError { kind: SessionLost, ..error } } else { error }
}

/// The offset to go on from. More than was ever sent cannot be durable: believing it would leave a hole of the right size.
async fn durable_offset(
    context: &CopyContext<'_>,
    job: &CopyJob,
    progress: &mut Progress,
    upload: &mut dyn Upload,
) -> Result<u64, CopyError> {
    let offset = small(context, &job.key, upload.offset()).await?;
    let sent = progress.session.as_ref().map_or(0, |session| session.sent);
    if offset > sent && progress.own {
        return Err(lie(job, format!("it was sent {sent} bytes and says that {offset} are stored")));
    }
    if offset > sent {
        // The journal may have lost its last words in a power cut: not a lie, but not to be built upon either.
        let message = format!("the session of an earlier run holds {offset} bytes where {sent} are known to have been sent");
        let source = DestinationError::fatal(DestinationErrorKind::Integrity, message);
        return Err(CopyError::Destination { key: job.key.clone(), source });
    }
    progress.on_its_word |= offset > 0;
    progress.confirmed(offset, context.meter);
    remember(context, job, progress, (upload, sent)).await?;
    Ok(offset)
}

/// Sends what is there and what still comes, until the file has ended.
async fn send(
    context: &CopyContext<'_>,
    job: &mut CopyJob,
    progress: &mut Progress,
    (upload, mut offset): (&mut dyn Upload, u64),
) -> Result<Expected, CopyError> {
    let window = context.limits.part_size.unwrap_or(WINDOW).max(1);
    loop {
        let available = tokio::select! {
            () = context.cancel.cancelled() => return Err(CopyError::Cancelled),
            available = job.file.wait_for(offset.saturating_add(window)) => available,
        };
        let length = match available {
            Available::Part => window,
            Available::Whole(total) if offset == total => break,
            Available::Whole(total) if offset > total => {
                return Err(lie(job, format!("it says that {offset} bytes are stored of a file of {total}")));
            }
            Available::Whole(total) => window.min(total - offset),
            Available::Aborted => return Err(CopyError::Aborted { key: job.key.clone() }),
        };
        fits(context, job, offset + length)?;
        let sent = progress.session.as_ref().map_or(0, |session| session.sent).max(offset + length);
        remember(context, job, progress, (upload, sent)).await?;
        let written = write(context, job, (upload, offset, length)).await;
        if written.is_err() && !context.cancel.is_cancelled() {
            // What failed may have opened the service's own session on the way: without its token nobody could ever close it.
            let _ = remember(context, job, progress, (upload, sent)).await;
        }
        let reached = written?;
        if reached != offset + length {
            return Err(lie(job, format!("it was given {length} bytes at offset {offset} and says that it is at {reached}")));
        }
        offset = reached;
        progress.confirmed(offset, context.meter);
    }
    let expected = expected(context, job).await?;
    if expected.size != offset {
        let message = format!("the file has {offset} bytes where {} were written", expected.size);
        return Err(CopyError::Spool { key: job.key.clone(), source: io::Error::new(io::ErrorKind::InvalidData, message) });
    }
    Ok(expected)
}

fn fits(context: &CopyContext<'_>, job: &CopyJob, size: u64) -> Result<(), CopyError> {
    match context.limits.max_object_size {
        Some(max) if size > max => {
            let message = format!(
                "the destination takes no object of more than {max} bytes, and this one has {size} or more; raise its part size, where its \
                 plug-in has one, or use a destination without that limit"
            );
            let source = DestinationError::fatal(DestinationErrorKind::Unsupported, message);
            Err(CopyError::Destination { key: job.key.clone(), source })
        }
        _ => Ok(()),
    }
}

/// One write with both its time-outs: the deadline of the call, and silence.
async fn write(
    context: &CopyContext<'_>,
    job: &mut CopyJob,
    (upload, offset, length): (&mut dyn Upload, u64, u64),
) -> Result<u64, CopyError> {
    let body = match job.file.body(offset, length).await {
        Ok(body) => body,
        // The writer may have given up since: its file is gone then, and that is no fault of anybody here.
        Err(_) if job.file.is_aborted() => return Err(CopyError::Aborted { key: job.key.clone() }),
        Err(source) => return Err(CopyError::Spool { key: job.key.clone(), source }),
    };
    let pulse = Arc::new(Mutex::new(Pulse { last: Instant::now(), error: None }));
    let body: BodySource = Box::pin(Watched { body, pulse: Arc::clone(&pulse) });
    let written = tokio::select! {
        written = step(context, &job.key, (upload.write(body, length), context.policy.call_of(length))) => written,
        () = silence(&pulse, context.policy.idle) => Err(late(&job.key, context.policy.idle)),
    };
    let broken = pulse.lock().unwrap_or_else(PoisonError::into_inner).error.take();
    match (written, broken) {
        // The plug-in can only say that its body broke; the reason is ours.
        (Err(CopyError::Destination { key, .. }), Some(source)) => Err(CopyError::Spool { key, source }),
        (written, _) => written,
    }
}

/// The only commit. Until its answer is here and right, the object may or may not be there.
async fn finish(
    context: &CopyContext<'_>,
    job: &CopyJob,
    progress: &mut Progress,
    (upload, expected): (Box<dyn Upload>, &Expected),
) -> Result<Object, CopyError> {
    progress.look_first = true;
    let object = step(context, &job.key, (upload.finish(), context.policy.call)).await?;
    progress.look_first = false;
    progress.session = None;
    context.journal.forget(&job.key);
    if let Err(what) = matches(&object, expected) {
        return Err(remove_wrong(context, &job.key, what).await);
    }
    if std::mem::take(&mut progress.on_its_word) {
        read_back(context, &job.key, (&object, expected)).await?;
    }
    Ok(object)
}

/// Proves an object for which there is no checksum, and which was put together from sessions of which only the destination knows what
/// they held: a wrong offset once, and an interruption at the right moment, give a wrong object of the right size.
async fn read_back(context: &CopyContext<'_>, key: &str, (object, expected): (&Object, &Expected)) -> Result<(), CopyError> {
    if object.checksum.as_deref().is_some_and(|checksum| checksum.starts_with("sha256:") || checksum.starts_with("md5:")) {
        return Ok(());
    }
    let (mut digester, mut offset) = (Digester::default(), 0);
    while offset < expected.size {
        let length = READ_BACK.min(expected.size - offset);
        digester = read_piece(context, key, (offset, length), &digester).await?;
        offset += length;
    }
    let found = digester.finish();
    if found.size == expected.size && hex::encode(found.sha256) == expected.sha256 {
        return Ok(());
    }
    Err(remove_wrong(context, key, "what it stored over an interruption is not what was sent".to_owned()).await)
}

/// Bytes of an object that are read back in one call: large enough to cost few calls, small enough for a slow line and its deadline.
const READ_BACK: u64 = 64 << 20;

/// Digests one piece of an object on top of what came before it. A piece that fails for a passing reason is read again, and not the whole.
async fn read_piece(context: &CopyContext<'_>, key: &str, (offset, length): (u64, u64), before: &Digester) -> Result<Digester, CopyError> {
    let mut patience = Patience::default();
    loop {
        let digester = Arc::new(Mutex::new(before.clone()));
        let shown = Arc::clone(&digester);
        let sink = body_sink(move |bytes| {
            shown.lock().unwrap_or_else(PoisonError::into_inner).update(bytes);
            Ok(())
        });
        match step(context, key, (context.destination.read(key, offset, Some(length), sink), context.policy.call_of(length))).await {
            Ok(_) => return Ok(digester.lock().unwrap_or_else(PoisonError::into_inner).clone()),
            Err(error) => patience.spend(context, error).await?,
        }
    }
}

/// What is wrong must not stay where it could be taken for a backup; where it has to, the missing seal says so.
async fn remove_wrong(context: &CopyContext<'_>, key: &str, mut what: String) -> CopyError {
    if context.destination.may_delete() {
        let _ = small(context, key, context.destination.delete(key)).await;
    } else {
        what.push_str("; the wrong object stays, as deletion is not granted here");
    }
    CopyError::Destination { key: key.to_owned(), source: DestinationError::transient(DestinationErrorKind::Integrity, what) }
}

/// Keeps the session, in memory and in the journal, before the bytes up to `sent` go out.
async fn remember(
    context: &CopyContext<'_>,
    job: &CopyJob,
    progress: &mut Progress,
    (upload, sent): (&mut dyn Upload, u64),
) -> Result<(), CopyError> {
    let token = small(context, &job.key, upload.token()).await?;
    let session = Session { sent, token };
    context.journal.remember(&job.key, &session.to_journal());
    progress.session = Some(session);
    Ok(())
}

async fn expected(context: &CopyContext<'_>, job: &mut CopyJob) -> Result<Expected, CopyError> {
    let known = tokio::select! {
        () = context.cancel.cancelled() => return Err(CopyError::Cancelled),
        known = job.expected.wait_for(Option::is_some) => known.ok().and_then(|expected| expected.clone()),
    };
    known.ok_or_else(|| CopyError::Aborted { key: job.key.clone() })
}

/// One call that moves no body.
pub(super) async fn small<T>(
    context: &CopyContext<'_>,
    key: &str,
    call: impl Future<Output = Result<T, DestinationError>>,
) -> Result<T, CopyError> {
    step(context, key, (call, context.policy.call.min(SMALL_CALL))).await
}

/// One call with its deadline; cancelling does not wait for it.
async fn step<T>(
    context: &CopyContext<'_>,
    key: &str,
    (call, deadline): (impl Future<Output = Result<T, DestinationError>>, Duration),
) -> Result<T, CopyError> {
    tokio::select! {
        () = context.cancel.cancelled() => Err(CopyError::Cancelled),
        ended = tokio::time::timeout(deadline, call) => match ended {
            Ok(result) => result.map_err(|source| CopyError::Destination { key: key.to_owned(), source }),
            Err(_) => Err(late(key, deadline)),
        },
    }
}

async fn pause(context: &CopyContext<'_>, pause: Duration) -> Result<(), CopyError> {
    tokio::select! {
        () = context.cancel.cancelled() => Err(CopyError::Cancelled),
        () = tokio::time::sleep(pause) => Ok(()),
    }
}

fn late(key: &str, limit: Duration) -> CopyError {
    let message = format!("the destination gave no sign within {} s", limit.as_secs());
    CopyError::Destination { key: key.to_owned(), source: DestinationError::transient(DestinationErrorKind::Timeout, message) }
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
        return Err(format!(
            "the destination reports the checksum {}, which is not that of what was sent",
            object.checksum.as_deref().unwrap_or("")
        ));
    }
    Ok(())
}

/// When a body was last read from, and what broke it.
struct Pulse {
    last: Instant,
    error: Option<io::Error>,
}

/// Ends when nothing has been read for `limit`.
async fn silence(pulse: &Mutex<Pulse>, limit: Duration) {
    loop {
        let until = pulse.lock().unwrap_or_else(PoisonError::into_inner).last + limit;
        if until <= Instant::now() {
            return;
        }
        tokio::time::sleep_until(until).await;
    }
}

/// A body that shows when it is read.
struct Watched {
    body: BodySource,
    pulse: Arc<Mutex<Pulse>>,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = ready!(self.body.as_mut().poll_read(context, buffer));
        let mut pulse = self.pulse.lock().unwrap_or_else(PoisonError::into_inner);
        pulse.last = Instant::now();
        if let Err(error) = &read {
            pulse.error = Some(io::Error::new(error.kind(), error.to_string()));
        }
        Poll::Ready(read)
    }
}
