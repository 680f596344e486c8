//! One set: what is in it, where its copies are, how it was verified, its log, its pin.

use askama::Template;
use jiff::Timestamp;

use super::frame::Frame;
use super::part::{Alert, Fact, Pager, Tone};
use super::written;

/// What the page of one set shows.
///
/// Its forms post to `/sets/{name}`: `action` = `pin`, `unpin`, or `verify` with `destination` (empty: all).
#[derive(Debug, Clone)]
pub struct Set {
    /// Name.
    pub name: String,
    /// How it is.
    pub tone: Tone,
    /// In a word.
    pub word: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Bytes before compression.
    pub plain: u64,
    /// Bytes stored, of one copy.
    pub stored: u64,
    /// Further facts: job, compression, encryption, position of the binary log, tags.
    pub facts: Vec<Fact>,
    /// What is wrong with it.
    pub problems: Vec<Alert>,
    /// Its artifacts; about a hundred.
    pub artifacts: Vec<Artifact>,
    /// Links to the other artifacts.
    pub pager: Pager,
    /// What the artifacts were searched for, by GET as `q`.
    pub query: String,
    /// Its copies.
    pub copies: Vec<Copy>,
    /// Verifications, drills and repairs, newest first.
    pub history: Vec<Proof>,
    /// Whether the user may pin it and verify it.
    pub may_run: bool,
    /// Whether the user may restore it.
    pub may_restore: bool,
    /// The `cofre` command that shows the same.
    pub command: String,
}

/// One artifact.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// Path in the set.
    pub path: String,
    /// What it holds: a schema, a directory.
    pub source: String,
    /// How it is.
    pub tone: Tone,
    /// Bytes before compression.
    pub plain: u64,
    /// Bytes stored.
    pub stored: u64,
}

/// One copy.
#[derive(Debug, Clone)]
pub struct Copy {
    /// Destination.
    pub destination: String,
    /// How it is.
    pub tone: Tone,
    /// In a word.
    pub word: String,
    /// Bytes there.
    pub bytes: u64,
    /// When it was last read back and found right.
    pub verified: Option<Timestamp>,
}

/// One verification, drill or repair.
#[derive(Debug, Clone)]
pub struct Proof {
    /// When.
    pub at: Timestamp,
    /// What it was.
    pub kind: String,
    /// What came of it.
    pub tone: Tone,
    /// In words.
    pub detail: String,
}

#[derive(Template)]
#[template(path = "page/set.html")]
struct Page<'a> {
    frame: &'a Frame,
    view: &'a Set,
    title: &'a str,
}

/// The page of one set as HTML.
pub fn render(frame: &Frame, view: &Set) -> String {
    written(&Page { frame, view, title: &view.name })
}

impl Set {
    fn seconds(&self) -> Option<u64> {
        self.finished.map(|finished| u64::try_from(finished.as_second() - self.started.as_second()).unwrap_or(0))
    }

    fn saving(&self) -> f64 {
        if self.plain == 0 { 0.0 } else { 1.0 - self.stored as f64 / self.plain as f64 }
    }
}
