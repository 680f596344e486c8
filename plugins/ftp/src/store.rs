//! The verbs on finished objects, and the probe.

use std::rc::Rc;
use std::time::Duration;

use cofre_sdk::{
    Body, Context as _, Destination, Error, ErrorKind, Limits, NetworkNeed, Object, Page, Range, Result, SecretNeed, Sink, Upload as _,
};

use crate::client::{Client, Connection};
use crate::entry::Kind;
use crate::error::failure;
use crate::key::{self, PROBE};
use crate::listing;
use crate::settings::Settings;
use crate::transfer;
use crate::upload::FtpUpload;

const MIB: u64 = 1 << 20;

/// Two halves, as the probe sends them: so it shows whether an upload can be continued.
const PROBE_HALVES: [&[u8]; 2] = [b"cofre was ", b"here\n"];

/// Objects on an FTP server.
pub struct Ftp {
    client: Rc<Client>,
}

impl Ftp {
    /// Writes, reads and compares the probe object.
    fn write_probe(&self) -> Result<()> {
        let [first, second] = PROBE_HALVES;
        let mut upload = FtpUpload::begin(Rc::clone(&self.client), PROBE)?;
        let body = |half: &'static [u8]| Body::from_reader(half, half.len() as u64);
        let stored = upload.write(&mut body(first)).and_then(|_| upload.write(&mut body(second))).and_then(|_| upload.finish());
        if let Err(error) = stored {
            // What went wrong is the answer; that the unfinished file may stay is not.
            let _ = upload.abort();
            return Err(error);
        }
        let mut found = [0; PROBE_HALVES[0].len() + PROBE_HALVES[1].len() + 1];
        let length = self.client.with(|connection| {
            let (transfer, _) = connection.retrieve(&self.client.path(PROBE)?, 0).map_err(failure)?;
            transfer::receive_small(transfer, &mut found)
        })?;
        if found[..length] == PROBE_HALVES.concat() { Ok(()) } else { Err(Error::integrity("the probe object came back with other bytes")) }
    }
}

impl Destination for Ftp {
    type Settings = Settings;
    type Upload = FtpUpload;

    const NAME: &'static str = "ftp";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Keeps objects as files on an FTP server, with or without TLS.";

    fn network() -> Vec<NetworkNeed> {
        let reason = "the server: `host:port`, and the ports of its passive data connections, which it chooses itself; \
                      grant `host:first-last` of its passive range, or `host:*`";
        vec![NetworkNeed::new("{host}:*", reason)]
    }

    fn secrets() -> Vec<SecretNeed> {
        vec![SecretNeed::required("password", "password of the account")]
    }

    fn open(settings: Settings) -> Result<Self> {
        Ok(Self { client: Rc::new(Client::new(settings, cofre_sdk::secret("password")?)?) })
    }

    fn probe(&self) -> Result<Limits> {
        let settings = self.client.settings();
        let (host, directory) = (&settings.host, settings.path(""));
        self.write_probe().with_context(|| format!("the directory {directory} of {host} cannot be used"))?;
        match self.client.with(|connection| connection.remove(&settings.path(PROBE))) {
            // An account that may not delete is a good one for backups.
            Err(error) if error.kind() == ErrorKind::AccessDenied => cofre_sdk::log!(Info, "the probe object {PROBE} stays: {error}"),
            removed => drop(removed?),
        }
        let distance = self.client.with(Connection::distance)?;
        Ok(Limits {
            // One transfer for the whole object has no parts.
            part_size: settings.resume.then(|| settings.part_size.unwrap_or_else(|| part_for(distance))),
            max_object_size: None,
            parallel_uploads: settings.parallel_uploads,
            free_bytes: None,
        })
    }

    fn begin(&self, key: &str, _size: Option<u64>) -> Result<FtpUpload> {
        FtpUpload::begin(Rc::clone(&self.client), key)
    }

    fn resume(&self, key: &str, token: &str) -> Result<FtpUpload> {
        FtpUpload::resume(Rc::clone(&self.client), key, token)
    }

    fn read(&self, key: &str, range: Range, sink: &mut Sink) -> Result<()> {
        let path = self.client.path(key)?;
        let read = self.client.with(|connection| {
            let size = connection.size(&path)?.ok_or_else(|| Error::not_found("there is no such object"))?;
            let length = range.length_in(size)?;
            if length == 0 {
                return Ok(());
            }
            let (transfer, before) = connection.retrieve(&path, range.offset).map_err(failure)?;
            let transfer = transfer::receive(transfer, (before, length), sink)?;
            // Of a part the server has more to send; it hears of the end when the connection is gone.
            if range.offset + length == size {
                return transfer::end(transfer);
            }
            transfer::leave(transfer);
            Ok(())
        });
        read.with_context(|| format!("cannot read {key}"))
    }

    fn stat(&self, key: &str) -> Result<Object> {
        let path = self.client.path(key)?;
        let found = self.client.with(|connection| object(connection, key, &path));
        found
            .and_then(|found| found.ok_or_else(|| Error::not_found("there is no such object")))
            .with_context(|| format!("cannot look at {key}"))
    }

    fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Page> {
        self.client.with(|connection| listing::page(connection, self.client.settings(), prefix, cursor))
    }

    fn delete(&self, key: &str) -> Result<()> {
        let path = self.client.path(key)?;
        let removed = self.client.with(|connection| {
            if connection.remove(&path)? {
                remove_empty_directories(connection, self.client.settings(), key)?;
            }
            Ok(())
        });
        removed.with_context(|| format!("cannot remove {key}"))
    }
}

/// A turn between two parts takes some six times the way to the server and back, and then the transfer must gather speed again; on the shortest
/// way it takes a server some 20 ms, a tenth of the time that a part of 128 MiB takes.
fn part_for(distance: Duration) -> u64 {
    let milliseconds = u64::try_from(distance.as_millis()).unwrap_or(u64::MAX);
    milliseconds.saturating_mul(3 * MIB).clamp(128 * MIB, 256 * MIB).next_multiple_of(32 * MIB)
}

/// What the contract reports of a file; `None` where there is none.
pub(crate) fn object(connection: &mut Connection, key: &str, path: &str) -> Result<Option<Object>> {
    let Some(entry) = connection.look(path)?.filter(|entry| entry.kind == Kind::File) else { return Ok(None) };
    let size = match entry.size {
        Some(size) => Some(size),
        None => connection.size(path)?,
    };
    Ok(size.map(|size| Object { key: key.to_owned(), size, modified_unix_ms: entry.modified_unix_ms, checksum: None }))
}

/// Removes the directories above a key as far as they are empty: servers remove no others (RFC 959 leaves `RMD` no choice but to refuse).
fn remove_empty_directories(connection: &mut Connection, settings: &Settings, mut key: &str) -> Result<()> {
    loop {
        key = key::parent(key);
        if key.is_empty() || !connection.remove_directory(&settings.path(key))? {
            return Ok(());
        }
    }
}
