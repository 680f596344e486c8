//! The server's refusals in the contract's terms (RFC 4918, 11; RFC 9110, 15). WebDAV has no codes of its own beside the status.

use std::io::Read as _;
use std::time::{Duration, SystemTime};

use cofre_sdk::http::Response;
use cofre_sdk::{Error, ErrorKind};

/// Characters of the server's own words that are passed on.
const WORDS: usize = 300;

/// What POSIX systems say of a full disk and of a used-up quota, and servers pass on under any status.
const FULL: [&str; 3] = ["No space left on device", "Disk quota exceeded", "disk quota exceeded"];

/// What an answer that is no success means.
pub(crate) fn from_answer(mut answer: Response) -> Error {
    // The status says enough where the answer's body cannot be read.
    let mut body = Vec::new();
    let _ = answer.by_ref().take(16 << 10).read_to_end(&mut body);
    let text = String::from_utf8_lossy(&body);
    let (kind, retryable) =
        if FULL.iter().any(|words| text.contains(words)) { (ErrorKind::OutOfSpace, false) } else { meaning(answer.status()) };
    let message = match mend(answer.status()) {
        Some(mend) => format!("the server answered {} ({mend})", answer.status()),
        None => format!("the server answered {}", answer.status()),
    };
    let error = Error::new(kind, message).retryable(retryable).retry_after(wait(&answer)).with("status", answer.status());
    match words(&text) {
        Some(words) => error.with("answer", words),
        None => error,
    }
}

/// The status of the answer behind an error.
pub(crate) fn status(error: &Error) -> Option<u16> {
    error.detail("status").and_then(|status| status.parse().ok())
}

/// Kind, and whether the same request may succeed later.
fn meaning(status: u16) -> (ErrorKind, bool) {
    match status {
        300..=399 => (ErrorKind::InvalidConfig, false),
        // Of a request, not of the disk: a limit in a server's configuration.
        413 => (ErrorKind::Unsupported, false),
        409 => (ErrorKind::NotFound, false),
        412 => (ErrorKind::AlreadyExists, false),
        423 => (ErrorKind::Unavailable, true),
        _ => {
            let usual = Error::from_http(status, b"");
            (usual.kind(), usual.is_retryable())
        }
    }
}

/// What the administrator can do about it.
fn mend(status: u16) -> Option<&'static str> {
    Some(match status {
        300..=399 => "it is somewhere else; correct /url, as redirections are not followed",
        401 => "check `username`, `auth` and the secret",
        403 => "the account may not do this, or the folder is read-only",
        405 | 501 => "is /url a WebDAV folder?",
        413 => "raise the server's limit for the size of a request, `client_max_body_size` in nginx, above /part_size",
        423 => "somebody has locked it",
        507 => "free some space, or raise the account's quota",
        _ => return None,
    })
}

/// How long the server asks to wait: seconds or a date (RFC 9110, 10.2.3).
fn wait(answer: &Response) -> Option<Duration> {
    let value = answer.header("retry-after")?.trim();
    let until_date = || httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::now()).ok();
    value.parse().ok().map(Duration::from_secs).or_else(until_date)
}

/// What the server says itself: SabreDAV's `message` element, or a plain text; pages of HTML say nothing.
fn words(text: &str) -> Option<String> {
    let message = text.split_once(":message>").and_then(|(_, rest)| rest.split_once('<')).map(|(message, _)| message);
    let plain = (!text.contains('<')).then_some(text);
    let words: String = message.or(plain)?.trim().chars().filter(|c| !c.is_control()).take(WORDS).collect();
    (!words.is_empty()).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, headers: &[(&str, &str)], body: &'static str) -> Error {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        from_answer(Response::from_reader(status, headers, body.as_bytes()))
    }

    #[test]
    fn each_status_has_its_kind_and_says_whether_to_try_again() {
        for (status, kind, retryable) in [
            (301, ErrorKind::InvalidConfig, false),
            (400, ErrorKind::Other, false),
            (401, ErrorKind::AccessDenied, false),
            (403, ErrorKind::AccessDenied, false),
            (404, ErrorKind::NotFound, false),
            (409, ErrorKind::NotFound, false),
            (412, ErrorKind::AlreadyExists, false),
            (413, ErrorKind::Unsupported, false),
            (423, ErrorKind::Unavailable, true),
            (429, ErrorKind::RateLimited, true),
            (500, ErrorKind::Unavailable, true),
            (501, ErrorKind::Unsupported, false),
            (503, ErrorKind::Unavailable, true),
            (507, ErrorKind::OutOfSpace, false),
        ] {
            let error = error(status, &[], "");
            assert_eq!((error.kind(), error.is_retryable(), super::status(&error)), (kind, retryable, Some(status)), "{status}");
        }
        assert_eq!(error(500, &[], "<p>[Errno 28] No space left on device</p>").kind(), ErrorKind::OutOfSpace);
    }

    #[test]
    fn the_wait_that_the_server_asks_for_is_passed_on() {
        assert_eq!(error(503, &[("retry-after", "7")], "").wait(), Some(Duration::from_secs(7)));
        assert_eq!(error(503, &[("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT")], "").wait(), None);
    }

    #[test]
    fn the_servers_own_words_are_passed_on_and_its_pages_are_not() {
        let sabre =
            "<d:error xmlns:d=\"DAV:\" xmlns:s=\"http://sabredav.org/ns\"><s:message>File name is a reserved word</s:message></d:error>";
        assert_eq!(error(403, &[], sabre).detail("answer"), Some("File name is a reserved word"));
        assert_eq!(error(403, &[], "<html><body>Forbidden</body></html>").detail("answer"), None);
    }
}
