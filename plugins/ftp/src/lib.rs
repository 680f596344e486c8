//! Keeps objects as files on an FTP server (RFC 959, 2228, 2389, 2428, 3659, 4217): plain, with explicit or with implicit TLS.
//! An object grows under a temporary name beside its place, continued by `REST`, and one `RNFR`/`RNTO` makes it appear.

mod client;
mod entry;
mod error;
mod key;
mod line;
mod listing;
mod server;
mod settings;
mod store;
mod tls;
mod transfer;
mod upload;

pub use settings::{Settings, Tls};
pub use store::Ftp;
pub use upload::FtpUpload;

cofre_sdk::export_destination!(Ftp);
