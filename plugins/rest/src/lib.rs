//! Keeps objects on a plain HTTP server: PUT, GET with ranges, HEAD, DELETE and one listing, with a bearer token; large objects go up by
//! tus 1.0 where the server has it. `README.md` is the protocol, small enough that anybody can write a server in an afternoon.

mod address;
mod client;
mod error;
mod settings;
mod store;
mod transport;
mod upload;

pub use settings::Settings;
pub use store::Rest;
pub use upload::RestUpload;

cofre_sdk::export_destination!(Rest);
