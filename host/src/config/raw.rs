//! The TOML as written. Every key is documented here: `cofre schema` prints these texts as a JSON Schema.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::bandwidth::RawBandwidth;
use super::checks::RawCheck;
use super::jobs::RawJob;
use super::notifiers::RawNotifier;
use super::priority::RawRun;
use super::retention::RawRetention;
use super::tenants::RawTenantDelivery;
use super::watches::RawWatch;
use super::web::RawWeb;

/// The configuration of cofre.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    /// Language of what people read: `pt-BR` or `en`. Default: that of the environment.
    pub locale: Option<String>,
    /// Where cofre keeps its own files.
    #[serde(default)]
    pub storage: RawStorage,
    /// Where the passphrase comes from; exactly one of its keys. Only `cofre watch` does without.
    pub passphrase: Option<RawSecret>,
    /// How artifacts are encrypted.
    #[serde(default)]
    pub encryption: RawEncryption,
    /// How artifacts are compressed.
    #[serde(default)]
    pub compression: RawCompression,
    /// Plug-ins.
    #[serde(default)]
    pub plugins: RawPlugins,
    /// Database servers.
    #[serde(default)]
    pub mysql: Vec<RawMysql>,
    /// Directories.
    #[serde(default)]
    pub directory: Vec<RawDirectory>,
    /// Destinations.
    #[serde(default)]
    pub destination: Vec<RawDestination>,
    /// Who is told of what.
    #[serde(default)]
    pub notifier: Vec<RawNotifier>,
    /// Which sets stay at destinations.
    #[serde(default)]
    pub retention: RawRetention,
    /// How a run behaves towards what else the machine does.
    #[serde(default)]
    pub run: RawRun,
    /// Time zone of schedules, for example `America/Sao_Paulo`. Default: that of the machine.
    pub time_zone: Option<String>,
    /// What the daemon does, and when. Default: a backup daily at 02:00, a clean-up on Sunday at 04:00, a verification on Wednesday at 03:00,
    /// a report on the 1st at 06:00.
    #[serde(default)]
    pub job: Vec<RawJob>,
    /// What is looked at every few minutes. A kind of which none is written has its default: every `[[mysql]]`, the disk of the spool, and how
    /// old the newest backup of each job may be.
    #[serde(default)]
    pub check: Vec<RawCheck>,
    /// What `cofre watch` expects of destinations. Default: of each a good set that is at most 26 hours old.
    #[serde(default)]
    pub watch: Vec<RawWatch>,
    /// Commands before and after.
    #[serde(default)]
    pub hook: Vec<RawHook>,
    /// How the backup of one tenant reaches somebody.
    #[serde(default)]
    pub tenant_delivery: RawTenantDelivery,
    /// Log files, beside what the system's journal keeps.
    pub log: Option<RawLog>,
    /// The API and the page, which the daemon serves where this is there; `cofre serve` serves them alone.
    pub web: Option<RawWeb>,
}

/// Log files.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawLog {
    /// Directory that the daemon's account can write, for example `/var/log/cofre`. Its files are `backup-cofre.2026-03-15.log`, one a day (UTC).
    pub directory: PathBuf,
    /// Files that are kept. Default 31.
    pub keep: Option<usize>,
}

/// Where cofre keeps its own files.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawStorage {
    /// Catalogue. Default `/var/lib/cofre`.
    pub state_dir: Option<PathBuf>,
    /// Ciphertext on its way. Default: `spool` in the state directory.
    pub spool_dir: Option<PathBuf>,
    /// Compiled plug-ins. Default: `cache` in the state directory.
    pub cache_dir: Option<PathBuf>,
    /// Space that the spool leaves free, for example `1GiB` (the default).
    pub spool_reserve: Option<String>,
    /// How long a run waits for copies to free space when the spool is full. Default `30m`.
    pub spool_patience: Option<String>,
}

/// Where a secret comes from: exactly one of the keys.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawSecret {
    /// File with the secret in its first line; mode 0600 or stricter.
    pub file: Option<PathBuf>,
    /// Name of an environment variable.
    pub env: Option<String>,
    /// Command whose output's first line it is; run without a shell.
    pub command: Option<Vec<String>>,
    /// Name of a systemd credential.
    pub systemd_credential: Option<String>,
}

/// How artifacts are encrypted.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawEncryption {
    /// `pbkdf2` (default), or `legacy` for scripts that call `openssl enc` without `-pbkdf2`.
    pub kdf: Option<String>,
    /// PBKDF2 rounds. Default 600000.
    pub iterations: Option<u32>,
}

/// How artifacts are compressed.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawCompression {
    /// `gzip` (default) or `zstd`.
    pub algorithm: Option<String>,
    /// gzip 1 to 12 (default 5, the size of `gzip -6`, and 3 for databases), zstd 1 to 19 (default 2).
    pub level: Option<i32>,
    /// Compressing threads. Default: all cores.
    pub threads: Option<usize>,
}

/// Plug-ins.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawPlugins {
    /// Where `plugin = "local"` is looked for, as `local.wasm`, and where `cofre plugin add` puts new ones. Default `/usr/lib/cofre/plugins`.
    pub directory: Option<PathBuf>,
    /// File with the approvals, without which no plug-in is used. Default: `plugins.lock` beside this file.
    pub lock: Option<PathBuf>,
    /// Public keys of minisign (`RW…`) whose signatures count.
    pub trusted_keys: Vec<String>,
    /// Whether a plug-in needs a signature by one of them. Default false.
    pub require_signed: bool,
}

/// One database server.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawMysql {
    /// Name of this source.
    pub name: String,
    /// Host. Default `localhost`.
    pub host: Option<String>,
    /// Port. Default 3306.
    pub port: Option<u16>,
    /// Unix socket, instead of host and port.
    pub socket: Option<PathBuf>,
    /// Account.
    pub user: String,
    /// Its password.
    pub password: Option<RawSecret>,
    /// Transport security.
    #[serde(default)]
    pub tls: RawTls,
    /// Patterns of schemas to take. Default: all.
    #[serde(default)]
    pub include_schemas: Vec<String>,
    /// Patterns of schemas to leave out. Default: information_schema, performance_schema, sys, mysql, phpmyadmin.
    pub exclude_schemas: Option<Vec<String>>,
    /// Patterns `schema.table` to leave out whole.
    #[serde(default)]
    pub exclude_tables: Vec<String>,
    /// Patterns `schema.table` whose rows are left out.
    #[serde(default)]
    pub exclude_rows: Vec<String>,
    /// Connections that read at once. Default: the number of cores, 2 to 8.
    pub connections: Option<usize>,
    /// How long to wait for a lock: the brief global one, or one on a table. Default `60s`.
    pub lock_timeout: Option<String>,
    /// How long the server may say nothing in the middle of an answer. Default `30m`.
    pub idle_timeout: Option<String>,
    /// Whether users and grants are backed up. Default true.
    pub grants: Option<bool>,
    /// Share by which a schema may shrink before it is a warning, in percent. Default 50.
    pub shrink_warning: Option<u8>,
    /// Tenants: name, and patterns of their schemas.
    #[serde(default)]
    pub tenants: BTreeMap<String, Vec<String>>,
}

/// Transport security of a database connection.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawTls {
    /// `disabled` (default) or `required`.
    pub mode: crate::ports::TlsMode,
    /// PEM file of the roots to trust.
    pub ca_file: Option<PathBuf>,
}

/// One directory.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawDirectory {
    /// Absolute path.
    pub path: PathBuf,
    /// Exclusions in gitignore syntax.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Leave out directories with a valid `CACHEDIR.TAG`. Default true.
    pub exclude_caches: Option<bool>,
    /// Stay on one file system. Default true.
    pub one_file_system: Option<bool>,
    /// Leave out larger files.
    pub max_file_size: Option<String>,
    /// Tenant that it belongs to: what `cofre tenant backup` sends has it too.
    pub tenant: Option<String>,
}

/// One destination.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawDestination {
    /// Name of this destination.
    pub name: String,
    /// Plug-in: a name such as `local`, or the path of a `.wasm` file.
    pub plugin: String,
    /// Settings of the plug-in.
    #[serde(default)]
    pub settings: BTreeMap<String, serde_json::Value>,
    /// Secrets of the plug-in.
    #[serde(default)]
    pub secrets: BTreeMap<String, RawSecret>,
    /// PEM file of further roots to trust for HTTPS.
    pub ca_file: Option<PathBuf>,
    /// What the plug-in may reach. Default: nothing.
    #[serde(default)]
    pub grants: RawGrants,
    /// What the plug-in may use up.
    #[serde(default)]
    pub limits: RawLimits,
    /// Retries.
    #[serde(default)]
    pub retry: RawRetry,
    /// How fast bodies may go there and come back: `"5MB/s"`, or `[{ between = "08:00-18:00", limit = "2MB/s" }]`. Default: no limit.
    pub bandwidth: Option<RawBandwidth>,
    /// Which sets stay here; its keys lie over those of `[retention]`.
    #[serde(default)]
    pub retention: RawRetention,
}

/// What a plug-in may reach.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawGrants {
    /// Network targets, `host:port`, `host:first-last`, `*.domain:port` or `host:*`.
    pub network: Vec<String>,
    /// The one directory that it sees.
    pub directory: Option<PathBuf>,
    /// Whether cofre may remove what is stored there. Default false: the destination is append-only.
    pub delete: bool,
}

/// What a plug-in may use up in one call.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawLimits {
    /// Memory. Default `256MiB`.
    pub memory: Option<String>,
    /// Processor time. Default `30s`.
    pub cpu: Option<String>,
    /// Time on the wall. Default `15m`.
    pub wall: Option<String>,
    /// Log text. Default `1MiB`.
    pub log: Option<String>,
    /// Linear memories. Default 1.
    pub memories: Option<usize>,
    /// Tables. Default 16.
    pub tables: Option<usize>,
    /// Core instances. Default 32.
    pub instances: Option<usize>,
    /// Elements of a table. Default 100000.
    pub table_elements: Option<usize>,
}

/// When a failed copy is tried again.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawRetry {
    /// Attempts without progress. Default 6.
    pub attempts: Option<u32>,
    /// First pause; doubles each time. Default `1s`.
    pub first_pause: Option<String>,
    /// Longest pause. Default `2m`.
    pub longest_pause: Option<String>,
}

/// A command before or after something.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawHook {
    /// `before-run`, `after-run`, `before-source`, `after-source`, `before-copy`, `after-copy`.
    pub when: String,
    /// Program and arguments; no shell.
    pub command: Option<Vec<String>>,
    /// A line for `/bin/sh -c`, instead of `command`.
    pub shell: Option<String>,
    /// How long it may take. Default `5m`.
    pub timeout: Option<String>,
    /// Further environment variables.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// `stop` (default), `warn` or `ignore`.
    pub on_failure: Option<String>,
    /// Only for the source or destination of this name.
    #[serde(rename = "for")]
    pub only_for: Option<String>,
}
