//! What is kept of an open upload: the destination's token, and how many bytes it was ever sent.
//!
//! The second bounds what the destination may claim to have after a restart: bytes that nobody sent cannot be durable.

/// One open upload, as the journal keeps it: `sent`, a blank, the token.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Session {
    /// Bytes sent at most, the write in flight included.
    pub(super) sent: u64,
    /// The destination's own words.
    pub(super) token: String,
}

impl Session {
    /// Reads what [`Session::to_journal`] wrote; anything else is no session.
    pub(super) fn from_journal(text: &str) -> Option<Self> {
        let (sent, token) = text.split_once(' ')?;
        Some(Self { sent: sent.parse().ok()?, token: token.to_owned() })
    }

    /// What the journal keeps.
    pub(super) fn to_journal(&self) -> String {
        format!("{} {}", self.sent, self.token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_any_characters_comes_back() {
        for token in ["", "a b\nc", " ", "é"] {
            let session = Session { sent: 7, token: token.to_owned() };
            assert!(Session::from_journal(&session.to_journal()) == Some(session));
        }
        assert!(Session::from_journal("token of an older version").is_none());
    }
}
