//! Secrets that cofre makes: random, written in base32, and stored as a SHA-256, which is enough for 256 bits that nobody chose.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::error::AccessError;

/// Bytes of a secret.
const BYTES: usize = 32;
/// Characters of a secret.
pub(super) const SECRET_LEN: usize = (BYTES * 8).div_ceil(5);

/// Random bytes.
pub(super) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, AccessError> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut *bytes)?;
    Ok(bytes)
}

/// A new secret of 256 bits.
pub(super) fn new() -> Result<Zeroizing<String>, AccessError> {
    Ok(lower_base32(&*random::<BYTES>()?))
}

/// RFC 4648, in lower case and without padding.
pub(super) fn lower_base32(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = upper_base32(bytes);
    text.make_ascii_lowercase();
    text
}

/// RFC 4648, without padding.
pub(super) fn upper_base32(bytes: &[u8]) -> Zeroizing<String> {
    // Of the right size from the start: a string that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(BASE32_NOPAD.encode_len(bytes.len())));
    BASE32_NOPAD.encode_append(bytes, &mut text);
    text
}

/// Whether it is base32 as [`lower_base32`] writes it.
pub(super) fn is_lower_base32(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'))
}

/// What is stored of a secret.
pub(super) fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Whether two are the same, in a time that says nothing about where they differ.
pub(super) fn same(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

/// The secret of a session, for the cookie. Its debug output says nothing.
pub struct SessionSecret(pub(super) Zeroizing<String>);

impl SessionSecret {
    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SessionSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionSecret(…)")
    }
}
