//! Debian packages that tests and demo need, installed on first use.

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Installs what is missing of `packages`, and says so.
///
/// # Errors
/// When a package cannot be installed.
pub fn ensure(packages: &[&str]) -> Result<()> {
    let installed = |package: &&&str| {
        let status = Command::new("dpkg-query").args(["-W", "-f=${Status}", package]).output();
        status.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("install ok installed"))
    };
    let missing: Vec<&&str> = packages.iter().filter(|package| !installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("installing Debian packages: {missing:?}");
    ensure!(rustix::process::geteuid().is_root(), "these Debian packages are missing: {missing:?}; install them, or run as root");
    for arguments in
        [vec!["update", "-qq"], [vec!["install", "-y", "-qq", "--no-install-recommends"], missing.into_iter().copied().collect()].concat()]
    {
        let output =
            Command::new("apt-get").args(&arguments).env("DEBIAN_FRONTEND", "noninteractive").output().context("cannot run apt-get")?;
        ensure!(output.status.success(), "apt-get {arguments:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
