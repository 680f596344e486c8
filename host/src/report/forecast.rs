//! When a destination is full, from what it said was free: a line through the samples that a few odd ones do not turn, and no guess where
//! there is too little to draw one through.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::trend::steady_line;

/// Samples that a forecast needs.
const SAMPLES_MIN: usize = 7;
/// Days that they must span: retention makes room once a week.
const DAYS_MIN: f64 = 7.0;
/// Samples that are looked at, the newest.
const SAMPLES_MAX: usize = 180;
/// Beyond so many days a line says nothing.
const FAR_DAYS: f64 = 3.0 * 365.0;
const DAY: f64 = 86_400.0;

/// What a destination said was free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When.
    pub at: Timestamp,
    /// Bytes.
    pub free: u64,
}

/// What is to be expected of a destination's free space.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Forecast {
    /// The service does not say what is free.
    Unknown,
    /// There are not enough samples yet, or they are of too few days.
    TooLittle {
        /// How many there are.
        samples: usize,
        /// Days that they span.
        days: f64,
    },
    /// It does not get less.
    Steady,
    /// It gets less, and lasts for years.
    Far,
    /// It will be full.
    Full {
        /// Days from the newest sample on.
        days: f64,
    },
}

/// When a destination is full. `samples` need no order.
pub fn forecast(samples: &[Sample]) -> Forecast {
    let mut samples = samples.to_vec();
    samples.sort_by_key(|sample| sample.at);
    let samples = &samples[samples.len().saturating_sub(SAMPLES_MAX)..];
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Forecast::Unknown };
    let days = |at: Timestamp| (at.as_second() - last.at.as_second()) as f64 / DAY;
    let span = -days(first.at);
    if samples.len() < SAMPLES_MIN || span < DAYS_MIN {
        return Forecast::TooLittle { samples: samples.len(), days: span };
    }
    let points: Vec<(f64, f64)> = samples.iter().map(|sample| (days(sample.at), sample.free as f64)).collect();
    match steady_line(&points) {
        Some((slope, free)) if slope < 0.0 => match free.max(0.0) / -slope {
            days if days > FAR_DAYS => Forecast::Far,
            days => Forecast::Full { days },
        },
        Some(_) => Forecast::Steady,
        None => Forecast::TooLittle { samples: samples.len(), days: span },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn daily(free: impl Fn(u64) -> u64, days: u64) -> Vec<Sample> {
        let at = |day: u64| Timestamp::from_second(1_770_000_000 + i64::try_from(day).expect("small") * 86_400).expect("a time");
        (0..days).map(|day| Sample { at: at(day), free: free(day) }).collect()
    }

    #[test]
    fn with_too_little_it_says_so() {
        assert_eq!(forecast(&[]), Forecast::Unknown);
        assert_eq!(forecast(&daily(|day| 100 - day, 6)), Forecast::TooLittle { samples: 6, days: 5.0 });
        let hourly: Vec<_> = daily(|day| 1_000 - day, 24)
            .iter()
            .enumerate()
            .map(|(hour, sample)| {
                let at = Timestamp::from_second(1_770_000_000 + i64::try_from(hour).expect("small") * 3_600).expect("a time");
                Sample { at, ..*sample }
            })
            .collect();
        assert!(matches!(forecast(&hourly), Forecast::TooLittle { samples: 24, .. }));
    }

    #[test]
    fn what_does_not_get_less_is_never_full() {
        assert_eq!(forecast(&daily(|_| 5_000, 30)), Forecast::Steady);
        assert_eq!(forecast(&daily(|day| 5_000 + day, 30)), Forecast::Steady);
        assert_eq!(forecast(&daily(|day| (1 << 40) - day, 30)), Forecast::Far);
    }

    proptest! {
        #[test]
        fn a_straight_line_is_followed_to_its_end(rate in 1_u64..1_000_000, left in 1_u64..900, days in 8_u64..150) {
            let samples = daily(|day| (days - 1 - day) * rate + left * rate, days);
            let Forecast::Full { days: found } = forecast(&samples) else { panic!("{:?}", forecast(&samples)) };
            prop_assert!((found - left as f64).abs() < 0.01, "{found} instead of {left}");
        }

        #[test]
        fn a_few_odd_samples_do_not_turn_it(odd in prop::collection::btree_map(0_u64..60, 0_u64..1 << 40, 0..9)) {
            let rate = 1_000_000_000;
            let straight = |day: u64| (100 - day) * rate;
            let Forecast::Full { days } = forecast(&daily(|day| odd.get(&day).copied().unwrap_or_else(|| straight(day)), 60)) else {
                panic!("no end");
            };
            prop_assert!((days - 41.0).abs() < 12.0, "{days}");
        }

        #[test]
        fn whatever_it_is_given_it_says_something_sane(samples in prop::collection::vec((0_i64..200_000_000, any::<u64>()), 0..60)) {
            let samples: Vec<_> = samples.iter().map(|(at, free)| Sample { at: Timestamp::from_second(*at).expect("a time"), free: *free }).collect();
            if let Forecast::Full { days } = forecast(&samples) {
                prop_assert!((0.0..=FAR_DAYS).contains(&days));
            }
            let mut turned = samples.clone();
            turned.reverse();
            prop_assert_eq!(forecast(&turned), forecast(&samples));
        }
    }
}
