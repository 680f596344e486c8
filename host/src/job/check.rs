//! Tries everything that a run needs, without making a backup.

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::context::{Context, JobError};
use crate::config::format_size;
use crate::ports::Warnings;
use crate::source::mysql::Snapshot;

/// One thing that was tried.
#[derive(Debug, Clone, Serialize)]
pub struct CheckItem {
    /// What: `mysql principal`, `destination cloud`.
    pub subject: String,
    /// What was found.
    pub detail: String,
    /// Whether it works.
    pub ok: bool,
}

/// Tries passphrase, sources and destinations.
///
/// # Errors
/// Never for something that does not work: that is an item.
pub async fn check(context: &Context) -> Result<Vec<CheckItem>, JobError> {
    let mut items = Vec::new();
    let mut item = |subject: String, result: Result<String, String>| {
        let ok = result.is_ok();
        items.push(CheckItem { subject, detail: result.unwrap_or_else(|error| error), ok });
    };
    item("passphrase".to_owned(), context.config.passphrase().map(|_| "can be read".to_owned()).map_err(|error| error.to_string()));
    for source in &context.config.mysql {
        let warnings = Warnings::default();
        let opened = Snapshot::open(&source.settings, &warnings, CancellationToken::new()).await;
        let result = match opened {
            Ok(snapshot) => {
                let mut detail = format!("{}, {} schemas", snapshot.server().version, snapshot.schemas().len());
                for warning in warnings.snapshot().0 {
                    detail = format!("{detail}; {}", warning.message);
                }
                snapshot.close().await;
                Ok(detail)
            }
            Err(error) => Err(error.to_string()),
        };
        item(format!("mysql {}", source.settings.name), result);
    }
    for directory in &context.config.directories {
        let path = &directory.settings.path;
        let result = std::fs::metadata(path).map(|_| "can be read".to_owned()).map_err(|error| format!("cannot be read: {error}"));
        item(format!("directory {}", path.display()), result);
    }
    for config in &context.config.destinations {
        let result = match context.destination(config).await {
            Ok(destination) => destination.probe().await.map_err(|error| error.to_string()).map(|limits| match limits.part_size {
                Some(size) => format!("works; parts of {}, {} uploads at once", format_size(size), limits.parallel_uploads),
                None => format!("works; {} uploads at once", limits.parallel_uploads),
            }),
            Err(error) => Err(error.to_string()),
        };
        item(format!("destination {}", config.settings.name), result);
    }
    Ok(items)
}
