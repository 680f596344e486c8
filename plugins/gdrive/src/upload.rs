//! An upload session ("Perform a resumable upload"): its address is the token, and what the service holds of it is always the truth.
//!
//! The service makes the file when it has the last byte and is told so by the total in `Content-Range`; until `finish` that total is `*`.
//! Pieces before the last must be multiples of 256 KiB, so what a last write has beyond that waits in memory for `finish`: it counts as
//! written in this session and not after a `resume`. A file of the same name gets new content instead of a namesake.

use std::io::Read as _;
use std::rc::Rc;

use cofre_sdk::http::{Method, Response};
use cofre_sdk::{Body, Context as _, Error, Object, Result, Upload};

use crate::client::{Ask, Client, File, Kind, parse};
use crate::error;
use crate::settings::{GRANULE, LARGEST_OBJECT, check_key};
use crate::transport::Payload;

/// Longest description of one file.
const LONGEST_ANSWER: u64 = 256 << 10;

/// An unfinished object.
pub struct DriveUpload {
    client: Rc<Client>,
    key: String,
    state: State,
}

enum State {
    /// The session's address, what the service holds, and what is still to be sent at `finish`.
    Open {
        session: String,
        stored: u64,
        rest: Vec<u8>,
    },
    /// An earlier `finish` succeeded and its answer was lost.
    Complete(File),
    Ended,
}

/// What the service says of a session.
enum Progress {
    /// So many bytes are stored.
    Holds(u64),
    /// The file is there.
    Complete(File),
}

impl DriveUpload {
    pub(crate) fn begin(client: Rc<Client>, key: &str, size: Option<u64>) -> Result<Self> {
        check_key(key)?;
        let beginning = || format!("cannot begin {key}");
        if size.is_some_and(|size| size > LARGEST_OBJECT) {
            return Err(Error::unsupported(format!("{}: Drive takes no file of more than {LARGEST_OBJECT} bytes", beginning())));
        }
        let session = open(&client, key).with_context(beginning)?;
        Ok(Self { client, key: key.to_owned(), state: State::Open { session, stored: 0, rest: Vec::new() } })
    }

    pub(crate) fn resume(client: Rc<Client>, key: &str, token: &str) -> Result<Self> {
        check_key(key)?;
        // A token is sent with the access token, so it must lead to the service and nowhere else.
        if !leads_to_service(&client, token) {
            return Err(Error::session_lost(format!("cannot resume {key}: its token is not one of this plug-in")));
        }
        let state = match ask(&client, token, None).with_context(|| format!("cannot resume {key}"))? {
            Progress::Holds(stored) => State::Open { session: token.to_owned(), stored, rest: Vec::new() },
            Progress::Complete(file) => State::Complete(file),
        };
        Ok(Self { client, key: key.to_owned(), state })
    }

    fn put(&mut self, body: &mut Body) -> Result<u64> {
        let part_size = self.client.settings.part_size;
        let length = body.length();
        let State::Open { session, stored, rest } = &mut self.state else {
            return Err(Error::session_lost("the upload has ended"));
        };
        if length > part_size || !rest.is_empty() {
            return Err(Error::unsupported(format!("every part but the last must have {part_size} bytes, and none more")));
        }
        let whole = length - length % GRANULE;
        if whole > 0 {
            let range = format!("bytes {stored}-{}/*", *stored + whole - 1);
            match send(&self.client, session, range, Payload::Stream(body, whole))? {
                Progress::Holds(now) if now == *stored + whole => *stored = now,
                // What is missing is no longer here to be sent again; the host goes on where the service is.
                Progress::Holds(now) => return Err(Error::unavailable(format!("the service kept {now} of {} bytes", *stored + whole))),
                Progress::Complete(_) => return Err(Error::integrity("the service ended the upload before its end")),
            }
        }
        let mut bytes = Vec::with_capacity(usize::try_from(length - whole).unwrap_or_default());
        body.read_to_end(&mut bytes)?;
        *rest = bytes;
        Ok(*stored + rest.len() as u64)
    }

    /// Sends what is left, with the total. Returns the file that the service made.
    fn complete(&self) -> Result<File> {
        let (session, stored, rest) = match &self.state {
            State::Open { session, stored, rest } => (session, *stored, rest),
            State::Complete(file) => return Ok(file.clone()),
            State::Ended => return Err(Error::session_lost("the upload has ended")),
        };
        let total = stored + rest.len() as u64;
        let progress = match (total, rest.is_empty()) {
            // An empty file has no range that could be written.
            (0, _) => progress(self.client.exchange(Ask::new(Method::Put, session.clone()))?)?,
            (_, true) => ask(&self.client, session, Some(total))?,
            (_, false) => send(&self.client, session, format!("bytes {stored}-{}/{total}", total - 1), Payload::Bytes(rest))?,
        };
        match progress {
            Progress::Complete(file) => Ok(file),
            Progress::Holds(now) => Err(Error::unavailable(format!("the service holds {now} of {total} bytes"))),
        }
    }
}

impl Upload for DriveUpload {
    fn token(&self) -> String {
        match &self.state {
            State::Open { session, .. } => session.clone(),
            State::Complete(_) | State::Ended => String::new(),
        }
    }

    fn offset(&self) -> u64 {
        match &self.state {
            State::Open { stored, rest, .. } => stored + rest.len() as u64,
            State::Complete(file) => file.size().unwrap_or(0),
            State::Ended => 0,
        }
    }

    fn write(&mut self, body: &mut Body) -> Result<u64> {
        let writing = format!("cannot write {} at {}", self.key, self.offset());
        self.put(body).context(writing)
    }

    fn finish(&mut self) -> Result<Object> {
        let (finishing, total) = (format!("cannot finish {}", self.key), self.offset());
        let file = self.complete().context(&finishing)?;
        if file.size() != Some(total) {
            // It lies under the key already, and must not be taken for what was sent.
            let _ = self.client.remove(&file.id);
            return Err(Error::integrity(format!("{finishing}: the service stored {:?} bytes instead of {total}", file.size())));
        }
        if file.trashed {
            return Err(Error::session_lost(format!("{finishing}: the file that it replaces was moved to the trash during the upload")));
        }
        self.client.settle(&self.client.place(&self.key).0, &file).context(&finishing)?;
        self.state = State::Ended;
        Ok(file.object(self.key.clone()))
    }

    fn abort(&mut self) -> Result<()> {
        if let State::Open { session, .. } = &self.state {
            let answer = self.client.exchange(Ask::new(Method::Delete, session.clone()));
            let answer = answer.with_context(|| format!("cannot abort the upload of {}", self.key))?;
            // 499 is how the service says that the client ended it. What it does not know any more, or will not forget, ends by itself
            // after a week; what may go better next time is worth another call.
            if matches!(answer.status(), 401 | 408 | 429 | 500..) {
                return Err(error::from_answer(answer));
            }
        }
        self.state = State::Ended;
        Ok(())
    }
}

/// Opens a session for a key: for new content of the file that is there, else for a new file.
fn open(client: &Client, key: &str) -> Result<String> {
    let (path, name) = client.place(key);
    let folder = client.make_folders(&path)?;
    let (method, resource, metadata) = if let Some(file) = client.namesakes(key)?.into_iter().next() {
        (Method::Patch, format!("/files/{}", file.id), "{}".to_owned())
    } else {
        let metadata = serde_json::json!({ "name": name, "parents": [folder.id], "mimeType": "application/octet-stream" });
        (Method::Post, "/files".to_owned(), metadata.to_string())
    };
    let url = client.upload_url(&resource);
    // No `X-Upload-Content-Length`: told the total, the service may make the file before `finish` says so.
    let headers = vec![
        ("content-type", "application/json; charset=UTF-8".to_owned()),
        ("x-upload-content-type", "application/octet-stream".to_owned()),
    ];
    let answer = client.send(Ask { headers, payload: Payload::Bytes(metadata.as_bytes()), ..Ask::new(method, url) })?;
    match answer.header("location") {
        Some(session) if leads_to_service(client, session) => Ok(session.to_owned()),
        Some(_) => Err(Error::other("the service sends the upload to another host")),
        None => Err(Error::other("the service opened a session and does not say where").retryable(true)),
    }
}

fn leads_to_service(client: &Client, session: &str) -> bool {
    let origin = client.addresses.upload.trim_end_matches("/upload/drive/v3");
    session.strip_prefix(origin).is_some_and(|path| path.starts_with('/')) && session.bytes().all(|b| b.is_ascii_graphic())
}

/// Asks what the service holds; with a total, says that there is no more to come.
fn ask(client: &Client, session: &str, total: Option<u64>) -> Result<Progress> {
    let total = total.map_or_else(|| "*".to_owned(), |total| total.to_string());
    send(client, session, format!("bytes */{total}"), Payload::Nothing)
}

fn send(client: &Client, session: &str, range: String, payload: Payload<'_>) -> Result<Progress> {
    let headers = vec![("content-range", range)];
    progress(client.exchange(Ask { headers, payload, ..Ask::new(Method::Put, session.to_owned()) })?)
}

/// What an answer of a session says.
fn progress(mut answer: Response) -> Result<Progress> {
    match answer.status() {
        200 | 201 => parse(&answer.body_to_vec(LONGEST_ANSWER)?).map(Progress::Complete),
        308 => {
            let Some(range) = answer.header("range") else { return Ok(Progress::Holds(0)) };
            let last = range.trim().strip_prefix("bytes=").unwrap_or(range).strip_prefix("0-").and_then(|last| last.parse::<u64>().ok());
            let last = last.ok_or_else(|| Error::other(format!("the service holds a range that has no beginning: {range}")))?;
            Ok(Progress::Holds(last + 1))
        }
        // The session is unknown, over, or not where we are; in each case only a new one helps.
        400 | 404 | 410 | 416 | 499 => {
            let error = error::from_answer(answer);
            Err(Error::session_lost(error.message()).with("status", error.detail("status").unwrap_or_default()))
        }
        _ => Err(error::from_answer(answer)),
    }
}

/// The newest first; of files changed in one moment always the same one.
pub(crate) fn by_change(files: &mut [File]) {
    files.sort_by(|one, other| (&other.modified_time, &other.id).cmp(&(&one.modified_time, &one.id)));
}

impl Client {
    /// The plain files under a key: the service permits several of one name, and the first is the one that counts.
    pub(crate) fn namesakes(&self, key: &str) -> Result<Vec<File>> {
        let (path, name) = self.place(key);
        let mut files = Vec::new();
        for folder in self.folders(&path)? {
            files.extend(self.children(&folder.id, Some(name), Kind::Files)?.into_iter().filter(|file| file.size().is_some()));
        }
        by_change(&mut files);
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Drive, Fault, store};
    use cofre_sdk::{Destination as _, ErrorKind};

    const PIECE: usize = 256 << 10;

    fn body(byte: u8, length: usize) -> Body {
        Body::from_reader(std::io::Cursor::new(vec![byte; length]), length as u64)
    }

    fn fault(line: &'static str, status: u16, after: bool) -> Fault {
        Fault { line, status, reason: "", after }
    }

    fn content<'a>(drive: &'a Drive, name: &str) -> &'a [u8] {
        &drive.nodes.values().find(|node| node.name == name && !node.trashed).expect("a file").content
    }

    #[test]
    fn an_object_is_a_file_in_a_real_folder_once_it_is_finished() {
        let (store, drive) = store(r#", "folder": "Cópias/srv""#);
        for (key, length) in [("set/a b'ç", 3), ("set/empty", 0), ("set/one piece", PIECE), ("set/more", PIECE + 7)] {
            let mut upload = store.begin(key, None).expect("begun");
            let mut left = length;
            while left > 0 {
                upload.write(&mut body(b'x', left.min(PIECE))).expect("written");
                left -= left.min(PIECE);
            }
            assert_eq!(upload.offset(), length as u64);
            let before = drive.borrow().paths();
            assert!(!before.contains(&format!("Cópias/srv/{key}")), "{before:?}");
            let object = upload.finish().expect("finished");
            assert_eq!((object.size, object.checksum), (length as u64, Some(format!("md5:{length:032x}"))));
            assert!(drive.borrow().paths().contains(&format!("Cópias/srv/{key}")));
        }
        let requests = drive.borrow().requests.clone();
        assert_eq!(requests.iter().filter(|line| line.starts_with("POST /drive/v3/files")).count(), 3, "a folder is made once");
    }

    #[test]
    fn a_cut_upload_goes_on_where_the_service_is() {
        let (store, drive) = store("");
        let mut upload = store.begin("big", None).expect("begun");
        upload.write(&mut body(0, PIECE)).expect("written");
        drive.borrow_mut().faults.push(fault("PUT /upload", 503, false));
        let error = upload.write(&mut body(1, PIECE)).expect_err("the service is busy");
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, true));
        let token = upload.token();
        drop(upload);
        let mut upload = store.resume("big", &token).expect("resumed");
        assert_eq!(upload.offset(), PIECE as u64);
        // Only the answer is lost: what the service has is the truth.
        drive.borrow_mut().faults.push(fault("PUT /upload", 500, true));
        upload.write(&mut body(1, PIECE)).expect_err("no answer");
        let mut upload = store.resume("big", &token).expect("resumed");
        assert_eq!(upload.offset(), 2 * PIECE as u64);
        assert_eq!(upload.write(&mut body(2, 5)).expect("the short last part"), 2 * PIECE as u64 + 5);
        // What waits in memory is gone with the instance, and was not reported by the service.
        let mut upload = store.resume("big", &token).expect("resumed");
        assert_eq!(upload.offset(), 2 * PIECE as u64);
        upload.write(&mut body(2, 5)).expect("again");
        upload.finish().expect("finished");
        let drive = drive.borrow();
        assert_eq!(content(&drive, "big"), [vec![0; PIECE], vec![1; PIECE], vec![2; 5]].concat());
    }

    #[test]
    fn a_finish_whose_answer_was_lost_is_not_done_twice() {
        let (store, drive) = store("");
        let mut upload = store.begin("a", Some(3)).expect("begun");
        upload.write(&mut body(b'x', 3)).expect("held");
        let token = upload.token();
        drive.borrow_mut().faults.push(fault("PUT /upload", 500, true));
        assert!(upload.finish().expect_err("the answer was lost").is_retryable());
        // The service forgets a session that ended, and this fake at once: the host looks for the object and finds it.
        assert_eq!(store.resume("a", &token).map(drop).expect_err("over").kind(), ErrorKind::SessionLost);
        assert_eq!(store.stat("a").expect("there").size, 3);
    }

    #[test]
    fn a_key_that_is_there_gets_new_content_and_no_namesake() {
        let (store, drive) = store("");
        let old = drive.borrow_mut().add("root", "a", Some(b"older"));
        let newer = drive.borrow_mut().add("root", "a", Some(b"newer"));
        drive.borrow_mut().add("root", "A", Some(b"another name"));
        let mut upload = store.begin("a", Some(3)).expect("begun");
        upload.write(&mut body(b'x', 3)).expect("held");
        assert_eq!(store.stat("a").expect("the old one until then").size, 5);
        upload.finish().expect("finished");
        assert_eq!(store.stat("a").expect("there").size, 3);
        let drive = drive.borrow();
        assert_eq!((drive.nodes[&old].content.as_slice(), drive.nodes[&newer].content.as_slice()), (&b"older"[..], &b"xxx"[..]));
    }

    #[test]
    fn a_file_that_is_thrown_away_while_it_is_replaced_is_not_called_stored() {
        let (store, drive) = store("");
        let id = drive.borrow_mut().add("root", "a", Some(b"old"));
        let mut upload = store.begin("a", Some(1)).expect("begun");
        drive.borrow_mut().nodes.get_mut(&id).expect("there").trashed = true;
        upload.write(&mut body(b'x', 1)).expect("held");
        assert_eq!(upload.finish().expect_err("in the trash").kind(), ErrorKind::SessionLost);
    }

    #[test]
    fn an_access_token_that_ends_is_replaced_once() {
        let (store, drive) = store("");
        let mut upload = store.begin("a", None).expect("begun");
        drive.borrow_mut().faults.push(fault("PUT /upload", 401, false));
        let error = upload.write(&mut body(0, PIECE)).expect_err("a streamed body is gone");
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::AccessDenied, true));
        upload.write(&mut body(0, PIECE)).expect("with a new token");
        upload.write(&mut body(1, 9)).expect("held");
        drive.borrow_mut().faults.push(fault("PUT /upload", 401, false));
        assert_eq!(upload.finish().expect("sent again with a new token").size, PIECE as u64 + 9);
        for _ in 0..2 {
            drive.borrow_mut().faults.push(fault("GET /drive", 401, false));
        }
        let error = store.stat("a").expect_err("refused twice");
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::AccessDenied, false));
        drive.borrow_mut().faults.push(Fault { line: "GET /drive", status: 401, reason: "authError", after: false });
        drive.borrow_mut().faults.push(Fault { line: "POST /token", status: 400, reason: "", after: false });
        assert_eq!(store.stat("a").expect_err("revoked").kind(), ErrorKind::AccessDenied);
    }

    #[test]
    fn a_session_that_is_gone_or_not_ours_is_lost_and_aborting_can_be_repeated() {
        let (store, drive) = store("");
        let mut upload = store.begin("a", None).expect("begun");
        let token = upload.token();
        upload.abort().expect("aborted");
        upload.abort().expect("again");
        let before = drive.borrow().requests.len();
        for elsewhere in
            ["", "nonsense", "https://h.evil.example/upload", "https://evil.example/upload/drive/v3/session/0", "https://h/a b"]
        {
            assert_eq!(store.resume("a", elsewhere).map(drop).expect_err(elsewhere).kind(), ErrorKind::SessionLost);
        }
        assert_eq!(drive.borrow().requests.len(), before, "no foreign address was asked");
        assert_eq!(store.resume("a", &token).map(drop).expect_err("gone").kind(), ErrorKind::SessionLost);
    }

    #[test]
    fn a_body_that_ends_early_is_no_part() {
        let (store, _) = store("");
        let mut upload = store.begin("a", None).expect("begun");
        let error = upload.write(&mut Body::from_reader(&b"short"[..], 100)).expect_err("it ended early");
        assert_eq!((error.kind(), upload.offset()), (ErrorKind::Integrity, 0));
    }
}
