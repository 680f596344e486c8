//! What the administrator can set, and what of it cannot work.

use cofre_sdk::{Error, Result};
use schemars::JsonSchema;
use serde::Deserialize;

const MIB: u64 = 1 << 20;

/// Parts of one upload that the protocol allows.
pub(crate) const MOST_PARTS: u64 = 10_000;

/// Smallest part but the last, by the protocol.
const SMALLEST_PART: u64 = 5 * MIB;

/// A part is held in memory, and a component has 256 MiB.
const LARGEST_PART: u64 = 64 * MIB;

/// Largest object of the protocol.
const LARGEST_OBJECT: u64 = 5 << 40;

/// A hundred years, the service's own limit.
const LONGEST_LOCK: u32 = 36_500;

/// Settings of one instance.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Address of the service, `https://host[:port]`. Left out: Amazon's in `region`.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Region of the bucket; services without regions take any.
    #[serde(default = "Settings::region")]
    pub region: String,
    /// Name of the bucket, which must be there.
    pub bucket: String,
    /// What every key begins with, as a folder inside the bucket; empty for the bucket itself.
    #[serde(default)]
    pub prefix: String,
    /// Whether the bucket stands in the path (`host/bucket/key`) instead of in the name (`bucket.host/key`).
    /// Left out: in the path with an `endpoint`, or where the bucket's name has a dot.
    #[serde(default)]
    pub path_style: Option<bool>,
    /// Storage class of new objects, for example `STANDARD_IA`; objects of archive classes must be restored before cofre can read them.
    #[serde(default)]
    pub storage_class: Option<String>,
    /// Encryption by the service, beside cofre's own. Left out: the bucket's default.
    #[serde(default)]
    pub server_side_encryption: Option<Encryption>,
    /// Key for `aws:kms`; left out: the account's default one.
    #[serde(default)]
    pub kms_key_id: Option<String>,
    /// Keeps each new object from being removed or overwritten for a time; the bucket must have been made with Object Lock.
    #[serde(default)]
    pub object_lock: Option<ObjectLock>,
    /// Puts each new object under a legal hold, which has no end: somebody has to lift it at the service before the object can be removed.
    #[serde(default)]
    pub legal_hold: bool,
    /// Bytes of one part: 5 to 64 MiB. An object has at most 10,000 parts, so 16 MiB allows 156 GiB.
    #[serde(default = "Settings::part_size")]
    #[schemars(range(min = 5_242_880, max = 67_108_864))]
    pub part_size: u64,
    /// Uploads that run at once.
    #[serde(default = "Settings::parallel_uploads")]
    #[schemars(range(min = 1, max = 32))]
    pub parallel_uploads: u32,
}

/// How long objects are kept, and who may end that early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectLock {
    /// `governance`: an account with a special permission may end it early. `compliance`: nobody can, not even the account's owner.
    pub mode: LockMode,
    /// Days from the moment that an object is stored; 1 to 36,500.
    #[schemars(range(min = 1, max = 36_500))]
    pub days: u32,
}

/// Who may end a lock early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LockMode {
    /// An account with the permission `s3:BypassGovernanceRetention`.
    Governance,
    /// Nobody.
    Compliance,
}

impl LockMode {
    /// As the header has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }
}

/// Encryption by the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Encryption {
    /// With the service's own keys.
    #[serde(rename = "AES256")]
    Aes256,
    /// With a key of the key service.
    #[serde(rename = "aws:kms")]
    Kms,
    /// Twice, with a key of the key service.
    #[serde(rename = "aws:kms:dsse")]
    KmsTwice,
}

impl Encryption {
    /// As the header has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Aes256 => "AES256",
            Self::Kms => "aws:kms",
            Self::KmsTwice => "aws:kms:dsse",
        }
    }
}

impl Settings {
    fn region() -> String {
        "us-east-1".to_owned()
    }

    fn part_size() -> u64 {
        16 * MIB
    }

    fn parallel_uploads() -> u32 {
        4
    }

    /// Largest object that these settings allow.
    pub(crate) fn max_object_size(&self) -> u64 {
        LARGEST_OBJECT.min(self.part_size * MOST_PARTS)
    }

    /// Refuses what cannot work, with the JSON pointer of the setting at fault.
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |pointer: &str, why: &str| Err(Error::invalid_config(format!("{pointer}: {why}")).with("pointer", pointer));
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        if !plain(&self.bucket) || self.bucket.len() < 3 {
            return refuse("/bucket", "no bucket has such a name; use 3 to 63 letters, digits, `-` and `.`");
        }
        if !plain(&self.region) {
            return refuse("/region", "no region has such a name; an example is `eu-central-1`");
        }
        if !self.prefix.is_empty() && check_key(&self.prefix).is_err() {
            return refuse("/prefix", "write it as `folder/folder`, without `/` at either end and without `.` or `..` as a part");
        }
        if !(SMALLEST_PART..=LARGEST_PART).contains(&self.part_size) {
            return refuse("/part_size", "the service takes parts of at least 5 MiB, and a part must fit in memory: at most 64 MiB");
        }
        if !(1..=32).contains(&self.parallel_uploads) {
            return refuse("/parallel_uploads", "use 1 to 32");
        }
        if self.object_lock.is_some_and(|lock| !(1..=LONGEST_LOCK).contains(&lock.days)) {
            return refuse("/object_lock/days", "use 1 to 36,500 days");
        }
        let header_safe = |text: &Option<String>| text.as_deref().is_none_or(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_graphic()));
        if !header_safe(&self.storage_class) {
            return refuse("/storage_class", "an example is `STANDARD_IA`");
        }
        if !header_safe(&self.kms_key_id)
            || (self.kms_key_id.is_some() && matches!(self.server_side_encryption, None | Some(Encryption::Aes256)))
        {
            return refuse("/kms_key_id", "it needs `server_side_encryption` to be `aws:kms` or `aws:kms:dsse`");
        }
        Ok(())
    }
}

/// Refuses keys that services or proxies between would change on the way, so that their signature would not hold.
pub(crate) fn check_key(key: &str) -> Result<()> {
    let wrong = if key.is_empty() {
        "it is empty"
    } else if key.len() > 1_024 {
        "it is longer than 1,024 bytes"
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
            (r#"{"bucket": "a/b"}"#, "/bucket"),
            (r#"{"bucket": "bkt", "prefix": "/a"}"#, "/prefix"),
            (r#"{"bucket": "bkt", "prefix": "a/../b"}"#, "/prefix"),
            (r#"{"bucket": "bkt", "part_size": 1048576}"#, "/part_size"),
            (r#"{"bucket": "bkt", "parallel_uploads": 0}"#, "/parallel_uploads"),
            (r#"{"bucket": "bkt", "object_lock": {"mode": "governance", "days": 0}}"#, "/object_lock/days"),
            (r#"{"bucket": "bkt", "object_lock": {"mode": "hard", "days": 1}}"#, "/object_lock/mode"),
            (r#"{"bucket": "bkt", "kms_key_id": "k"}"#, "/kms_key_id"),
            (r#"{"bucket": "bkt", "storage_class": "A\r\nx: y"}"#, "/storage_class"),
            (r#"{"bucket": "bkt", "server_side_encryption": "rot13"}"#, "/server_side_encryption"),
        ] {
            let error = settings(json).expect_err(json);
            assert_eq!(error.detail("pointer"), Some(pointer), "{json}: {error}");
        }
        assert_eq!(settings(r#"{"bucket": "bkt"}"#).expect("fine").max_object_size(), 160_000 << 20);
    }
}
