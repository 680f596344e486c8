//! Compares what a schema holds with what a passport says it held: the proof of a restore.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::dump::DumpContext;
use super::error::MysqlError;
use super::snapshot::Snapshot;
use crate::ports::{MysqlSettings, SchemaPassport, Warnings};

/// One way in which a schema differs from its passport.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// Table or object.
    pub subject: String,
    /// What differs.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.what)
    }
}

/// Reads a live schema and computes its passport, as a dump would, without writing anything.
///
/// # Errors
/// When it cannot be read.
pub async fn passport_of(settings: &MysqlSettings, schema: &str, cancel: CancellationToken) -> Result<SchemaPassport, MysqlError> {
    let only = MysqlSettings { include_schemas: vec![globset::escape(schema)], exclude_schemas: Vec::new(), ..settings.clone() };
    let warnings = Arc::new(Warnings::default());
    let snapshot = Arc::new(Snapshot::open(&only, &warnings, cancel).await?);
    let (out, mut entries) = mpsc::channel(2);
    let context = Arc::new(DumpContext { out, stem: "x".to_owned(), warnings, meter: Arc::default(), spare: Arc::default() });
    let drain = tokio::spawn(async move { while entries.recv().await.is_some() {} });
    let passport = snapshot.dump_schema(schema, &context).await;
    drop(context);
    let _ = drain.await;
    if let Ok(snapshot) = Arc::try_unwrap(snapshot) {
        snapshot.close().await;
    }
    passport
}

/// What differs in definitions alone, where the rows have been compared before.
///
/// # Errors
/// When the schema cannot be read.
pub async fn compare_definitions(
    settings: &MysqlSettings,
    schema: &str,
    expected: &SchemaPassport,
    cancel: CancellationToken,
) -> Result<Vec<Difference>, MysqlError> {
    let without_rows = MysqlSettings { exclude_rows: vec![format!("{}.*", globset::escape(schema))], ..settings.clone() };
    let found = passport_of(&without_rows, schema, cancel).await?;
    let mut expected = expected.clone();
    for table in &mut expected.tables {
        if let Some(same) = found.tables.iter().find(|other| other.name == table.name) {
            (table.rows, table.digest) = (same.rows, same.digest.clone());
        }
    }
    Ok(compare(&expected, &found))
}

/// Everything in which `found` is not what `expected` says; empty where they agree.
pub fn compare(expected: &SchemaPassport, found: &SchemaPassport) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut differ = |subject: &str, what: String| differences.push(Difference { subject: subject.to_owned(), what });
    let tables: BTreeMap<_, _> = found.tables.iter().map(|table| (&table.name, table)).collect();
    for table in &expected.tables {
        match tables.get(&table.name) {
            None => differ(&table.name, "the table is missing".to_owned()),
            Some(other) if other.rows != table.rows => differ(&table.name, format!("it has {} rows instead of {}", other.rows, table.rows)),
            Some(other) if other.digest != table.digest => differ(&table.name, "its rows differ".to_owned()),
            Some(other) if other.definition_sha256 != table.definition_sha256 => differ(&table.name, "its definition differs".to_owned()),
            Some(_) => {}
        }
    }
    let objects: BTreeMap<_, _> = found.objects.iter().map(|object| ((object.kind, &object.name), object)).collect();
    for object in &expected.objects {
        match objects.get(&(object.kind, &object.name)) {
            None => differ(&object.name, format!("the {:?} is missing", object.kind).to_lowercase()),
            Some(other) if other.definition_sha256 != object.definition_sha256 => {
                differ(&object.name, format!("the definition of the {:?} differs", object.kind).to_lowercase());
            }
            Some(_) => {}
        }
    }
    let more = found.tables.iter().filter(|table| !expected.tables.iter().any(|known| known.name == table.name));
    for table in more {
        differ(&table.name, "the table is not in the passport".to_owned());
    }
    differences
}
