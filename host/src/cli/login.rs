//! `cofre login`: a person agrees in a browser, on whatever machine has one, and the refresh token lands in a private file here. It is
//! never printed.

mod https;
mod oauth;

use std::io::BufRead;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::Exit;
use super::args::{CloudService, LoginArgs, LoginFlow, LoginScope};
use super::init::write_private;
use super::render::Renderer;
use crate::job::JobError;
use crate::text::{Locale, login_done, login_paste, login_type};
use https::Https;
use oauth::Client;

/// Why nobody is logged in. Never has a secret.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct LoginError(String);

impl LoginError {
    fn new(message: String) -> Self {
        Self(message)
    }
}

/// Runs the command.
pub(super) async fn run(
    arguments: LoginArgs,
    (renderer, locale): (Renderer, Locale),
    cancel: &CancellationToken,
) -> Result<Exit, JobError> {
    let (service, to) = (arguments.service, arguments.to.clone());
    if to.exists() && !arguments.force {
        return Err(JobError::Request(format!("`{}` exists already; repeat with --force to replace it", to.display())));
    }
    let to = absolute(&to)?;
    let login = log_in(arguments, locale, &to);
    let logged_in = tokio::select! {
        () = cancel.cancelled() => return Err(JobError::Cancelled),
        logged_in = login => logged_in,
    };
    match logged_in {
        Ok(()) => {
            let value = serde_json::json!({ "service": service.name(), "file": to });
            renderer.result("login", &value, || login_done(service.name(), &to, locale));
            Ok(Exit::Done)
        }
        Err(error) => {
            renderer.error("login", &error.to_string());
            Ok(Exit::Failed)
        }
    }
}

async fn log_in(arguments: LoginArgs, locale: Locale, to: &Path) -> Result<(), LoginError> {
    let https = Https::new(arguments.ca_file.as_deref())?;
    let client = client(&arguments)?;
    let token = if client.service == CloudService::Gdrive && arguments.flow == LoginFlow::Device {
        let code = client.device(&https).await?;
        eprintln!("{}", login_type(&code.address, &code.user_code, code.valid.as_secs(), locale));
        client.wait_for(&https, &code).await?
    } else {
        let request = client.request()?;
        eprint!("{}", login_paste(client.service.name(), &request.address, locale));
        client.exchange(&https, &request, &pasted().await?).await?
    };
    let line = Zeroizing::new(format!("{}\n", token.as_str()));
    write_private(to, line.as_bytes(), arguments.force).map_err(|error| {
        LoginError::new(format!("cannot write `{}`: {error}; the token that was given is lost, log in again", to.display()))
    })
}

fn client(arguments: &LoginArgs) -> Result<Client, LoginError> {
    let secret = match &arguments.client_secret_file {
        Some(path) => {
            let text = std::fs::read_to_string(path).map(Zeroizing::new);
            let text = text.map_err(|error| LoginError::new(format!("cannot read `{}`: {error}", path.display())))?;
            Some(Zeroizing::new(text.lines().next().unwrap_or_default().trim().to_owned()))
        }
        None if arguments.service == CloudService::Gdrive => {
            let why = "Google gives no token without the client's secret; name the file that has it with --client-secret-file";
            return Err(LoginError::new(why.to_owned()));
        }
        None => None,
    };
    let scope = match arguments.scope {
        LoginScope::DriveFile => "https://www.googleapis.com/auth/drive.file",
        LoginScope::Drive if arguments.flow == LoginFlow::Device => {
            let why = "Google gives the scope `drive` to no device; add --flow code, or leave --scope out";
            return Err(LoginError::new(why.to_owned()));
        }
        LoginScope::Drive => "https://www.googleapis.com/auth/drive",
    };
    Ok(Client {
        service: arguments.service,
        id: arguments.client_id.trim().to_owned(),
        secret,
        scope: scope.to_owned(),
        endpoint: arguments.endpoint.clone(),
    })
}

/// One line of standard input, on a thread that may wait for ever.
async fn pasted() -> Result<Zeroizing<String>, LoginError> {
    let read = tokio::task::spawn_blocking(|| {
        let mut line = Zeroizing::new(String::new());
        std::io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    let line = read.await.map_err(|error| LoginError::new(format!("cannot read the code: {error}")))?;
    line.map_err(|error| LoginError::new(format!("cannot read the code: {error}")))
}

/// Where the file will be; its directory must be there.
fn absolute(to: &Path) -> Result<PathBuf, JobError> {
    let name = to.file_name().ok_or_else(|| JobError::Request(format!("`{}` names no file", to.display())))?;
    let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory =
        directory.canonicalize().map_err(|error| JobError::Request(format!("cannot use `{}`: {error}", directory.display())))?;
    Ok(directory.join(name))
}
