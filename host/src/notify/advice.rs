//! What helps against an error. The causes are few; what a person is to do about each is written in `text`.

use serde::{Deserialize, Serialize};

use crate::ports::DestinationErrorKind;

/// One thing that is wrong, and what helps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What it is about: a destination, a schema, a directory.
    pub subject: String,
    /// The error's own words.
    pub message: String,
    /// What helps.
    pub advice: Advice,
}

/// What kind of help an error needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Advice {
    /// A disk of this machine is full.
    DiskFull {
        /// Directory on it.
        path: String,
        /// Free bytes.
        free: u64,
        /// Bytes that are needed; `None` where nobody knows.
        needed: Option<u64>,
    },
    /// A destination has no space or quota left.
    DestinationFull,
    /// A name, password, key or token is refused, or lacks a permission.
    Credentials,
    /// A database account lacks a privilege.
    Privileges,
    /// A server does not answer.
    Unreachable,
    /// A directory that was granted is not there, as where a drive is not mounted.
    Directory,
    /// A server answers too slowly.
    Slow,
    /// A certificate is expired, of another host, or of nobody who is trusted.
    Certificate,
    /// A service asks for fewer requests.
    RateLimited,
    /// A stored copy is not what was stored.
    Damaged {
        /// The set.
        set: Option<String>,
        /// Destinations that have a copy that held.
        good: Vec<String>,
    },
    /// The passphrase cannot be read.
    PassphraseMissing,
    /// The passphrase is another one.
    PassphraseWrong,
    /// The destination lets nobody remove anything.
    AppendOnly,
    /// Another process holds the lock.
    Busy,
    /// A plug-in is not the one that was approved.
    PluginApproval,
    /// A plug-in is faulty.
    Plugin,
    /// The configuration is wrong.
    Settings,
    /// A command of the administrator failed.
    Hook,
    /// A set does not hold everything.
    Partial,
    /// There is no set.
    NoSet,
    /// The newest set is too old.
    Stale,
    /// A service of this machine does not run.
    ServiceDown {
        /// Its name.
        service: String,
    },
    /// What was restored is not what was backed up.
    Differs,
    /// It took longer than it may.
    Timeout,
    /// The error's own words must do.
    Unknown,
}

/// What tells a certificate that is refused from any other error of a connection: rustls' and OpenSSL's words.
const CERTIFICATE: [&str; 5] = ["certificate", "unknownissuer", "unknown issuer", "self-signed", "self signed"];

impl Advice {
    /// What helps against an error of a destination.
    pub fn of_destination(kind: DestinationErrorKind, message: &str) -> Self {
        match kind {
            // A refused certificate has no kind of its own.
            DestinationErrorKind::Unavailable | DestinationErrorKind::Other | DestinationErrorKind::AccessDenied
                if is_certificate(message) =>
            {
                Self::Certificate
            }
            DestinationErrorKind::Unavailable if message.contains("cannot open the granted directory") => Self::Directory,
            DestinationErrorKind::InvalidConfig | DestinationErrorKind::Unsupported => Self::Settings,
            DestinationErrorKind::AccessDenied => Self::Credentials,
            DestinationErrorKind::NotFound | DestinationErrorKind::Integrity => Self::Damaged { set: None, good: Vec::new() },
            DestinationErrorKind::OutOfSpace => Self::DestinationFull,
            DestinationErrorKind::RateLimited => Self::RateLimited,
            DestinationErrorKind::Unavailable => Self::Unreachable,
            DestinationErrorKind::Timeout => Self::Slow,
            DestinationErrorKind::Plugin => Self::Plugin,
            DestinationErrorKind::AlreadyExists | DestinationErrorKind::SessionLost | DestinationErrorKind::Other => {
                Self::of_words(message)
            }
        }
    }

    /// What helps against an error of which only its words are left: those of our own messages, of the operating system and of servers.
    pub fn of_words(message: &str) -> Self {
        let message = message.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
        if has(&["no space left", "not enough space", "disk quota"]) {
            Self::DiskFull { path: String::new(), free: 0, needed: None }
        } else if has(&CERTIFICATE) {
            Self::Certificate
        } else if has(&["passphrase is another"]) {
            Self::PassphraseWrong
        } else if has(&["access denied for user", "authentication", "password", "login incorrect", "unauthorized"]) {
            Self::Credentials
        } else if has(&["command denied", "access denied", "you need (at least one of)", "permission denied"]) {
            Self::Privileges
        } else if has(&["timed out", "time-out", "timeout", "said nothing for"]) {
            Self::Slow
        } else if has(&[
            "cannot connect",
            "refused",
            "unreachable",
            "no route",
            "reset by peer",
            "cannot be resolved",
            "dns",
            "broken pipe",
        ]) {
            Self::Unreachable
        } else if has(&["not approved", "that was approved"]) {
            Self::PluginApproval
        } else if has(&["grants.delete"]) {
            Self::AppendOnly
        } else {
            Self::Unknown
        }
    }
}

fn is_certificate(message: &str) -> bool {
    let message = message.to_lowercase();
    CERTIFICATE.iter().any(|word| message.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_destination_is_known_by_its_kind() {
        for (kind, message, advice) in [
            (DestinationErrorKind::Unavailable, "connect: connection refused", Advice::Unreachable),
            (DestinationErrorKind::Unavailable, "invalid peer certificate: Expired", Advice::Certificate),
            (DestinationErrorKind::AccessDenied, "403 SignatureDoesNotMatch", Advice::Credentials),
            (DestinationErrorKind::OutOfSpace, "507", Advice::DestinationFull),
            (DestinationErrorKind::Timeout, "30 s", Advice::Slow),
            (DestinationErrorKind::Other, "the operation timed out", Advice::Slow),
            (DestinationErrorKind::Integrity, "md5 differs", Advice::Damaged { set: None, good: Vec::new() }),
        ] {
            assert_eq!(Advice::of_destination(kind, message), advice, "{message}");
        }
    }

    #[test]
    fn an_error_of_which_words_are_left_is_known_by_them() {
        for (message, advice) in [
            (
                "cannot connect to database `principal` at 10.0.0.5:3306: ERROR 28000 (1045): Access denied for user 'cofre'@'%' (using password: YES)",
                Advice::Credentials,
            ),
            ("cannot connect to database `principal` at 10.0.0.5:3306: Connection refused (os error 111)", Advice::Unreachable),
            ("cannot connect to database `principal` at x: invalid peer certificate: UnknownIssuer", Advice::Certificate),
            ("cannot read table `a`: SELECT command denied to user 'cofre'@'%' for table 'a'", Advice::Privileges),
            ("cannot read table `a`: the server said nothing for 300 s; idle_timeout is how long it may", Advice::Slow),
            ("cannot write `x`: No space left on device (os error 28)", Advice::DiskFull { path: String::new(), free: 0, needed: None }),
            ("plug-in `/p.wasm` is not approved yet and does nothing", Advice::PluginApproval),
            ("a table fell over", Advice::Unknown),
        ] {
            assert_eq!(Advice::of_words(message), advice, "{message}");
        }
    }
}
