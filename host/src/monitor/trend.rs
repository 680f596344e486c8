//! When a disk will be full: a line through what was used, which a clean-up, a restore or one huge file in between does not bend.

use crate::trend::steady_slope;

/// Seconds between two samples that are kept.
pub const HOURLY: i64 = 3_600;

/// Samples that a line is laid through, at most: the slopes of all pairs are looked at.
const SAMPLES_MAX: usize = 400;
/// Below so many samples nothing is said.
const SAMPLES_MIN: usize = 24;
/// Nor before so many seconds were seen: the first day of a server is like no other.
const SPAN_MIN: i64 = 2 * 86_400;
const DAY: f64 = 86_400.0;

/// How much was used at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Unix time, seconds.
    pub at: i64,
    /// Bytes.
    pub used: u64,
}

/// Days until `free` bytes more are used. `None` where it does not fill, or too little is known to say.
pub fn days_until_full(samples: &[Sample], free: u64) -> Option<f64> {
    let growth = growth_per_day(samples)?;
    (growth > 0.0).then(|| free as f64 / growth)
}

/// Bytes a day.
fn growth_per_day(samples: &[Sample]) -> Option<f64> {
    let (first, last) = (samples.iter().map(|sample| sample.at).min()?, samples.iter().map(|sample| sample.at).max()?);
    if samples.len() < SAMPLES_MIN || last.saturating_sub(first) < SPAN_MIN {
        return None;
    }
    let chosen: Vec<&Sample> = samples.iter().step_by(samples.len().div_ceil(SAMPLES_MAX)).collect();
    let point = |sample: &&Sample| (sample.at.saturating_sub(first) as f64 / DAY, sample.used as f64);
    steady_slope(&chosen.iter().map(point).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GIB: u64 = 1 << 30;

    /// Hourly samples over `days`, with so many bytes more each hour.
    fn line(days: u32, start: u64, hourly: u64) -> Vec<Sample> {
        (0..i64::from(days) * 24)
            .map(|hour| Sample { at: 1_772_000_000 + hour * HOURLY, used: start + hour.unsigned_abs() * hourly })
            .collect()
    }

    #[test]
    fn a_night_of_backups_and_a_clean_up_do_not_bend_the_line() {
        let mut samples = line(14, 100 * GIB, GIB / 24);
        for sample in samples.iter_mut().skip(100).take(60) {
            sample.used += 300 * GIB;
        }
        let days = days_until_full(&samples, 30 * GIB).expect("it fills");
        assert!((29.0..31.0).contains(&days), "{days}");
    }

    #[test]
    fn too_little_says_nothing() {
        assert_eq!(days_until_full(&[], 1), None);
        assert_eq!(days_until_full(&line(1, GIB, GIB), 1), None);
        assert_eq!(days_until_full(&line(14, GIB, 0), 1), None);
        // Many samples of one moment are no line.
        assert_eq!(days_until_full(&[Sample { at: 5, used: 1 }; 100], 1), None);
    }

    proptest! {
        // Each looks at some ten thousand slopes.
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_steady_growth_is_found(days in 3u32..120, start in 0..1_000 * GIB, hourly in 1u64..GIB, free in 0..1_000 * GIB) {
            let found = days_until_full(&line(days, start, hourly), free).expect("it fills");
            let wanted = free as f64 / (hourly as f64 * 24.0);
            prop_assert!((found - wanted).abs() <= wanted * 1e-6 + 1e-9, "{} instead of {}", found, wanted);
        }

        #[test]
        fn a_fifth_of_wild_samples_does_not_turn_the_line(
            wild in prop::collection::vec((0usize..336, 0..10_000 * GIB), 0..30),
            hourly in 1_000u64..GIB,
        ) {
            let mut samples = line(14, 0, hourly);
            for (index, used) in wild {
                samples[index].used = used;
            }
            let found = days_until_full(&samples, hourly * 24 * 10).expect("it fills");
            prop_assert!((5.0..20.0).contains(&found), "{}", found);
        }

        #[test]
        fn what_is_said_is_never_negative_and_never_no_number(
            samples in prop::collection::vec((0i64..4_000_000_000, any::<u64>()), 0..120), free in any::<u64>()
        ) {
            let samples: Vec<Sample> = samples.into_iter().map(|(at, used)| Sample { at, used }).collect();
            if let Some(days) = days_until_full(&samples, free) {
                prop_assert!(days >= 0.0 && days.is_finite());
            }
        }

        #[test]
        fn the_order_of_the_samples_means_nothing(samples in prop::collection::vec((0i64..40_000_000, 0..GIB), 24..60)) {
            let samples: Vec<Sample> = samples.into_iter().map(|(at, used)| Sample { at, used }).collect();
            let mut turned = samples.clone();
            turned.reverse();
            prop_assert_eq!(days_until_full(&samples, GIB), days_until_full(&turned, GIB));
        }
    }
}
