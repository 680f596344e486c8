//! What the administrator can set, and what of it cannot work.

use cofre_sdk::{Error, Result};
use schemars::JsonSchema;
use serde::Deserialize;

const MIB: u64 = 1 << 20;

/// Smallest and largest piece: Nextcloud takes none below 5 MB but the last, and a cut must not cost more than minutes.
const PIECES: std::ops::RangeInclusive<u64> = 5 * MIB..=1 << 30;

/// Settings of one instance.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Address of the folder for the objects: `https://host[:port]/path`. At Nextcloud and ownCloud
    /// `https://host/remote.php/dav/files/USER/FOLDER`. Its last folder is created where it is missing.
    pub url: String,
    /// Name of the account, for `basic` and `digest`.
    #[serde(default)]
    pub username: Option<String>,
    /// How to log in: `basic` and `digest` with `username` and the secret `password`, `bearer` with the secret `token`, or `none`.
    #[serde(default)]
    pub auth: Scheme,
    /// How an interrupted upload of a large object goes on. `auto` looks for what the server can; `none` sends it again from its start.
    #[serde(default)]
    pub resume: Resume,
    /// Bytes of one piece of an object: 5 MiB to 1 GiB. Nextcloud takes at most 10,000 of them an object.
    #[serde(default = "Settings::part_size")]
    #[schemars(range(min = 5_242_880, max = 1_073_741_824))]
    pub part_size: u64,
    /// Uploads that run at once.
    #[serde(default = "Settings::parallel_uploads")]
    #[schemars(range(min = 1, max = 16))]
    pub parallel_uploads: u32,
    /// Whether `http://` may carry the password or token unencrypted. Not needed for this machine itself.
    #[serde(default)]
    pub allow_plaintext: bool,
}

/// How to log in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// Name and password with every request (RFC 7617).
    #[default]
    Basic,
    /// A proof of the password, made new for every request (RFC 7616).
    Digest,
    /// A token (RFC 6750).
    Bearer,
    /// Not at all.
    None,
}

/// How an interrupted upload goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Resume {
    /// The first of the others that the server is seen to understand.
    #[default]
    Auto,
    /// From the start: one request an object.
    None,
    /// `PUT` with `Content-Range`, as Apache and lighttpd take it.
    ContentRange,
    /// `PATCH` with `X-Update-Range`, as SabreDAV takes it.
    Sabredav,
    /// Nextcloud's chunked upload.
    Nextcloud,
}

impl Settings {
    fn part_size() -> u64 {
        16 * MIB
    }

    fn parallel_uploads() -> u32 {
        2
    }

    /// Refuses what cannot work, with the JSON pointer of the setting at fault.
    pub(crate) fn check(&self) -> Result<()> {
        if !PIECES.contains(&self.part_size) {
            return refuse("/part_size", "use 5 MiB (5242880) to 1 GiB (1073741824)");
        }
        if !(1..=16).contains(&self.parallel_uploads) {
            return refuse("/parallel_uploads", "use 1 to 16");
        }
        let named = self.username.as_deref().is_some_and(|name| !name.is_empty() && !name.chars().any(char::is_control));
        match self.auth {
            Scheme::Basic | Scheme::Digest if !named => {
                refuse("/username", "it is missing; name the account, or set `auth` to another way")
            }
            Scheme::Basic if self.username.as_deref().is_some_and(|name| name.contains(':')) => {
                refuse("/username", "`basic` allows no `:` in a name")
            }
            Scheme::Bearer | Scheme::None if self.username.is_some() => {
                refuse("/username", "it is of no use with this `auth`; leave it out")
            }
            _ => Ok(()),
        }
    }
}

/// The setting at `pointer` cannot work.
pub(crate) fn refuse<T>(pointer: &str, why: &str) -> Result<T> {
    Err(Error::invalid_config(format!("{pointer}: {why}")).with("pointer", pointer))
}

/// Refuses keys that are no relative path of plain names.
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
    use crate::address::Address;

    fn settings(json: &str) -> Result<()> {
        let settings: Settings = cofre_sdk::settings::parse(json)?;
        settings.check()?;
        Address::new(&settings).map(drop)
    }

    #[test]
    fn a_setting_that_cannot_work_is_named() {
        for (json, pointer) in [
            (r#"{"url": "https://h/d"}"#, "/username"),
            (r#"{"url": "https://h/d", "username": "a:b"}"#, "/username"),
            (r#"{"url": "https://h/d", "username": "a", "auth": "bearer"}"#, "/username"),
            (r#"{"url": "https://h/d", "username": "a", "part_size": 1048576}"#, "/part_size"),
            (r#"{"url": "https://h/d", "username": "a", "parallel_uploads": 0}"#, "/parallel_uploads"),
            (r#"{"url": "https://h/d", "username": "a", "resume": "magic"}"#, "/resume"),
            (r#"{"url": "https://h/d", "username": "a", "resume": "nextcloud"}"#, "/url"),
            (r#"{"url": "http://h/d", "username": "a"}"#, "/url"),
            (r#"{"url": "https://h/d?x", "username": "a"}"#, "/url"),
            (r#"{"url": "ftp://h/d", "username": "a"}"#, "/url"),
        ] {
            let error = settings(json).expect_err(json);
            assert_eq!(error.detail("pointer"), Some(pointer), "{json}: {error}");
        }
        for json in [
            r#"{"url": "https://h/d", "username": "a:b", "auth": "digest"}"#,
            r#"{"url": "https://h", "auth": "none"}"#,
            r#"{"url": "http://127.0.0.1:8080/d", "username": "a"}"#,
            r#"{"url": "http://h/d", "username": "a", "allow_plaintext": true}"#,
        ] {
            settings(json).expect(json);
        }
    }
}
