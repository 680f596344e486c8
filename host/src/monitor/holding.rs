//! What a destination holds, judged by somebody who has no passphrase: whether the newest set is there whole, is new enough, and is not
//! suddenly small. It finds loss, not forgery: that takes the seal, and `cofre verify`.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::{Facts, Fault, Look, Verdict};

/// A set so much later than now says that a clock is wrong.
const AHEAD_MAX: Duration = Duration::from_secs(3_600);
/// Wrong objects that are named.
const WRONG_TOLD: usize = 10;

/// What is expected.
#[derive(Debug, Clone, PartialEq)]
pub struct HoldingRule {
    /// The age that the newest good set may have.
    pub max_age: Duration,
    /// Complete sets that must be there.
    pub min_sets: u64,
    /// Share by which the newest set may be smaller than the ones before it, 0 to 1.
    pub shrink: f64,
}

/// A complete set, as its manifest and the listing tell.
#[derive(Debug, Clone, PartialEq)]
pub struct HoldingSet {
    /// Its name.
    pub name: String,
    /// When it was finished.
    pub finished: Timestamp,
    /// Bytes, as listed.
    pub bytes: u64,
    /// Whether everything that it was to hold could be read when it was made.
    pub whole: bool,
    /// Objects that are missing, or not as long as the manifest says; looked for in the newest set alone.
    pub wrong: Vec<String>,
}

/// What is there.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Holding {
    /// The newest complete set; none where there is none.
    pub newest: Option<String>,
    /// Age in seconds of the newest set that is good.
    pub age: Option<u64>,
    /// The age in seconds that it may have.
    pub max_age: u64,
    /// Complete sets.
    pub sets: u64,
    /// Complete sets that there should be.
    pub min_sets: u64,
    /// Bytes of the newest.
    pub bytes: u64,
    /// Bytes of those before it: the one in the middle.
    pub usual_bytes: Option<u64>,
    /// Objects of the newest that are wrong, the first of them.
    pub wrong: Vec<String>,
    /// All of them.
    pub wrong_total: usize,
}

/// Judges complete sets, newest first, of which there are `sets` in all.
pub fn judge(rule: &HoldingRule, found: &[HoldingSet], sets: u64, now: Timestamp) -> Look {
    let mut holding = Holding { sets, min_sets: rule.min_sets, max_age: rule.max_age.as_secs(), ..Holding::default() };
    let Some((newest, before)) = found.split_first() else {
        return Look { verdict: Verdict::Bad(Fault::NoBackup), facts: Facts::Holding(Box::new(holding)) };
    };
    holding.newest = Some(newest.name.clone());
    holding.bytes = newest.bytes;
    holding.usual_bytes = middle(before);
    holding.wrong_total = newest.wrong.len();
    holding.wrong = newest.wrong.iter().take(WRONG_TOLD).cloned().collect();
    let good = found.iter().find(|set| set.whole && set.wrong.is_empty());
    holding.age = good.map(|set| u64::try_from(now.duration_since(set.finished).as_secs()).unwrap_or(0));
    let small = holding.usual_bytes.is_some_and(|usual| (newest.bytes as f64) < usual as f64 * (1.0 - rule.shrink));
    let ahead = newest.finished.duration_since(now) > jiff::SignedDuration::try_from(AHEAD_MAX).unwrap_or_default();
    let faults = [
        (!newest.wrong.is_empty(), Fault::Damaged),
        (holding.age.is_none_or(|age| age > holding.max_age), Fault::Stale),
        (!newest.whole, Fault::Partial),
        (small, Fault::Shrunk),
        (sets < rule.min_sets, Fault::TooFew),
        (ahead, Fault::Clock),
    ];
    let fault = faults.into_iter().find(|(is, _)| *is);
    Look { verdict: fault.map_or(Verdict::Good, |(_, fault)| Verdict::Bad(fault)), facts: Facts::Holding(Box::new(holding)) }
}

/// The size in the middle: one huge or empty set among them says nothing.
fn middle(sets: &[HoldingSet]) -> Option<u64> {
    let mut sizes: Vec<u64> = sets.iter().map(|set| set.bytes).collect();
    sizes.sort_unstable();
    sizes.get(sizes.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: HoldingRule = HoldingRule { max_age: Duration::from_secs(26 * 3_600), min_sets: 2, shrink: 0.5 };

    fn at(text: &str) -> Timestamp {
        format!("2026-03-{text}:00Z").parse().expect("a time")
    }

    fn set(day: &str, bytes: u64) -> HoldingSet {
        HoldingSet { name: format!("backup_{day}"), finished: at(&format!("{day}T02:30")), bytes, whole: true, wrong: Vec::new() }
    }

    fn fault(found: &[HoldingSet], now: &str) -> Option<Fault> {
        judge(&RULE, found, found.len() as u64, at(now)).fault()
    }

    #[test]
    fn the_newest_set_is_there_whole_new_and_as_large_as_the_others() {
        let sets = [set("15", 900), set("14", 1_000), set("13", 10)];
        assert_eq!(fault(&sets, "15T12:00"), None);
        assert_eq!(fault(&sets, "16T04:30"), None);
        assert_eq!(fault(&sets, "16T04:31"), Some(Fault::Stale));
        assert_eq!(fault(&[], "15T12:00"), Some(Fault::NoBackup));
        assert_eq!(fault(&sets[..1], "15T12:00"), Some(Fault::TooFew));
        assert_eq!(fault(&sets, "15T01:00"), Some(Fault::Clock));
    }

    #[test]
    fn a_set_that_is_suddenly_small_is_told_of() {
        let small = [set("15", 499), set("14", 1_000), set("13", 1_001)];
        assert_eq!(fault(&small, "15T12:00"), Some(Fault::Shrunk));
        let enough = [set("15", 501), set("14", 1_000), set("13", 1_001)];
        assert_eq!(fault(&enough, "15T12:00"), None);
    }

    #[test]
    fn a_set_that_lacks_something_is_not_the_one_that_is_new_enough() {
        let mut sets = [set("15", 1_000), set("14", 1_000), set("13", 1_000)];
        sets[0].whole = false;
        assert_eq!(fault(&sets, "15T04:00"), Some(Fault::Partial));
        assert_eq!(fault(&sets, "15T12:00"), Some(Fault::Stale), "the newest good one is of the 14th");
        sets[0].wrong = (0..12).map(|number| format!("sql/{number}")).collect();
        let look = judge(&RULE, &sets, 3, at("15T04:00"));
        let Facts::Holding(holding) = &look.facts else { panic!("a holding") };
        assert_eq!((look.fault(), holding.wrong.len(), holding.wrong_total), (Some(Fault::Damaged), 10, 12));
    }
}
