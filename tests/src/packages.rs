//! Packages that tests and demo need, of Debian, Python and npm, installed on first use.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cofre::tools;

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

/// The file of an installed package that has this name.
///
/// # Errors
/// When the package has none.
pub fn file_of(package: &str, name: &str) -> Result<PathBuf> {
    let output = Command::new("dpkg-query").args(["-L", package]).output().context("cannot run dpkg-query")?;
    let files = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = files.lines().map(Path::new).find(|path| path.file_name().is_some_and(|file| file == name));
    Ok(found.with_context(|| format!("the package {package} has no {name}"))?.to_owned())
}

/// A Python environment with packages of the Python package index, made on first use and kept; returns its interpreter.
///
/// # Errors
/// When a package cannot be installed.
pub fn python(name: &str, packages: &[&str]) -> Result<PathBuf> {
    ensure(&["python3-venv"])?;
    let room = prepared(&format!("python-{name}"), packages, |room| {
        run(Command::new("python3").args(["-m", "venv"]).arg(room))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        run(Command::new(room.join("bin/python")).args(pip).args(packages))
    })?;
    Ok(room.join("bin/python"))
}

/// A folder with npm packages, made on first use and kept; scripts that import them are run from there.
///
/// # Errors
/// When a package cannot be installed.
pub fn node(name: &str, packages: &[&str]) -> Result<PathBuf> {
    // A Node of another origin than Debian's is as good.
    if !Command::new("npm").arg("--version").output().is_ok_and(|output| output.status.success()) {
        ensure(&["nodejs", "npm"])?;
    }
    prepared(&format!("node-{name}"), packages, |room| {
        std::fs::write(room.join("package.json"), r#"{"private": true, "type": "module"}"#)?;
        run(Command::new("npm").args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(room).args(packages))
    })
}

/// A folder under the tools that `fill` fills, once: two tests at the same time both fill one of their own, and the first one counts.
pub(crate) fn prepared(name: &str, packages: &[&str], fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let place = tools().join(name);
    if place.exists() {
        return Ok(place);
    }
    eprintln!("installing {packages:?} for the tests");
    std::fs::create_dir_all(tools())?;
    let fresh = tempfile::Builder::new().prefix("new-").tempdir_in(tools())?;
    let room = fresh.path().join("room");
    std::fs::create_dir(&room)?;
    fill(&room)?;
    match std::fs::rename(&room, &place) {
        Err(error) if !place.exists() => Err(error).with_context(|| format!("cannot keep {}", place.display())),
        _ => Ok(place),
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
