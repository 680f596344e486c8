//! How answers look: plain lines for people, one JSON document for scripts (`docs/configuration.md`).

use std::io::Write;
use std::sync::Arc;

use serde::Serialize;

use super::args::Global;
use super::progress::Progress;
use crate::ports::Meter;
use crate::text::Locale;

/// Writes answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Renderer {
    json: bool,
    quiet: bool,
}

impl Renderer {
    pub(super) fn new(global: &Global) -> Self {
        Self { json: global.json, quiet: global.quiet }
    }

    /// The result of a command: `value` in the JSON envelope, or `text` for people.
    pub(super) fn result(self, command: &str, value: &impl Serialize, text: impl FnOnce() -> String) {
        let text = if self.json {
            let document = serde_json::json!({ "cofre": 1, "command": command, "result": value });
            serde_json::to_string_pretty(&document).unwrap_or_default()
        } else if self.quiet {
            return;
        } else {
            text()
        };
        // A reader that went away is no failure of the command.
        let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    }

    /// Whether people are spoken to, and so can be asked.
    pub(super) fn speaks(self) -> bool {
        !self.json && !self.quiet
    }

    /// Whether only errors and warnings are to be shown.
    pub(super) fn is_quiet(self) -> bool {
        self.quiet
    }

    /// Text for people, on standard output.
    pub(super) fn say(self, text: &str) {
        if self.speaks() {
            let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
        }
    }

    /// An error, on standard error, and as JSON where JSON was asked for.
    pub(super) fn error(self, command: &str, message: &str) {
        if self.json {
            let document = serde_json::json!({ "cofre": 1, "command": command, "error": message });
            let _ = writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&document).unwrap_or_default());
        }
        let _ = writeln!(std::io::stderr(), "cofre: {message}");
    }

    /// Shows a meter until the guard is dropped; nothing where quiet was asked for.
    pub(super) fn progress(self, label: &str, meter: &Arc<Meter>, locale: Locale) -> Progress {
        if self.quiet { Progress::none() } else { Progress::start(label, meter, locale) }
    }
}

/// Columns of text, aligned.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.chars().count())));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
