//! Makes files of a tar again, inside one directory and nowhere else.
//!
//! Every path is resolved by the kernel beneath the target and without symbolic links (`openat2`), so neither the archive
//! nor what lies in the target already can lead a write outside. Nothing is replaced unless the caller says so, and what is replaced
//! stays until its successor is whole: a file has a temporary name until then, which a later restore removes if this one is killed.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use globset::GlobMatcher;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RawDir, RenameFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use super::accounts::Accounts;
use super::beneath::{Beneath, Parent, gives_acl};
use crate::pipeline::tar::{Entry, EntryKind, TarError, TarReader};
use crate::ports::{Meter, Warnings};

pub(super) const COPY_SIZE: usize = 256 << 10;
/// Most hard links to files outside the selection that are remembered for a second reading.
const MISSING_LINKS_MAX: usize = 100_000;
/// Bytes of names and attributes of directories that are being filled.
const HELD_MAX: usize = 64 << 20;
/// What the name of something begins with that is not whole yet; sixteen hex digits follow.
const TEMPORARY: &str = ".cofre-restore~";
const ACLS: [&str; 2] = ["system.posix_acl_access", "system.posix_acl_default"];

/// Which entries are wanted.
#[derive(Debug, Clone)]
pub enum Selection {
    /// All.
    All,
    /// Those at or below a path, without leading slash.
    Below(PathBuf),
    /// Those whose path, or a directory above it, matches a pattern; paths are relative to `/`.
    Glob(GlobMatcher),
}

impl Selection {
    /// Whether the entry with this path is wanted.
    pub fn wants(&self, path: &Path) -> bool {
        match self {
            Self::All => true,
            Self::Below(root) => path.starts_with(root),
            Self::Glob(glob) => path.ancestors().any(|ancestor| !ancestor.as_os_str().is_empty() && glob.is_match(ancestor)),
        }
    }
}

/// How to extract.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "four independent switches of the command line")]
pub struct ExtractOptions {
    /// Which entries.
    pub selection: Selection,
    /// Replace files that are there already.
    pub overwrite: bool,
    /// Restore owners; needs root. Without it, setuid and setgid bits of other owners' files are not restored either.
    pub owners: bool,
    /// Restore an owner by its name where this machine has an account of that name, as GNU tar does, and else by its number.
    pub owner_names: bool,
    /// Restore extended attributes, ACLs and capabilities among them.
    pub xattrs: bool,
}

impl Default for ExtractOptions {
    /// Everything as it was, as far as this process may; nothing is replaced.
    fn default() -> Self {
        Self { selection: Selection::All, overwrite: false, owners: rustix::process::geteuid().is_root(), owner_names: true, xattrs: true }
    }
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
    /// A hard link's first name did not come.
    #[error("the archive holds hard links to `{0}`, but not that file; it was not made by cofre, or is damaged")]
    LostLink(String),
    /// Too many hard links lead out of the selection.
    #[error(
        "more than 100000 of the selected files are hard links to files outside the selection (such as `{0}`); select more, or everything"
    )]
    TooManyLinks(String),
    /// Nested directories have more attributes than memory is given to.
    #[error("the directories down to `{0}` have more than 64 MiB of names and attributes; it was not made by cofre, or is damaged")]
    TooManyAttributes(String),
    /// The output of a single file failed.
    #[error("cannot write the file's content to the output: {0}")]
    Output(#[source] io::Error),
    /// Somebody cancelled.
    #[error("cancelled")]
    Cancelled,
}

/// Extracts a tar below `target`, which is made if it is missing. A directory that is there already gets the archive's mode,
/// owner and times. A hard link to a file outside the selection has no content here: it becomes a warning
/// ([`extract_with_links`] restores it too). Directories above the selection that are missing are made with mode 0755.
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
    let mut work = Extraction::new(target, options, report, cancel)?;
    work.all(&mut TarReader::new(tar))?;
    for (first, names) in std::mem::take(&mut work.missing) {
        for name in names {
            let message = format!(
                "it is a second name of `/{}`, which was not selected, so it was not restored; restore that path too",
                first.display()
            );
            work.warnings.push(name.display().to_string(), message);
        }
    }
    Ok(work.done)
}

/// As [`extract`], for an archive that can be opened again: where the selection has hard links to files outside it, a second
/// reading gives them their content.
///
/// # Errors
/// As [`extract`]; and when the archive cannot be opened.
pub fn extract_with_links<R: Read>(
    mut open: impl FnMut() -> io::Result<R>,
    target: &Path,
    options: &ExtractOptions,
    report: (&Warnings, &Meter),
    cancel: &CancellationToken,
) -> Result<ExtractReport, ExtractError> {
    let mut work = Extraction::new(target, options, report, cancel)?;
    work.all(&mut TarReader::new(open().map_err(TarError::from)?))?;
    if !work.missing.is_empty() {
        work.missing_links(&mut TarReader::new(open().map_err(TarError::from)?))?;
    }
    Ok(work.done)
}

/// The path of an entry, made of plain names only.
pub(super) fn safe_path(raw: &[u8]) -> Result<PathBuf, ExtractError> {
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
    place: Beneath,
    options: &'a ExtractOptions,
    accounts: Accounts,
    warnings: &'a Warnings,
    meter: &'a Meter,
    cancel: &'a CancellationToken,
    /// Directories that are being filled, each below the one before: they get their attributes when they are left.
    directories: Vec<(PathBuf, Entry)>,
    /// Bytes of paths and attributes in `directories`.
    held: usize,
    /// Hard links whose first name is not selected, by that first name.
    missing: BTreeMap<PathBuf, Vec<PathBuf>>,
    missing_count: usize,
    /// Name of what is not whole yet: there is one such thing at a time.
    temporary: OsString,
    /// The last directory without an entry of its own that was looked through for what a killed restore left.
    swept: Option<PathBuf>,
    buffer: Vec<u8>,
    done: ExtractReport,
}

impl<'a> Extraction<'a> {
    fn new(
        target: &Path,
        options: &'a ExtractOptions,
        (warnings, meter): (&'a Warnings, &'a Meter),
        cancel: &'a CancellationToken,
    ) -> Result<Self, ExtractError> {
        let unusable = |source| ExtractError::Target { path: target.to_path_buf(), source };
        std::fs::create_dir_all(target).map_err(unusable)?;
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| unusable(io::Error::other(error.to_string())))?;
        Ok(Self {
            place: Beneath::open(target).map_err(|error| unusable(error.into()))?,
            options,
            accounts: if options.owner_names { Accounts::of_this_machine() } else { Accounts::default() },
            warnings,
            meter,
            cancel,
            directories: Vec::new(),
            held: 0,
            missing: BTreeMap::new(),
            missing_count: 0,
            temporary: format!("{TEMPORARY}{}", hex::encode(random)).into(),
            swept: None,
            buffer: vec![0; COPY_SIZE],
            done: ExtractReport::default(),
        })
    }

    fn all<R: Read>(&mut self, reader: &mut TarReader<R>) -> Result<(), ExtractError> {
        while let Some(entry) = reader.next_entry()? {
            if self.cancel.is_cancelled() {
                return Err(ExtractError::Cancelled);
            }
            let path = safe_path(&entry.path)?;
            if !self.options.selection.wants(&path) {
                continue;
            }
            self.leave_directories(&path)?;
            self.sweep_above(&path)?;
            self.entry(&entry, &path, reader)?;
        }
        self.finish_directories(0)
    }

    /// Second reading: the first names give their content to the links that need it.
    fn missing_links<R: Read>(&mut self, reader: &mut TarReader<R>) -> Result<(), ExtractError> {
        while let Some(entry) = reader.next_entry()? {
            if self.cancel.is_cancelled() {
                return Err(ExtractError::Cancelled);
            }
            let Some(names) = self.missing.remove(&safe_path(&entry.path)?) else { continue };
            let Some((first, further)) = names.split_first() else { continue };
            self.keeping_time(first, |work| work.entry(&entry, first, reader))?;
            for name in further {
                self.keeping_time(name, |work| work.link(first, name))?;
                self.count(&Entry::file(&[], 0, 0));
            }
        }
        match self.missing.pop_first() {
            Some((first, _)) => Err(ExtractError::LostLink(first.display().to_string())),
            None => Ok(()),
        }
    }

    /// Makes something in a directory that has its attributes already, and gives it its time again.
    fn keeping_time(&mut self, path: &Path, make: impl FnOnce(&mut Self) -> Result<(), ExtractError>) -> Result<(), ExtractError> {
        let failed = failed(path);
        let parent = self.place.parent(parent_of(path)).map_err(&failed)?;
        let status = rustix::fs::fstat(parent).map_err(&failed)?;
        make(self)?;
        let nanoseconds = i64::try_from(status.st_mtime_nsec).unwrap_or(0);
        let time = Timespec { tv_sec: status.st_mtime, tv_nsec: nanoseconds };
        let parent = self.place.parent(parent_of(path)).map_err(&failed)?;
        rustix::fs::futimens(parent, &Timestamps { last_access: time, last_modification: time }).map_err(&failed)
    }

    fn entry(&mut self, entry: &Entry, path: &Path, content: &mut impl Read) -> Result<(), ExtractError> {
        match entry.kind {
            EntryKind::Directory => self.directory(entry, path)?,
            EntryKind::File => self.file(entry, path, content)?,
            EntryKind::HardLink => {
                let first = safe_path(&entry.link)?;
                if !self.options.selection.wants(&first) {
                    return self.postpone(first, path);
                }
                self.link(&first, path)?;
            }
            EntryKind::Symlink => {
                self.named(path, |work, name| {
                    let parent = work.place.parent(parent_of(path)).map_err(failed(path))?;
                    rustix::fs::symlinkat(entry.link.as_slice(), parent, name).map_err(failed(path))?;
                    work.attributes_of_name(entry, path, name)
                })?;
            }
            EntryKind::Fifo | EntryKind::CharDevice | EntryKind::BlockDevice => self.special(entry, path)?,
        }
        self.count(entry);
        Ok(())
    }

    fn count(&mut self, entry: &Entry) {
        self.done.entries += 1;
        self.done.bytes += entry.stored();
        self.meter.add_items(1);
    }

    fn postpone(&mut self, first: PathBuf, path: &Path) -> Result<(), ExtractError> {
        if self.missing_count == MISSING_LINKS_MAX {
            return Err(ExtractError::TooManyLinks(first.display().to_string()));
        }
        self.missing_count += 1;
        self.missing.entry(first).or_default().push(path.to_path_buf());
        Ok(())
    }

    /// Whether something is there that is to be replaced. What may not be replaced is an error.
    fn replaces(&mut self, path: &Path) -> Result<bool, ExtractError> {
        let name = path.file_name().ok_or_else(|| ExtractError::Exists(".".to_owned()))?;
        let parent = self.place.parent(parent_of(path)).map_err(failed(path))?;
        match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(false),
            Ok(there) if self.options.overwrite && FileType::from_raw_mode(there.st_mode) != FileType::Directory => Ok(true),
            Ok(_) => Err(ExtractError::Exists(path.display().to_string())),
            Err(error) => Err(failed(path)(error)),
        }
    }

    /// Makes something that is whole at once: under its own name where that is free, else beside what is there, to take its place.
    fn named(&mut self, path: &Path, make: impl FnOnce(&mut Self, &OsStr) -> Result<(), ExtractError>) -> Result<(), ExtractError> {
        if self.replaces(path)? {
            let temporary = self.temporary.clone();
            return self.temporarily(path, true, |work| make(work, &temporary));
        }
        make(self, path.file_name().unwrap_or_default()).map_err(|error| match error {
            ExtractError::Write { source, .. } if source.raw_os_error() == Some(Errno::EXIST.raw_os_error()) => {
                ExtractError::Exists(path.display().to_string())
            }
            other => other,
        })
    }

    /// Makes something under the temporary name and then gives it its own; whatever goes wrong, no temporary name stays.
    fn temporarily(
        &mut self,
        path: &Path,
        replaces: bool,
        make: impl FnOnce(&mut Self) -> Result<(), ExtractError>,
    ) -> Result<(), ExtractError> {
        let made = make(self).and_then(|()| {
            let parent = self.place.parent(parent_of(path)).map_err(failed(path))?;
            let name = path.file_name().unwrap_or_default();
            let renamed = if replaces {
                rustix::fs::renameat(parent, &self.temporary, parent, name)
            } else {
                rename_to_free(parent, &self.temporary, name)
            };
            renamed.map_err(|error| match error {
                Errno::EXIST | Errno::ISDIR | Errno::NOTEMPTY => ExtractError::Exists(path.display().to_string()),
                error => failed(path)(error),
            })
        });
        // It is there after a failure, and where both were names of one file already, for then a rename does nothing.
        if (made.is_err() || replaces)
            && let Ok(parent) = self.place.parent(parent_of(path))
        {
            rustix::fs::unlinkat(parent, &self.temporary, AtFlags::empty()).ok();
        }
        made
    }

    /// Looks through the directory that something is made in, unless it has an entry of its own.
    fn sweep_above(&mut self, path: &Path) -> Result<(), ExtractError> {
        let above = parent_of(path);
        let has_entry = self.directories.last().is_some_and(|(directory, _)| directory == above);
        if has_entry || self.swept.as_deref() == Some(above) {
            return Ok(());
        }
        self.swept = Some(above.to_path_buf());
        self.sweep(above)
    }

    /// Removes what a killed restore left in a directory.
    fn sweep(&mut self, path: &Path) -> Result<(), ExtractError> {
        let directory = match self.place.directory(path) {
            Err(Errno::NOENT) => return Ok(()),
            other => other.map_err(failed(path))?,
        };
        let mut buffer = [MaybeUninit::uninit(); 8 << 10];
        let mut entries = RawDir::new(&directory, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(failed(path))?;
            if is_temporary(entry.file_name().to_bytes()) {
                // What cannot be removed hinders nobody.
                let removed = rustix::fs::unlinkat(&directory, entry.file_name(), AtFlags::empty());
                removed.or_else(|_| rustix::fs::unlinkat(&directory, entry.file_name(), AtFlags::REMOVEDIR)).ok();
            }
        }
        Ok(())
    }

    /// Makes a directory that only its owner may enter until it is left and gets its attributes.
    fn directory(&mut self, entry: &Entry, path: &Path) -> Result<(), ExtractError> {
        if let Some(name) = path.file_name() {
            let parent = self.place.parent(parent_of(path)).map_err(failed(path))?;
            match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
                Err(Errno::EXIST) if is_directory(parent, name) => self.sweep(path)?,
                Err(Errno::EXIST) if self.options.overwrite => self.directory_for_file(path, name)?,
                Err(Errno::EXIST) => return Err(ExtractError::Exists(path.display().to_string())),
                made => made.map_err(failed(path))?,
            }
        }
        self.held += weight(entry);
        if self.held > HELD_MAX {
            return Err(ExtractError::TooManyAttributes(path.display().to_string()));
        }
        self.directories.push((path.to_path_buf(), entry.clone()));
        Ok(())
    }

    /// Puts an empty directory in the place of what is there and is none.
    fn directory_for_file(&mut self, path: &Path, name: &OsStr) -> Result<(), ExtractError> {
        let parent = self.place.parent(parent_of(path)).map_err(failed(path))?;
        rustix::fs::mkdirat(parent, &self.temporary, Mode::RWXU).map_err(failed(path))?;
        let replaced = match rustix::fs::renameat_with(parent, &self.temporary, parent, name, RenameFlags::EXCHANGE) {
            Ok(()) => rustix::fs::unlinkat(parent, &self.temporary, AtFlags::empty()),
            // Not every file system exchanges names.
            Err(Errno::INVAL | Errno::NOSYS) => rustix::fs::unlinkat(parent, name, AtFlags::empty())
                .and_then(|()| rustix::fs::renameat(parent, &self.temporary, parent, name)),
            Err(error) => Err(error),
        };
        if replaced.is_err() {
            rustix::fs::unlinkat(parent, &self.temporary, AtFlags::REMOVEDIR).ok();
        }
        replaced.map_err(failed(path))
    }

    fn file(&mut self, entry: &Entry, path: &Path, content: &mut impl Read) -> Result<(), ExtractError> {
        let replaces = self.replaces(path)?;
        self.temporarily(path, replaces, |work| {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let parent = work.place.parent(parent_of(path)).map_err(failed(path))?;
            let gives_acl = parent.gives_acl;
            let fd = rustix::fs::openat(parent, &work.temporary, flags, Mode::RUSR | Mode::WUSR).map_err(failed(path))?;
            let file = File::from(fd);
            work.content(&file, entry, path, content)?;
            work.attributes(&file, entry, path, gives_acl)?;
            // The old content must not go before the new one is on the disk.
            if replaces {
                file.sync_all().map_err(|source| ExtractError::Write { path: path.display().to_string(), source })
            } else {
                Ok(())
            }
        })
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
                if self.cancel.is_cancelled() {
                    return Err(ExtractError::Cancelled);
                }
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

    /// Links `path` to a file that this extraction has made.
    fn link(&mut self, first: &Path, path: &Path) -> Result<(), ExtractError> {
        let target = first.file_name().map(OsStr::to_os_string).unwrap_or_default();
        let above = self.place.directory(parent_of(first)).map_err(failed(path))?;
        self.named(path, |work, name| {
            let parent = work.place.parent(parent_of(path)).map_err(failed(path))?;
            rustix::fs::linkat(&above, &target, parent, name, AtFlags::empty()).map_err(failed(path))
        })
    }

    fn special(&mut self, entry: &Entry, path: &Path) -> Result<(), ExtractError> {
        let (kind, device) = match entry.kind {
            EntryKind::CharDevice => (FileType::CharacterDevice, rustix::fs::makedev(entry.device.0, entry.device.1)),
            EntryKind::BlockDevice => (FileType::BlockDevice, rustix::fs::makedev(entry.device.0, entry.device.1)),
            _ => (FileType::Fifo, 0),
        };
        let mut refused = false;
        let made = self.named(path, |work, name| {
            let parent = work.place.parent(parent_of(path)).map_err(failed(path))?;
            let made = rustix::fs::mknodat(parent, name, kind, Mode::RUSR | Mode::WUSR, device);
            refused = made.is_err();
            made.map_err(failed(path))?;
            work.attributes_of_name(entry, path, name)
        });
        match made {
            Err(ExtractError::Write { source, .. }) if refused => {
                let what = if kind == FileType::Fifo { "FIFO" } else { "device" };
                self.warnings.push(path.display().to_string(), format!("the {what} could not be made and is not restored: {source}"));
                Ok(())
            }
            made => made,
        }
    }

    /// Owner first: a change of owner clears setuid, setgid and capabilities. Times last: everything else changes them.
    fn attributes(&self, file: impl AsFd, entry: &Entry, path: &Path, gives_acl: bool) -> Result<(), ExtractError> {
        let failed = failed(path);
        if let Some((uid, gid)) = self.owner(entry) {
            rustix::fs::fchown(&file, Some(uid), Some(gid)).map_err(&failed)?;
        }
        if gives_acl {
            for acl in ACLS {
                rustix::fs::fremovexattr(&file, acl).ok();
            }
        }
        rustix::fs::fchmod(&file, self.mode(entry)).map_err(&failed)?;
        for (name, value) in entry.xattrs.iter().filter(|_| self.options.xattrs) {
            self.warn_attribute(path, name, rustix::fs::fsetxattr(&file, name.as_slice(), value, XattrFlags::empty()));
        }
        rustix::fs::futimens(&file, &times(entry)).map_err(&failed)
    }

    /// The same for what cannot be opened, under the name that it has by now.
    fn attributes_of_name(&mut self, entry: &Entry, path: &Path, name: &OsStr) -> Result<(), ExtractError> {
        let failed = failed(path);
        let (mode, owner) = (self.mode(entry), self.owner(entry));
        let parent = self.place.parent(parent_of(path)).map_err(&failed)?;
        let place = parent.place_of(name);
        if let Some((uid, gid)) = owner {
            rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).map_err(&failed)?;
        }
        if entry.kind != EntryKind::Symlink {
            if parent.gives_acl {
                rustix::fs::lremovexattr(&place, ACLS[0]).ok();
            }
            // There is no call that changes the mode of a name without following it: somebody could put a link there.
            let made =
                rustix::fs::openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).map_err(&failed)?;
            rustix::fs::chmod(format!("/proc/self/fd/{}", made.as_raw_fd()), mode).map_err(&failed)?;
        }
        let set = |(key, value): &'_ (Vec<u8>, Vec<u8>)| rustix::fs::lsetxattr(&place, key.as_slice(), value, XattrFlags::empty());
        let xattrs = || entry.xattrs.iter().filter(|_| self.options.xattrs);
        let results: Vec<_> = xattrs().map(set).collect();
        rustix::fs::utimensat(parent, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW).map_err(&failed)?;
        for ((key, _), result) in xattrs().zip(results) {
            self.warn_attribute(path, key, result);
        }
        Ok(())
    }

    fn warn_attribute(&self, path: &Path, name: &[u8], result: Result<(), Errno>) {
        if let Err(error) = result {
            let message = format!("its attribute `{}` could not be restored: {error}", String::from_utf8_lossy(name));
            self.warnings.push(path.display().to_string(), message);
        }
    }

    fn owner(&self, entry: &Entry) -> Option<(Uid, Gid)> {
        self.options.owners.then(|| self.archived_owner(entry))
    }

    fn archived_owner(&self, entry: &Entry) -> (Uid, Gid) {
        let uid = self.accounts.uid(&entry.user, entry.uid);
        let gid = self.accounts.gid(&entry.group, entry.gid);
        (Uid::from_raw(uid), Gid::from_raw(gid))
    }

    /// A setuid file of somebody else's must not become one of the caller's.
    fn mode(&self, entry: &Entry) -> Mode {
        let same = || self.archived_owner(entry) == (rustix::process::geteuid(), rustix::process::getegid());
        Mode::from_raw_mode(if self.options.owners || same() { entry.mode & 0o7777 } else { entry.mode & 0o1777 })
    }

    /// Gives those directories their attributes that `path` does not lie in.
    fn leave_directories(&mut self, path: &Path) -> Result<(), ExtractError> {
        let kept = self.directories.iter().take_while(|(directory, _)| path.starts_with(directory)).count();
        self.finish_directories(kept)
    }

    fn finish_directories(&mut self, kept: usize) -> Result<(), ExtractError> {
        while self.directories.len() > kept {
            let Some((path, entry)) = self.directories.pop() else { break };
            self.held -= weight(&entry);
            let directory = self.place.directory(&path).map_err(failed(&path))?;
            let gives_acl = gives_acl(&directory);
            self.attributes(&directory, &entry, &path, gives_acl)?;
        }
        Ok(())
    }
}

fn failed(path: &Path) -> impl Fn(Errno) -> ExtractError {
    |error| ExtractError::Write { path: path.display().to_string(), source: error.into() }
}

/// Bytes that a directory takes while it is held.
fn weight(entry: &Entry) -> usize {
    2 * entry.path.len() + entry.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
}

fn parent_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn is_directory(parent: &Parent, name: &OsStr) -> bool {
    rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|status| FileType::from_raw_mode(status.st_mode) == FileType::Directory)
}

fn is_temporary(name: &[u8]) -> bool {
    let digits = name.strip_prefix(TEMPORARY.as_bytes());
    digits.is_some_and(|digits| digits.len() == 16 && digits.iter().all(u8::is_ascii_hexdigit))
}

/// Renames only where nothing has the new name.
fn rename_to_free(parent: &Parent, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
    match rustix::fs::renameat_with(parent, from, parent, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => {}
        renamed => return renamed,
    }
    // Not every file system has it; a second name, then, which is never given where there is one.
    match rustix::fs::linkat(parent, from, parent, to, AtFlags::empty()) {
        Ok(()) => rustix::fs::unlinkat(parent, from, AtFlags::empty()),
        // Nor has every one hard links. A look before leaves a moment in which somebody else could take the name.
        Err(Errno::PERM | Errno::NOSYS | Errno::OPNOTSUPP | Errno::MLINK) => {
            match rustix::fs::statat(parent, to, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => rustix::fs::renameat(parent, from, parent, to),
                Ok(_) => Err(Errno::EXIST),
                Err(error) => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

fn times(entry: &Entry) -> Timestamps {
    let time = Timespec { tv_sec: entry.mtime.seconds, tv_nsec: i64::from(entry.mtime.nanoseconds) };
    Timestamps { last_access: time, last_modification: time }
}
