//! From a refresh token to access tokens (RFC 6749 section 6; "OAuth Guide", Dropbox). An app that logged in with PKCE has no secret. A
//! token lives four hours; nothing is kept between calls.

use std::cell::RefCell;
use std::fmt;
use std::time::{Duration, SystemTime};

use cofre_sdk::http::Request;
use cofre_sdk::{Context as _, Error, Result, Secret};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::error;
use crate::transport::{Payload, Transport};

/// What is encoded in a form: everything but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A token is not used any more so long before it ends: a request that takes a while must not end with it.
const SPARE: Duration = Duration::from_mins(5);

/// Longest answer to a request for a token.
const LONGEST_ANSWER: u64 = 64 << 10;

/// A user that once agreed, and the app that asked.
pub(crate) struct Credentials {
    pub(crate) refresh_token: Secret,
    pub(crate) client_id: Secret,
    pub(crate) client_secret: Option<Secret>,
}

impl Credentials {
    /// From the secrets of this instance.
    pub(crate) fn from_secrets() -> Result<Self> {
        let needed = |name: &str| cofre_sdk::secret(name).map(|secret| Secret::new(secret.expose().trim()));
        let secret = cofre_sdk::optional_secret("client_secret").map(|secret| secret.expose().trim().to_owned());
        Ok(Self {
            refresh_token: needed("refresh_token")?,
            client_id: needed("client_id")?,
            client_secret: secret.filter(|text| !text.is_empty()).map(Secret::new),
        })
    }

    fn form(&self) -> String {
        let mut fields =
            vec![("grant_type", "refresh_token"), ("refresh_token", self.refresh_token.expose()), ("client_id", self.client_id.expose())];
        fields.extend(self.client_secret.as_ref().map(|secret| ("client_secret", secret.expose())));
        let one = |(name, value): &(&str, &str)| format!("{name}={}", utf8_percent_encode(value, RESERVED));
        fields.iter().map(one).collect::<Vec<_>>().join("&")
    }
}

/// Gets access tokens and keeps the last one.
pub(crate) struct Authority {
    credentials: Credentials,
    token_url: String,
    current: RefCell<Option<Access>>,
}

struct Access {
    token: Secret,
    until: SystemTime,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    #[serde(default)]
    expires_in: u64,
}

impl Authority {
    pub(crate) fn new(credentials: Credentials, token_url: String) -> Self {
        Self { credentials, token_url, current: RefCell::default() }
    }

    /// The value of `Authorization`.
    pub(crate) fn bearer(&self, transport: &dyn Transport) -> Result<String> {
        let now = SystemTime::now();
        if let Some(access) = self.current.borrow().as_ref().filter(|access| now < access.until) {
            return Ok(format!("Bearer {}", access.token.expose()));
        }
        let form = self.credentials.form();
        let request = Request::post(&self.token_url).header("content-type", "application/x-www-form-urlencoded");
        let mut answer = transport.send(request, Payload::Bytes(form.as_bytes())).context("cannot get an access token")?;
        if !answer.is_success() {
            return Err(error::from_token_answer(answer));
        }
        let body = answer.body_to_vec(LONGEST_ANSWER).context("cannot get an access token")?;
        // What serde says of a mistake may quote the token.
        let granted: Granted = serde_json::from_slice(&body)
            .map_err(|_| Error::other("the answer with the access token cannot be understood").retryable(true))?;
        let until = now + Duration::from_secs(granted.expires_in).saturating_sub(SPARE);
        let bearer = format!("Bearer {}", granted.access_token);
        *self.current.borrow_mut() = Some(Access { token: Secret::new(granted.access_token), until });
        Ok(bearer)
    }

    /// Forgets the token that was refused.
    pub(crate) fn forget(&self) {
        *self.current.borrow_mut() = None;
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("token_url", &self.token_url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_without_a_secret_sends_none_and_signs_are_encoded() {
        let credentials = |secret: Option<&str>| Credentials {
            refresh_token: Secret::new("r+t/=&"),
            client_id: Secret::new("id"),
            client_secret: secret.map(Secret::new),
        };
        assert_eq!(credentials(None).form(), "grant_type=refresh_token&refresh_token=r%2Bt%2F%3D%26&client_id=id");
        assert!(credentials(Some("s")).form().ends_with("&client_id=id&client_secret=s"));
    }
}
