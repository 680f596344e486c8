//! Why a call failed, in the terms of the contract: a kind the host can act on, whether trying again may help, and one line for a person.
//! The host decides on retries from this alone, so a constructor's default for `retryable` follows its kind.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::bindings::imports::cofre::plugin::types as wire;

/// What a plug-in's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Kinds of failure that the host can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The settings of this instance cannot work.
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
    /// The service cannot be reached, or says that it is not available.
    Unavailable,
    /// A deadline passed.
    Timeout,
    /// What is stored is not what was sent.
    Integrity,
    /// The upload session is unknown or expired.
    SessionLost,
    /// The service cannot do this.
    Unsupported,
    /// Anything else.
    Other,
}

/// Why a call failed. Never put a secret into one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    retryable: bool,
    retry_after: Option<Duration>,
    message: String,
    context: Vec<(String, String)>,
}

impl Error {
    /// An error of `kind`; retryable where the kind usually passes (`RateLimited`, `Unavailable`, `Timeout`, `Integrity`).
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let retryable = matches!(kind, ErrorKind::RateLimited | ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Integrity);
        Self { kind, retryable, retry_after: None, message: message.into(), context: Vec::new() }
    }

    /// The settings cannot work; say which one, and what would.
    pub fn invalid_config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidConfig, message)
    }

    /// Credentials or permissions were refused.
    pub fn access_denied(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::AccessDenied, message)
    }

    /// There is no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// No space or quota is left.
    pub fn out_of_space(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::OutOfSpace, message)
    }

    /// Too many requests; `after` is what the service asks to wait.
    pub fn rate_limited(message: impl Into<String>, after: Option<Duration>) -> Self {
        Self { retry_after: after, ..Self::new(ErrorKind::RateLimited, message) }
    }

    /// The service cannot be reached, or says that it is not available.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// What is stored or arrived is not what was sent.
    pub fn integrity(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Integrity, message)
    }

    /// The upload session is unknown; the host will begin a new one.
    pub fn session_lost(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::SessionLost, message)
    }

    /// The service cannot do this.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// Anything else.
    pub fn other(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Other, message)
    }

    /// An HTTP answer that is no success, for services without a better code in `body`. The body's first 300 characters go into the context.
    pub fn from_http(status: u16, body: &[u8]) -> Self {
        let kind = match status {
            404 | 410 => ErrorKind::NotFound,
            401 | 403 | 407 => ErrorKind::AccessDenied,
            409 => ErrorKind::AlreadyExists,
            408 | 504 => ErrorKind::Timeout,
            413 | 507 => ErrorKind::OutOfSpace,
            429 => ErrorKind::RateLimited,
            405 | 501 => ErrorKind::Unsupported,
            500 | 502 | 503 | 505..=599 => ErrorKind::Unavailable,
            _ => ErrorKind::Other,
        };
        let error = Self::new(kind, format!("the service answered {status}")).with("status", status);
        let text: String = String::from_utf8_lossy(body).chars().filter(|c| !c.is_control()).take(300).collect();
        if text.is_empty() { error } else { error.with("answer", text) }
    }

    /// Adds a detail, such as a request identifier.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl fmt::Display) -> Self {
        self.context.push((name.into(), value.to_string()));
        self
    }

    /// Says whether the same call may succeed later, where the kind's default is wrong.
    #[must_use]
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }

    /// Says how long the service asks to wait.
    #[must_use]
    pub fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// Kind of failure.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }

    /// How long the service asks to wait.
    pub fn wait(&self) -> Option<Duration> {
        self.retry_after
    }

    /// What was being done, to what, and what went wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The value of a detail that [`Error::with`] added.
    pub fn detail(&self, name: &str) -> Option<&str> {
        self.context.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    fn prefixed(mut self, doing: &dyn fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.context.iter().try_for_each(|(name, value)| write!(f, "; {name}: {value}"))
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as Io;
        if matches!(error.get_ref(), Some(inner) if inner.is::<Self>()) {
            let inner = error.into_inner().and_then(|inner| inner.downcast::<Self>().ok());
            return inner.map_or_else(|| Self::other("an error lost its cause"), |inner| *inner);
        }
        let kind = match error.kind() {
            Io::NotFound | Io::NotADirectory => ErrorKind::NotFound,
            Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::AccessDenied,
            Io::AlreadyExists | Io::IsADirectory => ErrorKind::AlreadyExists,
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => ErrorKind::OutOfSpace,
            Io::UnexpectedEof => ErrorKind::Integrity,
            Io::TimedOut => ErrorKind::Timeout,
            Io::ConnectionRefused
            | Io::ConnectionReset
            | Io::ConnectionAborted
            | Io::NotConnected
            | Io::HostUnreachable
            | Io::NetworkUnreachable
            | Io::NetworkDown
            | Io::BrokenPipe => ErrorKind::Unavailable,
            Io::Unsupported => ErrorKind::Unsupported,
            _ => ErrorKind::Other,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}

/// Says what was being done when something failed, as in `.context("cannot read the index")?`.
pub trait Context<T> {
    /// Puts `doing` and a colon in front of the message.
    fn context(self, doing: impl fmt::Display) -> Result<T>;
    /// The same, worded only when it is needed.
    fn with_context<D: fmt::Display>(self, doing: impl FnOnce() -> D) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, doing: impl fmt::Display) -> Result<T> {
        self.map_err(|error| error.into().prefixed(&doing))
    }

    fn with_context<D: fmt::Display>(self, doing: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| error.into().prefixed(&doing()))
    }
}

impl From<Error> for wire::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            ErrorKind::InvalidConfig => wire::ErrorKind::InvalidConfig,
            ErrorKind::AccessDenied => wire::ErrorKind::AccessDenied,
            ErrorKind::NotFound => wire::ErrorKind::NotFound,
            ErrorKind::AlreadyExists => wire::ErrorKind::AlreadyExists,
            ErrorKind::OutOfSpace => wire::ErrorKind::OutOfSpace,
            ErrorKind::RateLimited => wire::ErrorKind::RateLimited,
            ErrorKind::Unavailable => wire::ErrorKind::Unavailable,
            ErrorKind::Timeout => wire::ErrorKind::Timeout,
            ErrorKind::Integrity => wire::ErrorKind::Integrity,
            ErrorKind::SessionLost => wire::ErrorKind::SessionLost,
            ErrorKind::Unsupported => wire::ErrorKind::Unsupported,
            ErrorKind::Other => wire::ErrorKind::Other,
        };
        let retry_after_ms = error.retry_after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        Self { kind, retryable: error.retryable, retry_after_ms, message: error.message, context: error.context }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_cut_body_keep_their_meaning_through_io() {
        assert_eq!(Error::from(io::Error::from(io::ErrorKind::StorageFull)).kind(), ErrorKind::OutOfSpace);
        let cut = Error::from(io::Error::from(io::ErrorKind::UnexpectedEof));
        assert_eq!((cut.kind(), cut.is_retryable()), (ErrorKind::Integrity, true));
    }

    #[test]
    fn an_error_survives_the_way_through_an_io_error() {
        let error = Error::rate_limited("slow down", Some(Duration::from_secs(3))).with("status", 503);
        assert_eq!(Error::from(io::Error::from(error.clone())), error);
    }

    #[test]
    fn context_says_what_was_being_done_before_what_went_wrong() {
        let failed: io::Result<()> = Err(io::Error::new(io::ErrorKind::PermissionDenied, "denied"));
        let error = failed.with_context(|| "cannot open x").expect_err("it failed");
        assert_eq!((error.kind(), error.message()), (ErrorKind::AccessDenied, "cannot open x: denied"));
    }

    #[test]
    fn an_http_answer_names_its_status_and_the_start_of_its_body() {
        let error = Error::from_http(503, &[b'x'; 4000]);
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, true));
        assert_eq!(error.detail("answer").map(str::len), Some(300));
        assert_eq!(Error::from_http(400, b"").kind(), ErrorKind::Other);
        assert_eq!(Error::from_http(404, b"").kind(), ErrorKind::NotFound);
    }
}
