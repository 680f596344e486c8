//! Where requests go, and how a key is written in an address and on the server.
//!
//! A part of a key is stored under its own name, except that characters which a Windows server refuses, and those that servers have been
//! seen to take for something else in `Destination` (WsgiDAV 4.4 unescapes it before it looks for `?` and `;`), are stored as `%XX`.

use std::borrow::Cow;
use std::net::IpAddr;

use cofre_sdk::Result;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, percent_encode_byte, utf8_percent_encode};

use crate::settings::{Resume, Scheme, Settings, refuse};

/// What is stored as `%XX`.
const UNSAFE_IN_NAMES: &[u8] = b"%?#;\\:*\"<>|";

/// What an address shows as `%XX`: all but the unreserved characters (RFC 3986, 2.3).
const UNSAFE_IN_URLS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What is not allowed in an address that an administrator wrote; what is escaped already stays.
const UNSAFE_IN_SETTING: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// Where Nextcloud and ownCloud keep an account's files.
const NEXTCLOUD_FILES: &str = "/remote.php/dav/files/";

/// Scheme, host and the path of the objects' folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// `https://host:port`
    origin: String,
    /// Escaped, without `/` at its end.
    path: String,
    /// The folder of Nextcloud's chunked uploads, where the address is one of Nextcloud.
    uploads: Option<String>,
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
            return refuse("/url", "it has no host, or a user before it; name the account in `username`");
        }
        if path.contains(['?', '#']) || path.split('/').skip(1).any(|part| matches!(part, "" | "." | "..")) {
            return refuse("/url", "write its path as `folder/folder`, without `?`, `#`, `.` and `..`");
        }
        if !https && !settings.allow_plaintext && settings.auth != Scheme::None && !is_loopback(authority) {
            return refuse("/url", "`http://` shows the password to everybody on the way; use `https://`, or set `allow_plaintext`");
        }
        let origin = format!("{}://{}", if https { "https" } else { "http" }, authority.to_ascii_lowercase());
        let path = utf8_percent_encode(path, UNSAFE_IN_SETTING).to_string();
        let uploads = uploads(&origin, &path);
        if settings.resume == Resume::Nextcloud && uploads.is_none() {
            return refuse("/url", "with `resume = \"nextcloud\"` it must be `https://host/remote.php/dav/files/USER/FOLDER`");
        }
        Ok(Self { origin, path, uploads })
    }

    /// Address of an object.
    pub(crate) fn of(&self, key: &str) -> String {
        let mut url = format!("{}{}", self.origin, self.path);
        for part in key.split('/') {
            url.push('/');
            url.extend(utf8_percent_encode(&escape(part), UNSAFE_IN_URLS));
        }
        url
    }

    /// Address of a folder; of the objects' own for the empty key.
    pub(crate) fn of_folder(&self, key: &str) -> String {
        if key.is_empty() { format!("{}{}/", self.origin, self.path) } else { format!("{}/", self.of(key)) }
    }

    /// Address of Nextcloud's upload of that name, with `/` at its end.
    pub(crate) fn of_upload(&self, name: &str) -> Option<String> {
        self.uploads.as_ref().map(|uploads| format!("{uploads}/{name}/"))
    }

    /// Whether the server is Nextcloud or ownCloud.
    pub(crate) fn is_nextcloud(&self) -> bool {
        self.uploads.is_some()
    }

    /// The path of an address of this server, as a request has it.
    pub(crate) fn path_of<'a>(&self, url: &'a str) -> &'a str {
        url.strip_prefix(self.origin.as_str()).unwrap_or(url)
    }
}

fn is_loopback(authority: &str) -> bool {
    let host = authority.strip_prefix('[').map_or_else(|| authority.split(':').next(), |rest| rest.split(']').next());
    let is_own = |host: &str| host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    host.is_some_and(|host| host.eq_ignore_ascii_case("localhost") || is_own(host))
}

fn uploads(origin: &str, path: &str) -> Option<String> {
    let (before, after) = path.split_once(NEXTCLOUD_FILES)?;
    let user = after.split('/').next().filter(|user| !user.is_empty())?;
    Some(format!("{origin}{before}/remote.php/dav/uploads/{user}"))
}

/// The name under which a part of a key is stored.
fn escape(part: &str) -> Cow<'_, str> {
    if !part.bytes().any(|byte| UNSAFE_IN_NAMES.contains(&byte)) {
        return Cow::Borrowed(part);
    }
    let mut name = String::with_capacity(part.len() + 8);
    for character in part.chars() {
        match u8::try_from(character) {
            Ok(byte) if UNSAFE_IN_NAMES.contains(&byte) => name.push_str(percent_encode_byte(byte)),
            _ => name.push(character),
        }
    }
    Cow::Owned(name)
}

/// The part of a key that is stored under `name`; `None` where no part would be, so that it is not ours.
pub(crate) fn unescape(name: &str) -> Option<String> {
    let part = percent_decode_str(name).decode_utf8().ok()?.into_owned();
    (escape(&part) == name && !part.is_empty()).then_some(part)
}

/// The path that an address of an answer means: without scheme and host, unescaped, without `/` at its end. `None` where it is no UTF-8.
pub(crate) fn decoded(href: &str) -> Option<String> {
    let path = match href.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
        None => href,
    };
    Some(percent_decode_str(path.trim_end_matches('/')).decode_utf8().ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Address {
        let json = format!(r#"{{"url": "{url}", "username": "u"}}"#);
        Address::new(&cofre_sdk::settings::parse(&json).expect("settings")).expect("an address")
    }

    #[test]
    fn a_key_has_one_address_and_comes_back_from_it() {
        let address = address("https://H:8443/dav/my folder/");
        assert_eq!(address.of("set/a b+ç.enc"), "https://h:8443/dav/my%20folder/set/a%20b%2B%C3%A7.enc");
        assert_eq!(address.of_folder(""), "https://h:8443/dav/my%20folder/");
        assert_eq!(address.of_folder("set"), "https://h:8443/dav/my%20folder/set/");
        for key in ["plain", "a b", "ação", "a%b", "100%25", "what?", "c#", "q'\"q", "c;d:e*f<g>h|i\\j"] {
            let url = address.of(key);
            let name = decoded(&url).expect("UTF-8").rsplit_once('/').expect("a path").1.to_owned();
            assert!(!name.contains(['?', '#', ';', ':', '*', '"', '<', '>', '|', '\\']), "{name}");
            assert_eq!(unescape(&name).as_deref(), Some(key));
        }
        assert_eq!(unescape("a%41"), None, "no key of ours is stored so");
    }

    #[test]
    fn nextclouds_uploads_are_beside_its_files() {
        let nextcloud = address("https://h/cloud/remote.php/dav/files/ana/copias");
        assert_eq!(nextcloud.of_upload("x").as_deref(), Some("https://h/cloud/remote.php/dav/uploads/ana/x/"));
        assert!(!address("https://h/dav/files/ana").is_nextcloud());
    }

    #[test]
    fn an_answers_address_is_understood_with_and_without_its_host() {
        for href in ["https://h/a%20b/c/", "/a%20b/c", "http://other:80/a%20b/c"] {
            assert_eq!(decoded(href).as_deref(), Some("/a b/c"));
        }
        assert_eq!(decoded("/%ff"), None);
    }
}
