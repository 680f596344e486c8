//! Validated settings of sources and destinations, as `config/` hands them down.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

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
    /// How long to wait for the brief global read lock before giving up.
    pub lock_timeout: Duration,
    /// Tenant name to glob patterns of its schemas.
    pub tenants: BTreeMap<String, Vec<String>>,
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
}

/// What the administrator granted to one instance. The default grants nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Network targets by name.
    pub network: Vec<NetworkPattern>,
    /// The one directory of the host that the plug-in sees, as `/`.
    pub directory: Option<PathBuf>,
}

/// `host:port`, `*.suffix:port`, or either with `*` as port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkPattern {
    /// Lower-case host name or address; with `wildcard`, the suffix after `*.`.
    pub host: String,
    /// Whether any name below `host` matches (never `host` itself).
    pub wildcard: bool,
    /// `None` is any port.
    pub port: Option<u16>,
}

/// Why a text is no network pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a network pattern: {reason}; write `host:port`, `*.domain:port` or `host:*`")]
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
        let port = match port {
            "*" => None,
            digits => Some(digits.parse::<u16>().ok().filter(|p| *p != 0).ok_or_else(|| fail("the port is not 1 to 65535 or `*`"))?),
        };
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
        Ok(Self { host, wildcard, port })
    }

    /// Whether `host` (any case, trailing dot allowed) and `port` fall under this pattern.
    pub fn matches(&self, host: &str, port: u16) -> bool {
        self.matches_host(host) && self.port.is_none_or(|p| p == port)
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
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => f.write_str(":*"),
        }
    }
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
    /// Time on the processor in one call without giving control back.
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
    }

    #[test]
    fn a_pattern_that_could_mean_more_than_it_says_is_refused() {
        for text in ["example.com", "*:443", "exa*mple.com:443", "example.com:0", "example.com:99999", ":443", "http://x:80", "a b:1"] {
            assert!(NetworkPattern::parse(text).is_err(), "{text}");
        }
    }
}
