//! Sessions: what a browser holds once a person has logged in. Only the SHA-256 of a session's secret is stored, and what its forms are
//! recognised by is made of the secret, so a copy of the file opens none.

use std::fmt;
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension, Transaction, params};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::error::AccessError;
use super::principal::Principal;
use super::role::Role;
use super::secret::{self, SessionSecret};
use super::{Access, moment, name, noted_or_told};

/// A session that is not used so long ends.
pub const SESSION_IDLE: SignedDuration = SignedDuration::from_mins(30);
/// No session lasts longer.
pub const SESSION_LONGEST: SignedDuration = SignedDuration::from_hours(12);
/// Sessions of one user; a new one ends the oldest.
const SESSIONS_MAX: i64 = 20;
/// Seconds between two notes of a session's use.
const NOTED_EVERY: i64 = 60;
/// Characters by which a session is named: the first ones of its stored hash.
const NAMED_BY: usize = 16;

/// Whom a session lets in.
#[derive(Clone)]
pub struct SessionPrincipal {
    /// Who.
    pub principal: Principal,
    /// What the session's forms are recognised by.
    pub csrf: Zeroizing<String>,
    /// When it ends, if it is not used any more.
    pub expires: Timestamp,
}

impl SessionPrincipal {
    /// Whether a form is of this session, in a time that says nothing about how nearly.
    pub fn is_own(&self, csrf: &str) -> bool {
        secret::same(self.csrf.as_bytes(), csrf.as_bytes())
    }
}

impl fmt::Debug for SessionPrincipal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionPrincipal").field("principal", &self.principal).field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// A session, as its user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// Its name, which opens nothing.
    pub id: String,
    /// Address that it was begun from; empty where it is older than that is kept.
    pub from: String,
    /// When it was begun.
    pub created: Timestamp,
    /// When it was last used, to about a minute.
    pub seen: Timestamp,
    /// Whether it is the one that asks.
    pub own: bool,
}

impl Access {
    /// The sessions of a user that have not ended, newest first. `cookie` is the one that asks, if it is one.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn sessions(&self, user: &str, cookie: Option<&str>, now: Timestamp) -> Result<Vec<SessionRecord>, AccessError> {
        let own = cookie.map(|cookie| hex::encode(secret::digest(cookie)));
        let connection = self.connection();
        let sql = "SELECT lower(hex(hash)), peer, created, seen FROM sessions \
                   WHERE user = ?1 AND seen + ?3 > ?2 AND created + ?4 > ?2 ORDER BY created DESC, rowid DESC";
        let mut statement = connection.prepare(sql)?;
        let parameters = params![name::user(user)?, now.as_second(), SESSION_IDLE.as_secs(), SESSION_LONGEST.as_secs()];
        let rows = statement.query_map(parameters, |row| {
            let hash: String = row.get(0)?;
            let own = own.as_ref() == Some(&hash);
            let id = hash.chars().take(NAMED_BY).collect();
            Ok(SessionRecord { id, from: row.get(1)?, created: moment(row, 2)?, seen: moment(row, 3)?, own })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Ends one session of a user, by its name; whether there was one.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub fn end_session(&self, user: &str, id: &str) -> Result<bool, AccessError> {
        if id.len() != NAMED_BY {
            return Ok(false);
        }
        let sql = "DELETE FROM sessions WHERE user = ?1 AND substr(lower(hex(hash)), 1, length(?2)) = ?2";
        Ok(self.connection().execute(sql, params![name::user(user)?, id])? > 0)
    }

    /// Whom a session lets in; `None` where it has ended, or never was.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn by_session(&self, cookie: &str, now: Timestamp) -> Result<Option<SessionPrincipal>, AccessError> {
        self.session(cookie, now, true)
    }

    /// The same for what a page asks by itself, with nobody before it: that is no use, and lets the session end.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn by_idle_session(&self, cookie: &str, now: Timestamp) -> Result<Option<SessionPrincipal>, AccessError> {
        self.session(cookie, now, false)
    }

    fn session(&self, cookie: &str, now: Timestamp, used: bool) -> Result<Option<SessionPrincipal>, AccessError> {
        if cookie.len() != secret::SECRET_LEN || !secret::is_lower_base32(cookie) {
            return Ok(None);
        }
        let (connection, hash) = (self.connection(), secret::digest(cookie));
        let sql = "SELECT user, role, sessions.created, seen FROM sessions JOIN users ON users.name = sessions.user WHERE hash = ?1";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
        let found: Option<(String, Role, i64, i64)> = connection.query_row(sql, [hash], row).optional()?;
        let Some((user, role, created, seen)) = found else { return Ok(None) };
        let second = now.as_second();
        if second >= end(created, seen) {
            connection.execute("DELETE FROM sessions WHERE hash = ?1", [hash])?;
            return Ok(None);
        }
        if used && second - seen >= NOTED_EVERY {
            noted_or_told(connection.execute("UPDATE sessions SET seen = ?2 WHERE hash = ?1", params![hash, second]));
        }
        let expires = Timestamp::from_second(end(created, if used { seen.max(second) } else { seen })).unwrap_or(Timestamp::MAX);
        Ok(Some(SessionPrincipal { principal: Principal::user(user, role), csrf: csrf(cookie), expires }))
    }

    /// Ends a session; whose it was.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub fn logout(&self, cookie: &str) -> Result<Option<String>, AccessError> {
        let sql = "DELETE FROM sessions WHERE hash = ?1 RETURNING user";
        Ok(self.connection().query_row(sql, [secret::digest(cookie)], |row| row.get(0)).optional()?)
    }

    /// Ends all sessions of a user; how many there were.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub fn logout_all(&self, user: &str) -> Result<usize, AccessError> {
        Ok(self.connection().execute("DELETE FROM sessions WHERE user = ?1", [name::user(user)?])?)
    }
}

/// Begins a session, and forgets those that have ended.
pub(super) fn begin(transaction: &Transaction<'_>, (user, from): (&str, IpAddr), now: Timestamp) -> Result<SessionSecret, AccessError> {
    let (secret, now) = (secret::new()?, now.as_second());
    let (idle, longest) = (SESSION_IDLE.as_secs(), SESSION_LONGEST.as_secs());
    transaction.execute("DELETE FROM sessions WHERE seen + ?2 <= ?1 OR created + ?3 <= ?1", params![now, idle, longest])?;
    let oldest = "DELETE FROM sessions WHERE hash IN
                  (SELECT hash FROM sessions WHERE user = ?1 ORDER BY created DESC, rowid DESC LIMIT -1 OFFSET ?2)";
    transaction.execute(oldest, params![user, SESSIONS_MAX - 1])?;
    let sql = "INSERT INTO sessions (hash, user, created, seen, peer) VALUES (?1, ?2, ?3, ?3, ?4)";
    transaction.execute(sql, params![secret::digest(&secret), user, now, from.to_canonical().to_string()])?;
    Ok(SessionSecret(secret))
}

/// The second at which a session ends that was last used at `seen`.
fn end(created: i64, seen: i64) -> i64 {
    (seen + SESSION_IDLE.as_secs()).min(created + SESSION_LONGEST.as_secs())
}

/// What the forms of a session are recognised by; it does not tell the session's secret.
fn csrf(cookie: &str) -> Zeroizing<String> {
    secret::lower_base32(&Sha256::new().chain_update(b"cofre csrf ").chain_update(cookie).finalize())
}
