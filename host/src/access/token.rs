//! Tokens for programs: `cofre_`, a public part that names the token, and a secret of 256 bits, of which only the SHA-256 is stored.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde::Serialize;
use zeroize::Zeroizing;

use super::error::{AccessError, Refusal};
use super::principal::Principal;
use super::role::Scope;
use super::{Access, count, moment, moment_if_any, name, noted_or_told, secret};

const PREFIX: &str = "cofre_";
/// Characters of the public part: 40 bits.
const ID_LEN: usize = 8;
/// Tokens that are remembered, with those that were revoked.
const TOKENS_MAX: i64 = 1_000;
/// Tenants that a token may be limited to.
pub const TENANTS_MAX: usize = 1_000;
/// Seconds between two notes of a token's use.
const NOTED_EVERY: i64 = 60;
const COLUMNS: &str = "id, name, scopes, tenants, created, created_by, expires, last_used, revoked";

/// A token to be made.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
    /// The tenants it is limited to; `None`: all, and what belongs to none.
    pub tenants: Option<BTreeSet<String>>,
    /// When it ends.
    pub expires: Option<Timestamp>,
}

/// What is known of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct TokenRecord {
    /// Its public part.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
    /// The tenants it is limited to.
    pub tenants: Option<BTreeSet<String>>,
    /// When it was made.
    #[schemars(with = "String")]
    pub created: Timestamp,
    /// By whom.
    pub created_by: String,
    /// When it ends.
    #[schemars(with = "Option<String>")]
    pub expires: Option<Timestamp>,
    /// When it was last used, give or take a minute.
    #[schemars(with = "Option<String>")]
    pub last_used: Option<Timestamp>,
    /// When it was revoked.
    #[schemars(with = "Option<String>")]
    pub revoked: Option<Timestamp>,
}

impl TokenRecord {
    /// Whether it lets anybody in.
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|expires| now < expires)
    }
}

impl NewToken {
    fn checked(self, now: Timestamp) -> Result<Self, Refusal> {
        let name = name::token(&self.name)?;
        if self.scopes.is_empty() {
            return Err(Refusal::NoScopes);
        }
        if let Some(tenants) = &self.tenants {
            if tenants.is_empty() || tenants.len() > TENANTS_MAX || !tenants.iter().all(|tenant| name::is_plain(tenant, name::TENANT_MAX)) {
                return Err(Refusal::Tenants);
            }
            if let Some(scope) = self.scopes.iter().find(|scope| !scope.is_of_tenants()) {
                return Err(Refusal::NotOfTenants(*scope));
            }
        }
        if self.expires.is_some_and(|expires| expires <= now) {
            return Err(Refusal::Expired);
        }
        Ok(Self { name, ..self })
    }
}

/// The two parts of a token's text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    pub(super) id: &'a str,
    pub(super) secret: &'a str,
}

/// Takes a token's text apart; `None` where it is none.
pub(super) fn parse(text: &str) -> Option<Parts<'_>> {
    let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    let fits = id.len() == ID_LEN && secret.len() == secret::SECRET_LEN;
    (fits && secret::is_lower_base32(id) && secret::is_lower_base32(secret)).then_some(Parts { id, secret })
}

fn written(id: &str, secret: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + ID_LEN + 1 + secret::SECRET_LEN));
    for part in [PREFIX, id, "_", secret] {
        text.push_str(part);
    }
    text
}

impl Access {
    /// Makes a token. Its text is here for the only time.
    ///
    /// # Errors
    /// When it may not be, or cannot be stored.
    pub fn create_token(&self, new: NewToken, by: &str) -> Result<(TokenRecord, Zeroizing<String>), AccessError> {
        let now = Timestamp::now();
        let new = new.checked(now)?;
        let (id, secret) = (secret::lower_base32(&*secret::random::<5>()?), secret::new()?);
        let (scopes, tenants) = (scopes_written(&new.scopes), new.tenants.as_ref().map(|tenants| serde_json::json!(tenants).to_string()));
        let expires = new.expires.map(Timestamp::as_second);
        let record = self.change(|transaction| {
            make_room(transaction, now)?;
            transaction.execute(
                "INSERT INTO tokens (id, name, hash, scopes, tenants, created, created_by, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![*id, new.name, secret::digest(&secret), scopes, tenants, now.as_second(), by, expires],
            )?;
            let sql = format!("SELECT {COLUMNS} FROM tokens WHERE id = ?1");
            Ok(transaction.query_row(&sql, [&*id], record)?)
        })?;
        Ok((record, written(&id, &secret)))
    }

    /// All tokens, the newest first, also those that were revoked.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn tokens(&self) -> Result<Vec<TokenRecord>, AccessError> {
        let connection = self.connection();
        let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM tokens ORDER BY created DESC, rowid DESC"))?;
        let rows = statement.query_map([], record)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Ends a token for good; whether there is one that had not ended so.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub fn revoke_token(&self, id: &str) -> Result<bool, AccessError> {
        let sql = "UPDATE tokens SET revoked = ?2 WHERE id = ?1 AND revoked IS NULL";
        Ok(self.connection().execute(sql, params![id, Timestamp::now().as_second()])? > 0)
    }

    /// Whom a token lets in; `None` where it is none, or was revoked, or has expired.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn by_token(&self, text: &str, now: Timestamp) -> Result<Option<Principal>, AccessError> {
        let Some(parts) = parse(text) else { return Ok(None) };
        let connection = self.connection();
        let sql = format!("SELECT {COLUMNS}, hash FROM tokens WHERE id = ?1");
        let found: Option<(TokenRecord, Vec<u8>)> =
            connection.query_row(&sql, [parts.id], |row| Ok((record(row)?, row.get("hash")?))).optional()?;
        // A token that is not there takes the same comparison.
        let stored = found.as_ref().map_or([0; 32].as_slice(), |(_, hash)| hash);
        let is_same = secret::same(&secret::digest(parts.secret), stored);
        let Some((token, _)) = found.filter(|(token, _)| is_same && token.is_good(now)) else { return Ok(None) };
        if token.last_used.is_none_or(|used| now.as_second() - used.as_second() >= NOTED_EVERY) {
            let noted = connection.execute("UPDATE tokens SET last_used = ?2 WHERE id = ?1", params![token.id, now.as_second()]);
            noted_or_told(noted);
        }
        Ok(Some(Principal::token(&token.id, token.name, token.scopes, token.tenants)))
    }
}

/// Forgets the oldest tokens that let nobody in any more, where the table is full.
fn make_room(transaction: &Transaction<'_>, now: Timestamp) -> Result<(), AccessError> {
    if count(transaction, "SELECT COUNT(*) FROM tokens")? < TOKENS_MAX {
        return Ok(());
    }
    let sql = "DELETE FROM tokens WHERE id IN
               (SELECT id FROM tokens WHERE revoked IS NOT NULL OR expires <= ?1 ORDER BY COALESCE(revoked, expires) LIMIT 1)";
    if transaction.execute(sql, [now.as_second()])? == 0 {
        return Err(Refusal::Full("1000 tokens").into());
    }
    Ok(())
}

fn record(row: &Row<'_>) -> rusqlite::Result<TokenRecord> {
    let damaged = |error: serde_json::Error| rusqlite::Error::FromSqlConversionFailure(3, rusqlite::types::Type::Text, Box::new(error));
    let tenants: Option<String> = row.get(3)?;
    Ok(TokenRecord {
        id: row.get(0)?,
        name: row.get(1)?,
        scopes: scopes_read(&row.get::<_, String>(2)?),
        tenants: tenants.map(|text| serde_json::from_str(&text)).transpose().map_err(damaged)?,
        created: moment(row, 4)?,
        created_by: row.get(5)?,
        expires: moment_if_any(row, 6)?,
        last_used: moment_if_any(row, 7)?,
        revoked: moment_if_any(row, 8)?,
    })
}

fn scopes_written(scopes: &BTreeSet<Scope>) -> String {
    scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(" ")
}

/// A word that this cofre does not know gives no right.
fn scopes_read(text: &str) -> BTreeSet<Scope> {
    text.split(' ').filter_map(|word| word.parse().ok()).collect()
}
