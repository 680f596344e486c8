//! Root's commands on a state that belongs to another account, as the Debian package sets it up: they become that account, which may read
//! every file and write only its own. So a backup by hand takes what the daemon's takes, and leaves nothing that the daemon cannot use.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Of util-linux: it sets capabilities, which the standard library cannot.
const SETPRIV: &str = "setpriv";

/// The one thing that the account may do beyond its own rights: read what others keep to themselves.
const RIGHT: &str = "-all,+dac_read_search";

/// Becomes the owner of the state directory by starting this command line again, if root gave it and the owner is another account.
///
/// # Errors
/// When that account cannot be become; it returns without one where there is nothing to do.
pub(super) fn become_owner(state: &Path) -> io::Result<()> {
    let Ok(status) = state.metadata() else { return Ok(()) };
    if !rustix::process::geteuid().is_root() || status.uid() == 0 {
        return Ok(());
    }
    Err(Command::new(SETPRIV)
        .args(["--reuid", &status.uid().to_string(), "--regid", &status.gid().to_string(), "--init-groups"])
        .args(["--inh-caps", RIGHT, "--ambient-caps", RIGHT, "--bounding-set", RIGHT, "--"])
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .exec())
}
