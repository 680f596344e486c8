//! A directory that nothing leads out of: every path is resolved beneath it and without symbolic links, by `openat2` where
//! one call can do it and name by name with `O_NOFOLLOW` where not (long paths, old kernels).

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Mode of directories that are made because something below them is restored and they are not.
const IMPLIED: u32 = 0o755;

/// The directory, and the place below it that was used last: most entries lie beside the one before.
pub(super) struct Beneath {
    root: OwnedFd,
    current: Option<Parent>,
}

/// An open directory that entries are made in.
pub(super) struct Parent {
    path: PathBuf,
    fd: OwnedFd,
    /// As [`gives_acl`] found it.
    pub(super) gives_acl: bool,
}

/// Whether what is made in a directory gets an ACL by itself.
pub(super) fn gives_acl(directory: &OwnedFd) -> bool {
    match rustix::fs::fgetxattr(directory, "system.posix_acl_default", &mut [0_u8; 64]) {
        Ok(length) => length > 0,
        Err(error) => error == Errno::RANGE,
    }
}

impl Parent {
    /// A path to `name` in it for calls that take no descriptor.
    pub(super) fn place_of(&self, name: &OsStr) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.fd.as_raw_fd())).join(name)
    }
}

impl AsFd for Parent {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Beneath {
    pub(super) fn open(target: &Path) -> Result<Self, Errno> {
        let root = rustix::fs::open(target, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { root, current: None })
    }

    /// Opens the directory `path` and remembers it. What is missing on the way is made.
    pub(super) fn parent(&mut self, path: &Path) -> Result<&Parent, Errno> {
        if self.current.as_ref().is_none_or(|current| current.path != path) {
            let fd = match self.directory(path) {
                Err(Errno::NOENT) => self.step_by_step(path, true)?,
                other => other?,
            };
            let gives_acl = gives_acl(&fd);
            self.current = Some(Parent { path: path.to_path_buf(), fd, gives_acl });
        }
        self.current.as_ref().ok_or(Errno::NOENT)
    }

    /// Opens the existing directory `path`.
    pub(super) fn directory(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match rustix::fs::openat2(&self.root, path, DIRECTORY, Mode::empty(), beneath) {
            Err(Errno::NAMETOOLONG | Errno::NOSYS | Errno::PERM) => self.step_by_step(path, false),
            other => other,
        }
    }

    /// `path` consists of plain names only, so each step stays where it is or goes down.
    fn step_by_step(&self, path: &Path, make_missing: bool) -> Result<OwnedFd, Errno> {
        let mut fd = rustix::fs::openat(&self.root, ".", DIRECTORY, Mode::empty())?;
        for name in path.iter().filter(|name| *name != ".") {
            fd = match rustix::fs::openat(&fd, name, DIRECTORY, Mode::empty()) {
                Err(Errno::NOENT) if make_missing => {
                    rustix::fs::mkdirat(&fd, name, Mode::from_raw_mode(IMPLIED))?;
                    rustix::fs::openat(&fd, name, DIRECTORY, Mode::empty())?
                }
                other => other?,
            };
        }
        Ok(fd)
    }
}
