//! `Idempotency-Key`: a request that comes again, because its answer was lost on the way, gets the same answer and does nothing twice.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State as Extract};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::body;
use super::caller::Caller;
use super::problem::{Kind, Problem};
use super::state::State;

/// The header.
const HEADER: &str = "idempotency-key";
/// Says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// How long an answer is remembered.
const KEPT: Duration = Duration::from_secs(24 * 3_600);
/// How many; beyond it the oldest are forgotten.
const MOST: usize = 1_000;
/// Longest key.
const KEY_MAX: usize = 128;
/// Longest answer that is remembered; none of a POST is longer.
const ANSWER_MAX: usize = 64 << 10;

/// Marks an answer that shows a secret: it is given once.
#[derive(Debug, Clone, Copy)]
pub(super) struct ShownOnce;

/// What was answered.
#[derive(Default)]
pub(super) struct Remembered(Mutex<VecDeque<Entry>>);

struct Entry {
    key: [u8; 32],
    request: [u8; 32],
    since: Instant,
    answer: Answer,
}

#[derive(Clone)]
enum Answer {
    /// It is still being worked on.
    Pending,
    /// It showed a secret.
    Secret,
    /// This.
    Given { status: StatusCode, location: Option<HeaderValue>, media: Option<HeaderValue>, body: Bytes },
}

/// What is to be done with a request.
enum Verdict {
    Fresh,
    Again(Answer),
    Other,
}

impl Remembered {
    fn entries(&self) -> std::sync::MutexGuard<'_, VecDeque<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, key: [u8; 32], request: [u8; 32]) -> Verdict {
        let mut entries = self.entries();
        entries.retain(|entry| entry.since.elapsed() < KEPT);
        if let Some(entry) = entries.iter().find(|entry| entry.key == key) {
            return if entry.request == request { Verdict::Again(entry.answer.clone()) } else { Verdict::Other };
        }
        if entries.len() >= MOST {
            entries.pop_front();
        }
        entries.push_back(Entry { key, request, since: Instant::now(), answer: Answer::Pending });
        Verdict::Fresh
    }

    /// Keeps an answer; `None` forgets that there was a request, which did nothing.
    fn end(&self, key: [u8; 32], answer: Option<Answer>) {
        let mut entries = self.entries();
        match answer {
            Some(answer) => entries.iter_mut().filter(|entry| entry.key == key).for_each(|entry| entry.answer = answer.clone()),
            None => entries.retain(|entry| entry.key != key),
        }
    }
}

/// Forgets a request that ends without an answer, as when whoever asked is gone.
struct Open<'a> {
    remembered: &'a Remembered,
    key: Option<[u8; 32]>,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.remembered.end(key, None);
        }
    }
}

/// Answers what comes again with what was answered before.
pub(super) async fn once(Extract(state): Extract<State>, request: Request, next: Next) -> Response {
    let keyed = request.headers().get(HEADER).cloned().zip(request.extensions().get::<Caller>().cloned());
    let (key, caller) = match keyed {
        Some(keyed) if request.method() == Method::POST => keyed,
        _ => return next.run(request).await,
    };
    if key.is_empty() || key.len() > KEY_MAX {
        return Problem::new(Kind::Malformed, format!("an idempotency key has 1 to {KEY_MAX} characters")).into_response();
    }
    let (parts, body) = request.into_parts();
    let body = match body::read(body).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    // Whoever lost a right since is another one: nothing is answered that they might not ask for.
    let who = format!("{} {:?} {:?}", caller.identity(), caller.principal.scopes(), caller.principal.tenants());
    let key = digest(&[who.as_bytes(), key.as_bytes()]);
    let asked = digest(&[parts.method.as_str().as_bytes(), parts.uri.to_string().as_bytes(), &body]);
    match state.remembered().begin(key, asked) {
        Verdict::Other => {
            Problem::new(Kind::KeyReused, "this idempotency key was used for another request; make a new one").into_response()
        }
        Verdict::Again(answer) => again(answer),
        Verdict::Fresh => {
            let mut open = Open { remembered: state.remembered(), key: Some(key) };
            let response = next.run(Request::from_parts(parts, Body::from(body))).await;
            let (answer, response) = keep(response).await;
            open.key = None;
            state.remembered().end(key, answer);
            response
        }
    }
}

fn again(answer: Answer) -> Response {
    match answer {
        Answer::Pending => {
            Problem::new(Kind::KeyInUse, "the first request with this key has not ended; ask again in a moment").into_response()
        }
        Answer::Secret => {
            let detail =
                "the first request with this key was answered with a secret, which is shown once; revoke what it made, and make another";
            Problem::new(Kind::KeyInUse, detail).into_response()
        }
        Answer::Given { status, location, media, body } => {
            let mut response = (status, body).into_response();
            let headers = response.headers_mut();
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
            for (name, value) in [(header::LOCATION, location), (header::CONTENT_TYPE, media)] {
                if let Some(value) = value {
                    headers.insert(name, value);
                }
            }
            response
        }
    }
}

/// What is to be remembered of a response, and the response again. What did nothing is not remembered.
async fn keep(response: Response) -> (Option<Answer>, Response) {
    if !response.status().is_success() {
        return (None, response);
    }
    if response.extensions().get::<ShownOnce>().is_some() {
        return (Some(Answer::Secret), response);
    }
    let (parts, body) = response.into_parts();
    match axum::body::to_bytes(body, ANSWER_MAX).await {
        Ok(body) => {
            let header = |name| parts.headers.get(name).cloned();
            let answer = Answer::Given {
                status: parts.status,
                location: header(header::LOCATION),
                media: header(header::CONTENT_TYPE),
                body: body.clone(),
            };
            (Some(answer), Response::from_parts(parts, Body::from(body)))
        }
        Err(_) => (Some(Answer::Secret), Problem::new(Kind::Failed, "the answer is too large").into_response()),
    }
}

/// Of parts that cannot run into one another.
fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_and_of_one_request() {
        let remembered = Remembered::default();
        let name = |number: usize| digest(&[&number.to_be_bytes()]);
        for number in 0..MOST + 5 {
            assert!(matches!(remembered.begin(name(number), [1; 32]), Verdict::Fresh));
        }
        assert_eq!(remembered.entries().len(), MOST);
        assert!(matches!(remembered.begin(name(MOST), [1; 32]), Verdict::Again(Answer::Pending)));
        assert!(matches!(remembered.begin(name(MOST), [2; 32]), Verdict::Other));
        remembered.end(name(MOST), None);
        assert!(matches!(remembered.begin(name(MOST), [2; 32]), Verdict::Fresh));
    }
}
