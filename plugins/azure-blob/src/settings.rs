//! What the administrator can set, and what of it cannot work.

use cofre_sdk::{Error, Result};
use schemars::JsonSchema;
use serde::Deserialize;

const MIB: u64 = 1 << 20;

/// Blocks of one blob that the service allows.
pub(crate) const MOST_BLOCKS: u64 = 50_000;

/// A part is held in memory, because its digest goes before it, and a component has 64 MiB. The service itself would take 4,000 MiB.
const PARTS: std::ops::RangeInclusive<u64> = 4 * MIB..=48 * MIB;

/// Settings of one instance.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name of the storage account.
    pub account: String,
    /// Name of the container, which must be there.
    pub container: String,
    /// What every key begins with, as a folder inside the container; empty for the container itself.
    #[serde(default)]
    pub prefix: String,
    /// Address of the service, `https://host[:port][/path]`: of another cloud, a private one, or the emulator
    /// (`http://127.0.0.1:10000/ACCOUNT`). Left out: `https://ACCOUNT.blob.core.windows.net`.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Access tier of new objects; what is in `archive` must be brought back at the service before cofre can read it.
    /// Left out: the account's default.
    #[serde(default)]
    pub access_tier: Option<Tier>,
    /// Whether a protected object can be freed by nobody (`locked`), or by an account with the permission for it (`unlocked`).
    #[serde(default)]
    pub immutability: Immutability,
    /// Bytes of one block: 4 to 48 MiB. An object has at most 50,000 blocks, so 16 MiB allows 781 GiB.
    #[serde(default = "Settings::part_size")]
    #[schemars(range(min = 4_194_304, max = 50_331_648))]
    pub part_size: u64,
    /// Uploads that run at once.
    #[serde(default = "Settings::parallel_uploads")]
    #[schemars(range(min = 1, max = 32))]
    pub parallel_uploads: u32,
}

/// How fast and how expensive reading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Read at once, often.
    Hot,
    /// Read at once, kept for at least 30 days.
    Cool,
    /// Read at once, kept for at least 90 days.
    Cold,
    /// Read after hours, kept for at least 180 days.
    Archive,
}

impl Tier {
    /// As the header has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Hot => "Hot",
            Self::Cool => "Cool",
            Self::Cold => "Cold",
            Self::Archive => "Archive",
        }
    }
}

/// Who can free a protected object before its time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Immutability {
    /// Nobody.
    #[default]
    Locked,
    /// An account with the permission to change immutability policies.
    Unlocked,
}

impl Immutability {
    /// As the header has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Locked => "locked",
            Self::Unlocked => "unlocked",
        }
    }
}

impl Settings {
    fn part_size() -> u64 {
        16 * MIB
    }

    fn parallel_uploads() -> u32 {
        4
    }

    /// Largest object that these settings allow.
    pub(crate) fn max_object_size(&self) -> u64 {
        self.part_size * MOST_BLOCKS
    }

    /// Refuses what cannot work, with the JSON pointer of the setting at fault.
    pub(crate) fn check(&self) -> Result<()> {
        let is_name = |text: &str, most: usize, extra: &[u8]| {
            (3..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || extra.contains(&b))
        };
        if !is_name(&self.account, 24, b"") {
            return refuse("/account", "no account has such a name; use 3 to 24 small letters and digits");
        }
        if !is_name(&self.container, 63, b"-$") {
            return refuse("/container", "no container has such a name; use 3 to 63 small letters, digits and `-`");
        }
        if !self.prefix.is_empty() && check_key(&self.prefix).is_err() {
            return refuse("/prefix", "write it as `folder/folder`, without `/` at either end and without `.` or `..` as a part");
        }
        if !PARTS.contains(&self.part_size) {
            return refuse("/part_size", "use 4 MiB (4194304) to 48 MiB (50331648): a part must fit in memory");
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

/// Refuses keys that the service or a proxy before it would change on the way, so that their signature would not hold
/// ("Naming and Referencing Containers, Blobs, and Metadata").
pub(crate) fn check_key(key: &str) -> Result<()> {
    let wrong = if key.is_empty() {
        "it is empty"
    } else if key.chars().count() > 1_024 {
        "it is longer than 1,024 characters"
    } else if key.chars().any(char::is_control) {
        "it has a control character"
    } else if key.contains('\\') {
        "it has a `\\`, which the service takes for `/`"
    } else if key.split('/').count() > 254 {
        "it has more than 254 parts"
    } else if key.split('/').any(|part| part.is_empty() || part.ends_with('.')) {
        "it has a part that is empty or ends in `.`"
    } else {
        return Ok(());
    };
    Err(Error::invalid_config(format!("`{}` cannot be an object's key: {wrong}", key.escape_debug())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;

    fn settings(json: &str) -> Result<Settings> {
        let settings: Settings = cofre_sdk::settings::parse(json)?;
        settings.check()?;
        Address::new(&settings)?;
        Ok(settings)
    }

    #[test]
    fn a_setting_that_cannot_work_is_named() {
        for (json, pointer) in [
            (r#"{"account": "My-Account", "container": "bkp"}"#, "/account"),
            (r#"{"account": "acc", "container": "B"}"#, "/container"),
            (r#"{"account": "acc", "container": "bkp", "prefix": "/a"}"#, "/prefix"),
            (r#"{"account": "acc", "container": "bkp", "part_size": 104857600}"#, "/part_size"),
            (r#"{"account": "acc", "container": "bkp", "parallel_uploads": 0}"#, "/parallel_uploads"),
            (r#"{"account": "acc", "container": "bkp", "access_tier": "icy"}"#, "/access_tier"),
            (r#"{"account": "acc", "container": "bkp", "endpoint": "h:1"}"#, "/endpoint"),
        ] {
            let error = settings(json).expect_err(json);
            assert_eq!(error.detail("pointer"), Some(pointer), "{json}: {error}");
        }
        assert_eq!(settings(r#"{"account": "acc", "container": "bkp"}"#).expect("fine").max_object_size(), 800_000 << 20);
    }
}
