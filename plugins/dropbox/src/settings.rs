//! What the administrator can set, and what of it cannot work.

use cofre_sdk::{Error, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::content_hash::BLOCK;

/// The service's largest file ("files/upload_session/start"): 2^41 - 2^22 bytes.
pub(crate) const LARGEST_OBJECT: u64 = (1 << 41) - (1 << 22);

/// A request may carry 150 MB; the next lower multiple of four blocks.
const LARGEST_PART: u64 = 128 << 20;

/// Settings of one instance.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Folder for the objects, with `/` between parts. It is made where it is missing. Empty: the root of the account, of the app's own
    /// folder where the app has only that, or of `namespace_id`.
    #[serde(default)]
    pub folder: String,
    /// Identifier of the team space or team folder that `folder` is in, a number. Left out: the user's own space.
    #[serde(default)]
    pub namespace_id: Option<String>,
    /// Identifier of the team's member to act for, `dbmid:…`, where the app is one of the whole team.
    #[serde(default)]
    pub team_member_id: Option<String>,
    /// Bytes of one piece of an upload, a multiple of 4 MiB, up to 128 MiB. It is not held in memory.
    #[serde(default = "Settings::part_size")]
    #[schemars(range(min = 4_194_304, max = 134_217_728))]
    pub part_size: u64,
    /// Uploads that run at once; Dropbox lets only one of them end at a time.
    #[serde(default = "Settings::parallel_uploads")]
    #[schemars(range(min = 1, max = 8))]
    pub parallel_uploads: u32,
    /// Address of another service with the same interfaces, `https://host[:port]`, for tests. Left out: Dropbox's own.
    #[serde(default)]
    pub endpoint: Option<String>,
}

/// Addresses of the service's interfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) api: String,
    pub(crate) content: String,
    pub(crate) token: String,
}

impl Settings {
    fn part_size() -> u64 {
        16 << 20
    }

    fn parallel_uploads() -> u32 {
        2
    }

    /// Where requests go.
    pub(crate) fn addresses(&self) -> Addresses {
        let (api, content) = match &self.endpoint {
            Some(endpoint) => (endpoint.trim_end_matches('/'), endpoint.trim_end_matches('/')),
            None => ("https://api.dropboxapi.com", "https://content.dropboxapi.com"),
        };
        Addresses { api: format!("{api}/2"), content: format!("{content}/2"), token: format!("{api}/oauth2/token") }
    }

    /// Path of a key, or of a folder of keys; of the folder of the settings for the empty key.
    pub(crate) fn path(&self, key: &str) -> String {
        let parts = [self.folder.as_str(), key];
        parts.iter().filter(|part| !part.is_empty()).flat_map(|part| ["/", part]).collect()
    }

    /// Refuses what cannot work, with the JSON pointer of the setting at fault.
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |pointer: &str, why: &str| Err(Error::invalid_config(format!("{pointer}: {why}")).with("pointer", pointer));
        if !self.folder.is_empty() && check_key(&self.folder).is_err() {
            return refuse(
                "/folder",
                "write it as `folder/folder`, without `/` at either end, without `\\`, and without `.` or `..` as a part",
            );
        }
        if self.namespace_id.as_deref().is_some_and(|id| id.is_empty() || !id.bytes().all(|b| b.is_ascii_digit())) {
            return refuse(
                "/namespace_id",
                "it is a number, as the service's `users/get_current_account` and `team/namespaces/list` give it",
            );
        }
        if self.team_member_id.as_deref().is_some_and(|id| !id.starts_with("dbmid:") || !id.bytes().all(|b| b.is_ascii_graphic())) {
            return refuse("/team_member_id", "it begins with `dbmid:`, as the service's `team/members/list` gives it");
        }
        if !(BLOCK..=LARGEST_PART).contains(&self.part_size) || !self.part_size.is_multiple_of(BLOCK) {
            return refuse("/part_size", "use a multiple of 4194304 (4 MiB), up to 134217728 (128 MiB)");
        }
        if !(1..=8).contains(&self.parallel_uploads) {
            return refuse("/parallel_uploads", "use 1 to 8");
        }
        if self.endpoint.as_deref().is_some_and(|endpoint| !is_endpoint(endpoint)) {
            return refuse("/endpoint", "write it as `https://host` or `https://host:port`, without a path");
        }
        Ok(())
    }
}

fn is_endpoint(text: &str) -> bool {
    let host = text.strip_prefix("https://").or(text.strip_prefix("http://")).map(|rest| rest.trim_end_matches('/'));
    host.is_some_and(|host| !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b)))
}

/// Refuses keys that the service refuses or stores under another name.
pub(crate) fn check_key(key: &str) -> Result<()> {
    let wrong = if key.is_empty() {
        "it is empty"
    } else if key.len() > 4_096 {
        "it is longer than 4,096 bytes"
    } else if key.chars().any(|letter| letter.is_control() || letter == '\\') {
        "it has a control character or a `\\`, which Dropbox keeps in no name"
    } else if key.split('/').any(|part| matches!(part, "" | "." | "..")) {
        "it has an empty part, `.` or `..`"
    } else if key.split('/').any(|part| part.ends_with(' ')) {
        "a part of it ends with a space, which Dropbox cuts off"
    } else if key.split('/').any(|part| part.chars().count() > 255) {
        "a part of it is longer than 255 characters"
    } else {
        return Ok(());
    };
    Err(Error::invalid_config(format!("`{}` cannot be an object's key: {wrong}", key.escape_debug())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: &str) -> Result<Settings> {
        let settings: Settings = cofre_sdk::settings::parse(json)?;
        settings.check()?;
        Ok(settings)
    }

    #[test]
    fn a_setting_that_cannot_work_is_named() {
        for (json, pointer) in [
            (r#"{"folder": "/a"}"#, "/folder"),
            (r#"{"folder": "a\\b"}"#, "/folder"),
            (r#"{"namespace_id": "abc"}"#, "/namespace_id"),
            (r#"{"team_member_id": "ana"}"#, "/team_member_id"),
            (r#"{"part_size": 5000000}"#, "/part_size"),
            (r#"{"part_size": 163577856}"#, "/part_size"),
            (r#"{"parallel_uploads": 0}"#, "/parallel_uploads"),
            (r#"{"endpoint": "api.dropboxapi.com"}"#, "/endpoint"),
        ] {
            let error = settings(json).expect_err(json);
            assert_eq!(error.detail("pointer"), Some(pointer), "{json}: {error}");
        }
        let fine = settings(r#"{"folder": "Cópias/srv 1", "namespace_id": "123"}"#).expect("fine");
        assert_eq!((fine.path("set/a").as_str(), fine.path("").as_str()), ("/Cópias/srv 1/set/a", "/Cópias/srv 1"));
        assert_eq!(settings("{}").expect("fine").path(""), "");
    }
}
