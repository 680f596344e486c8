//! One consistent view of a server for several connections (D3): a brief global read lock, a snapshot on each connection,
//! the position in the binary log, and the lock goes again.

use std::sync::Arc;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;

use super::connection::{Doing, MysqlError, connect, kill};
use crate::ports::{MysqlSettings, ServerInfo, SnapshotPosition, Warnings};

/// Never read, whatever the configuration says: they hold no data of anybody's.
const ALWAYS_EXCLUDED: [&str; 2] = ["information_schema", "performance_schema"];
const BEGIN: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
const BEGIN_OLD: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT";
/// Server variables that a restore depends on.
const VARIABLES: [&str; 6] =
    ["lower_case_table_names", "character_set_server", "collation_server", "max_allowed_packet", "sql_mode", "innodb_page_size"];

/// Connections that all see the server as it was at one moment.
pub struct Snapshot {
    pub(super) settings: MysqlSettings,
    pub(super) patterns: Patterns,
    pub(super) cancel: CancellationToken,
    pub(super) connections: Pool,
    server: ServerInfo,
    position: SnapshotPosition,
    schemas: Vec<String>,
}

/// Compiled patterns of the settings.
pub(super) struct Patterns {
    pub(super) exclude_tables: GlobSet,
    pub(super) exclude_rows: GlobSet,
}

/// The snapshot's connections; each is used by one reader at a time.
pub(super) struct Pool {
    free: Mutex<Vec<Conn>>,
    pub(super) permits: Arc<Semaphore>,
    ids: Vec<u32>,
    pub(super) size: usize,
}

impl Pool {
    /// Waits for a free connection.
    pub(super) async fn take(&self) -> Result<(Conn, tokio::sync::OwnedSemaphorePermit), MysqlError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| MysqlError::Abandoned)?;
        let connection = self.free.lock().await.pop().ok_or(MysqlError::Abandoned)?;
        Ok((connection, permit))
    }

    /// Gives a connection back that is at rest.
    pub(super) async fn put(&self, connection: Conn) {
        self.free.lock().await.push(connection);
    }
}

impl Snapshot {
    /// Takes a snapshot of everything that the settings ask for.
    ///
    /// # Errors
    /// When the server cannot be reached or the lock is not had in time.
    pub async fn open(settings: &MysqlSettings, warnings: &Warnings, cancel: CancellationToken) -> Result<Self, MysqlError> {
        let mut control = connect(settings, None).await?;
        let server = server_info(&mut control).await?;
        let schemas = schemas(&mut control, settings).await?;
        let locked = lock(&mut control, settings, &server, warnings).await?;
        let wanted = if locked { settings.connections.max(1) } else { 1 };
        let mut connections = Vec::with_capacity(wanted);
        for _ in 0..wanted {
            if cancel.is_cancelled() {
                return Err(MysqlError::Cancelled);
            }
            let mut connection = connect(settings, None).await?;
            connection
                .query_drop("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                .await
                .doing(|| "set the isolation level".to_owned())?;
            let begun = if server.flavor == "mysql" {
                connection.query_drop(BEGIN).await
            } else {
                Err(mysql_async::DriverError::ConnectionClosed.into())
            };
            if begun.is_err() {
                connection.query_drop(BEGIN_OLD).await.doing(|| "begin a consistent snapshot".to_owned())?;
            }
            connections.push(connection);
        }
        let position = position(&mut control, &server, locked, warnings).await;
        if locked {
            control.query_drop("UNLOCK TABLES").await.doing(|| "release the global read lock".to_owned())?;
        }
        let _ = control.disconnect().await;
        let ids = connections.iter().map(Conn::id).collect();
        let pool = Pool { permits: Arc::new(Semaphore::new(wanted)), size: wanted, ids, free: Mutex::new(connections) };
        let patterns = Patterns { exclude_tables: globs(&settings.exclude_tables)?, exclude_rows: globs(&settings.exclude_rows)? };
        Ok(Self { settings: settings.clone(), patterns, cancel, connections: pool, server, position, schemas })
    }

    /// Schemas to dump, sorted.
    pub fn schemas(&self) -> &[String] {
        &self.schemas
    }

    /// The server.
    pub fn server(&self) -> &ServerInfo {
        &self.server
    }

    /// Where in the server's history the snapshot lies.
    pub fn position(&self) -> &SnapshotPosition {
        &self.position
    }

    /// Whether the server is MariaDB.
    pub(super) fn is_mariadb(&self) -> bool {
        self.server.flavor == "mariadb"
    }

    /// Ends the snapshot.
    pub async fn close(self) {
        for connection in self.connections.free.into_inner() {
            let _ = connection.disconnect().await;
        }
    }

    /// Ends the snapshot at once, also in the middle of a result.
    pub async fn kill(&self) {
        kill(&self.settings, &self.connections.ids).await;
    }
}

async fn server_info(connection: &mut Conn) -> Result<ServerInfo, MysqlError> {
    let version: Option<String> = connection.query_first("SELECT VERSION()").await.doing(|| "ask for the server's version".to_owned())?;
    let version = version.unwrap_or_default();
    let flavor = if version.to_lowercase().contains("mariadb") { "mariadb" } else { "mysql" }.to_owned();
    let mut variables = std::collections::BTreeMap::new();
    for name in VARIABLES {
        let value: Option<(String, String)> =
            connection.query_first(format!("SHOW GLOBAL VARIABLES LIKE '{name}'")).await.doing(|| format!("read the variable {name}"))?;
        if let Some((name, value)) = value {
            variables.insert(name, value);
        }
    }
    Ok(ServerInfo { flavor, version, variables })
}

async fn schemas(connection: &mut Conn, settings: &MysqlSettings) -> Result<Vec<String>, MysqlError> {
    let all: Vec<String> = connection.query("SHOW DATABASES").await.doing(|| "list the schemas".to_owned())?;
    let (include, exclude) = (globs(&settings.include_schemas)?, globs(&settings.exclude_schemas)?);
    let wanted = |name: &String| {
        let always = ALWAYS_EXCLUDED.iter().any(|excluded| name.eq_ignore_ascii_case(excluded));
        !always && (include.is_empty() || include.is_match(name)) && !exclude.is_match(name)
    };
    let mut found: Vec<String> = all.into_iter().filter(wanted).collect();
    found.sort_unstable();
    Ok(found)
}

pub(super) fn globs(patterns: &[String]) -> Result<GlobSet, MysqlError> {
    let malformed = |error: globset::Error| MysqlError::Dump(format!("a pattern is malformed: {error}"));
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(GlobBuilder::new(pattern).literal_separator(false).backslash_escape(true).build().map_err(malformed)?);
    }
    set.build().map_err(malformed)
}

/// Takes the global read lock; `false` where the account may not: then one connection alone is consistent.
async fn lock(connection: &mut Conn, settings: &MysqlSettings, server: &ServerInfo, warnings: &Warnings) -> Result<bool, MysqlError> {
    let seconds = settings.lock_timeout.as_secs().max(1);
    connection.query_drop(format!("SET SESSION lock_wait_timeout = {seconds}")).await.doing(|| "set the lock time-out".to_owned())?;
    if server.flavor == "mysql" {
        // Keeps definitions as they are for as long as this connection lives; helps, and is not needed.
        let _ = connection.query_drop("LOCK INSTANCE FOR BACKUP").await;
    }
    match connection.query_drop("FLUSH TABLES WITH READ LOCK").await {
        Ok(()) => Ok(true),
        // 1044 and 1045: access denied; 1227: a privilege is missing.
        Err(mysql_async::Error::Server(error)) if matches!(error.code, 1044 | 1045 | 1227) => {
            let message = "the account may not take the global read lock, so one connection reads everything: consistent, but slower; GRANT RELOAD ON *.* mends it";
            warnings.push(&settings.name, message);
            Ok(false)
        }
        Err(cause) => Err(MysqlError::Query {
            action: format!("take the global read lock within {seconds} s (a long query or transaction may hold it up)"),
            cause,
        }),
    }
}

async fn position(connection: &mut Conn, server: &ServerInfo, locked: bool, warnings: &Warnings) -> SnapshotPosition {
    let mut position = SnapshotPosition { locked, ..SnapshotPosition::default() };
    let mut status: Result<Option<Row>, _> = connection.query_first("SHOW MASTER STATUS").await;
    if status.is_err() {
        status = connection.query_first("SHOW BINARY LOG STATUS").await;
    }
    match status {
        Ok(Some(mut row)) => {
            position.binlog_file = row.take(0);
            position.binlog_position = row.take(1);
            if server.flavor == "mysql" {
                position.gtid = row.take("Executed_Gtid_Set");
            }
        }
        Ok(None) => {}
        Err(_) => {
            warnings.push("binary log", "its position could not be read; GRANT BINLOG MONITOR (MySQL: REPLICATION CLIENT) ON *.* mends it");
        }
    }
    if server.flavor == "mariadb" && position.binlog_file.is_some() {
        position.gtid = connection.query_first("SELECT @@GLOBAL.gtid_binlog_pos").await.ok().flatten();
    }
    position
}
