//! A destination as the suite sees it: the contract's verbs in plain types, blocking, so that anything can be put behind them.

use std::fmt;
use std::io::{Read, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a call gives back.
pub type Answer<T> = Result<T, Failure>;

/// A destination under test. Every call stands for one in a fresh instance.
pub trait Subject: Send + Sync {
    /// Proves that settings and credentials work.
    fn probe(&self) -> Answer<Limits>;
    /// Opens a session; `size` in bytes, where it is known.
    fn begin(&self, key: &str, size: Option<u64>) -> Answer<Box<dyn Session + '_>>;
    /// Opens an earlier session from its token.
    fn resume(&self, key: &str, token: &str) -> Answer<Box<dyn Session + '_>>;
    /// Writes `length` bytes from `offset` on, or all to the end, into `sink`; returns how many.
    fn read(&self, key: &str, offset: u64, length: Option<u64>, sink: Box<dyn Write + Send>) -> Answer<u64>;
    /// Describes one object.
    fn stat(&self, key: &str) -> Answer<Object>;
    /// One page of the objects whose key starts with `prefix`.
    fn list(&self, prefix: &str, cursor: Option<&str>) -> Answer<Page>;
    /// Removes one object.
    fn delete(&self, key: &str) -> Answer<()>;

    /// Bytes that have left the sandbox for the service so far, by all instances; `None` where that cannot be seen.
    fn sent(&self) -> Option<u64> {
        None
    }

    /// Most bytes of memory that one instance has had so far; `None` where that cannot be seen.
    fn memory_peak(&self) -> Option<u64> {
        None
    }
}

/// An upload session. Dropping it leaves it to be resumed by its token.
pub trait Session {
    /// Names the session for [`Subject::resume`].
    fn token(&mut self) -> Answer<String>;
    /// Bytes that are durable.
    fn offset(&mut self) -> Answer<u64>;
    /// Takes exactly `length` bytes and returns the new offset.
    fn write(&mut self, body: Box<dyn Read + Send>, length: u64) -> Answer<u64>;
    /// The only commit.
    fn finish(&mut self) -> Answer<Object>;
    /// Forgets the session and what it stored.
    fn abort(&mut self) -> Answer<()>;
}

/// What the service accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one write; every write but the last has exactly this length. `None`: any length.
    pub part_size: Option<u64>,
    /// Largest object in bytes.
    pub max_object_size: Option<u64>,
    /// Uploads that may run at once.
    pub parallel_uploads: u32,
    /// Bytes that are free for objects, where the service says.
    pub free_bytes: Option<u64>,
}

/// One stored object as the service reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Key as it was given to `begin`.
    pub key: String,
    /// Size in bytes.
    pub size: u64,
    /// `algorithm:lower-case hex` over the whole object, where the service reports one.
    pub checksum: Option<String>,
}

/// One page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The objects of this page.
    pub objects: Vec<Object>,
    /// Cursor of the next page; `None` on the last.
    pub cursor: Option<String>,
}

/// Kinds of failure, as the contract has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The settings cannot work, or a range goes beyond the object.
    InvalidConfig,
    /// Credentials or permissions were refused.
    AccessDenied,
    /// No such object, bucket or directory.
    NotFound,
    /// The object is there already and may not be replaced.
    AlreadyExists,
    /// No space or quota left.
    OutOfSpace,
    /// Too many requests.
    RateLimited,
    /// The service cannot be reached.
    Unavailable,
    /// A deadline passed.
    Timeout,
    /// What is stored is not what was sent.
    Integrity,
    /// The upload session is unknown or expired.
    SessionLost,
    /// The service cannot do this.
    Unsupported,
    /// The plug-in broke its contract or a limit, as the host saw it; no plug-in says so itself.
    Plugin,
    /// Anything else.
    Other,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::InvalidConfig,
        Self::AccessDenied,
        Self::NotFound,
        Self::AlreadyExists,
        Self::OutOfSpace,
        Self::RateLimited,
        Self::Unavailable,
        Self::Timeout,
        Self::Integrity,
        Self::SessionLost,
        Self::Unsupported,
        Self::Plugin,
        Self::Other,
    ];

    /// As it is written in the contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidConfig => "invalid-config",
            Self::AccessDenied => "access-denied",
            Self::NotFound => "not-found",
            Self::AlreadyExists => "already-exists",
            Self::OutOfSpace => "out-of-space",
            Self::RateLimited => "rate-limited",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Integrity => "integrity",
            Self::SessionLost => "session-lost",
            Self::Unsupported => "unsupported",
            Self::Plugin => "plugin",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Kind of failure.
    pub kind: Kind,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// How long the service asks to wait.
    pub retry_after: Option<Duration>,
    /// One line for a person.
    pub message: String,
}

impl Failure {
    /// A failure that will not pass by itself.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, retryable: false, retry_after: None, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}
