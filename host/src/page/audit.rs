//! The audit log: whether its chain holds, and what was done by whom.

use askama::Template;
use jiff::Timestamp;
use jiff::civil::Date;

use super::frame::{Frame, Section};
use super::part::{Choice, Pager, Tone};
use super::written;

/// What `/audit` shows. Filters are asked for by GET as `action`, `by`, `day`.
#[derive(Debug, Clone)]
pub struct Audit {
    /// Whether the chain holds.
    pub chain: Chain,
    /// Actions to choose from.
    pub actions: Vec<Choice>,
    /// What was searched for as who.
    pub by: String,
    /// The chosen day.
    pub day: Option<Date>,
    /// The entries, newest first; about a hundred.
    pub entries: Vec<Entry>,
    /// Links to others.
    pub pager: Pager,
    /// The same as a command.
    pub command: String,
}

/// How it stands with the chain.
#[derive(Debug, Clone)]
pub enum Chain {
    /// Each entry is as it was written, and none is missing.
    Whole {
        /// Entries.
        entries: u64,
        /// Digest of the last one, hex.
        head: String,
        /// When it was looked at.
        checked: Timestamp,
    },
    /// Something was changed, or is missing; in words.
    Broken {
        /// What.
        findings: Vec<String>,
    },
}

/// One entry.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its number.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// What, in words.
    pub action: String,
    /// To what.
    pub object: String,
    /// What came of it.
    pub tone: Tone,
    /// In a word.
    pub outcome: String,
    /// Further facts, in a line.
    pub detail: String,
}

#[derive(Template)]
#[template(path = "page/audit.html")]
struct Page<'a> {
    frame: &'a Frame,
    view: &'a Audit,
    title: &'a str,
}

/// `/audit` as HTML.
pub fn render(frame: &Frame, view: &Audit) -> String {
    written(&Page { frame, view, title: Section::Audit.title(frame.locale) })
}
