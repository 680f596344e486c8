//! What cofre remembers: runs, sets, copies, open uploads. A cache (D9): everything here can be read again from the
//! manifests on any destination, and losing the file loses nothing but open upload sessions.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use schemars::JsonSchema;
use serde::Serialize;

use crate::owner::{private_directory, private_file};
use crate::set::{ArtifactKind, Manifest, SetName};

mod audit;
mod browse;
mod checks;
mod jobs;
mod outbox;
mod proofs;
mod results;
mod shared;

pub use browse::{ArtifactLine, LastEnd, NumberedRun, Sent, SetFilter, SetState};
pub use checks::{CheckRecord, CheckScope};
pub use jobs::JobState;
pub use outbox::{Letter, LetterFile, NewLetter, OpenProblem, ProblemChange, ToldOf};
pub use proofs::DrillRecord;
pub use results::{Delivery, PastDelivery, PastRun, RunResult};
pub use shared::SharedFile;

const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
    include_str!("migrations/0005.sql"),
    include_str!("migrations/0006.sql"),
    include_str!("migrations/0007.sql"),
    include_str!("migrations/0008.sql"),
    include_str!("migrations/0009.sql"),
    include_str!("migrations/0010.sql"),
    include_str!("migrations/0011.sql"),
];

/// Why the catalogue cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The file cannot be opened.
    #[error("cannot open the catalogue `{}`: {source}; it is a cache: move the file away and run `cofre catalog rebuild --from DESTINATION`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: rusqlite::Error,
    },
    /// A later cofre made it.
    #[error("the catalogue `{}` was made by a later cofre (schema {found}, this one knows {known}); use that version, or move the file away and run `cofre catalog rebuild --from DESTINATION`", path.display())]
    Later {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The file cannot be made private.
    #[error("cannot make the catalogue `{}`: {source}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A statement failed.
    #[error("the catalogue cannot be used: {0}; it is a cache: move the file away and run `cofre catalog rebuild --from DESTINATION`")]
    Statement(#[from] rusqlite::Error),
}

/// The catalogue.
#[derive(Debug)]
pub struct Catalog {
    connection: Mutex<Connection>,
}

/// One line of a run's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RunRecord {
    /// `run`, `resume`, `verify`, `restore`, `repair`, `drill`.
    pub verb: String,
    /// Set, where there was one.
    pub set: Option<String>,
    /// RFC 3339.
    pub started: String,
    /// RFC 3339; absent while it runs, and for a run that was killed.
    pub finished: Option<String>,
    /// `done`, `warnings`, `failed`.
    pub outcome: Option<String>,
    /// One line about it.
    pub detail: Option<String>,
}

/// What is known of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SetRecord {
    /// Its name.
    pub name: String,
    /// Whether nothing was missing.
    pub whole: bool,
    /// Plain bytes.
    pub plain: u64,
    /// Stored bytes.
    pub stored: u64,
    /// Artifacts.
    pub artifacts: u64,
    /// Warnings.
    pub warnings: u64,
    /// What the run was told to take alone; empty for a set of everything.
    pub selection: Vec<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its copies.
    pub copies: Vec<CopyRecord>,
}

/// What is known of one copy of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CopyRecord {
    /// Name of the destination.
    pub destination: String,
    /// Whether its seal is there.
    pub complete: bool,
    /// Whether nobody tries to complete it any more.
    pub given_up: bool,
    /// One line about it.
    pub detail: String,
    /// Last successful verification, RFC 3339.
    pub verified: Option<String>,
    /// What was wrong when it was last read back.
    pub problem: Option<String>,
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyState {
    /// Its seal is there.
    Complete,
    /// The next run goes on with it.
    Incomplete,
    /// It can never be completed, and nothing of it is left.
    GivenUp,
}

impl Catalog {
    /// Opens the catalogue, making and migrating it as needed.
    ///
    /// # Errors
    /// When it is damaged, made by a later cofre, or cannot be opened.
    pub fn open(path: &Path) -> Result<Self, CatalogError> {
        let create = |source| CatalogError::Create { path: path.to_path_buf(), source };
        if let Some(parent) = path.parent() {
            private_directory(parent).map_err(create)?;
        }
        // SQLite gives its journal files the mode and the owner of the database: private from the first byte.
        private_file(path).map_err(create)?;
        let open = |source| CatalogError::Open { path: path.to_path_buf(), source };
        let mut connection = Connection::open(path).map_err(open)?;
        connection.busy_timeout(Duration::from_secs(10)).map_err(open)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(open)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(open)?;
        // What is forgotten, such as an address that somebody may download from, does not stay in the file's free pages.
        connection.pragma_update(None, "secure_delete", true).map_err(open)?;
        // Two processes may open a new catalogue at once: the version is read under the write lock, or both would migrate.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(open)?;
        let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(open)?;
        let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
        if found > known {
            return Err(CatalogError::Later { path: path.to_path_buf(), found, known });
        }
        for (index, migration) in MIGRATIONS.iter().enumerate().skip(usize::try_from(found).unwrap_or(0)) {
            transaction.execute_batch(migration)?;
            transaction.pragma_update(None, "user_version", i64::try_from(index + 1).unwrap_or(i64::MAX))?;
        }
        transaction.commit()?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a verb began; returns its number.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub fn begin_run(&self, verb: &str, set: Option<SetName>) -> Result<i64, CatalogError> {
        let connection = self.connection();
        let set = set.map(|set| set.to_string());
        connection.execute("INSERT INTO runs (verb, set_name, started) VALUES (?1, ?2, ?3)", params![verb, set, now()])?;
        Ok(connection.last_insert_rowid())
    }

    /// Notes how it ended.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub fn finish_run(&self, run: i64, outcome: &str, detail: &str) -> Result<(), CatalogError> {
        self.connection()
            .execute("UPDATE runs SET finished = ?2, outcome = ?3, detail = ?4 WHERE id = ?1", params![run, now(), outcome, detail])?;
        Ok(())
    }

    /// The newest runs, newest first.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn runs(&self, limit: u32) -> Result<Vec<RunRecord>, CatalogError> {
        let connection = self.connection();
        let mut statement =
            connection.prepare("SELECT verb, set_name, started, finished, outcome, detail FROM runs ORDER BY id DESC LIMIT ?1")?;
        let rows = statement.query_map([limit], |row| {
            Ok(RunRecord {
                verb: row.get(0)?,
                set: row.get(1)?,
                started: row.get(2)?,
                finished: row.get(3)?,
                outcome: row.get(4)?,
                detail: row.get(5)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Records a set and its artifacts, replacing what was known of it.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub fn record_set(&self, manifest: &Manifest) -> Result<(), CatalogError> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        let set = manifest.set.to_string();
        transaction.execute(
            "INSERT OR REPLACE INTO sets (name, whole, plain, stored, artifacts, warnings, finished, selected, selection, tags) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                set,
                manifest.is_whole(),
                signed(manifest.plain_bytes()),
                signed(manifest.stored_bytes()),
                signed(manifest.artifacts.len() as u64),
                signed(manifest.warnings),
                manifest.finished.to_string(),
                !manifest.selection.is_empty(),
                serde_json::json!(manifest.selection).to_string(),
                serde_json::json!(manifest.tags).to_string()
            ],
        )?;
        transaction.execute("DELETE FROM artifacts WHERE set_name = ?1", [&set])?;
        for artifact in &manifest.artifacts {
            transaction.execute(
                "INSERT INTO artifacts (set_name, key, kind, source, name, plain, size) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    set,
                    artifact.key,
                    artifact.kind.name(),
                    artifact.source.as_deref().unwrap_or(""),
                    artifact.name,
                    signed(artifact.plain),
                    signed(artifact.size)
                ],
            )?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Records how far a destination is with a set.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub fn record_copy(&self, set: SetName, destination: &str, state: CopyState, detail: &str) -> Result<(), CatalogError> {
        let (complete, given_up) = (state == CopyState::Complete, state == CopyState::GivenUp);
        self.connection().execute(
            "INSERT INTO copies (set_name, destination, complete, detail, updated, given_up) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
             ON CONFLICT (set_name, destination) DO UPDATE SET complete = ?3, detail = ?4, updated = ?5, given_up = ?6",
            params![set.to_string(), destination, complete, detail, now(), given_up],
        )?;
        Ok(())
    }

    /// Records that a copy was read back and held, or what was wrong with it.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub fn record_verification(&self, set: SetName, destination: &str, problem: Option<&str>) -> Result<(), CatalogError> {
        let state = if problem.is_none() { CopyState::Complete } else { CopyState::Incomplete };
        self.record_copy(set, destination, state, problem.unwrap_or("verified"))?;
        let sql = "UPDATE copies SET problem = ?3, verified = COALESCE(?4, verified) WHERE set_name = ?1 AND destination = ?2";
        let verified = problem.is_none().then(now);
        self.connection().execute(sql, params![set.to_string(), destination, problem, verified])?;
        Ok(())
    }

    /// Forgets a copy that is gone, and its set with the last of its copies.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub fn forget_copy(&self, set: SetName, destination: &str) -> Result<(), CatalogError> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        let set = set.to_string();
        transaction.execute("DELETE FROM copies WHERE set_name = ?1 AND destination = ?2", params![set, destination])?;
        for of_the_set in ["artifacts WHERE set_name", "sets WHERE name"] {
            let sql = format!("DELETE FROM {of_the_set} = ?1 AND NOT EXISTS (SELECT 1 FROM copies WHERE set_name = ?1)");
            transaction.execute(&sql, [&set])?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Names of all sets that were ever begun here.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn begun_sets(&self) -> Result<Vec<String>, CatalogError> {
        let connection = self.connection();
        let mut statement = connection.prepare("SELECT DISTINCT set_name FROM runs WHERE verb = 'run' AND set_name IS NOT NULL")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Notes that sets were removed from a destination now.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub fn record_removal(&self, destination: &str) -> Result<(), CatalogError> {
        self.connection().execute("INSERT OR REPLACE INTO removals (destination, at) VALUES (?1, ?2)", params![destination, now()])?;
        Ok(())
    }

    /// When sets were last removed from a destination.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn last_removal(&self, destination: &str) -> Result<Option<jiff::Timestamp>, CatalogError> {
        let sql = "SELECT at FROM removals WHERE destination = ?1";
        let found: Option<String> = self.connection().query_row(sql, [destination], |row| row.get(0)).optional()?;
        Ok(found.and_then(|text| text.parse().ok()))
    }

    /// How far each destination is with a set, as far as is known.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn copies(&self, set: SetName) -> Result<Vec<(String, CopyState)>, CatalogError> {
        let connection = self.connection();
        let mut statement =
            connection.prepare("SELECT destination, complete, given_up FROM copies WHERE set_name = ?1 ORDER BY destination")?;
        let rows = statement.query_map([set.to_string()], |row| {
            let state = match (row.get(1)?, row.get(2)?) {
                (true, _) => CopyState::Complete,
                (false, true) => CopyState::GivenUp,
                (false, false) => CopyState::Incomplete,
            };
            Ok((row.get(0)?, state))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Destinations that have not completed a set, and still may.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn incomplete(&self, set: SetName) -> Result<Vec<String>, CatalogError> {
        let connection = self.connection();
        let mut statement = connection
            .prepare("SELECT destination FROM copies WHERE set_name = ?1 AND complete = 0 AND given_up = 0 ORDER BY destination")?;
        let rows = statement.query_map([set.to_string()], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Whether any destination has the whole set.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn is_held(&self, set: SetName) -> Result<bool, CatalogError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM copies WHERE set_name = ?1 AND complete = 1)";
        Ok(self.connection().query_row(sql, [set.to_string()], |row| row.get(0))?)
    }

    /// All sets, newest first.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn sets(&self) -> Result<Vec<SetRecord>, CatalogError> {
        self.sets_named(None)
    }

    /// One set.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn set(&self, set: SetName) -> Result<Option<SetRecord>, CatalogError> {
        Ok(self.sets_named(Some(set.to_string()))?.pop())
    }

    /// The set of that name; all without one.
    fn sets_named(&self, name: Option<String>) -> Result<Vec<SetRecord>, CatalogError> {
        let connection = self.connection();
        let sql = "SELECT name, whole, plain, stored, artifacts, warnings, selection, tags FROM sets WHERE name = COALESCE(?1, name) ORDER BY name DESC";
        let mut statement = connection.prepare(sql)?;
        let list = |text: String| serde_json::from_str(&text).unwrap_or_default();
        let rows = statement.query_map([name], |row| {
            Ok(SetRecord {
                name: row.get(0)?,
                whole: row.get(1)?,
                plain: unsigned(row.get(2)?),
                stored: unsigned(row.get(3)?),
                artifacts: unsigned(row.get(4)?),
                warnings: unsigned(row.get(5)?),
                selection: list(row.get(6)?),
                tags: list(row.get(7)?),
                copies: Vec::new(),
            })
        })?;
        let mut sets: Vec<SetRecord> = rows.collect::<Result<_, _>>()?;
        let sql = "SELECT destination, complete, given_up, detail, verified, problem FROM copies WHERE set_name = ?1 ORDER BY destination";
        let mut statement = connection.prepare(sql)?;
        for set in &mut sets {
            let rows = statement.query_map([&set.name], |row| {
                Ok(CopyRecord {
                    destination: row.get(0)?,
                    complete: row.get(1)?,
                    given_up: row.get(2)?,
                    detail: row.get(3)?,
                    verified: row.get(4)?,
                    problem: row.get(5)?,
                })
            })?;
            set.copies = rows.collect::<Result<_, _>>()?;
        }
        Ok(sets)
    }

    /// Artifacts of the newest whole set of everything before `set`: `(kind, source, name, plain bytes)`.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn artifacts_before(&self, set: SetName) -> Result<Vec<(ArtifactKind, String, String, u64)>, CatalogError> {
        let connection = self.connection();
        let sql = "SELECT name FROM sets WHERE name < ?1 AND whole = 1 AND selected = 0 ORDER BY name DESC LIMIT 1";
        let Some(previous): Option<String> = connection.query_row(sql, [set.to_string()], |row| row.get(0)).optional()? else {
            return Ok(Vec::new());
        };
        let mut statement = connection.prepare("SELECT kind, source, name, plain FROM artifacts WHERE set_name = ?1")?;
        let rows = statement.query_map([previous], |row| {
            let kind = ArtifactKind::named(row.get_ref(0)?.as_str()?);
            Ok((kind, row.get(1)?, row.get(2)?, unsigned(row.get(3)?)))
        })?;
        let rows: Vec<(Option<ArtifactKind>, String, String, u64)> = rows.collect::<Result<_, _>>()?;
        Ok(rows.into_iter().filter_map(|(kind, source, name, plain)| Some((kind?, source, name, plain))).collect())
    }

    /// Forgets all sets and copies, before they are read again from a destination.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub fn forget_sets(&self) -> Result<(), CatalogError> {
        self.connection().execute_batch("BEGIN; DELETE FROM artifacts; DELETE FROM copies; DELETE FROM sets; COMMIT;")?;
        Ok(())
    }

    /// The token of an open upload.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn upload(&self, set: SetName, destination: &str, key: &str) -> Result<Option<String>, CatalogError> {
        let sql = "SELECT token FROM uploads WHERE set_name = ?1 AND destination = ?2 AND key = ?3";
        Ok(self.connection().query_row(sql, params![set.to_string(), destination, key], |row| row.get(0)).optional()?)
    }

    /// Remembers an open upload.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub fn remember_upload(&self, set: SetName, destination: &str, key: &str, token: &str) -> Result<(), CatalogError> {
        let sql = "INSERT OR REPLACE INTO uploads (set_name, destination, key, token) VALUES (?1, ?2, ?3, ?4)";
        self.connection().execute(sql, params![set.to_string(), destination, key, token])?;
        Ok(())
    }

    /// Forgets an upload that was finished or aborted.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub fn forget_upload(&self, set: SetName, destination: &str, key: &str) -> Result<(), CatalogError> {
        let sql = "DELETE FROM uploads WHERE set_name = ?1 AND destination = ?2 AND key = ?3";
        self.connection().execute(sql, params![set.to_string(), destination, key])?;
        Ok(())
    }

    /// Open uploads of a set at a destination: `(key, token)`.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn uploads(&self, set: SetName, destination: &str) -> Result<Vec<(String, String)>, CatalogError> {
        let connection = self.connection();
        let mut statement = connection.prepare("SELECT key, token FROM uploads WHERE set_name = ?1 AND destination = ?2")?;
        let rows = statement.query_map(params![set.to_string(), destination], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn now() -> String {
    jiff::Timestamp::now().to_string()
}

// SQLite's integers are signed; no size comes near the difference.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_remembered_until_it_is_forgotten() {
        let directory = tempfile::tempdir().expect("a directory");
        let set: SetName = "backup_2026_01_01_00_00_00".parse().expect("valid");
        let path = directory.path().join("state/catalog.db");
        Catalog::open(&path).expect("opens").remember_upload(set, "disk", "a", "t1").expect("written");
        let catalog = Catalog::open(&path).expect("opens again");
        assert_eq!(catalog.upload(set, "disk", "a").expect("read").as_deref(), Some("t1"));
        catalog.forget_upload(set, "disk", "a").expect("written");
        assert_eq!(catalog.upload(set, "disk", "a").expect("read"), None);
    }

    #[test]
    fn a_damaged_or_later_file_names_the_mend() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("catalog.db");
        std::fs::write(&path, vec![b'x'; 8_192]).expect("written");
        assert!(Catalog::open(&path).expect_err("damaged").to_string().contains("catalog rebuild"));
        std::fs::remove_file(&path).expect("removed");
        drop(Catalog::open(&path).expect("opens"));
        Connection::open(&path).expect("opens").pragma_update(None, "user_version", 99).expect("written");
        assert!(matches!(Catalog::open(&path), Err(CatalogError::Later { found: 99, .. })));
    }

    #[test]
    fn a_new_catalogue_is_migrated_once_however_many_open_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("catalog.db");
        std::thread::scope(|scope| {
            let opened: Vec<_> = (0..8).map(|_| scope.spawn(|| Catalog::open(&path).map(drop))).collect();
            for opened in opened {
                opened.join().expect("no panic").expect("opens");
            }
        });
    }

    #[test]
    fn what_was_not_committed_is_gone_and_what_was_stays() {
        let directory = tempfile::tempdir().expect("a directory");
        let set: SetName = "backup_2026_01_01_00_00_00".parse().expect("valid");
        let path = directory.path().join("catalog.db");
        let catalog = Catalog::open(&path).expect("opens");
        catalog.remember_upload(set, "disk", "a", "t1").expect("written");
        catalog.connection().execute_batch("BEGIN; DELETE FROM uploads; DELETE FROM copies;").expect("begun");
        // What a killed process leaves: the database and its journal, with a transaction open.
        let crashed = directory.path().join("crashed.db");
        std::fs::copy(&path, &crashed).expect("copied");
        std::fs::copy(directory.path().join("catalog.db-wal"), directory.path().join("crashed.db-wal")).expect("copied");
        let catalog = Catalog::open(&crashed).expect("opens");
        assert_eq!(catalog.upload(set, "disk", "a").expect("read").as_deref(), Some("t1"));
    }

    #[test]
    fn the_file_is_private() {
        use std::os::unix::fs::MetadataExt;
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("catalog.db");
        drop(Catalog::open(&path).expect("opens"));
        assert_eq!(std::fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
    }
}
