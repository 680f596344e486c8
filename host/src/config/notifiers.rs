//! Notifiers as written, and what they mean: which plug-in, and which alerts go to it when.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use globset::GlobSetBuilder;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Deserialize;

use super::diagnostics::Problems;
use super::raw::{RawLimits, RawSecret};
use super::resolved::{Written, instance, network, with_secrets};
use super::units::parse_duration;
use crate::notify::{Event, Rule};
use crate::ports::{DestinationSettings, Grants, Severity, name_pattern};
use crate::schedule::Window;

/// How long a problem is not told again while nothing about it changes.
const REMIND_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// One notifier.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawNotifier {
    /// Name of this notifier.
    pub name: String,
    /// Plug-in: a name such as `email`, or the path of a `.wasm` file.
    pub plugin: String,
    /// Settings of the plug-in.
    pub settings: BTreeMap<String, serde_json::Value>,
    /// Secrets of the plug-in.
    pub secrets: BTreeMap<String, RawSecret>,
    /// PEM file of further roots to trust for TLS.
    pub ca_file: Option<PathBuf>,
    /// What the plug-in may reach. Default: nothing.
    pub grants: RawNotifierGrants,
    /// What the plug-in may use up.
    pub limits: RawLimits,
    /// Events that it hears of, by name or pattern (`run.*`). Default: all but `run.started`.
    pub events: Option<Vec<String>>,
    /// The least grave that it hears of: `info` (default), `warning` or `critical`. Whoever was told of a problem also hears that it is over.
    pub min_severity: Option<String>,
    /// Hours in which only what is critical is delivered, `22:00-07:00`; the rest comes after them.
    pub quiet: Vec<String>,
    /// It hears of a problem only once that has lasted so long: for whoever is to be called when nobody else has acted. Default `0s`.
    pub after: Option<String>,
    /// A problem that lasts is told again after so long. Default `24h`.
    pub remind_after: Option<String>,
}

/// What a notifier may reach.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawNotifierGrants {
    /// Network targets, `host:port`, `host:first-last`, `*.domain:port` or `host:*`.
    pub network: Vec<String>,
}

/// One notifier.
#[derive(Debug)]
pub struct NotifierConfig {
    /// How to run its plug-in, without its secrets.
    pub settings: DestinationSettings,
    /// What it hears of, and when.
    pub rule: Rule,
    secrets: BTreeMap<String, RawSecret>,
}

impl NotifierConfig {
    /// How to run its plug-in, with its secrets fetched.
    ///
    /// # Errors
    /// When one of them cannot be had, with the mend.
    pub(super) fn with_secrets(&self) -> Result<DestinationSettings, String> {
        with_secrets(&self.settings, &self.secrets)
    }
}

/// Resolves all notifiers; plug-ins without a path are in `plugins`.
pub(super) fn resolve(raw: &[RawNotifier], plugins: &Path, zone: &TimeZone, problems: &mut Problems<'_>) -> Vec<NotifierConfig> {
    raw.iter().enumerate().map(|(index, raw)| notifier(index, raw, (plugins, zone), problems)).collect()
}

fn notifier(index: usize, raw: &RawNotifier, (plugins, zone): (&Path, &TimeZone), problems: &mut Problems<'_>) -> NotifierConfig {
    let at = ("notifier", index);
    let written =
        Written { name: &raw.name, plugin: &raw.plugin, settings: &raw.settings, secrets: &raw.secrets, ca_file: raw.ca_file.as_deref() };
    let grants = Grants { network: network(at, &raw.grants.network, problems), ..Grants::default() };
    let settings = instance(at, &written, (grants, &raw.limits), plugins, problems);
    let mut duration = |key, text: &Option<String>, default| {
        text.as_deref().and_then(|text| problems.keep((at.0, at.1, key), parse_duration(text))).unwrap_or(default)
    };
    let (after, remind_after) = (duration("after", &raw.after, Duration::ZERO), duration("remind_after", &raw.remind_after, REMIND_AFTER));
    let quiet = raw.quiet.iter().filter_map(|text| problems.keep((at.0, at.1, "quiet"), Window::parse(text))).collect();
    let min_severity = match raw.min_severity.as_deref() {
        None => Severity::Info,
        Some(name) => Severity::named(name).unwrap_or_else(|| {
            problems.add((at.0, at.1, "min_severity"), format!("`{name}` is not known; write `info`, `warning` or `critical`"));
            Severity::Info
        }),
    };
    let mut events = GlobSetBuilder::new();
    for pattern in raw.events.iter().flatten() {
        let read = name_pattern(pattern).map_err(|error| error.kind().to_string()).and_then(|glob| {
            let matcher = glob.compile_matcher();
            if Event::ALL.iter().any(|event| matcher.is_match(event.name())) { Ok(glob) } else { Err("there is no such event".to_owned()) }
        });
        if let Some(glob) =
            problems.keep((at.0, at.1, "events"), read.map_err(|why| format!("`{pattern}`: {why}; events are {}", all_events())))
        {
            events.add(glob);
        }
    }
    let events = raw.events.as_ref().and_then(|_| problems.keep((at.0, at.1, "events"), events.build().map_err(|error| error.to_string())));
    let rule = Rule { events, min_severity, quiet, zone: zone.clone(), after, remind_after };
    NotifierConfig { settings, rule, secrets: raw.secrets.clone() }
}

fn all_events() -> String {
    Event::ALL.map(Event::name).join(", ")
}
