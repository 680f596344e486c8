//! An upload session: nothing at first, then one part held back for a single Put Blob, or blocks that the service keeps for a week.
//!
//! A part that is the whole object is held until `finish`, so that a small object costs one request. It counts as written in this session
//! and not after a `resume`, which then begins at 0. The name of a block says which session it belongs to and at which offset it stands,
//! because blocks wait under the blob's name, whoever sent them. The token adds the state of the digest of the whole: it is what lets a
//! resumed object be committed with an MD5 that covers every byte that was ever sent.

use std::hash::{BuildHasher as _, RandomState};
use std::io::Read as _;
use std::rc::Rc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cofre_sdk::http::Method;
use cofre_sdk::{Body, Context as _, Error, ErrorKind, Object, Result, Upload};

use crate::client::{Ask, Client, Properties};
use crate::digest::Running;
use crate::settings::MOST_BLOCKS;
use crate::xml::{self, BlockList};

/// Token of a session of which the service holds nothing.
const NOTHING: &str = "new";

/// An unfinished object.
pub struct AzureUpload {
    client: Rc<Client>,
    key: String,
    full_key: String,
    size: Option<u64>,
    state: State,
}

enum State {
    Nothing,
    Held(Vec<u8>),
    Blocks(Blocks),
    Ended,
}

/// What the service holds: blocks from the first byte on without a gap.
struct Blocks {
    session: u64,
    offsets: Vec<u64>,
    end: u64,
    digest: Running,
}

impl Blocks {
    /// A name for the block at `offset`; all names under one blob must have one length.
    fn name(&self, offset: u64) -> String {
        let mut name = [0; 16];
        name[..8].copy_from_slice(&self.session.to_be_bytes());
        name[8..].copy_from_slice(&offset.to_be_bytes());
        BASE64_STANDARD.encode(name)
    }

    /// Where the block of that name stands, if it is one of this session.
    fn offset_of(&self, name: &str) -> Option<u64> {
        let bytes: [u8; 16] = BASE64_STANDARD.decode(name).ok()?.try_into().ok()?;
        let number = |range: std::ops::Range<usize>| bytes[range].iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
        (number(0..8) == self.session).then(|| number(8..16))
    }

    fn token(&self) -> String {
        format!("blocks:{:016x}:{}:{}", self.session, self.end, self.digest.save())
    }

    fn from_token(token: &str) -> Option<Self> {
        let parts: Vec<&str> = token.split(':').collect();
        let ["blocks", session, end, digest] = parts[..] else { return None };
        let session = u64::from_str_radix(session, 16).ok()?;
        Some(Self { session, offsets: Vec::new(), end: end.parse().ok()?, digest: Running::restore(digest)? })
    }
}

impl AzureUpload {
    pub(crate) fn begin(client: Rc<Client>, key: &str, size: Option<u64>) -> Result<Self> {
        let full_key = client.key(key)?;
        let most = client.settings.max_object_size();
        if let Some(size) = size.filter(|size| *size > most) {
            let mend = "set a larger /part_size";
            return Err(Error::unsupported(format!("cannot begin {key}: {size} bytes do not fit into {MOST_BLOCKS} blocks ({mend})")));
        }
        Ok(Self { client, key: key.to_owned(), full_key, size, state: State::Nothing })
    }

    pub(crate) fn resume(client: Rc<Client>, key: &str, token: &str) -> Result<Self> {
        let mut upload = Self::begin(client, key, None)?;
        if token == NOTHING {
            return Ok(upload);
        }
        let blocks = Blocks::from_token(token)
            .ok_or_else(|| Error::session_lost(format!("cannot resume {key}: its token is not one of this plug-in")))?;
        upload.state = State::Blocks(upload.stored(blocks).with_context(|| format!("cannot resume {key}"))?);
        Ok(upload)
    }

    /// The session as far as its token knows it, proven by what the service holds. A block beyond is sent once more, under the same name.
    fn stored(&self, mut blocks: Blocks) -> Result<Blocks> {
        let gone = || Error::session_lost("the service does not have its blocks any more");
        let query = vec![("comp", "blocklist".to_owned()), ("blocklisttype", "uncommitted".to_owned())];
        let body = match self.client.send_for_body(Ask { query, ..Ask::new(Method::Get, &self.full_key) }) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(gone()),
            body => body?,
        };
        let list: BlockList = xml::read(&body, "list of blocks")?;
        let mut held: Vec<(u64, u64)> =
            list.uncommitted_blocks.all.iter().filter_map(|block| Some((blocks.offset_of(&block.name)?, block.size))).collect();
        held.sort_unstable();
        let mut reached = 0;
        for (offset, size) in held {
            if offset == reached && reached < blocks.end {
                blocks.offsets.push(offset);
                reached += size;
            }
        }
        if reached == blocks.end { Ok(blocks) } else { Err(gone()) }
    }

    /// Whether a first write of `length` bytes is the whole object, since every write but the last has the part size.
    fn is_whole(&self, length: u64) -> bool {
        matches!(self.state, State::Nothing) && (length < self.client.settings.part_size || self.size == Some(length))
    }

    fn put_block(&mut self, bytes: &[u8]) -> Result<u64> {
        if matches!(self.state, State::Nothing) {
            let session = RandomState::new().hash_one(&self.full_key);
            self.state = State::Blocks(Blocks { session, offsets: Vec::new(), end: 0, digest: Running::default() });
        }
        let State::Blocks(blocks) = &mut self.state else {
            return Err(Error::session_lost("the upload has ended, or its only part was written already"));
        };
        if blocks.offsets.len() as u64 == MOST_BLOCKS {
            return Err(Error::unsupported(format!("it has more than {MOST_BLOCKS} blocks; set a larger /part_size")));
        }
        let query = vec![("comp", "block".to_owned()), ("blockid", blocks.name(blocks.end))];
        self.client.send(Ask { query, ..Ask::digested(Method::Put, &self.full_key, bytes) })?;
        blocks.offsets.push(blocks.end);
        blocks.end += bytes.len() as u64;
        blocks.digest.update(bytes);
        Ok(blocks.end)
    }

    /// One Put Blob; returns what the service stored.
    fn put_whole(&self, bytes: &[u8]) -> Result<Properties> {
        let mut ask = Ask::digested(Method::Put, &self.full_key, bytes);
        ask.headers.push(("x-ms-blob-type", "BlockBlob".to_owned()));
        ask.headers.extend(self.client.storage_headers());
        let digest = ask.headers.iter().find(|(name, _)| *name == "content-md5").map(|(_, digest)| digest.clone());
        self.client.send(ask)?;
        same_digest(self.client.properties(&self.full_key)?, digest.as_deref())
    }

    fn commit(&self, blocks: &Blocks) -> Result<Properties> {
        let names: Vec<String> = blocks.offsets.iter().map(|offset| blocks.name(*offset)).collect();
        let document = xml::commit(names.iter().map(String::as_str));
        let digest = blocks.digest.to_header();
        let mut ask = Ask::digested(Method::Put, &self.full_key, document.as_bytes());
        ask.query = vec![("comp", "blocklist".to_owned())];
        ask.headers.push(("x-ms-blob-content-md5", digest.clone()));
        ask.headers.extend(self.client.storage_headers());
        match self.client.send(ask) {
            Ok(_) => same_digest(self.client.properties(&self.full_key)?, Some(&digest)),
            // An earlier attempt may have succeeded and its answer been lost: its blocks wait no more.
            Err(error) if error.kind() == ErrorKind::SessionLost => match self.client.properties(&self.full_key) {
                Ok(there) if there.md5.as_deref() == Some(&digest) => Ok(there),
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }
}

impl Upload for AzureUpload {
    fn token(&self) -> String {
        match &self.state {
            State::Blocks(blocks) => blocks.token(),
            _ => NOTHING.to_owned(),
        }
    }

    fn offset(&self) -> u64 {
        match &self.state {
            State::Held(bytes) => bytes.len() as u64,
            State::Blocks(blocks) => blocks.end,
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
        self.put_block(&bytes).context(&writing)
    }

    fn finish(&mut self) -> Result<Object> {
        let finishing = format!("cannot finish {}", self.key);
        let offset = self.offset();
        let stored = match &self.state {
            State::Nothing => self.put_whole(&[]),
            State::Held(bytes) => self.put_whole(bytes),
            State::Blocks(blocks) => self.commit(blocks),
            State::Ended => Err(Error::session_lost("the upload has ended")),
        };
        let stored = stored.context(&finishing)?;
        if stored.size != offset {
            return Err(Error::integrity(format!("{finishing}: the service has {} bytes instead of {offset}", stored.size)));
        }
        self.state = State::Ended;
        Ok(stored.object(&self.key))
    }

    /// There is no request for it: the service forgets blocks a week after the last one, or when the blob is written.
    fn abort(&mut self) -> Result<()> {
        self.state = State::Ended;
        Ok(())
    }
}

/// Refuses an object that took the place of the one that was sent.
fn same_digest(stored: Properties, sent: Option<&str>) -> Result<Properties> {
    match (stored.md5.as_deref(), sent) {
        (Some(stored), Some(sent)) if stored != sent => Err(Error::integrity("another object took the place of the one that was sent")),
        _ => Ok(stored),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::store;
    use cofre_sdk::Destination as _;

    const PART: usize = 4 << 20;

    fn body(byte: u8, length: usize) -> Body {
        Body::from_reader(std::io::Cursor::new(vec![byte; length]), length as u64)
    }

    #[test]
    fn a_small_object_is_one_put_at_finish() {
        let (store, container) = store(r#", "prefix": "p", "access_tier": "cool""#);
        let mut upload = store.begin("a b+ç.enc", Some(3)).expect("begun");
        assert_eq!(upload.write(&mut body(b'x', 3)).expect("held"), 3);
        assert!(container.borrow().requests.is_empty());
        assert_eq!(upload.token(), NOTHING);
        let object = upload.finish().expect("finished");
        assert_eq!(object.checksum.as_deref(), Some("md5:f561aaf6ef0bf14d4208bb46a4ccb3ad"));
        assert_eq!((object.size, object.modified_unix_ms), (3, Some(1_369_353_600_000)));
        assert_eq!(container.borrow().requests, ["PUT p/a%20b%2B%C3%A7.enc", "HEAD p/a%20b%2B%C3%A7.enc"]);
        assert_eq!(container.borrow().objects["p/a b+ç.enc"].bytes, b"xxx");
        assert_eq!(container.borrow().tiers, ["Cool"]);
    }

    #[test]
    fn a_cut_upload_resumes_at_its_blocks_with_the_digest_of_the_whole() {
        let (store, container) = store("");
        let mut upload = store.begin("big", None).expect("begun");
        for byte in 0..3 {
            upload.write(&mut body(byte, PART)).expect("written");
        }
        let token = upload.token();
        // Its answer is lost, or the host dies before it keeps the newer token.
        upload.write(&mut body(3, PART)).expect("written");
        drop(upload);
        container.borrow_mut().add_block("big", "Zm9yZWlnbg==", b"of another program");
        let mut upload = store.resume("big", &token).expect("resumed");
        assert_eq!(upload.offset(), 3 * PART as u64);
        upload.write(&mut body(3, PART)).expect("written again");
        upload.write(&mut body(4, 7)).expect("the short last part");
        let object = upload.finish().expect("finished");
        let stored = container.borrow().objects["big"].bytes.clone();
        assert_eq!((object.size, stored.len()), (4 * PART as u64 + 7, 4 * PART + 7));
        assert!((0..4).all(|part| stored[part * PART..(part + 1) * PART].iter().all(|byte| usize::from(*byte) == part)));
        let mut whole = Running::default();
        whole.update(&stored);
        assert_eq!(object.checksum, crate::digest::checksum(&whole.to_header()));
    }

    #[test]
    fn a_session_whose_blocks_are_gone_is_lost() {
        let (store, container) = store("");
        let mut upload = store.begin("big", None).expect("begun");
        upload.write(&mut body(0, PART)).expect("written");
        container.borrow_mut().blocks.clear();
        for token in [upload.token(), "nonsense".to_owned(), "blocks:1:2:3".to_owned()] {
            let Err(error) = store.resume("big", &token) else { panic!("{token} was resumed") };
            assert_eq!(error.kind(), ErrorKind::SessionLost);
        }
    }

    #[test]
    fn a_commit_whose_answer_was_lost_is_not_done_twice() {
        let (store, container) = store("");
        let mut upload = store.begin("big", None).expect("begun");
        upload.write(&mut body(0, PART)).expect("written");
        container.borrow_mut().fault_after("PUT big?comp=blocklist", 500, "InternalError");
        assert!(upload.finish().expect_err("the answer was lost").is_retryable());
        assert_eq!(upload.finish().expect("it is there").size, PART as u64);
    }

    #[test]
    fn a_block_that_arrived_wrongly_is_refused_and_may_be_sent_again() {
        let (store, container) = store("");
        let mut upload = store.begin("big", None).expect("begun");
        container.borrow_mut().corrupt = true;
        let error = upload.write(&mut body(0, PART)).expect_err("it arrived wrongly");
        assert_eq!((error.kind(), error.is_retryable(), upload.offset()), (ErrorKind::Integrity, true, 0));
        container.borrow_mut().corrupt = false;
        assert_eq!(upload.write(&mut body(0, PART)).expect("written"), PART as u64);
    }

    #[test]
    fn a_body_that_ends_early_stores_nothing() {
        let (store, container) = store("");
        let mut upload = store.begin("big", None).expect("begun");
        let error = upload.write(&mut Body::from_reader(&b"short"[..], PART as u64)).expect_err("it ended early");
        assert_eq!(error.kind(), ErrorKind::Integrity);
        assert!(container.borrow().requests.is_empty());
    }
}
