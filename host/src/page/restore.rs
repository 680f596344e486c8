//! The restore wizard: set, what, where, what will happen. Each step is a GET whose query carries what was chosen before, so that one can
//! go back, or send somebody the address; only the last one posts.

use askama::Template;
use jiff::Timestamp;

use super::frame::{Frame, Section};
use super::part::{Alert, Choice, Fact, Pager, Tone};
use super::written;

/// What the wizard shows.
#[derive(Debug, Clone)]
pub struct Restore {
    /// The step.
    pub step: Step,
    /// What was chosen in the steps before, as it is asked for again: name and value.
    pub carried: Vec<(String, String)>,
    /// What was chosen, in words.
    pub chosen: Vec<Fact>,
    /// What is wrong with what was chosen; in words.
    pub faults: Vec<String>,
    /// The command that does the same, as far as it is chosen.
    pub command: String,
}

/// A step of the wizard.
#[derive(Debug, Clone)]
pub enum Step {
    /// Which set: asks for `set`, and `from` (empty: the best copy).
    Set(PickSet),
    /// What of it: asks for `artifact`, or, inside one, for `item` (some) and `path` (typed).
    What(PickWhat),
    /// Where to: asks for `target` (`schema`, `directory`, `download`), `schema`, `server`, `directory`, `replace` (`yes`).
    Where(PickWhere),
    /// What will happen: posts `confirm` (the name of the target) and the carried values to `/restore`; the answer leads to `/runs/{task}`.
    Plan(Plan),
}

/// Sets to choose from.
#[derive(Debug, Clone)]
pub struct PickSet {
    /// The sets, newest first.
    pub sets: Vec<Candidate>,
    /// Links to others.
    pub pager: Pager,
    /// Destinations to read from; the first, empty, is the best copy.
    pub sources: Vec<Choice>,
}

/// A set to choose.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Name.
    pub name: String,
    /// When it began.
    pub started: Timestamp,
    /// How it is.
    pub tone: Tone,
    /// In a word.
    pub word: String,
    /// What it holds, and where it is, in a line.
    pub content: String,
    /// Whether it is the chosen one.
    pub chosen: bool,
}

/// Things to choose from.
#[derive(Debug, Clone)]
pub struct PickWhat {
    /// Artifacts of the set; about a hundred.
    pub artifacts: Vec<Choosable>,
    /// Links to others.
    pub pager: Pager,
    /// What was searched for, by GET as `q`.
    pub query: String,
    /// Inside one artifact: its tables, or its files in one directory.
    pub inside: Option<Inside>,
}

/// One thing to choose.
#[derive(Debug, Clone)]
pub struct Choosable {
    /// What is asked for; empty where it cannot be chosen.
    pub value: String,
    /// What is shown.
    pub label: String,
    /// Its size and kind, in a line.
    pub detail: String,
    /// Whether it is a schema, a table, a directory or a file.
    pub kind: Thing,
    /// Whether it is chosen.
    pub chosen: bool,
    /// The query that opens it, beginning with `?`, where there is something inside.
    pub open: Option<String>,
}

/// What can be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thing {
    /// A database.
    Schema,
    /// A table.
    Table,
    /// A directory.
    Directory,
    /// A file.
    File,
}

/// Inside an artifact.
#[derive(Debug, Clone)]
pub struct Inside {
    /// The way to here: name and query, beginning with `?`.
    pub path: Vec<(String, String)>,
    /// What is here; about two hundred.
    pub entries: Vec<Choosable>,
    /// Whether several can be chosen.
    pub many: bool,
    /// A path that is typed rather than found, beginning here; none for tables.
    pub typed: Option<String>,
    /// Links to others.
    pub pager: Pager,
}

/// Where to.
#[derive(Debug, Clone)]
pub struct PickWhere {
    /// Database servers to restore to; none for files.
    pub servers: Vec<Choice>,
    /// Suggested name of a new schema; none for files.
    pub schema: Option<String>,
    /// Suggested directory; none for what goes into a database only.
    pub directory: Option<String>,
    /// Whether files that are there are replaced.
    pub replace: bool,
    /// Whether it can be downloaded, and if not, why not; in words.
    pub download: Result<(), String>,
    /// Which way is chosen: `schema`, `directory`, `download`.
    pub target: String,
}

/// What will happen.
#[derive(Debug, Clone)]
pub struct Plan {
    /// In order, in words: what is fetched, opened, written.
    pub actions: Vec<String>,
    /// Facts: bytes to fetch, bytes to write, time expected.
    pub facts: Vec<Fact>,
    /// What would be lost or is in the way.
    pub warnings: Vec<Alert>,
    /// What must be typed to go on.
    pub target: String,
    /// Address to download from, which takes no confirmation: it changes nothing.
    pub download: Option<String>,
    /// Whether it can be done at all.
    pub possible: bool,
}

#[derive(Template)]
#[template(path = "page/restore.html")]
struct Page<'a> {
    frame: &'a Frame,
    view: &'a Restore,
    title: &'a str,
    steps: [Milestone<'a>; 4],
}

struct Milestone<'a> {
    name: &'a str,
    past: bool,
    now: bool,
}

/// The wizard as HTML.
pub fn render(frame: &Frame, view: &Restore) -> String {
    let names = [
        frame.t("Conjunto", "Set"),
        frame.t("O que", "What"),
        frame.t("Para onde", "Where to"),
        frame.t("Conferir e confirmar", "Check and confirm"),
    ];
    let at = match view.step {
        Step::Set(_) => 0,
        Step::What(_) => 1,
        Step::Where(_) => 2,
        Step::Plan(_) => 3,
    };
    let steps = [0, 1, 2, 3].map(|index| Milestone { name: names[index], past: index < at, now: index == at });
    written(&Page { frame, view, title: Section::Restore.title(frame.locale), steps })
}

impl Thing {
    fn icon(self) -> &'static str {
        match self {
            Self::Schema => "database",
            Self::Table => "list",
            Self::Directory => "folder",
            Self::File => "file",
        }
    }
}

impl Choosable {
    fn icon(&self, frame: &Frame) -> super::Html {
        frame.icon(self.kind.icon())
    }
}
