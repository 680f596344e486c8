//! What came of the cases.

use std::time::Duration;

use serde::Serialize;

/// What came of one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It holds; with what else is worth knowing.
    Passed(Option<String>),
    /// It does not hold, and why.
    Failed(String),
    /// It could not be tried, and why.
    Skipped(String),
}

impl Outcome {
    /// `passed`, `failed` or `skipped`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Passed(_) => "passed",
            Self::Failed(_) => "failed",
            Self::Skipped(_) => "skipped",
        }
    }

    /// The reason, or what else is worth knowing.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Passed(note) => note.as_deref(),
            Self::Failed(why) | Self::Skipped(why) => Some(why),
        }
    }
}

/// One case that was tried, or was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseReport {
    /// Name, as in [`crate::names`].
    pub name: String,
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took, its tidying up included.
    pub took: Duration,
}

impl Serialize for CaseReport {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shape<'a> {
            name: &'a str,
            outcome: &'static str,
            detail: Option<&'a str>,
            milliseconds: u64,
        }
        let milliseconds = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX);
        Shape { name: &self.name, outcome: self.outcome.name(), detail: self.outcome.detail(), milliseconds }.serialize(serializer)
    }
}

/// All cases of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The folder that held whatever the run stored.
    pub prefix: String,
    /// Cases in the order in which they ran.
    pub cases: Vec<CaseReport>,
}

impl Report {
    /// Cases that do not hold.
    pub fn failed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Failed(_)))
    }

    /// Cases that hold.
    pub fn passed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Passed(_)))
    }

    /// Cases that could not be tried.
    pub fn skipped(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Skipped(_)))
    }

    fn count(&self, counts: impl Fn(&Outcome) -> bool) -> usize {
        self.cases.iter().filter(|case| counts(&case.outcome)).count()
    }
}
