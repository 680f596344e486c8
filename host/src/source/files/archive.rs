//! Reads a directory into a tar. A file that changes while it is read never breaks the archive: its entry has exactly the
//! length that its header announced, cut or padded with zeros, and the file is named in a warning.
//!
//! The walk holds directories open and goes down by `openat` without following links, so that nobody who renames
//! directories meanwhile can lead it astray, and paths may be longer than PATH_MAX. Entries are sorted by name.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, SeekFrom as RawSeek, Stat};
use tokio_util::sync::CancellationToken;

use super::exclude::Exclusions;
use crate::pipeline::tar::{Entry, EntryKind, FileTime, TarWriter};
use crate::ports::{DirectoryPassport, DirectorySettings, Meter, Warnings};

/// Bytes read from a file at once.
const READ_SIZE: usize = 256 << 10;
/// A file in more pieces than this is archived with its holes written out.
const EXTENTS_KEPT: usize = 100_000;
/// Largest value of one extended attribute (Linux: XATTR_SIZE_MAX).
const XATTR_MAX: usize = 64 << 10;

/// Why a directory cannot be archived.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The directory itself cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Root {
        /// The configured path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
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

/// Archives one directory, or one file.
///
/// # Errors
/// When the root cannot be read, the output fails, or `cancel` fires. What happens to single files is a warning.
pub fn archive<W: Write>(
    settings: &DirectorySettings,
    tar: &mut TarWriter<W>,
    report: (&Warnings, &Meter),
    cancel: &CancellationToken,
) -> Result<DirectoryPassport, FilesError> {
    let root = |source: rustix::io::Errno| FilesError::Root { path: settings.path.clone(), source: source.into() };
    let status = rustix::fs::stat(&settings.path).map_err(root)?;
    let exclusions = Exclusions::new(settings, status.st_dev).map_err(|source| FilesError::Pattern { path: settings.path.clone(), source })?;
    let (warnings, meter) = report;
    let passport = DirectoryPassport { path: settings.path.to_string_lossy().into_owned(), ..DirectoryPassport::default() };
    let mut walk = Walk { root: &settings.path, exclusions, tar, warnings, meter, cancel, passport, links: HashMap::new(), buffer: vec![0; READ_SIZE] };
    let name: Vec<u8> = settings.path.as_os_str().as_bytes().iter().copied().skip_while(|byte| *byte == b'/').collect();
    let name = name.strip_suffix(b"/").unwrap_or(&name).to_vec();
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = rustix::fs::open(&settings.path, flags, Mode::empty()).map_err(root)?;
    if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
        walk.directory(fd, &status, name, &mut PathBuf::new())?;
    } else {
        walk.file(fd, name)?;
    }
    Ok(walk.passport)
}

struct Walk<'a, W: Write> {
    root: &'a Path,
    exclusions: Exclusions,
    tar: &'a mut TarWriter<W>,
    warnings: &'a Warnings,
    meter: &'a Meter,
    cancel: &'a CancellationToken,
    passport: DirectoryPassport,
    /// First archived path of files with several names.
    links: HashMap<(u64, u64), Vec<u8>>,
    buffer: Vec<u8>,
}

impl<W: Write> Walk<'_, W> {
    fn directory(&mut self, fd: OwnedFd, status: &Stat, name: Vec<u8>, relative: &mut PathBuf) -> Result<(), FilesError> {
        let cache = self.exclusions.is_cache(fd.as_fd());
        let mut entry = entry_of(status, EntryKind::Directory, [name.as_slice(), b"/"].concat());
        if name.is_empty() {
            entry.path = b"./".to_vec();
        }
        entry.xattrs = self.xattrs(fd.as_fd(), &name);
        self.put_empty(&entry)?;
        self.passport.directories += 1;
        if cache {
            self.passport.excluded += 1;
            return Ok(());
        }
        for child in self.children(fd.as_fd(), &name) {
            if self.cancel.is_cancelled() {
                return Err(FilesError::Cancelled);
            }
            relative.push(&child);
            let child_name = if name.is_empty() { child.as_bytes().to_vec() } else { [name.as_slice(), b"/", child.as_bytes()].concat() };
            let done = self.child(fd.as_fd(), &child, child_name, relative);
            relative.pop();
            done?;
        }
        Ok(())
    }

    /// Names in a directory, sorted.
    fn children(&mut self, fd: BorrowedFd<'_>, name: &[u8]) -> Vec<OsString> {
        let listed = Dir::read_from(fd).and_then(|directory| {
            let entries: Result<Vec<_>, _> = directory.collect();
            entries
        });
        match listed {
            Ok(entries) => {
                let names = entries.iter().map(|entry| entry.file_name().to_bytes()).filter(|name| !matches!(*name, b"." | b".."));
                let mut names: Vec<OsString> = names.map(|name| OsString::from_vec(name.to_vec())).collect();
                names.sort_unstable();
                names
            }
            Err(error) => {
                self.warn(name, format!("the directory could not be listed and is empty in the backup: {error}"));
                Vec::new()
            }
        }
    }

    fn child(&mut self, parent: BorrowedFd<'_>, child: &OsStr, name: Vec<u8>, relative: &mut PathBuf) -> Result<(), FilesError> {
        let status = match rustix::fs::statat(parent, child, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => status,
            Err(error) => return self.vanished(&name, error),
        };
        let kind = FileType::from_raw_mode(status.st_mode);
        let size = u64::try_from(status.st_size).unwrap_or(0);
        let is_directory = kind == FileType::Directory;
        let too_large = kind == FileType::RegularFile && self.exclusions.by_size(size);
        let elsewhere = is_directory && self.exclusions.by_device(status.st_dev);
        if self.exclusions.by_pattern(relative, is_directory) || too_large || elsewhere {
            self.passport.excluded += 1;
            return Ok(());
        }
        if !is_directory && status.st_nlink > 1 {
            let inode = (status.st_dev, status.st_ino);
            if let Some(first) = self.links.get(&inode) {
                let mut entry = entry_of(&status, EntryKind::HardLink, name);
                entry.link.clone_from(first);
                self.passport.others += 1;
                return self.put_empty(&entry);
            }
            if kind != FileType::Socket {
                self.links.insert(inode, name.clone());
            }
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match kind {
            FileType::Directory => match rustix::fs::openat(parent, child, flags | OFlags::DIRECTORY, Mode::empty()) {
                Ok(fd) => self.directory(fd, &status, name, relative),
                Err(error) => self.vanished(&name, error),
            },
            FileType::RegularFile => match rustix::fs::openat(parent, child, flags, Mode::empty()) {
                Ok(fd) => self.file(fd, name),
                Err(error) => {
                    self.links.remove(&(status.st_dev, status.st_ino));
                    self.vanished(&name, error)
                }
            },
            _ => self.special(parent, child, &status, name),
        }
    }

    fn special(&mut self, parent: BorrowedFd<'_>, child: &OsStr, status: &Stat, name: Vec<u8>) -> Result<(), FilesError> {
        let kind = match FileType::from_raw_mode(status.st_mode) {
            FileType::Symlink => EntryKind::Symlink,
            FileType::Fifo => EntryKind::Fifo,
            FileType::CharacterDevice => EntryKind::CharDevice,
            FileType::BlockDevice => EntryKind::BlockDevice,
            // A socket is made by its server at every start; no archive can hold one.
            _ => return Ok(()),
        };
        let mut entry = entry_of(status, kind, name);
        if kind == EntryKind::Symlink {
            match rustix::fs::readlinkat(parent, child, Vec::new()) {
                Ok(target) => entry.link = target.into_bytes(),
                Err(error) => return self.vanished(&entry.path, error),
            }
        }
        entry.device = (rustix::fs::major(status.st_rdev), rustix::fs::minor(status.st_rdev));
        self.passport.others += 1;
        self.put_empty(&entry)
    }

    fn file(&mut self, fd: OwnedFd, name: Vec<u8>) -> Result<(), FilesError> {
        // What counts is the file that was opened, not the one that was looked at before.
        let status = match rustix::fs::fstat(&fd) {
            Ok(status) => status,
            Err(error) => return self.vanished(&name, error),
        };
        let mut entry = entry_of(&status, EntryKind::File, name);
        entry.size = u64::try_from(status.st_size).unwrap_or(0);
        entry.xattrs = self.xattrs(fd.as_fd(), &entry.path);
        let allocated = u64::try_from(status.st_blocks).unwrap_or(0).saturating_mul(512);
        if allocated < entry.size {
            entry.extents = extents(fd.as_fd(), entry.size);
        }
        self.tar.begin(&entry).map_err(|source| self.output(source))?;
        let mut file = std::fs::File::from(fd);
        let trouble = self.content(&mut file, &entry)?;
        self.tar.end().map_err(|source| self.output(source))?;
        self.passport.files += 1;
        self.passport.bytes += entry.stored();
        self.meter.add_items(1);
        let after = rustix::fs::fstat(&file).ok();
        let changed = after.is_none_or(|after| (after.st_size, after.st_mtime, after.st_mtime_nsec) != (status.st_size, status.st_mtime, status.st_mtime_nsec));
        match trouble {
            Some(trouble) => self.unstable(&entry.path, &trouble),
            None if changed => self.unstable(&entry.path, "it changed while it was read: the backup may hold a mixture of its old and new content"),
            None => {}
        }
        Ok(())
    }

    /// Writes exactly the stored bytes of `entry`; what the file does not give is zeros.
    fn content(&mut self, file: &mut std::fs::File, entry: &Entry) -> Result<Option<String>, FilesError> {
        let whole = [(0, entry.size)];
        let mut trouble = None;
        for (offset, length) in entry.extents.as_deref().unwrap_or(&whole) {
            let mut left = *length;
            if entry.extents.is_some() && trouble.is_none() {
                trouble = file.seek(SeekFrom::Start(*offset)).err().map(|error| format!("it could not be read to its end ({error}); the rest is zeros"));
            }
            while left > 0 {
                if self.cancel.is_cancelled() {
                    return Err(FilesError::Cancelled);
                }
                let want = usize::try_from(left).unwrap_or(READ_SIZE).min(READ_SIZE);
                let got = if trouble.is_some() { Ok(0) } else { read_some(file, &mut self.buffer[..want]) };
                let count = match got {
                    Ok(count) if count > 0 => count,
                    Ok(_) => {
                        trouble.get_or_insert_with(|| "it became shorter while it was read; the rest is zeros".to_owned());
                        self.buffer[..want].fill(0);
                        want
                    }
                    Err(error) => {
                        trouble = Some(format!("it could not be read to its end ({error}); the rest is zeros"));
                        continue;
                    }
                };
                self.tar.data(&self.buffer[..count]).map_err(|source| self.output(source))?;
                left -= count as u64;
            }
        }
        Ok(trouble)
    }

    fn put_empty(&mut self, entry: &Entry) -> Result<(), FilesError> {
        let written = self.tar.begin(entry).and_then(|()| self.tar.end());
        written.map_err(|source| self.output(source))
    }

    fn xattrs(&mut self, fd: BorrowedFd<'_>, name: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut names = vec![0; XATTR_MAX];
        let length = match rustix::fs::flistxattr(fd, names.as_mut_slice()) {
            Ok(length) => length,
            Err(rustix::io::Errno::NOTSUP) => 0,
            Err(error) => {
                self.warn(name, format!("its extended attributes could not be listed and are not in the backup: {error}"));
                0
            }
        };
        let mut found = Vec::new();
        for attribute in names[..length].split(|byte| *byte == 0).filter(|attribute| !attribute.is_empty()) {
            let mut value = vec![0; XATTR_MAX];
            if let Ok(length) = rustix::fs::fgetxattr(fd, attribute, value.as_mut_slice()) {
                value.truncate(length);
                found.push((attribute.to_vec(), value));
            }
        }
        found.sort();
        found
    }

    fn vanished(&mut self, name: &[u8], error: rustix::io::Errno) -> Result<(), FilesError> {
        if matches!(error, rustix::io::Errno::NOENT | rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR) {
            self.unstable(name, "it vanished before it could be read, and is not in the backup");
        } else {
            self.warn(name, format!("it could not be read and is not in the backup: {error}"));
        }
        Ok(())
    }

    fn unstable(&mut self, name: &[u8], message: &str) {
        self.passport.unstable += 1;
        self.warn(name, message.to_owned());
    }

    fn warn(&self, name: &[u8], message: String) {
        self.warnings.push(format!("/{}", String::from_utf8_lossy(name)), message);
    }

    fn output(&self, source: io::Error) -> FilesError {
        FilesError::Output { path: self.root.to_path_buf(), source }
    }
}

fn read_some(file: &mut std::fs::File, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn entry_of(status: &Stat, kind: EntryKind, path: Vec<u8>) -> Entry {
    let nanoseconds = u32::try_from(status.st_mtime_nsec).unwrap_or(0);
    Entry {
        mode: status.st_mode & 0o7777,
        uid: status.st_uid,
        gid: status.st_gid,
        mtime: FileTime { seconds: status.st_mtime, nanoseconds },
        kind,
        ..Entry::file(&path, 0, 0)
    }
}

/// The extents that hold data, or `None` where the file system does not say or there are too many.
fn extents(fd: BorrowedFd<'_>, size: u64) -> Option<Vec<(u64, u64)>> {
    let (mut extents, mut position) = (Vec::new(), 0);
    while position < size {
        let data = match rustix::fs::seek(fd, RawSeek::Data(position)) {
            Ok(data) => data,
            Err(rustix::io::Errno::NXIO) => break,
            Err(_) => return None,
        };
        let hole = rustix::fs::seek(fd, RawSeek::Hole(data)).ok()?.min(size);
        if data >= hole {
            break;
        }
        if extents.len() == EXTENTS_KEPT {
            return None;
        }
        extents.push((data, hole - data));
        position = hole;
    }
    rustix::fs::seek(fd, RawSeek::Start(0)).ok()?;
    Some(extents)
}
