//! The report of a month: read from the catalogue, computed in `report`, worded in `text`, and put together here with its plots.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};

use super::context::{Context, JobError};
use crate::notify::Severity;
use crate::report::{History, Month, Monthly, Plot, Series, Unit};
use crate::text::{Locale, MonthlyText, Trend, growth_names, monthly_text};

/// How far back the plots go.
const HISTORY_DAYS: i64 = 366;

/// A report, ready to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The month.
    pub month: Month,
    /// Its figures.
    pub monthly: Monthly,
    /// How bad it is: critical where no backup succeeded.
    pub severity: Severity,
    /// Subject of its mail.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// For a mail client; its pictures are those of `files` that have a content id.
    pub html: String,
    /// For a browser: the same, with its plots inside.
    pub page: String,
    /// What belongs to the mail.
    pub files: Vec<ReportFile>,
}

/// A file that belongs to a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportFile {
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media_type: &'static str,
    /// What the HTML calls it (`cid:…`); an attachment where it has none.
    pub content_id: Option<String>,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// The figures of a month.
///
/// # Errors
/// When the catalogue cannot be read.
pub fn figures(context: &Context, month: Month) -> Result<Monthly, JobError> {
    let zone = &context.config.zone;
    let (begin, to) = month.range(zone);
    let year = SignedDuration::from_hours(24 * HISTORY_DAYS);
    let from = to.checked_sub(year).unwrap_or(Timestamp::MIN).min(begin);
    let history = History {
        runs: context.catalog.past_runs(from, to)?,
        deliveries: context.catalog.past_deliveries(from, Timestamp::MAX)?,
        destinations: context.config.destinations.iter().map(|destination| destination.settings.name.clone()).collect(),
        active: context.spool.is_busy(),
    };
    Ok(Monthly::of(month, zone, &history))
}

/// The report of a month.
///
/// # Errors
/// When the catalogue cannot be read, or a plot cannot be drawn.
pub fn monthly(context: &Context, month: Month, locale: Locale) -> Result<Report, JobError> {
    let figures = figures(context, month)?;
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    put_together(month, figures, &host, locale).map_err(JobError::Failed)
}

/// The same figures drawn for a page: what a plot shows, and its drawing as SVG.
///
/// # Errors
/// When the catalogue cannot be read, or a plot cannot be drawn.
pub fn trends(context: &Context, month: Month, locale: Locale) -> Result<Vec<(&'static str, String)>, JobError> {
    let figures = figures(context, month)?;
    let drawn = |(trend, plot): (Trend, Plot)| Ok((trend.title(locale), plot.svg().map_err(JobError::Failed)?));
    plots(&figures, locale).into_iter().map(drawn).collect()
}

fn put_together(month: Month, monthly: Monthly, host: &str, locale: Locale) -> Result<Report, String> {
    let (mut files, mut in_mail, mut in_page) = (Vec::new(), Vec::new(), Vec::new());
    for (trend, plot) in plots(&monthly, locale) {
        let (svg, png, id) = (plot.svg()?, plot.png()?, format!("{}-{month}@cofre", trend.name()));
        in_mail.push((trend, format!("cid:{id}")));
        in_page.push((trend, format!("data:image/svg+xml;base64,{}", STANDARD.encode(&svg))));
        files.push(file(trend, "png", "image/png", Some(id), png));
        files.push(file(trend, "svg", "image/svg+xml", None, svg.into_bytes()));
    }
    let MonthlyText { severity, subject, text, html } = monthly_text(&monthly, month, Some(host), &in_mail, locale);
    let page = monthly_text(&monthly, month, Some(host), &in_page, locale).html;
    Ok(Report { month, monthly, severity, subject, text, html, page, files })
}

fn file(trend: Trend, extension: &str, media_type: &'static str, content_id: Option<String>, bytes: Vec<u8>) -> ReportFile {
    ReportFile { name: format!("{}.{extension}", trend.name()), media_type, content_id, bytes }
}

/// The plots that there is something to draw for.
fn plots(monthly: &Monthly, locale: Locale) -> Vec<(Trend, Plot)> {
    let dated = || monthly.days.iter().filter_map(|day| Some((day.day.parse::<jiff::civil::Date>().ok()?, day)));
    let [plain, stored] = growth_names(locale);
    let line = |name: &str, value: &dyn Fn(&crate::report::Day) -> Option<f64>| Series {
        name: name.to_owned(),
        points: dated().filter_map(|(date, day)| Some((date, value(day)?))).collect(),
    };
    let plot = |trend: Trend| match trend {
        Trend::Growth => {
            Plot { unit: Unit::Bytes, series: vec![line(plain, &|day| Some(day.plain)), line(stored, &|day| Some(day.stored))] }
        }
        Trend::Duration => Plot { unit: Unit::Seconds, series: vec![line("", &|day| Some(day.seconds))] },
        Trend::Compression => {
            let saved = |day: &crate::report::Day| (day.plain > 0.0).then(|| (1.0 - day.stored / day.plain).max(0.0));
            Plot { unit: Unit::Share, series: vec![line("", &saved)] }
        }
        Trend::Bandwidth => {
            let series = monthly.destinations.iter().map(|place| line(&place.name, &|day| day.rates.get(&place.name).copied()));
            Plot { unit: Unit::Rate, series: series.filter(|series| !series.points.is_empty()).collect() }
        }
    };
    Trend::ALL.into_iter().map(|trend| (trend, plot(trend))).filter(|(_, plot)| plot.is_worth_it()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::report::Day;

    fn report(days: usize) -> Report {
        let month: Month = "2026-10".parse().expect("a month");
        let mut figures =
            Monthly::of(month, &jiff::tz::TimeZone::UTC, &History { destinations: vec!["disco".into()], ..History::default() });
        figures.days = (1..=days)
            .map(|day| Day {
                day: format!("2026-10-{day:02}"),
                plain: 2e9 + 1e6 * day as f64,
                stored: 5e8,
                seconds: 2_500.0,
                rates: BTreeMap::from([("disco".to_owned(), 1.8e7)]),
            })
            .collect();
        put_together(month, figures, "erp01", Locale::PtBr).expect("put together")
    }

    #[test]
    fn each_plot_is_a_picture_in_the_mail_a_file_beside_it_and_inside_the_page() {
        let report = report(20);
        assert_eq!(report.files.len(), 8);
        for picture in report.files.iter().filter_map(|file| file.content_id.as_ref()) {
            assert!(report.html.contains(&format!("\"cid:{picture}\"")), "{picture}");
        }
        assert_eq!(report.html.matches("<img").count(), 4);
        assert_eq!(report.page.matches("\"data:image/svg+xml;base64,").count(), 4);
        for outside in ["http://", "https://"] {
            assert!(!report.html.contains(outside) && !report.page.contains(outside));
        }
    }

    #[test]
    fn without_days_there_is_no_plot() {
        let report = report(1);
        assert!(report.files.is_empty() && !report.html.contains("<img"));
    }
}
