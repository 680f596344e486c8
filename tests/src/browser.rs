//! A browser that a script drives: Debian's chromium under Playwright. The script says what it saw as one JSON document.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cofre::{root, target};
use crate::packages;

/// Runs a script of `tests/browser` with what it needs to know, and returns what it saw.
///
/// # Errors
/// When the browser cannot be had, or the script fails; then the last picture that it took is named.
pub fn drive(script: &str, given: &Value) -> Result<Value> {
    packages::ensure(&["chromium"])?;
    let room = packages::node("browser", &["playwright-core", "axe-core"])?;
    let pictures = pictures(script)?;
    // Packages are looked for beside the script.
    let place = tempfile::Builder::new().prefix("cofre-browser").tempdir()?;
    std::os::unix::fs::symlink(room.join("node_modules"), place.path().join("node_modules"))?;
    std::fs::write(place.path().join("package.json"), r#"{"private": true, "type": "module"}"#)?;
    for name in ["browser.js", script] {
        std::fs::copy(root().join("tests/browser").join(name), place.path().join(name)).with_context(|| format!("no {name}"))?;
    }
    let mut command = Command::new("node");
    command.arg(place.path().join(script)).current_dir(place.path());
    command.env("GIVEN", given.to_string()).env("PICTURES", &pictures).env("HOME", place.path());
    let output = command.output().context("cannot start node")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{script} failed (pictures in {}): {said}", pictures.display());
    serde_json::from_slice(&output.stdout).with_context(|| format!("{script} said nothing that is JSON: {said}"))
}

/// Where the pictures of a script stay, for people to look at.
fn pictures(script: &str) -> Result<PathBuf> {
    let name = Path::new(script).file_stem().context("the script has no name")?;
    let pictures = target().join("pictures").join(name);
    std::fs::create_dir_all(&pictures)?;
    Ok(pictures)
}
