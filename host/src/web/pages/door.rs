//! Before and at the door: login, the one-time page for the first administrator, and the way out.

use std::net::IpAddr;

use axum::extract::{FromRequestParts, Query, Request, State as Extract};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::{Html, IntoResponse, Response};
use jiff::Timestamp;
use serde::Deserialize;

use super::super::caller::{Caller, Peer, cookie};
use super::super::endpoint::aside;
use super::super::oidc::{OidcError, PATIENCE, Returned};
use super::super::problem::{Kind, Problem};
use super::super::state::State;
use super::form::Form;
use super::frame::{is_secure, keep_nowhere, local, plain, see, set};
use crate::access::{Login as Attempt, LoginOutcome, SessionSecret};
use crate::job::{self, Context, JobError};
use crate::page::Frame;
use crate::page::login::{self, Login, LoginFault, Setup};

/// Name of the cookie of a login under way at a provider of identities.
const OIDC_COOKIE: &str = "cofre_oidc";

/// Somebody who is not known yet.
pub(super) struct Stranger {
    state: State,
    context: Context,
    frame: Frame,
    from: IpAddr,
    secure: bool,
    /// Whoever is known already has no need of a door.
    known: bool,
}

impl FromRequestParts<State> for Stranger {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let peer = parts.extensions.get::<Peer>().map(|peer| peer.address.ip());
        let from = peer.ok_or_else(|| Problem::new(Kind::Failed, "the connection has no other end"))?;
        let context = state.context();
        Ok(Self {
            frame: plain(&context, &parts.headers),
            from: behind_proxy(state, &parts.headers, from),
            secure: is_secure(state, parts),
            known: parts.extensions.get::<Caller>().is_some(),
            state: state.clone(),
            context,
        })
    }
}

/// The browser's own address, where a trusted proxy says it.
fn behind_proxy(state: &State, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
    let trusted = state.settings().proxies.as_ref().is_some_and(|proxies| proxies.addresses.contains(&peer.to_canonical()));
    let last = headers
        .get_all("x-forwarded-for")
        .iter()
        .next_back()
        .and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
    last.filter(|_| trusted).unwrap_or(peer)
}

/// A form from another site is none: there is no session yet whose word it could carry.
fn from_here(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get("sec-fetch-site").and_then(|value| value.to_str().ok()) {
        None | Some("same-origin" | "none") => Ok(()),
        Some(_) => Err(Problem::new(Kind::Csrf, "this form comes from another site")),
    }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct LoginQuery {
    next: Option<String>,
}

pub(super) async fn login_page(stranger: Stranger, Query(query): Query<LoginQuery>) -> Response {
    if stranger.known {
        return see("/");
    }
    let next = query.next.as_deref().and_then(local).unwrap_or("/").to_owned();
    Html(login::render(&stranger.frame, &stranger.door(&next))).into_response()
}

/// Sends somebody to the provider of identities.
pub(super) async fn oidc(stranger: Stranger, Query(query): Query<LoginQuery>) -> Result<Response, Problem> {
    let Some(oidc) = stranger.state.oidc() else { return Err(Problem::not_found("provider of identities in the configuration")) };
    let next = query.next.as_deref().and_then(local).unwrap_or("/");
    match oidc.begin(next, Timestamp::now()).await {
        Ok(begun) => {
            let mut response = see(&begun.address);
            set(&mut response, &stranger.oidc_cookie(&begun.state, PATIENCE.as_secs()));
            keep_nowhere(&mut response);
            Ok(response)
        }
        Err(error) => Ok(stranger.not_in(next, &error)),
    }
}

/// Takes somebody back from there. A browser that comes from another site brings no strict cookie, and needs none: the state is its own.
pub(super) async fn oidc_callback(stranger: Stranger, Query(returned): Query<Returned>, headers: HeaderMap) -> Result<Response, Problem> {
    let Some(oidc) = stranger.state.oidc() else { return Err(Problem::not_found("provider of identities in the configuration")) };
    let state = super::frame::cookie(&headers, OIDC_COOKIE).unwrap_or_default();
    let identified = match oidc.finish(&returned, state, Timestamp::now()).await {
        Ok(identified) => identified,
        Err(error) => return Ok(stranger.not_in("/", &error)),
    };
    let (access, from, name) = (stranger.state.access().clone(), stranger.from, identified.name.clone());
    let admitted = aside(&stranger.context, move |context| Ok(job::admit(context, &access, (&name, from), Timestamp::now())?)).await?;
    let next = local(&identified.next).unwrap_or("/");
    let mut response = match admitted {
        Some(secret) => {
            let mut response = Html(login::render_entered(&stranger.frame, next)).into_response();
            set(&mut response, &cookie(secret.expose(), stranger.secure));
            response
        }
        None => stranger.refused(Login { fault: Some(LoginFault::Stranger { name: identified.name }), ..stranger.door(next) }),
    };
    set(&mut response, &stranger.oidc_cookie("", 0));
    keep_nowhere(&mut response);
    Ok(response)
}

pub(super) async fn login(stranger: Stranger, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    from_here(&parts.headers)?;
    let form = Form::read(&parts.headers, body).await?;
    let (access, from) = (stranger.state.access().clone(), stranger.from);
    let (outcome, form) = aside(&stranger.context, move |context| {
        let code = form.some("code").map(str::to_owned);
        let attempt = Attempt { name: form.text("name"), password: form.text("password"), code: code.as_deref(), from };
        let outcome = job::login(context, &access, &attempt, Timestamp::now())?;
        Ok((outcome, form))
    })
    .await?;
    let next = local(form.text("next")).unwrap_or("/").to_owned();
    let again = |fault, code_needed| Login { name: form.text("name").to_owned(), fault, code_needed, ..stranger.door(&next) };
    let view = match outcome {
        LoginOutcome::Session(secret) => return Ok(stranger.admit(&secret, &next)),
        LoginOutcome::CodeNeeded => again(None, true),
        LoginOutcome::Refused => again(Some(LoginFault::Refused), form.some("code").is_some()),
        LoginOutcome::Throttled { until } => again(Some(LoginFault::Throttled { until }), false),
    };
    match view.fault {
        Some(_) => Ok(stranger.refused(view)),
        None => Ok(Html(login::render(&stranger.frame, &view)).into_response()),
    }
}

impl Stranger {
    /// The login page, with nothing filled in.
    fn door(&self, next: &str) -> Login {
        let provider = self.state.oidc().map(|oidc| oidc.label().to_owned());
        Login { next: next.to_owned(), provider, ..Login::default() }
    }

    /// The login page, with what is wrong.
    fn refused(&self, view: Login) -> Response {
        let mut response = Html(login::render(&self.frame, &view)).into_response();
        *response.status_mut() = axum::http::StatusCode::UNPROCESSABLE_ENTITY;
        response
    }

    fn not_in(&self, next: &str, error: &OidcError) -> Response {
        tracing::warn!(%error, "a login by the provider of identities failed");
        self.refused(Login { fault: Some(LoginFault::Provider { why: error.to_string() }), ..self.door(next) })
    }

    /// The cookie of a login under way; it comes back from another site, and so is no strict one.
    fn oidc_cookie(&self, state: &str, seconds: i64) -> String {
        let flag = if self.secure { "; Secure" } else { "" };
        format!("{OIDC_COOKIE}={state}; Path=/login/oidc; HttpOnly; SameSite=Lax; Max-Age={seconds}{flag}")
    }

    fn admit(&self, secret: &SessionSecret, next: &str) -> Response {
        let mut response = see(next);
        set(&mut response, &cookie(secret.expose(), self.secure));
        keep_nowhere(&mut response);
        response
    }
}

#[derive(Default, Deserialize)]
pub(super) struct SetupQuery {
    #[serde(default)]
    secret: String,
}

pub(super) async fn setup_page(stranger: Stranger, Query(query): Query<SetupQuery>) -> Result<Response, Problem> {
    let good = stranger.state.access().is_setup_link(&query.secret, Timestamp::now())?;
    let secret = if good { query.secret } else { String::new() };
    let mut response = Html(login::render_setup(&stranger.frame, &Setup { secret, ..Setup::default() })).into_response();
    keep_nowhere(&mut response);
    Ok(response)
}

pub(super) async fn setup(stranger: Stranger, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    from_here(&parts.headers)?;
    let form = Form::read(&parts.headers, body).await?;
    let (access, from) = (stranger.state.access().clone(), stranger.from);
    let repeated = form.text("password") == form.text("repeated");
    let (done, form) = aside(&stranger.context, move |context| {
        let done = if repeated {
            let person = (form.text("name"), form.text("password"));
            job::finish_setup(context, &access, (form.text("secret"), from), person, Timestamp::now())
        } else {
            Err(JobError::Request(String::new()))
        };
        Ok((done, form))
    })
    .await?;
    let error = match done {
        Ok(secret) => return Ok(stranger.admit(&secret, "/")),
        Err(error) => error,
    };
    let good = stranger.state.access().is_setup_link(form.text("secret"), Timestamp::now())?;
    let fault = if repeated {
        error.to_string()
    } else {
        stranger.frame.locale.pick("As duas senhas não são iguais.", "The two passwords are not the same.").to_owned()
    };
    let secret = if good { form.text("secret").to_owned() } else { String::new() };
    let view = Setup { secret, name: form.text("name").to_owned(), fault: Some(fault) };
    let mut response = Html(login::render_setup(&stranger.frame, &view)).into_response();
    *response.status_mut() = axum::http::StatusCode::UNPROCESSABLE_ENTITY;
    Ok(response)
}

pub(super) async fn logout(visit: super::Visit, Extract(state): Extract<State>, request: Request) -> super::Answer {
    let secure = visit.secure();
    visit.sent(request).await?;
    if let super::super::caller::Credential::Session { cookie: secret, .. } = &visit.caller.credential {
        state.access().logout(secret).map_err(|error| visit.wrong(error))?;
    }
    let mut response = see("/login");
    set(&mut response, &cookie("", secure));
    Ok(response)
}
