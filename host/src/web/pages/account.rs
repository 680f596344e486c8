//! `/account`: one's own password, second factor and sessions.

use std::fmt::Write as _;

use axum::extract::Request;
use axum::response::Response;
use jiff::Timestamp;
use qrcode::QrCode;
use zeroize::Zeroizing;

use super::super::caller::Credential;
use super::super::endpoint::aside;
use super::super::problem::Problem;
use super::form::Form;
use super::frame::{Answer, Visit, keep_nowhere, role_word, see};
use crate::access::{Confirmation, SessionRecord, UserRecord};
use crate::job;
use crate::page::account::{self, Account, Session, Totp};
use crate::page::{Html, Section, Tone};

/// Modules around a QR code (ISO/IEC 18004).
const QUIET: usize = 4;

pub(super) async fn show(visit: Visit) -> Answer {
    let visit = visit.at(Section::Account)?;
    let user = own(&visit)?;
    let view = view(&visit, &user);
    Ok(visit.page(account::render(&visit.frame, &view)))
}

fn own(visit: &Visit) -> Result<UserRecord, super::frame::Wrong> {
    visit.state.access().user(&visit.caller.principal.name).map_err(|error| visit.wrong(error))
}

/// What the page shows where nothing was asked for; sessions that cannot be read are none.
fn view(visit: &Visit, user: &UserRecord) -> Account {
    Account {
        name: user.name.clone(),
        role: role_word(user.role, visit.frame.locale).to_owned(),
        totp: if user.totp { Totp::On { recovery_left: u64::from(user.recovery_codes) } } else { Totp::Off },
        recovery: Vec::new(),
        sessions: sessions(visit, user),
        fault: None,
    }
}

fn sessions(visit: &Visit, user: &UserRecord) -> Vec<Session> {
    let cookie = match &visit.caller.credential {
        Credential::Session { cookie, .. } => Some(cookie.as_str()),
        Credential::Token | Credential::Proxy { .. } => None,
    };
    let known = visit.state.access().sessions(&user.name, cookie, visit.frame.now).unwrap_or_else(|error| {
        tracing::warn!(%error, "sessions cannot be listed");
        Vec::new()
    });
    let session = |one: SessionRecord| Session { id: one.id, from: one.from, since: one.created, seen: one.seen, this: one.own };
    known.into_iter().map(session).collect()
}

pub(super) async fn change(visit: Visit, request: Request) -> Answer {
    let visit = visit.at(Section::Account)?;
    let form = visit.sent(request).await?;
    let user = own(&visit)?;
    match form.text("action") {
        "password" => password(visit, user, form).await,
        "totp-begin" => begin(&visit, &user),
        "totp-confirm" => confirm(visit, user, form).await,
        "totp-disable" => disable(visit, user, form).await,
        "logout-one" => {
            let ended = visit.state.access().end_session(&user.name, form.text("session")).map_err(|error| visit.wrong(error))?;
            let text = if ended {
                visit.t("A sessão foi encerrada.", "The session has ended.")
            } else {
                visit.t("Essa sessão já tinha terminado.", "That session had ended already.")
            };
            Ok(visit.on("/account", (Tone::Good, text)))
        }
        "logout-all" => {
            visit.state.access().logout_all(&user.name).map_err(|error| visit.wrong(error))?;
            Ok(see("/login"))
        }
        _ => Ok(see("/account")),
    }
}

/// The page again, with what is wrong.
fn again(visit: &Visit, user: &UserRecord, action: &str, why: String) -> Response {
    let view = Account { fault: Some((action.to_owned(), why)), ..view(visit, user) };
    let mut response = visit.page(account::render(&visit.frame, &view));
    *response.status_mut() = axum::http::StatusCode::UNPROCESSABLE_ENTITY;
    response
}

/// Whether they are who they were when they logged in: a session that somebody left open is not enough here.
async fn confirmed(visit: &Visit, user: &UserRecord, form: Form) -> Result<(Result<(), String>, Form), super::frame::Wrong> {
    let (access, name, from) = (visit.state.access().clone(), user.name.clone(), visit.peer());
    let done = aside(&visit.context, move |_| {
        let found = access.confirm_password(&name, form.text("current"), from, Timestamp::now())?;
        Ok((found, form))
    });
    let (found, form) = done.await.map_err(|problem| visit.wrong(problem))?;
    let answer = match found {
        Confirmation::Right => Ok(()),
        Confirmation::Wrong => Err(visit.t("A senha atual está errada.", "The current password is wrong.").to_owned()),
        Confirmation::Throttled { .. } => {
            Err(visit.t("Tentativas demais: aguarde um pouco.", "Too many attempts: wait a little.").to_owned())
        }
    };
    Ok((answer, form))
}

async fn password(visit: Visit, user: UserRecord, form: Form) -> Answer {
    let (known, form) = confirmed(&visit, &user, form).await?;
    if let Err(why) = known {
        return Ok(again(&visit, &user, "password", why));
    }
    if form.text("password") != form.text("repeated") {
        let why = visit.t("As duas senhas não são iguais.", "The two passwords are not the same.").to_owned();
        return Ok(again(&visit, &user, "password", why));
    }
    let (access, name) = (visit.state.access().clone(), user.name.clone());
    let set = visit.aside(move |context| Ok(job::set_password(context, &access, &name, form.text("password")))).await?;
    match set {
        // Every session ended with the old password.
        Ok(()) => Ok(see("/login")),
        Err(error) => Ok(again(&visit, &user, "password", error.to_string())),
    }
}

fn begin(visit: &Visit, user: &UserRecord) -> Answer {
    let setup = visit.state.access().begin_totp(&user.name, &format!("cofre {}", visit.frame.host)).map_err(|error| visit.wrong(error))?;
    let qr = drawing(&setup.uri).map_err(|problem| visit.wrong(problem))?;
    let view = Account { totp: Totp::Begun { qr, secret: setup.secret.as_str().to_owned() }, ..view(visit, user) };
    let mut response = visit.page(account::render(&visit.frame, &view));
    keep_nowhere(&mut response);
    Ok(response)
}

async fn confirm(visit: Visit, user: UserRecord, form: Form) -> Answer {
    let (access, name) = (visit.state.access().clone(), user.name.clone());
    let confirmed =
        visit.aside(move |context| Ok(job::confirm_totp(context, &access, (&name, form.text("code").trim()), Timestamp::now()))).await?;
    let codes: Vec<Zeroizing<String>> = match confirmed {
        Ok(codes) => codes,
        Err(error) => return Ok(again(&visit, &user, "totp-confirm", error.to_string())),
    };
    let view = Account { recovery: codes.iter().map(|code| code.as_str().to_owned()).collect(), ..view(&visit, &own(&visit)?) };
    let mut response = visit.page(account::render(&visit.frame, &view));
    keep_nowhere(&mut response);
    Ok(response)
}

async fn disable(visit: Visit, user: UserRecord, form: Form) -> Answer {
    let (known, _) = confirmed(&visit, &user, form).await?;
    if let Err(why) = known {
        return Ok(again(&visit, &user, "totp-disable", why));
    }
    job::disable_totp(&visit.context, visit.state.access(), &user.name).map_err(|error| visit.wrong(error))?;
    Ok(visit.on("/account", (Tone::Warn, visit.t("O segundo fator está desligado.", "The second factor is off."))))
}

/// A QR code as one path.
fn drawing(text: &str) -> Result<Html, Problem> {
    let failed =
        |error: qrcode::types::QrError| Problem::new(super::super::problem::Kind::Failed, format!("the QR code cannot be drawn: {error}"));
    let code = QrCode::new(text.as_bytes()).map_err(failed)?;
    let width = code.width();
    let mut path = String::new();
    for (index, module) in code.to_colors().into_iter().enumerate() {
        if module == qrcode::Color::Dark {
            let _ = write!(path, "M{} {}h1v1h-1z", index % width + QUIET, index / width + QUIET);
        }
    }
    let side = width + 2 * QUIET;
    Ok(Html::drawing(format!(
        "<svg class=\"qr\" role=\"img\" aria-label=\"QR\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\"><rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/><path d=\"{path}\" fill=\"#000\"/></svg>"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_drawn_with_its_quiet_zone() {
        let drawn = drawing("otpauth://totp/cofre:ana?secret=ABC").map(|html| html.to_string()).unwrap_or_default();
        assert!(drawn.contains("M4 4h1v1h-1z") && !drawn.contains("M3 ") && !drawn.contains("style="), "{drawn}");
    }
}
