//! Which copies are to be mended, and in which order other copies are asked for what is missing. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::CopyRecord;
use crate::job::good_copy::good_copies;
use crate::job::prune::REMOVED_BY_RETENTION;
use crate::set::SetName;

/// A copy that is to be looked after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Need {
    /// The set.
    pub set: SetName,
    /// The destination.
    pub to: String,
    /// Other destinations, the best copy first: those that are known to be good before those of which nobody knows, and damaged ones last,
    /// which may still hold just what is missing here.
    pub from: Vec<String>,
}

/// What is known of all copies, and which destinations there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    pub copies: &'a [(SetName, CopyRecord)],
    pub destinations: &'a [String],
    /// Sets whose copies still go on from the spool: `cofre resume` completes those.
    pub in_spool: &'a BTreeSet<SetName>,
}

impl Known<'_> {
    /// All copies that are known to be damaged or incomplete, of sets that some other destination holds. A damaged copy counts also where
    /// nobody has a good one: somebody must know of it.
    pub(super) fn needs(&self) -> Vec<Need> {
        let mut sets: BTreeMap<SetName, Vec<CopyRecord>> = BTreeMap::new();
        for (set, copy) in self.copies.iter().filter(|(set, copy)| self.is_here(&copy.destination) && !self.in_spool.contains(set)) {
            sets.entry(*set).or_default().push(copy.clone());
        }
        let mut needs = Vec::new();
        for (set, copies) in sets.into_iter().rev() {
            for copy in &copies {
                let is_held = !good_copies(&copies, &copy.destination).is_empty();
                let is_wanted = copy.problem.is_some() || (!copy.complete && is_held);
                // What retention has begun to remove is not to come back.
                if is_wanted && copy.detail != REMOVED_BY_RETENTION {
                    needs.push(self.need(set, &copy.destination));
                }
            }
        }
        needs
    }

    /// The same for one copy, whatever is known of it.
    pub(super) fn need(&self, set: SetName, to: &str) -> Need {
        let of_set: Vec<CopyRecord> = self.copies.iter().filter(|(other, _)| *other == set).map(|(_, copy)| copy.clone()).collect();
        let good: Vec<String> = good_copies(&of_set, to).into_iter().map(|copy| copy.destination).collect();
        let is_damaged = |name: &String| of_set.iter().any(|copy| copy.destination == *name && copy.problem.is_some());
        let others = self.destinations.iter().filter(|name| *name != to && !good.contains(name));
        let (damaged, unknown): (Vec<String>, Vec<String>) = others.cloned().partition(is_damaged);
        let good = good.into_iter().filter(|name| self.is_here(name));
        Need { set, to: to.to_owned(), from: good.chain(unknown).chain(damaged).collect() }
    }

    fn is_here(&self, destination: &str) -> bool {
        self.destinations.iter().any(|name| name == destination)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::good_copy::tests::copy;

    fn set(day: u32) -> SetName {
        format!("backup_2026_03_{day:02}_02_00_00").parse().expect("a name")
    }

    fn needs(copies: &[(SetName, CopyRecord)], in_spool: &[SetName]) -> Vec<(SetName, String, String)> {
        let destinations = ["cloud", "disk", "nas"].map(str::to_owned);
        let in_spool = in_spool.iter().copied().collect();
        let known = Known { copies, destinations: &destinations, in_spool: &in_spool };
        known.needs().into_iter().map(|need| (need.set, need.to, need.from.join(" "))).collect()
    }

    const READ: Option<&str> = Some("2026-03-20T00:00:00Z");

    #[test]
    fn a_damaged_copy_is_asked_of_the_one_that_was_read_before_the_one_that_nobody_knows() {
        let damaged = |name: &str| copy(name, false, READ, Some("cut"));
        let copies = [(set(1), damaged("cloud")), (set(1), copy("nas", true, READ, None)), (set(1), copy("gone", true, READ, None))];
        assert_eq!(needs(&copies, &[]), [(set(1), "cloud".into(), "nas disk".into())]);
        // Where both are damaged they may mend each other.
        let copies = [(set(1), damaged("cloud")), (set(1), damaged("disk"))];
        assert_eq!(needs(&copies, &[]), [(set(1), "cloud".into(), "nas disk".into()), (set(1), "disk".into(), "nas cloud".into())]);
    }

    #[test]
    fn what_is_incomplete_is_mended_where_somebody_has_it_whole() {
        let half = |name: &str| copy(name, false, None, None);
        let whole = copy("disk", true, None, None);
        assert_eq!(needs(&[(set(1), half("cloud")), (set(1), whole.clone())], &[]), [(set(1), "cloud".into(), "disk nas".into())]);
        assert_eq!(needs(&[(set(1), half("cloud")), (set(1), half("disk"))], &[]), []);
        // The spool still has it: that is resumed.
        assert_eq!(needs(&[(set(1), half("cloud")), (set(1), whole.clone())], &[set(1)]), []);
        let removed = CopyRecord { given_up: true, detail: REMOVED_BY_RETENTION.to_owned(), ..half("cloud") };
        assert_eq!(needs(&[(set(1), removed), (set(1), whole)], &[]), []);
    }

    #[test]
    fn the_newest_set_comes_first_and_what_is_sound_not_at_all() {
        let damaged = copy("disk", false, None, Some("cut"));
        let sound = copy("disk", true, READ, None);
        let copies = [(set(1), damaged.clone()), (set(2), sound), (set(3), damaged)];
        assert_eq!(needs(&copies, &[]).into_iter().map(|need| need.0).collect::<Vec<_>>(), [set(3), set(1)]);
    }
}
