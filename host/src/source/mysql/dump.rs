//! The dump of one schema: definitions first, then rows in many files, then routines, triggers, events and views, and last
//! the file that sources them all in order (D2; `docs/formats/dump.md`).

use std::fmt::Write as _;
use std::sync::Arc;

use tokio::sync::mpsc::Sender;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::connection::{Session, quoted};
use super::definitions::{Described, Object, Table, string};
use super::error::MysqlError;
use super::events::{ASLEEP, asleep};
use super::grants;
use super::names::{DEFINITIONS, EVENTS, ROUTINES, SCHEMA_ITSELF, TRIGGERS, VIEWS, file_name};
use super::rows::{Files, Tally, Target, read};
use super::script::delimited;
use super::snapshot::Snapshot;
use crate::ports::{DumpEntry, Meter, ObjectKind, ObjectPassport, SchemaPassport, SpareBuffers, TableKind, TablePassport, Warnings};

/// Bytes of a table that one reader takes; larger ones are split by their primary key.
const RANGE: u64 = 32 << 20;
const RANGES_MAX: u64 = 256;

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
    /// Buffers of entries that were taken.
    pub spare: Arc<SpareBuffers>,
}

impl Snapshot {
    /// Dumps one schema. Returns after every file was taken; an error means that the dump is to be thrown away, and that the
    /// snapshot is as it was before. A passport that names something [unreadable](SchemaPassport::unreadable) is of a dump that
    /// is short of it.
    ///
    /// # Errors
    /// When anything else cannot be read, or nobody takes the files.
    pub async fn dump_schema(self: &Arc<Self>, schema: &str, context: &Arc<DumpContext>) -> Result<SchemaPassport, MysqlError> {
        let (defaults, tables, objects, unreadable) = self.describe(schema, context).await?;
        let folder = format!("{}.d", context.stem);
        let mut files = vec![self.send(context, &folder, DEFINITIONS, definitions(&defaults, &tables)).await?];
        let tables: Vec<Arc<Table>> = tables.into_iter().map(Arc::new).collect();
        let mut passports = Vec::new();
        for (table, tally, names) in self.read_tables(schema, &tables, &folder, context).await? {
            passports.push(passport(&table, &tally, names.len()));
            files.extend(names);
        }
        for (name, script) in scripts(&objects) {
            files.push(self.send(context, &folder, name, script).await?);
        }
        let mut master = String::from("-- Load with: mariadb SCHEMA < this file\n");
        for file in files {
            let _ = writeln!(master, "source {file}");
        }
        let entry = DumpEntry { name: format!("{}.sql", context.stem), data: master.into_bytes() };
        self.deliver(context, entry).await?;
        let object = |object: &Object| ObjectPassport {
            kind: object.kind,
            name: object.name.clone(),
            definition_sha256: object.definition_sha256.clone(),
        };
        let mut objects: Vec<ObjectPassport> = objects.iter().map(object).collect();
        objects.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        let (charset, collation) = defaults;
        Ok(SchemaPassport { schema: schema.to_owned(), charset, collation, tables: passports, objects, unreadable })
    }

    /// Dumps users, roles and grants; returns the accounts that could not be read.
    ///
    /// # Errors
    /// When the connection fails, or the account may not read the list of accounts.
    pub async fn dump_grants(&self, context: &DumpContext) -> Result<Vec<String>, MysqlError> {
        if let Some(lack) = self.rights.lacks_accounts() {
            return Err(MysqlError::Read(format!("{lack} (or set grants = false where they are not wanted)")));
        }
        let mut reader = self.connections.take(&self.cancel).await?;
        let read = grants::read(&mut reader, &context.warnings).await;
        self.connections.give(reader).await;
        let (script, unreadable) = read?;
        self.deliver(context, DumpEntry { name: "grants.sql".to_owned(), data: script.into_bytes() }).await?;
        Ok(unreadable)
    }

    async fn describe(&self, schema: &str, context: &DumpContext) -> Result<Description, MysqlError> {
        let mut reader = self.connections.take(&self.cancel).await?;
        let mut described = Described::new(self, schema, &context.warnings);
        let found = describe(&mut described, &mut reader).await;
        self.connections.give(reader).await;
        let (defaults, tables, objects) = found?;
        Ok((defaults, tables, objects, described.unreadable))
    }

    async fn send(&self, context: &DumpContext, folder: &str, name: &str, script: String) -> Result<String, MysqlError> {
        let name = format!("{folder}/{name}");
        self.deliver(context, DumpEntry { name: name.clone(), data: script.into_bytes() }).await?;
        Ok(name)
    }

    async fn deliver(&self, context: &DumpContext, entry: DumpEntry) -> Result<(), MysqlError> {
        tokio::select! {
            biased;
            sent = context.out.send(entry) => sent.map_err(|_| MysqlError::Abandoned),
            () = self.cancel.cancelled() => Err(MysqlError::Cancelled),
        }
    }

    /// Reads all tables with as many readers as there are connections; returns them in order, with their files. After a failure
    /// every reader has given its connection back.
    async fn read_tables(
        self: &Arc<Self>,
        schema: &str,
        tables: &[Arc<Table>],
        folder: &str,
        context: &Arc<DumpContext>,
    ) -> Result<Vec<(Arc<Table>, Tally, Vec<String>)>, MysqlError> {
        let names: Vec<Arc<Files>> = tables.iter().map(|_| Arc::default()).collect();
        let mut readers = Readers { tasks: JoinSet::new(), tallies: vec![Tally::default(); tables.len()], most: self.connections.size() };
        let cancel = self.cancel.child_token();
        let mut outcome = Ok(());
        for (index, table) in tables.iter().enumerate() {
            let skipped = self.patterns.exclude_rows.is_match(format!("{schema}.{}", table.name)) || table.kind == TableKind::Sequence;
            if skipped {
                continue;
            }
            let order = Order { schema, folder, context, cancel: &cancel, files: &names[index] };
            outcome = self.read_table(table, index, &order, &mut readers).await;
            if outcome.is_err() {
                break;
            }
        }
        while outcome.is_ok() && !readers.tasks.is_empty() {
            outcome = readers.next().await;
        }
        if let Err(error) = outcome {
            cancel.cancel();
            while readers.tasks.join_next().await.is_some() {}
            return Err(if self.cancel.is_cancelled() { MysqlError::Cancelled } else { error });
        }
        Ok(tables
            .iter()
            .zip(readers.tallies)
            .zip(names)
            .map(|((table, tally), names)| (Arc::clone(table), tally, names.sorted()))
            .collect())
    }

    /// Starts the readers of one table.
    async fn read_table(
        self: &Arc<Self>,
        table: &Arc<Table>,
        index: usize,
        order: &Order<'_>,
        readers: &mut Readers,
    ) -> Result<(), MysqlError> {
        let ranges = match self.ranges(order.schema, table, order.cancel).await {
            Err(error) if error.is_gone() => vec![String::new()],
            ranges => ranges?,
        };
        for condition in ranges {
            while readers.tasks.len() >= readers.most {
                readers.next().await?;
            }
            let (snapshot, table, files) = (Arc::clone(self), Arc::clone(table), Arc::clone(order.files));
            let (schema, folder) = (order.schema.to_owned(), order.folder.to_owned());
            let (context, cancel) = (Arc::clone(order.context), order.cancel.clone());
            readers.tasks.spawn(async move {
                let mut reader = snapshot.connections.take(&cancel).await?;
                let target = Target { folder: &folder, context: &context, cancel: &cancel, files: &files };
                let read = read(&mut reader, &schema, &table, &condition, &target).await;
                snapshot.connections.give(reader).await;
                match read {
                    Err(error) if error.is_gone() => {
                        let message = "this table was dropped while the backup was made: its definition is in it, and rows that were not read yet are not";
                        context.warnings.push(format!("{schema}.{}", table.name), message);
                        Ok((index, Tally::default()))
                    }
                    read => read.map(|tally| (index, tally)),
                }
            });
        }
        Ok(())
    }

    /// Conditions that together take every row of a table once.
    async fn ranges(&self, schema: &str, table: &Table, cancel: &CancellationToken) -> Result<Vec<String>, MysqlError> {
        let parts = (table.data_length / RANGE).min(RANGES_MAX);
        let Some(key) = table.integer_key.as_deref().filter(|_| parts > 1 && self.connections.size() > 1 && table.kind == TableKind::Base)
        else {
            return Ok(vec![String::new()]);
        };
        let key = quoted(key);
        let sql = format!("SELECT CAST(MIN({key}) AS CHAR), CAST(MAX({key}) AS CHAR) FROM {}.{}", quoted(schema), quoted(&table.name));
        let mut reader = self.connections.take(cancel).await?;
        let found = reader.first::<(Option<String>, Option<String>)>(&sql, || format!("measure table `{schema}`.`{}`", table.name)).await;
        self.connections.give(reader).await;
        let bounds = found?.and_then(|(low, high)| Some((low?.parse::<i128>().ok()?, high?.parse::<i128>().ok()?)));
        Ok(bounds.map_or_else(|| vec![String::new()], |(low, high)| conditions(&key, low, high, i128::from(parts))))
    }
}

/// What all readers of one table share.
struct Order<'a> {
    schema: &'a str,
    folder: &'a str,
    context: &'a Arc<DumpContext>,
    cancel: &'a CancellationToken,
    files: &'a Arc<Files>,
}

/// The readers at work, and what they found, by table.
struct Readers {
    tasks: JoinSet<Result<(usize, Tally), MysqlError>>,
    tallies: Vec<Tally>,
    most: usize,
}

impl Readers {
    /// Waits for the next reader to end.
    async fn next(&mut self) -> Result<(), MysqlError> {
        match self.tasks.join_next().await {
            Some(Ok(Ok((index, tally)))) => {
                self.tallies[index].add(tally);
                Ok(())
            }
            Some(Ok(Err(error))) => Err(error),
            Some(Err(panic)) => Err(MysqlError::Read(format!("a reader ended unexpectedly: {panic}"))),
            None => Ok(()),
        }
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

type Description = ((String, String), Vec<Table>, Vec<Object>, Vec<String>);

async fn describe(described: &mut Described<'_>, session: &mut Session) -> Result<((String, String), Vec<Table>, Vec<Object>), MysqlError> {
    let defaults = described.defaults(session).await?;
    let mut tables = described.tables(session).await?;
    let objects = described.objects(session, &tables).await?;
    for table in &mut tables {
        if table.kind == TableKind::Sequence {
            sequence_value(session, described.schema, table).await?;
        } else if !table.transactional {
            let message =
                format!("engine {} takes no part in the snapshot: its rows are as they were at the moment of reading", table.engine);
            described.warnings.push(format!("{}.{}", described.schema, table.name), message);
        }
    }
    Ok((defaults, tables, objects))
}

/// Adds the next value of a sequence to its definition.
async fn sequence_value(session: &mut Session, schema: &str, table: &mut Table) -> Result<(), MysqlError> {
    let sql =
        format!("SELECT CAST(next_not_cached_value AS CHAR), CAST(cycle_count AS CHAR) FROM {}.{}", quoted(schema), quoted(&table.name));
    let value: Option<(String, String)> = session.first(&sql, || format!("read sequence `{schema}`.`{}`", table.name)).await?;
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

/// Definitions of tables and sequences. The schema is altered without its name, so that it may have another one.
fn definitions((charset, collation): &(String, String), tables: &[Table]) -> String {
    let mut script = format!("{HEAD}-- cofre:{SCHEMA_ITSELF}\nALTER DATABASE CHARACTER SET {charset} COLLATE {collation};\n");
    let sequences_first = tables.iter().filter(|table| table.kind == TableKind::Sequence);
    for table in sequences_first.chain(tables.iter().filter(|table| table.kind != TableKind::Sequence)) {
        let _ = writeln!(script, "-- cofre:{}\n{};", file_name(&table.name), table.create);
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
        (TRIGGERS, of(&[ObjectKind::Trigger])),
        (EVENTS, of(&[ObjectKind::Event])),
        (VIEWS, of(&[ObjectKind::View])),
    ];
    groups.into_iter().filter_map(|(name, script)| Some((name, script?))).collect()
}

fn definition(object: &Object, script: &mut String) {
    let _ = writeln!(script, "-- cofre:{}", file_name(object.table.as_deref().unwrap_or(&object.name)));
    let asleep = (object.kind == ObjectKind::Event && object.doubtful).then(|| asleep(&object.create)).flatten();
    if asleep.is_some() {
        let _ = writeln!(
            script,
            "{ASLEEP} It may name the schema that it came from. Where it is to run: ALTER EVENT {} ENABLE;",
            quoted(&object.name)
        );
    }
    let _ = writeln!(script, "SET sql_mode={};", string(object.sql_mode.as_deref().unwrap_or("")));
    if let Some(collation) = &object.collation {
        let _ = writeln!(script, "SET collation_connection={};", string(collation));
    }
    if let Some(time_zone) = &object.time_zone {
        let _ = writeln!(script, "SET time_zone={};", string(time_zone));
    }
    let create = asleep.as_ref().unwrap_or(&object.create);
    let _ = if object.kind == ObjectKind::View { writeln!(script, "{create};") } else { writeln!(script, "{}", delimited(create)) };
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
