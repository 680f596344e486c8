//! Why something cannot be done with users and tokens: either it was refused, which whoever asked can mend, or the file is of no use. No
//! secret is in any of them.

use std::path::PathBuf;

use super::name::{NAME_MAX, TENANT_MAX};
use super::password::{PASSWORD_MAX, PASSWORD_MIN};
use super::role::Scope;

/// Why users and tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// What was asked for may not be.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The file cannot be made private.
    #[error("cannot make `{}`, which holds users and tokens: {source}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file cannot be opened.
    #[error("cannot open `{}`, which holds users and tokens: {source}; {MEND}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: rusqlite::Error,
    },
    /// A later cofre made it.
    #[error(
        "`{}`, which holds users and tokens, was made by a later cofre (schema {found}, this one knows {known}); use that version, or {MEND}",
        path.display()
    )]
    Later {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// A statement failed.
    #[error("users and tokens, which are in `access.db`, cannot be used: {0}; if the file is damaged, {MEND}")]
    Statement(#[from] rusqlite::Error),
    /// The system gives no randomness.
    #[error("cannot make a secret: the system gives no randomness: {0}")]
    Random(getrandom::Error),
    /// A password cannot be hashed.
    #[error("cannot hash a password: {0}")]
    Hash(String),
}

impl From<getrandom::Error> for AccessError {
    fn from(error: getrandom::Error) -> Self {
        Self::Random(error)
    }
}

/// What helps where the file is of no use. It is no cache: nothing else knows of users and tokens.
const MEND: &str = "bring `access.db` back from a copy of the state directory; or move it away with `access.db-wal` and `access.db-shm`, \
                    then `cofre user add` and `cofre token create` make users and tokens anew";

/// Why something was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A user cannot have this name.
    #[error("a user's name has 1 to {NAME_MAX} letters, digits, `.`, `_`, `-`, `+` or `@`")]
    UserName,
    /// A token cannot have this name.
    #[error("a token's name has 1 to {NAME_MAX} characters, and none that controls a terminal")]
    TokenName,
    /// Somebody has it.
    #[error("there is a user `{0}` already")]
    UserExists(String),
    /// Nobody has it.
    #[error("there is no user `{0}`; see: cofre user list")]
    NoUser(String),
    /// No token has it.
    #[error("there is no token `{0}`; see: cofre token list")]
    NoToken(String),
    /// Too few characters.
    #[error("a password has at least {PASSWORD_MIN} characters")]
    PasswordShort,
    /// Too many bytes.
    #[error("a password has at most {PASSWORD_MAX} bytes")]
    PasswordLong,
    /// It is the user's name.
    #[error("the name is no password")]
    PasswordIsName,
    /// Nobody could give rights to anybody any more.
    #[error("`{0}` is the last administrator; make another user administrator before")]
    LastAdministrator(String),
    /// There are users.
    #[error("the first administrator is set up already; an administrator adds users, or `cofre user add` does")]
    SetUpAlready,
    /// The link for the set-up is not the newest, or was made too long ago.
    #[error(
        "the link for the set-up was used, or is older than an hour, or a newer one replaced it; `cofre user setup-link` prints another"
    )]
    SetupLink,
    /// A second factor was not begun.
    #[error("no second factor waits to be confirmed; begin anew")]
    TotpNotBegun,
    /// A code is wrong, late, or used.
    #[error("the code is wrong, or was used already; wait for the next one, and see that the clocks of both devices are right")]
    TotpCode,
    /// A token that may do nothing.
    #[error("a token needs at least one scope")]
    NoScopes,
    /// A scope that cannot be for some tenants only.
    #[error("`{}` is about the whole of cofre: a token with it cannot be limited to tenants", .0.name())]
    NotOfTenants(Scope),
    /// No tenants, or too many, or one with a name that cannot be.
    #[error("a token that is limited to tenants names 1 to {most}, each with at most {TENANT_MAX} characters", most = super::token::TENANTS_MAX)]
    Tenants,
    /// It would end before it begins.
    #[error("a token cannot expire in the past")]
    Expired,
    /// More than whoever asked may do.
    #[error("nobody can give a token more rights than they have")]
    MoreThanOwn,
    /// A table is full.
    #[error("there are {0} already, and no more may be; remove one that is not needed")]
    Full(&'static str),
    /// Too many at once want the processor.
    #[error("too many passwords are being checked at once; try again in a moment")]
    Busy,
}
