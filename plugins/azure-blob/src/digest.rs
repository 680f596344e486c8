//! MD5, which the service checks each block by and keeps of the whole; its state fits in a session's token.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use md5::digest::common::hazmat::{SerializableState as _, SerializedState};
use md5::{Digest as _, Md5};

/// Digest of a block, as its header has it.
pub(crate) fn block(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(Md5::digest(bytes))
}

/// Digest of all that was sent so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Running(Md5);

impl Running {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// As a header has it.
    pub(crate) fn to_header(&self) -> String {
        BASE64_STANDARD.encode(self.0.clone().finalize())
    }

    /// For a token.
    pub(crate) fn save(&self) -> String {
        BASE64_STANDARD.encode(self.0.serialize())
    }

    /// From a token; `None` where it is none.
    pub(crate) fn restore(text: &str) -> Option<Self> {
        let bytes = BASE64_STANDARD.decode(text).ok()?;
        let mut state = SerializedState::<Md5>::default();
        if bytes.len() != state.len() {
            return None;
        }
        state.copy_from_slice(&bytes);
        Md5::deserialize(&state).ok().map(Self)
    }
}

/// A header's digest as the contract has it.
pub(crate) fn checksum(header: &str) -> Option<String> {
    let bytes = BASE64_STANDARD.decode(header.trim()).ok().filter(|bytes| bytes.len() == 16)?;
    let hex: String =
        bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0')).collect();
    Some(format!("md5:{hex}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_goes_on_where_it_was_saved() {
        let mut whole = Running::default();
        whole.update(&[7; 100]);
        let mut resumed = Running::restore(&whole.save()).expect("its own words");
        whole.update(b"more");
        resumed.update(b"more");
        assert_eq!(resumed.to_header(), whole.to_header());
        assert!(Running::restore("").is_none() && Running::restore("AAAA").is_none());
    }

    #[test]
    fn a_header_becomes_a_checksum() {
        assert_eq!(checksum(&block(b"")).as_deref(), Some("md5:d41d8cd98f00b204e9800998ecf8427e"));
        assert_eq!(checksum("nonsense"), None);
    }
}
