//! Who we are: a private key, a password, or both, as the server wants them.

use std::sync::Arc;

use cofre_sdk::{Error, Result, Secret};
use russh::client::{AuthResult, Handle, Handler, KeyboardInteractiveAuthResponse};
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, decode_secret_key};
use russh::{MethodKind, MethodSet};

/// Rounds of questions that a server may ask in place of a password.
const ROUNDS: usize = 8;

/// An account with the right to use it.
pub(crate) struct Login {
    user: String,
    key: Option<Arc<PrivateKey>>,
    password: Option<Secret>,
}

/// Secrets of an instance; at least a password or a key.
pub(crate) struct Secrets {
    pub(crate) password: Option<Secret>,
    pub(crate) private_key: Option<Secret>,
    pub(crate) key_passphrase: Option<Secret>,
}

impl Login {
    /// Opens the private key, if there is one.
    ///
    /// # Errors
    /// `invalid-config` where there is neither password nor key, or the key cannot be opened.
    pub(crate) fn new(user: &str, secrets: Secrets) -> Result<Self> {
        if secrets.password.is_none() && secrets.private_key.is_none() {
            return Err(Error::invalid_config(
                "there is nothing to log in with; give this destination the secret `password` or `private_key`",
            ));
        }
        let key = match &secrets.private_key {
            Some(text) => Some(Arc::new(private_key(text.expose(), secrets.key_passphrase.as_ref().map(Secret::expose))?)),
            None => None,
        };
        Ok(Self { user: user.to_owned(), key, password: secrets.password })
    }

    /// Proves to the server who we are: by key, then by password, then by the password in answer to the server's questions.
    pub(crate) async fn prove<H: Handler>(&self, server: &mut Handle<H>) -> Result<Proof, russh::Error> {
        let mut proof = Proof::Refused { offered: Vec::new(), wanted: None };
        if let Some(key) = &self.key {
            // A server that does not say takes SHA-2: OpenSSH does since 7.2, and SHA-1 is refused by newer ones.
            let digest = server.best_supported_rsa_hash().await?.unwrap_or(Some(HashAlg::Sha512));
            let key = PrivateKeyWithHashAlg::new(Arc::clone(key), digest);
            let answer = server.authenticate_publickey(&self.user, key).await?;
            proof = proof.after("private key", answer);
        }
        if let Some(password) = self.password.as_ref().filter(|_| proof.may_go_on(MethodKind::Password)) {
            let answer = server.authenticate_password(&self.user, password.expose()).await?;
            proof = proof.after("password", answer);
        }
        if let Some(password) = self.password.as_ref().filter(|_| proof.wants(MethodKind::KeyboardInteractive)) {
            let answer = self.answer_questions(server, password).await?;
            proof = proof.after("password in answer to its questions", answer);
        }
        Ok(proof)
    }

    /// Answers every question whose answer is not shown with the password.
    async fn answer_questions<H: Handler>(&self, server: &mut Handle<H>, password: &Secret) -> Result<AuthResult, russh::Error> {
        let mut reply = server.authenticate_keyboard_interactive_start(&self.user, None).await?;
        for round in 0.. {
            let prompts = match reply {
                KeyboardInteractiveAuthResponse::Success => return Ok(AuthResult::Success),
                KeyboardInteractiveAuthResponse::Failure { remaining_methods, partial_success } => {
                    return Ok(AuthResult::Failure { remaining_methods, partial_success });
                }
                KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } if round < ROUNDS => prompts,
                KeyboardInteractiveAuthResponse::InfoRequest { .. } => break,
            };
            let answers = prompts.iter().map(|prompt| if prompt.echo { String::new() } else { password.expose().to_owned() });
            reply = server.authenticate_keyboard_interactive_respond(answers.collect()).await?;
        }
        Ok(AuthResult::Failure { remaining_methods: MethodSet::empty(), partial_success: false })
    }
}

/// Whether the server believed us.
#[derive(Debug)]
pub(crate) enum Proof {
    Accepted,
    Refused {
        /// What it was shown.
        offered: Vec<&'static str>,
        /// What it wants instead; `None` where it was not asked yet.
        wanted: Option<MethodSet>,
    },
}

impl Proof {
    fn after(self, shown: &'static str, answer: AuthResult) -> Self {
        match (self, answer) {
            (_, AuthResult::Success) => Self::Accepted,
            (Self::Refused { mut offered, .. }, AuthResult::Failure { remaining_methods, partial_success }) => {
                // Half a success is not what was wrong.
                if !partial_success {
                    offered.push(shown);
                }
                Self::Refused { offered, wanted: Some(remaining_methods) }
            }
            (accepted, AuthResult::Failure { .. }) => accepted,
        }
    }

    fn may_go_on(&self, method: MethodKind) -> bool {
        match self {
            Self::Accepted => false,
            Self::Refused { wanted, .. } => wanted.as_ref().is_none_or(|wanted| wanted.contains(&method)),
        }
    }

    fn wants(&self, method: MethodKind) -> bool {
        matches!(self, Self::Refused { wanted: Some(wanted), .. } if wanted.contains(&method))
    }

    /// An error unless it did.
    pub(crate) fn accepted(self) -> Result<()> {
        let Self::Refused { offered, wanted } = self else { return Ok(()) };
        let names = |methods: &MethodSet| methods.iter().map(<&str>::from).collect::<Vec<_>>().join(", ");
        let wanted = wanted.as_ref().filter(|wanted| !wanted.is_empty()).map_or_else(|| "nothing else".to_owned(), names);
        let shown = if offered.is_empty() {
            "what it was shown is not all that it wants".to_owned()
        } else {
            format!("it refused the {}", offered.join(" and the "))
        };
        Err(Error::access_denied(format!("{shown}, and accepts {wanted}; check /user and the secrets `password` and `private_key`")))
    }
}

/// Opens a private key in OpenSSH's format, PEM (PKCS#1, PKCS#8, SEC1) or PuTTY's.
fn private_key(text: &str, passphrase: Option<&str>) -> Result<PrivateKey> {
    let text = text.trim().replace("\r\n", "\n");
    // A passphrase for a key that has none confuses the reader of PEM.
    if let Ok(key) = decode_secret_key(&text, None) {
        return Ok(key);
    }
    let refuse = |why: String| Err(Error::invalid_config(why));
    if !text.starts_with("-----BEGIN ") && !text.starts_with("PuTTY-User-Key-File-") {
        return refuse("the secret `private_key` is no private key; it begins with `-----BEGIN `".to_owned());
    }
    let Some(passphrase) = passphrase else {
        return refuse(
            "the secret `private_key` cannot be read: it is encrypted and the secret `key_passphrase` is missing, or it is damaged"
                .to_owned(),
        );
    };
    decode_secret_key(&text, Some(passphrase)).or_else(|why| {
        // Of the old PEM encryptions only AES-128 is known; the current format is the mend for all others.
        let mend = "check `key_passphrase`; a key in an old format is written anew by `ssh-keygen -p -f FILE`";
        refuse(format!("the secret `private_key` cannot be opened with the secret `key_passphrase`: {why} ({mend})"))
    })
}
