//! `cargo xtask check-wit`: a released folder under `wit/` is what it was on the day of its release, to the byte, the host has an adapter
//! for it, and the tests have a plug-in that was built from a copy of it. `wit/RELEASED` holds the digests.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use sha2::{Digest, Sha256};

/// What to do besides checking.
#[derive(Debug, Default, Args)]
pub(crate) struct Options {
    /// Write down that this folder is released from now on, for example `v1.0`
    #[arg(long, value_name = "FOLDER")]
    release: Option<String>,
}

/// Checks the contracts of the repository at `root`.
///
/// # Errors
/// With everything that is not as it was released.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let wit = root.join("wit");
    if let Some(folder) = &options.release {
        release(&wit, folder)?;
    }
    let mut wrong = problems(&wit, &root.join("host/src/plugin/contract"))?;
    wrong.extend(unproven(&wit, &root.join("tests/guests"))?);
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    let (released, open): (Vec<_>, Vec<_>) =
        folders(&wit)?.into_iter().partition(|folder| released(&wit).is_ok_and(|all| named(&all, folder)));
    println!("wit: released and unchanged: {}; not released yet: {}", listed(&released), listed(&open));
    Ok(())
}

fn listed(folders: &[String]) -> String {
    if folders.is_empty() { "none".to_owned() } else { folders.join(", ") }
}

fn named(released: &[(String, String)], folder: &str) -> bool {
    released.iter().any(|(_, name)| name == folder)
}

/// What is wrong, one line each.
fn problems(wit: &Path, adapters: &Path) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (digest, folder) in released(wit)? {
        if !wit.join(&folder).is_dir() {
            wrong.push(format!("wit/{folder} was released and is gone: bring it back"));
            continue;
        }
        let found = digest_of(&wit.join(&folder))?;
        if found != digest {
            wrong.push(format!("wit/{folder} was released and has changed ({found}): undo it, and make a new folder for what is new"));
        }
    }
    for folder in folders(wit)? {
        let adapter = format!("{}.rs", folder.replace('.', "_"));
        if !adapters.join(&adapter).exists() {
            wrong
                .push(format!("wit/{folder} has no adapter host/src/plugin/contract/{adapter}: what was built for it could not be loaded"));
        }
        let package = format!("package cofre:plugin@{}.", folder.trim_start_matches('v'));
        if !fs::read_to_string(wit.join(&folder).join("cofre.wit")).is_ok_and(|text| text.contains(&package)) {
            wrong.push(format!("wit/{folder}/cofre.wit does not say `{package}…`"));
        }
    }
    Ok(wrong)
}

/// Released versions of which no plug-in of the tests was built, from a copy of the folder that must be the folder's own bytes.
fn unproven(wit: &Path, guests: &Path) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (digest, folder) in released(wit)? {
        let guest = format!("frozen-{}", folder.replace('.', "-"));
        let copy = guests.join(&guest).join("wit");
        if !copy.is_dir() {
            wrong.push(format!("wit/{folder} was released and there is no tests/guests/{guest} that was built from a copy of it"));
        } else if digest_of(&copy)? != digest {
            wrong.push(format!("tests/guests/{guest}/wit is not wit/{folder} as it was released"));
        }
    }
    Ok(wrong)
}

fn release(wit: &Path, folder: &str) -> Result<()> {
    ensure!(folders(wit)?.iter().any(|known| known == folder), "there is no folder wit/{folder}");
    ensure!(!named(&released(wit)?, folder), "wit/{folder} is released already, and stays as it is");
    let path = wit.join("RELEASED");
    let mut text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    writeln!(text, "{}  {folder}", digest_of(&wit.join(folder))?)?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Digest and folder of each line.
fn released(wit: &Path) -> Result<Vec<(String, String)>> {
    let path = wit.join("RELEASED");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|line| match line.split_once("  ") {
            Some((digest, folder)) if digest.len() == 64 && !folder.contains('/') => Ok((digest.to_owned(), folder.to_owned())),
            _ => bail!("{}: `{line}` is not a digest, two spaces and a folder", path.display()),
        })
        .collect()
}

/// Folders of versions, `v1.0`.
fn folders(wit: &Path) -> Result<Vec<String>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(wit).with_context(|| format!("cannot list {}", wit.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('v') && entry.path().is_dir() {
            folders.push(name);
        }
    }
    folders.sort();
    Ok(folders)
}

/// What `find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum` says in that folder.
fn digest_of(folder: &Path) -> Result<String> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    let mut lines = Vec::new();
    for file in files {
        let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        lines.push((format!("./{}", file.strip_prefix(folder)?.display()), hex::encode(Sha256::digest(bytes))));
    }
    lines.sort();
    let mut whole = Sha256::new();
    for (name, digest) in lines {
        whole.update(format!("{digest}  {name}\n"));
    }
    Ok(hex::encode(whole.finalize()))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repository with one version of the contract, which has an adapter.
    fn repository() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let root = tempfile::tempdir().expect("a directory");
        let (wit, adapters) = (root.path().join("wit"), root.path().join("adapters"));
        fs::create_dir_all(wit.join("v1.0/deps")).expect("made");
        fs::create_dir(&adapters).expect("made");
        fs::write(wit.join("v1.0/cofre.wit"), "package cofre:plugin@1.0.0;\n").expect("written");
        fs::write(wit.join("v1.0/deps/io.wit"), "package wasi:io@0.2.12;\n").expect("written");
        fs::write(wit.join("RELEASED"), "# comment\n").expect("written");
        fs::write(adapters.join("v1_0.rs"), "").expect("written");
        (root, wit, adapters)
    }

    #[test]
    fn a_released_folder_may_not_change_in_any_way() {
        let (_root, wit, adapters) = repository();
        release(&wit, "v1.0").expect("released");
        assert_eq!(problems(&wit, &adapters).expect("read"), Vec::<String>::new());
        assert!(release(&wit, "v1.0").is_err(), "twice");
        let changed = |says: &str| {
            let wrong = problems(&wit, &adapters).expect("read");
            assert!(wrong.len() == 1 && wrong[0].contains(says), "{wrong:?}");
        };
        fs::write(wit.join("v1.0/deps/io.wit"), "package wasi:io@0.2.13;\n").expect("written");
        changed("has changed");
        fs::write(wit.join("v1.0/deps/io.wit"), "package wasi:io@0.2.12;\n").expect("written");
        fs::write(wit.join("v1.0/new.wit"), "").expect("written");
        changed("has changed");
        fs::rename(wit.join("v1.0"), wit.join("elsewhere")).expect("moved");
        changed("is gone");
    }

    #[test]
    fn a_released_version_needs_a_plug_in_that_was_built_from_its_copy() {
        let (root, wit, _) = repository();
        let (guests, copy) = (root.path().join("guests"), root.path().join("guests/frozen-v1-0/wit"));
        assert_eq!(unproven(&wit, &guests).expect("read"), Vec::<String>::new(), "nothing is released");
        release(&wit, "v1.0").expect("released");
        assert!(unproven(&wit, &guests).expect("read")[0].contains("no tests/guests/frozen-v1-0"));
        fs::create_dir_all(copy.join("deps")).expect("made");
        for file in ["cofre.wit", "deps/io.wit"] {
            fs::copy(wit.join("v1.0").join(file), copy.join(file)).expect("copied");
        }
        assert_eq!(unproven(&wit, &guests).expect("read"), Vec::<String>::new());
        fs::write(copy.join("cofre.wit"), "package cofre:plugin@1.0.1;\n").expect("written");
        assert!(unproven(&wit, &guests).expect("read")[0].contains("is not wit/v1.0"));
    }

    #[test]
    fn a_version_needs_its_adapter_and_its_own_name() {
        let (_root, wit, adapters) = repository();
        fs::create_dir(wit.join("v1.1")).expect("made");
        fs::write(wit.join("v1.1/cofre.wit"), "package cofre:plugin@1.0.0;\n").expect("written");
        let wrong = problems(&wit, &adapters).expect("read");
        assert!(wrong.len() == 2 && wrong[0].contains("v1_1.rs") && wrong[1].contains("cofre:plugin@1.1."), "{wrong:?}");
    }

    #[test]
    fn the_digest_is_what_the_command_beside_it_says() {
        let (_root, wit, _) = repository();
        let line = "find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum";
        let output = std::process::Command::new("sh").args(["-c", line]).current_dir(wit.join("v1.0")).output().expect("a shell");
        assert!(String::from_utf8_lossy(&output.stdout).starts_with(&digest_of(&wit.join("v1.0")).expect("read")));
    }
}
