//! The host's side of `cofre:plugin/host`.

use secrecy::ExposeSecret;

use super::bindings::v0_1::cofre::plugin::{host, types};
use super::journal::Weight;
use super::state::State;

impl types::Host for State {}

impl host::Host for State {
    async fn log(&mut self, level: host::Level, message: String) -> wasmtime::Result<()> {
        let weight = match level {
            host::Level::Debug => Weight::Debug,
            host::Level::Info => Weight::Info,
            host::Level::Warn => Weight::Warn,
            host::Level::Error => Weight::Error,
        };
        self.journal.add(weight, &message).map_err(wasmtime::Error::msg)
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
