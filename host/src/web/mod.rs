//! The API under `/api/v1`, metrics and health, and what pages are built on: [`State`], [`Caller`] and the router.
//!
//! A request passes, from outside in: security headers, the host that it names, who asks, idempotency keys, entity tags; then the operation,
//! which demands its right before anything else is looked at. Nothing here does what `job` does: it asks for it.

mod api;
mod body;
mod caller;
mod certificate;
mod configuration;
mod endpoint;
mod events;
mod headers;
mod health;
mod idempotency;
mod lines;
mod listen;
mod metrics;
mod oidc;
mod openapi;
mod pages;
mod problem;
mod secret;
mod state;
mod tag;
mod tasks;
#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::header;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use caller::{Caller, Credential, Peer, cookie};
pub use lines::TaskLines;
pub use listen::{ListenError, Listeners};
pub use problem::{Kind, Problem};
pub use state::State;

use crate::access::Access;
use crate::config::WebSettings;
use crate::job::{self, Context, JobError};

/// How long tasks have to end when it is told to stop.
const WIND_UP: Duration = Duration::from_secs(60);

/// All routes. `pages` are those of people, under the same headers and with the same [`Caller`].
pub fn router(state: &State, pages: Router<State>) -> Router {
    let endpoints = api::endpoints();
    let document = serde_json::to_vec(&openapi::document(&endpoints)).unwrap_or_default();
    let mut api = Router::new();
    for endpoint in endpoints {
        let (path, route) = endpoint.route();
        api = api.route(path, route);
    }
    let served = document.clone();
    let api = api
        .route("/openapi.json", get(move || async move { ([(header::CONTENT_TYPE, endpoint::JSON)], served.clone()) }))
        .fallback(|| async { Problem::not_found("such address in the API; see /api/v1/openapi.json") })
        .method_not_allowed_fallback(|| async { Problem::new(Kind::Method, "see /api/v1/openapi.json for what can be asked here") })
        .layer(from_fn(tag::tagged))
        .layer(from_fn_with_state(state.clone(), idempotency::once));
    let others = Router::new().route("/metrics", get(metrics::answer)).route("/problems/{name}", get(explain)).merge(pages);
    let health = Router::new().route("/healthz", get(health::alive)).route("/readyz", get(health::ready));
    Router::new()
        .nest(openapi::BASE, api)
        .merge(others)
        .fallback(|| async { Problem::not_found("such page") })
        .layer(from_fn_with_state(state.clone(), caller::authenticate))
        .layer(from_fn_with_state(state.clone(), headers::host))
        // Whoever looks after it may call it by whatever name.
        .merge(health)
        .layer(from_fn(headers::secure))
        .with_state(state.clone())
}

/// What a kind of problem is.
async fn explain(Path(name): Path<String>) -> Response {
    match Kind::ALL.into_iter().find(|kind| kind.name() == name) {
        Some(kind) => format!("{}\n{}\n", kind.status(), kind.title()).into_response(),
        None => Problem::not_found("such kind of problem").into_response(),
    }
}

/// Everything that serves, ready to be run.
pub struct Server {
    listeners: Listeners,
    state: State,
}

impl Server {
    /// Opens who gets in, and listens. `context` is the configuration, opened, which whoever sends it may replace; `stop` ends all.
    ///
    /// # Errors
    /// When an address cannot be had, or users and tokens cannot be read.
    pub async fn bind(context: watch::Receiver<Context>, settings: WebSettings, stop: CancellationToken) -> Result<Self, JobError> {
        let directory = context.borrow().config.storage.state.clone();
        let access = Access::open(&directory)?;
        let listeners = Listeners::bind(&settings, &directory).await.map_err(|error| JobError::Failed(error.to_string()))?;
        Ok(Self { listeners, state: State::new(context, access, settings, stop)? })
    }

    /// Where it can be reached.
    pub fn addresses(&self) -> Vec<String> {
        self.listeners.addresses()
    }

    /// SHA-256 of the certificate that was made here, if one is used.
    pub fn fingerprint(&self) -> Option<&str> {
        self.listeners.fingerprint.as_deref()
    }

    /// The address under which the first administrator is set up, once, while there is no user.
    ///
    /// # Errors
    /// When users cannot be read.
    pub fn setup_link(&self) -> Result<Option<String>, JobError> {
        let access = self.state.access();
        if !access.needs_setup()? {
            return Ok(None);
        }
        let secret = job::setup_link(&self.state.context(), access, Timestamp::now())?;
        let public = self.state.settings().public.as_ref().map(|public| public.text.clone());
        let base = public.or_else(|| self.addresses().into_iter().next()).unwrap_or_default();
        Ok(Some(format!("{base}/setup?secret={}", secret.as_str())))
    }

    /// Serves until told to stop; then open requests and tasks have a while to end.
    pub async fn run(self) {
        let router = router(&self.state, pages::router());
        let (state, listeners) = (self.state, self.listeners);
        let token = state.stop().clone();
        tokio::join!(listeners.serve(router, token), events::watch_alerts(state.clone()));
        state.tasks().wind_up(WIND_UP).await;
    }
}
