//! What is left out of a directory: gitignore patterns, caches that say so themselves, large files, other file systems.

use std::io::Read;
use std::os::fd::BorrowedFd;
use std::path::Path;

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rustix::fs::{Mode, OFlags};

use crate::ports::DirectorySettings;

/// First bytes of a valid `CACHEDIR.TAG` (bford.info/cachedir).
const CACHE_TAG: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Where it stands in a directory.
pub(super) const CACHE_TAG_NAME: &str = "CACHEDIR.TAG";

/// The exclusion rules of one directory.
pub(super) struct Exclusions {
    patterns: Gitignore,
    caches: bool,
    max_file_size: Option<u64>,
    device: Option<u64>,
}

impl Exclusions {
    /// Compiles the rules; `device` is the file system of the root.
    pub(super) fn new(settings: &DirectorySettings, device: u64) -> Result<Self, ignore::Error> {
        let mut builder = GitignoreBuilder::new("");
        for pattern in &settings.exclude {
            builder.add_line(None, pattern)?;
        }
        Ok(Self {
            patterns: builder.build()?,
            caches: settings.exclude_caches,
            max_file_size: settings.max_file_size,
            device: settings.one_file_system.then_some(device),
        })
    }

    /// Whether a path below the root is left out by a pattern.
    pub(super) fn by_pattern(&self, relative: &Path, directory: bool) -> bool {
        self.patterns.matched(relative, directory).is_ignore()
    }

    /// Whether a file is too large.
    pub(super) fn by_size(&self, size: u64) -> bool {
        self.max_file_size.is_some_and(|max| size > max)
    }

    /// Whether a directory lies on another file system.
    pub(super) fn by_device(&self, device: u64) -> bool {
        self.device.is_some_and(|own| own != device)
    }

    /// Whether an open directory carries a valid cache tag.
    pub(super) fn is_cache(&self, directory: BorrowedFd<'_>) -> bool {
        if !self.caches {
            return false;
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(tag) = rustix::fs::openat(directory, CACHE_TAG_NAME, flags, Mode::empty()) else { return false };
        let mut start = [0; CACHE_TAG.len()];
        std::fs::File::from(tag).read_exact(&mut start).is_ok() && start == CACHE_TAG
    }
}
