//! One authorised request at a time, by Shared Key or with a SAS token behind its address.

use std::time::{SystemTime, UNIX_EPOCH};

use cofre_sdk::http::{Method, Request, Response};
use cofre_sdk::{Error, Object, Result, Secret};

use crate::address::{Address, query};
use crate::digest::{block, checksum};
use crate::error;
use crate::settings::{Settings, check_key, refuse};
use crate::sign::{AccountKey, Signable};
use crate::transport::Transport;

/// Version of the service that is asked for: the first with every access tier, and after the one with immutability policies (2020-06-12).
pub(crate) const VERSION: &str = "2021-12-02";

/// Longest XML answer: 1,000 names of 1,024 characters, or the 50,000 blocks of an upload.
const LONGEST_ANSWER: u64 = 16 << 20;

/// What is asked of the service.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    /// Key in the container, prefix included; empty for the container itself.
    pub(crate) key: &'a str,
    pub(crate) query: Vec<(&'a str, String)>,
    /// Names in lower case.
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: &'a [u8],
}

impl<'a> Ask<'a> {
    /// A request without query, headers and body.
    pub(crate) fn new(method: Method, key: &'a str) -> Self {
        Self { method, key, query: Vec::new(), headers: Vec::new(), body: &[] }
    }

    /// With a body and its digest, which the service checks.
    pub(crate) fn digested(method: Method, key: &'a str, body: &'a [u8]) -> Self {
        Self { headers: vec![("content-md5", block(body))], body, ..Self::new(method, key) }
    }
}

/// The right to use a container.
pub(crate) enum Credentials {
    /// The account's key.
    Key(AccountKey),
    /// A SAS token: the part of an address behind `?`.
    Token(Secret),
}

impl Credentials {
    /// What the settings and secrets say.
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        let text = |name| cofre_sdk::optional_secret(name).map(|secret| secret.expose().trim().to_owned()).filter(|text| !text.is_empty());
        match (text("account_key"), text("sas_token")) {
            (Some(key), None) => AccountKey::new(&settings.account, &key).map(Self::Key),
            (None, Some(token)) => Self::token(&token),
            (None, None) => Err(Error::invalid_config("give this destination the secret `account_key` or the secret `sas_token`")),
            (Some(_), Some(_)) => Err(Error::invalid_config("give this destination only one of the secrets `account_key` and `sas_token`")),
        }
    }

    pub(crate) fn token(token: &str) -> Result<Self> {
        let token = token.rsplit('?').next().unwrap_or_default();
        let fits = token.split('&').any(|pair| pair.starts_with("sig=")) && token.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
        let refused = || Error::invalid_config("the secret `sas_token` is no token: it looks like `sv=…&sr=c&…&sig=…`");
        if fits { Ok(Self::Token(Secret::new(token))) } else { Err(refused()) }
    }
}

/// A container with the right to use it.
pub(crate) struct Client {
    pub(crate) settings: Settings,
    pub(crate) address: Address,
    pub(crate) credentials: Credentials,
    transport: Box<dyn Transport>,
}

/// What the service says of a stored object.
pub(crate) struct Properties {
    pub(crate) size: u64,
    modified_unix_ms: Option<u64>,
    /// As the header has it.
    pub(crate) md5: Option<String>,
    /// Until when it is protected, in Unix milliseconds.
    pub(crate) protected_until_unix_ms: Option<u64>,
}

impl Client {
    pub(crate) fn new(settings: Settings, credentials: Credentials, transport: Box<dyn Transport>) -> Result<Self> {
        settings.check()?;
        let address = Address::new(&settings)?;
        // A key signs and stays here; a token goes with every request.
        if matches!(credentials, Credentials::Token(_)) && !address.is_encrypted() && !address.is_loopback() {
            return refuse("/endpoint", "`http://` shows the token to everybody on the way; use `https://`");
        }
        Ok(Self { settings, address, credentials, transport })
    }

    /// Key in the container of a key of ours.
    pub(crate) fn key(&self, key: &str) -> Result<String> {
        check_key(key)?;
        let full = self.with_prefix(key);
        check_key(&full)?;
        Ok(full)
    }

    /// The setting `prefix` in front of a key, or of the beginning of one.
    pub(crate) fn with_prefix(&self, key: &str) -> String {
        if self.settings.prefix.is_empty() { key.to_owned() } else { format!("{}/{key}", self.settings.prefix) }
    }

    /// Sends a request; an answer that is no success is an error.
    pub(crate) fn send(&self, ask: Ask<'_>) -> Result<Response> {
        let answer = self.exchange(ask)?;
        if answer.is_success() { Ok(answer) } else { Err(error::from_answer(&answer)) }
    }

    /// Sends a request for a range; 416, "there is no such range", is an answer too.
    pub(crate) fn get_range(&self, key: &str, range: Option<String>) -> Result<Response> {
        let headers = range.into_iter().map(|range| ("range", range)).collect();
        let answer = self.exchange(Ask { headers, ..Ask::new(Method::Get, key) })?;
        if answer.is_success() || answer.status() == 416 { Ok(answer) } else { Err(error::from_answer(&answer)) }
    }

    /// Sends a request whose answer is a document.
    pub(crate) fn send_for_body(&self, ask: Ask<'_>) -> Result<Vec<u8>> {
        self.send(ask)?.body_to_vec(LONGEST_ANSWER)
    }

    fn exchange(&self, ask: Ask<'_>) -> Result<Response> {
        let body = ask.body;
        self.transport.send(self.authorised(ask, SystemTime::now()), body)
    }

    fn authorised(&self, mut ask: Ask<'_>, now: SystemTime) -> Request {
        let path = self.address.path(ask.key);
        ask.headers.push(("x-ms-version", VERSION.to_owned()));
        let mut query = query(&ask.query);
        match &self.credentials {
            Credentials::Key(key) => {
                ask.headers.push(("x-ms-date", httpdate::fmt_http_date(now)));
                let method = ask.method.as_str();
                let signable = Signable { method, path: &path, query: &ask.query, headers: &ask.headers, content_length: ask.body.len() };
                let authorization = key.authorization(&signable);
                ask.headers.push(("authorization", authorization));
            }
            Credentials::Token(token) => {
                query.push(if query.is_empty() { '?' } else { '&' });
                query.push_str(token.expose());
            }
        }
        let request = Request::new(ask.method, format!("{}{path}{query}", self.address.origin));
        ask.headers.into_iter().fold(request, |request, (name, value)| request.header(name, value))
    }

    /// Headers that decide how an object is stored; for the requests that create one.
    pub(crate) fn storage_headers(&self) -> impl Iterator<Item = (&'static str, String)> {
        let tier = self.settings.access_tier.map(|tier| ("x-ms-access-tier", tier.as_str().to_owned()));
        tier.into_iter().chain([("x-ms-blob-content-type", "application/octet-stream".to_owned())])
    }

    /// What is stored under a key of the container.
    pub(crate) fn properties(&self, full_key: &str) -> Result<Properties> {
        let answer = self.send(Ask::new(Method::Head, full_key))?;
        let size = answer.header("content-length").and_then(|length| length.trim().parse().ok());
        let date = |name| answer.header(name).and_then(unix_ms);
        Ok(Properties {
            size: size.ok_or_else(|| Error::other("the service does not say how long the object is"))?,
            modified_unix_ms: date("last-modified"),
            md5: answer.header("content-md5").map(str::to_owned),
            protected_until_unix_ms: date("x-ms-immutability-policy-until-date"),
        })
    }
}

impl Properties {
    /// As the contract has it.
    pub(crate) fn object(&self, key: &str) -> Object {
        let checksum = self.md5.as_deref().and_then(checksum);
        Object { key: key.to_owned(), size: self.size, modified_unix_ms: self.modified_unix_ms, checksum }
    }
}

pub(crate) fn unix_ms(text: &str) -> Option<u64> {
    let since = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

/// The part of a key of the container that is a key of ours.
pub(crate) fn own_key<'a>(full: &'a str, root: &str) -> Option<&'a str> {
    full.strip_prefix(root).filter(|key| !key.is_empty())
}
