//! One wasmtime engine for all plug-ins, and the clock by which it interrupts them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Config, Engine};

use super::cache::CompiledCode;
use super::component::{PluginComponent, PluginError};

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

    /// Reads, checks and compiles a plug-in, and lets it describe itself with nothing granted.
    ///
    /// # Errors
    /// When the file is no plug-in that this cofre can run.
    pub async fn load(&self, path: &Path) -> Result<Arc<PluginComponent>, PluginError> {
        PluginComponent::load(&self.engine, self.compiled.clone(), path).await.map(Arc::new)
    }
}
