//! The API and the page as written, and what they mean: where they listen, which certificate they show, and which proxies are believed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::diagnostics::Problems;
use super::oidc::{OidcSettings, RawOidc};

/// Where it listens unless told otherwise: nobody but this machine.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8743);
/// Addresses that it listens on at most.
const LISTEN_MAX: usize = 16;
/// Longest name of a host (RFC 1035, 2.3.4).
const HOST_MAX: usize = 253;

/// The API and the page.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawWeb {
    /// Addresses and ports to listen on. Default `["127.0.0.1:8743"]`.
    pub listen: Vec<String>,
    /// PEM file of the certificate, and those above it. Default: none on a loopback address, and elsewhere one that is made at the first start.
    pub tls_certificate: Option<PathBuf>,
    /// PEM file of its private key.
    pub tls_key: Option<PathBuf>,
    /// Address under which people and scripts reach it, for example `https://backup.example.com`.
    pub public_url: Option<String>,
    /// Addresses of reverse proxies that are believed: whom they pass on (`X-Forwarded-For`), so that failed logins count against the browser
    /// that sent them and not against the proxy; and, with `user_header`, whom they let in.
    pub trusted_proxies: Vec<String>,
    /// Header in which they name the user that they let in, for example `X-Remote-User`. Only with `trusted_proxies`.
    pub user_header: Option<String>,
    /// Where people log in by a provider of identities (OpenID Connect), beside passwords.
    pub oidc: Option<RawOidc>,
    /// Whether `/metrics` needs no token on a connection from this machine. Default false.
    pub metrics_public: bool,
}

/// The API and the page.
#[derive(Debug, Clone)]
pub struct WebSettings {
    /// Where it listens; at least one.
    pub listen: Vec<SocketAddr>,
    /// PEM files of certificate and key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Where people reach it.
    pub public: Option<PublicUrl>,
    /// Who is believed about whom they pass on.
    pub proxies: Option<Proxies>,
    /// A provider of identities.
    pub oidc: Option<OidcSettings>,
    /// Whether metrics need no token on a connection from this machine.
    pub metrics_public: bool,
}

impl Default for WebSettings {
    fn default() -> Self {
        Self { listen: vec![DEFAULT_LISTEN], tls: None, public: None, proxies: None, oidc: None, metrics_public: false }
    }
}

impl WebSettings {
    /// Whether a listener is without TLS: one that only this machine reaches, where no certificate is configured.
    pub fn is_bare(&self, address: &SocketAddr) -> bool {
        self.tls.is_none() && address.ip().to_canonical().is_loopback()
    }

    /// Where people reach it, as far as the configuration says: `public_url`, or the first listener.
    pub fn address(&self) -> String {
        let first = self.listen.first().unwrap_or(&DEFAULT_LISTEN);
        self.public.as_ref().map_or_else(|| browsed(*first, !self.is_bare(first)), |public| public.text.clone())
    }
}

/// A listener's address as a browser wants it; one that stands for all is told as this machine's own.
pub fn browsed(mut address: SocketAddr, secure: bool) -> String {
    match address {
        SocketAddr::V4(all) if all.ip().is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        SocketAddr::V6(all) if all.ip().is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    format!("{}://{address}", if secure { "https" } else { "http" })
}

/// The address under which people reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    /// Without a slash at its end.
    pub text: String,
    /// Its host, lower case and without port.
    pub host: String,
    /// Whether it is `https`.
    pub secure: bool,
}

/// Reverse proxies that are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxies {
    /// Where they are.
    pub addresses: Vec<IpAddr>,
    /// The header in which they name the user that they let in, lower case; none where they let nobody in themselves.
    pub header: Option<String>,
}

pub(super) fn resolve(raw: &RawWeb, problems: &mut Problems<'_>) -> WebSettings {
    let place = |key| ("web", 0, key);
    let address = |text: &String| {
        text.parse::<SocketAddr>()
            .map_err(|_| format!("`{text}` is no address with a port; write for example `127.0.0.1:8743` or `[::]:8743`"))
    };
    let mut listen: Vec<_> = raw.listen.iter().filter_map(|text| problems.keep(place("listen"), address(text))).collect();
    if listen.len() > LISTEN_MAX {
        problems.add(place("listen"), format!("these are more than {LISTEN_MAX} addresses; `[::]:8743` stands for all of the machine"));
    }
    if raw.listen.is_empty() {
        listen.push(DEFAULT_LISTEN);
    }
    let tls = tls((raw.tls_certificate.as_deref(), raw.tls_key.as_deref()), problems);
    let public = raw.public_url.as_deref().and_then(|text| problems.keep(place("public_url"), public_url(text)));
    let oidc = raw.oidc.as_ref().and_then(|raw| super::oidc::resolve(raw, problems));
    WebSettings { listen, tls, public, proxies: proxies(raw, problems), oidc, metrics_public: raw.metrics_public }
}

fn tls(files: (Option<&Path>, Option<&Path>), problems: &mut Problems<'_>) -> Option<(PathBuf, PathBuf)> {
    match files {
        (Some(certificate), Some(key)) => Some((certificate.to_path_buf(), key.to_path_buf())),
        (None, None) => None,
        (Some(_), None) => {
            problems.add(("web", 0, "tls_certificate"), "a certificate is of no use without its key; name that in tls_key");
            None
        }
        (None, Some(_)) => {
            problems.add(("web", 0, "tls_key"), "a key is of no use without its certificate; name that in tls_certificate");
            None
        }
    }
}

fn public_url(text: &str) -> Result<PublicUrl, String> {
    let fail = || format!("`{text}` is no address of a page; write for example `https://backup.example.com`, without a path");
    let text = text.trim_end_matches('/');
    let (scheme, rest) = text.split_once("://").ok_or_else(fail)?;
    let secure = match scheme {
        "https" => true,
        "http" => false,
        _ => return Err(fail()),
    };
    let host = host_of(rest).ok_or_else(fail)?;
    Ok(PublicUrl { text: text.to_owned(), host, secure })
}

/// The host of `host`, `host:port`, `[v6]` or `[v6]:port`, lower case; nothing of what is none.
pub fn host_of(authority: &str) -> Option<String> {
    let is_port = |text: &str| text.parse::<u16>().is_ok();
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let plain = |letter: char| letter.is_ascii_alphanumeric() || ".-:".contains(letter);
    let good = !host.is_empty() && host.len() <= HOST_MAX && host.chars().all(plain) && port.is_none_or(is_port);
    good.then(|| host.trim_end_matches('.').to_ascii_lowercase())
}

fn proxies(raw: &RawWeb, problems: &mut Problems<'_>) -> Option<Proxies> {
    let address =
        |text: &String| text.parse::<IpAddr>().map_err(|_| format!("`{text}` is no address; write for example `127.0.0.1` or `::1`"));
    let addresses: Vec<_> =
        raw.trusted_proxies.iter().filter_map(|text| problems.keep(("web", 0, "trusted_proxies"), address(text))).collect();
    if raw.trusted_proxies.is_empty() {
        if raw.user_header.is_some() {
            problems.add(("web", 0, "user_header"), "anybody could send this header; name whom it is believed from in trusted_proxies");
        }
        return None;
    }
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    if let Some(header) = raw.user_header.as_ref().filter(|header| header.is_empty() || !header.chars().all(plain)) {
        problems.add(("web", 0, "user_header"), format!("`{header}` is no name of a header; write for example `X-Remote-User`"));
    }
    Some(Proxies { addresses, header: raw.user_header.as_ref().map(|header| header.to_ascii_lowercase()) })
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn load(text: &str) -> Result<Option<WebSettings>, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("cofre.toml");
        std::fs::write(&path, format!("[passphrase]\nenv = \"X\"\n[[destination]]\nname = \"a\"\nplugin = \"local\"\n{text}"))
            .expect("written");
        Config::load(&path).map(|config| config.web).map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_section_there_is_none_and_an_empty_one_listens_on_this_machine_only() {
        assert!(load("").expect("holds").is_none());
        let web = load("[web]\n").expect("holds").expect("there");
        assert_eq!((web.address().as_str(), &web.listen), ("http://127.0.0.1:8743", &WebSettings::default().listen));
        assert!(web.tls.is_none() && web.proxies.is_none() && web.oidc.is_none() && !web.metrics_public);
        assert_eq!(load("[web]\nlisten = [\"[::]:443\"]\n").expect("holds").expect("there").address(), "https://[::1]:443");
        assert!(web.listen.iter().all(|address| address.ip().is_loopback()));
    }

    #[test]
    fn what_is_written_is_what_is_meant() {
        let text = "[web]\nlisten = [\"[::]:443\", \"10.0.0.1:8743\"]\ntls_certificate = \"/a\"\ntls_key = \"/b\"\n\
                    public_url = \"https://Backup.Example.com/\"\ntrusted_proxies = [\"127.0.0.1\"]\nuser_header = \"X-Remote-User\"\n";
        let web = load(text).expect("holds").expect("there");
        assert_eq!((web.listen.len(), web.address().as_str()), (2, "https://Backup.Example.com"));
        assert_eq!(web.tls, Some(("/a".into(), "/b".into())));
        let public = web.public.expect("there");
        assert_eq!((public.text.as_str(), public.host.as_str(), public.secure), ("https://Backup.Example.com", "backup.example.com", true));
        assert_eq!(web.proxies.expect("there").header.as_deref(), Some("x-remote-user"));
        let web = load("[web]\ntrusted_proxies = [\"::1\"]\n").expect("holds").expect("there");
        assert_eq!(web.proxies, Some(Proxies { addresses: vec![Ipv6Addr::LOCALHOST.into()], header: None }));
    }

    #[test]
    fn mistakes_are_named_with_what_to_write() {
        for (wrong, why) in [
            ("listen = [\"8743\"]", "no address with a port"),
            ("listen = [\"example.com:80\"]", "no address with a port"),
            ("tls_certificate = \"/a\"", "without its key"),
            ("tls_key = \"/a\"", "without its certificate"),
            ("public_url = \"backup.example.com\"", "no address of a page"),
            ("public_url = \"https://a/b\"", "no address of a page"),
            ("user_header = \"X-User\"", "trusted_proxies"),
            ("trusted_proxies = [\"x\"]\nuser_header = \"X-User\"", "no address"),
            ("trusted_proxies = [\"::1\"]\nuser_header = \"X User\"", "no name of a header"),
            ("metrics = true", "metrics"),
        ] {
            let error = load(&format!("[web]\n{wrong}\n")).expect_err("wrong");
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_host_is_read_with_and_without_its_port() {
        for (text, host) in
            [("a.B", "a.b"), ("a:80", "a"), ("127.0.0.1:8743", "127.0.0.1"), ("[::1]", "::1"), ("[::1]:80", "::1"), ("a.", "a")]
        {
            assert_eq!(host_of(text).as_deref(), Some(host), "{text}");
        }
        for text in ["", ":80", "a:b", "a/b", "a b", "[::1", "[x]", "[::1]80", "a@b", "a:99999"] {
            assert_eq!(host_of(text), None, "{text}");
        }
    }
}
