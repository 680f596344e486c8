//! The first administrator: whoever opens a link that cofre prints on the machine itself, once and within the hour.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension, Transaction, params};
use zeroize::Zeroizing;

use super::error::{AccessError, Refusal};
use super::role::Role;
use super::secret::{self, SessionSecret};
use super::user::{self, NewUser};
use super::{Access, count, name, session};

/// How long the link is good.
pub const SETUP_VALID: SignedDuration = SignedDuration::from_hours(1);

/// Where the link leads, below the page's own address.
pub fn setup_path(secret: &str) -> Zeroizing<String> {
    Zeroizing::new(format!("/setup?secret={secret}"))
}

impl Access {
    /// Whether there is no user yet.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn needs_setup(&self) -> Result<bool, AccessError> {
        Ok(self.connection().query_row("SELECT NOT EXISTS (SELECT 1 FROM users)", [], |row| row.get(0))?)
    }

    /// Makes the secret of the link, in place of the one before.
    ///
    /// # Errors
    /// When there is a user, or it cannot be stored.
    pub fn setup_link(&self, now: Timestamp) -> Result<Zeroizing<String>, AccessError> {
        let secret = secret::new()?;
        let expires = now.as_second() + SETUP_VALID.as_secs();
        self.change(|transaction| {
            nobody(transaction)?;
            let sql = "INSERT OR REPLACE INTO setup (id, hash, expires) VALUES (1, ?1, ?2)";
            transaction.execute(sql, params![secret::digest(&secret), expires])?;
            Ok(())
        })?;
        Ok(secret)
    }

    /// Whether a link is good still: what a page asks before it shows the form.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn is_setup_link(&self, secret: &str, now: Timestamp) -> Result<bool, AccessError> {
        self.change(|transaction| holds(transaction, secret, now))
    }

    /// Makes the first administrator, and logs them in. Takes tens of milliseconds.
    ///
    /// # Errors
    /// When the link is no good, the name or the password may not be, there is a user, or it cannot be stored.
    pub fn finish_setup(
        &self,
        (secret, from): (&str, IpAddr),
        (name, password): (&str, &str),
        now: Timestamp,
    ) -> Result<SessionSecret, AccessError> {
        // Before the work, which nobody may cause without the secret.
        if !self.is_setup_link(secret, now)? {
            return Err(Refusal::SetupLink.into());
        }
        let hash = self.checked_password(name, password)?;
        self.change(|transaction| {
            if !holds(transaction, secret, now)? {
                return Err(Refusal::SetupLink.into());
            }
            nobody(transaction)?;
            let new = NewUser { name, role: Role::Administrator, password };
            user::insert(transaction, &new, (&hash, "set-up"))?;
            transaction.execute("DELETE FROM setup", [])?;
            let name = name::user(name)?;
            transaction.execute("UPDATE users SET last_login = ?2 WHERE name = ?1", params![name, now.as_second()])?;
            session::begin(transaction, (&name, from), now)
        })
    }
}

fn nobody(transaction: &Transaction<'_>) -> Result<(), AccessError> {
    if count(transaction, "SELECT COUNT(*) FROM users")? > 0 { Err(Refusal::SetUpAlready.into()) } else { Ok(()) }
}

fn holds(transaction: &Transaction<'_>, secret: &str, now: Timestamp) -> Result<bool, AccessError> {
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let found: Option<(Vec<u8>, i64)> = transaction.query_row("SELECT hash, expires FROM setup", [], row).optional()?;
    Ok(found.is_some_and(|(hash, expires)| secret::same(&hash, &secret::digest(secret)) && now.as_second() < expires))
}
