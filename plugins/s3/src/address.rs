//! Where requests go: the endpoint, the bucket's place in it, and the encoding of keys that SigV4 signs
//! (every byte but `A-Z a-z 0-9 - . _ ~` as `%XX`, `/` kept between the parts of a key).

use std::fmt::Write as _;

use cofre_sdk::{Error, Result};

use crate::settings::Settings;

/// Scheme, host and the path before a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) https: bool,
    base: String,
}

impl Address {
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        let (https, host) = match &settings.endpoint {
            Some(endpoint) => parse(endpoint)?,
            None => (true, amazon(&settings.region)),
        };
        let in_path = settings.path_style.unwrap_or(settings.endpoint.is_some() || settings.bucket.contains('.'));
        let scheme = if https { "https" } else { "http" };
        let bucket = &settings.bucket;
        let base = if in_path { format!("{scheme}://{host}/{bucket}") } else { format!("{scheme}://{bucket}.{host}") };
        Ok(Self { https, base })
    }

    /// Address of an object; of the bucket for the empty key.
    pub(crate) fn url(&self, key: &str, query: &[(&str, &str)]) -> String {
        let mut url = format!("{}/{}", self.base, encode(key, true));
        if key.is_empty() {
            url.truncate(url.trim_end_matches('/').len());
            url.push('/');
        }
        for (index, (name, value)) in query.iter().enumerate() {
            url.push(if index == 0 { '?' } else { '&' });
            let _ = write!(url, "{}={}", encode(name, false), encode(value, false));
        }
        url
    }
}

fn amazon(region: &str) -> String {
    let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("s3.{region}.amazonaws.com{suffix}")
}

fn parse(endpoint: &str) -> Result<(bool, String)> {
    let refuse = || {
        let why = "write it as `https://host` or `https://host:port`, without a path";
        Error::invalid_config(format!("/endpoint: {why}")).with("pointer", "/endpoint")
    };
    let (https, rest) = match (endpoint.strip_prefix("https://"), endpoint.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return Err(refuse()),
    };
    let host = rest.trim_end_matches('/');
    // A `Host` header leaves the scheme's own port out, and it is signed.
    let host = host.strip_suffix(if https { ":443" } else { ":80" }).unwrap_or(host).to_ascii_lowercase();
    let fits = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b));
    if fits { Ok((https, host)) } else { Err(refuse()) }
}

/// Percent-encodes as SigV4 does.
pub(crate) fn encode(text: &str, keep_slashes: bool) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            b'/' if keep_slashes => out.push('/'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// Undoes a listing's `encoding-type=url`, in which `+` is a space. `None` where the result is no UTF-8.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(json: &str) -> Result<Address> {
        Address::new(&cofre_sdk::settings::parse(json).expect("settings"))
    }

    #[test]
    fn the_bucket_stands_where_the_settings_say() {
        for (json, url) in [
            (r#"{"bucket": "bkt", "region": "eu-central-1"}"#, "https://bkt.s3.eu-central-1.amazonaws.com/k"),
            (r#"{"bucket": "a.b", "region": "eu-central-1"}"#, "https://s3.eu-central-1.amazonaws.com/a.b/k"),
            (r#"{"bucket": "bkt", "region": "cn-north-1"}"#, "https://bkt.s3.cn-north-1.amazonaws.com.cn/k"),
            (r#"{"bucket": "bkt", "endpoint": "https://S3.example.com:443/"}"#, "https://s3.example.com/bkt/k"),
            (r#"{"bucket": "bkt", "endpoint": "http://[::1]:9000"}"#, "http://[::1]:9000/bkt/k"),
            (r#"{"bucket": "bkt", "endpoint": "https://h:8443", "path_style": false}"#, "https://bkt.h:8443/k"),
        ] {
            assert_eq!(address(json).expect(json).url("k", &[]), url);
        }
        for endpoint in ["h:9000", "https://", "https://h/path", "https://user@h", "ftp://h"] {
            assert!(address(&format!(r#"{{"bucket": "bkt", "endpoint": "{endpoint}"}}"#)).is_err(), "{endpoint}");
        }
    }

    #[test]
    fn keys_with_spaces_signs_and_accents_are_encoded_byte_by_byte() {
        let address = address(r#"{"bucket": "bkt", "endpoint": "https://h"}"#).expect("fine");
        assert_eq!(
            address.url("a b/ç+%~.tar", &[("partNumber", "1"), ("x", "/ ")]),
            "https://h/bkt/a%20b/%C3%A7%2B%25~.tar?partNumber=1&x=%2F%20"
        );
        assert_eq!(address.url("", &[("list-type", "2")]), "https://h/bkt/?list-type=2");
    }

    #[test]
    fn a_listing_decodes_to_the_key_that_was_encoded() {
        for key in ["a b/c+d%e", "ação/日本", "plain"] {
            assert_eq!(decode(&encode(key, true)).as_deref(), Some(key));
        }
        assert_eq!(decode("a+b%2Bc").as_deref(), Some("a b+c"));
        assert_eq!(decode("%ff"), None);
        assert_eq!(decode("%4"), None);
    }
}
