//! What a plug-in says: by `host.log`, on stdout and on stderr. All of it goes to the log line by line, bounded, without the
//! instance's secrets, and with nothing in it that could pass for another line.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use secrecy::ExposeSecret;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{OutputStream, StreamError};

use crate::ports::SecretText;

/// Characters of one line in the log.
const LINE_MAX: usize = 4_000;
/// Bytes of a line that has not ended yet, and of one write.
const PENDING_MAX: usize = 8 << 10;
/// A shorter secret would be taken out of half the words of a log; cofre's are longer.
const SECRET_MIN: usize = 4;

/// The secrets of an instance, to be taken out of whatever its plug-in says.
#[derive(Debug, Clone, Default)]
pub(super) struct Redaction {
    secrets: Vec<SecretText>,
}

impl Redaction {
    pub(super) fn new<'a>(secrets: impl Iterator<Item = &'a SecretText>) -> Self {
        let mut secrets: Vec<_> = secrets.filter(|secret| secret.expose_secret().len() >= SECRET_MIN).cloned().collect();
        // The longest first: one may be a part of another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose_secret().len()));
        Self { secrets }
    }

    /// `text` as it may be shown.
    pub(super) fn apply(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.expose_secret(), "[REDACTED]"))
    }
}

/// Weight of a line.
#[derive(Debug, Clone, Copy)]
pub(super) enum Weight {
    Debug,
    Info,
    Warn,
    Error,
}

/// The log of one store. Clones write to the same.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    label: String,
    redaction: Redaction,
    limit: u64,
    used: u64,
    last_words: Option<String>,
}

impl Journal {
    /// `label` names plug-in and instance; `limit` is in bytes a call.
    pub(super) fn new(label: String, redaction: Redaction, limit: u64) -> Self {
        Self { inner: Arc::new(Mutex::new(Inner { label, redaction, limit, used: 0, last_words: None })) }
    }

    pub(super) fn begin_call(&self) {
        let mut inner = self.lock();
        inner.used = 0;
        inner.last_words = None;
    }

    /// Adds a line.
    ///
    /// # Errors
    /// Once the call has said more than it may.
    pub(super) fn add(&self, weight: Weight, text: &str) -> Result<(), String> {
        self.spend(text.len())?;
        let inner = self.lock();
        let (label, text) = (&inner.label, readable(&inner.redaction.apply(text), LINE_MAX));
        match weight {
            Weight::Debug => tracing::debug!(plugin = %label, "{text}"),
            Weight::Info => tracing::info!(plugin = %label, "{text}"),
            Weight::Warn => tracing::warn!(plugin = %label, "{text}"),
            Weight::Error => tracing::error!(plugin = %label, "{text}"),
        }
        Ok(())
    }

    /// The limit, where it was hit.
    pub(super) fn hit(&self) -> Option<String> {
        let inner = self.lock();
        (inner.used > inner.limit).then(|| over(inner.limit))
    }

    /// The last line on stderr, which is where a panic says why.
    pub(super) fn last_words(&self) -> Option<String> {
        self.lock().last_words.clone()
    }

    fn spend(&self, bytes: usize) -> Result<(), String> {
        let mut inner = self.lock();
        // An empty line is a line as well.
        inner.used = inner.used.saturating_add(bytes as u64 + 1);
        if inner.used > inner.limit { Err(over(inner.limit)) } else { Ok(()) }
    }

    fn printed(&self, weight: Weight, line: &str) -> Result<(), String> {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with("note: run with `RUST_BACKTRACE") {
            return self.spend(line.len());
        }
        if matches!(weight, Weight::Warn) {
            let mut inner = self.lock();
            inner.last_words = Some(readable(&inner.redaction.apply(line), 300));
        }
        self.add(weight, line)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn over(limit: u64) -> String {
    format!("it logged more than {} KiB in one call (limit `log`)", limit >> 10)
}

/// `text` on one line of at most `max` characters, fit for a terminal: nothing that moves the cursor, and nothing that turns the
/// direction of writing or cannot be seen.
pub(super) fn readable(text: &str, max: usize) -> String {
    let hidden = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let mut shown: String = text.chars().take(max).map(|c| if c.is_control() || hidden(c) { ' ' } else { c }).collect();
    if text.chars().nth(max).is_some() {
        shown.push('…');
    }
    shown
}

/// stdout or stderr of a guest.
#[derive(Debug, Clone)]
pub(super) struct Printed {
    journal: Journal,
    weight: Weight,
    pending: Arc<Mutex<Vec<u8>>>,
}

impl Printed {
    pub(super) fn new(journal: Journal, weight: Weight) -> Self {
        Self { journal, weight, pending: Arc::default() }
    }

    fn take(&self, bytes: &[u8]) -> Result<(), String> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        for byte in bytes {
            if *byte != b'\n' {
                pending.push(*byte);
            }
            if *byte == b'\n' || pending.len() >= PENDING_MAX {
                let line = std::mem::take(&mut *pending);
                self.journal.printed(self.weight, &String::from_utf8_lossy(&line))?;
            }
        }
        Ok(())
    }
}

impl IsTerminal for Printed {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printed {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for it, which is not linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for Printed {
    async fn ready(&mut self) {}
}

#[async_trait::async_trait]
impl OutputStream for Printed {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.take(&bytes).map_err(|limit| StreamError::trap(&limit))
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(PENDING_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(limit: u64) -> Journal {
        let secrets = [SecretText::from("hunter2"), SecretText::from("hunter2-long"), SecretText::from("abc")];
        Journal::new("test".to_owned(), Redaction::new(secrets.iter()), limit)
    }

    #[test]
    fn a_secret_is_taken_out_of_what_is_shown() {
        let secrets = [SecretText::from("hunter2"), SecretText::from("hunter2-long"), SecretText::from("abc")];
        let redaction = Redaction::new(secrets.iter());
        assert_eq!(redaction.apply("hunter2-long and hunter2, abc"), "[REDACTED] and [REDACTED], abc");
    }

    #[test]
    fn a_line_cannot_pass_for_two() {
        assert_eq!(readable("one\nERROR two\u{1b}[2J\u{202e}x", 100), "one ERROR two [2J x");
        assert_eq!(readable("äöü", 2), "äö…");
    }

    #[test]
    fn print_and_log_share_one_limit() {
        let journal = journal(100);
        let printed = Printed::new(journal.clone(), Weight::Warn);
        printed.take(b"0123456789012345678901234567890123456789\n").expect("within the limit");
        journal.add(Weight::Info, &"x".repeat(50)).expect("within the limit");
        assert!(journal.hit().is_none());
        assert!(printed.take(b"0123456789\n").expect_err("too much").contains("limit `log`"));
        assert!(journal.hit().is_some());
        journal.begin_call();
        assert!(journal.hit().is_none());
    }

    #[test]
    fn the_last_words_are_those_of_the_panic() {
        let journal = journal(10_000);
        let printed = Printed::new(journal.clone(), Weight::Warn);
        printed.take(b"thread panicked at x.rs:\nno more hunter2\nnote: run with `RUST_BACKTRACE=1` to see\n").expect("short");
        assert_eq!(journal.last_words().as_deref(), Some("no more [REDACTED]"));
    }
}
