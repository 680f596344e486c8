//! The configuration once every rule holds: validated, with defaults, with its secrets fetched.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

use super::diagnostics::{ConfigError, Problem, Problems, syntax};
use super::raw::{RawConfig, RawDestination, RawDirectory, RawHook, RawMysql, RawSecret};
use super::secret::fetch;
use super::units::{parse_duration, parse_size};
use crate::copy::RetryPolicy;
use crate::pipeline::{Compression, Kdf, Passphrase};
use crate::ports::{DestinationSettings, DirectorySettings, Grants, MysqlEndpoint, MysqlSettings, MysqlTls, NetworkPattern, PluginLimits};

const EXCLUDED: [&str; 5] = ["information_schema", "performance_schema", "sys", "mysql", "phpmyadmin"];
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
    /// Compressing threads.
    pub threads: usize,
    /// Database servers.
    pub mysql: Vec<MysqlConfig>,
    /// Directories.
    pub directories: Vec<DirectoryConfig>,
    /// Destinations.
    pub destinations: Vec<DestinationConfig>,
    /// Hooks.
    pub hooks: Vec<HookSettings>,
    passphrase: RawSecret,
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
}

/// One directory.
#[derive(Debug)]
pub struct DirectoryConfig {
    /// How to read it.
    pub settings: DirectorySettings,
}

/// One destination.
#[derive(Debug)]
pub struct DestinationConfig {
    /// How to run its plug-in.
    pub settings: DestinationSettings,
    /// Its retries.
    pub retry: RetryPolicy,
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
        let unreadable =
            |message: String| ConfigError { path: path.to_path_buf(), problems: vec![Problem { line: None, key: String::new(), message }] };
        let size =
            std::fs::metadata(path).map_err(|error| unreadable(format!("cannot be read: {error}; make one with: cofre init")))?.len();
        if size > CONFIG_MAX {
            return Err(unreadable(format!("has {size} bytes, more than any configuration")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(format!("cannot be read: {error}")))?;
        let raw: RawConfig = toml::from_str(&text).map_err(|error| syntax(path, &text, &error))?;
        Self::resolve(path, text, raw)
    }

    fn resolve(path: &Path, text: String, raw: RawConfig) -> Result<Self, ConfigError> {
        let kept = text.clone();
        let mut problems = Problems::new(&kept);
        let storage = storage(&raw, &mut problems);
        let (kdf, iterations) = kdf(&raw, &mut problems);
        let (compression, threads) = compression(&raw, &mut problems);
        if raw.destination.is_empty() {
            problems.add(("", 0, "destination"), "there is nowhere to copy to: add a [[destination]]");
        }
        if let Some(locale) = raw.locale.as_deref().filter(|locale| !matches!(*locale, "pt-BR" | "en")) {
            problems.add(("", 0, "locale"), format!("`{locale}` is not a language of cofre; write `pt-BR` or `en`"));
        }
        names(&raw, &mut problems);
        let mysql = raw.mysql.iter().enumerate().filter_map(|(index, source)| mysql(index, source, &mut problems)).collect();
        let directories = directories(&raw.directory, &storage, &mut problems);
        let plugins = raw.plugins.directory.clone().unwrap_or_else(|| PathBuf::from("/usr/lib/cofre/plugins"));
        let destinations =
            raw.destination.iter().enumerate().map(|(index, raw)| destination(index, raw, &plugins, &mut problems)).collect();
        let hooks = raw.hook.iter().enumerate().filter_map(|(index, raw)| hook(index, raw, &mut problems)).collect();
        own_copies(&raw, &mut problems);
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
            threads,
            mysql,
            directories,
            destinations,
            hooks,
            passphrase: raw.passphrase,
        })
    }

    /// Fetches the passphrase.
    ///
    /// # Errors
    /// When it cannot be had, with the mend.
    pub fn passphrase(&self) -> Result<Passphrase, ConfigError> {
        let fetched = fetch(&self.passphrase).map(|text| Passphrase::from_bytes(text.as_bytes()));
        fetched.map_err(|message| {
            let mut problems = Problems::new(&self.text);
            problems.add(("passphrase", 0, "file"), message);
            problems.into_error(&self.path).unwrap_or(ConfigError { path: self.path.clone(), problems: Vec::new() })
        })
    }
}

fn storage(raw: &RawConfig, problems: &mut Problems<'_>) -> StorageSettings {
    let state = raw.storage.state_dir.clone().unwrap_or_else(|| PathBuf::from("/var/lib/cofre"));
    let reserve = raw.storage.spool_reserve.as_deref().map_or(Ok(1 << 30), parse_size);
    let patience = raw.storage.spool_patience.as_deref().map_or(Ok(Duration::from_secs(1_800)), parse_duration);
    StorageSettings {
        spool: raw.storage.spool_dir.clone().unwrap_or_else(|| state.join("spool")),
        cache: raw.storage.cache_dir.clone().unwrap_or_else(|| state.join("cache")),
        state,
        reserve: problems.keep(("storage", 0, "spool_reserve"), reserve).unwrap_or(0),
        patience: problems.keep(("storage", 0, "spool_patience"), patience).unwrap_or_default(),
    }
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

/// Level 3 takes a quarter more time and gains less than one part in a hundred on logs, programs and documents.
const ZSTD_LEVEL: i32 = 2;

fn compression(raw: &RawConfig, problems: &mut Problems<'_>) -> (Compression, usize) {
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
    (compression, raw.compression.threads.unwrap_or(cores).clamp(1, 64))
}

fn names(raw: &RawConfig, problems: &mut Problems<'_>) {
    let mut check = |table: &str, names: Vec<&String>| {
        let mut seen = BTreeSet::new();
        for (index, name) in names.into_iter().enumerate() {
            let plain = !name.is_empty() && name.len() <= 64 && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
            if !plain {
                problems.add((table, index, "name"), format!("`{name}` is not a name; use letters, digits, `.`, `_` and `-`"));
            } else if !seen.insert(name) {
                problems.add((table, index, "name"), format!("`{name}` is used twice; give each its own name"));
            }
        }
    };
    check("mysql", raw.mysql.iter().map(|source| &source.name).collect());
    check("destination", raw.destination.iter().map(|destination| &destination.name).collect());
}

fn mysql(index: usize, raw: &RawMysql, problems: &mut Problems<'_>) -> Option<MysqlConfig> {
    if raw.socket.is_some() && (raw.host.is_some() || raw.port.is_some()) {
        problems.add(("mysql", index, "socket"), "give either `socket`, or `host` and `port`");
    }
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let password = match &raw.password {
        Some(secret) => Some(problems.keep(("mysql", index, "password"), fetch(secret))?),
        None => None,
    };
    let lock_timeout = raw.lock_timeout.as_deref().map_or(Ok(Duration::from_secs(60)), parse_duration);
    let settings = MysqlSettings {
        name: raw.name.clone(),
        endpoint: match &raw.socket {
            Some(path) => MysqlEndpoint::Socket(path.clone()),
            None => MysqlEndpoint::Tcp { host: raw.host.clone().unwrap_or_else(|| "localhost".to_owned()), port: raw.port.unwrap_or(3306) },
        },
        user: raw.user.clone(),
        password: password.map(|password| SecretString::from(password.as_str())),
        tls: MysqlTls { mode: raw.tls.mode, ca_file: raw.tls.ca_file.clone() },
        include_schemas: raw.include_schemas.clone(),
        exclude_schemas: raw.exclude_schemas.clone().unwrap_or_else(|| EXCLUDED.map(str::to_owned).to_vec()),
        exclude_tables: raw.exclude_tables.clone(),
        exclude_rows: raw.exclude_rows.clone(),
        connections: raw.connections.unwrap_or(cores).clamp(if raw.connections.is_some() { 1 } else { 2 }, 8),
        lock_timeout: problems.keep(("mysql", index, "lock_timeout"), lock_timeout)?,
        tenants: raw.tenants.clone(),
    };
    let shrink = f64::from(raw.shrink_warning.unwrap_or(50).min(100)) / 100.0;
    Some(MysqlConfig { settings, grants: raw.grants.unwrap_or(true), shrink })
}

fn directories(raw: &[RawDirectory], storage: &StorageSettings, problems: &mut Problems<'_>) -> Vec<DirectoryConfig> {
    let mut directories: Vec<DirectoryConfig> = Vec::new();
    for (index, directory) in raw.iter().enumerate() {
        let path = &directory.path;
        if !path.is_absolute() || path.components().any(|part| part == std::path::Component::ParentDir) {
            problems.add(("directory", index, "path"), format!("`{}` is not an absolute path", path.display()));
            continue;
        }
        if let Some(other) =
            directories.iter().find(|other| path.starts_with(&other.settings.path) || other.settings.path.starts_with(path))
        {
            let message =
                format!("`{}` and `{}` overlap: the same files would be backed up twice", path.display(), other.settings.path.display());
            problems.add(("directory", index, "path"), message);
        }
        if storage.spool.starts_with(path) && !directory.exclude.iter().any(|pattern| path.join(pattern.trim_matches('/')) == storage.spool)
        {
            let message = format!(
                "the spool `{}` lies inside: the backup would contain itself; move storage.spool_dir or exclude it",
                storage.spool.display()
            );
            problems.add(("directory", index, "path"), message);
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
        });
    }
    directories
}

fn destination(index: usize, raw: &RawDestination, plugins: &Path, problems: &mut Problems<'_>) -> DestinationConfig {
    let place = |key| ("destination", index, key);
    for key in raw.settings.keys().filter(|key| ["password", "secret", "token", "passphrase"].iter().any(|word| key.contains(word))) {
        problems.add(
            place("settings"),
            format!("`{key}` looks like a secret; write it as secrets.{key} = {{ file = \"…\" }} so that it is in no configuration"),
        );
    }
    let is_path = raw.plugin.contains('/') || Path::new(&raw.plugin).extension().is_some_and(|extension| extension == "wasm");
    let plugin = if is_path { PathBuf::from(&raw.plugin) } else { plugins.join(format!("{}.wasm", raw.plugin)) };
    if !plugin.is_file() {
        problems.add(place("plugin"), format!("there is no plug-in file `{}`", plugin.display()));
    }
    let mut secrets = BTreeMap::new();
    for (name, secret) in &raw.secrets {
        if let Some(text) = problems.keep(place("secrets"), fetch(secret).map_err(|error| format!("`{name}`: {error}"))) {
            secrets.insert(name.clone(), SecretString::from(text.as_str()));
        }
    }
    let patterns = raw
        .grants
        .network
        .iter()
        .filter_map(|text| problems.keep(place("grants"), NetworkPattern::parse(text).map_err(|error| error.to_string())));
    let network = patterns.collect();
    let settings = DestinationSettings {
        name: raw.name.clone(),
        plugin,
        settings: serde_json::Value::Object(raw.settings.clone().into_iter().collect()),
        secrets,
        grants: Grants { network, directory: raw.grants.directory.clone() },
        limits: limits(index, raw, problems),
        ca_file: raw.ca_file.clone(),
    };
    DestinationConfig { settings, retry: retry(index, raw, problems) }
}

/// Refuses a destination's directory inside a directory that is backed up: every set would hold the ones before it.
fn own_copies(raw: &RawConfig, problems: &mut Problems<'_>) {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    for (index, destination) in raw.destination.iter().enumerate() {
        let Some(copies) = destination.grants.directory.as_deref().map(real) else { continue };
        for directory in &raw.directory {
            let root = real(&directory.path);
            let excluded = directory.exclude.iter().any(|pattern| root.join(pattern.trim_matches('/')) == copies);
            if copies.starts_with(&root) && !excluded {
                let message = format!(
                    "it lies inside `{}`, which is backed up: every set would hold the ones before it; exclude it there",
                    root.display()
                );
                problems.add(("destination", index, "grants"), message);
            }
        }
    }
}

fn limits(index: usize, raw: &RawDestination, problems: &mut Problems<'_>) -> PluginLimits {
    let defaults = PluginLimits::default();
    let place = ("destination", index, "limits");
    let mut size =
        |text: &Option<String>, default: u64| text.as_deref().and_then(|text| problems.keep(place, parse_size(text))).unwrap_or(default);
    let (memory, log_bytes) = (size(&raw.limits.memory, defaults.memory), size(&raw.limits.log, defaults.log_bytes));
    let mut time = |text: &Option<String>, default: Duration| {
        text.as_deref().and_then(|text| problems.keep(place, parse_duration(text))).unwrap_or(default)
    };
    PluginLimits {
        memory,
        log_bytes,
        cpu: time(&raw.limits.cpu, defaults.cpu),
        wall: time(&raw.limits.wall, defaults.wall),
        memories: raw.limits.memories.unwrap_or(defaults.memories),
        tables: raw.limits.tables.unwrap_or(defaults.tables),
        instances: raw.limits.instances.unwrap_or(defaults.instances),
        table_elements: raw.limits.table_elements.unwrap_or(defaults.table_elements),
    }
}

fn retry(index: usize, raw: &RawDestination, problems: &mut Problems<'_>) -> RetryPolicy {
    let defaults = RetryPolicy::default();
    let place = ("destination", index, "retry");
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
        assert_eq!(error, "cofre.toml:3: the key `fil` does not exist here; did you mean `file`?");
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
             cofre.toml:10: destination.settings: `api_token` looks like a secret; write it as secrets.api_token = { file = \"…\" } so that it is in no configuration\n\
             cofre.toml:9: destination.plugin: there is no plug-in file `/dev/null/x.wasm`"
        );
    }

    #[test]
    fn a_spool_inside_the_backup_is_refused() {
        let text =
            format!("[passphrase]\nenv = \"X\"\n[storage]\nstate_dir = \"/var/lib/cofre\"\n[[directory]]\npath = \"/var\"\n{DESTINATION}");
        assert!(load(&text).expect_err("wrong").contains("the backup would contain itself"));
    }

    #[test]
    fn nowhere_to_go_is_a_mistake() {
        let error = load("[passphrase]\nenv = \"X\"\n").expect_err("wrong");
        assert!(error.contains("nowhere to copy to"), "{error}");
    }
}
