//! One signed request at a time. Authentication is SigV4 by header ("Authenticating Requests: Using the Authorization Header").
//!
//! The digest of the payload is signed over plain HTTP; over HTTPS it is `UNSIGNED-PAYLOAD`, because TLS and `Content-MD5` already protect
//! the bytes and a second digest would cost as much time as the first.

use std::io::Read as _;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningInstructions, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_types::date_time::{DateTime, Format};
use cofre_sdk::http::Method;
use cofre_sdk::{Error, Object, Result};
use md5::{Digest as _, Md5};

use crate::address::Address;
use crate::settings::{Settings, check_key};
use crate::transport::{Answer, Call, Transport};
use crate::{error, lock};

/// Longest XML answer: a page of 1,000 keys of 1,024 bytes, encoded.
const LONGEST_ANSWER: u64 = 8 << 20;

/// What is asked of the service.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    /// Key in the bucket, prefix included; empty for the bucket itself.
    pub(crate) key: &'a str,
    pub(crate) query: &'a [(&'a str, &'a str)],
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: &'a [u8],
}

impl<'a> Ask<'a> {
    /// A request without query, headers and body.
    pub(crate) fn new(method: Method, key: &'a str) -> Self {
        Self { method, key, query: &[], headers: Vec::new(), body: &[] }
    }
}

/// A bucket with the right to use it.
pub(crate) struct Client {
    pub(crate) settings: Settings,
    address: Address,
    credentials: Credentials,
    transport: Box<dyn Transport>,
}

/// What the service says of a stored object.
pub(crate) struct Head {
    pub(crate) size: u64,
    pub(crate) etag: Etag,
    modified_unix_ms: Option<u64>,
    /// What keeps it from being removed now, where the service says so.
    pub(crate) kept: Option<String>,
}

/// An entity tag, and the MD5 that it is where the service makes it one.
#[derive(Debug, Clone)]
pub(crate) struct Etag {
    /// As the service wrote it, quotes included.
    pub(crate) text: String,
    pub(crate) md5: Option<[u8; 16]>,
}

impl Etag {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), md5: from_hex(text.trim_matches('"')) }
    }

    /// From an answer's headers; an object under a key of the key service has a tag that only looks like an MD5.
    pub(crate) fn of(answer: &Answer) -> Self {
        let tag = Self::new(answer.header("etag").unwrap_or_default());
        let opaque = answer.header("x-amz-server-side-encryption").is_some_and(|kind| kind.starts_with("aws:kms"));
        if opaque { Self { md5: None, ..tag } } else { tag }
    }

    /// Without quotes.
    pub(crate) fn bare(&self) -> &str {
        self.text.trim_matches('"')
    }
}

impl Client {
    pub(crate) fn new(settings: Settings, credentials: Credentials, transport: Box<dyn Transport>) -> Result<Self> {
        settings.check()?;
        let address = Address::new(&settings)?;
        Ok(Self { settings, address, credentials, transport })
    }

    /// Key in the bucket of a key of ours.
    pub(crate) fn key(&self, key: &str) -> Result<String> {
        check_key(key)?;
        let full = self.with_prefix(key);
        check_key(&full)?;
        Ok(full)
    }

    /// The setting `prefix` in front of a key, or of the beginning of one.
    pub(crate) fn with_prefix(&self, key: &str) -> String {
        if self.settings.prefix.is_empty() { key.to_owned() } else { format!("{}/{key}", self.settings.prefix) }
    }

    /// Sends a request; an answer that is no success is an error.
    pub(crate) fn send(&self, ask: Ask<'_>) -> Result<Answer> {
        let call = self.signed(ask, SystemTime::now())?;
        let mut answer = self.transport.send(call)?;
        if answer.is_success() {
            return Ok(answer);
        }
        // The status says enough where the answer to a failure cannot be read.
        let mut body = Vec::new();
        let _ = std::mem::replace(&mut answer.body, Box::new(std::io::empty())).take(64 << 10).read_to_end(&mut body);
        Err(error::from_answer(&answer, &body))
    }

    /// Sends a request whose answer is a document.
    pub(crate) fn send_for_body(&self, ask: Ask<'_>) -> Result<Vec<u8>> {
        let answer = self.send(ask)?;
        let mut body = Vec::new();
        answer.body.take(LONGEST_ANSWER).read_to_end(&mut body)?;
        Ok(body)
    }

    /// Headers that decide how an object is stored; for the requests that create one.
    pub(crate) fn storage_headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![("content-type", "application/octet-stream".to_owned())];
        headers.extend(self.settings.storage_class.clone().map(|class| ("x-amz-storage-class", class)));
        headers.extend(self.settings.server_side_encryption.map(|kind| ("x-amz-server-side-encryption", kind.as_str().to_owned())));
        headers.extend(self.settings.kms_key_id.clone().map(|id| ("x-amz-server-side-encryption-aws-kms-key-id", id)));
        headers
    }

    /// What is stored under a key of the bucket.
    pub(crate) fn head(&self, full_key: &str) -> Result<Head> {
        let answer = self.send(Ask::new(Method::Head, full_key))?;
        let size = answer.header("content-length").and_then(|length| length.trim().parse().ok());
        let size = size.ok_or_else(|| Error::other("the service does not say how long the object is"))?;
        let modified = answer.header("last-modified").and_then(|text| unix_ms(text, Format::HttpDate));
        Ok(Head { size, etag: Etag::of(&answer), modified_unix_ms: modified, kept: lock::kept_by(&answer, SystemTime::now()) })
    }

    fn signed<'a>(&self, ask: Ask<'a>, now: SystemTime) -> Result<Call<'a>> {
        let url = self.address.url(ask.key, ask.query);
        let body = if self.address.https && !ask.body.is_empty() { SignableBody::UnsignedPayload } else { SignableBody::Bytes(ask.body) };
        let headers = ask.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let request = SignableRequest::new(ask.method.as_str(), url.as_str(), headers, body).map_err(cannot_sign)?;
        let mut how = how();
        how.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let instructions = self.instructions(request, how, now)?;
        let mut headers: Vec<(String, String)> = ask.headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        headers.extend(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())));
        Ok(Call { method: ask.method, url, headers, body: ask.body })
    }

    /// An address that anybody can `GET` for so long ("Authenticating Requests: Using Query Parameters").
    pub(crate) fn presigned(&self, full_key: &str, lifetime: Duration, now: SystemTime) -> Result<String> {
        let url = self.address.url(full_key, &[]);
        let request = SignableRequest::new("GET", url.as_str(), std::iter::empty(), SignableBody::UnsignedPayload).map_err(cannot_sign)?;
        let mut how = how();
        how.signature_location = SignatureLocation::QueryParams;
        how.expires_in = Some(lifetime);
        let instructions = self.instructions(request, how, now)?;
        let query: Vec<_> = instructions.params().iter().map(|(name, value)| (*name, value.as_ref())).collect();
        Ok(self.address.url(full_key, &query))
    }

    fn instructions(&self, request: SignableRequest<'_>, how: SigningSettings, now: SystemTime) -> Result<SigningInstructions> {
        let identity = self.credentials.clone().into();
        let parameters =
            v4::SigningParams::builder().identity(&identity).region(&self.settings.region).name("s3").time(now).settings(how).build();
        let parameters = parameters.map_err(cannot_sign)?.into();
        Ok(sign(request, &parameters).map_err(cannot_sign)?.into_parts().0)
    }
}

/// S3 signs addresses as they are sent.
fn how() -> SigningSettings {
    let mut how = SigningSettings::default();
    how.percent_encoding_mode = PercentEncodingMode::Single;
    how.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    how
}

fn cannot_sign(why: impl std::fmt::Display) -> Error {
    Error::other(format!("cannot sign a request: {why}"))
}

impl Head {
    /// As the contract has it.
    pub(crate) fn object(&self, key: &str) -> Object {
        let checksum = self.etag.md5.map(|md5| format!("md5:{}", hex(&md5)));
        Object { key: key.to_owned(), size: self.size, modified_unix_ms: self.modified_unix_ms, checksum }
    }
}

pub(crate) fn unix_ms(text: &str, format: Format) -> Option<u64> {
    DateTime::from_str(text, format).ok()?.to_millis().ok().and_then(|ms| u64::try_from(ms).ok())
}

pub(crate) fn md5(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}

/// Entity tag of a multipart object: the digest of its parts' digests, and their number.
pub(crate) fn multipart_etag<'a>(parts: impl ExactSizeIterator<Item = &'a Etag>) -> Option<String> {
    let count = parts.len();
    let mut digest = Md5::new();
    for part in parts {
        digest.update(part.md5?);
    }
    Some(format!("{}-{count}", hex(&digest.finalize())))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|nibble| char::from_digit(nibble.into(), 16).unwrap_or('0')).collect()
}

fn from_hex(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::transport::Network;

    /// The bucket, keys and instant of the examples in "Signature Calculations for the Authorization Header".
    fn example(scheme: &str) -> Client {
        let json = format!(r#"{{"bucket": "examplebucket", "endpoint": "{scheme}://s3.amazonaws.com", "path_style": false}}"#);
        let keys = Credentials::from_keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None);
        Client::new(cofre_sdk::settings::parse(&json).expect("settings"), keys, Box::new(Network)).expect("a client")
    }

    fn authorization(client: &Client, ask: Ask<'_>) -> String {
        let instant = UNIX_EPOCH + Duration::from_hours(380_376);
        let call = client.signed(ask, instant).expect("signed");
        call.headers.into_iter().find(|(name, _)| name == "authorization").expect("it is signed by header").1
    }

    #[test]
    fn amazons_published_examples_get_their_published_signatures() {
        let client = example("https");
        let get = Ask { headers: vec![("range", "bytes=0-9".to_owned())], ..Ask::new(Method::Get, "test.txt") };
        let signed = authorization(&client, get);
        assert!(signed.ends_with("Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"), "{signed}");
        let list = Ask { query: &[("max-keys", "2"), ("prefix", "J")], ..Ask::new(Method::Get, "") };
        let signed = authorization(&client, list);
        assert!(signed.ends_with("Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"), "{signed}");
        let lifecycle = Ask { query: &[("lifecycle", "")], ..Ask::new(Method::Get, "") };
        let signed = authorization(&client, lifecycle);
        assert!(signed.ends_with("Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"), "{signed}");
    }

    #[test]
    fn a_payload_is_signed_over_plain_http_as_in_the_published_example() {
        let headers = vec![("date", "Fri, 24 May 2013 00:00:00 GMT".to_owned()), ("x-amz-storage-class", "REDUCED_REDUNDANCY".to_owned())];
        let ask = || Ask { headers: headers.clone(), body: b"Welcome to Amazon S3.", ..Ask::new(Method::Put, "test$file.text") };
        let signed = authorization(&example("http"), ask());
        assert!(signed.ends_with("Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"), "{signed}");
        let call = example("https").signed(ask(), SystemTime::now()).expect("signed");
        assert!(call.headers.contains(&("x-amz-content-sha256".to_owned(), "UNSIGNED-PAYLOAD".to_owned())));
    }

    #[test]
    fn the_published_example_of_an_address_gets_its_published_signature() {
        let instant = UNIX_EPOCH + Duration::from_hours(380_376);
        let address = example("https").presigned("test.txt", Duration::from_hours(24), instant).expect("signed");
        let expected = "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&\
            X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&\
            X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
        assert_eq!(address, expected);
    }

    #[test]
    fn only_a_plain_tag_is_an_md5() {
        assert_eq!(Etag::new("\"d41d8cd98f00b204e9800998ecf8427e\"").md5, Some(md5(b"")));
        assert_eq!(Etag::new("\"d41d8cd98f00b204e9800998ecf8427e-2\"").md5, None);
        let answer = |kind: &str| Answer {
            status: 200,
            headers: vec![
                ("etag".to_owned(), "\"d41d8cd98f00b204e9800998ecf8427e\"".to_owned()),
                ("x-amz-server-side-encryption".to_owned(), kind.to_owned()),
            ],
            body: Box::new(std::io::empty()),
        };
        assert!(Etag::of(&answer("aws:kms")).md5.is_none() && Etag::of(&answer("AES256")).md5.is_some());
    }

    #[test]
    fn a_multipart_tag_is_the_digest_of_the_digests() {
        let parts = [Etag::new("\"d41d8cd98f00b204e9800998ecf8427e\""), Etag::new("\"d41d8cd98f00b204e9800998ecf8427e\"")];
        assert_eq!(multipart_etag(parts.iter()).as_deref(), Some("5873dd45edd01f09c1ef2e7819369e8e-2"));
    }
}
