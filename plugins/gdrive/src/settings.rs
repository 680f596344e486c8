//! What the administrator can set, and what of it cannot work.

use cofre_sdk::{Error, Result};
use schemars::JsonSchema;
use serde::Deserialize;

/// Bytes of which every piece of a session but the last must be a multiple ("Upload file data", Resumable upload).
pub(crate) const GRANULE: u64 = 256 << 10;

/// The service's largest file, 5,120 GB.
pub(crate) const LARGEST_OBJECT: u64 = 5_120_000_000_000;

/// A piece that fails is sent again as a whole from what the service kept of it.
const LARGEST_PART: u64 = 256 << 20;

/// Settings of one instance.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Folder for the objects, with `/` between parts, inside `folder_id`, else the shared drive, else "My Drive". It is made where it is
    /// missing. Empty: that place itself.
    #[serde(default)]
    pub folder: String,
    /// Identifier of the folder to begin at: the last part of its address in a browser.
    #[serde(default)]
    pub folder_id: Option<String>,
    /// Identifier of the shared drive, where the objects are to be in one.
    #[serde(default)]
    pub drive_id: Option<String>,
    /// E-mail address of the user to act for, with a service account that has domain-wide delegation.
    #[serde(default)]
    pub impersonate: Option<String>,
    /// Whether removed objects go to Drive's trash, which empties itself after 30 days, instead of being deleted for good. In a shared
    /// drive only a manager may delete for good.
    #[serde(default)]
    pub trash: bool,
    /// Bytes of one piece of an upload, a multiple of 256 KiB, up to 256 MiB. It is not held in memory.
    #[serde(default = "Settings::part_size")]
    #[schemars(range(min = 262_144, max = 268_435_456))]
    pub part_size: u64,
    /// Uploads that run at once.
    #[serde(default = "Settings::parallel_uploads")]
    #[schemars(range(min = 1, max = 8))]
    pub parallel_uploads: u32,
    /// Address of another service with the same interfaces, `https://host[:port]`, for tests. Left out: Google's own.
    #[serde(default)]
    pub endpoint: Option<String>,
}

/// Addresses of the service's interfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) api: String,
    pub(crate) upload: String,
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
        let (api, token) = match &self.endpoint {
            Some(endpoint) => (endpoint.trim_end_matches('/'), endpoint.trim_end_matches('/')),
            None => ("https://www.googleapis.com", "https://oauth2.googleapis.com"),
        };
        Addresses { api: format!("{api}/drive/v3"), upload: format!("{api}/upload/drive/v3"), token: format!("{token}/token") }
    }

    /// Identifier of the folder that everything is below.
    pub(crate) fn base(&self) -> &str {
        self.folder_id.as_deref().or(self.drive_id.as_deref()).unwrap_or("root")
    }

    /// Refuses what cannot work, with the JSON pointer of the setting at fault.
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |pointer: &str, why: &str| Err(Error::invalid_config(format!("{pointer}: {why}")).with("pointer", pointer));
        if !self.folder.is_empty() && check_key(&self.folder).is_err() {
            return refuse("/folder", "write it as `folder/folder`, without `/` at either end and without `.` or `..` as a part");
        }
        let id = |text: &Option<String>| text.as_deref().is_none_or(is_id);
        if !id(&self.folder_id) {
            return refuse(
                "/folder_id",
                "an identifier has letters, digits, `-` and `_`; it is the last part of the folder's address in a browser",
            );
        }
        if !id(&self.drive_id) {
            return refuse(
                "/drive_id",
                "an identifier has letters, digits, `-` and `_`; it is the last part of the drive's address in a browser",
            );
        }
        if self.impersonate.as_deref().is_some_and(|user| !user.contains('@') || !user.bytes().all(|b| b.is_ascii_graphic())) {
            return refuse("/impersonate", "write the e-mail address of a user");
        }
        if !(GRANULE..=LARGEST_PART).contains(&self.part_size) || !self.part_size.is_multiple_of(GRANULE) {
            return refuse("/part_size", "use a multiple of 262144 (256 KiB), up to 268435456 (256 MiB)");
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

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn is_endpoint(text: &str) -> bool {
    let host = text.strip_prefix("https://").or(text.strip_prefix("http://")).map(|rest| rest.trim_end_matches('/'));
    host.is_some_and(|host| !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b)))
}

/// Refuses keys whose parts are no names of folders and files.
pub(crate) fn check_key(key: &str) -> Result<()> {
    let wrong = if key.is_empty() {
        "it is empty"
    } else if key.len() > 4_096 {
        "it is longer than 4,096 bytes"
    } else if key.chars().any(char::is_control) {
        "it has a control character"
    } else if key.split('/').any(|part| matches!(part, "" | "." | "..")) {
        "it has an empty part, `.` or `..`"
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
            (r#"{"folder": "a/../b"}"#, "/folder"),
            (r#"{"folder_id": "https://drive.google.com/drive/folders/x"}"#, "/folder_id"),
            (r#"{"drive_id": ""}"#, "/drive_id"),
            (r#"{"impersonate": "somebody"}"#, "/impersonate"),
            (r#"{"part_size": 300000}"#, "/part_size"),
            (r#"{"part_size": 0}"#, "/part_size"),
            (r#"{"parallel_uploads": 9}"#, "/parallel_uploads"),
            (r#"{"endpoint": "https://h/path"}"#, "/endpoint"),
            (r#"{"trash": "yes"}"#, "/trash"),
        ] {
            let error = settings(json).expect_err(json);
            assert_eq!(error.detail("pointer"), Some(pointer), "{json}: {error}");
        }
        let fine = settings(r#"{"folder": "Cópias/srv 1", "drive_id": "0AB-c_d"}"#).expect("fine");
        assert_eq!((fine.base(), fine.addresses().token.as_str()), ("0AB-c_d", "https://oauth2.googleapis.com/token"));
    }
}
