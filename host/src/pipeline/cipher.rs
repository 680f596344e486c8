//! AES-256-CBC exactly as `openssl enc -aes-256-cbc -salt` writes and reads it: `Salted__`, eight bytes of salt, PKCS#7.
//!
//! Keys come from PBKDF2-HMAC-SHA256 (RFC 8018; `-pbkdf2 -iter N -md sha256`) or, for old scripts, from OpenSSL's
//! `EVP_BytesToKey` with one round of SHA-256 (`-md sha256` alone).

use std::fmt;
use std::io::{self, Read};

use aes::Aes256;
use aes::cipher::{Array, BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::PipelineError;

pub(super) const MAGIC: &[u8; 8] = b"Salted__";
pub(super) const BLOCK: usize = 16;
/// Ciphertext read at once.
const READ_SIZE: usize = 256 << 10;

/// How key and IV come from the passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kdf {
    /// PBKDF2-HMAC-SHA256.
    Pbkdf2 {
        /// Rounds.
        iterations: u32,
    },
    /// `EVP_BytesToKey`, SHA-256, one round.
    Legacy,
}

/// The passphrase; wiped from memory when dropped, never shown.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Passphrase(Vec<u8>);

impl Passphrase {
    /// Takes the bytes up to the first line feed, as `openssl -pass file:` does: a carriage return before it counts.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        Self(line.to_vec())
    }

    /// The bytes; keep them out of logs.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase([REDACTED])")
    }
}

/// Key, IV and the salt they came from. One artifact, one of these.
#[derive(ZeroizeOnDrop)]
pub struct CipherKey {
    key: [u8; 32],
    iv: [u8; BLOCK],
    salt: [u8; 8],
}

impl CipherKey {
    /// Derives key and IV; takes about 0.1 s for 600,000 rounds.
    pub fn derive(passphrase: &Passphrase, salt: [u8; 8], kdf: Kdf) -> Self {
        let mut material = Zeroizing::new([0_u8; 48]);
        match kdf {
            Kdf::Pbkdf2 { iterations } => pbkdf2::pbkdf2_hmac::<Sha256>(passphrase.as_bytes(), &salt, iterations, &mut *material),
            Kdf::Legacy => evp_bytes_to_key(passphrase.as_bytes(), salt, &mut material),
        }
        let mut derived = Self { key: [0; 32], iv: [0; BLOCK], salt };
        derived.key.copy_from_slice(&material[..32]);
        derived.iv.copy_from_slice(&material[32..]);
        derived
    }

    /// The same with a random salt.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn fresh(passphrase: &Passphrase, kdf: Kdf) -> io::Result<Self> {
        let mut salt = [0; 8];
        getrandom::fill(&mut salt).map_err(|error| io::Error::other(format!("the system gives no randomness: {error}")))?;
        Ok(Self::derive(passphrase, salt, kdf))
    }
}

impl fmt::Debug for CipherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CipherKey([REDACTED])")
    }
}

// EVP_BytesToKey(3): D_1 = H(pass ‖ salt), D_i = H(D_{i-1} ‖ pass ‖ salt); key and IV are cut from D_1 ‖ D_2.
fn evp_bytes_to_key(passphrase: &[u8], salt: [u8; 8], material: &mut [u8; 48]) {
    let first: [u8; 32] = Sha256::new().chain_update(passphrase).chain_update(salt).finalize().into();
    let second: [u8; 32] = Sha256::new().chain_update(first).chain_update(passphrase).chain_update(salt).finalize().into();
    material[..32].copy_from_slice(&first);
    material[32..].copy_from_slice(&second[..16]);
}

/// Encrypts a stream piece by piece.
pub(super) struct Encryptor {
    cipher: cbc::Encryptor<Aes256>,
    pending: Vec<u8>,
}

impl Encryptor {
    /// Starts a stream; the header is the first output.
    pub(super) fn new(key: &CipherKey) -> Self {
        let mut pending = Vec::new();
        pending.extend_from_slice(MAGIC);
        pending.extend_from_slice(&key.salt);
        Self { cipher: cbc::Encryptor::new(&key.key.into(), &key.iv.into()), pending }
    }

    /// The header, to be written before anything else.
    pub(super) fn header(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pending)
    }

    /// Takes plain bytes; `output` gets the ciphertext of all whole blocks.
    pub(super) fn update(&mut self, plain: &[u8], output: &mut Vec<u8>) {
        output.clear();
        output.extend_from_slice(&self.pending);
        output.extend_from_slice(plain);
        let whole = output.len() / BLOCK * BLOCK;
        self.pending.clear();
        self.pending.extend_from_slice(&output[whole..]);
        output.truncate(whole);
        let (blocks, _) = Array::slice_as_chunks_mut(output);
        self.cipher.encrypt_blocks(blocks);
    }

    /// The last block, padded as PKCS#7 says.
    pub(super) fn finish(mut self, output: &mut Vec<u8>) {
        let padding = BLOCK - self.pending.len() % BLOCK;
        let bytes = vec![u8::try_from(padding).expect("1 to 16"); padding];
        self.update(&bytes, output);
    }
}

/// Decrypts what `openssl enc` wrote. End of file comes only after the padding held; where the end is wrong, the bytes
/// before it are still given out and every read after them fails.
pub(super) struct DecryptReader<R> {
    source: R,
    cipher: cbc::Decryptor<Aes256>,
    /// Decrypted bytes ready to be read.
    plain: Vec<u8>,
    position: usize,
    /// Ciphertext not yet decrypted: less than a block, or the last whole block (it holds the padding).
    held: Vec<u8>,
    ended: bool,
    /// What is wrong with the end.
    cut: Option<&'static str>,
}

impl<R: Read> DecryptReader<R> {
    /// Reads the header and derives the key.
    pub(super) fn open(mut source: R, passphrase: &Passphrase, kdf: Kdf) -> Result<Self, PipelineError> {
        let mut header = [0; 16];
        let got = read_full(&mut source, &mut header)?;
        if got < MAGIC.len() || &header[..8] != MAGIC {
            return Err(PipelineError::NotAnArtifact);
        }
        if got < header.len() {
            return Err(PipelineError::Truncated("its header is cut"));
        }
        let mut salt = [0; 8];
        salt.copy_from_slice(&header[8..]);
        let key = CipherKey::derive(passphrase, salt, kdf);
        let cipher = cbc::Decryptor::new(&key.key.into(), &key.iv.into());
        Ok(Self { source, cipher, plain: Vec::new(), position: 0, held: Vec::new(), ended: false, cut: None })
    }

    fn fill(&mut self) -> Result<(), PipelineError> {
        self.plain.clear();
        self.position = 0;
        self.plain.append(&mut self.held);
        let before = self.plain.len();
        self.plain.resize(before + READ_SIZE, 0);
        let got = read_full(&mut self.source, &mut self.plain[before..])?;
        self.plain.truncate(before + got);
        if got < READ_SIZE {
            self.last();
            return Ok(());
        }
        let keep = (self.plain.len() - 1) / BLOCK * BLOCK;
        self.held.extend_from_slice(&self.plain[keep..]);
        self.plain.truncate(keep);
        self.decrypt();
        Ok(())
    }

    fn last(&mut self) {
        self.ended = true;
        let whole = self.plain.len() / BLOCK * BLOCK;
        if self.plain.is_empty() || whole < self.plain.len() {
            self.cut = Some("its length is no whole number of cipher blocks");
            self.plain.truncate(whole);
            self.decrypt();
            return;
        }
        self.decrypt();
        let padding = usize::from(self.plain[whole - 1]);
        let sound = (1..=BLOCK).contains(&padding) && self.plain[whole - padding..].iter().all(|byte| usize::from(*byte) == padding);
        if sound {
            self.plain.truncate(whole - padding);
        } else {
            self.cut = Some("the padding at its end is wrong (a wrong passphrase looks the same)");
        }
    }

    fn decrypt(&mut self) {
        let (blocks, _) = Array::slice_as_chunks_mut(&mut self.plain);
        self.cipher.decrypt_blocks(blocks);
    }
}

impl<R: Read> Read for DecryptReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.position == self.plain.len() {
            if self.ended {
                return self.cut.map_or(Ok(0), |what| Err(PipelineError::Truncated(what).into()));
            }
            self.fill()?;
        }
        let count = buffer.len().min(self.plain.len() - self.position);
        buffer[..count].copy_from_slice(&self.plain[self.position..self.position + count]);
        self.position += count;
        Ok(count)
    }
}

/// Reads until `buffer` is full or the source ends; returns how many bytes came.
pub(super) fn read_full(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_openssl() {
        // openssl enc -aes-256-cbc -md sha256 -S 0102030405060708 -k segredo -P, without and with -pbkdf2 -iter 10000
        let passphrase = Passphrase::from_bytes(b"segredo\n");
        for (kdf, options) in [(Kdf::Legacy, vec![]), (Kdf::Pbkdf2 { iterations: 10_000 }, vec!["-pbkdf2", "-iter", "10000"])] {
            let output = std::process::Command::new("openssl")
                .args(["enc", "-aes-256-cbc", "-md", "sha256", "-S", "0102030405060708", "-k", "segredo", "-P"])
                .args(options)
                .output()
                .expect("openssl runs");
            let text = String::from_utf8_lossy(&output.stdout).to_lowercase();
            let key = CipherKey::derive(&passphrase, [1, 2, 3, 4, 5, 6, 7, 8], kdf);
            assert!(text.contains(&format!("key={}", hex::encode(key.key))), "{text}");
            assert!(text.contains(&format!("iv ={}", hex::encode(key.iv))), "{text}");
        }
    }

    #[test]
    fn a_passphrase_is_the_first_line_with_its_carriage_return_as_openssl_takes_it() {
        assert_eq!(Passphrase::from_bytes(b"segredo\r\nx").as_bytes(), b"segredo\r");
    }

    #[test]
    fn a_passphrase_is_never_shown() {
        let passphrase = Passphrase::from_bytes(b"segredo");
        assert!(!format!("{passphrase:?} {:?}", CipherKey::derive(&passphrase, [0; 8], Kdf::Legacy)).contains("segredo"));
    }
}
