//! The cache of compiled plug-ins: wasmtime's own, in a directory that nobody else can write, with a digest beside each entry.
//!
//! Compiled code is executed as it is, outside any sandbox. So an entry is used only if it is exactly what this program wrote:
//! wasmtime names it by the SHA-256 of the component, the compiler and its settings; what we add is the owner's check and the digest,
//! which wasmtime does not keep, so that a damaged entry is compiled again instead of run.

use std::fs::{DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::{Cache, CacheConfig};

/// Bytes that all entries together may take before the oldest are removed.
const SIZE_MAX: u64 = 256 << 20;
/// Permission bits of group and others.
const NOT_OURS: u32 = 0o077;
/// Permission bits by which group and others may change a directory, and the bit that keeps them from others' entries.
const WRITABLE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// A private directory with compiled code and its digests.
#[derive(Debug, Clone)]
pub(super) struct CompiledCode {
    /// wasmtime's part.
    code: PathBuf,
    /// One file a cache entry, with its SHA-256 in hex.
    digests: PathBuf,
}

impl CompiledCode {
    /// Opens the cache in `directory` and removes what is not as it was written. `None`, with a warning, where it cannot be trusted.
    pub(super) fn open(directory: &Path) -> Option<(Self, Cache)> {
        let opened = private(directory).and_then(|directory| Self::prepare(&directory));
        opened
            .inspect_err(|reason| {
                tracing::warn!(directory = %directory.display(), "compiled plug-ins are not kept: {reason}");
            })
            .ok()
    }

    fn prepare(directory: &Path) -> Result<(Self, Cache), String> {
        let this = Self { code: directory.join("code"), digests: directory.join("digests") };
        for part in [&this.code, &this.digests] {
            private(part)?;
        }
        this.remove_damaged().map_err(|error| format!("its entries cannot be checked: {error}"))?;
        let mut config = CacheConfig::new();
        config.with_directory(&this.code).with_files_total_size_soft_limit(SIZE_MAX);
        // Compressing an entry again would change its bytes.
        config.with_optimized_compression_usage_counter_threshold(u64::MAX);
        let cache = Cache::new(config).map_err(|error| format!("{error:#}"))?;
        Ok((this, cache))
    }

    /// Writes down the digests of entries that are new since.
    pub(super) fn record(&self) {
        let recorded = self.entries().and_then(|entries| entries.iter().try_for_each(|entry| self.record_one(entry)));
        if let Err(error) = recorded {
            tracing::warn!(directory = %self.digests.display(), "plug-ins will be compiled again next time: {error}");
        }
    }

    fn record_one(&self, entry: &Path) -> io::Result<()> {
        let note = self.note(entry);
        if note.exists() {
            return Ok(());
        }
        // By a rename: another cofre may read it meanwhile.
        let draft = note.with_extension(format!("{}.draft", std::process::id()));
        std::fs::write(&draft, digest(entry)?)?;
        std::fs::rename(draft, note)
    }

    fn remove_damaged(&self) -> io::Result<()> {
        let mut kept = Vec::new();
        for entry in self.entries()? {
            let note = self.note(&entry);
            let sound = std::fs::read_to_string(&note).is_ok_and(|noted| digest(&entry).is_ok_and(|found| noted == found));
            if sound {
                kept.push(note);
            } else {
                tracing::warn!(entry = %entry.display(), "a compiled plug-in is not what was written; it is compiled again");
                remove(&entry)?;
            }
        }
        for note in files(&self.digests)?.into_iter().filter(|note| !kept.contains(note)) {
            remove(&note)?;
        }
        Ok(())
    }

    /// wasmtime's layout: `modules/<compiler>/<hash>`, with statistics beside them that are not executed.
    fn entries(&self) -> io::Result<Vec<PathBuf>> {
        let mut entries = Vec::new();
        for compiler in directories(&self.code.join("modules"))? {
            entries.extend(files(&compiler)?.into_iter().filter(|file| file.extension().is_none()));
        }
        Ok(entries)
    }

    fn note(&self, entry: &Path) -> PathBuf {
        let parts: Vec<_> = entry.iter().rev().take(2).map(|part| part.to_string_lossy()).collect();
        self.digests.join(parts.join("@"))
    }
}

/// Another cofre may have removed it already.
fn remove(file: &Path) -> io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn digest(file: &Path) -> io::Result<String> {
    Ok(hex::encode(Sha256::digest(std::fs::read(file)?)))
}

fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    listed(directory, Metadata::is_file)
}

fn directories(directory: &Path) -> io::Result<Vec<PathBuf>> {
    listed(directory, Metadata::is_dir)
}

fn listed(directory: &Path, wanted: fn(&Metadata) -> bool) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        match entry.metadata() {
            Ok(metadata) if wanted(&metadata) => found.push(entry.path()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(found)
}

/// The directory, made where it is missing, if nobody but us and root can put anything into it.
fn private(directory: &Path) -> Result<PathBuf, String> {
    let failed = |error: io::Error| format!("`{}`: {error}", directory.display());
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    let status = std::fs::symlink_metadata(directory).map_err(failed)?;
    let us = rustix::process::geteuid().as_raw();
    if !status.is_dir() || status.uid() != us {
        return Err(format!("`{}` is not a directory of ours; name another one", directory.display()));
    }
    if status.mode() & NOT_OURS != 0 {
        return Err(format!("others can open `{0}`; mend it with: chmod 700 {0}", directory.display()));
    }
    let whole = directory.canonicalize().map_err(failed)?;
    for above in whole.ancestors().skip(1) {
        let status = std::fs::symlink_metadata(above).map_err(failed)?;
        let replaceable = status.mode() & WRITABLE != 0 && status.mode() & STICKY == 0;
        if replaceable || (status.uid() != us && status.uid() != 0) {
            return Err(format!("others can replace it, as `{}` is theirs or open to them", above.display()));
        }
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("changed");
    }

    #[test]
    fn a_directory_that_others_can_change_is_not_used() {
        let directory = tempfile::tempdir().expect("a directory");
        let cache = directory.path().join("cache");
        assert!(CompiledCode::open(&cache).is_some());
        for open in [0o770, 0o750, 0o701] {
            mode(&cache, open);
            assert!(CompiledCode::open(&cache).is_none(), "{open:o}");
        }
        mode(&cache, 0o700);
        assert!(CompiledCode::open(&cache).is_some());
        mode(directory.path(), 0o777);
        assert!(CompiledCode::open(&cache).is_none(), "the directory above is open");
        mode(directory.path(), 0o1777);
        assert!(CompiledCode::open(&cache).is_some());
    }

    #[test]
    fn a_directory_of_somebody_else_and_a_link_are_not_used() {
        let directory = tempfile::tempdir().expect("a directory");
        let (ours, link) = (directory.path().join("ours"), directory.path().join("link"));
        assert!(CompiledCode::open(&ours).is_some());
        std::os::unix::fs::symlink(&ours, &link).expect("linked");
        assert!(CompiledCode::open(&link).is_none());
        let theirs = directory.path().join("theirs");
        std::fs::create_dir(&theirs).expect("made");
        mode(&theirs, 0o700);
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&theirs, Some(65_534), None).expect("given away");
            assert!(CompiledCode::open(&theirs).is_none());
        }
    }

    #[test]
    fn an_entry_that_is_not_as_it_was_written_is_removed() {
        let directory = tempfile::tempdir().expect("a directory");
        let directory = directory.path().join("cache");
        let (cache, _) = CompiledCode::open(&directory).expect("opened");
        let modules = cache.code.join("modules/compiler");
        std::fs::create_dir_all(&modules).expect("made");
        let [sound, damaged, planted] = ["sound", "damaged", "planted"].map(|name| modules.join(name));
        std::fs::write(&sound, "code").expect("written");
        std::fs::write(&damaged, "code").expect("written");
        cache.record();
        std::fs::write(&damaged, "c0de").expect("written");
        std::fs::write(&planted, "code").expect("written");
        CompiledCode::open(&directory).expect("opened");
        assert!(sound.exists() && !damaged.exists() && !planted.exists());
    }
}
