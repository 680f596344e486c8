//! Who guesses has to wait, twice as long after each wrong password or code: for an account, whoever asks, and for an address, whatever
//! account it asks for. It is in the file, so a restart forgets nothing.

use std::net::IpAddr;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction, params};

use super::{Access, count, secret};

/// Accounts and addresses that are remembered. Where there are more, those with the fewest failures go.
const ROWS_MAX: i64 = 20_000;

/// How soon, and how long, somebody has to wait.
struct Rule {
    /// Failures from which on there is a wait: of one second, then two, four …
    free: u32,
    /// Longest wait, in seconds.
    longest: i64,
    /// Seconds after which all is forgotten.
    forgotten: i64,
}

/// Short waits only: whoever knows a name could keep its owner out with long ones, and twelve characters are not guessed in a few hundred
/// attempts a day.
const ACCOUNT: Rule = Rule { free: 5, longest: 5 * 60, forgotten: 24 * 3_600 };
/// Many persons may share an address.
const ADDRESS: Rule = Rule { free: 20, longest: 15 * 60, forgotten: 6 * 3_600 };

impl Rule {
    fn wait(&self, failures: u32) -> i64 {
        failures.checked_sub(self.free).map_or(0, |over| (1_i64 << over.min(30)).min(self.longest))
    }
}

/// One attempt to log in, which counts as a failure until it turns out to be none.
pub(super) struct Attempt {
    account: String,
    address: String,
    /// The failures of both, this one included.
    failures: [u32; 2],
}

/// What may be done about an attempt.
pub(super) enum Admission {
    /// Go on.
    Now(Attempt),
    /// Not before.
    Later(Timestamp),
}

/// Admits an attempt and counts it, before anything is hashed: many at once would otherwise all be free.
pub(super) fn admit(transaction: &Transaction<'_>, (name, from): (&str, IpAddr), now: Timestamp) -> rusqlite::Result<Admission> {
    let (account, address, second) = (account_key(name), address_key(from), now.as_second());
    let mut failures = [0, 0];
    let mut until = 0;
    for (at, (key, rule)) in [(&account, &ACCOUNT), (&address, &ADDRESS)].into_iter().enumerate() {
        let sql = "SELECT failures, until FROM throttle WHERE key = ?1 AND last > ?2";
        let found: Option<(u32, i64)> =
            transaction.query_row(sql, params![key, second - rule.forgotten], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let (before, wait) = found.unwrap_or_default();
        failures[at] = before.saturating_add(1);
        // A clock that was set back makes nobody wait longer than the rule says.
        until = until.max(wait.min(second + rule.longest));
    }
    if until > second {
        return Ok(Admission::Later(Timestamp::from_second(until).unwrap_or(Timestamp::MAX)));
    }
    make_room(transaction, second)?;
    for ((key, rule), failures) in [(&account, &ACCOUNT), (&address, &ADDRESS)].into_iter().zip(failures) {
        let sql = "INSERT OR REPLACE INTO throttle (key, failures, last, until) VALUES (?1, ?2, ?3, ?4)";
        transaction.execute(sql, params![key, failures, second, second + rule.wait(failures)])?;
    }
    Ok(Admission::Now(Attempt { account, address, failures }))
}

/// Takes back what an attempt counted.
pub(super) fn take_back(transaction: &Transaction<'_>, attempt: &Attempt) -> rusqlite::Result<()> {
    for (key, failures) in [&attempt.account, &attempt.address].into_iter().zip(attempt.failures) {
        take_back_of(transaction, key, failures)?;
    }
    Ok(())
}

/// Forgets the failures of an account whose owner got in, and takes back what the attempt counted for the address. Its other failures
/// stay: they may be guesses about other accounts.
pub(super) fn succeed(transaction: &Transaction<'_>, attempt: &Attempt) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM throttle WHERE key = ?1", [&attempt.account])?;
    take_back_of(transaction, &attempt.address, attempt.failures[1])
}

/// Forgets the failures of an account.
pub(super) fn forget_account(transaction: &Transaction<'_>, name: &str) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM throttle WHERE key = ?1", [account_key(name)]).map(drop)
}

fn take_back_of(transaction: &Transaction<'_>, key: &str, failures: u32) -> rusqlite::Result<()> {
    // A wait that another attempt has brought meanwhile stays.
    let sql = "UPDATE throttle SET until = CASE WHEN failures = ?2 THEN 0 ELSE until END, failures = MAX(failures - 1, 0) WHERE key = ?1";
    transaction.execute(sql, params![key, failures]).map(drop)
}

fn make_room(transaction: &Transaction<'_>, second: i64) -> rusqlite::Result<()> {
    if count(transaction, "SELECT COUNT(*) FROM throttle")? + 2 <= ROWS_MAX {
        return Ok(());
    }
    let longest = ACCOUNT.forgotten.max(ADDRESS.forgotten);
    transaction.execute("DELETE FROM throttle WHERE last <= ?1", [second - longest])?;
    // Some more than needed, as this reads all of them.
    let sql = "DELETE FROM throttle WHERE key IN (SELECT key FROM throttle ORDER BY failures DESC, last DESC LIMIT -1 OFFSET ?1)";
    transaction.execute(sql, [ROWS_MAX - ROWS_MAX / 20]).map(drop)
}

/// A hash: people type passwords where the name belongs.
fn account_key(name: &str) -> String {
    format!("account {}", hex::encode(secret::digest(&name.trim().to_lowercase())))
}

/// Whoever has one IPv6 address has 2⁶⁴ of them.
fn address_key(from: IpAddr) -> String {
    match from.to_canonical() {
        IpAddr::V4(address) => format!("address {address}"),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("address {a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// Refused logins that are written down in an hour; the audit log is never made shorter, so nobody may fill it.
const TOLD_AN_HOUR: u32 = 100;

/// How many refused logins were written down in this hour.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    hour: i64,
    told: u32,
    untold: u64,
}

impl Refusals {
    /// Whether one more may be written down, and how many were not since the last that was.
    fn tell(&mut self, now: Timestamp) -> Option<u64> {
        let hour = now.as_second().div_euclid(3_600);
        if hour != self.hour {
            (self.hour, self.told) = (hour, 0);
        }
        if self.told >= TOLD_AN_HOUR {
            self.untold = self.untold.saturating_add(1);
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.untold))
    }
}

impl Access {
    /// Whether a refused login is to be written down: with how many others that were not, since the last that was. `None` where there were
    /// so many in this hour that this one is only counted.
    pub fn tell_refusal(&self, now: Timestamp) -> Option<u64> {
        self.0.refusals.lock().unwrap_or_else(std::sync::PoisonError::into_inner).tell(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits: Vec<_> = [0, 4, 5, 6, 7, 12, 13, 14, u32::MAX].into_iter().map(|failures| ACCOUNT.wait(failures)).collect();
        assert_eq!(waits, [0, 0, 1, 2, 4, 128, 256, 300, 300]);
    }

    #[test]
    fn neighbours_in_ipv6_are_one_and_an_address_written_as_ipv6_is_itself() {
        let key = |text: &str| address_key(text.parse().expect("an address"));
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1:2:3"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:192.0.2.7"), key("192.0.2.7"));
        assert_ne!(key("192.0.2.7"), key("192.0.2.8"));
    }

    #[test]
    fn a_flood_of_refusals_is_counted_rather_than_written() {
        let (mut refusals, at) = (Refusals::default(), |second| Timestamp::from_second(second).expect("a moment"));
        let told = (0..150).filter(|second| refusals.tell(at(7_200 + second)).is_some()).count();
        assert_eq!(told, 100);
        assert_eq!((refusals.tell(at(10_800)), refusals.tell(at(10_801))), (Some(50), Some(0)));
    }
}
