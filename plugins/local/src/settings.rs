//! What the administrator can set. The directory itself is a grant, not a setting.

use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of one instance.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Folder inside the granted directory, with `/` between parts; empty for the directory itself. It is made where it is missing.
    pub path: String,
    /// Whether every write waits until the disk has it. Off, a power cut can cost objects that were reported as stored.
    pub fsync: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { path: String::new(), fsync: true }
    }
}
