//! What one store holds: the WASI context of an empty sandbox, the way to what was granted, and what has been used up.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rustix::fs::{StatVfsMountFlags, statvfs};
use secrecy::ExposeSecret;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::component::PluginError;
use super::grants::Gate;
use super::http::{Hooks, HttpDoor};
use super::journal::{Journal, Printed, Redaction, Weight};
use super::limits::{HANDLES_MAX, HOSTCALL_FUEL, Usage};
use super::throttle::Throttle;
use super::traffic::Traffic;
use super::{clocks, sockets};
use crate::ports::{PluginLimits, SecretText};

/// Everything that a plug-in instance gets. The default is nothing at all.
#[derive(Default)]
pub(super) struct Provision {
    /// Name of plug-in and instance, for the log.
    pub(super) label: String,
    /// Settings as JSON.
    pub(super) settings: String,
    /// Secrets by name.
    pub(super) secrets: BTreeMap<String, SecretText>,
    /// The same, to be taken out of what the plug-in says.
    pub(super) redaction: Redaction,
    /// Network.
    pub(super) gate: Gate,
    /// HTTP connections of this instance.
    pub(super) http: Arc<HttpDoor>,
    /// What it sent and received, by all its stores.
    pub(super) traffic: Arc<Traffic>,
    /// How fast bodies pass, in all its stores.
    pub(super) throttle: Arc<Throttle>,
    /// Most memory that one of its stores had, in bytes.
    pub(super) memory_peak: Arc<AtomicU64>,
    /// The one directory.
    pub(super) directory: Option<PathBuf>,
    /// Limits.
    pub(super) limits: PluginLimits,
}

/// Data of one store.
pub(super) struct State {
    pub(super) table: ResourceTable,
    pub(super) gate: Gate,
    pub(super) provision: Arc<Provision>,
    pub(super) journal: Journal,
    /// Table entries of sockets that the guest made.
    pub(super) sockets: HashSet<u32>,
    wasi: WasiCtx,
    http_context: WasiHttpCtx,
    http: Hooks,
    usage: Usage,
}

impl State {
    /// A new store with nothing in it that another store could see.
    ///
    /// # Errors
    /// When the granted directory cannot be opened.
    pub(super) fn store(engine: &Engine, provision: &Arc<Provision>) -> Result<Store<Self>, PluginError> {
        let gate = provision.gate.fresh();
        let journal = Journal::new(provision.label.clone(), provision.redaction.clone(), provision.limits.log_bytes);
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        let state = Self {
            table,
            wasi: sandbox(provision, &gate, &journal)?,
            http: Hooks::new(gate.clone(), Arc::clone(&provision.http), Arc::clone(&provision.traffic)),
            gate,
            provision: Arc::clone(provision),
            journal,
            sockets: HashSet::new(),
            http_context: WasiHttpCtx::new(),
            usage: Usage::new(provision.limits.clone(), Arc::clone(&provision.memory_peak)),
        };
        let mut store = Store::new(engine, state);
        store.limiter(|state| &mut state.usage);
        store.set_hostcall_fuel(HOSTCALL_FUEL);
        store.set_max_component_handles(HANDLES_MAX);
        store.set_epoch_deadline(1);
        // Yields at every tick, so that deadlines and cancellation are seen however busy the guest is.
        store.epoch_deadline_callback(|mut context| context.data_mut().usage.check_processor().map(|()| UpdateDeadline::Yield(1)));
        Ok(store)
    }

    /// Names the counter of the body that the next call moves.
    pub(super) fn moving(&mut self, moved: Arc<AtomicU64>) {
        self.usage.moving(moved);
    }

    /// Begins a call: what is limited per call counts from zero. Must run on the thread that runs the call.
    pub(super) fn begin_call(&mut self) {
        self.usage.begin_call();
        self.journal.begin_call();
        self.gate.forget_refusal();
    }

    /// Adds a line of the guest to the log.
    pub(super) fn guest_logs(&mut self, weight: Weight, message: &str) -> wasmtime::Result<()> {
        self.journal.add(weight, message).map_err(wasmtime::Error::msg)
    }

    /// The settings, as the guest gets them.
    pub(super) fn guest_settings(&self) -> String {
        self.provision.settings.clone()
    }

    /// A secret, as the guest gets it.
    pub(super) fn guest_secret(&self, name: &str) -> Option<String> {
        self.provision.secrets.get(name).map(|secret| secret.expose_secret().to_owned())
    }

    /// DER of the roots that are trusted.
    pub(super) fn guest_roots(&self) -> Vec<Vec<u8>> {
        self.provision.http.roots()
    }

    /// What a person should read when the call ended in a trap.
    pub(super) fn explain(&self, trap: &wasmtime::Error) -> String {
        self.journal.hit().unwrap_or_else(|| self.usage.explain(trap, self.journal.last_words()))
    }
}

/// No environment, no arguments, no input, no file but those in the granted directory, no network but what `gate` lets through.
fn sandbox(provision: &Provision, gate: &Gate, journal: &Journal) -> Result<WasiCtx, PluginError> {
    let mut wasi = WasiCtx::builder();
    wasi.stdout(Printed::new(journal.clone(), Weight::Info)).stderr(Printed::new(journal.clone(), Weight::Warn));
    clocks::coarsen(&mut wasi);
    sockets::guard(&mut wasi, gate);
    if let Some(directory) = &provision.directory {
        // See `call`: the thread is one that may block.
        wasi.allow_blocking_current_thread(true)
            .preopened_dir(directory, "/data", permissions(directory))
            .map_err(|source| PluginError::directory(directory, source))?;
    }
    Ok(wasi.build())
}

/// What the file system permits. WASI knows `EROFS` as an I/O error like any other, which nobody could tell from a broken disk.
fn permissions(directory: &Path) -> FsPerms {
    let read_only = statvfs(directory).is_ok_and(|status| status.f_flag.contains(StatVfsMountFlags::RDONLY));
    if read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite }
}

impl Drop for State {
    fn drop(&mut self) {
        // Before what it holds.
        self.http.end();
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.http, table: &mut self.table, ctx: &mut self.http_context }
    }
}
