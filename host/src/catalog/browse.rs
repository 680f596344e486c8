//! Looking through what is known: sets and runs page by page, the artifacts of a set, and how each verb ended last.

use jiff::Timestamp;
use rusqlite::params;
use serde::Serialize;

use super::{Catalog, CatalogError, RunRecord, SetRecord, unsigned};
use crate::set::SetName;

/// Which sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SetFilter {
    /// Of which this destination has a copy, whole or not.
    pub destination: Option<String>,
    /// That hold something of this source, or this directory.
    pub source: Option<String>,
    /// With this tag.
    pub tag: Option<String>,
    /// In this state.
    pub state: Option<SetState>,
    /// Of runs that were told to take this alone, or everything where it is empty.
    pub selection: Option<Vec<String>>,
    /// That hold one of these: pairs of a source, empty for a directory, and a schema or a path.
    pub holding: Option<Vec<(String, String)>>,
    /// Begun before this one.
    pub before: Option<SetName>,
}

/// How it stands with a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetState {
    /// Whole, and complete and undamaged at every destination that began with it.
    Good,
    /// Not whole.
    Partial,
    /// A copy is not complete.
    Incomplete,
    /// A copy is damaged.
    Damaged,
}

impl SetState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Good, Self::Partial, Self::Incomplete, Self::Damaged];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Partial => "partial",
            Self::Incomplete => "incomplete",
            Self::Damaged => "damaged",
        }
    }

    /// The state of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Of sets in it, as SQL about the row `sets`.
    fn condition(self) -> &'static str {
        match self {
            Self::Good => {
                "whole = 1 AND EXISTS (SELECT 1 FROM copies WHERE set_name = name) \
                 AND NOT EXISTS (SELECT 1 FROM copies WHERE set_name = name AND (complete = 0 OR problem IS NOT NULL))"
            }
            Self::Partial => "whole = 0",
            Self::Incomplete => "EXISTS (SELECT 1 FROM copies WHERE set_name = name AND complete = 0)",
            Self::Damaged => "EXISTS (SELECT 1 FROM copies WHERE set_name = name AND problem IS NOT NULL)",
        }
    }
}

/// One artifact of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct ArtifactLine {
    /// Key below the set.
    pub key: String,
    /// `schema`, `grants`, `directory` or `own`.
    pub kind: String,
    /// Name of the source; empty for a directory.
    pub source: String,
    /// Schema, directory or source.
    pub name: String,
    /// Bytes before compression.
    pub plain: u64,
    /// Bytes stored.
    pub size: u64,
}

/// One line of a run's history, with its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct NumberedRun {
    /// Its number.
    pub id: i64,
    /// What is known of it.
    #[serde(flatten)]
    pub run: RunRecord,
}

/// How a verb ended last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct LastEnd {
    /// `run`, `verify`, `prune` and so on.
    pub verb: String,
    /// When it began, RFC 3339.
    #[schemars(with = "String")]
    pub started: Timestamp,
    /// When it ended, RFC 3339.
    #[schemars(with = "String")]
    pub finished: Timestamp,
    /// `done`, `warnings` or `failed`.
    pub outcome: String,
    /// When it last ended well, RFC 3339.
    #[schemars(with = "Option<String>")]
    pub succeeded: Option<Timestamp>,
}

/// What a destination was sent, in all.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// The destination.
    pub destination: String,
    /// Bytes.
    pub bytes: u64,
    /// Seconds.
    pub seconds: f64,
    /// Attempts to bring a set there.
    pub attempts: u64,
    /// Sets that are not there whole.
    pub failed: u64,
    /// Bytes that were free there when it last said so.
    pub free: Option<u64>,
}

impl Catalog {
    /// Sets that a filter lets through, newest first, at most so many.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn browse_sets(&self, filter: &SetFilter, most: u32) -> Result<Vec<SetRecord>, CatalogError> {
        let state = filter.state.map_or("1", SetState::condition);
        let sql = format!(
            "SELECT name FROM sets WHERE (?1 IS NULL OR name < ?1) \
             AND (?2 IS NULL OR EXISTS (SELECT 1 FROM copies WHERE set_name = name AND destination = ?2)) \
             AND (?3 IS NULL OR name IN (SELECT set_name FROM artifacts WHERE source = ?3 \
                  UNION SELECT set_name FROM artifacts WHERE source = '' AND name = ?3)) \
             AND (?4 IS NULL OR EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?4)) \
             AND (?5 IS NULL OR name IN (SELECT set_name FROM json_each(?5) AS wanted CROSS JOIN artifacts \
                  ON source = wanted.value ->> 0 AND artifacts.name = wanted.value ->> 1)) \
             AND (?6 IS NULL OR selection = ?6) \
             AND ({state}) ORDER BY name DESC LIMIT ?7"
        );
        let before = filter.before.map(|set| set.to_string());
        let holding = filter.holding.as_ref().map(|pairs| serde_json::json!(pairs).to_string());
        let names: Vec<String> = {
            let connection = self.connection();
            let mut statement = connection.prepare(&sql)?;
            let selection = filter.selection.as_ref().map(|selection| serde_json::json!(selection).to_string());
            let parameters = params![before, filter.destination, filter.source, filter.tag, holding, selection, most];
            statement.query_map(parameters, |row| row.get(0))?.collect::<Result<_, _>>()?
        };
        let mut sets = Vec::with_capacity(names.len());
        for name in names {
            sets.extend(self.sets_named(Some(name))?);
        }
        Ok(sets)
    }

    /// The artifacts of a set, by key.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn artifacts_of(&self, set: SetName) -> Result<Vec<ArtifactLine>, CatalogError> {
        let connection = self.connection();
        let sql = "SELECT key, kind, source, name, plain, size FROM artifacts WHERE set_name = ?1 ORDER BY key";
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map([set.to_string()], |row| {
            Ok(ArtifactLine {
                key: row.get(0)?,
                kind: row.get(1)?,
                source: row.get(2)?,
                name: row.get(3)?,
                plain: unsigned(row.get(4)?),
                size: unsigned(row.get(5)?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Every schema and directory that any set holds: source, empty for a directory, and name.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn held_names(&self) -> Result<Vec<(String, String)>, CatalogError> {
        let connection = self.connection();
        let mut statement = connection.prepare("SELECT DISTINCT source, name FROM artifacts WHERE kind IN ('schema', 'directory')")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What was done with a set, newest first, at most a hundred times.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn runs_of(&self, set: SetName) -> Result<Vec<RunRecord>, CatalogError> {
        let connection = self.connection();
        let sql = "SELECT verb, set_name, started, finished, outcome, detail FROM runs WHERE set_name = ?1 ORDER BY id DESC LIMIT 100";
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map([set.to_string()], |row| {
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

    /// Runs before a number, newest first, at most so many; of one verb, or of all.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn browse_runs(&self, verb: Option<&str>, before: Option<i64>, most: u32) -> Result<Vec<NumberedRun>, CatalogError> {
        let connection = self.connection();
        let sql = "SELECT id, verb, set_name, started, finished, outcome, detail FROM runs \
                   WHERE (?1 IS NULL OR verb = ?1) AND (?2 IS NULL OR id < ?2) ORDER BY id DESC LIMIT ?3";
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map(params![verb, before, most], |row| {
            let run = RunRecord {
                verb: row.get(1)?,
                set: row.get(2)?,
                started: row.get(3)?,
                finished: row.get(4)?,
                outcome: row.get(5)?,
                detail: row.get(6)?,
            };
            Ok(NumberedRun { id: row.get(0)?, run })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How each verb ended last, by name.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn last_ends(&self) -> Result<Vec<LastEnd>, CatalogError> {
        let connection = self.connection();
        let sql = "SELECT verb, started, finished, outcome, \
                   (SELECT MAX(finished) FROM runs AS good WHERE good.verb = runs.verb AND outcome IN ('done', 'warnings')) \
                   FROM runs WHERE id IN (SELECT MAX(id) FROM runs WHERE finished IS NOT NULL AND outcome IS NOT NULL GROUP BY verb) ORDER BY verb";
        let mut statement = connection.prepare(sql)?;
        // A time that cannot be read is no end.
        let end = |row: &rusqlite::Row<'_>| {
            let time = |text: String| text.parse().ok();
            let (Some(started), Some(finished)) = (time(row.get(1)?), time(row.get(2)?)) else { return Ok(None) };
            let succeeded = row.get::<_, Option<String>>(4)?.and_then(time);
            Ok(Some(LastEnd { verb: row.get(0)?, started, finished, outcome: row.get(3)?, succeeded }))
        };
        let ends: Vec<Option<LastEnd>> = statement.query_map([], end)?.collect::<Result<_, _>>()?;
        Ok(ends.into_iter().flatten().collect())
    }

    /// What each destination was sent so far, by name.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn sent(&self) -> Result<Vec<Sent>, CatalogError> {
        let connection = self.connection();
        let sql = "SELECT destination, SUM(bytes), SUM(seconds), SUM(attempts), SUM(complete = 0), \
                   (SELECT free FROM deliveries AS newest WHERE newest.destination = deliveries.destination AND free IS NOT NULL \
                    ORDER BY at DESC LIMIT 1) FROM deliveries GROUP BY destination ORDER BY destination";
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map([], |row| {
            Ok(Sent {
                destination: row.get(0)?,
                bytes: unsigned(row.get(1)?),
                seconds: row.get(2)?,
                attempts: unsigned(row.get(3)?),
                failed: unsigned(row.get(4)?),
                free: row.get::<_, Option<i64>>(5)?.map(unsigned),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Letters that wait to be delivered.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn letters_waiting(&self) -> Result<u64, CatalogError> {
        let sql = "SELECT COUNT(*) FROM letters WHERE state = 'waiting'";
        Ok(unsigned(self.connection().query_row(sql, [], |row| row.get(0))?))
    }

    /// Sets, and the bytes that one copy of each takes.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn holdings(&self) -> Result<(u64, u64), CatalogError> {
        let sql = "SELECT COUNT(*), COALESCE(SUM(stored), 0) FROM sets";
        Ok(self.connection().query_row(sql, [], |row| Ok((unsigned(row.get(0)?), unsigned(row.get(1)?))))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{CopyState, Delivery};

    fn catalog() -> (tempfile::TempDir, Catalog) {
        let directory = tempfile::tempdir().expect("a directory");
        let catalog = Catalog::open(&directory.path().join("catalog.db")).expect("opens");
        (directory, catalog)
    }

    fn set(second: u8) -> SetName {
        format!("backup_2026_03_15_02_00_{second:02}").parse().expect("a name")
    }

    /// A set with a schema of `main` and a directory.
    fn put(catalog: &Catalog, second: u8, (schema, tag): (&str, &str), whole: bool) {
        let connection = catalog.connection();
        let name = set(second).to_string();
        let sql = "INSERT INTO sets (name, whole, plain, stored, artifacts, warnings, finished, tags) VALUES (?1, ?2, 5, 3, 2, 0, ?3, ?4)";
        let tags = serde_json::json!([tag]).to_string();
        connection.execute(sql, params![name, whole, "2026-03-15T02:00:00Z", tags]).expect("written");
        let sql = "INSERT INTO artifacts (set_name, key, kind, source, name, plain, size) VALUES (?1, ?2, ?3, ?4, ?5, 4, 2)";
        connection.execute(sql, params![name, "sql/x", "schema", "main", schema]).expect("written");
        connection.execute(sql, params![name, "config/etc", "directory", "", "/etc"]).expect("written");
    }

    fn names(catalog: &Catalog, filter: &SetFilter) -> Vec<String> {
        catalog.browse_sets(filter, 10).expect("read").into_iter().map(|set| set.name[24..].to_owned()).collect()
    }

    #[test]
    fn sets_are_found_by_what_they_hold_where_they_are_and_how_they_stand() {
        let (_directory, catalog) = catalog();
        put(&catalog, 1, ("acme", "weekly"), true);
        put(&catalog, 2, ("beta", "x"), false);
        put(&catalog, 3, ("acme", "x"), true);
        catalog.record_copy(set(1), "disk", CopyState::Complete, "").expect("written");
        catalog.record_copy(set(3), "disk", CopyState::Complete, "").expect("written");
        catalog.record_copy(set(3), "cloud", CopyState::Incomplete, "").expect("written");
        let all = SetFilter::default();
        assert_eq!(names(&catalog, &all), ["03", "02", "01"]);
        assert_eq!(names(&catalog, &SetFilter { before: Some(set(3)), ..all.clone() }), ["02", "01"]);
        assert_eq!(names(&catalog, &SetFilter { destination: Some("cloud".into()), ..all.clone() }), ["03"]);
        assert_eq!(names(&catalog, &SetFilter { tag: Some("weekly".into()), ..all.clone() }), ["01"]);
        catalog.connection().execute("UPDATE sets SET selection = '[\"sql\"]' WHERE name LIKE '%02'", []).expect("written");
        assert_eq!(names(&catalog, &SetFilter { selection: Some(vec!["sql".into()]), ..all.clone() }), ["02"]);
        assert_eq!(names(&catalog, &SetFilter { selection: Some(Vec::new()), ..all.clone() }), ["03", "01"]);
        assert_eq!(names(&catalog, &SetFilter { source: Some("/etc".into()), ..all.clone() }).len(), 3);
        assert_eq!(names(&catalog, &SetFilter { source: Some("acme".into()), ..all.clone() }).len(), 0);
        for (state, found) in
            [(SetState::Good, vec!["01"]), (SetState::Partial, vec!["02"]), (SetState::Incomplete, vec!["03"]), (SetState::Damaged, vec![])]
        {
            assert_eq!(names(&catalog, &SetFilter { state: Some(state), ..all.clone() }), found, "{}", state.name());
        }
        let acme = catalog.held_names().expect("read").into_iter().filter(|(_, name)| name == "acme").collect();
        assert_eq!(names(&catalog, &SetFilter { holding: Some(acme), ..all.clone() }), ["03", "01"]);
        assert_eq!(names(&catalog, &SetFilter { holding: Some(Vec::new()), ..all }).len(), 0);
        assert_eq!(catalog.artifacts_of(set(1)).expect("read").len(), 2);
        assert_eq!(catalog.holdings().expect("read"), (3, 9));
    }

    #[test]
    fn runs_come_page_by_page_and_the_last_end_of_each_verb_is_known() {
        let (_directory, catalog) = catalog();
        for (verb, outcome) in [("run", "done"), ("run", "failed"), ("verify", "warnings")] {
            let run = catalog.begin_run(verb, None).expect("written");
            catalog.finish_run(run, outcome, "").expect("written");
        }
        let first = catalog.browse_runs(None, None, 2).expect("read");
        assert_eq!(first.iter().map(|run| run.id).collect::<Vec<_>>(), [3, 2]);
        assert_eq!(catalog.browse_runs(None, Some(2), 2).expect("read").len(), 1);
        assert_eq!(catalog.browse_runs(Some("verify"), None, 5).expect("read").len(), 1);
        let ends = catalog.last_ends().expect("read");
        assert_eq!(
            ends.iter().map(|end| (end.verb.as_str(), end.outcome.as_str())).collect::<Vec<_>>(),
            [("run", "failed"), ("verify", "warnings")]
        );
        assert!(ends[0].succeeded.is_some_and(|at| at <= ends[0].finished));
    }

    #[test]
    fn what_a_destination_was_sent_is_added_up() {
        let (_directory, catalog) = catalog();
        for (second, complete, free) in [(1, true, Some(7)), (2, false, None)] {
            let delivery = Delivery { destination: "disk".into(), complete, bytes: 10, seconds: 0.5, free, detail: String::new() };
            catalog.record_delivery(set(second), &delivery).expect("written");
        }
        let sent = catalog.sent().expect("read");
        assert_eq!(sent, [Sent { destination: "disk".into(), bytes: 20, seconds: 1.0, attempts: 2, failed: 1, free: Some(7) }]);
    }
}
