//! Tells chats of Telegram through a bot (Bot API, `sendMessage`, `sendDocument`, `sendMediaGroup`). The bot's token is part of every
//! address, so nothing of an address is ever shown.

mod bot;
mod payload;
mod settings;
mod telegram;

pub use settings::Settings;
pub use telegram::Telegram;

cofre_sdk::export_notifier!(Telegram);
