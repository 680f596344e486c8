//! `wasi:http` for plug-ins: every request is checked by name and port, resolved by our own look-up, encrypted by the host
//! (rustls, the platform's roots and the instance's `ca_file`). Redirects are not followed here; a plug-in that follows one
//! makes a new request, which is checked like any other. Connections are kept and used again by the same instance only.
//! A request that removes something is answered by the host, as a service answers an account that may not, where deletion is not granted.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::http::uri::Scheme;
use ::http::{Request, Response, StatusCode, Uri};
use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;
use wasmtime_wasi_http::{Error, RequestOptions, WasiHttpHooks};

use super::component::PluginError;
use super::dns;
use super::grants::Gate;
use super::traffic::Traffic;
use crate::tls;

/// Whether it is TLS, host, port.
type Target = (bool, String, u16);
type WasiBody = UnsyncBoxBody<Bytes, Error>;
type Answer = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

/// Connections of one instance at once; more fail at once, as a plug-in could otherwise wait for itself.
const CONNECTIONS_MAX: usize = 64;
/// Connections kept for another request, all targets together.
const IDLE_MAX: usize = 16;
/// How long a connection is kept; servers close after about as long.
const IDLE_TIME: Duration = Duration::from_secs(60);
/// Longest that any phase of a request may take, whatever the plug-in asks for.
const PHASE_MAX: Duration = Duration::from_secs(300);
const CONNECT_MAX: Duration = Duration::from_secs(30);

/// TLS and connections of one instance. The default trusts nobody and so speaks no TLS.
pub(super) struct HttpDoor {
    tls: Option<Arc<rustls::ClientConfig>>,
    roots: Vec<Vec<u8>>,
    idle: Mutex<Vec<Idle>>,
    connections: Arc<Semaphore>,
}

struct Idle {
    target: Target,
    since: Instant,
    connection: SendRequest<WasiBody>,
}

impl Default for HttpDoor {
    fn default() -> Self {
        Self { tls: None, roots: Vec::new(), idle: Mutex::default(), connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)) }
    }
}

impl HttpDoor {
    /// Trusts the platform's roots and those in `ca_file`.
    ///
    /// # Errors
    /// When `ca_file` cannot be read.
    pub(super) fn new(ca_file: Option<&Path>) -> Result<Self, PluginError> {
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty() {
            tracing::warn!(errors = ?found.errors, "this machine has no root certificates; install the package `ca-certificates`, or name them in `ca_file`");
        }
        let mut certificates = found.certs;
        if let Some(path) = ca_file {
            let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
            let extra = read.map_err(|error| PluginError::ca_file(path, error.to_string()))?;
            if extra.is_empty() {
                return Err(PluginError::ca_file(path, "there is no certificate in it".to_owned()));
            }
            certificates.extend(extra);
        }
        let roots = certificates.iter().map(|certificate| certificate.to_vec()).collect();
        let tls = tls::trusting(certificates).map_err(|error| PluginError::tls(&error))?;
        Ok(Self { tls: Some(Arc::new(tls)), roots, ..Self::default() })
    }

    /// DER of the roots that are trusted.
    pub(super) fn roots(&self) -> Vec<Vec<u8>> {
        self.roots.clone()
    }

    fn take(&self, target: &Target) -> Option<SendRequest<WasiBody>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|kept| !kept.connection.is_closed() && kept.since.elapsed() < IDLE_TIME);
        let ready = idle.iter().position(|kept| kept.target == *target && kept.connection.is_ready())?;
        Some(idle.remove(ready).connection)
    }

    fn keep(&self, target: Target, connection: SendRequest<WasiBody>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() >= IDLE_MAX {
            // The one that was kept first. If a response of it is still being read, it ends with that.
            idle.remove(0);
        }
        idle.push(Idle { target, since: Instant::now(), connection });
    }

    async fn connect(&self, gate: &Gate, target: &Target) -> Result<SendRequest<WasiBody>, Error> {
        let (secure, host, port) = target;
        let permit = Arc::clone(&self.connections).try_acquire_owned().map_err(|_| Error::ConnectionLimitReached)?;
        let addresses = dns::resolve(gate, host).await.map_err(|code| match code {
            ErrorCode::AccessDenied => Error::HttpRequestDenied,
            code => Error::DnsError { rcode: Some(format!("{code:?}")), info_code: None },
        })?;
        let mut last = Error::DestinationNotFound;
        for address in addresses {
            match TcpStream::connect((address, *port)).await {
                Ok(stream) => {
                    let _ = stream.set_nodelay(true);
                    return if *secure { self.secure(host, stream, permit).await } else { handshake(stream, permit).await };
                }
                Err(error) => last = Error::Connect(error),
            }
        }
        Err(last)
    }

    async fn secure(&self, host: &str, stream: TcpStream, permit: OwnedSemaphorePermit) -> Result<SendRequest<WasiBody>, Error> {
        let tls = self.tls.as_ref().ok_or(Error::HttpRequestDenied)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|_| Error::HttpRequestUriInvalid)?;
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(tls));
        handshake(connector.connect(name, stream).await.map_err(Error::Tls)?, permit).await
    }
}

async fn handshake(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    permit: OwnedSemaphorePermit,
) -> Result<SendRequest<WasiBody>, Error> {
    let (sender, connection) = Builder::new().handshake(TokioIo::new(stream)).await?;
    // Ends when both the sender and the body of its last response are gone.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a plug-in's connection ended");
        }
        drop(permit);
    });
    Ok(sender)
}

/// The hooks of one store.
pub(super) struct Hooks {
    gate: Gate,
    door: Arc<HttpDoor>,
    traffic: Arc<Traffic>,
    over: Over,
}

/// Whether the store is gone, and with it everybody who could end a body.
type Over = Arc<AtomicBool>;

impl Hooks {
    pub(super) fn new(gate: Gate, door: Arc<HttpDoor>, traffic: Arc<Traffic>) -> Self {
        Self { gate, door, traffic, over: Over::default() }
    }

    /// The store is about to go: a body that the guest has not ended must not look as if it were whole.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Answer> + Send> {
        let (gate, door, traffic, over) = (self.gate.clone(), Arc::clone(&self.door), Arc::clone(&self.traffic), Arc::clone(&self.over));
        let request = request.map(|body| Ended { body, over }.boxed_unsync());
        Box::new(async move { send(&gate, (&door, traffic), request, options.unwrap_or_default()).await })
    }
}

async fn send(gate: &Gate, (door, traffic): (&HttpDoor, Arc<Traffic>), mut request: Request<WasiBody>, options: RequestOptions) -> Answer {
    let target = target_of(request.uri()).ok_or(Error::HttpRequestUriInvalid)?;
    if !gate.may_reach(&target.1, target.2) {
        return Err(Error::HttpRequestDenied);
    }
    if removes(&request) && !gate.may_send_deletion(&target.1, target.2) {
        return Ok((forbidden(), Box::new(async { Ok(()) })));
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    *request.uri_mut() = path.parse::<Uri>().map_err(|_| Error::HttpRequestUriInvalid)?;
    let phase = |asked: Option<Duration>, most: Duration| asked.unwrap_or(most).min(most);
    let first_byte = phase(options.first_byte_timeout, PHASE_MAX);
    let connect = phase(options.connect_timeout, CONNECT_MAX);
    let progress = Progress::default();
    let mut request = request.map(|body| Sent { body, progress: progress.clone(), traffic: Arc::clone(&traffic) }.boxed_unsync());
    let mut pooled = door.take(&target);
    loop {
        let (mut connection, reused) = match pooled.take() {
            Some(connection) => (connection, true),
            None => (tokio::time::timeout(connect, door.connect(gate, &target)).await.map_err(|_| Error::ConnectionTimeout)??, false),
        };
        let sent = progress.wait(connection.try_send_request(request), first_byte).await?;
        match sent {
            Ok(response) => {
                door.keep(target, connection);
                let between = phase(options.between_bytes_timeout, PHASE_MAX);
                let response = response.map(|incoming| TimedBody::new(incoming, between, traffic).boxed_unsync());
                return Ok((response, Box::new(async { Ok(()) })));
            }
            Err(mut error) => match error.take_message() {
                // The server had closed an idle connection, and nothing of the request was sent: once more on a new one.
                Some(unsent) if reused => request = unsent,
                _ => return Err(Error::Hyper(error.into_error())),
            },
        }
    }
}

/// Headers in which some services take a method that overrides the request's own.
const OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

/// Whether a request is one to remove something, as far as HTTP itself says so.
fn removes<B>(request: &Request<B>) -> bool {
    let is_delete = |text: &[u8]| text.trim_ascii().eq_ignore_ascii_case(b"DELETE");
    let overridden = |name: &&str| request.headers().get_all(*name).iter().any(|value| is_delete(value.as_bytes()));
    is_delete(request.method().as_str().as_bytes()) || OVERRIDES.iter().any(overridden)
}

/// What a service answers to an account that may not delete, so that every plug-in already knows what to do about it.
fn forbidden() -> Response<WasiBody> {
    let body = Full::new(Bytes::from_static(b"deletion is not granted to this destination\n")).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}

fn target_of(uri: &Uri) -> Option<Target> {
    let secure = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP => false,
        Some(scheme) if *scheme == Scheme::HTTPS => true,
        _ => return None,
    };
    let host = uri.host()?.to_ascii_lowercase();
    Some((secure, host, uri.port_u16().unwrap_or(if secure { 443 } else { 80 })))
}

/// When a request last moved. Its answer is late only if nothing was sent for long either: a big part on a slow line takes its time.
#[derive(Clone)]
struct Progress {
    last: Arc<Mutex<Instant>>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { last: Arc::new(Mutex::new(Instant::now())) }
    }
}

impl Progress {
    fn note(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn deadline(&self, patience: Duration) -> Instant {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) + patience
    }

    async fn wait<T>(&self, sending: impl Future<Output = T>, patience: Duration) -> Result<T, Error> {
        self.note();
        tokio::pin!(sending);
        loop {
            let deadline = self.deadline(patience);
            tokio::select! {
                biased;
                sent = &mut sending => return Ok(sent),
                () = tokio::time::sleep_until(deadline) => {}
            }
            if self.deadline(patience) <= Instant::now() {
                return Err(Error::ConnectionReadTimeout);
            }
        }
    }
}

/// A request body that breaks off where its guest went before it ended it: dropping one with its store is, to wasmtime, an orderly end,
/// and a service takes a body in chunks for whole then, of which only the beginning was sent.
struct Ended {
    body: WasiBody,
    over: Over,
}

impl Body for Ended {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() && self.over.load(Ordering::SeqCst) {
            return Poll::Ready(Some(Err(Error::HttpProtocolError)));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// A request body that notes its progress and is counted.
struct Sent {
    body: WasiBody,
    progress: Progress,
    traffic: Arc<Traffic>,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.progress.note();
        self.traffic.add_sent(data_of(frame.as_ref()));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// Bytes of data in what a body gave.
fn data_of<E>(frame: Option<&Result<Frame<Bytes>, E>>) -> usize {
    frame.and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len)
}

/// A response body that is counted, and fails when nothing comes for too long.
struct TimedBody {
    incoming: hyper::body::Incoming,
    between: Duration,
    traffic: Arc<Traffic>,
    deadline: Pin<Box<Sleep>>,
}

impl TimedBody {
    fn new(incoming: hyper::body::Incoming, between: Duration, traffic: Arc<Traffic>) -> Self {
        Self { incoming, between, traffic, deadline: Box::pin(tokio::time::sleep(between)) }
    }
}

impl Body for TimedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(context) {
            let next = Instant::now() + self.between;
            self.deadline.as_mut().reset(next);
            self.traffic.add_received(data_of(frame.as_ref()));
            return Poll::Ready(frame.map(|frame| frame.map_err(Error::from)));
        }
        ready!(self.deadline.as_mut().poll(context));
        Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.incoming.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_whose_guest_went_does_not_end_as_if_it_were_whole() {
        let over = Over::default();
        let body = || {
            let whole = Full::new(Bytes::from_static(b"begin")).map_err(|never| match never {});
            Ended { body: whole.boxed_unsync(), over: Arc::clone(&over) }
        };
        assert_eq!(body().collect().await.expect("its guest ended it").to_bytes(), "begin");
        over.store(true, Ordering::SeqCst);
        assert!(body().collect().await.is_err(), "nobody was there to end it");
    }

    #[tokio::test]
    async fn an_answer_is_late_only_if_the_request_stands_still() {
        let patience = Duration::from_millis(400);
        let progress = Progress::default();
        let moving = progress.clone();
        let slow_upload = async {
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_millis(40)).await;
                moving.note();
            }
        };
        progress.wait(slow_upload, patience).await.expect("it moved all the time");
        let silent = progress.wait(std::future::pending::<()>(), Duration::from_millis(20)).await;
        assert!(matches!(silent, Err(Error::ConnectionReadTimeout)));
    }

    #[test]
    fn a_deletion_is_seen_however_it_is_asked_for() {
        let request = |method: &str, header: (&str, &str)| {
            Request::builder().method(method).uri("/").header(header.0, header.1).body(()).expect("a request")
        };
        assert!(removes(&request("DELETE", ("a", "b"))) && removes(&request("delete", ("a", "b"))));
        assert!(removes(&request("POST", ("X-HTTP-Method-Override", " delete "))) && removes(&request("GET", ("x-http-method", "DELETE"))));
        assert!(!removes(&request("PUT", ("x-delete", "DELETE"))));
    }

    #[test]
    fn a_target_is_what_the_address_says() {
        let of = |uri: &str| target_of(&uri.parse().expect("an address"));
        assert_eq!(of("https://S3.Example/x"), Some((true, "s3.example".to_owned(), 443)));
        assert_eq!(of("http://user:pass@a.example:8080/?q=http://b.example/"), Some((false, "a.example".to_owned(), 8080)));
        assert_eq!(of("ftp://a.example/"), None);
        assert_eq!(of("/path"), None);
    }
}
