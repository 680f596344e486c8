//! Puts a schema that has proven whole in the place of one that is to be replaced (trap 2): the live schema is dropped only when
//! all that shall follow it is on the server already, rows read back and compared.
//!
//! Tables move by one `RENAME TABLE`, which no reader sees half done and which keeps foreign keys; triggers cannot move with
//! them and views, routines and events cannot move at all, so they are made anew from the dump. What cannot move (one table alone,
//! whose foreign keys would still point into the schema that it came from; columns whose default is a sequence's next value)
//! is loaded a second time, while the proven first one stays until the second has proven whole as well.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::connection::{Session, quoted};
use super::definitions::string;
use super::error::MysqlError;
use super::load::is_there;
use super::objects::{Place, Remarks, load_objects};
use crate::ports::MysqlSettings;

/// Longest name of a schema, in characters.
const NAME_MAX: usize = 64;
/// Names that are tried beside a schema.
const NAMES_TRIED: u32 = 1_000;

/// A schema beside the one that is to be replaced.
#[derive(Debug)]
pub struct Staging {
    settings: Arc<MysqlSettings>,
    name: String,
    target: String,
}

impl Staging {
    /// Whether `schema` (or `table` of it) holds anything that a restore would replace.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn is_needed(settings: &MysqlSettings, schema: &str, table: Option<&str>) -> Result<bool, MysqlError> {
        let mut session = open(&Arc::new(settings.clone())).await?;
        let found = is_there(&mut session, schema, table).await?;
        session.close().await;
        Ok(found)
    }

    /// A name beside `target` that no schema has.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn beside(settings: &MysqlSettings, target: &str) -> Result<Self, MysqlError> {
        let settings = Arc::new(settings.clone());
        let mut session = open(&settings).await?;
        let known: Vec<String> =
            session.all("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA", || "list the schemas".to_owned()).await?;
        session.close().await;
        let name = (1..=NAMES_TRIED).map(|number| staging_name(target, number)).find(|name| !known.contains(name));
        let name = name.ok_or_else(|| MysqlError::Dump("there is no free name beside the schema".to_owned()))?;
        Ok(Self { settings, name, target: target.to_owned() })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether its tables can be renamed: not where a default names a sequence by this schema.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn can_move(&self) -> Result<bool, MysqlError> {
        let mut session = open(&self.settings).await?;
        let sql = format!(
            "SELECT COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {0} AND INSTR(COLUMN_DEFAULT, {1}) > 0",
            string(&self.name),
            string(&quoted(&self.name))
        );
        let found: Option<u64> = session.first(&sql, || format!("look at schema `{}`", self.name)).await?;
        session.close().await;
        Ok(found == Some(0))
    }

    /// Drops the target, or one table of it, to be loaded again while this schema still holds the proven rows.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn drop_target(&self, table: Option<&str>) -> Result<(), MysqlError> {
        let mut session = open(&self.settings).await?;
        let target = quoted(&self.target);
        let (sql, what) = match table {
            Some(table) => (format!("DROP TABLE IF EXISTS {target}.{}", quoted(table)), format!("table `{}`.`{table}`", self.target)),
            None => (format!("DROP DATABASE {target}"), format!("schema `{}`", self.target)),
        };
        session.run(&sql, || format!("drop {what}")).await?;
        session.close().await;
        Ok(())
    }

    /// Drops the target and puts what was loaded here in its place; `objects` are the dump's files of routines, triggers, events
    /// and views, in order, and `origin` the schema that the dump is of.
    ///
    /// # Errors
    /// When the server refuses. The message says where the rows are then.
    pub async fn swap(self, objects: &[(String, Vec<u8>)], origin: &str) -> Result<Remarks, MysqlError> {
        let mut session = open(&self.settings).await?;
        self.drop_triggers(&mut session).await?;
        let tables = self.tables(&mut session).await?;
        let (from, to) = (quoted(&self.name), quoted(&self.target));
        let defaults = format!(
            "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
            string(&self.name)
        );
        let defaults: Option<(String, String)> = session.first(&defaults, || format!("look at schema `{}`", self.name)).await?;
        let (charset, collation) = defaults.ok_or_else(|| MysqlError::Dump(format!("schema `{}` is gone", self.name)))?;
        let place = |what: &str| format!("{what} (what was restored is whole in schema `{}`; nothing of it is lost)", self.name);
        session.run(&format!("DROP DATABASE {to}"), || place(&format!("drop schema `{}`", self.target))).await?;
        let create = format!("CREATE DATABASE {to} CHARACTER SET {charset} COLLATE {collation}");
        session.run(&create, || place(&format!("make schema `{}`", self.target))).await?;
        if !tables.is_empty() {
            let moves: Vec<String> = tables.iter().map(|table| format!("{from}.{0} TO {to}.{0}", quoted(table))).collect();
            let sql = format!("RENAME TABLE {}", moves.join(", "));
            session.run(&sql, || place(&format!("move the tables to schema `{}`", self.target))).await?;
        }
        session.run(&format!("USE {to}"), || format!("use schema `{}`", self.target)).await?;
        let mut remarks = Remarks::default();
        let place = Place { origin, schema: &self.target };
        for (name, data) in objects {
            load_objects(&mut session, (name, data), &place, |_| true, &mut remarks).await?;
        }
        session.run(&format!("DROP DATABASE {from}"), || format!("drop schema `{}`", self.name)).await?;
        session.close().await;
        Ok(remarks)
    }

    /// Removes it; the target stays as it is.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn discard(self) -> Result<(), MysqlError> {
        let mut session = open(&self.settings).await?;
        let sql = format!("DROP DATABASE IF EXISTS {}", quoted(&self.name));
        session.run(&sql, || format!("drop schema `{}`", self.name)).await?;
        session.close().await;
        Ok(())
    }

    async fn drop_triggers(&self, session: &mut Session) -> Result<(), MysqlError> {
        let sql = format!("SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {}", string(&self.name));
        let triggers: Vec<String> = session.all(&sql, || format!("list the triggers of schema `{}`", self.name)).await?;
        for trigger in triggers {
            let sql = format!("DROP TRIGGER {}.{}", quoted(&self.name), quoted(&trigger));
            session.run(&sql, || format!("drop trigger `{trigger}` of schema `{}`", self.name)).await?;
        }
        Ok(())
    }

    async fn tables(&self, session: &mut Session) -> Result<Vec<String>, MysqlError> {
        let sql = format!(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_TYPE NOT LIKE '%VIEW' ORDER BY TABLE_NAME",
            string(&self.name)
        );
        session.all(&sql, || format!("list the tables of schema `{}`", self.name)).await
    }
}

/// A connection whose work is not cancelled half-way: the old schema is gone, or a schema of ours would be left.
async fn open(settings: &Arc<MysqlSettings>) -> Result<Session, MysqlError> {
    Session::open(settings, None, &CancellationToken::new()).await
}

/// Whether a schema has such a name: then a restore left it, which was killed or could not put it in its place.
pub(super) fn is_left_by_a_restore(schema: &str) -> bool {
    let number = schema.rsplit_once("_cofre_").map(|(_, number)| number);
    number.and_then(|number| number.parse::<u32>().ok()).is_some_and(|number| (1..=NAMES_TRIED).contains(&number))
}

fn staging_name(target: &str, number: u32) -> String {
    let end = format!("_cofre_{number}");
    let room = NAME_MAX - end.len();
    target.chars().take(room).chain(end.chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_beside_the_target_is_never_too_long() {
        assert_eq!(staging_name("empresa1", 1), "empresa1_cofre_1");
        let long = "ç".repeat(64);
        assert_eq!(staging_name(&long, 12).chars().count(), 64);
        assert_ne!(staging_name(&long, 12), long);
    }

    #[test]
    fn what_a_restore_left_is_known_by_its_name() {
        assert!(is_left_by_a_restore(&staging_name("empresa1", 1)) && is_left_by_a_restore(&staging_name("a_cofre_1", NAMES_TRIED)));
        assert!(!["empresa1", "cofre_1", "a_cofre_", "a_cofre_0", "a_cofre_1x"].into_iter().any(is_left_by_a_restore));
    }
}
