//! One wasmtime engine for all plug-ins, and the clock by which it interrupts them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Config, Engine};

use super::approval::Approvals;
use super::cache::CompiledCode;
use super::component::{PluginComponent, PluginError};
use super::package::PluginFile;
use crate::ports::PluginSettings;

/// Resolution of the limit on processor time.
const TICK: Duration = Duration::from_millis(10);

/// Compiles and runs plug-ins. Cheap to clone.
#[derive(Clone)]
pub struct PluginEngine {
    engine: Engine,
    compiled: Option<CompiledCode>,
}

impl PluginEngine {
    /// Starts an engine; `cache` is a directory for compiled code, which is not used where others could write into it.
    ///
    /// # Errors
    /// When this machine cannot run the compiler.
    pub fn new(cache: Option<&Path>) -> Result<Self, PluginError> {
        let mut config = Config::new();
        config.wasm_component_model(true).epoch_interruption(true);
        let (compiled, cache) = cache.and_then(CompiledCode::open).unzip();
        config.cache(cache);
        let engine = Engine::new(&config).map_err(PluginError::engine)?;
        let clock = engine.weak();
        // An OS thread: a task on the async threads could be starved by the very guest that it is to interrupt.
        let ticker = move || {
            while let Some(engine) = clock.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(TICK);
            }
        };
        std::thread::Builder::new().name("plugin-clock".into()).spawn(ticker).map_err(PluginError::clock)?;
        Ok(Self { engine, compiled })
    }

    /// Reads, checks and compiles a plug-in, and lets it describe itself with nothing granted. For looking at one, and for plug-ins
    /// that a person runs by hand; what works by itself takes [`Self::load_approved`].
    ///
    /// # Errors
    /// When the file is no plug-in that this cofre can run.
    pub async fn load(&self, path: &Path) -> Result<Arc<PluginComponent>, PluginError> {
        let path = path.to_path_buf();
        let file = reading(move || PluginFile::read(&path)).await?;
        self.compile(Arc::new(file)).await
    }

    /// The same for a file that was read already.
    ///
    /// # Errors
    /// When it is no plug-in that this cofre can run.
    pub async fn compile(&self, file: Arc<PluginFile>) -> Result<Arc<PluginComponent>, PluginError> {
        PluginComponent::compile(&self.engine, self.compiled.clone(), file).await.map(Arc::new)
    }

    /// Loads a plug-in that the administrator approved, as he approved it; nothing of any other is compiled.
    ///
    /// # Errors
    /// When it is not approved, is not the file that was, lacks a signature that is required, or is no plug-in.
    pub async fn load_approved(&self, path: &Path, settings: &PluginSettings) -> Result<Arc<PluginComponent>, PluginError> {
        let (path, settings) = (path.to_path_buf(), settings.clone());
        let admitted = reading(move || {
            let file = PluginFile::read(&path)?;
            let pin = Approvals::read(&settings)?.admit(&file)?.clone();
            Ok((file, pin))
        });
        let (file, pin) = admitted.await?;
        let component = self.compile(Arc::new(file)).await?;
        pin.check(&component)?;
        Ok(component)
    }
}

async fn reading<T: Send + 'static>(work: impl FnOnce() -> Result<T, PluginError> + Send + 'static) -> Result<T, PluginError> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|panic| Err(PluginError::Host(format!("reading a plug-in ended unexpectedly: {panic}"))))
}
