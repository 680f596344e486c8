//! Whether a page answers as it should, and for how long its certificate still holds. One GET; redirects are answers, and not followed.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::{Facts, Fault, Look, Verdict};
use crate::tls;

/// A problem of a certificate is over when it holds so much longer than it must.
const RECOVERY: Duration = Duration::from_secs(86_400);
const DAY: i64 = 86_400;

/// What is expected of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpRule {
    /// Its address, `https://…` or `http://…`.
    pub url: Uri,
    /// Statuses that are good; all of 2xx and 3xx where it is empty.
    pub status: Vec<u16>,
    /// How long its certificate must still hold.
    pub certificate: Duration,
    /// PEM file of further roots to trust.
    pub ca_file: Option<PathBuf>,
}

impl HttpRule {
    fn is_good(&self, status: u16) -> bool {
        if self.status.is_empty() { (200..400).contains(&status) } else { self.status.contains(&status) }
    }
}

/// Asks for the page. Ends when its caller's patience does.
pub async fn look(rule: &HttpRule, now: Timestamp) -> Look {
    match asked(rule).await {
        Ok((status, ends)) => judge(rule, (status, ends), now),
        Err(look) => look,
    }
}

fn judge(rule: &HttpRule, (status, ends): (u16, Option<Timestamp>), now: Timestamp) -> Look {
    let left = ends.map(|ends| ends.duration_since(now).as_secs());
    let holds = |time: Duration| left.is_none_or(|left| left >= i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
    let verdict = match (rule.is_good(status), holds(rule.certificate)) {
        (false, _) => Verdict::Bad(Fault::Status),
        (true, false) => Verdict::Bad(Fault::Expiring),
        (true, true) if holds(rule.certificate.saturating_add(RECOVERY)) => Verdict::Good,
        (true, true) => Verdict::Between,
    };
    Look { verdict, facts: Facts::Page { status, certificate_days: left.map(|left| left.div_euclid(DAY)) } }
}

/// Status, and when the certificate ends.
async fn asked(rule: &HttpRule) -> Result<(u16, Option<Timestamp>), Look> {
    let unreachable = |error: &dyn std::fmt::Display| Look::failed(Fault::Unreachable, format!("cannot reach {}: {error}", rule.url));
    let host = rule.url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    let secure = rule.url.scheme_str() == Some("https");
    let port = rule.url.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let stream = TcpStream::connect((host.as_str(), port)).await.map_err(|error| unreachable(&error))?;
    if !secure {
        return Ok((status(rule, stream).await.map_err(|error| unreachable(&error))?, None));
    }
    let config = tls::client(rule.ca_file.as_deref()).map_err(|error| Look::failed(Fault::Unknown, error.to_string()))?;
    let name = ServerName::try_from(host).map_err(|error| unreachable(&error))?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| refused(rule, &error))?;
    let ends = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).and_then(|certificate| end_of(certificate));
    Ok((status(rule, stream).await.map_err(|error| unreachable(&error))?, ends))
}

/// A certificate that is not to be trusted is another problem than a server that is not there.
fn refused(rule: &HttpRule, error: &io::Error) -> Look {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    let fault = match cause {
        Some(rustls::Error::InvalidCertificate(_)) => Fault::Certificate,
        _ => Fault::Unreachable,
    };
    Look::failed(fault, format!("cannot reach {}: {error}", rule.url))
}

async fn status(
    rule: &HttpRule,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<u16, Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(rule.url.path_and_query().map_or("/", |path| path.as_str()))
        .header(HOST, rule.url.authority().map_or("", |authority| authority.as_str()))
        .header(USER_AGENT, concat!("cofre/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "*/*")
        .body(Empty::<Bytes>::new())?;
    // The connection ends with this function: nobody reads the body.
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let answer = sender.send_request(request).await?;
    Ok(answer.status().as_u16())
}

/// When a certificate ends (RFC 5280, 4.1.2.5).
fn end_of(certificate: &[u8]) -> Option<Timestamp> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let ends = certificate.tbs_certificate().validity().not_after.to_unix_duration();
    Timestamp::from_second(i64::try_from(ends.as_secs()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn rule(url: &str) -> HttpRule {
        HttpRule { url: url.parse().expect("an address"), status: Vec::new(), certificate: Duration::from_secs(14 * 86_400), ca_file: None }
    }

    #[test]
    fn a_certificate_is_told_of_before_it_ends() {
        let now = Timestamp::from_second(1_772_000_000).expect("a time");
        let after = |days: i64| Timestamp::from_second(1_772_000_000 + days * DAY).ok();
        let verdict = |days| judge(&rule("https://a"), (200, after(days)), now).verdict;
        let soon = Verdict::Bad(Fault::Expiring);
        assert_eq!([-1, 13, 14, 15].map(verdict), [soon, soon, Verdict::Between, Verdict::Good]);
        let Facts::Page { certificate_days, .. } = judge(&rule("https://a"), (200, after(-1)), now).facts else { panic!("a page") };
        assert_eq!(certificate_days, Some(-1));
    }

    #[test]
    fn a_status_is_good_where_it_is_expected() {
        let now = Timestamp::UNIX_EPOCH;
        let of = |rule: &HttpRule, status| judge(rule, (status, None), now).verdict;
        let any = rule("http://a");
        let bad = Verdict::Bad(Fault::Status);
        assert_eq!([200, 302, 404, 500].map(|status| of(&any, status)), [Verdict::Good, Verdict::Good, bad, bad]);
        let login = HttpRule { status: vec![401], ..any };
        assert_eq!([200, 401].map(|status| of(&login, status)), [bad, Verdict::Good]);
    }

    #[tokio::test]
    async fn a_page_is_asked_for_by_its_own_name() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = vec![0; 4_096];
            let length = stream.read(&mut request).await.expect("read");
            stream.write_all(b"HTTP/1.1 503 Busy\r\ncontent-length: 1000000\r\n\r\nx").await.expect("written");
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let look = look(&rule(&format!("http://localhost:{port}/saude?x=1")), Timestamp::now()).await;
        assert_eq!((look.verdict, look.facts), (Verdict::Bad(Fault::Status), Facts::Page { status: 503, certificate_days: None }));
        let request = served.await.expect("served");
        assert!(
            request.starts_with("GET /saude?x=1 HTTP/1.1\r\n") && request.contains(&format!("host: localhost:{port}\r\n")),
            "{request}"
        );
    }

    #[tokio::test]
    async fn what_hangs_up_does_not_answer() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let hung_up = tokio::spawn(async move { listener.accept().await.map(drop) });
        let look = look(&rule(&format!("http://127.0.0.1:{port}/")), Timestamp::now()).await;
        hung_up.await.expect("no panic").expect("accepted");
        assert_eq!(look.verdict, Verdict::Bad(Fault::Unreachable));
    }

    proptest! {
        #[test]
        fn whatever_a_server_presents_is_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = end_of(&bytes);
        }
    }
}
