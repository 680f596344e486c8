//! Space on a file system: measured as `df` does, and judged by what is left and by when nothing will be.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Facts, Fault, Look, Verdict};

/// A problem of days is over when so many times the days are left.
const DAYS_TO_RECOVER: f64 = 1.5;
const DAY: f64 = 86_400.0;

/// How much must be left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Threshold {
    /// A share of the whole, 0 to 1.
    Share(f64),
    /// Bytes.
    Bytes(u64),
}

/// What is expected of a file system.
#[derive(Debug, Clone, PartialEq)]
pub struct DiskRule {
    /// A path on it.
    pub path: PathBuf,
    /// Less is a problem.
    pub alert: Threshold,
    /// The problem is over when there is as much; never less than `alert`.
    pub recover: Threshold,
    /// It is a problem when the disk is full within this time; none to look at what is free alone.
    pub full_within: Option<Duration>,
    /// How far back the line is laid that says so.
    pub history: Duration,
}

/// A file system at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Space {
    /// Bytes that can still be written.
    pub free: u64,
    /// Bytes that are used.
    pub used: u64,
    /// Share of the files that can still be made, where the file system counts them.
    pub files_free: Option<f64>,
}

impl Space {
    /// Whether so much is free.
    fn has(&self, threshold: Threshold) -> bool {
        match threshold {
            Threshold::Bytes(bytes) => self.free >= bytes,
            Threshold::Share(share) => self.share() >= share && self.files_free.is_none_or(|files| files >= share),
        }
    }

    fn share(&self) -> f64 {
        let total = self.free.saturating_add(self.used);
        if total == 0 { 0.0 } else { self.free as f64 / total as f64 }
    }
}

/// Measures the file system that a path is on. Blocks, for ever where a network file system does.
///
/// # Errors
/// When there is no such path.
pub fn measure(path: &Path) -> io::Result<Space> {
    let status = rustix::fs::statvfs(path)?;
    // What is reserved for root counts neither as free nor as used, as in `df`.
    let bytes = |blocks: u64| blocks.saturating_mul(status.f_frsize);
    let files_free = (status.f_files > 0).then(|| status.f_favail as f64 / status.f_files as f64);
    Ok(Space { free: bytes(status.f_bavail), used: bytes(status.f_blocks.saturating_sub(status.f_bfree)), files_free })
}

/// Judges what was measured; `days` is when it will be full, where that is known.
pub fn judge(rule: &DiskRule, space: Space, days: Option<f64>) -> Look {
    let within = rule.full_within.map(|within| within.as_secs_f64() / DAY);
    let days_left = |factor: f64| within.zip(days).is_none_or(|(within, days)| days >= within * factor);
    let verdict = match (space.has(rule.alert), days_left(1.0)) {
        (false, _) => Verdict::Bad(Fault::Low),
        (true, false) => Verdict::Bad(Fault::FullSoon),
        (true, true) if space.has(rule.recover) && days_left(DAYS_TO_RECOVER) => Verdict::Good,
        (true, true) => Verdict::Between,
    };
    let total = space.free.saturating_add(space.used);
    Look { verdict, facts: Facts::Space { free: space.free, total, files_free: space.files_free, days_until_full: days } }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule() -> DiskRule {
        DiskRule {
            path: PathBuf::from("/"),
            alert: Threshold::Share(0.10),
            recover: Threshold::Share(0.12),
            full_within: Some(Duration::from_secs(7 * 86_400)),
            history: Duration::from_secs(14 * 86_400),
        }
    }

    fn verdict(free: u64, days: Option<f64>) -> Verdict {
        judge(&rule(), Space { free, used: 1_000 - free, files_free: None }, days).verdict
    }

    #[test]
    fn little_space_alerts_below_one_bound_and_recovers_above_another() {
        assert_eq!(
            [99, 100, 119, 120].map(|free| verdict(free, None)),
            [Verdict::Bad(Fault::Low), Verdict::Between, Verdict::Between, Verdict::Good]
        );
        let bytes = DiskRule { alert: Threshold::Bytes(50), recover: Threshold::Bytes(60), ..rule() };
        let one = |free| judge(&bytes, Space { free, used: 1, files_free: Some(0.0) }, None).verdict;
        assert_eq!([49, 50, 60].map(one), [Verdict::Bad(Fault::Low), Verdict::Between, Verdict::Good]);
    }

    #[test]
    fn a_disk_that_fills_is_told_of_before_it_is_full() {
        assert_eq!(
            [6.9, 7.0, 10.4, 10.5].map(|days| verdict(500, Some(days))),
            [Verdict::Bad(Fault::FullSoon), Verdict::Between, Verdict::Between, Verdict::Good]
        );
        // What is full already is the graver of the two.
        assert_eq!(verdict(10, Some(1.0)), Verdict::Bad(Fault::Low));
    }

    #[test]
    fn a_disk_without_room_for_another_file_is_full() {
        let space = Space { free: 900, used: 100, files_free: Some(0.01) };
        assert_eq!(judge(&rule(), space, None).verdict, Verdict::Bad(Fault::Low));
    }

    #[test]
    fn a_file_system_is_measured() {
        let directory = tempfile::tempdir().expect("a directory");
        let space = measure(directory.path()).expect("measured");
        assert!(space.free > 0 && space.used > 0, "{space:?}");
        assert!(measure(&directory.path().join("absent")).is_err());
    }

    proptest! {
        #[test]
        fn more_space_is_never_worse(free in 0u64..1_000, more in 0u64..1_000, days in prop::option::of(0.0f64..100.0)) {
            let rank = |verdict| match verdict { Verdict::Good => 2, Verdict::Between => 1, Verdict::Bad(_) => 0 };
            prop_assert!(rank(verdict(free.max(more), days)) >= rank(verdict(free.min(more), days)));
        }
    }
}
