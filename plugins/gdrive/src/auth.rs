//! From the administrator's credentials to access tokens: a service account signs an assertion with its key (RFC 7523, RS256), a user's
//! refresh token is exchanged with its client's identifier (RFC 6749 section 6). A token lives an hour; nothing is kept between calls.

use std::cell::RefCell;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use cofre_sdk::http::Request;
use cofre_sdk::{Context as _, Error, Result, Secret};
use percent_encoding::utf8_percent_encode;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde::{Deserialize, Serialize};

use crate::client::RESERVED;
use crate::error;
use crate::transport::{Payload, Transport};

/// What a service account asks for: folders that were shared with it are visible to no smaller scope.
const SCOPE: &str = "https://www.googleapis.com/auth/drive";

/// How long an assertion holds, the most that the service permits.
const ASSERTION_TIME: u64 = 3_600;

/// A token is not used any more so long before it ends: a request that takes a while must not end with it.
const SPARE: Duration = Duration::from_mins(5);

/// Longest answer to a request for a token.
const LONGEST_ANSWER: u64 = 64 << 10;

/// Who asks.
pub(crate) enum Credentials {
    /// A program's own account, perhaps acting for a user.
    ServiceAccount(Box<ServiceAccount>),
    /// A user that once agreed.
    RefreshToken { token: Secret, client_id: Secret, client_secret: Option<Secret> },
}

/// A service account's key file, and the user to act for.
pub(crate) struct ServiceAccount {
    email: String,
    key_id: Option<String>,
    key: RsaKeyPair,
    user: Option<String>,
}

#[derive(Deserialize)]
struct KeyFile {
    client_email: String,
    private_key: String,
    #[serde(default)]
    private_key_id: Option<String>,
}

impl Credentials {
    /// From the secrets of this instance: `service_account_key`, or else `refresh_token` with `client_id` and `client_secret`.
    pub(crate) fn from_secrets(user: Option<String>) -> Result<Self> {
        let secret = |name: &str| {
            let secret = cofre_sdk::optional_secret(name).map(|secret| secret.expose().trim().to_owned());
            secret.filter(|text| !text.is_empty()).map(Secret::new)
        };
        if let Some(key) = secret("service_account_key") {
            return ServiceAccount::new(&key, user).map(|account| Self::ServiceAccount(Box::new(account)));
        }
        if user.is_some() {
            return Err(Error::invalid_config("/impersonate: only a service account can act for a user").with("pointer", "/impersonate"));
        }
        let needed = |name: &str| {
            let missing = "give this destination `service_account_key`, or `refresh_token`, `client_id` and `client_secret`";
            secret(name).ok_or_else(|| Error::invalid_config(format!("the secret `{name}` is missing; {missing}")))
        };
        Ok(Self::RefreshToken { token: needed("refresh_token")?, client_id: needed("client_id")?, client_secret: secret("client_secret") })
    }

    /// The form that asks for an access token.
    fn form(&self, token_url: &str, now: SystemTime) -> Result<String> {
        match self {
            Self::ServiceAccount(account) => {
                let assertion = account.assertion(token_url, now)?;
                Ok(form(&[("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", &assertion)]))
            }
            Self::RefreshToken { token, client_id, client_secret } => {
                let mut fields =
                    vec![("grant_type", "refresh_token"), ("refresh_token", token.expose()), ("client_id", client_id.expose())];
                fields.extend(client_secret.as_ref().map(|secret| ("client_secret", secret.expose())));
                Ok(form(&fields))
            }
        }
    }
}

impl ServiceAccount {
    /// Reads a key file as the service hands it out.
    pub(crate) fn new(file: &Secret, user: Option<String>) -> Result<Self> {
        let wrong = |why: &str| Error::invalid_config(format!("the secret `service_account_key` cannot be used: {why}"));
        // What serde says of a mistake may quote the file.
        let file: KeyFile = serde_json::from_str(file.expose())
            .map_err(|_| wrong("it is not the JSON file that Google made for the account's key, with `client_email` and `private_key`"))?;
        let base64: String = file.private_key.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
        let der = BASE64_STANDARD.decode(base64).map_err(|_| wrong("its private key is not PEM"))?;
        let key = RsaKeyPair::from_pkcs8(&der).map_err(|_| wrong("its private key is no RSA key of 2048 to 4096 bits in PKCS #8"))?;
        Ok(Self { email: file.client_email, key_id: file.private_key_id, key, user })
    }

    fn assertion(&self, audience: &str, now: SystemTime) -> Result<String> {
        #[derive(Serialize)]
        struct Header<'a> {
            alg: &'static str,
            typ: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            kid: Option<&'a str>,
        }
        #[derive(Serialize)]
        struct Claims<'a> {
            iss: &'a str,
            scope: &'static str,
            aud: &'a str,
            iat: u64,
            exp: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            sub: Option<&'a str>,
        }
        let iat = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let header = Header { alg: "RS256", typ: "JWT", kid: self.key_id.as_deref() };
        let claims = Claims { iss: &self.email, scope: SCOPE, aud: audience, iat, exp: iat + ASSERTION_TIME, sub: self.user.as_deref() };
        let part = |json: serde_json::Result<Vec<u8>>| {
            json.map(|json| BASE64_URL_SAFE_NO_PAD.encode(json))
                .map_err(|error| Error::other(format!("cannot write an assertion: {error}")))
        };
        let signed = format!("{}.{}", part(serde_json::to_vec(&header))?, part(serde_json::to_vec(&claims))?);
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| Error::other("cannot sign an assertion: the key was refused, or the host gives no randomness"))?;
        Ok(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
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
        let form = self.credentials.form(&self.token_url, now)?;
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

/// `application/x-www-form-urlencoded`, every byte but the unreserved ones encoded.
fn form(fields: &[(&str, &str)]) -> String {
    let one = |(name, value): &(&str, &str)| format!("{name}={}", utf8_percent_encode(value, RESERVED));
    fields.iter().map(one).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;
    use crate::fake::KEY_FILE;

    #[test]
    fn an_assertion_says_who_asks_for_what_and_is_signed() {
        let account = ServiceAccount::new(&Secret::new(KEY_FILE), Some("ana@empresa.example".to_owned())).expect("a key");
        let assertion = account.assertion("https://h/token", UNIX_EPOCH + Duration::from_secs(1_700_000_000)).expect("signed");
        let (signed, signature) = assertion.rsplit_once('.').expect("three parts");
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).expect("base64");
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, account.key.public_key().as_ref());
        public.verify(signed.as_bytes(), &signature).expect("its own signature");
        let claims: serde_json::Value =
            serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(signed.split('.').nth(1).expect("claims")).expect("base64"))
                .expect("JSON");
        assert_eq!(
            claims,
            serde_json::json!({"iss": "cofre@test.example", "scope": SCOPE, "aud": "https://h/token", "iat": 1_700_000_000_u64,
                "exp": 1_700_003_600_u64, "sub": "ana@empresa.example"})
        );
    }

    #[test]
    fn a_key_that_cannot_be_used_is_refused_without_being_shown() {
        for file in [
            "{",
            "{\"private_key\": \"hunter2\", \"client_email\": 1}",
            "{\"private_key\": \"aHVudGVyMg==\", \"client_email\": \"hunter2@x\"}",
        ] {
            let error = ServiceAccount::new(&Secret::new(file), None).map(drop).expect_err("no key");
            assert!(error.message().contains("service_account_key") && !error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_form_encodes_what_would_mean_something() {
        assert_eq!(form(&[("a", "1//x+y&z=")]), "a=1%2F%2Fx%2By%26z%3D");
    }
}
