//! What the administrator can set, and what of it cannot work.

use cofre_plugin_http_notifier::endpoint;
use cofre_sdk::Result;
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of one instance.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What a run that ended well, but with warnings, is for the check.
    #[serde(default)]
    pub warnings: Ping,
    /// Address of a server of your own, below which its pings are: `https://host[:port]/ping`. Left out: healthchecks.io's.
    #[serde(default)]
    pub server: Option<String>,
    /// Whether `http://` may carry messages and the check's address unencrypted to that server. Not needed for this machine itself.
    #[serde(default)]
    pub allow_plaintext: bool,
}

/// A ping.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ping {
    /// All is well: a set that is good was made.
    #[default]
    Success,
    /// The check goes down, and people are told.
    Fail,
    /// Noted, and nothing else; so the check goes down when its time is over.
    Log,
}

impl Settings {
    /// Where pings go.
    ///
    /// # Errors
    /// `invalid-config` where `server` cannot work.
    pub(crate) fn server(&self) -> Result<String> {
        endpoint("/server", self.server.as_deref().unwrap_or("https://hc-ping.com"), self.allow_plaintext)
    }
}
