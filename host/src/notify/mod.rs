//! What somebody is to be told, as data: which event, how bad, what it is about, and what helps. Words are in `text`, deliveries above.

mod advice;
mod alert;
mod event;
mod routing;

pub use crate::ports::Severity;
pub use advice::{Advice, Problem};
pub use alert::Alert;
pub use event::Event;
pub use routing::{Rule, Told, Verdict};
