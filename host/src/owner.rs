//! Whose the state is. Where it belongs to the account of the daemon, what root makes in it goes to that account, or the daemon could not
//! use it; and since that account may put a link wherever root is to write, no link is followed in the last step of a path.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// The file `path`, made private (0600) and empty where it is missing, to be read and written.
///
/// # Errors
/// When it cannot be made, opened or handed over, or is a symbolic link.
pub fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true).mode(0o600).custom_flags(flags(OFlags::NOFOLLOW));
    let file = options.open(path)?;
    hand_over(&file, path)?;
    Ok(file)
}

/// Makes the directory `path`, private (0700), and those above it where they are missing.
///
/// # Errors
/// When one of them cannot be made or handed over.
pub fn private_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
        private_directory(above)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        // Another cofre was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        made => made?,
    }
    let made = OpenOptions::new().read(true).custom_flags(flags(OFlags::NOFOLLOW | OFlags::DIRECTORY)).open(path)?;
    hand_over(&made, path)
}

/// Gives what root made to the owner of the directory that it lies in.
///
/// # Errors
/// When it cannot be looked at or handed over.
pub fn hand_over(made: &File, path: &Path) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (owner, status) = (above.metadata()?, made.metadata()?);
    // A second name would mean that it lies somewhere else as well.
    let fresh = status.uid() == 0 && (status.is_dir() || status.nlink() == 1);
    if owner.uid() == 0 || !fresh {
        return Ok(());
    }
    std::os::unix::fs::fchown(made, Some(owner.uid()), Some(owner.gid()))
}

fn flags(flags: OFlags) -> i32 {
    i32::try_from(flags.bits()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOMEBODY: u32 = 65_534;

    /// A directory of somebody else; `None` where only root could make one.
    fn theirs() -> Option<tempfile::TempDir> {
        let directory = tempfile::tempdir().expect("a directory");
        if !rustix::process::geteuid().is_root() {
            eprintln!("only root has something to hand over");
            return None;
        }
        std::os::unix::fs::chown(directory.path(), Some(SOMEBODY), Some(SOMEBODY)).expect("given away");
        Some(directory)
    }

    fn owner(path: &Path) -> u32 {
        path.symlink_metadata().expect("there").uid()
    }

    #[test]
    fn what_root_makes_belongs_to_whom_the_directory_belongs() {
        let Some(directory) = theirs() else { return };
        let (deep, file) = (directory.path().join("a/b"), directory.path().join("a/b/file"));
        private_directory(&deep).expect("made");
        private_file(&file).expect("made");
        for path in [directory.path().join("a"), deep, file] {
            assert_eq!(owner(&path), SOMEBODY, "{}", path.display());
            assert_eq!(path.metadata().expect("there").mode() & 0o077, 0, "{}", path.display());
        }
    }

    #[test]
    fn a_link_does_not_lead_root_elsewhere() {
        let Some(directory) = theirs() else { return };
        let (elsewhere, link) = (tempfile::tempdir().expect("a directory"), directory.path().join("link"));
        let victim = elsewhere.path().join("victim");
        std::os::unix::fs::symlink(&victim, &link).expect("linked");
        private_file(&link).expect_err("a link");
        assert!(!victim.exists());
        std::fs::write(&victim, "").expect("written");
        let second = directory.path().join("second");
        std::fs::hard_link(&victim, &second).expect("linked");
        private_file(&second).expect("opened");
        assert_eq!(owner(&victim), 0, "what lies elsewhere as well is not given away");
    }

    #[test]
    fn what_is_there_stays_as_it_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("file");
        std::fs::write(&file, "text").expect("written");
        private_file(&file).expect("opened");
        private_directory(directory.path()).expect("there");
        assert_eq!(std::fs::read_to_string(&file).expect("read"), "text");
    }
}
