//! File names inside a dump, from table names: safe in a shell, in a tar and in the client's `source` command.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// Longest encoded name, in bytes.
const NAME_MAX: usize = 150;

/// The name itself where it is plain; every other byte as `%XX`; over-long ones end in a digest.
pub(super) fn file_name(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    if encoded.len() > NAME_MAX {
        let digest = hex::encode(Sha256::digest(name.as_bytes()));
        encoded.truncate(NAME_MAX - 20);
        let _ = write!(encoded, "~{}", &digest[..16]);
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn names_are_safe_and_distinct(a in ".{1,64}", b in ".{1,64}") {
            let (x, y) = (file_name(&a), file_name(&b));
            prop_assert!(x.len() <= NAME_MAX && x.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-%~".contains(&c)));
            prop_assert_eq!(a == b, x == y);
        }
    }
}
