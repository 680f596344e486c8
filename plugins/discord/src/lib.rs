//! Tells a channel of Discord through a webhook. The webhook's address is itself the secret.

mod discord;
mod payload;
mod settings;

pub use discord::Discord;
pub use settings::Settings;

cofre_sdk::export_notifier!(Discord);
