//! Whether a server lets us in and answers, which is more than that its port is open.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::connection::Session;
use super::error::MysqlError;
use crate::ports::MysqlSettings;

/// Opens a session, asks for the server's version, and closes it again. `cancel` ends the statement at the server too.
///
/// # Errors
/// When the server does not let us in, or does not answer.
pub async fn ping(settings: MysqlSettings, cancel: &CancellationToken) -> Result<String, MysqlError> {
    let settings = Arc::new(settings);
    let mut session = Session::open(&settings, None, cancel).await?;
    let version = session.first("SELECT VERSION()", || format!("ask `{}` for its version", settings.name)).await;
    session.close().await;
    Ok(version?.unwrap_or_default())
}
