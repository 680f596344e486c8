//! What the administrator can set, and what of it cannot work.

use cofre_sdk::{Error, Result};
use schemars::JsonSchema;
use serde::Deserialize;

const MIB: u64 = 1 << 20;

/// Smallest and largest piece: many small requests are slow, and a cut must not cost more than minutes.
const PIECES: std::ops::RangeInclusive<u64> = MIB..=1 << 30;

/// Settings of one instance.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Address of the objects: `https://host[:port]/path`.
    pub url: String,
    /// How an interrupted upload of a large object goes on. `auto` looks whether the server has tus; `none` sends it again from its start.
    #[serde(default)]
    pub resume: Resume,
    /// Bytes of one piece of an object, where the server has tus: 1 MiB to 1 GiB.
    #[serde(default = "Settings::part_size")]
    #[schemars(range(min = 1_048_576, max = 1_073_741_824))]
    pub part_size: u64,
    /// Uploads that run at once.
    #[serde(default = "Settings::parallel_uploads")]
    #[schemars(range(min = 1, max = 32))]
    pub parallel_uploads: u32,
    /// Whether `http://` may carry the token unencrypted. Not needed for this machine itself.
    #[serde(default)]
    pub allow_plaintext: bool,
}

/// How an interrupted upload goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Resume {
    /// By tus where the server announces it, else from the start.
    #[default]
    Auto,
    /// By tus 1.0.
    Tus,
    /// From the start: one request an object.
    None,
}

impl Settings {
    fn part_size() -> u64 {
        16 * MIB
    }

    fn parallel_uploads() -> u32 {
        4
    }

    /// Refuses what cannot work, with the JSON pointer of the setting at fault.
    pub(crate) fn check(&self) -> Result<()> {
        if !PIECES.contains(&self.part_size) {
            return refuse("/part_size", "use 1 MiB (1048576) to 1 GiB (1073741824)");
        }
        if !(1..=32).contains(&self.parallel_uploads) {
            return refuse("/parallel_uploads", "use 1 to 32");
        }
        Ok(())
    }
}

/// The setting at `pointer` cannot work.
pub(crate) fn refuse<T>(pointer: &str, why: &str) -> Result<T> {
    Err(Error::invalid_config(format!("{pointer}: {why}")).with("pointer", pointer))
}

/// Refuses keys that are no relative path of plain names, and the names that the protocol keeps for itself.
pub(crate) fn check_key(key: &str) -> Result<()> {
    let wrong = if key.is_empty() {
        "it is empty"
    } else if key.len() > 4_096 {
        "it is longer than 4,096 bytes"
    } else if key.chars().any(char::is_control) {
        "it has a control character"
    } else if key.split('/').any(|part| matches!(part, "" | "." | "..")) {
        "it has an empty part, `.` or `..`"
    } else if key.split('/').next() == Some(".uploads") {
        "`.uploads` is the protocol's own"
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
            (r#"{"url": "http://h/d"}"#, "/url"),
            (r#"{"url": "https://h/d?x"}"#, "/url"),
            (r#"{"url": "https://u@h/d"}"#, "/url"),
            (r#"{"url": "https://h/d", "part_size": 1}"#, "/part_size"),
            (r#"{"url": "https://h/d", "parallel_uploads": 0}"#, "/parallel_uploads"),
            (r#"{"url": "https://h/d", "resume": "magic"}"#, "/resume"),
        ] {
            let error = settings(json).expect_err(json);
            assert_eq!(error.detail("pointer"), Some(pointer), "{json}: {error}");
        }
        for json in [r#"{"url": "https://h"}"#, r#"{"url": "http://[::1]:8080/d"}"#, r#"{"url": "http://h", "allow_plaintext": true}"#] {
            settings(json).expect(json);
        }
    }
}
