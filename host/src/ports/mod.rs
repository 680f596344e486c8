//! The traits and plain data through which the use cases in `job/` reach the world.
//!
//! Everything below `job/` (sources, pipeline, plug-ins, catalogue) depends on this module and never on each other's
//! insides, so that each can be read, replaced and tested alone. Nothing here does I/O.

mod bandwidth;
mod destination;
mod meter;
mod notifier;
mod settings;
mod source;

pub use bandwidth::{Bandwidth, BandwidthLimit};
pub use destination::{
    BodySink, BodySource, Destination, DestinationError, DestinationErrorKind, Limits, Object, ObjectPage, Upload, body_sink,
};
pub use meter::{Meter, PartKind, PartProgress, Warning, Warnings};
pub use notifier::{Attachment, Message, Notifier, Severity};
pub use settings::{
    DestinationSettings, DirectorySettings, Grants, MysqlEndpoint, MysqlSettings, MysqlTls, NetworkPattern, PatternError, PluginLimits,
    PluginSettings, SecretText, TlsMode, TrustedKey, key_name, name_pattern,
};
pub use source::{
    DirectoryPassport, DumpEntry, ObjectKind, ObjectPassport, SchemaPassport, ServerInfo, SnapshotPosition, SpareBuffers, TableKind,
    TablePassport,
};
