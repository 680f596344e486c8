//! Our own name look-up for plug-ins: a name that is not granted is never asked for, so DNS is no way out; the addresses of
//! a granted name are remembered, and sockets may connect to nothing else, so rebinding gains nothing.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, Network};
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};

use super::contract::wasi::wasi::sockets::ip_name_lookup;
use super::grants::Gate;
use super::state::State;

/// A look-up that takes longer has failed.
const DEADLINE: Duration = Duration::from_secs(20);

/// Who is asked for the addresses of a name.
#[async_trait::async_trait]
pub(super) trait Resolver: Send + Sync {
    /// Addresses of `host`, in the order in which to try them.
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The machine's own resolver.
#[derive(Debug)]
pub(super) struct SystemResolver;

#[async_trait::async_trait]
impl Resolver for SystemResolver {
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// Resolves a granted name and lets sockets connect to what was found.
pub(super) async fn resolve(gate: &Gate, host: &str) -> Result<Vec<IpAddr>, ErrorCode> {
    if !gate.may_resolve(host) {
        return Err(ErrorCode::AccessDenied);
    }
    let found = match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(literal) => vec![literal],
        Err(_) => look_up(gate, host).await?,
    };
    gate.remember(host, &found);
    Ok(found)
}

async fn look_up(gate: &Gate, host: &str) -> Result<Vec<IpAddr>, ErrorCode> {
    let search = async {
        let _turn = gate.lookups().acquire().await.map_err(io::Error::other)?;
        gate.resolver().addresses(host).await
    };
    match tokio::time::timeout(DEADLINE, search).await {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(_)) => Err(ErrorCode::NameUnresolvable),
        Err(_) => Err(ErrorCode::TemporaryResolverFailure),
    }
}

/// A look-up under way, and then its addresses.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct AddressStream {
    task: Option<tokio::task::JoinHandle<Result<Vec<IpAddr>, ErrorCode>>>,
    found: Result<std::vec::IntoIter<IpAddr>, ErrorCode>,
}

impl Drop for AddressStream {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

#[async_trait::async_trait]
impl Pollable for AddressStream {
    async fn ready(&mut self) {
        if let Some(task) = &mut self.task {
            let ended = task.await.unwrap_or(Err(ErrorCode::PermanentResolverFailure));
            self.found = ended.map(Vec::into_iter);
            self.task = None;
        }
    }
}

impl ip_name_lookup::Host for State {
    async fn resolve_addresses(
        &mut self,
        _: Resource<Network>,
        name: String,
    ) -> wasmtime::Result<Result<Resource<AddressStream>, ErrorCode>> {
        if !self.gate.may_resolve(&name) {
            return Ok(Err(ErrorCode::AccessDenied));
        }
        let gate = self.gate.clone();
        let task = tokio::spawn(async move { resolve(&gate, &name).await });
        let stream = AddressStream { task: Some(task), found: Err(ErrorCode::WouldBlock) };
        Ok(Ok(self.table.push(stream)?))
    }
}

impl ip_name_lookup::HostResolveAddressStream for State {
    async fn resolve_next_address(&mut self, stream: Resource<AddressStream>) -> wasmtime::Result<Result<Option<IpAddress>, ErrorCode>> {
        let stream = self.table.get_mut(&stream)?;
        Ok(match &mut stream.found {
            Ok(addresses) => Ok(addresses.next().map(Into::into)),
            Err(code) => Err(*code),
        })
    }

    async fn subscribe(&mut self, stream: Resource<AddressStream>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, stream)
    }

    async fn drop(&mut self, stream: Resource<AddressStream>) -> wasmtime::Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}
