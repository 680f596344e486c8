//! What came of runs and copies, kept for the report longer than the sets themselves.

use jiff::{SignedDuration, Timestamp};
use rusqlite::params;

use super::{Catalog, CatalogError, now, signed, unsigned};
use crate::set::SetName;

/// Rows of a history that are read at most: ten years of hourly backups.
const ROWS_MAX: u32 = 100_000;

/// What a run made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunResult {
    /// Whether it was told to take only some things.
    pub selected: bool,
    /// Schemas.
    pub databases: u64,
    /// Directories.
    pub directories: u64,
    /// Bytes before compression.
    pub plain: u64,
    /// Bytes stored, once.
    pub stored: u64,
    /// Things that could not be read.
    pub missing: u64,
    /// Warnings.
    pub warnings: u64,
}

/// One attempt to bring a set to a destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Destination.
    pub destination: String,
    /// Whether the whole set is there.
    pub complete: bool,
    /// Bytes that went there.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// Bytes that are free there, where the service or the file system says.
    pub free: Option<u64>,
    /// What went wrong; empty where nothing did.
    pub detail: String,
}

/// A verb that was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastRun {
    /// `run`, `verify`, `prune` and so on.
    pub verb: String,
    /// Its set, where there was one.
    pub set: Option<String>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended; absent while it runs, and for one that was killed.
    pub finished: Option<Timestamp>,
    /// `done`, `warnings`, `failed`.
    pub outcome: Option<String>,
    /// One line about it.
    pub detail: String,
    /// What it made, where it is a backup that made something.
    pub result: Option<RunResult>,
}

/// All attempts to bring a set to a destination.
#[derive(Debug, Clone, PartialEq)]
pub struct PastDelivery {
    /// The set.
    pub set: String,
    /// When the first attempt ended.
    pub at: Timestamp,
    /// How many there were.
    pub attempts: u64,
    /// What came of them in all.
    pub delivery: Delivery,
}

impl Catalog {
    /// Keeps what a run made.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub fn record_result(&self, run: i64, result: &RunResult) -> Result<(), CatalogError> {
        let RunResult { selected, databases, directories, plain, stored, missing, warnings } = *result;
        let counts = [databases, directories, plain, stored, missing, warnings].map(signed);
        let [databases, directories, plain, stored, missing, warnings] = counts;
        let sql = "INSERT OR REPLACE INTO results (run, selected, databases, directories, plain, stored, missing, warnings) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        self.connection().execute(sql, params![run, selected, databases, directories, plain, stored, missing, warnings])?;
        Ok(())
    }

    /// Keeps how a destination fared with a set; a later attempt is added to the earlier ones.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub fn record_delivery(&self, set: SetName, delivery: &Delivery) -> Result<(), CatalogError> {
        let sql = "INSERT INTO deliveries (set_name, destination, at, complete, bytes, seconds, attempts, free, detail) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?8) \
                   ON CONFLICT (set_name, destination) DO UPDATE SET complete = ?4, bytes = bytes + ?5, seconds = seconds + ?6, \
                   attempts = attempts + 1, free = COALESCE(?7, free), detail = ?8";
        let Delivery { destination, complete, bytes, seconds, free, detail } = delivery;
        self.connection()
            .execute(sql, params![set.to_string(), destination, now(), complete, signed(*bytes), seconds, free.map(signed), detail])?;
        Ok(())
    }

    /// Runs that began from `from` on and before `to`, oldest first.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn past_runs(&self, from: Timestamp, to: Timestamp) -> Result<Vec<PastRun>, CatalogError> {
        let connection = self.connection();
        let mut statement = connection.prepare(
            "SELECT verb, set_name, started, finished, outcome, detail, \
             run, selected, databases, directories, plain, stored, missing, warnings FROM runs LEFT JOIN results ON run = id \
             WHERE started BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT ?3",
        )?;
        let (low, high) = around(from, to);
        let rows = statement.query_map(params![low, high, ROWS_MAX], |row| {
            let started: String = row.get(2)?;
            let finished: Option<String> = row.get(3)?;
            let result = match row.get::<_, Option<i64>>(6)? {
                None => None,
                Some(_) => Some(RunResult {
                    selected: row.get(7)?,
                    databases: unsigned(row.get(8)?),
                    directories: unsigned(row.get(9)?),
                    plain: unsigned(row.get(10)?),
                    stored: unsigned(row.get(11)?),
                    missing: unsigned(row.get(12)?),
                    warnings: unsigned(row.get(13)?),
                }),
            };
            let (verb, set, outcome, detail) = (row.get(0)?, row.get(1)?, row.get(4)?, row.get::<_, Option<String>>(5)?);
            let finished = finished.and_then(|text| text.parse().ok());
            let detail = detail.unwrap_or_default();
            Ok(started.parse().ok().map(|started| PastRun { verb, set, started, finished, outcome, detail, result }))
        })?;
        let rows: Vec<Option<PastRun>> = rows.collect::<Result<_, _>>()?;
        Ok(rows.into_iter().flatten().filter(|run| (from..to).contains(&run.started)).rev().collect())
    }

    /// Deliveries whose first attempt ended from `from` on and before `to`, oldest first.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn past_deliveries(&self, from: Timestamp, to: Timestamp) -> Result<Vec<PastDelivery>, CatalogError> {
        let connection = self.connection();
        let mut statement = connection.prepare(
            "SELECT set_name, at, attempts, destination, complete, bytes, seconds, free, detail FROM deliveries \
             WHERE at BETWEEN ?1 AND ?2 ORDER BY at DESC LIMIT ?3",
        )?;
        let (low, high) = around(from, to);
        let rows = statement.query_map(params![low, high, ROWS_MAX], |row| {
            let delivery = Delivery {
                destination: row.get(3)?,
                complete: row.get(4)?,
                bytes: unsigned(row.get(5)?),
                seconds: row.get(6)?,
                free: row.get::<_, Option<i64>>(7)?.map(unsigned),
                detail: row.get(8)?,
            };
            let at: String = row.get(1)?;
            let (set, attempts) = (row.get(0)?, unsigned(row.get(2)?));
            Ok(at.parse().ok().map(|at| PastDelivery { set, at, attempts, delivery }))
        })?;
        let rows: Vec<Option<PastDelivery>> = rows.collect::<Result<_, _>>()?;
        Ok(rows.into_iter().flatten().filter(|past| (from..to).contains(&past.at)).rev().collect())
    }
}

/// Texts that no time of a range lies outside of. As texts, times within one second do not compare as times do: `0.5Z` comes before `0Z`.
fn around(from: Timestamp, to: Timestamp) -> (String, String) {
    let second = SignedDuration::from_secs(1);
    let low = from.checked_sub(second).unwrap_or(from);
    let high = to.checked_add(second).unwrap_or(to);
    (low.to_string(), high.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> (tempfile::TempDir, Catalog) {
        let directory = tempfile::tempdir().expect("a directory");
        let catalog = Catalog::open(&directory.path().join("catalog.db")).expect("opens");
        (directory, catalog)
    }

    fn began(catalog: &Catalog, at: &str) {
        catalog.connection().execute("INSERT INTO runs (verb, started) VALUES ('run', ?1)", [at]).expect("written");
    }

    #[test]
    fn a_range_has_its_first_moment_and_not_its_end() {
        let (_directory, catalog) = catalog();
        let times = [
            "2026-03-01T02:59:59.9Z",
            "2026-03-01T03:00:00Z",
            "2026-03-01T03:00:00.5Z",
            "2026-04-01T02:59:59.999999999Z",
            "2026-04-01T03:00:00Z",
            "2026-04-01T03:00:00.1Z",
        ];
        for at in &times {
            began(&catalog, at);
        }
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let found = catalog.past_runs(at("2026-03-01T03:00:00Z"), at("2026-04-01T03:00:00Z")).expect("read");
        let found: Vec<String> = found.iter().map(|run| run.started.to_string()).collect();
        assert_eq!(found, times[1..4]);
    }

    #[test]
    fn what_a_run_made_comes_back_with_it() {
        let (_directory, catalog) = catalog();
        let set: SetName = "backup_2026_01_01_00_00_00".parse().expect("valid");
        let number = catalog.begin_run("run", Some(set)).expect("written");
        let result = RunResult { selected: true, databases: 1, directories: 2, plain: 3, stored: 4, missing: 5, warnings: 6 };
        catalog.record_result(number, &result).expect("written");
        catalog.finish_run(number, "done", "").expect("written");
        let all = (Timestamp::MIN, Timestamp::MAX);
        let runs = catalog.past_runs(all.0, all.1).expect("read");
        assert_eq!((runs.len(), runs[0].result, runs[0].finished.is_some()), (1, Some(result), true));
    }

    #[test]
    fn a_later_attempt_is_added_to_the_first() {
        let (_directory, catalog) = catalog();
        let set: SetName = "backup_2026_01_01_00_00_00".parse().expect("valid");
        let attempt =
            |complete, bytes, free| Delivery { destination: "disco".into(), complete, bytes, seconds: 1.5, free, detail: String::new() };
        catalog.record_delivery(set, &attempt(false, 10, Some(100))).expect("written");
        catalog.record_delivery(set, &attempt(true, 5, None)).expect("written");
        let past = catalog.past_deliveries(Timestamp::MIN, Timestamp::MAX).expect("read");
        assert_eq!((past.len(), past[0].attempts), (1, 2));
        assert_eq!(past[0].delivery, Delivery { seconds: 3.0, ..attempt(true, 15, Some(100)) });
    }
}
