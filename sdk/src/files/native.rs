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

/// The directory of the host that was granted to this instance. Paths are relative to it, with `/` between parts.
///
/// # Examples
///
/// ```
/// # use cofre_sdk::{Body, files::Dir};
/// # let path = std::env::temp_dir().join(format!("cofre-doc-dir-{}", std::process::id()));
/// # std::fs::create_dir(&path)?;
/// # let dir = Dir::at(&path);
/// dir.create_dirs("set")?;
/// let mut file = dir.create("set/db.tar.part")?;
/// file.write_body(0, &mut Body::from_reader(&b"hello"[..], 5))?;
/// file.sync()?;
/// dir.rename("set/db.tar.part", "set/db.tar")?;
/// dir.sync_dir("set")?;
/// assert_eq!(dir.metadata("set/db.tar")?.size, 5);
/// # std::fs::remove_dir_all(path)?;
/// # Ok::<(), cofre_sdk::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Dir(PathBuf);

/// An open file. Positions are given with each call; it has none of its own.
///
/// # Examples
///
/// ```
/// # use cofre_sdk::{Body, Sink, files::Dir};
/// # let path = std::env::temp_dir().join(format!("cofre-doc-file-{}", std::process::id()));
/// # std::fs::create_dir(&path)?;
/// # let dir = Dir::at(&path);
/// let mut file = dir.create("db.tar")?;
/// let end = file.write_body(0, &mut Body::from_reader(&b"hello "[..], 6))?;
/// file.write_body(end, &mut Body::from_reader(&b"world"[..], 5))?;
/// file.sync()?;
///
/// let mut sink = Sink::from_writer(std::io::sink());
/// file.read_into(6, 5, &mut sink)?;
/// assert_eq!(sink.written(), 5);
/// # std::fs::remove_dir_all(path)?;
/// # Ok::<(), cofre_sdk::Error>(())
/// ```
#[derive(Debug)]
pub struct File(fs::File);

impl Dir {
    /// The directory that was granted to this instance.
    ///
    /// # Errors
    /// `invalid-config` where none was granted; outside a component, where no test gave one.
    ///
    /// # Examples
    ///
    /// In `open` of a destination that has `const DIRECTORY: bool = true`:
    ///
    /// ```
    /// use cofre_sdk::{Result, files::Dir};
    ///
    /// struct Store {
    ///     dir: Dir,
    /// }
    ///
    /// fn open() -> Result<Store> {
    ///     Ok(Store { dir: Dir::granted()? })
    /// }
    /// # assert!(open().is_err());
    /// # #[cfg(feature = "testing")]
    /// # assert!(cofre_sdk::testing::FakeHost::new().directory("/nowhere").run(open).is_ok());
    /// ```
    pub fn granted() -> Result<Self> {
        let given = crate::host::given_directory();
        given.map(Self).ok_or_else(|| Error::invalid_config("no directory was granted to this destination"))
    }

    /// Any directory, for tests; a component has none but [`Dir::granted`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::files::Dir;
    /// # let path = std::env::temp_dir().join(format!("cofre-doc-at-{}", std::process::id()));
    /// # std::fs::create_dir(&path)?;
    /// # let dir = Dir::at(&path);
    /// let dir = Dir::at(&path);
    /// dir.create("db.tar")?;
    /// assert!(path.join("db.tar").is_file());
    /// # std::fs::remove_dir_all(path)?;
    /// # Ok::<(), cofre_sdk::Error>(())
    /// ```
    pub fn at(path: impl AsRef<Path>) -> Self {
        Self(path.as_ref().to_owned())
    }

    /// Makes a directory and those above it; those that are there stay.
    ///
    /// # Errors
    /// Where a part of the path is a file, or may not be made.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::files::{Dir, Kind};
    /// # let path = std::env::temp_dir().join(format!("cofre-doc-create-dirs-{}", std::process::id()));
    /// # std::fs::create_dir(&path)?;
    /// # let dir = Dir::at(&path);
    /// dir.create_dirs("2026/01")?;
    /// dir.create_dirs("2026/01")?; // It is there already.
    /// assert_eq!(dir.metadata("2026/01")?.kind, Kind::Directory);
    /// # std::fs::remove_dir_all(path)?;
    /// # Ok::<(), cofre_sdk::Error>(())
    /// ```
    pub fn create_dirs(&self, path: &str) -> io::Result<()> {
        fs::create_dir_all(self.0.join(path))
    }

    /// Opens a file for reading and writing, making it where there is none. What is in it stays: cut it with [`File::set_size`].
    ///
    /// # Errors
    /// `NotFound` where its directory is not there; where it is a link or a directory, or may not be written.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::files::Dir;
    /// # let path = std::env::temp_dir().join(format!("cofre-doc-create-{}", std::process::id()));
    /// # std::fs::create_dir(&path)?;
    /// # let dir = Dir::at(&path);
    /// let mut file = dir.create("db.tar.part")?;
    /// file.set_size(0)?; // What an upload left that was given up.
    /// # std::fs::remove_dir_all(path)?;
    /// # Ok::<(), cofre_sdk::Error>(())
    /// ```
    pub fn create(&self, path: &str) -> io::Result<File> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).custom_flags(NO_FOLLOW).open(self.0.join(path)).map(File)
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// `NotFound` where there is none; where it is a link, or may not be read.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::{Sink, files::Dir};
    /// # let path = std::env::temp_dir().join(format!("cofre-doc-open-{}", std::process::id()));
    /// # std::fs::create_dir(&path)?;
    /// # let dir = Dir::at(&path);
    /// # std::fs::write(path.join("db.tar"), "hello")?;
    /// let mut sink = Sink::from_writer(std::io::sink());
    /// dir.open("db.tar")?.read_into(0, 5, &mut sink)?;
    /// assert_eq!(sink.written(), 5);
    /// # std::fs::remove_dir_all(path)?;
    /// # Ok::<(), cofre_sdk::Error>(())
    /// ```
    pub fn open(&self, path: &str) -> io::Result<File> {
        fs::OpenOptions::new().read(true).custom_flags(NO_FOLLOW).open(self.0.join(path)).map(File)
    }

    /// Opens a file for reading and writing that must be there.
    ///
    /// # Errors
    /// `NotFound` where there is none; where it is a link or a directory, or may not be written.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::files::Dir;
    /// # let path = std::env::temp_dir().join(format!("cofre-doc-open-to-write-{}", std::process::id()));
    /// # std::fs::create_dir(&path)?;
    /// # let dir = Dir::at(&path);
    /// let missing = dir.open_to_write("db.tar.part").expect_err("the upload was never begun");
    /// assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    /// # std::fs::remove_dir_all(path)?;
    /// # Ok::<(), cofre_sdk::Error>(())
    /// ```
    pub fn open_to_write(&self, path: &str) -> io::Result<File> {
        fs::OpenOptions::new().read(true).write(true).custom_flags(NO_FOLLOW).open(self.0.join(path)).map(File)
    }

    /// Moves a file to another name, replacing what is there, in one step.
    ///
    /// # Errors
    /// `NotFound` where there is no such file or no directory for the new name.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::files::Dir;
    /// # let path = std::env::temp_dir().join(format!("cofre-doc-rename-{}", std::process::id()));
    /// # std::fs::create_dir(&path)?;
    /// # let dir = Dir::at(&path);
    /// # dir.create("db.tar.part")?;
    /// dir.rename("db.tar.part", "db.tar")?; // Now, and not before, the object is there.
    /// dir.sync_dir("")?;
    /// # std::fs::remove_dir_all(path)?;
    /// # Ok::<(), cofre_sdk::Error>(())
    /// ```
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    /// Removes a file.
    ///
    /// # Errors
    /// `NotFound` where there is none; where it is a directory, or may not be removed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::files::Dir;
    /// # let path = std::env::temp_dir().join(format!("cofre-doc-remove-file-{}", std::process::id()));
    /// # std::fs::create_dir(&path)?;
    /// # let dir = Dir::at(&path);
    /// match dir.remove_file("db.tar") {
    ///     Err(error) if error.kind() == std::io::ErrorKind::NotFound => {} // Somebody else was faster.
    ///     removed => removed?,
    /// }
    /// # std::fs::remove_dir_all(path)?;
    /// # Ok::<(), cofre_sdk::Error>(())
    /// ```
    pub fn remove_file(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(path))
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// `DirectoryNotEmpty` where something is in it; `NotFound` where there is none.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::files::Dir;
    /// # let path = std::env::temp_dir().join(format!("cofre-doc-remove-dir-{}", std::process::id()));
    /// # std::fs::create_dir(&path)?;
    /// # let dir = Dir::at(&path);
    /// dir.create_dirs("set")?;
    /// dir.create("set/db.tar")?;
    /// assert!(dir.remove_dir("set").is_err(), "an object is in it");
    /// dir.remove_file("set/db.tar")?;
    /// dir.remove_dir("set")?;
    /// # std::fs::remove_dir_all(path)?;
    /// # Ok::<(), cofre_sdk::Error>(())
    /// ```
    pub fn remove_dir(&self, path: &str) -> io::Result<()> {
        fs::remove_dir(self.0.join(path))
    }

    /// Makes the names in a directory durable; the empty path is the granted directory itself.
    ///
    /// # Errors
    /// `NotFound` where there is none; what the disk fails with.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::files::Dir;
    /// # let path = std::env::temp_dir().join(format!("cofre-doc-sync-dir-{}", std::process::id()));
    /// # std::fs::create_dir(&path)?;
    /// # let dir = Dir::at(&path);
    /// # dir.create("db.tar.part")?;
    /// dir.rename("db.tar.part", "db.tar")?;
    /// dir.sync_dir("")?; // Else a power cut may take the new name back.
    /// # std::fs::remove_dir_all(path)?;
    /// # Ok::<(), cofre_sdk::Error>(())
    /// ```
    pub fn sync_dir(&self, path: &str) -> io::Result<()> {
        fs::File::open(self.0.join(path))?.sync_all()
    }

    /// What is known of a name; of a link, not of what it points to.
    ///
    /// # Errors
    /// `NotFound` where there is nothing of that name.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::files::{Dir, File, Kind};
    /// # let path = std::env::temp_dir().join(format!("cofre-doc-metadata-{}", std::process::id()));
    /// # std::fs::create_dir(&path)?;
    /// # let dir = Dir::at(&path);
    /// dir.create("db.tar")?.set_size(1 << 20)?;
    /// let found = dir.metadata("db.tar")?;
    /// assert_eq!((found.kind, found.size), (Kind::File, 1_048_576));
    /// # std::fs::remove_dir_all(path)?;
    /// # Ok::<(), cofre_sdk::Error>(())
    /// ```
    pub fn metadata(&self, path: &str) -> io::Result<Metadata> {
        fs::symlink_metadata(self.0.join(path)).map(|m| metadata(&m))
    }

    /// The names in a directory, in no order. Names that are no UTF-8 are left out.
    ///
    /// # Errors
    /// `NotFound` where there is no such directory.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::files::Dir;
    /// # let path = std::env::temp_dir().join(format!("cofre-doc-entries-{}", std::process::id()));
    /// # std::fs::create_dir(&path)?;
    /// # let dir = Dir::at(&path);
    /// dir.create_dirs("set")?;
    /// dir.create("set/db.tar")?;
    /// let mut names: Vec<String> = dir.entries("set")?.into_iter().map(|entry| entry.name).collect();
    /// names.sort_unstable();
    /// assert_eq!(names, ["db.tar"]);
    /// # std::fs::remove_dir_all(path)?;
    /// # Ok::<(), cofre_sdk::Error>(())
    /// ```
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
    ///
    /// # Errors
    /// What the file system fails with.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::files::Dir;
    /// # let path = std::env::temp_dir().join(format!("cofre-doc-file-metadata-{}", std::process::id()));
    /// # std::fs::create_dir(&path)?;
    /// # let dir = Dir::at(&path);
    /// let file = dir.create("db.tar.part")?;
    /// let durable = file.metadata()?.size; // In bytes.
    /// assert_eq!(durable, 0);
    /// # std::fs::remove_dir_all(path)?;
    /// # Ok::<(), cofre_sdk::Error>(())
    /// ```
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.0.metadata().map(|m| metadata(&m))
    }

    /// Cuts or extends the file to `size` bytes; what is new is zeros.
    ///
    /// # Errors
    /// Where it was opened for reading only, or the disk is full.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::{Body, files::Dir};
    /// # let path = std::env::temp_dir().join(format!("cofre-doc-set-size-{}", std::process::id()));
    /// # std::fs::create_dir(&path)?;
    /// # let dir = Dir::at(&path);
    /// let mut file = dir.create("db.tar.part")?;
    /// file.write_body(0, &mut Body::from_reader(&b"hello"[..], 5))?;
    /// file.set_size(3)?; // What came after the last durable byte.
    /// assert_eq!(file.metadata()?.size, 3);
    /// # std::fs::remove_dir_all(path)?;
    /// # Ok::<(), cofre_sdk::Error>(())
    /// ```
    pub fn set_size(&mut self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }

    /// Writes what is left of `body` from byte `offset` on; returns how many bytes that were.
    ///
    /// # Errors
    /// `UnexpectedEof` where the body ends early; `StorageFull` where the disk is full. Bytes may have been written by then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::{Body, files::Dir};
    /// # let path = std::env::temp_dir().join(format!("cofre-doc-write-body-{}", std::process::id()));
    /// # std::fs::create_dir(&path)?;
    /// # let dir = Dir::at(&path);
    /// let mut file = dir.create("db.tar.part")?;
    /// let mut offset = 0;
    /// for part in [&b"hello "[..], b"world"] {
    ///     offset += file.write_body(offset, &mut Body::from_reader(part, part.len() as u64))?;
    /// }
    /// assert_eq!(offset, 11);
    /// # std::fs::remove_dir_all(path)?;
    /// # Ok::<(), cofre_sdk::Error>(())
    /// ```
    pub fn write_body(&mut self, offset: u64, body: &mut Body) -> io::Result<u64> {
        self.0.seek(SeekFrom::Start(offset))?;
        io::copy(body, &mut self.0)
    }

    /// Writes exactly `length` bytes from byte `offset` on into `sink`.
    ///
    /// # Errors
    /// `UnexpectedEof` where the file is shorter; what the sink fails with.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::{Sink, files::Dir};
    /// # let path = std::env::temp_dir().join(format!("cofre-doc-read-into-{}", std::process::id()));
    /// # std::fs::create_dir(&path)?;
    /// # let dir = Dir::at(&path);
    /// # std::fs::write(path.join("db.tar"), "hello")?;
    /// let mut file = dir.open("db.tar")?;
    /// let mut sink = Sink::from_writer(std::io::sink());
    /// file.read_into(3, 2, &mut sink)?;
    /// let error = file.read_into(3, 50, &mut sink).expect_err("beyond the end");
    /// assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    /// # std::fs::remove_dir_all(path)?;
    /// # Ok::<(), cofre_sdk::Error>(())
    /// ```
    pub fn read_into(&mut self, offset: u64, length: u64, sink: &mut Sink) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(offset))?;
        let count = io::copy(&mut (&mut self.0).take(length), sink)?;
        if count < length {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("the file ended after {count} of {length} bytes")));
        }
        Ok(())
    }

    /// Makes content and size durable. Only then they may be told as stored.
    ///
    /// # Errors
    /// What the disk fails with.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::{Body, files::Dir};
    /// # let path = std::env::temp_dir().join(format!("cofre-doc-sync-{}", std::process::id()));
    /// # std::fs::create_dir(&path)?;
    /// # let dir = Dir::at(&path);
    /// let mut file = dir.create("db.tar.part")?;
    /// let offset = file.write_body(0, &mut Body::from_reader(&b"hello"[..], 5))?;
    /// file.sync()?; // From now on `offset` may be reported.
    /// # assert_eq!(offset, 5);
    /// # std::fs::remove_dir_all(path)?;
    /// # Ok::<(), cofre_sdk::Error>(())
    /// ```
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
