//! Write plug-ins for cofre: implement [`Destination`] or [`Notifier`], export it by one line, and compile for `wasm32-wasip2`.
//!
//! ```
//! use cofre_sdk::{Body, Destination, Error, Limits, Object, Page, Range, Result, Sink, Upload};
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Settings {
//!     /// Name of the shelf to put objects on.
//!     shelf: String,
//! }
//!
//! struct Shelf(Settings);
//! struct Parcel;
//!
//! impl Destination for Shelf {
//!     type Settings = Settings;
//!     type Upload = Parcel;
//!     const NAME: &'static str = "shelf";
//!     const VERSION: &'static str = "1.0.0";
//!     const SUMMARY: &'static str = "Puts objects on a shelf.";
//!
//!     fn open(settings: Settings) -> Result<Self> {
//!         if settings.shelf.is_empty() {
//!             return Err(Error::invalid_config("/shelf is empty; name one"));
//!         }
//!         Ok(Self(settings))
//!     }
//!     fn probe(&self) -> Result<Limits> {
//!         Ok(Limits { part_size: None, max_object_size: None, parallel_uploads: 1, free_bytes: None })
//!     }
//!     fn begin(&self, _key: &str, _size: Option<u64>) -> Result<Parcel> { Ok(Parcel) }
//!     fn resume(&self, key: &str, _token: &str) -> Result<Parcel> { Err(Error::session_lost(format!("nothing is left of {key}"))) }
//!     fn read(&self, key: &str, _range: Range, _sink: &mut Sink) -> Result<()> { Err(Error::not_found(key)) }
//!     fn stat(&self, key: &str) -> Result<Object> { Err(Error::not_found(key)) }
//!     fn list(&self, _prefix: &str, _cursor: Option<&str>) -> Result<Page> { Ok(Page::default()) }
//!     fn delete(&self, _key: &str) -> Result<()> { Ok(()) }
//! }
//!
//! impl Upload for Parcel {
//!     fn token(&self) -> String { String::new() }
//!     fn offset(&self) -> u64 { 0 }
//!     fn write(&mut self, body: &mut Body) -> Result<u64> { Ok(std::io::copy(body, &mut std::io::sink())?) }
//!     fn finish(&mut self) -> Result<Object> { Err(Error::unsupported("this shelf is full")) }
//!     fn abort(&mut self) -> Result<()> { Ok(()) }
//! }
//!
//! cofre_sdk::export_destination!(Shelf);
//! # fn main() {}
//! ```
//!
//! [`Notifier`] has a whole notifier. Every item shows how it is used, and the verbs of the two traits how they are written.
//!
//! The contract itself, with what a plug-in may count on, is `wit/v1.0/cofre.wit`; the guide is `docs/writing-plugins.md`.
//! Everything here also compiles natively, so that a plug-in's own tests are plain `cargo test`; the feature `testing` gives them a host
//! and the conformance suite.

#[doc(hidden)]
pub mod bindings;
mod body;
mod destination;
mod error;
pub mod files;
mod host;
pub mod http;
mod notifier;
mod plugin;
pub mod settings;
#[cfg(feature = "testing")]
pub mod testing;

pub use body::{Body, Sink};
pub use destination::{Destination, Limits, Object, Page, Range, Upload};
pub use error::{Context, Error, ErrorKind, Result};
pub use host::{Level, Secret, log, optional_secret, secret, trust_roots};
pub use notifier::{Attachment, Message, Notifier, Severity};
pub use plugin::{NetworkNeed, SecretNeed};

/// For the export macros alone.
#[doc(hidden)]
pub mod __private {
    pub use crate::destination::{DestinationAdapter, Session};
    pub use crate::notifier::NotifierAdapter;
}
