//! May it? A target is reached only if the plug-in asked for it in `describe` and the administrator granted it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::ports::NetworkPattern;

/// What one instance may reach, and why it was refused last.
#[derive(Debug, Clone, Default)]
pub(super) struct Gate {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    plugin: String,
    asked: Vec<NetworkPattern>,
    granted: Vec<NetworkPattern>,
    /// Addresses that granted names resolved to, with the names' ports.
    addresses: Mutex<Vec<(IpAddr, NetworkPattern)>>,
    refusal: Mutex<Option<String>>,
}

impl Gate {
    pub(super) fn new(plugin: &str, asked: Vec<NetworkPattern>, granted: Vec<NetworkPattern>) -> Self {
        let inner = Inner { plugin: plugin.to_owned(), asked, granted, addresses: Mutex::default(), refusal: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// A gate with the same rules that remembers nothing of this one's store.
    pub(super) fn fresh(&self) -> Self {
        Self::new(&self.inner.plugin, self.inner.asked.clone(), self.inner.granted.clone())
    }

    /// Whether `host:port` may be reached; remembers a refusal for the error that follows from it.
    pub(super) fn may_reach(&self, host: &str, port: u16) -> bool {
        let target = format!("{host}:{port}");
        let asked = self.inner.asked.iter().any(|pattern| pattern.matches(host, port));
        let granted = self.inner.granted.iter().any(|pattern| pattern.matches(host, port));
        self.note(&target, asked, granted)
    }

    /// Whether a name may be looked up at all.
    pub(super) fn may_resolve(&self, host: &str) -> bool {
        let asked = self.inner.asked.iter().any(|pattern| pattern.matches_host(host));
        let granted = self.inner.granted.iter().any(|pattern| pattern.matches_host(host));
        self.note(host, asked, granted)
    }

    fn note(&self, target: &str, asked: bool, granted: bool) -> bool {
        if asked && granted {
            return true;
        }
        let plugin = &self.inner.plugin;
        let refusal = if granted {
            format!(
                "plug-in `{plugin}` wanted to reach `{target}`, which its own description does not ask for: the plug-in is faulty or hostile"
            )
        } else {
            format!(
                "plug-in `{plugin}` wanted to reach `{target}`, which is not granted; if that is right, add it to `grants.network` of this destination"
            )
        };
        tracing::warn!("{}", refusal.escape_debug());
        *self.inner.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
        false
    }

    /// Lets sockets connect to the addresses of a granted name.
    pub(super) fn remember(&self, host: &str, addresses: &[IpAddr]) {
        let mut known = self.inner.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        for pattern in self.inner.granted.iter().filter(|pattern| pattern.matches_host(host)) {
            known.extend(addresses.iter().map(|address| (*address, pattern.clone())));
        }
    }

    /// Whether a socket may connect: to an address that a granted name resolved to, or that is granted itself.
    pub(super) fn may_connect(&self, address: IpAddr, port: u16) -> bool {
        let literal = address.to_string();
        let known = self.inner.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let by_name =
            known.iter().any(|(remembered, pattern)| *remembered == address && pattern.port.is_none_or(|granted| granted == port));
        drop(known);
        by_name || self.may_reach(&literal, port)
    }

    /// Why the last refusal happened.
    pub(super) fn refusal(&self) -> Option<String> {
        self.inner.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Fills the settings of an instance into the targets that a plug-in asks for. A target whose settings are absent is left out.
pub(super) fn resolve_targets(targets: &[String], settings: &serde_json::Value) -> Vec<NetworkPattern> {
    targets.iter().filter_map(|target| fill(target, settings)).filter_map(|target| NetworkPattern::parse(&target).ok()).collect()
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

    #[test]
    fn a_target_needs_both_keys() {
        let gate = Gate::new("s3", patterns(&["a.example:443", "b.example:443"]), patterns(&["b.example:443", "c.example:443"]));
        assert!(gate.may_reach("b.example", 443));
        assert!(!gate.may_reach("a.example", 443));
        assert!(gate.refusal().expect("noted").contains("grants.network"));
        assert!(!gate.may_reach("c.example", 443));
        assert!(gate.refusal().expect("noted").contains("hostile"));
        assert!(!gate.may_reach("b.example", 80));
    }

    #[test]
    fn a_socket_connects_only_to_addresses_of_granted_names() {
        let gate = Gate::new("ftp", patterns(&["ftp.example:21"]), patterns(&["ftp.example:21"]));
        let address: IpAddr = "192.0.2.1".parse().expect("valid");
        assert!(!gate.may_connect(address, 21));
        gate.remember("ftp.example", &[address]);
        assert!(gate.may_connect(address, 21));
        assert!(!gate.may_connect(address, 22));
        assert!(!gate.fresh().may_connect(address, 21));
    }

    #[test]
    fn targets_are_filled_from_settings() {
        let settings = serde_json::json!({"endpoint": "https://s3.example/path", "bucket": "b", "region": "r", "plain": "http://x:8080"});
        let targets = ["{endpoint}", "{bucket}.s3.{region}.amazonaws.com:443", "{plain}", "{absent}:1"].map(str::to_owned);
        let found: Vec<String> = resolve_targets(&targets, &settings).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["s3.example:443", "b.s3.r.amazonaws.com:443", "x:8080"]);
    }
}
