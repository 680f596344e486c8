//! An upload: a file under a temporary name beside the object's place, one transfer a write, continued at its end, and one rename.
//!
//! A write has succeeded once the server confirmed the transfer and `SIZE` shows its bytes; after an interruption `SIZE` alone tells what
//! is there. Where the server lets no upload be continued (`resume = false`), one transfer spans all writes, and only `finish` confirms it.

use std::rc::Rc;

use cofre_sdk::{Body, Context as _, Error, ErrorKind, Object, Result, Upload};
use suppaftp::FtpError;

use crate::client::{Client, Connection};
use crate::error::{Meaning, Refusal, failure};
use crate::key;
use crate::store::object;
use crate::transfer::{self, Transfer};

/// An unfinished object.
pub struct FtpUpload {
    client: Rc<Client>,
    key: String,
    mark: String,
    state: State,
    offset: u64,
}

enum State {
    /// Between two transfers.
    Between,
    /// One transfer for the whole object, and it has begun.
    Open(Transfer),
    /// A transfer broke; only `resume` knows how far it came.
    Broken,
    /// Finished or aborted.
    Ended,
}

impl FtpUpload {
    pub(crate) fn begin(client: Rc<Client>, key: &str) -> Result<Self> {
        key::check(key)?;
        Ok(Self { client, key: key.to_owned(), mark: key::mark(), state: State::Between, offset: 0 })
    }

    pub(crate) fn resume(client: Rc<Client>, key: &str, token: &str) -> Result<Self> {
        key::check(key)?;
        let lost = |why: &str| Error::session_lost(format!("cannot resume {key}: {why}"));
        let (mark, confirmed) = token.split_once(':').ok_or_else(|| lost("its token is not one of this plug-in"))?;
        let confirmed: u64 = confirmed.parse().map_err(|_| lost("its token is not one of this plug-in"))?;
        if !key::is_mark(mark) {
            return Err(lost("its token is not one of this plug-in"));
        }
        let mut upload = Self { client, key: key.to_owned(), mark: mark.to_owned(), state: State::Between, offset: 0 };
        let path = upload.path();
        let stored = upload.client.with(|connection| connection.size(&path)).with_context(|| format!("cannot resume {key}"))?;
        upload.offset = match stored {
            Some(_) if !upload.client.settings().resume => {
                upload.abort()?;
                return Err(lost("the server lets no upload be continued"));
            }
            Some(size) => size,
            None if confirmed > 0 => return Err(lost("the server does not have its file any more")),
            None => 0,
        };
        Ok(upload)
    }

    /// Where the object grows.
    fn path(&self) -> String {
        self.client.settings().path(&key::unfinished(&self.key, &self.mark))
    }

    /// Takes the transfer that is to be written to, or begins one.
    fn transfer(&mut self, connection: &mut Connection) -> Result<Transfer> {
        match std::mem::replace(&mut self.state, State::Broken) {
            State::Between if self.offset == 0 => store_new(connection, &self.path()),
            State::Between => continue_at(connection, &self.path(), self.offset),
            State::Open(transfer) => Ok(transfer),
            State::Broken => Err(Error::session_lost("an earlier transfer broke; the upload must be resumed")),
            State::Ended => Err(Error::session_lost("the upload has ended")),
        }
    }

    /// Ends a transfer, and compares what the server then has.
    fn confirm(&mut self, connection: &mut Connection, transfer: Transfer, expected: u64) -> Result<()> {
        transfer::end(transfer)?;
        match connection.size(&self.path())? {
            Some(size) if size == expected => Ok(()),
            Some(size) => Err(Error::integrity(format!("the server has {size} bytes instead of {expected}"))),
            None => Err(Error::session_lost("the server does not have the file that it confirmed")),
        }
    }

    fn send(&mut self, connection: &mut Connection, body: &mut Body) -> Result<()> {
        let reached = self.offset + body.length();
        let transfer = self.transfer(connection)?;
        let transfer = transfer::send(transfer, body)?;
        if self.client.settings().resume {
            self.confirm(connection, transfer, reached)?;
            self.state = State::Between;
        } else {
            self.state = State::Open(transfer);
        }
        self.offset = reached;
        Ok(())
    }

    /// Ends what is open, and puts the file in its place.
    fn commit(&mut self, connection: &mut Connection) -> Result<Object> {
        let unfinished = self.path();
        let is_empty = matches!(self.state, State::Between) && self.offset == 0;
        if is_empty || matches!(self.state, State::Open(_)) {
            let transfer = self.transfer(connection)?;
            self.confirm(connection, transfer, self.offset)?;
        } else if !matches!(self.state, State::Between) {
            self.transfer(connection).map(drop)?;
        }
        // From here on only the server knows whether the object is there.
        self.state = State::Broken;
        let path = self.client.settings().path(&self.key);
        connection.rename(&unfinished, &path)?;
        let checksum = connection.checksum(&path, self.offset)?;
        let stored = object(connection, &self.key, &path)?.ok_or_else(|| Error::integrity("the object is not there after its rename"))?;
        if stored.size != self.offset {
            return Err(Error::integrity(format!("the server has {} bytes instead of {}", stored.size, self.offset)));
        }
        Ok(Object { checksum, ..stored })
    }
}

impl Upload for FtpUpload {
    fn token(&self) -> String {
        format!("{}:{}", self.mark, self.offset)
    }

    fn offset(&self) -> u64 {
        self.offset
    }

    fn write(&mut self, body: &mut Body) -> Result<u64> {
        let client = Rc::clone(&self.client);
        let writing = format!("cannot write {} at {}", self.key, self.offset);
        client.with(|connection| self.send(connection, body)).context(writing)?;
        Ok(self.offset)
    }

    fn finish(&mut self) -> Result<Object> {
        let client = Rc::clone(&self.client);
        let finished = client.with(|connection| self.commit(connection)).with_context(|| format!("cannot finish {}", self.key))?;
        self.state = State::Ended;
        Ok(finished)
    }

    fn abort(&mut self) -> Result<()> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Ended => return Ok(()),
            State::Open(transfer) => {
                // The end that it makes is not one that anybody waits for.
                let _ = transfer::end(transfer);
            }
            State::Between | State::Broken => {}
        }
        let path = self.path();
        let removed = self.client.with(|connection| connection.remove(&path));
        removed.map(drop).with_context(|| format!("cannot remove what was stored of {}", self.key))
    }
}

/// Begins a file, in directories that may have to be made.
fn store_new(connection: &mut Connection, path: &str) -> Result<Transfer> {
    let error = match connection.store(path, 0) {
        Ok(transfer) => return Ok(transfer),
        Err(error) => error,
    };
    let may_lack_directory =
        Refusal::in_error(&error).is_some_and(|refusal| matches!(refusal.meaning(), Meaning::Missing | Meaning::Unclear));
    if !may_lack_directory {
        return Err(failure(error));
    }
    connection.make_directories(crate::client::parent(path))?;
    connection.store(path, 0).map_err(failure)
}

/// Continues a file at `offset`: by `REST`, which writes the same bytes at the same place even where an earlier transfer still ends; where
/// the server takes that only for reading, by `APPE`.
fn continue_at(connection: &mut Connection, path: &str, offset: u64) -> Result<Transfer> {
    let error = match connection.store(path, offset) {
        Ok(transfer) => return Ok(transfer),
        Err(error) => error,
    };
    let knows_no_restart = |error: &FtpError| {
        Refusal::in_error(error).is_some_and(|refusal| matches!(refusal.meaning(), Meaning::Unknown | Meaning::Unclear | Meaning::Denied))
    };
    if !knows_no_restart(&error) {
        return Err(failure(error));
    }
    if connection.size(path)? != Some(offset) {
        return Err(Error::session_lost("the server does not have the file as it was"));
    }
    connection.append(path).map_err(|refused| if knows_no_restart(&refused) { not_continued(error) } else { failure(refused) })
}

fn not_continued(error: FtpError) -> Error {
    let mend = "permit it there (ProFTPD: `AllowStoreRestart on`), or set /resume to false: an upload that is cut then begins anew";
    Error::new(ErrorKind::InvalidConfig, format!("the server lets no upload be continued: {} ({mend})", failure(error).message()))
}
