//! The verbs on finished objects, and the probe.

use std::cell::RefCell;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write};
use std::rc::Rc;

use cofre_sdk::{
    Body, Context as _, Destination, Error, ErrorKind, Limits, NetworkNeed, Object, Page, Range, Result, SecretNeed, Sink, Upload as _,
};
use russh_sftp::protocol::{FileAttributes, OpenFlags};

use crate::client::{Server, Session};
use crate::key;
use crate::listing;
use crate::login::Secrets;
use crate::settings::Settings;
use crate::transfer;
use crate::upload::SftpUpload;

/// Uploads at once: each is a connection, and OpenSSH begins to refuse new ones when ten are not logged in yet.
const PARALLEL_UPLOADS: u32 = 4;

/// Kinds of files, in the mode that servers tell (`S_IFMT` and what it masks).
const KIND: u32 = 0o170_000;
const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;

/// Objects as files below one folder of a server.
pub struct Sftp {
    server: Rc<Server>,
}

impl Sftp {
    /// A destination that logs in with these secrets.
    fn new(settings: Settings, secrets: Secrets) -> Result<Self> {
        Ok(Self { server: Rc::new(Server::new(settings, secrets)?) })
    }

    /// Stores a small object; returns the session for what follows.
    fn store(&self, key: &str, content: &'static [u8]) -> Result<Session> {
        let length = content.len() as u64;
        let mut upload = self.begin(key, Some(length))?;
        let stored = upload.write(&mut Body::from_reader(content, length)).and_then(|_| upload.finish());
        if stored.is_err() {
            // What went wrong is the answer; that the partial file may stay is not.
            let _ = upload.abort();
        }
        stored?;
        Ok(upload.into_session())
    }

    fn read_from(&self, session: &mut Session, (key, range): (&str, Range), sink: &mut Sink) -> Result<()> {
        key::check(key)?;
        let path = self.server.path(key);
        let read = session.run(async |client| {
            let handle = client.open_file(&path, OpenFlags::READ).await?;
            let found = client.attributes(&handle).await?;
            if !is_file(&found) {
                return Err(Error::not_found("it is no file"));
            }
            let size = found.size.ok_or_else(|| Error::integrity("the server does not say how long the file is"))?;
            let length = range.length_in(size)?;
            transfer::read(client, &handle, (range.offset, range.offset + length), sink).await?;
            client.close(&handle).await
        });
        read.with_context(|| format!("cannot read {key}"))
    }

    /// Removes an object, then the folders that are empty without it.
    fn remove(&self, session: &mut Session, key: &str) -> Result<()> {
        session.run(async |client| {
            let path = self.server.path(key);
            match client.look(&path).await {
                Ok(found) if is_file(&found) => {}
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => return Ok(()),
            }
            let removed = client.remove(&path).await;
            match client.explained(removed, &self.server.folder("")).await {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                removed => removed?,
            }
            let mut folder = key;
            while let Some(above) = key::parent(folder) {
                // A folder that is not empty, or that is gone, ends the climb.
                if client.remove_folder(&self.server.path(above)).await.is_err() {
                    break;
                }
                folder = above;
            }
            Ok(())
        })
    }
}

impl Destination for Sftp {
    type Settings = Settings;
    type Upload = SftpUpload;

    const NAME: &'static str = "sftp";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Keeps objects as files on a server over SSH (SFTP).";

    fn network() -> Vec<NetworkNeed> {
        vec![NetworkNeed::new("{host}:{port}", "the server"), NetworkNeed::new("{host}:22", "the server, where `port` is not set")]
    }

    fn secrets() -> Vec<SecretNeed> {
        vec![
            SecretNeed::optional("password", "password of the account; it or `private_key` is needed"),
            SecretNeed::optional("private_key", "private key of the account, OpenSSH's format or PEM: Ed25519, ECDSA or RSA"),
            SecretNeed::optional("key_passphrase", "passphrase of the private key, where it is encrypted"),
        ]
    }

    fn open(settings: Settings) -> Result<Self> {
        let given = |name| cofre_sdk::optional_secret(name).filter(|secret| !secret.expose().is_empty());
        let secrets = Secrets { password: given("password"), private_key: given("private_key"), key_passphrase: given("key_passphrase") };
        Self::new(settings, secrets)
    }

    fn probe(&self) -> Result<Limits> {
        let content = b"cofre was here\n";
        let key = format!("cofre-probe-{:016x}", RandomState::new().hash_one(0));
        let mut session = self.store(&key, content)?;
        let found = Rc::new(RefCell::new(Vec::new()));
        let mut sink = Sink::from_writer(Shared(Rc::clone(&found)));
        let read = self.read_from(&mut session, (&key, Range { offset: 0, length: None }), &mut sink);
        match self.remove(&mut session, &key) {
            // The administrator may keep an account that can remove nothing.
            Err(error) if error.kind() == ErrorKind::AccessDenied => cofre_sdk::log!(Warn, "the probe file {key} stays: {error}"),
            removed => read.clone().and(removed)?,
        }
        read?;
        if *found.borrow() != content {
            return Err(Error::integrity("the probe file came back with other bytes"));
        }
        let free_bytes = session.run(async |client| Ok(client.space(&self.server.folder("")).await?.map(|space| space.free)))?;
        Ok(Limits { part_size: None, max_object_size: None, parallel_uploads: PARALLEL_UPLOADS, free_bytes })
    }

    fn begin(&self, key: &str, _size: Option<u64>) -> Result<SftpUpload> {
        SftpUpload::begin(Rc::clone(&self.server), self.server.connect()?, key)
    }

    fn resume(&self, key: &str, token: &str) -> Result<SftpUpload> {
        SftpUpload::resume(Rc::clone(&self.server), self.server.connect()?, key, token)
    }

    fn read(&self, key: &str, range: Range, sink: &mut Sink) -> Result<()> {
        key::check(key)?;
        self.read_from(&mut self.server.connect()?, (key, range), sink)
    }

    fn stat(&self, key: &str) -> Result<Object> {
        key::check(key)?;
        let path = self.server.path(key);
        let found = self.server.connect()?.run(async |client| client.look(&path).await).with_context(|| format!("cannot look at {key}"))?;
        if is_file(&found) { Ok(object(key, &found)) } else { Err(Error::not_found(format!("{key} is no file"))) }
    }

    fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Page> {
        self.server.connect()?.run(async |client| listing::page(client, &self.server, prefix, cursor).await)
    }

    fn delete(&self, key: &str) -> Result<()> {
        key::check(key)?;
        let removed = self.remove(&mut self.server.connect()?, key);
        removed.with_context(|| format!("cannot remove {key}"))
    }
}

/// Whether it is a file, and no link to one.
pub(crate) fn is_file(attributes: &FileAttributes) -> bool {
    // A server that tells no kind tells at least that there is something; its folders cannot be opened as files.
    attributes.permissions.is_none_or(|mode| mode & KIND == FILE)
}

/// Whether it is a folder, and no link to one.
pub(crate) fn is_folder(attributes: &FileAttributes) -> bool {
    attributes.permissions.is_some_and(|mode| mode & KIND == FOLDER)
}

/// What the contract reports of a file.
pub(crate) fn object(key: &str, attributes: &FileAttributes) -> Object {
    let modified_unix_ms = attributes.mtime.map(|seconds| u64::from(seconds) * 1_000);
    Object { key: key.to_owned(), size: attributes.size.unwrap_or_default(), modified_unix_ms, checksum: None }
}

/// A writer whose bytes somebody else looks at.
struct Shared(Rc<RefCell<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
