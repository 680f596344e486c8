//! What the catalogue remembers for the audit log: where it ended, and which configuration was seen last.

use std::path::Path;

use rusqlite::{OptionalExtension, params};

use super::{Catalog, CatalogError, signed, unsigned};

impl Catalog {
    /// Entries of the audit log, and the hash of the last of them, as far as they are known here.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn audit_head(&self) -> Result<Option<(u64, String)>, CatalogError> {
        let row = |row: &rusqlite::Row<'_>| Ok((unsigned(row.get(0)?), row.get(1)?));
        Ok(self.connection().query_row("SELECT count, hash FROM audit_head", [], row).optional()?)
    }

    /// Remembers where the audit log ends. A later end stays: two processes may come here in another order than they wrote.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub fn record_audit_head(&self, count: u64, hash: &str) -> Result<(), CatalogError> {
        let sql = "INSERT INTO audit_head (id, count, hash) VALUES (1, ?1, ?2)
                   ON CONFLICT (id) DO UPDATE SET count = excluded.count, hash = excluded.hash WHERE excluded.count > audit_head.count";
        self.connection().execute(sql, params![signed(count), hash])?;
        Ok(())
    }

    /// SHA-256 of a configuration when it was last seen, hex.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn configuration_seen(&self, path: &Path) -> Result<Option<String>, CatalogError> {
        let sql = "SELECT sha256 FROM configurations WHERE path = ?1";
        Ok(self.connection().query_row(sql, [path.to_string_lossy()], |row| row.get(0)).optional()?)
    }

    /// Remembers a configuration.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub fn record_configuration(&self, path: &Path, sha256: &str) -> Result<(), CatalogError> {
        let sql = "INSERT OR REPLACE INTO configurations (path, sha256) VALUES (?1, ?2)";
        self.connection().execute(sql, params![path.to_string_lossy(), sha256])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_end_of_the_audit_log_stays() {
        let directory = tempfile::tempdir().expect("a directory");
        let catalog = Catalog::open(&directory.path().join("catalog.db")).expect("opens");
        assert_eq!(catalog.audit_head().expect("read"), None);
        for (count, hash) in [(2, "b"), (1, "a"), (2, "c")] {
            catalog.record_audit_head(count, hash).expect("written");
        }
        assert_eq!(catalog.audit_head().expect("read"), Some((2, "b".to_owned())));
    }
}
