//! One set in the spool: files that grow, and followers that wait for them to grow.
//!
//! A growing file is called `….partial` until its last byte is durable, so that a crash leaves no half file under a good name.

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::pin::Pin;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::thread::JoinHandle;

use tokio::io::{AsyncRead, AsyncSeekExt, ReadBuf};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::space::{Gauge, Verdict, statvfs_free};
use super::{PARTIAL, PRODUCING, REMOVED, SEALED, STATE, SpaceRule, SpoolError, failed, sync_directory, write_durably};
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

/// Who may still need a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Copies of this run.
    Copies,
    /// No copy of this run; a later run, for a destination that failed. At least one other has it: it may go for want of space.
    Spare,
    /// No copy of this run; no destination has it.
    Only,
}

#[derive(Debug)]
struct Entry {
    growth: watch::Sender<Growth>,
    need: Need,
}

type Files = HashMap<String, Entry>;

/// What all handles of one set share.
struct Shared {
    files: Mutex<Files>,
    /// Rung when a file leaves or is settled.
    freed: Condvar,
    gauge: Gauge,
    cancel: Mutex<CancellationToken>,
    relief: Mutex<Option<Relief>>,
}

/// Makes room beside a set, and tells whether it made any.
pub type Relief = Arc<dyn Fn() -> bool + Send + Sync>;

/// One set in the spool.
#[derive(Clone)]
pub struct SpoolSet {
    name: SetName,
    directory: PathBuf,
    rule: SpaceRule,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for SpoolSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpoolSet").field("directory", &self.directory).finish_non_exhaustive()
    }
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
        Self::with_gauge(name, directory, rule, Box::new(statvfs_free))
    }

    pub(super) fn with_gauge(name: SetName, directory: PathBuf, rule: SpaceRule, gauge: Gauge) -> Self {
        let shared = Shared { files: Mutex::default(), freed: Condvar::new(), gauge, cancel: Mutex::default(), relief: Mutex::default() };
        Self { name, directory, rule, shared: Arc::new(shared) }
    }

    /// The set's name.
    pub fn name(&self) -> SetName {
        self.name
    }

    /// Lets a writer that waits for space end with its run.
    pub fn cancelled_by(&self, cancel: &CancellationToken) {
        *self.shared.cancel.lock().unwrap_or_else(PoisonError::into_inner) = cancel.clone();
    }

    /// Lets a writer ask for room beside the set, once nothing of the set itself can go.
    pub fn relieved_by(&self, relief: Relief) {
        *self.shared.relief.lock().unwrap_or_else(PoisonError::into_inner) = Some(relief);
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.shared.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, key: &str) -> PathBuf {
        self.directory.join(key)
    }

    /// The path of a key, which may come from a manifest: plain names below the set, none of them our own.
    fn checked_path(&self, key: &str) -> Result<PathBuf, SpoolError> {
        let path = self.path(key);
        let plain = !key.is_empty() && Path::new(key).components().all(|part| matches!(part, Component::Normal(_)));
        if plain && key != STATE && !key.ends_with(PARTIAL) {
            return Ok(path);
        }
        Err(failed("make", &path)(io::Error::new(io::ErrorKind::InvalidInput, "this is no key of a set")))
    }

    fn declare(&self, key: &str, growth: Growth) -> watch::Sender<Growth> {
        let growth = watch::Sender::new(growth);
        self.files().insert(key.to_owned(), Entry { growth: growth.clone(), need: Need::Copies });
        growth
    }

    /// Begins a file.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(&self, key: &str) -> Result<SpoolWriter, SpoolError> {
        let path = self.checked_path(key)?;
        if let Some(parent) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(failed("make", parent))?;
        }
        let partial = partial(&path);
        let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&partial).map_err(failed("make", &partial))?;
        let growth = self.declare(key, Growth::Growing(0));
        Ok(SpoolWriter { file: Some(file), flusher: None, path, partial, written: 0, checked: 0, growth, set: self.clone() })
    }

    /// Writes a small file whole.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, key: &str, bytes: &[u8]) -> Result<(), SpoolError> {
        write_durably(&self.checked_path(key)?, bytes)?;
        self.declare(key, Growth::Finished(bytes.len() as u64));
        Ok(())
    }

    /// Reads a small file of a sealed set.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn get(&self, key: &str) -> Result<Vec<u8>, SpoolError> {
        let path = self.checked_path(key)?;
        std::fs::read(&path).map_err(failed("read", &path))
    }

    /// Declares a file of a sealed set that is on disk whole. Returns its size; `None` where it has been removed already.
    pub fn adopt(&self, key: &str) -> Option<u64> {
        let size = std::fs::metadata(self.checked_path(key).ok()?).ok()?.len();
        self.declare(key, Growth::Finished(size));
        Some(size)
    }

    /// Follows a file.
    pub fn follow(&self, key: &str) -> Option<Follower> {
        let growth = self.files().get(key)?.growth.subscribe();
        Some(Follower { path: self.path(key), growth })
    }

    /// From now on the set can be copied, whatever happens to this process.
    ///
    /// # Errors
    /// When a file is still growing, or the state cannot be written.
    pub fn seal(&self) -> Result<(), SpoolError> {
        let growing =
            self.files().iter().find(|(_, entry)| matches!(*entry.growth.borrow(), Growth::Growing(_))).map(|(key, _)| self.path(key));
        if let Some(path) = growing {
            return Err(failed("seal", &path)(io::Error::other("it is still being written")));
        }
        write_durably(&self.directory.join(STATE), SEALED.as_bytes())
    }

    /// Removes one file, once every destination has it or has given up.
    pub fn remove(&self, key: &str) {
        self.files().remove(key);
        delete(&self.path(key));
        self.shared.freed.notify_all();
    }

    /// Tells that no copy of this run will read the file any more, although not every destination has it. It stays for a
    /// later run; where `stored_somewhere`, it goes before a writer gives up for want of space.
    pub fn settle(&self, key: &str, stored_somewhere: bool) {
        if let Some(entry) = self.files().get_mut(key) {
            entry.need = if stored_somewhere { Need::Spare } else { Need::Only };
        }
        self.shared.freed.notify_all();
    }

    /// Removes the set from the spool.
    ///
    /// # Errors
    /// When something in it cannot be removed.
    pub fn remove_all(&self) -> Result<(), SpoolError> {
        self.files().clear();
        self.shared.freed.notify_all();
        // Out of sight in one step: a crash in the middle must not leave half a set that looks like a dead or a sealed one.
        let removed = self.directory.with_extension(REMOVED);
        std::fs::rename(&self.directory, &removed).map_err(failed("rename", &self.directory))?;
        std::fs::remove_dir_all(&removed).map_err(failed("remove", &removed))
    }

    /// Removes the files of a dead set and keeps its name, so that the next run goes on removing it from the destinations.
    ///
    /// # Errors
    /// When something in it cannot be removed.
    pub fn discard(&self) -> Result<(), SpoolError> {
        self.files().clear();
        self.shared.freed.notify_all();
        for folder in ["sql", "config"] {
            let path = self.directory.join(folder);
            match std::fs::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &path)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Gives a sealed set up: its files go, and what is left of it is removed from the destinations as of a dead one.
    ///
    /// # Errors
    /// When that cannot be written down, or something in it cannot be removed.
    pub fn give_up(&self) -> Result<(), SpoolError> {
        write_durably(&self.directory.join(STATE), PRODUCING.as_bytes())?;
        self.discard()
    }

    /// Waits until every writer has room for its next step beside the reserve: as long as copies may free some, and after
    /// giving up what only a later run would want.
    fn wait_for_space(&self) -> Result<(), SpoolError> {
        let cancel = self.shared.cancel.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut patience = self.rule.patience();
        let mut files = self.files();
        loop {
            let writers = files.values().filter(|entry| matches!(*entry.growth.borrow(), Growth::Growing(_))).count() as u64;
            let full = match self.rule.verdict(&self.directory, &self.shared.gauge, SPACE_STEP.saturating_mul(writers.max(1)))? {
                Verdict::Room => return Ok(()),
                Verdict::Full(error) => error,
            };
            if let Some(key) = files.iter().find(|(_, entry)| entry.need == Need::Spare).map(|(key, _)| key.clone()) {
                tracing::warn!(set = %self.name, key, "the spool is full: a file that a failed destination still lacks makes room");
                files.remove(&key);
                delete(&self.path(&key));
                continue;
            }
            let relief = self.shared.relief.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(relief) = relief {
                drop(files);
                let relieved = relief();
                files = self.files();
                if relieved {
                    continue;
                }
            }
            let being_copied =
                |entry: &Entry| entry.need == Need::Copies && matches!(*entry.growth.borrow(), Growth::Finished(size) if size > 0);
            if cancel.is_cancelled() || !files.values().any(being_copied) {
                return Err(full);
            }
            let Some(pause) = patience.next_pause() else { return Err(full) };
            files = self.shared.freed.wait_timeout(files, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(PARTIAL);
    name.into()
}

fn delete(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a file could not be removed from the spool");
    }
}

/// Writes one file of a set. Dropped without [`SpoolWriter::finish`], the file is aborted and removed.
#[derive(Debug)]
pub struct SpoolWriter {
    file: Option<File>,
    flusher: Option<Flusher>,
    path: PathBuf,
    partial: PathBuf,
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
        self.flusher.take().map_or(Ok(()), Flusher::finish)?;
        if let Some(file) = &self.file {
            file.sync_all()?;
        }
        std::fs::rename(&self.partial, &self.path)?;
        // The folders between are new too: without their names in their parents a power cut takes all.
        for folder in self.path.ancestors().skip(1).take_while(|folder| folder.starts_with(&self.set.directory)) {
            if let Err(error) = sync_directory(folder) {
                delete(&self.path);
                return Err(io::Error::other(error));
            }
        }
        self.file = None;
        self.growth.send_replace(Growth::Finished(self.written));
        Ok(self.written)
    }

    /// Small files end before their first flush and need no thread for it.
    fn flush_behind(&mut self) -> io::Result<()> {
        match (&self.flusher, &self.file) {
            (Some(flusher), _) => flusher.flush(),
            (None, Some(file)) if self.written > 0 => self.flusher.insert(Flusher::start(file.try_clone()?)?).flush(),
            _ => {}
        }
        Ok(())
    }
}

/// Makes what was written durable while more is being written: otherwise the end of a large file waits for all of it at once.
#[derive(Debug)]
struct Flusher {
    wanted: SyncSender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl Flusher {
    fn start(file: File) -> io::Result<Self> {
        let (wanted, requests) = sync_channel(1);
        let flush = move || requests.iter().try_for_each(|()| file.sync_data());
        Ok(Self { wanted, thread: std::thread::Builder::new().name("flush".into()).spawn(flush)? })
    }

    /// Asks for a flush, unless one is waiting already.
    fn flush(&self) {
        let _ = self.wanted.try_send(());
    }

    /// An error of an earlier flush is told here: the kernel reports it once, and so no later flush would.
    fn finish(self) -> io::Result<()> {
        drop(self.wanted);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the flushing thread ended unexpectedly")))
    }
}

impl Write for SpoolWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.written >= self.checked {
            self.set.wait_for_space().map_err(|error| io::Error::new(io::ErrorKind::StorageFull, error))?;
            self.checked = self.written + SPACE_STEP;
            self.flush_behind()?;
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
            delete(&self.partial);
            self.set.shared.freed.notify_all();
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
    /// Follows a file that has ended.
    pub(super) fn of_whole(path: PathBuf, size: u64) -> Self {
        Self { path, growth: watch::channel(Growth::Finished(size)).1 }
    }

    /// Waits until the file has `size` bytes, has ended, or was aborted.
    pub async fn wait_for(&mut self, size: u64) -> Available {
        let reached = |growth: &Growth| !matches!(*growth, Growth::Growing(written) if written < size);
        match self.growth.wait_for(reached).await.map(|growth| *growth) {
            Ok(Growth::Growing(_)) => Available::Part,
            Ok(Growth::Finished(total)) => Available::Whole(total),
            Ok(Growth::Aborted) | Err(_) => Available::Aborted,
        }
    }

    /// Whether the writer gave up.
    pub fn is_aborted(&self) -> bool {
        *self.growth.borrow() == Growth::Aborted
    }

    /// The bytes from `offset` on, exactly `length` of them; call it only for bytes that are there.
    ///
    /// # Errors
    /// When the file cannot be opened. A file that is shorter breaks the body with an error.
    pub async fn body(&self, offset: u64, length: u64) -> io::Result<BodySource> {
        // A file changes its name once, from partial to good: whoever misses the first finds the second.
        let mut file = match tokio::fs::File::open(partial(&self.path)).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => tokio::fs::File::open(&self.path).await?,
            opened => opened?,
        };
        file.set_max_buf_size(READ_AHEAD);
        file.seek(SeekFrom::Start(offset)).await?;
        Ok(Box::pin(Exactly { file, left: length }))
    }

    /// Path, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Part of a file; its end before its length is an error (D12).
struct Exactly {
    file: tokio::fs::File,
    left: u64,
}

impl AsyncRead for Exactly {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left == 0 || buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.remaining());
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(room));
        ready!(Pin::new(&mut self.file).poll_read(context, &mut part))?;
        let count = part.filled().len();
        if count == 0 {
            let message = format!("the spool file ends {} bytes early", self.left);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, message)));
        }
        buffer.advance(count);
        self.left -= count as u64;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use tokio::io::AsyncReadExt;

    use super::super::{SpaceRule, Spool};
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
        assert!(!follower.path().exists() && !partial(follower.path()).exists());
        assert!(follower.is_aborted());
    }

    #[tokio::test]
    async fn a_half_file_is_told_from_a_whole_one_by_its_name() {
        let (_directory, set) = set();
        let mut writer = set.create("sql/a").expect("made");
        writer.write_all(b"12345").expect("written");
        let follower = set.follow("sql/a").expect("there");
        assert!(!follower.path().exists() && partial(follower.path()).exists());
        assert!(set.adopt("sql/a").is_none(), "a crash now leaves nothing to adopt");
        assert!(set.seal().expect_err("growing").to_string().contains("still being written"));
        let follower = set.follow("sql/a").expect("there");
        writer.finish().expect("finished");
        assert!(follower.path().exists() && !partial(follower.path()).exists());
        set.seal().expect("sealed");
    }

    #[tokio::test]
    async fn a_spool_file_that_lost_its_end_breaks_the_body() {
        let (_directory, set) = set();
        set.put("a", b"12345").expect("written");
        let mut bytes = Vec::new();
        let mut body = set.follow("a").expect("there").body(3, 4).await.expect("opened");
        assert_eq!(body.read_to_end(&mut bytes).await.expect_err("short").kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(bytes, b"45");
    }

    #[test]
    fn a_key_that_leaves_the_set_is_refused() {
        let (_directory, set) = set();
        for key in ["../x", "/etc/x", "a/../../x", "", "state", "a.partial"] {
            assert!(set.put(key, b"x").is_err(), "{key}");
            assert!(set.create(key).is_err(), "{key}");
        }
    }

    /// A set on a disk of `free` bytes.
    fn on_a_disk_of(free: &Arc<AtomicU64>, patience: Duration) -> (tempfile::TempDir, SpoolSet) {
        let directory = tempfile::tempdir().expect("a directory");
        let free = Arc::clone(free);
        let gauge: Gauge = Box::new(move |_| Ok(free.load(Ordering::SeqCst)));
        let rule = SpaceRule { reserve: 1_000, patience };
        let set = SpoolSet::with_gauge("backup_2026_01_01_00_00_00".parse().expect("valid"), directory.path().to_path_buf(), rule, gauge);
        (directory, set)
    }

    fn refusal(set: &SpoolSet) -> String {
        set.create("b").expect("made").write_all(b"x").expect_err("full").to_string()
    }

    #[test]
    fn a_full_spool_that_nobody_empties_fails_at_once_and_says_what_is_missing() {
        let free = Arc::new(AtomicU64::new(5_000));
        let (directory, set) = on_a_disk_of(&free, Duration::from_secs(3_600));
        let message = refusal(&set);
        assert!(
            message.contains(&directory.path().display().to_string())
                && message.contains("5000 bytes free")
                && message.contains("16777216 needed"),
            "{message}"
        );
        set.put("a", b"12345").expect("written");
        set.settle("a", false);
        refusal(&set);
        assert!(set.follow("a").is_some(), "the only copy of a file is never given up");
    }

    #[test]
    fn a_full_spool_waits_for_a_copy_to_free_space() {
        let free = Arc::new(AtomicU64::new(0));
        let (_directory, set) = on_a_disk_of(&free, Duration::from_secs(3_600));
        set.put("a", b"12345").expect("written");
        let mut writer = set.create("b").expect("made");
        let waiting = std::thread::spawn(move || writer.write_all(b"x").map(|()| writer));
        free.store(u64::MAX, Ordering::SeqCst);
        set.remove("a");
        waiting.join().expect("no panic").expect("written").finish().expect("finished");
    }

    #[test]
    fn a_wait_for_space_ends_with_its_patience_and_with_its_run() {
        let free = Arc::new(AtomicU64::new(0));
        let (_directory, set) = on_a_disk_of(&free, Duration::from_millis(30));
        set.put("a", b"12345").expect("written");
        refusal(&set);
        let (_directory, set) = on_a_disk_of(&free, Duration::from_secs(3_600));
        set.put("a", b"12345").expect("written");
        let cancel = CancellationToken::new();
        set.cancelled_by(&cancel);
        let waiting = std::thread::spawn({
            let set = set.clone();
            move || refusal(&set)
        });
        cancel.cancel();
        waiting.join().expect("ended");
    }

    #[test]
    fn what_only_a_failed_destination_lacks_makes_room() {
        let free = Arc::new(AtomicU64::new(0));
        let (_directory, set) = on_a_disk_of(&free, Duration::from_secs(3_600));
        set.put("a", b"12345").expect("written");
        set.settle("a", true);
        refusal(&set);
        assert!(set.follow("a").is_none() && set.adopt("a").is_none());
    }
}
