//! A plug-in file: read once, hashed, checked, compiled, and asked to describe itself in a sandbox with nothing granted.
//! The bytes that were hashed are the bytes that are compiled.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, InstancePre, Linker};

use super::cache::CompiledCode;
use super::call::{self, Lost};
use super::contract::{self, Contract, DestinationGuest, NotifierGuest, Pre, Said, wasi};
use super::journal::readable;
use super::package::PluginFile;
use super::schema::Fault;
use super::state::{Provision, State};
use super::throttle::Waited;
use crate::ports::PluginLimits;

const DESCRIBE_TIME: Duration = Duration::from_secs(10);
const TEXT_MAX: usize = 64 << 10;
/// Targets and secrets that one plug-in may ask for.
const LIST_MAX: usize = 100;

/// Why a plug-in cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The file cannot be read.
    #[error("cannot read plug-in `{}`: {source}; if it was never added: cofre plugin add FILE", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write plug-in `{}`: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// `plugins.lock` cannot be used.
    #[error("cannot use the approvals in `{}`: {reason}", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// Why not, and the mend.
        reason: String,
    },
    /// Nobody has approved the file yet.
    #[error("plug-in `{0}` is not approved yet and does nothing; look at what it asks for and approve it with: cofre plugin add {0}", path.display())]
    Pending {
        /// The file.
        path: PathBuf,
    },
    /// It is another file than the one that was approved.
    #[error(
        "plug-in `{}` is not the file that was approved (SHA-256 {approved:.16}… then, {found:.16}… now); if it was meant to change, look at what it asks for and approve it with: cofre plugin update {name}",
        path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// Name it was approved under.
        name: String,
        /// SHA-256 that was approved.
        approved: String,
        /// SHA-256 of what is there.
        found: String,
    },
    /// A signature is required, and the file has none that counts.
    #[error("plug-in `{}` is refused, as plugins.require_signed is set: {why}", path.display())]
    Unsigned {
        /// The file.
        path: PathBuf,
        /// What is wrong with its signature.
        why: String,
    },
    /// The same bytes ask for something else than when they were approved.
    #[error("plug-in `{name}` asks for something else than when it was approved, although it is the same file: it is faulty or hostile")]
    Fickle {
        /// Its name.
        name: String,
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
    #[error("the settings of `{instance}` do not fit its plug-in: {}", told(faults))]
    Settings {
        /// Name of the instance.
        instance: String,
        /// What is wrong, key by key.
        faults: Vec<Fault>,
    },
    /// Something around the plug-in failed.
    #[error("{0}")]
    Host(String),
}

fn told(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl PluginError {
    pub(super) fn engine(error: wasmtime::Error) -> Self {
        Self::Host(format!("the plug-in engine cannot start: {error:#}"))
    }

    pub(super) fn clock(error: std::io::Error) -> Self {
        Self::Host(format!("the clock of the plug-in engine cannot start: {error}"))
    }

    /// Whether there is no such file.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginKind {
    /// Stores objects.
    Destination,
    /// Delivers messages.
    Notifier,
}

impl PluginKind {
    /// As people and files write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Destination => "destination",
            Self::Notifier => "notifier",
        }
    }
}

/// A network target that a plug-in asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkNeed {
    /// `host:port`, with `{setting}` to be filled in.
    pub target: String,
    /// Why.
    pub reason: String,
}

/// A secret that a plug-in asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretNeed {
    /// Name.
    pub name: String,
    /// What it is.
    pub summary: String,
    /// Whether it can do without.
    pub optional: bool,
}

/// What a component is and says of itself, without its code: whoever only tells of it needs no more, and can keep it.
#[derive(Debug, Clone)]
pub struct Profile {
    /// SHA-256 of the file, hex.
    pub sha256: String,
    /// Version of the contract that it was built for.
    pub contract: String,
    /// What it says of itself.
    pub description: Description,
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
    contract: &'static dyn Contract,
    built_for: String,
}

impl std::fmt::Debug for PluginComponent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PluginComponent").field("name", &self.description.name).field("sha256", &self.sha256).finish_non_exhaustive()
    }
}

impl PluginComponent {
    pub(super) async fn compile(engine: &Engine, cache: Option<CompiledCode>, file: Arc<PluginFile>) -> Result<Self, PluginError> {
        let (owned_engine, owned_file) = (engine.clone(), Arc::clone(&file));
        let compile = move || {
            let compiled = compile(&owned_engine, &owned_file);
            cache.iter().for_each(CompiledCode::record);
            compiled
        };
        let compiled = tokio::task::spawn_blocking(compile).await;
        let component = compiled.map_err(|error| PluginError::Host(format!("compiling a plug-in ended unexpectedly: {error}")))??;
        let path = file.path();
        let not_a_plugin = |reason| PluginError::NotAPlugin { path: path.to_path_buf(), reason };
        let exports = exports(engine, &component);
        let (built_for, contract) = contract::of(&exports).map_err(not_a_plugin)?;
        let linker = linker(engine).map_err(PluginError::engine)?;
        let ready = linker
            .instantiate_pre(&component)
            .map_err(|error| not_a_plugin(format!("it asks for something that cofre does not give: {error:#}")))?;
        let description = describe(engine, (&ready, contract), path).await?;
        contract::exports_kind(&exports, description.kind, &built_for).map_err(not_a_plugin)?;
        let (sha256, built_for) = (file.sha256().to_owned(), built_for.to_string());
        Ok(Self { engine: engine.clone(), ready, description, sha256, contract, built_for })
    }

    /// What it says of itself.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// What it is and says of itself.
    pub fn profile(&self) -> Profile {
        Profile { sha256: self.sha256.clone(), contract: self.built_for.clone(), description: self.description.clone() }
    }

    /// SHA-256 of the file, hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Version of the contract that it was built for.
    pub fn contract(&self) -> &str {
        &self.built_for
    }

    /// The way to use it as a destination; fails where it is none.
    pub(super) fn destination(&self) -> wasmtime::Result<Arc<Pre<dyn DestinationGuest>>> {
        self.contract.destination(&self.ready)
    }

    /// The way to use it as a notifier; fails where it is none.
    pub(super) fn notifier(&self) -> wasmtime::Result<Arc<Pre<dyn NotifierGuest>>> {
        self.contract.notifier(&self.ready)
    }
}

fn compile(engine: &Engine, file: &PluginFile) -> Result<Component, PluginError> {
    let not_a_plugin = |reason: String| PluginError::NotAPlugin { path: file.path().to_path_buf(), reason };
    Component::from_binary(engine, file.bytes()).map_err(|error| not_a_plugin(format!("{error:#}")))
}

fn exports(engine: &Engine, component: &Component) -> Vec<String> {
    component.component_type().exports(engine).map(|(name, _)| name.to_owned()).collect()
}

fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    // Ours instead of WASI's: see `dns` and `sockets`.
    linker.allow_shadowing(true);
    wasi::wasi::sockets::ip_name_lookup::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    wasi::wasi::sockets::tcp_create_socket::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    super::sockets::count(&mut linker)?;
    linker.allow_shadowing(false);
    contract::add_to_linker(&mut linker)?;
    Ok(linker)
}

async fn describe(
    engine: &Engine,
    (ready, contract): (&InstancePre<State>, &dyn Contract),
    path: &Path,
) -> Result<Description, PluginError> {
    let failed = |reason: String| PluginError::Describe { path: path.to_path_buf(), reason };
    let limits =
        PluginLimits { memory: 64 << 20, cpu: Duration::from_secs(2), wall: DESCRIBE_TIME, log_bytes: 4 << 10, ..PluginLimits::default() };
    let provision = Provision { label: path.display().to_string(), settings: "{}".to_owned(), limits, ..Provision::default() };
    let store = State::store(engine, &Arc::new(provision))?;
    let describer = contract.describer(ready).map_err(|error| failed(format!("{error:#}")))?;
    let said = call::run(store, (DESCRIBE_TIME, Waited::default()), move |store| Box::pin(async move { describer.describe(store).await }));
    match said.await {
        Ok((_, said)) => check(said).map_err(failed),
        Err(Lost::Crashed(reason)) => Err(failed(reason)),
        Err(Lost::TooLong) => Err(failed(format!("it took longer than {} s", DESCRIBE_TIME.as_secs()))),
    }
}

fn check(said: Said) -> Result<Description, String> {
    let named = said.name.starts_with(|c: char| c.is_ascii_lowercase()) && said.name.len() <= 64;
    if !named || !said.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        return Err(format!("`{}` is not a plug-in name", readable(&said.name, 80)));
    }
    if semver::Version::parse(&said.version).is_err() {
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
        kind: said.kind,
        summary: said.summary,
        settings_schema,
        network: said.network,
        secrets: said.secrets,
        directory: said.directory,
    })
}
