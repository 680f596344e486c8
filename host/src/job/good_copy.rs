//! Which copies of a set are good, as far as is known: where what is damaged can be had again. Pure.

use serde::Serialize;

use crate::catalog::CopyRecord;

/// A copy that is complete, and in which nothing was found wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GoodCopy {
    /// The destination.
    pub destination: String,
    /// When it was last read to its end and found sound, RFC 3339; absent where it never was.
    pub verified: Option<String>,
}

/// The good copies at other destinations than `but`, best first: those that were read and found sound before those that never were, and of
/// the first the one that was read last.
pub(super) fn good_copies(copies: &[CopyRecord], but: &str) -> Vec<GoodCopy> {
    let good = copies.iter().filter(|copy| copy.destination != but && copy.complete && copy.problem.is_none());
    let mut found: Vec<GoodCopy> =
        good.map(|copy| GoodCopy { destination: copy.destination.clone(), verified: copy.verified.clone() }).collect();
    let moment = |copy: &GoodCopy| copy.verified.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    found.sort_by(|one, other| moment(other).cmp(&moment(one)).then_with(|| one.destination.cmp(&other.destination)));
    found
}

/// The command that mends a copy.
pub(super) fn mend(set: &str, destination: &str) -> String {
    format!("cofre repair {set} --to {destination}")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::job) fn copy(destination: &str, complete: bool, verified: Option<&str>, problem: Option<&str>) -> CopyRecord {
        CopyRecord {
            destination: destination.to_owned(),
            complete,
            given_up: false,
            detail: String::new(),
            verified: verified.map(str::to_owned),
            problem: problem.map(str::to_owned),
        }
    }

    #[test]
    fn the_copy_that_was_read_last_comes_first_and_no_bad_one_at_all() {
        let copies = [
            copy("bad", false, Some("2026-03-05T00:00:00Z"), Some("cut")),
            copy("half", false, None, None),
            copy("here", true, Some("2026-03-09T00:00:00Z"), None),
            copy("never", true, None, None),
            copy("old", true, Some("2026-03-01T00:00:00Z"), None),
            // Of the same second, later by a fraction that does not sort as text.
            copy("new", true, Some("2026-03-01T00:00:00.5Z"), None),
        ];
        let names: Vec<_> = good_copies(&copies, "here").into_iter().map(|copy| copy.destination).collect();
        assert_eq!(names, ["new", "old", "never"]);
    }
}
