//! Keeps objects as files in the one directory that was granted: a disk, a NAS mount, a USB drive.
//! An object appears under its name only whole: bytes go to a partial file, which one rename turns into the object.

mod key;
mod listing;
mod settings;
mod store;
mod upload;

pub use settings::Settings;
pub use store::Local;
pub use upload::LocalUpload;

cofre_sdk::export_destination!(Local);
