//! `bandwidth` of a destination: one limit, or one for each part of the day.

use schemars::JsonSchema;
use serde::Deserialize;

use super::diagnostics::Problems;
use super::units::parse_size;
use crate::ports::{Bandwidth, BandwidthLimit};
use crate::schedule::Window;

/// Slowest limit, in bytes a second: below it no service waits for the end of a request.
const RATE_MIN: u64 = 1_000;

/// How fast bodies may go to a destination and come from it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "write `bandwidth = \"5MB/s\"`, or `bandwidth = [{ between = \"08:00-18:00\", limit = \"2MB/s\" }]`")]
pub enum RawBandwidth {
    /// Always the same, for example `5MB/s` or `40Mbit/s`.
    Always(String),
    /// By the hour; at other hours there is no limit.
    Hours(Vec<RawBandwidthHours>),
}

/// A limit for a part of the day.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawBandwidthHours {
    /// Part of the day, `08:00-18:00`; over midnight where it ends before it begins.
    pub between: String,
    /// Limit, for example `2MB/s`.
    pub limit: String,
}

/// What was written, as far as it holds; its time zone is of the whole configuration.
pub(super) fn resolve(place: (&str, usize, &str), raw: Option<&RawBandwidth>, problems: &mut Problems<'_>) -> Bandwidth {
    let all = match raw {
        None => Vec::new(),
        Some(RawBandwidth::Always(limit)) => vec![(None, limit)],
        Some(RawBandwidth::Hours(hours)) => hours.iter().map(|hours| (Some(&hours.between), &hours.limit)).collect(),
    };
    let mut limits = Vec::new();
    for (hours, limit) in all {
        let between = hours.map(|text| problems.keep(place, Window::parse(text)).map(|Window { from, to }| (from, to)));
        let rate = problems.keep(place, parse_rate(limit));
        if let (Some(rate), None | Some(Some(_))) = (rate, between) {
            limits.push(BandwidthLimit { rate, between: between.flatten() });
        }
    }
    Bandwidth { limits, zone: None }
}

/// Reads `5MB/s`, `512 KiB/s` or `40Mbit/s` as bytes a second.
fn parse_rate(text: &str) -> Result<u64, String> {
    const BITS: [(&str, u64); 3] = [("kbit", 125), ("Mbit", 125_000), ("Gbit", 125_000_000)];
    let fail = || format!("`{text}` is no bandwidth; write for example `5MB/s`, `512KiB/s` or `40Mbit/s`");
    let size = text.trim().strip_suffix("/s").ok_or_else(fail)?.trim();
    let bits = BITS.iter().find_map(|(unit, factor)| Some((size.strip_suffix(unit)?.trim(), *factor)));
    let rate = match bits {
        Some((number, factor)) => number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)),
        None => parse_size(size).ok(),
    };
    let rate = rate.ok_or_else(fail)?;
    if rate < RATE_MIN { Err(format!("`{text}` is slower than any service waits for; write at least `1kB/s`")) } else { Ok(rate) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_people_write_is_understood() {
        let rates = ["5MB/s", "512 KiB/s", "40 Mbit/s", "1000B/s"].map(parse_rate);
        assert_eq!(rates, [Ok(5_000_000), Ok(524_288), Ok(5_000_000), Ok(1_000)]);
        for text in ["5MB", "5", "fast", "999B/s", "0/s", "1.5MB/s", "999999999999Gbit/s"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn reading_anything_never_panics(text in ".{0,30}") {
            let _ = parse_rate(&text);
        }
    }
}
