//! Keeps objects in Dropbox through version 2 of its API: upload sessions, app folders, team folders. The service's own digest of the
//! content is computed while an object is written and compared at its end, over interruptions and restarts too.

mod auth;
mod client;
mod content_hash;
mod error;
mod settings;
mod store;
mod transport;
mod upload;

#[cfg(test)]
mod fake;

pub use settings::Settings;
pub use store::Dropbox;
pub use upload::DropboxUpload;

cofre_sdk::export_destination!(Dropbox);
