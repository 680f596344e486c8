//! The server's refusals in the contract's terms. A reply's code (RFC 959, section 4.2) says little: 550 stands for "missing", "denied" and
//! "full" alike, so the words that follow decide, and where they do not, the caller looks for itself.

use std::io;

use cofre_sdk::{Error, ErrorKind};
use rustls::{AlertDescription, CertificateError};
use suppaftp::FtpError;
use suppaftp::types::Response;

/// Characters of the server's own words that are passed on.
const WORDS: usize = 300;

/// A reply that refuses something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    code: u32,
    words: String,
}

/// What a refusal means, as far as its words tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// There is no such file or directory.
    Missing,
    /// It is there already.
    Present,
    /// The account may not.
    Denied,
    /// No space or quota left.
    Full,
    /// Too many connections, too busy.
    Busy,
    /// The server does not know the command, or does not permit it at all.
    Unknown,
    /// The words do not tell.
    Unclear,
}

impl Refusal {
    pub(crate) fn of(response: &Response) -> Self {
        let text = String::from_utf8_lossy(&response.body);
        let digits = text.get(..3).and_then(|digits| digits.parse().ok());
        let code = match response.status.code() {
            0 => digits.unwrap_or(0),
            code => code,
        };
        let lines = text.lines().map(|line| line.strip_prefix(&code.to_string()).map_or(line, |rest| rest.trim_start_matches('-')).trim());
        let words = lines.collect::<Vec<_>>().join(" ").chars().filter(|c| !c.is_control()).take(WORDS).collect::<String>();
        Self { code, words: words.trim().to_owned() }
    }

    /// The refusal in an error, where it is one.
    pub(crate) fn in_error(error: &FtpError) -> Option<Self> {
        match error {
            FtpError::UnexpectedResponse(response) => Some(Self::of(response)),
            _ => None,
        }
    }

    pub(crate) fn code(&self) -> u32 {
        self.code
    }

    /// What the words mean, and then the code.
    pub(crate) fn meaning(&self) -> Meaning {
        let words = self.words.to_lowercase();
        let says = |texts: &[&str]| texts.iter().any(|text| words.contains(text));
        if says(&["no space", "quota", "disk full", "disk is full", "insufficient storage", "not enough space", "exceeded storage"]) {
            return Meaning::Full;
        }
        match self.code {
            452 | 552 => Meaning::Full,
            // ProFTPD refuses a login with 530 where too many are in.
            421 | 530 if says(&["too many", "maximum", "try again", "try later"]) => Meaning::Busy,
            421 | 425 | 426 | 434 => Meaning::Busy,
            430 | 530 | 532 => Meaning::Denied,
            500..=504 => Meaning::Unknown,
            450 | 451 | 550..=553 => {
                if says(&["restart not permitted", "append/restart"]) {
                    Meaning::Unknown
                } else if says(&["no such", "not found", "not exist", "cannot find", "can't find", "no files", "nonexistent"]) {
                    Meaning::Missing
                } else if says(&[
                    "permission",
                    "denied",
                    "not permitted",
                    "not allowed",
                    "read-only",
                    "read only",
                    "forbidden",
                    "not enough privileges",
                    "prohibited",
                ]) {
                    Meaning::Denied
                } else if says(&["exists", "overwrite"]) {
                    Meaning::Present
                } else {
                    Meaning::Unclear
                }
            }
            _ => Meaning::Unclear,
        }
    }

    /// The refusal as an error, of `otherwise` where it does not say of which kind.
    pub(crate) fn into_error(self, otherwise: ErrorKind) -> Error {
        let (kind, retryable) = match self.meaning() {
            Meaning::Missing => (ErrorKind::NotFound, false),
            Meaning::Present => (ErrorKind::AlreadyExists, false),
            Meaning::Denied => (ErrorKind::AccessDenied, false),
            Meaning::Full => (ErrorKind::OutOfSpace, false),
            Meaning::Busy => (ErrorKind::Unavailable, true),
            Meaning::Unknown => (ErrorKind::Unsupported, false),
            // A code of 400 to 499 promises that the same may succeed later.
            Meaning::Unclear if (400..500).contains(&self.code) => (ErrorKind::Unavailable, true),
            Meaning::Unclear => (otherwise, false),
        };
        let words = if self.words.is_empty() { "the server gave no reason" } else { self.words.as_str() };
        Error::new(kind, format!("{words} ({})", self.code)).retryable(retryable).with("reply", self.code)
    }
}

/// What a failure means where the caller knows nothing better.
pub(crate) fn failure(error: FtpError) -> Error {
    match error {
        FtpError::UnexpectedResponse(response) => Refusal::of(&response).into_error(ErrorKind::AccessDenied),
        FtpError::ConnectionError(error) => broken(error),
        FtpError::SecureError(words) => Error::unavailable(format!("TLS failed: {words}")).retryable(false),
        FtpError::BadResponse | FtpError::InvalidAddress(_) => {
            Error::unavailable("the server's answer is none of this protocol (is this an FTP server, and `tls` right?)")
        }
        FtpError::DataConnectionAlreadyOpen => Error::unavailable("an earlier transfer has not ended"),
    }
}

/// What a broken connection means. Its early end is no wrong data: it never promised any.
pub(crate) fn broken(error: io::Error) -> Error {
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return insecure(error);
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::unavailable("the server closed the connection"),
        io::ErrorKind::InvalidData => Error::unavailable(format!("the server's answer is none of this protocol: {error}")),
        io::ErrorKind::InvalidInput => Error::invalid_config(error.to_string()),
        _ => {
            let known = Error::from(error);
            // Sockets of a component have failures without a name of their own; each is a network that may be better later.
            if known.kind() == ErrorKind::Other { Error::unavailable(known.message()) } else { known }
        }
    }
}

/// What a failure of TLS means: a wrong certificate or name will be wrong again.
fn insecure(error: &rustls::Error) -> Error {
    let mend = match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its authority is not trusted; name the authority's certificate in `ca_file` if it is your own"
        }
        rustls::Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
            "its certificate is for another name; correct /host"
        }
        rustls::Error::InvalidMessage(_) => "the server does not speak TLS here; check /tls and /port",
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) | rustls::Error::PeerIncompatible(_) => {
            "the server offers nothing newer than TLS 1.1 or no safe cipher"
        }
        _ => "check /tls and /port",
    };
    Error::invalid_config(format!("TLS failed: {error} ({mend})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use suppaftp::Status;

    fn refusal(text: &str) -> Refusal {
        let code: u32 = text[..3].parse().expect("a code");
        Refusal::of(&Response::new(Status::from(code), format!("{text}\r\n").into_bytes()))
    }

    #[test]
    fn each_reply_has_its_kind_and_says_whether_to_try_again() {
        // As ProFTPD, Pure-FTPd, vsftpd, IIS and pyftpdlib word them.
        for (text, kind, retryable) in [
            ("421 There are too many connected users, please try later.", ErrorKind::Unavailable, true),
            ("425 Unable to build data connection: Operation not permitted", ErrorKind::Unavailable, true),
            ("426 Failure reading network stream.", ErrorKind::Unavailable, true),
            ("451 Failure writing to local file.", ErrorKind::Unavailable, true),
            ("451 set/a: Append/Restart not permitted, try again", ErrorKind::Unsupported, false),
            ("452 Transfer aborted. No space left on device", ErrorKind::OutOfSpace, false),
            ("552 Disk full - please upload later", ErrorKind::OutOfSpace, false),
            ("552 Transfer aborted. Disk quota exceeded", ErrorKind::OutOfSpace, false),
            ("550 No space left on device.", ErrorKind::OutOfSpace, false),
            ("530 Login incorrect.", ErrorKind::AccessDenied, false),
            ("530 Sorry, the maximum number of clients (3) for this user are already connected.", ErrorKind::Unavailable, true),
            ("550 a: No such file or directory", ErrorKind::NotFound, false),
            ("550 The system cannot find the file specified.", ErrorKind::NotFound, false),
            ("550 a: Permission denied", ErrorKind::AccessDenied, false),
            ("550 Not enough privileges.", ErrorKind::AccessDenied, false),
            ("553 Can't open that file: Permission denied", ErrorKind::AccessDenied, false),
            ("553 Could not create file.", ErrorKind::AccessDenied, false),
            ("550 a: File exists", ErrorKind::AlreadyExists, false),
            ("502 Command not implemented.", ErrorKind::Unsupported, false),
            ("522 SSL connection failed: session reuse required", ErrorKind::AccessDenied, false),
        ] {
            let error = refusal(text).into_error(ErrorKind::AccessDenied);
            assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{text}");
        }
    }

    #[test]
    fn words_are_passed_on_in_one_clean_line() {
        let body = format!("550-first\x1b[2J\r\n550 {}\r\n", "x".repeat(1_000));
        let error = Refusal::of(&Response::new(Status::FileUnavailable, body.into_bytes())).into_error(ErrorKind::Other);
        assert!(error.message().starts_with("first[2J xxx") && error.message().len() < 400, "{error}");
    }

    #[test]
    fn a_connection_that_ends_is_no_wrong_data() {
        let error = broken(io::Error::from(io::ErrorKind::UnexpectedEof));
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, true));
    }

    #[test]
    fn a_certificate_that_is_not_trusted_says_what_to_do() {
        let inner = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let error = broken(io::Error::new(io::ErrorKind::InvalidData, inner));
        assert!(!error.is_retryable() && error.message().contains("ca_file"), "{error}");
    }
}
