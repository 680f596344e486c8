//! One form sent over HTTPS and its JSON answer: all that logging in needs. The same libraries as for plug-ins, and the same trust: the
//! platform's roots and `--ca-file`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;

use super::LoginError;
use crate::tls;

/// Longest that one exchange may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest answer; the longest that is known has 3 KiB.
const LONGEST_ANSWER: usize = 64 << 10;

/// Sends forms.
pub(super) struct Https {
    tls: tokio_rustls::TlsConnector,
}

/// What came back; `Null` where it was no JSON.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) json: Value,
}

impl Https {
    pub(super) fn new(ca_file: Option<&Path>) -> Result<Self, LoginError> {
        let config = tls::client(ca_file).map_err(|error| LoginError::new(error.to_string()))?;
        Ok(Self { tls: Arc::new(config).into() })
    }

    /// Posts a form. The fields, which are secrets, are in no error.
    pub(super) async fn post(&self, url: &str, fields: &[(&str, &str)]) -> Result<Answer, LoginError> {
        let failed = |why: String| LoginError::new(format!("cannot reach {}: {why}", url.split('/').nth(2).unwrap_or(url)));
        let exchange = tokio::time::timeout(PATIENCE, self.exchange(url, form(fields)));
        let answer = exchange.await.map_err(|_| failed(format!("no answer within {} s", PATIENCE.as_secs())))?;
        answer.map_err(|error| failed(error.to_string()))
    }

    async fn exchange(&self, url: &str, form: String) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let uri: Uri = url.parse()?;
        let host = uri.host().ok_or("the address has no host")?.to_owned();
        if uri.scheme_str() != Some("https") {
            return Err("the address must begin with https://".into());
        }
        let stream = TcpStream::connect((host.as_str(), uri.port_u16().unwrap_or(443))).await?;
        let stream = self.tls.connect(ServerName::try_from(host)?, stream).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(Method::POST)
            .uri(uri.path_and_query().map_or("/", |path| path.as_str()))
            .header(HOST, uri.authority().ok_or("the address has no host")?.as_str())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(form)))?;
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await?.to_bytes();
        connection.abort();
        Ok(Answer { status, json: serde_json::from_slice(&body).unwrap_or_default() })
    }
}

/// `application/x-www-form-urlencoded`.
pub(super) fn form(fields: &[(&str, &str)]) -> String {
    fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&")
}

/// Every byte but RFC 3986's unreserved ones as `%XX`.
fn encode(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

/// The value of a field in a form or a query, decoded; `None` where there is no such field.
pub(super) fn field(query: &str, name: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.split_once('=').filter(|(found, _)| *found == name))?.1;
    let mut bytes = value.bytes();
    let mut decoded = Vec::with_capacity(value.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                decoded.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
            }
            byte => decoded.push(byte),
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_form_says_is_read_back() {
        let text = form(&[("a", "1//é+ &="), ("code", "4/0A~x")]);
        assert_eq!(text, "a=1%2F%2F%C3%A9%2B%20%26%3D&code=4%2F0A~x");
        assert_eq!((field(&text, "a").as_deref(), field(&text, "code").as_deref()), (Some("1//é+ &="), Some("4/0A~x")));
        assert_eq!((field(&text, "b"), field("a=%4", "a"), field("a=%ff", "a")), (None, None, None));
    }
}
