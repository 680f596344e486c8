//! Tells a channel of Slack, or of a service with the same interface (Mattermost, Rocket.Chat), through an incoming webhook. The
//! webhook's address is itself the secret.

mod payload;
mod settings;
mod slack;

pub use settings::Settings;
pub use slack::Slack;

cofre_sdk::export_notifier!(Slack);
