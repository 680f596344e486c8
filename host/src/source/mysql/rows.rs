//! Rows of a table as `INSERT` statements, in chunks of a few MiB, with their order-independent digest.
//!
//! A value too large for a statement is built up in a user variable, piece by piece, so that no statement and no buffer
//! grows with it. Such a row is addressed by its primary key and its large values are read in pieces on the same snapshot.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use futures_util::{FutureExt, StreamExt};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, Value};
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::connection::{Doing, MysqlError, quoted};
use super::definitions::{Column, Table};
use super::literal::{Form, escape, hex};
use super::names::file_name;
use crate::ports::{DumpEntry, Meter, TableKind};

/// Bytes of one file of a dump.
const CHUNK: usize = 4 << 20;
/// Bytes of one statement.
const STATEMENT: usize = 1 << 20;
/// Values longer than this are read and written in pieces.
const LARGE: usize = 1 << 20;
/// Bytes of one piece.
const PIECE: usize = 2 << 20;

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
    pub(super) out: &'a Sender<DumpEntry>,
    pub(super) meter: &'a Meter,
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
    connection: &mut Conn,
    schema: &str,
    table: &Table,
    condition: &str,
    target: &Target<'_>,
) -> Result<Tally, MysqlError> {
    let mut writer = RowWriter::new(table, target);
    let piecewise = !table.key.is_empty() && table.columns.iter().any(|column| column.large);
    let large_rows = stream(connection, &select(schema, table, condition, piecewise), table, piecewise, &mut writer).await?;
    for key in large_rows {
        writer.large_row(connection, schema, &key).await?;
    }
    writer.finish().await
}

fn expression(column: &Column) -> String {
    let name = quoted(&column.name);
    if column.float { format!("CAST({name} AS DOUBLE)") } else { name }
}

/// Bytes of a large column, as they are written: text in UTF-8.
fn raw(column: &Column) -> String {
    let name = quoted(&column.name);
    if column.form == Form::Binary { format!("CAST({name} AS BINARY)") } else { format!("CAST(CONVERT({name} USING utf8mb4) AS BINARY)") }
}

fn select(schema: &str, table: &Table, condition: &str, piecewise: bool) -> String {
    let mut parts: Vec<String> = Vec::new();
    for column in &table.columns {
        let expression = expression(column);
        parts.push(if column.large && piecewise {
            format!("IF(OCTET_LENGTH({expression}) > {LARGE}, NULL, {expression})")
        } else {
            expression
        });
    }
    if piecewise {
        let tests = table
            .columns
            .iter()
            .filter(|column| column.large)
            .map(|column| format!("COALESCE(OCTET_LENGTH({}) > {LARGE}, 0)", quoted(&column.name)));
        parts.push(tests.collect::<Vec<_>>().join(" OR "));
    }
    let history = if table.kind == TableKind::SystemVersioned { " FOR SYSTEM_TIME ALL" } else { "" };
    let filter = if condition.is_empty() { String::new() } else { format!(" WHERE {condition}") };
    format!("SELECT {} FROM {}.{}{history}{filter}", parts.join(", "), quoted(schema), quoted(&table.name))
}

/// Streams a result into `writer`; returns conditions that address the rows with large values.
async fn stream(
    connection: &mut Conn,
    sql: &str,
    table: &Table,
    piecewise: bool,
    writer: &mut RowWriter<'_>,
) -> Result<Vec<String>, MysqlError> {
    let place = || format!("read table `{}`", table.name);
    let mut result = connection.query_iter(sql).await.doing(place)?;
    let mut large_rows = Vec::new();
    let Some(mut rows) = result.stream::<Row>().await.doing(place)? else { return Ok(large_rows) };
    loop {
        // Most rows are there already: a wait that can be cancelled costs more than reading one.
        let next = if let Some(next) = rows.next().now_or_never() {
            next
        } else {
            tokio::select! {
                biased;
                () = writer.target.cancel.cancelled() => return Err(MysqlError::Cancelled),
                next = rows.next() => next,
            }
        };
        let Some(row) = next else { break };
        let values = row.doing(place)?.unwrap_raw();
        let is_large = piecewise && matches!(values.last(), Some(Some(Value::Bytes(flag))) if flag.as_slice() == b"1");
        if is_large {
            large_rows.push(key_condition(table, &values));
        } else {
            writer.row(&values[..table.columns.len()]).await?;
        }
    }
    Ok(large_rows)
}

fn key_condition(table: &Table, values: &[Option<Value>]) -> String {
    let mut condition = Vec::new();
    for name in &table.key {
        let Some(index) = table.columns.iter().position(|column| column.name == *name) else { continue };
        if !condition.is_empty() {
            condition.extend_from_slice(b" AND ");
        }
        condition.extend_from_slice(quoted(name).as_bytes());
        condition.extend_from_slice(b" = ");
        write_value(table.columns[index].form, values[index].as_ref(), &mut condition);
    }
    String::from_utf8_lossy(&condition).into_owned()
}

fn write_value(form: Form, value: Option<&Value>, out: &mut Vec<u8>) {
    match value {
        Some(Value::Bytes(bytes)) => form.write(bytes, out),
        Some(Value::NULL) | None => out.extend_from_slice(b"NULL"),
        // The text protocol sends bytes only; anything else would be a change of the driver.
        Some(other) => out.extend_from_slice(other.as_sql(false).as_bytes()),
    }
}

struct RowWriter<'a> {
    table: &'a Table,
    target: &'a Target<'a>,
    insert: Vec<u8>,
    buffer: Vec<u8>,
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

    fn begin(&mut self) {
        if self.buffer.is_empty() {
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

    async fn flush(&mut self) -> Result<(), MysqlError> {
        self.end_statement();
        self.target.meter.add_items(std::mem::take(&mut self.uncounted));
        if self.target.cancel.is_cancelled() {
            return Err(MysqlError::Cancelled);
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        let name = format!("{}.{:05}.sql", file_name(&self.table.name), self.target.files.number());
        self.send(name).await
    }

    async fn send(&mut self, name: String) -> Result<(), MysqlError> {
        self.buffer.extend_from_slice(TAIL.as_bytes());
        let name = format!("{}/{name}", self.target.folder);
        self.target.files.add(name.clone());
        let data = std::mem::take(&mut self.buffer);
        self.target.out.send(DumpEntry { name, data }).await.map_err(|_| MysqlError::Abandoned)
    }

    async fn finish(mut self) -> Result<Tally, MysqlError> {
        self.flush().await?;
        Ok(self.tally)
    }

    /// Writes one row whose large values come in pieces, in files of its own that load one after the other in one session.
    async fn large_row(&mut self, connection: &mut Conn, schema: &str, key: &str) -> Result<(), MysqlError> {
        self.flush().await?;
        let table = self.table;
        let from = format!("FROM {}.{} WHERE {key}", quoted(schema), quoted(&table.name));
        let parts =
            table.columns.iter().map(|column| if column.large { format!("OCTET_LENGTH({})", raw(column)) } else { expression(column) });
        let sql = format!("SELECT {} {from}", parts.collect::<Vec<_>>().join(", "));
        let row: Option<Row> = connection.query_first(sql).await.doing(|| format!("read a large row of table `{}`", table.name))?;
        let values =
            row.ok_or_else(|| MysqlError::Dump(format!("a row of table `{}` vanished inside its snapshot", table.name)))?.unwrap_raw();
        let mut large = LargeRow::new(self.target.files.number(), &table.name, self.insert.clone());
        for (index, (column, value)) in table.columns.iter().zip(&values).enumerate() {
            large.text(if index == 0 { b"(" } else { b"," });
            match value {
                Some(Value::Bytes(length)) if column.large => {
                    let length = std::str::from_utf8(length).ok().and_then(|text| text.parse().ok());
                    let length: usize =
                        length.ok_or_else(|| MysqlError::Dump(format!("a length in table `{}` is no number", table.name)))?;
                    self.large_value(connection, &from, (column, index, length), &mut large).await?;
                }
                _ => {
                    let mut literal = Vec::new();
                    write_value(column.form, value.as_ref(), &mut literal);
                    large.text(&literal);
                }
            }
        }
        large.text(b")");
        self.begin();
        self.buffer.extend_from_slice(&large.insert);
        self.buffer.extend_from_slice(b";\n");
        for variable in &large.variables {
            self.buffer.extend_from_slice(format!("SET {variable} = NULL;\n").as_bytes());
        }
        self.tally.add(Tally { rows: 1, bytes: large.bytes, digest: large.digest.digest128() });
        self.send(large.next_name()).await
    }

    /// Builds one value up in a user variable.
    async fn large_value(
        &mut self,
        connection: &mut Conn,
        from: &str,
        (column, index, length): (&Column, usize, usize),
        large: &mut LargeRow,
    ) -> Result<(), MysqlError> {
        let variable = format!("@cofre_{}_{index}", large.identity);
        let binary = column.form == Form::Binary;
        large.note(if binary { b"x'" } else { b"'" });
        self.begin();
        self.buffer.extend_from_slice(format!("SET {variable} = x'';\n").as_bytes());
        for offset in (0..length).step_by(PIECE) {
            if self.target.cancel.is_cancelled() {
                return Err(MysqlError::Cancelled);
            }
            let sql = format!("SELECT SUBSTRING({}, {}, {PIECE}) {from}", raw(column), offset + 1);
            let piece: Option<Vec<u8>> =
                connection.query_first(sql).await.doing(|| format!("read a large value of table `{}`", self.table.name))?;
            let piece = piece.unwrap_or_default();
            if piece.len() != PIECE.min(length - offset) {
                return Err(MysqlError::Dump(format!("a large value of table `{}` came short", self.table.name)));
            }
            let mut literal = Vec::with_capacity(2 * piece.len());
            if binary {
                hex(&piece, &mut literal);
            } else {
                escape(&piece, &mut literal);
            }
            large.note(&literal);
            self.begin();
            self.buffer.extend_from_slice(format!("SET {variable} = CONCAT({variable}, x'").as_bytes());
            hex(&piece, &mut self.buffer);
            self.buffer.extend_from_slice(b"');\n");
            if self.buffer.len() >= CHUNK {
                self.send(large.next_name()).await?;
            }
        }
        large.note(b"'");
        let assigned = if binary { variable.clone() } else { format!("CONVERT({variable} USING utf8mb4)") };
        large.insert.extend_from_slice(assigned.as_bytes());
        large.variables.push(variable);
        Ok(())
    }
}

/// A row that is written in pieces: its statement so far, and the digest of the tuple as if it stood there whole.
struct LargeRow {
    name: String,
    number: u32,
    part: u32,
    identity: String,
    insert: Vec<u8>,
    variables: Vec<String>,
    digest: Xxh3,
    bytes: u64,
}

impl LargeRow {
    fn new(number: u32, table: &str, insert: Vec<u8>) -> Self {
        // Large rows of other tables may load in the same session: the variables must not meet.
        let identity = format!("{:016x}_{number}", xxhash_rust::xxh3::xxh3_64(table.as_bytes()));
        Self { name: file_name(table), number, part: 0, identity, insert, variables: Vec::new(), digest: Xxh3::new(), bytes: 0 }
    }

    fn note(&mut self, text: &[u8]) {
        self.digest.update(text);
        self.bytes += text.len() as u64;
    }

    /// Text that stands in the statement as it stands in the tuple.
    fn text(&mut self, text: &[u8]) {
        self.note(text);
        self.insert.extend_from_slice(text);
    }

    fn next_name(&mut self) -> String {
        self.part += 1;
        format!("{}.{:05}.part{:05}.sql", self.name, self.number, self.part)
    }
}
