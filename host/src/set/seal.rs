//! The seal: HMAC-SHA256 over the exact bytes of the manifest (D5), format `cofre-seal-1` in `docs/formats/manifest.md`.
//!
//! The key is HKDF-SHA256 (RFC 5869, label `cofre/seal/1`) over PBKDF2-HMAC-SHA256 of the passphrase with a salt and as
//! many rounds as an artifact: a seal is no cheaper to guess against than the artifacts. `openssl kdf` and `openssl dgst`
//! compute the same.

use std::fmt::Write as _;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::manifest::{Manifest, ManifestError};

const FORMAT: &str = "cofre-seal-1";
const LABEL: &[u8] = b"cofre/seal/1";
const SALT_LENGTH: usize = 16;
/// Rounds beyond this are refused: a forged seal must not keep a processor busy for minutes.
const ITERATIONS_MAX: u32 = 20_000_000;
const SEAL_MAX: usize = 1_024;

/// A manifest whose seal holds, with the bytes that were sealed.
#[derive(Debug, Clone)]
pub struct SealedManifest {
    manifest: Manifest,
    bytes: Vec<u8>,
    seal: String,
}

/// A key with its salt, for one seal.
pub struct SealKey {
    key: Zeroizing<[u8; 32]>,
    salt: [u8; SALT_LENGTH],
    iterations: u32,
}

impl SealKey {
    /// Derives a key with a random salt; takes about 0.1 s for 600,000 rounds.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn fresh(passphrase: &[u8], iterations: u32) -> Result<Self, SealError> {
        let mut salt = [0; SALT_LENGTH];
        getrandom::fill(&mut salt).map_err(SealError::Random)?;
        Ok(Self::derive(passphrase, salt, iterations))
    }

    fn derive(passphrase: &[u8], salt: [u8; SALT_LENGTH], iterations: u32) -> Self {
        let mut stretched = Zeroizing::new([0; 32]);
        pbkdf2::pbkdf2_hmac::<Sha256>(passphrase, &salt, iterations, &mut *stretched);
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, &*stretched).expand(LABEL, &mut *key).expect("32 bytes are within HKDF's 255 blocks");
        Self { key, salt, iterations }
    }

    fn authenticator(&self, message: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.key).expect("HMAC takes keys of any length");
        mac.update(message);
        mac
    }
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey([REDACTED])")
    }
}

/// Why a seal cannot be made or does not hold.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The file is no seal.
    #[error("the seal cannot be read: {0}")]
    Syntax(&'static str),
    /// Another passphrase, or another manifest.
    #[error("the seal does not hold: the passphrase is another one than the set was made with, or the manifest was changed")]
    Broken,
    /// The seal holds, the manifest is of no use all the same.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The thread that derives it died.
    #[error("the key of the seal was not derived")]
    NoKey,
    /// The operating system gave no randomness.
    #[error("cannot make a salt for the seal: {0}")]
    Random(getrandom::Error),
}

impl SealedManifest {
    /// Seals a manifest under `key`, which is used up by it. Its own rules are checked first: what nobody could open is never sealed.
    ///
    /// # Errors
    /// When the manifest is not sound, or cannot be written.
    pub fn seal(manifest: Manifest, key: SealKey) -> Result<Self, SealError> {
        manifest.check()?;
        let bytes = manifest.to_bytes()?;
        let tag = key.authenticator(&bytes).finalize().into_bytes();
        let mut seal = format!("{FORMAT}\nkdf: pbkdf2-hmac-sha256\niterations: {}\n", key.iterations);
        let _ = writeln!(seal, "salt: {}\nhmac-sha256: {}", hex::encode(key.salt), hex::encode(tag));
        Ok(Self { manifest, bytes, seal })
    }

    /// Checks a seal and reads the manifest under it.
    ///
    /// # Errors
    /// When the seal is malformed or does not hold, or the manifest is not sound.
    pub fn open(bytes: Vec<u8>, seal: &[u8], passphrase: &[u8]) -> Result<Self, SealError> {
        let parsed = ParsedSeal::parse(seal)?;
        let key = SealKey::derive(passphrase, parsed.salt, parsed.iterations);
        key.authenticator(&bytes).verify_slice(&parsed.tag).map_err(|_| SealError::Broken)?;
        let manifest = Manifest::parse(&bytes)?;
        let seal = String::from_utf8_lossy(seal).into_owned();
        Ok(Self { manifest, bytes, seal })
    }

    /// What the set holds.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The bytes of `manifest.json`.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The text of `manifest.json.seal`.
    pub fn seal_text(&self) -> &str {
        &self.seal
    }
}

struct ParsedSeal {
    iterations: u32,
    salt: [u8; SALT_LENGTH],
    tag: [u8; 32],
}

impl ParsedSeal {
    fn parse(seal: &[u8]) -> Result<Self, SealError> {
        if seal.len() > SEAL_MAX {
            return Err(SealError::Syntax("it is longer than any seal"));
        }
        let text = std::str::from_utf8(seal).map_err(|_| SealError::Syntax("it is not text"))?;
        let mut lines = text.lines();
        if lines.next() != Some(FORMAT) {
            return Err(SealError::Syntax("its first line is not `cofre-seal-1`"));
        }
        let mut field = |name| {
            let line = lines.next().ok_or(SealError::Syntax("a line is missing"))?;
            line.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")).ok_or(SealError::Syntax("a line is not what it should be"))
        };
        if field("kdf")? != "pbkdf2-hmac-sha256" {
            return Err(SealError::Syntax("its key derivation is unknown"));
        }
        let iterations = field("iterations")?.parse().map_err(|_| SealError::Syntax("its iterations are no number"))?;
        if !(1..=ITERATIONS_MAX).contains(&iterations) {
            return Err(SealError::Syntax("its iterations are out of range"));
        }
        let mut parsed = Self { iterations, salt: [0; SALT_LENGTH], tag: [0; 32] };
        hex::decode_to_slice(field("salt")?, &mut parsed.salt).map_err(|_| SealError::Syntax("its salt is no hex"))?;
        hex::decode_to_slice(field("hmac-sha256")?, &mut parsed.tag).map_err(|_| SealError::Syntax("its HMAC is no hex"))?;
        if lines.next().is_some() {
            return Err(SealError::Syntax("there are more lines than a seal has"));
        }
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::manifest::tests::sample;
    use super::*;
    use proptest::prelude::*;

    const ROUNDS: u32 = 1_000;

    fn sealed() -> SealedManifest {
        SealedManifest::seal(sample(), SealKey::fresh(b"segredo", ROUNDS).expect("random")).expect("sealed")
    }

    #[test]
    fn a_seal_opens_with_its_passphrase_only() {
        let sealed = sealed();
        let seal = sealed.seal_text().as_bytes();
        assert_eq!(SealedManifest::open(sealed.bytes().to_vec(), seal, b"segredo").expect("holds").manifest(), &sample());
        assert!(matches!(SealedManifest::open(sealed.bytes().to_vec(), seal, b"segred0"), Err(SealError::Broken)));
    }

    #[test]
    fn what_nobody_could_open_is_not_sealed() {
        let mut manifest = sample();
        let mut second = manifest.artifacts[0].clone();
        second.key.make_ascii_uppercase();
        manifest.artifacts.push(second);
        let refused = SealedManifest::seal(manifest, SealKey::fresh(b"segredo", ROUNDS).expect("random")).expect_err("one key twice");
        assert!(matches!(refused, SealError::Manifest(ManifestError::Unsound(_))), "{refused}");
    }

    #[test]
    fn a_flipped_bit_anywhere_breaks_it() {
        let sealed = sealed();
        for position in (0..sealed.bytes().len()).step_by(37) {
            let mut bytes = sealed.bytes().to_vec();
            bytes[position] ^= 1;
            assert!(matches!(SealedManifest::open(bytes, sealed.seal_text().as_bytes(), b"segredo"), Err(SealError::Broken)), "{position}");
        }
    }

    #[test]
    fn openssl_computes_the_same_seal() {
        let sealed = sealed();
        let field = |name: &str| {
            let line = sealed.seal_text().lines().find(|l| l.starts_with(name)).expect("a field");
            line.split(": ").nth(1).expect("a value").to_owned()
        };
        let script = format!(
            "set -e; k=$(openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt pass:segredo -kdfopt hexsalt:{} -kdfopt iter:{ROUNDS} PBKDF2 | tr -d ':\\n'); \
             k=$(openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt hexkey:$k -kdfopt info:cofre/seal/1 HKDF | tr -d ':\\n'); \
             openssl dgst -sha256 -mac HMAC -macopt hexkey:$k",
            field("salt")
        );
        let mut child = std::process::Command::new("sh")
            .args(["-c", &script])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("openssl runs");
        std::io::Write::write_all(&mut child.stdin.take().expect("piped"), sealed.bytes()).expect("written");
        let output = child.wait_with_output().expect("ends");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.trim_end().ends_with(&field("hmac-sha256")), "{text}");
    }

    proptest! {
        #[test]
        fn reading_anything_as_a_seal_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = ParsedSeal::parse(&bytes);
        }
    }
}
