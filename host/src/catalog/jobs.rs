//! How far each scheduled job is. Unlike the rest this is no copy of anything: without it a job counts as new, and is next due at its next time.

use rusqlite::{OptionalExtension, params};

use super::{Catalog, CatalogError};

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobState {
    /// Everything up to then was seen to.
    pub since: jiff::Timestamp,
    /// Starts since then that did not end.
    pub begun: u32,
}

impl Catalog {
    /// How far a job is; `None` where it is new.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn job(&self, name: &str) -> Result<Option<JobState>, CatalogError> {
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?));
        let found = self.connection().query_row("SELECT since, begun FROM jobs WHERE name = ?1", [name], row).optional()?;
        Ok(found.and_then(|(since, begun)| Some(JobState { since: since.parse().ok()?, begun })))
    }

    /// Notes that everything up to `since` was seen to.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub fn job_seen(&self, name: &str, since: jiff::Timestamp) -> Result<(), CatalogError> {
        let sql = "INSERT OR REPLACE INTO jobs (name, since, begun) VALUES (?1, ?2, 0)";
        self.connection().execute(sql, params![name, since.to_string()])?;
        Ok(())
    }

    /// Puts back how far a job is, and keeps the count of its starts.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub fn job_again(&self, name: &str, since: jiff::Timestamp) -> Result<(), CatalogError> {
        let sql = "INSERT INTO jobs (name, since) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET since = excluded.since";
        self.connection().execute(sql, params![name, since.to_string()])?;
        Ok(())
    }

    /// Notes that a job begins, so that one that takes the whole process down is not begun for ever.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub fn job_begins(&self, name: &str) -> Result<(), CatalogError> {
        self.connection().execute("UPDATE jobs SET begun = begun + 1 WHERE name = ?1", [name])?;
        Ok(())
    }

    /// Takes back that a job began: it was told to end, and nothing is wrong with it.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub fn job_stopped(&self, name: &str) -> Result<(), CatalogError> {
        self.connection().execute("UPDATE jobs SET begun = 0 WHERE name = ?1", [name])?;
        Ok(())
    }
}
