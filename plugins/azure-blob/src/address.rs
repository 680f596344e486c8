//! Where requests go, and the path that Shared Key signs: every byte but `A-Z a-z 0-9 - . _ ~` as `%XX`, `/` kept between parts.

use cofre_sdk::Result;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::settings::{Settings, refuse};

const UNSAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const UNSAFE_IN_PATHS: &AsciiSet = &UNSAFE.remove(b'/');

/// Scheme and host, and the path of the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) origin: String,
    /// With `/` before it and not behind it.
    container: String,
}

impl Address {
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        let endpoint = match &settings.endpoint {
            Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
            None => format!("https://{}.blob.core.windows.net", settings.account),
        };
        let Some(at) = endpoint.starts_with("https://").then_some(8).or(endpoint.starts_with("http://").then_some(7)) else {
            return refuse("/endpoint", "write it as `https://host[:port][/path]`");
        };
        let authority_end = endpoint[at..].find('/').map_or(endpoint.len(), |slash| at + slash);
        let (origin, path) = endpoint.split_at(authority_end);
        let is_host = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b));
        let is_path = path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-_.".contains(&b)) && !path.contains("//");
        if !is_host(&origin[at..]) || !is_path {
            return refuse("/endpoint", "write it as `https://host[:port][/path]`");
        }
        Ok(Self { origin: origin.to_ascii_lowercase(), container: format!("{path}/{}", settings.container) })
    }

    /// Whether what is sent can be read on the way.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.origin.starts_with("https://")
    }

    /// Whether the service is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.origin.split_once("://").map_or("", |(_, host)| host);
        let host = host.strip_prefix('[').map_or_else(|| host.split(':').next(), |rest| rest.split(']').next()).unwrap_or_default();
        host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
    }

    /// Path of an object; of the container for the empty key.
    pub(crate) fn path(&self, key: &str) -> String {
        let separator = if key.is_empty() { "" } else { "/" };
        format!("{}{separator}{}", self.container, utf8_percent_encode(key, UNSAFE_IN_PATHS))
    }
}

/// `name=value` pairs behind a `?`; nothing for none.
pub(crate) fn query(pairs: &[(&str, String)]) -> String {
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", utf8_percent_encode(name, UNSAFE), utf8_percent_encode(value, UNSAFE))).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(endpoint: &str) -> Address {
        let json = format!(r#"{{"account": "acc", "container": "bkp"{endpoint}}}"#);
        Address::new(&cofre_sdk::settings::parse(&json).expect("settings")).expect("an address")
    }

    #[test]
    fn the_account_stands_in_the_name_or_where_the_endpoint_says() {
        let azure = address("");
        assert_eq!(
            (azure.origin.as_str(), azure.path("a b/ç+%~.tar").as_str()),
            ("https://acc.blob.core.windows.net", "/bkp/a%20b/%C3%A7%2B%25~.tar")
        );
        assert_eq!(azure.path(""), "/bkp");
        let emulator = address(r#", "endpoint": "http://127.0.0.1:10000/acc/""#);
        assert_eq!((emulator.origin.as_str(), emulator.path("k").as_str()), ("http://127.0.0.1:10000", "/acc/bkp/k"));
        assert!(emulator.is_loopback() && !emulator.is_encrypted() && !azure.is_loopback());
    }

    #[test]
    fn a_query_is_encoded() {
        assert_eq!(query(&[("comp", "list".to_owned()), ("prefix", "a/ç ".to_owned())]), "?comp=list&prefix=a%2F%C3%A7%20");
        assert_eq!(query(&[]), "");
    }
}
