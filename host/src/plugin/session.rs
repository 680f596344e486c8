//! One store with one instance in it, its calls, and the way from a plug-in's words to the host's.
//!
//! After a trap, a time-out or a cancelled call the store is gone, and every further call on the session fails: what it held cannot
//! be trusted. A new session, from the token, gets a new store.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::Resource;

use super::call::{self, Lost, Work};
use super::contract::{GuestError, Pre};
use super::grants::Gate;
use super::journal::{Redaction, readable};
use super::state::{Provision, State};
use super::throttle::Waited;
use crate::ports::{DestinationError, DestinationErrorKind, Object};

const KEY_MAX: usize = 4 << 10;
/// Characters of a plug-in's message, and of what it adds to it.
const MESSAGE_MAX: usize = 2_000;
const CONTEXT_MAX: usize = 20;
/// Longest wait that a plug-in can ask for: a service that says "next year" must not stop a run.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// An instance that lives, of the kind `G`.
pub(super) struct Session<G: ?Sized> {
    plugin: String,
    wall: Duration,
    redaction: Redaction,
    gate: Gate,
    instance: Arc<G>,
    store: Option<Store<State>>,
    /// Waits of the next call.
    waited: Waited,
}

impl<G: ?Sized + Send + Sync + 'static> Session<G> {
    /// Puts an instance into `store`.
    ///
    /// # Errors
    /// When it cannot start within its limits.
    pub(super) async fn start(
        plugin: &str,
        provision: &Provision,
        (store, ready): (Store<State>, Arc<Pre<G>>),
    ) -> Result<Self, DestinationError> {
        let (wall, gate) = (provision.limits.wall, store.data().gate.clone());
        let started = call::run(store, (wall, Waited::default()), move |store| Box::pin(async move { ready.start(store).await }));
        let why = match started.await {
            Ok((store, instance)) => {
                let (plugin, redaction) = (plugin.to_owned(), provision.redaction.clone());
                return Ok(Self { plugin, wall, redaction, gate, instance, store: Some(store), waited: Waited::default() });
            }
            Err(Lost::Crashed(why)) => provision.redaction.apply(&why),
            Err(Lost::TooLong) => "it took too long".to_owned(),
        };
        Err(DestinationError::fatal(DestinationErrorKind::Plugin, format!("plug-in `{plugin}`: it cannot start: {why}")))
    }

    /// Calls into the instance; `verb` names the call in messages.
    pub(super) async fn call<T, F>(&mut self, verb: &'static str, work: F) -> Result<T, DestinationError>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(Arc<G>, &'a mut Store<State>) -> Work<'a, Result<T, GuestError>> + Send + 'static,
    {
        // Taken out for the call: dropped half-way, it does not come back.
        let store = self.store.take().ok_or_else(|| self.over())?;
        let instance = Arc::clone(&self.instance);
        self.gate.enter(verb);
        match call::run(store, (self.wall, std::mem::take(&mut self.waited)), move |store| work(instance, store)).await {
            Ok((store, answer)) => {
                self.store = Some(store);
                answer.map_err(|error| self.refused(error))
            }
            Err(Lost::Crashed(why)) => Err(self.broken(format!("`{verb}` failed: {}", self.redaction.apply(&why)))),
            Err(Lost::TooLong) => {
                let message = format!("plug-in `{}`: `{verb}` took longer than {} ms (limit `wall`)", self.plugin, self.wall.as_millis());
                Err(DestinationError::transient(DestinationErrorKind::Timeout, message))
            }
        }
    }

    /// Puts the body of the next call where the guest can get it, and the counters of its bytes and its waits where the limits look.
    pub(super) fn push<T: Send + 'static>(
        &mut self,
        stream: T,
        (moved, waited): (Arc<AtomicU64>, Waited),
    ) -> Result<Resource<T>, DestinationError> {
        let Some(store) = &mut self.store else { return Err(self.over()) };
        self.waited = waited;
        store.data_mut().moving(moved);
        let pushed = store.data_mut().table.push(stream);
        pushed.map_err(|error| self.broken(format!("there is no room for a stream: {error}")))
    }

    /// Ends the session over a broken contract.
    pub(super) fn end(&mut self, what: String) -> DestinationError {
        self.store = None;
        self.broken(what)
    }

    /// An error that is the plug-in's own fault.
    pub(super) fn broken(&self, what: String) -> DestinationError {
        DestinationError::fatal(DestinationErrorKind::Plugin, format!("plug-in `{}`: {what}", self.plugin))
    }

    fn over(&self) -> DestinationError {
        self.broken("its session is over, as an earlier call crashed, took too long, broke the contract or was cancelled".to_owned())
    }

    /// The plug-in's own error, fit for a log line and a terminal.
    fn refused(&self, error: GuestError) -> DestinationError {
        let shown = |text: &str, max| readable(&self.redaction.apply(text), max);
        let given = error.context.into_iter().take(CONTEXT_MAX);
        let mut context: Vec<(String, String)> = given.map(|(name, value)| (shown(&name, 100), shown(&value, 500))).collect();
        if let Some(refusal) = self.gate.refusal() {
            context.push(("refused".to_owned(), refusal));
        }
        DestinationError {
            kind: error.kind,
            retryable: error.retryable,
            retry_after: error.retry_after_ms.map(|wait| Duration::from_millis(wait).min(RETRY_AFTER_MAX)),
            message: shown(&error.message, MESSAGE_MAX),
            context,
        }
    }

    /// An object that the plug-in reports; `asked` is the key that it must have.
    pub(super) fn object(&self, object: Object, asked: Option<&str>) -> Result<Object, DestinationError> {
        if !is_key(&object.key) {
            return Err(self.broken(format!("it reports an object with the key `{}`, which cannot be", readable(&object.key, 200))));
        }
        if let Some(asked) = asked.filter(|asked| *asked != object.key) {
            return Err(self.broken(format!("it was asked for `{asked}` and reports `{}`", readable(&object.key, 200))));
        }
        let checksum = object.checksum.map(|checksum| readable(&checksum, 200));
        Ok(Object { checksum, ..object })
    }
}

/// A relative path of plain names, which no terminal and no file system could mistake.
fn is_key(key: &str) -> bool {
    key.len() <= KEY_MAX && key == readable(key, KEY_MAX) && key.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_relative_path_of_plain_names() {
        for key in ["a", "set/sql/a.tar.gz.enc", "ação", "..a/b.."] {
            assert!(is_key(key), "{key}");
        }
        for key in ["", "/a", "a/", "a//b", "../a", "a/./b", "a\nb", "a\u{202e}b", &"x".repeat(KEY_MAX + 1)] {
            assert!(!is_key(key), "{key}");
        }
    }
}
