//! The passport of a set: what was read, table by table, so that a restore can be compared without the original server.
//!
//! It is stored inside the encrypted artifact `config/_cofre_…` and not in the readable manifest: the digest of a table with
//! one small row is as good as the row itself to whoever keeps the files (docs/decisions/0002).

use serde::{Deserialize, Serialize};

use super::{Period, SetName};
use crate::ports::{DirectoryPassport, SchemaPassport, ServerInfo, SnapshotPosition, Warning};

const FORMAT: &str = "cofre-passport-1";

/// What a set was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passport {
    /// `cofre-passport-1`.
    pub format: String,
    /// The set.
    pub set: SetName,
    /// Version of cofre.
    pub cofre: String,
    /// Database servers.
    pub servers: Vec<ServerEntry>,
    /// Schemas.
    pub schemas: Vec<SchemaEntry>,
    /// Directories.
    pub directories: Vec<DirectoryEntry>,
    /// Warnings word for word, the first thousand.
    pub warnings: Vec<Warning>,
    /// How many warnings there were in all.
    pub warnings_total: u64,
}

/// One database server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerEntry {
    /// Name of the configured source.
    pub source: String,
    /// What it is.
    pub server: ServerInfo,
    /// Where the snapshot lies in its history.
    pub position: SnapshotPosition,
    /// When the snapshot was taken: at a moment in between.
    #[serde(default)]
    pub taken: Option<Period>,
}

/// One schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaEntry {
    /// Key of its artifact.
    pub artifact: String,
    /// What it held.
    #[serde(flatten)]
    pub passport: SchemaPassport,
}

/// One directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryEntry {
    /// Key of its artifact.
    pub artifact: String,
    /// What it held.
    #[serde(flatten)]
    pub passport: DirectoryPassport,
    /// When it was read: what changed or was deleted before is not of the moment of the databases.
    #[serde(default)]
    pub read: Option<Period>,
}

/// Why a passport cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PassportError {
    /// It is not the JSON of a passport.
    #[error("the passport of the set cannot be read: {0}")]
    Syntax(#[from] serde_json::Error),
    /// A later cofre made it.
    #[error("the passport of the set has format `{0}`, this cofre reads `{FORMAT}`")]
    Format(String),
}

impl Passport {
    /// An empty passport of `set`.
    pub fn new(set: SetName, cofre: &str) -> Self {
        Self {
            format: FORMAT.to_owned(),
            set,
            cofre: cofre.to_owned(),
            servers: Vec::new(),
            schemas: Vec::new(),
            directories: Vec::new(),
            warnings: Vec::new(),
            warnings_total: 0,
        }
    }

    /// The JSON that is stored.
    ///
    /// # Errors
    /// Never in practice: every field has a JSON form.
    pub fn to_bytes(&self) -> Result<Vec<u8>, PassportError> {
        Ok(serde_json::to_vec_pretty(self)?)
    }

    /// Reads a passport from a verified artifact.
    ///
    /// # Errors
    /// When it is no passport or a later format.
    pub fn parse(bytes: &[u8]) -> Result<Self, PassportError> {
        let passport: Self = serde_json::from_slice(bytes)?;
        if passport.format == FORMAT { Ok(passport) } else { Err(PassportError::Format(passport.format)) }
    }

    /// The passport of the schema in `artifact`.
    pub fn schema(&self, artifact: &str) -> Option<&SchemaPassport> {
        self.schemas.iter().find(|entry| entry.artifact == artifact).map(|entry| &entry.passport)
    }
}
