//! What came of a policy at a destination: what was decided, and what of it could be done.

use serde::Serialize;

use super::{Decision, Reason};
use crate::set::SetName;

/// What came of one set.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct PrunedSet {
    /// The set.
    #[schemars(with = "String")]
    pub set: SetName,
    /// Bytes that it takes, or took.
    pub bytes: u64,
    /// Whether the policy keeps it.
    pub keep: bool,
    /// Why.
    pub reasons: Vec<Reason>,
    /// Whether it is gone.
    pub removed: bool,
    /// Why it could not be removed.
    pub error: Option<String>,
}

/// What came of one destination.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Pruned {
    /// Its name.
    pub destination: String,
    /// Its sets, newest first.
    pub sets: Vec<PrunedSet>,
    /// Why nothing is removed there, although something may be due.
    pub held: Option<Held>,
    /// Why it could not be looked after.
    pub error: Option<String>,
}

/// Why nothing is removed from a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "because")]
pub enum Held {
    /// cofre may not delete there.
    NotGranted,
    /// Sets were removed there only just now.
    TooSoon {
        /// When it is time again, RFC 3339.
        #[schemars(with = "String")]
        until: jiff::Timestamp,
    },
}

impl Pruned {
    /// Whether all that was due is gone.
    pub fn is_clean(&self) -> bool {
        self.error.is_none() && self.sets.iter().all(|set| set.error.is_none())
    }

    /// How many sets are gone from there.
    pub fn removed(&self) -> usize {
        self.sets.iter().filter(|set| set.removed).count()
    }
}

impl From<Decision> for PrunedSet {
    fn from(Decision { set, bytes, keep, reasons }: Decision) -> Self {
        Self { set, bytes, keep, reasons, removed: false, error: None }
    }
}
