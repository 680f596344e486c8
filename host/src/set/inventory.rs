//! What a manifest says a set holds, read without the passphrase: keys and sizes, to see whether all of it is there. Nobody has proven a
//! word of it, so that nothing can be restored by it; for that a manifest becomes a [`super::SealedManifest`].

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::SetName;
use super::layout::{MANIFEST, SEAL};
use super::manifest::{Manifest, ManifestError};

/// What a set claims to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// The set that the manifest says it is of.
    pub set: SetName,
    /// When it was finished.
    pub finished: Timestamp,
    /// What the run was told to take alone; empty for a set of everything.
    pub selection: Vec<String>,
    /// Whether everything that was to be read could be.
    pub whole: bool,
    /// Sizes by key.
    objects: BTreeMap<String, u64>,
}

impl Inventory {
    /// Reads a manifest.
    ///
    /// # Errors
    /// When it is none.
    pub fn claimed(bytes: &[u8]) -> Result<Self, ManifestError> {
        let manifest = Manifest::parse(bytes)?;
        let artifacts = manifest.artifacts.iter().map(|artifact| (artifact.key.clone(), artifact.size));
        let files = manifest.files.iter().map(|file| (file.key.clone(), file.size));
        let own = [(MANIFEST.to_owned(), bytes.len() as u64)];
        let objects = artifacts.chain(files).chain(own).collect();
        let whole = manifest.is_whole();
        Ok(Self { set: manifest.set, finished: manifest.finished, selection: manifest.selection, whole, objects })
    }

    /// What is not as it says, in words: objects that are missing, or of another size than `listed` has by key.
    pub fn differences(&self, listed: &BTreeMap<String, u64>) -> Vec<String> {
        let one = |(key, size): (&String, &u64)| match listed.get(key) {
            None => Some(format!("{key} is missing")),
            Some(found) if found != size => Some(format!("{key} has {found} bytes instead of {size}")),
            Some(_) => None,
        };
        let seal = (!listed.contains_key(SEAL)).then(|| format!("{SEAL} is missing"));
        self.objects.iter().filter_map(one).chain(seal).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn manifest() -> Vec<u8> {
        let digest = |length: usize| "0".repeat(length);
        let text = serde_json::json!({
            "format": "cofre-set-1", "set": "backup_2026_03_15_02_00_00", "cofre": "1", "host": "h",
            "started": "2026-03-15T05:00:00Z", "finished": "2026-03-15T05:10:00Z",
            "encryption": { "cipher": "aes-256-cbc", "kdf": "legacy", "digest": "sha256" },
            "compression": { "algorithm": "gzip", "level": 5 },
            "artifacts": [{ "key": "sql/a.sql.tar.gz.enc", "kind": "schema", "name": "a", "plain": 9, "compressed": 8, "size": 32, "sha256": digest(64), "md5": digest(32) }],
            "missing": [],
            "files": [{ "key": "SHA256SUMS", "size": 7, "sha256": digest(64), "md5": digest(32) }],
            "warnings": 0
        });
        text.to_string().into_bytes()
    }

    #[test]
    fn whatever_is_missing_or_cut_is_named() {
        let bytes = manifest();
        let inventory = Inventory::claimed(&bytes).expect("a manifest");
        let whole: BTreeMap<String, u64> =
            [("sql/a.sql.tar.gz.enc", 32), ("SHA256SUMS", 7), (MANIFEST, bytes.len() as u64), (SEAL, 200), ("PINNED", 0)]
                .map(|(key, size)| (key.to_owned(), size))
                .into();
        assert_eq!(inventory.differences(&whole), Vec::<String>::new());
        let mut cut = whole.clone();
        cut.insert("sql/a.sql.tar.gz.enc".to_owned(), 31);
        cut.remove("SHA256SUMS");
        cut.remove(SEAL);
        assert_eq!(
            inventory.differences(&cut),
            ["SHA256SUMS is missing", "sql/a.sql.tar.gz.enc has 31 bytes instead of 32", "manifest.json.seal is missing"]
        );
    }

    proptest! {
        #[test]
        fn whatever_lies_there_is_read(mut bytes in Just(manifest()), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = Inventory::claimed(&bytes);
        }
    }
}
