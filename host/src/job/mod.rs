//! The use cases, one file a verb. They know the ports and the parts below; the command line and, later, the page call them.

mod check;
mod context;
mod fetch;
mod inspect;
mod own;
mod produce;
mod restore;
mod resume;
mod run;
mod verify;

pub use check::{CheckItem, check};
pub use context::{Context, JobError};
pub use fetch::{FetchError, open_set};
pub use inspect::{ListedSet, list_at, rebuild, sets_at, show};
pub use produce::ProduceError;
pub use restore::{RestoreRequest, RestoreTarget, Restored, SetChoice, What, restore};
pub use resume::{Resumed, resume};
pub use run::{RunReport, run};
pub use verify::{VerifiedCopy, VerifyRequest, verify};
