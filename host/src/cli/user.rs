//! `cofre user`: the persons who may use the page, for an administrator who sits at the machine itself.

use std::path::Path;

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::Exit;
use super::args::{TotpCommand, UserCommand};
use super::render::{Renderer, table};
use crate::access::{Access, NewUser, setup_path};
use crate::config::secret_from;
use crate::job::{self, Context, JobError};
use crate::text::{Locale, role_in_words, setup_link_made, user_row};

/// Runs one of the commands.
pub(super) fn run(command: UserCommand, context: &Context, (renderer, locale): (Renderer, Locale)) -> Result<Exit, JobError> {
    let access = Access::open(&context.config.storage.state)?;
    let done = |name: &str, what: String| {
        renderer.result("user", &serde_json::json!({ "name": name }), || format!("✅ {name}: {what}"));
    };
    match command {
        UserCommand::Add { name, role, password_file } => {
            let password = password(password_file.as_deref(), locale)?;
            let user = job::add_user(context, &access, NewUser { name: &name, role, password: &password })?;
            renderer.result("user", &user, || format!("✅ {}", user_row(&user, locale).join("  ")));
        }
        UserCommand::List => list(&access, (renderer, locale))?,
        UserCommand::Password { name, password_file } => {
            let user = access.user(&name)?;
            job::set_password(context, &access, &name, &password(password_file.as_deref(), locale)?)?;
            done(&user.name, locale.pick("senha alterada, sessões encerradas", "password set, sessions ended").to_owned());
        }
        UserCommand::Role { name, role } => {
            job::set_role(context, &access, &name, role)?;
            done(&name, role_in_words(role, locale).to_owned());
        }
        UserCommand::Remove { name } => {
            job::remove_user(context, &access, &name)?;
            done(&name, locale.pick("removido", "removed").to_owned());
        }
        UserCommand::Totp(TotpCommand::Off { name }) => {
            job::disable_totp(context, &access, &name)?;
            done(&name, locale.pick("segundo fator desligado", "second factor off").to_owned());
        }
        UserCommand::SetupLink => setup_link(context, &access, (renderer, locale))?,
    }
    Ok(Exit::Done)
}

fn list(access: &Access, (renderer, locale): (Renderer, Locale)) -> Result<(), JobError> {
    let users = access.users()?;
    renderer.result("user", &users, || {
        if users.is_empty() {
            let none = locale.pick("Nenhum usuário; para criar o primeiro:", "There are no users; to make the first:");
            return format!("{none} cofre user setup-link");
        }
        table(&users.iter().map(|user| user_row(user, locale)).collect::<Vec<_>>())
    });
    Ok(())
}

fn setup_link(context: &Context, access: &Access, (renderer, locale): (Renderer, Locale)) -> Result<(), JobError> {
    if renderer.is_quiet() {
        return Err(JobError::Request("with --quiet nobody would be told the link".to_owned()));
    }
    let path = setup_path(&job::setup_link(context, access, Timestamp::now())?);
    let base = context.config.web.clone().unwrap_or_default().address();
    let link = Zeroizing::new(format!("{base}{}", *path));
    renderer.result("user", &serde_json::json!({ "path": path.as_str(), "link": link.as_str() }), || setup_link_made(&link, locale));
    Ok(())
}

/// From a private file, or twice from the terminal.
fn password(file: Option<&Path>, locale: Locale) -> Result<Zeroizing<String>, JobError> {
    if let Some(file) = file {
        return secret_from(file).map_err(JobError::Request);
    }
    let ask = |question: &str| {
        let answer = rpassword::prompt_password(question).map(Zeroizing::new);
        answer.map_err(|error| JobError::Request(format!("cannot ask for the password: {error}; name a file with --password-file")))
    };
    let first = ask(locale.pick("Senha: ", "Password: "))?;
    let second = ask(locale.pick("A senha de novo: ", "The password again: "))?;
    if first == second { Ok(first) } else { Err(JobError::Request("the two passwords are not the same".to_owned())) }
}
