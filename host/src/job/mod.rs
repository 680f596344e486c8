//! The use cases, one file a verb. They know the ports and the parts below; the command line and, later, the page call them.

mod check;
mod context;
mod doctor;
mod fetch;
mod inspect;
mod measure;
mod monitor;
mod own;
mod pin;
mod plugins;
mod produce;
mod prune;
mod restore;
mod resume;
mod run;
mod trial;
mod verify;
mod watch;

pub use check::{CheckItem, check};
pub use context::{Context, JobError};
pub use doctor::{Diagnosis, Finding, doctor};
pub use fetch::FetchError;
pub use inspect::{ListedSet, list_at, rebuild, sets_at, show};
pub use measure::{Measure, Measured, measure};
pub use monitor::{Monitor, Observation, Round, Standing};
pub use pin::{Pinned, pin};
pub use plugins::{ListedPlugin, PluginRoom, Proposal};
pub use produce::ProduceError;
pub use prune::{PruneRequest, prune};
pub use restore::{RestoreRequest, RestoreTarget, Restored, SetChoice, What, restore};
pub use resume::{LeftBehind, Resumed, resume};
pub use run::{RunReport, RunRequest, run};
pub use trial::{Trial, TrialOutcome, trial};
pub use verify::{VerifiedCopy, VerifyRequest, told as told_of_copies, verify};
pub use watch::watch;
