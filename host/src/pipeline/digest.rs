//! SHA-256, MD5 and length of a stream, in one pass.

use md5::Md5;
use sha2::{Digest, Sha256};

/// Digests of a whole stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    /// Bytes.
    pub size: u64,
    /// SHA-256.
    pub sha256: [u8; 32],
    /// MD5.
    pub md5: [u8; 16],
}

/// Computes [`Digests`] over what it is shown.
#[derive(Debug, Clone, Default)]
pub struct Digester {
    size: u64,
    sha256: Sha256,
    md5: Md5,
}

impl Digester {
    /// Takes more of the stream.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.sha256.update(bytes);
        self.md5.update(bytes);
    }

    /// The digests of everything shown.
    pub fn finish(self) -> Digests {
        Digests { size: self.size, sha256: self.sha256.finalize().into(), md5: self.md5.finalize().into() }
    }
}
