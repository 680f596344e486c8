//! An upload: a small object is one request at its end, a larger one a session of pieces ("files/upload_session/start").
//!
//! The token has the session, the offset, and the digest of the bytes up to there. After a crash the service may hold more than the token
//! says, because a piece arrived whose answer was lost, and it takes no piece twice: such bytes are taken from the host once more, hashed,
//! and not sent. So the digest at the end is always that of every byte that the host gave.

use std::io::{self, Read as _};
use std::rc::Rc;

use cofre_sdk::{Body, Context as _, Error, ErrorKind, Object, Result, Upload};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{Client, Metadata};
use crate::content_hash::{ContentHash, Hashing};
use crate::error::{CORRECT_OFFSET, has_tag};
use crate::settings::{LARGEST_OBJECT, check_key};
use crate::transport::Payload;

/// An object of at most so many bytes is held until `finish` and sent at once. (The service takes 150 MB; a component should not.)
const SMALL: u64 = 4 << 20;

/// Token of an upload of which the service holds nothing.
const NOTHING: &str = "new";

/// Before the parts of a session's token; to be changed with anything in it.
const SESSION: &str = "1";

/// An unfinished object.
pub struct DropboxUpload {
    client: Rc<Client>,
    key: String,
    size: Option<u64>,
    state: State,
}

enum State {
    Nothing,
    Held(Vec<u8>),
    Session(Box<Session>),
    Ended,
}

/// A session of the service.
#[derive(Debug, Clone)]
struct Session {
    id: String,
    /// Bytes that the host gave.
    offset: u64,
    /// Their digest.
    hash: ContentHash,
    /// Bytes that the service holds: at least `offset`.
    stored: u64,
}

impl Session {
    fn token(&self) -> String {
        format!("{SESSION}:{}:{}:{}", self.offset, self.hash.save(), self.id)
    }

    fn from_token(token: &str) -> Option<Self> {
        let mut parts = token.splitn(4, ':');
        let (version, offset, saved, id) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?, parts.next()?);
        let hash = ContentHash::restore(saved, offset)?;
        (version == SESSION).then(|| Self { id: id.to_owned(), offset, hash, stored: offset })
    }

    fn cursor(&self) -> Value {
        json!({ "session_id": self.id, "offset": self.stored })
    }
}

#[derive(Deserialize)]
struct Started {
    session_id: String,
}

impl DropboxUpload {
    pub(crate) fn begin(client: Rc<Client>, key: &str, size: Option<u64>) -> Result<Self> {
        check_key(key)?;
        if size.is_some_and(|size| size > LARGEST_OBJECT) {
            return Err(Error::unsupported(format!("cannot begin {key}: Dropbox takes no file of more than {LARGEST_OBJECT} bytes")));
        }
        Ok(Self { client, key: key.to_owned(), size, state: State::Nothing })
    }

    pub(crate) fn resume(client: Rc<Client>, key: &str, token: &str) -> Result<Self> {
        let mut upload = Self::begin(client, key, None)?;
        if token != NOTHING {
            let lost = || Error::session_lost(format!("cannot resume {key}: its token is not one of this plug-in"));
            let mut session = Session::from_token(token).ok_or_else(lost)?;
            upload.look(&mut session).with_context(|| format!("cannot resume {key}"))?;
            upload.state = State::Session(Box::new(session));
        }
        Ok(upload)
    }

    /// Asks what the service holds: it says so when a piece, here an empty one, is offered at the wrong place.
    fn look(&self, session: &mut Session) -> Result<()> {
        match self.append(session, Payload::Nothing, false) {
            Err(error) if has_tag(&error, &["incorrect_offset"]) => {
                let stored = error.detail(CORRECT_OFFSET).and_then(|offset| offset.parse().ok());
                // Fewer bytes than it confirmed once: what was hashed beyond them cannot be taken back.
                session.stored = stored.filter(|stored| *stored >= session.offset).ok_or_else(|| Error::session_lost(error.message()))?;
                Ok(())
            }
            looked => looked,
        }
    }

    fn append(&self, session: &Session, payload: Payload<'_>, close: bool) -> Result<()> {
        let argument = json!({ "cursor": session.cursor(), "close": close });
        self.client.upload::<Value>("files/upload_session/append_v2", &argument, payload).map(drop).map_err(lost_session)
    }

    /// Opens a session with its first piece.
    fn start(&self, body: &mut Body) -> Result<Session> {
        let (length, mut hash) = (body.length(), ContentHash::default());
        let mut hashing = Hashing { body, hash: &mut hash };
        let started: Started =
            self.client.upload("files/upload_session/start", &json!({ "close": false }), Payload::Stream(&mut hashing, length))?;
        Ok(Session { id: started.session_id, offset: length, hash, stored: length })
    }

    /// Takes a piece, and sends what of it the service does not hold yet.
    fn go_on(&self, session: &Session, body: &mut Body) -> Result<Session> {
        let mut next = session.clone();
        let (length, known) = (body.length(), session.stored - session.offset);
        let mut hashing = Hashing { body, hash: &mut next.hash };
        let skipped = io::copy(&mut hashing.by_ref().take(known.min(length)), &mut io::sink())?;
        if length > skipped {
            self.append(session, Payload::Stream(&mut hashing, length - skipped), false)?;
        }
        next.offset += length;
        next.stored = next.stored.max(next.offset);
        Ok(next)
    }

    /// Whether a first write of `length` bytes is the whole object, since every write but the last has the part size.
    fn is_whole(&self, length: u64) -> bool {
        length < self.client.settings.part_size || self.size == Some(length)
    }

    fn take(&self, body: &mut Body) -> Result<State> {
        let (length, part_size) = (body.length(), self.client.settings.part_size);
        if length > part_size {
            return Err(Error::unsupported(format!("{length} bytes are more than a part of {part_size}")));
        }
        match &self.state {
            State::Nothing if self.is_whole(length) && length <= SMALL => {
                let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
                body.read_to_end(&mut bytes)?;
                Ok(State::Held(bytes))
            }
            State::Nothing => self.start(body).map(Box::new).map(State::Session),
            State::Session(session) => self.go_on(session, body).map(Box::new).map(State::Session),
            State::Held(_) | State::Ended => Err(Error::session_lost("the upload has ended, or its only part was written already")),
        }
    }

    /// Where the object goes, without a word to the account's other devices. It takes the place of one of the same name and of no other:
    /// the service would take `A` for `a`.
    fn commit(&self) -> Result<Value> {
        let path = self.client.settings.path(&self.key);
        let mode = match self.client.look(&path)? {
            None => json!("add"),
            Some(found) if found.is_file() && found.is_named(&path) => json!({ ".tag": "update", "update": found.rev }),
            Some(found) => {
                let there = found.path_display.unwrap_or_default();
                let why = format!("there is `{there}` already, which Dropbox takes for the same name");
                return Err(Error::new(ErrorKind::AlreadyExists, why));
            }
        };
        Ok(json!({ "path": path, "mode": mode, "autorename": false, "mute": true }))
    }

    /// Sends what is held as a whole. The service refuses it where its digest is not ours.
    fn send_whole(&self, bytes: &[u8]) -> Result<(Metadata, String)> {
        let hash = ContentHash::of(bytes);
        let mut argument = self.commit()?;
        argument["content_hash"] = hash.as_str().into();
        let payload = if bytes.is_empty() { Payload::Nothing } else { Payload::Bytes(bytes) };
        Ok((self.client.upload("files/upload", &argument, payload)?, hash))
    }

    fn end_session(&self, session: &Session) -> Result<(Metadata, String)> {
        if session.stored != session.offset {
            return Err(Error::session_lost(format!("the service holds {} bytes, and {} were given", session.stored, session.offset)));
        }
        let argument = json!({ "cursor": session.cursor(), "commit": self.commit()? });
        let stored = self.client.upload("files/upload_session/finish", &argument, Payload::Nothing).map_err(lost_session)?;
        Ok((stored, session.hash.hex()))
    }

    /// Refuses an object that is not what was sent, and takes it away again: exactly this revision, whatever came since.
    fn prove(&self, stored: &Metadata, hash: &str) -> Result<()> {
        let (size, path) = (self.offset(), self.client.settings.path(&self.key));
        let problem = match &stored.content_hash {
            _ if stored.size != size => Error::integrity(format!("the service stored {} bytes instead of {size}", stored.size)),
            _ if !stored.is_named(&path) => Error::unsupported(format!("the service stored it as {:?}", stored.path_display)),
            Some(found) if found == hash => return Ok(()),
            Some(found) => Error::integrity(format!("the service stored other bytes than were sent: content_hash {found}, not {hash}")),
            None => Error::integrity("the service does not say what it stored"),
        };
        let _ = self.client.remove(&path, Some(&stored.rev));
        Err(problem)
    }
}

impl Upload for DropboxUpload {
    fn token(&self) -> String {
        match &self.state {
            State::Session(session) => session.token(),
            _ => NOTHING.to_owned(),
        }
    }

    fn offset(&self) -> u64 {
        match &self.state {
            State::Held(bytes) => bytes.len() as u64,
            State::Session(session) => session.offset,
            State::Nothing | State::Ended => 0,
        }
    }

    fn write(&mut self, body: &mut Body) -> Result<u64> {
        self.state = self.take(body).with_context(|| format!("cannot write {} at {}", self.key, self.offset()))?;
        Ok(self.offset())
    }

    fn finish(&mut self) -> Result<Object> {
        let finishing = format!("cannot finish {}", self.key);
        let stored = match &self.state {
            State::Nothing => self.send_whole(&[]),
            State::Held(bytes) => self.send_whole(bytes),
            State::Session(session) => self.end_session(session),
            State::Ended => Err(Error::session_lost("the upload has ended")),
        };
        let (stored, hash) = stored.context(&finishing)?;
        self.prove(&stored, &hash).context(&finishing)?;
        self.state = State::Ended;
        Ok(stored.object(self.key.clone()))
    }

    fn abort(&mut self) -> Result<()> {
        if let State::Session(session) = &self.state {
            // The service forgets a session after a week and not before; one that is closed takes no more bytes until then.
            match self.append(session, Payload::Nothing, true) {
                Err(error) if error.kind() == ErrorKind::SessionLost || has_tag(&error, &["incorrect_offset"]) => {}
                closed => closed.with_context(|| format!("cannot abort the upload of {}", self.key))?,
            }
        }
        self.state = State::Ended;
        Ok(())
    }
}

/// What is said of a session that is unknown or over.
fn lost_session(error: Error) -> Error {
    let in_session = !has_tag(&error, &["path"]);
    if in_session && has_tag(&error, &["not_found", "closed"]) { Error::session_lost(error.message()) } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fault, store};
    use cofre_sdk::Destination as _;

    const PIECE: usize = 4 << 20;

    fn body(byte: u8, length: usize) -> Body {
        Body::from_reader(std::io::Cursor::new(vec![byte; length]), length as u64)
    }

    fn fault(route: &'static str, status: u16, after: bool) -> Fault {
        Fault { route, status, summary: "", after }
    }

    #[test]
    fn a_small_object_is_one_request_and_a_large_one_a_session() {
        let (store, account) = store(r#", "folder": "Cópias""#);
        for (key, length, uploads) in [("set/empty", 0, 1), ("set/a b'ç", 3, 1), ("set/big", 2 * PIECE + 7, 4)] {
            let mut upload = store.begin(key, Some(length as u64)).expect("begun");
            let mut left = length;
            while left > 0 {
                upload.write(&mut body(b'x', left.min(PIECE))).expect("written");
                left -= left.min(PIECE);
            }
            assert_eq!(upload.offset(), length as u64);
            assert!(account.borrow().files.is_empty(), "it is there before it is finished");
            let object = upload.finish().expect("finished");
            assert_eq!((object.key.as_str(), object.size, object.checksum), (key, length as u64, None));
            let mut account = account.borrow_mut();
            assert_eq!(account.files.remove(&format!("/cópias/{key}").to_lowercase()).expect("stored").1.len(), length);
            assert_eq!(account.requests.iter().filter(|route| route.starts_with("files/upload")).count(), uploads);
            account.requests.clear();
        }
    }

    #[test]
    fn a_cut_upload_goes_on_where_the_service_is_and_is_proven_as_a_whole() {
        // Whether the piece was lost, or only the answer to it.
        for after in [false, true] {
            let (store, account) = store("");
            let mut upload = store.begin("big", None).expect("begun");
            assert_eq!(upload.token(), NOTHING);
            upload.write(&mut body(0, PIECE)).expect("written");
            let token = upload.token();
            account.borrow_mut().faults.push(fault("append_v2", 503, after));
            let error = upload.write(&mut body(1, PIECE)).expect_err("the service is busy");
            assert_eq!((error.kind(), error.is_retryable(), upload.offset()), (ErrorKind::Unavailable, true, PIECE as u64));
            drop(upload);
            let mut upload = store.resume("big", &token).expect("resumed");
            assert_eq!(upload.offset(), PIECE as u64);
            let before = account.borrow().requests.len();
            assert_eq!(upload.write(&mut body(1, PIECE)).expect("written"), 2 * PIECE as u64);
            assert_eq!(account.borrow().requests.len() - before, usize::from(!after), "what the service has is not sent again");
            upload.write(&mut body(2, 5)).expect("the short last part");
            assert_eq!(upload.finish().expect("finished").size, 2 * PIECE as u64 + 5);
            assert_eq!(account.borrow().files["/big"].1, [vec![0; PIECE], vec![1; PIECE], vec![2; 5]].concat());
        }
    }

    #[test]
    fn a_token_from_before_is_as_good() {
        let (store, account) = store("");
        let mut upload = store.begin("big", None).expect("begun");
        upload.write(&mut body(0, PIECE)).expect("written");
        let old = upload.token();
        upload.write(&mut body(1, PIECE)).expect("written");
        let mut upload = store.resume("big", &old).expect("resumed");
        assert_eq!(upload.offset(), PIECE as u64);
        // In other pieces than before, the border of what is stored inside one of them.
        upload.write(&mut body(1, PIECE - 10)).expect("known");
        upload.write(&mut body(1, 30)).expect("partly known");
        upload.finish().expect("finished");
        assert_eq!(account.borrow().files["/big"].1, [vec![0; PIECE], vec![1; PIECE + 20]].concat());
        let mut upload = store.begin("big", None).expect("begun");
        upload.write(&mut body(0, PIECE)).expect("written");
        let old = upload.token();
        upload.write(&mut body(1, PIECE)).expect("written");
        let mut upload = store.resume("big", &old).expect("resumed");
        assert_eq!(upload.finish().expect_err("less was given than is stored").kind(), ErrorKind::SessionLost);
    }

    #[test]
    fn what_was_stored_wrongly_is_seen_and_taken_away() {
        let (store, account) = store("");
        account.borrow_mut().corrupt = true;
        for pieces in [0, 1] {
            let mut upload = store.begin("a", None).expect("begun");
            for _ in 0..pieces {
                upload.write(&mut body(0, PIECE)).expect("written");
            }
            upload.write(&mut body(1, 5)).expect("written");
            assert_eq!(upload.finish().expect_err("other bytes").kind(), ErrorKind::Integrity);
            assert!(account.borrow().files.is_empty());
        }
    }

    #[test]
    fn an_object_takes_the_place_of_its_own_name_and_of_no_other() {
        let (store, account) = store("");
        account.borrow_mut().add("/Set/a", b"older");
        for (key, pieces) in [("Set/a", 0), ("Set/a", 1), ("Set/A", 0), ("Set/A", 1), ("set", 0)] {
            let mut upload = store.begin(key, None).expect("begun");
            for _ in 0..pieces {
                upload.write(&mut body(0, PIECE)).expect("written");
            }
            upload.write(&mut body(1, 5)).expect("written");
            match upload.finish() {
                Ok(object) => assert_eq!((object.key.as_str(), key), ("Set/a", "Set/a")),
                Err(error) => assert_eq!((error.kind(), key == "Set/a"), (ErrorKind::AlreadyExists, false), "{key}: {error}"),
            }
        }
        assert_eq!(account.borrow().files["/set/a"].1.len(), PIECE + 5);
        assert_eq!(store.stat("Set/A").expect_err("another name").kind(), ErrorKind::NotFound);
        store.delete("Set/A").expect("nothing to remove");
        assert_eq!(store.stat("Set/a").expect("there").size, PIECE as u64 + 5);
    }

    #[test]
    fn an_access_token_that_ends_is_replaced_once() {
        let (store, account) = store("");
        let expired = |route| Fault { route, status: 401, summary: "expired_access_token", after: false };
        let mut upload = store.begin("a", None).expect("begun");
        upload.write(&mut body(0, PIECE)).expect("written");
        account.borrow_mut().faults.push(expired("append_v2"));
        let error = upload.write(&mut body(1, PIECE)).expect_err("a streamed body is gone");
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::AccessDenied, true));
        upload.write(&mut body(1, PIECE)).expect("with a new token");
        account.borrow_mut().faults.push(expired("finish"));
        upload.finish().expect("sent again with a new token");
        for _ in 0..2 {
            account.borrow_mut().faults.push(expired("get_metadata"));
        }
        assert!(!store.stat("a").expect_err("refused twice").is_retryable());
        account.borrow_mut().faults.push(expired("get_metadata"));
        account.borrow_mut().faults.push(fault("oauth2/token", 400, false));
        assert_eq!(store.stat("a").expect_err("revoked").kind(), ErrorKind::AccessDenied);
        account.borrow_mut().faults.push(Fault { summary: "missing_scope", ..expired("upload_session/start") });
        let error = store.begin("b", None).expect("begun").write(&mut body(0, PIECE)).expect_err("read-only");
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::AccessDenied, false));
    }

    #[test]
    fn a_session_that_is_gone_or_not_ours_is_lost_and_aborting_can_be_repeated() {
        let (store, account) = store("");
        let mut upload = store.begin("a", None).expect("begun");
        upload.abort().expect("nothing to abort");
        let mut upload = store.begin("a", None).expect("begun");
        upload.write(&mut body(0, PIECE)).expect("written");
        let token = upload.token();
        assert!(token.len() < 1_000, "{token}");
        upload.abort().expect("aborted");
        upload.abort().expect("again");
        let gone = token.replace("upload/0", "upload/7");
        for token in [token.as_str(), &gone, "nonsense", "1:2:3", ""] {
            assert_eq!(store.resume("a", token).map(drop).expect_err(token).kind(), ErrorKind::SessionLost, "{token}");
        }
        assert_eq!(store.resume("a", NOTHING).expect("nothing is resumed").offset(), 0);
        account.borrow_mut().faults.push(Fault { route: "finish", status: 409, summary: "path/insufficient_space", after: false });
        let mut upload = store.begin("a", None).expect("begun");
        upload.write(&mut body(0, PIECE)).expect("written");
        assert_eq!(upload.finish().expect_err("full").kind(), ErrorKind::OutOfSpace);
    }

    #[test]
    fn a_body_that_ends_early_is_no_part() {
        let (store, _) = store("");
        for length in [100, PIECE as u64] {
            let mut upload = store.begin("a", None).expect("begun");
            let error = upload.write(&mut Body::from_reader(&b"short"[..], length)).expect_err("it ended early");
            assert_eq!((error.kind(), upload.offset()), (ErrorKind::Integrity, 0));
        }
    }
}
