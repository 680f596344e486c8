//! The configuration once every rule holds: validated, with defaults. Secrets are fetched by what needs them.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use secrecy::SecretString;

use super::checks;
use super::diagnostics::{ConfigError, Problem, Problems, syntax};
use super::notifiers::NotifierConfig;
use super::priority::Priority;
use super::raw::{RawConfig, RawDestination, RawDirectory, RawHook, RawLimits, RawLog, RawMysql, RawSecret};
use super::retention::RawRetention;
use super::rules;
use super::secret::{check as check_secret, fetch, fetch_passphrase};
use super::tenants::TenantDelivery;
use super::units::{parse_duration, parse_size};
use super::watches;
use super::web::WebSettings;
use crate::copy::RetryPolicy;
use crate::monitor::{CheckSpec, WatchSpec};
use crate::pipeline::{Compression, Kdf, Passphrase};
use crate::ports::{
    Bandwidth, DestinationSettings, DirectorySettings, Grants, MysqlEndpoint, MysqlSettings, MysqlTls, NetworkPattern, PluginLimits,
    PluginSettings, TrustedKey,
};
use crate::retention::Retention;
use crate::schedule::JobSpec;

/// Schemas that are left out unless the configuration says which.
pub const EXCLUDED: [&str; 5] = ["information_schema", "performance_schema", "sys", "mysql", "phpmyadmin"];
const ITERATIONS_MIN: u32 = 10_000;
const CONFIG_MAX: u64 = 4 << 20;

/// A configuration that holds.
#[derive(Debug)]
pub struct Config {
    /// The file it was read from.
    pub path: PathBuf,
    /// The file's text; it holds no secret, only where secrets are.
    pub text: String,
    /// `pt-BR`, `en`, or unset.
    pub locale: Option<String>,
    /// Where cofre keeps its files.
    pub storage: StorageSettings,
    /// Key derivation.
    pub kdf: Kdf,
    /// PBKDF2 rounds, also of the seal.
    pub iterations: u32,
    /// Compression.
    pub compression: Compression,
    /// Compression of databases.
    pub dump_compression: Compression,
    /// Compressing threads.
    pub threads: usize,
    /// Database servers.
    pub mysql: Vec<MysqlConfig>,
    /// Directories.
    pub directories: Vec<DirectoryConfig>,
    /// Destinations.
    pub destinations: Vec<DestinationConfig>,
    /// Who is told.
    pub notifiers: Vec<NotifierConfig>,
    /// Time zone of schedules, months, and the times that people read.
    pub zone: TimeZone,
    /// What the daemon does, and when.
    pub jobs: Vec<JobSpec>,
    /// What is looked at every few minutes.
    pub checks: Vec<CheckSpec>,
    /// What is expected of destinations that are watched.
    pub watches: Vec<WatchSpec>,
    /// Hooks.
    pub hooks: Vec<HookSettings>,
    /// How a run behaves towards what else the machine does.
    pub priority: Priority,
    /// How a tenant's backup reaches somebody.
    pub tenant_delivery: TenantDelivery,
    /// Which plug-ins may be used.
    pub plugins: PluginSettings,
    /// Log files.
    pub log: Option<LogSettings>,
    /// The API and the page, where the daemon serves them.
    pub web: Option<WebSettings>,
    passphrase: RawSecret,
}

/// Log files, one a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Where.
    pub directory: PathBuf,
    /// How many are kept.
    pub keep: usize,
}

/// Where cofre keeps its files.
#[derive(Debug, Clone)]
pub struct StorageSettings {
    /// Catalogue.
    pub state: PathBuf,
    /// Spool.
    pub spool: PathBuf,
    /// Compiled plug-ins.
    pub cache: PathBuf,
    /// Bytes that stay free.
    pub reserve: u64,
    /// How long a full spool is waited for.
    pub patience: Duration,
}

/// One database server.
#[derive(Debug)]
pub struct MysqlConfig {
    /// How to read it.
    pub settings: MysqlSettings,
    /// Whether users and grants are backed up.
    pub grants: bool,
    /// Share by which a schema may shrink, 0 to 1.
    pub shrink: f64,
    password: Option<RawSecret>,
}

/// One directory.
#[derive(Debug)]
pub struct DirectoryConfig {
    /// How to read it.
    pub settings: DirectorySettings,
    /// Tenant that it belongs to.
    pub tenant: Option<String>,
}

/// One destination.
#[derive(Debug)]
pub struct DestinationConfig {
    /// How to run its plug-in, without its secrets.
    pub settings: DestinationSettings,
    /// Its retries.
    pub retry: RetryPolicy,
    /// Which sets stay there.
    pub retention: Retention,
    /// Shortest time between two removals.
    pub removal_interval: Option<Duration>,
    secrets: BTreeMap<String, RawSecret>,
}

impl DestinationConfig {
    /// How to run its plug-in, with its secrets fetched.
    ///
    /// # Errors
    /// When one of them cannot be had, with the mend.
    pub(super) fn with_secrets(&self) -> Result<DestinationSettings, String> {
        with_secrets(&self.settings, &self.secrets)
    }
}

/// How to run the plug-in of an instance, with its secrets fetched.
pub(super) fn with_secrets(settings: &DestinationSettings, secrets: &BTreeMap<String, RawSecret>) -> Result<DestinationSettings, String> {
    let mut settings = settings.clone();
    for (name, secret) in secrets {
        let text = fetch(secret).map_err(|error| format!("`{name}`: {error}"))?;
        settings.secrets.insert(name.clone(), SecretString::from(text.as_str()));
    }
    Ok(settings)
}

/// What of a configuration plug-ins are looked after with. It can be had while the rest does not hold, or is not there yet: a plug-in that
/// is missing is added with it.
#[derive(Debug)]
pub struct PluginConfig {
    /// `pt-BR`, `en`, or unset.
    pub locale: Option<String>,
    /// Which plug-ins may be used.
    pub settings: PluginSettings,
    /// Compiled plug-ins.
    pub cache: PathBuf,
    /// Audit log.
    pub state: PathBuf,
    /// Name of each configured instance, and its plug-in file.
    pub instances: Vec<(String, PathBuf)>,
}

impl PluginConfig {
    /// Reads what a configuration says of plug-ins; the defaults where there is none.
    ///
    /// # Errors
    /// When it is there and cannot be read, or what it says of plug-ins does not hold.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let (text, raw) = if path.exists() { Config::read(path)? } else { (String::new(), RawConfig::default()) };
        let mut problems = Problems::new(&text);
        let (storage, settings) = (storage(&raw, &mut problems), plugins(&raw, path, &mut problems));
        if let Some(error) = problems.into_error(path) {
            return Err(error);
        }
        let named =
            raw.destination.iter().map(|raw| (&raw.name, &raw.plugin)).chain(raw.notifier.iter().map(|raw| (&raw.name, &raw.plugin)));
        let instances = named.map(|(name, plugin)| (name.clone(), plugin_file(plugin, &settings.directory))).collect();
        let (cache, state) = (storage.cache, storage.state);
        Ok(Self { locale: raw.locale, instances, settings, cache, state })
    }
}

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookMoment {
    /// Before a run.
    BeforeRun,
    /// After a run, whatever came of it.
    AfterRun,
    /// Before a source is read.
    BeforeSource,
    /// After a source was read.
    AfterSource,
    /// Before a destination's copies begin.
    BeforeCopy,
    /// After a destination's copies ended.
    AfterCopy,
}

impl HookMoment {
    /// Name in the configuration and in `COFRE_EVENT`.
    pub fn name(self) -> &'static str {
        match self {
            Self::BeforeRun => "before-run",
            Self::AfterRun => "after-run",
            Self::BeforeSource => "before-source",
            Self::AfterSource => "after-source",
            Self::BeforeCopy => "before-copy",
            Self::AfterCopy => "after-copy",
        }
    }
}

/// What the failure of a hook means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureRule {
    /// What it was for does not happen.
    Stop,
    /// A warning.
    Warn,
    /// Nothing.
    Ignore,
}

/// What a hook runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookCommand {
    /// Program and arguments.
    Program(Vec<String>),
    /// A line for the shell.
    Shell(String),
}

/// One hook.
#[derive(Debug, Clone)]
pub struct HookSettings {
    /// When.
    pub moment: HookMoment,
    /// What.
    pub command: HookCommand,
    /// How long at most.
    pub timeout: Duration,
    /// Further environment.
    pub env: BTreeMap<String, String>,
    /// What its failure means.
    pub on_failure: FailureRule,
    /// Only for this source or destination.
    pub only_for: Option<String>,
}

impl Config {
    /// Reads and resolves a configuration.
    ///
    /// # Errors
    /// With every mistake that was found.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(path, Self::text_of(path)?)
    }

    /// The same of a text that is not in the file yet.
    ///
    /// # Errors
    /// With every mistake that was found.
    pub fn parse(path: &Path, text: String) -> Result<Self, ConfigError> {
        let raw: RawConfig = toml::from_str(&text).map_err(|error| syntax::<RawConfig>(path, &text, &error))?;
        if raw.passphrase.is_none() {
            let message =
                "there is none, and without it nothing can be backed up or restored: write `passphrase = { file = \"…\" }`".to_owned();
            return Err(ConfigError {
                path: path.to_path_buf(),
                problems: vec![Problem { line: None, key: "passphrase".to_owned(), message }],
            });
        }
        Self::resolve(path, text, raw)
    }

    /// The same for a machine that watches the destinations of another: it has no passphrase, and must not have one.
    ///
    /// # Errors
    /// With every mistake that was found.
    pub fn load_to_watch(path: &Path) -> Result<Self, ConfigError> {
        let (text, raw) = Self::read(path)?;
        Self::resolve(path, text, raw)
    }

    /// Text of a configuration's file.
    ///
    /// # Errors
    /// When it cannot be read, or is larger than any configuration.
    pub fn text_of(path: &Path) -> Result<String, ConfigError> {
        let unreadable =
            |message: String| ConfigError { path: path.to_path_buf(), problems: vec![Problem { line: None, key: String::new(), message }] };
        let size =
            std::fs::metadata(path).map_err(|error| unreadable(format!("cannot be read: {error}; make one with: cofre init")))?.len();
        if size > CONFIG_MAX {
            return Err(unreadable(format!("has {size} bytes, more than any configuration")));
        }
        std::fs::read_to_string(path).map_err(|error| unreadable(format!("cannot be read: {error}")))
    }

    fn read(path: &Path) -> Result<(String, RawConfig), ConfigError> {
        let text = Self::text_of(path)?;
        let raw: RawConfig = toml::from_str(&text).map_err(|error| syntax::<RawConfig>(path, &text, &error))?;
        Ok((text, raw))
    }

    fn resolve(path: &Path, text: String, raw: RawConfig) -> Result<Self, ConfigError> {
        let kept = text.clone();
        let mut problems = Problems::new(&kept);
        let storage = storage(&raw, &mut problems);
        let (kdf, iterations) = kdf(&raw, &mut problems);
        let (compression, dump_compression, threads) = compression(&raw, &mut problems);
        if raw.destination.is_empty() {
            problems.add(("", 0, "destination"), "there is nowhere to copy to: add a [[destination]]");
        }
        if let Some(locale) = raw.locale.as_deref().filter(|locale| !matches!(*locale, "pt-BR" | "en")) {
            problems.add(("", 0, "locale"), format!("`{locale}` is not a language of cofre; write `pt-BR` or `en`"));
        }
        let mysql = raw.mysql.iter().enumerate().filter_map(|(index, source)| mysql(index, source, &mut problems)).collect();
        let directories = directories(&raw.directory, &mut problems);
        let plugins = plugins(&raw, path, &mut problems);
        let mut destinations: Vec<DestinationConfig> = raw
            .destination
            .iter()
            .enumerate()
            .map(|(index, one)| destination(("destination", index), (one, &raw.retention), &plugins.directory, &mut problems))
            .collect();
        let zone = problems.keep(("", 0, "time_zone"), super::jobs::time_zone(raw.time_zone.as_deref())).unwrap_or(TimeZone::UTC);
        for destination in &mut destinations {
            destination.settings.bandwidth.zone = Some(zone.clone());
        }
        let notifiers = super::notifiers::resolve(&raw.notifier, &plugins.directory, &zone, &mut problems);
        let jobs = super::jobs::resolve(&raw.job, &zone, &mut problems);
        for (index, job) in raw.job.iter().enumerate() {
            let Some(own) = &job.retention else { continue };
            let line = super::retention::resolve(("job", index), own, &raw.retention, &mut problems);
            for (key, written) in [("max_size", &own.max_size), ("min_interval", &own.min_interval)] {
                if written.is_some() {
                    problems.add(
                        ("job", index, &format!("retention.{key}")),
                        "this is of a whole destination; write it there, or in [retention]",
                    );
                }
            }
            for destination in &mut destinations {
                destination.retention.lines.push((job.only.clone(), line.retention.policy.clone()));
            }
        }
        let names: Vec<&str> = raw.destination.iter().map(|destination| destination.name.as_str()).collect();
        let watches = watches::resolve(&raw.watch, &names, &mut problems);
        let known = checks::Known {
            servers: raw.mysql.iter().map(|server| server.name.as_str()).collect(),
            destinations: names,
            jobs: &jobs,
            storage: &storage,
        };
        let checks = checks::resolve(&raw.check, &known, &mut problems);
        // What is general is wrong once, wherever it is used.
        super::retention::resolve(("retention", 0), &raw.retention, &RawRetention::default(), &mut problems);
        let hooks = raw.hook.iter().enumerate().filter_map(|(index, raw)| hook(index, raw, &mut problems)).collect();
        let log = raw.log.as_ref().map(|raw| log(raw, &mut problems));
        let web = raw.web.as_ref().map(|raw| super::web::resolve(raw, &mut problems));
        let priority = super::priority::resolve(&raw.run, &mut problems);
        let tenant_delivery = super::tenants::resolve(&raw.tenant_delivery, &raw.destination, &mut problems);
        rules::check(&raw, &storage, &mut problems);
        if let Some(error) = problems.into_error(path) {
            return Err(error);
        }
        let path = path.to_path_buf();
        Ok(Self {
            path,
            text,
            locale: raw.locale,
            storage,
            kdf,
            iterations,
            compression,
            dump_compression,
            threads,
            mysql,
            directories,
            destinations,
            notifiers,
            zone,
            jobs,
            checks,
            watches,
            hooks,
            priority,
            tenant_delivery,
            plugins,
            log,
            web,
            passphrase: raw.passphrase.unwrap_or_default(),
        })
    }

    /// Fetches the passphrase.
    ///
    /// # Errors
    /// When it cannot be had, with the mend.
    pub fn passphrase(&self) -> Result<Passphrase, ConfigError> {
        let fetched = fetch_passphrase(&self.passphrase).map(|text| Passphrase::from_bytes(text.as_bytes()));
        fetched.map_err(|message| self.problem(("passphrase", 0, "file"), message))
    }

    /// How to read a database server, with its password fetched: a secret that cannot be had concerns what needs it, and nothing else.
    ///
    /// # Errors
    /// When the password cannot be had, with the mend.
    pub fn mysql_settings(&self, config: &MysqlConfig) -> Result<MysqlSettings, ConfigError> {
        let index = self.mysql.iter().position(|known| known.settings.name == config.settings.name).unwrap_or(0);
        let fetched = config.password.as_ref().map(fetch).transpose();
        let password = fetched.map_err(|message| self.problem(("mysql", index, "password"), message))?;
        Ok(MysqlSettings { password: password.map(|text| SecretString::from(text.as_str())), ..config.settings.clone() })
    }

    /// How to run the plug-in of a destination, with its secrets fetched.
    ///
    /// # Errors
    /// When one of them cannot be had, with the mend.
    pub fn destination_settings(&self, config: &DestinationConfig) -> Result<DestinationSettings, ConfigError> {
        let index = self.destinations.iter().position(|known| known.settings.name == config.settings.name).unwrap_or(0);
        config.with_secrets().map_err(|message| self.problem(("destination", index, "secrets"), message))
    }

    /// How to run the plug-in of a notifier, with its secrets fetched.
    ///
    /// # Errors
    /// When one of them cannot be had, with the mend.
    pub fn notifier_settings(&self, config: &NotifierConfig) -> Result<DestinationSettings, ConfigError> {
        let index = self.notifiers.iter().position(|known| known.settings.name == config.settings.name).unwrap_or(0);
        config.with_secrets().map_err(|message| self.problem(("notifier", index, "secrets"), message))
    }

    /// What a plug-in says of the configuration of its destination: pairs of a key below it and what is wrong there.
    pub fn unfit(&self, config: &DestinationConfig, faults: impl IntoIterator<Item = (String, String)>) -> ConfigError {
        let index = self.destinations.iter().position(|known| known.settings.name == config.settings.name).unwrap_or(0);
        let mut problems = Problems::new(&self.text);
        for (key, message) in faults {
            problems.add(("destination", index, &key), message);
        }
        problems.into_error(&self.path).unwrap_or(ConfigError { path: self.path.clone(), problems: Vec::new() })
    }

    fn problem(&self, place: (&'static str, usize, &'static str), message: String) -> ConfigError {
        let mut problems = Problems::new(&self.text);
        problems.add(place, message);
        problems.into_error(&self.path).unwrap_or(ConfigError { path: self.path.clone(), problems: Vec::new() })
    }
}

fn storage(raw: &RawConfig, problems: &mut Problems<'_>) -> StorageSettings {
    let state = raw.storage.state_dir.clone().unwrap_or_else(|| PathBuf::from("/var/lib/cofre"));
    let reserve = raw.storage.spool_reserve.as_deref().map_or(Ok(1 << 30), parse_size);
    let patience = raw.storage.spool_patience.as_deref().map_or(Ok(Duration::from_secs(1_800)), parse_duration);
    StorageSettings {
        spool: raw.storage.spool_dir.clone().unwrap_or_else(|| state.join("spool")),
        cache: raw.storage.cache_dir.clone().unwrap_or_else(|| default_cache(&state)),
        state,
        reserve: problems.keep(("storage", 0, "spool_reserve"), reserve).unwrap_or(0),
        patience: problems.keep(("storage", 0, "spool_patience"), patience).unwrap_or_default(),
    }
}

/// Compiled plug-ins are executed as they are, so root keeps its own where the state belongs to another account.
fn default_cache(state: &Path) -> PathBuf {
    let theirs = rustix::process::geteuid().is_root() && state.metadata().is_ok_and(|status| status.uid() != 0);
    if theirs { PathBuf::from("/var/cache/cofre") } else { state.join("cache") }
}

/// A month of files.
const LOG_FILES: usize = 31;

fn log(raw: &RawLog, problems: &mut Problems<'_>) -> LogSettings {
    if !raw.directory.is_absolute() {
        problems.add(("log", 0, "directory"), format!("`{}` is not an absolute path", raw.directory.display()));
    }
    LogSettings { directory: raw.directory.clone(), keep: raw.keep.unwrap_or(LOG_FILES).max(1) }
}

fn kdf(raw: &RawConfig, problems: &mut Problems<'_>) -> (Kdf, u32) {
    let iterations = raw.encryption.iterations.unwrap_or(600_000);
    if iterations < ITERATIONS_MIN {
        problems.add(
            ("encryption", 0, "iterations"),
            format!("{iterations} rounds are too few to protect a passphrase; write at least {ITERATIONS_MIN}"),
        );
    }
    let kdf = match raw.encryption.kdf.as_deref().unwrap_or("pbkdf2") {
        "pbkdf2" => Kdf::Pbkdf2 { iterations },
        "legacy" => Kdf::Legacy,
        other => {
            problems.add(("encryption", 0, "kdf"), format!("`{other}` is not known; write `pbkdf2` or `legacy`"));
            Kdf::Legacy
        }
    };
    (kdf, iterations)
}

/// libdeflate's scale: 5 gives what `gzip -6` gives or a little less, in a third of the time.
const GZIP_LEVEL: u8 = 5;

/// Dumps are small at any level: at 3 they are a tenth below what `mariadb-dump | gzip -6` gives, and two to three parts in a hundred above level 5, for
/// a fifth less time.
const GZIP_LEVEL_OF_DUMPS: u8 = 3;

/// Level 3 takes a quarter more time and gains less than one part in a hundred on logs, programs and documents.
const ZSTD_LEVEL: i32 = 2;

fn compression(raw: &RawConfig, problems: &mut Problems<'_>) -> (Compression, Compression, usize) {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let level = raw.compression.level;
    let range = |low: i32, high: i32, default: i32, problems: &mut Problems<'_>| {
        let level = level.unwrap_or(default);
        if !(low..=high).contains(&level) {
            problems.add(("compression", 0, "level"), format!("{level} is not a level of this algorithm; write {low} to {high}"));
        }
        level
    };
    let compression = match raw.compression.algorithm.as_deref().unwrap_or("gzip") {
        "zstd" => Compression::Zstd { level: range(1, 19, ZSTD_LEVEL, problems) },
        "gzip" => Compression::Gzip { level: u8::try_from(range(1, 12, GZIP_LEVEL.into(), problems)).unwrap_or(GZIP_LEVEL) },
        other => {
            problems.add(("compression", 0, "algorithm"), format!("`{other}` is not known; write `gzip` or `zstd`"));
            Compression::Gzip { level: GZIP_LEVEL }
        }
    };
    let dumps = match compression {
        Compression::Gzip { .. } if level.is_none() => Compression::Gzip { level: GZIP_LEVEL_OF_DUMPS },
        same => same,
    };
    (compression, dumps, raw.compression.threads.unwrap_or(cores).clamp(1, 64))
}

fn mysql(index: usize, raw: &RawMysql, problems: &mut Problems<'_>) -> Option<MysqlConfig> {
    if raw.socket.is_some() && (raw.host.is_some() || raw.port.is_some()) {
        problems.add(("mysql", index, "socket"), "give either `socket`, or `host` and `port`");
    }
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    if let Some(secret) = &raw.password {
        problems.keep(("mysql", index, "password"), check_secret(secret));
    }
    let lock_timeout = raw.lock_timeout.as_deref().map_or(Ok(Duration::from_secs(60)), parse_duration);
    let idle_timeout = raw.idle_timeout.as_deref().map_or(Ok(Duration::from_secs(1_800)), parse_duration);
    let settings = MysqlSettings {
        name: raw.name.clone(),
        endpoint: match &raw.socket {
            Some(path) => MysqlEndpoint::Socket(path.clone()),
            None => MysqlEndpoint::Tcp { host: raw.host.clone().unwrap_or_else(|| "localhost".to_owned()), port: raw.port.unwrap_or(3306) },
        },
        user: raw.user.clone(),
        password: None,
        tls: MysqlTls { mode: raw.tls.mode, ca_file: raw.tls.ca_file.clone() },
        include_schemas: raw.include_schemas.clone(),
        exclude_schemas: raw.exclude_schemas.clone().unwrap_or_else(|| EXCLUDED.map(str::to_owned).to_vec()),
        exclude_tables: raw.exclude_tables.clone(),
        exclude_rows: raw.exclude_rows.clone(),
        connections: raw.connections.unwrap_or(cores).clamp(if raw.connections.is_some() { 1 } else { 2 }, 8),
        lock_timeout: problems.keep(("mysql", index, "lock_timeout"), lock_timeout)?,
        idle_timeout: problems.keep(("mysql", index, "idle_timeout"), idle_timeout)?,
        tenants: raw.tenants.clone(),
    };
    let shrink = f64::from(raw.shrink_warning.unwrap_or(50).min(100)) / 100.0;
    Some(MysqlConfig { settings, grants: raw.grants.unwrap_or(true), shrink, password: raw.password.clone() })
}

fn directories(raw: &[RawDirectory], problems: &mut Problems<'_>) -> Vec<DirectoryConfig> {
    let mut directories = Vec::new();
    for (index, directory) in raw.iter().enumerate() {
        let path = &directory.path;
        if !path.is_absolute() || path.components().any(|part| part == std::path::Component::ParentDir) {
            problems.add(("directory", index, "path"), format!("`{}` is not an absolute path", path.display()));
            continue;
        }
        let max = directory.max_file_size.as_deref().map(parse_size).transpose();
        let max_file_size = problems.keep(("directory", index, "max_file_size"), max).flatten();
        directories.push(DirectoryConfig {
            settings: DirectorySettings {
                path: path.clone(),
                exclude: directory.exclude.clone(),
                exclude_caches: directory.exclude_caches.unwrap_or(true),
                max_file_size,
                one_file_system: directory.one_file_system.unwrap_or(true),
            },
            tenant: directory.tenant.clone(),
        });
    }
    directories
}

fn plugins(raw: &RawConfig, path: &Path, problems: &mut Problems<'_>) -> PluginSettings {
    let raw = &raw.plugins;
    let place = |key| ("plugins", 0, key);
    let keys = raw.trusted_keys.iter().filter_map(|text| problems.keep(place("trusted_keys"), TrustedKey::parse(text)));
    let trusted_keys = keys.collect();
    if raw.require_signed && raw.trusted_keys.is_empty() {
        problems.add(place("require_signed"), "no plug-in could be used: name the keys whose signatures count in plugins.trusted_keys");
    }
    PluginSettings {
        directory: raw.directory.clone().unwrap_or_else(|| PathBuf::from("/usr/lib/cofre/plugins")),
        lock: raw.lock.clone().unwrap_or_else(|| path.with_file_name("plugins.lock")),
        trusted_keys,
        require_signed: raw.require_signed,
    }
}

/// The file that `plugin = "…"` means: a path, or a name in the plug-in directory.
pub fn plugin_file(plugin: &str, directory: &Path) -> PathBuf {
    let is_path = plugin.contains('/') || Path::new(plugin).extension().is_some_and(|extension| extension == "wasm");
    if is_path { PathBuf::from(plugin) } else { directory.join(format!("{plugin}.wasm")) }
}

/// One destination, which stands in the `at.1`-th table `at.0`.
pub(super) fn destination(
    at: (&str, usize),
    (raw, retention): (&RawDestination, &RawRetention),
    plugins: &Path,
    problems: &mut Problems<'_>,
) -> DestinationConfig {
    let written =
        Written { name: &raw.name, plugin: &raw.plugin, settings: &raw.settings, secrets: &raw.secrets, ca_file: raw.ca_file.as_deref() };
    let grants =
        Grants { network: network(at, &raw.grants.network, problems), directory: raw.grants.directory.clone(), delete: raw.grants.delete };
    let mut settings = instance(at, &written, (grants, &raw.limits), plugins, problems);
    settings.bandwidth = super::bandwidth::resolve((at.0, at.1, "bandwidth"), raw.bandwidth.as_ref(), problems);
    let pace = settings.bandwidth.lowest();
    let kept = super::retention::resolve(at, &raw.retention, retention, problems);
    DestinationConfig {
        settings,
        retry: RetryPolicy { pace, ..retry((at.0, at.1, "retry"), raw, problems) },
        retention: kept.retention,
        removal_interval: kept.interval,
        secrets: raw.secrets.clone(),
    }
}

/// What the tables of destinations and of notifiers have in common.
pub(super) struct Written<'a> {
    pub(super) name: &'a str,
    pub(super) plugin: &'a str,
    pub(super) settings: &'a BTreeMap<String, serde_json::Value>,
    pub(super) secrets: &'a BTreeMap<String, RawSecret>,
    pub(super) ca_file: Option<&'a Path>,
}

/// Granted network targets.
pub(super) fn network(at: (&str, usize), patterns: &[String], problems: &mut Problems<'_>) -> Vec<NetworkPattern> {
    let read = |text: &String| problems.keep((at.0, at.1, "grants"), NetworkPattern::parse(text).map_err(|error| error.to_string()));
    patterns.iter().filter_map(read).collect()
}

/// How to run the plug-in of an instance, without its secrets.
pub(super) fn instance(
    at: (&str, usize),
    written: &Written<'_>,
    (grants, limited): (Grants, &RawLimits),
    plugins: &Path,
    problems: &mut Problems<'_>,
) -> DestinationSettings {
    let place = |key| (at.0, at.1, key);
    for (name, secret) in written.secrets {
        problems.keep(place("secrets"), check_secret(secret).map_err(|error| format!("`{name}`: {error}")));
    }
    DestinationSettings {
        name: written.name.to_owned(),
        plugin: plugin_file(written.plugin, plugins),
        settings: serde_json::Value::Object(written.settings.clone().into_iter().collect()),
        secrets: BTreeMap::new(),
        grants,
        limits: limits(place("limits"), limited, problems),
        ca_file: written.ca_file.map(Path::to_path_buf),
        bandwidth: Bandwidth::default(),
    }
}

fn limits(place: (&str, usize, &str), raw: &RawLimits, problems: &mut Problems<'_>) -> PluginLimits {
    let defaults = PluginLimits::default();
    let mut size =
        |text: &Option<String>, default: u64| text.as_deref().and_then(|text| problems.keep(place, parse_size(text))).unwrap_or(default);
    let (memory, log_bytes) = (size(&raw.memory, defaults.memory), size(&raw.log, defaults.log_bytes));
    let mut time = |text: &Option<String>, default: Duration| {
        text.as_deref().and_then(|text| problems.keep(place, parse_duration(text))).unwrap_or(default)
    };
    PluginLimits {
        memory,
        log_bytes,
        cpu: time(&raw.cpu, defaults.cpu),
        wall: time(&raw.wall, defaults.wall),
        memories: raw.memories.unwrap_or(defaults.memories),
        tables: raw.tables.unwrap_or(defaults.tables),
        instances: raw.instances.unwrap_or(defaults.instances),
        table_elements: raw.table_elements.unwrap_or(defaults.table_elements),
    }
}

fn retry(place: (&str, usize, &str), raw: &RawDestination, problems: &mut Problems<'_>) -> RetryPolicy {
    let defaults = RetryPolicy::default();
    let mut time = |text: &Option<String>, default: Duration| {
        text.as_deref().and_then(|text| problems.keep(place, parse_duration(text))).unwrap_or(default)
    };
    RetryPolicy {
        first_pause: time(&raw.retry.first_pause, defaults.first_pause),
        longest_pause: time(&raw.retry.longest_pause, defaults.longest_pause),
        attempts: raw.retry.attempts.unwrap_or(defaults.attempts).max(1),
        ..defaults
    }
}

fn hook(index: usize, raw: &RawHook, problems: &mut Problems<'_>) -> Option<HookSettings> {
    let moments = [
        HookMoment::BeforeRun,
        HookMoment::AfterRun,
        HookMoment::BeforeSource,
        HookMoment::AfterSource,
        HookMoment::BeforeCopy,
        HookMoment::AfterCopy,
    ];
    let moment = moments.into_iter().find(|moment| moment.name() == raw.when);
    if moment.is_none() {
        let known = moments.map(HookMoment::name).join(", ");
        problems.add(("hook", index, "when"), format!("`{}` is no moment; write one of {known}", raw.when));
    }
    let command = match (&raw.command, &raw.shell) {
        (Some(words), None) if !words.is_empty() => Some(HookCommand::Program(words.clone())),
        (None, Some(line)) => Some(HookCommand::Shell(line.clone())),
        _ => {
            problems.add(("hook", index, "command"), "give either `command = [\"program\", \"argument\"]` or `shell = \"line\"`");
            None
        }
    };
    let on_failure = match raw.on_failure.as_deref().unwrap_or("stop") {
        "stop" => Some(FailureRule::Stop),
        "warn" => Some(FailureRule::Warn),
        "ignore" => Some(FailureRule::Ignore),
        other => {
            problems.add(("hook", index, "on_failure"), format!("`{other}` is not known; write `stop`, `warn` or `ignore`"));
            None
        }
    };
    let timeout = problems.keep(("hook", index, "timeout"), raw.timeout.as_deref().map_or(Ok(Duration::from_secs(300)), parse_duration));
    Some(HookSettings {
        moment: moment?,
        command: command?,
        timeout: timeout?,
        env: raw.env.clone(),
        on_failure: on_failure?,
        only_for: raw.only_for.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("cofre.toml");
        std::fs::write(&path, text).expect("written");
        Config::load(&path).map_err(|error| error.to_string().replace(&path.display().to_string(), "cofre.toml"))
    }

    const DESTINATION: &str = "[[destination]]\nname = \"a\"\nplugin = \"/dev/null/x.wasm\"\n";

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_a_suggestion() {
        let error = load("locale = \"en\"\n[passphrase]\nfil = \"x\"\n").expect_err("wrong");
        assert_eq!(error, "cofre.toml:3: passphrase: the key `fil` does not exist here; did you mean `file`?");
    }

    #[test]
    fn all_mistakes_are_reported_together() {
        let text = format!(
            "[passphrase]\nenv = \"X\"\n[encryption]\niterations = 1\n[[directory]]\npath = \"etc\"\n{DESTINATION}settings = {{ api_token = \"x\" }}\n"
        );
        let error = load(&text).expect_err("wrong");
        assert_eq!(
            error,
            "cofre.toml:4: encryption.iterations: 1 rounds are too few to protect a passphrase; write at least 10000\n\
             cofre.toml:6: directory.path: `etc` is not an absolute path\n\
             cofre.toml:10: destination.settings: `api_token` looks like a secret; write it as secrets.api_token = { file = \"…\" } so that it is in no configuration"
        );
    }

    #[test]
    fn a_spool_inside_the_backup_is_refused() {
        let text =
            format!("[passphrase]\nenv = \"X\"\n[storage]\nstate_dir = \"/var/lib/cofre\"\n[[directory]]\npath = \"/var\"\n{DESTINATION}");
        assert!(load(&text).expect_err("wrong").contains("the backup would contain itself"));
    }

    #[test]
    fn no_secret_is_shown_however_a_configuration_is_printed() {
        use secrecy::ExposeSecret;
        use std::io::Write;
        let planted = "segredo-plantado-4c1b";
        let mut file = tempfile::NamedTempFile::new().expect("a private file");
        writeln!(file, "{planted}").expect("written");
        let secret = format!("{{ file = \"{}\" }}", file.path().display());
        let text = format!(
            "passphrase = {secret}\n[[mysql]]\nname = \"m\"\nuser = \"u\"\npassword = {secret}\n[[destination]]\nname = \"a\"\nplugin = \"x\"\nsecrets = {{ key = {secret} }}\n",
        );
        let config = load(&text).expect("holds");
        let passphrase = config.passphrase().expect("fetched");
        assert_eq!(passphrase.as_bytes(), planted.as_bytes());
        let source = config.mysql_settings(&config.mysql[0]).expect("fetched");
        let destination = config.destination_settings(&config.destinations[0]).expect("fetched");
        assert_eq!(source.password.as_ref().expect("there").expose_secret(), planted);
        assert_eq!(destination.secrets["key"].expose_secret(), planted);
        let shown = format!("{config:?} {source:?} {destination:?} {passphrase:?}");
        assert!(!shown.contains(planted), "{shown}");
    }

    #[test]
    fn keys_that_are_none_and_a_signature_that_nobody_could_give_are_mistakes() {
        let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
        let text = |plugins: &str| format!("[passphrase]\nenv = \"X\"\n[plugins]\n{plugins}\n{DESTINATION}");
        assert!(load(&text("require_signed = true")).expect_err("nobody").contains("plugins.require_signed: no plug-in could be used"));
        assert!(load(&text("trusted_keys = [\"RWQ\"]")).expect_err("none").contains("`RWQ` is not a public key of minisign"));
        load(&text(&format!("trusted_keys = [\"{key}\"]\nrequire_signed = true"))).expect("holds");
    }

    #[test]
    fn plug_ins_are_looked_after_whatever_is_wrong_with_the_rest() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("cofre.toml");
        let absent = PluginConfig::load(&path).expect("there is none yet");
        assert_eq!(
            (absent.settings.directory, absent.settings.lock),
            ("/usr/lib/cofre/plugins".into(), directory.path().join("plugins.lock"))
        );
        std::fs::write(&path, "[passphrase]\n[plugins]\ndirectory = \"/p\"\n[[destination]]\nname = \"a\"\nplugin = \"s3\"\n")
            .expect("written");
        let found = PluginConfig::load(&path).expect("plug-ins are in order");
        assert_eq!(found.instances, [("a".to_owned(), PathBuf::from("/p/s3.wasm"))]);
    }

    #[test]
    fn the_documented_configuration_is_one() {
        let document = include_str!("../../../docs/configuration.md");
        let example = document.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
        let raw: RawConfig = toml::from_str(example).expect("the example holds");
        assert_eq!((raw.mysql.len(), raw.directory.len(), raw.destination.len(), raw.hook.len()), (1, 1, 1, 1));
    }

    #[test]
    fn nowhere_to_go_is_a_mistake() {
        let error = load("[passphrase]\nenv = \"X\"\n").expect_err("wrong");
        assert!(error.contains("nowhere to copy to"), "{error}");
    }
}
