//! The server's refusals in the contract's terms: by status, with the words of an RFC 9457 problem where it has them.

use std::io::Read as _;
use std::time::{Duration, SystemTime};

use cofre_sdk::http::Response;
use cofre_sdk::{Error, ErrorKind};
use serde::Deserialize;

/// Characters of the server's own words that are passed on.
const WORDS: usize = 300;

/// `application/problem+json`
#[derive(Debug, Default, Deserialize)]
struct Problem {
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
}

/// What an answer that is no success means.
pub(crate) fn from_answer(mut answer: Response) -> Error {
    // The status says enough where the answer's body cannot be read.
    let mut body = Vec::new();
    let _ = answer.by_ref().take(16 << 10).read_to_end(&mut body);
    let (kind, retryable) = meaning(answer.status());
    let message = match mend(answer.status()) {
        Some(mend) => format!("the server answered {} ({mend})", answer.status()),
        None => format!("the server answered {}", answer.status()),
    };
    let error = Error::new(kind, message).retryable(retryable).retry_after(wait(&answer)).with("status", answer.status());
    match words(&body) {
        Some(words) => error.with("answer", words),
        None => error,
    }
}

/// The same of an upload by tus, where some statuses mean something of their own.
pub(crate) fn from_tus(answer: Response) -> Error {
    let status = answer.status();
    let error = from_answer(answer);
    match status {
        404 | 410 => Error::session_lost("the server does not know the upload any more").with("status", status),
        // Bytes of a write that was cut arrived after all, or its connection is not over yet: the next look at the offset tells.
        409 | 423 => Error::unavailable("the server is still busy with what was sent before").with("status", status),
        412 => Error::unsupported("the server speaks another version of tus than 1.0.0").with("status", status),
        _ => error,
    }
}

/// Kind, and whether the same request may succeed later.
fn meaning(status: u16) -> (ErrorKind, bool) {
    match status {
        300..=399 | 416 => (ErrorKind::InvalidConfig, false),
        412 => (ErrorKind::AlreadyExists, false),
        // Of a request, not of the disk: a limit in a server's configuration.
        413 => (ErrorKind::Unsupported, false),
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
        401 => "check the secret `token`; it may have expired",
        403 => "the token may not do this",
        405 | 501 => "does a server of this protocol answer at /url?",
        413 => "raise the server's limit for the size of a request",
        507 => "free some space, or raise the quota",
        _ => return None,
    })
}

/// How long the server asks to wait: seconds or a date (RFC 9110, 10.2.3).
fn wait(answer: &Response) -> Option<Duration> {
    let value = answer.header("retry-after")?.trim();
    let until_date = || httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::now()).ok();
    value.parse().ok().map(Duration::from_secs).or_else(until_date)
}

fn words(body: &[u8]) -> Option<String> {
    let problem: Problem = serde_json::from_slice(body).ok()?;
    let words = if problem.detail.is_empty() { problem.title } else { problem.detail };
    let words: String = words.chars().filter(|c| !c.is_control()).take(WORDS).collect();
    (!words.is_empty()).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &'static str) -> Response {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Response::from_reader(status, headers, body.as_bytes())
    }

    #[test]
    fn each_status_has_its_kind_and_says_whether_to_try_again() {
        for (status, kind, retryable) in [
            (301, ErrorKind::InvalidConfig, false),
            (400, ErrorKind::Other, false),
            (401, ErrorKind::AccessDenied, false),
            (403, ErrorKind::AccessDenied, false),
            (404, ErrorKind::NotFound, false),
            (409, ErrorKind::AlreadyExists, false),
            (413, ErrorKind::Unsupported, false),
            (429, ErrorKind::RateLimited, true),
            (500, ErrorKind::Unavailable, true),
            (503, ErrorKind::Unavailable, true),
            (507, ErrorKind::OutOfSpace, false),
        ] {
            let error = from_answer(answer(status, &[], ""));
            assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{status}");
        }
        for (status, kind, retryable) in [
            (404, ErrorKind::SessionLost, false),
            (409, ErrorKind::Unavailable, true),
            (410, ErrorKind::SessionLost, false),
            (423, ErrorKind::Unavailable, true),
            (507, ErrorKind::OutOfSpace, false),
        ] {
            let error = from_tus(answer(status, &[], ""));
            assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{status}");
        }
    }

    #[test]
    fn the_servers_words_and_wait_are_passed_on() {
        let error = from_answer(answer(503, &[("retry-after", "7")], r#"{"title": "Busy", "detail": "A backup runs."}"#));
        assert_eq!((error.wait(), error.detail("answer")), (Some(Duration::from_secs(7)), Some("A backup runs.")));
        assert_eq!(from_answer(answer(503, &[], "<html>Busy</html>")).detail("answer"), None);
    }
}
