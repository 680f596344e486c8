//! `cargo xtask plugins`: builds every component in one cargo call, so that the standard library is compiled once, and lays them
//! where the host and the tests look: `target/plugins/*.wasm` and `target/guests/*.wasm`, named after their folders.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::wasm_toolchain::Toolchain;

const RELEASE: [&str; 3] = ["--release", "--quiet", "--message-format=json-render-diagnostics"];

/// Which components to build.
#[derive(Debug, Default, Args)]
pub(crate) struct Options {
    /// Only these, by the names of their packages; all without any
    packages: Vec<String>,
    /// Instead, the component of a project elsewhere, as `cofre plugin new` makes them
    #[arg(long, value_name = "DIR", conflicts_with = "packages")]
    project: Option<PathBuf>,
    /// Build them once more, with nothing of the first build, and compare the bytes
    #[arg(long, conflicts_with = "project")]
    twice: bool,
}

/// Builds plug-ins and guests of the repository at `root`, release, and returns the finished files.
pub(crate) fn build(root: &Path, options: &Options) -> Result<Vec<PathBuf>> {
    let root = &fs::canonicalize(root).with_context(|| format!("cannot find the repository at {}", root.display()))?;
    let target = root.join("target");
    let (toolchain, wasm) = (Toolchain::find_or_prepare(&target.join("wasm-toolchain"))?, target.join("wasm"));
    if let Some(project) = &options.project {
        let mut command = toolchain.cargo("build");
        command.args(RELEASE).arg("--manifest-path").arg(project.join("Cargo.toml"));
        return Ok(components_of(command, &wasm)?.into_values().collect());
    }
    let mut copied = Vec::new();
    for (manifest, component) in compile(&toolchain, (root, &wasm), &options.packages)? {
        copied.push(lay_out(root, &manifest, &component)?);
    }
    ensure!(!copied.is_empty(), "cargo built no component of plugins/Cargo.toml");
    if options.twice {
        compare(&toolchain, root, (&options.packages, &copied))?;
    }
    Ok(copied)
}

/// Builds again where nothing of the first build is: cargo and the compiler write into a directory of their own. The sources stay in their
/// place, as their path is part of how the compiler names things.
fn compare(toolchain: &Toolchain, root: &Path, (packages, first): (&[String], &[PathBuf])) -> Result<()> {
    let again = tempfile::Builder::new().prefix("again-").tempdir_in(root.join("target"))?;
    let mut different = Vec::new();
    for (manifest, component) in compile(toolchain, (root, again.path()), packages)? {
        let name = manifest.parent().and_then(Path::file_name).with_context(|| format!("{} has no folder", manifest.display()))?;
        let here = first.iter().find(|file| file.file_stem() == Some(name)).context("the second build made another component")?;
        if fs::read(&component)? != fs::read(here)? {
            different.push(name.to_string_lossy().into_owned());
        }
    }
    ensure!(different.is_empty(), "built twice, these components are not the same: {}", different.join(", "));
    println!("plug-ins: {} components, built twice, are the same to the byte", first.len());
    Ok(())
}

/// Manifest of each component and the file that cargo made of it.
fn compile(toolchain: &Toolchain, (root, target): (&Path, &Path), packages: &[String]) -> Result<BTreeMap<PathBuf, PathBuf>> {
    let mut command = toolchain.cargo("build");
    command.args(RELEASE);
    if packages.is_empty() {
        command.arg("--workspace");
        // What is released is built of what was locked; whoever works on one plug-in may be changing what it needs.
        if root.join("plugins/Cargo.lock").exists() {
            command.arg("--locked");
        }
    }
    for package in packages {
        command.args(["--package", package]);
    }
    command.arg("--manifest-path").arg(root.join("plugins/Cargo.toml"));
    components_of(command, target)
}

/// Runs a cargo that builds components; they share one target directory, and in it the standard library.
fn components_of(mut command: Command, target: &Path) -> Result<BTreeMap<PathBuf, PathBuf>> {
    command.arg("--target-dir").arg(target);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start the cargo that builds components")?;
    let messages = child.stdout.take().context("cargo has no output to read")?;
    let mut components = BTreeMap::new();
    for line in BufReader::new(messages).lines() {
        let line = line.context("cannot read cargo's messages")?;
        components.extend(component_of(&line));
    }
    let status = child.wait().context("cannot wait for cargo")?;
    ensure!(status.success(), "building the components failed: {status}");
    Ok(components)
}

/// The component that one message of cargo reports, if it does.
fn component_of(message: &str) -> Option<(PathBuf, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    if message["reason"] != "compiler-artifact" || !message["target"]["kind"].as_array()?.iter().any(|kind| kind == "cdylib") {
        return None;
    }
    let file = message["filenames"]
        .as_array()?
        .iter()
        .filter_map(|f| f.as_str())
        .find(|f| Path::new(f).extension().is_some_and(|e| e == "wasm"))?;
    Some((message["manifest_path"].as_str()?.into(), file.into()))
}

/// Copies a component to its place, by a rename so that nobody reads half of it; leaves an equal file alone.
fn lay_out(root: &Path, manifest: &Path, component: &Path) -> Result<PathBuf> {
    let home = manifest.parent().and_then(Path::file_name).with_context(|| format!("{} has no folder", manifest.display()))?;
    let kind = if manifest.starts_with(root.join("plugins")) { "plugins" } else { "guests" };
    let folder = root.join("target").join(kind);
    let place = folder.join(home).with_extension("wasm");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let bytes = fs::read(component).with_context(|| format!("cannot read {}", component.display()))?;
    if fs::read(&place).is_ok_and(|there| there == bytes) {
        return Ok(place);
    }
    let fresh = place.with_extension("wasm.new");
    fs::write(&fresh, bytes).with_context(|| format!("cannot write {}", fresh.display()))?;
    fs::rename(&fresh, &place).with_context(|| format!("cannot rename {} to {}", fresh.display(), place.display()))?;
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_finished_component_is_taken_from_cargos_messages() {
        let artifact = r#"{"reason":"compiler-artifact","manifest_path":"/r/plugins/local/Cargo.toml","target":{"kind":["cdylib","lib"]},"filenames":["/t/l.rlib","/t/local.wasm"]}"#;
        assert_eq!(component_of(artifact), Some(("/r/plugins/local/Cargo.toml".into(), "/t/local.wasm".into())));
        let library =
            r#"{"reason":"compiler-artifact","manifest_path":"/r/sdk/Cargo.toml","target":{"kind":["lib"]},"filenames":["/t/s.rlib"]}"#;
        assert_eq!(component_of(library), None);
        assert_eq!(component_of(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(component_of("not json"), None);
    }
}
