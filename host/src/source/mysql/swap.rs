//! Puts a schema that has proven whole in the place of one that is to be replaced (trap 2): the live schema is dropped only when
//! all that shall follow it is on the server already, rows read back and compared.
//!
//! Tables move by one `RENAME TABLE`, which no reader sees half done and which keeps foreign keys; triggers cannot move with
//! them and views, routines and events cannot move at all, so they are made anew from the dump. What cannot move (one table alone,
//! whose foreign keys would still point into the schema that it came from; columns whose default is a sequence's next value)
//! is loaded a second time, while the proven first one stays until the second has proven whole as well.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio_util::sync::CancellationToken;

use super::connection::{Doing, MysqlError, connect, quoted};
use super::definitions::string;
use super::load::{is_there, run_script};
use crate::ports::MysqlSettings;

/// Longest name of a schema, in characters.
const NAME_MAX: usize = 64;
/// Names that are tried beside a schema.
const NAMES_TRIED: u32 = 1_000;

/// A schema beside the one that is to be replaced.
#[derive(Debug)]
pub struct Staging {
    settings: MysqlSettings,
    name: String,
    target: String,
}

impl Staging {
    /// Whether `schema` (or `table` of it) holds anything that a restore would replace.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn is_needed(settings: &MysqlSettings, schema: &str, table: Option<&str>) -> Result<bool, MysqlError> {
        let mut connection = connect(settings, None).await?;
        let found = is_there(&mut connection, schema, table).await?;
        let _ = connection.disconnect().await;
        Ok(found)
    }

    /// A name beside `target` that no schema has.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn beside(settings: &MysqlSettings, target: &str) -> Result<Self, MysqlError> {
        let mut connection = connect(settings, None).await?;
        let known: Vec<String> =
            connection.query("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA").await.doing(|| "list the schemas".to_owned())?;
        let _ = connection.disconnect().await;
        let name = (1..=NAMES_TRIED).map(|number| staging_name(target, number)).find(|name| !known.contains(name));
        let name = name.ok_or_else(|| MysqlError::Dump("there is no free name beside the schema".to_owned()))?;
        Ok(Self { settings: settings.clone(), name, target: target.to_owned() })
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
        let mut connection = connect(&self.settings, None).await?;
        let sql = format!(
            "SELECT COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {0} AND INSTR(COLUMN_DEFAULT, {1}) > 0",
            string(&self.name),
            string(&quoted(&self.name))
        );
        let found: Option<u64> = connection.query_first(sql).await.doing(|| format!("look at schema `{}`", self.name))?;
        let _ = connection.disconnect().await;
        Ok(found == Some(0))
    }

    /// Drops the target, or one table of it, to be loaded again while this schema still holds the proven rows.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn drop_target(&self, table: Option<&str>) -> Result<(), MysqlError> {
        let mut connection = connect(&self.settings, None).await?;
        let target = quoted(&self.target);
        let (sql, what) = match table {
            Some(table) => (format!("DROP TABLE IF EXISTS {target}.{}", quoted(table)), format!("table `{}`.`{table}`", self.target)),
            None => (format!("DROP DATABASE {target}"), format!("schema `{}`", self.target)),
        };
        connection.query_drop(sql).await.doing(|| format!("drop {what}"))?;
        let _ = connection.disconnect().await;
        Ok(())
    }

    /// Drops the target and puts what was loaded here in its place; `objects` are the dump's files of routines, views, triggers
    /// and events, in order.
    ///
    /// # Errors
    /// When the server refuses. The message says where the rows are then.
    pub async fn swap(self, objects: &[(String, Vec<u8>)]) -> Result<(), MysqlError> {
        let mut connection = connect(&self.settings, None).await?;
        self.drop_triggers(&mut connection).await?;
        let tables = self.tables(&mut connection).await?;
        let (from, to) = (quoted(&self.name), quoted(&self.target));
        let defaults = format!(
            "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
            string(&self.name)
        );
        let defaults: Option<(String, String)> =
            connection.query_first(defaults).await.doing(|| format!("look at schema `{}`", self.name))?;
        let (charset, collation) = defaults.ok_or_else(|| MysqlError::Dump(format!("schema `{}` is gone", self.name)))?;
        let place = |what: &str| format!("{what} (what was restored is whole in schema `{}`; nothing of it is lost)", self.name);
        connection.query_drop(format!("DROP DATABASE {to}")).await.doing(|| place(&format!("drop schema `{}`", self.target)))?;
        let create = format!("CREATE DATABASE {to} CHARACTER SET {charset} COLLATE {collation}");
        connection.query_drop(create).await.doing(|| place(&format!("make schema `{}`", self.target)))?;
        if !tables.is_empty() {
            let moves: Vec<String> = tables.iter().map(|table| format!("{from}.{0} TO {to}.{0}", quoted(table))).collect();
            let sql = format!("RENAME TABLE {}", moves.join(", "));
            connection.query_drop(sql).await.doing(|| place(&format!("move the tables to schema `{}`", self.target)))?;
        }
        connection.query_drop(format!("USE {to}")).await.doing(|| format!("use schema `{}`", self.target))?;
        // The old schema is gone: stopping here would leave the new one without its objects.
        let never = CancellationToken::new();
        for (name, data) in objects {
            run_script(&mut connection, (name, data), |_| true, &never).await?;
        }
        connection.query_drop(format!("DROP DATABASE {from}")).await.doing(|| format!("drop schema `{}`", self.name))?;
        let _ = connection.disconnect().await;
        Ok(())
    }

    /// Removes it; the target stays as it is.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn discard(self) -> Result<(), MysqlError> {
        let mut connection = connect(&self.settings, None).await?;
        let sql = format!("DROP DATABASE IF EXISTS {}", quoted(&self.name));
        connection.query_drop(sql).await.doing(|| format!("drop schema `{}`", self.name))?;
        let _ = connection.disconnect().await;
        Ok(())
    }

    async fn drop_triggers(&self, connection: &mut Conn) -> Result<(), MysqlError> {
        let sql = format!("SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {}", string(&self.name));
        let triggers: Vec<String> = connection.query(sql).await.doing(|| format!("list the triggers of schema `{}`", self.name))?;
        for trigger in triggers {
            let sql = format!("DROP TRIGGER {}.{}", quoted(&self.name), quoted(&trigger));
            connection.query_drop(sql).await.doing(|| format!("drop trigger `{trigger}` of schema `{}`", self.name))?;
        }
        Ok(())
    }

    async fn tables(&self, connection: &mut Conn) -> Result<Vec<String>, MysqlError> {
        let sql = format!(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_TYPE NOT LIKE '%VIEW' ORDER BY TABLE_NAME",
            string(&self.name)
        );
        connection.query(sql).await.doing(|| format!("list the tables of schema `{}`", self.name))
    }
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
}
