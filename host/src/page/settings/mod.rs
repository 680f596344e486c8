//! The settings: what is set up and how it is; a form for each thing; the difference before anything is written.

mod fields;

use askama::Template;
use jiff::Timestamp;

use super::form::{Field, Input};
use super::frame::{Frame, Section};
use super::part::{Choice, Fact, Html, Tone};
use super::written;
use crate::text::Locale;

pub use fields::{
    Database, Directory, Grants, Hearing, Job, RetentionRules, database_fields, directory_fields, grant_fields, hearing_fields, job_fields,
    name_field, retention_fields,
};

/// A part of the settings, with an address of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// `/settings/databases`
    Databases,
    /// `/settings/directories`
    Directories,
    /// `/settings/destinations`
    Destinations,
    /// `/settings/notifiers`
    Notifiers,
    /// `/settings/schedules`
    Schedules,
    /// `/settings/retention`
    Retention,
}

impl Area {
    /// All of them, in their order.
    pub const ALL: [Self; 6] = [Self::Databases, Self::Directories, Self::Destinations, Self::Notifiers, Self::Schedules, Self::Retention];

    /// The last part of its address.
    pub fn name(self) -> &'static str {
        match self {
            Self::Databases => "databases",
            Self::Directories => "directories",
            Self::Destinations => "destinations",
            Self::Notifiers => "notifiers",
            Self::Schedules => "schedules",
            Self::Retention => "retention",
        }
    }

    /// The area of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|area| area.name() == name)
    }

    /// Its title; the mission's words where it has them.
    pub fn title(self, locale: Locale) -> &'static str {
        let (portuguese, english) = match self {
            Self::Databases => ("Configurações de Banco de Dados", "Databases"),
            Self::Directories => ("Diretórios e exclusões", "Directories and exclusions"),
            Self::Destinations => ("Configuração de Armazenamento", "Destinations"),
            Self::Notifiers => ("Configuração de Notificações", "Notifications"),
            Self::Schedules => ("Tarefas Agendadas", "Schedules"),
            Self::Retention => ("Retenção", "Retention"),
        };
        locale.pick(portuguese, english)
    }

    fn short(self, locale: Locale) -> &'static str {
        let (portuguese, english) = match self {
            Self::Databases => ("Bancos de dados", "Databases"),
            Self::Directories => ("Diretórios", "Directories"),
            Self::Destinations => ("Destinos", "Destinations"),
            Self::Notifiers => ("Notificações", "Notifications"),
            Self::Schedules => ("Agendamentos", "Schedules"),
            Self::Retention => ("Retenção", "Retention"),
        };
        locale.pick(portuguese, english)
    }

    fn icon(self) -> &'static str {
        match self {
            Self::Databases => "database",
            Self::Directories => "folder",
            Self::Destinations => "stack",
            Self::Notifiers => "mail",
            Self::Schedules => "play",
            Self::Retention => "pin",
        }
    }
}

/// What `/settings` shows.
///
/// With `may_write` its form posts to `/settings`: `action` = `enable`, and `enabled` = `on` or nothing. The answer is a [`Difference`].
#[derive(Debug, Clone)]
pub struct Overview {
    /// "Habilitar Backup": whether jobs begin by themselves.
    pub enabled: bool,
    /// Each area with a line about it, and how it is.
    pub areas: Vec<(Area, String, Tone)>,
    /// Path of the configuration, of its last backup, what language and time zone it has.
    pub facts: Vec<Fact>,
    /// What is wrong with the configuration, in words.
    pub faults: Vec<String>,
    /// Whether the user may change it.
    pub may_write: bool,
}

/// What `/settings/{area}` shows: the things that there are, and the form of one.
///
/// The form posts to `/settings/{area}`: `action` = `save`, `test` or `remove`; `name` (what it is called now, empty for a new one), and the
/// fields. `save` and `remove` are answered with a [`Difference`], `test` with this page and a [`Trial`]. One thing is chosen by GET as `name`;
/// a new one by `new` = its plug-in, or `new` = `yes`.
#[derive(Debug, Clone)]
pub struct Editor {
    /// The area.
    pub area: Area,
    /// What there is.
    pub items: Vec<Item>,
    /// Plug-ins that a new one may have; empty where it has none.
    pub plugins: Vec<Choice>,
    /// The form.
    pub form: Option<Form>,
    /// Whether the user may change it.
    pub may_write: bool,
}

/// A thing that is set up.
#[derive(Debug, Clone)]
pub struct Item {
    /// Name.
    pub name: String,
    /// What it is, in a line.
    pub summary: String,
    /// How it is.
    pub tone: Tone,
    /// In a word.
    pub word: String,
}

/// The form of one thing.
#[derive(Debug, Clone)]
pub struct Form {
    /// What it is called now; empty for a new one.
    pub name: String,
    /// The plug-in; empty where there is none.
    pub plugin: String,
    /// The fields.
    pub fields: Vec<Field>,
    /// Faults that no field has.
    pub faults: Vec<String>,
    /// Whether it can be tried.
    pub can_test: bool,
    /// What came of trying.
    pub trial: Option<Trial>,
}

/// What came of "test connection".
#[derive(Debug, Clone)]
pub struct Trial {
    /// How it went.
    pub tone: Tone,
    /// In a sentence.
    pub text: String,
    /// What the service said: free space, version.
    pub facts: Vec<Fact>,
    /// What to do, where it went wrong.
    pub actions: Vec<String>,
}

/// What `/settings/schedules` shows beside its form: the [`Editor`] of [`Area::Schedules`] and this.
#[derive(Debug, Clone)]
pub struct Schedules {
    /// The form, as of the other areas.
    pub editor: Editor,
    /// The jobs.
    pub jobs: Vec<Scheduled>,
}

/// A job and its times.
#[derive(Debug, Clone)]
pub struct Scheduled {
    /// Name.
    pub name: String,
    /// What it does.
    pub action: String,
    /// As it is written: `0 2 * * *`.
    pub schedule: String,
    /// In words: "todos os dias às 02:00".
    pub words: String,
    /// The next five times.
    pub next: Vec<Timestamp>,
    /// How it went last.
    pub tone: Tone,
    /// When it ended last.
    pub last: Option<Timestamp>,
}

/// What `/settings/retention` shows beside its form: the [`Editor`] of [`Area::Retention`] and what the rules would keep.
///
/// A preview is asked for by the form with `action` = `preview`, and is this page again.
#[derive(Debug, Clone)]
pub struct Retention {
    /// The form, as of the other areas.
    pub editor: Editor,
    /// What the rules in the form would keep, newest first; about a hundred.
    pub preview: Vec<Kept>,
    /// Sets that stay.
    pub kept: u64,
    /// Sets that go.
    pub removed: u64,
    /// Bytes that become free.
    pub freed: u64,
}

/// What becomes of a set.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its name.
    pub set: String,
    /// Where.
    pub destination: String,
    /// When it began.
    pub started: Timestamp,
    /// Its bytes.
    pub bytes: u64,
    /// Whether it stays.
    pub stays: bool,
    /// Why, in words.
    pub reason: String,
}

/// The difference before a new configuration is written.
///
/// Its form posts to `address`: `action` = `write` and what is carried.
#[derive(Debug, Clone)]
pub struct Difference {
    /// Where the form posts to, from `/` on.
    pub address: String,
    /// The file.
    pub file: String,
    /// Where the file of now is kept.
    pub kept_as: String,
    /// The lines.
    pub lines: Vec<Line>,
    /// What is wrong with the new configuration; with any it is not written.
    pub faults: Vec<String>,
    /// What else it will mean: plug-ins to approve, sets that retention removes.
    pub consequences: Vec<String>,
    /// Hidden fields: name and value. No secret.
    pub carried: Vec<(String, String)>,
}

/// One line of a difference.
#[derive(Debug, Clone)]
pub struct Line {
    /// What it is.
    pub kind: LineKind,
    /// The line without its sign.
    pub text: String,
}

/// What a line of a difference is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    /// In both.
    Same,
    /// New.
    Added,
    /// Gone.
    Removed,
    /// Where it is.
    Place,
}

#[derive(Template)]
#[template(path = "page/settings.html")]
struct OverviewPage<'a> {
    frame: &'a Frame,
    view: &'a Overview,
    title: &'a str,
}

#[derive(Template)]
#[template(path = "page/settings-area.html")]
struct AreaPage<'a> {
    frame: &'a Frame,
    view: &'a Editor,
    title: &'a str,
    schedules: Option<&'a Schedules>,
    retention: Option<&'a Retention>,
}

#[derive(Template)]
#[template(path = "page/settings-difference.html")]
struct DifferencePage<'a> {
    frame: &'a Frame,
    view: &'a Difference,
    title: &'a str,
}

/// `/settings` as HTML.
pub fn render(frame: &Frame, view: &Overview) -> String {
    written(&OverviewPage { frame, view, title: Section::Settings.title(frame.locale) })
}

/// `/settings/{area}` as HTML, of an area that has no page of its own.
pub fn render_editor(frame: &Frame, view: &Editor) -> String {
    written(&AreaPage { frame, view, title: view.area.title(frame.locale), schedules: None, retention: None })
}

/// `/settings/schedules` as HTML.
pub fn render_schedules(frame: &Frame, view: &Schedules) -> String {
    let title = Area::Schedules.title(frame.locale);
    written(&AreaPage { frame, view: &view.editor, title, schedules: Some(view), retention: None })
}

/// `/settings/retention` as HTML.
pub fn render_retention(frame: &Frame, view: &Retention) -> String {
    let title = Area::Retention.title(frame.locale);
    written(&AreaPage { frame, view: &view.editor, title, schedules: None, retention: Some(view) })
}

/// The difference as HTML.
pub fn render_difference(frame: &Frame, view: &Difference) -> String {
    written(&DifferencePage { frame, view, title: frame.t("Conferir antes de salvar", "Look before it is saved") })
}

impl Frame {
    /// The areas, with the place of one: address, name, whether it is this one.
    fn areas(&self, now: Option<Area>) -> Vec<(&'static str, &'static str, bool)> {
        Area::ALL.into_iter().map(|area| (area.name(), area.short(self.locale), Some(area) == now)).collect()
    }
}

impl Overview {
    fn cards(&self, frame: &Frame) -> Vec<Card<'_>> {
        let mut cards = Vec::new();
        for (area, summary, tone) in &self.areas {
            let (name, title) = (area.name(), area.title(frame.locale));
            cards.push(Card { name, title, icon: frame.icon(area.icon()), badge: frame.state(*tone), summary });
        }
        cards
    }
}

struct Card<'a> {
    name: &'static str,
    title: &'static str,
    icon: Html,
    badge: Html,
    summary: &'a str,
}

impl Editor {
    fn address(&self) -> String {
        format!("/settings/{}", self.area.name())
    }

    fn tabs(&self, frame: &Frame) -> Vec<(&'static str, &'static str, bool)> {
        frame.areas(Some(self.area))
    }

    fn is_list(&self) -> bool {
        !matches!(self.area, Area::Schedules | Area::Retention)
    }
}

impl Line {
    fn class(&self) -> &'static str {
        match self.kind {
            LineKind::Same => "same",
            LineKind::Added => "add",
            LineKind::Removed => "cut",
            LineKind::Place => "hunk",
        }
    }

    fn sign(&self) -> &'static str {
        match self.kind {
            LineKind::Same => "  ",
            LineKind::Added => "+ ",
            LineKind::Removed => "- ",
            LineKind::Place => "",
        }
    }
}

impl Trial {
    fn class(&self) -> &'static str {
        self.tone.class()
    }
}

impl Form {
    fn has_secret(&self) -> bool {
        self.fields.iter().any(|field| matches!(field.input, Input::Secret { .. }))
    }
}
