//! The server's replies (RFC 5321, section 4.2) with their enhanced codes (RFC 3463), and what a refusal means in the contract's terms.

use std::fmt;

use cofre_sdk::{Error, ErrorKind};
use smtp_proto::Response;

/// Characters of the server's own words that are passed on.
const WORDS: usize = 300;

/// One reply, in one clean line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    /// Class, subject and detail; zeros where the server gives none.
    enhanced: [u8; 3],
    words: String,
}

impl Reply {
    pub(crate) fn new(response: &Response<String>) -> Self {
        let one_line = response.message.replace(['\r', '\n'], " ");
        let words: String = one_line.chars().filter(|c| !c.is_control()).take(WORDS).collect();
        Self { code: response.code, enhanced: response.esc, words: words.trim().to_owned() }
    }

    /// Whether the server did what it was asked.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.code, 200..=299)
    }

    /// Whether the same may succeed later.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self.code, 400..=499)
    }

    /// Whether the server waits for what belongs to the command.
    pub(crate) fn wants_more(&self) -> bool {
        matches!(self.code, 300..=399)
    }

    /// The same without its words where they repeat one of these, which nobody may read.
    #[must_use]
    pub(crate) fn without(mut self, secrets: &[&str]) -> Self {
        if secrets.iter().any(|secret| self.words.contains(secret)) {
            self.words.clear();
        }
        self
    }

    /// The refusal as an error, of `otherwise` where its codes do not say of which kind.
    pub(crate) fn into_error(self, otherwise: ErrorKind) -> Error {
        let (kind, mend) = match (self.code, self.enhanced) {
            (400..=499, _) => (ErrorKind::Unavailable, ""),
            (530, _) => (ErrorKind::AccessDenied, "; the server wants a login: set /user and the secret `password`"),
            (534 | 535 | 538, _) => (ErrorKind::AccessDenied, ""),
            // Too large for the server or the recipient, or no room for more.
            (552, _) | (_, [_, 2, 2 | 3] | [_, 3, 4]) => (ErrorKind::OutOfSpace, ""),
            (_, [_, 7, _]) => (ErrorKind::AccessDenied, ""),
            (500..=504 | 555, _) => (ErrorKind::Unsupported, ""),
            _ => (otherwise, ""),
        };
        Error::new(kind, format!("{self}{mend}")).with("reply", self.code)
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = if self.words.is_empty() { "the server gave no reason" } else { self.words.as_str() };
        match self.enhanced {
            [0, ..] => write!(f, "{words} ({})", self.code),
            [class, subject, detail] => write!(f, "{words} ({} {class}.{subject}.{detail})", self.code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smtp_proto::response::parser::ResponseReceiver;

    fn reply(text: &str) -> Reply {
        Reply::new(&ResponseReceiver::default().parse(&mut format!("{text}\r\n").as_bytes().iter()).expect(text))
    }

    #[test]
    fn each_reply_has_its_kind_and_says_whether_to_try_again() {
        // As Postfix, Exim, Exchange and Gmail word them.
        for (text, kind, retryable) in [
            ("421 4.7.0 Try again later, closing connection.", ErrorKind::Unavailable, true),
            ("450 4.2.0 <a@b>: Recipient address rejected: Greylisted", ErrorKind::Unavailable, true),
            ("451 4.3.0 Temporary lookup failure", ErrorKind::Unavailable, true),
            ("452 4.2.2 The email account is over quota", ErrorKind::Unavailable, true),
            ("454 4.7.0 Temporary authentication failure", ErrorKind::Unavailable, true),
            ("502 5.5.2 Error: command not recognized", ErrorKind::Unsupported, false),
            ("530 5.7.0 Must issue a STARTTLS command first", ErrorKind::AccessDenied, false),
            ("534 5.7.9 Application-specific password required.", ErrorKind::AccessDenied, false),
            ("535 5.7.8 Error: authentication failed:", ErrorKind::AccessDenied, false),
            ("535 Incorrect authentication data", ErrorKind::AccessDenied, false),
            ("550 5.1.1 <a@b>: Recipient address rejected: User unknown", ErrorKind::InvalidConfig, false),
            ("550 5.7.1 Relaying denied", ErrorKind::AccessDenied, false),
            ("550 No Such User Here", ErrorKind::InvalidConfig, false),
            ("552 5.3.4 Message size exceeds fixed limit", ErrorKind::OutOfSpace, false),
            ("552 5.2.2 Mailbox full", ErrorKind::OutOfSpace, false),
            ("554 5.7.1 Message rejected as spam", ErrorKind::AccessDenied, false),
        ] {
            let error = reply(text).into_error(ErrorKind::InvalidConfig);
            assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{text}");
        }
    }

    #[test]
    fn words_are_passed_on_in_one_clean_line() {
        let reply = reply(&format!("550-5.1.1 first\x1b[2J\r\n550 5.1.1 {}", "x".repeat(1_000)));
        let text = reply.to_string();
        assert!(text.starts_with("first[2J ") && text.contains("xxx (550 5.1.1)") && text.len() < 400, "{text}");
    }

    #[test]
    fn words_that_repeat_a_secret_are_dropped() {
        assert_eq!(
            reply("535 5.7.8 hunter2 is wrong").without(&["aHVudGVyMg==", "hunter2"]).to_string(),
            "the server gave no reason (535 5.7.8)"
        );
    }
}
