//! An upload session: nothing at first, then one part held back for a single PUT, or a multipart upload whose parts the service lists.
//!
//! A part that is the whole object is held until `finish`, so that a small object costs one request. It counts as written in this session
//! and not after a `resume`, which then begins at 0; what the service holds is always the truth.

use std::io::Read as _;
use std::rc::Rc;
use std::time::SystemTime;

use cofre_sdk::http::Method;
use cofre_sdk::{Body, Context as _, Error, ErrorKind, Object, Result, Upload};

use crate::address::decode;
use crate::client::{Ask, Client, Etag, Head, md5, multipart_etag};
use crate::error;
use crate::lock;
use crate::settings::MOST_PARTS;
use crate::xml::{self, Completed, Initiated, Open, Parts, Uploads};

/// Token of a session of which the service holds nothing.
const NOTHING: &str = "new";

/// Before the identifier in the token of a multipart upload.
const MULTIPART: &str = "multipart:";

/// An unfinished object.
pub struct S3Upload {
    client: Rc<Client>,
    key: String,
    full_key: String,
    size: Option<u64>,
    state: State,
}

enum State {
    Nothing,
    Held(Vec<u8>),
    Multipart { id: String, parts: Vec<Etag>, offset: u64, last_was_short: bool },
    Ended,
}

impl S3Upload {
    pub(crate) fn begin(client: Rc<Client>, key: &str, size: Option<u64>) -> Result<Self> {
        let full_key = client.key(key)?;
        let most = client.settings.max_object_size();
        if let Some(size) = size.filter(|size| *size > most) {
            let mend = "set a larger /part_size";
            return Err(Error::unsupported(format!("cannot begin {key}: {size} bytes do not fit into {MOST_PARTS} parts ({mend})")));
        }
        Ok(Self { client, key: key.to_owned(), full_key, size, state: State::Nothing })
    }

    pub(crate) fn resume(client: Rc<Client>, key: &str, token: &str) -> Result<Self> {
        let mut upload = Self::begin(client, key, None)?;
        if token == NOTHING {
            upload.abort_strays();
            return Ok(upload);
        }
        let id = token
            .strip_prefix(MULTIPART)
            .ok_or_else(|| Error::session_lost(format!("cannot resume {key}: its token is not one of this plug-in")))?;
        upload.state = upload.stored(id).with_context(|| format!("cannot resume {key}"))?;
        Ok(upload)
    }

    /// What the service holds of a multipart upload: its parts from the first on, up to a gap.
    fn stored(&self, id: &str) -> Result<State> {
        let (mut parts, mut offset, mut last_was_short, mut marker) = (Vec::new(), 0, false, "0".to_owned());
        loop {
            let query = [("max-parts", "1000"), ("part-number-marker", &marker), ("uploadId", id)];
            let body = self.client.send_for_body(Ask { query: &query, ..Ask::new(Method::Get, &self.full_key) })?;
            let page: Parts = xml::read(&body, "list of parts")?;
            for part in page.held {
                if part.number != parts.len() as u64 + 1 || last_was_short {
                    return Ok(State::Multipart { id: id.to_owned(), parts, offset, last_was_short });
                }
                last_was_short = part.size < self.client.settings.part_size;
                offset += part.size;
                parts.push(Etag::new(&part.etag));
            }
            match page.next_part_number_marker {
                Some(next) if page.is_truncated && next != marker => marker = next,
                _ => return Ok(State::Multipart { id: id.to_owned(), parts, offset, last_was_short }),
            }
        }
    }

    /// Aborts uploads of this key of which nobody kept the identifier: their opening was cut before its answer came. A service or an account
    /// that does not list them leaves them to the bucket's lifecycle rule.
    fn abort_strays(&self) {
        let query = [("encoding-type", "url"), ("prefix", self.full_key.as_str()), ("uploads", "")];
        let listed = self.client.send_for_body(Ask { query: &query, ..Ask::new(Method::Get, "") });
        let strays = listed.and_then(|body| xml::read::<Uploads>(&body, "list of open uploads"));
        let strays = match strays {
            Ok(strays) => strays,
            Err(error) => return cofre_sdk::log!(Debug, "open uploads of {} are not looked for: {error}", self.key),
        };
        let encoded = strays.encoding_type.as_deref() == Some("url");
        let own =
            |upload: &Open| if encoded { decode(&upload.key).as_deref() == Some(&self.full_key) } else { upload.key == self.full_key };
        for stray in strays.open.iter().filter(|upload| own(upload)) {
            if let Err(error) = self.abort_one(&stray.upload_id) {
                cofre_sdk::log!(Warn, "an open upload of {} stays: {error}", self.key);
            }
        }
    }

    fn abort_one(&self, id: &str) -> Result<()> {
        let query = [("uploadId", id)];
        match self.client.send(Ask { query: &query, ..Ask::new(Method::Delete, &self.full_key) }) {
            Err(error) if matches!(error.kind(), ErrorKind::SessionLost | ErrorKind::NotFound) => Ok(()),
            aborted => aborted.map(drop),
        }
    }

    /// Whether a first write of `length` bytes is the whole object, since every write but the last has the part size.
    fn is_whole(&self, length: u64) -> bool {
        matches!(self.state, State::Nothing) && (length < self.client.settings.part_size || self.size == Some(length))
    }

    fn headers(&self) -> Result<Vec<(&'static str, String)>> {
        let mut headers = self.client.storage_headers();
        headers.extend(lock::headers(&self.client.settings, SystemTime::now())?);
        Ok(headers)
    }

    fn create(&self) -> Result<State> {
        let query = [("uploads", "")];
        let headers = self.headers()?;
        let answer = self.client.send_for_body(Ask { query: &query, headers, ..Ask::new(Method::Post, &self.full_key) });
        let body = answer.map_err(|error| lock::of_new_object(&self.client, error))?;
        let initiated: Initiated = xml::read(&body, "answer to a new upload")?;
        Ok(State::Multipart { id: initiated.upload_id, parts: Vec::new(), offset: 0, last_was_short: false })
    }

    fn put_part(&mut self, bytes: &[u8]) -> Result<u64> {
        if matches!(self.state, State::Nothing) {
            self.state = self.create()?;
        }
        let part_size = self.client.settings.part_size;
        let State::Multipart { id, parts, offset, last_was_short } = &mut self.state else {
            return Err(Error::session_lost("the upload has ended, or its only part was written already"));
        };
        if *last_was_short || parts.len() as u64 == MOST_PARTS {
            return Err(Error::unsupported(format!("every part but the last must have {part_size} bytes, and {MOST_PARTS} is the most")));
        }
        let number = (parts.len() + 1).to_string();
        let query = [("partNumber", number.as_str()), ("uploadId", id.as_str())];
        let etag = send_digested(&self.client, Ask { query: &query, body: bytes, ..Ask::new(Method::Put, &self.full_key) })?;
        parts.push(etag);
        *offset += bytes.len() as u64;
        *last_was_short = (bytes.len() as u64) < part_size;
        Ok(*offset)
    }

    /// One PUT; returns what the service stored.
    fn put_whole(&self, bytes: &[u8]) -> Result<Head> {
        let headers = self.headers()?;
        let sent = send_digested(&self.client, Ask { headers, body: bytes, ..Ask::new(Method::Put, &self.full_key) });
        let sent = sent.map_err(|error| lock::of_new_object(&self.client, error))?;
        let head = self.client.head(&self.full_key)?;
        if sent.text.is_empty() || sent.bare() == head.etag.bare() {
            Ok(head)
        } else {
            Err(Error::integrity("another object took the place of the one that was sent"))
        }
    }

    fn complete(&self, id: &str, parts: &[Etag]) -> Result<Head> {
        let document = xml::completion(parts.iter().map(|part| part.text.as_str()));
        let query = [("uploadId", id)];
        let headers = vec![("content-type", "application/xml".to_owned())];
        let ask = Ask { query: &query, headers, body: document.as_bytes(), ..Ask::new(Method::Post, &self.full_key) };
        let expected = multipart_etag(parts.iter());
        match self.client.send_for_body(ask) {
            Ok(body) => {
                // The service sends its headers first and may fail afterwards, under status 200.
                if let Some(failure) = xml::failure(&body) {
                    return Err(error::from_failure(500, &failure));
                }
                let completed: Completed = xml::read(&body, "answer to the end of an upload")?;
                same_tag(expected.as_deref(), &completed.etag)?;
                self.client.head(&self.full_key)
            }
            // An earlier attempt may have succeeded and its answer been lost.
            Err(error) if error.kind() == ErrorKind::SessionLost => match self.client.head(&self.full_key) {
                Ok(head) if expected.is_some_and(|tag| tag == head.etag.bare()) => Ok(head),
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }
}

impl Upload for S3Upload {
    fn token(&self) -> String {
        match &self.state {
            State::Multipart { id, .. } => format!("{MULTIPART}{id}"),
            _ => NOTHING.to_owned(),
        }
    }

    fn offset(&self) -> u64 {
        match &self.state {
            State::Held(bytes) => bytes.len() as u64,
            State::Multipart { offset, .. } => *offset,
            State::Nothing | State::Ended => 0,
        }
    }

    fn write(&mut self, body: &mut Body) -> Result<u64> {
        let writing = format!("cannot write {} at {}", self.key, self.offset());
        let (length, part_size) = (body.length(), self.client.settings.part_size);
        if length > part_size {
            return Err(Error::unsupported(format!("{writing}: {length} bytes are more than a part of {part_size}")));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        body.read_to_end(&mut bytes).context(&writing)?;
        if self.is_whole(length) {
            self.state = State::Held(bytes);
            return Ok(length);
        }
        self.put_part(&bytes).context(&writing)
    }

    fn finish(&mut self) -> Result<Object> {
        let finishing = format!("cannot finish {}", self.key);
        let offset = self.offset();
        let head = match &self.state {
            State::Nothing => self.put_whole(&[]),
            State::Held(bytes) => self.put_whole(bytes),
            State::Multipart { id, parts, .. } => self.complete(id, parts),
            State::Ended => Err(Error::session_lost("the upload has ended")),
        };
        let head = head.context(&finishing)?;
        if head.size != offset {
            return Err(Error::integrity(format!("{finishing}: the service has {} bytes instead of {offset}", head.size)));
        }
        self.state = State::Ended;
        Ok(head.object(&self.key))
    }

    fn abort(&mut self) -> Result<()> {
        if let State::Multipart { id, .. } = &self.state {
            self.abort_one(id).with_context(|| format!("cannot abort the upload of {}", self.key))?;
        }
        self.state = State::Ended;
        Ok(())
    }
}

/// Sends bytes with their digest, and compares it with the tag that the service gives them.
pub(crate) fn send_digested(client: &Client, mut ask: Ask<'_>) -> Result<Etag> {
    let digest = md5(ask.body);
    ask.headers.push(("content-md5", aws_smithy_types::base64::encode(digest)));
    let etag = Etag::of(&client.send(ask)?);
    match etag.md5 {
        Some(stored) if stored != digest => Err(Error::integrity("the service stored other bytes than were sent")),
        _ => Ok(etag),
    }
}

/// Refuses a multipart tag that is not the one of our parts; services with tags of another kind have no `-` and a number in them.
fn same_tag(expected: Option<&str>, found: &str) -> Result<()> {
    let found = found.trim_matches('"');
    match (expected, found.rsplit_once('-')) {
        (Some(expected), Some((digest, count))) if digest.len() == 32 && count.parse::<u64>().is_ok() && found != expected => {
            Err(Error::integrity(format!("the service put together other parts than were sent: {found} instead of {expected}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::store;
    use cofre_sdk::Destination as _;

    const PART: usize = 5 << 20;

    fn body(byte: u8, length: usize) -> Body {
        Body::from_reader(std::io::Cursor::new(vec![byte; length]), length as u64)
    }

    #[test]
    fn a_small_object_is_one_put_at_finish() {
        let (store, bucket) = store(r#", "prefix": "p""#);
        let mut upload = store.begin("a b+ç.enc", Some(3)).expect("begun");
        assert_eq!(upload.write(&mut body(b'x', 3)).expect("held"), 3);
        assert!(bucket.borrow().requests.is_empty());
        assert_eq!(upload.token(), NOTHING);
        let object = upload.finish().expect("finished");
        assert_eq!(object.checksum.as_deref(), Some("md5:f561aaf6ef0bf14d4208bb46a4ccb3ad"));
        assert_eq!((object.size, object.modified_unix_ms), (3, Some(1_369_353_600_000)));
        assert_eq!(bucket.borrow().requests, ["PUT p/a%20b%2B%C3%A7.enc", "HEAD p/a%20b%2B%C3%A7.enc"]);
        assert_eq!(bucket.borrow().objects["p/a b+ç.enc"], b"xxx");
    }

    #[test]
    fn an_empty_object_is_stored() {
        let (store, bucket) = store("");
        store.begin("empty", Some(0)).expect("begun").finish().expect("finished");
        assert_eq!(bucket.borrow().objects["empty"], b"");
    }

    #[test]
    fn a_cut_upload_resumes_at_the_parts_that_the_service_lists() {
        let (store, bucket) = store("");
        let mut upload = store.begin("big", None).expect("begun");
        for byte in 0..3 {
            upload.write(&mut body(byte, PART)).expect("written");
        }
        bucket.borrow_mut().faults.push(("partNumber=4", 503, vec![("retry-after", "2")], "<Error><Code>SlowDown</Code></Error>"));
        let error = upload.write(&mut body(3, PART)).expect_err("the service is busy");
        assert_eq!((error.kind(), error.is_retryable(), upload.offset()), (ErrorKind::RateLimited, true, 3 * PART as u64));
        let token = upload.token();
        drop(upload);
        let mut upload = store.resume("big", &token).expect("resumed");
        assert_eq!(upload.offset(), 3 * PART as u64);
        upload.write(&mut body(3, PART)).expect("written");
        upload.write(&mut body(4, 7)).expect("the short last part");
        assert_eq!(upload.finish().expect("finished").size, 4 * PART as u64 + 7);
        let stored = bucket.borrow().objects["big"].clone();
        assert!((0..4).all(|part| stored[part * PART..(part + 1) * PART].iter().all(|byte| usize::from(*byte) == part)));
    }

    #[test]
    fn an_upload_whose_opening_was_cut_is_not_left_open() {
        let (store, bucket) = store("");
        let mut upload = store.begin("big", None).expect("begun");
        bucket.borrow_mut().faults_after = true;
        bucket.borrow_mut().faults.push(("POST big?uploads", 500, vec![], ""));
        upload.write(&mut body(0, PART)).expect_err("the answer was lost");
        let token = upload.token();
        assert_eq!(bucket.borrow().uploads.len(), 1, "the service has opened one");
        let mut upload = store.resume("big", &token).expect("resumed");
        assert!(bucket.borrow().uploads.is_empty(), "and keeps it open");
        upload.write(&mut body(0, PART)).expect("written");
        assert_eq!(upload.finish().expect("finished").size, PART as u64);
    }

    #[test]
    fn a_failure_under_status_200_is_a_failure() {
        let (store, bucket) = store("");
        let mut upload = store.begin("big", None).expect("begun");
        upload.write(&mut body(0, PART)).expect("written");
        bucket.borrow_mut().faults.push((
            "POST big?uploadId",
            200,
            vec![],
            "<?xml version=\"1.0\"?>\n<Error><Code>InternalError</Code></Error>",
        ));
        let error = upload.finish().expect_err("it failed late");
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, true));
        assert!(!bucket.borrow().objects.contains_key("big"));
        upload.finish().expect("and may be tried again");
    }

    #[test]
    fn a_completion_whose_answer_was_lost_is_not_done_twice() {
        let (store, bucket) = store("");
        let mut upload = store.begin("big", None).expect("begun");
        upload.write(&mut body(0, PART)).expect("written");
        bucket.borrow_mut().faults_after = true;
        bucket.borrow_mut().faults.push(("POST big?uploadId", 500, vec![], ""));
        assert!(upload.finish().expect_err("the answer was lost").is_retryable());
        // The fake tags objects by their whole digest; a real service repeats the tag of the parts.
        let etag = Box::leak(
            format!("\"{}\"", multipart_etag([Etag { text: String::new(), md5: Some(md5(&vec![0; PART])) }].iter()).expect("a tag"))
                .into_boxed_str(),
        );
        bucket.borrow_mut().faults.push(("HEAD big", 200, vec![("etag", etag), ("content-length", "5242880")], ""));
        assert_eq!(upload.finish().expect("it is there").size, PART as u64);
    }

    #[test]
    fn a_part_that_the_service_stored_wrongly_is_seen_by_its_tag() {
        let (store, bucket) = store("");
        let mut upload = store.begin("big", None).expect("begun");
        let wrong = ("etag", "\"00000000000000000000000000000000\"");
        bucket.borrow_mut().faults.push(("partNumber=1", 200, vec![wrong], ""));
        assert_eq!(upload.write(&mut body(0, PART)).expect_err("other bytes").kind(), ErrorKind::Integrity);
        assert_eq!(upload.offset(), 0);
    }

    #[test]
    fn an_object_that_comes_out_short_is_not_finished() {
        let (store, bucket) = store("");
        let mut upload = store.begin("small", Some(3)).expect("begun");
        upload.write(&mut body(0, 3)).expect("held");
        bucket.borrow_mut().faults.push(("HEAD small", 200, vec![("content-length", "2")], ""));
        assert_eq!(upload.finish().expect_err("it is short").kind(), ErrorKind::Integrity);
    }

    #[test]
    fn aborting_forgets_the_parts_and_can_be_repeated() {
        let (store, bucket) = store("");
        let mut upload = store.begin("big", None).expect("begun");
        upload.write(&mut body(0, PART)).expect("written");
        let token = upload.token();
        upload.abort().expect("aborted");
        upload.abort().expect("again");
        assert!(bucket.borrow().uploads.is_empty());
        assert_eq!(store.resume("big", &token).map(drop).expect_err("gone").kind(), ErrorKind::SessionLost);
        assert_eq!(store.resume("big", "nonsense").map(drop).expect_err("no token").kind(), ErrorKind::SessionLost);
    }

    #[test]
    fn an_object_that_needs_too_many_parts_is_refused_at_once() {
        let (store, _) = store("");
        let error = store.begin("huge", Some(u64::MAX)).map(drop).expect_err("too large");
        assert!(error.message().contains("/part_size"), "{error}");
    }

    #[test]
    fn a_body_that_ends_early_sends_nothing() {
        let (store, bucket) = store("");
        let mut upload = store.begin("big", None).expect("begun");
        let error = upload.write(&mut Body::from_reader(&b"short"[..], PART as u64)).expect_err("it ended early");
        assert_eq!(error.kind(), ErrorKind::Integrity);
        assert!(bucket.borrow().requests.is_empty());
    }
}
