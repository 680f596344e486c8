//! A provider of identities as written and as meant: who it is, who cofre is for it, and by which of its words it names our users.

use std::net::IpAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use super::diagnostics::Problems;
use super::raw::RawSecret;
use super::secret;

/// Where its mistakes are.
const TABLE: &str = "web.oidc";
/// Longest word on the button, in characters.
const LABEL_MAX: usize = 40;

/// A provider of identities (OpenID Connect).
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawOidc {
    /// Its address, for example `https://login.example.com/realms/company`.
    pub issuer: String,
    /// The name that it knows cofre by.
    pub client_id: String,
    /// Where the secret is that it gave cofre; none of a public client.
    pub client_secret: Option<RawSecret>,
    /// Which of its claims names the user of cofre: `preferred_username` (the default) or `email`, which then must be verified.
    pub claim: Option<String>,
    /// What people call it, on the button of the login page. Default: the host of its address.
    pub label: Option<String>,
    /// PEM file of further roots to trust.
    pub ca_file: Option<PathBuf>,
}

/// Which claim names the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Claim {
    /// `preferred_username`.
    #[default]
    Username,
    /// `email`, where `email_verified` is true.
    Email,
}

/// A provider of identities.
#[derive(Debug, Clone)]
pub struct OidcSettings {
    /// Its address, without a slash at its end unless it is written with one: it has to be the same letter for letter.
    pub issuer: String,
    /// The name that it knows cofre by.
    pub client_id: String,
    client_secret: Option<RawSecret>,
    /// Which claim names the user.
    pub claim: Claim,
    /// What people call it.
    pub label: String,
    /// PEM file of further roots to trust.
    pub ca_file: Option<PathBuf>,
}

impl OidcSettings {
    /// The secret that it gave cofre, fetched now.
    ///
    /// # Errors
    /// In words for the administrator, when it cannot be had.
    pub fn secret(&self) -> Result<Option<SecretString>, String> {
        let fetch = |from: &RawSecret| secret::fetch(from).map(|text| SecretString::from(text.as_str()));
        self.client_secret.as_ref().map(fetch).transpose()
    }
}

/// Whether what is sent there is seen by nobody else: under TLS, or within this machine.
pub fn is_private(address: &http::Uri) -> bool {
    let host = address.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let within = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    match address.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => within,
        _ => false,
    }
}

pub(super) fn resolve(raw: &RawOidc, problems: &mut Problems<'_>) -> Option<OidcSettings> {
    let wrong = || format!("`{}` is no address of a provider; write for example `https://login.example.com`", raw.issuer);
    let issuer = raw.issuer.parse::<http::Uri>().ok().filter(|uri| is_private(uri) && uri.query().is_none()).ok_or_else(wrong);
    let issuer = problems.keep((TABLE, 0, "issuer"), issuer);
    if raw.client_id.is_empty() {
        problems
            .add((TABLE, 0, "client_id"), "write the name that the provider knows cofre by; it is told where cofre is made known to it");
    }
    if let Some(secret) = &raw.client_secret {
        problems.keep((TABLE, 0, "client_secret"), super::secret::check(secret));
    }
    let claim = match raw.claim.as_deref() {
        None | Some("preferred_username") => Ok(Claim::Username),
        Some("email") => Ok(Claim::Email),
        Some(other) => Err(format!("`{other}` names nobody; write `preferred_username` or `email`")),
    };
    let claim = problems.keep((TABLE, 0, "claim"), claim);
    let label = raw.label.clone().or_else(|| issuer.as_ref()?.host().map(str::to_owned)).unwrap_or_default();
    if label.chars().count() > LABEL_MAX || label.chars().any(char::is_control) {
        problems.add((TABLE, 0, "label"), format!("a button has at most {LABEL_MAX} letters on one line"));
    }
    issuer.as_ref()?;
    let (issuer, client_id, client_secret) = (raw.issuer.clone(), raw.client_id.clone(), raw.client_secret.clone());
    Some(OidcSettings { issuer, client_id, client_secret, claim: claim?, label, ca_file: raw.ca_file.clone() })
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn load(text: &str) -> Result<OidcSettings, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("cofre.toml");
        let head = "[passphrase]\nenv = \"X\"\n[[destination]]\nname = \"a\"\nplugin = \"local\"\n[web.oidc]\n";
        std::fs::write(&path, format!("{head}{text}")).expect("written");
        let web = Config::load(&path).map_err(|error| error.to_string())?.web.expect("there");
        Ok(web.oidc.expect("there"))
    }

    #[test]
    fn what_is_left_out_is_what_most_want() {
        let oidc = load("issuer = \"https://login.example.com/realms/x\"\nclient_id = \"cofre\"\n").expect("holds");
        assert_eq!((oidc.claim, oidc.label.as_str()), (Claim::Username, "login.example.com"));
        assert!(oidc.secret().expect("none is none").is_none());
    }

    #[test]
    fn mistakes_are_named_with_what_to_write() {
        let good = "issuer = \"https://a\"\nclient_id = \"c\"\n";
        for (wrong, why) in [
            ("issuer = \"http://login.example.com\"\nclient_id = \"c\"".to_owned(), "no address of a provider"),
            ("issuer = \"login.example.com\"\nclient_id = \"c\"".to_owned(), "no address of a provider"),
            ("issuer = \"https://a\"".to_owned(), "client_id"),
            (format!("{good}claim = \"sub\""), "preferred_username"),
            (format!("{good}client_secret = {{ file = \"/a\", env = \"B\" }}"), "exactly one"),
            (format!("{good}label = \"{}\"", "x".repeat(41)), "at most 40"),
        ] {
            let error = load(&wrong).expect_err("wrong");
            assert!(error.contains(why) && error.contains("web.oidc"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_secret_goes_nowhere_in_the_clear_but_within_this_machine() {
        for good in ["https://a.example/x", "http://127.0.0.1:3000", "http://[::1]/", "http://localhost:1/x"] {
            assert!(is_private(&good.parse().expect("an address")), "{good}");
        }
        for bad in ["http://a.example", "http://127.0.0.1.example", "ftp://a", "/x"] {
            assert!(!is_private(&bad.parse().expect("an address")), "{bad}");
        }
    }
}
