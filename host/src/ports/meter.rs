//! Counters that the stages of a run share, and the bounded list of what a person should know.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde::{Deserialize, Serialize};

/// Progress of one artifact, one destination or a whole run, read by progress lines while the stages add to it.
#[derive(Debug, Default)]
pub struct Meter {
    plain: AtomicU64,
    cipher: AtomicU64,
    items: AtomicU64,
    /// Plain bytes to come in all; 0 while nobody knows.
    expected: AtomicU64,
    whole: Option<Arc<Meter>>,
    parts: Mutex<Vec<Part>>,
}

#[derive(Debug)]
struct Part {
    kind: PartKind,
    label: String,
    meter: Weak<Meter>,
}

/// What a part of a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartKind {
    /// Something being written or read.
    Artifact,
    /// A copy on its way.
    Destination,
    /// Something on its way back from a destination.
    Download,
}

/// How far a part is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartProgress {
    /// What it is.
    pub kind: PartKind,
    /// Its name.
    pub label: String,
    /// Plain bytes so far.
    pub plain: u64,
    /// Bytes of ciphertext so far.
    pub cipher: u64,
}

impl Meter {
    /// A meter for one artifact, shown as part of this one until it is dropped; what it counts counts here as well.
    pub fn artifact(self: &Arc<Self>, label: &str) -> Arc<Self> {
        let part = Arc::new(Self { whole: Some(Arc::clone(self)), ..Self::default() });
        self.show(PartKind::Artifact, label, &part);
        part
    }

    /// Shows the meter of a destination as part of this one until it is dropped. Its bytes are copies: they do not count here.
    pub fn destination(&self, label: &str, meter: &Arc<Self>) {
        self.show(PartKind::Destination, label, meter);
    }

    /// A meter for a download, shown as part of this one until it is dropped. Its bytes do not count here.
    pub fn download(&self, label: &str) -> Arc<Self> {
        let part = Arc::default();
        self.show(PartKind::Download, label, &part);
        part
    }

    fn show(&self, kind: PartKind, label: &str, meter: &Arc<Self>) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.retain(|part| part.meter.strong_count() > 0);
        parts.push(Part { kind, label: label.to_owned(), meter: Arc::downgrade(meter) });
    }

    /// The parts that are at work, oldest first.
    pub fn parts(&self) -> Vec<PartProgress> {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let at_work = parts.iter().filter_map(|part| {
            let meter = part.meter.upgrade()?;
            Some(PartProgress { kind: part.kind, label: part.label.clone(), plain: meter.plain(), cipher: meter.cipher() })
        });
        at_work.collect()
    }

    /// Adds to the plain bytes that are to come in all.
    pub fn expect(&self, bytes: u64) {
        self.expected.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Plain bytes to come in all, as far as somebody knows.
    pub fn expected(&self) -> Option<u64> {
        Some(self.expected.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
    }

    /// Adds bytes read from a source.
    pub fn add_plain(&self, bytes: u64) {
        self.plain.fetch_add(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.add_plain(bytes);
        }
    }

    /// Adds bytes of ciphertext written.
    pub fn add_cipher(&self, bytes: u64) {
        self.cipher.fetch_add(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.add_cipher(bytes);
        }
    }

    /// Adds rows or files.
    pub fn add_items(&self, items: u64) {
        self.items.fetch_add(items, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.add_items(items);
        }
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
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < Self::KEPT {
            tracing::warn!(subject = %warning.subject, "{}", warning.message);
            kept.push(warning);
        }
    }

    /// The kept ones, and how many there were in all.
    pub fn snapshot(&self) -> (Vec<Warning>, u64) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        (kept.clone(), self.total.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artifact_counts_for_the_run_and_is_shown_while_it_is_made() {
        let run = Arc::new(Meter::default());
        let artifact = run.artifact("sql/erp");
        artifact.add_plain(10);
        artifact.add_cipher(3);
        let copy = Arc::new(Meter::default());
        run.destination("nas", &copy);
        copy.add_cipher(2);
        let shown = |kind, label: &str, plain, cipher| PartProgress { kind, label: label.to_owned(), plain, cipher };
        assert_eq!(run.parts(), [shown(PartKind::Artifact, "sql/erp", 10, 3), shown(PartKind::Destination, "nas", 0, 2)]);
        assert_eq!((run.plain(), run.cipher()), (10, 3));
        drop(artifact);
        assert_eq!(run.parts(), [shown(PartKind::Destination, "nas", 0, 2)]);
    }
}
