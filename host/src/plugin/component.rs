//! A plug-in file: read once, hashed, checked, compiled, and asked to describe itself in a sandbox with nothing granted.
//! The bytes that were hashed are the bytes that are compiled.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, InstancePre, Linker};

use super::bindings::v0_1::{self, exports::cofre::plugin::plugin as wit};
use super::grants::Gate;
use super::http::HttpDoor;
use super::state::{Provision, State};
use crate::ports::PluginLimits;

/// Largest plug-in file.
const FILE_MAX: u64 = 64 << 20;
const PREAMBLE: &[u8] = b"\0asm\x0d\0\x01\0";
const CONTRACT: &str = "cofre:plugin/plugin@0.1.0";
const CONTRACT_NAME: &str = "cofre:plugin/plugin@";
const DESCRIBE_TIME: Duration = Duration::from_secs(10);
const TEXT_MAX: usize = 64 << 10;

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
    pub(super) async fn load(engine: &Engine, path: &Path) -> Result<Self, PluginError> {
        let (owned_engine, owned_path) = (engine.clone(), path.to_path_buf());
        let compiled = tokio::task::spawn_blocking(move || compile(&owned_engine, &owned_path)).await;
        let (component, sha256) =
            compiled.map_err(|error| PluginError::Host(format!("compiling a plug-in ended unexpectedly: {error}")))??;
        let linker = linker(engine).map_err(PluginError::engine)?;
        let not_a_plugin = |reason| PluginError::NotAPlugin { path: path.to_path_buf(), reason };
        let ready = linker
            .instantiate_pre(&component)
            .map_err(|error| not_a_plugin(format!("it asks for something that cofre does not give: {error:#}")))?;
        let description = describe(engine, &ready, path).await?;
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
    let read = |source| PluginError::Read { path: path.to_path_buf(), source };
    let not_a_plugin = |reason: String| PluginError::NotAPlugin { path: path.to_path_buf(), reason };
    let size = std::fs::metadata(path).map_err(read)?.len();
    if size > FILE_MAX {
        return Err(not_a_plugin(format!("it has {size} bytes, more than the {FILE_MAX} that cofre loads")));
    }
    let bytes = std::fs::read(path).map_err(read)?;
    // Compiled code (`.cwasm`) would be executed as it is, outside any sandbox: only source components are taken.
    if !bytes.starts_with(PREAMBLE) {
        return Err(not_a_plugin("it is not a WebAssembly component".to_owned()));
    }
    let component = Component::from_binary(engine, &bytes).map_err(|error| not_a_plugin(format!("{error:#}")))?;
    let exports: Vec<String> = component.component_type().exports(engine).map(|(name, _)| name.to_owned()).collect();
    if !exports.iter().any(|name| name == CONTRACT) {
        let reason = match exports.iter().find_map(|name| name.strip_prefix(CONTRACT_NAME)) {
            Some(version) => format!("it is made for version {version} of the contract; this cofre knows 0.1.0"),
            None => "it does not export `cofre:plugin/plugin`".to_owned(),
        };
        return Err(not_a_plugin(reason));
    }
    Ok((component, hex::encode(Sha256::digest(&bytes))))
}

fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    // Ours instead of WASI's: see `dns`.
    linker.allow_shadowing(true);
    v0_1::wasi::sockets::ip_name_lookup::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    linker.allow_shadowing(false);
    v0_1::cofre::plugin::host::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    Ok(linker)
}

async fn describe(engine: &Engine, ready: &InstancePre<State>, path: &Path) -> Result<Description, PluginError> {
    let failed = |reason: String| PluginError::Describe { path: path.to_path_buf(), reason };
    let limits =
        PluginLimits { memory: 64 << 20, cpu: Duration::from_secs(2), wall: DESCRIBE_TIME, log_bytes: 4 << 10, ..PluginLimits::default() };
    let provision = Arc::new(Provision {
        label: path.display().to_string(),
        settings: "{}".to_owned(),
        secrets: std::collections::BTreeMap::new(),
        gate: Gate::default(),
        http: Arc::new(HttpDoor::new(None)?),
        directory: None,
        limits,
    });
    let mut store = State::store(engine, &provision)?;
    let indices = wit::GuestIndices::new(ready).map_err(|error| failed(format!("{error:#}")))?;
    let call = async {
        let instance = ready.instantiate_async(&mut store).await?;
        indices.load(&mut store, &instance)?.call_describe(&mut store).await
    };
    let outcome = tokio::time::timeout(DESCRIBE_TIME, call).await;
    let said = match outcome {
        Ok(Ok(said)) => said,
        Ok(Err(trap)) => return Err(failed(store.data().explain(&trap))),
        Err(_) => return Err(failed(format!("it took longer than {} s", DESCRIBE_TIME.as_secs()))),
    };
    check(said).map_err(failed)
}

fn check(said: wit::Description) -> Result<Description, String> {
    let named = said.name.starts_with(|c: char| c.is_ascii_lowercase()) && said.name.len() <= 64;
    if !named || !said.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        return Err(format!("`{}` is not a plug-in name", said.name.escape_debug().take(80).collect::<String>()));
    }
    let texts = [&said.version, &said.summary].into_iter().chain(said.network.iter().flat_map(|need| [&need.target, &need.reason]));
    let texts = texts.chain(said.secrets.iter().flat_map(|need| [&need.name, &need.summary]));
    for text in texts {
        if text.len() > 1_024 || text.chars().any(char::is_control) {
            return Err("one of its texts is too long or has control characters".to_owned());
        }
    }
    if said.settings_schema.len() > TEXT_MAX {
        return Err("its settings schema is too long".to_owned());
    }
    let settings_schema =
        serde_json::from_str(&said.settings_schema).map_err(|error| format!("its settings schema is no JSON: {error}"))?;
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
