//! The signature of a request, in the scheme that Stripe made common: `t=TIME,v1=HEX`, where HEX is the HMAC-SHA256 (RFC 2104) of the
//! time, a dot and the body. The time keeps an old request from being sent again by somebody else.

use std::fmt::Write as _;

use cofre_sdk::Secret;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The header that has it.
pub(crate) const HEADER: &str = "x-cofre-signature";

/// The header's value for a request that is sent at `unix_seconds`.
pub(crate) fn sign(key: &Secret, unix_seconds: u64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()).expect("a key of HMAC may have any length");
    mac.update(format!("{unix_seconds}.").as_bytes());
    mac.update(body);
    let mut value = format!("t={unix_seconds},v1=");
    for byte in mac.finalize().into_bytes() {
        let _ = write!(value, "{byte:02x}");
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf '1790000000.{"a":1}' | openssl dgst -sha256 -hmac segredo`.
    #[test]
    fn a_signature_is_the_one_that_openssl_makes() {
        let signed = sign(&Secret::new("segredo"), 1_790_000_000, br#"{"a":1}"#);
        assert_eq!(signed, "t=1790000000,v1=bcabd390e7c3f1cd1196a7d55cd25b2466efc0a44af1d4d2e00978a3dbc76a23");
        assert_ne!(signed, sign(&Secret::new("segredo"), 1_790_000_001, br#"{"a":1}"#));
        assert_ne!(signed, sign(&Secret::new("outro"), 1_790_000_000, br#"{"a":1}"#));
    }
}
