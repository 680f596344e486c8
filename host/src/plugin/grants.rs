//! May it? A target is reached only if the plug-in asked for it in `describe` and the administrator granted it; a request that removes
//! something is sent only where deletion was granted, or while the host asks to abort an upload or to find its rest.

use std::collections::HashSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use super::dns::{Resolver, SystemResolver};
use super::journal::readable;
use crate::ports::NetworkPattern;

/// Addresses that one store remembers; more are not connected to.
const ADDRESSES_MAX: usize = 1_024;
/// Look-ups of one store at once.
const LOOKUPS_AT_ONCE: usize = 4;
/// Refused targets that are logged for one store.
const REFUSALS_LOGGED: usize = 16;
/// Characters of a host name; DNS has no longer ones.
const HOST_MAX: usize = 253;

/// What one instance may reach, and why it was refused last. Clones are the same gate.
#[derive(Clone)]
pub(super) struct Gate {
    rules: Arc<Rules>,
    memory: Arc<Memory>,
}

#[derive(Clone)]
struct Rules {
    plugin: String,
    asked: Vec<NetworkPattern>,
    granted: Vec<NetworkPattern>,
    /// Whether stored objects may be removed.
    delete: bool,
    resolver: Arc<dyn Resolver>,
}

/// What belongs to one store.
struct Memory {
    /// Addresses, and the granted names that resolved to them.
    addresses: Mutex<HashSet<(IpAddr, String)>>,
    refused: Mutex<Refused>,
    lookups: Semaphore,
    /// What the host is asking for.
    verb: Mutex<&'static str>,
}

#[derive(Default)]
struct Refused {
    last: Option<String>,
    logged: HashSet<String>,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new("", (Vec::new(), Vec::new()), Arc::new(SystemResolver))
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self { addresses: Mutex::default(), refused: Mutex::default(), lookups: Semaphore::new(LOOKUPS_AT_ONCE), verb: Mutex::default() }
    }
}

impl Gate {
    /// The two keys: what the plug-in asked for, and what the administrator granted.
    pub(super) fn new(plugin: &str, (asked, granted): (Vec<NetworkPattern>, Vec<NetworkPattern>), resolver: Arc<dyn Resolver>) -> Self {
        let rules = Rules { plugin: plugin.to_owned(), asked, granted, delete: false, resolver };
        Self { rules: Arc::new(rules), memory: Arc::default() }
    }

    /// The same gate with deletion granted or not.
    pub(super) fn deleting(self, delete: bool) -> Self {
        Self { rules: Arc::new(Rules { delete, ..Rules::clone(&self.rules) }), memory: self.memory }
    }

    /// A gate with the same rules that remembers nothing of this one's store.
    pub(super) fn fresh(&self) -> Self {
        Self { rules: Arc::clone(&self.rules), memory: Arc::default() }
    }

    /// Who resolves names.
    pub(super) fn resolver(&self) -> &dyn Resolver {
        self.rules.resolver.as_ref()
    }

    /// Bounds look-ups at once.
    pub(super) fn lookups(&self) -> &Semaphore {
        &self.memory.lookups
    }

    /// Whether there is anything that may be reached at all.
    pub(super) fn may_reach_something(&self) -> bool {
        !(self.rules.asked.is_empty() || self.rules.granted.is_empty())
    }

    /// Whether `host:port` may be reached; remembers a refusal for the error that follows from it.
    pub(super) fn may_reach(&self, host: &str, port: u16) -> bool {
        let matches = |patterns: &[NetworkPattern]| patterns.iter().any(|pattern| pattern.matches(host, port));
        let (asked, granted) = (matches(&self.rules.asked), matches(&self.rules.granted));
        if !(asked && granted) {
            let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
            self.refuse(&host, &port.to_string(), granted);
        }
        asked && granted
    }

    /// Whether a name may be looked up at all: only if there is a port on which both keys fit.
    pub(super) fn may_resolve(&self, host: &str) -> bool {
        let of = |patterns: &[NetworkPattern]| -> Vec<RangeInclusive<u16>> {
            patterns.iter().filter(|pattern| pattern.matches_host(host)).map(|pattern| pattern.ports.clone()).collect()
        };
        let (asked, granted) = (of(&self.rules.asked), of(&self.rules.granted));
        let meet = |one: &RangeInclusive<u16>| granted.iter().any(|other| one.start() <= other.end() && other.start() <= one.end());
        let allowed = asked.iter().any(meet);
        if !allowed {
            self.refuse(host, "PORT", !granted.is_empty() && asked.is_empty());
        }
        allowed
    }

    /// Whether stored objects may be removed.
    pub(super) fn may_delete(&self) -> bool {
        self.rules.delete
    }

    /// Whether a request to `host:port` may go that removes something: also to abort uploads of our own, which are no stored objects yet; one
    /// that is resumed may find others of its key that nobody knows of, as their opening was cut.
    pub(super) fn may_send_deletion(&self, host: &str, port: u16) -> bool {
        let verb = *self.verb();
        let allowed = self.rules.delete || matches!(verb, "abort" | "resume");
        // A probe that tidies up after itself is meant to be refused without the grant.
        if !allowed && verb != "probe" {
            let why = "and deletion is not granted; if it may remove what is stored, set `grants.delete` of this destination";
            self.note(format!("DELETE {}:{port}", readable(host, HOST_MAX)), |plugin, target| {
                format!("plug-in `{plugin}` sent a request to remove something (`{target}`) while it was asked to {verb}, {why}")
            });
        }
        allowed
    }

    fn refuse(&self, host: &str, port: &str, granted: bool) {
        let target = format!("{}:{port}", readable(host, HOST_MAX));
        let why = if granted {
            "which its own description does not ask for: the plug-in is faulty or hostile".to_owned()
        } else {
            format!("which is not granted; if that is right, add \"{target}\" to `grants.network` of this destination")
        };
        self.note(target, |plugin, target| format!("plug-in `{plugin}` asked for `{target}`, {why}"));
    }

    /// Remembers a refusal, and logs it where there is not too much of it.
    fn note(&self, target: String, words: impl FnOnce(&str, &str) -> String) {
        let refusal = words(&self.rules.plugin, &target);
        let mut refused = self.refused();
        if refused.logged.len() < REFUSALS_LOGGED && refused.logged.insert(target) {
            tracing::warn!("{refusal}");
        }
        refused.last = Some(refusal);
    }

    /// Lets sockets connect to the addresses of a name that may be looked up.
    pub(super) fn remember(&self, host: &str, addresses: &[IpAddr]) {
        let mut known = self.addresses();
        for address in addresses {
            if known.len() < ADDRESSES_MAX {
                known.insert((address.to_canonical(), host.to_owned()));
            }
        }
    }

    /// Whether a socket may connect: to an address that a granted name resolved to, on the name's port, or that is granted itself.
    pub(super) fn may_connect(&self, address: IpAddr, port: u16) -> bool {
        let address = address.to_canonical();
        let hosts: Vec<String> = self.addresses().iter().filter(|(known, _)| *known == address).map(|(_, host)| host.clone()).collect();
        match hosts.first() {
            None => self.may_reach(&address.to_string(), port),
            Some(_) => hosts.iter().any(|host| self.may_reach(host, port)),
        }
    }

    /// Why the last refusal of this call happened.
    pub(super) fn refusal(&self) -> Option<String> {
        self.refused().last.clone()
    }

    /// Begins a new call.
    pub(super) fn forget_refusal(&self) {
        self.refused().last = None;
    }

    /// Says what the host asks for from here on.
    pub(super) fn enter(&self, verb: &'static str) {
        *self.verb() = verb;
    }

    fn verb(&self) -> MutexGuard<'_, &'static str> {
        self.memory.verb.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn addresses(&self) -> MutexGuard<'_, HashSet<(IpAddr, String)>> {
        self.memory.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self) -> MutexGuard<'_, Refused> {
        self.memory.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fills the settings of an instance into a target that a plug-in asks for. There is none where a setting of it is absent.
pub(super) fn resolve_target(target: &str, settings: &serde_json::Value) -> Option<NetworkPattern> {
    NetworkPattern::parse(&fill(target, settings)?).ok()
}

fn fill(target: &str, settings: &serde_json::Value) -> Option<String> {
    let mut filled = String::new();
    let mut rest = target;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, tail) = after.split_once('}')?;
        filled.push_str(before);
        filled.push_str(&value(settings.get(name)?)?);
        rest = tail;
    }
    filled.push_str(rest);
    Some(filled)
}

/// Text of a setting; of an address only its host and port.
fn value(setting: &serde_json::Value) -> Option<String> {
    let text = match setting {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let Some((scheme, rest)) = text.split_once("://") else { return Some(text) };
    let authority = rest.split(['/', '?', '#']).next()?.rsplit('@').next()?;
    let has_port = authority.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    let port = if scheme.eq_ignore_ascii_case("http") { 80 } else { 443 };
    Some(if has_port { authority.to_owned() } else { format!("{authority}:{port}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<NetworkPattern> {
        texts.iter().map(|text| NetworkPattern::parse(text).expect("valid")).collect()
    }

    fn gate(asked: &[&str], granted: &[&str]) -> Gate {
        Gate::new("s3", (patterns(asked), patterns(granted)), Arc::new(SystemResolver))
    }

    #[test]
    fn a_target_needs_both_keys() {
        let gate = gate(&["a.example:443", "b.example:443"], &["b.example:443", "c.example:443"]);
        assert!(gate.may_reach("b.example", 443));
        assert!(gate.refusal().is_none());
        assert!(!gate.may_reach("a.example", 443));
        let said = gate.refusal().expect("noted");
        assert_eq!(
            said,
            "plug-in `s3` asked for `a.example:443`, which is not granted; if that is right, add \"a.example:443\" to `grants.network` of this destination"
        );
        assert!(!gate.may_reach("c.example", 443));
        assert!(gate.refusal().expect("noted").contains("hostile"));
        assert!(!gate.may_reach("b.example", 80));
    }

    #[test]
    fn a_name_is_looked_up_only_where_both_keys_meet_on_a_port() {
        let gate = gate(
            &["a.example:21", "b.example:*", "c.example:443", "e.example:80-90", "f.example:90-99"],
            &["a.example:443", "b.example:22", "*.example:80", "f.example:100-110"],
        );
        assert!(!gate.may_resolve("a.example"), "asked for 21, granted 443 and 80");
        assert!(gate.may_resolve("b.example"));
        assert!(!gate.may_resolve("c.example"));
        assert!(!gate.may_resolve("d.example"));
        assert!(gate.refusal().expect("noted").contains("hostile"));
        assert!(gate.may_resolve("e.example"));
        assert!(!gate.may_resolve("f.example"), "asked for 90 to 99, granted 100 to 110 and 80");
    }

    #[test]
    fn a_socket_connects_only_to_addresses_of_granted_names() {
        let gate = gate(&["ftp.example:21"], &["ftp.example:*", "192.0.2.9:*"]);
        let address: IpAddr = "192.0.2.1".parse().expect("valid");
        assert!(!gate.may_connect(address, 21));
        gate.remember("ftp.example", &[address]);
        assert!(gate.may_connect(address, 21));
        assert!(!gate.may_connect(address, 22), "granted, and yet not asked for");
        assert!(gate.may_connect("::ffff:192.0.2.1".parse().expect("valid"), 21), "the same address in other words");
        assert!(!gate.fresh().may_connect(address, 21));
        assert!(!gate.may_connect("192.0.2.9".parse().expect("valid"), 21), "granted, and yet not asked for");
    }

    #[test]
    fn a_refusal_cannot_write_the_log_full_or_forge_a_line() {
        let gate = gate(&[], &[]);
        for n in 0..1_000 {
            gate.may_resolve(&format!("{n}\nERROR {}", "x".repeat(5_000)));
        }
        assert_eq!(gate.refused().logged.len(), REFUSALS_LOGGED);
        let said = gate.refusal().expect("noted");
        assert!(said.len() < 1_000 && !said.contains('\n'), "{said}");
    }

    #[test]
    fn a_deletion_is_sent_only_with_its_grant_or_to_abort_an_upload() {
        let gate = gate(&[], &[]);
        for (verb, allowed, told) in [("write", false, true), ("probe", false, false), ("abort", true, false), ("resume", true, false)] {
            gate.forget_refusal();
            gate.enter(verb);
            assert_eq!((gate.may_send_deletion("h", 443), gate.refusal().is_some()), (allowed, told), "{verb}");
        }
        let granted = gate.deleting(true);
        granted.enter("write");
        assert!(granted.may_send_deletion("h", 443) && granted.fresh().may_delete());
    }

    #[test]
    fn targets_are_filled_from_settings() {
        let settings = serde_json::json!({"endpoint": "https://s3.example/path", "bucket": "b", "region": "r", "plain": "http://x:8080"});
        let targets = ["{endpoint}", "{bucket}.s3.{region}.amazonaws.com:443", "{plain}", "{absent}:1"];
        let found: Vec<String> = targets.iter().filter_map(|target| resolve_target(target, &settings)).map(|it| it.to_string()).collect();
        assert_eq!(found, ["s3.example:443", "b.s3.r.amazonaws.com:443", "x:8080"]);
    }
}
