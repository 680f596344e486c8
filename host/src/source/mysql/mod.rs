//! MySQL and MariaDB as a source: one consistent snapshot over all schemas (D3), read by several connections at once into
//! dumps that the plain client loads (D2), and loaded again, whole, by schema or by table.
//!
//! The dump is documented in `docs/formats/dump.md`, the digests of the passport in `docs/formats/passport.md`.

mod compare;
mod connection;
mod definitions;
mod dump;
mod error;
mod events;
mod grants;
mod large;
mod literal;
mod load;
mod names;
mod objects;
mod own_name;
mod ping;
mod pool;
mod rights;
mod rows;
mod scratch;
mod script;
mod snapshot;
mod swap;
mod tokens;

pub use compare::{Difference, compare, compare_definitions, passport_of};
pub use dump::DumpContext;
pub use error::MysqlError;
pub use load::{ENTRY_MAX, LoadOptions, LoadReport, Loader};
pub use objects::Remarks;
pub use ping::ping;
pub use rights::Lack;
pub use scratch::{ScratchNeeds, ScratchSchemas};
pub use snapshot::Snapshot;
pub use swap::Staging;
