//! Publishes to topics of ntfy, at ntfy.sh or a server of one's own, as JSON, which has no trouble with letters beyond ASCII as headers
//! have.

mod ntfy;
mod payload;
mod settings;

pub use ntfy::Ntfy;
pub use settings::Settings;

cofre_sdk::export_notifier!(Ntfy);
