//! What one look finds: whether it is as it should be, and the facts behind that. The facts are data, and become words in `text/`.

use serde::{Deserialize, Serialize};

/// What is wrong. A problem is the same problem as long as this stays the same, whatever its numbers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Nobody answers there, or lets us in.
    Unreachable,
    /// No answer in time.
    Silent,
    /// A page answers with another status.
    Status,
    /// A certificate is not to be trusted.
    Certificate,
    /// A certificate ends soon.
    Expiring,
    /// A service does not run.
    Inactive,
    /// Little space is left.
    Low,
    /// Little space will be left.
    FullSoon,
    /// There is no good backup at all.
    NoBackup,
    /// The newest good backup is too old.
    Stale,
    /// The newest set lacks objects, or they are not as long as they were.
    Damaged,
    /// The newest set lacks what could not be read when it was made.
    Partial,
    /// The newest set is much smaller than the ones before it.
    Shrunk,
    /// Fewer sets are there than there should be.
    TooFew,
    /// A set is later than now: a clock is wrong.
    Clock,
    /// The look itself could not be taken.
    Unknown,
}

impl Fault {
    /// Its name, as in JSON and in alerts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Silent => "silent",
            Self::Status => "status",
            Self::Certificate => "certificate",
            Self::Expiring => "expiring",
            Self::Inactive => "inactive",
            Self::Low => "low",
            Self::FullSoon => "full-soon",
            Self::NoBackup => "no-backup",
            Self::Stale => "stale",
            Self::Damaged => "damaged",
            Self::Partial => "partial",
            Self::Shrunk => "shrunk",
            Self::TooFew => "too-few",
            Self::Clock => "clock",
            Self::Unknown => "unknown",
        }
    }
}

/// Whether it is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", content = "fault", rename_all = "kebab-case")]
pub enum Verdict {
    /// It is.
    Good,
    /// Between the bound of an alert and that of a recovery: what was, stays.
    Between,
    /// It is not.
    Bad(Fault),
}

/// What was seen. Ages and times are in seconds, sizes in bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "seen", rename_all = "kebab-case")]
pub enum Facts {
    /// A port or a database answered.
    Answer {
        /// After so many milliseconds.
        milliseconds: u64,
        /// What it calls itself, where it says.
        version: Option<String>,
    },
    /// A page answered.
    Page {
        /// HTTP status.
        status: u16,
        /// Days for which its certificate still holds; none without TLS.
        certificate_days: Option<i64>,
    },
    /// A file system.
    Space {
        /// Bytes that can still be written.
        free: u64,
        /// Bytes that can be written when it is empty.
        total: u64,
        /// Share of the files that can still be made, where the file system counts them, 0 to 1.
        files_free: Option<f64>,
        /// Days until it is full, where it fills and enough is known.
        days_until_full: Option<f64>,
    },
    /// A unit of systemd.
    Unit {
        /// Its state, `active (running)`.
        state: String,
    },
    /// Processes of one name.
    Processes {
        /// How many.
        number: usize,
    },
    /// The newest good backup.
    Backup {
        /// Its set; none where there is none.
        set: Option<String>,
        /// Its age, or how long it was waited for.
        age: u64,
        /// The age that it may have.
        max_age: u64,
    },
    /// What a destination holds.
    Holding(Box<super::Holding>),
    /// It could not be seen.
    Failure {
        /// Why not.
        cause: String,
    },
}

/// One look.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Look {
    /// Whether it is as it should be.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What was seen.
    pub facts: Facts,
}

impl Look {
    /// What was to be looked at could not be seen.
    pub fn failed(fault: Fault, cause: impl Into<String>) -> Self {
        Self { verdict: Verdict::Bad(fault), facts: Facts::Failure { cause: cause.into() } }
    }

    /// What is wrong, where something is.
    pub fn fault(&self) -> Option<Fault> {
        match self.verdict {
            Verdict::Bad(fault) => Some(fault),
            Verdict::Good | Verdict::Between => None,
        }
    }
}
