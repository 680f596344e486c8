//! Definitions of a schema's tables and objects, as the server prints them, made fit to be restored under any name.

use std::collections::BTreeSet;

use mysql_async::Row;
use regex::Regex;
use sha2::{Digest, Sha256};

use super::connection::{Session, quoted};
use super::error::MysqlError;
use super::literal::{Form, escape};
use super::own_name::{OwnName, others_named_in};
use super::rights::Lack;
use super::snapshot::Snapshot;
use super::tokens::Dialect;
use crate::ports::{ObjectKind, TableKind, Warnings};

/// Types whose values may be larger than a chunk of a dump.
const LARGE_TYPES: [&str; 13] = [
    "mediumtext",
    "longtext",
    "mediumblob",
    "longblob",
    "json",
    "geometry",
    "linestring",
    "polygon",
    "multipoint",
    "multilinestring",
    "multipolygon",
    "geometrycollection",
    "geomcollection",
];
/// Types of up to 64 KiB, which are large together where there are more than [`MIDDLE_MAX`] of them: so many stay below 16 MiB
/// in one statement, each byte written as two.
const MIDDLE_TYPES: [&str; 2] = ["text", "blob"];
const MIDDLE_MAX: usize = 64;
/// Character sets whose bytes are UTF-8 already.
const UTF8: [&str; 4] = ["utf8mb4", "utf8mb3", "utf8", "ascii"];
/// Engines whose tables take part in a consistent snapshot.
const TRANSACTIONAL: [&str; 3] = ["innodb", "rocksdb", "tokudb"];

/// One column that is dumped.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) form: Form,
    pub(super) large: bool,
    /// Single-precision: the text protocol would round it.
    pub(super) float: bool,
    /// Text that is stored as the UTF-8 that is written.
    pub(super) utf8: bool,
}

/// One table or sequence.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) kind: TableKind,
    pub(super) engine: String,
    pub(super) transactional: bool,
    /// `CREATE …`, complete.
    pub(super) create: String,
    pub(super) definition_sha256: String,
    pub(super) columns: Vec<Column>,
    /// First column of the primary key, where it is an integer.
    pub(super) integer_key: Option<String>,
    /// Bytes of data, as the server estimates.
    pub(super) data_length: u64,
}

/// One view, trigger, routine or event.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) kind: ObjectKind,
    pub(super) name: String,
    /// Table of a trigger.
    pub(super) table: Option<String>,
    pub(super) create: String,
    /// Whether it may still name the schema that it came from.
    pub(super) doubtful: bool,
    /// Whether a view can be read from.
    pub(super) valid: bool,
    pub(super) sql_mode: Option<String>,
    pub(super) collation: Option<String>,
    pub(super) time_zone: Option<String>,
    pub(super) definition_sha256: String,
}

/// What the server lists of a table: name, type, engine, bytes, and a comment, in which it says what is wrong with one.
type Listed = (String, String, Option<String>, Option<u64>, Option<String>);

/// One schema, and what there is to say while it is described.
pub(super) struct Described<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) schema: &'a str,
    pub(super) warnings: &'a Warnings,
    /// What the account may not see of it.
    pub(super) unreadable: Vec<String>,
}

pub(super) fn string(text: &str) -> String {
    let mut out = vec![b'\''];
    escape(text.as_bytes(), &mut out);
    out.push(b'\'');
    String::from_utf8_lossy(&out).into_owned()
}

fn digest(definition: &str) -> String {
    hex::encode(Sha256::digest(definition.as_bytes()))
}

/// Text of a column that may come as bytes.
fn text(row: &mut Row, index: usize) -> Option<String> {
    let bytes: Option<Vec<u8>> = row.take_opt(index)?.ok()?;
    bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn named(row: &mut Row, name: &str) -> Option<String> {
    let index = row.columns_ref().iter().position(|column| column.name_str().eq_ignore_ascii_case(name))?;
    text(row, index)
}

impl<'a> Described<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, schema: &'a str, warnings: &'a Warnings) -> Self {
        Self { snapshot, schema, warnings, unreadable: Vec::new() }
    }

    fn own_name(&self) -> OwnName<'a> {
        OwnName { schema: self.schema, ignores_case: self.snapshot.ignores_case() }
    }

    fn place(&self, name: &str) -> String {
        format!("{}.{}", quoted(self.schema), quoted(name))
    }

    /// Something that the account may not see, so that the dump is short of it.
    fn lacks(&mut self, what: String, lack: &Lack) {
        self.warnings.push(self.schema, format!("NOT IN THE BACKUP: {what}: {lack}"));
        self.unreadable.push(what);
    }

    /// Character set and collation of the schema.
    pub(super) async fn defaults(&mut self, session: &mut Session) -> Result<(String, String), MysqlError> {
        for lack in self.snapshot.rights.hidden(self.schema) {
            self.lacks(lack.what.to_owned(), &lack);
        }
        let sql = format!(
            "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
            string(self.schema)
        );
        let found = session.first(&sql, || format!("look at schema `{}`", self.schema)).await?;
        found.ok_or_else(|| MysqlError::Read(format!("schema `{}` was dropped after the snapshot was taken", self.schema)))
    }

    /// Base tables and sequences, sorted by name.
    pub(super) async fn tables(&self, session: &mut Session) -> Result<Vec<Table>, MysqlError> {
        let schema = self.schema;
        let sql = format!(
            "SELECT TABLE_NAME, TABLE_TYPE, ENGINE, DATA_LENGTH, TABLE_COMMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = {}",
            string(schema)
        );
        let rows: Vec<Listed> = session.all(&sql, || format!("list the tables of `{schema}`")).await?;
        let present: BTreeSet<String> = rows.iter().map(|(name, ..)| name.clone()).collect();
        self.snapshot.known(schema).filter(|name| !present.contains(*name)).for_each(|name| self.is_dropped(name));
        let mut tables = Vec::new();
        for (name, kind, engine, data_length, comment) in rows.into_iter().filter(|(_, kind, ..)| !kind.ends_with("VIEW")) {
            if self.snapshot.patterns.exclude_tables.is_match(format!("{schema}.{name}")) || self.is_too_new(session, &name).await? {
                continue;
            }
            let engine = engine.ok_or_else(|| {
                let said = comment.filter(|comment| !comment.is_empty()).unwrap_or_else(|| "it says no reason".to_owned());
                MysqlError::Read(format!(
                    "table `{schema}`.`{name}` is damaged, locked or of an engine that is not loaded: the server reports none ({said})"
                ))
            })?;
            let kind = match kind.as_str() {
                "SEQUENCE" => TableKind::Sequence,
                "SYSTEM VERSIONED" => TableKind::SystemVersioned,
                _ => TableKind::Base,
            };
            match self.table(session, (name.clone(), kind, engine, data_length.unwrap_or(0))).await {
                Ok(table) => tables.push(table),
                Err(error) if error.is_gone() => self.is_dropped(&name),
                Err(error) => return Err(error),
            }
        }
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(tables)
    }

    /// Whether a table was made after the snapshot, so that the snapshot cannot show it. One that was renamed can be shown.
    async fn is_too_new(&self, session: &mut Session, name: &str) -> Result<bool, MysqlError> {
        if self.snapshot.knew(self.schema, name) {
            return Ok(false);
        }
        let place = self.place(name);
        match session.first::<u8>(&format!("SELECT 1 FROM {place} LIMIT 1"), || format!("look at table {place}")).await {
            Err(error) if error.is_newer_than_the_snapshot() => {
                let message = "this table was made after the snapshot was taken: it is left out, the next backup has it";
                self.warnings.push(format!("{}.{name}", self.schema), message);
                Ok(true)
            }
            // What else is wrong with it is told when it is read.
            _ => Ok(false),
        }
    }

    fn is_dropped(&self, name: &str) {
        if !self.snapshot.patterns.exclude_tables.is_match(format!("{}.{name}", self.schema)) {
            let message = "it was dropped or renamed after the snapshot was taken: it is not in the backup under this name";
            self.warnings.push(format!("{}.{name}", self.schema), message);
        }
    }

    async fn table(
        &self,
        session: &mut Session,
        (name, kind, engine, data_length): (String, TableKind, String, u64),
    ) -> Result<Table, MysqlError> {
        let place = self.place(&name);
        let verb = if kind == TableKind::Sequence { "SEQUENCE" } else { "TABLE" };
        let shown: Option<Row> =
            session.first(&format!("SHOW CREATE {verb} {place}"), || format!("read the definition of {place}")).await?;
        let create = shown.and_then(|mut row| text(&mut row, 1)).ok_or_else(|| MysqlError::Read(format!("{place} has no definition")))?;
        let create = self.own_name().out_of_printed(&create);
        Ok(Table {
            definition_sha256: digest(&canonical(&create)),
            transactional: TRANSACTIONAL.contains(&engine.to_lowercase().as_str()),
            columns: self.columns(session, &name, kind).await?,
            integer_key: self.integer_key(session, &name).await?,
            name,
            kind,
            engine,
            create,
            data_length,
        })
    }

    /// Columns that are written.
    async fn columns(&self, session: &mut Session, table: &str, kind: TableKind) -> Result<Vec<Column>, MysqlError> {
        let sql = format!(
            "SELECT COLUMN_NAME, DATA_TYPE, EXTRA, COALESCE(GENERATION_EXPRESSION, ''), COALESCE(CHARACTER_SET_NAME, '') \
             FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} ORDER BY ORDINAL_POSITION",
            string(self.schema),
            string(table)
        );
        let rows: Vec<(String, String, String, String, String)> =
            session.all(&sql, || format!("read the columns of {}", self.place(table))).await?;
        let mut columns = Vec::new();
        let mut period = false;
        let middle = rows.iter().filter(|(_, data_type, ..)| MIDDLE_TYPES.contains(&data_type.to_lowercase().as_str())).count();
        for (name, data_type, extra, expression, charset) in rows {
            let row_time = matches!(expression.to_uppercase().as_str(), "ROW START" | "ROW END");
            period |= row_time;
            let generated = extra.to_uppercase().contains("GENERATED") && !extra.to_uppercase().contains("DEFAULT_GENERATED");
            if generated && !row_time {
                continue;
            }
            let data_type = data_type.to_lowercase();
            columns.push(Column {
                form: Form::of(&data_type),
                large: LARGE_TYPES.contains(&data_type.as_str()) || (middle > MIDDLE_MAX && MIDDLE_TYPES.contains(&data_type.as_str())),
                float: data_type == "float",
                utf8: UTF8.contains(&charset.as_str()),
                name,
            });
        }
        if kind == TableKind::SystemVersioned && !period {
            // The period columns that a table has without naming them.
            let hidden = |name: &str| Column { name: name.to_owned(), form: Form::Text, large: false, float: false, utf8: true };
            columns.extend([hidden("row_start"), hidden("row_end")]);
        }
        Ok(columns)
    }

    async fn integer_key(&self, session: &mut Session, table: &str) -> Result<Option<String>, MysqlError> {
        let sql = format!(
            "SELECT s.COLUMN_NAME, c.DATA_TYPE FROM information_schema.STATISTICS s JOIN information_schema.COLUMNS c \
             ON c.TABLE_SCHEMA = s.TABLE_SCHEMA AND c.TABLE_NAME = s.TABLE_NAME AND c.COLUMN_NAME = s.COLUMN_NAME \
             WHERE s.TABLE_SCHEMA = {} AND s.TABLE_NAME = {} AND s.INDEX_NAME = 'PRIMARY' AND s.SEQ_IN_INDEX = 1",
            string(self.schema),
            string(table)
        );
        let first: Option<(String, String)> = session.first(&sql, || format!("read the primary key of {}", self.place(table))).await?;
        Ok(first.filter(|(_, kind)| kind.to_lowercase().ends_with("int")).map(|(name, _)| name))
    }

    /// Routines, triggers of `tables`, events and views, in the order in which they can be made.
    pub(super) async fn objects(&mut self, session: &mut Session, tables: &[Table]) -> Result<Vec<Object>, MysqlError> {
        let tables: BTreeSet<&str> = tables.iter().map(|table| table.name.as_str()).collect();
        let mut objects = Vec::new();
        for (kind, verb, sql) in lists(&string(self.schema), self.snapshot.is_mariadb()) {
            let mut names: Vec<(String, String)> =
                session.all(&sql, || format!("list what `{}` holds of kind {verb}", self.schema)).await?;
            if kind != ObjectKind::Trigger {
                names.sort_unstable();
            }
            for (name, table) in names {
                // One whose table is left out could not be made.
                if kind == ObjectKind::Trigger && !tables.contains(table.as_str()) {
                    continue;
                }
                if let Some(object) = self.object(session, (kind, verb), &name).await? {
                    objects.push(Object { table: (!table.is_empty()).then_some(table), ..object });
                }
            }
        }
        Ok(in_order(objects))
    }

    /// One object; `None` where it is gone or may not be seen, which is told.
    async fn object(&mut self, session: &mut Session, (kind, verb): (ObjectKind, &str), name: &str) -> Result<Option<Object>, MysqlError> {
        let place = self.place(name);
        let what = format!("{} `{name}`", verb.to_lowercase());
        let shown = session.first::<Row>(&format!("SHOW CREATE {verb} {place}"), || format!("read the definition of {what}")).await;
        let object = match shown {
            Ok(row) => row.and_then(|mut row| self.read_object(kind, name, &mut row)),
            Err(error) if error.is_gone() => {
                self.warnings.push(self.schema, format!("{what} was dropped after the snapshot was taken: it is not in the backup"));
                return Ok(None);
            }
            Err(error) if error.is_denied() => None,
            Err(error) if error.code().is_some() => {
                self.warnings.push(self.schema, format!("NOT IN THE BACKUP: {what}: {error}"));
                self.unreadable.push(what);
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let Some(mut object) = object else {
            let lack = self.snapshot.rights.lack(kind, self.schema);
            self.lacks(what, &lack);
            return Ok(None);
        };
        if kind == ObjectKind::View {
            let read = session.run(&format!("SELECT 1 FROM {place} LIMIT 0"), || format!("read from {what}")).await;
            object.valid = read.is_ok();
            match read {
                Err(error) if error.code().is_none() => return Err(error),
                Err(error) => {
                    let message =
                        format!("this view cannot be read on the server itself, so a restore may not be able to make it: {error}");
                    self.warnings.push(format!("{}.{name}", self.schema), message);
                }
                Ok(()) => {}
            }
        }
        Ok(Some(object))
    }

    fn read_object(&self, kind: ObjectKind, name: &str, row: &mut Row) -> Option<Object> {
        let column = match kind {
            ObjectKind::View => 1,
            ObjectKind::Event => 3,
            ObjectKind::Trigger | ObjectKind::Procedure | ObjectKind::Function | ObjectKind::Package => 2,
        };
        let shown = text(row, column)?;
        let sql_mode = named(row, "sql_mode");
        let (create, doubtful) = if kind == ObjectKind::View {
            (self.own_name().out_of_printed(&shown), false)
        } else {
            let unnamed = self.own_name().out_of_body(&shown, Dialect::of(sql_mode.as_deref().unwrap_or("")));
            (unnamed.text, unnamed.doubtful)
        };
        Some(Object {
            kind,
            name: name.to_owned(),
            table: None,
            doubtful,
            valid: true,
            sql_mode,
            collation: named(row, "collation_connection").filter(|collation| collation.starts_with("utf8mb4")),
            time_zone: named(row, "time_zone"),
            definition_sha256: digest(&create),
            create,
        })
    }
}

/// Kinds of objects with the words for them and the queries that list them.
fn lists(own: &str, mariadb: bool) -> Vec<(ObjectKind, &'static str, String)> {
    let routines = |kind: &str| {
        format!("SELECT ROUTINE_NAME, '' FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {own} AND ROUTINE_TYPE = '{kind}'")
    };
    let mut lists =
        vec![(ObjectKind::Function, "FUNCTION", routines("FUNCTION")), (ObjectKind::Procedure, "PROCEDURE", routines("PROCEDURE"))];
    if mariadb {
        lists.extend(["PACKAGE", "PACKAGE BODY"].map(|kind| (ObjectKind::Package, kind, routines(kind))));
    }
    let triggers = format!(
        "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {own} \
         ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER"
    );
    lists.push((ObjectKind::Trigger, "TRIGGER", triggers));
    lists.push((ObjectKind::Event, "EVENT", format!("SELECT EVENT_NAME, '' FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {own}")));
    lists.push((ObjectKind::View, "VIEW", format!("SELECT TABLE_NAME, '' FROM information_schema.VIEWS WHERE TABLE_SCHEMA = {own}")));
    lists
}

/// The definition without what changes by itself: the next AUTO_INCREMENT value.
fn canonical(create: &str) -> String {
    let end = create.rfind(')').unwrap_or(0);
    let options = Regex::new(r" AUTO_INCREMENT=\d+").map_or_else(|_| create[end..].into(), |pattern| pattern.replace(&create[end..], ""));
    format!("{}{options}", &create[..end])
}

/// Views at the end, after the views that they read from; those that need another schema after the others, and those that the
/// server itself cannot read last, so that a plain client that stops at one has made all that can be made. The rest stays as it came.
fn in_order(objects: Vec<Object>) -> Vec<Object> {
    let (mut views, mut ordered): (Vec<_>, Vec<_>) = objects.into_iter().partition(|object| object.kind == ObjectKind::View);
    let rank = |view: &Object| if view.valid { usize::from(!others_named_in(&view.create, Dialect::default()).is_empty()) } else { 2 };
    views.sort_by_cached_key(rank);
    ordered.append(&mut by_need(views));
    ordered
}

/// Each view as early as its place in `views` and the views that it reads from allow.
fn by_need(views: Vec<Object>) -> Vec<Object> {
    let names: Vec<String> = views.iter().map(|view| quoted(&view.name)).collect();
    let needs = |at: usize| (0..names.len()).filter(|other| *other != at && views[at].create.contains(&names[*other])).collect();
    let mut needs: Vec<BTreeSet<usize>> = (0..views.len()).map(needs).collect();
    let mut views: Vec<Option<Object>> = views.into_iter().map(Some).collect();
    let mut ordered = Vec::new();
    while ordered.len() < views.len() {
        let waits = |at: &usize| views[*at].is_some();
        let free = (0..views.len()).filter(waits).find(|at| needs[*at].is_empty());
        // A column named like a view looks like a circle; the order among these does not matter to the server then.
        let Some(at) = free.or_else(|| (0..views.len()).find(waits)) else { break };
        for needs in &mut needs {
            needs.remove(&at);
        }
        ordered.extend(views[at].take());
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(name: &str, create: &str) -> Object {
        Object {
            kind: ObjectKind::View,
            name: name.into(),
            table: None,
            create: create.into(),
            doubtful: false,
            valid: true,
            sql_mode: None,
            collation: None,
            time_zone: None,
            definition_sha256: String::new(),
        }
    }

    #[test]
    fn a_view_comes_after_the_views_it_reads() {
        let ordered = in_order(vec![view("a", "select * from `b`"), view("b", "select * from `c`"), view("c", "select 1")]);
        assert_eq!(ordered.iter().map(|object| object.name.as_str()).collect::<Vec<_>>(), ["c", "b", "a"]);
    }

    #[test]
    fn views_that_may_fail_come_after_those_that_do_not() {
        let broken = Object { valid: false, ..view("a", "select * from `gone`") };
        let (foreign, on_it) = (view("b", "select `x`.`n` AS `n` from (`outra`.`x` join `t`)"), view("c", "select * from `b`"));
        let ordered = in_order(vec![broken, foreign, on_it, view("d", "select `t`.`n` AS `n` from `t`")]);
        assert_eq!(ordered.iter().map(|object| object.name.as_str()).collect::<Vec<_>>(), ["d", "b", "c", "a"]);
    }

    #[test]
    fn the_next_number_is_no_part_of_a_definition() {
        let one =
            canonical("CREATE TABLE `t` (`a` int COMMENT ' AUTO_INCREMENT=5') ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb4");
        assert_eq!(one, "CREATE TABLE `t` (`a` int COMMENT ' AUTO_INCREMENT=5') ENGINE=InnoDB DEFAULT CHARSET=utf8mb4");
    }
}
