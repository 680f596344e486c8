//! What the host asks of a destination: few verbs, each idempotent or resumable (D8).
//!
//! Retries, back-off, parallelism and bandwidth are decided by the callers in `copy/` alone; an implementation tries
//! once and says whether trying again may help.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes on their way to a destination. Ends early only with an error, never with a silent end of file.
pub type BodySource = Pin<Box<dyn AsyncRead + Send + 'static>>;

/// Where the bytes of a read go.
pub type BodySink = Pin<Box<dyn AsyncWrite + Send + 'static>>;

/// A sink that hands every block to `take`, which must not block; its error breaks the body.
pub fn body_sink(take: impl FnMut(&[u8]) -> io::Result<()> + Send + Unpin + 'static) -> BodySink {
    Box::pin(Taking(take))
}

struct Taking<F>(F);

impl<F: FnMut(&[u8]) -> io::Result<()> + Unpin> AsyncWrite for Taking<F> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready((self.0)(bytes).map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What a service accepts, learnt by [`Destination::probe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one write; every write but the last has exactly this length. `None`: any length.
    pub part_size: Option<u64>,
    /// Largest object in bytes.
    pub max_object_size: Option<u64>,
    /// How many uploads may run at once; at least 1.
    pub parallel_uploads: u32,
    /// Bytes that are free for objects, where the service says.
    pub free_bytes: Option<u64>,
}

/// One stored object as the service reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Key, relative to the instance's root, with `/` between parts.
    pub key: String,
    /// Size in bytes.
    pub size: u64,
    /// Last change in Unix milliseconds, where the service knows it.
    pub modified_unix_ms: Option<u64>,
    /// `algorithm:lower-case hex`, for example `md5:d41d8…` or `sha256:e3b0…`, where the service computes one over the whole object.
    pub checksum: Option<String>,
}

/// One page of a listing, in no promised order.
#[derive(Debug, Clone, Default)]
pub struct ObjectPage {
    /// The objects of this page.
    pub objects: Vec<Object>,
    /// Hand this back for the next page; `None` on the last one.
    pub cursor: Option<String>,
}

/// Kinds of failure that the host can act on. Mirrors `error-kind` of the WIT contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DestinationErrorKind {
    /// The settings of the instance cannot work.
    InvalidConfig,
    /// Credentials or permissions are refused.
    AccessDenied,
    /// No such object, bucket or directory.
    NotFound,
    /// The object is there already and may not be replaced.
    AlreadyExists,
    /// No space or quota left.
    OutOfSpace,
    /// Too many requests.
    RateLimited,
    /// The service cannot be reached or answers that it is not available.
    Unavailable,
    /// A deadline passed.
    Timeout,
    /// What is stored is not what was sent.
    Integrity,
    /// The upload session is unknown; begin anew.
    SessionLost,
    /// The service cannot do this.
    Unsupported,
    /// The plug-in broke its contract or a limit: a trap, an endless loop, a memory bomb, a lie about an offset. Never sent by a plug-in.
    Plugin,
    /// Anything else.
    Other,
}

/// Why a verb failed, in words for a person and terms for the host.
#[derive(Debug, Clone, thiserror::Error)]
pub struct DestinationError {
    /// Kind of failure.
    pub kind: DestinationErrorKind,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// How long the service asks to wait.
    pub retry_after: Option<Duration>,
    /// What was being done, to what, and what went wrong.
    pub message: String,
    /// Details in `(name, value)` pairs; never a secret.
    pub context: Vec<(String, String)>,
}

impl DestinationError {
    /// An error that trying again will not mend.
    pub fn fatal(kind: DestinationErrorKind, message: impl Into<String>) -> Self {
        Self { kind, retryable: false, retry_after: None, message: message.into(), context: Vec::new() }
    }

    /// An error that may pass.
    pub fn transient(kind: DestinationErrorKind, message: impl Into<String>) -> Self {
        Self { kind, retryable: true, retry_after: None, message: message.into(), context: Vec::new() }
    }
}

impl fmt::Display for DestinationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for (name, value) in &self.context {
            write!(f, "; {name}: {value}")?;
        }
        Ok(())
    }
}

/// One configured destination instance.
#[async_trait]
pub trait Destination: Send + Sync {
    /// Name of the instance in the configuration.
    fn name(&self) -> &str;
    /// Whether [`Self::delete`] was granted; where not, it fails, and what a dead run left stays.
    fn may_delete(&self) -> bool {
        true
    }
    /// Proves that settings, credentials and permissions work.
    async fn probe(&self) -> Result<Limits, DestinationError>;
    /// Opens a new upload session. No object appears under `key` before [`Upload::finish`].
    async fn begin(&self, key: &str, size: Option<u64>) -> Result<Box<dyn Upload>, DestinationError>;
    /// Opens an earlier session again, also after a restart of the host.
    async fn resume(&self, key: &str, token: &str) -> Result<Box<dyn Upload>, DestinationError>;
    /// Streams `length` bytes (or all) from `offset` into `sink`, shuts the sink down and returns how many it wrote.
    /// Fewer bytes than the object has is an error, not an end.
    async fn read(&self, key: &str, offset: u64, length: Option<u64>, sink: BodySink) -> Result<u64, DestinationError>;
    /// Describes one object.
    async fn stat(&self, key: &str) -> Result<Object, DestinationError>;
    /// Lists objects whose key starts with `prefix`.
    async fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<ObjectPage, DestinationError>;
    /// Removes one object; removing nothing is success.
    async fn delete(&self, key: &str) -> Result<(), DestinationError>;
    /// Keeps one object from being changed or removed until then, by anybody; never shortens an earlier time.
    async fn protect(&self, key: &str, until_unix_ms: u64) -> Result<(), DestinationError>;
    /// An address from which anybody who holds it can download the object for so many seconds.
    async fn share(&self, key: &str, lifetime_seconds: u32) -> Result<String, DestinationError>;
}

/// One upload session. Dropping it leaves it resumable by its token.
#[async_trait]
pub trait Upload: Send {
    /// Opaque; survives a restart of the host. May change after each write.
    async fn token(&mut self) -> Result<String, DestinationError>;
    /// Bytes that are durable at the destination.
    async fn offset(&mut self) -> Result<u64, DestinationError>;
    /// Sends `length` bytes from the current offset on; returns the new offset.
    async fn write(&mut self, body: BodySource, length: u64) -> Result<u64, DestinationError>;
    /// The only commit. Returns the object as the service reports it.
    async fn finish(self: Box<Self>) -> Result<Object, DestinationError>;
    /// Forgets the session and what it stored.
    async fn abort(self: Box<Self>) -> Result<(), DestinationError>;
}
