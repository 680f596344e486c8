//! Loads a dump into a database: definitions first, rows over several connections, then everything else (D2).
//!
//! Names come from the caller, never from the dump (trap 3). One table can be loaded alone, with its rows and triggers.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::connection::{Session, kill, quoted};
use super::definitions::string;
use super::error::MysqlError;
use super::names::{DEFINITIONS, EVENTS, TRIGGERS, file_name, is_script};
use super::objects::{Place, Remarks, load_objects};
use super::scratch::UNLOGGED;
use super::script::{sections, statements};
use crate::ports::{Meter, MysqlSettings};

/// Largest file of a dump that is loaded, in bytes: ours have 4 to 9 MiB.
pub const ENTRY_MAX: u64 = 64 << 20;
/// Characters of a failing statement that an error quotes.
const QUOTED_MAX: usize = 200;

/// How to load.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Name of the schema that the dump is of.
    pub origin: String,
    /// Only this table.
    pub table: Option<String>,
    /// The schema only stands beside another for a while: no events, which would fire in it, and the scripts of all objects are kept.
    pub staging: bool,
    /// Kept out of the server's binary log, where the account may: the schema is nobody's data.
    pub unlogged: bool,
}

/// What was loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct LoadReport {
    /// Files of the dump.
    pub files: u64,
    /// Statements.
    pub statements: u64,
    /// What a person should know of objects.
    pub remarks: Remarks,
}

type Chunk = (String, Vec<u8>);

/// Loads one dump, file by file in the order of its archive.
pub struct Loader {
    settings: Arc<MysqlSettings>,
    schema: String,
    options: LoadOptions,
    main: Session,
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
        let settings = Arc::new(settings.clone());
        let mut main = session(&settings, None, (&options, &cancel)).await?;
        prepare(&mut main, schema, &options).await?;
        let ids = Arc::new(Mutex::new(vec![main.id()]));
        Ok(Self {
            settings,
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
            Some(_) if is_script(file) => file == DEFINITIONS || file == TRIGGERS,
            Some(table) => file.starts_with(&format!("{}.", file_name(table))),
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
        if is_script(file) {
            self.settle().await?;
            return self.script(name, file, data).await;
        }
        if !file.contains(".part") {
            return self.rows(name, data).await;
        }
        self.report.statements += run_script(&mut self.main, (name, &data), |_| true).await?;
        Ok(())
    }

    async fn script(&mut self, name: &str, file: &str, data: Vec<u8>) -> Result<(), MysqlError> {
        let wanted = self.options.table.as_deref().map(file_name);
        // What concerns the schema as a whole is not for one table of it.
        let chosen = |key: Option<&str>| key.is_none() || wanted.as_deref().is_none_or(|table| key == Some(table));
        if file == DEFINITIONS {
            self.report.statements += run_script(&mut self.main, (name, &data), chosen).await?;
            return Ok(());
        }
        if !(self.options.staging && file == EVENTS) {
            let place = Place { origin: &self.options.origin, schema: &self.schema };
            self.report.statements += load_objects(&mut self.main, (name, &data), &place, chosen, &mut self.report.remarks).await?;
        }
        if self.options.staging {
            self.objects.push((name.to_owned(), data));
        }
        Ok(())
    }

    /// Waits until everything is loaded; with it come the scripts of the objects, if it is a staging schema.
    ///
    /// # Errors
    /// When a statement failed.
    pub async fn finish(mut self) -> Result<(LoadReport, Vec<(String, Vec<u8>)>), MysqlError> {
        self.settle().await?;
        if let Some(table) = self.options.table.clone() {
            let sql = format!("SHOW TABLES LIKE {}", string(&table.replace('\\', "\\\\").replace('_', "\\_").replace('%', "\\%")));
            let found: Option<String> = self.main.first(&sql, || format!("look for table `{table}`")).await?;
            if found.is_none() {
                return Err(MysqlError::Dump(format!("the backup holds no table `{table}`")));
            }
        }
        self.main.close().await;
        Ok((self.report, self.objects))
    }

    /// Ends all connections at once, in the middle of whatever they load.
    pub async fn kill(&self) {
        let ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner).clone();
        kill(&self.settings, "CONNECTION", &ids).await;
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
            let session = session(&self.settings, Some(&self.schema), (&self.options, &self.cancel)).await?;
            self.ids.lock().unwrap_or_else(PoisonError::into_inner).push(session.id());
            self.workers.push(tokio::spawn(work(session, Arc::clone(&receiver))));
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

async fn session(
    settings: &Arc<MysqlSettings>,
    schema: Option<&str>,
    (options, cancel): (&LoadOptions, &CancellationToken),
) -> Result<Session, MysqlError> {
    let mut session = Session::open(settings, schema, cancel).await?;
    if options.unlogged {
        session.run(UNLOGGED, || "leave the binary log alone".to_owned()).await.ok();
    }
    Ok(session)
}

async fn prepare(main: &mut Session, schema: &str, options: &LoadOptions) -> Result<(), MysqlError> {
    let target = quoted(schema);
    if is_there(main, schema, options.table.as_deref()).await? {
        let what = options.table.as_ref().map_or_else(|| schema.to_owned(), |table| format!("{schema}.{table}"));
        return Err(MysqlError::NotEmpty(what));
    }
    main.run(&format!("CREATE DATABASE IF NOT EXISTS {target}"), || format!("make schema `{schema}`")).await?;
    main.run(&format!("USE {target}"), || format!("use schema `{schema}`")).await
}

async fn work(mut session: Session, receiver: Arc<tokio::sync::Mutex<mpsc::Receiver<Chunk>>>) -> Result<u64, MysqlError> {
    let mut count = 0;
    loop {
        let next = receiver.lock().await.recv().await;
        let Some((name, data)) = next else { break };
        let script = String::from_utf8(data).map_err(|_| not_text(&name))?;
        // In files of rows a line feed is never part of a value, so this is where statements end.
        for statement in script.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()) {
            run(&mut session, &name, statement).await?;
            count += 1;
        }
    }
    session.close().await;
    Ok(count)
}

/// Whether `schema` holds any table, or `table`.
pub(super) async fn is_there(session: &mut Session, schema: &str, table: Option<&str>) -> Result<bool, MysqlError> {
    let mut sql = format!("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = {}", string(schema));
    if let Some(table) = table {
        let _ = write!(sql, " AND TABLE_NAME = {}", string(table));
    }
    let found: Option<u64> = session.first(&sql, || format!("look at schema `{schema}`")).await?;
    Ok(found.unwrap_or(0) > 0)
}

/// Runs the statements of one file of the dump, of those sections that are `chosen` by their key. Returns how many there were.
pub(super) async fn run_script(
    session: &mut Session,
    (name, data): (&str, &[u8]),
    chosen: impl Fn(Option<&str>) -> bool,
) -> Result<u64, MysqlError> {
    let script = std::str::from_utf8(data).map_err(|_| not_text(name))?;
    let mut count = 0;
    for (_, section) in sections(script).into_iter().filter(|(key, _)| chosen(*key)) {
        for statement in statements(section) {
            run(session, name, statement).await?;
            count += 1;
        }
    }
    Ok(count)
}

pub(super) fn not_text(name: &str) -> MysqlError {
    MysqlError::Dump(format!("`{name}` is not UTF-8"))
}

pub(super) async fn run(session: &mut Session, name: &str, statement: &str) -> Result<(), MysqlError> {
    let action = || {
        let start: String = statement.chars().take(QUOTED_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
        format!("load `{name}`, at `{start}`")
    };
    session.run(statement, action).await
}
