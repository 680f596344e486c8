//! What is remembered of proofs: when shares of the sets were verified, and how long drills took.

use rusqlite::{OptionalExtension, params};
use serde::Serialize;

use super::{Catalog, CatalogError, CopyRecord, now, signed, unsigned};
use crate::set::SetName;

/// Rounds that are kept of a destination: more than any share needs.
const ROUNDS_KEPT: u32 = 1_000;

/// What a drill measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DrillRecord {
    /// The set.
    pub set: String,
    /// When it ended, RFC 3339.
    pub at: String,
    /// Whether all of it came back as it was.
    pub good: bool,
    /// Bytes that were downloaded.
    pub stored: u64,
    /// Bytes after decryption and decompression.
    pub plain: u64,
    /// Seconds of downloading, seals and digests included.
    pub download_seconds: f64,
    /// Seconds of decrypting, decompressing and loading.
    pub restore_seconds: f64,
    /// Seconds of comparing.
    pub compare_seconds: f64,
    /// Seconds from the beginning to the end.
    pub total_seconds: f64,
}

impl Catalog {
    /// Notes that a verification of a share of the sets begins at a destination.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub fn begin_round(&self, destination: &str) -> Result<(), CatalogError> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        transaction.execute("INSERT INTO verify_rounds (destination, at) VALUES (?1, ?2)", params![destination, now()])?;
        let sql = "DELETE FROM verify_rounds WHERE destination = ?1 AND rowid NOT IN \
                   (SELECT rowid FROM verify_rounds WHERE destination = ?1 ORDER BY rowid DESC LIMIT ?2)";
        transaction.execute(sql, params![destination, ROUNDS_KEPT])?;
        transaction.commit()?;
        Ok(())
    }

    /// When verifications of a share began at a destination.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn rounds(&self, destination: &str) -> Result<Vec<jiff::Timestamp>, CatalogError> {
        let connection = self.connection();
        let mut statement = connection.prepare("SELECT at FROM verify_rounds WHERE destination = ?1")?;
        let rows = statement.query_map([destination], |row| row.get::<_, String>(0))?;
        let texts: Vec<String> = rows.collect::<Result<_, _>>()?;
        Ok(texts.iter().filter_map(|text| text.parse().ok()).collect())
    }

    /// All copies that are known: the set's name, and the copy.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn all_copies(&self) -> Result<Vec<(SetName, CopyRecord)>, CatalogError> {
        let connection = self.connection();
        let sql =
            "SELECT set_name, destination, complete, given_up, detail, verified, problem FROM copies ORDER BY set_name DESC, destination";
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map([], |row| {
            let copy = CopyRecord {
                destination: row.get(1)?,
                complete: row.get(2)?,
                given_up: row.get(3)?,
                detail: row.get(4)?,
                verified: row.get(5)?,
                problem: row.get(6)?,
            };
            Ok((row.get::<_, String>(0)?, copy))
        })?;
        let rows: Vec<(String, CopyRecord)> = rows.collect::<Result<_, _>>()?;
        Ok(rows.into_iter().filter_map(|(set, copy)| Some((set.parse().ok()?, copy))).collect())
    }

    /// Records what a drill measured.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub fn record_drill(&self, drill: &DrillRecord) -> Result<(), CatalogError> {
        self.connection().execute(
            "INSERT INTO drills (set_name, at, good, stored, plain, download, restore, compare, total) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                drill.set,
                drill.at,
                drill.good,
                signed(drill.stored),
                signed(drill.plain),
                drill.download_seconds,
                drill.restore_seconds,
                drill.compare_seconds,
                drill.total_seconds
            ],
        )?;
        Ok(())
    }

    /// The last drill that brought everything back.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn last_good_drill(&self) -> Result<Option<DrillRecord>, CatalogError> {
        let sql = "SELECT set_name, at, good, stored, plain, download, restore, compare, total FROM drills WHERE good = 1 ORDER BY id DESC LIMIT 1";
        let row = |row: &rusqlite::Row<'_>| {
            Ok(DrillRecord {
                set: row.get(0)?,
                at: row.get(1)?,
                good: row.get(2)?,
                stored: unsigned(row.get(3)?),
                plain: unsigned(row.get(4)?),
                download_seconds: row.get(5)?,
                restore_seconds: row.get(6)?,
                compare_seconds: row.get(7)?,
                total_seconds: row.get(8)?,
            })
        };
        Ok(self.connection().query_row(sql, [], row).optional()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> (tempfile::TempDir, Catalog) {
        let directory = tempfile::tempdir().expect("a directory");
        let catalog = Catalog::open(&directory.path().join("catalog.db")).expect("opens");
        (directory, catalog)
    }

    #[test]
    fn rounds_are_kept_for_each_destination_and_not_for_ever() {
        let (_directory, catalog) = catalog();
        for _ in 0..ROUNDS_KEPT + 5 {
            catalog.begin_round("disk").expect("written");
        }
        catalog.begin_round("cloud").expect("written");
        assert_eq!(catalog.rounds("disk").expect("read").len(), ROUNDS_KEPT as usize);
        assert_eq!(catalog.rounds("cloud").expect("read").len(), 1);
    }

    #[test]
    fn the_last_good_drill_is_what_the_next_is_compared_with() {
        let (_directory, catalog) = catalog();
        let drill = |set: &str, good| DrillRecord {
            set: set.to_owned(),
            at: "2026-03-15T02:00:00Z".to_owned(),
            good,
            stored: 10,
            plain: 100,
            download_seconds: 1.5,
            restore_seconds: 2.5,
            compare_seconds: 0.5,
            total_seconds: 5.0,
        };
        assert_eq!(catalog.last_good_drill().expect("read"), None);
        catalog.record_drill(&drill("a", true)).expect("written");
        catalog.record_drill(&drill("b", false)).expect("written");
        assert_eq!(catalog.last_good_drill().expect("read"), Some(drill("a", true)));
    }

    #[test]
    fn copies_are_told_also_of_sets_that_nothing_else_is_known_of() {
        let (_directory, catalog) = catalog();
        let set: SetName = "backup_2026_01_01_00_00_00".parse().expect("valid");
        catalog.record_verification(set, "disk", Some("cut")).expect("written");
        let copies = catalog.all_copies().expect("read");
        assert!(copies.len() == 1 && copies[0].0 == set && copies[0].1.problem.as_deref() == Some("cut"), "{copies:?}");
    }
}
