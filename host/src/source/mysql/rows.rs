//! Rows of a table as `INSERT` statements, in chunks of a few MiB, with their order-independent digest.
//!
//! A row whose values are too large for a statement is read and written in pieces (`large.rs`), so that no statement and no
//! buffer grows with it, whether or not the table has a key.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mysql_async::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_128;

use super::connection::{Rows, Session, quoted};
use super::definitions::{Column, Table};
use super::dump::DumpContext;
use super::error::MysqlError;
use super::large::{LargeRow, Pieces};
use super::literal::Form;
use super::names::file_name;
use crate::ports::{DumpEntry, TableKind};

/// Bytes of one file of a dump.
pub(super) const CHUNK: usize = 4 << 20;
/// Bytes of one statement.
const STATEMENT: usize = 1 << 20;
/// Rows whose large values are longer than this together are read and written in pieces. A statement is then at most 1 MiB of
/// rows before, twice this, and 8 MiB of columns that are not large: less than the 16 MiB that servers take by default.
const LARGE: u64 = 1 << 20;
/// How much longer than what it just did the server may take to find the large rows of a table among the others.
const SECOND_LOOK: u32 = 4;

/// What every data file sets before its rows.
const HEAD: &str = "SET NAMES utf8mb4;\nSET time_zone='+00:00', sql_mode='NO_AUTO_VALUE_ON_ZERO', foreign_key_checks=0, unique_checks=0, autocommit=0;\n\
                    /*M!100200 SET check_constraint_checks=0 */;\n";
const HISTORY: &str = "/*M!101100 SET system_versioning_insert_history=1 */;\n";
const TAIL: &str = "COMMIT;\n";

/// Count, bytes and digest of rows; sums do not depend on the order.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) digest: u128,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.digest = self.digest.wrapping_add(other.digest);
    }
}

/// Where a reader writes to, and the numbers of its files.
pub(super) struct Target<'a> {
    /// Folder of the dump, `empresa1.d`.
    pub(super) folder: &'a str,
    pub(super) context: &'a DumpContext,
    pub(super) cancel: &'a CancellationToken,
    /// Files of this table so far, over all its readers.
    pub(super) files: &'a Files,
}

/// Names of a table's files.
#[derive(Debug, Default)]
pub(super) struct Files {
    count: AtomicU32,
    names: Mutex<Vec<String>>,
}

impl Files {
    fn number(&self) -> u32 {
        1 + self.count.fetch_add(1, Ordering::Relaxed)
    }

    fn add(&self, name: String) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).push(name);
    }

    /// All names, in the order in which they load.
    pub(super) fn sorted(&self) -> Vec<String> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner).clone();
        names.sort_unstable();
        names
    }
}

/// Reads the rows of `table` that fall under `condition` (all where it is empty).
pub(super) async fn read(
    session: &mut Session,
    schema: &str,
    table: &Table,
    condition: &str,
    target: &Target<'_>,
) -> Result<Tally, MysqlError> {
    let select = Select { schema, table, condition };
    let mut writer = RowWriter::new(table, target);
    let (idle, began) = (session.settings().idle_timeout, Instant::now());
    let changed = || {
        MysqlError::Read(format!(
            "table {} changed while its large rows were read, and its engine takes no part in the snapshot",
            select.place()
        ))
    };
    if !table.transactional
        && let Some(longest) = select.longest(session).await?.filter(|longest| *longest > LARGE)
    {
        // Only one statement sees one state of such a table.
        writer.pieces(session, &select.pieces(longest, false), idle).await?;
        return writer.finish().await;
    }
    let large = writer.rows(session, &select.rows(), idle).await?;
    if large.rows > 0 && !table.transactional {
        return Err(changed());
    }
    if large.rows > 0 {
        let found = writer.pieces(session, &select.pieces(large.longest, true), idle + SECOND_LOOK * began.elapsed()).await?;
        if found != large.rows {
            return Err(changed());
        }
    }
    writer.finish().await
}

/// What was passed over because it is large.
#[derive(Debug, Clone, Copy, Default)]
struct Large {
    rows: u64,
    /// Bytes of the large values of the longest of them.
    longest: u64,
}

/// The queries that read a table.
struct Select<'a> {
    schema: &'a str,
    table: &'a Table,
    condition: &'a str,
}

impl Select<'_> {
    fn place(&self) -> String {
        format!("{}.{}", quoted(self.schema), quoted(&self.table.name))
    }

    fn from(&self) -> String {
        let history = if self.table.kind == TableKind::SystemVersioned { " FOR SYSTEM_TIME ALL" } else { "" };
        format!("FROM {}{history} AS `cofre:table`", self.place())
    }

    fn large(&self) -> impl Iterator<Item = &Column> {
        self.table.columns.iter().filter(|column| column.large)
    }

    /// Bytes of a row's large values; `None` where the table has no column for them.
    fn length(&self) -> Option<String> {
        let lengths: Vec<String> = self.large().map(|column| format!("COALESCE(OCTET_LENGTH({}),0)", quoted(&column.name))).collect();
        (!lengths.is_empty()).then(|| lengths.join("+"))
    }

    /// The columns; large values of large rows are NULL, and the length of a row's large values follows.
    fn columns(&self) -> String {
        let length = self.length();
        let mut parts: Vec<String> = Vec::new();
        for column in &self.table.columns {
            let expression = expression(column);
            parts.push(match &length {
                Some(length) if column.large => format!("IF({length} > {LARGE}, NULL, {expression})"),
                _ => expression,
            });
        }
        parts.extend(length);
        parts.join(", ")
    }

    fn filter(&self, more: &str) -> String {
        match (self.condition, more) {
            ("", "") => String::new(),
            ("", one) | (one, "") => format!(" WHERE {one}"),
            (one, other) => format!(" WHERE ({one}) AND {other}"),
        }
    }

    /// Every row once.
    fn rows(&self) -> String {
        format!("SELECT {} {}{}", self.columns(), self.from(), self.filter(""))
    }

    /// Every large row as often as it has pieces, in their order; every other row once, unless `only_large`.
    fn pieces(&self, longest: u64, only_large: bool) -> String {
        let length = self.length().unwrap_or_else(|| "0".to_owned());
        let pieces = Pieces { columns: self.large().collect(), longest };
        let mut filter = format!("({} OR {length} > {LARGE}) AND ({})", Pieces::FIRST, pieces.filter());
        if only_large {
            filter = format!("{length} > {LARGE} AND {filter}");
        }
        format!("SELECT {}, {} {} {}{}", self.columns(), pieces.columns(), self.from(), pieces.join(), self.filter(&filter))
    }

    /// Bytes of the large values of the longest row.
    async fn longest(&self, session: &mut Session) -> Result<Option<u64>, MysqlError> {
        let Some(length) = self.length().filter(|_| self.table.data_length > LARGE) else { return Ok(None) };
        let sql = format!("SELECT MAX({length}) {}{}", self.from(), self.filter(""));
        Ok(session.first::<Option<u64>>(&sql, || format!("measure table {}", self.place())).await?.flatten())
    }
}

fn expression(column: &Column) -> String {
    let name = quoted(&column.name);
    if column.float { format!("CAST({name} AS DOUBLE)") } else { name }
}

pub(super) fn write_value(form: Form, value: Option<&Value>, out: &mut Vec<u8>) {
    match value {
        Some(Value::Bytes(bytes)) => form.write(bytes, out),
        Some(Value::NULL) | None => out.extend_from_slice(b"NULL"),
        // The text protocol sends bytes only; anything else would be a change of the driver.
        Some(other) => out.extend_from_slice(other.as_sql(false).as_bytes()),
    }
}

/// A number that the server computed.
pub(super) fn number(value: Option<&Value>) -> Option<u64> {
    match value {
        Some(Value::Bytes(digits)) => std::str::from_utf8(digits).ok()?.parse().ok(),
        Some(Value::UInt(number)) => Some(*number),
        Some(Value::Int(number)) => u64::try_from(*number).ok(),
        _ => None,
    }
}

/// Writes rows into files.
pub(super) struct RowWriter<'a> {
    pub(super) table: &'a Table,
    target: &'a Target<'a>,
    pub(super) insert: Vec<u8>,
    pub(super) buffer: Vec<u8>,
    /// Where the statement being written began; `None` between statements.
    statement: Option<usize>,
    tally: Tally,
    /// Rows that the meter does not know of yet: telling it of each would make all readers wait for one another.
    uncounted: u64,
}

impl<'a> RowWriter<'a> {
    fn new(table: &'a Table, target: &'a Target<'a>) -> Self {
        let columns: Vec<String> = table.columns.iter().map(|column| quoted(&column.name)).collect();
        let insert = format!("INSERT INTO {} ({}) VALUES\n", quoted(&table.name), columns.join(",")).into_bytes();
        Self { table, target, insert, buffer: Vec::new(), statement: None, tally: Tally::default(), uncounted: 0 }
    }

    /// Writes what a query gives, but for large rows, which are counted.
    async fn rows(&mut self, session: &mut Session, sql: &str, idle: Duration) -> Result<Large, MysqlError> {
        let mut rows = session.rows(sql, format!("read table `{}`", self.table.name), idle).await?;
        let read = self.take_rows(&mut rows).await;
        if read.is_err() {
            rows.abandon().await;
        }
        read
    }

    async fn take_rows(&mut self, rows: &mut Rows<'_>) -> Result<Large, MysqlError> {
        let count = self.table.columns.len();
        let has_large = self.table.columns.iter().any(|column| column.large);
        let mut large = Large::default();
        while let Some(row) = rows.next().await? {
            let values = row.unwrap_raw();
            if has_large && let Some(length) = values.get(count).and_then(|value| number(value.as_ref())).filter(|length| *length > LARGE) {
                large = Large { rows: large.rows + 1, longest: large.longest.max(length) };
            } else {
                self.row(&values[..count]).await?;
            }
        }
        Ok(large)
    }

    /// Writes what a query gives in pieces; returns how many large rows there were.
    async fn pieces(&mut self, session: &mut Session, sql: &str, idle: Duration) -> Result<u64, MysqlError> {
        let mut rows = session.rows(sql, format!("read large rows of table `{}`", self.table.name), idle).await?;
        let read = self.take_pieces(&mut rows).await;
        if read.is_err() {
            rows.abandon().await;
        }
        read
    }

    async fn take_pieces(&mut self, rows: &mut Rows<'_>) -> Result<u64, MysqlError> {
        let count = self.table.columns.len();
        let (mut large, mut current) = (0, None::<LargeRow>);
        while let Some(row) = rows.next().await? {
            let values = row.unwrap_raw();
            if number(values[count].as_ref()).is_none_or(|length| length <= LARGE) {
                self.row(&values[..count]).await?;
                continue;
            }
            let piece = match current.take() {
                Some(row) => row,
                None => LargeRow::begin(self).await?,
            };
            current = piece.take(self, &values).await?;
            large += u64::from(current.is_none());
        }
        if current.is_some() { Err(self.is_torn()) } else { Ok(large) }
    }

    /// The server did not send the pieces of large rows one after the other, or not all of them.
    pub(super) fn is_torn(&self) -> MysqlError {
        MysqlError::Read(format!("the pieces of a large row of table `{}` did not come in their order", self.table.name))
    }

    pub(super) fn begin(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = self.target.context.spare.take();
            self.buffer.reserve(CHUNK + STATEMENT / 4);
            self.buffer.extend_from_slice(HEAD.as_bytes());
            if self.table.kind == TableKind::SystemVersioned {
                self.buffer.extend_from_slice(HISTORY.as_bytes());
            }
        }
    }

    async fn row(&mut self, values: &[Option<Value>]) -> Result<(), MysqlError> {
        self.begin();
        if self.statement.is_some() {
            self.buffer.extend_from_slice(b",\n");
        } else {
            self.statement = Some(self.buffer.len());
            self.buffer.extend_from_slice(&self.insert);
        }
        let start = self.buffer.len();
        self.buffer.push(b'(');
        for (index, (column, value)) in self.table.columns.iter().zip(values).enumerate() {
            if index > 0 {
                self.buffer.push(b',');
            }
            write_value(column.form, value.as_ref(), &mut self.buffer);
        }
        self.buffer.push(b')');
        let tuple = &self.buffer[start..];
        let row = Tally { rows: 1, bytes: tuple.len() as u64, digest: xxh3_128(tuple) };
        self.tally.add(row);
        self.uncounted += 1;
        if self.statement.is_some_and(|began| self.buffer.len() - began >= STATEMENT) {
            self.end_statement();
        }
        if self.buffer.len() >= CHUNK { self.flush().await } else { Ok(()) }
    }

    fn end_statement(&mut self) {
        if self.statement.take().is_some() {
            self.buffer.extend_from_slice(b";\n");
        }
    }

    pub(super) async fn flush(&mut self) -> Result<(), MysqlError> {
        self.end_statement();
        self.target.context.meter.add_items(std::mem::take(&mut self.uncounted));
        if self.target.cancel.is_cancelled() {
            return Err(MysqlError::Cancelled);
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        let name = format!("{}.{:05}.sql", file_name(&self.table.name), self.next_number());
        self.send(name).await
    }

    /// Number of the next file of this table.
    pub(super) fn next_number(&self) -> u32 {
        self.target.files.number()
    }

    pub(super) async fn send(&mut self, name: String) -> Result<(), MysqlError> {
        self.buffer.extend_from_slice(TAIL.as_bytes());
        let name = format!("{}/{name}", self.target.folder);
        self.target.files.add(name.clone());
        let data = std::mem::take(&mut self.buffer);
        tokio::select! {
            biased;
            sent = self.target.context.out.send(DumpEntry { name, data }) => sent.map_err(|_| MysqlError::Abandoned),
            () = self.target.cancel.cancelled() => Err(MysqlError::Cancelled),
        }
    }

    /// One more row was written by other means.
    pub(super) fn count(&mut self, row: Tally) {
        self.tally.add(row);
        self.uncounted += 1;
    }

    async fn finish(mut self) -> Result<Tally, MysqlError> {
        self.flush().await?;
        Ok(self.tally)
    }
}
