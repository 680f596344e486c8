//! Counters that the stages of a run share, and the bounded list of what a person should know.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// Progress of one artifact or of a whole run, read by progress bars while the stages add to it.
#[derive(Debug, Default)]
pub struct Meter {
    plain: AtomicU64,
    cipher: AtomicU64,
    items: AtomicU64,
}

impl Meter {
    /// Adds bytes read from a source.
    pub fn add_plain(&self, bytes: u64) {
        self.plain.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Adds bytes of ciphertext written.
    pub fn add_cipher(&self, bytes: u64) {
        self.cipher.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Adds rows or files.
    pub fn add_items(&self, items: u64) {
        self.items.fetch_add(items, Ordering::Relaxed);
    }

    /// Bytes read from the sources so far.
    pub fn plain(&self) -> u64 {
        self.plain.load(Ordering::Relaxed)
    }

    /// Bytes of ciphertext so far.
    pub fn cipher(&self) -> u64 {
        self.cipher.load(Ordering::Relaxed)
    }

    /// Rows or files so far.
    pub fn items(&self) -> u64 {
        self.items.load(Ordering::Relaxed)
    }
}

/// Something that did not stop the run and that a person should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// What it is about: a path, `schema.table`, a destination.
    pub subject: String,
    /// What happened, and what it means for a restore.
    pub message: String,
}

/// A list of warnings that keeps the first [`Warnings::KEPT`] and counts the rest, so that a million vanished files cost no memory.
#[derive(Debug, Default)]
pub struct Warnings {
    kept: Mutex<Vec<Warning>>,
    total: AtomicU64,
}

impl Warnings {
    /// How many warnings are kept word for word.
    pub const KEPT: usize = 1_000;

    /// Adds one, and logs it.
    pub fn push(&self, subject: impl Into<String>, message: impl Into<String>) {
        let warning = Warning { subject: subject.into(), message: message.into() };
        self.total.fetch_add(1, Ordering::Relaxed);
        let mut kept = self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if kept.len() < Self::KEPT {
            tracing::warn!(subject = %warning.subject, "{}", warning.message);
            kept.push(warning);
        }
    }

    /// The kept ones, and how many there were in all.
    pub fn snapshot(&self) -> (Vec<Warning>, u64) {
        let kept = self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        (kept.clone(), self.total.load(Ordering::Relaxed))
    }
}
