//! The audit log as the use cases write it: what is about to be done is written before it is done, and what came of it afterwards.
//!
//! What removes something does not begin unless that can be written. Anything else does: a backup is worth more than the line about it. But
//! a line that could not be written is told, and whoever asked for the work sees a warning.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::context::JobError;
use crate::audit::{Action, Actor, AuditError, AuditLog, Event, Head, Outcome};
use crate::catalog::Catalog;
use crate::source::files::user_name;

/// The kernel's value for "nobody logged in".
const NO_LOGIN: u32 = u32::MAX;

/// Who runs this process, by itself as the `daemon` or for a person.
pub fn actor(daemon: bool) -> Actor {
    let uid = rustix::process::geteuid().as_raw();
    let login = std::fs::read_to_string("/proc/self/loginuid").ok().and_then(|text| text.trim().parse().ok());
    let actor = Actor::new(uid, user_name(uid).as_deref(), std::env::var("SUDO_USER").ok().as_deref());
    Actor { login_uid: login.filter(|uid| *uid != NO_LOGIN), daemon, ..actor }
}

/// The audit log, and who writes it.
pub struct Trail {
    log: AuditLog,
    actor: Actor,
    catalog: Option<Arc<Catalog>>,
    failure: Mutex<Option<String>>,
}

/// Something that was announced. Its end is written by [`Intent::end`].
pub(super) struct Intent<'a> {
    trail: &'a Trail,
    action: Action,
    object: String,
    entry: Option<u64>,
}

impl Trail {
    /// The log in a state directory.
    pub fn new(state: &Path, actor: Actor, catalog: Option<Arc<Catalog>>) -> Self {
        Self { log: AuditLog::new(state), actor, catalog, failure: Mutex::default() }
    }

    /// The same log, written for somebody who asks for something over the page or the API.
    pub(super) fn asked_by(&self, via: &str) -> Self {
        let actor = self.actor.clone().asked_by(via);
        Self { log: self.log.clone(), actor, catalog: self.catalog.clone(), failure: Mutex::default() }
    }

    /// Who writes.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The log.
    pub(super) fn log(&self) -> &AuditLog {
        &self.log
    }

    /// Why something could not be written since this was asked last.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn append(&self, event: &Event) -> Result<u64, AuditError> {
        let catalog = self.catalog.as_deref();
        let known = catalog.and_then(|catalog| catalog.audit_head().ok().flatten()).map(|(count, hash)| Head { count, hash });
        let head = self.log.append(&self.actor, event, known)?;
        if let Some(Err(error)) = catalog.map(|catalog| catalog.record_audit_head(head.count, &head.hash)) {
            tracing::warn!(%error, "the catalogue does not know where the audit log ends; the log itself does");
        }
        Ok(head.count)
    }

    /// Writes; what cannot be written is told, and remembered for whoever asked for the work.
    pub fn note(&self, event: &Event) -> Option<u64> {
        match self.append(event) {
            Ok(entry) => Some(entry),
            Err(error) => {
                tracing::error!("NOT IN THE AUDIT LOG: {error}");
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
                None
            }
        }
    }

    /// Announces what removes something, which must not begin unless this is written.
    ///
    /// # Errors
    /// When it cannot be.
    pub(super) fn must(&self, action: Action, object: &str, facts: &[(&'static str, &str)]) -> Result<Intent<'_>, JobError> {
        let entry = self.append(&with(Event::new(action, object, Outcome::Begun), facts))?;
        Ok(Intent { trail: self, action, object: object.to_owned(), entry: Some(entry) })
    }

    /// Announces what is done in any case.
    pub(super) fn begin(&self, action: Action, object: &str, facts: &[(&'static str, &str)]) -> Intent<'_> {
        let entry = self.note(&with(Event::new(action, object, Outcome::Begun), facts));
        Intent { trail: self, action, object: object.to_owned(), entry }
    }

    /// Writes down that somebody looked at backups.
    pub fn access(&self, object: &str, what: &str) {
        self.note(&Event::new(Action::Access, object, Outcome::Done).with("what", what));
    }

    /// Writes down a configuration that is another one than when its file was last seen.
    pub(super) fn configuration(&self, path: &Path, text: &str) {
        let Some(catalog) = &self.catalog else { return };
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let sha256 = hex::encode(Sha256::digest(text.as_bytes()));
        let before = catalog.configuration_seen(&path).ok().flatten();
        if before.as_ref() == Some(&sha256) {
            return;
        }
        let event = Event::new(Action::Configuration, &path.display().to_string(), Outcome::Done)
            .with("sha256", &sha256)
            .with("before", before.as_deref().unwrap_or_default());
        if self.note(&event).is_some()
            && let Err(error) = catalog.record_configuration(&path, &sha256)
        {
            tracing::warn!(%error, "the configuration will be taken for a new one the next time, too");
        }
    }
}

fn with(event: Event, facts: &[(&'static str, &str)]) -> Event {
    facts.iter().fold(event, |event, (name, value)| event.with(name, value))
}

impl Intent<'_> {
    /// Writes down what came of it.
    pub(super) fn end(self, outcome: Outcome, facts: &[(&'static str, &str)]) {
        let event = Event::new(self.action, &self.object, outcome).of(self.entry);
        self.trail.note(&with(event, facts));
    }

    /// The same of what either succeeded or failed.
    pub(super) fn ended<T, E: std::fmt::Display>(self, result: &Result<T, E>) {
        match result {
            Ok(_) => self.end(Outcome::Done, &[]),
            Err(error) => self.end(Outcome::Failed, &[("error", &error.to_string())]),
        }
    }
}
