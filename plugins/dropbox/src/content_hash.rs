//! Dropbox's digest of a file ("Content hash"): the SHA-256 of the SHA-256 digests of its blocks of 4 MiB.
//!
//! Both digests can be saved and restored, some 200 bytes together, so that the token of an upload carries what was hashed so far and the
//! end of an upload that was interrupted is compared like that of any other. Saved states are stable within one minor version of `sha2`;
//! a state of another one gives another digest or none, and then the upload begins anew.

use std::fmt::Write as _;
use std::io::{self, Read};

use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256};

/// Bytes of one block.
pub(crate) const BLOCK: u64 = 4 << 20;

/// The digest of what was read so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct ContentHash {
    blocks: Sha256,
    block: Sha256,
    /// Bytes in `block`, less than [`BLOCK`].
    filled: u64,
}

impl ContentHash {
    /// The digest of `bytes`.
    pub(crate) fn of(bytes: &[u8]) -> String {
        let mut hash = Self::default();
        hash.update(bytes);
        hash.hex()
    }

    /// Adds bytes.
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = usize::try_from(BLOCK - self.filled).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.block.update(now);
            self.filled += now.len() as u64;
            if self.filled == BLOCK {
                self.blocks.update(self.block.finalize_reset());
                self.filled = 0;
            }
            bytes = later;
        }
    }

    /// The digest as the service writes it.
    pub(crate) fn hex(&self) -> String {
        let mut blocks = self.blocks.clone();
        if self.filled > 0 {
            blocks.update(self.block.clone().finalize());
        }
        to_hex(&blocks.finalize())
    }

    /// Both states, as hex.
    pub(crate) fn save(&self) -> String {
        format!("{}.{}", to_hex(&self.blocks.serialize()), to_hex(&self.block.serialize()))
    }

    /// What [`Self::save`] gave after `offset` bytes; `None` where it is no such thing.
    pub(crate) fn restore(saved: &str, offset: u64) -> Option<Self> {
        let (blocks, block) = saved.split_once('.')?;
        Some(Self { blocks: state(blocks)?, block: state(block)?, filled: offset % BLOCK })
    }
}

fn state(hex: &str) -> Option<Sha256> {
    let mut bytes = SerializedState::<Sha256>::default();
    if hex.len() != 2 * bytes.len() || !hex.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).ok()?;
    }
    Sha256::deserialize(&bytes).ok()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Hashes what is read through it.
pub(crate) struct Hashing<'a, R> {
    pub(crate) body: &'a mut R,
    pub(crate) hash: &'a mut ContentHash,
}

impl<R: Read> Read for Hashing<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.body.read(out)?;
        self.hash.update(&out[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(length: usize) -> Vec<u8> {
        (0..length).map(|n| u8::try_from(n * 31 % 251).expect("small")).collect()
    }

    /// As the service defines it, in three lines.
    fn expected(bytes: &[u8]) -> String {
        let digests: Vec<u8> = bytes.chunks(4 << 20).flat_map(Sha256::digest).collect();
        to_hex(&Sha256::digest(digests))
    }

    #[test]
    fn the_digest_is_the_one_that_the_service_defines() {
        // Published with the definition's sample code.
        assert_eq!(ContentHash::of(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        for length in [1, (4 << 20) - 1, 4 << 20, (4 << 20) + 1, 9 << 20] {
            let bytes = noise(length);
            assert_eq!(ContentHash::of(&bytes), expected(&bytes), "{length}");
        }
    }

    #[test]
    fn a_saved_digest_goes_on_wherever_it_was() {
        let bytes = noise((8 << 20) + 77);
        for at in [0, 1, 63, 64, (4 << 20) - 1, 4 << 20, (4 << 20) + 100, bytes.len()] {
            let mut first = ContentHash::default();
            first.update(&bytes[..at]);
            let mut second = ContentHash::restore(&first.save(), at as u64).expect("saved");
            second.update(&bytes[at..]);
            assert_eq!(second.hex(), expected(&bytes), "{at}");
        }
        let good = ContentHash::default().save();
        for bad in ["", ".", "zz.zz", &good[1..], &good.replace('0', "é")] {
            assert!(ContentHash::restore(bad, 0).is_none(), "{bad}");
        }
        assert!(good.len() < 1_000);
    }
}
