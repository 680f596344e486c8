//! Keeps objects as files on a server that speaks SSH (RFC 4251 to 4254) with the SFTP subsystem (draft-ietf-secsh-filexfer-02, version 3,
//! and OpenSSH's extensions). An object appears under its name only whole: bytes go to a partial file, which one rename turns into the object.

mod client;
mod error;
mod host_key;
mod key;
mod listing;
mod login;
mod settings;
mod sftp;
mod store;
mod transfer;
mod upload;
mod wire;

pub use settings::Settings;
pub use store::Sftp;
pub use upload::SftpUpload;

cofre_sdk::export_destination!(Sftp);
