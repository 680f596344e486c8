//! Checks of availability: databases, services, pages, disks, the age of backups, other machines.

use askama::Template;
use jiff::Timestamp;

use super::frame::{Frame, Section};
use super::part::{Alert, Html, Tone};
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
    /// Share of the last thirty days in which it was well.
    pub available: Option<f64>,
    /// The last day, oldest first; at most 48 pieces.
    pub hours: Vec<Tone>,
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

impl Check {
    /// The last day as a strip, with its words.
    fn strip(&self, frame: &Frame) -> Html {
        let bad = self.hours.iter().filter(|tone| matches!(tone, Tone::Bad | Tone::Warn)).count();
        let label = match bad {
            0 => frame.t("últimas 24 horas: em ordem", "last 24 hours: good").to_owned(),
            bad => {
                format!("{} {bad}/{}", frame.t("últimas 24 horas: com problema em", "last 24 hours: with a problem in"), self.hours.len())
            }
        };
        let pieces = self.hours.iter().map(|tone| format!("<i class=\"{}\"></i>", tone.class())).collect::<Vec<_>>().concat();
        Html(format!("<div class=\"hours\" role=\"img\" aria-label=\"{label}\">{pieces}</div>"))
    }
}
