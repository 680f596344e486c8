//! Loads a dump into a database: definitions first, rows over several connections, then everything else (D2).
//!
//! Names come from the caller, never from the dump (trap 3). One table can be loaded alone, with its rows and triggers.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::connection::{Doing, MysqlError, connect, kill, quoted};
use super::definitions::string;
use super::dump::{DEFINITIONS, EVENTS, TRIGGERS};
use super::names::file_name;
use super::script::{sections, statements};
use crate::ports::{Meter, MysqlSettings};

/// Largest file of a dump that is loaded, in bytes: ours have 4 to 9 MiB.
pub const ENTRY_MAX: u64 = 64 << 20;
/// Characters of a failing statement that an error quotes.
const QUOTED_MAX: usize = 200;

/// How to load.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Only this table.
    pub table: Option<String>,
    /// The schema only stands beside another for a while: no events, which would fire in it, and the scripts of all objects are kept.
    pub staging: bool,
}

/// What was loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct LoadReport {
    /// Files of the dump.
    pub files: u64,
    /// Statements.
    pub statements: u64,
}

type Chunk = (String, Vec<u8>);

/// Loads one dump, file by file in the order of its archive.
pub struct Loader {
    settings: MysqlSettings,
    schema: String,
    options: LoadOptions,
    main: Conn,
    sender: Option<mpsc::Sender<Chunk>>,
    workers: Vec<JoinHandle<Result<u64, MysqlError>>>,
    ids: Arc<Mutex<Vec<u32>>>,
    report: LoadReport,
    objects: Vec<Chunk>,
    cancel: CancellationToken,
    meter: Arc<Meter>,
}

impl Loader {
    /// Makes the target schema ready.
    ///
    /// # Errors
    /// When the server refuses, or what is to be loaded is there already.
    pub async fn open(
        settings: &MysqlSettings,
        schema: &str,
        options: LoadOptions,
        meter: Arc<Meter>,
        cancel: CancellationToken,
    ) -> Result<Self, MysqlError> {
        let mut main = connect(settings, None).await?;
        prepare(&mut main, schema, &options).await?;
        let ids = Arc::new(Mutex::new(vec![main.id()]));
        Ok(Self {
            settings: settings.clone(),
            schema: schema.to_owned(),
            options,
            main,
            sender: None,
            workers: Vec::new(),
            ids,
            report: LoadReport::default(),
            objects: Vec::new(),
            cancel,
            meter,
        })
    }

    /// Whether a file of the dump is needed at all; one that is not need not be read.
    pub fn wants(&self, name: &str) -> bool {
        let Some((_, file)) = name.rsplit_once('/') else { return false };
        match &self.options.table {
            None => true,
            Some(table) => file == DEFINITIONS || file == TRIGGERS || file.starts_with(&format!("{}.", file_name(table))),
        }
    }

    /// Takes the next file.
    ///
    /// # Errors
    /// When a statement fails; nothing more is loaded then.
    pub async fn file(&mut self, name: &str, data: Vec<u8>) -> Result<(), MysqlError> {
        let Some((_, file)) = name.rsplit_once('/') else { return Ok(()) };
        self.report.files += 1;
        self.meter.add_plain(data.len() as u64);
        let is_rows = !file.starts_with(|c: char| c.is_ascii_digit()) || !file[..5.min(file.len())].ends_with('-');
        if is_rows && !file.contains(".part") {
            return self.rows(name, data).await;
        }
        if !is_rows {
            self.settle().await?;
        }
        if self.options.staging && !is_rows && file != DEFINITIONS {
            self.objects.push((name.to_owned(), data.clone()));
            if file == EVENTS {
                return Ok(());
            }
        }
        let wanted = self.options.table.as_deref().map(file_name);
        let chosen = |key: Option<&str>| is_rows || key.is_none() || wanted.as_deref().is_none_or(|table| key == Some(table));
        self.report.statements += run_script(&mut self.main, (name, &data), chosen, &self.cancel).await?;
        Ok(())
    }

    /// Waits until everything is loaded; with it come the scripts of the objects, if it is a staging schema.
    ///
    /// # Errors
    /// When a statement failed.
    pub async fn finish(mut self) -> Result<(LoadReport, Vec<(String, Vec<u8>)>), MysqlError> {
        self.settle().await?;
        if let Some(table) = &self.options.table {
            let sql = format!("SHOW TABLES LIKE {}", string(&table.replace('\\', "\\\\").replace('_', "\\_").replace('%', "\\%")));
            let found: Option<String> = self.main.query_first(sql).await.doing(|| format!("look for table `{table}`"))?;
            if found.is_none() {
                return Err(MysqlError::Dump(format!("the backup holds no table `{table}`")));
            }
        }
        let _ = self.main.disconnect().await;
        Ok((self.report, self.objects))
    }

    /// Ends all connections at once, in the middle of whatever they load.
    pub async fn kill(&self) {
        let ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner).clone();
        kill(&self.settings, &ids).await;
    }

    async fn rows(&mut self, name: &str, data: Vec<u8>) -> Result<(), MysqlError> {
        if self.sender.is_none() {
            self.start().await?;
        }
        let sent = match &self.sender {
            Some(sender) => tokio::select! {
                () = self.cancel.cancelled() => return Err(MysqlError::Cancelled),
                sent = sender.send((name.to_owned(), data)) => sent.is_ok(),
            },
            None => false,
        };
        // Nobody takes files any more: a worker failed, and knows why.
        if sent { Ok(()) } else { self.settle().await.and(Err(MysqlError::Abandoned)) }
    }

    async fn start(&mut self) -> Result<(), MysqlError> {
        let (sender, receiver) = mpsc::channel::<Chunk>(1);
        let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
        for _ in 0..self.settings.connections.max(1) {
            let connection = connect(&self.settings, Some(&self.schema)).await?;
            self.ids.lock().unwrap_or_else(PoisonError::into_inner).push(connection.id());
            self.workers.push(tokio::spawn(work(connection, Arc::clone(&receiver))));
        }
        self.sender = Some(sender);
        Ok(())
    }

    /// Waits for the rows that are under way.
    async fn settle(&mut self) -> Result<(), MysqlError> {
        self.sender = None;
        let mut failure = None;
        for worker in self.workers.drain(..) {
            match worker.await {
                Ok(Ok(statements)) => self.report.statements += statements,
                Ok(Err(error)) => drop(failure.get_or_insert(error)),
                Err(panic) => drop(failure.get_or_insert(MysqlError::Dump(format!("a loading task ended unexpectedly: {panic}")))),
            }
        }
        failure.map_or(Ok(()), Err)
    }
}

async fn prepare(main: &mut Conn, schema: &str, options: &LoadOptions) -> Result<(), MysqlError> {
    let target = quoted(schema);
    if is_there(main, schema, options.table.as_deref()).await? {
        let what = options.table.as_ref().map_or_else(|| schema.to_owned(), |table| format!("{schema}.{table}"));
        return Err(MysqlError::NotEmpty(what));
    }
    main.query_drop(format!("CREATE DATABASE IF NOT EXISTS {target}")).await.doing(|| format!("make schema `{schema}`"))?;
    main.query_drop(format!("USE {target}")).await.doing(|| format!("use schema `{schema}`"))
}

async fn work(mut connection: Conn, receiver: Arc<tokio::sync::Mutex<mpsc::Receiver<Chunk>>>) -> Result<u64, MysqlError> {
    let mut count = 0;
    loop {
        let next = receiver.lock().await.recv().await;
        let Some((name, data)) = next else { break };
        let script = String::from_utf8(data).map_err(|_| MysqlError::Dump(format!("`{name}` is not UTF-8")))?;
        // In files of rows a line feed is never part of a value, so this is where statements end.
        for statement in script.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()) {
            run(&mut connection, &name, statement).await?;
            count += 1;
        }
    }
    let _ = connection.disconnect().await;
    Ok(count)
}

/// Whether `schema` holds any table, or `table`.
pub(super) async fn is_there(connection: &mut Conn, schema: &str, table: Option<&str>) -> Result<bool, MysqlError> {
    let mut sql = format!("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = {}", string(schema));
    if let Some(table) = table {
        let _ = write!(sql, " AND TABLE_NAME = {}", string(table));
    }
    let found: Option<u64> = connection.query_first(sql).await.doing(|| format!("look at schema `{schema}`"))?;
    Ok(found.unwrap_or(0) > 0)
}

/// Runs the statements of one file of the dump, of those sections that are `chosen` by their key. Returns how many there were.
pub(super) async fn run_script(
    connection: &mut Conn,
    (name, data): (&str, &[u8]),
    chosen: impl Fn(Option<&str>) -> bool,
    cancel: &CancellationToken,
) -> Result<u64, MysqlError> {
    let script = std::str::from_utf8(data).map_err(|_| MysqlError::Dump(format!("`{name}` is not UTF-8")))?;
    let mut count = 0;
    for (_, section) in sections(script).into_iter().filter(|(key, _)| chosen(*key)) {
        for statement in statements(section) {
            if cancel.is_cancelled() {
                return Err(MysqlError::Cancelled);
            }
            run(connection, name, statement).await?;
            count += 1;
        }
    }
    Ok(count)
}

async fn run(connection: &mut Conn, name: &str, statement: &str) -> Result<(), MysqlError> {
    connection.query_drop(statement).await.doing(|| {
        let start: String = statement.chars().take(QUOTED_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
        format!("load `{name}`, at `{start}`")
    })
}
