//! Directories as a source: what is left out, how they are read into a tar, and how a tar becomes files again.

mod archive;
mod exclude;
mod extract;
mod names;

pub use archive::{FilesError, archive};
pub use extract::{ExtractError, ExtractOptions, ExtractReport, Selection, extract};
pub use names::{artifact_stem, artifact_stems};
