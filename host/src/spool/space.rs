//! How much space the spool leaves free. A spool at its limit makes the writer wait while copies may still free some.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::SpoolError;

/// Longest pause between two looks at the free space while a writer waits: others may free some too, and do not say so.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Tells the free bytes of the file system that a directory is on.
pub(super) type Gauge = Box<dyn Fn(&Path) -> io::Result<u64> + Send + Sync>;

/// Bytes that the file system of a directory has free, as it says itself.
///
/// # Errors
/// When it cannot be asked.
pub fn statvfs_free(directory: &Path) -> io::Result<u64> {
    let status = rustix::fs::statvfs(directory)?;
    Ok(status.f_bavail.saturating_mul(status.f_frsize))
}

/// When the spool counts as full.
#[derive(Debug, Clone, Copy)]
pub struct SpaceRule {
    /// Bytes that stay free.
    pub reserve: u64,
    /// How long a writer waits for copies to free space before it gives up.
    pub patience: Duration,
}

impl Default for SpaceRule {
    fn default() -> Self {
        Self { reserve: 0, patience: Duration::from_secs(1_800) }
    }
}

/// What a look at the free space says.
pub(super) enum Verdict {
    /// Enough.
    Room,
    /// Not enough, in words.
    Full(SpoolError),
}

/// What is left of a writer's patience.
pub(super) struct Patience {
    deadline: Option<Instant>,
}

impl Patience {
    /// How long to wait before the next look; `None` when it is at its end.
    pub(super) fn next_pause(&mut self) -> Option<Duration> {
        let Some(deadline) = self.deadline else { return Some(LOOK_AGAIN) };
        let left = deadline.saturating_duration_since(Instant::now());
        (!left.is_zero()).then(|| left.min(LOOK_AGAIN))
    }
}

impl SpaceRule {
    /// Checks that `needed` bytes fit beside the reserve.
    ///
    /// # Errors
    /// [`SpoolError::Full`] when they do not.
    pub fn check(&self, directory: &Path, needed: u64) -> Result<(), SpoolError> {
        let gauge: Gauge = Box::new(statvfs_free);
        match self.verdict(directory, &gauge, needed)? {
            Verdict::Room => Ok(()),
            Verdict::Full(error) => Err(error),
        }
    }

    pub(super) fn verdict(&self, directory: &Path, gauge: &Gauge, needed: u64) -> Result<Verdict, SpoolError> {
        let free = gauge(directory).map_err(super::failed("measure the free space of", directory))?;
        if free >= needed.saturating_add(self.reserve) {
            return Ok(Verdict::Room);
        }
        Ok(Verdict::Full(SpoolError::Full { path: directory.to_path_buf(), free, needed }))
    }

    /// A patience that begins now; one too long for the clock never ends.
    pub(super) fn patience(&self) -> Patience {
        Patience { deadline: Instant::now().checked_add(self.patience) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_stays_free() {
        let gauge: Gauge = Box::new(|_| Ok(100));
        let rule = SpaceRule { reserve: 60, ..SpaceRule::default() };
        assert!(matches!(rule.verdict(Path::new("/"), &gauge, 40), Ok(Verdict::Room)));
        assert!(matches!(rule.verdict(Path::new("/"), &gauge, 41), Ok(Verdict::Full(SpoolError::Full { free: 100, needed: 41, .. }))));
    }

    #[test]
    fn the_file_system_is_asked() {
        let directory = tempfile::tempdir().expect("a directory");
        SpaceRule::default().check(directory.path(), 1).expect("a byte is free");
        assert!(matches!(SpaceRule::default().check(directory.path(), u64::MAX), Err(SpoolError::Full { .. })));
    }
}
