//! Reads a directory into a tar. A file that changes while it is read never breaks the archive: its entry has exactly the
//! length that its header announced, cut or padded with zeros, and the file is named in a warning.
//!
//! The walk holds directories open and goes down by `openat` without following links, so that nobody who renames
//! directories meanwhile can lead it astray, and paths may be longer than PATH_MAX. Entries are sorted by name.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, StatxFlags};
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use super::accounts::Accounts;
use super::attributes::{AttributeReader, Place};
use super::content::{self, ContentError, READ_SIZE, Trouble};
use super::exclude::{CACHE_TAG_NAME, Exclusions};
use super::links::{Links, life};
use super::listing::Listing;
use super::mounts::{Mounted, Mounts};
use crate::pipeline::tar::{Entry, EntryKind, FileTime, TarWriter};
use crate::ports::{DirectoryPassport, DirectorySettings, Meter, Warnings};

/// Directories near the root, and directories near the current one, that stay open; others are opened again on the way back.
const OPEN_DIRECTORIES: usize = 64;
/// Longest path in bytes; Linux opens no longer one than 4 KiB at once, but trees can be deeper.
const PATH_MAX: usize = 64 << 10;
/// Paths that could not be read and are kept in the passport.
const UNREADABLE_KEPT: usize = 1_000;

/// Why a directory cannot be archived.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The configured path is not absolute or not plain.
    #[error("cannot back up `{}`: the path must start with `/` and have no `..`", path.display())]
    Path {
        /// The configured path.
        path: PathBuf,
    },
    /// The directory itself cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Root {
        /// The configured path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The configured path is a device, a FIFO or a socket.
    #[error("cannot back up `{}`: it is neither a directory nor a file", path.display())]
    Kind {
        /// The configured path.
        path: PathBuf,
    },
    /// An exclusion pattern is malformed.
    #[error("an exclusion pattern of `{}` is malformed: {source}", path.display())]
    Pattern {
        /// The configured path.
        path: PathBuf,
        /// What is wrong.
        source: ignore::Error,
    },
    /// The archive cannot be written.
    #[error("cannot write the archive of `{}`: {source}", path.display())]
    Output {
        /// The configured path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Somebody cancelled.
    #[error("cancelled")]
    Cancelled,
}

/// Archives one directory, or one file. Entries are named by their path without the leading slash; a configured path that is
/// a symbolic link is followed, links below it are not. Does not end the archive. What cannot be read is named in a warning and counted in
/// the passport; so is every file system that is mounted below and left out.
///
/// Memory is bounded, also where files have several names: of so many that their first names take 64 MiB, the further ones are archived
/// whole under each of their names, with a warning.
///
/// # Errors
/// When the root cannot be read, the output fails, or `cancel` fires. What happens to single files is a warning.
pub fn archive<W: Write>(
    settings: &DirectorySettings,
    tar: &mut TarWriter<W>,
    report: (&Warnings, &Meter),
    cancel: &CancellationToken,
) -> Result<DirectoryPassport, FilesError> {
    let path = || settings.path.clone();
    let root = |source: Errno| FilesError::Root { path: path(), source: source.into() };
    let name = entry_name(&settings.path).ok_or_else(|| FilesError::Path { path: path() })?;
    // Looked at before it is opened: opening a device may do something.
    let kind = FileType::from_raw_mode(rustix::fs::stat(&settings.path).map_err(root)?.st_mode);
    if !matches!(kind, FileType::Directory | FileType::RegularFile) {
        return Err(FilesError::Kind { path: path() });
    }
    let fd = rustix::fs::open(&settings.path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty()).map_err(root)?;
    let status = rustix::fs::fstat(&fd).map_err(root)?;
    let exclusions = Exclusions::new(settings, status.st_dev).map_err(|source| FilesError::Pattern { path: path(), source })?;
    let mut walk = Walk {
        root: &settings.path,
        root_length: if name.is_empty() { 0 } else { name.len() + 1 },
        path: name,
        stack: Vec::new(),
        exclusions,
        tar,
        warnings: report.0,
        meter: report.1,
        cancel,
        passport: DirectoryPassport { path: settings.path.to_string_lossy().into_owned(), ..DirectoryPassport::default() },
        links: Links::default(),
        links_full: false,
        mounts: if settings.one_file_system { Mounts::below(&settings.path) } else { Mounts::default() },
        accounts: Accounts::of_this_machine(),
        attributes: AttributeReader::new(),
        buffer: vec![0; READ_SIZE],
    };
    if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
        walk.enter(fd, &status)?;
        walk.run()?;
    } else {
        walk.file(fd, &status)?;
    }
    Ok(walk.passport)
}

/// The path without its leading slash, doubled slashes and dots; `None` where it is relative or climbs.
fn entry_name(path: &Path) -> Option<Vec<u8>> {
    let mut name = Vec::new();
    for component in path.is_absolute().then(|| path.components())? {
        match component {
            Component::Normal(part) => {
                if !name.is_empty() {
                    name.push(b'/');
                }
                name.extend_from_slice(part.as_bytes());
            }
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(name)
}

struct Walk<'a, W: Write> {
    root: &'a Path,
    /// Where a path relative to the root starts in `path`.
    root_length: usize,
    /// Path of what is being looked at, without leading slash.
    path: Vec<u8>,
    /// The directories from the root down to the current one.
    stack: Vec<Frame>,
    exclusions: Exclusions,
    tar: &'a mut TarWriter<W>,
    warnings: &'a Warnings,
    meter: &'a Meter,
    cancel: &'a CancellationToken,
    passport: DirectoryPassport,
    links: Links,
    /// Whether it was said that no more of them are remembered.
    links_full: bool,
    /// What is mounted below the root, if that is left out.
    mounts: Mounts,
    accounts: Accounts,
    attributes: AttributeReader,
    buffer: Vec<u8>,
}

/// A directory that is being walked.
struct Frame {
    /// `None` while it is closed to spare descriptors.
    fd: Option<OwnedFd>,
    inode: (u64, u64),
    /// Length of its path.
    length: usize,
    children: Listing,
}

impl<W: Write> Walk<'_, W> {
    fn run(&mut self) -> Result<(), FilesError> {
        while let Some(frame) = self.stack.last_mut() {
            if self.cancel.is_cancelled() {
                return Err(FilesError::Cancelled);
            }
            self.path.truncate(frame.length);
            let Some((name, kind)) = frame.children.next() else {
                self.leave();
                continue;
            };
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name.as_bytes());
            if self.path.len() > PATH_MAX {
                self.lost("its path is longer than 64 KiB, so it could not be read and is not in the backup");
                continue;
            }
            self.child(kind)?;
        }
        Ok(())
    }

    /// Archives a directory's own entry and makes it the current one.
    fn enter(&mut self, fd: OwnedFd, status: &Stat) -> Result<(), FilesError> {
        let mut entry = self.entry(status, EntryKind::Directory);
        entry.path.extend_from_slice(if entry.path.is_empty() { b"./" } else { b"/" });
        entry.xattrs = self.xattrs(Place::Open(fd.as_fd()));
        self.put_empty(&entry)?;
        self.passport.directories += 1;
        let inode = (status.st_dev, status.st_ino);
        let mut frame = Frame { inode, length: self.path.len(), children: Listing::default(), fd: None };
        if self.exclusions.is_cache(fd.as_fd()) {
            self.passport.excluded += 1;
            if self.stack.is_empty() {
                self.warn("it carries a CACHEDIR.TAG and caches are left out, so nothing of it but the tag is in the backup");
            }
            frame.children = Listing::only(CACHE_TAG_NAME);
        } else if self.exclusions.by_device(status.st_dev) {
            self.other_file_system();
        } else {
            match Listing::read(fd.as_fd()) {
                Ok(children) => frame.children = children,
                Err(error) => {
                    self.lost(&format!("the directory could not be listed to its end, and its files are not in the backup: {error}"));
                }
            }
        }
        frame.fd = Some(fd);
        self.stack.push(frame);
        if let Some(far) = self.stack.len().checked_sub(OPEN_DIRECTORIES + 1).filter(|far| *far >= OPEN_DIRECTORIES) {
            self.stack[far].fd = None;
        }
        Ok(())
    }

    /// Goes back to the directory above, opening it again if it was closed.
    fn leave(&mut self) {
        let Some(left) = self.stack.pop() else { return };
        let Some(above) = self.stack.last_mut().filter(|above| above.fd.is_none()) else { return };
        let reopened = left.fd.and_then(|fd| open_directory(&fd, "..").ok());
        let same = |fd: &OwnedFd| rustix::fs::fstat(fd).is_ok_and(|status| (status.st_dev, status.st_ino) == above.inode);
        above.fd = reopened.filter(same);
        if above.fd.is_none() && above.children.has_more() {
            above.children = Listing::default();
            let length = above.length;
            self.path.truncate(length);
            self.unstable("the directory was moved while it was read; what had not been read of it is not in the backup");
        }
    }

    /// Archives what `path` names in the current directory, or leaves it out.
    fn child(&mut self, listed: FileType) -> Result<(), FilesError> {
        let (Some(Frame { fd: Some(parent), length, .. }), true) = (self.stack.last(), self.path.len() > self.root_length) else {
            return Ok(());
        };
        let start = if *length == 0 { 0 } else { length + 1 };
        let name = Path::new(std::ffi::OsStr::from_bytes(&self.path[start..]));
        let look = || rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
        let kind = match listed {
            FileType::Unknown => look().map(|status| FileType::from_raw_mode(status.st_mode)),
            known => Ok(known),
        };
        let relative = Path::new(std::ffi::OsStr::from_bytes(&self.path[self.root_length..]));
        if kind.is_ok_and(|kind| self.exclusions.by_pattern(relative, kind == FileType::Directory)) {
            self.passport.excluded += 1;
            return Ok(());
        }
        let opened = match kind {
            Ok(FileType::Directory) => open_directory(parent, name),
            Ok(FileType::RegularFile) => open_file(parent, name),
            Ok(_) => {
                let place = PathBuf::from(format!("/proc/self/fd/{}", parent.as_raw_fd())).join(name);
                let target = rustix::fs::readlinkat(parent, name, Vec::new()).map(std::ffi::CString::into_bytes);
                return match look() {
                    Ok(status) => self.special(&status, target, &place),
                    Err(error) => {
                        self.unreadable(error);
                        Ok(())
                    }
                };
            }
            Err(error) => Err(error),
        };
        match opened.and_then(|fd| rustix::fs::fstat(&fd).map(|status| (fd, status))) {
            Ok((fd, status)) => self.opened(fd, &status, kind.ok()),
            // Nobody but its owner may even look at some file systems of users.
            Err(_) if self.mounted_here() != Mounted::Nothing => {
                self.other_file_system();
                Ok(())
            }
            Err(error) => {
                self.unreadable(error);
                Ok(())
            }
        }
    }

    fn mounted_here(&self) -> Mounted<'_> {
        self.mounts.at(Path::new(std::ffi::OsStr::from_bytes(&self.path[self.root_length.min(self.path.len())..])))
    }

    /// Leaves out what lies on another file system, and says so unless it holds nothing of anybody's.
    fn other_file_system(&mut self) {
        let kind = match self.mounted_here() {
            Mounted::Pseudo => None,
            Mounted::Data(kind) => Some(kind.to_owned()),
            Mounted::Nothing => Some("a subvolume, or mounted meanwhile".to_owned()),
        };
        self.passport.excluded += 1;
        if let Some(kind) = kind {
            self.warn(&format!(
                "NOT IN THE BACKUP: another file system ({kind}) lies here; back it up as a [[directory]] of its own, or write one_file_system = false, or exclude it"
            ));
        }
    }

    /// What counts is what was opened, not what the directory's listing said before.
    fn opened(&mut self, fd: OwnedFd, status: &Stat, listed: Option<FileType>) -> Result<(), FilesError> {
        match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => self.enter(fd, status),
            FileType::RegularFile if self.exclusions.by_size(size_of(status)) => {
                self.passport.excluded += 1;
                Ok(())
            }
            kind @ FileType::RegularFile if listed == Some(kind) => self.file(fd, status),
            _ => {
                self.unstable("it was replaced by something else while it was read, and is not in the backup");
                Ok(())
            }
        }
    }

    fn special(&mut self, status: &Stat, target: Result<Vec<u8>, Errno>, place: &Path) -> Result<(), FilesError> {
        let kind = match FileType::from_raw_mode(status.st_mode) {
            FileType::Symlink => EntryKind::Symlink,
            FileType::Fifo => EntryKind::Fifo,
            FileType::CharacterDevice => EntryKind::CharDevice,
            FileType::BlockDevice => EntryKind::BlockDevice,
            FileType::Socket => {
                // A socket is made by its server at every start; no archive can hold one.
                tracing::info!(path = %self.shown(), "a socket is left out");
                self.passport.excluded += 1;
                return Ok(());
            }
            _ => {
                self.unstable("it was replaced by something else while it was read, and is not in the backup");
                return Ok(());
            }
        };
        let born = || rustix::fs::statx(rustix::fs::CWD, place, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BTIME).ok();
        if self.second_name(status, || life(status, born().as_ref()))? {
            return Ok(());
        }
        let mut entry = self.entry(status, kind);
        if kind == EntryKind::Symlink {
            match target {
                Ok(target) => entry.link = target,
                Err(error) => {
                    self.unreadable(error);
                    return Ok(());
                }
            }
        }
        entry.device = (rustix::fs::major(status.st_rdev), rustix::fs::minor(status.st_rdev));
        entry.xattrs = self.xattrs(Place::Path(place));
        self.passport.others += 1;
        self.put_empty(&entry)?;
        self.remember(status, || life(status, born().as_ref()));
        Ok(())
    }

    fn file(&mut self, fd: OwnedFd, status: &Stat) -> Result<(), FilesError> {
        let born = |fd: &OwnedFd| rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::BTIME).ok();
        if self.second_name(status, || life(status, born(&fd).as_ref()))? {
            return Ok(());
        }
        // Before its content is read: what is written to it meanwhile changes nothing of who it is.
        let life = if status.st_nlink > 1 { life(status, born(&fd).as_ref()) } else { 0 };
        let mut entry = self.entry(status, EntryKind::File);
        entry.size = size_of(status);
        entry.xattrs = self.xattrs(Place::Open(fd.as_fd()));
        let allocated = u64::try_from(status.st_blocks).unwrap_or(0).saturating_mul(512);
        if allocated < entry.size {
            entry.extents = content::extents(fd.as_fd(), entry.size);
            rustix::fs::seek(&fd, rustix::fs::SeekFrom::Start(0)).ok();
        }
        if entry.size > READ_SIZE as u64 {
            // Advice: it may be refused without harm.
            rustix::fs::fadvise(&fd, 0, None, rustix::fs::Advice::Sequential).ok();
        }
        self.tar.begin(&entry).map_err(|source| self.output(source))?;
        let mut file = File::from(fd);
        let copied = content::copy(&mut file, &entry, self.tar, (&mut self.buffer, self.cancel));
        let trouble = copied.map_err(|error| match error {
            ContentError::Output(source) => self.output(source),
            ContentError::Cancelled => FilesError::Cancelled,
        })?;
        self.tar.end().map_err(|source| self.output(source))?;
        self.passport.files += 1;
        self.passport.bytes += entry.stored();
        self.meter.add_items(1);
        let after = rustix::fs::fstat(&file).ok();
        match (trouble, after) {
            (Some(trouble @ Trouble::Unreadable(_)), _) => self.lost(&trouble.message()),
            (Some(trouble), _) => self.unstable(&trouble.message()),
            (None, Some(after)) if !changed(status, &after) => {}
            (None, Some(after)) if size_of(&after) > entry.size => {
                self.unstable(&format!("it grew while it was read: the backup holds its first {} bytes", entry.size));
            }
            _ => self.unstable("it changed while it was read: the backup may hold a mixture of its old and its new content"),
        }
        self.remember(status, || life);
        Ok(())
    }

    /// Archives a hard link, if the file has been archived under another name.
    fn second_name(&mut self, status: &Stat, life: impl FnOnce() -> u64) -> Result<bool, FilesError> {
        let Some(first) = self.links.second_name(status, life) else { return Ok(false) };
        let mut entry = self.entry(status, EntryKind::HardLink);
        entry.link = first;
        self.passport.others += 1;
        self.put_empty(&entry).map(|()| true)
    }

    /// Remembers a file that has further names, after it was archived under its first.
    fn remember(&mut self, status: &Stat, life: impl FnOnce() -> u64) {
        if !self.links.remember(status, &self.path, life) && !self.links_full {
            self.links_full = true;
            self.warn("more files with several names than are remembered at once: from here on such a file may be archived whole under each of its names");
        }
    }

    fn put_empty(&mut self, entry: &Entry) -> Result<(), FilesError> {
        let written = self.tar.begin(entry).and_then(|()| self.tar.end());
        written.map_err(|source| self.output(source))
    }

    fn entry(&self, status: &Stat, kind: EntryKind) -> Entry {
        let nanoseconds = u32::try_from(status.st_mtime_nsec).unwrap_or(0);
        Entry {
            kind,
            uid: status.st_uid,
            gid: status.st_gid,
            user: self.accounts.user(status.st_uid).to_vec(),
            group: self.accounts.group(status.st_gid).to_vec(),
            mtime: FileTime { seconds: status.st_mtime, nanoseconds },
            ..Entry::file(&self.path, status.st_mode & 0o7777, 0)
        }
    }

    fn xattrs(&mut self, place: Place<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
        let (found, trouble) = self.attributes.read(place);
        if let Some(trouble) = trouble {
            self.warn(&trouble);
        }
        found
    }

    fn unreadable(&mut self, error: Errno) {
        match error {
            Errno::NOENT => self.unstable("it vanished before it could be read, and is not in the backup"),
            Errno::LOOP | Errno::NOTDIR | Errno::NXIO => {
                self.unstable("it was replaced by something else while it was read, and is not in the backup");
            }
            error => self.lost(&format!("it could not be read and is not in the backup: {error}")),
        }
    }

    fn unstable(&mut self, message: &str) {
        self.passport.unstable += 1;
        self.warn(message);
    }

    /// Something that should be in the backup and is not, wholly or in part.
    fn lost(&mut self, message: &str) {
        self.passport.unreadable += 1;
        if self.passport.unreadable_paths.len() < UNREADABLE_KEPT {
            let path = self.shown();
            self.passport.unreadable_paths.push(path);
        }
        self.warn(message);
    }

    fn warn(&self, message: &str) {
        self.warnings.push(self.shown(), message);
    }

    fn shown(&self) -> String {
        format!("/{}", String::from_utf8_lossy(&self.path))
    }

    fn output(&self, source: io::Error) -> FilesError {
        FilesError::Output { path: self.root.to_path_buf(), source }
    }
}

/// Opens without following links and, where that is allowed (owner or root), without a new access time.
fn open(parent: &OwnedFd, name: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::openat(parent, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => rustix::fs::openat(parent, name, flags, Mode::empty()),
        other => other,
    }
}

fn open_directory(parent: &OwnedFd, name: impl AsRef<Path>) -> Result<OwnedFd, Errno> {
    open(parent, name.as_ref(), OFlags::DIRECTORY)
}

fn open_file(parent: &OwnedFd, name: &Path) -> Result<OwnedFd, Errno> {
    open(parent, name, OFlags::empty())
}

fn size_of(status: &Stat) -> u64 {
    u64::try_from(status.st_size).unwrap_or(0)
}

fn changed(before: &Stat, after: &Stat) -> bool {
    let what = |status: &Stat| (status.st_size, status.st_mtime, status.st_mtime_nsec);
    what(before) != what(after)
}
