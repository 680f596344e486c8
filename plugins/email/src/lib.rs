//! Tells people by e-mail (RFC 5322, MIME) over SMTP (RFC 5321): submission with STARTTLS or implicit TLS, and a login.
//! lettre words the message; files go from their streams through Base64 into the connection, so that none is ever held whole.

mod address;
mod client;
mod error;
mod login;
mod mail;
mod notifier;
mod reply;
mod settings;
mod tls;
mod wire;

#[cfg(test)]
mod fake;

pub use notifier::Email;
pub use settings::{Auth, Settings, Tls};

cofre_sdk::export_notifier!(Email);
