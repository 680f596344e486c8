//! File names inside a dump, from table names: safe in a shell, in a tar and in the client's `source` command.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// Definitions of tables and sequences.
pub(super) const DEFINITIONS: &str = "0000-schema.sql";
pub(super) const ROUTINES: &str = "9000-routines.sql";
pub(super) const TRIGGERS: &str = "9200-triggers.sql";
pub(super) const EVENTS: &str = "9300-events.sql";
/// Last, because a view is what may fail on a server that lacks something.
pub(super) const VIEWS: &str = "9900-views.sql";
/// Key of the section of [`DEFINITIONS`] that concerns the schema as a whole: no table has such a name in files.
pub(super) const SCHEMA_ITSELF: &str = "@schema";

/// Whether a file of a dump is one of the scripts, not rows of a table: a table's files have a number after its name, so that
/// no name of a table makes one of these.
pub(super) fn is_script(file: &str) -> bool {
    [DEFINITIONS, ROUTINES, TRIGGERS, EVENTS, VIEWS].contains(&file)
}

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

    #[test]
    fn no_table_has_files_that_look_like_scripts() {
        for table in ["2024-vendas", "0000-schema", "9000-routines.sql", "9200-triggers", "9900-views"] {
            for end in ["00001.sql", "00001.part00001.sql"] {
                assert!(!is_script(&format!("{}.{end}", file_name(table))), "{table}");
            }
        }
        assert!(is_script(EVENTS) && file_name("@schema") != SCHEMA_ITSELF);
    }

    proptest! {
        #[test]
        fn names_are_safe_and_distinct(a in ".{1,64}", b in ".{1,64}") {
            let (x, y) = (file_name(&a), file_name(&b));
            prop_assert!(x.len() <= NAME_MAX && x.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-%~".contains(&c)));
            prop_assert_eq!(a == b, x == y);
        }
    }
}
