//! What a service answered, whole and in memory, with the secrets taken out of it; and what a refusal means in the contract's terms.

use std::io::Read as _;
use std::time::Duration;

use cofre_sdk::http::{Request, Response};
use cofre_sdk::{Context as _, Error, ErrorKind, Result, Secret};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Bytes of an answer that are looked at.
const LONGEST_ANSWER: u64 = 256 << 10;

/// How long a service may think about a message. The host tries again later, and an alert that waits tells nobody else either.
const PATIENCE: Duration = Duration::from_mins(1);

/// Characters of the service's own words that are passed on.
const WORDS: usize = 300;

/// A part of an address that is this long may be what makes it a secret; shorter ones are words such as `webhooks`.
const SECRET_PART: usize = 9;

/// What must be in no error, because a proxy or the service itself may send back what it was sent.
#[derive(Debug, Clone, Default)]
pub struct Hidden(Vec<Secret>);

impl Hidden {
    /// Hides these secrets.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        Self(secrets.into_iter().filter(|secret| !secret.expose().is_empty()).cloned().collect())
    }

    /// Hides the parts of a path and its query, too, also where only one of them is repeated.
    #[must_use]
    pub fn and_parts_of(mut self, path: &str) -> Self {
        let parts = path.trim().split(['/', '?', '&', '=']).filter(|part| part.len() >= SECRET_PART);
        self.0.extend(parts.map(Secret::new));
        self
    }

    /// `text` with `[REDACTED]` wherever it has what is hidden.
    pub fn taken_out_of(&self, text: &str) -> String {
        let mut longest_first: Vec<&str> = self.0.iter().map(Secret::expose).collect();
        longest_first.sort_by_key(|word| std::cmp::Reverse(word.len()));
        longest_first.iter().fold(text.to_owned(), |text, word| text.replace(word, "[REDACTED]"))
    }
}

/// What a service answered.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// How long it asks to wait, by its header.
    pub retry_after: Option<Duration>,
    /// Its body, without secrets.
    pub text: String,
}

impl Answer {
    /// Reads an answer, or as much of it as is looked at.
    ///
    /// # Errors
    /// Those of an answer that breaks off, unless it is a refusal: its status says enough.
    pub fn read(mut response: Response, hidden: &Hidden) -> Result<Self> {
        let mut body = Vec::new();
        let read = (&mut response).take(LONGEST_ANSWER).read_to_end(&mut body);
        if response.is_success() {
            read.context("cannot read the answer")?;
        }
        let retry_after = response.header("retry-after").and_then(|value| value.trim().parse().ok()).map(Duration::from_secs);
        Ok(Self { status: response.status(), retry_after, text: hidden.taken_out_of(&String::from_utf8_lossy(&body)) })
    }

    /// Whether the status is 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Its body as JSON, where it is that.
    pub fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(&self.text).ok()
    }

    /// What it means that this is no success, by its status alone; `words` are the service's own, or empty, and `mend` says what to do.
    pub fn refused(&self, words: &str, mend: Option<&str>) -> Error {
        self.refused_as(meaning(self.status), words, mend)
    }

    /// The same where the service says more clearly what it means.
    pub fn refused_as(&self, kind: ErrorKind, words: &str, mend: Option<&str>) -> Error {
        let words: String = words.trim().chars().filter(|letter| !letter.is_control()).take(WORDS).collect();
        let said = if words.is_empty() { String::new() } else { format!(": {words}") };
        let mend = mend.or_else(|| general_mend(self.status)).map_or_else(String::new, |mend| format!(" ({mend})"));
        Error::new(kind, format!("the service answered {}{said}{mend}", self.status))
            .retry_after(self.retry_after)
            .with("status", self.status)
    }
}

/// Sends a request, with a body where there is one, and reads what is answered.
///
/// # Errors
/// Those of a request that gets no answer.
pub fn exchange(request: Request, body: &[u8], hidden: &Hidden) -> Result<Answer> {
    let request = request.first_byte_timeout(PATIENCE);
    Answer::read(if body.is_empty() { request.send() } else { request.send_bytes(body) }?, hidden)
}

/// The same with JSON.
///
/// # Errors
/// Those of a request that gets no answer.
pub fn post_json(request: Request, body: &Value, hidden: &Hidden) -> Result<Answer> {
    exchange(request.header("content-type", "application/json"), body.to_string().as_bytes(), hidden)
}

/// A message has no place of its own: where there is nothing at an address, the address is wrong.
fn meaning(status: u16) -> ErrorKind {
    match status {
        300..=399 | 404 | 410 => ErrorKind::InvalidConfig,
        413 => ErrorKind::Unsupported,
        409 => ErrorKind::Other,
        _ => Error::from_http(status, b"").kind(),
    }
}

fn general_mend(status: u16) -> Option<&'static str> {
    Some(match status {
        300..=399 => "it is at another address now, which no message follows; write that one",
        413 => "the message is too large for it",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: Vec<(String, String)>, body: &'static str) -> Answer {
        let hidden = Hidden::new([&Secret::new("hunter2"), &Secret::new("hunter2-long")]);
        Answer::read(Response::from_reader(status, headers, body.as_bytes()), &hidden).expect("it can be read")
    }

    #[test]
    fn what_a_refusal_means() {
        for (status, kind, retryable) in [
            (301, ErrorKind::InvalidConfig, false),
            (400, ErrorKind::Other, false),
            (401, ErrorKind::AccessDenied, false),
            (403, ErrorKind::AccessDenied, false),
            (404, ErrorKind::InvalidConfig, false),
            (410, ErrorKind::InvalidConfig, false),
            (413, ErrorKind::Unsupported, false),
            (429, ErrorKind::RateLimited, true),
            (500, ErrorKind::Unavailable, true),
            (503, ErrorKind::Unavailable, true),
            (504, ErrorKind::Timeout, true),
        ] {
            let error = answer(status, Vec::new(), "").refused("", None);
            assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{status}");
        }
    }

    #[test]
    fn a_refusal_keeps_the_wait_and_the_words_and_loses_the_secrets() {
        let waiting = vec![("retry-after".to_owned(), "30".to_owned())];
        let answer = answer(429, waiting, "hunter2-long\u{7} is too fast, says hunter2");
        let error = answer.refused(&answer.text, Some("send less"));
        assert_eq!(error.wait(), Some(Duration::from_secs(30)));
        assert_eq!(error.message(), "the service answered 429: [REDACTED] is too fast, says [REDACTED] (send less)");
    }

    #[test]
    fn a_long_answer_is_read_in_part_and_one_that_breaks_off_is_none() {
        let endless = Answer::read(Response::from_reader(200, Vec::new(), std::io::repeat(b'x')), &Hidden::default());
        assert_eq!(endless.expect("its start is enough").text.len() as u64, LONGEST_ANSWER);
        let refused = Answer::read(Response::from_reader(403, Vec::new(), Broken), &Hidden::default()).expect("the status is enough");
        assert_eq!(refused.refused("", None).kind(), ErrorKind::AccessDenied);
        let error =
            Answer::read(Response::from_reader(200, Vec::new(), Broken), &Hidden::default()).expect_err("nobody knows what it says");
        assert!(error.is_retryable(), "{error}");
    }

    struct Broken;

    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::ConnectionReset.into())
        }
    }
}
