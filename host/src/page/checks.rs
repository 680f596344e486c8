//! Checks of availability: databases, services, pages, disks, the age of backups, other machines.

use askama::Template;
use jiff::Timestamp;

use super::frame::{Frame, Section};
use super::part::{Alert, Tone};
use super::written;

/// What `/checks` shows.
#[derive(Debug, Clone)]
pub struct Checks {
    /// What is wrong now.
    pub alerts: Vec<Alert>,
    /// The checks, failing ones first.
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Debug, Clone)]
pub struct Check {
    /// Name.
    pub name: String,
    /// What it looks at, in words.
    pub kind: String,
    /// How it is.
    pub tone: Tone,
    /// What was seen, to compare: `12 ms`, `21 %`.
    pub value: String,
    /// A sentence about it.
    pub detail: String,
    /// When it was looked at last.
    pub last: Option<Timestamp>,
    /// Since when it is so.
    pub since: Option<Timestamp>,
}

#[derive(Template)]
#[template(path = "page/checks.html")]
struct Page<'a> {
    frame: &'a Frame,
    view: &'a Checks,
    title: &'a str,
}

/// `/checks` as HTML.
pub fn render(frame: &Frame, view: &Checks) -> String {
    written(&Page { frame, view, title: Section::Checks.title(frame.locale) })
}
