//! Who asks: a token, a session, or somebody for whom a trusted proxy vouches. One place reads credentials, and everything behind it asks
//! only what the principal may.

use std::net::SocketAddr;

use axum::extract::{Request, State as Extract};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;

use super::problem::{Kind, Problem};
use super::state::State;
use crate::access::{AccessError, Principal, PrincipalKind, Refusal};

/// Header in which a session's own word comes with every change.
pub(super) const CSRF_HEADER: &str = "x-csrf-token";
/// Header of what a page's script asks by itself, with nobody at the keyboard: a newer part of the page.
pub(super) const REFRESH_HEADER: &str = "x-refresh";
/// Name of the session's cookie; under TLS a browser takes it from this very host only.
const COOKIE: &str = "cofre_session";
const SECURE_COOKIE: &str = "__Host-cofre_session";
/// Longest credential that is looked at, in bytes.
const CREDENTIAL_MAX: usize = 512;

/// The other end of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Whether the connection is under TLS.
    pub secure: bool,
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who, and what they may.
    pub principal: Principal,
    /// How they came in.
    pub credential: Credential,
}

/// How somebody came in.
#[derive(Debug, Clone)]
pub enum Credential {
    /// By a token, which no browser sends by itself.
    Token,
    /// By a cookie.
    Session {
        /// Its word for changes.
        csrf: String,
        /// The cookie's content, to end the session.
        cookie: String,
    },
    /// By a proxy's header, which is there whatever page made the browser ask.
    Proxy {
        /// Its word for changes.
        csrf: String,
    },
}

impl Caller {
    /// The word that a form, or the header `X-CSRF-Token`, must carry; a token needs none.
    pub fn csrf(&self) -> Option<&str> {
        match &self.credential {
            Credential::Token => None,
            Credential::Session { csrf, .. } | Credential::Proxy { csrf } => Some(csrf),
        }
    }

    /// Whether a change may be asked for with this word.
    pub fn may_change(&self, word: Option<&str>) -> bool {
        match (self.csrf(), word) {
            (None, _) => true,
            (Some(own), Some(word)) => super::secret::same(own.as_bytes(), word.as_bytes()),
            (Some(_), None) => false,
        }
    }

    /// Who this is, whatever they may: the same for the same token, or the same person.
    pub fn identity(&self) -> String {
        match &self.principal.kind {
            PrincipalKind::Token { id } => format!("token {id}"),
            PrincipalKind::User { .. } | PrincipalKind::Proxy { .. } => format!("user {}", self.principal.name),
        }
    }
}

/// Finds out who asks, and leaves that with the request. Whether they may is decided where it is known what they ask for.
pub(super) async fn authenticate(Extract(state): Extract<State>, mut request: Request, next: Next) -> Response {
    match identify(&state, &request) {
        Ok(Some(caller)) => {
            request.extensions_mut().insert(caller);
        }
        Ok(None) => {}
        Err(problem) => return problem.into_response(),
    }
    next.run(request).await
}

fn identify(state: &State, request: &Request) -> Result<Option<Caller>, Problem> {
    let (headers, now) = (request.headers(), Timestamp::now());
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let Some(token) = value.to_str().ok().and_then(bearer) else { return Ok(None) };
        let principal = state.access().by_token(token, now)?;
        return Ok(principal.map(|principal| Caller { principal, credential: Credential::Token }));
    }
    let used = !headers.contains_key(REFRESH_HEADER);
    let session = |cookie| if used { state.access().by_session(cookie, now) } else { state.access().by_idle_session(cookie, now) };
    if let Some(cookie) = session_cookie(headers)
        && let Some(session) = session(cookie)?
    {
        let credential = Credential::Session { csrf: session.csrf.as_str().to_owned(), cookie: cookie.to_owned() };
        return Ok(Some(Caller { principal: session.principal, credential }));
    }
    by_proxy(state, request)
}

/// The token of `Bearer cofre_…`.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && token.len() <= CREDENTIAL_MAX).then(|| token.trim())
}

/// The session in the cookies.
fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|line| line.split(';'));
    let mut pairs = pairs.filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == SECURE_COOKIE || *name == COOKIE)?;
    (value.len() <= CREDENTIAL_MAX).then_some(value)
}

/// The cookie of a session that begins, as `Set-Cookie` has it; an empty one ends it.
pub fn cookie(secret: &str, secure: bool) -> String {
    let (name, flag) = if secure { (SECURE_COOKIE, "; Secure") } else { (COOKIE, "") };
    let age = if secret.is_empty() { "; Max-Age=0" } else { "" };
    format!("{name}={secret}; Path=/; HttpOnly; SameSite=Strict{flag}{age}")
}

/// Whom a proxy at a trusted address names.
fn by_proxy(state: &State, request: &Request) -> Result<Option<Caller>, Problem> {
    let Some(proxies) = &state.settings().proxies else { return Ok(None) };
    let Some(header) = &proxies.header else { return Ok(None) };
    let trusted = request.extensions().get::<Peer>().is_some_and(|peer| proxies.addresses.contains(&peer.address.ip().to_canonical()));
    let mut names = request.headers().get_all(header.as_str()).iter();
    let (Some(name), None, true) = (names.next(), names.next(), trusted) else { return Ok(None) };
    let Some(name) = name.to_str().ok().filter(|name| !name.is_empty()) else { return Ok(None) };
    let user = match state.access().user(name) {
        Err(AccessError::Refused(Refusal::NoUser(_))) => {
            let detail = "the proxy lets in somebody whom cofre does not know; an administrator adds them with: cofre user add";
            return Err(Problem::new(Kind::Unauthenticated, detail));
        }
        found => found?,
    };
    let csrf = state.word_for(&user.name);
    Ok(Some(Caller { principal: Principal::proxy(user.name, user.role), credential: Credential::Proxy { csrf } }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_its_header_only() {
        assert_eq!(bearer("Bearer cofre_a_b"), Some("cofre_a_b"));
        assert_eq!(bearer("bearer cofre_a_b"), Some("cofre_a_b"));
        assert_eq!(bearer("Basic cofre_a_b"), None);
        assert_eq!(bearer("Bearer"), None);
        assert_eq!(bearer(&format!("Bearer {}", "x".repeat(CREDENTIAL_MAX + 1))), None);
    }

    #[test]
    fn the_session_is_found_among_other_cookies() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "a=b; theme=dark".parse().expect("a header"));
        assert_eq!(session_cookie(&headers), None);
        headers.append(header::COOKIE, "x=y; cofre_session=abc".parse().expect("a header"));
        assert_eq!(session_cookie(&headers), Some("abc"));
    }

    #[test]
    fn a_cookie_is_for_this_host_and_no_script() {
        assert_eq!(cookie("abc", true), "__Host-cofre_session=abc; Path=/; HttpOnly; SameSite=Strict; Secure");
        assert_eq!(cookie("", false), "cofre_session=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    }
}
