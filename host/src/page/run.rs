//! Runs: begin one, see what is at work and what was, and follow one while it goes.

use askama::Template;
use jiff::Timestamp;

use super::frame::{Frame, Section};
use super::part::{Alert, Choice, Fact, LogLine, Pager, Tone};
use super::written;
use crate::text::Locale;

/// What the page `/runs` shows.
///
/// Its form posts to `/runs`: `only` (many), `destination` (many), `tag`. None of them: everything to everywhere.
#[derive(Debug, Clone)]
pub struct Runs {
    /// What can be chosen to run; none where the user may not.
    pub start: Option<Start>,
    /// Tasks at work.
    pub active: Vec<Row>,
    /// Tasks that have ended, newest first.
    pub past: Vec<Row>,
    /// Links to earlier ones.
    pub pager: Pager,
}

/// What can be chosen to run.
#[derive(Debug, Clone)]
pub struct Start {
    /// Databases and directories.
    pub sources: Vec<Choice>,
    /// Destinations.
    pub destinations: Vec<Choice>,
    /// The same as a command.
    pub command: String,
}

/// One task of the list.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its name in addresses.
    pub task: String,
    /// What it does.
    pub kind: Kind,
    /// To what: a set, a tenant; may be empty.
    pub object: String,
    /// How it stands.
    pub state: State,
    /// Begin.
    pub started: Timestamp,
    /// End.
    pub finished: Option<Timestamp>,
    /// Who began it.
    pub by: String,
}

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A backup.
    Run,
    /// Copies are gone on with.
    Resume,
    /// Copies are read back.
    Verify,
    /// Something is brought back.
    Restore,
    /// A restore is rehearsed.
    Drill,
    /// Retention is applied.
    Prune,
    /// A copy is made whole.
    Repair,
    /// A tenant's backup is made and sent.
    Tenant,
    /// A destination or a notifier is tried.
    Test,
}

/// How a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It waits for its turn.
    Queued,
    /// It is at work.
    Running,
    /// It is told to end.
    Cancelling,
    /// It ended well.
    Done,
    /// It ended with warnings.
    Warnings,
    /// It failed.
    Failed,
    /// It was ended.
    Cancelled,
}

/// What the page `/runs/{task}` shows.
///
/// With `may_cancel` its form posts to its own address: `action` = `cancel`. What comes by SSE at `events` makes the page ask for itself
/// again, at most once a second; events named `log` are appended to the log, as text or as JSON with `line`, `text` or `message`; `end`
/// ends it.
#[derive(Debug, Clone)]
pub struct Task {
    /// Its name in addresses.
    pub task: String,
    /// What it does.
    pub kind: Kind,
    /// To what: a set, a tenant; may be empty.
    pub object: String,
    /// How it stands.
    pub state: State,
    /// Begin.
    pub started: Timestamp,
    /// End.
    pub finished: Option<Timestamp>,
    /// Who began it.
    pub by: String,
    /// How much is done, 0 to 1, where that is known.
    pub share: Option<f64>,
    /// Each artifact.
    pub artifacts: Vec<Part>,
    /// Each destination.
    pub destinations: Vec<Part>,
    /// End of the log.
    pub log: Vec<LogLine>,
    /// What is wrong.
    pub problems: Vec<Alert>,
    /// What came of it.
    pub result: Vec<Fact>,
    /// Digests of what was restored or made.
    pub digests: Vec<Digest>,
    /// A set to go on with.
    pub set: Option<String>,
    /// Where a file that came of it can be had, from `/` on.
    pub download: Option<String>,
    /// Whether the user may end it.
    pub may_cancel: bool,
    /// Where its events come from, from `/` on.
    pub events: String,
    /// The same as a command; may be empty.
    pub command: String,
}

/// What is done of one artifact, or towards one destination.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// How it stands.
    pub tone: Tone,
    /// In a word: "lendo", "comprimindo", "enviando", "completo".
    pub stage: String,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all, where that is known.
    pub total: Option<u64>,
    /// Bytes a second.
    pub rate: Option<u64>,
    /// Seconds that it will take.
    pub left: Option<u64>,
}

/// A digest, and whether it is the expected one.
#[derive(Debug, Clone)]
pub struct Digest {
    /// Of what.
    pub name: String,
    /// Algorithm: `SHA-256`, `CHECKSUM TABLE`.
    pub algorithm: String,
    /// The digest.
    pub value: String,
    /// Whether it is as in the backup.
    pub matches: bool,
}

#[derive(Template)]
#[template(path = "page/runs.html")]
struct ListPage<'a> {
    frame: &'a Frame,
    view: &'a Runs,
    title: &'a str,
}

#[derive(Template)]
#[template(path = "page/run.html")]
struct TaskPage<'a> {
    frame: &'a Frame,
    view: &'a Task,
    title: String,
}

/// The page `/runs` as HTML.
pub fn render_list(frame: &Frame, view: &Runs) -> String {
    written(&ListPage { frame, view, title: Section::Runs.title(frame.locale) })
}

/// The page of one task as HTML.
pub fn render(frame: &Frame, view: &Task) -> String {
    let kind = view.kind.word(frame.locale);
    let title = if view.object.is_empty() { kind.to_owned() } else { format!("{kind}: {}", view.object) };
    written(&TaskPage { frame, view, title })
}

impl Kind {
    /// Its name.
    pub fn word(self, locale: Locale) -> &'static str {
        let (portuguese, english) = match self {
            Self::Run => ("Backup", "Backup"),
            Self::Resume => ("Retomada de cópias", "Copies resumed"),
            Self::Verify => ("Verificação de integridade", "Verification"),
            Self::Restore => ("Restauração", "Restore"),
            Self::Drill => ("Teste de restauração", "Restore drill"),
            Self::Prune => ("Limpeza", "Clean-up"),
            Self::Repair => ("Reparo de cópia", "Repair of a copy"),
            Self::Tenant => ("Backup individual", "Tenant backup"),
            Self::Test => ("Teste de conexão", "Connection test"),
        };
        locale.pick(portuguese, english)
    }
}

impl State {
    fn tone(self) -> Tone {
        match self {
            Self::Queued | Self::Cancelled => Tone::Plain,
            Self::Running | Self::Cancelling => Tone::Busy,
            Self::Done => Tone::Good,
            Self::Warnings => Tone::Warn,
            Self::Failed => Tone::Bad,
        }
    }

    fn word(self, locale: Locale) -> &'static str {
        let (portuguese, english) = match self {
            Self::Queued => ("na fila", "queued"),
            Self::Running => ("em andamento", "in progress"),
            Self::Cancelling => ("cancelando", "cancelling"),
            Self::Done => ("concluído", "done"),
            Self::Warnings => ("concluído com avisos", "done, with warnings"),
            Self::Failed => ("falhou", "failed"),
            Self::Cancelled => ("cancelado", "cancelled"),
        };
        locale.pick(portuguese, english)
    }

    fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Warnings | Self::Failed | Self::Cancelled)
    }
}

impl Row {
    fn kind(&self, frame: &Frame) -> &'static str {
        self.kind.word(frame.locale)
    }

    fn badge(&self, frame: &Frame) -> super::Html {
        frame.badge(self.state.tone(), self.state.word(frame.locale))
    }

    fn seconds(&self, frame: &Frame) -> u64 {
        u64::try_from(self.finished.unwrap_or(frame.now).as_second() - self.started.as_second()).unwrap_or(0)
    }
}

impl Task {
    fn word(&self, frame: &Frame) -> &'static str {
        self.state.word(frame.locale)
    }

    fn class(&self) -> &'static str {
        self.state.tone().class()
    }

    fn icon(&self, frame: &Frame) -> super::Html {
        frame.icon(self.state.tone().icon())
    }

    fn is_over(&self) -> bool {
        self.state.is_over()
    }

    fn seconds(&self, frame: &Frame) -> u64 {
        u64::try_from(self.finished.unwrap_or(frame.now).as_second() - self.started.as_second()).unwrap_or(0)
    }

    /// What is read out when it changes: tens of percent, not each step.
    fn said(&self, frame: &Frame) -> String {
        let word = self.state.word(frame.locale);
        match self.share.filter(|_| !self.state.is_over()) {
            Some(share) => format!("{word}, {:.0} %", (share * 10.0).floor() * 10.0),
            None => word.to_owned(),
        }
    }
}

impl Part {
    fn share(&self) -> Option<f64> {
        let total = self.total.filter(|total| *total > 0)?;
        Some((self.done as f64 / total as f64).clamp(0.0, 1.0))
    }

    fn amount(&self, frame: &Frame) -> String {
        match self.total {
            Some(total) if total != self.done => format!("{} {} {}", frame.size(self.done), frame.t("de", "of"), frame.size(total)),
            _ => frame.size(self.done),
        }
    }

    /// How fast, and how long still.
    fn pace(&self, frame: &Frame) -> String {
        let rate = self.rate.map(|rate| format!("{}/s", frame.size(rate)));
        let left = self.left.map(|left| match frame.locale {
            Locale::PtBr => format!("faltam {}", frame.short(left)),
            Locale::En => format!("{} left", frame.short(left)),
        });
        [rate, left].into_iter().flatten().collect::<Vec<_>>().join(" · ")
    }
}
