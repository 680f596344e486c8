//! Sockets of plug-ins: TCP outwards only, few at a time, and only to addresses that a granted name resolved to.

use std::net::SocketAddr;
use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::tcp::{HostTcpSocket as _, TcpSocket};
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket::Host as Wasi;
use wasmtime_wasi::p2::pipe::{ClosedInputStream, ClosedOutputStream};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsView};
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream};

use super::contract::wasi::wasi::sockets::tcp_create_socket;
use super::grants::Gate;
use super::state::State;
use super::traffic::{CountedInput, CountedOutput};

/// Sockets that one store may hold. More fail at once: a guest that waited for its own sockets would wait for ever.
pub(super) const SOCKETS_MAX: usize = 32;

/// Opens TCP as far as `gate` goes; UDP and listening stay shut.
pub(super) fn guard(wasi: &mut WasiCtxBuilder, gate: &Gate) {
    let gate = gate.clone();
    wasi.allow_tcp(true).socket_addr_check(move |address, purpose| {
        let allowed = match purpose {
            SocketAddrUse::TcpConnect => gate.may_connect(address.ip(), address.port()),
            // Connecting binds to a wildcard address first; anything else is listening.
            SocketAddrUse::TcpBind => is_any(address),
            _ => false,
        };
        Box::pin(async move { allowed })
    });
}

/// The two sides of a connected socket.
type Streams = (Resource<DynInputStream>, Resource<DynOutputStream>);

/// Counts what goes through sockets: their streams are wrapped where WASI hands them out. The linker must allow shadowing.
pub(super) fn count(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let finish = |mut store: StoreContextMut<'_, State>, (socket,): (Resource<TcpSocket>,)| {
        store.data_mut().connected(socket).map(|streams| (streams,))
    };
    linker.instance("wasi:sockets/tcp@0.2.12")?.func_wrap("[method]tcp-socket.finish-connect", finish)
}

impl State {
    fn connected(&mut self, socket: Resource<TcpSocket>) -> wasmtime::Result<Result<Streams, ErrorCode>> {
        let (input, output) = match self.sockets().finish_connect(socket) {
            Ok(streams) => streams,
            Err(error) => return Ok(Err(error.downcast()?)),
        };
        let traffic = &self.provision.traffic;
        let stream = self.table.get_mut(&input)?;
        let inner = std::mem::replace(stream, Box::new(ClosedInputStream));
        *stream = Box::new(CountedInput { inner, traffic: Arc::clone(traffic) });
        let stream = self.table.get_mut(&output)?;
        let inner = std::mem::replace(stream, Box::new(ClosedOutputStream));
        *stream = Box::new(CountedOutput { inner, traffic: Arc::clone(traffic) });
        Ok(Ok((input, output)))
    }
}

fn is_any(address: SocketAddr) -> bool {
    address.port() == 0 && address.ip().is_unspecified()
}

impl tcp_create_socket::Host for State {
    async fn create_tcp_socket(&mut self, family: IpAddressFamily) -> wasmtime::Result<Result<Resource<TcpSocket>, ErrorCode>> {
        let table = &self.table;
        self.sockets.retain(|entry| table.get(&Resource::<TcpSocket>::new_borrow(*entry)).is_ok());
        if self.sockets.len() >= SOCKETS_MAX {
            return Ok(Err(ErrorCode::NewSocketLimit));
        }
        match Wasi::create_tcp_socket(&mut self.sockets(), family) {
            Ok(socket) => {
                self.sockets.insert(socket.rep());
                Ok(Ok(socket))
            }
            Err(error) => Ok(Err(error.downcast()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::state::{Provision, State};
    use std::sync::Arc;
    use tcp_create_socket::Host as _;

    #[tokio::test]
    async fn sockets_are_few_and_one_more_fails_at_once() {
        let mut config = wasmtime::Config::new();
        config.epoch_interruption(true);
        let engine = wasmtime::Engine::new(&config).expect("an engine");
        let mut store = State::store(&engine, &Arc::new(Provision::default())).expect("a store");
        let state = store.data_mut();
        let mut made = Vec::new();
        for _ in 0..SOCKETS_MAX {
            made.push(state.create_tcp_socket(IpAddressFamily::Ipv4).await.expect("no trap").expect("a socket"));
        }
        let more = state.create_tcp_socket(IpAddressFamily::Ipv6).await.expect("no trap");
        assert_eq!(more.expect_err("one too many"), ErrorCode::NewSocketLimit);
        state.table.delete(made.remove(3)).expect("closed");
        state.create_tcp_socket(IpAddressFamily::Ipv4).await.expect("no trap").expect("there is room again");
    }
}
