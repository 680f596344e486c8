//! The dump of one schema: definitions first, then rows in many files, then views, routines, triggers and events, and last
//! the file that sources them all in order (D2; `docs/formats/dump.md`).

use std::fmt::Write as _;
use std::sync::Arc;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinSet;

use super::connection::{Doing, MysqlError, quoted};
use super::definitions::{Object, Table, objects, schema_defaults, string, tables};
use super::grants;
use super::rows::{Files, Tally, Target, read};
use super::script::delimiter_for;
use super::snapshot::Snapshot;
use crate::ports::{DumpEntry, Meter, ObjectKind, ObjectPassport, SchemaPassport, TableKind, TablePassport, Warnings};

/// Bytes of a table that one reader takes; larger ones are split by their primary key.
const RANGE: u64 = 32 << 20;
const RANGES_MAX: u64 = 256;

pub(super) const DEFINITIONS: &str = "0000-schema.sql";
pub(super) const ROUTINES: &str = "9000-routines.sql";
pub(super) const VIEWS: &str = "9100-views.sql";
pub(super) const TRIGGERS: &str = "9200-triggers.sql";
pub(super) const EVENTS: &str = "9300-events.sql";

const HEAD: &str = "SET NAMES utf8mb4;\nSET time_zone='+00:00', sql_mode='NO_AUTO_VALUE_ON_ZERO', foreign_key_checks=0, unique_checks=0;\n";

/// What a dump tells while it is made.
pub struct DumpContext {
    /// Takes the files of the dump, in order.
    pub out: Sender<DumpEntry>,
    /// Stem of the file names inside: `empresa1` gives `empresa1.sql` and `empresa1.d/`.
    pub stem: String,
    /// Warnings of the run.
    pub warnings: Arc<Warnings>,
    /// Progress of the run.
    pub meter: Arc<Meter>,
}

impl Snapshot {
    /// Dumps one schema. Returns after every file was taken; an error means that the dump is to be thrown away.
    ///
    /// # Errors
    /// When anything cannot be read, or nobody takes the files.
    pub async fn dump_schema(self: &Arc<Self>, schema: &str, context: &Arc<DumpContext>) -> Result<SchemaPassport, MysqlError> {
        let (mut connection, permit) = self.connections.take().await?;
        let described = describe(&mut connection, self, schema, &context.warnings).await;
        self.connections.put(connection).await;
        drop(permit);
        let (defaults, tables, objects) = described?;
        let folder = format!("{}.d", context.stem);
        let mut files = vec![send(context, &folder, DEFINITIONS, definitions(&defaults, &tables)).await?];
        let tables: Vec<Arc<Table>> = tables.into_iter().map(Arc::new).collect();
        let mut passports = Vec::new();
        for (table, tally, names) in self.read_tables(schema, &tables, &folder, context).await? {
            passports.push(passport(&table, &tally, names.len()));
            files.extend(names);
        }
        for (name, script) in scripts(&objects) {
            files.push(send(context, &folder, name, script).await?);
        }
        let mut master = String::from("-- Load with: mariadb SCHEMA < this file\n");
        for file in files {
            let _ = writeln!(master, "source {file}");
        }
        let entry = DumpEntry { name: format!("{}.sql", context.stem), data: master.into_bytes() };
        context.out.send(entry).await.map_err(|_| MysqlError::Abandoned)?;
        let object = |object: &Object| ObjectPassport {
            kind: object.kind,
            name: object.name.clone(),
            definition_sha256: object.definition_sha256.clone(),
        };
        let mut objects: Vec<ObjectPassport> = objects.iter().map(object).collect();
        objects.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        Ok(SchemaPassport { schema: schema.to_owned(), charset: defaults.0, collation: defaults.1, tables: passports, objects })
    }

    /// Dumps users, roles and grants.
    ///
    /// # Errors
    /// When the connection fails; what the account may not see is a warning.
    pub async fn dump_grants(&self, context: &DumpContext) -> Result<(), MysqlError> {
        let (mut connection, permit) = self.connections.take().await?;
        let script = grants::script(&mut connection, &context.warnings, &self.settings.name).await;
        self.connections.put(connection).await;
        drop(permit);
        let entry = DumpEntry { name: "grants.sql".to_owned(), data: script?.into_bytes() };
        context.out.send(entry).await.map_err(|_| MysqlError::Abandoned)
    }

    /// Reads all tables with as many readers as there are connections; returns them in order, with their files.
    async fn read_tables(
        self: &Arc<Self>,
        schema: &str,
        tables: &[Arc<Table>],
        folder: &str,
        context: &Arc<DumpContext>,
    ) -> Result<Vec<(Arc<Table>, Tally, Vec<String>)>, MysqlError> {
        let mut readers: JoinSet<Result<(usize, Tally), MysqlError>> = JoinSet::new();
        let names: Vec<Arc<Files>> = tables.iter().map(|_| Arc::default()).collect();
        let mut tallies = vec![Tally::default(); tables.len()];
        let mut outcome = Ok(());
        'tables: for (index, table) in tables.iter().enumerate() {
            if self.patterns.exclude_rows.is_match(format!("{schema}.{}", table.name)) || table.kind == TableKind::Sequence {
                continue;
            }
            for condition in self.ranges(schema, table).await? {
                while readers.len() >= self.connections.size {
                    outcome = collect(&mut readers, &mut tallies).await;
                    if outcome.is_err() {
                        break 'tables;
                    }
                }
                let (snapshot, table, files) = (Arc::clone(self), Arc::clone(table), Arc::clone(&names[index]));
                let (schema, folder, context) = (schema.to_owned(), folder.to_owned(), Arc::clone(context));
                readers.spawn(async move {
                    let (mut connection, permit) = snapshot.connections.take().await?;
                    let target =
                        Target { folder: &folder, out: &context.out, meter: &context.meter, cancel: &snapshot.cancel, files: &files };
                    let tally = read(&mut connection, &schema, &table, &condition, &target).await?;
                    snapshot.connections.put(connection).await;
                    drop(permit);
                    Ok((index, tally))
                });
            }
        }
        while outcome.is_ok() && !readers.is_empty() {
            outcome = collect(&mut readers, &mut tallies).await;
        }
        if let Err(error) = outcome {
            // Readers in the middle of a result must not drain it: their connections end at the server.
            self.connections.permits.close();
            self.kill().await;
            readers.shutdown().await;
            return Err(if self.cancel.is_cancelled() { MysqlError::Cancelled } else { error });
        }
        Ok(tables.iter().zip(tallies).zip(names).map(|((table, tally), names)| (Arc::clone(table), tally, names.sorted())).collect())
    }

    /// Conditions that together take every row of a table once.
    async fn ranges(&self, schema: &str, table: &Table) -> Result<Vec<String>, MysqlError> {
        let parts = (table.data_length / RANGE).min(RANGES_MAX);
        if parts < 2 || !table.integer_key || self.connections.size < 2 || table.kind != TableKind::Base {
            return Ok(vec![String::new()]);
        }
        let key = quoted(&table.key[0]);
        let (mut connection, permit) = self.connections.take().await?;
        let sql = format!("SELECT CAST(MIN({key}) AS CHAR), CAST(MAX({key}) AS CHAR) FROM {}.{}", quoted(schema), quoted(&table.name));
        let found: Result<Option<(Option<String>, Option<String>)>, _> = connection.query_first(sql).await;
        let found = found.doing(|| format!("measure table `{schema}`.`{}`", table.name))?;
        self.connections.put(connection).await;
        drop(permit);
        let bounds = found.and_then(|(low, high)| Some((low?.parse::<i128>().ok()?, high?.parse::<i128>().ok()?)));
        Ok(bounds.map_or_else(|| vec![String::new()], |(low, high)| conditions(&key, low, high, i128::from(parts))))
    }
}

/// Half-open ranges; the first has no lower and the last no upper bound, so that nothing falls outside.
fn conditions(key: &str, low: i128, high: i128, parts: i128) -> Vec<String> {
    let step = ((high - low) / parts).max(1);
    let mut cuts: Vec<i128> = (1..parts).map(|part| low + part * step).filter(|cut| *cut > low && *cut <= high).collect();
    cuts.dedup();
    if cuts.is_empty() {
        return vec![String::new()];
    }
    let mut ranges = vec![format!("{key} < {}", cuts[0])];
    ranges.extend(cuts.windows(2).map(|pair| format!("{key} >= {} AND {key} < {}", pair[0], pair[1])));
    ranges.push(format!("{key} >= {}", cuts[cuts.len() - 1]));
    ranges
}

async fn collect(readers: &mut JoinSet<Result<(usize, Tally), MysqlError>>, tallies: &mut [Tally]) -> Result<(), MysqlError> {
    match readers.join_next().await {
        Some(Ok(Ok((index, tally)))) => {
            tallies[index].add(tally);
            Ok(())
        }
        Some(Ok(Err(error))) => Err(error),
        Some(Err(panic)) => Err(MysqlError::Dump(format!("a reader ended unexpectedly: {panic}"))),
        None => Ok(()),
    }
}

type Described = ((String, String), Vec<Table>, Vec<Object>);

async fn describe(connection: &mut Conn, snapshot: &Snapshot, schema: &str, warnings: &Warnings) -> Result<Described, MysqlError> {
    let defaults = schema_defaults(connection, schema).await?;
    let mut tables = tables(connection, snapshot, schema).await?;
    let mut unreadable = Vec::new();
    let objects = objects(connection, snapshot, schema, &mut unreadable).await?;
    for what in unreadable {
        warnings.push(schema, format!("the account may not read the definition of {what}: it is not in the backup"));
    }
    for table in &mut tables {
        if table.kind == TableKind::Sequence {
            sequence_value(connection, schema, table).await?;
        } else if !table.transactional {
            let message =
                format!("engine {} takes no part in the snapshot: its rows are as they were at the moment of reading", table.engine);
            warnings.push(format!("{schema}.{}", table.name), message);
        }
    }
    Ok((defaults, tables, objects))
}

/// Adds the next value of a sequence to its definition.
async fn sequence_value(connection: &mut Conn, schema: &str, table: &mut Table) -> Result<(), MysqlError> {
    let sql =
        format!("SELECT CAST(next_not_cached_value AS CHAR), CAST(cycle_count AS CHAR) FROM {}.{}", quoted(schema), quoted(&table.name));
    let value: Option<(String, String)> =
        connection.query_first(sql).await.doing(|| format!("read sequence `{schema}`.`{}`", table.name))?;
    if let Some((next, round)) = value {
        let _ = write!(table.create, ";\nDO SETVAL({}, {next}, 0, {round})", quoted(&table.name));
    }
    Ok(())
}

fn passport(table: &Table, tally: &Tally, files: usize) -> TablePassport {
    TablePassport {
        name: table.name.clone(),
        kind: table.kind,
        engine: table.engine.clone(),
        rows: tally.rows,
        bytes: tally.bytes,
        digest: format!("{:032x}", tally.digest),
        definition_sha256: table.definition_sha256.clone(),
        chunks: u32::try_from(files).unwrap_or(u32::MAX),
        transactional: table.transactional,
    }
}

async fn send(context: &DumpContext, folder: &str, name: &str, script: String) -> Result<String, MysqlError> {
    let name = format!("{folder}/{name}");
    let entry = DumpEntry { name: name.clone(), data: script.into_bytes() };
    context.out.send(entry).await.map_err(|_| MysqlError::Abandoned)?;
    Ok(name)
}

/// Definitions of tables and sequences. The schema is altered without its name, so that it may have another one.
fn definitions((charset, collation): &(String, String), tables: &[Table]) -> String {
    let mut script = format!("{HEAD}ALTER DATABASE CHARACTER SET {charset} COLLATE {collation};\n");
    let sequences_first = tables.iter().filter(|table| table.kind == TableKind::Sequence);
    for table in sequences_first.chain(tables.iter().filter(|table| table.kind != TableKind::Sequence)) {
        let _ = writeln!(script, "-- cofre:{}\n{};", super::names::file_name(&table.name), table.create);
    }
    script
}

fn scripts(objects: &[Object]) -> Vec<(&'static str, String)> {
    let of = |kinds: &[ObjectKind]| -> Option<String> {
        let mut script = HEAD.to_owned();
        let chosen: Vec<&Object> = objects.iter().filter(|object| kinds.contains(&object.kind)).collect();
        for object in &chosen {
            definition(object, &mut script);
        }
        (!chosen.is_empty()).then_some(script)
    };
    let groups = [
        (ROUTINES, of(&[ObjectKind::Function, ObjectKind::Procedure, ObjectKind::Package])),
        (VIEWS, of(&[ObjectKind::View])),
        (TRIGGERS, of(&[ObjectKind::Trigger])),
        (EVENTS, of(&[ObjectKind::Event])),
    ];
    groups.into_iter().filter_map(|(name, script)| Some((name, script?))).collect()
}

fn definition(object: &Object, script: &mut String) {
    let _ = writeln!(script, "-- cofre:{}", super::names::file_name(object.table.as_deref().unwrap_or(&object.name)));
    let _ = writeln!(script, "SET sql_mode={};", string(object.sql_mode.as_deref().unwrap_or("")));
    if let Some(collation) = &object.collation {
        let _ = writeln!(script, "SET collation_connection={};", string(collation));
    }
    if let Some(time_zone) = &object.time_zone {
        let _ = writeln!(script, "SET time_zone={};", string(time_zone));
    }
    if object.kind == ObjectKind::View {
        let _ = writeln!(script, "{};", object.create);
    } else {
        let delimiter = delimiter_for(&object.create);
        let _ = writeln!(script, "DELIMITER {delimiter}\n{}{delimiter}\nDELIMITER ;", object.create);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_key_falls_into_exactly_one_range(low in any::<i64>(), span in 0_i64..1_000_000, parts in 2_i128..40, probe in any::<i64>()) {
            let (low, high) = (i128::from(low), i128::from(low) + i128::from(span));
            let probes = [low, high, low - 1, high + 1, i128::from(probe), low + (high - low) / 2];
            for probe in probes {
                let holds = |condition: &String| condition.split(" AND ").all(|term| match term.split(' ').collect::<Vec<_>>()[..] {
                    [_, "<", bound] => probe < bound.parse::<i128>().expect("a number"),
                    [_, ">=", bound] => probe >= bound.parse::<i128>().expect("a number"),
                    _ => true,
                });
                prop_assert_eq!(conditions("k", low, high, parts).iter().filter(|condition| holds(condition)).count(), 1);
            }
        }
    }
}
