//! The way to the server: its name, its port, and TLS before anything is said.

use std::cell::OnceCell;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;

use cofre_sdk::{Context as _, Error, ErrorKind, Result, Secret};
use rustix::event::PollFlags;
use rustls::RootCertStore;
use suppaftp::{FtpError, FtpResult, ImplFtpStream};

use crate::error::{Meaning, Refusal, broken, failure};
use crate::line::{Line, Patience};
use crate::settings::{Settings, Tls};
use crate::tls::{self, Connector, Sessions};

/// suppaftp's side of a control connection, secured or not.
pub(crate) type Stream = ImplFtpStream<Line>;

/// Versions of TLS that are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Versions {
    /// 1.3 and 1.2.
    Any,
    /// 1.2 alone.
    Tls12,
}

/// Ciphers that are offered. A component has no instructions for AES, and without them it is many times slower than ChaCha20, which most
/// servers would take and few prefer: so it is offered alone, and the others where the server does not know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ciphers {
    /// ChaCha20-Poly1305 alone.
    Quick,
    /// All that are safe.
    All,
}

/// A connection on which the server has said hello.
pub(crate) struct Greeted {
    pub(crate) stream: Stream,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) patience: Patience,
}

/// Where it is and who comes.
pub(crate) struct Server {
    pub(crate) settings: Settings,
    pub(crate) password: Secret,
    roots: OnceCell<Arc<RootCertStore>>,
}

impl Server {
    pub(crate) fn new(settings: Settings, password: Secret) -> Result<Self> {
        settings.check()?;
        Ok(Self { settings, password, roots: OnceCell::new() })
    }

    /// Name and port, for messages.
    pub(crate) fn target(&self) -> String {
        format!("{}:{}", self.settings.host, self.settings.port())
    }

    /// Connects, up to where TLS stands.
    pub(crate) fn greet(&self, versions: Versions) -> Result<Greeted> {
        let connecting = || format!("cannot connect to {}", self.target());
        let (sessions, patience) = (Arc::new(Sessions::default()), Patience::new(self.settings.timeout()));
        let attempt = |ciphers| -> Result<FtpResult<Stream>> {
            let secure = || Connector::secure(self.roots()?, Arc::clone(&sessions), (versions, ciphers), patience.clone());
            match self.settings.tls {
                Tls::None => self.meet(Connector::plain(patience.clone())),
                Tls::Implicit => self.meet(secure()?),
                Tls::Explicit => {
                    let (connector, socket) = (secure()?, self.dial()?);
                    patience.wait(&socket, PollFlags::IN).map_err(broken)?;
                    let plain = Stream::connect_with_stream(socket).map_err(failure)?;
                    Ok(plain.into_secure(connector, &self.settings.host))
                }
            }
        };
        let mut connected = attempt(Ciphers::Quick).with_context(connecting)?;
        if self.settings.tls != Tls::None && connected.as_ref().is_err_and(is_handshake) {
            connected = attempt(Ciphers::All).with_context(connecting)?;
        }
        let stream = connected.map_err(|error| self.not_connected(error)).with_context(connecting)?;
        Ok(Greeted { stream, sessions, patience })
    }

    /// Connects as for implicit TLS, whatever the connector makes of the socket: so every connection is one of our own making.
    fn meet(&self, connector: Connector) -> Result<FtpResult<Stream>> {
        Ok(Stream::connect_secure_implicit(self.addresses()?.as_slice(), connector, &self.settings.host))
    }

    fn not_connected(&self, error: FtpError) -> Error {
        let refused = Refusal::in_error(&error).filter(|refusal| refusal.meaning() != Meaning::Busy);
        match (self.settings.tls, refused, error) {
            (Tls::Explicit, Some(refusal), _) => {
                let mend =
                    "the server offers no TLS here; only on a network that you trust, set /tls to `none` with `allow_plaintext = true`";
                Error::invalid_config(format!("{} ({mend})", refusal.into_error(ErrorKind::Unsupported).message()))
            }
            (Tls::Implicit | Tls::None, _, FtpError::ConnectionError(error)) => not_reached(error),
            (_, _, error) => failure(error),
        }
    }

    fn roots(&self) -> Result<Arc<RootCertStore>> {
        if let Some(roots) = self.roots.get() {
            return Ok(Arc::clone(roots));
        }
        let roots = tls::roots(cofre_sdk::trust_roots())?;
        Ok(Arc::clone(self.roots.get_or_init(|| roots)))
    }

    fn dial(&self) -> Result<TcpStream> {
        TcpStream::connect(self.addresses()?.as_slice()).map_err(not_reached)
    }

    fn addresses(&self) -> Result<Vec<SocketAddr>> {
        let found = (self.settings.host.as_str(), self.settings.port()).to_socket_addrs().map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => not_reached(error),
            _ => Error::unavailable(format!("its name cannot be looked up: {error}")),
        })?;
        Ok(found.collect())
    }
}

/// What a connection that does not come about means.
pub(crate) fn not_reached(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            Error::invalid_config("the host refused the connection; grant this destination the network target")
        }
        _ => broken(error),
    }
}

/// Whether TLS failed in a way that other ciphers may mend.
fn is_handshake(error: &FtpError) -> bool {
    let FtpError::ConnectionError(error) = error else { return false };
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::InvalidMessage(_)) => false,
        Some(_) => true,
        None => matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe),
    }
}
