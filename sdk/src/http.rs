//! A small HTTP client on `wasi:http`: one request, one answer, streaming both ways.
//!
//! TLS, name look-up and grants are the host's. Nothing is retried and no redirect is followed: the host decides on the one, and a
//! plug-in must look at the other. An error names the method and the host of a request, never its headers, path or query, which may
//! hold secrets.

use std::fmt;
use std::io::{self, Read};
use std::time::Duration;

use crate::bindings::imports::wasi::http::outgoing_handler::handle;
use crate::bindings::imports::wasi::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method as WireMethod, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme, http_error_code,
};
use crate::bindings::imports::wasi::io::streams::{InputStream, StreamError};
use crate::body::{stream_failed, write_stream};
use crate::error::{Context as _, Error, ErrorKind, Result};

/// Bytes of a request's body that are moved at once.
const CHUNK: usize = 256 << 10;

/// How long to wait for a connection, unless told otherwise.
const CONNECT: Duration = Duration::from_secs(30);

/// How long to wait for the answer's first byte, unless told otherwise; the sending of a large body counts.
const FIRST_BYTE: Duration = Duration::from_mins(10);

/// How long an answer may pause, unless told otherwise.
const BETWEEN_BYTES: Duration = Duration::from_mins(1);

/// What is asked of the resource.
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
}

impl Method {
    /// As it is written in a request.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// A request in the making. `Debug` hides the values of headers.
#[derive(Clone)]
pub struct Request {
    method: Method,
    url: String,
    headers: Vec<(String, String)>,
    connect: Duration,
    first_byte: Duration,
    between_bytes: Duration,
}

impl Request {
    /// A request for `url`, which begins with `http://` or `https://`.
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Self { method, url: url.into(), headers: Vec::new(), connect: CONNECT, first_byte: FIRST_BYTE, between_bytes: BETWEEN_BYTES }
    }

    /// `GET url`.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new(Method::Get, url)
    }

    /// `POST url`.
    pub fn post(url: impl Into<String>) -> Self {
        Self::new(Method::Post, url)
    }

    /// `PUT url`.
    pub fn put(url: impl Into<String>) -> Self {
        Self::new(Method::Put, url)
    }

    /// `DELETE url`.
    pub fn delete(url: impl Into<String>) -> Self {
        Self::new(Method::Delete, url)
    }

    /// Adds a header. `Host` and `Content-Length` are set by themselves.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// How long to wait for a connection; 30 s by default.
    #[must_use]
    pub fn connect_timeout(mut self, wait: Duration) -> Self {
        self.connect = wait;
        self
    }

    /// How long to wait for the answer's first byte, the sending of the body included; 600 s by default.
    #[must_use]
    pub fn first_byte_timeout(mut self, wait: Duration) -> Self {
        self.first_byte = wait;
        self
    }

    /// How long the answer may pause; 60 s by default.
    #[must_use]
    pub fn between_bytes_timeout(mut self, wait: Duration) -> Self {
        self.between_bytes = wait;
        self
    }

    /// Sends it without a body.
    pub fn send(self) -> Result<Response> {
        self.exchange(None)
    }

    /// Sends it with `body`.
    pub fn send_bytes(self, mut body: &[u8]) -> Result<Response> {
        let length = body.len() as u64;
        self.exchange(Some((&mut body, length)))
    }

    /// Sends it with exactly `length` bytes of `body`. A body that ends early is `integrity`, and the service does not get a whole request.
    pub fn send_stream(self, body: &mut dyn Read, length: u64) -> Result<Response> {
        self.exchange(Some((body, length)))
    }

    fn exchange(&self, body: Option<(&mut dyn Read, u64)>) -> Result<Response> {
        let url = Url::parse(&self.url)?;
        let doing = format!("{} {}", self.method.as_str(), url.authority);
        if cfg!(not(target_arch = "wasm32")) {
            return Err(Error::unsupported(format!("{doing}: there is no network outside a component")));
        }
        self.exchange_with(&url, body).context(doing)
    }

    fn exchange_with(&self, url: &Url<'_>, body: Option<(&mut dyn Read, u64)>) -> Result<Response> {
        let request = self.outgoing(url, body.as_ref().map(|(_, length)| *length))?;
        let outgoing_body = request.body().map_err(|()| Error::other("the host gives no body for a request"))?;
        let future = handle(request, Some(self.options())).map_err(|code| failed(&code))?;
        let sent = match body {
            Some((reader, length)) => send_body(outgoing_body, reader, length),
            None => OutgoingBody::finish(outgoing_body, None).map_err(|code| failed(&code)),
        };
        match sent {
            Ok(()) => Response::new(&wait(&future)?, self.method),
            // The service may have answered before it took the whole body, or the connection broke; either way the answer says why.
            Err(error) if error.kind() == ErrorKind::Unavailable => Response::new(&wait(&future)?, self.method),
            // The body's own fault, which no answer knows.
            Err(error) => Err(error),
        }
    }

    fn outgoing(&self, url: &Url<'_>, length: Option<u64>) -> Result<OutgoingRequest> {
        let fields = Fields::new();
        let append = |name: &str, value: &str| {
            let refused = |error| Error::invalid_config(format!("the header `{name}` cannot be sent: {error:?}"));
            fields.append(name, value.as_bytes()).map_err(refused)
        };
        for (name, value) in &self.headers {
            append(name, value)?;
        }
        let expects_body = matches!(self.method, Method::Post | Method::Put | Method::Patch);
        if let Some(length) = length.or(expects_body.then_some(0)) {
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

/// An answer: status and headers at once, the body as it arrives.
pub struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    /// Bytes of the body that are still to come, where the answer says how many it has.
    expected: Option<u64>,
    // Dropped in this order, as the contract asks.
    stream: InputStream,
    _body: IncomingBody,
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
        Ok(Self { status, headers, expected: if bodiless { None } else { length }, stream, _body: body })
    }

    /// Status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the status is 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// All headers, names in lower case.
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The whole body, refused beyond `limit` bytes.
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
        loop {
            match self.stream.blocking_read(out.len() as u64) {
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

fn send_body(body: OutgoingBody, reader: &mut dyn Read, length: u64) -> Result<()> {
    let stream = body.write().map_err(|()| Error::other("the host gives no stream for a request's body"))?;
    let mut buffer = vec![0; CHUNK.min(usize::try_from(length).unwrap_or(CHUNK))];
    let mut left = length;
    while left > 0 {
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = reader.read(&mut buffer[..wanted]).context("cannot read the body of the request")?;
        if count == 0 {
            return Err(Error::integrity(format!("the body of the request ended {left} bytes early")));
        }
        write_stream(&stream, &buffer[..count], &|error| Error::unavailable(body_failed(error).to_string()).into())?;
        left -= count as u64;
    }
    stream.blocking_flush().map_err(|error| Error::unavailable(body_failed(error).to_string()))?;
    drop(stream);
    OutgoingBody::finish(body, None).map_err(|code| failed(&code))
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
            return Error::invalid_config("the host refused the connection; grant this destination the network target");
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
