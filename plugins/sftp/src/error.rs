//! What SSH and SFTP say of a failure, in the terms of the contract.

use cofre_sdk::{Error, ErrorKind};
use russh_sftp::protocol::{Status, StatusCode};

/// Less than this is no space: a server with a full disk may still have the blocks that it keeps for itself.
pub(crate) const NO_SPACE: u64 = 1 << 20;

/// A failure of SSH itself: the connection is of no use any more.
pub(crate) fn from_ssh(error: russh::Error) -> Error {
    use russh::Error as Ssh;
    match error {
        Ssh::IO(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Error::unavailable("the server closed the connection"),
        Ssh::IO(error) => unreachable_server(error),
        Ssh::ConnectionTimeout | Ssh::KeepaliveTimeout | Ssh::InactivityTimeout | Ssh::Elapsed(_) => {
            Error::new(ErrorKind::Timeout, "the server gave no sign")
        }
        Ssh::Version => Error::invalid_config("what answers there does not speak SSH; check /host and /port"),
        Ssh::NoCommonAlgo { kind, ours, theirs } => Error::unsupported(format!(
            "the server and cofre have no {kind:?} algorithm in common; the server has {}, cofre {}",
            theirs.join(", "),
            ours.join(", ")
        )),
        Ssh::ChannelOpenFailure(why) => Error::access_denied(format!("the server opens no channel for files: {why:?}")),
        // The rest is a connection that was cut or changed on its way, or a server that breaks the protocol.
        other => Error::unavailable(format!("the connection was lost: {other}")),
    }
}

/// A failure to reach the server at all, or of the way to it.
pub(crate) fn unreachable_server(error: std::io::Error) -> Error {
    let error = Error::from(error);
    match error.kind() {
        ErrorKind::AccessDenied | ErrorKind::Timeout | ErrorKind::Unavailable => error,
        _ => Error::unavailable(error.message()),
    }
}

/// A request that the server refused. What OpenSSH calls a mere failure is explained by [`crate::sftp::Client::refused`].
pub(crate) fn from_status(status: &Status) -> Error {
    let kind = match status.status_code {
        StatusCode::NoSuchFile => ErrorKind::NotFound,
        StatusCode::PermissionDenied => ErrorKind::AccessDenied,
        StatusCode::OpUnsupported => ErrorKind::Unsupported,
        StatusCode::NoConnection | StatusCode::ConnectionLost => ErrorKind::Unavailable,
        // OpenSSH's word for a name that is too long, and for an argument that the system does not take.
        StatusCode::BadMessage => ErrorKind::InvalidConfig,
        StatusCode::Ok | StatusCode::Eof => ErrorKind::Integrity,
        StatusCode::Failure => by_words(&status.error_message),
    };
    Error::new(kind, words(status))
}

/// Servers other than OpenSSH tell the system's own words.
fn by_words(message: &str) -> ErrorKind {
    let message = message.to_ascii_lowercase();
    if ["no space", "quota", "disk full", "file too large"].iter().any(|words| message.contains(words)) {
        ErrorKind::OutOfSpace
    } else if message.contains("read-only") {
        ErrorKind::AccessDenied
    } else if message.contains("not a directory") {
        // Of something below a file, which OpenSSH calls a missing file.
        ErrorKind::NotFound
    } else {
        ErrorKind::Other
    }
}

fn words(status: &Status) -> String {
    let own = match status.status_code {
        StatusCode::NoSuchFile => "there is no such file or folder",
        StatusCode::PermissionDenied => "the server permits this account no such thing",
        StatusCode::OpUnsupported => "the server cannot do this",
        StatusCode::BadMessage => "the server does not take this name or request",
        StatusCode::Ok | StatusCode::Eof => "the server gave another answer than was asked for",
        StatusCode::Failure | StatusCode::NoConnection | StatusCode::ConnectionLost => "the server failed",
    };
    let said: String = status.error_message.chars().filter(|c| !c.is_control()).take(200).collect();
    // OpenSSH says only the name of the code.
    if said.is_empty() || said.eq_ignore_ascii_case(&status.status_code.to_string()) { own.to_owned() } else { format!("{own} ({said})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status_code: StatusCode, message: &str) -> Error {
        from_status(&Status { id: 1, status_code, error_message: message.to_owned(), language_tag: String::new() })
    }

    #[test]
    fn a_refusal_has_the_kind_that_the_host_can_act_on() {
        for (code, message, kind) in [
            (StatusCode::NoSuchFile, "No such file", ErrorKind::NotFound),
            (StatusCode::PermissionDenied, "Permission denied", ErrorKind::AccessDenied),
            (StatusCode::Failure, "Failure", ErrorKind::Other),
            (StatusCode::Failure, "No space left on device", ErrorKind::OutOfSpace),
            (StatusCode::Failure, "Disk quota exceeded", ErrorKind::OutOfSpace),
            (StatusCode::Failure, "Read-only file system", ErrorKind::AccessDenied),
            (StatusCode::Failure, "Not a directory", ErrorKind::NotFound),
            (StatusCode::BadMessage, "Bad message", ErrorKind::InvalidConfig),
        ] {
            assert_eq!(status(code, message).kind(), kind, "{message}");
        }
        assert_eq!(status(StatusCode::NoSuchFile, "No such file").message(), "there is no such file or folder");
        assert_eq!(status(StatusCode::Failure, "Disk quota\nexceeded").message(), "the server failed (Disk quotaexceeded)");
    }

    #[test]
    fn a_cut_is_worth_another_attempt_and_a_wrong_port_is_not() {
        let cut = from_ssh(russh::Error::IO(std::io::ErrorKind::ConnectionReset.into()));
        assert_eq!((cut.kind(), cut.is_retryable()), (ErrorKind::Unavailable, true));
        assert!(from_ssh(russh::Error::Disconnect).is_retryable());
        assert_eq!(from_ssh(russh::Error::Version).kind(), ErrorKind::InvalidConfig);
    }
}
