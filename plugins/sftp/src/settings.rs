//! What the administrator can set, and what of it cannot work.

use cofre_sdk::{Error, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::host_key::HostKeys;

/// Settings of one instance.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name or address of the server.
    pub host: String,
    /// Port of its SSH service.
    #[serde(default = "Settings::port")]
    #[schemars(range(min = 1))]
    pub port: u16,
    /// Account to log in with.
    pub user: String,
    /// Folder for the objects, `/srv/backup` or, from the account's home on, `backup`; empty for the home itself. It is made where it is missing.
    #[serde(default)]
    pub directory: String,
    /// Key of the server, so that no other can take its place: a line as `ssh-keyscan` prints it (`ssh-ed25519 AAAA…`), or its fingerprint
    /// (`SHA256:…`); several keys, one a line. Left out, cofre refuses to log in and says which line to put here.
    #[serde(default)]
    pub host_key: Option<String>,
}

impl Settings {
    fn port() -> u16 {
        22
    }

    /// Refuses what cannot work, with the JSON pointer of the setting at fault; returns the server's keys.
    pub(crate) fn check(&self) -> Result<HostKeys> {
        let refuse = |pointer: &str, why: &str| Err(Error::invalid_config(format!("{pointer}: {why}")).with("pointer", pointer));
        let odd = |text: &str| text.chars().any(|c| c.is_control() || c.is_whitespace());
        if self.host.is_empty() || odd(&self.host) || self.host.contains(['/', '@', '[']) {
            return refuse("/host", "write only the name or the address of the server, such as `backup.example.com`");
        }
        if self.port == 0 {
            return refuse("/port", "use 1 to 65535; SSH listens on 22 where nobody changed it");
        }
        if self.user.is_empty() || self.user.chars().any(char::is_control) {
            return refuse("/user", "write the name of the account at the server");
        }
        let inner = self.directory.strip_prefix('/').unwrap_or(&self.directory);
        let strange = |part: &str| matches!(part, "" | "." | "..") || part.chars().any(char::is_control);
        if !inner.is_empty() && inner.split('/').any(strange) {
            return refuse(
                "/directory",
                "write it as `/folder/folder` or `folder`, without `/` at its end and without `.` or `..` as a part",
            );
        }
        match &self.host_key {
            None => Ok(HostKeys::default()),
            Some(text) => HostKeys::parse(text).or_else(|why| refuse("/host_key", &why)),
        }
    }
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
            (r#"{"host": "", "user": "u"}"#, "/host"),
            (r#"{"host": "u@server", "user": "u"}"#, "/host"),
            (r#"{"host": "sftp://server", "user": "u"}"#, "/host"),
            (r#"{"host": "server", "port": 0, "user": "u"}"#, "/port"),
            (r#"{"host": "server", "port": 65536, "user": "u"}"#, "/port"),
            (r#"{"host": "server", "user": "a\nb"}"#, "/user"),
            (r#"{"host": "server", "user": "u", "directory": "a/../b"}"#, "/directory"),
            (r#"{"host": "server", "user": "u", "directory": "//a"}"#, "/directory"),
            (r#"{"host": "server", "user": "u", "directory": "a/"}"#, "/directory"),
            (r#"{"host": "server", "user": "u", "host_key": "MD5:00:11"}"#, "/host_key"),
            (r#"{"host": "server", "user": "u", "host_key": ""}"#, "/host_key"),
        ] {
            let error = settings(json).expect_err(json);
            assert_eq!(error.detail("pointer"), Some(pointer), "{json}: {error}");
        }
        for directory in ["", "/", "/srv/backup", "backup/of this"] {
            let json = format!(r#"{{"host": "::1", "user": "u", "directory": "{directory}"}}"#);
            assert_eq!(settings(&json).expect("fine").port, 22, "{directory}");
        }
    }
}
