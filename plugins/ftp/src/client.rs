//! The protocol: one control connection that is logged in, and the commands that cofre needs, each tried once. suppaftp speaks it; what is
//! added here is 64-bit offsets, the fall-back from `EPSV` to `PASV`, and data connections that go to the control connection's own host,
//! whatever address a reply names (RFC 2577, section 3).

use std::cell::RefCell;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cofre_sdk::{Context as _, Error, Result, Secret};
use suppaftp::types::{FileType, Response};
use suppaftp::{Encoding, FtpError, FtpResult, Mode, Status};

use crate::entry::{self, Entry, Kind};
use crate::error::{Meaning, Refusal, broken, failure};
use crate::key;
use crate::line::Patience;
use crate::server::{Greeted, Server, Stream, Versions, not_reached};
use crate::settings::{Settings, Tls};
use crate::tls::Sessions;
use crate::transfer::{self, Transfer};

/// Bytes of one directory's listing: some 200,000 names, with room for them in memory.
const LISTING_MAX: u64 = 24 << 20;

/// Bytes of a file that even a slow server digests in a second.
const DIGESTED: u64 = 10 << 20;
/// "Can't open data connection" (RFC 959): mostly that no passive port is free.
const NO_DATA_CONNECTION: u32 = 425;
/// Pauses before a server that said so is asked again.
const NO_PORT_PAUSES: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(300), Duration::from_millis(900), Duration::from_millis(2_700)];

/// One instance's connections to its server.
pub(crate) struct Client {
    server: Rc<Server>,
    /// A connection that has nothing to do.
    idle: RefCell<Option<Connection>>,
}

impl Client {
    pub(crate) fn new(settings: Settings, password: Secret) -> Result<Self> {
        Ok(Self { server: Rc::new(Server::new(settings, password)?), idle: RefCell::new(None) })
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.server.settings
    }

    /// Does something over a connection. After a failure nobody knows what the server still sends, so the next work gets a new one.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T>) -> Result<T> {
        let mut connection = match self.idle.take() {
            Some(connection) => connection,
            None => Connection::open(Rc::clone(&self.server), Versions::Any)?,
        };
        let done = work(&mut connection)?;
        self.idle.replace(Some(connection));
        Ok(done)
    }

    /// Path of a key, once it is sure to be one.
    pub(crate) fn path(&self, key: &str) -> Result<String> {
        key::check(key)?;
        Ok(self.settings().path(key))
    }
}

/// suppaftp keeps offsets in a `usize`, which in a component ends at 4 GiB; the line that it makes of one gets the real offset here.
#[derive(Debug)]
struct WideOffsets(Arc<AtomicU64>);

impl Encoding for WideOffsets {
    fn decode(&self, bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn encode(&self, text: &str) -> io::Result<Vec<u8>> {
        let line = if text.starts_with("REST ") { format!("REST {}\r\n", self.0.load(Ordering::Relaxed)) } else { text.to_owned() };
        Ok(line.into_bytes())
    }
}

/// A control connection that is logged in.
pub(crate) struct Connection {
    server: Rc<Server>,
    ftp: Stream,
    sessions: Arc<Sessions>,
    patience: Patience,
    /// Where the next transfer begins.
    offset: Arc<AtomicU64>,
    /// Whether a data connection was opened in this mode, so that a refusal is one of the command itself.
    mode_works: bool,
    features: Option<String>,
    home: Option<String>,
}

impl Connection {
    fn open(server: Rc<Server>, versions: Versions) -> Result<Self> {
        let Greeted { stream, sessions, patience } = server.greet(versions)?;
        let offset = Arc::new(AtomicU64::new(0));
        let mut ftp = stream.passive_stream_builder(data_connection);
        ftp.set_encoding(WideOffsets(Arc::clone(&offset)));
        ftp.set_mode(Mode::ExtendedPassive);
        ftp.set_passive_nat_workaround(true);
        let mut connection = Self { server, ftp, sessions, patience, offset, mode_works: false, features: None, home: None };
        connection.log_in()?;
        Ok(connection)
    }

    fn log_in(&mut self) -> Result<()> {
        let server = Rc::clone(&self.server);
        let (target, user) = (server.target(), &server.settings.user);
        let logged_in = self.ftp.login(user.as_str(), server.password.expose()).map_err(|error| {
            match Refusal::in_error(&error).map(|refusal| refusal.meaning()) {
                Some(Meaning::Denied) => failure(error).with("mend", "check /user and the secret `password`"),
                _ => failure(error),
            }
        });
        logged_in.with_context(|| format!("cannot log in to {target} as {user}"))?;
        // With explicit TLS suppaftp has done so.
        if server.settings.tls == Tls::Implicit {
            self.protect().with_context(|| format!("cannot secure the data connections to {target}"))?;
        }
        self.prepare().with_context(|| format!("cannot set up the connection to {target}"))
    }

    /// Secures data connections (RFC 4217, section 9).
    fn protect(&mut self) -> Result<()> {
        for line in ["PBSZ 0", "PROT P"] {
            self.command(line, Status::CommandOk).map_err(failure)?;
        }
        Ok(())
    }

    /// Names in UTF-8 (RFC 2640), bytes as they are.
    fn prepare(&mut self) -> Result<()> {
        match self.command("OPTS UTF8 ON", Status::CommandOk) {
            // A server that knows no such option takes names as they come.
            Ok(_) | Err(FtpError::UnexpectedResponse(_)) => {}
            Err(error) => return Err(failure(error)),
        }
        self.ftp.transfer_type(FileType::Binary).map_err(failure)
    }

    fn command(&mut self, line: impl Into<String>, expected: Status) -> FtpResult<Response> {
        self.ftp.custom_command(line.into(), &[expected])
    }

    /// How long the server takes for nothing at all: the shorter of two turns.
    pub(crate) fn distance(&mut self) -> Result<Duration> {
        let mut turn = || -> Result<Duration> {
            let begun = Instant::now();
            self.ftp.noop().map_err(failure)?;
            Ok(begun.elapsed())
        };
        Ok(turn()?.min(turn()?))
    }

    /// Whether `FEAT` (RFC 2389) names a feature, with `value` among what it says of it.
    pub(crate) fn has(&mut self, feature: &str, value: &str) -> Result<bool> {
        if self.features.is_none() {
            self.features = Some(self.ask_for_features()?);
        }
        let named = |line: &str| {
            let (name, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
            name.eq_ignore_ascii_case(feature) && rest.to_ascii_uppercase().contains(value)
        };
        Ok(self.features.as_deref().is_some_and(|features| features.lines().any(named)))
    }

    fn ask_for_features(&mut self) -> Result<String> {
        // Not asked for as 211: a reply of that code, where it is expected, ends for suppaftp with its first line.
        match self.command("FEAT", Status::CommandOk) {
            Err(FtpError::UnexpectedResponse(response)) if response.status == Status::System => {
                Ok(String::from_utf8_lossy(&response.body).into_owned())
            }
            Ok(_) | Err(FtpError::UnexpectedResponse(_)) => Ok(String::new()),
            Err(error) => Err(failure(error)),
        }
    }

    /// Begins to write a file at `offset`; what is there before it stays.
    pub(crate) fn store(&mut self, path: &str, offset: u64) -> FtpResult<Transfer> {
        self.transfer(offset, |ftp| ftp.put_with_stream(path))
    }

    /// Begins to write at the end of a file, wherever that is.
    pub(crate) fn append(&mut self, path: &str) -> FtpResult<Transfer> {
        self.transfer(0, |ftp| ftp.append_with_stream(path))
    }

    /// Begins to read a file from `offset`; returns how many bytes come before it. A server that knows no `REST` gives the whole file.
    pub(crate) fn retrieve(&mut self, path: &str, offset: u64) -> FtpResult<(Transfer, u64)> {
        let retrieve = |ftp: &mut Stream| ftp.retr_as_stream(path);
        match self.transfer(offset, retrieve) {
            Err(error) if offset > 0 && Refusal::in_error(&error).is_some_and(|refusal| refusal.meaning() == Meaning::Unknown) => {
                Ok((self.transfer(0, retrieve)?, offset))
            }
            opened => Ok((opened?, 0)),
        }
    }

    /// Begins anew where the tickets of TLS 1.3 are used up: each is good for one data connection, ProFTPD gives two to a control
    /// connection and none to data connections, and without one it refuses them. A session of TLS 1.2 is good for any number.
    fn renew(&mut self) -> Result<()> {
        if !self.sessions.are_spent() {
            return Ok(());
        }
        let server = || Rc::clone(&self.server);
        let fresh = Self::open(server(), Versions::Tls12).or_else(|_| Self::open(server(), Versions::Any))?;
        let old = std::mem::replace(self, fresh);
        (self.features, self.home) = (old.features, old.home);
        Ok(())
    }

    /// Opens a data connection for a command; by `PASV` where the server knows no `EPSV` (RFC 2428). A server whose passive ports are all in
    /// use is asked again after a moment: those of the files before are free as soon as TCP lets go of them.
    fn transfer(&mut self, offset: u64, open: impl Fn(&mut Stream) -> FtpResult<Transfer>) -> FtpResult<Transfer> {
        self.renew().map_err(|error| FtpError::ConnectionError(error.into()))?;
        self.offset.store(offset, Ordering::Relaxed);
        let attempt = |ftp: &mut Stream| {
            ftp.resume_transfer(usize::from(offset > 0))?;
            open(ftp)
        };
        let mut opened = attempt(&mut self.ftp);
        let code = opened.as_ref().err().and_then(Refusal::in_error).map(|refusal| refusal.code());
        if !self.mode_works && matches!(code, Some(500..=504 | 522)) {
            self.ftp.set_mode(Mode::Passive);
            opened = attempt(&mut self.ftp);
        }
        for pause in NO_PORT_PAUSES {
            if opened.as_ref().err().and_then(Refusal::in_error).is_none_or(|refusal| refusal.code() != NO_DATA_CONNECTION) {
                break;
            }
            std::thread::sleep(pause);
            opened = attempt(&mut self.ftp);
        }
        self.mode_works |= opened.is_ok();
        opened
    }

    /// Bytes of a file; `None` where there is none.
    pub(crate) fn size(&mut self, path: &str) -> Result<Option<u64>> {
        match self.command(format!("SIZE {path}"), Status::File) {
            Ok(response) => number(&response).map(Some),
            Err(error) if is_refusal(&error) => Ok(self.look(path)?.filter(|entry| entry.kind == Kind::File).and_then(|entry| entry.size)),
            Err(error) => Err(failure(error)),
        }
    }

    /// What is at a path: by `MLST`, or `SIZE` and `MDTM`, or the listing of its directory (RFC 3659).
    pub(crate) fn look(&mut self, path: &str) -> Result<Option<Entry>> {
        let name = path.rsplit('/').next().unwrap_or(path);
        if self.has("MLST", "")? {
            return match self.command(format!("MLST {path}"), Status::RequestedFileActionOk) {
                Ok(response) => Ok(fact_line(&response).map(|entry| Entry { name: name.to_owned(), ..entry })),
                Err(error) => absent(error),
            };
        }
        match self.command(format!("SIZE {path}"), Status::File) {
            Ok(response) => {
                let modified_unix_ms = self.modified(path)?;
                Ok(Some(Entry { name: name.to_owned(), kind: Kind::File, size: Some(number(&response)?), modified_unix_ms }))
            }
            Err(error) => match Refusal::in_error(&error).map(|refusal| refusal.meaning()) {
                Some(Meaning::Missing) => Ok(None),
                Some(_) => Ok(self.entries(parent(path))?.into_iter().find(|entry| entry.name == name)),
                None => Err(failure(error)),
            },
        }
    }

    fn modified(&mut self, path: &str) -> Result<Option<u64>> {
        match self.command(format!("MDTM {path}"), Status::File) {
            Ok(response) => Ok(last_word(&response).and_then(|text| entry::time(&text))),
            Err(error) if is_refusal(&error) => Ok(None),
            Err(error) => Err(failure(error)),
        }
    }

    /// What is in a directory; nothing where there is none.
    pub(crate) fn entries(&mut self, path: &str) -> Result<Vec<Entry>> {
        if self.has("MLST", "")? || self.has("MLSD", "")? {
            return match self.transfer(0, |ftp| data_command(ftp, &format!("MLSD {path}"))) {
                Ok(transfer) => read_entries(transfer, entry::facts),
                Err(error) => absent(error).map(Option::unwrap_or_default),
            };
        }
        self.list(path)
    }

    /// The same by `LIST`. Servers take its argument for a pattern or for options of `ls`, so that it is asked for from inside.
    fn list(&mut self, path: &str) -> Result<Vec<Entry>> {
        for command in ["LIST -a", "LIST"] {
            // The directory is one of this connection.
            self.renew()?;
            let home = self.home()?;
            if let Err(error) = self.ftp.cwd(path) {
                return absent(error).map(Option::unwrap_or_default);
            }
            let found = match self.transfer(0, |ftp| data_command(ftp, command)) {
                Ok(transfer) => read_entries(transfer, entry::listed)?,
                // Some refuse to list what is empty, some know no options.
                Err(error) => match Refusal::in_error(&error).map(|refusal| refusal.meaning()) {
                    Some(Meaning::Missing | Meaning::Unknown | Meaning::Unclear) => Vec::new(),
                    _ => return Err(failure(error)),
                },
            };
            self.ftp.cwd(&home).map_err(failure)?;
            // Some take `-a` for a name, and then there is not even the directory itself.
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    /// Where the account begins.
    fn home(&mut self) -> Result<String> {
        if let Some(home) = &self.home {
            return Ok(home.clone());
        }
        let home = self.ftp.pwd().map_err(failure)?.replace("\"\"", "\"");
        self.home = Some(home.clone());
        Ok(home)
    }

    /// Makes a directory and those above it; one that is there is success.
    pub(crate) fn make_directories(&mut self, path: &str) -> Result<()> {
        if matches!(path, "" | "." | "/") {
            return Ok(());
        }
        let Err(error) = self.ftp.mkdir(path) else { return Ok(()) };
        let Some(refusal) = Refusal::in_error(&error) else { return Err(failure(error)) };
        match refusal.meaning() {
            Meaning::Present => return Ok(()),
            Meaning::Denied | Meaning::Full | Meaning::Busy => return Err(failure(error)),
            _ => {}
        }
        if self.look(path)?.is_some() {
            return Ok(());
        }
        self.make_directories(parent(path))?;
        let Err(error) = self.ftp.mkdir(path) else { return Ok(()) };
        // Another upload may have made it since.
        let Some(refusal) = Refusal::in_error(&error) else { return Err(failure(error)) };
        if refusal.meaning() == Meaning::Present || self.look(path)?.is_some() { Ok(()) } else { Err(failure(error)) }
    }

    /// Removes a file; says whether there was one.
    pub(crate) fn remove(&mut self, path: &str) -> Result<bool> {
        let Err(error) = self.ftp.rm(path) else { return Ok(true) };
        match Refusal::in_error(&error).map(|refusal| refusal.meaning()) {
            Some(Meaning::Missing) => Ok(false),
            Some(Meaning::Busy) | None => Err(failure(error)),
            Some(_) => match self.look(path)? {
                Some(entry) if entry.kind == Kind::File => Err(failure(error)),
                _ => Ok(false),
            },
        }
    }

    /// Removes a directory that is empty; says whether it did.
    pub(crate) fn remove_directory(&mut self, path: &str) -> Result<bool> {
        match self.ftp.rmdir(path) {
            Ok(()) => Ok(true),
            Err(error) if is_refusal(&error) => Ok(false),
            Err(error) => Err(failure(error)),
        }
    }

    /// Gives a file another name. Where the server replaces no file, the one in the way is removed first.
    pub(crate) fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let Err(error) = self.ftp.rename(from, to) else { return Ok(()) };
        let Some(refusal) = Refusal::in_error(&error) else { return Err(failure(error)) };
        let in_the_way =
            matches!(refusal.meaning(), Meaning::Present | Meaning::Unclear) && self.size(from)?.is_some() && self.remove(to)?;
        if in_the_way { self.ftp.rename(from, to).map_err(failure) } else { Err(failure(error)) }
    }

    /// The digest that the server computes of a whole file of `size` bytes, where it offers to. The larger it is, the longer that may take.
    pub(crate) fn checksum(&mut self, path: &str, size: u64) -> Result<Option<String>> {
        let usual = self.server.settings.timeout();
        self.patience.set(usual + Duration::from_secs(size / DIGESTED));
        let digest = self.digest(path);
        self.patience.set(usual);
        digest
    }

    /// `HASH` (draft-bryan-ftpext-hash), `XSHA256`, `XMD5`.
    fn digest(&mut self, path: &str) -> Result<Option<String>> {
        let (algorithm, answer) = if self.has("XSHA256", "")? {
            ("sha256", self.command(format!("XSHA256 {path}"), Status::RequestedFileActionOk))
        } else if self.has("HASH", "SHA-256")? {
            match self.command("OPTS HASH SHA-256", Status::CommandOk) {
                Ok(_) => ("sha256", self.command(format!("HASH {path}"), Status::File)),
                refused => ("sha256", refused),
            }
        } else if self.has("XMD5", "")? {
            ("md5", self.command(format!("XMD5 {path}"), Status::RequestedFileActionOk))
        } else {
            return Ok(None);
        };
        let length = if algorithm == "md5" { 32 } else { 64 };
        let is_digest = |word: &&str| word.len() == length && word.bytes().all(|b| b.is_ascii_hexdigit());
        match answer {
            Ok(response) => {
                let text = String::from_utf8_lossy(&response.body).into_owned();
                Ok(text.split_whitespace().find(is_digest).map(|digest| format!("{algorithm}:{}", digest.to_ascii_lowercase())))
            }
            // Most set a size beyond which they compute none.
            Err(error) if is_refusal(&error) => Ok(None),
            Err(error) => Err(failure(error)),
        }
    }
}

/// The passive side of a data connection. suppaftp gives the control connection's own address and the port of the reply.
fn data_connection(address: SocketAddr) -> FtpResult<TcpStream> {
    TcpStream::connect(address).map_err(|error| {
        let refused = match error.kind() {
            io::ErrorKind::PermissionDenied => Error::invalid_config(format!(
                "the data connection to port {} is not granted; grant the server's passive ports too, as `HOST:30000-30100`, or `HOST:*`",
                address.port()
            )),
            _ => not_reached(error),
        };
        FtpError::ConnectionError(refused.into())
    })
}

fn data_command(ftp: &mut Stream, command: &str) -> FtpResult<Transfer> {
    ftp.custom_data_command(command, &[Status::AboutToSend, Status::AlreadyOpen]).map(|(_, transfer)| transfer)
}

/// Reads the lines of a listing.
fn read_entries(transfer: Transfer, parse: fn(&str) -> Option<Entry>) -> Result<Vec<Entry>> {
    let mut reader = BufReader::new(transfer).take(LISTING_MAX);
    let (mut entries, mut line, mut strange) = (Vec::new(), Vec::new(), None);
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).map_err(broken)? == 0 {
            break;
        }
        // A name that is no UTF-8 is none of ours.
        let Ok(text) = std::str::from_utf8(&line) else { continue };
        let text = text.trim_end_matches(['\r', '\n']);
        match parse(text) {
            Some(entry) => entries.push(entry),
            None if text.is_empty() || text.starts_with("total ") => {}
            None => strange = strange.or_else(|| Some(text.chars().filter(|c| !c.is_control()).take(100).collect::<String>())),
        }
    }
    if reader.limit() == 0 {
        return Err(Error::unsupported(format!("a directory's listing has more than {} MiB", LISTING_MAX >> 20)));
    }
    transfer::end(reader.into_inner().into_inner())?;
    match strange {
        // Nothing understood is not nothing there.
        Some(line) if entries.is_empty() => Err(Error::unsupported(format!("the server lists in a way that is not known: `{line}`"))),
        _ => Ok(entries),
    }
}

/// `None` for a refusal that says, or may mean, that there is nothing.
fn absent<T>(error: FtpError) -> Result<Option<T>> {
    match Refusal::in_error(&error).map(|refusal| refusal.meaning()) {
        Some(Meaning::Missing | Meaning::Unclear) => Ok(None),
        _ => Err(failure(error)),
    }
}

fn is_refusal(error: &FtpError) -> bool {
    matches!(Refusal::in_error(error).map(|refusal| refusal.meaning()), Some(meaning) if meaning != Meaning::Busy)
}

/// The directory of a path on the server, which may be absolute.
pub(crate) fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        None => ".",
        Some(("", _)) => "/",
        Some((folder, _)) => folder,
    }
}

/// The line of facts in a reply to `MLST`.
fn fact_line(response: &Response) -> Option<Entry> {
    let text = String::from_utf8_lossy(&response.body);
    text.lines().skip(1).find_map(|line| entry::facts(line.strip_prefix(' ')?))
}

fn last_word(response: &Response) -> Option<String> {
    String::from_utf8_lossy(&response.body).split_whitespace().next_back().map(str::to_owned)
}

fn number(response: &Response) -> Result<u64> {
    let word = last_word(response);
    word.and_then(|word| word.parse().ok()).ok_or_else(|| Error::unavailable("the server gives a size that is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_beyond_32_bits_goes_out_whole() {
        let offset = Arc::new(AtomicU64::new(5_000_000_000));
        let lines = WideOffsets(Arc::clone(&offset));
        assert_eq!(lines.encode("REST 1\r\n").expect("encoded"), b"REST 5000000000\r\n");
        assert_eq!(lines.encode("STOR REST 1\r\n").expect("encoded"), b"STOR REST 1\r\n");
    }

    #[test]
    fn a_path_on_the_server_has_a_directory() {
        for (path, folder) in [("a", "."), ("/a", "/"), ("a/b", "a"), ("/a/b", "/a")] {
            assert_eq!(parent(path), folder);
        }
    }
}
