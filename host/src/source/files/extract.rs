//! Makes files of a tar again, inside one directory and nowhere else.
//!
//! Every path is resolved by the kernel beneath the target and without symbolic links (`openat2`), so neither the archive
//! nor what lies in the target already can lead a write outside. Nothing is replaced unless the caller says so.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use globset::GlobSet;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use crate::pipeline::tar::{Entry, EntryKind, TarError, TarReader};
use crate::ports::{Meter, Warnings};

const COPY_SIZE: usize = 256 << 10;

/// Which entries are wanted.
#[derive(Debug, Clone)]
pub enum Selection {
    /// All.
    All,
    /// Those at or below a path, without leading slash.
    Below(PathBuf),
    /// Those whose path, or a directory above it, matches a pattern; paths are relative to `/`.
    Glob(GlobSet),
}

impl Selection {
    /// Whether the entry with this path is wanted.
    pub fn wants(&self, path: &Path) -> bool {
        match self {
            Self::All => true,
            Self::Below(root) => path.starts_with(root),
            Self::Glob(globs) => path.ancestors().any(|ancestor| !ancestor.as_os_str().is_empty() && globs.is_match(ancestor)),
        }
    }
}

/// How to extract.
#[derive(Debug, Clone)]
pub struct ExtractOptions {
    /// Which entries.
    pub selection: Selection,
    /// Replace files that are there already.
    pub overwrite: bool,
    /// Restore owners; needs root.
    pub owners: bool,
}

/// What was extracted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct ExtractReport {
    /// Files, directories, links and the rest.
    pub entries: u64,
    /// Bytes of content.
    pub bytes: u64,
}

/// Why an archive cannot be extracted.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// The target cannot be used.
    #[error("cannot use `{}` as the place to restore to: {source}", path.display())]
    Target {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The archive cannot be read.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// An entry wants to go outside.
    #[error("the archive holds the path `{0}`, which leads outside the place to restore to; nothing is written for it")]
    Outside(String),
    /// Something is there already.
    #[error("`{0}` exists already; restore to another place, or repeat with --force to replace files")]
    Exists(String),
    /// Writing failed.
    #[error("cannot write `{path}`: {source}")]
    Write {
        /// The entry.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// Somebody cancelled.
    #[error("cancelled")]
    Cancelled,
}

/// Extracts a tar below `target`, which is made if it is missing.
///
/// # Errors
/// On the first thing that cannot be restored as it was; what was written until then stays.
pub fn extract(
    tar: impl Read,
    target: &Path,
    options: &ExtractOptions,
    report: (&Warnings, &Meter),
    cancel: &CancellationToken,
) -> Result<ExtractReport, ExtractError> {
    let unusable = |source| ExtractError::Target { path: target.to_path_buf(), source };
    std::fs::create_dir_all(target).map_err(unusable)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(target, flags, Mode::empty()).map_err(|error| unusable(error.into()))?;
    let (warnings, meter) = report;
    let mut work = Extraction { root, options, warnings, meter, parent: None, directories: Vec::new(), buffer: vec![0; COPY_SIZE] };
    let mut reader = TarReader::new(tar);
    let mut done = ExtractReport::default();
    while let Some(entry) = reader.next_entry()? {
        if cancel.is_cancelled() {
            return Err(ExtractError::Cancelled);
        }
        let path = safe_path(&entry.path)?;
        if !options.selection.wants(&path) {
            continue;
        }
        work.entry(&entry, &path, &mut reader)?;
        done.entries += 1;
        done.bytes += entry.stored();
        meter.add_items(1);
    }
    work.finish_directories()?;
    Ok(done)
}

/// The path of an entry, made of plain names only.
fn safe_path(raw: &[u8]) -> Result<PathBuf, ExtractError> {
    let outside = || ExtractError::Outside(String::from_utf8_lossy(raw).into_owned());
    if raw.starts_with(b"/") || raw.contains(&0) {
        return Err(outside());
    }
    let mut path = PathBuf::new();
    for part in raw.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(outside()),
            name => path.push(std::ffi::OsStr::from_bytes(name)),
        }
    }
    Ok(path)
}

struct Extraction<'a> {
    root: OwnedFd,
    options: &'a ExtractOptions,
    warnings: &'a Warnings,
    meter: &'a Meter,
    /// The directory that the last entry went to: most entries have the same as the one before.
    parent: Option<(PathBuf, OwnedFd)>,
    /// Directories get their attributes last, when nothing is written into them any more.
    directories: Vec<(PathBuf, Entry)>,
    buffer: Vec<u8>,
}

impl Extraction<'_> {
    fn entry(&mut self, entry: &Entry, path: &Path, content: &mut impl Read) -> Result<(), ExtractError> {
        let Some(name) = path.file_name().map(std::ffi::OsStr::to_os_string) else {
            self.directories.push((path.to_path_buf(), entry.clone()));
            return Ok(());
        };
        let parent = path.parent().unwrap_or(Path::new(""));
        let failed = |source: Errno| ExtractError::Write { path: path.display().to_string(), source: source.into() };
        self.open_parent(parent).map_err(failed)?;
        let Some((_, parent)) = &self.parent else { return Err(failed(Errno::NOENT)) };
        let name = name.as_os_str();
        if entry.kind == EntryKind::Directory {
            match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
                Ok(()) => {}
                Err(Errno::EXIST) if is_directory(parent, name) => {}
                Err(Errno::EXIST) => return Err(ExtractError::Exists(path.display().to_string())),
                Err(error) => return Err(failed(error)),
            }
            self.directories.push((path.to_path_buf(), entry.clone()));
            return Ok(());
        }
        if rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            if !self.options.overwrite || is_directory(parent, name) {
                return Err(ExtractError::Exists(path.display().to_string()));
            }
            rustix::fs::unlinkat(parent, name, AtFlags::empty()).map_err(failed)?;
        }
        match entry.kind {
            EntryKind::File => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = File::from(rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR).map_err(failed)?);
                self.content(&file, entry, path, content)?;
                self.attributes(&file, entry, path)
            }
            EntryKind::HardLink => self.hard_link(entry, path, name),
            EntryKind::Symlink => {
                rustix::fs::symlinkat(entry.link.as_slice(), parent, name).map_err(failed)?;
                self.owner_and_time_of(entry, path, name)
            }
            _ => self.special(entry, path, name),
        }
    }

    fn content(&mut self, mut file: &File, entry: &Entry, path: &Path, content: &mut impl Read) -> Result<(), ExtractError> {
        let failed = |source| ExtractError::Write { path: path.display().to_string(), source };
        let whole = [(0, entry.size)];
        for (offset, length) in entry.extents.as_deref().unwrap_or(&whole) {
            if entry.extents.is_some() {
                file.seek(SeekFrom::Start(*offset)).map_err(failed)?;
            }
            let mut left = *length;
            while left > 0 {
                let want = usize::try_from(left).unwrap_or(COPY_SIZE).min(COPY_SIZE);
                let count = content.read(&mut self.buffer[..want]).map_err(TarError::from)?;
                if count == 0 {
                    return Err(TarError::Truncated("an entry's content is cut").into());
                }
                file.write_all(&self.buffer[..count]).map_err(failed)?;
                self.meter.add_plain(count as u64);
                left -= count as u64;
            }
        }
        if entry.extents.is_some() {
            file.set_len(entry.size).map_err(failed)?;
        }
        Ok(())
    }

    /// Owner first: a change of owner clears setuid and setgid, and attributes may need the owner.
    fn attributes(&self, file: impl AsFd, entry: &Entry, path: &Path) -> Result<(), ExtractError> {
        let failed = |source: Errno| ExtractError::Write { path: path.display().to_string(), source: source.into() };
        if self.options.owners {
            let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
            rustix::fs::fchown(&file, Some(uid), Some(gid)).map_err(failed)?;
        }
        rustix::fs::fchmod(&file, Mode::from_raw_mode(entry.mode)).map_err(failed)?;
        for (name, value) in &entry.xattrs {
            if let Err(error) = rustix::fs::fsetxattr(&file, name.as_slice(), value, XattrFlags::empty()) {
                self.warnings.push(path.display().to_string(), format!("its attribute `{}` could not be restored: {error}", String::from_utf8_lossy(name)));
            }
        }
        rustix::fs::futimens(&file, &times(entry)).map_err(failed)
    }

    fn hard_link(&mut self, entry: &Entry, path: &Path, name: &std::ffi::OsStr) -> Result<(), ExtractError> {
        let first = safe_path(&entry.link)?;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Some((_, parent)) = &self.parent else { return Ok(()) };
        let linked = rustix::fs::openat2(&self.root, &first, flags, Mode::empty(), beneath).and_then(|_| rustix::fs::linkat(&self.root, &first, parent, name, AtFlags::empty()));
        if let Err(error) = linked {
            if self.options.selection.wants(&first) {
                return Err(ExtractError::Write { path: path.display().to_string(), source: error.into() });
            }
            let message = format!("it is a second name of `/{}`, which was not selected, so it was not restored; restore that path too", first.display());
            self.warnings.push(path.display().to_string(), message);
        }
        Ok(())
    }

    fn special(&self, entry: &Entry, path: &Path, name: &std::ffi::OsStr) -> Result<(), ExtractError> {
        let Some((_, parent)) = &self.parent else { return Ok(()) };
        let (kind, device) = match entry.kind {
            EntryKind::CharDevice => (FileType::CharacterDevice, rustix::fs::makedev(entry.device.0, entry.device.1)),
            EntryKind::BlockDevice => (FileType::BlockDevice, rustix::fs::makedev(entry.device.0, entry.device.1)),
            _ => (FileType::Fifo, 0),
        };
        if let Err(error) = rustix::fs::mknodat(parent, name, kind, Mode::from_raw_mode(entry.mode), device) {
            self.warnings.push(path.display().to_string(), format!("the device could not be made: {error}"));
            return Ok(());
        }
        let failed = |source: Errno| ExtractError::Write { path: path.display().to_string(), source: source.into() };
        self.owner_and_time_of(entry, path, name)?;
        rustix::fs::chmodat(parent, name, Mode::from_raw_mode(entry.mode), AtFlags::empty()).map_err(failed)
    }

    fn owner_and_time_of(&self, entry: &Entry, path: &Path, name: &std::ffi::OsStr) -> Result<(), ExtractError> {
        let failed = |source: Errno| ExtractError::Write { path: path.display().to_string(), source: source.into() };
        let Some((_, parent)) = &self.parent else { return Ok(()) };
        if self.options.owners {
            let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
            rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        }
        rustix::fs::utimensat(parent, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)
    }

    /// Opens the directory that an entry goes to, making what is missing on the way.
    fn open_parent(&mut self, path: &Path) -> Result<(), Errno> {
        if self.parent.as_ref().is_some_and(|(open, _)| open == path) {
            return Ok(());
        }
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut directory = rustix::fs::openat2(&self.root, ".", flags, Mode::empty(), beneath)?;
        for name in path {
            directory = match rustix::fs::openat2(&directory, name, flags, Mode::empty(), beneath) {
                Err(Errno::NOENT) => {
                    rustix::fs::mkdirat(&directory, name, Mode::from_raw_mode(0o755))?;
                    rustix::fs::openat2(&directory, name, flags, Mode::empty(), beneath)?
                }
                other => other?,
            };
        }
        self.parent = Some((path.to_path_buf(), directory));
        Ok(())
    }

    fn finish_directories(&mut self) -> Result<(), ExtractError> {
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        for (path, entry) in std::mem::take(&mut self.directories).into_iter().rev() {
            let place = if path.as_os_str().is_empty() { Path::new(".") } else { &path };
            let opened = rustix::fs::openat2(&self.root, place, flags, Mode::empty(), beneath);
            let directory = opened.map_err(|error| ExtractError::Write { path: path.display().to_string(), source: error.into() })?;
            self.attributes(&directory, &entry, &path)?;
        }
        Ok(())
    }
}

fn is_directory(parent: &OwnedFd, name: &std::ffi::OsStr) -> bool {
    rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|status| FileType::from_raw_mode(status.st_mode) == FileType::Directory)
}

fn times(entry: &Entry) -> Timestamps {
    let time = Timespec { tv_sec: entry.mtime.seconds, tv_nsec: i64::from(entry.mtime.nanoseconds) };
    Timestamps { last_access: time, last_modification: time }
}
