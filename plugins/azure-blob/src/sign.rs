//! `Authorization: SharedKey`, as "Authorize with Shared Key" has it for version 2015-02-21 and later.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cofre_sdk::{Error, Result};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// An account and its key.
#[derive(Clone)]
pub(crate) struct AccountKey {
    pub(crate) account: String,
    key: Vec<u8>,
}

/// What is signed of a request.
pub(crate) struct Signable<'a> {
    pub(crate) method: &'a str,
    /// As it is sent.
    pub(crate) path: &'a str,
    /// Not encoded.
    pub(crate) query: &'a [(&'a str, String)],
    /// Names in lower case.
    pub(crate) headers: &'a [(&'static str, String)],
    pub(crate) content_length: usize,
}

impl AccountKey {
    /// From the text that the portal shows.
    pub(crate) fn new(account: &str, key: &str) -> Result<Self> {
        let key = BASE64_STANDARD.decode(key.trim()).ok().filter(|key| !key.is_empty());
        let key = key.ok_or_else(|| Error::invalid_config("the secret `account_key` is no key: copy it from the account's access keys"))?;
        Ok(Self { account: account.to_owned(), key })
    }

    /// Value of `Authorization`.
    pub(crate) fn authorization(&self, request: &Signable<'_>) -> String {
        format!("SharedKey {}:{}", self.account, self.signature(&self.string_to_sign(request)))
    }

    /// The signature of any text, in base64.
    pub(crate) fn signature(&self, text: &str) -> String {
        // HMAC takes keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        mac.update(text.as_bytes());
        BASE64_STANDARD.encode(mac.finalize().into_bytes())
    }

    fn string_to_sign(&self, request: &Signable<'_>) -> String {
        let header = |name: &str| request.headers.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| value.as_str());
        let length = if request.content_length == 0 { String::new() } else { request.content_length.to_string() };
        let mut text = format!("{}\n", request.method);
        let standard = [
            header("content-encoding"),
            header("content-language"),
            &length,
            header("content-md5"),
            header("content-type"),
            // `x-ms-date` takes its place.
            "",
            header("if-modified-since"),
            header("if-match"),
            header("if-none-match"),
            header("if-unmodified-since"),
            header("range"),
        ];
        for value in standard {
            text.push_str(value);
            text.push('\n');
        }
        let mut own: Vec<_> = request.headers.iter().filter(|(name, _)| name.starts_with("x-ms-")).collect();
        own.sort_unstable();
        for (name, value) in own {
            let _ = writeln!(text, "{name}:{}", value.trim());
        }
        let _ = write!(text, "/{}{}", self.account, request.path);
        let mut query: Vec<_> = request.query.iter().collect();
        query.sort_unstable();
        for (name, value) in query {
            let _ = write!(text, "\n{name}:{value}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The emulator's account and key, which are public.
    fn key() -> AccountKey {
        let key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
        AccountKey::new("myaccount", key).expect("a key")
    }

    #[test]
    fn what_is_signed_is_the_example_of_the_service() {
        let headers = [("x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT".to_owned()), ("x-ms-version", "2015-02-21".to_owned())];
        let query = [("restype", "container".to_owned()), ("comp", "metadata".to_owned()), ("timeout", "20".to_owned())];
        let request = Signable { method: "GET", path: "/mycontainer", query: &query, headers: &headers, content_length: 0 };
        assert_eq!(
            key().string_to_sign(&request),
            "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n/myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20"
        );
    }

    #[test]
    fn standard_headers_stand_in_their_lines() {
        let headers = [
            ("content-md5", "m".to_owned()),
            ("content-type", "t".to_owned()),
            ("range", "bytes=0-1".to_owned()),
            ("x-ms-date", "d".to_owned()),
        ];
        let request = Signable { method: "PUT", path: "/c/k", query: &[], headers: &headers, content_length: 11 };
        assert_eq!(key().string_to_sign(&request), "PUT\n\n\n11\nm\nt\n\n\n\n\n\nbytes=0-1\nx-ms-date:d\n/myaccount/c/k");
    }

    #[test]
    fn a_key_that_is_none_is_refused_without_being_shown() {
        let Err(error) = AccountKey::new("a", "hunter2 is no key") else { panic!("it is no key") };
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
