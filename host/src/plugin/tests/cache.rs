//! Compiled code on disk.

use std::path::{Path, PathBuf};

use super::guest;
use crate::plugin::PluginEngine;

fn entries(cache: &Path) -> Vec<PathBuf> {
    let modules = cache.join("code/modules");
    let compilers = std::fs::read_dir(modules).expect("a cache").map(|entry| entry.expect("an entry").path());
    let files = compilers.flat_map(|compiler| std::fs::read_dir(compiler).expect("a folder")).map(|entry| entry.expect("an entry").path());
    files.filter(|file| file.extension().is_none()).collect()
}

/// Loads with a new engine, as the next start of cofre would.
async fn load(cache: &Path) {
    let engine = PluginEngine::new(Some(cache)).expect("an engine");
    engine.load(&guest("notifier-echo.wasm")).await.expect("it describes itself");
}

#[tokio::test]
async fn a_damaged_entry_is_compiled_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let cache = directory.path().join("cache");
    load(&cache).await;
    let [entry] = entries(&cache).try_into().expect("one entry");
    let written = std::fs::read(&entry).expect("read");
    let unchanged = std::fs::metadata(&entry).expect("a file").modified().expect("a time");
    load(&cache).await;
    assert_eq!(std::fs::metadata(&entry).expect("a file").modified().expect("a time"), unchanged, "a sound entry was compiled again");
    for at in [0, written.len() / 2, written.len() - 1] {
        let mut damaged = written.clone();
        damaged[at] ^= 1;
        std::fs::write(&entry, damaged).expect("written");
        load(&cache).await;
        assert_eq!(std::fs::read(&entry).expect("read"), written, "byte {at}");
    }
    std::fs::write(&entry, b"").expect("written");
    load(&cache).await;
    assert_eq!(std::fs::read(&entry).expect("read"), written);
}

#[tokio::test]
async fn an_entry_that_somebody_planted_is_not_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let cache = directory.path().join("cache");
    load(&cache).await;
    let [entry] = entries(&cache).try_into().expect("one entry");
    let written = std::fs::read(&entry).expect("read");
    for note in std::fs::read_dir(cache.join("digests")).expect("digests") {
        std::fs::remove_file(note.expect("an entry").path()).expect("removed");
    }
    let before = std::fs::metadata(&entry).expect("a file").modified().expect("a time");
    load(&cache).await;
    assert_ne!(std::fs::metadata(&entry).expect("a file").modified().expect("a time"), before, "an entry without a digest was used");
    assert_eq!(std::fs::read(&entry).expect("read"), written);
}
