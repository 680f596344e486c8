//! An upload: a partial file that grows at its end, and one rename.
//!
//! The token carries the offset up to which the server's disk was known to have the file. What it has beyond may be kept after a cut, because
//! servers write in the order in which they were asked to; the host reads such an object back before it counts.

use std::rc::Rc;

use cofre_sdk::{Body, Context as _, Error, ErrorKind, Object, Result, Upload};
use russh_sftp::protocol::OpenFlags;

use crate::client::{Server, Session};
use crate::key::{self, PARTIAL};
use crate::store::{is_file, object};
use crate::transfer;

/// An unfinished object.
pub struct SftpUpload {
    server: Rc<Server>,
    session: Session,
    key: String,
    /// Path of the partial file.
    partial: String,
    /// What the server calls the open file; `None` once it was finished or aborted.
    handle: Option<String>,
    offset: u64,
    /// Whether the file may have bytes behind `offset`.
    longer: bool,
}

impl SftpUpload {
    pub(crate) fn begin(server: Rc<Server>, mut session: Session, key: &str) -> Result<Self> {
        key::check(key)?;
        let partials = server.path(PARTIAL);
        let partial = key::join(&partials, &key::partial_name(key));
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE;
        let handle = session.run(async |client| {
            let opened = match client.open_file(&partial, flags).await {
                Err(error) if error.kind() == ErrorKind::NotFound => match client.make_folders(&partials).await {
                    Ok(()) => client.open_file(&partial, flags).await,
                    Err(error) => Err(error),
                },
                opened => opened,
            };
            client.explained(opened, &server.folder("")).await
        });
        let handle = handle.with_context(|| format!("cannot begin {key}"))?;
        Ok(Self { server, session, key: key.to_owned(), partial, handle: Some(handle), offset: 0, longer: false })
    }

    pub(crate) fn resume(server: Rc<Server>, mut session: Session, key: &str, token: &str) -> Result<Self> {
        key::check(key)?;
        let lost = |why: &str| Error::session_lost(format!("cannot resume {key}: {why}"));
        let (name, durable) = token.split_once(':').ok_or_else(|| lost("its token is not one of this plug-in"))?;
        let durable: u64 = durable.parse().map_err(|_| lost("its token is not one of this plug-in"))?;
        if name != key::partial_name(key) {
            return Err(lost("its token is one of another key"));
        }
        let partial = key::join(&server.path(PARTIAL), name);
        let opened = session.run(async |client| {
            let handle = client.open_file(&partial, OpenFlags::WRITE).await?;
            let found = client.attributes(&handle).await?;
            Ok((handle, found.size))
        });
        let (handle, size) = match opened {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(lost("its partial file is gone")),
            opened => opened.with_context(|| format!("cannot resume {key}"))?,
        };
        let size = size.ok_or_else(|| lost("the server does not say how long its partial file is"))?;
        if size < durable {
            return Err(lost("its partial file is shorter than what was on the disk"));
        }
        Ok(Self { server, session, key: key.to_owned(), partial, handle: Some(handle), offset: size, longer: false })
    }

    /// The connection, for something else than this upload.
    pub(crate) fn into_session(self) -> Session {
        self.session
    }

    fn handle(&self) -> Result<String> {
        self.handle.clone().ok_or_else(|| Error::session_lost(format!("the upload of {} has ended", self.key)))
    }

    /// Gives the partial file the object's name; the folders above it may be new, or have just been removed with the last object in them.
    fn rename(&mut self, handle: &str, path: &str) -> Result<Object> {
        let Self { server, session, key, partial, offset, longer, .. } = self;
        session.run(async |client| {
            if *longer {
                client.set_size(handle, *offset).await?;
                *longer = false;
            }
            client.close(handle).await?;
            let mut renamed = client.rename(partial, path).await;
            if matches!(&renamed, Err(error) if error.kind() == ErrorKind::NotFound)
                && let Some(folder) = key::parent(path)
            {
                renamed = match client.make_folders(folder).await {
                    Ok(()) => client.rename(partial, path).await,
                    Err(error) => Err(error),
                };
            }
            client.explained(renamed, &server.folder("")).await?;
            let found = client.look(path).await?;
            if !is_file(&found) || found.size != Some(*offset) {
                return Err(Error::integrity(format!("the server has {} bytes instead of {offset}", found.size.unwrap_or_default())));
            }
            Ok(object(key, &found))
        })
    }
}

impl Upload for SftpUpload {
    fn token(&self) -> String {
        format!("{}:{}", key::partial_name(&self.key), self.offset)
    }

    fn offset(&self) -> u64 {
        self.offset
    }

    fn write(&mut self, body: &mut Body) -> Result<u64> {
        let (handle, offset, server) = (self.handle()?, self.offset, &self.server);
        self.longer = true;
        let written = self.session.run(async |client| {
            let error = match transfer::write(client, &handle, offset, body).await {
                Ok(reached) => return Ok(reached),
                // A body or a connection that broke is no failure of the server's disk.
                Err(error) if !matches!(error.kind(), ErrorKind::Other | ErrorKind::OutOfSpace) => return Err(error),
                Err(error) => error,
            };
            let explained = client.explained(Err(error), &server.folder("")).await.map_err(|error| match error.kind() {
                ErrorKind::Other => Error::out_of_space(format!(
                    "{}; its disk has room, so the account may have reached its quota or the largest size of a file, or the disk is faulty",
                    error.message()
                )),
                _ => error,
            });
            // What lies behind the gap that a refused write leaves must not be taken for good by a later session.
            let _ = client.set_size(&handle, offset).await;
            explained
        });
        self.offset = written.with_context(|| format!("cannot write {} at {offset}", self.key))?;
        self.longer = false;
        Ok(self.offset)
    }

    fn finish(&mut self) -> Result<Object> {
        let handle = self.handle()?;
        let path = self.server.path(&self.key);
        let object = self.rename(&handle, &path).with_context(|| format!("cannot finish {}", self.key))?;
        self.handle = None;
        Ok(object)
    }

    fn abort(&mut self) -> Result<()> {
        let Some(handle) = self.handle.take() else { return Ok(()) };
        let partial = &self.partial;
        let removed = self.session.run(async |client| {
            // Whether it closes or not, it goes.
            let _ = client.close(&handle).await;
            client.remove(partial).await
        });
        match removed {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.with_context(|| format!("cannot remove what was stored of {}", self.key)),
        }
    }
}
