//! An upload session: one `PUT` that stays open from write to write, or an upload by tus 1.0.
//!
//! A `PUT` has no length and ends at `finish`, so that the server cannot have a whole object before; interrupted, it begins again at 0.
//! By tus each piece is a `PATCH`, and the server knows its offset. Its length is declared last (`creation-defer-length`), in a `PATCH`
//! without a body at `finish`: a server completes an upload by itself once it has all bytes, which must not be before.

use std::rc::Rc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cofre_sdk::http::{Method, Request, Response};
use cofre_sdk::{Body, Context as _, Error, ErrorKind, Object, Result, Upload};

use crate::client::Client;
use crate::settings::{Resume, check_key, refuse};
use crate::transport::Pieces;

/// Token of a session of which the server holds nothing.
const NOTHING: &str = "new";

/// Before the path in the token of an upload by tus.
const TUS: &str = "tus:";

/// What the server must be able to, besides tus itself.
const EXTENSIONS: [&str; 2] = ["creation", "creation-defer-length"];

/// An unfinished object.
pub struct RestUpload {
    client: Rc<Client>,
    key: String,
    size: Option<u64>,
    offset: u64,
    state: State,
}

enum State {
    Nothing,
    /// The one request.
    Put(Box<dyn Pieces>),
    /// Path of the upload.
    Tus(String),
    Ended,
}

impl RestUpload {
    pub(crate) fn begin(client: Rc<Client>, key: &str, size: Option<u64>) -> Result<Self> {
        check_key(key)?;
        Ok(Self { client, key: key.to_owned(), size, offset: 0, state: State::Nothing })
    }

    pub(crate) fn resume(client: Rc<Client>, key: &str, token: &str) -> Result<Self> {
        let mut upload = Self::begin(client, key, None)?;
        if token == NOTHING {
            return Ok(upload);
        }
        let path = token.strip_prefix(TUS).and_then(|path| upload.client.address.upload_path(path).ok());
        let path = path.ok_or_else(|| Error::session_lost(format!("cannot resume {key}: its token is not one of this plug-in")))?;
        let head = upload.client.tus(Method::Head, &upload.client.address.of_upload(&path));
        let answer = upload.client.send_tus(head, None).with_context(|| format!("cannot resume {key}"))?;
        upload.offset = offset_of(&answer).with_context(|| format!("cannot resume {key}"))?;
        upload.state = State::Tus(path);
        Ok(upload)
    }

    /// Opens the session with the server, at the first write.
    fn open(&self, length: u64) -> Result<State> {
        // Every write but the last has the part size: a shorter one is the whole object, and one request carries it.
        let is_whole = length < self.client.settings.part_size || self.size == Some(length);
        if is_whole || !wants_tus(&self.client)? {
            return Ok(State::Put(self.client.open_put(&self.key)?));
        }
        let metadata = format!("key {}", BASE64_STANDARD.encode(&self.key));
        let request = self.client.tus(Method::Post, &self.client.address.of_uploads());
        let answer = self.client.send_tus(request.header("upload-defer-length", "1").header("upload-metadata", metadata), None)?;
        let location = answer.header("location").ok_or_else(|| Error::other("the server gives a new upload no address"))?;
        self.client.address.upload_path(location).map(State::Tus)
    }

    fn store(&mut self, body: &mut Body) -> Result<()> {
        let length = body.length();
        if matches!(self.state, State::Nothing) {
            self.state = self.open(length)?;
        }
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Put(mut pieces) => {
                if pieces.send(body, length)? {
                    self.state = State::Put(pieces);
                    return Ok(());
                }
                Client::end_put(pieces)?;
                Err(Error::integrity("the server answered before it had the whole object"))
            }
            State::Tus(path) => {
                let request = self.patch(&path);
                self.state = State::Tus(path);
                let reached = offset_of(&self.client.send_tus(request, Some((body, length)))?)?;
                if reached == self.offset + length {
                    return Ok(());
                }
                Err(Error::integrity(format!("the server was sent {length} bytes at {} and says that it is at {reached}", self.offset)))
            }
            State::Nothing | State::Ended => Err(Error::session_lost("the upload has ended, or its request was interrupted")),
        }
    }

    fn patch(&self, path: &str) -> Request {
        let request = self.client.tus(Method::Patch, &self.client.address.of_upload(path));
        request.header("content-type", "application/offset+octet-stream").header("upload-offset", self.offset.to_string())
    }

    fn complete(&mut self) -> Result<()> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Nothing => {
                let request = self.client.request(Method::Put, &self.client.address.of(&self.key));
                self.client.send(request.header("content-type", "application/octet-stream")).map(drop)
            }
            State::Put(pieces) => Client::end_put(pieces),
            State::Tus(path) => {
                let request = self.patch(&path).header("upload-length", self.offset.to_string());
                self.state = State::Tus(path);
                self.client.send_tus(request, None)?;
                self.state = State::Ended;
                Ok(())
            }
            State::Ended => Err(Error::session_lost("the upload has ended, or its request was interrupted")),
        }
    }
}

impl Upload for RestUpload {
    fn token(&self) -> String {
        match &self.state {
            State::Tus(path) => format!("{TUS}{path}"),
            _ => NOTHING.to_owned(),
        }
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
        let object = self.client.object(&self.key).context(&finishing)?;
        if object.size == self.offset {
            return Ok(object);
        }
        Err(Error::integrity(format!("{finishing}: the server has {} bytes instead of {}", object.size, self.offset)))
    }

    fn abort(&mut self) -> Result<()> {
        // Dropping the one request breaks it off.
        let State::Tus(path) = std::mem::replace(&mut self.state, State::Ended) else { return Ok(()) };
        match self.client.send_tus(self.client.tus(Method::Delete, &self.client.address.of_upload(&path)), None) {
            // What cannot be ended expires.
            Err(error) if matches!(error.kind(), ErrorKind::SessionLost | ErrorKind::Unsupported) => Ok(()),
            ended => ended.map(drop).with_context(|| format!("cannot remove what was stored of {}", self.key)),
        }
    }
}

/// Whether large objects go by tus; refused where that was set and the server has it not.
pub(crate) fn wants_tus(client: &Client) -> Result<bool> {
    if client.settings.resume == Resume::None {
        return Ok(false);
    }
    let answer = client.exchange(client.tus(Method::Options, &client.address.of_uploads()), None)?;
    let announced: Vec<&str> = answer.header("tus-extension").unwrap_or_default().split(',').map(str::trim).collect();
    let speaks =
        answer.is_success() && answer.header("tus-resumable") == Some("1.0.0") && EXTENSIONS.iter().all(|one| announced.contains(one));
    if !speaks && client.settings.resume == Resume::Tus {
        return refuse(
            "/resume",
            "the server does not announce tus 1.0.0 with `creation` and `creation-defer-length`; use `auto` or `none`",
        );
    }
    Ok(speaks)
}

fn offset_of(answer: &Response) -> Result<u64> {
    let offset = answer.header("upload-offset").and_then(|offset| offset.trim().parse().ok());
    offset.ok_or_else(|| Error::other("the server does not say how far the upload is"))
}
