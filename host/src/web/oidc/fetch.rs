//! One request over HTTP/1.1 and its bounded answer. Its caller has a time; redirects are answers, and not followed.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use crate::tls;

/// Largest answer, in bytes.
const ANSWER_MAX: usize = 1 << 20;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What goes with a request.
pub(super) enum Sent {
    /// A GET.
    Nothing,
    /// A POST of a form.
    Form(String),
}

/// Asks, and reads the answer.
///
/// # Errors
/// When there is none, or it is too large.
pub(super) async fn fetch(
    address: &Uri,
    (sent, authorization): (Sent, Option<&str>),
    ca_file: Option<&Path>,
) -> Result<(StatusCode, Bytes), Failure> {
    let host = address.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    let secure = address.scheme_str() == Some("https");
    let port = address.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let mut request = Request::builder()
        .uri(address.path_and_query().map_or("/", |path| path.as_str()))
        .header(header::HOST, address.authority().map_or("", |authority| authority.as_str()))
        .header(header::USER_AGENT, concat!("cofre/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "application/json");
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    let request = match sent {
        Sent::Nothing => request.body(Full::default())?,
        Sent::Form(form) => {
            request.method("POST").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(Full::from(form))?
        }
    };
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    if !secure {
        return exchange(stream, request).await;
    }
    let config = tls::client(ca_file)?;
    exchange(TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(host)?, stream).await?, request).await
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), Failure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with this function, whatever is left of the answer.
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, ANSWER_MAX).collect().await?.to_bytes();
    Ok((head.status, body))
}
