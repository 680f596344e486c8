//! What is known of each check: its state between looks, and how full disks were. Unlike the rest this is no copy of anything: without it
//! every check begins anew, and a problem that goes on is told of again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::{Catalog, CatalogError, signed, unsigned};
use crate::monitor::{CheckState, HOURLY, Sample};
use crate::set::SetName;

/// How long samples are kept, in seconds.
const SAMPLES_KEPT: i64 = 90 * 86_400;

/// Whose check it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckScope {
    /// This machine's.
    Own,
    /// Of `cofre watch`, which looks at another's.
    Watch,
}

impl CheckScope {
    fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Watch => "watch",
        }
    }
}

/// What is known of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRecord {
    /// First look.
    pub first: Timestamp,
    /// Last look.
    pub looked: Timestamp,
    /// What the looks mean.
    pub state: CheckState,
}

impl Catalog {
    /// All checks of a scope, by name.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn checks(&self, scope: CheckScope) -> Result<BTreeMap<String, CheckRecord>, CatalogError> {
        let connection = self.connection();
        let mut statement = connection.prepare("SELECT name, first, looked, state FROM checks WHERE scope = ?1")?;
        let row = |row: &rusqlite::Row<'_>| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get::<_, String>(3)?))
        };
        let rows: Vec<(String, String, String, String)> = statement.query_map([scope.name()], row)?.collect::<Result<_, _>>()?;
        let record = |(name, first, looked, state): (String, String, String, String)| {
            let record =
                CheckRecord { first: first.parse().ok()?, looked: looked.parse().ok()?, state: serde_json::from_str(&state).ok()? };
            Some((name, record))
        };
        Ok(rows.into_iter().filter_map(record).collect())
    }

    /// Remembers what a look at `at` came to.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub fn record_check(&self, scope: CheckScope, name: &str, at: Timestamp, state: &CheckState) -> Result<(), CatalogError> {
        let sql = "INSERT INTO checks (scope, name, first, looked, state) VALUES (?1, ?2, ?3, ?3, ?4) \
                   ON CONFLICT (scope, name) DO UPDATE SET looked = excluded.looked, state = excluded.state";
        self.connection().execute(sql, params![scope.name(), name, at.to_string(), serde_json::json!(state).to_string()])?;
        Ok(())
    }

    /// Forgets checks that are no more: all of a scope but these.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub fn keep_checks(&self, scope: CheckScope, names: &[&str]) -> Result<(), CatalogError> {
        let names = serde_json::json!(names).to_string();
        let sql = "DELETE FROM checks WHERE scope = ?1 AND name NOT IN (SELECT value FROM json_each(?2))";
        self.connection().execute(sql, params![scope.name(), names])?;
        if scope == CheckScope::Own {
            self.connection().execute("DELETE FROM disk_samples WHERE name NOT IN (SELECT value FROM json_each(?1))", [names])?;
        }
        Ok(())
    }

    /// Remembers how full a disk is, where this hour has no sample yet, and forgets the oldest.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub fn record_sample(&self, check: &str, sample: Sample) -> Result<(), CatalogError> {
        let hour = sample.at.div_euclid(HOURLY) * HOURLY;
        let connection = self.connection();
        let sql = "INSERT OR IGNORE INTO disk_samples (name, at, used) VALUES (?1, ?2, ?3)";
        if connection.execute(sql, params![check, hour, signed(sample.used)])? > 0 {
            connection.execute("DELETE FROM disk_samples WHERE name = ?1 AND at < ?2", params![check, hour - SAMPLES_KEPT])?;
        }
        Ok(())
    }

    /// How full a disk was from `since` (Unix time in seconds) on, oldest first.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn samples(&self, check: &str, since: i64) -> Result<Vec<Sample>, CatalogError> {
        let connection = self.connection();
        let mut statement = connection.prepare("SELECT at, used FROM disk_samples WHERE name = ?1 AND at >= ?2 ORDER BY at")?;
        let rows = statement.query_map(params![check, since], |row| Ok(Sample { at: row.get(0)?, used: unsigned(row.get(1)?) }))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The newest good set and when it was finished: whole, complete at the destination (at any where it is none) and not found damaged
    /// there; of runs that were told to take this selection alone, or took everything (of any where it is none).
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn newest_good(
        &self,
        destination: Option<&str>,
        selection: Option<&[String]>,
    ) -> Result<Option<(SetName, Timestamp)>, CatalogError> {
        let sql = "SELECT name, finished FROM sets WHERE whole = 1 AND (?2 IS NULL OR selection = ?2 OR selected = 0) AND EXISTS \
                   (SELECT 1 FROM copies WHERE set_name = name AND complete = 1 AND problem IS NULL AND destination = COALESCE(?1, destination)) \
                   ORDER BY finished DESC LIMIT 1";
        let selection = selection.map(|selection| serde_json::json!(selection).to_string());
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
        let found = self.connection().query_row(sql, params![destination, selection], row).optional()?;
        Ok(found.and_then(|(name, finished)| Some((name.parse().ok()?, finished.parse().ok()?))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Fault;

    fn catalog() -> (tempfile::TempDir, Catalog) {
        let directory = tempfile::tempdir().expect("a directory");
        let catalog = Catalog::open(&directory.path().join("catalog.db")).expect("opens");
        (directory, catalog)
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_772_000_000 + second).expect("a time")
    }

    #[test]
    fn a_check_is_remembered_until_it_is_no_more() {
        let (_directory, catalog) = catalog();
        let state = CheckState { problem: Some(Fault::Silent), since: Some(at(0)), ..CheckState::default() };
        for (scope, name) in [(CheckScope::Own, "site"), (CheckScope::Own, "disk:spool"), (CheckScope::Watch, "site")] {
            catalog.record_check(scope, name, at(0), &CheckState::default()).expect("written");
            catalog.record_check(scope, name, at(60), &state).expect("written");
        }
        let record = CheckRecord { first: at(0), looked: at(60), state };
        assert_eq!(catalog.checks(CheckScope::Own).expect("read")["site"], record);
        catalog.keep_checks(CheckScope::Own, &["disk:spool"]).expect("written");
        assert_eq!(catalog.checks(CheckScope::Own).expect("read").into_keys().collect::<Vec<_>>(), ["disk:spool"]);
        assert_eq!(catalog.checks(CheckScope::Watch).expect("read")["site"], record);
    }

    #[test]
    fn one_sample_an_hour_is_kept_for_ninety_days() {
        let (_directory, catalog) = catalog();
        for quarter in 0..100 * 24 * 4 {
            let sample = Sample { at: quarter * 900, used: u64::try_from(quarter).expect("small") };
            // Writing all of them takes long: one day in ten.
            if quarter / 96 % 10 == 0 {
                catalog.record_sample("disk:spool", sample).expect("written");
            }
        }
        let samples = catalog.samples("disk:spool", i64::MIN).expect("read");
        assert_eq!((samples.len(), samples[0].at), (9 * 24 + 1, 82_800));
        assert_eq!(catalog.samples("disk:spool", 90 * 86_400).expect("read").len(), 24);
        assert!(catalog.samples("other", 0).expect("read").is_empty());
    }
}
