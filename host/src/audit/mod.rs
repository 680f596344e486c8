//! The audit log: who did what to which backups, one line an entry, each line holding the SHA-256 of the line before it.
//!
//! A file of its own, and not of the catalogue: that is a cache and may be lost, while this is evidence, which can be copied and checked
//! elsewhere with `sha256sum` alone. The format, and what it can and cannot prove, is in `docs/formats/audit.md`.

mod chain;
mod entry;
mod lines;
mod log;
#[cfg(test)]
mod tests;

pub use chain::{Fault, Head};
pub use entry::{Action, Actor, Entry, Event, Outcome};
pub use log::{AuditError, AuditLog, Findings};
