//! Plug-ins: WASM components in a sandbox that gives them ciphertext, their own settings, and the network targets that were
//! granted, and nothing else (D6, D7, D11). `docs/plugins-runtime.md` tells how each limit and grant is enforced.
//!
//! Threats this module answers: a plug-in that spins, eats memory, floods the log, lies about what it stored, looks for
//! files or environment, or wants to talk to somebody else. Each ends as one failed call with a clear message.

mod bindings;
mod body;
mod cache;
mod call;
mod component;
mod destination;
mod dns;
mod engine;
mod grants;
mod host;
mod http;
mod journal;
mod limits;
mod schema;
mod session;
mod sockets;
mod state;

pub use component::{Description, NetworkNeed, PluginComponent, PluginError, PluginKind, SecretNeed};
pub use destination::WasmDestination;
pub use engine::PluginEngine;

#[cfg(test)]
mod tests;
