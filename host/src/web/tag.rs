//! Entity tags: whoever has an answer already is told that it is still the same.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::endpoint::JSON;
use super::idempotency::ShownOnce;
use super::problem::{Kind, Problem};

/// Largest answer that is looked at; no document is larger.
const ANSWER_MAX: usize = 64 << 20;
/// Bytes of a digest that a tag has.
const TAG: usize = 16;

/// Tags documents, and answers 304 where the tag is known.
pub(super) async fn tagged(request: Request, next: Next) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    let is_document = response.headers().get(header::CONTENT_TYPE).is_some_and(|media| media == JSON);
    if response.status() != StatusCode::OK || !is_document || response.extensions().get::<ShownOnce>().is_some() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, ANSWER_MAX).await else {
        return Problem::new(Kind::Failed, "the answer is too large; ask for less at once").into_response();
    };
    let tag = format!("\"{}\"", hex::encode(&Sha256::digest(&bytes)[..TAG]));
    set(&mut parts.headers, &tag);
    if known.is_some_and(|known| matches(&known, &tag)) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        set(response.headers_mut(), &tag);
        return response;
    }
    Response::from_parts(parts, Body::from(bytes))
}

fn set(headers: &mut HeaderMap, tag: &str) {
    if let Ok(value) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, value);
    }
    // It may be kept, by whoever asked alone, and is asked for again each time.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
}

fn matches(known: &HeaderValue, tag: &str) -> bool {
    let Ok(known) = known.to_str() else { return false };
    known.split(',').map(|one| one.trim().trim_start_matches("W/")).any(|one| one == "*" || one == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_in_a_list_weak_or_not() {
        let known = HeaderValue::from_static("\"a\", W/\"b\"");
        assert!(matches(&known, "\"b\"") && matches(&known, "\"a\"") && !matches(&known, "\"c\""));
        assert!(matches(&HeaderValue::from_static("*"), "\"c\""));
    }
}
