//! Takes connections: a bounded number of them, under TLS where it listens beyond this machine, each with a time for its handshake and for
//! the head of every request; and ends them in order.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::caller::Peer;
use super::certificate::{CertificateError, Identity};
use crate::config::{WebSettings, browsed};

/// Connections at once, over all addresses.
const CONNECTIONS: usize = 512;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long the head of a request may take, and a connection may wait for one.
const HEAD: Duration = Duration::from_secs(30);
/// Bytes of the head of a request; hyper's least.
const HEAD_MAX: usize = 16 << 10;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// How long requests may go on when it is told to stop.
const WIND_UP: Duration = Duration::from_secs(10);
/// Pause where the system has no file handles left.
const PAUSE: Duration = Duration::from_millis(200);

/// Why it cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {address}: {source}; is something else there? Change web.listen, or give --listen ADDRESS:PORT")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// There is no certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Addresses that are listened on; nothing is taken yet.
pub struct Listeners {
    places: Vec<Place>,
    /// SHA-256 of the certificate that was made here, if one is used.
    pub fingerprint: Option<String>,
}

struct Place {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
}

impl Listeners {
    /// Listens. Beyond this machine, and wherever a certificate is configured, under TLS.
    ///
    /// # Errors
    /// When an address cannot be had, or a certificate is of no use.
    pub async fn bind(settings: &WebSettings, state: &Path) -> Result<Self, ListenError> {
        let needed = !settings.listen.iter().all(|address| settings.is_bare(address));
        let identity = if needed { Some(Identity::of(settings, state)?) } else { None };
        let mut places = Vec::new();
        for address in &settings.listen {
            let failed = |source| ListenError::Bind { address: *address, source };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            let tls = identity.as_ref().filter(|_| !settings.is_bare(address)).map(|identity| Arc::clone(&identity.config));
            places.push(Place { address: listener.local_addr().map_err(failed)?, listener, tls });
        }
        Ok(Self { places, fingerprint: identity.filter(|identity| identity.own).map(|identity| identity.fingerprint) })
    }

    /// Where it can be reached, as addresses of a browser.
    pub fn addresses(&self) -> Vec<String> {
        self.places.iter().map(|place| browsed(place.address, place.tls.is_some())).collect()
    }

    /// Serves until told to stop, and then as long as open requests take, within a time.
    pub async fn serve(self, router: Router, stop: CancellationToken) {
        let (places, graceful) = (Arc::new(Semaphore::new(CONNECTIONS)), GracefulShutdown::new());
        let taking = self.places.into_iter().map(|place| take_all(place, &router, (&places, &graceful), &stop));
        futures_util::future::join_all(taking).await;
        if tokio::time::timeout(WIND_UP, graceful.shutdown()).await.is_err() {
            tracing::info!("some connections were still open when the time to stop was over");
        }
    }
}

async fn take_all(place: Place, router: &Router, (free, graceful): (&Arc<Semaphore>, &GracefulShutdown), stop: &CancellationToken) {
    loop {
        let taken = tokio::select! {
            () = stop.cancelled() => return,
            taken = async {
                let permit = Arc::clone(free).acquire_owned().await;
                (place.listener.accept().await, permit)
            } => taken,
        };
        let (Ok((stream, address)), Ok(permit)) = taken else {
            // A connection that is gone already, or too many open files: neither ends the rest.
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let peer = Peer { address, secure: place.tls.is_some() };
        let (router, watcher, tls) = (router.clone(), graceful.watcher(), place.tls.clone());
        tokio::spawn(async move {
            let _permit = permit;
            let Some(stream) = open(stream, tls).await else { return };
            let service = TowerToHyperService::new(router);
            let service = service_fn(move |request: hyper::Request<Incoming>| {
                let mut request: Request = request.map(Body::new);
                request.extensions_mut().insert(peer);
                service.call(request)
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_MAX).max_headers(HEADERS_MAX);
            // How a connection ends is between hyper and the other end.
            let _ = watcher.watch(server.serve_connection(TokioIo::new(stream), service)).await;
        });
    }
}

/// Either kind of stream.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The stream behind its handshake; nothing where that failed.
async fn open(stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> Option<Box<dyn Stream>> {
    // Answers are small: they are not held back to be gathered.
    let _ = stream.set_nodelay(true);
    let Some(config) = tls else { return Some(Box::new(stream)) };
    match tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) => Some(Box::new(stream)),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a handshake failed");
            None
        }
        Err(_) => None,
    }
}
