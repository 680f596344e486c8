//! One authorised request at a time.

use std::io::Read;
use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cofre_sdk::http::{Method, Request, Response};
use cofre_sdk::{Error, Object, Result, Secret};
use serde::Deserialize;

use crate::address::Address;
use crate::error;
use crate::settings::Settings;
use crate::transport::{Pieces, Transport};

/// Longest page of a listing.
const LONGEST_PAGE: u64 = 8 << 20;

/// One page of a listing.
#[derive(Debug, Deserialize)]
pub(crate) struct Listing {
    pub(crate) objects: Vec<Listed>,
    #[serde(default)]
    pub(crate) cursor: Option<String>,
    #[serde(default)]
    pub(crate) free_bytes: Option<u64>,
}

/// One object of a listing.
#[derive(Debug, Deserialize)]
pub(crate) struct Listed {
    pub(crate) key: String,
    pub(crate) size: u64,
    #[serde(default)]
    pub(crate) modified_unix_ms: Option<u64>,
    #[serde(default)]
    pub(crate) sha256: Option<String>,
}

/// A server with the right to use it.
pub(crate) struct Client {
    pub(crate) settings: Settings,
    pub(crate) address: Address,
    token: Secret,
    transport: Box<dyn Transport>,
}

impl Client {
    pub(crate) fn new(settings: Settings, token: &str, transport: Box<dyn Transport>) -> Result<Self> {
        settings.check()?;
        let address = Address::new(&settings)?;
        let token = token.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::invalid_config("the secret `token` is empty, or has characters that no token has"));
        }
        Ok(Self { settings, address, token: Secret::new(token), transport })
    }

    /// A request with its authorization.
    pub(crate) fn request(&self, method: Method, url: &str) -> Request {
        Request::new(method, url).header("authorization", format!("Bearer {}", self.token.expose()))
    }

    /// The same for an upload by tus.
    pub(crate) fn tus(&self, method: Method, url: &str) -> Request {
        self.request(method, url).header("tus-resumable", "1.0.0")
    }

    /// Sends a request; the answer may be any.
    pub(crate) fn exchange(&self, request: Request, body: Option<(&mut dyn Read, u64)>) -> Result<Response> {
        self.transport.send(request, body)
    }

    /// Sends a request without a body; an answer that is no success is an error.
    pub(crate) fn send(&self, request: Request) -> Result<Response> {
        accepted(self.exchange(request, None)?, error::from_answer)
    }

    /// The same for an upload by tus, with a body or without.
    pub(crate) fn send_tus(&self, request: Request, body: Option<(&mut dyn Read, u64)>) -> Result<Response> {
        accepted(self.exchange(request, body)?, error::from_tus)
    }

    /// Begins to store an object that ends where its request ends.
    pub(crate) fn open_put(&self, key: &str) -> Result<Box<dyn Pieces>> {
        let request = self.request(Method::Put, &self.address.of(key)).header("content-type", "application/octet-stream");
        self.transport.open(request, None)
    }

    /// Ends what [`Client::open_put`] began.
    pub(crate) fn end_put(pieces: Box<dyn Pieces>) -> Result<()> {
        accepted(pieces.finish()?, error::from_answer).map(drop)
    }

    /// Asks for a range; 416, "there is no such range", is an answer too.
    pub(crate) fn get_range(&self, key: &str, range: Option<String>) -> Result<Response> {
        let request = self.request(Method::Get, &self.address.of(key));
        let answer = self.exchange(range.into_iter().fold(request, |request, range| request.header("range", range)), None)?;
        if answer.status() == 416 { Ok(answer) } else { accepted(answer, error::from_answer) }
    }

    /// The object at `key`.
    pub(crate) fn object(&self, key: &str) -> Result<Object> {
        let answer = self.send(self.request(Method::Head, &self.address.of(key)))?;
        let size = answer.header("content-length").and_then(|length| length.trim().parse().ok());
        let size = size.ok_or_else(|| Error::other("the server does not say how long the object is"))?;
        let modified = answer.header("last-modified").and_then(|text| httpdate::parse_http_date(text).ok());
        let modified = modified.and_then(|time| u64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok());
        let checksum = answer.header("repr-digest").and_then(checksum);
        Ok(Object { key: key.to_owned(), size, modified_unix_ms: modified, checksum })
    }

    /// One page of the listing.
    pub(crate) fn page(&self, prefix: &str, cursor: Option<&str>) -> Result<Listing> {
        let mut answer = self.send(self.request(Method::Get, &self.address.of_listing(prefix, cursor)))?;
        let body = answer.body_to_vec(LONGEST_PAGE)?;
        let malformed = |why| Error::other(format!("the server's listing cannot be understood: {why}")).retryable(true);
        serde_json::from_slice(&body).map_err(malformed)
    }
}

impl Listed {
    /// As the contract has it.
    pub(crate) fn object(self) -> Object {
        let is_digest = |hex: &String| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        let checksum = self.sha256.filter(is_digest).map(|hex| format!("sha256:{}", hex.to_ascii_lowercase()));
        Object { key: self.key, size: self.size, modified_unix_ms: self.modified_unix_ms, checksum }
    }
}

fn accepted(answer: Response, refusal: impl FnOnce(Response) -> Error) -> Result<Response> {
    if answer.is_success() { Ok(answer) } else { Err(refusal(answer)) }
}

/// SHA-256 out of `Repr-Digest` (RFC 9530): `sha-256=:base64:, …`.
fn checksum(header: &str) -> Option<String> {
    let value = header.split(',').find_map(|one| one.trim().strip_prefix("sha-256=:"))?.strip_suffix(':')?;
    let bytes = BASE64_STANDARD.decode(value).ok().filter(|bytes| bytes.len() == 32)?;
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    Some(format!("sha256:{}", digits.map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0')).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_header_becomes_a_checksum() {
        let hex = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for header in [
            "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
            "sha-512=:AA==:, sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
        ] {
            assert_eq!(checksum(header).as_deref(), Some(hex), "{header}");
        }
        for header in ["", "sha-256=:AA==:", "sha-256=47DEQpj8"] {
            assert_eq!(checksum(header), None, "{header}");
        }
    }
}
