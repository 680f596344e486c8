//! The files of the audit log: appended to under a lock, flushed, and turned over at a size. `docs/formats/audit.md` has the order of the
//! steps, and what each crash leaves.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::Serialize;

use super::chain::{Fault, Head, Inspection};
use super::entry::{Action, Actor, Entry, Event, Outcome};
use super::lines::{Piece, next_piece};
use crate::owner::{hand_over, private_directory, private_file};

const LOG: &str = "audit.log";
const HEAD: &str = "audit.head";
const LOCK: &str = "audit.lock";
/// Size from which a file is full, in bytes: hundreds of thousands of entries.
const FULL: u64 = 64 << 20;
/// Longest head file: two numbers and a hash.
const HEAD_MAX: u64 = 200;
/// How often, and how long after one another, the lock is tried: appending takes milliseconds.
const LOCK_TRIES: u32 = 5_000;
const LOCK_PAUSE: Duration = Duration::from_millis(2);

/// Why the audit log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A file of it.
    #[error("cannot {doing} `{}` of the audit log: {source}", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Somebody holds it.
    #[error("the audit log is locked by another process: `{}`", path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
    },
    /// An entry.
    #[error("an entry of the audit log cannot be written: {0}")]
    Entry(#[from] serde_json::Error),
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> AuditError + 'a {
    move |source| AuditError::File { doing, path: path.to_path_buf(), source }
}

/// The audit log of one state directory.
#[derive(Debug, Clone)]
pub struct AuditLog {
    directory: PathBuf,
    full: u64,
}

/// What an inspection found.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Findings {
    /// How far the chain holds: entries, and the hash of the last of them.
    pub head: Head,
    /// Files.
    pub files: usize,
    /// Places where a crash had left half a line, and the next entry says so.
    pub healed: u64,
    /// Bytes of a line at the end that a crash cut short; no entry, and the next one will say so.
    pub torn: u64,
    /// The first line that is not what was written.
    pub fault: Option<Fault>,
}

/// Where the chain goes on.
struct Tail {
    file: File,
    len: u64,
    /// Whether the file ends with a newline, or is empty.
    ended: bool,
    chain: Inspection,
    /// What is wrong, other than what a crash explains.
    problem: Option<String>,
}

/// What `audit.head` says.
struct Saved {
    head: Head,
    /// Size of the file at the time.
    size: u64,
}

impl AuditLog {
    /// The log in a directory, which need not exist yet.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_path_buf(), full: FULL }
    }

    /// The same, with other files from another size on.
    #[cfg(test)]
    pub(super) fn turning_at(directory: &Path, full: u64) -> Self {
        Self { directory: directory.to_path_buf(), full }
    }

    /// Adds an entry, and has it on the disk. `known` is where a log goes on that has no file left.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&self, actor: &Actor, event: &Event, known: Option<Head>) -> Result<Head, AuditError> {
        let _lock = self.lock()?;
        let mut tail = self.tail(known)?;
        if tail.len >= self.full && tail.ended && tail.chain.torn().is_none() && tail.problem.is_none() {
            tail = self.turn(&tail)?;
        }
        if let Some(problem) = tail.problem.take() {
            let event = Event::new(Action::Audit, LOG, Outcome::Failed).with("problem", &problem);
            tail = self.push(tail, actor, &event)?;
        }
        Ok(self.push(tail, actor, event)?.chain.head().clone())
    }

    fn push(&self, mut tail: Tail, actor: &Actor, event: &Event) -> Result<Tail, AuditError> {
        let torn = tail.chain.torn();
        let (line, head) = tail.chain.head().next(actor, event, torn)?;
        let mut bytes = Vec::with_capacity(line.len() + 2);
        if !tail.ended {
            bytes.push(b'\n');
        }
        bytes.extend(line);
        bytes.push(b'\n');
        let path = self.directory.join(LOG);
        tail.file.write_all(&bytes).and_then(|()| tail.file.sync_data()).map_err(failed("write", &path))?;
        let len = tail.len + bytes.len() as u64;
        self.save(&Saved { head: head.clone(), size: len })?;
        Ok(Tail { len, ended: true, chain: Inspection::new(head, Vec::new()), ..tail })
    }

    /// One process at a time. A killed one holds nothing.
    fn lock(&self) -> Result<File, AuditError> {
        private_directory(&self.directory).map_err(failed("make", &self.directory))?;
        let path = self.directory.join(LOCK);
        let file = private_file(&path).map_err(failed("open", &path))?;
        held(file, &path, FlockOperation::NonBlockingLockExclusive)
    }

    fn tail(&self, known: Option<Head>) -> Result<Tail, AuditError> {
        let path = self.directory.join(LOG);
        private_file(&path).map_err(failed("open", &path))?;
        let file = OpenOptions::new().read(true).append(true).open(&path).map_err(failed("open", &path))?;
        let len = file.metadata().map_err(failed("look at", &path))?.len();
        if len == 0 {
            // Before a line is in it, the file must be there after a crash, too.
            self.sync()?;
        }
        let at = |head: Head, problem: Option<String>, file: File| -> Result<Tail, AuditError> {
            let mut last = [b'\n'];
            if len > 0 {
                file.read_exact_at(&mut last, len - 1).map_err(failed("read", &path))?;
            }
            Ok(Tail { file, len, ended: last == *b"\n", chain: Inspection::new(head, Vec::new()), problem })
        };
        match self.saved() {
            Ok(Some(saved)) if saved.size == len => at(saved.head, None, file),
            Ok(Some(saved)) if saved.size < len => Self::behind(at(saved.head, None, file)?, saved.size).map_err(failed("read", &path)),
            // It died after the file was turned over, and before the head said so.
            Ok(Some(saved)) if len == 0 && self.turned()?.last().is_some_and(|(_, size)| *size == saved.size) => at(saved.head, None, file),
            Ok(Some(saved)) => at(saved.head, Some(format!("{LOG} has {len} bytes, where {} were written", saved.size)), file),
            Ok(None) if len == 0 && self.turned()?.is_empty() => at(known.unwrap_or_else(Head::beginning), None, file),
            lost => self.without_head(at(Head::beginning(), lost.err(), file)?).map_err(failed("read", &path)),
        }
    }

    /// Walks over what lies behind the last line that the head names: lines of a process that died before it could say so, and half ones.
    fn behind(mut tail: Tail, from: u64) -> io::Result<Tail> {
        let mut reader = BufReader::new(tail.file.try_clone()?);
        reader.seek(SeekFrom::Start(from))?;
        while let Some(piece) = piece_to_be(&mut reader)? {
            if let Err(fault) = tail.chain.piece(&piece) {
                // Whoever verifies finds it; the log goes on.
                tail.chain = Inspection::new(tail.chain.head().clone(), Vec::new());
                tail.problem = Some(format!("what lies behind entry {} was not written by cofre: {}", tail.chain.head().count, fault.what));
                break;
            }
        }
        Ok(tail)
    }

    /// Goes on with a log whose head is gone: behind its last line, with an entry that says so, unless the very first one died half-way.
    fn without_head(&self, tail: Tail) -> io::Result<Tail> {
        let problem = tail.problem.clone();
        let mut from = tail;
        let newest = if from.len > 0 { None } else { self.turned().ok().and_then(|turned| turned.last().cloned()) };
        let mut reader = BufReader::new(match &newest {
            Some((path, _)) => File::open(path)?,
            None => from.file.try_clone()?,
        });
        reader.seek(SeekFrom::Start(0))?;
        let mut first = true;
        while let Some(piece) = piece_to_be(&mut reader)? {
            if std::mem::take(&mut first)
                && let Ok(entry) = serde_json::from_slice::<Entry>(&piece.bytes)
            {
                from.chain = Inspection::new(Head { count: entry.seq.saturating_sub(1), hash: entry.previous }, Vec::new());
            }
            if from.chain.piece(&piece).is_err() {
                break;
            }
        }
        if from.chain.head().count > 1 || problem.is_some() {
            from.problem = Some(problem.unwrap_or_else(|| format!("{HEAD} is missing")));
        }
        if newest.is_some() || from.problem.is_some() {
            from.chain = Inspection::new(from.chain.head().clone(), Vec::new());
        }
        Ok(from)
    }

    /// Gives the full file its name, and begins another.
    fn turn(&self, tail: &Tail) -> Result<Tail, AuditError> {
        let path = self.directory.join(LOG);
        let number = self.turned()?.iter().filter_map(|(path, _)| number_of(path)).max().unwrap_or(0) + 1;
        std::fs::rename(&path, self.directory.join(format!("{LOG}.{number}"))).map_err(failed("rename", &path))?;
        self.sync()?;
        self.save(&Saved { head: tail.chain.head().clone(), size: 0 })?;
        self.tail(None)
    }

    /// Full files and their sizes, oldest first.
    fn turned(&self) -> Result<Vec<(PathBuf, u64)>, AuditError> {
        let list = || -> io::Result<Vec<(PathBuf, u64)>> {
            let mut files = Vec::new();
            for entry in std::fs::read_dir(&self.directory)? {
                let entry = entry?;
                if number_of(&entry.path()).is_some() {
                    files.push((entry.path(), entry.metadata()?.len()));
                }
            }
            files.sort_by_key(|(path, _)| number_of(path));
            Ok(files)
        };
        list().map_err(failed("list", &self.directory))
    }

    /// What `audit.head` says; an error is what is wrong with it, in words.
    fn saved(&self) -> Result<Option<Saved>, String> {
        let path = self.directory.join(HEAD);
        let mut text = String::new();
        match File::open(&path).and_then(|file| file.take(HEAD_MAX).read_to_string(&mut text)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{HEAD} cannot be read: {error}")),
            Ok(_) => {}
        }
        let parts =
            text.trim().rsplit_once(' ').and_then(|(head, size)| Some(Saved { head: head.parse().ok()?, size: size.parse().ok()? }));
        parts.map(Some).ok_or_else(|| format!("{HEAD} is damaged"))
    }

    fn save(&self, saved: &Saved) -> Result<(), AuditError> {
        let path = self.directory.join(HEAD);
        let write = || -> io::Result<()> {
            let mut file = tempfile::Builder::new().prefix(".audit").tempfile_in(&self.directory)?;
            writeln!(file, "{} {}", saved.head, saved.size)?;
            file.as_file().sync_data()?;
            hand_over(file.as_file(), &path)?;
            file.persist(&path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(failed("write", &path))
    }

    fn sync(&self) -> Result<(), AuditError> {
        File::open(&self.directory).and_then(|directory| directory.sync_all()).map_err(failed("flush", &self.directory))
    }

    /// All files as they are at one moment, oldest first, with their names and sizes; and what the head says.
    #[allow(clippy::type_complexity, reason = "used here, once by each of two")]
    fn still(&self) -> Result<(Vec<(String, File, u64)>, Result<Option<Saved>, String>), AuditError> {
        // A copy elsewhere has no lock, and nobody who writes it.
        let path = self.directory.join(LOCK);
        let _lock = File::open(&path).ok().map(|file| held(file, &path, FlockOperation::NonBlockingLockShared)).transpose()?;
        let mut paths: Vec<PathBuf> = self.turned()?.into_iter().map(|(path, _)| path).collect();
        paths.extend(Some(self.directory.join(LOG)).filter(|path| path.exists()));
        let mut files = Vec::new();
        for path in paths {
            let file = File::open(&path).map_err(failed("open", &path))?;
            let size = file.metadata().map_err(failed("look at", &path))?.len();
            files.push((path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()), file, size));
        }
        Ok((files, self.saved()))
    }

    /// Follows the chain from its first line to its last. `known` are heads that somebody else remembers, each with a name for them.
    ///
    /// # Errors
    /// When a file cannot be read; what is wrong with the log is in the findings.
    pub fn verify(&self, mut known: Vec<(String, Head)>) -> Result<Findings, AuditError> {
        let (files, saved) = self.still()?;
        let mut lost = None;
        match saved {
            Ok(Some(saved)) => known.insert(0, (HEAD.to_owned(), saved.head)),
            Ok(None) => lost = Some(format!("{HEAD} is missing, so that nobody can tell whether entries are missing at the end")),
            Err(problem) => lost = Some(problem),
        }
        let count = files.len();
        let mut chain = Inspection::new(Head::beginning(), known);
        let fault = follow(&mut chain, files, &self.directory)?;
        let head = chain.head().clone();
        let (torn, healed, fault) = match (fault, chain.end()) {
            (Some(fault), _) | (None, Err(fault)) => (0, 0, Some(fault)),
            (None, Ok(end)) => {
                let fault = lost.filter(|_| end.head.count > 1);
                let fault = fault.map(|what| Fault { file: HEAD.to_owned(), line: 1, entry: end.head.count, what });
                (end.torn, end.healed, fault)
            }
        };
        Ok(Findings { head, files: count, healed, torn, fault })
    }

    /// Gives every entry to `take`, oldest first, whether it follows or not; what is none is passed over.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn entries(&self, mut take: impl FnMut(Entry)) -> Result<(), AuditError> {
        for (name, file, size) in self.still()?.0 {
            let path = self.directory.join(name);
            let mut reader = BufReader::new(file.take(size));
            while let Some(piece) = next_piece(&mut reader).map_err(failed("read", &path))? {
                if let Ok(entry) = serde_json::from_slice(&piece.bytes) {
                    take(entry);
                }
            }
        }
        Ok(())
    }
}

/// The next piece of what is appended to: half a line at its end gets a newline before anything else.
fn piece_to_be(reader: &mut impl BufRead) -> io::Result<Option<Piece>> {
    let piece = next_piece(reader)?;
    let is_last = reader.fill_buf()?.is_empty();
    Ok(piece.map(|piece| Piece { ended: piece.ended || is_last, ..piece }))
}

/// Leads a chain through files, up to the first fault.
fn follow(chain: &mut Inspection, files: Vec<(String, File, u64)>, directory: &Path) -> Result<Option<Fault>, AuditError> {
    for (name, file, size) in files {
        if let Err(fault) = chain.file(&name) {
            return Ok(Some(fault));
        }
        let path = directory.join(name);
        let mut reader = BufReader::new(file.take(size));
        while let Some(piece) = next_piece(&mut reader).map_err(failed("read", &path))? {
            if let Err(fault) = chain.piece(&piece) {
                return Ok(Some(fault));
            }
        }
    }
    Ok(None)
}

/// The number in the name of a full file.
fn number_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix(LOG)?.strip_prefix('.')?.parse().ok()
}

fn held(file: File, path: &Path, how: FlockOperation) -> Result<File, AuditError> {
    for _ in 0..LOCK_TRIES {
        match flock(&file, how) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK | Errno::INTR) => std::thread::sleep(LOCK_PAUSE),
            Err(error) => return Err(failed("lock", path)(error.into())),
        }
    }
    Err(AuditError::Busy { path: path.to_path_buf() })
}
