//! Why a call failed, in the terms of the contract: a kind the host can act on, whether trying again may help, and one line for a person.
//! The host decides on retries from this alone, so a constructor's default for `retryable` follows its kind.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::bindings::imports::cofre::plugin::types as wire;

/// What a plug-in's functions return. `?` turns a [`std::io::Error`] into an [`Error`] of the kind that fits it.
///
/// # Examples
///
/// ```
/// use cofre_sdk::{Context as _, Error, Result};
///
/// fn offset(header: &str) -> Result<u64> {
///     header.parse().map_err(|_| Error::other(format!("`{header}` is no offset"))).context("cannot resume the upload")
/// }
///
/// assert_eq!(offset("512")?, 512);
/// # Ok::<(), Error>(())
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Kinds of failure that the host can act on.
///
/// # Examples
///
/// ```
/// use cofre_sdk::{Error, ErrorKind, Result};
///
/// /// Deleting what is not there is success.
/// fn deleted(answer: Result<()>) -> Result<()> {
///     match answer {
///         Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
///         answer => answer,
///     }
/// }
///
/// assert!(deleted(Err(Error::not_found("set/db.tar"))).is_ok());
/// assert!(deleted(Err(Error::access_denied("set/db.tar is protected"))).is_err());
/// ```
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
///
/// A message says what was being done, to what, what went wrong, and what mends it where something does.
///
/// # Examples
///
/// What a service answers becomes one of the kinds, each with a constructor of its own:
///
/// ```
/// use std::time::Duration;
///
/// use cofre_sdk::{Error, ErrorKind};
///
/// fn refused(code: &str, said: &str, wait: Option<Duration>) -> Error {
///     match code {
///         "NoSuchBucket" => Error::invalid_config(format!("/bucket: {said}; make it, or name another")),
///         "AccessDenied" => Error::access_denied(said),
///         "NoSuchKey" => Error::not_found(said),
///         "ObjectExists" => Error::new(ErrorKind::AlreadyExists, said),
///         "QuotaExceeded" => Error::out_of_space(said),
///         "SlowDown" => Error::rate_limited(said, wait),
///         "ServiceUnavailable" => Error::unavailable(said),
///         "RequestTimeout" => Error::new(ErrorKind::Timeout, said),
///         "BadDigest" => Error::integrity(said),
///         "NoSuchUpload" => Error::session_lost(said),
///         "NotImplemented" => Error::unsupported(said),
///         _ => Error::other(said).with("code", code),
///     }
/// }
///
/// let error = refused("SlowDown", "reduce your request rate", Some(Duration::from_secs(3)));
/// assert_eq!(error.kind(), ErrorKind::RateLimited);
/// assert!(error.is_retryable());
/// assert_eq!(error.wait(), Some(Duration::from_secs(3)));
/// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::{Error, ErrorKind};
    ///
    /// let late = Error::new(ErrorKind::Timeout, "the server did not greet within 30 s");
    /// assert!(late.is_retryable());
    /// ```
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let retryable = matches!(kind, ErrorKind::RateLimited | ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Integrity);
        Self { kind, retryable, retry_after: None, message: message.into(), context: Vec::new() }
    }

    /// The settings cannot work; say which one, and what would.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = cofre_sdk::Error::invalid_config("/endpoint is no address; write https://…");
    /// assert!(!error.is_retryable());
    /// ```
    pub fn invalid_config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidConfig, message)
    }

    /// Credentials or permissions were refused.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = cofre_sdk::Error::access_denied("the token may not write to `backups`; it needs the scope `files.write`");
    /// assert!(!error.is_retryable());
    /// ```
    pub fn access_denied(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::AccessDenied, message)
    }

    /// There is no such thing.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = cofre_sdk::Error::not_found("there is no object set/db.tar");
    /// assert_eq!(error.kind(), cofre_sdk::ErrorKind::NotFound);
    /// ```
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// No space or quota is left.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = cofre_sdk::Error::out_of_space("cannot write set/db.tar: the quota of 15 GB is used up");
    /// assert!(!error.is_retryable());
    /// ```
    pub fn out_of_space(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::OutOfSpace, message)
    }

    /// Too many requests; `after` is what the service asks to wait, `None` where it does not say.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let header = "120"; // `Retry-After`, in seconds.
    /// let error = cofre_sdk::Error::rate_limited("too many uploads", header.parse().ok().map(Duration::from_secs));
    /// assert_eq!(error.wait(), Some(Duration::from_mins(2)));
    /// ```
    pub fn rate_limited(message: impl Into<String>, after: Option<Duration>) -> Self {
        Self { retry_after: after, ..Self::new(ErrorKind::RateLimited, message) }
    }

    /// The service cannot be reached, or says that it is not available.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = cofre_sdk::Error::unavailable("the server is being maintained");
    /// assert!(error.is_retryable());
    /// ```
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// What is stored or arrived is not what was sent.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::{Error, Result};
    ///
    /// fn check(sent: u64, stored: u64) -> Result<()> {
    ///     if stored == sent { Ok(()) } else { Err(Error::integrity(format!("{sent} bytes were sent, and {stored} are stored"))) }
    /// }
    /// # assert!(check(1, 1).is_ok() && check(1, 2).is_err());
    /// ```
    pub fn integrity(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Integrity, message)
    }

    /// The upload session is unknown; the host will begin a new one.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::{Error, Result};
    ///
    /// fn offset(token: &str) -> Result<u64> {
    ///     token.parse().map_err(|_| Error::session_lost("the token is not one of this plug-in"))
    /// }
    /// # assert!(offset("12").is_ok() && offset("x").is_err());
    /// ```
    pub fn session_lost(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::SessionLost, message)
    }

    /// The service cannot do this.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = cofre_sdk::Error::unsupported("this service takes no files");
    /// assert!(!error.is_retryable());
    /// ```
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// Anything else.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = cofre_sdk::Error::other("the listing is no JSON").retryable(true);
    /// assert_eq!(error.kind(), cofre_sdk::ErrorKind::Other);
    /// ```
    pub fn other(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Other, message)
    }

    /// An HTTP answer that is no success, for services without a better code in `body`. The body's first 300 characters go into the
    /// context, as `answer`; the status as `status`.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::{Error, ErrorKind};
    ///
    /// let error = Error::from_http(507, b"the disk is full");
    /// assert_eq!(error.kind(), ErrorKind::OutOfSpace);
    /// assert_eq!(error.to_string(), "the service answered 507; status: 507; answer: the disk is full");
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// let error = cofre_sdk::Error::unavailable("cannot store set/db.tar").with("request_id", "4442587FB7D0A2F9");
    /// assert_eq!(error.to_string(), "cannot store set/db.tar; request_id: 4442587FB7D0A2F9");
    /// ```
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl fmt::Display) -> Self {
        self.context.push((name.into(), value.to_string()));
        self
    }

    /// Says whether the same call may succeed later, where the kind's default is wrong.
    ///
    /// # Examples
    ///
    /// ```
    /// // A certificate that is wrong now will be wrong again.
    /// let error = cofre_sdk::Error::unavailable("the server's certificate has expired").retryable(false);
    /// assert!(!error.is_retryable());
    /// ```
    #[must_use]
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }

    /// Says how long the service asks to wait; to the millisecond, as the contract has it.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let error = cofre_sdk::Error::from_http(503, b"").retry_after(Some(Duration::from_secs(10)));
    /// assert_eq!(error.wait(), Some(Duration::from_secs(10)));
    /// ```
    #[must_use]
    pub fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// Kind of failure.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::{Error, ErrorKind};
    ///
    /// assert_eq!(Error::from_http(401, b"").kind(), ErrorKind::AccessDenied);
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::Error;
    ///
    /// assert!(Error::from_http(503, b"").is_retryable());
    /// assert!(!Error::from_http(403, b"").is_retryable());
    /// ```
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }

    /// How long the service asks to wait; `None` where it did not say, and the host decides.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(cofre_sdk::Error::unavailable("no answer").wait(), None);
    /// ```
    pub fn wait(&self) -> Option<Duration> {
        self.retry_after
    }

    /// What was being done, to what, and what went wrong; without the details of [`Error::with`], which `Display` adds.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = cofre_sdk::Error::other("the listing is no JSON").with("status", 200);
    /// assert_eq!(error.message(), "the listing is no JSON");
    /// assert_eq!(error.to_string(), "the listing is no JSON; status: 200");
    /// ```
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The value of a detail that [`Error::with`] added.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = cofre_sdk::Error::from_http(404, b"");
    /// assert_eq!(error.detail("status"), Some("404"));
    /// assert_eq!(error.detail("answer"), None);
    /// ```
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
///
/// # Examples
///
/// ```
/// use cofre_sdk::files::Dir;
/// use cofre_sdk::{Context as _, Result};
///
/// fn size(dir: &Dir, key: &str) -> Result<u64> {
///     Ok(dir.metadata(key).with_context(|| format!("cannot look at {key}"))?.size)
/// }
///
/// # let dir = Dir::at("/nowhere");
/// let error = size(&dir, "set/db.tar").expect_err("it is not there");
/// assert!(error.message().starts_with("cannot look at set/db.tar: "));
/// ```
pub trait Context<T> {
    /// Puts `doing` and a colon in front of the message.
    ///
    /// # Errors
    /// The same error, of the same kind; one of another type is converted first.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::{Context as _, Error};
    ///
    /// let failed: Result<(), Error> = Err(Error::access_denied("the token was refused"));
    /// let error = failed.context("cannot read the index").expect_err("it failed");
    /// assert_eq!(error.to_string(), "cannot read the index: the token was refused");
    /// ```
    fn context(self, doing: impl fmt::Display) -> Result<T>;
    /// The same, worded only when it is needed.
    ///
    /// # Errors
    /// The same error, of the same kind; one of another type is converted first.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::{Context as _, Result};
    ///
    /// fn read(path: &str) -> Result<String> {
    ///     std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
    /// }
    /// # assert!(read("/nowhere").expect_err("it is not there").message().starts_with("cannot read /nowhere: "));
    /// ```
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
