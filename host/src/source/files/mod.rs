//! Directories as a source: what is left out, how they are read into a tar, and how a tar becomes files again.

mod accounts;
mod archive;
mod attributes;
mod beneath;
mod cat;
mod compare;
mod content;
mod exclude;
mod extract;
mod links;
mod listing;
mod mounts;
mod prove;
#[cfg(test)]
mod tests;

pub use accounts::user_name;
pub use archive::{FilesError, archive};
pub use cat::{Cat, cat_entry};
pub use compare::{TreeDifference, compare_trees};
pub use extract::{ExtractError, ExtractOptions, ExtractReport, Selection, extract, extract_with_links};
pub use mounts::skipped_mounts;
pub use prove::{TreeProof, prove_tree};
