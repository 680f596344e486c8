//! What one line says. Texts come from everywhere, so they are cut and freed of control characters: a line has a bounded length, and
//! printing it does nothing to a terminal.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Longest line, in bytes, without its newline. What [`Event`] lets through is shorter.
pub(super) const LINE_MAX: usize = 64 << 10;
/// Facts of an entry, and characters of each.
const FACTS_MAX: usize = 12;
const FACT_MAX: usize = 1_000;
/// Characters of what was acted upon.
const OBJECT_MAX: usize = 500;
/// Characters of an account's name.
const NAME_MAX: usize = 64;
/// Characters of who asked, with the way.
const VIA_MAX: usize = NAME_MAX + 16;

/// Who did something.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Actor {
    /// Effective user id.
    pub uid: u32,
    /// Its name, where the machine's own files know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// `SUDO_USER`: what sudo says, and anybody may write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sudo_user: Option<String>,
    /// Who logged in, as the kernel remembers it through su and sudo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_uid: Option<u32>,
    /// Whether the daemon did it by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub daemon: bool,
    /// Who asked for it over the page or the API: `page:maria`, `token:ab12cd34`. The others then are of the process that did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
}

impl Actor {
    /// Names cut and cleaned.
    pub fn new(uid: u32, user: Option<&str>, sudo_user: Option<&str>) -> Self {
        let clean = |name: Option<&str>| name.filter(|name| !name.is_empty()).map(|name| cut(name, NAME_MAX));
        Self { uid, user: clean(user), sudo_user: clean(sudo_user), login_uid: None, daemon: false, via: None }
    }

    /// The same process, for somebody who asks for something over the page or the API.
    #[must_use]
    pub fn asked_by(self, via: &str) -> Self {
        Self { via: Some(cut(via, VIA_MAX)), ..self }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(via) = &self.via {
            return f.write_str(via);
        }
        if self.daemon {
            return f.write_str("daemon");
        }
        match &self.user {
            Some(user) => f.write_str(user)?,
            None => write!(f, "uid {}", self.uid)?,
        }
        match &self.sudo_user {
            Some(sudo_user) => write!(f, " (sudo: {sudo_user})"),
            None => Ok(()),
        }
    }
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A backup.
    Run,
    /// Copies of earlier sets were gone on with.
    Resume,
    /// Copies were read back.
    Verify,
    /// Something was brought back.
    Restore,
    /// A copy was made whole again out of another.
    Repair,
    /// A restore was rehearsed.
    Drill,
    /// Retention was applied.
    Prune,
    /// One set, or what is left of it, was removed from one place.
    Remove,
    /// A set was pinned.
    Pin,
    /// A pin was taken away.
    Unpin,
    /// A plug-in was approved: added, or updated.
    PluginApprove,
    /// A plug-in's approval was taken back.
    PluginRemove,
    /// The configuration is another one than when it was last seen.
    Configuration,
    /// The catalogue was read again from a destination.
    CatalogRebuild,
    /// The daemon began or ended.
    Daemon,
    /// Backups were looked at.
    Access,
    /// The backup of a tenant was asked for, to be sent to somebody.
    TenantDelivery,
    /// Users or tokens were changed.
    AccessChange,
    /// Somebody logged in at the page.
    Login,
    /// Somebody tried to.
    LoginRefused,
    /// Something is wrong with this log itself.
    Audit,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::Run,
        Self::Resume,
        Self::Verify,
        Self::Restore,
        Self::Repair,
        Self::Drill,
        Self::Prune,
        Self::Remove,
        Self::Pin,
        Self::Unpin,
        Self::PluginApprove,
        Self::PluginRemove,
        Self::Configuration,
        Self::CatalogRebuild,
        Self::Daemon,
        Self::Access,
        Self::TenantDelivery,
        Self::AccessChange,
        Self::Login,
        Self::LoginRefused,
        Self::Audit,
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Resume => "resume",
            Self::Verify => "verify",
            Self::Restore => "restore",
            Self::Repair => "repair",
            Self::Drill => "drill",
            Self::Prune => "prune",
            Self::Remove => "remove",
            Self::Pin => "pin",
            Self::Unpin => "unpin",
            Self::PluginApprove => "plugin-approve",
            Self::PluginRemove => "plugin-remove",
            Self::Configuration => "configuration",
            Self::CatalogRebuild => "catalog-rebuild",
            Self::Daemon => "daemon",
            Self::Access => "access",
            Self::TenantDelivery => "tenant-delivery",
            Self::AccessChange => "access-change",
            Self::Login => "login",
            Self::LoginRefused => "login-refused",
            Self::Audit => "audit",
        }
    }
}

/// How it stands with what was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is about to be done: what came of it is in a later entry, or the process was killed.
    Begun,
    /// Done.
    Done,
    /// Done, with warnings.
    Warnings,
    /// Failed.
    Failed,
}

impl Outcome {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Done => "done",
            Self::Warnings => "warnings",
            Self::Failed => "failed",
        }
    }
}

/// What is to be written.
#[derive(Debug, Clone)]
pub struct Event {
    action: Action,
    object: String,
    outcome: Outcome,
    of: Option<u64>,
    detail: BTreeMap<String, String>,
}

impl Event {
    /// Something that was done to `object`.
    pub fn new(action: Action, object: &str, outcome: Outcome) -> Self {
        Self { action, object: cut(object, OBJECT_MAX), outcome, of: None, detail: BTreeMap::new() }
    }

    /// Names the entry in which it was announced.
    #[must_use]
    pub fn of(self, of: Option<u64>) -> Self {
        Self { of, ..self }
    }

    /// Adds a fact; an empty one says nothing and is left out. Never a secret.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        if !value.is_empty() && self.detail.len() < FACTS_MAX {
            self.detail.insert(name.to_owned(), cut(value, FACT_MAX));
        }
        self
    }

    /// The entry at its place in the chain.
    pub(super) fn entry(&self, actor: &Actor, (seq, previous): (u64, &str), torn: Option<Torn>) -> Entry {
        Entry {
            seq,
            at: Timestamp::now(),
            actor: actor.clone(),
            action: self.action.name().to_owned(),
            object: self.object.clone(),
            outcome: self.outcome.name().to_owned(),
            of: self.of,
            detail: self.detail.clone(),
            torn,
            previous: previous.to_owned(),
        }
    }
}

/// One line. Actions and outcomes are words: a later cofre may have more of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Entry {
    /// Number in the whole log, from 1.
    pub seq: u64,
    /// When, RFC 3339.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What: one of the names of [`Action`].
    pub action: String,
    /// To what.
    pub object: String,
    /// How it ended: one of the names of [`Outcome`].
    pub outcome: String,
    /// Number of the entry in which it was announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
    /// Facts about it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub detail: BTreeMap<String, String>,
    /// What lies between this line and the one before it, where a crash left half a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub torn: Option<Torn>,
    /// SHA-256 of the line before, hex; zeros in the first.
    pub previous: String,
}

/// Bytes that are no entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Torn {
    /// How many, the newline that ends them included.
    pub bytes: u64,
    /// Their SHA-256, hex.
    pub sha256: String,
}

/// A text on one line, cut to so many characters.
fn cut(text: &str, most: usize) -> String {
    let plain = |letter: char| if letter.is_control() { '\u{fffd}' } else { letter };
    let mut short: String = text.chars().take(most).map(plain).collect();
    if text.chars().nth(most).is_some() {
        short.pop();
        short.push('…');
    }
    short
}
