//! What a component says of itself before anything is granted to it.

use crate::bindings::describing::exports::cofre::plugin::plugin as wire;

/// One network target that a plug-in needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkNeed {
    /// `host:port`; `{name}` stands for the setting of that name, and a setting that is an address for its host and port.
    pub target: String,
    /// Why, in one line for the administrator who approves it.
    pub reason: String,
}

impl NetworkNeed {
    /// A need.
    pub fn new(target: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { target: target.into(), reason: reason.into() }
    }
}

/// One secret that a plug-in will ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretNeed {
    /// Name, as in [`crate::secret`].
    pub name: String,
    /// What it is, in one line.
    pub summary: String,
    /// Whether the plug-in can do without.
    pub optional: bool,
}

impl SecretNeed {
    /// A secret without which the plug-in cannot work.
    pub fn required(name: impl Into<String>, summary: impl Into<String>) -> Self {
        Self { name: name.into(), summary: summary.into(), optional: false }
    }

    /// A secret that some settings need.
    pub fn optional(name: impl Into<String>, summary: impl Into<String>) -> Self {
        Self { name: name.into(), summary: summary.into(), optional: true }
    }
}

/// A description, before its conversion to the contract's record.
pub(crate) struct Description {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: wire::Kind,
    pub(crate) summary: &'static str,
    pub(crate) settings_schema: String,
    pub(crate) network: Vec<NetworkNeed>,
    pub(crate) secrets: Vec<SecretNeed>,
    pub(crate) directory: bool,
}

impl From<Description> for wire::Description {
    fn from(it: Description) -> Self {
        Self {
            name: it.name.to_owned(),
            version: it.version.to_owned(),
            kind: it.kind,
            summary: it.summary.to_owned(),
            settings_schema: it.settings_schema,
            network: it.network.into_iter().map(|n| wire::NetworkNeed { target: n.target, reason: n.reason }).collect(),
            secrets: it.secrets.into_iter().map(|s| wire::SecretNeed { name: s.name, summary: s.summary, optional: s.optional }).collect(),
            directory: it.directory,
        }
    }
}
