//! The trials of `local`: a directory of this machine and, where something can be mounted, one that is full and one that is read-only.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::conformance::Trial;

/// Bytes of the file system that fills up.
const SMALL: &str = "256k";

/// The settings with which the conformance suite runs on a directory.
///
/// # Errors
/// When the directory cannot be made.
pub fn trials() -> Result<Vec<Trial>> {
    let directory = tempfile::Builder::new().prefix("cofre-local").tempdir()?;
    let path = |name: &str| -> Result<PathBuf> {
        let path = directory.path().join(name);
        std::fs::create_dir(&path)?;
        Ok(path)
    };
    let mut settings = format!("settings = {{ path = \"backups\" }}\ngrants = {{ directory = \"{}\" }}\n", path("whole")?.display());
    let mut refuse = |name: &str, error: &str, more: &str| {
        settings += &format!("[[refusal]]\nname = \"{name}\"\nerror = \"{error}\"\n{more}\n");
    };
    refuse("leaves-the-directory", "invalid-config", "settings = { path = \"../other\" }");
    refuse("unmounted-drive", "unavailable", &format!("grants = {{ directory = \"{}\" }}", directory.path().join("absent").display()));
    refuse("no-deletion", "access-denied", "verb = \"delete\"\ngrants = { delete = false }");
    let mut mounts = Vec::new();
    let small = path("small")?;
    if let Some(mount) = mount(&small, SMALL)? {
        refuse("no-space", "out-of-space", &format!("verb = \"put\"\ngrants = {{ directory = \"{}\" }}", small.display()));
        mounts.push(mount);
    }
    let fixed = path("fixed")?;
    if rustix::process::geteuid().is_root() {
        // Permissions mean nothing to root; a file system that takes nothing does.
        if let Some(mount) = mount(&fixed, SMALL)? {
            run(Command::new("mount").args(["-o", "remount,ro"]).arg(&fixed))?;
            refuse("read-only", "access-denied", &format!("grants = {{ directory = \"{}\" }}", fixed.display()));
            mounts.push(mount);
        }
    } else {
        std::fs::set_permissions(&fixed, std::fs::Permissions::from_mode(0o555))?;
        refuse("read-only", "access-denied", &format!("grants = {{ directory = \"{}\" }}", fixed.display()));
    }
    let trial = Trial {
        destination: "local",
        server: "a directory".to_owned(),
        settings,
        environment: Vec::new(),
        address: None,
        // Mounts end before the directory that they are in.
        keep: vec![Box::new(mounts), Box::new(directory)],
    };
    Ok(vec![trial])
}

/// A file system of its own, gone with its owner. `None` where nothing can be mounted, which is said.
///
/// # Errors
/// Never: where nothing can be mounted, there is none.
pub fn mount(path: &Path, size: &str) -> Result<Option<Mount>> {
    let made = run(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "cofre-test"]).arg(path));
    if let Err(error) = &made {
        eprintln!("nothing can be mounted here, so a full and a read-only directory are not tried: {error:#}");
    }
    Ok(made.is_ok().then(|| Mount(path.to_path_buf())))
}

/// A mounted file system.
pub struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg("--lazy").arg(&self.0));
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
