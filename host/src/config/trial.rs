//! The settings file of `cofre plugin test`: one destination, and what of it must be refused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cofre_conformance::{Kind, Verb};
use schemars::JsonSchema;
use serde::Deserialize;

use super::diagnostics::{ConfigError, Problem, Problems, syntax};
use super::raw::{RawDestination, RawGrants, RawLimits, RawRetry, RawSecret};
use super::resolved::destination;
use super::retention::RawRetention;
use super::units::parse_size;
use crate::ports::DestinationSettings;

/// A destination under test: the keys of a `[[destination]]`, which here stand at the top of the file.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RawTrial {
    /// Settings of the plug-in.
    settings: BTreeMap<String, serde_json::Value>,
    /// Secrets of the plug-in.
    secrets: BTreeMap<String, RawSecret>,
    /// PEM file of further roots to trust for HTTPS.
    ca_file: Option<PathBuf>,
    /// What the plug-in may reach.
    grants: RawTrialGrants,
    /// What the plug-in may use up.
    limits: RawLimits,
    /// Taken, so that a `[[destination]]` can be copied, and not used: the suite tries once.
    retry: RawRetry,
    /// Whether an interrupted upload of several parts begins again at its start, since the service has no way to add to what it has.
    begins_anew: bool,
    /// What must be refused.
    refusal: Vec<RawRefusal>,
}

/// What the plug-in may reach.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RawTrialGrants {
    /// Network targets.
    network: Option<Vec<String>>,
    /// The one directory that it sees.
    directory: Option<PathBuf>,
    /// Whether stored objects may be removed. Default true: the suite removes what it stored.
    delete: Option<bool>,
}

/// The same destination with something laid over it that must be refused.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawRefusal {
    /// Name, part of the case's.
    name: String,
    /// How it must fail, for example `access-denied`.
    error: String,
    /// On what: `probe`, `put`, `read`, `stat`, `list` or `delete`. Default: on the probe or, should that succeed, on a put.
    verb: Option<String>,
    /// Bytes of the put. Default `1MiB`.
    bytes: Option<String>,
    /// Settings laid over the others, key by key.
    #[serde(default)]
    settings: BTreeMap<String, serde_json::Value>,
    /// Secrets laid over the others, name by name.
    #[serde(default)]
    secrets: BTreeMap<String, RawSecret>,
    /// Grants laid over the others, key by key.
    #[serde(default)]
    grants: RawTrialGrants,
}

/// A destination to be tested, and how it must refuse.
#[derive(Debug)]
pub struct TrialConfig {
    /// The destination.
    pub settings: DestinationSettings,
    /// Whether an interrupted upload begins again at its start.
    pub begins_anew: bool,
    /// What must be refused.
    pub refusals: Vec<TrialRefusal>,
}

/// The destination with something that must be refused.
#[derive(Debug)]
pub struct TrialRefusal {
    /// Name, part of the case's.
    pub name: String,
    /// How it must fail.
    pub error: Kind,
    /// On what.
    pub verb: Option<Verb>,
    /// Bytes of the put.
    pub bytes: Option<u64>,
    /// The destination.
    pub settings: DestinationSettings,
}

impl TrialConfig {
    /// Reads the settings file of a trial of the plug-in in `plugin`.
    ///
    /// # Errors
    /// With every mistake that was found.
    pub fn load(path: &Path, plugin: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let message = format!("cannot be read: {error}");
            ConfigError { path: path.to_path_buf(), problems: vec![Problem { line: None, key: String::new(), message }] }
        })?;
        let raw: RawTrial = toml::from_str(&text).map_err(|error| syntax::<RawTrial>(path, &text, &error))?;
        let mut problems = Problems::new(&text);
        let trial = resolve(&raw, plugin, &mut problems);
        match problems.into_error(path) {
            Some(error) => Err(error),
            None => Ok(trial),
        }
    }
}

fn resolve(raw: &RawTrial, plugin: &Path, problems: &mut Problems<'_>) -> TrialConfig {
    let settings = opened(("", 0), &laid_over(raw, None, plugin), problems);
    let mut seen = BTreeSet::new();
    let mut refusals = Vec::new();
    for (index, refusal) in raw.refusal.iter().enumerate() {
        let plain = !refusal.name.is_empty() && refusal.name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        if !plain || !seen.insert(refusal.name.as_str()) {
            let message = format!("`{}` is no name, or is used twice; use letters, digits, `.`, `_` and `-`", refusal.name);
            problems.add(("refusal", index, "name"), message);
        }
        let error = problems.keep(("refusal", index, "error"), error_named(&refusal.error));
        let verb = problems.keep(("refusal", index, "verb"), refusal.verb.as_deref().map(verb_named).transpose());
        let bytes = problems.keep(("refusal", index, "bytes"), refusal.bytes.as_deref().map(parse_size).transpose());
        let settings = opened(("refusal", index), &laid_over(raw, Some(refusal), plugin), problems);
        if let (Some(error), Some(verb), Some(bytes)) = (error, verb, bytes) {
            refusals.push(TrialRefusal { name: refusal.name.clone(), error, verb, bytes, settings });
        }
    }
    TrialConfig { settings, begins_anew: raw.begins_anew, refusals }
}

/// The destination with its secrets.
fn opened(at: (&'static str, usize), raw: &RawDestination, problems: &mut Problems<'_>) -> DestinationSettings {
    let config = destination(at, (raw, &RawRetention::default()), Path::new(""), problems);
    problems.keep((at.0, at.1, "secrets"), config.with_secrets()).unwrap_or(config.settings)
}

/// The destination as a configuration would have it, with a refusal's own keys over the common ones.
fn laid_over(raw: &RawTrial, refusal: Option<&RawRefusal>, plugin: &Path) -> RawDestination {
    let over = refusal.cloned().map(|refusal| (refusal.settings, refusal.secrets, refusal.grants));
    let (settings, secrets, grants) = over.unwrap_or_default();
    let common = raw.grants.clone();
    RawDestination {
        name: refusal.map_or_else(|| "test".to_owned(), |refusal| refusal.name.clone()),
        // With its folder, as a bare name would be looked for in the plug-in directory.
        plugin: Path::new(".").join(plugin).display().to_string(),
        settings: raw.settings.clone().into_iter().chain(settings).collect(),
        secrets: raw.secrets.clone().into_iter().chain(secrets).collect(),
        ca_file: raw.ca_file.clone(),
        grants: RawGrants {
            network: grants.network.or(common.network).unwrap_or_default(),
            directory: grants.directory.or(common.directory),
            delete: grants.delete.or(common.delete).unwrap_or(true),
        },
        limits: raw.limits.clone(),
        retry: raw.retry.clone(),
        bandwidth: None,
        retention: RawRetention::default(),
    }
}

fn error_named(name: &str) -> Result<Kind, String> {
    // The one is the host's own word, and the other says nothing.
    let known = Kind::ALL.into_iter().filter(|kind| !matches!(kind, Kind::Plugin | Kind::Other));
    known.clone().find(|kind| kind.name() == name).ok_or_else(|| {
        let names = known.map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(", ");
        format!("`{name}` is no error that a plug-in may refuse with; write one of {names}")
    })
}

fn verb_named(name: &str) -> Result<Verb, String> {
    match name {
        "probe" => Ok(Verb::Probe),
        "put" => Ok(Verb::Put),
        "read" => Ok(Verb::Read),
        "stat" => Ok(Verb::Stat),
        "list" => Ok(Verb::List),
        "delete" => Ok(Verb::Delete),
        _ => Err(format!("`{name}` is no verb; write `probe`, `put`, `read`, `stat`, `list` or `delete`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn load(text: &str) -> Result<TrialConfig, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, plugin) = (directory.path().join("s.toml"), directory.path().join("x.wasm"));
        std::fs::write(&path, text).expect("written");
        std::fs::write(&plugin, "").expect("written");
        let shown = |error: ConfigError| error.to_string().replace(&path.display().to_string(), "s.toml");
        TrialConfig::load(&path, &plugin).map_err(shown)
    }

    #[test]
    fn a_refusal_is_the_destination_with_its_own_keys_laid_over() {
        let trial = load(
            "settings = { bucket = 'b', region = 'r' }\nsecrets = { id = { command = ['echo', 'i'] }, key = { command = ['echo', 'k'] } }\n\
             grants = { network = ['h:1'] }\nretry = { attempts = 2 }\n\
             [[refusal]]\nname = 'wrong'\nerror = 'access-denied'\nbytes = '3MiB'\nverb = 'put'\nsettings = { region = 'x' }\nsecrets = { key = { command = ['echo', 'no'] } }\n\
             [[refusal]]\nname = 'shut'\nerror = 'invalid-config'\ngrants = { network = [], delete = false }\n",
        )
        .expect("it holds");
        assert!(trial.settings.grants.delete, "the suite removes what it stored");
        let [wrong, shut] = &trial.refusals[..] else { panic!("{:?}", trial.refusals) };
        assert_eq!(wrong.settings.settings, serde_json::json!({"bucket": "b", "region": "x"}));
        assert_eq!(["id", "key"].map(|name| wrong.settings.secrets[name].expose_secret().to_owned()), ["i", "no"]);
        assert_eq!((wrong.error, wrong.verb, wrong.bytes), (Kind::AccessDenied, Some(Verb::Put), Some(3 << 20)));
        assert_eq!((wrong.settings.grants.network.len(), wrong.settings.grants.delete), (1, true));
        assert_eq!((shut.settings.grants.network.len(), shut.settings.grants.delete, shut.verb), (0, false, None));
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let wrong = load(
            "settings = { a = 1 }\ngrants = { network = ['h'] }\n[[refusal]]\nname = 'a b'\nerror = 'other'\n[[refusal]]\nname = 'x'\nerror = 'not-found'\nverb = 'erase'\nbytes = '1'\n",
        );
        insta::assert_snapshot!(wrong.expect_err("wrong"), @"
        s.toml:2: grants: `h` is not a network pattern: there is no port; write `host:port`, `host:first-last`, `*.domain:port` or `host:*`
        s.toml:3: refusal.grants: `h` is not a network pattern: there is no port; write `host:port`, `host:first-last`, `*.domain:port` or `host:*`
        s.toml:4: refusal.name: `a b` is no name, or is used twice; use letters, digits, `.`, `_` and `-`
        s.toml:5: refusal.error: `other` is no error that a plug-in may refuse with; write one of `invalid-config`, `access-denied`, `not-found`, `already-exists`, `out-of-space`, `rate-limited`, `unavailable`, `timeout`, `integrity`, `session-lost`, `unsupported`
        s.toml:6: refusal.grants: `h` is not a network pattern: there is no port; write `host:port`, `host:first-last`, `*.domain:port` or `host:*`
        s.toml:9: refusal.verb: `erase` is no verb; write `probe`, `put`, `read`, `stat`, `list` or `delete`
        ");
        insta::assert_snapshot!(load("setings = {}\nsecrets = { a = { evn = 'X' } }\n[[refusal]]\nname = 'x'\nerror = 'timeout'\nverv = 'put'\n").expect_err("wrong"), @"
        s.toml:1: the key `setings` does not exist here; did you mean `settings`?
        s.toml:2: secrets.a: the key `evn` does not exist here; did you mean `env`?
        s.toml:6: refusal: the key `verv` does not exist here; did you mean `verb`?
        ");
    }
}
