//! Files at destinations that somebody was given an address of. They belong to no set, so that this is the only place that knows of them.

use jiff::Timestamp;
use rusqlite::params;

use super::{Catalog, CatalogError};

/// A file that was shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedFile {
    /// Where it is.
    pub destination: String,
    /// Its key there.
    pub key: String,
    /// When its address ends.
    pub expires: Timestamp,
}

impl Catalog {
    /// Remembers a file; written before the upload, so that what a crash leaves is removed too.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub fn remember_shared(&self, file: &SharedFile) -> Result<(), CatalogError> {
        let sql = "INSERT OR REPLACE INTO shared (destination, key, expires) VALUES (?1, ?2, ?3)";
        self.connection().execute(sql, params![file.destination, file.key, stamp(file.expires)])?;
        Ok(())
    }

    /// Forgets a file that is gone.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub fn forget_shared(&self, destination: &str, key: &str) -> Result<(), CatalogError> {
        self.connection().execute("DELETE FROM shared WHERE destination = ?1 AND key = ?2", [destination, key])?;
        Ok(())
    }

    /// Files whose address has ended at `now`, the oldest first.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn expired_shared(&self, now: Timestamp) -> Result<Vec<SharedFile>, CatalogError> {
        let connection = self.connection();
        let mut statement = connection.prepare("SELECT destination, key, expires FROM shared WHERE expires <= ?1 ORDER BY expires, key")?;
        let rows = statement.query_map([stamp(now)], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?)))?;
        let rows: Vec<(String, String, String)> = rows.collect::<Result<_, _>>()?;
        let file =
            |(destination, key, expires): (String, String, String)| Some(SharedFile { destination, key, expires: expires.parse().ok()? });
        Ok(rows.into_iter().filter_map(file).collect())
    }
}

/// Of one length, so that times compare as texts.
fn stamp(at: Timestamp) -> String {
    format!("{at:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_due_once_its_address_has_ended_and_until_it_is_gone() {
        let directory = tempfile::tempdir().expect("a directory");
        let catalog = Catalog::open(&directory.path().join("c.db")).expect("opens");
        let at = |text: &str| -> Timestamp { text.parse().expect("a time") };
        let file = |key: &str, expires: &str| SharedFile { destination: "nuvem".to_owned(), key: key.to_owned(), expires: at(expires) };
        let (first, second) = (file("a", "2026-03-15T02:00:00Z"), file("b", "2026-03-18T02:00:00.5Z"));
        for one in [&second, &first] {
            catalog.remember_shared(one).expect("written");
        }
        assert_eq!(catalog.expired_shared(at("2026-03-15T01:59:59Z")).expect("read"), []);
        assert_eq!(catalog.expired_shared(at("2026-03-15T02:00:00Z")).expect("read"), std::slice::from_ref(&first));
        assert_eq!(catalog.expired_shared(at("2026-04-01T00:00:00Z")).expect("read"), [first, second.clone()]);
        catalog.forget_shared("nuvem", "a").expect("written");
        assert_eq!(catalog.expired_shared(at("2026-04-01T00:00:00Z")).expect("read"), [second]);
    }
}
