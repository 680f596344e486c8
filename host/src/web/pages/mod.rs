//! The pages of people: what `page` renders, filled from the same use cases as the API. A page is asked for with a session, and a form
//! comes with the session's own word; what goes wrong is a page too, in the words of [`Problem`].

mod account;
mod door;
mod form;
mod frame;
mod overview;
mod people;
mod plugins;
mod restore;
mod runs;
mod sets;
mod settings;
mod shell;
#[cfg(test)]
mod stage;
mod tenants;
mod watch;

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::state::State;
use crate::page;

use frame::{Answer, Visit};

/// How long a browser may keep a file that has its digest in its address.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// Their routes.
pub(super) fn router() -> Router<State> {
    Router::new()
        .route("/", get(overview::show))
        .route("/runs", get(runs::list).post(runs::start))
        .route("/runs/{task}", get(runs::show).post(runs::change))
        .route("/sets", get(sets::list))
        .route("/sets/{set}", get(sets::show).post(sets::change))
        .route("/sets/{set}/log", get(sets::log))
        .route("/checks", get(watch::checks))
        .route("/reports", get(watch::reports))
        .route("/reports/{month}", get(watch::report))
        .route("/audit", get(watch::audit))
        .route("/restore", get(restore::show).post(restore::start))
        .route("/tenants", get(tenants::show).post(tenants::change))
        .route("/login", get(door::login_page).post(door::login))
        .route("/login/oidc", get(door::oidc))
        .route(super::oidc::CALLBACK, get(door::oidc_callback))
        .route("/setup", get(door::setup_page).post(door::setup))
        .route("/logout", post(door::logout))
        .route("/account", get(account::show).post(account::change))
        .route("/users", get(people::users).post(people::change_users))
        .route("/tokens", get(people::tokens).post(people::change_tokens))
        .route("/settings", get(settings::overview).post(settings::change_overview))
        .route("/settings/{section}", get(settings::area).post(settings::change_area))
        .route("/plugins", get(plugins::show).post(plugins::change))
        .route("/preferences", post(frame::prefer))
        .route("/assets/{file}", get(asset))
}

async fn asset(Path(file): Path<String>) -> Response {
    match page::asset(&file) {
        Some((media_type, bytes)) => ([(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, FOR_EVER)], bytes).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
