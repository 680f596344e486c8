//! One wasmtime engine for all plug-ins, its clock, and its cache of compiled code.
//!
//! The cache executes what it holds, so it is used only in a directory that nobody else can write: 0700 and ours.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Cache, CacheConfig, Config, Engine};

use super::component::{PluginComponent, PluginError};

/// Resolution of the limit on processor time.
const TICK: Duration = Duration::from_millis(10);

/// Compiles and runs plug-ins. Cheap to clone.
#[derive(Clone)]
pub struct PluginEngine {
    engine: Engine,
}

impl PluginEngine {
    /// Starts an engine; `cache` is a directory for compiled code.
    ///
    /// # Errors
    /// When this machine cannot run the compiler.
    pub fn new(cache: Option<&Path>) -> Result<Self, PluginError> {
        let mut config = Config::new();
        config.wasm_component_model(true).epoch_interruption(true);
        config.cache(cache.and_then(private_cache));
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
        Ok(Self { engine })
    }

    /// Reads, checks and compiles a plug-in, and lets it describe itself with nothing granted.
    ///
    /// # Errors
    /// When the file is no plug-in that this cofre can run.
    pub async fn load(&self, path: &Path) -> Result<Arc<PluginComponent>, PluginError> {
        PluginComponent::load(&self.engine, path).await.map(Arc::new)
    }
}

/// The cache, or a warning and none: a directory that others could write could hold their code.
fn private_cache(directory: &Path) -> Option<Cache> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    let status = made.and_then(|()| std::fs::symlink_metadata(directory));
    let ours = status
        .as_ref()
        .is_ok_and(|status| status.is_dir() && status.mode().trailing_zeros() >= 6 && status.uid() == rustix::process::geteuid().as_raw());
    if !ours {
        tracing::warn!(directory = %directory.display(), "the cache of compiled plug-ins is not a private directory of ours and is not used; mend it with: chmod 700");
        return None;
    }
    let mut config = CacheConfig::new();
    config.with_directory(directory.canonicalize().ok()?);
    Cache::new(config).inspect_err(|error| tracing::warn!(%error, "plug-ins are compiled without a cache")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_cache_that_others_can_write_is_not_used() {
        let directory = tempfile::tempdir().expect("a directory");
        let cache = directory.path().join("cache");
        assert!(private_cache(&cache).is_some());
        std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(0o770)).expect("changed");
        assert!(private_cache(&cache).is_none());
    }
}
