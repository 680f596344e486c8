//! TLS of control and data connections: one configuration, so that data connections resume the control connection's session, as
//! ProFTPD and vsftpd demand (the proof that both come from the same client), under the host's roots of trust.

use std::fmt;
use std::io::{self, BufReader, IoSlice, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cofre_sdk::{Error, Result};
use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::TLS12;
use rustls::{ALL_VERSIONS, CipherSuite, ClientConfig, ClientConnection, NamedGroup, RootCertStore, StreamOwned, SupportedProtocolVersion};
use suppaftp::{FtpError, FtpResult, TlsConnector, TlsStream};

use crate::server::{Ciphers, Versions};

/// Secures connections to one server; suppaftp calls it for the control connection and for each data connection.
///
/// suppaftp's own connector writes records by `writev`, which the C library of components does not have for sockets.
#[derive(Debug)]
pub(crate) struct Connector(Arc<ClientConfig>);

impl Connector {
    pub(crate) fn new(roots: Arc<RootCertStore>, sessions: Arc<Sessions>, (versions, ciphers): (Versions, Ciphers)) -> Result<Self> {
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
        Ok(Self(Arc::new(configuration)))
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

/// A secured connection. Its handshake is made by the first byte in either direction.
#[derive(Debug)]
pub(crate) struct Secured(StreamOwned<ClientConnection, Socket>);

/// A socket that takes what is written as one piece, and reads ahead: rustls asks for 4 KiB at a time, each a turn to the host.
#[derive(Debug)]
pub(crate) struct Socket(BufReader<TcpStream>);

/// Bytes that are read ahead.
const AHEAD: usize = 128 << 10;

impl Socket {
    pub(crate) fn tcp(&self) -> &TcpStream {
        self.0.get_ref()
    }
}

impl TlsConnector for Connector {
    type Stream = Secured;

    fn connect(&self, domain: &str, stream: TcpStream) -> FtpResult<Secured> {
        let name = ServerName::try_from(domain.to_owned()).map_err(|error| FtpError::SecureError(error.to_string()))?;
        let connection = ClientConnection::new(Arc::clone(&self.0), name).map_err(|error| FtpError::SecureError(error.to_string()))?;
        Ok(Secured(StreamOwned::new(connection, Socket(BufReader::with_capacity(AHEAD, stream)))))
    }
}

impl TlsStream for Secured {
    type InnerStream = StreamOwned<ClientConnection, Socket>;

    /// Only `CCC` takes TLS away again, and cofre never sends it.
    fn tcp_stream(self) -> FtpResult<TcpStream> {
        Err(FtpError::SecureError("a secured connection stays one".to_owned()))
    }

    fn get_ref(&self) -> &TcpStream {
        self.0.sock.tcp()
    }

    fn mut_ref(&mut self) -> &mut Self::InnerStream {
        &mut self.0
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        if let [piece] = pieces {
            return self.0.get_mut().write(piece);
        }
        let mut whole = Vec::with_capacity(pieces.iter().map(|piece| piece.len()).sum());
        for piece in pieces {
            whole.extend_from_slice(piece);
        }
        self.0.get_mut().write(&whole)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.get_mut().flush()
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
