//! Plug-ins: WASM components in a sandbox that gives them ciphertext, their own settings, and the network targets that were
//! granted, and nothing else (D6, D7, D11). `docs/plugins-runtime.md` tells how each limit and grant is enforced.
//!
//! Threats this module answers: a plug-in that spins, eats memory, floods the log, lies about what it stored, looks for
//! files or environment, or wants to talk to somebody else. Each ends as one failed call with a clear message.

mod approval;
mod body;
mod cache;
mod call;
mod clocks;
mod component;
mod conformance;
mod contract;
mod destination;
mod dns;
mod engine;
mod grants;
mod http;
mod instance;
mod journal;
mod limits;
mod lock;
mod notifier;
mod package;
mod schema;
mod session;
mod signature;
mod sockets;
mod state;
mod throttle;
mod traffic;

pub use approval::{Approvals, Examined, PluginState};
pub use component::{Description, NetworkNeed, PluginComponent, PluginError, PluginKind, Profile, SecretNeed};
pub use conformance::ConformanceSubject;
pub use destination::WasmDestination;
pub use engine::PluginEngine;
pub use instance::Need;
pub use lock::{Change, Pin, PluginLock};
pub use notifier::WasmNotifier;
pub use package::{PluginFile, uninstall};
pub use schema::Fault;
pub use signature::Signature;

#[cfg(test)]
mod tests;
