//! Keeps objects in a container of Azure Blob Storage as block blobs, authorised by an account key (Shared Key) or a SAS token.
//! An object of one part is a single Put Blob at `finish`; a larger one is one block a write, put together by Put Block List at `finish`.

mod address;
mod client;
mod digest;
mod error;
mod sas;
mod settings;
mod sign;
mod store;
mod transport;
mod upload;
mod xml;

#[cfg(test)]
mod fake;

pub use settings::Settings;
pub use store::AzureBlob;
pub use upload::AzureUpload;

cofre_sdk::export_destination!(AzureBlob);
