//! Files in the one directory of the host that was granted to this instance.
//!
//! `std::fs` works there too, but moves 4 KiB at a time; this speaks `wasi:filesystem` itself, and hands whole bodies from stream to
//! file without copying them through the component. Outside a component it works on any directory, for tests.
//! Paths are relative to the directory, with `/` between parts; symbolic links are never followed.
//!
//! # Examples
//!
//! ```
//! use cofre_sdk::files::Dir;
//! use cofre_sdk::{Body, Context as _, Result};
//!
//! /// Stores a body under a name that shows only whole.
//! fn store(dir: &Dir, name: &str, body: &mut Body) -> Result<u64> {
//!     let partial = format!("{name}.part");
//!     let mut file = dir.create(&partial).with_context(|| format!("cannot make {partial}"))?;
//!     let size = file.write_body(0, body).with_context(|| format!("cannot write {partial}"))?;
//!     file.sync()?;
//!     dir.rename(&partial, name)?;
//!     dir.sync_dir("")?;
//!     Ok(size)
//! }
//! # let path = std::env::temp_dir().join(format!("cofre-doc-files-{}", std::process::id()));
//! # std::fs::create_dir(&path)?;
//! # assert_eq!(store(&Dir::at(&path), "db.tar", &mut Body::from_reader(&b"hello"[..], 5))?, 5);
//! # assert!(path.join("db.tar").is_file());
//! # std::fs::remove_dir_all(path)?;
//! # Ok::<(), cofre_sdk::Error>(())
//! ```

#[cfg_attr(target_arch = "wasm32", path = "wasi.rs")]
#[cfg_attr(not(target_arch = "wasm32"), path = "native.rs")]
mod platform;

pub use platform::{Dir, File};

/// What a directory entry is.
///
/// # Examples
///
/// ```
/// # use cofre_sdk::files::{Dir, Kind};
/// # let dir = Dir::at(std::env::temp_dir());
/// let found = dir.metadata(".")?;
/// assert_eq!(found.kind, Kind::Directory);
/// # Ok::<(), cofre_sdk::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A link, a device, a socket.
    Other,
}

/// One name in a directory.
///
/// # Examples
///
/// ```
/// use cofre_sdk::files::{Dir, Kind};
///
/// /// The files of a folder, without those of its folders.
/// fn files(dir: &Dir, folder: &str) -> std::io::Result<Vec<String>> {
///     let files = dir.entries(folder)?.into_iter().filter(|entry| entry.kind == Kind::File);
///     Ok(files.map(|entry| format!("{folder}/{}", entry.name)).collect())
/// }
/// # assert!(files(&Dir::at("/nowhere"), "x").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, without its directory.
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

/// What is known of a file.
///
/// # Examples
///
/// ```
/// use cofre_sdk::files::{Dir, Kind};
/// use cofre_sdk::{Error, Object, Result};
///
/// fn stat(dir: &Dir, key: &str) -> Result<Object> {
///     let found = dir.metadata(key)?;
///     if found.kind != Kind::File {
///         return Err(Error::not_found(format!("{key} is no object")));
///     }
///     Ok(Object { key: key.to_owned(), size: found.size, modified_unix_ms: found.modified_unix_ms, checksum: None })
/// }
/// # assert!(stat(&Dir::at(std::env::temp_dir()), ".").is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: Kind,
    /// Size in bytes.
    pub size: u64,
    /// Last change in Unix milliseconds, where the file system knows it.
    pub modified_unix_ms: Option<u64>,
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::{Body, Sink};

    static NEXT: AtomicU32 = AtomicU32::new(0);

    fn dir() -> (std::path::PathBuf, Dir) {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("cofre-sdk-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary directory");
        let dir = Dir::at(&path);
        (path, dir)
    }

    #[test]
    fn a_body_lands_at_its_offset_and_comes_back() {
        let (path, dir) = dir();
        dir.create_dirs("a/b").expect("created");
        let mut file = dir.create("a/b/x").expect("created");
        file.write_body(0, &mut Body::from_reader(&b"hello "[..], 6)).expect("written");
        file.write_body(6, &mut Body::from_reader(&b"world"[..], 5)).expect("written");
        file.sync().expect("synced");
        let read = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let mut sink = Sink::from_writer(Shared(read.clone()));
        dir.open("a/b/x").expect("opened").read_into(3, 5, &mut sink).expect("read");
        assert_eq!(read.lock().expect("whole").as_slice(), b"lo wo");
        let error = dir.open("a/b/x").expect("opened").read_into(3, 50, &mut sink).expect_err("beyond the end");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        std::fs::remove_dir_all(path).expect("removed");
    }

    #[test]
    fn a_link_is_not_followed() {
        let (path, dir) = dir();
        std::fs::write(path.join("real"), "x").expect("written");
        std::os::unix::fs::symlink("real", path.join("link")).expect("linked");
        assert!(dir.open("link").is_err());
        assert_eq!(dir.metadata("link").expect("it is there").kind, Kind::Other);
        std::fs::remove_dir_all(path).expect("removed");
    }

    struct Shared(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("whole").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
