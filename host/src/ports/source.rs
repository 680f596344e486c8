//! What sources report: the passport of a set, and the entries of a dump.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// One finished file of a schema's dump, a few MiB at most (D2).
#[derive(Debug)]
pub struct DumpEntry {
    /// Path inside the archive, for example `empresa1.d/pedidos.00001.sql`.
    pub name: String,
    /// The whole content.
    pub data: Vec<u8>,
}

/// Buffers of entries that were taken, for the next ones: memory that comes anew from the system is zeroed each time.
#[derive(Debug, Default)]
pub struct SpareBuffers(Mutex<Vec<Vec<u8>>>);

impl SpareBuffers {
    /// Buffers that are kept; more are freed.
    const KEPT: usize = 4;

    /// An empty buffer, with room where one is spare.
    pub fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Keeps a buffer for later.
    pub fn put(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < Self::KEPT {
            spare.push(buffer);
        }
    }
}

/// The server that a dump came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInfo {
    /// `mariadb` or `mysql`.
    pub flavor: String,
    /// As `SELECT VERSION()` says it.
    pub version: String,
    /// Server-wide settings that a restore depends on (`lower_case_table_names`, `character_set_server`, `max_allowed_packet`, `sql_mode` …).
    pub variables: BTreeMap<String, String>,
}

/// Where in the server's history the snapshot lies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotPosition {
    /// Binary log file, where the server writes one.
    pub binlog_file: Option<String>,
    /// Position in that file.
    pub binlog_position: Option<u64>,
    /// GTID position or executed set, where the server has one.
    pub gtid: Option<String>,
    /// Whether all connections share one snapshot (`true`) or a single connection read everything (`false`): consistent either way.
    pub locked: bool,
}

/// What a schema held when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaPassport {
    /// Name on the server it came from.
    pub schema: String,
    /// Default character set.
    pub charset: String,
    /// Default collation.
    pub collation: String,
    /// Base tables and sequences, sorted by name.
    pub tables: Vec<TablePassport>,
    /// Everything else, sorted by kind and name.
    pub objects: Vec<ObjectPassport>,
    /// What the account may not see of it, so that the dump is short of it: `triggers`, `` procedure `fechar` ``.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
}

/// Kind of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TableKind {
    /// An ordinary table.
    Base,
    /// A table with system versioning; its history is dumped too.
    SystemVersioned,
    /// A MariaDB sequence.
    Sequence,
}

/// What a table held when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TablePassport {
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: TableKind,
    /// Storage engine.
    pub engine: String,
    /// Rows read, history included.
    pub rows: u64,
    /// Bytes of row text written.
    pub bytes: u64,
    /// Order-independent digest of the rows: 32 lower-case hex digits; see `docs/formats/passport.md`.
    pub digest: String,
    /// SHA-256 of the canonical definition, hex.
    pub definition_sha256: String,
    /// Files of the dump that hold its rows.
    pub chunks: u32,
    /// Whether the engine takes part in the snapshot; rows of others are as they were at the moment of reading.
    pub transactional: bool,
}

/// Kind of a schema object that is no table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectKind {
    /// A view.
    View,
    /// A trigger.
    Trigger,
    /// A stored procedure.
    Procedure,
    /// A stored function.
    Function,
    /// A package or package body (MariaDB, Oracle mode).
    Package,
    /// An event.
    Event,
}

/// Definition digest of a schema object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectPassport {
    /// Kind.
    pub kind: ObjectKind,
    /// Name.
    pub name: String,
    /// SHA-256 of the canonical definition, hex.
    pub definition_sha256: String,
}

/// What a directory held when it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryPassport {
    /// Absolute path, lossy where it is not UTF-8.
    pub path: String,
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Symbolic links, hard links to files already in the archive, FIFOs and device nodes.
    pub others: u64,
    /// Bytes of file content archived (holes of sparse files not counted).
    pub bytes: u64,
    /// Entries left out by exclusion rules.
    pub excluded: u64,
    /// Files that changed or vanished while they were read; each is also a warning.
    pub unstable: u64,
    /// Files and directories that could not be read, wholly or in part; each is also a warning.
    #[serde(default)]
    pub unreadable: u64,
    /// The first of them, by their paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable_paths: Vec<String>,
}
