//! A plug-in file: read once, hashed, checked, compiled, and asked to describe itself in a sandbox with nothing granted.
//! The bytes that were hashed are the bytes that are compiled.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, InstancePre, Linker};

use super::bindings::v0_1::{self, exports::cofre::plugin::plugin as wit};
use super::cache::CompiledCode;
use super::call::{self, Lost};
use super::journal::readable;
use super::state::{Provision, State};
use crate::ports::PluginLimits;

/// Largest plug-in file.
const FILE_MAX: u64 = 64 << 20;
const PREAMBLE: &[u8] = b"\0asm\x0d\0\x01\0";
/// What every plug-in exports, and what each kind does.
const CONTRACT: &str = "cofre:plugin/plugin";
const DESTINATION: &str = "cofre:plugin/destination";
const NOTIFIER: &str = "cofre:plugin/notifier";
/// The version of the contract that this cofre speaks.
const VERSION: &str = "0.1.0";
const DESCRIBE_TIME: Duration = Duration::from_secs(10);
const TEXT_MAX: usize = 64 << 10;
/// Targets and secrets that one plug-in may ask for.
const LIST_MAX: usize = 100;

/// Why a plug-in cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The file cannot be read.
    #[error("cannot read plug-in `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is not a component that cofre can run.
    #[error("`{}` is not a plug-in: {reason}", path.display())]
    NotAPlugin {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// It could not describe itself.
    #[error("plug-in `{}` cannot describe itself: {reason}", path.display())]
    Describe {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The settings of an instance do not fit.
    #[error("the settings of destination `{instance}` do not fit its plug-in: {problems}")]
    Settings {
        /// Name of the instance.
        instance: String,
        /// What is wrong, key by key.
        problems: String,
    },
    /// Something around the plug-in failed.
    #[error("{0}")]
    Host(String),
}

impl PluginError {
    pub(super) fn engine(error: wasmtime::Error) -> Self {
        Self::Host(format!("the plug-in engine cannot start: {error:#}"))
    }

    pub(super) fn clock(error: std::io::Error) -> Self {
        Self::Host(format!("the clock of the plug-in engine cannot start: {error}"))
    }

    pub(super) fn directory(path: &Path, error: wasmtime::Error) -> Self {
        Self::Host(format!("cannot open the granted directory `{}`: {error:#}; make it, or change grants.directory", path.display()))
    }

    pub(super) fn ca_file(path: &Path, reason: String) -> Self {
        Self::Host(format!("cannot use the certificates in `{}`: {reason}", path.display()))
    }

    pub(super) fn tls(error: &rustls::Error) -> Self {
        Self::Host(format!("TLS cannot start: {error}"))
    }
}

/// What a component is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginKind {
    /// Stores objects.
    Destination,
    /// Delivers messages.
    Notifier,
}

/// A network target that a plug-in asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetworkNeed {
    /// `host:port`, with `{setting}` to be filled in.
    pub target: String,
    /// Why.
    pub reason: String,
}

/// A secret that a plug-in asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretNeed {
    /// Name.
    pub name: String,
    /// What it is.
    pub summary: String,
    /// Whether it can do without.
    pub optional: bool,
}

/// What a plug-in says of itself.
#[derive(Debug, Clone, Serialize)]
pub struct Description {
    /// Short name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Kind.
    pub kind: PluginKind,
    /// One sentence.
    pub summary: String,
    /// JSON Schema of its settings.
    pub settings_schema: serde_json::Value,
    /// Network targets.
    pub network: Vec<NetworkNeed>,
    /// Secrets.
    pub secrets: Vec<SecretNeed>,
    /// Whether it needs a directory.
    pub directory: bool,
}

/// A plug-in that was loaded and described itself.
pub struct PluginComponent {
    pub(super) engine: Engine,
    pub(super) ready: InstancePre<State>,
    description: Description,
    sha256: String,
}

impl std::fmt::Debug for PluginComponent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PluginComponent").field("name", &self.description.name).field("sha256", &self.sha256).finish_non_exhaustive()
    }
}

impl PluginComponent {
    pub(super) async fn load(engine: &Engine, cache: Option<CompiledCode>, path: &Path) -> Result<Self, PluginError> {
        let (owned_engine, owned_path) = (engine.clone(), path.to_path_buf());
        let compile = move || {
            let compiled = compile(&owned_engine, &owned_path);
            cache.iter().for_each(CompiledCode::record);
            compiled
        };
        let compiled = tokio::task::spawn_blocking(compile).await;
        let (component, sha256) =
            compiled.map_err(|error| PluginError::Host(format!("compiling a plug-in ended unexpectedly: {error}")))??;
        let linker = linker(engine).map_err(PluginError::engine)?;
        let not_a_plugin = |reason| PluginError::NotAPlugin { path: path.to_path_buf(), reason };
        let ready = linker
            .instantiate_pre(&component)
            .map_err(|error| not_a_plugin(format!("it asks for something that cofre does not give: {error:#}")))?;
        let description = describe(engine, &ready, path).await?;
        let kind = match description.kind {
            PluginKind::Destination => DESTINATION,
            PluginKind::Notifier => NOTIFIER,
        };
        if let Err(reason) = exported(&exports(engine, &component), kind) {
            return Err(not_a_plugin(format!("it calls itself a {}, but {reason}", kind.trim_start_matches("cofre:plugin/"))));
        }
        Ok(Self { engine: engine.clone(), ready, description, sha256 })
    }

    /// What it says of itself.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// SHA-256 of the file, hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

fn compile(engine: &Engine, path: &Path) -> Result<(Component, String), PluginError> {
    let not_a_plugin = |reason: String| PluginError::NotAPlugin { path: path.to_path_buf(), reason };
    let bytes = read(path)?;
    // Compiled code (`.cwasm`) would be executed as it is, outside any sandbox: only source components are taken.
    if !bytes.starts_with(PREAMBLE) {
        return Err(not_a_plugin("it is not a WebAssembly component".to_owned()));
    }
    let component = Component::from_binary(engine, &bytes).map_err(|error| not_a_plugin(format!("{error:#}")))?;
    exported(&exports(engine, &component), CONTRACT).map_err(not_a_plugin)?;
    Ok((component, hex::encode(Sha256::digest(&bytes))))
}

/// The whole file, if it is one and not too long. It is opened once, so that nothing can be put in its place in between.
fn read(path: &Path) -> Result<Vec<u8>, PluginError> {
    let failed = |source| PluginError::Read { path: path.to_path_buf(), source };
    let not_a_plugin = |reason: String| PluginError::NotAPlugin { path: path.to_path_buf(), reason };
    // Opening a pipe would wait for its other end.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(not_a_plugin("it is not a file".to_owned()));
    }
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(not_a_plugin(format!("it has more than the {} MiB that cofre loads", FILE_MAX >> 20)));
    }
    Ok(bytes)
}

fn exports(engine: &Engine, component: &Component) -> Vec<String> {
    component.component_type().exports(engine).map(|(name, _)| name.to_owned()).collect()
}

/// Whether `interface` is exported in the version that this cofre speaks; else why not.
fn exported(exports: &[String], interface: &str) -> Result<(), String> {
    let versions: Vec<&str> = exports.iter().filter_map(|name| name.strip_prefix(interface)?.strip_prefix('@')).collect();
    match versions.first() {
        None => Err(format!("it does not export `{interface}`")),
        Some(_) if versions.contains(&VERSION) => Ok(()),
        Some(other) => Err(format!("it is made for version {other} of the contract; this cofre knows {VERSION}")),
    }
}

fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    // Ours instead of WASI's: see `dns` and `sockets`.
    linker.allow_shadowing(true);
    v0_1::wasi::sockets::ip_name_lookup::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    v0_1::wasi::sockets::tcp_create_socket::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    linker.allow_shadowing(false);
    v0_1::cofre::plugin::host::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    Ok(linker)
}

async fn describe(engine: &Engine, ready: &InstancePre<State>, path: &Path) -> Result<Description, PluginError> {
    let failed = |reason: String| PluginError::Describe { path: path.to_path_buf(), reason };
    let limits =
        PluginLimits { memory: 64 << 20, cpu: Duration::from_secs(2), wall: DESCRIBE_TIME, log_bytes: 4 << 10, ..PluginLimits::default() };
    let provision = Provision { label: path.display().to_string(), settings: "{}".to_owned(), limits, ..Provision::default() };
    let store = State::store(engine, &Arc::new(provision))?;
    let (indices, ready) = (wit::GuestIndices::new(ready).map_err(|error| failed(format!("{error:#}")))?, ready.clone());
    let said = call::run(store, DESCRIBE_TIME, move |store| {
        Box::pin(async move {
            let instance = ready.instantiate_async(&mut *store).await?;
            indices.load(&mut *store, &instance)?.call_describe(store).await
        })
    });
    match said.await {
        Ok((_, said)) => check(said).map_err(failed),
        Err(Lost::Crashed(reason)) => Err(failed(reason)),
        Err(Lost::TooLong) => Err(failed(format!("it took longer than {} s", DESCRIBE_TIME.as_secs()))),
    }
}

/// Three numbers, with a pre-release or build behind them at most (semver).
fn is_version(text: &str) -> bool {
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let parts: Vec<&str> = core.split('.').collect();
    let number = |part: &&str| part.len() <= 9 && part.parse::<u32>().is_ok_and(|number| number.to_string() == **part);
    let rest = text.strip_prefix(core).unwrap_or_default();
    parts.len() == 3 && parts.iter().all(number) && rest.chars().all(|c| c.is_ascii_alphanumeric() || "-+.".contains(c))
}

fn check(said: wit::Description) -> Result<Description, String> {
    let named = said.name.starts_with(|c: char| c.is_ascii_lowercase()) && said.name.len() <= 64;
    if !named || !said.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        return Err(format!("`{}` is not a plug-in name", readable(&said.name, 80)));
    }
    if !is_version(&said.version) {
        return Err(format!("`{}` is not a version such as 1.2.3", readable(&said.version, 80)));
    }
    let texts = [&said.version, &said.summary].into_iter().chain(said.network.iter().flat_map(|need| [&need.target, &need.reason]));
    let texts = texts.chain(said.secrets.iter().flat_map(|need| [&need.name, &need.summary]));
    for text in texts {
        if text.len() > 1_024 || *text != readable(text, 1_024) {
            return Err("one of its texts is too long or has control characters".to_owned());
        }
    }
    if said.settings_schema.len() > TEXT_MAX {
        return Err("its settings schema is too long".to_owned());
    }
    let settings_schema: serde_json::Value =
        serde_json::from_str(&said.settings_schema).map_err(|error| format!("its settings schema is no JSON: {error}"))?;
    if !settings_schema.is_object() {
        return Err("its settings schema is not that of an object".to_owned());
    }
    if said.network.len() > LIST_MAX || said.secrets.len() > LIST_MAX {
        return Err(format!("it asks for more than {LIST_MAX} targets or secrets"));
    }
    Ok(Description {
        name: said.name,
        version: said.version,
        kind: match said.kind {
            wit::Kind::Destination => PluginKind::Destination,
            wit::Kind::Notifier => PluginKind::Notifier,
        },
        summary: said.summary,
        settings_schema,
        network: said.network.into_iter().map(|need| NetworkNeed { target: need.target, reason: need.reason }).collect(),
        secrets: said
            .secrets
            .into_iter()
            .map(|need| SecretNeed { name: need.name, summary: need.summary, optional: need.optional })
            .collect(),
        directory: said.directory,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_semver() {
        for good in ["0.1.0", "1.22.333", "1.0.0-rc.1", "1.0.0+build.5"] {
            assert!(is_version(good), "{good}");
        }
        for bad in ["", "1", "1.0", "1.0.0.0", "01.0.0", "v1.0.0", "1.0.x", "1.0.0 beta", "1.0.-1"] {
            assert!(!is_version(bad), "{bad}");
        }
    }

    #[test]
    fn another_version_of_the_contract_is_named() {
        let exports = ["cofre:plugin/plugin@0.2.0".to_owned(), "cofre:plugin/plugin-extra@0.1.0".to_owned()];
        assert_eq!(
            exported(&exports, CONTRACT).expect_err("another"),
            "it is made for version 0.2.0 of the contract; this cofre knows 0.1.0"
        );
        assert_eq!(exported(&exports, DESTINATION).expect_err("none"), "it does not export `cofre:plugin/destination`");
        let both = ["cofre:plugin/plugin@0.2.0".to_owned(), "cofre:plugin/plugin@0.1.0".to_owned()];
        assert!(exported(&both, CONTRACT).is_ok());
    }
}
