//! What every answer says to browsers, and which host a request may name.

use std::net::IpAddr;

use axum::extract::{Request, State as Extract};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::caller::Peer;
use super::problem::{Kind, Problem};
use super::state::State;
use crate::config::host_of;

/// Nothing from anywhere else, no script or style but files of our own, and no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
/// A year, under TLS.
const TRANSPORT: &str = "max-age=31536000";

/// Adds the headers; what an answer says itself about keeping it stays.
pub(super) async fn secure(request: Request, next: Next) -> Response {
    let secure = request.extensions().get::<Peer>().is_some_and(|peer| peer.secure);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let always = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ];
    for (name, value) in always {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if secure {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(TRANSPORT));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Refuses a request that a page elsewhere sent here under its own name (DNS rebinding): it may name an address, `localhost`, or the host of
/// `public_url`.
pub(super) async fn host(Extract(state): Extract<State>, request: Request, next: Next) -> Response {
    let public = state.settings().public.as_ref().map(|public| public.host.as_str());
    let named = named_host(&request);
    if named.as_deref().is_some_and(|host| may_be_named(host, public)) {
        return next.run(request).await;
    }
    let detail =
        "the request names a host that this is not; name an address or `localhost`, or set web.public_url to the address that you use";
    Problem::new(Kind::Host, detail).into_response()
}

fn named_host(request: &Request) -> Option<String> {
    let headers: &HeaderMap = request.headers();
    let mut named = headers.get_all(header::HOST).iter();
    let authority = match (named.next(), named.next()) {
        (Some(one), None) => one.to_str().ok()?,
        (None, _) => request.uri().authority()?.as_str(),
        // Two of them mean that somebody in between sees another one than this does.
        (Some(_), Some(_)) => return None,
    };
    host_of(authority)
}

fn may_be_named(host: &str, public: Option<&str>) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok() || public == Some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_anybody_can_point_here_is_refused() {
        for host in ["127.0.0.1", "::1", "localhost", "backup.example.com"] {
            assert!(may_be_named(host, Some("backup.example.com")), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "backup.example.com.evil.example"] {
            assert!(!may_be_named(host, Some("backup.example.com")), "{host}");
        }
        assert!(!may_be_named("backup.example.com", None));
    }
}
