//! Definitions of a schema's tables and objects, as the server prints them, made fit to be restored under any name.

use std::collections::BTreeSet;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use regex::Regex;
use sha2::{Digest, Sha256};

use super::connection::{Doing, MysqlError, quoted};
use super::literal::{Form, escape};
use super::script::without_schema;
use super::snapshot::Snapshot;
use crate::ports::{ObjectKind, TableKind};

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
    /// Columns of the primary key; empty where there is none that can address a row by its text.
    pub(super) key: Vec<String>,
    /// Whether the key's first column is an integer.
    pub(super) integer_key: bool,
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
    pub(super) sql_mode: Option<String>,
    pub(super) collation: Option<String>,
    pub(super) time_zone: Option<String>,
    pub(super) definition_sha256: String,
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

/// Character set and collation of a schema.
pub(super) async fn schema_defaults(connection: &mut Conn, schema: &str) -> Result<(String, String), MysqlError> {
    let sql = format!(
        "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
        string(schema)
    );
    let found: Option<(String, String)> = connection.query_first(sql).await.doing(|| format!("look at schema `{schema}`"))?;
    found.ok_or_else(|| MysqlError::Dump(format!("schema `{schema}` vanished while it was read")))
}

/// Base tables and sequences of a schema, sorted by name.
pub(super) async fn tables(connection: &mut Conn, snapshot: &Snapshot, schema: &str) -> Result<Vec<Table>, MysqlError> {
    let sql = format!(
        "SELECT TABLE_NAME, TABLE_TYPE, ENGINE, DATA_LENGTH FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_TYPE NOT IN ('VIEW', 'SYSTEM VIEW')",
        string(schema)
    );
    let rows: Vec<(String, String, Option<String>, Option<u64>)> =
        connection.query(sql).await.doing(|| format!("list the tables of `{schema}`"))?;
    let mut tables = Vec::new();
    for (name, kind, engine, data_length) in rows {
        if snapshot.patterns.exclude_tables.is_match(format!("{schema}.{name}")) {
            continue;
        }
        let engine = engine.ok_or_else(|| {
            MysqlError::Dump(format!("table `{schema}`.`{name}` is damaged or its engine is not loaded: the server reports none"))
        })?;
        let kind = match kind.as_str() {
            "SEQUENCE" => TableKind::Sequence,
            "SYSTEM VERSIONED" => TableKind::SystemVersioned,
            _ => TableKind::Base,
        };
        tables.push(table(connection, schema, (name, kind, engine, data_length.unwrap_or(0))).await?);
    }
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tables)
}

async fn table(
    connection: &mut Conn,
    schema: &str,
    (name, kind, engine, data_length): (String, TableKind, String, u64),
) -> Result<Table, MysqlError> {
    let place = format!("{}.{}", quoted(schema), quoted(&name));
    let verb = if kind == TableKind::Sequence { "SEQUENCE" } else { "TABLE" };
    let shown: Option<Row> =
        connection.query_first(format!("SHOW CREATE {verb} {place}")).await.doing(|| format!("read the definition of {place}"))?;
    let create =
        shown.and_then(|mut row| text(&mut row, 1)).ok_or_else(|| MysqlError::Dump(format!("{place} vanished while it was read")))?;
    let create = without_schema(&create, schema);
    let (columns, has_float) = columns(connection, schema, &name, kind).await?;
    let (key, integer_key) = if has_float { (Vec::new(), false) } else { primary_key(connection, schema, &name).await? };
    Ok(Table {
        definition_sha256: digest(&canonical(&create)),
        transactional: TRANSACTIONAL.contains(&engine.to_lowercase().as_str()),
        name,
        kind,
        engine,
        create,
        columns,
        key,
        integer_key,
        data_length,
    })
}

/// The definition without what changes by itself: the next AUTO_INCREMENT value.
fn canonical(create: &str) -> String {
    let end = create.rfind(')').unwrap_or(0);
    let options = Regex::new(r" AUTO_INCREMENT=\d+").map_or_else(|_| create[end..].into(), |pattern| pattern.replace(&create[end..], ""));
    format!("{}{options}", &create[..end])
}

/// Columns that are written, and whether one of them is single-precision.
async fn columns(connection: &mut Conn, schema: &str, table: &str, kind: TableKind) -> Result<(Vec<Column>, bool), MysqlError> {
    let sql = format!(
        "SELECT COLUMN_NAME, DATA_TYPE, EXTRA, COALESCE(GENERATION_EXPRESSION, '') FROM information_schema.COLUMNS \
         WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} ORDER BY ORDINAL_POSITION",
        string(schema),
        string(table)
    );
    let rows: Vec<(String, String, String, String)> =
        connection.query(sql).await.doing(|| format!("read the columns of `{schema}`.`{table}`"))?;
    let mut columns = Vec::new();
    let mut period = false;
    for (name, data_type, extra, expression) in rows {
        let row_time = matches!(expression.to_uppercase().as_str(), "ROW START" | "ROW END");
        period |= row_time;
        let generated = extra.to_uppercase().contains("GENERATED") && !extra.to_uppercase().contains("DEFAULT_GENERATED");
        if generated && !row_time {
            continue;
        }
        let data_type = data_type.to_lowercase();
        columns.push(Column {
            form: Form::of(&data_type),
            large: LARGE_TYPES.contains(&data_type.as_str()),
            float: data_type == "float",
            name,
        });
    }
    if kind == TableKind::SystemVersioned && !period {
        // The period columns that a table has without naming them.
        let hidden = |name: &str| Column { name: name.to_owned(), form: Form::Text, large: false, float: false };
        columns.extend([hidden("row_start"), hidden("row_end")]);
    }
    let has_float = columns.iter().any(|column| column.float);
    Ok((columns, has_float))
}

async fn primary_key(connection: &mut Conn, schema: &str, table: &str) -> Result<(Vec<String>, bool), MysqlError> {
    let sql = format!(
        "SELECT s.COLUMN_NAME, c.DATA_TYPE FROM information_schema.STATISTICS s JOIN information_schema.COLUMNS c \
         ON c.TABLE_SCHEMA = s.TABLE_SCHEMA AND c.TABLE_NAME = s.TABLE_NAME AND c.COLUMN_NAME = s.COLUMN_NAME \
         WHERE s.TABLE_SCHEMA = {} AND s.TABLE_NAME = {} AND s.INDEX_NAME = 'PRIMARY' ORDER BY s.SEQ_IN_INDEX",
        string(schema),
        string(table)
    );
    let rows: Vec<(String, String)> = connection.query(sql).await.doing(|| format!("read the primary key of `{schema}`.`{table}`"))?;
    let integer = rows.first().is_some_and(|(_, kind)| kind.to_lowercase().ends_with("int"));
    Ok((rows.into_iter().map(|(name, _)| name).collect(), integer))
}

/// Views, triggers, routines and events, in the order in which they can be made. `unreadable` is told of what the account may not see.
pub(super) async fn objects(
    connection: &mut Conn,
    snapshot: &Snapshot,
    schema: &str,
    unreadable: &mut Vec<String>,
) -> Result<Vec<Object>, MysqlError> {
    let mut objects = Vec::new();
    let own = string(schema);
    let mut lists = vec![
        (
            ObjectKind::Function,
            "FUNCTION",
            format!("SELECT ROUTINE_NAME, '' FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {own} AND ROUTINE_TYPE = 'FUNCTION'"),
        ),
        (
            ObjectKind::Procedure,
            "PROCEDURE",
            format!("SELECT ROUTINE_NAME, '' FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {own} AND ROUTINE_TYPE = 'PROCEDURE'"),
        ),
    ];
    if snapshot.is_mariadb() {
        for kind in ["PACKAGE", "PACKAGE BODY"] {
            lists.push((
                ObjectKind::Package,
                kind,
                format!(
                    "SELECT ROUTINE_NAME, '' FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {own} AND ROUTINE_TYPE = '{kind}'"
                ),
            ));
        }
    }
    lists.push((ObjectKind::View, "VIEW", format!("SELECT TABLE_NAME, '' FROM information_schema.VIEWS WHERE TABLE_SCHEMA = {own}")));
    lists.push((
        ObjectKind::Trigger,
        "TRIGGER",
        format!("SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {own} ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER"),
    ));
    lists.push((ObjectKind::Event, "EVENT", format!("SELECT EVENT_NAME, '' FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {own}")));
    for (kind, verb, sql) in lists {
        let mut names: Vec<(String, String)> =
            connection.query(sql).await.doing(|| format!("list what `{schema}` holds of kind {verb}"))?;
        if kind != ObjectKind::Trigger {
            names.sort_unstable();
        }
        for (name, table) in names {
            let place = format!("{}.{}", quoted(schema), quoted(&name));
            let shown: Option<Row> =
                connection.query_first(format!("SHOW CREATE {verb} {place}")).await.doing(|| format!("read the definition of {place}"))?;
            match shown.and_then(|mut row| object(kind, &name, schema, &mut row)) {
                Some(object) => objects.push(Object { table: (!table.is_empty()).then_some(table), ..object }),
                None => unreadable.push(format!("{} {place}", verb.to_lowercase())),
            }
        }
    }
    Ok(in_order(objects))
}

fn object(kind: ObjectKind, name: &str, schema: &str, row: &mut Row) -> Option<Object> {
    let column = match kind {
        ObjectKind::View => 1,
        ObjectKind::Event => 3,
        ObjectKind::Trigger | ObjectKind::Procedure | ObjectKind::Function | ObjectKind::Package => 2,
    };
    let create = without_schema(&text(row, column)?, schema);
    Some(Object {
        kind,
        name: name.to_owned(),
        table: None,
        sql_mode: named(row, "sql_mode"),
        collation: named(row, "collation_connection").filter(|collation| collation.starts_with("utf8mb4")),
        time_zone: named(row, "time_zone"),
        definition_sha256: digest(&create),
        create,
    })
}

/// Views after the views that they read from; everything else stays as it came.
fn in_order(objects: Vec<Object>) -> Vec<Object> {
    let names: BTreeSet<String> =
        objects.iter().filter(|object| object.kind == ObjectKind::View).map(|object| object.name.clone()).collect();
    let (views, others): (Vec<_>, Vec<_>) = objects.into_iter().partition(|object| object.kind == ObjectKind::View);
    let first_after =
        others.iter().position(|object| matches!(object.kind, ObjectKind::Trigger | ObjectKind::Event)).unwrap_or(others.len());
    let (mut ordered, mut waiting, mut done) = (Vec::new(), views, BTreeSet::new());
    while !waiting.is_empty() {
        let before = waiting.len();
        let mut still = Vec::new();
        for view in waiting {
            let needs = names.iter().any(|name| *name != view.name && !done.contains(name) && view.create.contains(&quoted(name)));
            if needs {
                still.push(view);
            } else {
                done.insert(view.name.clone());
                ordered.push(view);
            }
        }
        if still.len() == before {
            // A column named like a view looks like a circle; the order among these does not matter to the server then.
            ordered.append(&mut still);
        }
        waiting = still;
    }
    let mut all = others;
    all.splice(first_after..first_after, ordered);
    all
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
    fn the_next_number_is_no_part_of_a_definition() {
        let one =
            canonical("CREATE TABLE `t` (`a` int COMMENT ' AUTO_INCREMENT=5') ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb4");
        assert_eq!(one, "CREATE TABLE `t` (`a` int COMMENT ' AUTO_INCREMENT=5') ENGINE=InnoDB DEFAULT CHARSET=utf8mb4");
    }
}
