//! `SHA256SUMS` and `MD5SUMS`, in the form that coreutils' `sha256sum -c` and `md5sum -c` read.

use std::fmt::Write as _;

use super::manifest::{ArtifactRecord, FileRecord};

/// Text of `SHA256SUMS`.
pub fn sha256_sums(artifacts: &[ArtifactRecord], files: &[FileRecord]) -> String {
    lines(artifacts.iter().map(|a| (&a.sha256, &a.key)).chain(files.iter().map(|f| (&f.sha256, &f.key))))
}

/// Text of `MD5SUMS`.
pub fn md5_sums(artifacts: &[ArtifactRecord], files: &[FileRecord]) -> String {
    lines(artifacts.iter().map(|a| (&a.md5, &a.key)).chain(files.iter().map(|f| (&f.md5, &f.key))))
}

// Keys have neither backslash nor line feed (the manifest refuses them), so coreutils' escaped form is never needed.
fn lines<'a>(entries: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    entries.fold(String::new(), |mut text, (digest, key)| {
        let _ = writeln!(text, "{digest}  {key}");
        text
    })
}
