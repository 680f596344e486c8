//! What the administrator can set, and what of it cannot work.

use cofre_plugin_http_notifier::{endpoint, refuse_setting};
use cofre_sdk::Result;
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of one instance.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Topic to publish to. Where whoever knows its name may read it, as at ntfy.sh, give it as the secret `topic` instead.
    #[serde(default)]
    pub topic: Option<String>,
    /// Whether messages that are only for the record have a low priority, and arrive without a sound.
    #[serde(default)]
    pub quiet_info: bool,
    /// Address of a server of your own, `https://host[:port]`. Left out: ntfy.sh.
    #[serde(default)]
    pub server: Option<String>,
    /// Whether `http://` may carry messages and the token unencrypted to that server. Not needed for this machine itself.
    #[serde(default)]
    pub allow_plaintext: bool,
}

impl Settings {
    /// Where the service is.
    ///
    /// # Errors
    /// `invalid-config` where `server` cannot work.
    pub(crate) fn server(&self) -> Result<String> {
        endpoint("/server", self.server.as_deref().unwrap_or("https://ntfy.sh"), self.allow_plaintext)
    }

    /// Refuses what cannot work, with the JSON pointer of the setting at fault.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.topic {
            Some(topic) if !is_topic(topic) => refuse_setting("/topic", "use 1 to 64 of the letters A to Z, a to z, digits, `-` and `_`"),
            _ => Ok(()),
        }
    }
}

/// Whether the service takes it as a topic's name.
pub(crate) fn is_topic(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"-_".contains(&letter))
}
