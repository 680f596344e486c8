//! Pings a check of Healthchecks, at healthchecks.io or a server of one's own: what does not come is what it tells people of. A run's
//! start, end and failure are pings of their own; everything else is only logged there.

mod healthchecks;
mod settings;

pub use healthchecks::Healthchecks;
pub use settings::{Ping, Settings};

cofre_sdk::export_notifier!(Healthchecks);
