//! Keeps objects in Google Drive, as files in real folders, through version 3 of its API: resumable upload sessions, shared drives,
//! service accounts and refresh tokens. A session creates no file until its last byte is there, so `finish` sends that one.

mod auth;
mod client;
mod error;
mod folders;
mod listing;
mod settings;
mod store;
mod transport;
mod upload;

#[cfg(test)]
mod fake;

pub use settings::Settings;
pub use store::GoogleDrive;
pub use upload::DriveUpload;

cofre_sdk::export_destination!(GoogleDrive);
