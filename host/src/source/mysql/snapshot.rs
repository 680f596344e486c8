//! One consistent view of a server for several connections (D3): connections are opened first, then a brief global read lock, a
//! snapshot on each, the position in the binary log, and the lock goes again.
//!
//! On MySQL the backup lock stays until the snapshot is closed: it holds off definitions, not data. MariaDB has nothing of the
//! kind that would not stop an application, so there a table that is altered meanwhile is one failed schema.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::try_join_all;
use globset::{GlobSet, GlobSetBuilder};
use mysql_async::Row;
use tokio_util::sync::CancellationToken;

use super::connection::Session;
use super::error::MysqlError;
use super::pool::Pool;
use super::rights::{Lack, Rights};
use super::scratch::is_scratch;
use super::swap::is_left_by_a_restore;
use crate::ports::{MysqlSettings, ServerInfo, SnapshotPosition, Warnings, name_pattern};

/// Never read, whatever the configuration says: they hold no data of anybody's.
const ALWAYS_EXCLUDED: [&str; 2] = ["information_schema", "performance_schema"];
const BEGIN: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
const BEGIN_OLD: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT";
/// Schemas that an error names.
const NAMED_MAX: usize = 12;
/// Server variables that a restore depends on.
const VARIABLES: [&str; 6] =
    ["lower_case_table_names", "character_set_server", "collation_server", "max_allowed_packet", "sql_mode", "innodb_page_size"];

/// Connections that all see the server as it was at one moment.
pub struct Snapshot {
    pub(super) patterns: Patterns,
    pub(super) cancel: CancellationToken,
    pub(super) connections: Pool,
    pub(super) rights: Rights,
    /// Holds MySQL's backup lock.
    guardian: Option<Session>,
    server: ServerInfo,
    position: SnapshotPosition,
    schemas: Vec<String>,
    tables: BTreeSet<(String, String)>,
}

/// Compiled patterns of the settings.
pub(super) struct Patterns {
    pub(super) exclude_tables: GlobSet,
    pub(super) exclude_rows: GlobSet,
}

impl Snapshot {
    /// Takes a snapshot of everything that the settings ask for.
    ///
    /// # Errors
    /// When the server cannot be reached, nothing on it is asked for, or the lock is not had in time.
    pub async fn open(settings: &MysqlSettings, warnings: &Warnings, cancel: CancellationToken) -> Result<Self, MysqlError> {
        let settings = Arc::new(settings.clone());
        let patterns = Patterns { exclude_tables: globs(&settings.exclude_tables)?, exclude_rows: globs(&settings.exclude_rows)? };
        let mut control = Session::open(&settings, None, &cancel).await?;
        let server = server_info(&mut control).await?;
        let schemas = schemas(&mut control, &settings).await?;
        for schema in schemas.iter().filter(|schema| is_left_by_a_restore(schema)) {
            let message = "a restore that was interrupted left this schema: look at it, and drop it once nothing in it is needed";
            warnings.push(schema, message);
        }
        let rights = Rights::read(&mut control, server.flavor == "mariadb").await?;
        // Opened before anybody has to wait for us.
        let mut sessions = try_join_all((0..settings.connections.max(1)).map(|_| Session::open(&settings, None, &cancel))).await?;
        let locked = lock(&mut control, &server, warnings).await?;
        if !locked {
            let others = sessions.split_off(1);
            futures_util::future::join_all(others.into_iter().map(Session::close)).await;
        }
        try_join_all(sessions.iter_mut().map(|session| begin(session, &server))).await?;
        let position = position(&mut control, &server, locked, warnings).await?;
        let tables = control.all("SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES", || "list the tables".to_owned()).await?;
        if locked {
            control.run("UNLOCK TABLES", || "release the global read lock".to_owned()).await?;
        }
        let guardian = if server.flavor == "mysql" {
            Some(control)
        } else {
            control.close().await;
            None
        };
        let connections = Pool::new(sessions, cancel.clone()).await?;
        let tables = tables.into_iter().collect();
        Ok(Self { patterns, cancel, connections, rights, guardian, server, position, schemas, tables })
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

    /// What the account may not see of a schema that is to be dumped, whether or not there is any of it.
    pub fn lacks(&self, schema: &str) -> Vec<Lack> {
        self.rights.lacks(schema)
    }

    /// What the account may not see of users and grants.
    pub fn lacks_accounts(&self) -> Option<Lack> {
        self.rights.lacks_accounts()
    }

    /// Whether the server is MariaDB.
    pub(super) fn is_mariadb(&self) -> bool {
        self.server.flavor == "mariadb"
    }

    /// Whether names of schemas and tables are the same in either case.
    pub(super) fn ignores_case(&self) -> bool {
        self.server.variables.get("lower_case_table_names").is_some_and(|value| value != "0")
    }

    /// Whether a table or view was there when the snapshot was taken.
    pub(super) fn knew(&self, schema: &str, table: &str) -> bool {
        self.tables.contains(&(schema.to_owned(), table.to_owned()))
    }

    /// Tables and views that were there when the snapshot was taken.
    pub(super) fn known(&self, schema: &str) -> impl Iterator<Item = &str> {
        let first = (schema.to_owned(), String::new());
        let owner = schema.to_owned();
        self.tables.range(first..).take_while(move |(schema, _)| *schema == owner).map(|(_, table)| table.as_str())
    }

    /// Ends the snapshot.
    pub async fn close(self) {
        self.connections.close().await;
        if let Some(guardian) = self.guardian {
            guardian.close().await;
        }
    }
}

async fn begin(session: &mut Session, server: &ServerInfo) -> Result<(), MysqlError> {
    let level = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ";
    session.run(level, || "set the isolation level".to_owned()).await?;
    if server.flavor == "mariadb" {
        // With it on, MariaDB that writes a binary log keeps the metadata locks when a session goes back to its savepoint. The right to
        // turn it off (BINLOG ADMIN) is not needed for a backup: without it an ALTER TABLE waits for the run.
        session.run("SET SESSION sql_log_bin = 0", || "leave the binary log alone".to_owned()).await.ok();
    }
    let doing = || "begin a consistent snapshot".to_owned();
    if server.flavor == "mysql" && session.run(BEGIN, doing).await.is_ok() {
        return Ok(());
    }
    session.run(BEGIN_OLD, doing).await
}

async fn server_info(session: &mut Session) -> Result<ServerInfo, MysqlError> {
    let version: Option<String> = session.first("SELECT VERSION()", || "ask for the server's version".to_owned()).await?;
    let version = version.unwrap_or_default();
    let flavor = if version.to_lowercase().contains("mariadb") { "mariadb" } else { "mysql" }.to_owned();
    let mut variables = std::collections::BTreeMap::new();
    for name in VARIABLES {
        let sql = format!("SHOW GLOBAL VARIABLES LIKE '{name}'");
        let value: Option<(String, String)> = session.first(&sql, || format!("read the variable {name}")).await?;
        if let Some((name, value)) = value {
            variables.insert(name, value);
        }
    }
    Ok(ServerInfo { flavor, version, variables })
}

async fn schemas(session: &mut Session, settings: &MysqlSettings) -> Result<Vec<String>, MysqlError> {
    let all: Vec<String> = session.all("SHOW DATABASES", || "list the schemas".to_owned()).await?;
    let (include, exclude) = (globs(&settings.include_schemas)?, globs(&settings.exclude_schemas)?);
    let wanted = |name: &&String| {
        let always = ALWAYS_EXCLUDED.iter().any(|excluded| name.eq_ignore_ascii_case(excluded));
        // Unless it is what is asked for by its very name: a drill compares it.
        let scratch = is_scratch(name) && !settings.include_schemas.contains(&globset::escape(name));
        !always && !scratch && (include.is_empty() || include.is_match(name)) && !exclude.is_match(name)
    };
    let mut found: Vec<String> = all.iter().filter(wanted).cloned().collect();
    if found.is_empty() {
        let more = if all.len() > NAMED_MAX { ", …" } else { "" };
        let seen = all.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ") + more;
        let (include, exclude) = (settings.include_schemas.clone(), settings.exclude_schemas.clone());
        return Err(MysqlError::NoSchema { source_name: settings.name.clone(), include, exclude, seen });
    }
    found.sort_unstable();
    Ok(found)
}

pub(super) fn globs(patterns: &[String]) -> Result<GlobSet, MysqlError> {
    let malformed = |error: globset::Error| MysqlError::Read(format!("a pattern of the configuration is malformed: {error}"));
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(name_pattern(pattern).map_err(malformed)?);
    }
    set.build().map_err(malformed)
}

/// Takes the global read lock; `false` where the account may not: then one connection alone is consistent.
async fn lock(session: &mut Session, server: &ServerInfo, warnings: &Warnings) -> Result<bool, MysqlError> {
    let (name, seconds) = (session.settings().name.clone(), session.settings().lock_timeout.as_secs().max(1));
    if server.flavor == "mysql" {
        // Helps, and is not needed: what an account may not hold off, it notices.
        match session.run("LOCK INSTANCE FOR BACKUP", || "take the backup lock".to_owned()).await {
            Err(error) if error.code().is_none() => return Err(error),
            _ => {}
        }
    }
    let action = || format!("take the global read lock within {seconds} s (a long query or transaction may hold it up)");
    match session.run("FLUSH TABLES WITH READ LOCK", action).await {
        Ok(()) => Ok(true),
        Err(error) if error.is_denied() => {
            let message = "the account may not take the global read lock, so one connection reads everything: consistent, but slower; GRANT RELOAD ON *.* mends it";
            warnings.push(name, message);
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

async fn position(session: &mut Session, server: &ServerInfo, locked: bool, warnings: &Warnings) -> Result<SnapshotPosition, MysqlError> {
    let mut position = SnapshotPosition { locked, ..SnapshotPosition::default() };
    let doing = || "read the position in the binary log".to_owned();
    let mut status: Result<Option<Row>, _> = session.first("SHOW MASTER STATUS", doing).await;
    if status.is_err() {
        status = session.first("SHOW BINARY LOG STATUS", doing).await;
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
        Err(error) if error.code().is_none() => return Err(error),
        Err(_) => {
            warnings.push("binary log", "its position could not be read; GRANT BINLOG MONITOR (MySQL: REPLICATION CLIENT) ON *.* mends it");
        }
    }
    if server.flavor == "mariadb" && position.binlog_file.is_some() {
        position.gtid = session.first("SELECT @@GLOBAL.gtid_binlog_pos", doing).await.ok().flatten();
    }
    Ok(position)
}
