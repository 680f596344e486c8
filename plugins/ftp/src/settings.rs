//! What the administrator can set, and what of it cannot work.

use std::time::Duration;

use cofre_sdk::{Error, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::key;

const MIB: u64 = 1 << 20;

/// Smallest part: below it the turns between parts cost more than the bytes.
const SMALLEST_PART: u64 = MIB;

/// Largest part: beyond it one call takes too long on most lines.
const LARGEST_PART: u64 = 4 << 30;

/// Settings of one instance.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name or address of the server; with TLS its certificate must be for this name.
    pub host: String,
    /// Port of the control connection. Left out: 21, or 990 with implicit TLS.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// Account.
    pub user: String,
    /// Directory on the server, from the root with a leading `/`, else from where the account begins; made where it is missing.
    #[serde(default)]
    pub directory: String,
    /// How the connections are secured.
    #[serde(default)]
    pub tls: Tls,
    /// Whether the password may cross the network readable by anybody, as it does without TLS.
    #[serde(default)]
    pub allow_plaintext: bool,
    /// Whether the server lets an upload be continued. Where it does not (ProFTPD without `AllowStoreRestart`), set it to false: an
    /// object is then one transfer, and one that is cut begins anew.
    #[serde(default = "Settings::resume")]
    pub resume: bool,
    /// Bytes of one transfer of an upload, 1 MiB to 4 GiB. Left out: the longer the way to the server, the more, from 128 to 256 MiB.
    #[serde(default)]
    #[schemars(range(min = 1_048_576, max = 4_294_967_296_u64))]
    pub part_size: Option<u64>,
    /// Uploads that run at once, each over a connection of its own; servers limit how many an account may have.
    #[serde(default = "Settings::parallel_uploads")]
    #[schemars(range(min = 1, max = 16))]
    pub parallel_uploads: u32,
    /// Seconds that the server may say nothing, or take nothing, before the connection counts as dead, 1 to 3600.
    #[serde(default = "Settings::timeout_seconds")]
    #[schemars(range(min = 1, max = 3600))]
    pub timeout: u32,
}

/// How the connections are secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// By `AUTH TLS` on the usual port, before anything else is said.
    #[default]
    Explicit,
    /// From the first byte on, on a port of its own.
    Implicit,
    /// Not at all.
    None,
}

impl Settings {
    fn resume() -> bool {
        true
    }

    fn parallel_uploads() -> u32 {
        2
    }

    fn timeout_seconds() -> u32 {
        60
    }

    /// How long the server may say nothing.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout.into())
    }

    /// Port of the control connection.
    pub(crate) fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls == Tls::Implicit { 990 } else { 21 })
    }

    /// Path of a key on the server, or of the directory itself for the empty key.
    pub(crate) fn path(&self, key: &str) -> String {
        match (self.directory.as_str(), key) {
            ("", "") => ".".to_owned(),
            ("", key) => key.to_owned(),
            (directory, "") => directory.to_owned(),
            ("/", key) => format!("/{key}"),
            (directory, key) => format!("{directory}/{key}"),
        }
    }

    /// Refuses what cannot work, with the JSON pointer of the setting at fault.
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |pointer: &str, why: &str| Err(Error::invalid_config(format!("{pointer}: {why}")).with("pointer", pointer));
        if self.host.is_empty() || self.host.chars().any(|c| c.is_whitespace() || c.is_control() || "/@[]*".contains(c)) {
            return refuse("/host", "write the name or address alone, as `ftp.example.com`");
        }
        if self.port == Some(0) {
            return refuse("/port", "use 1 to 65535");
        }
        if self.user.is_empty() || self.user.chars().any(char::is_control) {
            return refuse("/user", "name the account");
        }
        let relative = self.directory.strip_prefix('/').unwrap_or(&self.directory);
        if !relative.is_empty() && key::check(relative).is_err() {
            return refuse(
                "/directory",
                "write it as `/folder/folder` or `folder/folder`, without `/` at its end and without `.` or `..` as a part",
            );
        }
        if self.tls == Tls::None && !self.allow_plaintext {
            let why = "without TLS anybody on the way reads the password and can change what is stored; use `tls = \"explicit\"`, or, on a network that you trust, `allow_plaintext = true`";
            return refuse("/allow_plaintext", why);
        }
        if self.part_size.is_some_and(|size| !(SMALLEST_PART..=LARGEST_PART).contains(&size)) {
            return refuse("/part_size", "use 1 MiB (1048576) to 4 GiB (4294967296)");
        }
        if !(1..=16).contains(&self.parallel_uploads) {
            return refuse("/parallel_uploads", "use 1 to 16");
        }
        if !(1..=3_600).contains(&self.timeout) {
            return refuse("/timeout", "use 1 to 3600 seconds");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(more: &str) -> Result<Settings> {
        let settings: Settings = cofre_sdk::settings::parse(&format!(r#"{{"host": "ftp.example.com", "user": "bk"{more}}}"#))?;
        settings.check()?;
        Ok(settings)
    }

    #[test]
    fn a_setting_that_cannot_work_is_named() {
        for (more, pointer) in [
            (r#", "tls": "none""#, "/allow_plaintext"),
            (r#", "tls": "starttls""#, "/tls"),
            (r#", "port": 0"#, "/port"),
            (r#", "port": 70000"#, "/port"),
            (r#", "directory": "a/../b""#, "/directory"),
            (r#", "directory": "a/""#, "/directory"),
            (r#", "directory": "a\nDELE b""#, "/directory"),
            (r#", "part_size": 1000"#, "/part_size"),
            (r#", "parallel_uploads": 0"#, "/parallel_uploads"),
            (r#", "timeout": 0"#, "/timeout"),
        ] {
            let error = settings(more).expect_err(more);
            assert_eq!(error.detail("pointer"), Some(pointer), "{more}: {error}");
        }
        for (name, value, pointer) in [("host", "ftp://x", "/host"), ("host", "", "/host"), ("user", "a\\r\\nDELE b", "/user")] {
            let other = if name == "host" { r#""user": "bk""# } else { r#""host": "x""# };
            let parsed: Settings = cofre_sdk::settings::parse(&format!(r#"{{"{name}": "{value}", {other}}}"#)).expect("the right shape");
            assert_eq!(parsed.check().expect_err(value).detail("pointer"), Some(pointer), "{value}");
        }
    }

    #[test]
    fn the_port_follows_from_the_kind_of_tls() {
        assert_eq!(settings("").expect("fine").port(), 21);
        assert_eq!(settings(r#", "tls": "implicit""#).expect("fine").port(), 990);
        assert_eq!(settings(r#", "tls": "none", "allow_plaintext": true, "port": 2121"#).expect("fine").port(), 2121);
    }

    #[test]
    fn a_key_lies_below_the_directory() {
        for (directory, key, path) in [
            ("", "a/b", "a/b"),
            ("", "", "."),
            ("/", "a", "/a"),
            ("/", "", "/"),
            ("/x/y", "a", "/x/y/a"),
            ("x", "", "x"),
            ("x", "a", "x/a"),
        ] {
            let settings = settings(&format!(r#", "directory": "{directory}""#)).expect("fine");
            assert_eq!(settings.path(key), path);
        }
    }
}
