//! Who is asking: `Authorization` for each request, by the scheme that the settings name.

use std::cell::RefCell;
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cofre_sdk::{Error, Result, Secret};
use http_auth::{DigestClient, PasswordParams, parse_challenges};

use crate::settings::{Scheme, Settings};

/// How long a challenge is used. Servers let theirs expire (Apache after five minutes), and a body that was sent under an old one is lost.
const CHALLENGE_LIFETIME: Duration = Duration::from_mins(1);

/// What proves who is asking.
pub(crate) enum Credentials {
    /// The same header each time.
    Fixed(Secret),
    /// A proof made from a challenge of the server.
    Digest { username: String, password: Secret, challenge: RefCell<Option<Challenge>> },
    /// Nothing.
    None,
}

/// A challenge, and since when.
pub(crate) struct Challenge {
    client: DigestClient,
    since: Instant,
}

impl Credentials {
    /// What the settings and secrets say.
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        let username = settings.username.clone().unwrap_or_default();
        let read = |name| cofre_sdk::secret(name).map(|secret| secret.expose().trim_end_matches(['\r', '\n']).to_owned());
        Ok(match settings.auth {
            Scheme::Basic => Self::basic(&username, &read("password")?),
            Scheme::Bearer => Self::Fixed(Secret::new(format!("Bearer {}", read("token")?.trim()))),
            Scheme::Digest => Self::digest(username, read("password")?),
            Scheme::None => Self::None,
        })
    }

    fn basic(username: &str, password: &str) -> Self {
        Self::Fixed(Secret::new(format!("Basic {}", BASE64_STANDARD.encode(format!("{username}:{password}")))))
    }

    fn digest(username: String, password: String) -> Self {
        Self::Digest { username, password: Secret::new(password), challenge: RefCell::default() }
    }

    /// Whether a request must first ask for a challenge.
    pub(crate) fn needs_challenge(&self) -> bool {
        match self {
            Self::Digest { challenge, .. } => challenge.borrow().as_ref().is_none_or(|held| held.since.elapsed() > CHALLENGE_LIFETIME),
            Self::Fixed(_) | Self::None => false,
        }
    }

    /// Keeps the digest challenge among the values of `WWW-Authenticate`, if there is one.
    pub(crate) fn challenged<'a>(&self, mut values: impl Iterator<Item = &'a str>) -> Result<()> {
        let Self::Digest { challenge, .. } = self else { return Ok(()) };
        let client = values.find_map(|value| {
            let offered = parse_challenges(value).ok()?;
            offered.iter().filter(|one| one.scheme.eq_ignore_ascii_case("digest")).find_map(|one| DigestClient::try_from(one).ok())
        });
        let Some(client) = client else {
            return Err(
                Error::invalid_config("/auth: the server offers no digest authentication; use another way").with("pointer", "/auth")
            );
        };
        *challenge.borrow_mut() = Some(Challenge { client, since: Instant::now() });
        Ok(())
    }

    /// Value of `Authorization` for one request.
    pub(crate) fn header(&self, method: &str, path: &str) -> Result<Option<String>> {
        match self {
            Self::None => Ok(None),
            Self::Fixed(value) => Ok(Some(value.expose().to_owned())),
            Self::Digest { username, password, challenge } => {
                let mut challenge = challenge.borrow_mut();
                // A server that challenged nobody wants no answer.
                let Some(challenge) = challenge.as_mut() else { return Ok(None) };
                let parameters = PasswordParams { username, password: password.expose(), uri: path, method, body: None };
                // The crate's own random numbers come from WASI preview 1, which the sandbox does not have; these are as good.
                let cnonce = format!("{:016x}", RandomState::new().hash_one(0));
                let response = challenge.client.respond_with_testing_cnonce(&parameters, &cnonce);
                response.map(Some).map_err(|why| Error::unsupported(format!("the server's challenge cannot be answered: {why}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_is_the_example_of_its_rfc() {
        let header = Credentials::basic("Aladdin", "open sesame").header("GET", "/").expect("a header");
        assert_eq!(header.as_deref(), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
    }

    #[test]
    fn digest_answers_the_challenge_that_it_was_given() {
        let credentials = Credentials::digest("Mufasa".to_owned(), "Circle of Life".to_owned());
        assert!(credentials.needs_challenge());
        let challenge =
            r#"Digest realm="http-auth@example.org", qop="auth", algorithm=SHA-256, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v""#;
        credentials.challenged([r#"Basic realm="x""#, challenge].into_iter()).expect("one is digest");
        assert!(!credentials.needs_challenge());
        let header = credentials.header("GET", "/dir/index.html").expect("answered").expect("a header");
        for part in [r#"username="Mufasa""#, r#"uri="/dir/index.html""#, "nc=00000001", "qop=auth", "algorithm=SHA-256", "response="] {
            assert!(header.contains(part), "{header}");
        }
        assert!(!header.contains("Circle"));
        assert!(credentials.header("GET", "/").expect("answered").expect("a header").contains("nc=00000002"));
        assert!(credentials.challenged([r#"Basic realm="x""#].into_iter()).is_err());
    }
}
