//! Logging in. Whether there is such a user cannot be told from the answer, nor from how long it took.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction, params};

use super::error::AccessError;
use super::secret::SessionSecret;
use super::throttle::{self, Admission, Attempt};
use super::{Access, name, session, totp};

/// Who wants in.
#[derive(Clone, Copy)]
pub struct Login<'a> {
    /// As typed.
    pub name: &'a str,
    /// As typed.
    pub password: &'a str,
    /// Of the second factor, or a recovery code; as typed.
    pub code: Option<&'a str>,
    /// From where.
    pub from: IpAddr,
}

impl fmt::Debug for Login<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("from", &self.from).finish_non_exhaustive()
    }
}

/// What came of it.
#[derive(Debug)]
pub enum LoginOutcome {
    /// They are in.
    Session(SessionSecret),
    /// The password is right, and the second factor is asked for.
    CodeNeeded,
    /// Name, password or code is wrong; nobody is told which.
    Refused,
    /// Too many attempts; nothing was looked at.
    Throttled {
        /// When the next one may be made.
        until: Timestamp,
    },
}

/// Whether somebody who is logged in is who they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// The password is right.
    Right,
    /// It is not.
    Wrong,
    /// Too many attempts; nothing was looked at.
    Throttled {
        /// When the next one may be made.
        until: Timestamp,
    },
}

/// What was found about a name and a password.
enum Proof {
    Right { name: String, stored: String, attempt: Attempt },
    Wrong,
    Throttled(Timestamp),
}

impl Access {
    /// Logs a person in. Takes tens of milliseconds, and longer where many do so at once: not on a thread that others wait for.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn login(&self, login: &Login<'_>, now: Timestamp) -> Result<LoginOutcome, AccessError> {
        let (name, stored, attempt) = match self.prove(login, now)? {
            Proof::Right { name, stored, attempt } => (name, stored, attempt),
            Proof::Wrong => return Ok(LoginOutcome::Refused),
            Proof::Throttled(until) => return Ok(LoginOutcome::Throttled { until }),
        };
        self.change(|transaction| {
            // Both may be others than when the password was read.
            if !is_still(transaction, &name, &stored)? {
                return Ok(LoginOutcome::Refused);
            }
            if totp::secret_of(transaction, &name)?.is_some() {
                let Some(code) = login.code.filter(|code| !code.trim().is_empty()) else {
                    throttle::take_back(transaction, &attempt)?;
                    return Ok(LoginOutcome::CodeNeeded);
                };
                if !totp::spend(transaction, &name, code, now)? {
                    return Ok(LoginOutcome::Refused);
                }
            }
            throttle::succeed(transaction, &attempt)?;
            transaction.execute("UPDATE users SET last_login = ?2 WHERE name = ?1", params![name, now.as_second()])?;
            Ok(LoginOutcome::Session(session::begin(transaction, (&name, login.from), now)?))
        })
    }

    /// Begins a session for somebody whom another service vouches for, and who is known here; `None` of somebody else. Whoever calls this trusts
    /// that service, with its passwords and second factors.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn admit(&self, name: &str, from: IpAddr, now: Timestamp) -> Result<Option<SessionSecret>, AccessError> {
        let Ok(name) = name::user(name) else { return Ok(None) };
        self.change(|transaction| {
            let sql = "UPDATE users SET last_login = ?2 WHERE name = ?1";
            match transaction.execute(sql, params![name, now.as_second()])? {
                0 => Ok(None),
                _ => Ok(Some(session::begin(transaction, (&name, from), now)?)),
            }
        })
    }

    /// Asks for a password again, before something that a session alone is not enough for. Throttled as a login is, and as slow.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn confirm_password(&self, name: &str, password: &str, from: IpAddr, now: Timestamp) -> Result<Confirmation, AccessError> {
        match self.prove(&Login { name, password, code: None, from }, now)? {
            Proof::Right { attempt, .. } => {
                self.change(|transaction| Ok(throttle::take_back(transaction, &attempt)?))?;
                Ok(Confirmation::Right)
            }
            Proof::Wrong => Ok(Confirmation::Wrong),
            Proof::Throttled(until) => Ok(Confirmation::Throttled { until }),
        }
    }

    fn prove(&self, login: &Login<'_>, now: Timestamp) -> Result<Proof, AccessError> {
        // What cannot be a name is nobody's, and takes the same time.
        let name = name::user(login.name).unwrap_or_default();
        let admission = self.change(|transaction| Ok(throttle::admit(transaction, (login.name, login.from), now)?))?;
        let attempt = match admission {
            Admission::Now(attempt) => attempt,
            Admission::Later(until) => return Ok(Proof::Throttled(until)),
        };
        let Some(turn) = self.0.hasher.turn() else {
            self.change(|transaction| Ok(throttle::take_back(transaction, &attempt)?))?;
            return Ok(Proof::Throttled(now.saturating_add(jiff::SignedDuration::from_secs(1)).unwrap_or(now)));
        };
        let sql = "SELECT password FROM users WHERE name = ?1";
        let stored: Option<String> = self.connection().query_row(sql, [&name], |row| row.get(0)).optional()?;
        let is_right = turn.verify(login.password, stored.as_deref())?;
        Ok(match stored.filter(|_| is_right) {
            Some(stored) => Proof::Right { name, stored, attempt },
            None => Proof::Wrong,
        })
    }
}

fn is_still(transaction: &Transaction<'_>, name: &str, stored: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM users WHERE name = ?1 AND password = ?2)";
    transaction.query_row(sql, params![name, stored], |row| row.get(0))
}
