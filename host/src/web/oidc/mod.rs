//! Login at a provider of identities: OpenID Connect Core 1.0, the authorization code flow (3.1), with PKCE (RFC 7636) and a state that only the
//! browser has that began it. Who somebody is comes from there; what they may is known here alone.
//!
//! The ID token comes straight from the token endpoint over TLS, which is proof of who issued it (Core 3.1.3.7, number 6): no signature is
//! needed, and no library for keys and curves. Everything else that it must say is checked.

mod fetch;
mod token;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::secret;
use crate::config::{Claim, OidcSettings, is_private};
use fetch::{Sent, fetch};
use token::{Claims, Expected};

/// Where the provider sends people back to, below the page's own address.
pub(super) const CALLBACK: &str = "/login/oidc/callback";
/// How long a login may take at the provider.
pub(super) const PATIENCE: SignedDuration = SignedDuration::from_mins(10);
/// Logins under way; more end the oldest, so that whoever begins many fills nothing.
const PENDING_MAX: usize = 1_000;
/// How long what a provider says of itself is believed.
const KNOWN: SignedDuration = SignedDuration::from_hours(1);
/// How long all that is asked of it may take.
const ASKED: Duration = Duration::from_secs(30);
/// Longest address to go on to, in bytes.
const NEXT_MAX: usize = 2_000;

/// Why somebody did not get in by a provider.
#[derive(Debug, thiserror::Error)]
pub(super) enum OidcError {
    /// The provider, or the way there.
    #[error("the provider of identities does not answer as it should: {0}")]
    Provider(String),
    /// It says no.
    #[error("the provider of identities refused: {0}")]
    Refused(String),
    /// This login was not begun by this browser, or too long ago.
    #[error("this login was not begun in this browser, or more than ten minutes ago; begin again")]
    Unknown,
    /// It does not name the user.
    #[error("the provider of identities does not say {0}; let it give cofre that claim, or choose another with web.oidc.claim")]
    NoName(&'static str),
    /// The secret cannot be had.
    #[error("web.oidc.client_secret: {0}")]
    Secret(String),
    /// The system gives none.
    #[error("the system gives no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
}

/// What a provider says of itself (OpenID Connect Discovery 1.0, 3).
#[derive(Debug, Clone, Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    userinfo_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
    /// RFC 9207.
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// A login under way.
struct Pending {
    nonce: String,
    verifier: String,
    next: String,
    begun: Timestamp,
}

/// A login that was begun.
pub(super) struct Begun {
    /// Where the browser goes.
    pub address: String,
    /// What it must bring back, in a cookie.
    pub state: String,
}

/// What a provider sends back with the browser.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Returned {
    #[serde(default)]
    code: String,
    #[serde(default)]
    state: String,
    error: Option<String>,
    error_description: Option<String>,
    iss: Option<String>,
}

/// Somebody whom the provider knows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identified {
    /// Name of the user, as the provider writes it.
    pub name: String,
    /// Where they wanted to go.
    pub next: String,
}

/// What the token endpoint answers (Core 3.1.3.3).
#[derive(Deserialize)]
struct Tokens {
    access_token: String,
    id_token: String,
}

/// The provider of the configuration, and the logins under way there.
pub(super) struct Oidc {
    settings: OidcSettings,
    redirect: String,
    pending: Mutex<HashMap<String, Pending>>,
    known: tokio::sync::Mutex<Option<(Timestamp, Arc<Metadata>)>>,
}

impl Oidc {
    /// Nobody is asked yet. `base` is the page's own address.
    pub(super) fn new(settings: OidcSettings, base: &str) -> Self {
        Self { settings, redirect: format!("{base}{CALLBACK}"), pending: Mutex::default(), known: tokio::sync::Mutex::default() }
    }

    /// What people call it.
    pub(super) fn label(&self) -> &str {
        &self.settings.label
    }

    /// Begins a login that goes on to `next`.
    pub(super) async fn begin(&self, next: &str, now: Timestamp) -> Result<Begun, OidcError> {
        let metadata = in_time(self.metadata(now)).await?;
        let (state, nonce) = (secret::name()?, secret::name()?);
        // RFC 7636, 4.1: at least 43 characters.
        let verifier = format!("{}{}", secret::name()?, secret::name()?);
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("response_type", "code").append_pair("client_id", &self.settings.client_id);
        query.append_pair("redirect_uri", &self.redirect).append_pair("scope", "openid profile email");
        query.append_pair("state", &state).append_pair("nonce", &nonce);
        query.append_pair("code_challenge", &challenge).append_pair("code_challenge_method", "S256");
        let (place, mark) = (&metadata.authorization_endpoint, if metadata.authorization_endpoint.contains('?') { '&' } else { '?' });
        let address = format!("{place}{mark}{}", query.finish());
        let next = if next.len() <= NEXT_MAX { next } else { "/" }.to_owned();
        self.remember(state.clone(), Pending { nonce, verifier, next, begun: now });
        Ok(Begun { address, state })
    }

    fn remember(&self, state: String, login: Pending) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.retain(|_, other| login.begun.duration_since(other.begun) < PATIENCE);
        if pending.len() >= PENDING_MAX {
            let oldest = pending.iter().min_by_key(|(_, other)| other.begun).map(|(state, _)| state.clone());
            oldest.and_then(|state| pending.remove(&state));
        }
        pending.insert(state, login);
    }

    /// The login that belongs to a state, once, where the browser is the one that began it.
    fn take(&self, returned: &Returned, cookie: &str, now: Timestamp) -> Result<Pending, OidcError> {
        if returned.state.is_empty() || !secret::same(returned.state.as_bytes(), cookie.as_bytes()) {
            return Err(OidcError::Unknown);
        }
        let login = self.pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&returned.state);
        login.filter(|login| now.duration_since(login.begun) < PATIENCE).ok_or(OidcError::Unknown)
    }

    /// Ends a login: who it is, as the provider says.
    pub(super) async fn finish(&self, returned: &Returned, cookie: &str, now: Timestamp) -> Result<Identified, OidcError> {
        let login = self.take(returned, cookie, now)?;
        if let Some(error) = &returned.error {
            let why: String = returned.error_description.as_ref().unwrap_or(error).chars().filter(|c| !c.is_control()).take(300).collect();
            return Err(OidcError::Refused(why));
        }
        let name = in_time(async {
            let metadata = self.metadata(now).await?;
            let named = returned.iss.as_ref().is_none_or(|iss| *iss == metadata.issuer);
            if !named || (returned.iss.is_none() && metadata.authorization_response_iss_parameter_supported) {
                return Err(OidcError::Provider("the answer comes from another one".to_owned()));
            }
            self.name(&metadata, (&returned.code, &login), now).await
        })
        .await?;
        Ok(Identified { name, next: login.next })
    }

    async fn name(&self, metadata: &Metadata, (code, login): (&str, &Pending), now: Timestamp) -> Result<String, OidcError> {
        let tokens = self.tokens(metadata, (code, &login.verifier)).await?;
        let expected = Expected { issuer: &metadata.issuer, client: &self.settings.client_id, nonce: &login.nonce };
        let claims = token::checked(&tokens.id_token, &expected, now).map_err(OidcError::Provider)?;
        if let Some(name) = named(&claims, self.settings.claim) {
            return Ok(name);
        }
        // Most tell it in the token; by the letter (Core 5.4) it is told here.
        let missing = OidcError::NoName(claim_name(self.settings.claim));
        let Some(place) = &metadata.userinfo_endpoint else { return Err(missing) };
        let bearer = format!("Bearer {}", tokens.access_token);
        let more: Claims = self.ask(place, Sent::Nothing, Some(&bearer)).await?;
        if more.sub != claims.sub {
            return Err(OidcError::Provider("it tells of somebody else than it let in".to_owned()));
        }
        named(&more, self.settings.claim).ok_or(missing)
    }

    async fn tokens(&self, metadata: &Metadata, (code, verifier): (&str, &str)) -> Result<Tokens, OidcError> {
        let secret = self.settings.secret().map_err(OidcError::Secret)?;
        let methods = &metadata.token_endpoint_auth_methods_supported;
        let basic = methods.is_empty() || methods.iter().any(|method| method == "client_secret_basic");
        let id = &self.settings.client_id;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", self.redirect.as_str()),
            ("code_verifier", verifier),
        ];
        let mut authorization = None;
        match &secret {
            Some(secret) if basic => {
                let word = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                // RFC 6749, 2.3.1: both as a form writes them.
                authorization = Some(format!("Basic {}", STANDARD.encode(format!("{}:{}", word(id), word(secret.expose_secret())))));
            }
            Some(secret) => form.extend([("client_id", id.as_str()), ("client_secret", secret.expose_secret())]),
            None => form.push(("client_id", id)),
        }
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.ask(&metadata.token_endpoint, Sent::Form(form), authorization.as_deref()).await
    }

    /// What the provider says of itself, which is asked once an hour.
    async fn metadata(&self, now: Timestamp) -> Result<Arc<Metadata>, OidcError> {
        let mut known = self.known.lock().await;
        if let Some((_, metadata)) = known.as_ref().filter(|(at, _)| now.duration_since(*at) < KNOWN) {
            return Ok(Arc::clone(metadata));
        }
        let place = format!("{}/.well-known/openid-configuration", self.settings.issuer.trim_end_matches('/'));
        let metadata: Metadata = self.ask(&place, Sent::Nothing, None).await?;
        if metadata.issuer != self.settings.issuer {
            let detail = format!("it calls itself `{}`; write that as web.oidc.issuer", metadata.issuer);
            return Err(OidcError::Provider(detail));
        }
        let metadata = Arc::new(metadata);
        *known = Some((now, Arc::clone(&metadata)));
        Ok(metadata)
    }

    async fn ask<T: for<'a> Deserialize<'a>>(&self, place: &str, sent: Sent, authorization: Option<&str>) -> Result<T, OidcError> {
        let wrong = |why: &dyn std::fmt::Display| OidcError::Provider(format!("{place}: {why}"));
        let address: http::Uri = place.parse().map_err(|error: http::uri::InvalidUri| wrong(&error))?;
        if !is_private(&address) {
            return Err(wrong(&"this address is not under TLS"));
        }
        let (status, body) = fetch(&address, (sent, authorization), self.settings.ca_file.as_deref()).await.map_err(|why| wrong(&why))?;
        if !status.is_success() {
            return Err(wrong(&format!("it answers {status}")));
        }
        serde_json::from_slice(&body).map_err(|error| wrong(&format!("the answer cannot be read: {error}")))
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, OidcError>>) -> Result<T, OidcError> {
    let late = |_| OidcError::Provider(format!("no answer within {} s", ASKED.as_secs()));
    tokio::time::timeout(ASKED, work).await.map_err(late).flatten()
}

fn claim_name(claim: Claim) -> &'static str {
    match claim {
        Claim::Username => "`preferred_username`",
        Claim::Email => "a verified `email`",
    }
}

/// What it calls the user.
fn named(claims: &Claims, claim: Claim) -> Option<String> {
    let name = match claim {
        Claim::Username => claims.preferred_username.clone(),
        Claim::Email => claims.email.clone().filter(|_| claims.email_verified == Some(true)),
    };
    name.filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests;
