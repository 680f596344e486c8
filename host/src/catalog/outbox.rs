//! Alerts on their way, and what is wrong right now. An alert is put down together with the change that it tells of, in one transaction, and
//! stays until a service took it: it survives a restart and a mail server that is down. Lost with the file are only those.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::{Catalog, CatalogError};

/// Letters that wait for one notifier; beyond it, the oldest are given up.
const WAITING_MAX: i64 = 2_000;
/// Letters that were delivered or given up, of which the newest are remembered.
const REMEMBERED: i64 = 500;

/// A letter to be put down.
#[derive(Debug, Clone)]
pub struct NewLetter {
    /// For whom.
    pub notifier: String,
    /// The alert, as JSON.
    pub alert: String,
    /// Its words, as JSON, where they are not made of the alert.
    pub words: Option<String>,
    /// Whom it goes to, instead of those in the notifier's settings; empty: those.
    pub recipients: Vec<String>,
    /// Not before.
    pub due: Timestamp,
    /// Files that go with it.
    pub files: Vec<LetterFile>,
}

/// A file that goes with a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterFile {
    /// Name.
    pub name: String,
    /// Media type.
    pub media_type: String,
    /// Where the HTML shows it.
    pub content_id: Option<String>,
    /// Content.
    pub bytes: Vec<u8>,
}

/// A letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Letter {
    /// Number.
    pub id: i64,
    /// For whom.
    pub notifier: String,
    /// The alert, as JSON.
    #[serde(skip)]
    pub alert: String,
    /// Its words, as JSON.
    #[serde(skip)]
    pub words: Option<String>,
    /// Whom it goes to, instead of those in the notifier's settings.
    pub recipients: Vec<String>,
    /// When it was put down, RFC 3339.
    pub created: String,
    /// Not before, RFC 3339.
    pub due: String,
    /// Attempts that failed.
    pub attempts: u32,
    /// `waiting`, `delivered` or `given-up`.
    pub state: String,
    /// What the last attempt said.
    pub error: Option<String>,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenProblem {
    /// Since when.
    pub since: Timestamp,
    /// The newest alert about it, as JSON.
    pub alert: String,
}

/// That a notifier was told of a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldOf {
    /// Who.
    pub notifier: String,
    /// Fingerprint of the alert.
    pub fingerprint: String,
    /// When.
    pub at: Timestamp,
}

/// What becomes of a problem.
#[derive(Debug, Clone)]
pub enum ProblemChange {
    /// It is there.
    Open {
        /// Its key.
        key: String,
        /// Since when.
        since: Timestamp,
        /// The alert, as JSON.
        alert: String,
        /// Who is told of it with this.
        told: Vec<ToldOf>,
    },
    /// It is over.
    Over {
        /// Its key.
        key: String,
    },
}

impl Catalog {
    /// A problem that is open.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn problem(&self, key: &str) -> Result<Option<OpenProblem>, CatalogError> {
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
        let found = self.connection().query_row("SELECT since, alert FROM problems WHERE key = ?1", [key], row).optional()?;
        Ok(found.and_then(|(since, alert)| Some(OpenProblem { since: since.parse().ok()?, alert })))
    }

    /// Keys of all problems that are open.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn problems(&self) -> Result<Vec<String>, CatalogError> {
        let connection = self.connection();
        let mut statement = connection.prepare("SELECT key FROM problems ORDER BY since, key")?;
        let keys = statement.query_map([], |row| row.get(0))?;
        Ok(keys.collect::<Result<_, _>>()?)
    }

    /// Who was told of a problem.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn told_of(&self, problem: &str) -> Result<Vec<ToldOf>, CatalogError> {
        let connection = self.connection();
        let mut statement = connection.prepare("SELECT notifier, fingerprint, at FROM told WHERE problem = ?1")?;
        let rows = statement.query_map([problem], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?)))?;
        let rows: Vec<(String, String, String)> = rows.collect::<Result<_, _>>()?;
        Ok(rows
            .into_iter()
            .filter_map(|(notifier, fingerprint, at)| Some(ToldOf { notifier, fingerprint, at: at.parse().ok()? }))
            .collect())
    }

    /// Puts letters down, together with what becomes of the problem that they tell of.
    ///
    /// # Errors
    /// When the catalogue cannot be written; then nothing of it was.
    pub fn put_down(&self, change: Option<&ProblemChange>, letters: &[NewLetter]) -> Result<(), CatalogError> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        match change {
            Some(ProblemChange::Open { key, since, alert, told }) => {
                let sql =
                    "INSERT INTO problems (key, since, alert) VALUES (?1, ?2, ?3) ON CONFLICT (key) DO UPDATE SET alert = excluded.alert";
                transaction.execute(sql, params![key, since.to_string(), alert])?;
                for told in told {
                    let sql = "INSERT OR REPLACE INTO told (problem, notifier, fingerprint, at) VALUES (?1, ?2, ?3, ?4)";
                    transaction.execute(sql, params![key, told.notifier, told.fingerprint, told.at.to_string()])?;
                }
            }
            Some(ProblemChange::Over { key }) => {
                transaction.execute("DELETE FROM told WHERE problem = ?1", [key])?;
                transaction.execute("DELETE FROM problems WHERE key = ?1", [key])?;
            }
            None => {}
        }
        letters.iter().try_for_each(|letter| write(&transaction, letter).map(drop))?;
        bound(&transaction)?;
        transaction.commit()?;
        Ok(())
    }

    /// Puts one letter down and takes it at once: until `until` nobody else gets it.
    ///
    /// # Errors
    /// When the catalogue cannot be used; then it was not put down.
    pub fn put_down_and_claim(&self, new: &NewLetter, until: Timestamp) -> Result<Letter, CatalogError> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        let id = write(&transaction, new)?;
        bound(&transaction)?;
        let sql = "UPDATE letters SET claimed = ?2 WHERE id = ?1 \
                   RETURNING id, notifier, alert, words, created, due, attempts, state, error, recipients";
        let taken = transaction.query_row(sql, params![id, stamp(until)], letter)?;
        transaction.commit()?;
        Ok(taken)
    }

    /// A letter.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn letter(&self, id: i64) -> Result<Option<Letter>, CatalogError> {
        let sql = "SELECT id, notifier, alert, words, created, due, attempts, state, error, recipients FROM letters WHERE id = ?1";
        Ok(self.connection().query_row(sql, [id], letter).optional()?)
    }

    /// Takes the letters that are due at `now`, oldest first, at most `most`; until `until` nobody else gets them.
    ///
    /// # Errors
    /// When the catalogue cannot be used.
    pub fn claim_letters(&self, now: Timestamp, until: Timestamp, most: u32) -> Result<Vec<Letter>, CatalogError> {
        let connection = self.connection();
        let sql = "UPDATE letters SET claimed = ?2 WHERE id IN (SELECT id FROM letters WHERE state = 'waiting' AND due <= ?1 \
                   AND (claimed IS NULL OR claimed <= ?1) ORDER BY id LIMIT ?3) \
                   RETURNING id, notifier, alert, words, created, due, attempts, state, error, recipients";
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map(params![stamp(now), stamp(until), most], letter)?;
        let mut letters: Vec<Letter> = rows.collect::<Result<_, _>>()?;
        letters.sort_by_key(|letter| letter.id);
        Ok(letters)
    }

    /// Files of a letter.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn letter_files(&self, id: i64) -> Result<Vec<LetterFile>, CatalogError> {
        let connection = self.connection();
        let mut statement =
            connection.prepare("SELECT name, media_type, content_id, bytes FROM letter_files WHERE letter = ?1 ORDER BY rowid")?;
        let rows = statement.query_map([id], |row| {
            Ok(LetterFile { name: row.get(0)?, media_type: row.get(1)?, content_id: row.get(2)?, bytes: row.get(3)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Notes that a letter was taken by its service.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub fn letter_delivered(&self, id: i64) -> Result<(), CatalogError> {
        self.settle(id, "delivered", None)
    }

    /// Notes that a letter will not be tried again.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub fn letter_given_up(&self, id: i64, error: &str) -> Result<(), CatalogError> {
        self.settle(id, "given-up", Some(error))
    }

    /// Notes that an attempt failed, and when the next is due.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub fn letter_failed(&self, id: i64, due: Timestamp, error: &str) -> Result<(), CatalogError> {
        let sql = "UPDATE letters SET attempts = attempts + 1, claimed = NULL, due = ?2, error = ?3 WHERE id = ?1";
        self.connection().execute(sql, params![id, stamp(due), error])?;
        Ok(())
    }

    /// When the next letter is due that nobody delivers already.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn next_letter(&self) -> Result<Option<Timestamp>, CatalogError> {
        let sql = "SELECT MIN(MAX(due, COALESCE(claimed, due))) FROM letters WHERE state = 'waiting'";
        let found: Option<String> = self.connection().query_row(sql, [], |row| row.get(0))?;
        Ok(found.and_then(|text| text.parse().ok()))
    }

    /// The newest letters, at most `most`.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn letters(&self, most: u32) -> Result<Vec<Letter>, CatalogError> {
        let connection = self.connection();
        let sql =
            "SELECT id, notifier, alert, words, created, due, attempts, state, error, recipients FROM letters ORDER BY id DESC LIMIT ?1";
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map([most], letter)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn settle(&self, id: i64, state: &str, error: Option<&str>) -> Result<(), CatalogError> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        // What was written to somebody in particular, perhaps with an address to download from, is kept no longer than it is needed.
        let sql =
            "UPDATE letters SET state = ?2, claimed = NULL, error = ?3, words = CASE WHEN recipients IS NULL THEN words END WHERE id = ?1";
        transaction.execute(sql, params![id, state, error])?;
        transaction.execute("DELETE FROM letter_files WHERE letter = ?1", [id])?;
        transaction.commit()?;
        Ok(())
    }
}

/// Of one length, so that times compare as texts.
fn stamp(at: Timestamp) -> String {
    format!("{at:.3}")
}

fn write(connection: &Connection, letter: &NewLetter) -> rusqlite::Result<i64> {
    let sql = "INSERT INTO letters (notifier, alert, words, created, due, recipients) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let created = stamp(Timestamp::now());
    let recipients = (!letter.recipients.is_empty()).then(|| serde_json::json!(letter.recipients).to_string());
    connection.execute(sql, params![letter.notifier, letter.alert, letter.words, created, stamp(letter.due), recipients])?;
    let id = connection.last_insert_rowid();
    for file in &letter.files {
        let sql = "INSERT INTO letter_files (letter, name, media_type, content_id, bytes) VALUES (?1, ?2, ?3, ?4, ?5)";
        connection.execute(sql, params![id, file.name, file.media_type, file.content_id, file.bytes])?;
    }
    Ok(id)
}

/// Keeps the tables from growing for ever.
fn bound(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "UPDATE letters SET state = 'given-up', error = COALESCE(error, 'too many letters wait for this notifier') WHERE id IN \
               (SELECT id FROM (SELECT id, ROW_NUMBER() OVER (PARTITION BY notifier ORDER BY id DESC) AS place FROM letters \
               WHERE state = 'waiting') WHERE place > ?1)";
    connection.execute(sql, [WAITING_MAX])?;
    let sql = "DELETE FROM letters WHERE state <> 'waiting' AND id NOT IN \
               (SELECT id FROM letters WHERE state <> 'waiting' ORDER BY id DESC LIMIT ?1)";
    connection.execute(sql, [REMEMBERED])?;
    connection.execute("DELETE FROM letter_files WHERE letter NOT IN (SELECT id FROM letters WHERE state = 'waiting')", [])?;
    Ok(())
}

fn letter(row: &rusqlite::Row<'_>) -> rusqlite::Result<Letter> {
    Ok(Letter {
        id: row.get(0)?,
        notifier: row.get(1)?,
        alert: row.get(2)?,
        words: row.get(3)?,
        created: row.get(4)?,
        due: row.get(5)?,
        attempts: row.get(6)?,
        state: row.get(7)?,
        error: row.get(8)?,
        recipients: row.get::<_, Option<String>>(9)?.and_then(|list| serde_json::from_str(&list).ok()).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-03-15T{text}Z").parse().expect("a time")
    }

    fn catalog() -> (tempfile::TempDir, Catalog) {
        let directory = tempfile::tempdir().expect("a directory");
        let catalog = Catalog::open(&directory.path().join("catalog.db")).expect("opens");
        (directory, catalog)
    }

    fn letter(notifier: &str, due: Timestamp) -> NewLetter {
        let files = vec![LetterFile { name: "a".to_owned(), media_type: "text/plain".to_owned(), content_id: None, bytes: vec![1, 2] }];
        NewLetter { notifier: notifier.to_owned(), alert: "{}".to_owned(), words: None, recipients: Vec::new(), due, files }
    }

    #[test]
    fn a_letter_waits_until_it_is_taken_and_is_nobody_elses_meanwhile() {
        let (_directory, catalog) = catalog();
        catalog.put_down(None, &[letter("a", at("02:00:00")), letter("b", at("04:00:00"))]).expect("written");
        assert!(catalog.claim_letters(at("01:59:59.9"), at("02:30:00"), 9).expect("read").is_empty());
        let claimed = catalog.claim_letters(at("02:00:00"), at("02:30:00"), 9).expect("read");
        assert_eq!(claimed.iter().map(|letter| letter.notifier.as_str()).collect::<Vec<_>>(), ["a"]);
        assert_eq!(catalog.letter_files(claimed[0].id).expect("read").len(), 1);
        assert!(catalog.claim_letters(at("02:29:59"), at("03:00:00"), 9).expect("read").is_empty());
        // Who took it died.
        assert_eq!(catalog.claim_letters(at("02:30:00"), at("03:00:00"), 9).expect("read").len(), 1);
        catalog.letter_failed(claimed[0].id, at("03:00:00"), "down").expect("written");
        assert_eq!(catalog.next_letter().expect("read"), Some(at("03:00:00")));
        let again = catalog.claim_letters(at("03:00:00"), at("03:30:00"), 9).expect("read");
        assert_eq!((again[0].attempts, again[0].error.as_deref()), (1, Some("down")));
        catalog.letter_delivered(again[0].id).expect("written");
        assert_eq!(catalog.next_letter().expect("read"), Some(at("04:00:00")));
        assert!(catalog.letter_files(claimed[0].id).expect("read").is_empty());
        assert_eq!(catalog.letters(9).expect("read")[1].state, "delivered");
    }

    #[test]
    fn a_problem_begins_once_and_is_forgotten_with_who_was_told() {
        let (_directory, catalog) = catalog();
        let open =
            |since, alert: &str, told: Vec<ToldOf>| ProblemChange::Open { key: "run".to_owned(), since, alert: alert.to_owned(), told };
        let told = ToldOf { notifier: "a".to_owned(), fingerprint: "f".to_owned(), at: at("02:00:00") };
        catalog.put_down(Some(&open(at("02:00:00"), "1", vec![told.clone()])), &[]).expect("written");
        catalog.put_down(Some(&open(at("03:00:00"), "2", Vec::new())), &[]).expect("written");
        let found = catalog.problem("run").expect("read").expect("open");
        assert_eq!(found, OpenProblem { since: at("02:00:00"), alert: "2".to_owned() });
        assert_eq!(catalog.told_of("run").expect("read"), [told]);
        catalog.put_down(Some(&ProblemChange::Over { key: "run".to_owned() }), &[]).expect("written");
        assert!(catalog.problem("run").expect("read").is_none() && catalog.told_of("run").expect("read").is_empty());
        assert!(catalog.problems().expect("read").is_empty());
    }

    #[test]
    fn a_letter_to_somebody_in_particular_is_taken_at_once_and_its_words_go_with_its_delivery() {
        let (_directory, catalog) = catalog();
        let new = NewLetter { words: Some("{}".to_owned()), recipients: vec!["x@example.com".to_owned()], ..letter("a", at("02:00:00")) };
        let taken = catalog.put_down_and_claim(&new, at("02:10:00")).expect("written");
        assert_eq!((taken.recipients.as_slice(), taken.words.as_deref()), (["x@example.com".to_owned()].as_slice(), Some("{}")));
        assert!(catalog.claim_letters(at("02:09:59"), at("02:30:00"), 9).expect("read").is_empty());
        assert_eq!(catalog.claim_letters(at("02:10:00"), at("02:30:00"), 9).expect("read"), std::slice::from_ref(&taken));
        catalog.letter_delivered(taken.id).expect("written");
        let letter = catalog.letter(taken.id).expect("read").expect("remembered");
        assert_eq!((letter.state.as_str(), letter.words), ("delivered", None));
        assert!(catalog.letter_files(taken.id).expect("read").is_empty());
    }

    #[test]
    fn a_service_that_is_gone_for_ever_fills_nothing() {
        let (_directory, catalog) = catalog();
        let most = usize::try_from(WAITING_MAX).expect("small");
        let letters: Vec<_> = (0..most + 10).map(|_| NewLetter { files: Vec::new(), ..letter("a", at("02:00:00")) }).collect();
        catalog.put_down(None, &letters).expect("written");
        let waiting = catalog.claim_letters(at("03:00:00"), at("03:30:00"), u32::MAX).expect("read");
        assert_eq!((waiting.len(), waiting[0].id), (most, 11));
    }
}
