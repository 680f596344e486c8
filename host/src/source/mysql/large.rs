//! Rows whose values are too large for a statement: read piece by piece, and built up in user variables.
//!
//! The server joins each such row with the numbers of its columns and pieces, so that a row comes as often as it has pieces, one
//! after the other, and nothing has to find it again: no key is needed, and each value is taken from its page once. That the
//! pieces come in their order is what nested loops do without join buffers (`connection.rs` turns these off); it is checked here.

use mysql_async::Value;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::connection::quoted;
use super::definitions::Column;
use super::error::MysqlError;
use super::literal::{Form, escape, hex};
use super::names::file_name;
use super::rows::{CHUNK, RowWriter, Tally, number, write_value};

/// Bytes of one piece: as hexadecimal in a statement, below the smallest limit still in use, 4 MiB.
const PIECE: u64 = (2 << 20) - (4 << 10);
/// Bytes of a value that are noted at once.
const NOTED: usize = 64 << 10;
/// By how much text may grow when it becomes UTF-8.
const GROWTH: u64 = 3;

/// The parts of a query that make pieces.
pub(super) struct Pieces<'a> {
    pub(super) columns: Vec<&'a Column>,
    /// Bytes of the large values of the longest row, as they are stored.
    pub(super) longest: u64,
}

impl Pieces<'_> {
    /// Holds for the first piece of a row.
    pub(super) const FIRST: &'static str = "`cofre:column` = 0 AND `cofre:piece` = 0";

    /// Number of the column, number of the piece, bytes of the column's value, and the piece.
    pub(super) fn columns(&self) -> String {
        let values = self.columns.iter().map(|column| raw(column)).collect::<Vec<_>>().join(", ");
        format!(
            "`cofre:column`, `cofre:piece`, {}, SUBSTRING(ELT(`cofre:column` + 1, {values}), 1 + `cofre:piece` * {PIECE}, {PIECE})",
            self.length()
        )
    }

    /// The numbers of columns and of pieces.
    pub(super) fn join(&self) -> String {
        let longest =
            if self.columns.iter().all(|column| column.utf8 || column.form == Form::Binary) { self.longest } else { self.longest * GROWTH };
        let columns = numbers("cofre:column", self.columns.len() as u64);
        format!("STRAIGHT_JOIN {columns} STRAIGHT_JOIN {}", numbers("cofre:piece", longest / PIECE + 1))
    }

    /// Holds for the pieces that a value has; one without a byte has one.
    pub(super) fn filter(&self) -> String {
        format!("`cofre:piece` = 0 OR `cofre:piece` * {PIECE} < {}", self.length())
    }

    fn length(&self) -> String {
        let lengths = self.columns.iter().map(|column| format!("OCTET_LENGTH({})", raw(column)));
        format!("ELT(`cofre:column` + 1, {})", lengths.collect::<Vec<_>>().join(", "))
    }
}

/// Bytes of a large column, as they are written: text in UTF-8.
fn raw(column: &Column) -> String {
    let name = quoted(&column.name);
    let is_raw = column.utf8 || column.form == Form::Binary;
    if is_raw { format!("CAST({name} AS BINARY)") } else { format!("CAST(CONVERT({name} USING utf8mb4) AS BINARY)") }
}

/// A table of the numbers from 0.
fn numbers(name: &str, count: u64) -> String {
    let name = quoted(name);
    let more = (1..count).map(|number| format!(" UNION ALL SELECT {number}")).collect::<Vec<_>>().concat();
    format!("(SELECT 0 AS {name}{more}) AS {name}")
}

/// A row that is written in pieces: its statement so far, and the digest of the tuple as if it stood there whole.
pub(super) struct LargeRow {
    name: String,
    number: u32,
    part: u32,
    identity: String,
    insert: Vec<u8>,
    variables: Vec<String>,
    digest: Xxh3,
    bytes: u64,
    /// Columns of the table that were begun, and how many large ones there are among them.
    begun: usize,
    large: u64,
    value: Option<LargeValue>,
}

/// The value that is being built up.
struct LargeValue {
    variable: String,
    form: Form,
    /// Number of the next piece.
    piece: u64,
    length: u64,
    written: u64,
}

impl LargeRow {
    /// Begins a row, after everything that was written before it.
    pub(super) async fn begin(writer: &mut RowWriter<'_>) -> Result<Self, MysqlError> {
        writer.flush().await?;
        let number = writer.next_number();
        let table = &writer.table.name;
        // Large rows of other tables may load in the same session: the variables must not meet.
        let identity = format!("{:016x}_{number}", xxh3_64(table.as_bytes()));
        Ok(Self {
            name: file_name(table),
            number,
            part: 0,
            identity,
            insert: writer.insert.clone(),
            variables: Vec::new(),
            digest: Xxh3::new(),
            bytes: 0,
            begun: 0,
            large: 0,
            value: None,
        })
    }

    /// Takes the next piece: all columns of the row, the length of its large values, and what [`Pieces::columns`] says. `None` once
    /// the row is written.
    pub(super) async fn take(mut self, writer: &mut RowWriter<'_>, values: &[Option<Value>]) -> Result<Option<Self>, MysqlError> {
        let told = writer.table.columns.len() + 1;
        let [column, piece, length] = [0, 1, 2].map(|at| number(values[told + at].as_ref()));
        let is_null = matches!(values[told + 3], Some(Value::NULL) | None);
        let follows = length.is_none() == is_null
            && match (&self.value, column, piece) {
                (None, Some(column), Some(0)) => column == self.large,
                (Some(value), Some(column), Some(piece)) => piece == value.piece && column + 1 == self.large,
                _ => false,
            };
        if !follows {
            return Err(writer.is_torn());
        }
        if self.value.is_none() {
            self.small_values(writer, values);
            self.begin_value(writer, length);
        }
        if let (Some(_), Some(Value::Bytes(bytes))) = (&self.value, &values[told + 3]) {
            self.piece(writer, bytes).await?;
        }
        if self.value.is_some() || writer.table.columns[self.begun..].iter().any(|column| column.large) {
            return Ok(Some(self));
        }
        self.small_values(writer, values);
        self.finish(writer).await.map(|()| None)
    }

    /// Writes the columns up to the next large one.
    fn small_values(&mut self, writer: &RowWriter<'_>, values: &[Option<Value>]) {
        let columns = &writer.table.columns[self.begun..];
        for (column, value) in columns.iter().zip(&values[self.begun..]).take_while(|(column, _)| !column.large) {
            let mut literal = Vec::new();
            write_value(column.form, value.as_ref(), &mut literal);
            self.separate();
            self.text(&literal);
            self.begun += 1;
        }
    }

    fn begin_value(&mut self, writer: &mut RowWriter<'_>, length: Option<u64>) {
        let form = writer.table.columns[self.begun].form;
        self.separate();
        let Some(length) = length else {
            self.text(b"NULL");
            (self.begun, self.large) = (self.begun + 1, self.large + 1);
            return;
        };
        let variable = format!("@cofre_{}_{}", self.identity, self.begun);
        self.note(if form == Form::Binary { b"x'" } else { b"'" });
        writer.begin();
        writer.buffer.extend_from_slice(format!("SET {variable} = x'';\n").as_bytes());
        (self.begun, self.large) = (self.begun + 1, self.large + 1);
        self.value = Some(LargeValue { variable, form, piece: 0, length, written: 0 });
    }

    async fn piece(&mut self, writer: &mut RowWriter<'_>, bytes: &[u8]) -> Result<(), MysqlError> {
        let Some(mut value) = self.value.take() else { return Ok(()) };
        (value.piece, value.written) = (value.piece + 1, value.written + bytes.len() as u64);
        if value.written > value.length || (value.written < value.length && bytes.len() as u64 != PIECE) {
            return Err(writer.is_torn());
        }
        self.note_value(value.form, bytes);
        // A whole piece fills a file: written behind another it would make the buffer grow to twice the size of all others.
        if writer.buffer.len() + 2 * bytes.len() > CHUNK {
            writer.send(self.next_name()).await?;
        }
        writer.begin();
        writer.buffer.extend_from_slice(format!("SET {0} = CONCAT({0}, x'", value.variable).as_bytes());
        hex(bytes, &mut writer.buffer);
        writer.buffer.extend_from_slice(b"');\n");
        if writer.buffer.len() >= CHUNK {
            writer.send(self.next_name()).await?;
        }
        if value.written < value.length {
            self.value = Some(value);
            return Ok(());
        }
        self.note(b"'");
        self.insert.extend_from_slice(whole(&value.variable, value.form, value.length).as_bytes());
        self.variables.push(value.variable);
        Ok(())
    }

    async fn finish(mut self, writer: &mut RowWriter<'_>) -> Result<(), MysqlError> {
        self.text(b")");
        writer.begin();
        writer.buffer.extend_from_slice(GUARD.as_bytes());
        writer.buffer.extend_from_slice(&self.insert);
        writer.buffer.extend_from_slice(b";\n");
        for variable in &self.variables {
            writer.buffer.extend_from_slice(format!("SET {variable} = NULL;\n").as_bytes());
        }
        writer.count(Tally { rows: 1, bytes: self.bytes, digest: self.digest.digest128() });
        let name = self.next_name();
        writer.send(name).await
    }

    fn separate(&mut self) {
        self.text(if self.begun == 0 { b"(" } else { b"," });
    }

    /// Notes a part of a value as it would stand in the tuple.
    fn note_value(&mut self, form: Form, bytes: &[u8]) {
        let mut literal = Vec::with_capacity(2 * NOTED);
        for part in bytes.chunks(NOTED) {
            literal.clear();
            if form == Form::Binary {
                hex(part, &mut literal);
            } else {
                escape(part, &mut literal);
            }
            self.note(&literal);
        }
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

/// What a person reads at the line that an error names.
const GUARD: &str =
    "-- If this says that a subquery returns more than 1 row, a value is larger than max_allowed_packet of the server: raise it there.\n";

/// A value that was built up, or an error where it was not: `CONCAT` gives NULL beyond `max_allowed_packet`, with no more than a
/// warning. It stands in the `INSERT` itself, because MariaDB's client goes on after an error in a file that is sourced.
fn whole(variable: &str, form: Form, length: u64) -> String {
    let value = if form == Form::Binary { variable.to_owned() } else { format!("CONVERT({variable} USING utf8mb4)") };
    format!("IF(LENGTH({variable}) <=> {length}, {value}, (SELECT 1 UNION SELECT 2))")
}
