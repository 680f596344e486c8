//! Requests of SFTP version 3 (draft-ietf-secsh-filexfer-02) and of OpenSSH's extensions (PROTOCOL, section 4) over one channel, one at a time;
//! [`crate::transfer`] has many on their way.

use std::cell::Cell;
use std::collections::HashMap;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use cofre_sdk::{Error, ErrorKind, Result};
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use russh_sftp::extensions::{self, FsyncExtension, LimitsExtension, Statvfs, StatvfsExtension};
use russh_sftp::protocol::{
    Close, Extended, FSetStat, File, FileAttributes, Fstat, Init, Lstat, MkDir, Open, OpenDir, OpenFlags, Packet, ReadDir, Remove, Rename,
    RmDir, Stat, StatusCode,
};
use russh_sftp::{de, ser};
use tokio::time::timeout;

use crate::client::End;
use crate::error::{self, NO_SPACE};
use crate::key;
use crate::store::is_folder;

/// A server that says nothing for so long, while it is asked for something, is gone. Counted in short turns, so that time in which this
/// thread was busy elsewhere, and so could not listen, counts for one turn at most.
const TURN: Duration = Duration::from_secs(1);
const TURNS: usize = 60;

/// Largest answer: OpenSSH sends at most 256 KiB.
const ANSWER_MAX: usize = (256 << 10) + 1_024;

/// Data of one read or write where the server tells no limit; the draft promises packets of 34,000 bytes.
const SMALL: u32 = 32 << 10;

/// The same where it does: what OpenSSH takes, and no more than memory is well spent on.
const LARGE: u64 = 255 << 10;

/// Requests for the names of a folder that are on their way at once; OpenSSH gives 100 names to each.
const READDIRS: usize = 8;

const POSIX_RENAME: &str = "posix-rename@openssh.com";

/// Flag of a file system that is mounted read-only, in OpenSSH's `statvfs`.
const READ_ONLY: u64 = 1;

/// A name, `posix-rename@openssh.com`'s two in their order.
#[derive(serde::Serialize)]
struct Renaming<'a> {
    from: &'a str,
    to: &'a str,
}

/// Data of one read and of one write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunks {
    pub(crate) read: u32,
    pub(crate) write: u32,
}

/// What of a file system is left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Space {
    /// Bytes.
    pub(crate) free: u64,
    full: bool,
    read_only: bool,
}

/// `fsync@openssh.com` for an open file.
pub(crate) struct Sync(String);

impl Sync {
    /// As a request.
    pub(crate) fn request(self, id: u32) -> Result<Packet> {
        let data = FsyncExtension { handle: self.0 }.try_into().map_err(unwritable)?;
        Ok(Extended { id, request: extensions::FSYNC.to_owned(), data }.into())
    }
}

/// The files of the account at the server.
pub(crate) struct Client {
    pub(crate) outgoing: Outgoing,
    pub(crate) incoming: Incoming,
    extensions: HashMap<String, String>,
    chunks: Option<Chunks>,
}

/// Where requests go.
pub(crate) struct Outgoing {
    channel: ChannelWriteHalf<Msg>,
    last: Cell<u32>,
    end: End,
}

/// Where answers come from.
pub(crate) struct Incoming {
    channel: ChannelReadHalf,
    buffer: BytesMut,
    end: End,
}

impl Outgoing {
    /// A number for a request, not given before.
    pub(crate) fn number(&self) -> u32 {
        self.last.set(self.last.get().wrapping_add(1));
        self.last.get()
    }

    /// Sends a request; waits while the server takes no more.
    pub(crate) async fn send(&self, request: impl Into<Packet>) -> Result<()> {
        let bytes = Bytes::try_from(request.into()).map_err(unwritable)?;
        self.channel.data_bytes(bytes).await.map_err(|_| lost(&self.end))
    }
}

impl Incoming {
    /// The next answer, to whatever it is.
    pub(crate) async fn next(&mut self) -> Result<Packet> {
        loop {
            if let Some(answer) = self.whole()? {
                return Ok(answer);
            }
            match self.message().await? {
                Some(ChannelMsg::Data { data }) => self.buffer.extend_from_slice(&data),
                None | Some(ChannelMsg::Eof | ChannelMsg::Close) => return Err(lost(&self.end)),
                Some(_) => {}
            }
        }
    }

    async fn message(&mut self) -> Result<Option<ChannelMsg>> {
        for _ in 0..TURNS {
            if let Ok(message) = timeout(TURN, self.channel.wait()).await {
                return Ok(message);
            }
        }
        Err(Error::new(ErrorKind::Timeout, format!("the server gave no answer within {TURNS} s")))
    }

    /// An answer that is all here.
    fn whole(&mut self) -> Result<Option<Packet>> {
        let Some(&[a, b, c, d]) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if length > ANSWER_MAX {
            let mend = "the account's shell may print something; it must print nothing where it is not a person's";
            return Err(Error::unsupported(format!("what the server sends is not SFTP ({mend})")));
        }
        if self.buffer.len() < 4 + length {
            return Ok(None);
        }
        self.buffer.advance(4);
        let mut body = self.buffer.split_to(length);
        in_version_3(&mut body);
        let mut body = body.freeze();
        let answer =
            Packet::try_from(&mut body).map_err(|why| Error::unsupported(format!("the server sends an answer that is none: {why}")))?;
        Ok(Some(answer))
    }
}

/// Makes a status one of version 3: some servers (ProFTPD is one) use the codes of later versions in it, and some leave out its words.
fn in_version_3(answer: &mut BytesMut) {
    const STATUS: u8 = 101;
    let Some(&[STATUS, _, _, _, _, a, b, c, d]) = answer.first_chunk::<9>() else { return };
    let code = match u32::from_be_bytes([a, b, c, d]) {
        known @ 0..=8 => known,
        // No such path; write-protected; the others are failures, of which the words tell more.
        10 => StatusCode::NoSuchFile as u32,
        12 => StatusCode::PermissionDenied as u32,
        _ => StatusCode::Failure as u32,
    };
    answer[5..9].copy_from_slice(&code.to_be_bytes());
    if answer.len() == 9 {
        answer.extend_from_slice(&[0; 8]);
    }
}

fn unwritable(why: impl std::fmt::Display) -> Error {
    Error::other(format!("cannot write a request: {why}"))
}

fn lost(end: &End) -> Error {
    end.take().unwrap_or_else(|| Error::unavailable("the server closed the connection"))
}

/// Which request an answer is for.
pub(crate) fn number_of(answer: &Packet) -> Option<u32> {
    match answer {
        Packet::Status(it) => Some(it.id),
        Packet::Handle(it) => Some(it.id),
        Packet::Data(it) => Some(it.id),
        Packet::Name(it) => Some(it.id),
        Packet::Attrs(it) => Some(it.id),
        Packet::ExtendedReply(it) => Some(it.id),
        _ => None,
    }
}

/// Nothing where the server did what it was asked.
pub(crate) fn done(answer: &Packet) -> Result<()> {
    match answer {
        Packet::Status(status) if status.status_code == StatusCode::Ok => Ok(()),
        other => Err(unexpected(other)),
    }
}

/// The error that an answer is, where another was hoped for.
pub(crate) fn unexpected(answer: &Packet) -> Error {
    match answer {
        Packet::Status(status) => error::from_status(status),
        _ => Error::integrity("the server gave another answer than was asked for"),
    }
}

impl Client {
    /// Opens the file subsystem on a channel. Its first request goes out with the one for the subsystem, as OpenSSH's client does it: one
    /// turn less.
    pub(crate) async fn open(channel: Channel<Msg>, end: End) -> Result<Self> {
        channel.request_subsystem(true, "sftp").await.map_err(error::from_ssh)?;
        let (incoming, outgoing) = channel.split();
        let outgoing = Outgoing { channel: outgoing, last: Cell::new(0), end: end.clone() };
        outgoing.send(Init::new()).await?;
        let mut incoming = Incoming { channel: incoming, buffer: BytesMut::new(), end: end.clone() };
        loop {
            match incoming.channel.wait().await {
                Some(ChannelMsg::Success) => break,
                Some(ChannelMsg::Failure) => return Err(Error::unsupported("the server offers no SFTP to this account")),
                None | Some(ChannelMsg::Eof | ChannelMsg::Close) => return Err(lost(&end)),
                Some(_) => {}
            }
        }
        match incoming.next().await? {
            Packet::Version(version) if version.version >= 3 => {
                Ok(Self { outgoing, incoming, extensions: version.extensions, chunks: None })
            }
            Packet::Version(version) => {
                Err(Error::unsupported(format!("the server speaks version {} of SFTP; 3 is needed", version.version)))
            }
            other => Err(unexpected(&other)),
        }
    }

    /// One request and its answer.
    async fn ask(&mut self, request: impl FnOnce(u32) -> Packet) -> Result<Packet> {
        let number = self.outgoing.number();
        self.outgoing.send(request(number)).await?;
        loop {
            // Others are for requests that nobody waits for any more.
            let answer = self.incoming.next().await?;
            if number_of(&answer) == Some(number) {
                return Ok(answer);
            }
        }
    }

    async fn extended(&mut self, name: &str, data: Bytes) -> Result<Packet> {
        let data = data.to_vec();
        self.ask(|id| Extended { id, request: name.to_owned(), data }.into()).await
    }

    /// Opens a file; returns what the server calls it while it is open.
    pub(crate) async fn open_file(&mut self, path: &str, flags: OpenFlags) -> Result<String> {
        let open = |id| Open { id, filename: path.to_owned(), pflags: flags, attrs: FileAttributes::empty() }.into();
        handle(self.ask(open).await?)
    }

    /// Closes what was opened.
    pub(crate) async fn close(&mut self, handle: &str) -> Result<()> {
        done(&self.ask(|id| Close { id, handle: handle.to_owned() }.into()).await?)
    }

    /// What an open file is.
    pub(crate) async fn attributes(&mut self, handle: &str) -> Result<FileAttributes> {
        attributes(self.ask(|id| Fstat { id, handle: handle.to_owned() }.into()).await?)
    }

    /// What a path is; a symbolic link is only one.
    pub(crate) async fn look(&mut self, path: &str) -> Result<FileAttributes> {
        attributes(self.ask(|id| Lstat { id, path: path.to_owned() }.into()).await?)
    }

    /// Cuts an open file, or makes it longer.
    pub(crate) async fn set_size(&mut self, handle: &str, size: u64) -> Result<()> {
        let attrs = FileAttributes { size: Some(size), ..FileAttributes::empty() };
        done(&self.ask(|id| FSetStat { id, handle: handle.to_owned(), attrs }.into()).await?)
    }

    /// Removes a file.
    pub(crate) async fn remove(&mut self, path: &str) -> Result<()> {
        done(&self.ask(|id| Remove { id, filename: path.to_owned() }.into()).await?)
    }

    /// Removes a folder that is empty.
    pub(crate) async fn remove_folder(&mut self, path: &str) -> Result<()> {
        done(&self.ask(|id| RmDir { id, path: path.to_owned() }.into()).await?)
    }

    /// Makes a folder, and those that it lies in.
    pub(crate) async fn make_folders(&mut self, path: &str) -> Result<()> {
        // Each with whether the folder above it was made already.
        let mut missing = vec![(path, false)];
        while let Some((path, placed)) = missing.last_mut() {
            let path = *path;
            match self.make_folder(path).await {
                Ok(()) => drop(missing.pop()),
                Err(error) if error.kind() == ErrorKind::NotFound && !*placed => {
                    *placed = true;
                    missing.push((key::parent(path).ok_or(error)?, false));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn make_folder(&mut self, path: &str) -> Result<()> {
        let made = self.ask(|id| MkDir { id, path: path.to_owned(), attrs: FileAttributes::empty() }.into()).await?;
        match done(&made) {
            // It may be there already, for which servers have different codes; a link to a folder is one here.
            Err(error) if error.kind() != ErrorKind::NotFound => match self.ask(|id| Stat { id, path: path.to_owned() }.into()).await? {
                Packet::Attrs(found) if is_folder(&found.attrs) => Ok(()),
                _ => Err(error),
            },
            made => made,
        }
    }

    /// Gives a file another name; a file that has it is replaced. Where the server cannot do so in one step it is removed before.
    pub(crate) async fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        if self.extensions.contains_key(POSIX_RENAME) {
            return done(&self.extended(POSIX_RENAME, ser::to_bytes(&Renaming { from, to }).map_err(unwritable)?).await?);
        }
        let rename = |id| Rename { id, oldpath: from.to_owned(), newpath: to.to_owned() }.into();
        match done(&self.ask(rename).await?) {
            Err(error) if matches!(error.kind(), ErrorKind::Other | ErrorKind::AlreadyExists) && self.look(to).await.is_ok() => {
                self.remove(to).await?;
                done(&self.ask(rename).await?)
            }
            renamed => renamed,
        }
    }

    /// The names in a folder, `.` and `..` left out.
    pub(crate) async fn names(&mut self, path: &str) -> Result<Vec<File>> {
        let handle = handle(self.ask(|id| OpenDir { id, path: path.to_owned() }.into()).await?)?;
        let names = self.read_names(&handle).await;
        self.close(&handle).await?;
        names
    }

    async fn read_names(&mut self, handle: &str) -> Result<Vec<File>> {
        let mut names = Vec::new();
        loop {
            let mut waiting = Vec::with_capacity(READDIRS);
            for _ in 0..READDIRS {
                let id = self.outgoing.number();
                self.outgoing.send(ReadDir { id, handle: handle.to_owned() }).await?;
                waiting.push(id);
            }
            let mut ended = false;
            while !waiting.is_empty() {
                let answer = self.incoming.next().await?;
                if !number_of(&answer).is_some_and(|id| waiting.contains(&id)) {
                    continue;
                }
                waiting.retain(|id| Some(*id) != number_of(&answer));
                match answer {
                    Packet::Name(some) => names.extend(some.files.into_iter().filter(|file| !matches!(file.filename.as_str(), "." | ".."))),
                    Packet::Status(status) if status.status_code == StatusCode::Eof => ended = true,
                    other => return Err(unexpected(&other)),
                }
            }
            if ended {
                return Ok(names);
            }
        }
    }

    /// The wish to have an open file on the server's disk; none where the server has no such request.
    pub(crate) fn sync(&self, handle: &str) -> Option<Sync> {
        self.extensions.contains_key(extensions::FSYNC).then(|| Sync(handle.to_owned()))
    }

    /// How much of its file system is left where `path` lies, where the server says.
    pub(crate) async fn space(&mut self, path: &str) -> Result<Option<Space>> {
        if !self.extensions.contains_key(extensions::STATVFS) {
            return Ok(None);
        }
        let asked = ser::to_bytes(&StatvfsExtension { path: path.to_owned() }).map_err(unwritable)?;
        let Packet::ExtendedReply(reply) = self.extended(extensions::STATVFS, asked).await? else { return Ok(None) };
        let Ok(found) = de::from_bytes::<Statvfs>(&mut reply.data.into()) else { return Ok(None) };
        let free = found.blocks_avail.saturating_mul(found.fragment_size);
        let full = free < NO_SPACE || (found.inodes > 0 && found.inodes_avail == 0);
        Ok(Some(Space { free, full, read_only: found.flags & READ_ONLY != 0 }))
    }

    /// The result, where the server failed without saying why with the reason that its file system at `path` tells: OpenSSH has one code for
    /// a full disk, one that is mounted read-only, and anything else.
    pub(crate) async fn explained<T>(&mut self, result: Result<T>, path: &str) -> Result<T> {
        let Err(error) = result else { return result };
        if error.kind() != ErrorKind::Other {
            return Err(error);
        }
        match self.space(path).await {
            Ok(Some(space)) if space.read_only => Err(Error::access_denied("the file system at the server is mounted read-only")),
            Ok(Some(space)) if space.full => {
                Err(Error::out_of_space(format!("the file system at the server is full; it has {} bytes free", space.free)))
            }
            _ => Err(error),
        }
    }

    /// How much to read and write at once.
    pub(crate) async fn chunks(&mut self) -> Result<Chunks> {
        if let Some(known) = self.chunks {
            return Ok(known);
        }
        let mut chunks = Chunks { read: SMALL, write: SMALL };
        if self.extensions.contains_key(extensions::LIMITS)
            && let Packet::ExtendedReply(reply) = self.extended(extensions::LIMITS, Bytes::new()).await?
            && let Ok(limits) = de::from_bytes::<LimitsExtension>(&mut reply.data.into())
        {
            // Zero is no limit.
            let of = |limit: u64| if limit == 0 { SMALL } else { u32::try_from(limit.min(LARGE)).unwrap_or(SMALL) };
            chunks = Chunks { read: of(limits.max_read_len), write: of(limits.max_write_len) };
        }
        self.chunks = Some(chunks);
        Ok(chunks)
    }
}

fn handle(answer: Packet) -> Result<String> {
    match answer {
        Packet::Handle(opened) => Ok(opened.handle),
        other => Err(unexpected(&other)),
    }
}

fn attributes(answer: Packet) -> Result<FileAttributes> {
    match answer {
        Packet::Attrs(found) => Ok(found.attrs),
        other => Err(unexpected(&other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u32, rest: &[u8]) -> Packet {
        let mut answer = BytesMut::from(&[&[101, 0, 0, 0, 7][..], &code.to_be_bytes(), rest].concat()[..]);
        in_version_3(&mut answer);
        Packet::try_from(&mut answer.freeze()).expect("a status")
    }

    #[test]
    fn a_status_of_another_version_or_without_words_is_understood() {
        let words = b"\0\0\0\x17No space left on device\0\0\0\0";
        for (code, rest, kind) in [
            (2, &[][..], ErrorKind::NotFound),
            (4, words, ErrorKind::OutOfSpace),
            (10, &[], ErrorKind::NotFound),
            (11, &[], ErrorKind::Other),
            (12, &[], ErrorKind::AccessDenied),
            (14, words, ErrorKind::OutOfSpace),
            (4_000_000_000, &[], ErrorKind::Other),
        ] {
            let answer = status(code, rest);
            assert_eq!((number_of(&answer), unexpected(&answer).kind()), (Some(7), kind), "{code}");
        }
        assert!(done(&status(0, &[])).is_ok());
    }
}
