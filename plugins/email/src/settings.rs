//! What the administrator can set, and what of it cannot work.

use cofre_sdk::{Error, Result};
use lettre::message::Mailbox;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::address;

/// Settings of one instance.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name or address of the mail server; with TLS its certificate must be for this name.
    pub host: String,
    /// Port of the server. Left out: 587, or 465 with implicit TLS.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// How the connection is secured.
    #[serde(default)]
    pub tls: Tls,
    /// Whether password and messages may cross the network readable by anybody, as they do without TLS.
    #[serde(default)]
    pub allow_plaintext: bool,
    /// Account to log in with, and then the secret `password` is needed. Left out: no login.
    #[serde(default)]
    pub user: Option<String>,
    /// How to log in.
    #[serde(default)]
    pub auth: Auth,
    /// Whom the messages come from: `backup@example.com`, or `Backup <backup@example.com>`.
    pub from: String,
    /// Where answers go. Left out: to `from`.
    #[serde(default)]
    pub reply_to: Option<String>,
    /// Recipients of every message that names none itself.
    #[serde(default)]
    pub to: Vec<String>,
    /// Recipients of a copy.
    #[serde(default)]
    pub cc: Vec<String>,
    /// Recipients of a copy whom the others do not see.
    #[serde(default)]
    pub bcc: Vec<String>,
}

/// How the connection is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// By `STARTTLS` on the port of submission, before anything of value is said.
    #[default]
    Starttls,
    /// From the first byte on, on a port of its own.
    Implicit,
    /// Not at all.
    None,
}

/// How to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// By `PLAIN`, or by `LOGIN` where the server offers no other.
    #[default]
    Auto,
    /// By `PLAIN` (RFC 4616).
    Plain,
    /// By `LOGIN`.
    Login,
    /// By `XOAUTH2`: the secret is an access token of the account.
    Xoauth2,
}

/// The addresses of the settings, understood.
#[derive(Debug, Clone)]
pub(crate) struct People {
    pub(crate) from: Mailbox,
    pub(crate) reply_to: Option<Mailbox>,
    pub(crate) to: Vec<Mailbox>,
    pub(crate) cc: Vec<Mailbox>,
    pub(crate) bcc: Vec<Mailbox>,
}

impl Settings {
    /// Port of the server.
    pub(crate) fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls == Tls::Implicit { 465 } else { 587 })
    }

    /// Refuses what cannot work, with the JSON pointer of the setting at fault.
    pub(crate) fn check(&self) -> Result<People> {
        if self.host.is_empty() || self.host.chars().any(|c| c.is_whitespace() || c.is_control() || "/@[]*".contains(c)) {
            return Err(refused("/host", "write the name or address alone, as `smtp.example.com`"));
        }
        if self.port == Some(0) {
            return Err(refused("/port", "use 1 to 65535"));
        }
        if self.user.as_ref().is_some_and(|user| user.is_empty() || user.chars().any(char::is_control)) {
            return Err(refused("/user", "name the account, or leave it out for a server that wants no login"));
        }
        if self.tls == Tls::None && !self.allow_plaintext {
            let why = "without TLS anybody on the way reads the password and the messages; use `tls = \"starttls\"`, or, on a network that you trust, `allow_plaintext = true`";
            return Err(refused("/allow_plaintext", why));
        }
        Ok(People {
            from: mailbox("/from", &self.from)?,
            reply_to: self.reply_to.as_ref().map(|address| mailbox("/reply_to", address)).transpose()?,
            to: mailboxes("/to", &self.to)?,
            cc: mailboxes("/cc", &self.cc)?,
            bcc: mailboxes("/bcc", &self.bcc)?,
        })
    }
}

fn refused(pointer: &str, why: impl std::fmt::Display) -> Error {
    Error::invalid_config(format!("{pointer}: {why}")).with("pointer", pointer)
}

fn mailbox(pointer: &str, text: &str) -> Result<Mailbox> {
    address::parse(text).map_err(|why| refused(pointer, why))
}

fn mailboxes(pointer: &str, texts: &[String]) -> Result<Vec<Mailbox>> {
    texts.iter().enumerate().map(|(index, text)| mailbox(&format!("{pointer}/{index}"), text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(more: &str) -> Result<Settings> {
        let json = format!(r#"{{"host": "smtp.example.com", "from": "Cópias <backup@example.com>"{more}}}"#);
        let settings: Settings = cofre_sdk::settings::parse(&json)?;
        settings.check()?;
        Ok(settings)
    }

    #[test]
    fn a_setting_that_cannot_work_is_named() {
        for (more, pointer) in [
            (r#", "tls": "none""#, "/allow_plaintext"),
            (r#", "tls": "ssl""#, "/tls"),
            (r#", "port": 0"#, "/port"),
            (r#", "port": 70000"#, "/port"),
            (r#", "user": """#, "/user"),
            (r#", "user": "a\r\nRSET""#, "/user"),
            (r#", "auth": "cram-md5""#, "/auth"),
            (r#", "to": ["ana@example.com", "ana"]"#, "/to/1"),
            (r#", "cc": ["ana@example.com\r\nRCPT TO:<eva@example.com>"]"#, "/cc/0"),
            (r#", "bcc": ["Ana\r\nTo: eva@example.com <ana@example.com>"]"#, "/bcc/0"),
            (r#", "reply_to": "<ana@example.com>, <eva@example.com>""#, "/reply_to"),
        ] {
            let error = settings(more).expect_err(more);
            assert_eq!(error.detail("pointer"), Some(pointer), "{more}: {error}");
        }
        for (json, pointer) in
            [(r#"{"host": "smtp://x", "from": "a@example.com"}"#, "/host"), (r#"{"host": "x", "from": "nobody"}"#, "/from")]
        {
            let parsed: Settings = cofre_sdk::settings::parse(json).expect("the right shape");
            assert_eq!(parsed.check().expect_err(json).detail("pointer"), Some(pointer), "{json}");
        }
    }

    #[test]
    fn the_port_follows_from_the_kind_of_tls() {
        assert_eq!(settings("").expect("fine").port(), 587);
        assert_eq!(settings(r#", "tls": "implicit""#).expect("fine").port(), 465);
        assert_eq!(settings(r#", "tls": "none", "allow_plaintext": true, "port": 25"#).expect("fine").port(), 25);
    }
}
