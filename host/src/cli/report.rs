//! `cofre report`: the figures of a month as text, page or document.

use std::path::Path;

use jiff::Timestamp;

use super::Exit;
use super::args::ReportFormat;
use super::render::Renderer;
use crate::job::{self, Context, JobError};
use crate::report::{Month, Monthly};
use crate::text::Locale;

/// Shows or writes the report of `month`; without one, of the month that is not over yet.
pub(super) fn report(
    context: &Context,
    (renderer, locale): (Renderer, Locale),
    month: Option<&str>,
    (format, output): (ReportFormat, Option<&Path>),
) -> Result<Exit, JobError> {
    let month = match month {
        Some(text) => text.parse().map_err(|error: crate::report::MonthError| JobError::Request(error.to_string()))?,
        None => Month::at(Timestamp::now(), &context.config.zone),
    };
    let report = job::monthly(context, month, locale)?;
    let document = || match format {
        ReportFormat::Text => report.text.clone(),
        ReportFormat::Html => report.page.clone(),
        ReportFormat::Json => serde_json::to_string_pretty(&report.monthly).unwrap_or_default(),
        ReportFormat::Schema => serde_json::to_string_pretty(&schemars::schema_for!(Monthly)).unwrap_or_default(),
    };
    match output {
        Some(file) => {
            std::fs::write(file, document()).map_err(|error| JobError::Failed(format!("cannot write `{}`: {error}", file.display())))?;
            renderer.result("report", &report.monthly, || format!("✅ {}", file.display()));
        }
        None => renderer.result("report", &report.monthly, document),
    }
    Ok(Exit::Done)
}
