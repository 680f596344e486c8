//! What the administrator can set, and what of it cannot work.

use cofre_plugin_http_notifier::endpoint;
use cofre_sdk::Result;
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of one instance.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Address of another service with the same interface, or of Slack's for governments: `https://host[:port]`. Left out: Slack's.
    #[serde(default)]
    pub server: Option<String>,
    /// Whether `http://` may carry messages and the webhook's address unencrypted to that server. Not needed for this machine itself.
    #[serde(default)]
    pub allow_plaintext: bool,
}

impl Settings {
    /// Where webhooks are.
    ///
    /// # Errors
    /// `invalid-config` where `server` cannot work.
    pub(crate) fn server(&self) -> Result<String> {
        endpoint("/server", self.server.as_deref().unwrap_or("https://hooks.slack.com"), self.allow_plaintext)
    }
}
