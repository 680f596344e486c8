//! What `cofre watch` expects of destinations, as written, and what it means. Without any, every destination is watched.

use std::collections::BTreeSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::checks::{hysteresis, plain_name};
use super::diagnostics::Problems;
use super::units::parse_duration;
use crate::monitor::{HoldingRule, WatchSpec};

const MAX_AGE: Duration = Duration::from_secs(26 * 3_600);
const TIMEOUT: Duration = Duration::from_secs(300);
const TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// A listing of many thousand sets has an end.
const TIMEOUT_MAX: Duration = Duration::from_secs(3_600);

/// What is expected of one destination.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawWatch {
    /// Name of a `[[destination]]`.
    pub destination: String,
    /// Name of this entry, where there are several of a destination. Default: that of the destination.
    pub name: Option<String>,
    /// Sets of a run with this `--only`. Default: sets of everything.
    pub only: Vec<String>,
    /// The age that the newest good set may have. Default `26h`.
    pub max_age: Option<String>,
    /// Complete sets that must be there. Default 1.
    pub min_sets: Option<u64>,
    /// Share by which the newest set may be smaller than those before it, in percent. Default 50.
    pub shrink_warning: Option<u8>,
    /// How long a look may take. Default `5m`.
    pub timeout: Option<String>,
    /// Bad looks in a row until it is a problem. Default 3.
    pub failures: Option<u32>,
    /// Good looks in a row until the problem is over. Default 2.
    pub successes: Option<u32>,
}

/// Resolves all entries.
pub(super) fn resolve(raw: &[RawWatch], destinations: &[&str], problems: &mut Problems<'_>) -> Vec<WatchSpec> {
    if raw.is_empty() {
        let of = |name: &&str| RawWatch { destination: (*name).to_owned(), ..RawWatch::default() };
        return destinations.iter().map(of).map(|raw| one(0, &raw, problems)).collect();
    }
    let mut names = BTreeSet::new();
    for (index, watch) in raw.iter().enumerate() {
        if !destinations.contains(&watch.destination.as_str()) {
            let message = format!("there is no [[destination]] `{}`; there are: {}", watch.destination, destinations.join(", "));
            problems.add(("watch", index, "destination"), message);
        }
        problems.keep(("watch", index, "name"), plain_name(watch.name.as_deref().unwrap_or(&watch.destination), &mut names));
    }
    raw.iter().enumerate().map(|(index, raw)| one(index, raw, problems)).collect()
}

fn one(index: usize, raw: &RawWatch, problems: &mut Problems<'_>) -> WatchSpec {
    let mut time = |key, text: Option<&String>, default| {
        text.and_then(|text| problems.keep(("watch", index, key), parse_duration(text))).unwrap_or(default)
    };
    let (max_age, timeout) = (time("max_age", raw.max_age.as_ref(), MAX_AGE), time("timeout", raw.timeout.as_ref(), TIMEOUT));
    WatchSpec {
        name: raw.name.clone().unwrap_or_else(|| raw.destination.clone()),
        destination: raw.destination.clone(),
        selection: raw.only.clone(),
        rule: HoldingRule {
            max_age,
            min_sets: raw.min_sets.unwrap_or(1),
            shrink: f64::from(raw.shrink_warning.unwrap_or(50).min(100)) / 100.0,
        },
        timeout: timeout.clamp(TIMEOUT_MIN, TIMEOUT_MAX),
        hysteresis: hysteresis(("watch", index), (raw.failures, raw.successes), problems),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn resolved(text: &str) -> Result<Vec<WatchSpec>, Vec<(usize, String)>> {
        #[derive(Deserialize)]
        struct Watches {
            #[serde(default)]
            watch: Vec<RawWatch>,
        }
        let raw: Watches = toml::from_str(text).expect("TOML");
        let mut problems = Problems::new(text);
        let watches = resolve(&raw.watch, &["nuvem", "disco"], &mut problems);
        match problems.into_error(Path::new("x")) {
            None => Ok(watches),
            Some(error) => Err(error.problems.into_iter().map(|found| (found.line.unwrap_or(0), found.message)).collect()),
        }
    }

    #[test]
    fn every_destination_is_watched_unless_some_are_named() {
        let names = |text: &str| resolved(text).expect("good").into_iter().map(|watch| watch.name).collect::<Vec<_>>();
        assert_eq!(names(""), ["nuvem", "disco"]);
        assert_eq!(
            names("[[watch]]\ndestination = 'disco'\n[[watch]]\ndestination = 'disco'\nname = 'bancos'\nonly = ['sql']\n"),
            ["disco", "bancos"]
        );
    }

    #[test]
    fn every_mistake_names_its_line() {
        let text = "[[watch]]\ndestination = 'fita'\nmax_age = '26'\n[[watch]]\ndestination = 'disco'\n[[watch]]\ndestination = 'disco'\nsuccesses = 0\n";
        let lines: Vec<usize> = resolved(text).expect_err("wrong").iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 3, 6, 8]);
    }
}
