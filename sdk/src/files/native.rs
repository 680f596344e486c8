//! The same files on a plain directory, so that a plug-in's own tests run without a sandbox.

use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::{Entry, Kind, Metadata};
use crate::body::{Body, Sink};
use crate::error::{Error, Result};

/// `O_NOFOLLOW` of Linux on x86-64 and AArch64.
const NO_FOLLOW: i32 = if cfg!(target_arch = "aarch64") { 0o100_000 } else { 0o400_000 };

/// The granted directory.
#[derive(Debug, Clone)]
pub struct Dir(PathBuf);

/// An open file.
#[derive(Debug)]
pub struct File(fs::File);

impl Dir {
    /// The directory that was granted to this instance.
    ///
    /// # Errors
    /// `invalid-config` where none was granted; always so outside a component.
    pub fn granted() -> Result<Self> {
        Err(Error::invalid_config("no directory was granted to this destination"))
    }

    /// Any directory, for tests.
    pub fn at(path: impl AsRef<Path>) -> Self {
        Self(path.as_ref().to_owned())
    }

    /// Makes a directory and those above it; those that are there stay.
    pub fn create_dirs(&self, path: &str) -> io::Result<()> {
        fs::create_dir_all(self.0.join(path))
    }

    /// Opens a file for reading and writing, making it where there is none.
    pub fn create(&self, path: &str) -> io::Result<File> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).custom_flags(NO_FOLLOW).open(self.0.join(path)).map(File)
    }

    /// Opens a file for reading.
    pub fn open(&self, path: &str) -> io::Result<File> {
        fs::OpenOptions::new().read(true).custom_flags(NO_FOLLOW).open(self.0.join(path)).map(File)
    }

    /// Opens a file for reading and writing that must be there.
    pub fn open_to_write(&self, path: &str) -> io::Result<File> {
        fs::OpenOptions::new().read(true).write(true).custom_flags(NO_FOLLOW).open(self.0.join(path)).map(File)
    }

    /// Moves a file to another name, replacing what is there, in one step.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    /// Removes a file.
    pub fn remove_file(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(path))
    }

    /// Removes an empty directory.
    pub fn remove_dir(&self, path: &str) -> io::Result<()> {
        fs::remove_dir(self.0.join(path))
    }

    /// Makes the names in a directory durable.
    pub fn sync_dir(&self, path: &str) -> io::Result<()> {
        fs::File::open(self.0.join(path))?.sync_all()
    }

    /// What is known of a name; of a link, not of what it points to.
    pub fn metadata(&self, path: &str) -> io::Result<Metadata> {
        fs::symlink_metadata(self.0.join(path)).map(|m| metadata(&m))
    }

    /// The names in a directory, in no order.
    pub fn entries(&self, path: &str) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.0.join(path))? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            entries.push(Entry { name, kind: kind(entry.file_type()?) });
        }
        Ok(entries)
    }
}

impl File {
    /// What is known of this file.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.0.metadata().map(|m| metadata(&m))
    }

    /// Cuts or extends the file to `size` bytes.
    pub fn set_size(&mut self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }

    /// Writes what is left of `body` from `offset` on; returns how many bytes that were.
    pub fn write_body(&mut self, offset: u64, body: &mut Body) -> io::Result<u64> {
        self.0.seek(SeekFrom::Start(offset))?;
        io::copy(body, &mut self.0)
    }

    /// Writes exactly `length` bytes from `offset` on into `sink`.
    pub fn read_into(&mut self, offset: u64, length: u64, sink: &mut Sink) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(offset))?;
        let count = io::copy(&mut (&mut self.0).take(length), sink)?;
        if count < length {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("the file ended after {count} of {length} bytes")));
        }
        Ok(())
    }

    /// Makes content and size durable.
    pub fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

fn metadata(m: &fs::Metadata) -> Metadata {
    let modified = m.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
    Metadata { kind: kind(m.file_type()), size: m.len(), modified_unix_ms: modified.and_then(|d| u64::try_from(d.as_millis()).ok()) }
}

fn kind(file_type: fs::FileType) -> Kind {
    if file_type.is_dir() {
        Kind::Directory
    } else if file_type.is_file() {
        Kind::File
    } else {
        Kind::Other
    }
}
