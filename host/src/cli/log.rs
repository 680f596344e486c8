//! Where the log goes: standard error, which journald keeps, and files by the day where the configuration names a directory for them.

use std::io::IsTerminal;

use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use super::args::Global;
use crate::config::LogSettings;
use crate::web::TaskLines;

/// Files are `backup-cofre.2026-03-15.log`.
const PREFIX: &str = "backup-cofre";
const SUFFIX: &str = "log";

/// Sends the log to standard error, without times where journald adds them, and to `files`.
pub(super) fn start(global: &Global, files: Option<&LogSettings>) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, _) => "debug",
    };
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let log = tracing_subscriber::fmt::layer().with_ansi(color).with_target(false).with_writer(BoxMakeWriter::new(std::io::stderr));
    let log = if std::env::var_os("JOURNAL_STREAM").is_some() { log.without_time().boxed() } else { log.boxed() };
    let appended = files.map(appender).transpose();
    let (appender, unusable) = match appended {
        Ok(appender) => (appender, None),
        Err(error) => (None, Some(error)),
    };
    // Read afterwards, by somebody who asks what happened: what went well stands there too.
    let kept = appender.map(|appender| {
        tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).with_writer(appender).with_filter(filter("info"))
    });
    tracing_subscriber::registry().with(log.with_filter(filter(level))).with(kept).with(TaskLines.with_filter(filter("info"))).init();
    if let (Some(error), Some(files)) = (unusable, files) {
        tracing::warn!(directory = %files.directory.display(), "no log is written into this directory: {error}");
    }
}

fn filter(level: &str) -> EnvFilter {
    EnvFilter::try_from_env("COFRE_LOG").unwrap_or_else(|_| EnvFilter::new(format!("warn,cofre={level}")))
}

fn appender(files: &LogSettings) -> Result<RollingFileAppender, tracing_appender::rolling::InitError> {
    RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix(PREFIX)
        .filename_suffix(SUFFIX)
        .max_log_files(files.keep)
        .build(&files.directory)
}
