//! One set in the spool: files that grow, and followers that wait for them to grow.

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::watch;

use super::{SEALED, STATE, SpaceRule, SpoolError, failed, sync_directory, write_durably};
use crate::ports::BodySource;
use crate::set::SetName;

/// Bytes written between two looks at the free space.
const SPACE_STEP: u64 = 16 << 20;
/// Read ahead of a body, in bytes.
const READ_AHEAD: usize = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Growth {
    Growing(u64),
    Finished(u64),
    Aborted,
}

type Files = HashMap<String, watch::Sender<Growth>>;

/// One set in the spool.
#[derive(Debug, Clone)]
pub struct SpoolSet {
    name: SetName,
    directory: PathBuf,
    rule: SpaceRule,
    files: Arc<Mutex<Files>>,
}

/// How much of a file a follower may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Available {
    /// At least what was asked for, and perhaps more to come.
    Part,
    /// The file has ended; this is its size.
    Whole(u64),
    /// The writer gave up.
    Aborted,
}

impl SpoolSet {
    pub(super) fn new(name: SetName, directory: PathBuf, rule: SpaceRule) -> Self {
        Self { name, directory, rule, files: Arc::default() }
    }

    /// The set's name.
    pub fn name(&self) -> SetName {
        self.name
    }

    fn files(&self) -> std::sync::MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, key: &str) -> PathBuf {
        self.directory.join(key)
    }

    /// Begins a file.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(&self, key: &str) -> Result<SpoolWriter, SpoolError> {
        let path = self.path(key);
        if let Some(parent) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(failed("make", parent))?;
        }
        let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path).map_err(failed("make", &path))?;
        let growth = watch::Sender::new(Growth::Growing(0));
        self.files().insert(key.to_owned(), growth.clone());
        Ok(SpoolWriter { file: Some(file), path, written: 0, checked: 0, growth, set: self.clone() })
    }

    /// Writes a small file whole.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, key: &str, bytes: &[u8]) -> Result<(), SpoolError> {
        write_durably(&self.path(key), bytes)?;
        self.files().insert(key.to_owned(), watch::Sender::new(Growth::Finished(bytes.len() as u64)));
        Ok(())
    }

    /// Reads a small file of a sealed set.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn get(&self, key: &str) -> Result<Vec<u8>, SpoolError> {
        let path = self.path(key);
        std::fs::read(&path).map_err(failed("read", &path))
    }

    /// Declares a file of a sealed set that is on disk whole. Returns its size; `None` where it has been removed already.
    pub fn adopt(&self, key: &str) -> Option<u64> {
        let size = std::fs::metadata(self.path(key)).ok()?.len();
        self.files().insert(key.to_owned(), watch::Sender::new(Growth::Finished(size)));
        Some(size)
    }

    /// Follows a file.
    pub fn follow(&self, key: &str) -> Option<Follower> {
        let growth = self.files().get(key)?.subscribe();
        Some(Follower { path: self.path(key), growth })
    }

    /// From now on the set can be copied, whatever happens to this process.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn seal(&self) -> Result<(), SpoolError> {
        write_durably(&self.directory.join(STATE), SEALED.as_bytes())
    }

    /// Removes one file, once every destination has it or has given up.
    pub fn remove(&self, key: &str) {
        self.files().remove(key);
        let path = self.path(key);
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "a copied file could not be removed from the spool");
        }
    }

    /// Removes the set from the spool.
    ///
    /// # Errors
    /// When something in it cannot be removed.
    pub fn remove_all(&self) -> Result<(), SpoolError> {
        self.files().clear();
        std::fs::remove_dir_all(&self.directory).map_err(failed("remove", &self.directory))
    }

    /// Removes the files of a dead set and keeps its name, so that the next run goes on removing it from the destinations.
    ///
    /// # Errors
    /// When something in it cannot be removed.
    pub fn discard(&self) -> Result<(), SpoolError> {
        self.files().clear();
        for folder in ["sql", "config"] {
            let path = self.directory.join(folder);
            match std::fs::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &path)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether a finished file waits for its copies: their end would free space.
    fn may_shrink(&self) -> bool {
        self.files().values().any(|growth| matches!(*growth.borrow(), Growth::Finished(size) if size > 0))
    }
}

/// Writes one file of a set. Dropped without [`SpoolWriter::finish`], the file is aborted and removed.
#[derive(Debug)]
pub struct SpoolWriter {
    file: Option<File>,
    path: PathBuf,
    written: u64,
    checked: u64,
    growth: watch::Sender<Growth>,
    set: SpoolSet,
}

impl SpoolWriter {
    /// Makes the file durable and tells its followers that it has ended.
    ///
    /// # Errors
    /// When the disk refuses; the file is aborted then.
    pub fn finish(mut self) -> io::Result<u64> {
        if let Some(file) = &self.file {
            file.sync_all()?;
        }
        if let Some(parent) = self.path.parent() {
            sync_directory(parent).map_err(io::Error::other)?;
        }
        self.file = None;
        self.growth.send_replace(Growth::Finished(self.written));
        Ok(self.written)
    }
}

impl Write for SpoolWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.written >= self.checked {
            self.set.rule.wait(&self.set.directory, SPACE_STEP, || self.set.may_shrink()).map_err(io::Error::other)?;
            self.checked = self.written + SPACE_STEP;
        }
        let Some(file) = &mut self.file else { return Err(io::Error::other("the spool file was finished already")) };
        let count = file.write(bytes)?;
        self.written += count as u64;
        self.growth.send_replace(Growth::Growing(self.written));
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for SpoolWriter {
    fn drop(&mut self) {
        if self.file.is_some() {
            self.growth.send_replace(Growth::Aborted);
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Reads a file that may still be growing.
#[derive(Debug, Clone)]
pub struct Follower {
    path: PathBuf,
    growth: watch::Receiver<Growth>,
}

impl Follower {
    /// Waits until the file has `size` bytes, has ended, or was aborted.
    pub async fn wait_for(&mut self, size: u64) -> Available {
        let reached = |growth: &Growth| !matches!(*growth, Growth::Growing(written) if written < size);
        match self.growth.wait_for(reached).await.map(|growth| *growth) {
            Ok(Growth::Growing(_)) => Available::Part,
            Ok(Growth::Finished(total)) => Available::Whole(total),
            Ok(Growth::Aborted) | Err(_) => Available::Aborted,
        }
    }

    /// The bytes from `offset` on, `length` of them; call it only for bytes that are there.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub async fn body(&self, offset: u64, length: u64) -> io::Result<BodySource> {
        let mut file = tokio::fs::File::open(&self.path).await?;
        file.set_max_buf_size(READ_AHEAD);
        file.seek(SeekFrom::Start(offset)).await?;
        Ok(Box::pin(file.take(length)))
    }

    /// Path, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Spool, SpaceRule};
    use super::*;

    fn set() -> (tempfile::TempDir, SpoolSet) {
        let directory = tempfile::tempdir().expect("a directory");
        let spool = Spool::open(&directory.path().join("spool"), SpaceRule::default()).expect("opens");
        let set = spool.create_set("backup_2026_01_01_00_00_00".parse().expect("valid")).expect("made");
        (directory, set)
    }

    #[tokio::test]
    async fn a_follower_sees_the_file_grow_and_end() {
        let (_directory, set) = set();
        let mut writer = set.create("sql/a").expect("made");
        let mut follower = set.follow("sql/a").expect("there");
        writer.write_all(b"12345").expect("written");
        assert_eq!(follower.wait_for(5).await, Available::Part);
        let mut text = String::new();
        follower.body(1, 3).await.expect("opened").read_to_string(&mut text).await.expect("read");
        assert_eq!(text, "234");
        writer.finish().expect("finished");
        assert_eq!(follower.wait_for(100).await, Available::Whole(5));
    }

    #[tokio::test]
    async fn a_writer_that_is_dropped_is_never_an_end_of_file() {
        let (_directory, set) = set();
        let mut writer = set.create("sql/a").expect("made");
        let mut follower = set.follow("sql/a").expect("there");
        writer.write_all(b"12345").expect("written");
        drop(writer);
        assert_eq!(follower.wait_for(3).await, Available::Aborted);
        assert!(!follower.path().exists());
    }
}
