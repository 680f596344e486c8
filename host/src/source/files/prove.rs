//! Compares files that were restored with the archive that they came from, entry by entry and byte by byte: the proof of a drill, which has
//! no original to compare with. Extended attributes are left to the extraction, which tells each that it could not restore.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::compare::TreeDifference;
use super::extract::{ExtractError, safe_path};
use crate::pipeline::tar::{Entry, EntryKind, TarError, TarReader};
use crate::ports::DirectoryPassport;

const READ_SIZE: usize = 256 << 10;
/// Differences that are kept; more are only counted.
const DIFFERENCES_MAX: usize = 100;
/// Permission bits that are restored without the right to give files away.
const MODE_WITHOUT_OWNERS: u32 = 0o1777;

/// What an archive holds, and where the restored files differ from it.
#[derive(Debug, Default)]
pub struct TreeProof {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Everything else.
    pub others: u64,
    /// Bytes of content.
    pub bytes: u64,
    /// The first differences.
    pub differences: Vec<TreeDifference>,
    /// How many there are.
    pub differences_total: u64,
}

/// Compares what lies below `root` with an archive that was extracted there; `owners`: whether owners were restored.
///
/// # Errors
/// When the archive cannot be read.
pub fn prove_tree(tar: impl Read, root: &Path, owners: bool, cancel: &CancellationToken) -> Result<TreeProof, ExtractError> {
    let mut work = Work { root, owners, proof: TreeProof::default(), ours: vec![0; READ_SIZE], theirs: vec![0; READ_SIZE] };
    let mut reader = TarReader::new(tar);
    while let Some(entry) = reader.next_entry()? {
        if cancel.is_cancelled() {
            return Err(ExtractError::Cancelled);
        }
        let path = safe_path(&entry.path)?;
        work.count(&entry);
        if let Err(what) = work.entry(&entry, &path, &mut reader)? {
            work.differ(&path, what);
        }
    }
    Ok(work.proof)
}

impl TreeProof {
    /// In what the archive differs from what was read when it was made.
    pub fn against(&self, passport: &DirectoryPassport) -> Vec<String> {
        let counts = [
            ("files", self.files, passport.files),
            ("directories", self.directories, passport.directories),
            ("links and other entries", self.others, passport.others),
            ("bytes of content", self.bytes, passport.bytes),
        ];
        let differ = counts.into_iter().filter(|(_, found, expected)| found != expected);
        differ.map(|(what, found, expected)| format!("the archive holds {found} {what} where {expected} were read")).collect()
    }
}

struct Work<'a> {
    root: &'a Path,
    owners: bool,
    proof: TreeProof,
    ours: Vec<u8>,
    theirs: Vec<u8>,
}

/// What differs about one entry.
type Verdict = Result<(), String>;

impl Work<'_> {
    fn count(&mut self, entry: &Entry) {
        match entry.kind {
            EntryKind::File => self.proof.files += 1,
            EntryKind::Directory => self.proof.directories += 1,
            _ => self.proof.others += 1,
        }
        self.proof.bytes += entry.stored();
    }

    fn differ(&mut self, path: &Path, what: String) {
        self.proof.differences_total += 1;
        if self.proof.differences.len() < DIFFERENCES_MAX {
            self.proof.differences.push(TreeDifference { path: path.to_path_buf(), what });
        }
    }

    fn entry(&mut self, entry: &Entry, path: &Path, content: &mut impl Read) -> Result<Verdict, ExtractError> {
        let place = if path.as_os_str().is_empty() { self.root.to_path_buf() } else { self.root.join(path) };
        let status = match std::fs::symlink_metadata(&place) {
            Ok(status) => status,
            // Only root makes devices; the extraction has said so.
            Err(_) if !self.owners && matches!(entry.kind, EntryKind::CharDevice | EntryKind::BlockDevice) => return Ok(Ok(())),
            Err(error) => return Ok(Err(format!("it is not there: {error}"))),
        };
        if let Err(what) = self.attributes(entry, &place, &status) {
            return Ok(Err(what));
        }
        if entry.kind == EntryKind::File { self.content(entry, &place, content) } else { Ok(Ok(())) }
    }

    fn attributes(&self, entry: &Entry, place: &Path, status: &Metadata) -> Verdict {
        let kind = status.file_type();
        let is_it = match entry.kind {
            EntryKind::File => kind.is_file(),
            EntryKind::HardLink => return self.link(entry, status),
            EntryKind::Symlink => kind.is_symlink(),
            EntryKind::Directory => kind.is_dir(),
            EntryKind::Fifo => kind.is_fifo(),
            EntryKind::CharDevice => kind.is_char_device(),
            EntryKind::BlockDevice => kind.is_block_device(),
        };
        if !is_it {
            return Err(format!("it is {kind:?} where the archive has {:?}", entry.kind));
        }
        let bits = if self.owners { 0o7777 } else { MODE_WITHOUT_OWNERS };
        if entry.kind != EntryKind::Symlink && status.mode() & bits != entry.mode & bits {
            return Err(format!("mode {:o} instead of {:o}", status.mode() & bits, entry.mode & bits));
        }
        if self.owners && (status.uid(), status.gid()) != (entry.uid, entry.gid) {
            return Err(format!("owner {}:{} instead of {}:{}", status.uid(), status.gid(), entry.uid, entry.gid));
        }
        if (status.mtime(), status.mtime_nsec()) != (entry.mtime.seconds, i64::from(entry.mtime.nanoseconds)) {
            return Err("its time of change differs".to_owned());
        }
        match entry.kind {
            EntryKind::Symlink => match std::fs::read_link(place) {
                Ok(target) if target.as_os_str().as_bytes() == entry.link => Ok(()),
                Ok(target) => Err(format!("its target is `{}`", target.display())),
                Err(error) => Err(format!("its target cannot be read: {error}")),
            },
            EntryKind::CharDevice | EntryKind::BlockDevice if status.rdev() != rustix::fs::makedev(entry.device.0, entry.device.1) => {
                Err("it is another device".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// A second name must be a name of the very file.
    fn link(&self, entry: &Entry, status: &Metadata) -> Verdict {
        let first = safe_path(&entry.link).map_err(|error| error.to_string())?;
        let shown = first.display().to_string();
        match std::fs::symlink_metadata(self.root.join(first)) {
            Ok(other) if (other.dev(), other.ino()) == (status.dev(), status.ino()) => Ok(()),
            Ok(_) => Err(format!("it is no name of the same file as `{shown}`")),
            Err(error) => Err(format!("the file `{shown}`, whose second name it is, is not there: {error}")),
        }
    }

    fn content(&mut self, entry: &Entry, place: &PathBuf, content: &mut impl Read) -> Result<Verdict, ExtractError> {
        let mut file = match File::open(place) {
            Ok(file) => file,
            Err(error) => return Ok(Err(format!("it cannot be read: {error}"))),
        };
        match file.metadata() {
            Ok(status) if status.len() != entry.size => return Ok(Err(format!("it has {} bytes instead of {}", status.len(), entry.size))),
            Ok(_) => {}
            Err(error) => return Ok(Err(format!("it cannot be read: {error}"))),
        }
        let whole = [(0, entry.size)];
        for (offset, length) in entry.extents.as_deref().unwrap_or(&whole) {
            match self.extent(&mut file, (*offset, *length), content)? {
                Ok(()) => {}
                different => return Ok(different),
            }
        }
        Ok(Ok(()))
    }

    fn extent(&mut self, file: &mut File, (offset, length): (u64, u64), content: &mut impl Read) -> Result<Verdict, ExtractError> {
        let unreadable = |error: io::Error| format!("it cannot be read: {error}");
        if let Err(error) = file.seek(SeekFrom::Start(offset)) {
            return Ok(Err(unreadable(error)));
        }
        let mut done = 0;
        while done < length {
            let want = usize::try_from(length - done).unwrap_or(READ_SIZE).min(READ_SIZE);
            let count = content.read(&mut self.theirs[..want]).map_err(TarError::from)?;
            if count == 0 {
                return Err(TarError::Truncated("an entry's content is cut").into());
            }
            if let Err(error) = file.read_exact(&mut self.ours[..count]) {
                return Ok(Err(unreadable(error)));
            }
            if let Some(at) = self.ours[..count].iter().zip(&self.theirs[..count]).position(|(one, other)| one != other) {
                return Ok(Err(format!("the content differs from byte {} on", offset + done + at as u64)));
            }
            done += count as u64;
        }
        Ok(Ok(()))
    }
}
