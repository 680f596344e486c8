//! One operation of the API: its address, the right it needs, what it takes and what it answers. From the same table requests are routed,
//! rights are demanded and the OpenAPI document is written, so that none of the three can say something else than the others.

use std::any::TypeId;
use std::future::Future;
use std::time::Duration;

use axum::extract::{Query, RawPathParams, Request, State as Extract};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use bytes::Bytes;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::caller::{CSRF_HEADER, Caller};
use super::problem::{Kind, Problem};
use super::state::State;
use crate::access::Scope;
use crate::job::Context;

/// How long an answer may take to begin.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same where a destination is asked.
const LONG_PATIENCE: Duration = Duration::from_secs(30 * 60);
/// Media type of what is taken and answered.
pub(super) const JSON: &str = "application/json";

/// What whoever asks must be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing but to be known.
    Known,
    /// A right, over everything: a token that is limited to tenants has it not.
    Whole(Scope),
    /// A right; the operation itself keeps to the caller's tenants.
    Tenants(Scope),
}

impl Need {
    /// The right.
    pub(super) fn scope(self) -> Option<Scope> {
        match self {
            Self::Known => None,
            Self::Whole(scope) | Self::Tenants(scope) => Some(scope),
        }
    }

    /// Who may: the caller, or why not.
    pub(super) fn demand(self, caller: Option<Caller>) -> Result<Caller, Problem> {
        let Some(caller) = caller else {
            let detail = "come with `Authorization: Bearer cofre_…`; `cofre token create` makes a token";
            return Err(Problem::new(Kind::Unauthenticated, detail));
        };
        if let Some(scope) = self.scope().filter(|scope| !caller.principal.may(*scope)) {
            return Err(Problem::missing(scope));
        }
        if matches!(self, Self::Whole(_)) && caller.principal.tenants().is_some() {
            let detail = "this token is limited to tenants, and this is about all of them; it may list its tenants, deliver their backups, \
                          and follow what it started";
            return Err(Problem::new(Kind::Tenant, detail));
        }
        Ok(caller)
    }
}

/// A request whose right was looked at and whose parts were read.
pub(super) struct Ask<B = (), Q = ()> {
    /// What every request finds.
    pub state: State,
    /// The configuration, opened for whoever asks.
    pub context: Context,
    /// Who asks.
    pub caller: Caller,
    /// The query.
    pub query: Q,
    /// The body.
    pub body: B,
    /// Headers, of which few matter.
    pub headers: HeaderMap,
    names: Vec<(String, String)>,
}

impl<B> Ask<B> {
    /// What a page asks for, which has looked at the right itself.
    pub(super) fn of(state: State, (context, caller): (Context, Caller), body: B) -> Self {
        Self { state, context, caller, query: (), body, headers: HeaderMap::new(), names: Vec::new() }
    }
}

impl<B, Q> Ask<B, Q> {
    /// A part of the address that has this name in it.
    pub(super) fn name(&self, name: &str) -> &str {
        self.names.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Does what reads files or the catalogue for longer on a thread that may wait.
    pub(super) async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Context) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        aside(&self.context, work).await
    }
}

/// Does something on a thread that may wait.
pub(super) async fn aside<T: Send + 'static>(
    context: &Context,
    work: impl FnOnce(&Context) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let context = context.clone();
    let done = tokio::task::spawn_blocking(move || work(&context)).await;
    done.map_err(|_| Problem::new(Kind::Failed, "the work ended unexpectedly; see the log"))?
}

/// What an answer looks like, for the document.
pub(super) struct Look {
    /// Its status.
    pub status: StatusCode,
    /// Its media type and schema; nothing where it has no body.
    pub body: Option<(&'static str, Schema)>,
    /// Whether it names where the outcome is.
    pub located: bool,
}

/// What an operation answers.
pub(super) trait Reply: IntoResponse {
    /// How it looks.
    fn look(generator: &mut SchemaGenerator) -> Look;
}

/// A JSON document.
pub(super) struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(header::CONTENT_TYPE, JSON)], body).into_response(),
            Err(error) => Problem::new(Kind::Failed, format!("the answer cannot be written as JSON: {error}")).into_response(),
        }
    }
}

impl<T: Serialize + JsonSchema> Reply for Json<T> {
    fn look(generator: &mut SchemaGenerator) -> Look {
        Look { status: StatusCode::OK, body: Some((JSON, generator.subschema_for::<T>())), located: false }
    }
}

/// Something that was made, or begun, and where it is.
pub(super) struct Made<T, const STATUS: u16> {
    /// What is known of it.
    pub value: T,
    /// Its address.
    pub location: String,
}

/// Something that was made at once.
pub(super) type Created<T> = Made<T, 201>;
/// Work that was begun.
pub(super) type Accepted<T> = Made<T, 202>;

impl<T: Serialize, const STATUS: u16> IntoResponse for Made<T, STATUS> {
    fn into_response(self) -> Response {
        let mut response = Json(self.value).into_response();
        *response.status_mut() = StatusCode::from_u16(STATUS).unwrap_or(StatusCode::OK);
        if let Ok(location) = HeaderValue::from_str(&self.location) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}

impl<T: Serialize + JsonSchema, const STATUS: u16> Reply for Made<T, STATUS> {
    fn look(generator: &mut SchemaGenerator) -> Look {
        Look { status: StatusCode::from_u16(STATUS).unwrap_or(StatusCode::OK), located: true, ..Json::<T>::look(generator) }
    }
}

/// Done, and nothing to say.
pub(super) struct Done;

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

impl Reply for Done {
    fn look(_: &mut SchemaGenerator) -> Look {
        Look { status: StatusCode::NO_CONTENT, body: None, located: false }
    }
}

type Describe = fn(&mut SchemaGenerator) -> Schema;

/// One operation.
pub(super) struct Endpoint {
    /// Its method.
    pub method: Method,
    /// Its address below `/api/v1`, with `{name}` where something is named.
    pub path: &'static str,
    /// What it needs.
    pub need: Need,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Its query.
    pub query: Option<Describe>,
    /// Its body.
    pub body: Option<Describe>,
    /// Its answer.
    pub reply: fn(&mut SchemaGenerator) -> Look,
    patience: Duration,
    route: MethodRouter<State>,
}

impl Endpoint {
    /// What only looks.
    pub(super) fn get<Q, R, F, A>(path: &'static str, need: Need, summary: &'static str, work: F) -> Self
    where
        Q: DeserializeOwned + JsonSchema + Send + 'static,
        R: Reply,
        F: Fn(Ask<(), Q>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Result<R, Problem>> + Send + 'static,
    {
        Self::new((Method::GET, MethodFilter::GET), (path, need, summary), work)
    }

    /// What begins or makes something.
    pub(super) fn post<B, R, F, A>(path: &'static str, need: Need, summary: &'static str, work: F) -> Self
    where
        B: DeserializeOwned + JsonSchema + Send + 'static,
        R: Reply,
        F: Fn(Ask<B, ()>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Result<R, Problem>> + Send + 'static,
    {
        Self::new((Method::POST, MethodFilter::POST), (path, need, summary), work)
    }

    /// What replaces something.
    pub(super) fn put<B, R, F, A>(path: &'static str, need: Need, summary: &'static str, work: F) -> Self
    where
        B: DeserializeOwned + JsonSchema + Send + 'static,
        R: Reply,
        F: Fn(Ask<B, ()>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Result<R, Problem>> + Send + 'static,
    {
        Self::new((Method::PUT, MethodFilter::PUT), (path, need, summary), work)
    }

    /// What changes a part of something.
    pub(super) fn patch<B, R, F, A>(path: &'static str, need: Need, summary: &'static str, work: F) -> Self
    where
        B: DeserializeOwned + JsonSchema + Send + 'static,
        R: Reply,
        F: Fn(Ask<B, ()>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Result<R, Problem>> + Send + 'static,
    {
        Self::new((Method::PATCH, MethodFilter::PATCH), (path, need, summary), work)
    }

    /// What ends or removes something.
    pub(super) fn delete<R, F, A>(path: &'static str, need: Need, summary: &'static str, work: F) -> Self
    where
        R: Reply,
        F: Fn(Ask<(), ()>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Result<R, Problem>> + Send + 'static,
    {
        Self::new((Method::DELETE, MethodFilter::DELETE), (path, need, summary), work)
    }

    fn new<B, Q, R, F, A>(
        (method, filter): (Method, MethodFilter),
        (path, need, summary): (&'static str, Need, &'static str),
        work: F,
    ) -> Self
    where
        B: DeserializeOwned + JsonSchema + Send + 'static,
        Q: DeserializeOwned + JsonSchema + Send + 'static,
        R: Reply,
        F: Fn(Ask<B, Q>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Result<R, Problem>> + Send + 'static,
    {
        let handle = move |Extract(state): Extract<State>, names: RawPathParams, request: Request| {
            let work = work.clone();
            async move {
                let asked = ask::<B, Q>(state, need, &names, request).await;
                match asked {
                    Ok(ask) => match work(ask).await {
                        Ok(reply) => reply.into_response(),
                        Err(problem) => problem.into_response(),
                    },
                    Err(problem) => problem.into_response(),
                }
            }
        };
        Self {
            method,
            path,
            need,
            summary,
            query: (!is_nothing::<Q>()).then_some(|generator| Q::json_schema(generator)),
            body: (!is_nothing::<B>()).then_some(|generator| generator.subschema_for::<B>()),
            reply: R::look,
            patience: PATIENCE,
            route: on(filter, handle),
        }
    }

    /// The same for what asks a destination: that takes as long as the destination does.
    pub(super) fn patient(self) -> Self {
        Self { patience: LONG_PATIENCE, ..self }
    }

    /// Its route.
    pub(super) fn route(self) -> (&'static str, MethodRouter<State>) {
        let patience = self.patience;
        let in_time = move |request: Request, next: Next| async move {
            match tokio::time::timeout(patience, next.run(request)).await {
                Ok(response) => response,
                Err(_) => Problem::new(Kind::Late, format!("no answer within {} s", patience.as_secs())).into_response(),
            }
        };
        (self.path, self.route.layer(axum::middleware::from_fn(in_time)))
    }
}

fn is_nothing<T: 'static>() -> bool {
    TypeId::of::<T>() == TypeId::of::<()>()
}

/// Demands the right, then reads what was sent: nobody learns from an error what they may not see.
async fn ask<B, Q>(state: State, need: Need, names: &RawPathParams, request: Request) -> Result<Ask<B, Q>, Problem>
where
    B: DeserializeOwned + 'static,
    Q: DeserializeOwned + 'static,
{
    let (parts, body) = request.into_parts();
    let caller = need.demand(parts.extensions.get::<Caller>().cloned())?;
    let changes = !matches!(parts.method, Method::GET | Method::HEAD);
    let word = parts.headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok());
    if changes && !caller.may_change(word) {
        return Err(Problem::new(Kind::Csrf, "a session comes with its own word in X-CSRF-Token for everything but reading"));
    }
    let query = if is_nothing::<Q>() {
        serde_json::from_value(serde_json::Value::Null).map_err(|error| Problem::new(Kind::Malformed, error.to_string()))?
    } else {
        Query::<Q>::try_from_uri(&parts.uri).map_err(|error| Problem::new(Kind::Malformed, format!("the query: {}", error.body_text())))?.0
    };
    let bytes = super::body::read(body).await?;
    let body = if is_nothing::<B>() {
        serde_json::from_value(serde_json::Value::Null).map_err(|error| Problem::new(Kind::Malformed, error.to_string()))?
    } else {
        parse(&parts.headers, &bytes)?
    };
    let names = names.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let context = state.context_for(&caller);
    Ok(Ask { state, context, caller, query, body, headers: parts.headers, names })
}

/// A body of JSON; none is the same as `{}`.
fn parse<B: DeserializeOwned>(headers: &HeaderMap, bytes: &Bytes) -> Result<B, Problem> {
    if bytes.is_empty() {
        return serde_json::from_str("{}").map_err(|error| Problem::new(Kind::Malformed, format!("the body is missing: {error}")));
    }
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case(JSON) {
        return Err(Problem::new(Kind::MediaType, format!("send JSON, and say so: Content-Type: {JSON}")));
    }
    serde_json::from_slice(bytes).map_err(|error| Problem::new(Kind::Malformed, format!("the body: {error}")))
}
