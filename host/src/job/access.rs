//! Users and tokens as they are changed, and people as they log in: each leaves a line in the audit log, and none has a secret in it.
//!
//! A change does not begin unless that line can be written: rights that nobody can trace are worse than none.

use std::net::IpAddr;

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::context::{Context, JobError};
use crate::access::{
    Access, AccessError, Login, LoginOutcome, NewToken, NewUser, Principal, Refusal, Role, SessionSecret, TokenRecord, UserRecord,
};
use crate::audit::{Action, Event, Outcome};

/// Stands in the log for a name that nobody has: people type passwords where the name belongs.
const UNKNOWN: &str = "unknown user";
/// Stands in the log for how somebody got in who gave no password here.
const PROVIDER: &str = "oidc";

/// Makes a token. Its text is here for the only time. Whoever asks over the page or the API is `by`, and gives no right they do not have;
/// on the command line, whoever may write the state may give any.
///
/// # Errors
/// When it may not be, cannot be stored, or the audit log cannot be written.
pub fn create_token(
    context: &Context,
    access: &Access,
    new: NewToken,
    by: Option<&Principal>,
) -> Result<(TokenRecord, Zeroizing<String>), JobError> {
    let configured = context.config.tenants();
    if let Some(tenant) = new.tenants.iter().flatten().find(|tenant| !configured.contains_key(tenant.as_str())) {
        return Err(JobError::Request(format!("there is no tenant `{tenant}`; see: cofre tenant list")));
    }
    if by.is_some_and(|by| !by.covers(&new.scopes, new.tenants.as_ref())) {
        return Err(AccessError::from(Refusal::MoreThanOwn).into());
    }
    let scopes = new.scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(" ");
    let tenants = new.tenants.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(", ");
    let expires = new.expires.map(|expires| expires.to_string()).unwrap_or_default();
    let facts = [("what", "token created"), ("scopes", &scopes), ("tenants", &tenants), ("expires", &expires)];
    let intent = context.audit.must(Action::AccessChange, &format!("token {}", new.name), &facts)?;
    let made = access.create_token(new, &context.audit.actor().to_string());
    match &made {
        Ok((record, _)) => intent.end(Outcome::Done, &[("id", &record.id)]),
        Err(error) => intent.end(Outcome::Failed, &[("error", &error.to_string())]),
    }
    Ok(made?)
}

/// Revokes a token.
///
/// # Errors
/// When there is none of that name that is not revoked, or it cannot be stored or written down.
pub fn revoke_token(context: &Context, access: &Access, id: &str) -> Result<(), JobError> {
    changed(context, &format!("token {id}"), &[("what", "token revoked")], || {
        if access.revoke_token(id)? { Ok(()) } else { Err(Refusal::NoToken(id.to_owned()).into()) }
    })
}

/// Adds a user. Takes tens of milliseconds.
///
/// # Errors
/// When that may not be, or cannot be stored or written down.
pub fn add_user(context: &Context, access: &Access, new: NewUser<'_>) -> Result<UserRecord, JobError> {
    let by = context.audit.actor().to_string();
    changed(context, &user(new.name), &[("what", "user added"), ("role", new.role.name())], || access.add_user(new, &by))
}

/// Gives a user another password. Takes tens of milliseconds.
///
/// # Errors
/// When that may not be, or cannot be stored or written down.
pub fn set_password(context: &Context, access: &Access, name: &str, password: &str) -> Result<(), JobError> {
    changed(context, &user(name), &[("what", "password set")], || access.set_password(name, password))
}

/// Trusts a user with more, or less.
///
/// # Errors
/// When that may not be, or cannot be stored or written down.
pub fn set_role(context: &Context, access: &Access, name: &str, role: Role) -> Result<(), JobError> {
    changed(context, &user(name), &[("what", "role set"), ("role", role.name())], || access.set_role(name, role))
}

/// Removes a user.
///
/// # Errors
/// When that may not be, or cannot be stored or written down.
pub fn remove_user(context: &Context, access: &Access, name: &str) -> Result<(), JobError> {
    changed(context, &user(name), &[("what", "user removed")], || access.remove_user(name))
}

/// Turns a second factor on, which [`Access::begin_totp`] has begun; the recovery codes.
///
/// # Errors
/// When the code is wrong, or it cannot be stored or written down.
pub fn confirm_totp(
    context: &Context,
    access: &Access,
    (name, code): (&str, &str),
    now: Timestamp,
) -> Result<Vec<Zeroizing<String>>, JobError> {
    changed(context, &user(name), &[("what", "second factor on")], || access.confirm_totp(name, code, now))
}

/// Turns a second factor off.
///
/// # Errors
/// When there is no such user, or it cannot be stored or written down.
pub fn disable_totp(context: &Context, access: &Access, name: &str) -> Result<(), JobError> {
    changed(context, &user(name), &[("what", "second factor off")], || access.disable_totp(name))
}

/// Makes the secret of the link for the first administrator, in place of the one before.
///
/// # Errors
/// When there is a user, or it cannot be stored or written down.
pub fn setup_link(context: &Context, access: &Access, now: Timestamp) -> Result<Zeroizing<String>, JobError> {
    changed(context, "set-up", &[("what", "link for the first administrator made")], || access.setup_link(now))
}

/// Makes the first administrator, and logs them in. Takes tens of milliseconds.
///
/// # Errors
/// When the link is no good, name or password may not be, or it cannot be stored or written down.
pub fn finish_setup(
    context: &Context,
    access: &Access,
    (secret, from): (&str, IpAddr),
    (name, password): (&str, &str),
    now: Timestamp,
) -> Result<SessionSecret, JobError> {
    // Nobody fills the audit log without the secret.
    if !access.is_setup_link(secret, now)? {
        return Err(AccessError::from(Refusal::SetupLink).into());
    }
    let facts = [("what", "first administrator set up"), ("role", Role::Administrator.name())];
    changed(context, &user(name), &facts, || access.finish_setup((secret, from), (name, password), now))
}

/// Logs a person in. Takes tens of milliseconds, and longer where many do so at once.
///
/// # Errors
/// When users cannot be read. An audit log that cannot be written keeps nobody out, who may have to mend it.
pub fn login(context: &Context, access: &Access, login: &Login<'_>, now: Timestamp) -> Result<LoginOutcome, JobError> {
    let outcome = access.login(login, now)?;
    let from = login.from.to_string();
    // The lookup is the same whether there is one or not.
    let known = access.user(login.name).ok();
    match &outcome {
        LoginOutcome::Session(_) => {
            let name = known.map(|user| user.name).unwrap_or_default();
            let event = Event::new(Action::Login, &user(&name), Outcome::Done).with("from", &from);
            context.audit.asked_by(&format!("page:{name}")).note(&event);
        }
        LoginOutcome::Refused => {
            if let Some(others) = access.tell_refusal(now) {
                let object = known.map_or_else(|| UNKNOWN.to_owned(), |known| user(&known.name));
                let others = if others == 0 { String::new() } else { others.to_string() };
                context.audit.note(
                    &Event::new(Action::LoginRefused, &object, Outcome::Failed).with("from", &from).with("not_written_before", &others),
                );
            }
        }
        LoginOutcome::CodeNeeded | LoginOutcome::Throttled { .. } => {}
    }
    Ok(outcome)
}

/// Lets in somebody whom a provider of identities vouches for; `None` where no user has that name.
///
/// # Errors
/// When users cannot be read.
pub fn admit(context: &Context, access: &Access, (name, from): (&str, IpAddr), now: Timestamp) -> Result<Option<SessionSecret>, JobError> {
    let admitted = access.admit(name, from, now)?;
    let from = from.to_string();
    match (&admitted, access.user(name)) {
        (Some(_), Ok(known)) => {
            let event = Event::new(Action::Login, &user(&known.name), Outcome::Done).with("from", &from).with("by", PROVIDER);
            context.audit.asked_by(&format!("page:{}", known.name)).note(&event);
        }
        _ => {
            if let Some(others) = access.tell_refusal(now) {
                let others = if others == 0 { String::new() } else { others.to_string() };
                // The name is the provider's, and no password typed in the wrong place.
                let event = Event::new(Action::LoginRefused, &user(name), Outcome::Failed).with("from", &from).with("by", PROVIDER);
                context.audit.note(&event.with("not_written_before", &others));
            }
        }
    }
    Ok(admitted)
}

fn user(name: &str) -> String {
    format!("user {}", name.trim().to_lowercase())
}

/// Does what is written down before and after.
fn changed<T>(
    context: &Context,
    object: &str,
    facts: &[(&'static str, &str)],
    work: impl FnOnce() -> Result<T, AccessError>,
) -> Result<T, JobError> {
    let intent = context.audit.must(Action::AccessChange, object, facts)?;
    let result = work();
    intent.ended(&result);
    Ok(result?)
}
