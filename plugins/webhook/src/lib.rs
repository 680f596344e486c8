//! Posts each message as JSON to an address of the administrator's own, signed so that the receiver can tell who sent it; or as whatever
//! a template makes of it.

mod hook;
mod payload;
mod settings;
mod signature;
mod template;

pub use hook::Webhook;
pub use settings::{Method, Settings};

cofre_sdk::export_notifier!(Webhook);
