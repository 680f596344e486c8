//! Who gets in: users with passwords and second factors, their sessions, and tokens for programs. What each may do is a set of scopes.
//!
//! A file of its own, `access.db`, and not of the catalogue: that is a cache, while nothing else knows of users. `docs/access.md` tells it
//! to administrators.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::owner::{private_directory, private_file};

mod error;
mod login;
mod name;
mod password;
mod principal;
mod role;
mod secret;
mod session;
mod setup;
#[cfg(test)]
mod tests;
mod throttle;
mod token;
mod totp;
mod user;

pub use error::{AccessError, Refusal};
pub use login::{Confirmation, Login, LoginOutcome};
pub use name::{NAME_MAX, TENANT_MAX};
pub use password::{PASSWORD_MAX, PASSWORD_MIN};
pub use principal::{Principal, PrincipalKind};
pub use role::{Role, Scope, UnknownWord};
pub use secret::SessionSecret;
pub use session::{SESSION_IDLE, SESSION_LONGEST, SessionPrincipal, SessionRecord};
pub use setup::{SETUP_VALID, setup_path};
pub use token::{NewToken, TENANTS_MAX, TokenRecord};
pub use totp::TotpSetup;
pub use user::{NewUser, UserRecord};

const FILE: &str = "access.db";
const MIGRATIONS: &[&str] = &[include_str!("migrations/0001.sql"), include_str!("migrations/0002.sql")];
/// How long a statement waits for another process.
const PATIENCE: Duration = Duration::from_secs(10);

/// Users, sessions and tokens of one state directory. A clone shares everything with its original.
#[derive(Debug, Clone)]
pub struct Access(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connection: Mutex<Connection>,
    hasher: password::Hasher,
    refusals: Mutex<throttle::Refusals>,
}

impl Access {
    /// Opens `access.db` in the state directory, making and migrating it as needed.
    ///
    /// # Errors
    /// When it is damaged, made by a later cofre, or cannot be opened.
    pub fn open(state: &Path) -> Result<Self, AccessError> {
        let path = state.join(FILE);
        let create = |source| AccessError::Create { path: path.clone(), source };
        private_directory(state).map_err(create)?;
        // SQLite gives its journal files the mode and the owner of the database: private from the first byte.
        let file = private_file(&path).map_err(create)?;
        // A copy that was brought back may be open to others.
        let mode = file.metadata().map_err(create)?.permissions().mode();
        if mode & 0o077 != 0 {
            file.set_permissions(PermissionsExt::from_mode(0o600)).map_err(create)?;
        }
        drop(file);
        let open = |source| AccessError::Open { path: path.clone(), source };
        let mut connection = Connection::open(&path).map_err(open)?;
        set_up(&connection).map_err(open)?;
        migrate(&mut connection, &path)?;
        let connection = Mutex::new(connection);
        Ok(Self(Arc::new(Inner { connection, hasher: password::Hasher::default(), refusals: Mutex::default() })))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something that is done wholly or not at all, and by one process at a time.
    fn change<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, AccessError>) -> Result<T, AccessError> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What is removed is overwritten: a secret of a second factor does not stay in the file.
    connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), AccessError> {
    let open = |source| AccessError::Open { path: path.to_path_buf(), source };
    // Two processes may open a new file at once: the version is read under the write lock, or both would migrate.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(open)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(open)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(AccessError::Later { path: path.to_path_buf(), found, known });
    }
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(migration).map_err(open)?;
        transaction.pragma_update(None, "user_version", i64::try_from(index + 1).unwrap_or(i64::MAX)).map_err(open)?;
    }
    transaction.commit().map_err(open)
}

/// A moment as it is stored: seconds, so that SQL can compare it.
fn moment(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    let seconds = row.get(column)?;
    Timestamp::from_second(seconds).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, seconds))
}

fn moment_if_any(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    row.get::<_, Option<i64>>(column)?.map(|_| moment(row, column)).transpose()
}

/// Rows of a table.
fn count(transaction: &Transaction<'_>, sql: &str) -> rusqlite::Result<i64> {
    transaction.query_row(sql, [], |row| row.get(0))
}

/// A use that cannot be noted keeps nobody out: with a full disk, somebody has to get in who makes room.
fn noted_or_told(noted: rusqlite::Result<usize>) {
    if let Err(error) = noted {
        tracing::warn!(%error, "the use of a token or a session cannot be noted in `access.db`");
    }
}
