//! Schemas that a drill restores into and drops again: made under a mark of their own, never in the place of anything.
//!
//! A drill holds a lock of its mark's name at the server for as long as it lives. A schema whose mark nobody holds was left by a drill that
//! was killed; that, and nothing else, is what the next one removes, whatever machine it runs on.

use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::connection::{Session, quoted};
use super::definitions::string;
use super::error::MysqlError;
use crate::ports::{MysqlEndpoint, MysqlSettings};

/// What the name of every scratch schema begins with; eight hex digits and `_` follow, and the name of the schema that is restored.
const PREFIX: &str = "cofre_drill_";
/// Hex digits of a mark.
const MARK: usize = 8;
/// Longest name of a schema, in characters.
const NAME_MAX: usize = 64;

/// What the dumps of a drill hold besides tables, so that it is known beforehand whether the account may make it.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScratchNeeds {
    /// Views.
    pub views: bool,
    /// Triggers.
    pub triggers: bool,
    /// Procedures and functions.
    pub routines: bool,
}

/// The scratch schemas of one drill at one server.
#[derive(Debug)]
pub struct ScratchSchemas {
    mark: String,
    guard: Session,
    is_local: bool,
    made: Vec<String>,
}

impl ScratchSchemas {
    /// Takes the lock of a mark, removes what dead drills left, and tries whether the account may do what a drill does. Returns also the
    /// names of what was removed.
    ///
    /// # Errors
    /// When the server cannot be reached, or the account may not.
    pub async fn open(settings: &MysqlSettings, mark: &str, needs: ScratchNeeds) -> Result<(Self, Vec<String>), MysqlError> {
        let settings = Arc::new(settings.clone());
        // What removes a schema must not be cancelled half-way.
        let mut guard = Session::open(&settings, None, &CancellationToken::new()).await?;
        // A copy of everything is no change that anybody should replay; without the right to say so it is one.
        guard.run(UNLOGGED, || "leave the binary log alone".to_owned()).await.ok();
        let is_local = match &settings.endpoint {
            MysqlEndpoint::Socket(_) => true,
            MysqlEndpoint::Tcp { host, .. } => matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1"),
        };
        let mut scratch = Self { mark: mark.to_owned(), guard, is_local, made: Vec::new() };
        if !scratch.hold(mark).await? {
            return Err(MysqlError::Dump(format!("another drill has the mark {mark}")));
        }
        let left = scratch.remove_left_overs().await?;
        scratch.rehearse(needs).await?;
        Ok((scratch, left))
    }

    /// The name of the scratch schema for `schema`, which must be [removed](Self::remove) whatever comes of it.
    pub fn name_for(&mut self, schema: &str) -> String {
        let name = scratch_name(&self.mark, schema);
        if !self.made.contains(&name) {
            self.made.push(name.clone());
        }
        name
    }

    /// Free bytes where the server keeps its data, if it is on this machine.
    pub async fn free_bytes(&mut self) -> Option<u64> {
        if !self.is_local {
            return None;
        }
        let directory: Option<String> = self.guard.first("SELECT @@datadir", || "ask for the data directory".to_owned()).await.ok()?;
        let status = rustix::fs::statvfs(Path::new(&directory?)).ok()?;
        Some(status.f_bavail.saturating_mul(status.f_frsize))
    }

    /// Bytes that a schema takes on the server as it is now; 0 where it is not there.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn bytes_of(&mut self, schema: &str) -> Result<u64, MysqlError> {
        let sql = format!(
            "SELECT CAST(COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0) AS UNSIGNED) FROM information_schema.TABLES WHERE TABLE_SCHEMA = {}",
            string(schema)
        );
        let found: Option<u64> = self.guard.first(&sql, || format!("look at schema `{schema}`")).await?;
        Ok(found.unwrap_or(0))
    }

    /// Drops every scratch schema that was made.
    ///
    /// # Errors
    /// When the server refuses; what is left is removed by the next drill.
    pub async fn remove(&mut self) -> Result<(), MysqlError> {
        for name in self.made.clone() {
            self.drop(&name).await?;
            self.made.retain(|made| *made != name);
        }
        Ok(())
    }

    /// Lets the mark go.
    pub async fn close(self) {
        self.guard.close().await;
    }

    async fn hold(&mut self, mark: &str) -> Result<bool, MysqlError> {
        let sql = format!("SELECT GET_LOCK('{PREFIX}{mark}', 0)");
        let held: Option<Option<u8>> = self.guard.first(&sql, || format!("take the lock of the drill {mark}")).await?;
        Ok(held.flatten() == Some(1))
    }

    async fn remove_left_overs(&mut self) -> Result<Vec<String>, MysqlError> {
        let all: Vec<String> = self.guard.all("SHOW DATABASES", || "list the schemas".to_owned()).await?;
        let mut removed = Vec::new();
        for name in all {
            let Some(mark) = mark_of(&name).map(str::to_owned).filter(|mark| *mark != self.mark) else { continue };
            // A living drill has its lock.
            if self.hold(&mark).await? {
                self.drop(&name).await?;
                let release = format!("DO RELEASE_LOCK('{PREFIX}{mark}')");
                self.guard.run(&release, || format!("let the lock of the drill {mark} go")).await?;
                removed.push(name);
            }
        }
        Ok(removed)
    }

    /// Makes one of each kind in a schema of its own, so that a right that lacks is told before hours of downloading.
    async fn rehearse(&mut self, needs: ScratchNeeds) -> Result<(), MysqlError> {
        let name = self.name_for("probe");
        let schema = quoted(&name);
        let tried = async {
            let mut statements = vec![
                ("make a scratch schema", format!("CREATE DATABASE {schema}")),
                ("make a table in a scratch schema", format!("CREATE TABLE {schema}.t (a INT PRIMARY KEY)")),
                ("write into a scratch schema", format!("INSERT INTO {schema}.t VALUES (1)")),
            ];
            if needs.views {
                statements.push(("make a view in a scratch schema", format!("CREATE VIEW {schema}.v AS SELECT a FROM {schema}.t")));
            }
            if needs.triggers {
                let sql = format!("CREATE TRIGGER {schema}.g BEFORE INSERT ON {schema}.t FOR EACH ROW SET @cofre = 1");
                statements.push(("make a trigger in a scratch schema", sql));
            }
            if needs.routines {
                statements.push(("make a routine in a scratch schema", format!("CREATE PROCEDURE {schema}.p() SELECT 1")));
            }
            for (what, sql) in statements {
                self.guard.run(&sql, || what.to_owned()).await?;
            }
            Ok(())
        }
        .await;
        let removed = self.remove().await;
        tried.and(removed)
    }

    /// Drops a schema that carries the mark of a drill, and no other.
    async fn drop(&mut self, name: &str) -> Result<(), MysqlError> {
        if mark_of(name).is_none() {
            return Err(MysqlError::Dump(format!("schema `{name}` does not carry the mark of a drill and stays")));
        }
        self.guard.run(&format!("DROP DATABASE IF EXISTS {}", quoted(name)), || format!("drop the scratch schema `{name}`")).await
    }
}

/// Keeps what a session does out of the binary log, where the account may.
pub(super) const UNLOGGED: &str = "SET SESSION sql_log_bin = 0";

/// Whether a schema is the scratch of a drill: no data of anybody's.
pub(super) fn is_scratch(schema: &str) -> bool {
    mark_of(schema).is_some()
}

fn scratch_name(mark: &str, schema: &str) -> String {
    let start = format!("{PREFIX}{mark}_");
    let room = NAME_MAX - start.len();
    start.chars().chain(schema.chars().take(room)).collect()
}

/// The mark in a name.
fn mark_of(schema: &str) -> Option<&str> {
    let (mark, rest) = schema.strip_prefix(PREFIX)?.split_at_checked(MARK)?;
    let is_mark = mark.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    (is_mark && rest.starts_with('_') && rest.len() > 1).then_some(mark)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_what_carries_a_mark_is_a_scratch() {
        assert_eq!(scratch_name("0a1b2c3d", "empresa1"), "cofre_drill_0a1b2c3d_empresa1");
        for other in
            ["cofre_drill_empresa1", "cofre_drill_0a1b2c3_x", "cofre_drill_0A1B2C3D_x", "cofre_drill_0a1b2c3d", "cofre_drill_0a1b2c3d_"]
        {
            assert!(!is_scratch(other), "{other}");
        }
        assert!(!is_scratch("x_cofre_drill_0a1b2c3d_x") && !is_scratch("empresa1_cofre_1") && !is_scratch("cofre_drill_0a1b2c3ç_x"));
    }

    proptest! {
        #[test]
        fn every_name_fits_and_is_known_again(mark in "[0-9a-f]{8}", schema in "\\PC{1,70}") {
            let name = scratch_name(&mark, &schema);
            prop_assert!(name.chars().count() <= NAME_MAX);
            prop_assert_eq!(mark_of(&name), Some(mark.as_str()));
        }

        #[test]
        fn looking_at_any_name_never_panics(name in "(cofre_drill_)?\\PC{0,20}") {
            let _ = mark_of(&name);
        }
    }
}
