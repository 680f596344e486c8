//! What the administrator can set, and what of it cannot work.

use cofre_plugin_http_notifier::{endpoint, refuse_setting};
use cofre_sdk::Result;
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of one instance.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name that messages are shown under, up to 80 characters. Left out: that of the webhook.
    #[serde(default)]
    pub username: Option<String>,
    /// Address of another service with the same interface, `https://host[:port]`. Left out: Discord's.
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
        endpoint("/server", self.server.as_deref().unwrap_or("https://discord.com"), self.allow_plaintext)
    }

    /// Refuses what cannot work, with the JSON pointer of the setting at fault.
    pub(crate) fn check(&self) -> Result<()> {
        let Some(name) = &self.username else { return Ok(()) };
        let lower = name.to_lowercase();
        // "Usernames and Nicknames": the service refuses these.
        if name.trim().is_empty() || name.chars().count() > 80 || lower.contains("discord") || lower.contains("clyde") {
            return refuse_setting("/username", "use 1 to 80 characters, without `discord` or `clyde`");
        }
        Ok(())
    }
}
