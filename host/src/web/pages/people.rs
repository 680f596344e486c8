//! `/users` and `/tokens`: who gets in, and what they may do.

use std::collections::BTreeSet;

use axum::extract::Request;
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};

use super::form::Form;
use super::frame::{Answer, Visit, keep_nowhere, role_word};
use crate::access::{NewToken, NewUser, Role, Scope, TokenRecord};
use crate::job::{self, JobError};
use crate::page::part::Choice;
use crate::page::people::{self, Token, Tokens, User, Users};
use crate::page::{Section, Tone};

const ROLES: [Role; 3] = [Role::Viewer, Role::Operator, Role::Administrator];
/// Longest life of a token that ends, in days.
const DAYS_MAX: i64 = 3_650;

pub(super) async fn users(visit: Visit) -> Answer {
    let visit = visit.at(Section::Users)?;
    users_page(&visit, None)
}

fn users_page(visit: &Visit, fault: Option<String>) -> Answer {
    let known = visit.state.access().users().map_err(|error| visit.wrong(error))?;
    let user = |user: crate::access::UserRecord| User {
        own: user.name == visit.caller.principal.name,
        name: user.name,
        role: user.role.name().to_owned(),
        totp: user.totp,
        created: user.created,
        last_login: user.last_login,
    };
    let role = |role: Role| Choice {
        value: role.name().to_owned(),
        label: format!("{} ({})", role_word(role, visit.frame.locale), role_meaning(visit, role)),
        chosen: role == Role::Viewer,
    };
    let view = Users { users: known.into_iter().map(user).collect(), roles: ROLES.map(role).into(), fault };
    let wrong = view.fault.is_some();
    let mut response = visit.page(people::render_users(&visit.frame, &view));
    if wrong {
        *response.status_mut() = axum::http::StatusCode::UNPROCESSABLE_ENTITY;
    }
    Ok(response)
}

fn role_meaning<'a>(visit: &Visit, role: Role) -> &'a str {
    match role {
        Role::Viewer => visit.t("vê o estado", "sees how it stands"),
        Role::Operator => visit.t("executa, restaura, entrega", "runs, restores, delivers"),
        Role::Administrator => visit.t("tudo", "everything"),
    }
}

pub(super) async fn change_users(visit: Visit, request: Request) -> Answer {
    let visit = visit.at(Section::Users)?;
    let form = visit.sent(request).await?;
    let role = ROLES.into_iter().find(|role| role.name() == form.text("role"));
    if form.text("action") == "add" && form.text("password") != form.text("repeated") {
        return users_page(&visit, Some(visit.t("As duas senhas não são iguais.", "The two passwords are not the same.").to_owned()));
    }
    let access = visit.state.access().clone();
    let own = visit.caller.principal.name.clone();
    let done = visit.aside(move |context| Ok(changed(context, &access, &form, (role, &own)))).await?;
    match done {
        Ok(()) => Ok(visit.on("/users", (Tone::Good, visit.t("Salvo.", "Saved.")))),
        Err(error) => users_page(&visit, Some(error.to_string())),
    }
}

fn changed(context: &job::Context, access: &crate::access::Access, form: &Form, (role, own): (Option<Role>, &str)) -> Result<(), JobError> {
    let name = form.text("name").trim();
    match (form.text("action"), role) {
        ("add", Some(role)) => job::add_user(context, access, NewUser { name, role, password: form.text("password") }).map(drop),
        ("role", Some(role)) => job::set_role(context, access, name, role),
        ("remove", _) if name == own => Err(JobError::Request("nobody removes themselves; ask another administrator".to_owned())),
        ("remove", _) => job::remove_user(context, access, name),
        _ => Err(JobError::Request("the form is not whole".to_owned())),
    }
}

pub(super) async fn tokens(visit: Visit) -> Answer {
    let visit = visit.at(Section::Tokens)?;
    tokens_page(&visit, None, None)
}

fn tokens_page(visit: &Visit, made: Option<String>, fault: Option<String>) -> Answer {
    let known = visit.state.access().tokens().map_err(|error| visit.wrong(error))?;
    let scopes = Scope::ALL.into_iter().filter(|scope| visit.may(*scope)).map(|scope| Choice {
        value: scope.name().to_owned(),
        label: scope.name().to_owned(),
        chosen: false,
    });
    let view = Tokens { tokens: known.into_iter().map(token).collect(), scopes: scopes.collect(), made, fault };
    let (secret, wrong) = (view.made.is_some(), view.fault.is_some());
    let mut response: Response = visit.page(people::render_tokens(&visit.frame, &view));
    if secret {
        keep_nowhere(&mut response);
    }
    if wrong {
        *response.status_mut() = axum::http::StatusCode::UNPROCESSABLE_ENTITY;
    }
    Ok(response)
}

fn token(record: TokenRecord) -> Token {
    Token {
        id: record.id,
        name: record.name,
        scopes: record.scopes.iter().map(|scope| scope.name().to_owned()).collect(),
        tenants: record.tenants.map(|tenants| tenants.into_iter().collect()),
        created: record.created,
        created_by: record.created_by,
        expires: record.expires,
        last_used: record.last_used,
        revoked: record.revoked.is_some(),
    }
}

pub(super) async fn change_tokens(visit: Visit, request: Request) -> Answer {
    let visit = visit.at(Section::Tokens)?;
    let form = visit.sent(request).await?;
    if form.text("action") == "revoke" {
        return match job::revoke_token(&visit.context, visit.state.access(), form.text("id")) {
            Ok(()) => Ok(visit.on("/tokens", (Tone::Good, visit.t("O token foi revogado.", "The token was revoked.")))),
            Err(error) => tokens_page(&visit, None, Some(error.to_string())),
        };
    }
    let made = new_token(&visit, &form).map_err(JobError::Request);
    let made = made.and_then(|new| job::create_token(&visit.context, visit.state.access(), new, Some(&visit.caller.principal)));
    match made {
        Ok((_, token)) => tokens_page(&visit, Some(token.as_str().to_owned()), None),
        Err(error) => tokens_page(&visit, None, Some(error.to_string())),
    }
}

fn new_token(visit: &Visit, form: &Form) -> Result<NewToken, String> {
    let wanted = form.all("scope");
    let scopes: BTreeSet<Scope> = Scope::ALL.into_iter().filter(|scope| wanted.iter().any(|name| name == scope.name())).collect();
    let tenants: BTreeSet<String> =
        form.text("tenants").lines().map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let days = form.some("days").map(str::parse::<i64>).transpose().ok().flatten();
    if form.some("days").is_some() && !days.is_some_and(|days| (1..=DAYS_MAX).contains(&days)) {
        return Err(visit.t("Escreva os dias como número, de 1 a 3650.", "Write the days as a number from 1 to 3650.").to_owned());
    }
    let expires = days.map(|days| Timestamp::now() + SignedDuration::from_hours(24 * days));
    Ok(NewToken { name: form.text("name").trim().to_owned(), scopes, tenants: (!tenants.is_empty()).then_some(tenants), expires })
}
