//! What a snapshot set is on a destination: its name, its files, its manifest and the seal over it (D1, D5).
//!
//! Pure data and pure functions; nothing here reads or writes a file. The states are types: a [`Manifest`] becomes a
//! [`SealedManifest`] only by sealing it or by checking a seal, and everything that restores takes the sealed one.

mod inventory;
mod layout;
mod manifest;
mod name;
mod notes;
mod passport;
mod seal;
mod sums;

pub use inventory::Inventory;
pub use layout::{
    ArtifactKeys, BACKUP_LOG, Contents, MANIFEST, MD5SUMS, PINNED, RESTORE_NOTES, SEAL, SHA256SUMS, own_key, set_key, stem_of,
};
pub use manifest::{
    ALL_SCHEMAS, ArtifactKind, ArtifactRecord, CompressionRecord, EncryptionRecord, FileRecord, Manifest, ManifestError, MissingRecord,
    Period,
};
pub use name::{SetName, SetNameError};
pub use notes::restore_notes;
pub use passport::{DirectoryEntry, Passport, PassportError, SchemaEntry, ServerEntry};
pub use seal::{SealError, SealKey, SealedManifest};
pub use sums::{md5_sums, sha256_sums};
