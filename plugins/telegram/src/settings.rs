//! What the administrator can set, and what of it cannot work.

use cofre_plugin_http_notifier::{endpoint, refuse_setting};
use cofre_sdk::Result;
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of one instance.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Chats to tell: identifiers such as `-1001234567890`, or the public names of groups and channels, such as `@company_backups`.
    pub chats: Vec<String>,
    /// Topic of a group that has topics, by its number (`message_thread_id`). Left out: the general one.
    #[serde(default)]
    pub topic: Option<u64>,
    /// Whether messages that are only for the record arrive without a sound.
    #[serde(default)]
    pub quiet_info: bool,
    /// Address of a Bot API server of your own, `https://host[:port]`. Left out: Telegram's.
    #[serde(default)]
    pub server: Option<String>,
    /// Whether `http://` may carry the token unencrypted to that server. Not needed for this machine itself.
    #[serde(default)]
    pub allow_plaintext: bool,
}

impl Settings {
    /// Where the service is.
    pub(crate) fn server(&self) -> String {
        self.server.as_deref().unwrap_or("https://api.telegram.org").trim_end_matches('/').to_owned()
    }

    /// Refuses what cannot work, with the JSON pointer of the setting at fault.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(server) = &self.server {
            endpoint("/server", server, self.allow_plaintext)?;
        }
        if self.chats.is_empty() {
            return refuse_setting("/chats", "name one at least");
        }
        match self.chats.iter().position(|chat| !is_chat(chat)) {
            Some(at) => refuse_setting(&format!("/chats/{at}"), "write a chat's number, or its public name with an `@` before it"),
            None => Ok(()),
        }
    }
}

/// Whether it is a chat's number or its public name.
pub(crate) fn is_chat(text: &str) -> bool {
    match text.strip_prefix('@') {
        Some(name) => !name.is_empty() && name.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'_'),
        None => text.parse::<i64>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_cannot_work_is_named() {
        for (json, pointer) in [
            (r#"{"chats": []}"#, "/chats"),
            (r#"{"chats": ["1", "company"]}"#, "/chats/1"),
            (r#"{"chats": ["@"]}"#, "/chats/0"),
            (r#"{"chats": ["1"], "server": "http://bots.example"}"#, "/server"),
            (r#"{"chats": ["1"], "topic": "general"}"#, "/topic"),
        ] {
            let checked = cofre_sdk::settings::parse(json).and_then(|settings: Settings| settings.check());
            let error = checked.expect_err(json);
            assert_eq!(error.detail("pointer"), Some(pointer), "{json}: {error}");
        }
    }
}
