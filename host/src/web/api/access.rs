//! Who gets in: tokens and users. A token's secret and a password go one way each, and never come back.

use std::collections::BTreeSet;

use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::super::endpoint::{Ask, Created, Done, Endpoint, Json, Look, Made, Need, Reply, aside};
use super::super::idempotency::ShownOnce;
use super::super::openapi::BASE;
use super::super::problem::{Kind, Problem};
use crate::access::{NewToken, NewUser, PrincipalKind, Refusal, Role, Scope, TokenRecord, UserRecord};
use crate::job;

const WRITE: Need = Need::Whole(Scope::AccessWrite);

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/me", Need::Known, "Who you are, and what you may", me),
        Endpoint::get("/tokens", WRITE, "Tokens, never their secrets", tokens),
        Endpoint::post("/tokens", WRITE, "Make a token; its secret is in the answer, once", make_token),
        Endpoint::delete("/tokens/{id}", WRITE, "Revoke a token", revoke),
        Endpoint::get("/users", WRITE, "Users", users),
        Endpoint::post("/users", WRITE, "Add a user", add_user),
        Endpoint::put("/users/{name}", WRITE, "Give a user another role, or another password, or no second factor", change_user),
        Endpoint::delete("/users/{name}", WRITE, "Remove a user", remove_user),
    ]
}

/// Who asks.
#[derive(Debug, Serialize, JsonSchema)]
struct Me {
    /// Name of the user, or of the token.
    name: String,
    /// `user`, `token` or `proxy`.
    kind: &'static str,
    /// What they may.
    scopes: Vec<&'static str>,
    /// The tenants that they are limited to; absent: none in particular.
    tenants: Option<BTreeSet<String>>,
}

async fn me(ask: Ask) -> Result<Json<Me>, Problem> {
    let principal = &ask.caller.principal;
    Ok(Json(Me {
        name: principal.name.clone(),
        kind: match principal.kind {
            PrincipalKind::User { .. } => "user",
            PrincipalKind::Token { .. } => "token",
            PrincipalKind::Proxy { .. } => "proxy",
        },
        scopes: principal.scopes().iter().map(|scope| scope.name()).collect(),
        tenants: principal.tenants().cloned(),
    }))
}

async fn tokens(ask: Ask) -> Result<Json<Vec<TokenRecord>>, Problem> {
    Ok(Json(ask.state.access().tokens()?))
}

/// A token to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TokenBody {
    /// What it is for.
    name: String,
    /// What it may do; not more than whoever makes it.
    scopes: BTreeSet<Scope>,
    /// The tenants that it is limited to.
    tenants: Option<BTreeSet<String>>,
    /// When it ends, RFC 3339.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    expires: Option<Timestamp>,
}

/// A token that was made.
#[derive(Serialize, JsonSchema)]
struct MadeToken {
    /// What is known of it.
    token: TokenRecord,
    /// The token, for `Authorization: Bearer`. Shown once.
    #[schemars(with = "String")]
    #[serde(serialize_with = "expose")]
    text: Zeroizing<String>,
}

fn expose<S: serde::Serializer>(secret: &Zeroizing<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret)
}

/// An answer with a secret.
struct Once<T>(T);

impl<T: IntoResponse> IntoResponse for Once<T> {
    fn into_response(self) -> Response {
        let mut response = self.0.into_response();
        response.extensions_mut().insert(ShownOnce);
        response
    }
}

impl<T: Reply> Reply for Once<T> {
    fn look(generator: &mut SchemaGenerator) -> Look {
        T::look(generator)
    }
}

async fn make_token(ask: Ask<TokenBody>) -> Result<Once<Created<MadeToken>>, Problem> {
    let TokenBody { name, scopes, tenants, expires } = ask.body;
    let new = NewToken { name, scopes, tenants, expires };
    let (token, text) = job::create_token(&ask.context, ask.state.access(), new, Some(&ask.caller.principal))?;
    let location = format!("{BASE}/tokens/{}", token.id);
    Ok(Once(Made { value: MadeToken { token, text }, location }))
}

async fn revoke(ask: Ask) -> Result<Done, Problem> {
    job::revoke_token(&ask.context, ask.state.access(), ask.name("id"))?;
    Ok(Done)
}

async fn users(ask: Ask) -> Result<Json<Vec<UserRecord>>, Problem> {
    Ok(Json(ask.state.access().users()?))
}

/// A password, which is gone from memory with the request.
#[derive(Deserialize, JsonSchema)]
#[serde(from = "String")]
#[schemars(with = "String")]
struct Password(Zeroizing<String>);

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

/// A user to be added.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UserBody {
    /// Name.
    name: String,
    /// What they are trusted with.
    role: Role,
    /// Their first password.
    password: Password,
}

/// Whether somebody may give this role.
fn may_give<B, Q>(ask: &Ask<B, Q>, role: Role) -> Result<(), Problem> {
    if ask.caller.principal.covers(&role.scopes(), None) {
        Ok(())
    } else {
        Err(Problem::new(Kind::Scope, Refusal::MoreThanOwn.to_string()))
    }
}

async fn add_user(ask: Ask<UserBody>) -> Result<Created<UserRecord>, Problem> {
    may_give(&ask, ask.body.role)?;
    let access = ask.state.access().clone();
    let Ask { body: UserBody { name, role, password }, context, .. } = ask;
    // Hashing a password takes its time on purpose.
    let user =
        aside(&context, move |context| Ok(job::add_user(context, &access, NewUser { name: &name, role, password: &password.0 })?)).await?;
    let location = format!("{BASE}/users/{}", user.name);
    Ok(Made { value: user, location })
}

/// What changes; what is absent stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UserChange {
    /// Another role.
    role: Option<Role>,
    /// Another password, which also ends their sessions.
    password: Option<Password>,
    /// True: no second factor any more, for somebody who lost it.
    #[serde(default)]
    disable_totp: bool,
}

async fn change_user(ask: Ask<UserChange>) -> Result<Json<UserRecord>, Problem> {
    let name = ask.name("name").to_owned();
    let known = ask.state.access().user(&name)?;
    // Whoever may not give a role takes it from nobody either, nor their password.
    for role in [Some(known.role), ask.body.role].into_iter().flatten() {
        may_give(&ask, role)?;
    }
    let access = ask.state.access().clone();
    let Ask { body: UserChange { role, password, disable_totp }, context, .. } = ask;
    let user = aside(&context, move |context| {
        if let Some(role) = role {
            job::set_role(context, &access, &name, role)?;
        }
        if let Some(password) = password {
            job::set_password(context, &access, &name, &password.0)?;
        }
        if disable_totp {
            job::disable_totp(context, &access, &name)?;
        }
        Ok(access.user(&name)?)
    })
    .await?;
    Ok(Json(user))
}

async fn remove_user(ask: Ask) -> Result<Done, Problem> {
    let name = ask.name("name");
    may_give(&ask, ask.state.access().user(name)?.role)?;
    job::remove_user(&ask.context, ask.state.access(), name)?;
    Ok(Done)
}
