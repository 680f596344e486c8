//! Ciphertext on its way: the pipeline writes a file here while copies already follow it (D4).
//!
//! What a crash leaves is told from the directory alone (`docs/formats/spool.md`): a set's `state` file says `producing`
//! until every artifact and the sealed manifest are on disk, then `sealed`. A producing set can never become a backup,
//! since its snapshot is gone; a sealed one only has to be copied.

mod scratch;
mod set;
mod space;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FallocateFlags, FlockOperation};

use crate::owner::{private_directory, private_file};
use crate::set::SetName;

pub use scratch::ScratchFile;
pub use set::{Available, Follower, Relief, SpoolSet, SpoolWriter};
pub use space::{SpaceRule, statvfs_free};

/// Extension of a set that is being removed.
const REMOVED: &str = "removed";
const LOCK: &str = "run.lock";
/// Looks at a held lock before it counts as held: [`Spool::is_busy`] holds it for an instant.
const LOCK_LOOKS: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(10);
const STATE: &str = "state";
/// What the name of a file ends with until its last byte is durable.
const PARTIAL: &str = ".partial";
const PRODUCING: &str = "producing\n";
const SEALED: &str = "sealed\n";

/// Why the spool cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The operating system refused.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Others could write there.
    #[error("the spool directory `{}` can be written by other users; make it yours and run: chmod 700 {}", .0.display(), .0.display())]
    Open(PathBuf),
    /// Another run is active.
    #[error("another cofre run is active ({holder}); wait for it, or stop it")]
    Busy {
        /// Process and start of the holder.
        holder: String,
    },
    /// No space.
    #[error("not enough space in `{}`: {free} bytes free, {needed} needed beside the reserve; free some, or set storage.spool_dir to a larger disk", path.display())]
    Full {
        /// The spool directory.
        path: PathBuf,
        /// Free bytes.
        free: u64,
        /// Needed bytes.
        needed: u64,
    },
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> SpoolError + use<'a> {
    move |source| SpoolError::Io { action, path: path.to_path_buf(), source }
}

/// The spool directory.
#[derive(Debug, Clone)]
pub struct Spool {
    directory: PathBuf,
    rule: SpaceRule,
}

/// Held while a run is active; released when dropped, and by the kernel when the process dies.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

/// State of a set that was left in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOver {
    /// The run died while it read its sources: can never become a set.
    Producing,
    /// Everything is here; copies can go on.
    Sealed,
}

impl Spool {
    /// Opens the spool, making the directory (0700) if it is missing.
    ///
    /// # Errors
    /// When it cannot be made, or others could write into it.
    pub fn open(directory: &Path, rule: SpaceRule) -> Result<Self, SpoolError> {
        private_directory(directory).map_err(failed("make", directory))?;
        let status = std::fs::metadata(directory).map_err(failed("look at", directory))?;
        let us = rustix::process::geteuid();
        let ours = us.is_root() || status.uid() == us.as_raw() || status.uid() == 0;
        if status.mode() & 0o022 != 0 || !ours {
            return Err(SpoolError::Open(directory.to_path_buf()));
        }
        Ok(Self { directory: directory.to_path_buf(), rule })
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether a download of `size` bytes would fit beside the reserve.
    ///
    /// # Errors
    /// [`SpoolError::Full`] when it would not.
    pub fn check_scratch(&self, size: u64) -> Result<(), SpoolError> {
        self.rule.check(&self.directory, size)
    }

    /// A private file without a name for a download of `size` bytes. Its space is taken at once, so that neither it nor a run that
    /// writes meanwhile finds the disk full in the middle; where the file system cannot do that, there is at least room now.
    ///
    /// # Errors
    /// When there is no room for it beside the reserve, or it cannot be made.
    pub fn scratch_file(&self, size: u64) -> Result<File, SpoolError> {
        self.check_scratch(size)?;
        let path = self.directory.join("scratch");
        private_directory(&path).map_err(failed("make", &path))?;
        let file = tempfile::tempfile_in(&path).map_err(failed("make a file in", &path))?;
        if size > 0 && rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, 0, size) == Err(rustix::io::Errno::NOSPC) {
            return Err(failed("take the space for a download in", &path)(rustix::io::Errno::NOSPC.into()));
        }
        Ok(file)
    }

    /// Takes the one lock that lets a run begin.
    ///
    /// # Errors
    /// When another process holds it.
    pub fn lock_run(&self) -> Result<RunLock, SpoolError> {
        let path = self.directory.join(LOCK);
        let mut file = private_file(&path).map_err(failed("open", &path))?;
        let mut looks = 0;
        while let Err(error) = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK && error != rustix::io::Errno::INTR {
                return Err(failed("lock", &path)(error.into()));
            }
            looks += 1;
            if looks == LOCK_LOOKS {
                let mut holder = String::new();
                let _ = (&mut file).take(200).read_to_string(&mut holder);
                return Err(SpoolError::Busy { holder: holder.trim().to_owned() });
            }
            std::thread::sleep(LOCK_PAUSE);
        }
        let holder = format!("process {} since {}\n", std::process::id(), jiff::ZonedDateTime::now().strftime("%Y-%m-%d %H:%M:%S"));
        file.set_len(0).and_then(|()| file.write_all(holder.as_bytes())).map_err(failed("write", &path))?;
        Ok(RunLock { _file: file })
    }

    /// Whether another process is running.
    pub fn is_busy(&self) -> bool {
        let Ok(file) = File::open(self.directory.join(LOCK)) else { return false };
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_err()
    }

    /// Who runs, where somebody does: process and start.
    pub fn holder(&self) -> Option<String> {
        let mut file = File::open(self.directory.join(LOCK)).ok()?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).err()?;
        let mut holder = String::new();
        // What cannot be read is held all the same.
        let _ = (&mut file).take(200).read_to_string(&mut holder);
        Some(holder.trim().to_owned())
    }

    /// Begins a set; its state is `producing`.
    ///
    /// # Errors
    /// When the directory cannot be made, or there is no space beyond the reserve.
    pub fn create_set(&self, name: SetName) -> Result<SpoolSet, SpoolError> {
        self.rule.check(&self.directory, 0)?;
        let path = self.directory.join(name.to_string());
        DirBuilder::new().mode(0o700).create(&path).map_err(failed("make", &path))?;
        write_durably(&path.join(STATE), PRODUCING.as_bytes())?;
        sync_directory(&self.directory)?;
        Ok(SpoolSet::new(name, path, self.rule))
    }

    /// Opens a sealed set again.
    pub fn open_set(&self, name: SetName) -> SpoolSet {
        SpoolSet::new(name, self.directory.join(name.to_string()), self.rule)
    }

    /// Sets that earlier runs left, oldest first.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn left_overs(&self) -> Result<Vec<(SetName, LeftOver)>, SpoolError> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.directory).map_err(failed("list", &self.directory))? {
            let entry = entry.map_err(failed("list", &self.directory))?;
            if entry.path().extension().is_some_and(|extension| extension == REMOVED) {
                std::fs::remove_dir_all(entry.path()).map_err(failed("remove", &entry.path()))?;
                continue;
            }
            let Some(name) = entry.file_name().to_str().and_then(|name| name.parse::<SetName>().ok()) else { continue };
            let state = std::fs::read(entry.path().join(STATE)).unwrap_or_default();
            found.push((name, if state == SEALED.as_bytes() { LeftOver::Sealed } else { LeftOver::Producing }));
        }
        found.sort_by_key(|(name, _)| *name);
        Ok(found)
    }
}

/// Writes a small file so that after a crash it is there whole or not at all.
fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), SpoolError> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(PARTIAL);
    let partial = PathBuf::from(partial);
    let mut file =
        OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&partial).map_err(failed("make", &partial))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed("write", &partial))?;
    std::fs::rename(&partial, path).map_err(failed("rename", &partial))?;
    path.parent().map_or(Ok(()), sync_directory)
}

fn sync_directory(path: &Path) -> Result<(), SpoolError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(failed("flush", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool() -> (tempfile::TempDir, Spool) {
        let directory = tempfile::tempdir().expect("a directory");
        let spool = Spool::open(&directory.path().join("spool"), SpaceRule::default()).expect("opens");
        (directory, spool)
    }

    #[test]
    fn a_removal_that_was_cut_short_leaves_no_set() {
        let (_directory, spool) = spool();
        let name: SetName = "backup_2026_01_01_00_00_00".parse().expect("valid");
        spool.create_set(name).expect("made");
        std::fs::rename(spool.directory().join(name.to_string()), spool.directory().join(format!("{name}.removed"))).expect("renamed");
        assert_eq!(spool.left_overs().expect("listed"), []);
        assert!(!spool.directory().join(format!("{name}.removed")).exists());
    }

    #[test]
    fn only_one_run_holds_the_lock() {
        let (_directory, spool) = spool();
        let lock = spool.lock_run().expect("free");
        let SpoolError::Busy { holder } = spool.lock_run().expect_err("held") else { panic!("another error") };
        assert!(holder.contains(&std::process::id().to_string()), "{holder}");
        drop(lock);
        spool.lock_run().expect("free again");
    }

    /// Not a promise of its own: what the test below runs in another process, where it is killed.
    #[test]
    fn holds_the_lock_until_it_is_killed() {
        let Some(directory) = std::env::var_os("COFRE_TEST_LOCK") else { return };
        let _lock = Spool::open(Path::new(&directory), SpaceRule::default()).expect("opens").lock_run().expect("free");
        eprintln!("locked");
        let _ = io::stdin().read(&mut [0]);
    }

    #[test]
    fn a_killed_run_releases_its_lock() {
        use std::io::BufRead;
        let (_directory, spool) = spool();
        let mut run = std::process::Command::new(std::env::current_exe().expect("this test"))
            .args(["spool::tests::holds_the_lock_until_it_is_killed", "--exact", "--nocapture"])
            .env("COFRE_TEST_LOCK", spool.directory())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("started");
        let mut lines = io::BufReader::new(run.stderr.take().expect("piped")).lines();
        assert!(lines.any(|line| line.expect("text").contains("locked")), "the other process holds the lock");
        let SpoolError::Busy { holder } = spool.lock_run().expect_err("held") else { panic!("another error") };
        assert!(holder.contains(&run.id().to_string()), "{holder}");
        assert!(spool.is_busy());
        run.kill().expect("killed");
        run.wait().expect("ended");
        assert!(!spool.is_busy());
        spool.lock_run().expect("free again");
    }

    #[test]
    fn a_directory_that_others_can_write_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let (_directory, spool) = spool();
        std::fs::set_permissions(spool.directory(), std::fs::Permissions::from_mode(0o777)).expect("changed");
        assert!(matches!(Spool::open(spool.directory(), SpaceRule::default()), Err(SpoolError::Open(_))));
    }

    #[test]
    fn a_download_takes_its_space_at_once_and_never_the_reserve() {
        let directory = tempfile::tempdir().expect("a directory");
        let spool = Spool::open(&directory.path().join("spool"), SpaceRule::default()).expect("opens");
        let file = spool.scratch_file(3 << 20).expect("there is room");
        let status = file.metadata().expect("a status");
        assert!(status.len() == 0 && status.blocks() * 512 >= 3 << 20, "{} blocks", status.blocks());
        let rule = SpaceRule { reserve: u64::MAX, ..SpaceRule::default() };
        let spool = Spool::open(&directory.path().join("spool"), rule).expect("opens");
        assert!(matches!(spool.scratch_file(1), Err(SpoolError::Full { needed: 1, .. })));
    }

    #[test]
    fn what_a_crash_leaves_is_told_from_the_directory_alone() {
        let (_directory, spool) = spool();
        let names: Vec<SetName> =
            ["backup_2026_01_01_00_00_00", "backup_2026_01_02_00_00_00"].iter().map(|name| name.parse().expect("valid")).collect();
        spool.create_set(names[1]).expect("made");
        spool.create_set(names[0]).expect("made").seal().expect("sealed");
        assert_eq!(spool.left_overs().expect("listed"), [(names[0], LeftOver::Sealed), (names[1], LeftOver::Producing)]);
    }
}
