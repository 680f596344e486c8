//! Which sets a verification reads that reads only a share of them each time. Pure.
//!
//! The promise: of any so many runs in a row, at least one reads a set that was there in all of them, whatever other sets come and go
//! meanwhile. It holds because a set is read at the latest when so many runs have begun since it was read last; beside that each run takes
//! the same share of the oldest, so that little is left to become due at once. The newest set, and what was never read, is always taken.

use std::num::NonZeroU32;

use jiff::Timestamp;

use crate::set::SetName;

/// A set at the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// The set.
    pub set: SetName,
    /// When it was last read there and found sound.
    pub verified: Option<Timestamp>,
}

/// The sets to read now, newest first. `rounds` are the beginnings of the earlier runs there; `every` is in how many runs each set is read.
pub(super) fn chosen(sets: &[Known], rounds: &[Timestamp], (every, now): (NonZeroU32, Timestamp)) -> Vec<SetName> {
    let Some(newest) = sets.iter().map(|known| known.set).max() else { return Vec::new() };
    // What a clock that was wrong has written down counts for nothing.
    let verified = |known: &Known| known.verified.filter(|verified| *verified <= now);
    let is_due = |known: &Known| {
        verified(known).is_none_or(|verified| {
            let since = rounds.iter().filter(|round| **round > verified).count();
            u32::try_from(since).unwrap_or(u32::MAX) >= every.get() - 1
        })
    };
    let mut others: Vec<&Known> = sets.iter().filter(|known| known.set != newest).collect();
    others.sort_by_key(|known| (!is_due(known), verified(known), known.set));
    let due = others.iter().filter(|known| is_due(known)).count();
    let share = others.len().div_ceil(every.get() as usize);
    let mut chosen: Vec<SetName> = others.iter().take(due.max(share)).map(|known| known.set).chain([newest]).collect();
    chosen.sort_unstable_by(|one, other| other.cmp(one));
    chosen
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use jiff::ToSpan;
    use proptest::prelude::*;

    use super::*;

    fn set(number: u32) -> SetName {
        let day = jiff::civil::date(2026, 1, 1).checked_add(i64::from(number).days()).expect("a day");
        format!("backup_{}_02_00_00", day.strftime("%Y_%m_%d")).parse().expect("a name")
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("a time")
    }

    fn every(runs: u32) -> NonZeroU32 {
        NonZeroU32::new(runs).expect("not zero")
    }

    /// A destination over many runs: what is there, when it was read, and which runs there were.
    #[derive(Default)]
    struct Place {
        sets: BTreeMap<SetName, Option<Timestamp>>,
        rounds: Vec<Timestamp>,
        clock: i64,
    }

    impl Place {
        /// One run; returns what it read. One that is interrupted reads only the first `reached`.
        fn run(&mut self, runs: NonZeroU32, reached: usize) -> BTreeSet<SetName> {
            self.clock += 604_800;
            let begin = at(self.clock);
            let known: Vec<Known> = self.sets.iter().map(|(set, verified)| Known { set: *set, verified: *verified }).collect();
            let chosen = chosen(&known, &self.rounds, (runs, begin));
            self.rounds.push(begin);
            let read: BTreeSet<SetName> = chosen.into_iter().take(reached).collect();
            for set in &read {
                self.clock += 60;
                self.sets.insert(*set, Some(at(self.clock)));
            }
            read
        }
    }

    #[test]
    fn a_quarter_each_time_reads_all_in_four_and_never_much_at_once() {
        let mut place = Place { sets: (0..41).map(|number| (set(number), None)).collect(), ..Place::default() };
        assert_eq!(place.run(every(4), 99).len(), 41, "what was never read is read");
        for _ in 0..5 {
            let runs: Vec<_> = (0..4).map(|_| place.run(every(4), 99)).collect();
            assert!(runs.iter().all(|read| read.len() <= 11 && read.contains(&set(40))), "{runs:?}");
            assert_eq!(runs.into_iter().flatten().collect::<BTreeSet<_>>().len(), 41);
        }
    }

    #[test]
    fn a_whole_is_every_set_and_the_newest_comes_first() {
        let known: Vec<Known> = (0..9).map(|number| Known { set: set(number), verified: Some(at(1)) }).collect();
        let all = chosen(&known, &[], (every(1), at(9)));
        assert_eq!(all, (0..9).rev().map(set).collect::<Vec<_>>());
        assert_eq!(chosen(&[], &[], (every(4), at(9))), []);
        // A clock that was ahead hides nothing.
        let ahead = Known { set: set(0), verified: Some(at(1_000)) };
        assert_eq!(chosen(&[ahead, known[5]], &[], (every(9), at(9))), [set(5), set(0)]);
    }

    proptest! {
        #[test]
        fn whatever_comes_and_goes_each_set_is_read_within_so_many_runs(
            runs in 1_u32..6,
            weeks in prop::collection::vec((0_u32..6, prop::collection::vec(any::<prop::sample::Index>(), 0..4)), 1..40),
        ) {
            let (mut place, mut next) = (Place::default(), 0);
            // For each set, in how many of the last runs it was there without being read.
            let mut unread: BTreeMap<SetName, u32> = BTreeMap::new();
            for (fresh, gone) in weeks {
                for _ in 0..fresh {
                    place.sets.insert(set(next), None);
                    next += 1;
                }
                for index in gone.iter().filter(|_| !place.sets.is_empty()).collect::<Vec<_>>() {
                    let names: Vec<SetName> = place.sets.keys().copied().collect();
                    if let Some(name) = (!names.is_empty()).then(|| *index.get(&names)) {
                        place.sets.remove(&name);
                        unread.remove(&name);
                    }
                }
                let read = place.run(every(runs), usize::MAX);
                for name in place.sets.keys() {
                    let count = unread.entry(*name).or_default();
                    *count = if read.contains(name) { 0 } else { *count + 1 };
                    prop_assert!(*count < runs, "{name} was there in {runs} runs and read in none");
                }
                prop_assert!(place.sets.keys().last().is_none_or(|newest| read.contains(newest)));
            }
        }

        #[test]
        fn a_run_that_was_interrupted_only_makes_the_next_ones_read_more(
            runs in 2_u32..6,
            count in 1_u32..30,
            reached in prop::collection::vec(0_usize..30, 1..12),
        ) {
            let mut place = Place { sets: (0..count).map(|number| (set(number), None)).collect(), ..Place::default() };
            for reached in reached {
                place.run(every(runs), reached);
            }
            let read: BTreeSet<_> = (0..runs).flat_map(|_| place.run(every(runs), usize::MAX)).collect();
            prop_assert_eq!(read.len(), count as usize);
        }
    }
}
