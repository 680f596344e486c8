//! A small HTTP client on `wasi:http`: one request, one answer, streaming both ways.
//!
//! TLS, name look-up and grants are the host's. Nothing is retried and no redirect is followed: the host decides on the one, and a
//! plug-in must look at the other. An error names the method and the host of a request, never its headers, path or query, which may
//! hold secrets.
//!
//! # Examples
//!
//! ```
//! use cofre_sdk::http::Request;
//! use cofre_sdk::{Context as _, Error, Result, Sink};
//!
//! fn download(url: &str, sink: &mut Sink) -> Result<u64> {
//!     let mut answer = Request::get(url).send().context("cannot read the object")?;
//!     if !answer.is_success() {
//!         let said = answer.body_to_vec(4_096).unwrap_or_default();
//!         return Err(Error::from_http(answer.status(), &said));
//!     }
//!     Ok(std::io::copy(&mut answer, sink)?)
//! }
//! ```

use std::fmt;
use std::io::{self, Read};
use std::time::Duration;

use crate::bindings::imports::wasi::http::outgoing_handler::handle;
use crate::bindings::imports::wasi::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method as WireMethod, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme, http_error_code,
};
use crate::bindings::imports::wasi::io::streams::{InputStream, OutputStream, StreamError};
use crate::body::{stream_failed, write_stream};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::host;

mod ranged;

pub use ranged::read_range;

/// Bytes of a request's body that are moved at once.
const CHUNK: usize = 256 << 10;

/// Outside a component, where no test stands in for it.
const NO_NETWORK: &str = "there is no network outside a component";

/// How long to wait for a connection, unless told otherwise.
const CONNECT: Duration = Duration::from_secs(30);

/// How long to wait for the answer's first byte, unless told otherwise; the sending of a large body counts.
const FIRST_BYTE: Duration = Duration::from_mins(10);

/// How long an answer may pause, unless told otherwise.
const BETWEEN_BYTES: Duration = Duration::from_mins(1);

/// What is asked of the resource.
///
/// # Examples
///
/// ```
/// use cofre_sdk::http::{Method, Request};
///
/// const PROPFIND: Method = Method::Other("PROPFIND");
///
/// let request = Request::new(PROPFIND, "https://dav.example/backups/").header("depth", "1");
/// assert_eq!(request.method().as_str(), "PROPFIND");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
    /// `OPTIONS`
    Options,
    /// Any other, as WebDAV has them: `PROPFIND`.
    Other(&'static str),
}

impl Method {
    /// As it is written in a request.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::http::Method;
    ///
    /// /// What a scheme of signatures signs first.
    /// fn to_sign(method: Method, path: &str) -> String {
    ///     format!("{}\n{path}\n", method.as_str())
    /// }
    /// assert_eq!(to_sign(Method::Put, "/a"), "PUT\n/a\n");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Other(name) => name,
        }
    }
}

/// A request in the making. `Debug` hides the values of headers.
///
/// # Examples
///
/// ```
/// use cofre_sdk::http::Request;
/// use cofre_sdk::{Context as _, Error, Result, Secret};
///
/// fn delete(url: &str, token: &Secret) -> Result<()> {
///     let request = Request::delete(url).header("authorization", format!("Bearer {}", token.expose()));
///     let mut answer = request.send().context("cannot remove the object")?;
///     match answer.status() {
///         200..=299 | 404 => Ok(()),
///         status => Err(Error::from_http(status, &answer.body_to_vec(4_096)?)),
///     }
/// }
/// ```
#[derive(Clone)]
pub struct Request {
    method: Method,
    url: String,
    headers: Vec<(String, String)>,
    connect: Duration,
    first_byte: Duration,
    between_bytes: Duration,
}

/// What a request carries.
#[derive(Clone, Copy)]
enum Content {
    Nothing,
    /// So many bytes.
    Of(u64),
    OfUnknownLength,
}

impl Request {
    /// A request for `url`, which begins with `http://` or `https://`. The address is looked at when the request is sent: one that is
    /// malformed is `invalid-config` then.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::http::{Method, Request};
    ///
    /// let request = Request::new(Method::Head, "https://objects.example/set/db.tar");
    /// assert_eq!(request.url(), "https://objects.example/set/db.tar");
    /// ```
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Self { method, url: url.into(), headers: Vec::new(), connect: CONNECT, first_byte: FIRST_BYTE, between_bytes: BETWEEN_BYTES }
    }

    /// `GET url`.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::http::{Method, Request};
    ///
    /// assert_eq!(Request::get("https://objects.example/a").method(), Method::Get);
    /// ```
    pub fn get(url: impl Into<String>) -> Self {
        Self::new(Method::Get, url)
    }

    /// `POST url`.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::http::{Request, Response};
    ///
    /// fn begin(url: &str) -> cofre_sdk::Result<Response> {
    ///     Request::post(format!("{url}?uploads")).send_bytes(b"{}")
    /// }
    /// ```
    pub fn post(url: impl Into<String>) -> Self {
        Self::new(Method::Post, url)
    }

    /// `PUT url`.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::http::{Request, Response};
    ///
    /// fn store(url: &str, content: &[u8]) -> cofre_sdk::Result<Response> {
    ///     Request::put(url).header("content-type", "application/octet-stream").send_bytes(content)
    /// }
    /// ```
    pub fn put(url: impl Into<String>) -> Self {
        Self::new(Method::Put, url)
    }

    /// `DELETE url`.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::http::{Request, Response};
    ///
    /// fn remove(url: &str) -> cofre_sdk::Result<Response> {
    ///     Request::delete(url).send()
    /// }
    /// ```
    pub fn delete(url: impl Into<String>) -> Self {
        Self::new(Method::Delete, url)
    }

    /// Adds a header. `Host` and `Content-Length` are set by themselves.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::http::Request;
    ///
    /// let request = Request::get("https://objects.example/a").header("range", "bytes=5-9");
    /// assert_eq!(request.headers(), [("range".to_owned(), "bytes=5-9".to_owned())]);
    /// ```
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// How long to wait for a connection; 30 s by default.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let request = cofre_sdk::http::Request::get("http://nas.local/").connect_timeout(Duration::from_secs(5));
    /// # assert_eq!(request.url(), "http://nas.local/");
    /// ```
    #[must_use]
    pub fn connect_timeout(mut self, wait: Duration) -> Self {
        self.connect = wait;
        self
    }

    /// How long to wait for the answer's first byte, the sending of the body included; 600 s by default.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// // This service joins the parts before it answers.
    /// let request = cofre_sdk::http::Request::post("https://objects.example/a?complete").first_byte_timeout(Duration::from_mins(30));
    /// # assert_eq!(request.headers().len(), 0);
    /// ```
    #[must_use]
    pub fn first_byte_timeout(mut self, wait: Duration) -> Self {
        self.first_byte = wait;
        self
    }

    /// How long the answer may pause; 60 s by default.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let request = cofre_sdk::http::Request::get("https://archive.example/a").between_bytes_timeout(Duration::from_mins(5));
    /// # assert_eq!(request.headers().len(), 0);
    /// ```
    #[must_use]
    pub fn between_bytes_timeout(mut self, wait: Duration) -> Self {
        self.between_bytes = wait;
        self
    }

    /// What is asked of the resource.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::http::{Method, Request};
    ///
    /// /// Whether a fake of the service may forget the request's body.
    /// fn is_read(request: &Request) -> bool {
    ///     matches!(request.method(), Method::Get | Method::Head)
    /// }
    /// assert!(is_read(&Request::get("https://h/")));
    /// ```
    pub fn method(&self) -> Method {
        self.method
    }

    /// Where it goes.
    ///
    /// # Examples
    ///
    /// ```
    /// let request = cofre_sdk::http::Request::get("https://objects.example/a?part=2");
    /// assert!(request.url().ends_with("?part=2"));
    /// ```
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The headers that were added, as they were written: for a fake of the service, or to sign them. They may hold secrets.
    ///
    /// # Examples
    ///
    /// ```
    /// let request = cofre_sdk::http::Request::get("https://objects.example/").header("accept", "application/json");
    /// assert_eq!(request.headers()[0].0, "accept");
    /// ```
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// Sends it without a body.
    ///
    /// # Errors
    /// `invalid-config` where the address is malformed, a header cannot be sent, or the host does not grant the target; `timeout` or
    /// `unavailable` where no answer comes; `unsupported` outside a component. A status of any kind is an answer and no error.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::http::Request;
    /// use cofre_sdk::{Error, Result};
    ///
    /// fn free_bytes(url: &str) -> Result<Option<u64>> {
    ///     let answer = Request::get(url).send()?;
    ///     if !answer.is_success() {
    ///         return Err(Error::from_http(answer.status(), b""));
    ///     }
    ///     Ok(answer.header("x-free-bytes").and_then(|bytes| bytes.parse().ok()))
    /// }
    /// # assert_eq!(free_bytes("https://h/").expect_err("outside a component").kind(), cofre_sdk::ErrorKind::Unsupported);
    /// ```
    pub fn send(self) -> Result<Response> {
        self.exchange(None)
    }

    /// Sends it with `body`.
    ///
    /// # Errors
    /// As [`Request::send`].
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::Result;
    /// use cofre_sdk::http::{Request, Response};
    ///
    /// fn call(url: &str, arguments: &serde_json::Value) -> Result<Response> {
    ///     Request::post(url).header("content-type", "application/json").send_bytes(arguments.to_string().as_bytes())
    /// }
    /// ```
    pub fn send_bytes(self, mut body: &[u8]) -> Result<Response> {
        let length = body.len() as u64;
        self.exchange(Some((&mut body, length)))
    }

    /// Sends it with exactly `length` bytes of `body`.
    ///
    /// # Errors
    /// As [`Request::send`]; and `integrity` where the body ends early, and then the service does not get a whole request.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::http::{Request, Response};
    /// use cofre_sdk::{Body, Result};
    ///
    /// /// One part of an upload, straight from the host to the service.
    /// fn put_part(url: &str, number: u32, body: &mut Body) -> Result<Response> {
    ///     let length = body.remaining();
    ///     Request::put(format!("{url}?part={number}")).send_stream(body, length)
    /// }
    /// ```
    pub fn send_stream(self, body: &mut dyn Read, length: u64) -> Result<Response> {
        self.exchange(Some((body, length)))
    }

    /// Begins to send it; its body follows through [`Sending::send`], also over several calls of the host. With `Some(length)` that is
    /// what the body has, in bytes; with `None` its end shows where it is (chunked transfer coding), which some servers refuse.
    ///
    /// # Errors
    /// As [`Request::send`], as far as it shows before the body.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::Result;
    /// use cofre_sdk::http::{Request, Sending};
    ///
    /// fn begin(url: &str, size: Option<u64>) -> Result<Sending> {
    ///     Request::put(url).header("content-type", "application/octet-stream").open(size)
    /// }
    /// ```
    pub fn open(self, length: Option<u64>) -> Result<Sending> {
        self.begin(length.map_or(Content::OfUnknownLength, Content::Of))
    }

    fn exchange(&self, body: Option<(&mut dyn Read, u64)>) -> Result<Response> {
        if cfg!(not(target_arch = "wasm32")) {
            return self.exchange_in_a_test(body);
        }
        let mut sending = self.begin(body.as_ref().map_or(Content::Nothing, |(_, length)| Content::Of(*length)))?;
        if let Some((reader, length)) = body {
            sending.send(reader, length)?;
        }
        sending.finish()
    }

    /// Outside a component, where only a test can answer ([`crate::testing`]).
    fn exchange_in_a_test(&self, body: Option<(&mut dyn Read, u64)>) -> Result<Response> {
        let doing = self.doing(&Url::parse(&self.url)?);
        let mut bytes = Vec::new();
        if let Some((reader, length)) = body {
            reader.take(length).read_to_end(&mut bytes).context("cannot read the body of the request").context(&doing)?;
            let missing = length.saturating_sub(bytes.len() as u64);
            if missing > 0 {
                return Err(Error::integrity(format!("the body of the request ended {missing} bytes early"))).context(doing);
            }
        }
        host::given_answer(self, &bytes).unwrap_or_else(|| Err(Error::unsupported(NO_NETWORK))).context(doing)
    }

    /// What errors say of a request; nothing of it that may hold a secret.
    fn doing(&self, url: &Url<'_>) -> String {
        format!("{} {}", self.method.as_str(), url.authority)
    }

    fn begin(&self, content: Content) -> Result<Sending> {
        let url = Url::parse(&self.url)?;
        let doing = self.doing(&url);
        if cfg!(not(target_arch = "wasm32")) {
            return Err(Error::unsupported(NO_NETWORK)).context(doing);
        }
        self.begin_at(&url, content, &doing).context(&doing)
    }

    fn begin_at(&self, url: &Url<'_>, content: Content, doing: &str) -> Result<Sending> {
        let request = self.outgoing(url, content)?;
        let body = request.body().map_err(|()| Error::other("the host gives no body for a request"))?;
        let stream = match content {
            Content::Nothing => None,
            _ => Some(body.write().map_err(|()| Error::other("the host gives no stream for a request's body"))?),
        };
        let future = handle(request, Some(self.options())).map_err(|code| failed(&code))?;
        Ok(Sending { stream, body: Some(body), future, method: self.method, doing: doing.to_owned() })
    }

    fn outgoing(&self, url: &Url<'_>, content: Content) -> Result<OutgoingRequest> {
        let fields = Fields::new();
        let append = |name: &str, value: &str| {
            let refused = |error| Error::invalid_config(format!("the header `{name}` cannot be sent: {error:?}"));
            fields.append(name, value.as_bytes()).map_err(refused)
        };
        for (name, value) in &self.headers {
            append(name, value)?;
        }
        // Told that there is no body: else the host sends an empty one in chunks, and servers refuse `MKCOL` with a body, or leave one of
        // `OPTIONS` in the connection, as the beginning of the next request.
        let needs_length = !matches!(self.method, Method::Get | Method::Head);
        let length = match content {
            Content::Nothing => needs_length.then_some(0),
            Content::Of(length) => Some(length),
            Content::OfUnknownLength => None,
        };
        if let Some(length) = length {
            append("content-length", &length.to_string())?;
        }
        let request = OutgoingRequest::new(fields);
        let method = match self.method {
            Method::Get => WireMethod::Get,
            Method::Head => WireMethod::Head,
            Method::Post => WireMethod::Post,
            Method::Put => WireMethod::Put,
            Method::Patch => WireMethod::Patch,
            Method::Delete => WireMethod::Delete,
            Method::Options => WireMethod::Options,
            Method::Other(name) => WireMethod::Other(name.to_owned()),
        };
        let scheme = if url.https { Scheme::Https } else { Scheme::Http };
        request
            .set_method(&method)
            .and_then(|()| request.set_scheme(Some(&scheme)))
            .and_then(|()| request.set_authority(Some(url.authority)))
            .and_then(|()| request.set_path_with_query(Some(&url.path_with_query)))
            .map_err(|()| Error::invalid_config(format!("the address of {} is malformed", url.authority)))?;
        Ok(request)
    }

    fn options(&self) -> RequestOptions {
        let options = RequestOptions::new();
        let nanoseconds = |wait: Duration| Some(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
        // A host without one of these time-outs still has its own for the whole call.
        let _ = options.set_connect_timeout(nanoseconds(self.connect));
        let _ = options.set_first_byte_timeout(nanoseconds(self.first_byte));
        let _ = options.set_between_bytes_timeout(nanoseconds(self.between_bytes));
        options
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Request").field("method", &self.method).field("headers", &names).finish_non_exhaustive()
    }
}

/// A request on its way, whose body is sent piece by piece. Dropping it breaks the request off, so that the service has no whole one.
///
/// # Examples
///
/// One request whose body comes in several pieces:
///
/// ```
/// use cofre_sdk::http::{Request, Response};
/// use cofre_sdk::{Body, Result};
///
/// fn put(url: &str, size: u64, pieces: &mut [Body]) -> Result<Response> {
///     let mut sending = Request::put(url).open(Some(size))?;
///     for piece in pieces {
///         let length = piece.remaining();
///         if !sending.send(piece, length)? {
///             break; // The answer says why.
///         }
///     }
///     sending.finish()
/// }
/// ```
pub struct Sending {
    // Dropped in this order, as the contract asks. `None` once the service takes no more.
    stream: Option<OutputStream>,
    body: Option<OutgoingBody>,
    future: FutureIncomingResponse,
    method: Method,
    doing: String,
}

impl Sending {
    /// Sends exactly `length` bytes of `body`, and returns whether the service took them: where it answered early or the connection
    /// broke, nothing more can be sent and [`Sending::finish`] says why.
    ///
    /// # Errors
    /// `integrity` where the body ends early; what reading it fails with.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::http::Sending;
    /// use cofre_sdk::{Body, Error, Result};
    ///
    /// /// Sends one piece; where the service takes no more, its answer is the error.
    /// fn send(mut sending: Sending, body: &mut Body) -> Result<Sending> {
    ///     let length = body.remaining();
    ///     if sending.send(body, length)? {
    ///         return Ok(sending);
    ///     }
    ///     let answer = sending.finish()?;
    ///     Err(Error::from_http(answer.status(), b""))
    /// }
    /// ```
    pub fn send(&mut self, body: &mut dyn Read, length: u64) -> Result<bool> {
        let Some(stream) = &self.stream else { return Ok(false) };
        if send_piece(stream, body, length).context(&self.doing)? {
            return Ok(true);
        }
        (self.stream, self.body) = (None, None);
        Ok(false)
    }

    /// Ends the request and waits for the answer.
    ///
    /// # Errors
    /// `timeout` or `unavailable` where none comes. A status of any kind is an answer and no error.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::http::Sending;
    /// use cofre_sdk::{Error, Result};
    ///
    /// fn commit(sending: Sending) -> Result<()> {
    ///     let mut answer = sending.finish()?;
    ///     if answer.is_success() { Ok(()) } else { Err(Error::from_http(answer.status(), &answer.body_to_vec(4_096)?)) }
    /// }
    /// ```
    pub fn finish(mut self) -> Result<Response> {
        self.end_body().context(&self.doing)?;
        wait(&self.future).and_then(|incoming| Response::new(&incoming, self.method)).context(&self.doing)
    }

    fn end_body(&mut self) -> Result<()> {
        self.stream = None;
        let Some(body) = self.body.take() else { return Ok(()) };
        match OutgoingBody::finish(body, None).map_err(|code| failed(&code)) {
            // The service may have answered before it took the whole body, or the connection broke; either way the answer says why.
            Err(error) if error.kind() == ErrorKind::Unavailable => Ok(()),
            ended => ended,
        }
    }
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("doing", &self.doing).finish_non_exhaustive()
    }
}

/// Whether the service took all of it.
fn send_piece(stream: &OutputStream, reader: &mut dyn Read, length: u64) -> Result<bool> {
    let mut buffer = vec![0; CHUNK.min(usize::try_from(length).unwrap_or(CHUNK))];
    let mut left = length;
    while left > 0 {
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = reader.read(&mut buffer[..wanted]).context("cannot read the body of the request")?;
        if count == 0 {
            return Err(Error::integrity(format!("the body of the request ended {left} bytes early")));
        }
        if write_stream(stream, &buffer[..count], &body_failed).is_err() {
            return Ok(false);
        }
        left -= count as u64;
    }
    // A service that has all it was told to expect may have answered by now, and the stream be gone; otherwise the next piece finds out.
    let _ = stream.blocking_flush();
    Ok(true)
}

/// An answer: status and headers at once, the body as it arrives. It is a `Read`; a body that ends before its `Content-Length` is an error
/// of kind `integrity`.
///
/// # Examples
///
/// ```
/// use cofre_sdk::http::Response;
/// use cofre_sdk::{Error, Result};
///
/// fn size(answer: &Response) -> Result<u64> {
///     if !answer.is_success() {
///         return Err(Error::from_http(answer.status(), b""));
///     }
///     let length = answer.header("content-length").and_then(|length| length.trim().parse().ok());
///     length.ok_or_else(|| Error::other("the service does not say how long the object is"))
/// }
///
/// let answer = Response::from_reader(200, vec![("content-length".to_owned(), "5".to_owned())], &b"hello"[..]);
/// assert_eq!(size(&answer)?, 5);
/// # Ok::<(), Error>(())
/// ```
pub struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    /// Bytes of the body that are still to come, where the answer says how many it has.
    expected: Option<u64>,
    source: Source,
}

enum Source {
    /// Dropped in this order, as the contract asks.
    Stream(InputStream, #[expect(dead_code, reason = "keeps the stream open")] IncomingBody),
    Reader(Box<dyn Read>),
}

impl Response {
    fn new(incoming: &IncomingResponse, method: Method) -> Result<Self> {
        let status = incoming.status();
        let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
        let headers: Vec<(String, String)> =
            incoming.headers().entries().into_iter().map(|(name, value)| (name.to_ascii_lowercase(), text(value))).collect();
        let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.trim().parse().ok());
        let bodiless = method == Method::Head || matches!(status, 204 | 304);
        let body = incoming.consume().map_err(|()| Error::other("the answer has no body to read"))?;
        let stream = body.stream().map_err(|()| Error::other("the answer has no body to read"))?;
        Ok(Self { status, headers, expected: if bodiless { None } else { length }, source: Source::Stream(stream, body) })
    }

    /// An answer made up by a fake of a service, for tests. Names of headers in lower case.
    /// Its body ends where the reader does, whatever `content-length` says.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::Result;
    /// use cofre_sdk::http::{Method, Request, Response};
    ///
    /// /// A service with one object.
    /// fn fake(request: &Request) -> Result<Response> {
    ///     match (request.method(), request.url()) {
    ///         (Method::Get, "https://objects.example/a") => Ok(Response::from_reader(200, Vec::new(), &b"hello"[..])),
    ///         _ => Ok(Response::from_reader(404, Vec::new(), std::io::empty())),
    ///     }
    /// }
    /// assert_eq!(fake(&Request::delete("https://objects.example/b"))?.status(), 404);
    /// # Ok::<(), cofre_sdk::Error>(())
    /// ```
    pub fn from_reader(status: u16, headers: Vec<(String, String)>, body: impl Read + 'static) -> Self {
        Self { status, headers, expected: None, source: Source::Reader(Box::new(body)) }
    }

    /// Status code.
    ///
    /// # Examples
    ///
    /// ```
    /// let answer = cofre_sdk::http::Response::from_reader(206, Vec::new(), &b"ell"[..]);
    /// assert_eq!(answer.status(), 206);
    /// ```
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the status is 200 to 299.
    ///
    /// # Examples
    ///
    /// ```
    /// // A redirect is none: it is for the plug-in to look at.
    /// let answer = cofre_sdk::http::Response::from_reader(302, Vec::new(), std::io::empty());
    /// assert!(!answer.is_success());
    /// ```
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first value of a header, by its name in lower case.
    ///
    /// # Examples
    ///
    /// ```
    /// let headers = vec![("etag".to_owned(), "\"5d41\"".to_owned())];
    /// let answer = cofre_sdk::http::Response::from_reader(200, headers, std::io::empty());
    /// assert_eq!(answer.header("etag"), Some("\"5d41\""));
    /// ```
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// All headers, names in lower case.
    ///
    /// # Examples
    ///
    /// ```
    /// # let headers = vec![("x-meta-a".to_owned(), "1".to_owned()), ("etag".to_owned(), "2".to_owned())];
    /// # let answer = cofre_sdk::http::Response::from_reader(200, headers, std::io::empty());
    /// let own = answer.headers().iter().filter(|(name, _)| name.starts_with("x-meta-"));
    /// assert_eq!(own.count(), 1);
    /// ```
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The whole body, refused beyond `limit` bytes.
    ///
    /// # Errors
    /// `other` where the body is longer; `integrity` where it ends early, `timeout` or `unavailable` where it stops coming.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::http::Response;
    /// use cofre_sdk::{Error, Result};
    ///
    /// /// Longest page of a listing, in bytes.
    /// const LONGEST_PAGE: u64 = 8 << 20;
    ///
    /// fn page(mut answer: Response) -> Result<serde_json::Value> {
    ///     let body = answer.body_to_vec(LONGEST_PAGE)?;
    ///     serde_json::from_slice(&body).map_err(|why| Error::other(format!("the listing cannot be understood: {why}")))
    /// }
    /// # assert_eq!(page(Response::from_reader(200, Vec::new(), &b"[]"[..]))?, serde_json::json!([]));
    /// # assert!(Response::from_reader(200, Vec::new(), &b"12345"[..]).body_to_vec(4).is_err());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn body_to_vec(&mut self, limit: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.take(limit.saturating_add(1)).read_to_end(&mut bytes).context("cannot read the answer")?;
        if bytes.len() as u64 > limit {
            return Err(Error::other(format!("the answer is longer than {limit} bytes")));
        }
        Ok(bytes)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Read for Response {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        let stream = match &mut self.source {
            Source::Stream(stream, _) => stream,
            Source::Reader(reader) => return reader.read(out),
        };
        loop {
            match stream.blocking_read(out.len() as u64) {
                Ok(chunk) if chunk.is_empty() => {}
                Ok(chunk) => {
                    out[..chunk.len()].copy_from_slice(&chunk);
                    self.expected = self.expected.map(|left| left.saturating_sub(chunk.len() as u64));
                    return Ok(chunk.len());
                }
                Err(StreamError::Closed) => return self.ended(),
                Err(error) => return Err(body_failed(error)),
            }
        }
    }
}

impl Response {
    fn ended(&self) -> io::Result<usize> {
        match self.expected {
            Some(left) if left > 0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("the answer ended {left} bytes early"))),
            _ => Ok(0),
        }
    }
}

/// The parts of an address that a request is made of.
#[derive(Debug, PartialEq, Eq)]
struct Url<'a> {
    https: bool,
    authority: &'a str,
    path_with_query: String,
}

impl<'a> Url<'a> {
    fn parse(text: &'a str) -> Result<Self> {
        let malformed = |why: &str| Error::invalid_config(format!("an address is malformed: {why}"));
        let (https, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(malformed("it begins with neither https:// nor http://")),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.is_empty() || authority.contains('@') {
            return Err(malformed("it has no host, or a user before it"));
        }
        let path_with_query = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { https, authority, path_with_query })
    }
}

fn wait(future: &FutureIncomingResponse) -> Result<IncomingResponse> {
    loop {
        match future.get() {
            Some(Ok(answer)) => return answer.map_err(|code| failed(&code)),
            Some(Err(())) => return Err(Error::other("the answer was taken twice")),
            None => future.subscribe().block(),
        }
    }
}

/// A body's stream fails with the protocol's own code, where there is one.
fn body_failed(error: StreamError) -> io::Error {
    if let StreamError::LastOperationFailed(cause) = &error
        && let Some(code) = http_error_code(cause)
    {
        return failed(&code).into();
    }
    stream_failed(error)
}

/// What the host's answer means in the contract's terms.
fn failed(code: &ErrorCode) -> Error {
    let (kind, retryable) = match code {
        ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => {
            return Error::invalid_config("the host refused the connection; grant this instance the network target");
        }
        ErrorCode::DnsTimeout
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => (ErrorKind::Timeout, true),
        // A wrong certificate or name will be wrong again.
        ErrorCode::TlsCertificateError | ErrorCode::TlsProtocolError | ErrorCode::TlsAlertReceived(_) => (ErrorKind::Unavailable, false),
        ErrorCode::DnsError(_)
        | ErrorCode::DestinationNotFound
        | ErrorCode::DestinationUnavailable
        | ErrorCode::DestinationIpUnroutable
        | ErrorCode::ConnectionRefused
        | ErrorCode::ConnectionTerminated
        | ErrorCode::ConnectionLimitReached
        | ErrorCode::HttpResponseIncomplete
        | ErrorCode::HttpProtocolError => (ErrorKind::Unavailable, true),
        ErrorCode::HttpRequestMethodInvalid
        | ErrorCode::HttpRequestUriInvalid
        | ErrorCode::HttpRequestUriTooLong
        | ErrorCode::ConfigurationError => (ErrorKind::InvalidConfig, false),
        _ => (ErrorKind::Other, true),
    };
    Error::new(kind, words(code)).retryable(retryable)
}

/// The same for a person.
fn words(code: &ErrorCode) -> String {
    let text = match code {
        ErrorCode::DnsTimeout => "looking up the name took too long",
        ErrorCode::DnsError(_) | ErrorCode::DestinationNotFound => "the name cannot be resolved",
        ErrorCode::DestinationUnavailable | ErrorCode::DestinationIpUnroutable => "the host cannot be reached",
        ErrorCode::ConnectionRefused => "the connection was refused",
        ErrorCode::ConnectionTerminated => "the connection broke",
        ErrorCode::ConnectionTimeout => "connecting took too long",
        ErrorCode::ConnectionReadTimeout | ErrorCode::ConnectionWriteTimeout => "the connection stood still for too long",
        ErrorCode::HttpResponseTimeout => "the answer took too long",
        ErrorCode::HttpResponseIncomplete => "the answer broke off",
        ErrorCode::TlsProtocolError => "TLS failed; is this an HTTPS port, and its certificate trusted?",
        ErrorCode::TlsCertificateError => "the certificate is not trusted; set `ca_file` if it is your own",
        ErrorCode::InternalError(Some(text)) => return text.clone(),
        other => return format!("{other:?}").replace("ErrorCode::", ""),
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart_as_it_is_sent() {
        let parsed = |text| Url::parse(text).expect("well-formed");
        assert_eq!(parsed("https://h:8443/a%20b?c=d#e"), Url { https: true, authority: "h:8443", path_with_query: "/a%20b?c=d".into() });
        assert_eq!(parsed("http://h"), Url { https: false, authority: "h", path_with_query: "/".into() });
        assert_eq!(parsed("http://h?q"), Url { https: false, authority: "h", path_with_query: "/?q".into() });
        for wrong in ["ftp://h/", "https://", "https://user:password@h/", "h/a"] {
            assert!(Url::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_request_does_not_show_its_headers() {
        let request = Request::get("https://h/?token=hunter2").header("authorization", "hunter2");
        assert!(!format!("{request:?}").contains("hunter2"));
        let error = request.send().expect_err("there is no network in a test");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
