//! Keeps objects on a WebDAV server (RFC 4918): Nextcloud, ownCloud, Apache, a NAS, a hosted storage box.
//! An upload goes to a name of its own and is moved to its key at `finish`; how it is resumed depends on what the server can (`upload`).

mod address;
mod auth;
mod client;
mod error;
mod folders;
mod listing;
mod multistatus;
mod settings;
mod store;
mod transport;
mod upload;

#[cfg(test)]
mod fake;

pub use settings::Settings;
pub use store::Webdav;
pub use upload::WebdavUpload;

cofre_sdk::export_destination!(Webdav);
