//! The manifest: which artifacts a set holds, how they were made, their sizes and digests. Format `cofre-set-1`,
//! documented in `docs/formats/manifest.md`. It says nothing of the content: that is in the encrypted passport.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::SetName;
use super::layout::{MANIFEST, SEAL};

/// What the first field of every manifest says.
const FORMAT: &str = "cofre-set-1";
/// Longest manifest that is read, in bytes: 100,000 artifacts fit.
const MANIFEST_MAX: usize = 64 << 20;

/// What a set holds. Becomes a [`super::SealedManifest`] before anybody believes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `cofre-set-1`.
    pub format: String,
    /// Name of the set; equal to the name of its directory.
    pub set: SetName,
    /// Version of cofre that made it.
    pub cofre: String,
    /// Host name of the machine it was made on.
    pub host: String,
    /// Start of the run, RFC 3339.
    pub started: jiff::Timestamp,
    /// When the last artifact was finished, RFC 3339.
    pub finished: jiff::Timestamp,
    /// How artifacts are encrypted.
    pub encryption: EncryptionRecord,
    /// How artifacts are compressed.
    pub compression: CompressionRecord,
    /// Artifacts, sorted by key.
    pub artifacts: Vec<ArtifactRecord>,
    /// What should have been here and could not be read; a set with anything in it is partial, never good.
    pub missing: Vec<MissingRecord>,
    /// The readable files beside them, sorted by key; manifest and seal are not among them.
    pub files: Vec<FileRecord>,
    /// How many warnings the run gave; their texts are in the passport.
    pub warnings: u64,
    /// What the run was told to take alone (`--only`); empty for a set of everything.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub selection: Vec<String>,
    /// What a person called it (`--tag`); retention may keep by these.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub tags: Vec<String>,
}

/// How artifacts are encrypted: the options of `openssl enc`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncryptionRecord {
    /// `aes-256-cbc`.
    pub cipher: String,
    /// `pbkdf2` or `legacy` (`EVP_BytesToKey`).
    pub kdf: String,
    /// PBKDF2 rounds; absent for `legacy`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub iterations: Option<u32>,
    /// `sha256`.
    pub digest: String,
}

/// How artifacts are compressed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompressionRecord {
    /// `gzip` or `zstd`.
    pub algorithm: String,
    /// Level of directories; databases may have a lower one.
    pub level: i32,
}

/// What an artifact is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactKind {
    /// One database schema.
    Schema,
    /// Users and grants of one server.
    Grants,
    /// One directory.
    Directory,
    /// cofre's own configuration, plug-in pins and the passport of the set.
    Own,
}

impl ArtifactKind {
    const ALL: [Self; 4] = [Self::Schema, Self::Grants, Self::Directory, Self::Own];

    /// Its name, as in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Grants => "grants",
            Self::Directory => "directory",
            Self::Own => "own",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtifactRecord {
    /// Key below the set, for example `sql/empresa1.sql.tar.gz.enc`.
    pub key: String,
    /// What it is made from.
    pub kind: ArtifactKind,
    /// Schema name, directory path, or source name for grants.
    pub name: String,
    /// Name of the configured source, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<String>,
    /// Tenant that the schema belongs to, where one is configured.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tenant: Option<String>,
    /// Bytes of the tar.
    pub plain: u64,
    /// Bytes after compression.
    pub compressed: u64,
    /// Bytes of the ciphertext, as stored.
    pub size: u64,
    /// SHA-256 of the ciphertext, hex.
    pub sha256: String,
    /// MD5 of the ciphertext, hex.
    pub md5: String,
    /// When its source was read. A schema is as it was at one moment, which lies in between.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub read: Option<Period>,
}

/// From when to when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Period {
    /// Its start, RFC 3339.
    pub from: jiff::Timestamp,
    /// Its end, RFC 3339.
    pub to: jiff::Timestamp,
}

impl Period {
    /// From the earliest start to the latest end; `None` of nothing.
    pub fn around(periods: impl IntoIterator<Item = Self>) -> Option<Self> {
        periods.into_iter().reduce(|one, other| Self { from: one.from.min(other.from), to: one.to.max(other.to) })
    }
}

/// An artifact that could not be made, or that lacks some of its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MissingRecord {
    /// What it would have been made from.
    pub kind: ArtifactKind,
    /// Schema name ([`ALL_SCHEMAS`] for all those of a server), directory path, or source name.
    pub name: String,
    /// Name of the configured source, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<String>,
    /// How many files of a directory, or objects of a schema, could not be read; the artifact is there without them, and their names are in
    /// the passport. Absent: there is no artifact.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parts: Option<u64>,
}

/// What stands in a [`MissingRecord`] for all schemas of a server that could not be read at all.
pub const ALL_SCHEMAS: &str = "*";

impl MissingRecord {
    /// In words, for a person: `/etc`, `main: *`, `/etc (3 of its parts)`.
    pub fn described(&self) -> String {
        match (self.parts, &self.source) {
            (Some(parts), _) => format!("{} ({parts} of its parts)", self.name),
            (None, Some(source)) if self.name == ALL_SCHEMAS || self.kind == ArtifactKind::Grants => format!("{source}: {}", self.name),
            _ => self.name.clone(),
        }
    }
}

/// One readable file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRecord {
    /// Key below the set.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256, hex.
    pub sha256: String,
    /// MD5, hex.
    pub md5: String,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is larger than any real one.
    #[error("the manifest has {0} bytes, more than the {MANIFEST_MAX} that any real one has")]
    TooLarge(usize),
    /// It is not the JSON of a manifest.
    #[error("the manifest cannot be read: {0}")]
    Syntax(#[from] serde_json::Error),
    /// A later cofre made it.
    #[error("the manifest has format `{0}`, this cofre reads `{FORMAT}`; use the cofre version that made the set, or a later one")]
    Format(String),
    /// A field breaks a rule.
    #[error("the manifest is not sound: {0}")]
    Unsound(String),
}

impl Manifest {
    /// The format's name for new manifests.
    pub fn format_name() -> String {
        FORMAT.to_owned()
    }

    /// Exact bytes that are stored and sealed.
    ///
    /// # Errors
    /// Never in practice: every field has a JSON form.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ManifestError> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads a manifest and checks its own rules. Says nothing about who wrote it: see [`super::SealedManifest::open`].
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
        }
        if bytes.len() > MANIFEST_MAX {
            return Err(ManifestError::TooLarge(bytes.len()));
        }
        let head: Head = serde_json::from_slice(bytes)?;
        if head.format != FORMAT {
            return Err(ManifestError::Format(head.format.chars().take(40).collect()));
        }
        let manifest: Self = serde_json::from_slice(bytes)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The rules of the format that its syntax does not tell.
    pub(super) fn check(&self) -> Result<(), ManifestError> {
        // Where letter case does not count, two keys that differ in nothing else are one file.
        let mut seen: BTreeSet<String> = [MANIFEST, SEAL].map(str::to_lowercase).into();
        let artifacts = self.artifacts.iter().map(|a| (&a.key, &a.sha256, &a.md5));
        for (key, sha256, md5) in artifacts.chain(self.files.iter().map(|f| (&f.key, &f.sha256, &f.md5))) {
            if !is_safe_key(key) {
                return Err(ManifestError::Unsound(format!("`{key}` is not a key of a set")));
            }
            if !seen.insert(key.to_lowercase()) {
                return Err(ManifestError::Unsound(format!("two files of the set would be called `{key}`")));
            }
            if !is_hex(sha256, 64) || !is_hex(md5, 32) {
                return Err(ManifestError::Unsound(format!("a digest of `{key}` is no digest")));
            }
        }
        Ok(())
    }

    /// The artifact with this key.
    pub fn artifact(&self, key: &str) -> Option<&ArtifactRecord> {
        self.artifacts.iter().find(|artifact| artifact.key == key)
    }

    /// Whether everything that was to be read is in the set. What was to be read may have been a selection.
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty()
    }

    /// What has no artifact at all.
    pub fn absent(&self) -> impl Iterator<Item = &MissingRecord> {
        self.missing.iter().filter(|missing| missing.parts.is_none())
    }

    /// Ciphertext bytes of all artifacts.
    pub fn stored_bytes(&self) -> u64 {
        self.artifacts.iter().map(|artifact| artifact.size).sum()
    }

    /// Plain bytes of all artifacts.
    pub fn plain_bytes(&self) -> u64 {
        self.artifacts.iter().map(|artifact| artifact.plain).sum()
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn is_safe_key(key: &str) -> bool {
    key.len() <= 1_024
        && key.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && !key.chars().any(|c| c.is_control() || c == '\\')
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(in crate::set) fn sample() -> Manifest {
        Manifest {
            format: Manifest::format_name(),
            set: "backup_2026_03_15_02_00_00".parse().expect("valid"),
            cofre: "0.1.0".into(),
            host: "erp".into(),
            started: jiff::Timestamp::UNIX_EPOCH,
            finished: jiff::Timestamp::UNIX_EPOCH,
            encryption: EncryptionRecord {
                cipher: "aes-256-cbc".into(),
                kdf: "pbkdf2".into(),
                iterations: Some(600_000),
                digest: "sha256".into(),
            },
            compression: CompressionRecord { algorithm: "gzip".into(), level: 6 },
            artifacts: vec![ArtifactRecord {
                key: "sql/empresa1.sql.tar.gz.enc".into(),
                kind: ArtifactKind::Schema,
                name: "empresa1".into(),
                source: Some("principal".into()),
                tenant: None,
                plain: 100,
                compressed: 50,
                size: 80,
                sha256: "ab".repeat(32),
                md5: "cd".repeat(16),
                read: None,
            }],
            missing: Vec::new(),
            files: Vec::new(),
            warnings: 0,
            selection: Vec::new(),
            tags: Vec::new(),
        }
    }

    #[test]
    fn a_manifest_reads_back_as_it_was() {
        let manifest = sample();
        assert_eq!(Manifest::parse(&manifest.to_bytes().expect("json")).expect("sound"), manifest);
    }

    #[test]
    fn a_key_that_leaves_the_set_is_refused() {
        for key in ["../x", "/etc/passwd", "a//b", "", "a/./b", "a\nb"] {
            let mut manifest = sample();
            manifest.artifacts[0].key = key.into();
            assert!(Manifest::parse(&manifest.to_bytes().expect("json")).is_err(), "{key}");
        }
    }

    #[test]
    fn a_later_format_is_named() {
        let mut manifest = sample();
        manifest.format = "cofre-set-2".into();
        let error = Manifest::parse(&manifest.to_bytes().expect("json")).expect_err("later");
        assert!(matches!(error, ManifestError::Format(f) if f == "cofre-set-2"));
    }

    proptest! {
        #[test]
        fn reading_anything_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Manifest::parse(&bytes);
        }
    }
}
