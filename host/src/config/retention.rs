//! Retention as written, and what it means: a destination's own keys lie over the general ones, and those over the mission's rule.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::diagnostics::Problems;
use super::units::{parse_duration, parse_size};
use crate::retention::{Policy, Retention};

/// Which sets stay; a set goes when no rule keeps it. Without any key: the last two, and all younger than 30 days.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawRetention {
    /// The newest so many. Default 2.
    pub keep_last: Option<u32>,
    /// The newest of each of so many hours that have one.
    pub keep_hourly: Option<u32>,
    /// The newest of each of so many days that have one.
    pub keep_daily: Option<u32>,
    /// The newest of each of so many weeks that have one.
    pub keep_weekly: Option<u32>,
    /// The newest of each of so many months that have one.
    pub keep_monthly: Option<u32>,
    /// The newest of each of so many years that have one.
    pub keep_yearly: Option<u32>,
    /// All younger than this, for example `30d`. Default `30d` where no other rule than `keep_last` is written, else none.
    pub keep_within: Option<String>,
    /// All with one of these tags (`cofre run --tag`).
    pub keep_tags: Option<Vec<String>>,
    /// What all sets of a destination may take together, for example `500GiB`; the oldest go first, never the newest good one.
    pub max_size: Option<String>,
    /// Shortest time between two removals at one destination, for example `12h`: a clock or a rule that is wrong then does little at once.
    pub min_interval: Option<String>,
}

/// What is kept at one destination, and how often something may go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Resolved {
    pub(super) retention: Retention,
    pub(super) interval: Option<Duration>,
}

impl RawRetention {
    /// This laid over `general`.
    fn over(&self, general: &Self) -> Self {
        macro_rules! first {
            ($($key:ident),*) => { Self { $($key: self.$key.clone().or_else(|| general.$key.clone())),* } };
        }
        first!(keep_last, keep_hourly, keep_daily, keep_weekly, keep_monthly, keep_yearly, keep_within, keep_tags, max_size, min_interval)
    }
}

/// Resolves the keys at `place`, a table and its number, over the general ones.
pub(super) fn resolve((table, index): (&str, usize), raw: &RawRetention, general: &RawRetention, problems: &mut Problems<'_>) -> Resolved {
    let key = |name: &str| if table == "retention" { name.to_owned() } else { format!("retention.{name}") };
    for (name, text) in [("keep_within", &raw.keep_within), ("min_interval", &raw.min_interval)] {
        problems.keep((table, index, &key(name)), text.as_deref().map_or(Ok(()), |text| parse_duration(text).map(drop)));
    }
    problems.keep((table, index, &key("max_size")), raw.max_size.as_deref().map_or(Ok(()), |text| parse_size(text).map(drop)));
    // What is general was checked where it stands.
    let both = raw.over(general);
    let duration = |text: &Option<String>| text.as_deref().and_then(|text| parse_duration(text).ok());
    let counts = [both.keep_hourly, both.keep_daily, both.keep_weekly, both.keep_monthly, both.keep_yearly];
    let default = Policy::default();
    let within_hours = match duration(&both.keep_within) {
        Some(within) => Some(u32::try_from(within.as_secs().div_ceil(3_600)).unwrap_or(u32::MAX)),
        None if counts.iter().all(Option::is_none) && both.keep_tags.is_none() => default.within_hours,
        None => None,
    };
    let [hourly, daily, weekly, monthly, yearly] = counts.map(Option::unwrap_or_default);
    let policy = Policy {
        last: both.keep_last.unwrap_or(default.last),
        hourly,
        daily,
        weekly,
        monthly,
        yearly,
        within_hours,
        tags: both.keep_tags.clone().unwrap_or_default(),
    };
    let max_bytes = both.max_size.as_deref().and_then(|text| parse_size(text).ok());
    Resolved { retention: Retention { policy, lines: Vec::new(), max_bytes }, interval: duration(&both.min_interval) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn resolved(own: &str, general: &str) -> Resolved {
        let raw = |text: &str| toml::from_str::<RawRetention>(text).expect("keys");
        let mut problems = Problems::new("");
        let resolved = resolve(("destination", 0), &raw(own), &raw(general), &mut problems);
        assert!(problems.into_error(Path::new("x")).is_none());
        resolved
    }

    #[test]
    fn without_a_key_it_is_the_missions_rule() {
        assert_eq!(resolved("", "").retention, Retention::default());
        assert_eq!(Policy::default(), Policy { last: 2, within_hours: Some(720), ..resolved("keep_last = 2", "").retention.policy });
    }

    #[test]
    fn a_rule_that_is_written_is_not_drowned_by_the_thirty_days() {
        let policy = resolved("keep_daily = 14", "").retention.policy;
        assert_eq!((policy.last, policy.daily, policy.within_hours), (2, 14, None));
        assert_eq!(resolved("keep_within = '90m'", "").retention.policy.within_hours, Some(2));
    }

    #[test]
    fn a_destinations_own_keys_lie_over_the_general_ones() {
        let both = resolved("keep_daily = 3\nmax_size = '1GiB'", "keep_daily = 14\nkeep_monthly = 12\nmin_interval = '12h'");
        assert_eq!((both.retention.policy.daily, both.retention.policy.monthly), (3, 12));
        assert_eq!((both.retention.max_bytes, both.interval), (Some(1 << 30), Some(Duration::from_secs(43_200))));
    }

    #[test]
    fn nonsense_names_its_line() {
        let text = "[[destination]]\nname = 'a'\nretention = { keep_within = 'ever' }\n";
        let mut problems = Problems::new(text);
        let raw = RawRetention { keep_within: Some("ever".into()), max_size: Some("big".into()), ..RawRetention::default() };
        resolve(("destination", 0), &raw, &RawRetention::default(), &mut problems);
        let error = problems.into_error(Path::new("x")).expect("two mistakes");
        assert_eq!(error.problems.len(), 2, "{error}");
        assert!(error.problems.iter().all(|problem| problem.line == Some(3)), "{error}");
    }
}
