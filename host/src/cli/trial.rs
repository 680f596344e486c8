//! `cofre plugin test`: each case as it ends on standard error, the whole table at the end.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use cofre_conformance::{CaseReport, Options};
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::Exit;
use super::args::PluginTestArgs;
use super::render::Renderer;
use crate::job::{self, JobError, Trial};
use crate::text::{Locale, case_line, trial_summary};

/// Between two turns of the wheel on a terminal.
const TICK: Duration = Duration::from_millis(120);

/// Runs the suite and says how it ended.
pub(super) async fn test(
    arguments: PluginTestArgs,
    (renderer, locale): (Renderer, Locale),
    cancel: &CancellationToken,
) -> Result<Exit, JobError> {
    let mut options = Options { only: arguments.only, ..Options::default() };
    if arguments.large {
        options = options.thorough();
    }
    if let Some(objects) = arguments.objects {
        options = Options { objects, listing_time: None, ..options };
    }
    let trial = Trial { plugin: arguments.file, settings: arguments.settings, options };
    let progress = Progress::new(renderer, locale);
    let outcome = job::trial(&trial, cancel, move |name, ended| progress.show(name, ended)).await?;
    renderer.result("plugin", &outcome, || trial_summary(&format!("{} {}", outcome.plugin, outcome.version), &outcome.report, locale));
    Ok(if outcome.failed == 0 { Exit::Done } else { Exit::Failed })
}

/// A wheel with the case at hand on a terminal, a line for each case elsewhere, nothing where quiet was asked for.
enum Progress {
    None,
    Wheel(ProgressBar),
    Lines(Locale),
}

impl Progress {
    fn new(renderer: Renderer, locale: Locale) -> Self {
        if renderer.is_quiet() {
            return Self::None;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Lines(locale);
        }
        let wheel = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
            wheel.set_style(style);
        }
        wheel.enable_steady_tick(TICK);
        Self::Wheel(wheel)
    }

    fn show(&self, name: &str, ended: Option<&CaseReport>) {
        match (self, ended) {
            (Self::Wheel(wheel), None) => wheel.set_message(name.to_owned()),
            (Self::Lines(locale), Some(case)) => {
                // A reader that went away is no failure of the command.
                let _ = writeln!(std::io::stderr(), "{}", case_line(case, 0, *locale));
            }
            _ => {}
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Self::Wheel(wheel) = self {
            wheel.finish_and_clear();
        }
    }
}
