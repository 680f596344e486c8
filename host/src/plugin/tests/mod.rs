//! The runtime against real components: the hostile guest, which breaks one promise at a time, and the `local` plug-in.

mod approval;
mod cache;
mod contract;
mod describing;
mod limits;
mod local;
mod network;
mod notifier;
mod sessions;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::{PluginComponent, PluginEngine, WasmDestination};
use crate::ports::{
    Bandwidth, BodySink, BodySource, Destination, DestinationError, DestinationSettings, Grants, NetworkPattern, PluginLimits, body_sink,
};

fn component(folder: &str, variable: &str, name: &str) -> PathBuf {
    let built = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target").join(folder);
    let path = std::env::var_os(variable).map_or_else(built, PathBuf::from).join(name);
    assert!(path.is_file(), "{} is missing: run `cargo xtask plugins` first", path.display());
    path
}

fn guest(name: &str) -> PathBuf {
    component("guests", "COFRE_GUEST_DIR", name)
}

fn plugin(name: &str) -> PathBuf {
    component("plugins", "COFRE_PLUGIN_DIR", name)
}

/// One engine for all tests of this process; it is compiled for once.
async fn engine() -> &'static PluginEngine {
    static ENGINE: OnceCell<PluginEngine> = OnceCell::const_new();
    ENGINE.get_or_init(async || PluginEngine::new(None).expect("this machine runs plug-ins")).await
}

async fn hostile() -> Arc<PluginComponent> {
    static HOSTILE: OnceCell<Arc<PluginComponent>> = OnceCell::const_new();
    HOSTILE.get_or_init(async || engine().await.load(&guest("hostile.wasm")).await.expect("it describes itself")).await.clone()
}

async fn local() -> Arc<PluginComponent> {
    static LOCAL: OnceCell<Arc<PluginComponent>> = OnceCell::const_new();
    LOCAL.get_or_init(async || engine().await.load(&plugin("local.wasm")).await.expect("it describes itself")).await.clone()
}

fn settings(settings: Value, limits: PluginLimits) -> DestinationSettings {
    DestinationSettings {
        name: "test".to_owned(),
        plugin: PathBuf::new(),
        settings,
        secrets: BTreeMap::new(),
        grants: Grants { delete: true, ..Grants::default() },
        limits,
        ca_file: None,
        bandwidth: Bandwidth::default(),
    }
}

/// A hostile destination that does `mode` at `verb`, with default limits.
async fn doing(mode: &str, verb: &str) -> WasmDestination {
    limited(mode, verb, PluginLimits::default()).await
}

async fn limited(mode: &str, verb: &str, limits: PluginLimits) -> WasmDestination {
    WasmDestination::new(hostile().await, settings(json!({"mode": mode, "at": verb}), limits)).expect("good settings")
}

fn granted(patterns: &[&str]) -> Grants {
    let network = patterns.iter().map(|pattern| NetworkPattern::parse(pattern).expect("a pattern")).collect();
    Grants { network, directory: None, delete: true }
}

fn body(bytes: impl Into<Vec<u8>>) -> BodySource {
    Box::pin(io::Cursor::new(bytes.into()))
}

/// A sink whose content can be looked at while it grows.
#[derive(Default)]
struct Shared {
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Shared {
    fn sink(&self) -> BodySink {
        let bytes = Arc::clone(&self.bytes);
        body_sink(move |block| {
            bytes.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(block);
            Ok(())
        })
    }

    fn content(&self) -> Vec<u8> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a probing mode of the hostile guest saw.
async fn report(destination: &WasmDestination) -> DestinationError {
    let error = destination.probe().await.expect_err("a probing mode ends in its report");
    assert!(error.message.starts_with("report: "), "{error}");
    error
}
