//! Users: persons with a name, a role and a password. There is always an administrator left, once there was one.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction, params};
use serde::Serialize;

use super::error::{AccessError, Refusal};
use super::role::Role;
use super::{Access, count, moment, moment_if_any, name, password, throttle};

/// Users, at most.
const USERS_MAX: i64 = 1_000;

/// A user to be added.
#[derive(Clone, Copy)]
pub struct NewUser<'a> {
    /// Name; upper and lower case are the same.
    pub name: &'a str,
    /// What they are trusted with.
    pub role: Role,
    /// Password.
    pub password: &'a str,
}

/// What is known of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct UserRecord {
    /// Name.
    pub name: String,
    /// What they are trusted with.
    pub role: Role,
    /// Whether a second factor is asked for.
    pub totp: bool,
    /// Recovery codes that were not used yet.
    pub recovery_codes: u32,
    /// When they were added.
    #[schemars(with = "String")]
    pub created: Timestamp,
    /// By whom.
    pub created_by: String,
    /// When they last logged in.
    #[schemars(with = "Option<String>")]
    pub last_login: Option<Timestamp>,
}

impl Access {
    /// Adds a user. Takes tens of milliseconds, for the password.
    ///
    /// # Errors
    /// When that may not be, or cannot be stored.
    pub fn add_user(&self, new: NewUser<'_>, by: &str) -> Result<UserRecord, AccessError> {
        let hash = self.checked_password(new.name, new.password)?;
        self.change(|transaction| insert(transaction, &new, (&hash, by)))?;
        self.user(new.name)
    }

    /// All users, by name.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn users(&self) -> Result<Vec<UserRecord>, AccessError> {
        let connection = self.connection();
        let mut statement = connection.prepare(
            "SELECT name, role, totp IS NOT NULL, (SELECT COUNT(*) FROM recovery_codes WHERE user = name), created, created_by, last_login
             FROM users ORDER BY name",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(UserRecord {
                name: row.get(0)?,
                role: row.get(1)?,
                totp: row.get(2)?,
                recovery_codes: row.get(3)?,
                created: moment(row, 4)?,
                created_by: row.get(5)?,
                last_login: moment_if_any(row, 6)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// One user.
    ///
    /// # Errors
    /// When there is none of that name, or it cannot be read.
    pub fn user(&self, user: &str) -> Result<UserRecord, AccessError> {
        let name = name::user(user)?;
        self.users()?.into_iter().find(|record| record.name == name).ok_or_else(|| Refusal::NoUser(name).into())
    }

    /// Gives a user another password, and ends their sessions. Takes tens of milliseconds. Who was made to wait after wrong passwords need
    /// not any more.
    ///
    /// # Errors
    /// When that may not be, or cannot be stored.
    pub fn set_password(&self, user: &str, password: &str) -> Result<(), AccessError> {
        let (name, hash) = (name::user(user)?, self.checked_password(user, password)?);
        self.change(|transaction| {
            throttle::forget_account(transaction, &name)?;
            transaction.execute("DELETE FROM sessions WHERE user = ?1", [&name])?;
            found(transaction.execute("UPDATE users SET password = ?2 WHERE name = ?1", params![name, hash])?, &name)
        })
    }

    /// Trusts a user with more, or less; from their next request on.
    ///
    /// # Errors
    /// When there is none of that name, it would leave no administrator, or cannot be stored.
    pub fn set_role(&self, user: &str, role: Role) -> Result<(), AccessError> {
        let name = name::user(user)?;
        self.change(|transaction| {
            if role != Role::Administrator {
                not_the_last(transaction, &name)?;
            }
            found(transaction.execute("UPDATE users SET role = ?2 WHERE name = ?1", params![name, role])?, &name)
        })
    }

    /// Removes a user, and ends their sessions.
    ///
    /// # Errors
    /// When there is none of that name, it would leave no administrator, or cannot be stored.
    pub fn remove_user(&self, user: &str) -> Result<(), AccessError> {
        let name = name::user(user)?;
        self.change(|transaction| {
            not_the_last(transaction, &name)?;
            throttle::forget_account(transaction, &name)?;
            found(transaction.execute("DELETE FROM users WHERE name = ?1", [&name])?, &name)
        })
    }

    /// What is stored of a password that this user may have.
    pub(super) fn checked_password(&self, user: &str, password: &str) -> Result<String, AccessError> {
        password::check(password, &name::user(user)?)?;
        self.0.hasher.turn().ok_or(Refusal::Busy)?.hash(password)
    }
}

/// Adds a user to the table.
pub(super) fn insert(transaction: &Transaction<'_>, new: &NewUser<'_>, (hash, by): (&str, &str)) -> Result<(), AccessError> {
    let name = name::user(new.name)?;
    if count(transaction, "SELECT COUNT(*) FROM users")? >= USERS_MAX {
        return Err(Refusal::Full("1000 users").into());
    }
    let sql = "INSERT INTO users (name, role, password, created, created_by) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
    if transaction.execute(sql, params![name, new.role, hash, Timestamp::now().as_second(), by])? == 0 {
        return Err(Refusal::UserExists(name).into());
    }
    Ok(())
}

/// Whether a change met somebody.
pub(super) fn found(changed: usize, name: &str) -> Result<(), AccessError> {
    if changed == 0 { Err(Refusal::NoUser(name.to_owned()).into()) } else { Ok(()) }
}

fn not_the_last(transaction: &Transaction<'_>, name: &str) -> Result<(), AccessError> {
    let role: Option<Role> = transaction.query_row("SELECT role FROM users WHERE name = ?1", [name], |row| row.get(0)).optional()?;
    let sql = "SELECT COUNT(*) FROM users WHERE role = 'administrator'";
    if role == Some(Role::Administrator) && count(transaction, sql)? <= 1 {
        return Err(Refusal::LastAdministrator(name.to_owned()).into());
    }
    Ok(())
}
