//! Which sets stay at a destination and which go: a pure function of the sets, the policy and the time, with a reason for each.
//!
//! Rules keep, and what no rule keeps goes, so that a rule too many costs space and never a backup. Only good sets count as versions: one
//! that is incomplete, damaged, or short of what it was to hold fills no place of a rule. Sets that were told to take a part alone are a line
//! of their own. Whatever the policy says, the newest good set of a line stays, the newest of it that was verified, and all that is pinned.

mod outcome;
mod reason;

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::DateTime;

use crate::set::SetName;

pub use outcome::{Held, Pruned, PrunedSet};
pub use reason::Reason;

/// What is at a destination under the name of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The set.
    pub set: SetName,
    /// Bytes that it takes there.
    pub bytes: u64,
    /// What is known of it.
    pub state: VersionState,
    /// Whether it was read back and held.
    pub verified: bool,
    /// Whether a person said that it stays.
    pub pinned: bool,
    /// Its tags.
    pub tags: Vec<String>,
    /// What the run was told to take alone; empty for a set of everything.
    pub selection: Vec<String>,
}

/// What is known of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionState {
    /// Complete, and nothing that it was to hold is missing.
    Good,
    /// Complete, and short of something that could not be read.
    Partial,
    /// Reading it back failed.
    Damaged,
    /// Its seal is not there, and nobody completes it any more.
    Incomplete,
    /// Its seal is not there yet: a run, or the next one, goes on with it.
    Unfinished,
    /// Its seal is not one of this installation's passphrase: another's, or damaged beyond telling.
    Strange,
}

/// Which versions a policy keeps. Rules add up: a set goes when none of them keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The newest so many.
    pub last: u32,
    /// The newest of each of so many hours that have one.
    pub hourly: u32,
    /// … of so many days.
    pub daily: u32,
    /// … of so many weeks, which begin on Monday.
    pub weekly: u32,
    /// … of so many months.
    pub monthly: u32,
    /// … of so many years.
    pub yearly: u32,
    /// All younger than so many hours.
    pub within_hours: Option<u32>,
    /// All that have one of these tags.
    pub tags: Vec<String>,
}

/// The policy of one destination.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retention {
    /// What is kept of each line.
    pub policy: Policy,
    /// What is kept instead of lines that a job makes: its selection, and its policy.
    pub lines: Vec<(Vec<String>, Policy)>,
    /// Bytes that all sets together may take; the oldest that only the rules keep go first.
    pub max_bytes: Option<u64>,
}

impl Retention {
    fn of(&self, selection: &BTreeSet<&str>) -> &Policy {
        let own = self.lines.iter().find(|(line, _)| line.iter().map(String::as_str).collect::<BTreeSet<_>>() == *selection);
        own.map_or(&self.policy, |(_, policy)| policy)
    }
}

impl Default for Policy {
    /// The mission's: the last two always, and nothing else older than 30 days.
    fn default() -> Self {
        Self { last: 2, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0, within_hours: Some(30 * 24), tags: Vec::new() }
    }
}

/// What becomes of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The set.
    pub set: SetName,
    /// Bytes that it takes.
    pub bytes: u64,
    /// Whether it stays.
    pub keep: bool,
    /// Why; never empty.
    pub reasons: Vec<Reason>,
}

/// Decides over all versions at one destination, newest first. `now` is local time, as the names of sets are.
pub fn decide(versions: &[Version], retention: &Retention, now: DateTime) -> Vec<Decision> {
    let mut lines: BTreeMap<BTreeSet<&str>, Vec<&Version>> = BTreeMap::new();
    for version in versions {
        lines.entry(version.selection.iter().map(String::as_str).collect()).or_default().push(version);
    }
    let mut judged: Vec<Judged<'_>> =
        lines.into_iter().flat_map(|(selection, line)| judge_line(line, retention.of(&selection), now)).collect();
    judged.sort_by_key(|judged| std::cmp::Reverse(judged.version.set));
    if let Some(max) = retention.max_bytes {
        fit(&mut judged, max);
    }
    judged.into_iter().map(Judged::decision).collect()
}

/// A version, and what speaks for it.
struct Judged<'a> {
    version: &'a Version,
    /// Reasons that nothing outweighs.
    firm: Vec<Reason>,
    /// Reasons that a limit on the space outweighs.
    soft: Vec<Reason>,
    /// Why it goes, where it goes.
    against: Reason,
}

impl Judged<'_> {
    fn stays(&self) -> bool {
        !self.firm.is_empty() || !self.soft.is_empty()
    }

    fn decision(mut self) -> Decision {
        let keep = self.stays();
        self.firm.append(&mut self.soft);
        let reasons = if keep { self.firm } else { vec![self.against] };
        Decision { set: self.version.set, bytes: self.version.bytes, keep, reasons }
    }
}

fn judge_line<'a>(mut line: Vec<&'a Version>, policy: &Policy, now: DateTime) -> Vec<Judged<'a>> {
    line.sort_by_key(|version| std::cmp::Reverse(version.set));
    let newest_good = line.iter().find(|version| version.state == VersionState::Good).map(|version| version.set);
    let newest_verified = line.iter().find(|version| version.state == VersionState::Good && version.verified).map(|version| version.set);
    let mut rules = Rules::new(policy);
    let judged = line.into_iter().map(|version| {
        let mut firm = Vec::new();
        let mut soft = Vec::new();
        let mut because = |reason, holds: bool| firm.extend(holds.then_some(reason));
        because(Reason::Pinned, version.pinned);
        because(Reason::Strange, version.state == VersionState::Strange);
        because(Reason::Unfinished, version.state == VersionState::Unfinished);
        because(Reason::InTheFuture, version.set.moment() > now);
        because(Reason::NewestGood, newest_good == Some(version.set));
        because(Reason::NewestVerified, newest_verified == Some(version.set));
        // A set that lacks something is better than none that is newer.
        because(Reason::NothingBetter, version.state != VersionState::Good && newest_good.is_none_or(|good| good < version.set));
        firm.extend(version.tags.iter().filter(|tag| policy.tags.contains(tag)).cloned().map(Reason::Tag));
        if version.state == VersionState::Good {
            soft.extend(rules.take(version.set.moment()));
        }
        let within = policy.within_hours.is_some_and(|hours| hours_between(version.set.moment(), now) < i64::from(hours));
        // Nothing comes of a set that nobody completes, however young it is.
        soft.extend((within && version.state != VersionState::Incomplete).then_some(Reason::Within(policy.within_hours.unwrap_or(0))));
        let against = match version.state {
            VersionState::Incomplete => Reason::Orphan,
            VersionState::Good => Reason::NoRule,
            _ => Reason::NotAVersion,
        };
        Judged { version, firm, soft, against }
    });
    judged.collect()
}

fn hours_between(earlier: DateTime, later: DateTime) -> i64 {
    later.duration_since(earlier).as_hours()
}

/// The rules that count, with the places that are left.
struct Rules {
    last: (u32, u32),
    periods: [PeriodRule; 5],
}

struct PeriodRule {
    left: u32,
    newest: Option<String>,
    name: fn(DateTime) -> String,
    reason: fn(String) -> Reason,
}

impl Rules {
    fn new(policy: &Policy) -> Self {
        let rule = |left, name, reason| PeriodRule { left, newest: None, name, reason };
        Self {
            last: (0, policy.last),
            periods: [
                rule(policy.hourly, |moment| moment.strftime("%Y-%m-%d %H h").to_string(), Reason::Hourly),
                rule(policy.daily, |moment| moment.date().to_string(), Reason::Daily),
                rule(policy.weekly, |moment| moment.strftime("%G-W%V").to_string(), Reason::Weekly),
                rule(policy.monthly, |moment| moment.strftime("%Y-%m").to_string(), Reason::Monthly),
                rule(policy.yearly, |moment| moment.year().to_string(), Reason::Yearly),
            ],
        }
    }

    /// The rules that keep the next version of a line, from new to old.
    fn take(&mut self, moment: DateTime) -> Vec<Reason> {
        let mut reasons = Vec::new();
        let (taken, all) = &mut self.last;
        if taken < all {
            *taken += 1;
            reasons.push(Reason::Last(*taken));
        }
        for rule in &mut self.periods {
            let name = (rule.name)(moment);
            if rule.left > 0 && rule.newest.as_ref() != Some(&name) {
                rule.left -= 1;
                rule.newest = Some(name.clone());
                reasons.push((rule.reason)(name));
            }
        }
        reasons
    }
}

/// Lets the oldest go that nothing firm keeps, until the others take no more than `max` bytes.
fn fit(judged: &mut [Judged<'_>], max: u64) {
    let mut total: u64 = judged.iter().filter(|judged| judged.stays()).map(|judged| judged.version.bytes).sum();
    for judged in judged.iter_mut().rev() {
        if total <= max {
            return;
        }
        if judged.stays() && judged.firm.is_empty() {
            total -= judged.version.bytes;
            judged.soft.clear();
            judged.against = Reason::NoRoom(max);
        }
    }
}

#[cfg(test)]
mod tests;
