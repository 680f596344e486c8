//! What a component says of itself before anything is granted to it.

use crate::bindings::describing::exports::cofre::plugin::plugin as wire;

/// One network target that a plug-in needs.
///
/// # Examples
///
/// ```
/// use cofre_sdk::NetworkNeed;
///
/// fn network() -> Vec<NetworkNeed> {
///     vec![
///         NetworkNeed::new("{endpoint}", "objects are stored there"), // The setting `endpoint` is an address.
///         NetworkNeed::new("login.example.com:443", "it gives the token"),
///     ]
/// }
/// # assert_eq!(network()[1].target, "login.example.com:443");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkNeed {
    /// `host:port`; `{name}` stands for the setting of that name, and a setting that is an address for its host and port.
    pub target: String,
    /// Why, in one line for the administrator who approves it.
    pub reason: String,
}

impl NetworkNeed {
    /// A need: `target` as in [`NetworkNeed::target`], and why.
    ///
    /// # Examples
    ///
    /// ```
    /// let need = cofre_sdk::NetworkNeed::new("{host}:22", "objects are stored there");
    /// assert_eq!(need.target, "{host}:22");
    /// ```
    pub fn new(target: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { target: target.into(), reason: reason.into() }
    }
}

/// One secret that a plug-in will ask for.
///
/// # Examples
///
/// ```
/// use cofre_sdk::SecretNeed;
///
/// fn secrets() -> Vec<SecretNeed> {
///     vec![
///         SecretNeed::required("password", "password of the user"),
///         SecretNeed::optional("client_key", "key of the client's certificate, where the server asks for one"),
///     ]
/// }
/// # assert!(secrets()[1].optional);
/// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// let need = cofre_sdk::SecretNeed::required("token", "token of the service, with the right to write");
    /// assert!(!need.optional);
    /// ```
    pub fn required(name: impl Into<String>, summary: impl Into<String>) -> Self {
        Self { name: name.into(), summary: summary.into(), optional: false }
    }

    /// A secret that some settings need.
    ///
    /// # Examples
    ///
    /// ```
    /// let need = cofre_sdk::SecretNeed::optional("token", "token of the service, where it asks for one");
    /// assert!(need.optional);
    /// ```
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
