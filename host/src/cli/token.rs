//! `cofre token`: makes, lists and revokes what programs get in with.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::Exit;
use super::args::{TokenCommand, TokenCreateArgs};
use super::render::{Renderer, table};
use crate::access::{Access, NewToken};
use crate::job::{self, Context, JobError};
use crate::text::{Locale, token_made, token_row};

/// Runs one of the commands.
pub(super) fn run(command: TokenCommand, context: &Context, (renderer, locale): (Renderer, Locale)) -> Result<Exit, JobError> {
    let access = Access::open(&context.config.storage.state)?;
    match command {
        TokenCommand::Create(arguments) => create(arguments, (context, &access), (renderer, locale))?,
        TokenCommand::List => list(&access, (renderer, locale))?,
        TokenCommand::Revoke { id } => {
            job::revoke_token(context, &access, &id)?;
            let value = serde_json::json!({ "id": id, "revoked": true });
            renderer.result("token", &value, || format!("✅ {} {id}", locale.pick("Token revogado:", "Token revoked:")));
        }
    }
    Ok(Exit::Done)
}

fn create(
    arguments: TokenCreateArgs,
    (context, access): (&Context, &Access),
    (renderer, locale): (Renderer, Locale),
) -> Result<(), JobError> {
    if renderer.is_quiet() {
        return Err(JobError::Request("with --quiet nobody would be told the token, which is shown only once".to_owned()));
    }
    let tenants: BTreeSet<String> = arguments.tenant.into_iter().collect();
    let new = NewToken {
        name: arguments.name,
        scopes: arguments.scope.into_iter().collect(),
        tenants: (!tenants.is_empty()).then_some(tenants),
        expires: arguments.expires.map(|after| moment_after(Timestamp::now(), after)).transpose()?,
    };
    let (record, text) = job::create_token(context, access, new, None)?;
    let value = serde_json::json!({ "token": record, "text": text.as_str() });
    renderer.result("token", &value, || token_made(&record, &text, locale));
    Ok(())
}

fn moment_after(now: Timestamp, after: std::time::Duration) -> Result<Timestamp, JobError> {
    let moment = SignedDuration::try_from(after).ok().and_then(|after| now.checked_add(after).ok());
    moment.ok_or_else(|| JobError::Request("that is too far in the future; leave --expires out for a token that does not end".to_owned()))
}

fn list(access: &Access, (renderer, locale): (Renderer, Locale)) -> Result<(), JobError> {
    let (tokens, now) = (access.tokens()?, Timestamp::now());
    renderer.result("token", &tokens, || {
        if tokens.is_empty() {
            return locale.pick("Nenhum token.", "There are no tokens.").to_owned();
        }
        table(&tokens.iter().map(|token| token_row(token, now, locale)).collect::<Vec<_>>())
    });
    Ok(())
}
