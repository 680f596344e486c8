//! How the account proves itself (RFC 4954): which mechanism, and what it says in which turn.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cofre_sdk::{Error, ErrorKind, Result, Secret};
use smtp_proto::{AUTH_LOGIN, AUTH_PLAIN, AUTH_XOAUTH2};

use crate::client::Session;
use crate::reply::Reply;
use crate::settings::Auth;

/// Who comes, and with what proof.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) user: String,
    pub(crate) password: Secret,
    pub(crate) auth: Auth,
}

impl Account {
    /// Logs in.
    ///
    /// # Errors
    /// `access-denied` where the server does not believe it, `unsupported` where it has no such way.
    pub(crate) fn log_in(&self, session: &mut Session) -> Result<()> {
        let auth = self.way(session.mechanisms())?;
        let reply = match auth {
            Auth::Auto | Auth::Plain => one_turn(session, "PLAIN", &format!("\0{}\0{}", self.user, self.password.expose()))?,
            Auth::Xoauth2 => {
                let proof = format!("user={}\x01auth=Bearer {}\x01\x01", self.user, self.password.expose());
                match one_turn(session, "XOAUTH2", &proof)? {
                    // The reason, in a form of its own; the refusal follows an empty answer.
                    reply if reply.wants_more() => session.command("")?,
                    reply => reply,
                }
            }
            Auth::Login => self.two_turns(session)?,
        };
        if reply.is_done() {
            return Ok(());
        }
        let reply = reply.without(&[self.password.expose(), &BASE64.encode(self.password.expose())]);
        let refused = !reply.is_passing();
        let error = reply.into_error(ErrorKind::AccessDenied);
        Err(if refused { Error::new(error.kind(), format!("{} ({})", error.message(), mend(auth))) } else { error })
    }

    /// The way to log in at a server that offers these.
    fn way(&self, offered: u64) -> Result<Auth> {
        let knows = |auth| {
            let bit = match auth {
                Auth::Auto | Auth::Plain => AUTH_PLAIN,
                Auth::Login => AUTH_LOGIN,
                Auth::Xoauth2 => AUTH_XOAUTH2,
            };
            offered & bit != 0
        };
        let wanted = if self.auth == Auth::Auto { [Auth::Plain, Auth::Login].as_slice() } else { &[self.auth] };
        if let Some(auth) = wanted.iter().find(|auth| knows(**auth)) {
            return Ok(*auth);
        }
        let names = [(Auth::Plain, "plain"), (Auth::Login, "login"), (Auth::Xoauth2, "xoauth2")];
        let others: Vec<&str> = names.into_iter().filter(|(auth, _)| knows(*auth)).map(|(_, name)| name).collect();
        let why = match (offered, others.as_slice()) {
            (0, _) => "the server offers no login here; leave out /user, or correct /port and /tls".to_owned(),
            (_, []) => "the server offers only logins that are not known here; ask its administrator for PLAIN".to_owned(),
            (_, others) => format!("the server does not offer this login; set /auth to one that it has: {}", others.join(", ")),
        };
        Err(Error::invalid_config(why).with("pointer", "/auth"))
    }

    /// `LOGIN`, which nobody standardised: the server asks for the account, then for the password.
    fn two_turns(&self, session: &mut Session) -> Result<Reply> {
        let mut reply = session.command("AUTH LOGIN")?;
        for text in [self.user.as_str(), self.password.expose()] {
            if !reply.wants_more() {
                break;
            }
            reply = session.command(&BASE64.encode(text))?;
        }
        Ok(reply)
    }
}

fn one_turn(session: &mut Session, name: &str, proof: &str) -> Result<Reply> {
    session.command(&format!("AUTH {name} {}", BASE64.encode(proof)))
}

fn mend(auth: Auth) -> &'static str {
    match auth {
        Auth::Xoauth2 => "check /user; the access token in the secret `password` may have expired",
        _ => "check /user and the secret `password`; accounts with a second factor need a password made for applications",
    }
}
