//! The names in one directory, sorted, in a few bytes each: a directory may hold millions.

use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{FileType, RawDir};
use rustix::io::Errno;

const BUFFER: usize = 64 << 10;

/// Names with their kinds, handed out in order.
#[derive(Default)]
pub(super) struct Listing {
    text: Vec<u8>,
    /// Start, length and kind of each name.
    names: Vec<(usize, u8, FileType)>,
    next: usize,
}

impl Listing {
    /// Lists an open directory.
    pub(super) fn read(directory: BorrowedFd<'_>) -> Result<Self, Errno> {
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER];
        let mut entries = RawDir::new(directory, &mut buffer);
        let (mut text, mut names) = (Vec::new(), Vec::new());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                let length = u8::try_from(name.len()).map_err(|_| Errno::NAMETOOLONG)?;
                names.push((text.len(), length, entry.file_type()));
                text.extend_from_slice(name);
            }
        }
        let of = |name: &(usize, u8, FileType)| &text[name.0..name.0 + usize::from(name.1)];
        names.sort_unstable_by(|one, other| of(one).cmp(of(other)));
        Ok(Self { text, names, next: 0 })
    }

    /// Only this file.
    pub(super) fn only(name: &'static str) -> Self {
        let length = u8::try_from(name.len()).expect("a file's name has at most 255 bytes");
        Self { text: name.as_bytes().to_vec(), names: vec![(0, length, FileType::RegularFile)], next: 0 }
    }

    /// Whether there is a next name.
    pub(super) fn has_more(&self) -> bool {
        self.next < self.names.len()
    }

    /// The next name.
    pub(super) fn next(&mut self) -> Option<(&OsStr, FileType)> {
        let (start, length, kind) = *self.names.get(self.next)?;
        self.next += 1;
        Some((OsStr::from_bytes(&self.text[start..start + usize::from(length)]), kind))
    }
}
