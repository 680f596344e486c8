//! Validated settings of sources and destinations, as `config/` hands them down.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Bandwidth;

/// A secret string: zeroized when dropped, `[REDACTED]` in `Debug`.
pub type SecretText = secrecy::SecretString;

/// One database server.
#[derive(Debug, Clone)]
pub struct MysqlSettings {
    /// Name of this source in the configuration; part of messages.
    pub name: String,
    /// Where it listens.
    pub endpoint: MysqlEndpoint,
    /// Account.
    pub user: String,
    /// Its password, if it has one.
    pub password: Option<SecretText>,
    /// Transport security for TCP.
    pub tls: MysqlTls,
    /// Glob patterns of schemas to take; empty takes all.
    pub include_schemas: Vec<String>,
    /// Glob patterns of schemas to leave out; wins over `include_schemas`.
    pub exclude_schemas: Vec<String>,
    /// Glob patterns `schema.table` whose tables are left out whole.
    pub exclude_tables: Vec<String>,
    /// Glob patterns `schema.table` whose definition is kept and whose rows are left out.
    pub exclude_rows: Vec<String>,
    /// Connections that read at once; at least 1.
    pub connections: usize,
    /// How long to wait for a lock, the brief global one or one on a table, before giving up.
    pub lock_timeout: Duration,
    /// How long the server may say nothing in the middle of an answer.
    pub idle_timeout: Duration,
    /// Tenant name to glob patterns of its schemas.
    pub tenants: BTreeMap<String, Vec<String>>,
}

/// A pattern of schemas, or of `schema.table`: `*` and `?` stand for anything, a dot too; `\` takes their meaning away.
///
/// # Errors
/// When it is malformed.
pub fn name_pattern(text: &str) -> Result<globset::Glob, globset::Error> {
    globset::GlobBuilder::new(text).literal_separator(false).backslash_escape(true).build()
}

/// Where a database server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MysqlEndpoint {
    /// Host name or address, and port.
    Tcp {
        /// Host.
        host: String,
        /// Port.
        port: u16,
    },
    /// Unix socket.
    Socket(PathBuf),
}

/// Whether TLS is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// Never (the default; meant for sockets and loopback).
    #[default]
    Disabled,
    /// Always, certificate checked against the platform's roots or `ca_file`.
    Required,
}

/// Transport security of a database connection.
#[derive(Debug, Clone, Default)]
pub struct MysqlTls {
    /// Whether to use it.
    pub mode: TlsMode,
    /// PEM file of the only roots to trust; `None` trusts the platform's.
    pub ca_file: Option<PathBuf>,
}

/// One directory to archive.
#[derive(Debug, Clone)]
pub struct DirectorySettings {
    /// Absolute path of the directory (or single file).
    pub path: PathBuf,
    /// Exclusions in gitignore syntax, relative to `path`.
    pub exclude: Vec<String>,
    /// Leave out directories that carry a valid `CACHEDIR.TAG`.
    pub exclude_caches: bool,
    /// Leave out files larger than this many bytes.
    pub max_file_size: Option<u64>,
    /// Do not cross into other file systems.
    pub one_file_system: bool,
}

/// One destination instance.
#[derive(Debug, Clone)]
pub struct DestinationSettings {
    /// Name of the instance.
    pub name: String,
    /// Plug-in file (`*.wasm`).
    pub plugin: PathBuf,
    /// The plug-in's own settings, as a JSON object.
    pub settings: serde_json::Value,
    /// Secrets that the plug-in may ask for by name.
    pub secrets: BTreeMap<String, SecretText>,
    /// What it may reach.
    pub grants: Grants,
    /// What it may use up.
    pub limits: PluginLimits,
    /// PEM file of further roots to trust for HTTPS.
    pub ca_file: Option<PathBuf>,
    /// How fast bodies may come and go.
    pub bandwidth: Bandwidth,
}

/// Where plug-ins are, and which of them may be used.
#[derive(Debug, Clone)]
pub struct PluginSettings {
    /// Where a plug-in that is named without a path is looked for, and where new ones are put.
    pub directory: PathBuf,
    /// The file with the approvals.
    pub lock: PathBuf,
    /// Keys whose signatures count.
    pub trusted_keys: Vec<TrustedKey>,
    /// Whether a plug-in needs a signature by one of them.
    pub require_signed: bool,
}

/// A public key of minisign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKey {
    name: String,
    key: minisign_verify::PublicKey,
}

impl TrustedKey {
    /// Reads one as `minisign -G` prints it: 56 characters that begin with `RW`.
    ///
    /// # Errors
    /// When the text is something else.
    pub fn parse(text: &str) -> Result<Self, String> {
        use base64::Engine as _;
        let fail = || format!("`{text}` is not a public key of minisign; write the line of `minisign.pub` that begins with `RW`");
        let key = minisign_verify::PublicKey::from_base64(text).map_err(|_| fail())?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| fail())?;
        let name = bytes.get(2..10).and_then(|name| name.try_into().ok()).map(key_name).ok_or_else(fail)?;
        Ok(Self { name, key })
    }

    /// Identifier, as minisign prints it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key itself.
    pub fn key(&self) -> &minisign_verify::PublicKey {
        &self.key
    }
}

/// The identifier of a key as minisign prints it.
pub fn key_name(bytes: [u8; 8]) -> String {
    format!("{:016X}", u64::from_le_bytes(bytes))
}

/// What the administrator granted to one instance. The default grants nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Network targets by name.
    pub network: Vec<NetworkPattern>,
    /// The one directory of the host that the plug-in sees, as `/`.
    pub directory: Option<PathBuf>,
    /// Whether stored objects may be removed; without it the instance is append-only.
    pub delete: bool,
}

/// `host:port`, `host:first-last`, `*.suffix:port`, or with `*` as port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkPattern {
    /// Lower-case host name or address; with `wildcard`, the suffix after `*.`.
    pub host: String,
    /// Whether any name below `host` matches (never `host` itself).
    pub wildcard: bool,
    /// First and last port; `*` is every port there is.
    pub ports: RangeInclusive<u16>,
}

/// Why a text is no network pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a network pattern: {reason}; write `host:port`, `host:first-last`, `*.domain:port` or `host:*`")]
pub struct PatternError {
    /// What was written.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl NetworkPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When the text is not of the form that [`PatternError`] names.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let fail = |reason| PatternError { text: text.to_owned(), reason };
        let (host, port) = text.rsplit_once(':').ok_or_else(|| fail("there is no port"))?;
        let ports = ports(port).ok_or_else(|| fail("the port is not 1 to 65535, a range of such as `30000-30100`, or `*`"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
        let (wildcard, host) = match host.strip_prefix("*.") {
            Some(suffix) => (true, suffix.to_owned()),
            None => (false, host),
        };
        if host.is_empty() {
            return Err(fail("there is no host"));
        }
        if host.contains('*') {
            return Err(fail("`*` may only stand for whole leading labels, as in `*.example.com`"));
        }
        if host.chars().any(|c| c.is_whitespace() || c == '/' || c == '@') {
            return Err(fail("the host has a character that no host name has"));
        }
        Ok(Self { host, wildcard, ports })
    }

    /// Whether `host` (any case, trailing dot allowed) and `port` fall under this pattern.
    pub fn matches(&self, host: &str, port: u16) -> bool {
        self.matches_host(host) && self.ports.contains(&port)
    }

    /// Whether there is a target that falls under both patterns.
    pub fn meets(&self, other: &Self) -> bool {
        let ports = self.ports.start() <= other.ports.end() && other.ports.start() <= self.ports.end();
        let within = |inner: &Self, outer: &Self| match (inner.wildcard, outer.wildcard) {
            (true, true) => inner.host == outer.host || outer.matches_host(&inner.host),
            (true, false) => false,
            (false, _) => outer.matches_host(&inner.host),
        };
        ports && (within(self, other) || within(other, self))
    }

    /// Whether `host` falls under this pattern on any port.
    pub fn matches_host(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
        if !self.wildcard {
            return host == self.host;
        }
        host.strip_suffix(&self.host).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    }
}

impl fmt::Display for NetworkPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.wildcard {
            f.write_str("*.")?;
        }
        f.write_str(&self.host)?;
        match (self.ports.start(), self.ports.end()) {
            (1, &u16::MAX) => f.write_str(":*"),
            (first, last) if first == last => write!(f, ":{first}"),
            (first, last) => write!(f, ":{first}-{last}"),
        }
    }
}

/// Reads the part after the host.
fn ports(text: &str) -> Option<RangeInclusive<u16>> {
    let port = |digits: &str| digits.parse::<u16>().ok().filter(|port| *port != 0 && digits.bytes().all(|b| b.is_ascii_digit()));
    let (first, last) = match text.split_once('-') {
        _ if text == "*" => (1, u16::MAX),
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(text)?, port(text)?),
    };
    (first <= last).then_some(first..=last)
}

/// What one plug-in instance may use up before its call ends as a failed copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginLimits {
    /// Bytes of each linear memory.
    pub memory: u64,
    /// Linear memories, tables and core instances.
    pub memories: usize,
    /// Tables of one instance.
    pub tables: usize,
    /// Core instances of one component.
    pub instances: usize,
    /// Elements of one table.
    pub table_elements: usize,
    /// Time on the processor in one call, and again for every 64 MiB of the body that it moves.
    pub cpu: Duration,
    /// Time on the wall for one call, waiting included.
    pub wall: Duration,
    /// Bytes of log text in one operation.
    pub log_bytes: u64,
}

impl Default for PluginLimits {
    fn default() -> Self {
        Self {
            memory: 256 << 20,
            memories: 1,
            tables: 16,
            instances: 32,
            table_elements: 100_000,
            cpu: Duration::from_secs(30),
            wall: Duration::from_secs(900),
            log_bytes: 1 << 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_by_name_and_port_only() {
        let exact = NetworkPattern::parse("S3.Example.com:443").expect("valid");
        assert!(exact.matches("s3.example.com.", 443));
        assert!(!exact.matches("s3.example.com", 80));
        assert!(!exact.matches("evil-s3.example.com", 443));
        let wild = NetworkPattern::parse("*.example.com:*").expect("valid");
        assert!(wild.matches("a.b.example.com", 1));
        assert!(!wild.matches("example.com", 443));
        assert!(!wild.matches("badexample.com", 443));
        assert!(!wild.matches(".example.com", 443));
        let range = NetworkPattern::parse("ftp.example.com:30000-30100").expect("valid");
        for (port, inside) in [(29_999, false), (30_000, true), (30_100, true), (30_101, false)] {
            assert_eq!(range.matches("ftp.example.com", port), inside, "{port}");
        }
    }

    #[test]
    fn a_pattern_is_shown_as_it_is_written() {
        for text in ["a.example:443", "*.example:30000-30100", "a.example:*"] {
            assert_eq!(NetworkPattern::parse(text).expect("valid").to_string(), text);
        }
    }

    #[test]
    fn patterns_meet_where_one_target_falls_under_both() {
        let meet = |one: &str, other: &str| {
            let [one, other] = [one, other].map(|text| NetworkPattern::parse(text).expect("valid"));
            (one.meets(&other), other.meets(&one))
        };
        for (one, other) in [("a.b:1", "a.b:*"), ("*.b:1", "a.b:1"), ("*.b:1", "*.a.b:1"), ("*.b:*", "*.b:7")] {
            assert_eq!(meet(one, other), (true, true), "{one} {other}");
        }
        for (one, other) in [("a.b:1", "a.b:2"), ("*.b:1", "b:1"), ("*.b:1", "*.c:1"), ("a.b:1", "xa.b:1")] {
            assert_eq!(meet(one, other), (false, false), "{one} {other}");
        }
    }

    #[test]
    fn a_pattern_that_could_mean_more_than_it_says_is_refused() {
        for text in [
            "example.com",
            "*:443",
            "exa*mple.com:443",
            "example.com:0",
            "example.com:99999",
            ":443",
            "http://x:80",
            "a b:1",
            "example.com:2-1",
            "example.com:0-9",
            "example.com:1-",
            "example.com:1-99999",
            "example.com:+1-2",
        ] {
            assert!(NetworkPattern::parse(text).is_err(), "{text}");
        }
    }
}
