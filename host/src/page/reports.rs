//! The monthly reports: a list of months, and one month with its analysis.

use askama::Template;

use super::frame::{Frame, Section};
use super::part::{Alert, Fact, Plot, Tone};
use super::sets::month_name;
use super::written;

/// What `/reports` shows.
#[derive(Debug, Clone)]
pub struct Reports {
    /// The months, newest first.
    pub months: Vec<MonthRow>,
}

/// A month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Month {
    /// Year.
    pub year: i16,
    /// 1 to 12.
    pub month: i8,
}

/// One month of the list.
#[derive(Debug, Clone)]
pub struct MonthRow {
    /// Which.
    pub month: Month,
    /// How it was.
    pub tone: Tone,
    /// Runs that were whole.
    pub successes: u64,
    /// Runs.
    pub executions: u64,
    /// Mean size before compression.
    pub mean_plain: Option<u64>,
    /// Mean seconds.
    pub mean_seconds: Option<u64>,
}

/// What `/reports/{month}` shows.
#[derive(Debug, Clone)]
pub struct Report {
    /// Which month.
    pub month: Month,
    /// How it was.
    pub tone: Tone,
    /// In a sentence.
    pub sentence: String,
    /// The mission's lines: executions, mean size, mean time, space saved.
    pub summary: Vec<Fact>,
    /// Each destination: `31/31`.
    pub destinations: Vec<Fact>,
    /// Verifications and drills.
    pub rehearsals: Vec<Fact>,
    /// What failed.
    pub failures: Vec<Alert>,
    /// Growth, duration, compression, bandwidth.
    pub plots: Vec<Plot>,
    /// Further lines of the analysis.
    pub analysis: Vec<String>,
}

#[derive(Template)]
#[template(path = "page/reports.html")]
struct ListPage<'a> {
    frame: &'a Frame,
    view: &'a Reports,
    title: &'a str,
}

#[derive(Template)]
#[template(path = "page/report.html")]
struct ReportPage<'a> {
    frame: &'a Frame,
    view: &'a Report,
    title: String,
}

/// `/reports` as HTML.
pub fn render_list(frame: &Frame, view: &Reports) -> String {
    written(&ListPage { frame, view, title: Section::Reports.title(frame.locale) })
}

/// `/reports/{month}` as HTML.
pub fn render(frame: &Frame, view: &Report) -> String {
    let title = format!("{}: {}", frame.t("Relatório de Backup", "Backup report"), view.month.name(frame));
    written(&ReportPage { frame, view, title })
}

impl Month {
    fn name(self, frame: &Frame) -> String {
        format!("{} {}", month_name(self.month, frame.locale), self.year)
    }

    /// As in addresses: `2026-03`.
    pub fn address(self) -> String {
        format!("{:04}-{:02}", self.year, self.month)
    }
}

impl MonthRow {
    fn name(&self, frame: &Frame) -> String {
        self.month.name(frame)
    }

    fn address(&self) -> String {
        self.month.address()
    }

    fn rate(&self) -> f64 {
        if self.executions == 0 { 0.0 } else { self.successes as f64 / self.executions as f64 }
    }
}

impl Report {
    fn class(&self) -> &'static str {
        self.tone.class()
    }

    fn icon(&self, frame: &Frame) -> super::Html {
        frame.icon(self.tone.icon())
    }
}
