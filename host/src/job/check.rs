//! Tries everything that a run needs, without making a backup.

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::context::{Context, JobError};
use crate::config::{MysqlConfig, format_size};
use crate::ports::Warnings;
use crate::source::files::skipped_mounts;
use crate::source::mysql::{Lack, Snapshot};

/// Privileges that are missing, of which an item tells the first.
const LACKS_TOLD: usize = 8;

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

/// What the account may not see of what is to be backed up, with the statements that mend it.
fn lacks(snapshot: &Snapshot, grants: bool) -> Vec<String> {
    let of_schema = |schema| snapshot.lacks(schema).into_iter().map(|lack| format!("schema `{schema}`: {lack}")).collect::<Vec<_>>();
    let mut all: Vec<String> = snapshot.schemas().iter().map(String::as_str).flat_map(of_schema).collect();
    all.extend(snapshot.lacks_accounts().filter(|_| grants).as_ref().map(Lack::to_string));
    let more = all.len().saturating_sub(LACKS_TOLD);
    all.truncate(LACKS_TOLD);
    if more > 0 {
        all.push(format!("and {more} more"));
    }
    all
}

/// Tries one database server: what was found, or why it does not work.
///
/// # Errors
/// In words for the administrator, with the mend.
pub async fn check_mysql(context: &Context, source: &MysqlConfig) -> Result<String, String> {
    let warnings = Warnings::default();
    let settings = context.config.mysql_settings(source).map_err(|error| error.to_string())?;
    let snapshot = Snapshot::open(&settings, &warnings, CancellationToken::new()).await.map_err(|error| error.to_string())?;
    let mut detail = format!("{}, {} schemas", snapshot.server().version, snapshot.schemas().len());
    for warning in warnings.snapshot().0 {
        detail = format!("{detail}; {}", warning.message);
    }
    let lacks = lacks(&snapshot, source.grants);
    snapshot.close().await;
    if lacks.is_empty() { Ok(detail) } else { Err(format!("{detail}; {}", lacks.join("; "))) }
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
        item(format!("mysql {}", source.settings.name), check_mysql(context, source).await);
    }
    for directory in &context.config.directories {
        let path = &directory.settings.path;
        let result = std::fs::read_dir(path)
            .map(drop)
            .or_else(|error| if path.is_file() { std::fs::File::open(path).map(drop) } else { Err(error) });
        let skipped: Vec<_> =
            skipped_mounts(&directory.settings).iter().map(|(path, kind)| format!("{} ({kind})", path.display())).collect();
        let detail = if skipped.is_empty() {
            "can be read".to_owned()
        } else {
            format!("can be read; NOT IN THE BACKUP, on other file systems: {}", skipped.join(", "))
        };
        let result = result.map(|()| detail).map_err(|error| format!("cannot be read: {error}"));
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
