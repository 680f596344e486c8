//! Why a set stays or goes. The words of a person are in `text`.

use serde::Serialize;

/// Why a set stays or goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "reason", content = "of")]
pub enum Reason {
    /// Stays: a person said so.
    Pinned,
    /// Stays: it has a tag that is kept.
    Tag(String),
    /// Stays: the newest good one.
    NewestGood,
    /// Stays: the newest good one that was read back.
    NewestVerified,
    /// Stays: no good one is newer.
    NothingBetter,
    /// Stays: a run goes on with it.
    Unfinished,
    /// Stays: it is later than now, so that a clock is wrong.
    InTheFuture,
    /// Stays: its seal is not of this installation's passphrase.
    Strange,
    /// Stays: the so-manieth newest.
    Last(u32),
    /// Stays: the newest of an hour.
    Hourly(String),
    /// Stays: the newest of a day.
    Daily(String),
    /// Stays: the newest of a week.
    Weekly(String),
    /// Stays: the newest of a month.
    Monthly(String),
    /// Stays: the newest of a year.
    Yearly(String),
    /// Stays: younger than so many hours.
    Within(u32),
    /// Goes: no rule keeps it.
    NoRule,
    /// Goes: no rule keeps it, and it is damaged or short of something.
    NotAVersion,
    /// Goes: what is left of a copy that nobody completes.
    Orphan,
    /// Goes: together with newer ones it would take more than so many bytes.
    NoRoom(u64),
}
