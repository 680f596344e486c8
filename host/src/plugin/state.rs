//! What one store holds: the sandbox's WASI context, its limits and meters, and the host's side of `cofre:plugin/host`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret;
use wasmtime::component::ResourceTable;
use wasmtime::{CallHook, Engine, ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::bindings::v0_1::cofre::plugin::{host, types};
use super::component::PluginError;
use super::grants::Gate;
use super::http::HttpDoor;
use crate::ports::{PluginLimits, SecretText};

/// Bytes that a guest may keep on stdout and stderr; what goes beyond is refused to it.
const STDIO_MAX: usize = 16 << 10;
/// Bytes that guest values may take on their way to the host in one call.
const HOSTCALL_FUEL: usize = 8 << 20;
/// Handles and table entries of one store.
const HANDLES_MAX: usize = 10_000;

/// Everything that a plug-in instance gets. The default is nothing at all.
pub(super) struct Provision {
    /// Name of plug-in and instance, for the log.
    pub(super) label: String,
    /// Settings as JSON.
    pub(super) settings: String,
    /// Secrets by name.
    pub(super) secrets: BTreeMap<String, SecretText>,
    /// Network.
    pub(super) gate: Gate,
    /// HTTP connections of this instance.
    pub(super) http: Arc<HttpDoor>,
    /// The one directory.
    pub(super) directory: Option<std::path::PathBuf>,
    /// Limits.
    pub(super) limits: PluginLimits,
}

/// Data of one store.
pub(super) struct State {
    pub(super) table: ResourceTable,
    pub(super) gate: Gate,
    provision: Arc<Provision>,
    wasi: WasiCtx,
    http_context: WasiHttpCtx,
    http: super::http::Hooks,
    stderr: MemoryOutputPipe,
    memory: u64,
    logged: u64,
    /// Processor time used, and since when the guest has been running.
    used: Duration,
    running: Option<Instant>,
    /// The limit that was hit.
    tripped: Option<String>,
}

impl State {
    /// A new store with nothing in it that another store could see.
    pub(super) fn store(engine: &Engine, provision: &Arc<Provision>) -> Result<Store<Self>, PluginError> {
        let gate = provision.gate.fresh();
        let stderr = MemoryOutputPipe::new(STDIO_MAX);
        let mut wasi = WasiCtx::builder();
        wasi.stdout(MemoryOutputPipe::new(STDIO_MAX)).stderr(stderr.clone()).allow_tcp(true);
        let check = gate.clone();
        wasi.socket_addr_check(move |address, purpose| {
            let allowed = match purpose {
                SocketAddrUse::TcpConnect => check.may_connect(address.ip(), address.port()),
                // Connecting binds to a wildcard address first; anything else is listening.
                SocketAddrUse::TcpBind => address.port() == 0 && is_wildcard(address.ip()),
                _ => false,
            };
            Box::pin(async move { allowed })
        });
        if let Some(directory) = &provision.directory {
            // A hand-over to another thread for every 64 KiB would cost three times the copy itself.
            wasi.allow_blocking_current_thread(true)
                .preopened_dir(directory, "/data", FsPerms::ReadWrite)
                .map_err(|source| PluginError::directory(directory, source))?;
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        let state = Self {
            table,
            http: super::http::Hooks::new(gate.clone(), Arc::clone(&provision.http)),
            gate,
            provision: Arc::clone(provision),
            wasi: wasi.build(),
            http_context: WasiHttpCtx::new(),
            stderr,
            memory: 0,
            logged: 0,
            used: Duration::ZERO,
            running: None,
            tripped: None,
        };
        let mut store = Store::new(engine, state);
        store.limiter(|state| state);
        store.set_hostcall_fuel(HOSTCALL_FUEL);
        store.set_max_component_handles(HANDLES_MAX);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut context| context.data_mut().tick());
        store.call_hook(|mut context, hook| {
            context.data_mut().switch(hook);
            Ok(())
        });
        Ok(store)
    }

    /// Begins a new call: processor time and log volume count from zero.
    pub(super) fn begin_call(&mut self) {
        self.used = Duration::ZERO;
        self.logged = 0;
        self.tripped = None;
    }

    /// What a person should read when the call ended in a trap.
    pub(super) fn explain(&self, trap: &wasmtime::Error) -> String {
        if let Some(limit) = &self.tripped {
            return limit.clone();
        }
        let printed = self.stderr.contents();
        let text = String::from_utf8_lossy(&printed);
        let last = text.lines().rev().find(|line| !line.trim().is_empty()).map(|line| line.escape_debug().take(300).collect::<String>());
        match last {
            Some(line) => format!("it crashed: {line}"),
            None => format!("it crashed: {}", trap.root_cause()),
        }
    }

    fn switch(&mut self, hook: CallHook) {
        match hook {
            CallHook::CallingWasm | CallHook::ReturningFromHost => self.running = Some(Instant::now()),
            CallHook::ReturningFromWasm | CallHook::CallingHost => {
                if let Some(since) = self.running.take() {
                    self.used += since.elapsed();
                }
            }
        }
    }

    /// Called every 10 ms of the guest's own time.
    fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        let now = Instant::now();
        if let Some(since) = self.running.replace(now) {
            self.used += now - since;
        }
        let limit = self.provision.limits.cpu;
        if self.used > limit {
            let message = format!("it used the processor for more than {} ms in one call (limit `cpu`)", limit.as_millis());
            self.tripped = Some(message.clone());
            return Err(wasmtime::Error::msg(message));
        }
        Ok(UpdateDeadline::Yield(1))
    }
}

fn is_wildcard(address: IpAddr) -> bool {
    address.is_unspecified()
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory + desired.saturating_sub(current) as u64;
        if total > self.provision.limits.memory {
            self.tripped = Some(format!("it wanted more than {} MiB of memory (limit `memory`)", self.provision.limits.memory >> 20));
            return Ok(false);
        }
        self.memory = total;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let allowed = desired <= self.provision.limits.table_elements;
        if !allowed {
            self.tripped =
                Some(format!("it wanted a table of {desired} elements (limit `table_elements`: {})", self.provision.limits.table_elements));
        }
        Ok(allowed)
    }

    fn instances(&self) -> usize {
        self.provision.limits.instances
    }

    fn tables(&self) -> usize {
        self.provision.limits.tables
    }

    fn memories(&self) -> usize {
        self.provision.limits.memories
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

impl types::Host for State {}

impl host::Host for State {
    async fn log(&mut self, level: host::Level, message: String) -> wasmtime::Result<()> {
        self.logged += message.len() as u64;
        if self.logged > self.provision.limits.log_bytes {
            let limit = format!("it logged more than {} KiB in one call (limit `log`)", self.provision.limits.log_bytes >> 10);
            self.tripped = Some(limit.clone());
            return Err(wasmtime::Error::msg(limit));
        }
        let (label, text) = (&self.provision.label, message.escape_debug());
        match level {
            host::Level::Debug => tracing::debug!(plugin = %label, "{text}"),
            host::Level::Info => tracing::info!(plugin = %label, "{text}"),
            host::Level::Warn => tracing::warn!(plugin = %label, "{text}"),
            host::Level::Error => tracing::error!(plugin = %label, "{text}"),
        }
        Ok(())
    }

    async fn settings(&mut self) -> wasmtime::Result<String> {
        Ok(self.provision.settings.clone())
    }

    async fn secret(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.provision.secrets.get(&name).map(|secret| secret.expose_secret().to_owned()))
    }

    async fn trust_roots(&mut self) -> wasmtime::Result<Vec<Vec<u8>>> {
        Ok(self.provision.http.roots())
    }
}
