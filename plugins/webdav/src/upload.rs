//! An upload session: a file under a name of its own, beside the objects and hidden from listings, that is moved to its key at `finish`.
//!
//! Plain WebDAV stores a file by one request. So an object of one piece is one `PUT`, and of a larger one the pieces go out in one `PUT`
//! that stays open from write to write: interrupted, it begins again at 0, which `resume` says honestly. Where the server has a way to
//! add to a file, each piece is a request of its own, and a session goes on at what the server has:
//! * Apache and lighttpd take `PUT` with `Content-Range`. RFC 9110 (14.5) leaves that to private agreement, and a server without it may
//!   replace the file by the piece; hence the proof below, and explicit offsets, so that a piece that is sent twice is the same file.
//! * SabreDAV takes `PATCH` with `X-Update-Range`, and announces it.
//! * Nextcloud takes numbered chunks in a folder of its uploads, which it puts together when `.file` in it is moved.

use std::hash::{BuildHasher as _, RandomState};
use std::rc::Rc;

use cofre_sdk::http::{Method, Response};
use cofre_sdk::{Body, Context as _, Error, ErrorKind, Object, Result, Upload};

use crate::client::Client;
use crate::error;
use crate::multistatus::best_checksum;
use crate::settings::{Resume, check_key};
use crate::store::TEMPORARY;
use crate::transport::Pieces;

/// Chunks of one upload that Nextcloud takes.
pub(crate) const MOST_CHUNKS: u64 = 10_000;

/// Largest object of which Nextcloud is asked to compute the digest: it reads the whole object before it answers, at 100 MB/s or more.
const DIGEST_UP_TO: u64 = 8 << 30;

/// How the pieces of one object get together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// One request for all.
    One,
    /// `PUT` with `Content-Range`.
    ContentRange,
    /// `PATCH` with `X-Update-Range`.
    Sabredav,
    /// Nextcloud's chunks.
    Chunks,
}

impl Way {
    const ALL: [(Self, &str); 4] =
        [(Self::One, "one"), (Self::ContentRange, "content-range"), (Self::Sabredav, "sabredav"), (Self::Chunks, "chunks")];

    fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(way, _)| *way == self).map_or("", |(_, name)| name)
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known)| *known == name).map(|(way, _)| way)
    }
}

/// An unfinished object.
pub struct WebdavUpload {
    client: Rc<Client>,
    key: String,
    size: Option<u64>,
    /// Of the file or of Nextcloud's folder; 16 hexadecimal digits.
    name: String,
    /// Chosen at the first write.
    way: Option<Way>,
    /// Bytes that went out.
    offset: u64,
    /// Chunks among them.
    chunks: u64,
    /// The one request, while it is open.
    pieces: Option<Box<dyn Pieces>>,
    /// Nothing can follow: the object is whole, or the session is over.
    is_closed: bool,
    /// The one request has ended, and the server has all of its file.
    is_whole: bool,
}

impl WebdavUpload {
    pub(crate) fn begin(client: Rc<Client>, key: &str, size: Option<u64>) -> Result<Self> {
        check_key(key)?;
        let name = new_name(key);
        Ok(Self {
            client,
            key: key.to_owned(),
            size,
            name,
            way: None,
            offset: 0,
            chunks: 0,
            pieces: None,
            is_closed: false,
            is_whole: false,
        })
    }

    pub(crate) fn resume(client: Rc<Client>, key: &str, token: &str) -> Result<Self> {
        let lost = |why: &str| Error::session_lost(format!("cannot resume {key}: {why}"));
        let parts: Vec<&str> = token.split(':').collect();
        let [way, name, offset, chunks] = parts[..] else { return Err(lost("its token is not one of this plug-in")) };
        if name.len() != 16 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(lost("its token is not one of this plug-in"));
        }
        let number = |text: &str| text.parse::<u64>().map_err(|_| lost("its token is not one of this plug-in"));
        let mut upload = Self::begin(client, key, None)?;
        (upload.name, upload.way) = (name.to_owned(), Way::from_name(way));
        (upload.offset, upload.chunks) = (number(offset)?, number(chunks)?);
        upload.look_up().with_context(|| format!("cannot resume {key}"))?;
        Ok(upload)
    }

    /// Compares what the token says with what the server has.
    fn look_up(&mut self) -> Result<()> {
        if self.offset == 0 {
            self.begin_anew();
            return Ok(());
        }
        let stored = self.client.entry(&self.place())?;
        let stored = stored.ok_or_else(|| Error::session_lost("the server does not have it any more"))?;
        match (self.way, stored.size) {
            // Its chunks are not shown where they lie in an object store; they were confirmed one by one.
            (Some(Way::Chunks), _) => Ok(()),
            (Some(Way::One), Some(size)) if size == self.offset => {
                (self.is_closed, self.is_whole) = (true, true);
                Ok(())
            }
            // The beginning of a piece that was cut counts too: its bytes came in order.
            (Some(Way::ContentRange | Way::Sabredav), Some(size)) if size >= self.offset => {
                self.offset = size;
                Ok(())
            }
            _ => {
                self.drop_stored();
                Err(Error::session_lost("the server has less than it confirmed"))
            }
        }
    }

    /// Begins again under another name: the request that was interrupted may still be under way at the server, which then locks its file or
    /// goes on to write to it. Nextcloud's chunks are whole or not there, and are sent again under their own names.
    fn begin_anew(&mut self) {
        if !self.client.stores_chunks() {
            self.drop_stored();
            self.name = new_name(&self.key);
        }
        self.way = None;
    }

    /// Removes what nobody will ask for again; what cannot be removed now goes with all old ones.
    fn drop_stored(&self) {
        if let Err(error) = self.remove_stored() {
            cofre_sdk::log!(Info, "an unfinished file of {} stays for a week: {error}", self.key);
        }
    }

    fn remove_stored(&self) -> Result<()> {
        match self.client.remove(&self.place()) {
            // The request that was cut a moment ago still holds it (Go's server); it goes when all old ones go.
            Err(error) if error::status(&error) == Some(423) => {
                cofre_sdk::log!(Info, "an unfinished file of {} stays for a week", self.key);
                Ok(())
            }
            removed => removed,
        }
    }

    /// Address of the file, or of Nextcloud's folder.
    fn place(&self) -> String {
        let chunks = if self.way == Some(Way::Chunks) { self.client.address.of_upload(&self.name) } else { None };
        chunks.unwrap_or_else(|| self.client.address.of(&format!("{TEMPORARY}/{}", self.name)))
    }

    /// Whether a first write of `length` bytes is the whole object, since every write but the last has the part size.
    fn is_whole(&self, length: u64) -> bool {
        self.offset == 0 && (length < self.client.settings.part_size || self.size == Some(length))
    }

    fn make_room(&self) -> Result<()> {
        self.client.create_folder(self.client.mkcol(&self.client.address.of_folder(TEMPORARY))?)
    }

    /// Stores the next piece.
    fn store(&mut self, body: &mut Body) -> Result<()> {
        let length = body.length();
        if self.is_closed {
            return Err(Error::session_lost("the upload has ended, or its only piece was written already"));
        }
        if self.is_whole(length) {
            return self.put_whole(body, length);
        }
        let way = match self.way {
            Some(way) => way,
            None => self.choose()?,
        };
        match way {
            Way::One => self.put_piece(body, length),
            Way::Chunks => self.put_chunk(body, length),
            Way::ContentRange | Way::Sabredav if self.offset == 0 => {
                self.client.put(self.client.request(Method::Put, &self.place())?, body, length)
            }
            Way::ContentRange | Way::Sabredav => add(&self.client, (way, &self.place()), self.offset, (body, length)),
        }
    }

    fn put_whole(&mut self, body: &mut Body, length: u64) -> Result<()> {
        self.way = Some(Way::One);
        self.make_room()?;
        self.client.put(self.client.request(Method::Put, &self.place())?, body, length)?;
        (self.is_closed, self.is_whole) = (true, true);
        Ok(())
    }

    /// Decides how this object goes, and gets ready for it.
    fn choose(&mut self) -> Result<Way> {
        let way = match self.client.settings.resume {
            Resume::Auto | Resume::Nextcloud if self.client.stores_chunks() => Way::Chunks,
            Resume::None => Way::One,
            Resume::ContentRange => Way::ContentRange,
            Resume::Sabredav => Way::Sabredav,
            Resume::Auto | Resume::Nextcloud => {
                self.make_room()?;
                self.find_way()?
            }
        };
        self.way = Some(way);
        if way == Way::Chunks {
            let folder = self.client.mkcol(&self.place())?.header("destination", self.client.address.of(&self.key));
            self.client.create_folder(folder)?;
        } else {
            self.make_room()?;
        }
        Ok(way)
    }

    /// The way to add to a file that the server is seen to understand.
    fn find_way(&self) -> Result<Way> {
        let options = self.client.bare(Method::Options, &self.client.address.of_folder(""))?;
        let announced = options.headers().iter().any(|(name, value)| name == "dav" && value.contains("sabredav-partialupdate"));
        drop(options);
        for way in [announced.then_some(Way::Sabredav), Some(Way::ContentRange)].into_iter().flatten() {
            if self.proves(way)? {
                return Ok(way);
            }
        }
        Ok(Way::One)
    }

    /// Whether the server adds to a file as `way` says: tried with a few bytes in this session's own file, which its first piece replaces,
    /// since a server that does not know the way may do anything.
    pub(crate) fn proves(&self, way: Way) -> Result<bool> {
        self.make_room()?;
        let url = self.place();
        self.client.put(self.client.request(Method::Put, &url)?, &mut &b"co"[..], 2)?;
        match add(&self.client, (way, &url), 2, (&mut Body::from_reader(&b"fre"[..], 3), 3)) {
            Ok(()) => Ok(self.client.bare(Method::Get, &url)?.body_to_vec(64)? == b"cofre"),
            Err(error) if error::status(&error).is_some() && !error.is_retryable() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends on in the one request.
    fn put_piece(&mut self, body: &mut Body, length: u64) -> Result<()> {
        let mut pieces = match self.pieces.take() {
            Some(pieces) => pieces,
            None if self.offset == 0 => self.client.open_put(&self.place(), self.size)?,
            None => return Err(Error::session_lost("the request that it went out in was interrupted")),
        };
        match pieces.send(body, length) {
            Ok(true) => {
                self.pieces = Some(pieces);
                Ok(())
            }
            Ok(false) => {
                self.is_closed = true;
                self.client.end_put(pieces, self.offset + length)?;
                Err(Error::integrity("the server answered before it had the whole file"))
            }
            Err(error) => {
                self.is_closed = true;
                Err(error)
            }
        }
    }

    fn put_chunk(&mut self, body: &mut Body, length: u64) -> Result<()> {
        let number = self.chunks + 1;
        if number > MOST_CHUNKS {
            return Err(Error::unsupported(format!("it has more than {MOST_CHUNKS} pieces; set a larger /part_size")));
        }
        let request = self.client.request(Method::Put, &format!("{}{number:05}", self.place()))?;
        let request = request.header("destination", self.client.address.of(&self.key));
        self.client.put(request, body, length)?;
        self.chunks = number;
        Ok(())
    }

    /// Ends what is open, so that the server has a whole file.
    fn complete(&mut self) -> Result<()> {
        if let Some(pieces) = self.pieces.take() {
            self.is_closed = true;
            self.client.end_put(pieces, self.offset)?;
            self.is_whole = true;
            return Ok(());
        }
        if self.way.is_none() {
            return self.put_whole(&mut Body::from_reader(std::io::empty(), 0), 0);
        }
        if self.way == Some(Way::One) && !self.is_whole {
            return Err(Error::session_lost("the request that it went out in was interrupted"));
        }
        Ok(())
    }

    /// Gives the file its key. The folders above it are made before, and not after a refusal: servers say 403, 409 and 500 where one is
    /// missing. Removing the last object of a folder may take it away between the two.
    fn commit(&self) -> Result<()> {
        let from = if self.way == Some(Way::Chunks) { format!("{}.file", self.place()) } else { self.place() };
        let to = self.client.address.of(&self.key);
        self.client.create_parents(&self.key)?;
        match self.client.move_file(&from, &to, self.offset) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            moved => return moved,
        }
        self.client.create_parents(&self.key)?;
        self.client.move_file(&from, &to, self.offset).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::session_lost("the server does not have it any more"),
            _ => error,
        })
    }

    /// What the server says of the object, its digest included where it can be had.
    fn stored(&self) -> Result<Object> {
        let mut object = self.client.object(&self.key)?;
        if object.checksum.is_none() && self.client.address.is_nextcloud() && object.size <= DIGEST_UP_TO {
            object.checksum = self.computed_digest();
        }
        Ok(object)
    }

    /// Nextcloud's own digest, which it computes when it is asked to (its plug-in `checksumupdate`), and keeps.
    fn computed_digest(&self) -> Option<String> {
        let request = self.client.request(Method::Patch, &self.client.address.of(&self.key)).ok()?;
        let answer: Response = self.client.send(request.header("x-recalculate-hash", "sha256"), None).ok()?;
        best_checksum(answer.header("oc-checksum")?)
    }
}

impl Upload for WebdavUpload {
    fn token(&self) -> String {
        // One request leaves nothing behind that could be built upon, unless the file is whole.
        let kept = if self.way == Some(Way::One) && !self.is_whole { 0 } else { self.offset };
        format!("{}:{}:{kept}:{}", self.way.map_or("new", Way::name), self.name, self.chunks)
    }

    fn offset(&self) -> u64 {
        self.offset
    }

    fn write(&mut self, body: &mut Body) -> Result<u64> {
        let length = body.length();
        self.store(body).with_context(|| format!("cannot write {} at {}", self.key, self.offset))?;
        self.offset += length;
        Ok(self.offset)
    }

    fn finish(&mut self) -> Result<Object> {
        let finishing = format!("cannot finish {}", self.key);
        self.complete().context(&finishing)?;
        self.commit().context(&finishing)?;
        let object = self.stored().context(&finishing)?;
        if object.size != self.offset {
            return Err(Error::integrity(format!("{finishing}: the server has {} bytes instead of {}", object.size, self.offset)));
        }
        self.is_closed = true;
        Ok(object)
    }

    fn abort(&mut self) -> Result<()> {
        self.pieces = None;
        self.is_closed = true;
        self.remove_stored().with_context(|| format!("cannot remove what was stored of {}", self.key))
    }
}

/// Name of an unfinished file or of Nextcloud's folder, of 16 hexadecimal digits that nobody else chooses.
fn new_name(key: &str) -> String {
    format!("{:016x}", RandomState::new().hash_one(key))
}

/// Adds `length` bytes to the file at `url`, at `offset`.
fn add(client: &Client, (way, url): (Way, &str), offset: u64, (body, length): (&mut Body, u64)) -> Result<()> {
    let last = (offset + length).saturating_sub(1);
    if way == Way::ContentRange {
        let request = client.request(Method::Put, url)?.header("content-range", format!("bytes {offset}-{last}/*"));
        return client.put(request, body, length);
    }
    let request = client.request(Method::Patch, url)?.header("x-update-range", format!("bytes={offset}-{last}"));
    let request = request.header("content-type", "application/x-sabredav-partialupdate");
    client.send(request, Some((body, length))).map(drop)
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

    fn lost(resumed: Result<WebdavUpload>) {
        let Err(error) = resumed else { panic!("it was resumed") };
        assert_eq!(error.kind(), ErrorKind::SessionLost, "{error}");
    }

    #[test]
    fn a_small_object_is_stored_beside_and_moved() {
        let (store, server) = store(Way::One, "");
        let mut upload = store.begin("set/a b?.enc", Some(3)).expect("begun");
        assert_eq!(upload.write(&mut body(b'x', 3)).expect("written"), 3);
        assert!(server.borrow().file("set/a b%3F.enc").is_none(), "it is not finished");
        let mut upload = store.resume("set/a b?.enc", &upload.token()).expect("resumed");
        assert_eq!(upload.offset(), 3);
        let object = upload.finish().expect("finished");
        assert_eq!((object.size, object.modified_unix_ms), (3, Some(1_369_353_600_000)));
        assert_eq!(server.borrow().file("set/a b%3F.enc").expect("moved"), b"xxx");
        assert_eq!(server.borrow().unfinished(), 0);
    }

    #[test]
    fn an_empty_object_is_stored() {
        let (store, server) = store(Way::One, "");
        store.begin("empty", None).expect("begun").finish().expect("finished");
        assert_eq!(server.borrow().file("empty").expect("stored"), b"");
    }

    #[test]
    fn a_server_that_takes_a_piece_for_the_file_gets_one_request() {
        let (store, server) = store(Way::One, "");
        let mut upload = store.begin("big", None).expect("begun");
        upload.write(&mut body(1, PART)).expect("written");
        upload.write(&mut body(2, 7)).expect("written");
        assert_eq!((upload.offset(), upload.token().split(':').nth(2)), (PART as u64 + 7, Some("0")));
        let again = store.resume("big", &upload.token()).expect("resumed");
        assert_eq!(again.offset(), 0, "nothing of it could be built upon");
        assert_eq!(upload.finish().expect("finished").size, PART as u64 + 7);
        assert!(server.borrow().file("big").is_some_and(|bytes| bytes[..PART].iter().all(|byte| *byte == 1) && bytes[PART..] == [2; 7]));
        assert_eq!(server.borrow().unfinished(), 0);
    }

    #[test]
    fn a_refusal_in_the_middle_of_the_one_request_is_told_as_it_is() {
        let (store, server) = store(Way::One, r#", "resume": "none""#);
        let mut upload = store.begin("big", None).expect("begun");
        upload.write(&mut body(1, PART)).expect("written");
        server.borrow_mut().faults.push(("while it is sent", 507));
        assert_eq!(upload.write(&mut body(2, PART)).expect_err("full").kind(), ErrorKind::OutOfSpace);
        assert_eq!(upload.finish().expect_err("it is over").kind(), ErrorKind::SessionLost);
    }

    #[test]
    fn the_one_request_that_broke_is_begun_again_and_leaves_nothing_behind() {
        let (store, server) = store(Way::One, r#", "resume": "none""#);
        let mut upload = store.begin("big", None).expect("begun");
        upload.write(&mut body(1, PART)).expect("written");
        server.borrow_mut().faults.push(("while it is sent", 500));
        upload.write(&mut body(2, PART)).expect_err("broken");
        let token = upload.token();
        let name = token.split(':').nth(1).expect("a name").to_owned();
        server.borrow_mut().put(&format!(".cofre-tmp/{name}"), &[1; 100]);
        let again = store.resume("big", &token).expect("resumed");
        assert_eq!(again.offset(), 0);
        assert_eq!(server.borrow().unfinished(), 0, "what the broken request stored is removed");
        assert!(!again.token().contains(&name), "the broken request may go on to write");
    }

    #[test]
    fn a_cut_upload_goes_on_at_what_the_server_has() {
        for way in [Way::ContentRange, Way::Sabredav] {
            let (store, server) = store(way, "");
            let mut upload = store.begin("big", None).expect("begun");
            upload.write(&mut body(1, PART)).expect("written");
            let token = upload.token();
            // Half of a piece arrived, and nobody knows.
            let path = server.borrow().files.keys().next().expect("a file").clone();
            server.borrow_mut().files.get_mut(&path).expect("a file").extend([2; 100]);
            let mut upload = store.resume("big", &token).expect("resumed");
            assert_eq!(upload.offset(), PART as u64 + 100, "{way:?}");
            upload.write(&mut body(2, 900)).expect("written");
            assert_eq!(upload.finish().expect("finished").size, PART as u64 + 1_000);
            assert!(server.borrow().file("big").is_some_and(|bytes| bytes[PART..].iter().all(|byte| *byte == 2)));
            assert_eq!(server.borrow().unfinished(), 0);
            lost(store.resume("big", &token));
        }
    }

    #[test]
    fn a_token_of_nobody_or_of_a_shorter_file_is_a_lost_session() {
        let (store, server) = store(Way::ContentRange, "");
        let mut upload = store.begin("big", None).expect("begun");
        upload.write(&mut body(1, PART)).expect("written");
        for token in ["nonsense", "one:../../etc/passwd:1:0", "one:0123456789abcdef:x:0", "one:0123456789abcdef:5:0"] {
            lost(store.resume("big", token));
        }
        server.borrow_mut().files.values_mut().for_each(|bytes| bytes.truncate(5));
        lost(store.resume("big", &upload.token()));
    }

    #[test]
    fn an_object_never_takes_the_place_of_a_folder() {
        let (store, server) = store(Way::One, "");
        server.borrow_mut().put("set/inner", b"precious");
        let mut upload = store.begin("set", Some(1)).expect("begun");
        upload.write(&mut body(b'x', 1)).expect("written");
        assert_eq!(upload.finish().expect_err("there is a folder").kind(), ErrorKind::AlreadyExists);
        assert!(server.borrow().file("set/inner").is_some());
        upload.abort().expect("aborted");
        assert_eq!(server.borrow().unfinished(), 0);
    }

    #[test]
    fn a_full_disk_is_one_whatever_the_server_calls_it() {
        for status in [405, 500, 507] {
            let (store, server) = store(Way::One, "");
            server.borrow_mut().free = Some((10, status));
            let mut upload = store.begin("a", Some(100)).expect("begun");
            assert_eq!(upload.write(&mut body(b'x', 100)).expect_err("full").kind(), ErrorKind::OutOfSpace, "{status}");
        }
    }
}
