//! How long a schedule may leave nothing done: what "daily" promises, without a person working it out.

use jiff::{SignedDuration, Timestamp};

use super::JobSpec;

/// As far as is looked ahead: every schedule has shown its longest pause by then.
const HORIZON: SignedDuration = SignedDuration::from_hours(24 * 366);
/// Times that are looked at; more often than that nobody makes backups for a year.
const TIMES_MAX: usize = 5_000;

/// The longest time between two beginnings of a job, from `from` on. `None` where it begins but once.
pub fn longest_gap(job: &JobSpec, from: Timestamp) -> Option<SignedDuration> {
    let end = from.checked_add(HORIZON).ok()?;
    let (mut longest, mut before) = (None, job.next(from)?);
    for _ in 0..TIMES_MAX {
        let Some(next) = job.next(before).filter(|next| *next > before) else { break };
        longest = longest.max(Some(next.duration_since(before)));
        before = next;
        if next > end {
            break;
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::schedule::{Action, Overlap, Schedule};

    fn hours(schedule: &str, zone: &str) -> i64 {
        let job = JobSpec {
            name: "a".to_owned(),
            action: Action::Prune,
            schedule: Schedule::parse(schedule, TimeZone::get(zone).expect("a zone")).expect("a schedule"),
            jitter: Duration::ZERO,
            catch_up: true,
            at_start: false,
            enabled: true,
            closed: Vec::new(),
            timeout: None,
            overlap: Overlap::Skip,
        };
        longest_gap(&job, "2026-03-01T12:00:00Z".parse().expect("a time")).expect("a gap").as_hours()
    }

    #[test]
    fn the_longest_pause_counts() {
        assert_eq!(hours("0 2 * * *", "America/Sao_Paulo"), 24);
        // The night in which the clock goes back has an hour more.
        assert_eq!(hours("0 4 * * *", "America/New_York"), 25);
        assert_eq!(hours("0 9-17 * * MON-FRI", "UTC"), 64);
        assert_eq!(hours("0 2 1 * *", "UTC"), 31 * 24);
        assert_eq!(hours("*/5 * * * *", "UTC"), 0);
        assert_eq!(hours("@yearly", "UTC"), 365 * 24);
    }
}
