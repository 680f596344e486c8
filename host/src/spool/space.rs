//! How much space the spool leaves free. A spool at its limit makes the writer wait while copies may still free some.

use std::path::Path;
use std::time::{Duration, Instant};

use super::SpoolError;

/// Pause between two looks at the free space while the writer waits.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

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

impl SpaceRule {
    /// Checks that `needed` bytes fit beside the reserve.
    ///
    /// # Errors
    /// [`SpoolError::Full`] when they do not.
    pub fn check(&self, directory: &Path, needed: u64) -> Result<(), SpoolError> {
        let status = rustix::fs::statvfs(directory).map_err(|error| SpoolError::Io {
            action: "measure the free space of",
            path: directory.to_path_buf(),
            source: error.into(),
        })?;
        let free = status.f_bavail.saturating_mul(status.f_frsize);
        if free >= needed.saturating_add(self.reserve) { Ok(()) } else { Err(SpoolError::Full { path: directory.to_path_buf(), free, needed }) }
    }

    /// The same, but waits while `may_shrink` says that space may still be freed.
    pub(super) fn wait(&self, directory: &Path, needed: u64, may_shrink: impl Fn() -> bool) -> Result<(), SpoolError> {
        let deadline = Instant::now() + self.patience;
        loop {
            match self.check(directory, needed) {
                Err(SpoolError::Full { .. }) if may_shrink() && Instant::now() < deadline => std::thread::sleep(LOOK_AGAIN),
                other => return other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_spool_waits_only_while_space_may_be_freed() {
        let directory = tempfile::tempdir().expect("a directory");
        let rule = SpaceRule { reserve: u64::MAX / 2, patience: Duration::from_secs(60) };
        let looks = std::cell::Cell::new(0);
        let may_shrink = || {
            looks.set(looks.get() + 1);
            looks.get() < 2
        };
        assert!(matches!(rule.wait(directory.path(), 1, may_shrink), Err(SpoolError::Full { .. })));
        assert_eq!(looks.get(), 2);
    }
}
