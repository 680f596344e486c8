//! Random words that live as long as the process, and comparison that takes the same time wherever two texts differ.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Bytes of a key.
const KEY: usize = 32;

/// A key that nobody knows and that is gone with the process.
pub(super) struct ProcessKey([u8; KEY]);

impl ProcessKey {
    /// A fresh one.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub(super) fn fresh() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; KEY];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// The word that belongs to a text; nobody else can tell it.
    pub(super) fn word(&self, text: &str) -> String {
        let digest = Sha256::new().chain_update(self.0).chain_update(text.as_bytes()).chain_update(self.0).finalize();
        hex::encode(digest)
    }
}

/// A name that nobody guesses: 32 hexadecimal digits.
///
/// # Errors
/// When the system gives no randomness.
pub(super) fn name() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(hex::encode(bytes))
}

/// Whether two are the same, in a time that says nothing of where they differ.
pub(super) fn same(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_differ_by_text_and_by_process() {
        let (one, other) = (ProcessKey::fresh().expect("random"), ProcessKey::fresh().expect("random"));
        assert_eq!(one.word("maria"), one.word("maria"));
        assert_ne!(one.word("maria"), one.word("ana"));
        assert_ne!(one.word("maria"), other.word("maria"));
        assert!(same(b"a", b"a") && !same(b"a", b"b") && !same(b"a", b"aa"));
    }
}
