//! What every destination of cofre must do, as cases that run against any of them: the host's components and the SDK's traits alike.
//!
//! A destination is a [`Subject`]; [`Suite::run`] takes it through every case, one file a verb below `cases/`, each under a prefix of its
//! own that it removes again. The bytes of objects are a function of their offset, so that nothing large is ever held in memory.
//! `docs/conformance.md` tells what each case asks and why.

mod body;
mod cases;
mod report;
mod stage;
mod subject;
mod suite;

pub use report::{CaseReport, Outcome, Report};
pub use subject::{Answer, Failure, Kind, Limits, Object, Page, Session, Subject};
pub use suite::{Event, Options, Refusal, Suite, Verb, names};

#[cfg(test)]
mod shelf;
#[cfg(test)]
mod tests;
