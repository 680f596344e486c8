//! Where requests go: a key's parts in the path, every byte but `A-Z a-z 0-9 - . _ ~` as `%XX`.

use std::net::IpAddr;

use cofre_sdk::{Error, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::settings::{Settings, refuse};

const UNSAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const UNSAFE_IN_PATHS: &AsciiSet = &UNSAFE.remove(b'/');

/// Scheme, host and the path of the objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    origin: String,
    /// Without `/` at its end.
    path: String,
}

impl Address {
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        let url = settings.url.trim_end_matches('/');
        let Some((https, rest)) =
            url.strip_prefix("https://").map(|rest| (true, rest)).or_else(|| url.strip_prefix("http://").map(|rest| (false, rest)))
        else {
            return refuse("/url", "write it as `https://host[:port]/path`");
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.is_empty() || !authority.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte)) {
            return refuse("/url", "it has no host, or a user before it");
        }
        let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\"<>\\^`{|}".contains(&byte));
        if !is_plain || path.split('/').skip(1).any(|part| matches!(part, "" | "." | "..")) {
            return refuse("/url", "write its path as `folder/folder`, with `%20` for a space, and without `?`, `#`, `.` and `..`");
        }
        if !https && !settings.allow_plaintext && !is_loopback(authority) {
            return refuse("/url", "`http://` shows the token to everybody on the way; use `https://`, or set `allow_plaintext`");
        }
        let origin = format!("{}://{}", if https { "https" } else { "http" }, authority.to_ascii_lowercase());
        Ok(Self { origin, path: path.to_owned() })
    }

    /// Address of an object.
    pub(crate) fn of(&self, key: &str) -> String {
        format!("{}{}/{}", self.origin, self.path, utf8_percent_encode(key, UNSAFE_IN_PATHS))
    }

    /// Address of a page of the listing.
    pub(crate) fn of_listing(&self, prefix: &str, cursor: Option<&str>) -> String {
        let mut url = format!("{}{}/?list&prefix={}", self.origin, self.path, utf8_percent_encode(prefix, UNSAFE));
        if let Some(cursor) = cursor {
            url.push_str("&cursor=");
            url.extend(utf8_percent_encode(cursor, UNSAFE));
        }
        url
    }

    /// Where uploads by tus are created.
    pub(crate) fn of_uploads(&self) -> String {
        format!("{}{}/.uploads", self.origin, self.path)
    }

    /// Path of the upload that a `Location` names. One on another host would be given the token, and is refused.
    pub(crate) fn upload_path(&self, location: &str) -> Result<String> {
        let path = location.strip_prefix(self.origin.as_str()).unwrap_or(location);
        if path.starts_with('/') && !path.starts_with("//") && path.bytes().all(|byte| byte.is_ascii_graphic()) && path.len() <= 4_096 {
            return Ok(path.to_owned());
        }
        let why = "the server gives an upload an address on another host; it must be one below the address that cofre was given";
        Err(Error::invalid_config(format!("/url: {why}")).with("pointer", "/url"))
    }

    /// Address of an upload by its path.
    pub(crate) fn of_upload(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }
}

fn is_loopback(authority: &str) -> bool {
    let host = authority.strip_prefix('[').map_or_else(|| authority.split(':').next(), |rest| rest.split(']').next());
    let is_own = |host: &str| host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    host.is_some_and(|host| host.eq_ignore_ascii_case("localhost") || is_own(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> Address {
        Address::new(&cofre_sdk::settings::parse(r#"{"url": "https://H:8443/a%20b/"}"#).expect("settings")).expect("an address")
    }

    #[test]
    fn keys_and_queries_are_encoded() {
        assert_eq!(address().of("set/a b+ç%?#.enc"), "https://h:8443/a%20b/set/a%20b%2B%C3%A7%25%3F%23.enc");
        assert_eq!(address().of_listing("a/&", Some("x=")), "https://h:8443/a%20b/?list&prefix=a%2F%26&cursor=x%3D");
    }

    #[test]
    fn an_upload_is_on_the_same_host_or_refused() {
        for location in ["https://h:8443/a/1", "/a/1"] {
            let path = address().upload_path(location).expect("the same host");
            assert_eq!(address().of_upload(&path), "https://h:8443/a/1");
        }
        for location in ["https://other/a/1", "//other/a/1", "a/1", "http://h:8443/a/1", "https://h:8443.evil/a"] {
            assert!(address().upload_path(location).is_err(), "{location}");
        }
    }
}
