//! TLS of control and data connections: one configuration, so that data connections resume the control connection's session, as
//! ProFTPD and vsftpd demand (the proof that both come from the same client), under the host's roots of trust.

use std::fmt;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cofre_sdk::{Error, Result};
use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::TLS12;
use rustls::{ALL_VERSIONS, CipherSuite, ClientConfig, ClientConnection, NamedGroup, RootCertStore, StreamOwned, SupportedProtocolVersion};
use suppaftp::{FtpError, FtpResult, TlsConnector};

use crate::line::{Line, Patience, Socket};
use crate::server::{Ciphers, Versions};

/// Makes connections to one server out of sockets, secured or not; suppaftp calls it for the control connection and for each data connection.
///
/// suppaftp's own connector writes records by `writev`, which the C library of components does not have for sockets.
#[derive(Debug)]
pub(crate) struct Connector {
    /// `None`: without TLS.
    tls: Option<Arc<ClientConfig>>,
    patience: Patience,
}

impl Connector {
    /// Connections without TLS.
    pub(crate) fn plain(patience: Patience) -> Self {
        Self { tls: None, patience }
    }

    /// Connections with TLS.
    pub(crate) fn secure(
        roots: Arc<RootCertStore>,
        sessions: Arc<Sessions>,
        (versions, ciphers): (Versions, Ciphers),
        patience: Patience,
    ) -> Result<Self> {
        let offered: &[&SupportedProtocolVersion] = match versions {
            Versions::Any => ALL_VERSIONS,
            Versions::Tls12 => &[&TLS12],
        };
        let mut configuration = ClientConfig::builder_with_provider(Arc::new(provider(ciphers)))
            .with_protocol_versions(offered)
            .map_err(|error| Error::unsupported(format!("TLS cannot be set up: {error}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        configuration.resumption = Resumption::store(sessions);
        Ok(Self { tls: Some(Arc::new(configuration)), patience })
    }
}

impl TlsConnector for Connector {
    type Stream = Line;

    fn connect(&self, domain: &str, stream: TcpStream) -> FtpResult<Line> {
        let socket = Socket::new(stream, self.patience.clone()).map_err(FtpError::ConnectionError)?;
        let Some(tls) = &self.tls else { return Ok(Line::plain(socket)) };
        let name = ServerName::try_from(domain.to_owned()).map_err(|error| FtpError::SecureError(error.to_string()))?;
        let connection = ClientConnection::new(Arc::clone(tls), name).map_err(|error| FtpError::SecureError(error.to_string()))?;
        Ok(Line::secured(StreamOwned::new(connection, socket)))
    }
}

/// What data connections resume: the session of one control connection and of no other.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<Held>);

#[derive(Default)]
struct Held {
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    tickets: Vec<Tls13ClientSessionValue>,
    had_tickets: bool,
}

/// Tickets that are kept; OpenSSL gives two.
const TICKETS_MAX: usize = 8;

impl Sessions {
    /// Whether there were tickets of TLS 1.3 and each of them is used.
    pub(crate) fn are_spent(&self) -> bool {
        let held = self.held();
        held.had_tickets && held.tickets.is_empty()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tickets", self.tickets.len())
    }
}

// There is one server, and so one name.
impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.held().group = Some(group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.held().group
    }

    fn set_tls12_session(&self, _: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.held().tls12 = Some(session);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.held().tls12.clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.held().tls12 = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut held = self.held();
        held.had_tickets = true;
        if held.tickets.len() < TICKETS_MAX {
            held.tickets.push(ticket);
        }
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.held().tickets.pop()
    }
}

/// The roots of trust, out of their certificates.
pub(crate) fn roots(certificates: Vec<Vec<u8>>) -> Result<Arc<RootCertStore>> {
    let mut store = RootCertStore::empty();
    let (usable, _) = store.add_parsable_certificates(certificates.into_iter().map(CertificateDer::from));
    if usable == 0 {
        return Err(Error::invalid_config(
            "this machine has no root certificates; install the package `ca-certificates`, or name your own authority in `ca_file`",
        ));
    }
    Ok(Arc::new(store))
}

fn provider(ciphers: Ciphers) -> CryptoProvider {
    let mut provider = ring::default_provider();
    provider.cipher_suites.retain(|suite| ciphers == Ciphers::All || is_chacha(suite.suite()));
    provider
}

fn is_chacha(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_have_a_quick_cipher() {
        let suites = provider(Ciphers::Quick).cipher_suites;
        let version = |version: &SupportedProtocolVersion| suites.iter().filter(|suite| suite.version() == version).count();
        assert!(version(&TLS12) > 0 && version(&rustls::version::TLS13) > 0);
        assert!(provider(Ciphers::All).cipher_suites.len() > suites.len());
    }

    #[test]
    fn nothing_to_trust_is_said_before_anything_is_sent() {
        let error = roots(Vec::new()).expect_err("no roots");
        assert!(error.message().contains("ca_file"), "{error}");
    }
}
