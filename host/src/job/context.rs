//! What every use case starts from: the configuration, opened.

use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::fetch::FetchError;
use super::produce::ProduceError;
use super::trail::Trail;
use crate::access::AccessError;
use crate::audit::{Actor, AuditError};
use crate::catalog::{Catalog, CatalogError};
use crate::config::{Config, ConfigError, DestinationConfig};
use crate::copy::{Lane, UploadJournal};
use crate::hooks::HookError;
use crate::pipeline::PipelineError;
use crate::pipeline::tar::TarError;
use crate::plugin::{PluginComponent, PluginEngine, PluginError, WasmDestination};
use crate::ports::{Destination, DestinationError, Meter};
use crate::set::{PassportError, SealError, SetName};
use crate::source::files::ExtractError;
use crate::source::mysql::MysqlError;
use crate::spool::{SpaceRule, Spool, SpoolError};

/// Why a use case failed.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The catalogue.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The audit log, without which nothing is removed.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// Users and tokens.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// A plug-in.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// A destination.
    #[error("destination `{name}`: {source}")]
    Destination {
        /// Its name.
        name: String,
        /// Why.
        source: DestinationError,
    },
    /// A database.
    #[error(transparent)]
    Mysql(#[from] MysqlError),
    /// Making an artifact.
    #[error(transparent)]
    Produce(#[from] ProduceError),
    /// Bringing something back.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Decrypting or decompressing.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// Reading an archive.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// Making files.
    #[error(transparent)]
    Extract(#[from] ExtractError),
    /// Sealing.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The passport.
    #[error(transparent)]
    Passport(#[from] PassportError),
    /// A hook that may stop things.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// What was asked for is not there, or makes no sense.
    #[error("{0}")]
    Request(String),
    /// It could not be done.
    #[error("{0}")]
    Failed(String),
    /// What was restored is not what was backed up.
    #[error("the restored data is not what the backup says: {0}")]
    Differs(String),
    /// Some artifacts could not be restored; the others were.
    #[error("{failed} of {all} artifacts could NOT be restored; the other {} are. {}", all - failed, problems.join("; "))]
    Partly {
        /// How many could not.
        failed: usize,
        /// How many were asked for.
        all: usize,
        /// The first reasons, with the artifacts' keys.
        problems: Vec<String>,
        /// Whether a copy is damaged, rather than out of reach.
        damaged: bool,
    },
    /// Somebody cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl JobError {
    /// Whether this means that a copy is bad.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Fetch(error) => error.is_damage(),
            Self::Partly { damaged, .. } => *damaged,
            _ => false,
        }
    }
}

/// The configuration, opened. A clone shares everything with its original, and is cheap.
#[derive(Clone)]
pub struct Context {
    /// As resolved.
    pub config: Arc<Config>,
    /// Catalogue.
    pub catalog: Arc<Catalog>,
    /// Spool.
    pub spool: Spool,
    /// Plug-ins.
    pub engine: PluginEngine,
    /// Audit log.
    pub audit: Arc<Trail>,
    /// Ends everything.
    pub cancel: CancellationToken,
}

impl Context {
    /// Opens catalogue, spool and plug-in engine for `actor`. A configuration that is another one than before goes into the audit log.
    ///
    /// # Errors
    /// When one of them cannot be opened.
    pub fn open(config: Config, actor: Actor, cancel: CancellationToken) -> Result<Self, JobError> {
        let rule = SpaceRule { reserve: config.storage.reserve, patience: config.storage.patience };
        let spool = Spool::open(&config.storage.spool, rule)?;
        let catalog = Arc::new(Catalog::open(&config.storage.state.join("catalog.db"))?);
        let engine = PluginEngine::new(Some(&config.storage.cache))?;
        let audit = Arc::new(Trail::new(&config.storage.state, actor, Some(Arc::clone(&catalog))));
        audit.configuration(&config.path, &config.text);
        Ok(Self { config: Arc::new(config), catalog, spool, engine, audit, cancel })
    }

    /// The same for somebody who asks for something over the page or the API, as the audit log will name them:
    /// [`crate::access::Principal::via`].
    #[must_use]
    pub fn asked_by(&self, via: &str) -> Self {
        Self { audit: Arc::new(self.audit.asked_by(via)), ..self.clone() }
    }

    /// The same by another configuration, which is only looked at: where cofre's own files lie stays as it was opened.
    #[must_use]
    pub fn under(&self, config: &Arc<Config>) -> Self {
        Self { config: Arc::clone(config), ..self.clone() }
    }

    /// Loads a plug-in that the administrator approved.
    ///
    /// # Errors
    /// When it is not approved, or cannot be used.
    pub async fn plugin(&self, file: &Path) -> Result<Arc<PluginComponent>, PluginError> {
        self.engine.load_approved(file, &self.config.plugins).await
    }

    /// Opens one destination.
    ///
    /// # Errors
    /// When its plug-in or its settings are of no use.
    pub async fn destination(&self, config: &DestinationConfig) -> Result<Arc<dyn Destination>, JobError> {
        let component = self.plugin(&config.settings.plugin).await?;
        match WasmDestination::new(component, self.config.destination_settings(config)?) {
            Ok(destination) => Ok(Arc::new(destination)),
            Err(PluginError::Settings { faults, .. }) => {
                Err(self.config.unfit(config, faults.into_iter().map(|fault| (fault.key, fault.message))).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Configured destinations: the one called `name`, or all.
    ///
    /// # Errors
    /// When none has that name.
    pub fn chosen(&self, name: Option<&str>) -> Result<Vec<&DestinationConfig>, JobError> {
        let chosen: Vec<_> =
            self.config.destinations.iter().filter(|destination| name.is_none_or(|name| destination.settings.name == name)).collect();
        match name {
            Some(name) if chosen.is_empty() => {
                let known: Vec<_> = self.config.destinations.iter().map(|destination| destination.settings.name.as_str()).collect();
                Err(JobError::Request(format!("there is no destination `{name}`; configured are: {}", known.join(", "))))
            }
            _ => Ok(chosen),
        }
    }

    /// A lane of copies for one set.
    pub(super) fn lane(&self, set: SetName, config: &DestinationConfig, destination: Arc<dyn Destination>) -> Lane {
        let journal = Journal { catalog: Arc::clone(&self.catalog), set, destination: config.settings.name.clone() };
        Lane { destination, journal: Arc::new(journal), policy: config.retry, meter: Arc::new(Meter::default()) }
    }
}

/// Open uploads of one set at one destination, in the catalogue. A catalogue that fails only costs the resumption.
struct Journal {
    catalog: Arc<Catalog>,
    set: SetName,
    destination: String,
}

impl UploadJournal for Journal {
    fn token(&self, key: &str) -> Option<String> {
        self.catalog.upload(self.set, &self.destination, key).ok().flatten()
    }

    fn remember(&self, key: &str, token: &str) {
        if let Err(error) = self.catalog.remember_upload(self.set, &self.destination, key, token) {
            tracing::warn!(%error, "an upload could not be remembered; after a crash it would start anew");
        }
    }

    fn forget(&self, key: &str) {
        if let Err(error) = self.catalog.forget_upload(self.set, &self.destination, key) {
            tracing::warn!(%error, "an upload could not be forgotten");
        }
    }
}
