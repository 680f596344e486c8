//! What looks in a row mean: a problem begins, changes, persists, ends. One bad look is none, and one good look ends none.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Fault, Verdict};

/// How many looks in a row it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hysteresis {
    /// Bad ones, until it is a problem.
    pub failures: u32,
    /// Good ones, until the problem is over.
    pub successes: u32,
}

impl Default for Hysteresis {
    fn default() -> Self {
        Self { failures: 3, successes: 2 }
    }
}

/// What a look changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "transition", rename_all = "kebab-case")]
pub enum Transition {
    /// Nothing: all is well, as far as is told.
    None,
    /// A problem began.
    Began,
    /// The problem is now another one.
    Changed {
        /// What it was.
        from: Fault,
    },
    /// The problem goes on.
    Persists,
    /// The problem is over.
    Recovered {
        /// What it was.
        from: Fault,
        /// When it began.
        began: Timestamp,
    },
}

/// What is known of a check. Begins as nothing, with all well.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckState {
    /// The problem; none where all is well.
    pub problem: Option<Fault>,
    /// Since when it is as it is: when the first of the looks was that made it so.
    pub since: Option<Timestamp>,
    /// Looks in a row that contradict it: bad ones where all is well, good ones where there is a problem.
    pub contrary: u32,
    /// When the first of them was.
    pub contrary_since: Option<Timestamp>,
    /// Another fault than the problem's, and the looks in a row that named it.
    pub other: Option<(Fault, u32)>,
}

impl CheckState {
    /// Takes one look into account.
    pub fn observe(&mut self, verdict: Verdict, at: Timestamp, rule: Hysteresis) -> Transition {
        self.since.get_or_insert(at);
        match (self.problem, verdict) {
            (None, Verdict::Bad(fault)) => {
                if !self.contradicted(at, rule.failures) {
                    return Transition::None;
                }
                self.turn(Some(fault), at);
                Transition::Began
            }
            (None, Verdict::Good | Verdict::Between) => {
                self.confirmed();
                Transition::None
            }
            (Some(from), Verdict::Good) => {
                self.other = None;
                if !self.contradicted(at, rule.successes) {
                    return Transition::Persists;
                }
                let began = self.since.unwrap_or(at);
                self.turn(None, at);
                Transition::Recovered { from, began }
            }
            (Some(from), Verdict::Bad(fault)) if fault != from => self.named(fault, from, rule),
            (Some(_), Verdict::Bad(_) | Verdict::Between) => {
                self.confirmed();
                Transition::Persists
            }
        }
    }

    /// Another fault is a change when as many looks in a row name it as it takes to begin.
    fn named(&mut self, fault: Fault, from: Fault, rule: Hysteresis) -> Transition {
        let before = self.other.filter(|(other, _)| *other == fault).map_or(0, |(_, looks)| looks);
        let looks = before.saturating_add(1);
        self.confirmed();
        if looks < rule.failures {
            self.other = Some((fault, looks));
            return Transition::Persists;
        }
        self.problem = Some(fault);
        Transition::Changed { from }
    }

    /// Counts a look against what is; whether there are `enough` now.
    fn contradicted(&mut self, at: Timestamp, enough: u32) -> bool {
        self.contrary_since.get_or_insert(at);
        self.contrary = self.contrary.saturating_add(1);
        self.contrary >= enough
    }

    fn confirmed(&mut self) {
        (self.contrary, self.contrary_since, self.other) = (0, None, None);
    }

    fn turn(&mut self, problem: Option<Fault>, at: Timestamp) {
        self.problem = problem;
        self.since = Some(self.contrary_since.unwrap_or(at));
        self.confirmed();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULE: Hysteresis = Hysteresis { failures: 3, successes: 2 };
    const BAD: Verdict = Verdict::Bad(Fault::Unreachable);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_772_000_000 + second).expect("a time")
    }

    fn told(verdicts: &[Verdict]) -> Vec<Transition> {
        let mut state = CheckState::default();
        verdicts.iter().zip(0..).map(|(verdict, second)| state.observe(*verdict, at(second), RULE)).collect()
    }

    #[test]
    fn a_problem_begins_with_the_third_bad_look_and_ends_with_the_second_good_one() {
        use Transition::{Began, None, Persists};
        let over = Transition::Recovered { from: Fault::Unreachable, began: at(1) };
        assert_eq!(
            told(&[Verdict::Good, BAD, BAD, BAD, BAD, Verdict::Good, Verdict::Good, BAD]),
            [None, None, None, Began, Persists, Persists, over, None]
        );
        assert_eq!(told(&[BAD, BAD, Verdict::Good, BAD, BAD]), [None; 5]);
    }

    #[test]
    fn between_the_bounds_nothing_changes() {
        use Transition::{Began, None, Persists};
        assert_eq!(
            told(&[BAD, BAD, Verdict::Between, BAD, BAD, BAD, Verdict::Good, Verdict::Between, Verdict::Good]),
            [None, None, None, None, None, Began, Persists, Persists, Persists]
        );
    }

    #[test]
    fn another_fault_is_told_once_it_stays() {
        use Transition::{Began, Changed, None, Persists};
        let other = Verdict::Bad(Fault::Silent);
        assert_eq!(
            told(&[BAD, BAD, BAD, other, other, BAD, other, other, other, other]),
            [None, None, Began, Persists, Persists, Persists, Persists, Persists, Changed { from: Fault::Unreachable }, Persists]
        );
    }

    fn verdict() -> impl Strategy<Value = Verdict> {
        prop_oneof![
            Just(Verdict::Good),
            Just(Verdict::Between),
            Just(BAD),
            Just(Verdict::Bad(Fault::Silent)),
            Just(Verdict::Bad(Fault::Status))
        ]
    }

    proptest! {
        #[test]
        fn what_began_ends_before_it_begins_again(verdicts in prop::collection::vec(verdict(), 0..200), failures in 1u32..5, successes in 1u32..5) {
            let rule = Hysteresis { failures, successes };
            let (mut state, mut open) = (CheckState::default(), None);
            let (mut bad, mut good) = (0, 0);
            for (second, verdict) in (0..).zip(verdicts) {
                // What a restart would know is all that there is to know.
                state = serde_json::from_str(&serde_json::to_string(&state).expect("JSON")).expect("a state");
                bad = if matches!(verdict, Verdict::Bad(_)) { bad + 1 } else { 0 };
                good = if verdict == Verdict::Good { good + 1 } else { 0 };
                match state.observe(verdict, at(second), rule) {
                    Transition::Began => {
                        prop_assert!(open.is_none() && bad >= failures);
                        open = state.problem;
                    }
                    Transition::Changed { from } => {
                        prop_assert!(open == Some(from) && state.problem != open && bad >= failures);
                        open = state.problem;
                    }
                    Transition::Recovered { from, began } => {
                        prop_assert!(open == Some(from) && good >= successes && began < at(second));
                        open = None;
                    }
                    Transition::Persists => prop_assert!(open.is_some() && good < successes),
                    Transition::None => prop_assert!(open.is_none() && bad < failures),
                }
                prop_assert_eq!(state.problem, open);
            }
        }
    }
}
