//! Copies from the spool to destinations: each destination at its own speed, retries and resumption decided here only (D4, D8).

mod clean_up;
mod file;
mod replace;
mod session;
mod set;
mod small;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::ports::{DestinationError, DestinationErrorKind};

pub use clean_up::{CleanedUp, NotRetired, clean_up, retire};
pub use file::{CopyContext, CopyJob, Expected, copy_file};
pub use replace::{limits_of, replace};
pub use set::{DestinationOutcome, Lane, SetCopies};
pub use small::{put_small, remove_small};

/// When a failed step is tried again.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Attempts without a byte of progress before a copy is given up.
    pub attempts: u32,
    /// First pause; doubles each time, with up to half of it added by chance.
    pub first_pause: Duration,
    /// Longest pause.
    pub longest_pause: Duration,
    /// Longest a single call may take, however busy it looks: a trickle of bytes keeps nothing alive (trap 10). What the
    /// administrator's own limit of the bandwidth takes comes on top.
    pub call: Duration,
    /// That limit at its lowest, in bytes a second.
    pub pace: Option<u64>,
    /// Longest a write may go without taking a byte or answering.
    pub idle: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 6,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(120),
            call: Duration::from_secs(1_800),
            pace: None,
            idle: Duration::from_secs(300),
        }
    }
}

impl RetryPolicy {
    /// Longest a call may take that moves a body of so many bytes, while as many others as there can be share the line.
    pub fn call_of(&self, bytes: u64) -> Duration {
        let on_the_line = self.pace.map(|pace| Duration::from_secs(bytes.saturating_mul(u64::from(set::PARALLEL_MAX)) / pace.max(1)));
        self.call.saturating_add(on_the_line.unwrap_or_default())
    }

    /// Longest a call may take that moves no body.
    pub fn small_call(&self) -> Duration {
        self.call.min(file::SMALL_CALL)
    }

    /// The pause before attempt `failures + 1`.
    pub fn pause(&self, failures: u32, error: &DestinationError) -> Duration {
        if let Some(asked) = error.retry_after {
            return asked.min(self.longest_pause * 4);
        }
        let pause = self.first_pause.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.longest_pause);
        let mut chance = [0];
        // Without randomness the pause is only less spread out.
        let _ = getrandom::fill(&mut chance);
        pause + pause / 2 * u32::from(chance[0]) / 255
    }
}

/// Remembers open upload sessions over a restart of the host. What it is given is opaque, never logged, and needs no
/// more durability than surviving this process: without it an upload starts anew.
pub trait UploadJournal: Send + Sync {
    /// What was remembered of the open session for `key`.
    fn token(&self, key: &str) -> Option<String>;
    /// Remembers a session; called before every write, so it must be quick.
    fn remember(&self, key: &str, token: &str);
    /// Forgets it: finished, aborted or lost.
    fn forget(&self, key: &str);
}

/// Why a copy failed.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The destination failed, and trying again did not help or cannot.
    #[error("cannot copy `{key}`: {source}")]
    Destination {
        /// The key.
        key: String,
        /// Why not.
        source: DestinationError,
    },
    /// The spool file cannot be read.
    #[error("cannot read `{key}` from the spool: {source}")]
    Spool {
        /// The key.
        key: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The artifact was given up by its source.
    #[error("`{key}` was abandoned: its source failed")]
    Aborted {
        /// The key.
        key: String,
    },
    /// Somebody cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl CopyError {
    /// The destination's kind of failure, where it was the destination that failed.
    pub fn kind(&self) -> Option<DestinationErrorKind> {
        match self {
            Self::Destination { source, .. } => Some(source.kind),
            Self::Spool { .. } | Self::Aborted { .. } | Self::Cancelled => None,
        }
    }
}
