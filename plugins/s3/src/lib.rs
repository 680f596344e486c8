//! Keeps objects in a bucket of Amazon S3 or of any service that speaks its protocol: SigV4, multipart uploads, ListObjectsV2, ranges.
//! An object of one part is a single PUT at `finish`; a larger one is a multipart upload, one part a write, completed at `finish`.

mod address;
mod client;
mod error;
mod lock;
mod settings;
mod store;
mod transport;
mod upload;
mod xml;

#[cfg(test)]
mod fake;

pub use settings::Settings;
pub use store::S3;
pub use upload::S3Upload;

cofre_sdk::export_destination!(S3);
