//! The versions of the contract, side by side. Each has a module with the bindings of its WIT folder and an adapter to the traits here;
//! nothing above knows that there is more than one.
//!
//! A component says in its exports which version it was built for. It is run through the newest adapter that is not newer than that: what
//! an older version knows of a plug-in, every later one of the same major has as well. What it imports is found under its own version, or
//! under the newest minor that this cofre has, which offers all that the older ones did. So what was built for any 1.x goes on running; only
//! what is newer than this cofre, or of another major, is refused.

mod v1_0;
pub(super) mod wasi;

use std::sync::Arc;

use async_trait::async_trait;
use semver::Version;
use wasmtime::Store;
use wasmtime::component::{InstancePre, Linker, Resource, ResourceAny};
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream};

use super::component::{NetworkNeed, PluginKind, SecretNeed};
use super::state::State;
use crate::ports::{DestinationErrorKind, Limits, Message, Object};

/// What every plug-in exports, and what each kind does.
const PLUGIN: &str = "cofre:plugin/plugin";
const DESTINATION: &str = "cofre:plugin/destination";
const NOTIFIER: &str = "cofre:plugin/notifier";

/// All versions that this cofre speaks, oldest first.
static CONTRACTS: [&dyn Contract; 1] = [&v1_0::Adapter];

/// One version of the contract.
pub(super) trait Contract: Send + Sync {
    /// The version of its WIT folder.
    fn version(&self) -> Version;
    /// Adds what the contract itself lets plug-ins import.
    fn add_to_linker(&self, linker: &mut Linker<State>) -> wasmtime::Result<()>;
    /// The way to ask a component what it is.
    fn describer(&self, ready: &InstancePre<State>) -> wasmtime::Result<Box<dyn Describer>>;
    /// The way to use one as a destination; fails where it is none.
    fn destination(&self, ready: &InstancePre<State>) -> wasmtime::Result<Arc<Pre<dyn DestinationGuest>>>;
    /// The way to use one as a notifier; fails where it is none.
    fn notifier(&self, ready: &InstancePre<State>) -> wasmtime::Result<Arc<Pre<dyn NotifierGuest>>>;
}

/// A component that can be asked what it is.
#[async_trait]
pub(super) trait Describer: Send {
    /// Asks it, in a store that has nothing.
    async fn describe(&self, store: &mut Store<State>) -> wasmtime::Result<Said>;
}

/// What a component says of itself, unchecked.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) kind: PluginKind,
    pub(super) summary: String,
    pub(super) settings_schema: String,
    pub(super) network: Vec<NetworkNeed>,
    pub(super) secrets: Vec<SecretNeed>,
    pub(super) directory: bool,
}

/// A component of a kind, ready to be put into stores.
pub(super) type Pre<G> = dyn Ready<G>;

/// Puts an instance into a store.
#[async_trait]
pub(super) trait Ready<G: ?Sized>: Send + Sync {
    /// Starts it.
    async fn start(&self, store: &mut Store<State>) -> wasmtime::Result<Arc<G>>;
}

/// What a call gives: a trap outside, the plug-in's own error inside.
pub(super) type Called<T> = wasmtime::Result<Result<T, GuestError>>;

/// An instance of a destination. Its verbs are those of the contract; nothing that it says has been checked.
#[async_trait]
pub(super) trait DestinationGuest: Send + Sync {
    async fn probe(&self, store: &mut Store<State>) -> Called<Limits>;
    async fn begin(&self, store: &mut Store<State>, key: &str, size: Option<u64>) -> Called<ResourceAny>;
    async fn resume(&self, store: &mut Store<State>, key: &str, token: &str) -> Called<ResourceAny>;
    async fn token(&self, store: &mut Store<State>, upload: ResourceAny) -> Called<String>;
    async fn offset(&self, store: &mut Store<State>, upload: ResourceAny) -> Called<u64>;
    async fn write(&self, store: &mut Store<State>, upload: ResourceAny, body: (Resource<DynInputStream>, u64)) -> Called<u64>;
    async fn finish(&self, store: &mut Store<State>, upload: ResourceAny) -> Called<Object>;
    async fn abort(&self, store: &mut Store<State>, upload: ResourceAny) -> Called<()>;
    async fn read(&self, store: &mut Store<State>, key: &str, range: Range) -> Called<u64>;
    async fn stat(&self, store: &mut Store<State>, key: &str) -> Called<Object>;
    async fn list(&self, store: &mut Store<State>, prefix: &str, cursor: Option<&str>) -> Called<(Vec<Object>, Option<String>)>;
    async fn delete(&self, store: &mut Store<State>, key: &str) -> Called<()>;
    async fn protect(&self, store: &mut Store<State>, key: &str, until_unix_ms: u64) -> Called<()>;
    async fn share(&self, store: &mut Store<State>, key: &str, lifetime_seconds: u32) -> Called<String>;
}

/// An instance of a notifier.
#[async_trait]
pub(super) trait NotifierGuest: Send + Sync {
    async fn probe(&self, store: &mut Store<State>) -> Called<()>;
    async fn notify(&self, store: &mut Store<State>, message: Message, files: Vec<AttachedStream>) -> Called<()>;
}

/// A file that goes with a message, its body in the store.
pub(super) struct AttachedStream {
    pub(super) name: String,
    pub(super) media_type: String,
    pub(super) content_id: Option<String>,
    pub(super) size: u64,
    pub(super) body: Resource<DynInputStream>,
}

/// Which bytes to read, and where to.
pub(super) struct Range {
    pub(super) offset: u64,
    pub(super) length: Option<u64>,
    pub(super) sink: Resource<DynOutputStream>,
}

/// A plug-in's own error, unchecked.
#[derive(Debug)]
pub(super) struct GuestError {
    pub(super) kind: DestinationErrorKind,
    pub(super) retryable: bool,
    pub(super) retry_after_ms: Option<u64>,
    pub(super) message: String,
    pub(super) context: Vec<(String, String)>,
}

/// Adds what any version of the contract lets plug-ins import.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    CONTRACTS.iter().try_for_each(|contract| contract.add_to_linker(linker))
}

/// The version that a component with these exports was built for, and the adapter for it; else why there is none.
pub(super) fn of(exports: &[String]) -> Result<(Version, &'static dyn Contract), String> {
    let known: Vec<Version> = CONTRACTS.iter().map(|contract| contract.version()).collect();
    let built_for = versions(exports, PLUGIN);
    let newest_first = built_for.iter().rev();
    let mut fitting = newest_first.filter_map(|version| Some((version.clone(), CONTRACTS[adapter(version, &known)?])));
    if let Some(found) = fitting.next() {
        return Ok(found);
    }
    let Some(other) = built_for.last() else { return Err(format!("it does not export `{PLUGIN}`")) };
    let newer = known.iter().all(|known| known < other);
    let mend = if newer { "; it needs a newer cofre" } else { "" };
    let known = known.iter().map(Version::to_string).collect::<Vec<_>>().join(", ");
    Err(format!("it is made for version {other} of the contract; this cofre knows {known}{mend}"))
}

/// Whether a component exports what its kind does, in its version of the contract; else why not.
pub(super) fn exports_kind(exports: &[String], kind: PluginKind, version: &Version) -> Result<(), String> {
    let interface = match kind {
        PluginKind::Destination => DESTINATION,
        PluginKind::Notifier => NOTIFIER,
    };
    if versions(exports, interface).contains(version) {
        return Ok(());
    }
    Err(format!("it calls itself a {}, but it does not export `{interface}@{version}`", kind.as_str()))
}

/// Versions in which an interface is exported, oldest first.
fn versions(exports: &[String], interface: &str) -> Vec<Version> {
    let named = exports.iter().filter_map(|name| Version::parse(name.strip_prefix(interface)?.strip_prefix('@')?).ok());
    let mut versions: Vec<Version> = named.collect();
    versions.sort();
    versions
}

/// The newest known version that is not newer than the one a component was built for, unless that is newer than all of them.
fn adapter(built_for: &Version, known: &[Version]) -> Option<usize> {
    let of_this_major = || known.iter().enumerate().filter(|(_, known)| compatible(known, built_for));
    let newest = of_this_major().map(|(_, known)| known.minor).max()?;
    // A patch changes words only, so it does not count.
    let not_newer = of_this_major().filter(|(_, known)| known.minor <= built_for.minor);
    not_newer.max_by_key(|(_, known)| known.minor).map(|(index, _)| index).filter(|_| built_for.minor <= newest)
}

/// Whether two versions are of one line in which later ones only add. Below 1.0 each minor is a line of its own; a pre-release fits itself.
fn compatible(one: &Version, other: &Version) -> bool {
    let same_line = one.major == other.major && (one.major > 0 || one.minor == other.minor);
    if one.pre.is_empty() && other.pre.is_empty() { same_line } else { one == other }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).expect("semver")
    }

    #[test]
    fn every_older_minor_of_a_known_major_has_an_adapter_and_nothing_newer_has() {
        let known = ["0.1.0", "1.0.0", "1.2.0", "2.0.0", "3.0.0-rc.1"].map(version);
        for (built_for, adapter_of) in [
            ("0.1.0", Some("0.1.0")),
            ("0.1.9", Some("0.1.0")),
            ("0.2.0", None),
            ("1.0.0", Some("1.0.0")),
            ("1.0.7", Some("1.0.0")),
            ("1.1.0", Some("1.0.0")),
            ("1.2.5", Some("1.2.0")),
            ("1.3.0", None),
            ("2.0.1", Some("2.0.0")),
            ("2.1.0", None),
            ("3.0.0-rc.1", Some("3.0.0-rc.1")),
            ("3.0.0-rc.2", None),
            ("3.0.0", None),
        ] {
            let found = adapter(&version(built_for), &known).map(|index| known[index].clone());
            assert_eq!(found, adapter_of.map(version), "{built_for}");
        }
    }

    #[test]
    fn the_newest_version_that_a_component_exports_and_we_know_is_taken() {
        let exports = |versions: &[&str]| -> Vec<String> { versions.iter().map(|version| format!("{PLUGIN}@{version}")).collect() };
        let chosen = |versions: &[&str]| of(&exports(versions)).map(|(version, _)| version.to_string());
        assert_eq!(chosen(&["0.1.0", "1.0.0", "1.0.3", "7.0.0"]).as_deref(), Ok("1.0.3"));
        let refused = |version, mend| Err(format!("it is made for version {version} of the contract; this cofre knows 1.0.0{mend}"));
        assert_eq!(chosen(&["0.1.0"]), refused("0.1.0", ""));
        assert_eq!(chosen(&["0.1.0", "1.1.0"]), refused("1.1.0", "; it needs a newer cofre"));
        assert_eq!(chosen(&["2.0.0"]), refused("2.0.0", "; it needs a newer cofre"));
        assert_eq!(chosen(&[]), Err(format!("it does not export `{PLUGIN}`")));
        assert_eq!(of(&[format!("{PLUGIN}-extra@1.0.0")]).map(drop), Err(format!("it does not export `{PLUGIN}`")));
    }

    #[test]
    fn a_kind_counts_in_the_version_that_was_chosen_only() {
        let exports = [format!("{PLUGIN}@1.0.0"), format!("{DESTINATION}@1.0.0")];
        exports_kind(&exports, PluginKind::Destination, &version("1.0.0")).expect("it is one");
        assert!(exports_kind(&exports, PluginKind::Destination, &version("1.0.1")).is_err());
        let error = exports_kind(&exports, PluginKind::Notifier, &version("1.0.0")).expect_err("it is none");
        assert_eq!(error, "it calls itself a notifier, but it does not export `cofre:plugin/notifier@1.0.0`");
    }
}
