//! What somebody may do: scopes, and the roles that are sets of them.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::{Deserialize, Serialize};

/// What a person is trusted with. Each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees the state of the backups.
    Viewer,
    /// Also makes, restores and delivers them, and reads who did what.
    Operator,
    /// Everything.
    Administrator,
}

/// One right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Scope {
    /// See runs, sets, copies, checks, alerts and reports.
    #[serde(rename = "status:read")]
    StatusRead,
    /// Begin and cancel backups, verifications and the like.
    #[serde(rename = "run:create")]
    RunCreate,
    /// Send the backup of a tenant to somebody.
    #[serde(rename = "tenant:deliver")]
    TenantDeliver,
    /// Look into sets, and take files out of them.
    #[serde(rename = "restore:read")]
    RestoreRead,
    /// Restore into a database or a directory.
    #[serde(rename = "restore:write")]
    RestoreWrite,
    /// See the configuration.
    #[serde(rename = "config:read")]
    ConfigRead,
    /// Change the configuration.
    #[serde(rename = "config:write")]
    ConfigWrite,
    /// Approve and remove plug-ins.
    #[serde(rename = "plugin:write")]
    PluginWrite,
    /// Read the audit log.
    #[serde(rename = "audit:read")]
    AuditRead,
    /// Add and remove users and tokens: as good as everything.
    #[serde(rename = "access:write")]
    AccessWrite,
}

/// A word that names no role, or no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is none of {known}")]
pub struct UnknownWord {
    word: String,
    known: String,
}

impl UnknownWord {
    fn new(word: &str, known: &[&str]) -> Self {
        Self { word: word.chars().filter(|letter| !letter.is_control()).take(64).collect(), known: known.join(", ") }
    }
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Administrator];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Administrator => "administrator",
        }
    }

    /// What it may do.
    pub fn scopes(self) -> BTreeSet<Scope> {
        Scope::ALL.into_iter().filter(|scope| scope.least_role() <= self).collect()
    }
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::StatusRead,
        Self::RunCreate,
        Self::TenantDeliver,
        Self::RestoreRead,
        Self::RestoreWrite,
        Self::ConfigRead,
        Self::ConfigWrite,
        Self::PluginWrite,
        Self::AuditRead,
        Self::AccessWrite,
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::StatusRead => "status:read",
            Self::RunCreate => "run:create",
            Self::TenantDeliver => "tenant:deliver",
            Self::RestoreRead => "restore:read",
            Self::RestoreWrite => "restore:write",
            Self::ConfigRead => "config:read",
            Self::ConfigWrite => "config:write",
            Self::PluginWrite => "plugin:write",
            Self::AuditRead => "audit:read",
            Self::AccessWrite => "access:write",
        }
    }

    /// The first role that has it.
    fn least_role(self) -> Role {
        match self {
            Self::StatusRead => Role::Viewer,
            Self::RunCreate | Self::TenantDeliver | Self::RestoreRead | Self::RestoreWrite | Self::AuditRead => Role::Operator,
            Self::ConfigRead | Self::ConfigWrite | Self::PluginWrite | Self::AccessWrite => Role::Administrator,
        }
    }

    /// Whether it can be given for some tenants only. The others reach all of them, whatever a token says.
    pub fn is_of_tenants(self) -> bool {
        matches!(self, Self::StatusRead | Self::RunCreate | Self::TenantDeliver | Self::RestoreRead | Self::RestoreWrite)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let found = Self::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| UnknownWord::new(text, &Self::ALL.map(Self::name)))
    }
}

impl FromStr for Scope {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let found = Self::ALL.into_iter().find(|scope| scope.name() == text);
        found.ok_or_else(|| UnknownWord::new(text, &Self::ALL.map(Self::name)))
    }
}

impl FromSql for Role {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map_err(|error| FromSqlError::Other(Box::new(error)))
    }
}

impl ToSql for Role {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.name().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_what_the_one_before_it_may_and_more() {
        let [viewer, operator, administrator] = Role::ALL.map(Role::scopes);
        assert_eq!(viewer, BTreeSet::from([Scope::StatusRead]));
        assert!(viewer.is_subset(&operator) && operator.is_subset(&administrator));
        assert!(operator.contains(&Scope::AuditRead) && !operator.contains(&Scope::ConfigRead));
        assert_eq!(administrator, BTreeSet::from(Scope::ALL));
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Administrator);
    }

    #[test]
    fn a_scope_is_written_the_same_everywhere() {
        for scope in Scope::ALL {
            assert_eq!(scope.name().parse(), Ok(scope));
            assert_eq!(serde_json::to_value(scope).expect("written"), scope.name());
        }
        for role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).expect("written"), role.name());
        }
        assert!("status:write".parse::<Scope>().expect_err("none").to_string().contains("status:read"));
    }
}
