//! Signatures by minisign (<https://jedisct1.github.io/minisign/>), in `x.wasm.minisig` beside `x.wasm`. One counts only if a key that
//! the administrator trusts made it, over the very bytes that are compiled.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::package::PluginFile;
use crate::ports::{TrustedKey, key_name};

/// What the signature of a file is worth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Signature {
    /// There is none.
    None,
    /// Made by a trusted key.
    Trusted {
        /// Its identifier, as minisign prints it.
        key: String,
    },
    /// Made by a key that nobody here trusts: it cannot be checked, and says nothing.
    Unknown {
        /// Its identifier.
        key: String,
    },
    /// Damaged, or of another file.
    Invalid {
        /// Why.
        reason: String,
    },
}

impl Signature {
    /// Checks what lies beside a file.
    pub fn of(file: &PluginFile, trusted: &[TrustedKey]) -> Self {
        let Some(text) = file.signature() else { return Self::None };
        let invalid = |reason: &str| Self::Invalid { reason: reason.to_owned() };
        let (Ok(signature), Some(key)) = (minisign_verify::Signature::decode(text), key_of(text)) else {
            return invalid("it is no signature of minisign");
        };
        let of_this_name: Vec<_> = trusted.iter().filter(|known| known.name() == key).collect();
        if of_this_name.is_empty() {
            return Self::Unknown { key };
        }
        // Signatures of old versions of minisign are over the file itself instead of its digest; both are sound.
        if of_this_name.iter().any(|known| known.key().verify(file.bytes(), &signature, true).is_ok()) {
            return Self::Trusted { key };
        }
        invalid("it is the signature of other bytes")
    }

    /// The trusted key that made it.
    pub fn trusted_key(&self) -> Option<&str> {
        match self {
            Self::Trusted { key } => Some(key),
            _ => None,
        }
    }
}

/// Identifier of the key in the second line: two letters of the algorithm, then eight bytes.
fn key_of(text: &str) -> Option<String> {
    let bytes = STANDARD.decode(text.lines().nth(1)?.trim()).ok()?;
    Some(key_name(bytes.get(2..10)?.try_into().ok()?))
}
