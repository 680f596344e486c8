//! Which keys are file names, and where they lie. Refused are those that would leave the folder or that mean two things.

use std::fmt::Write as _;

use cofre_sdk::{Error, Result};
use sha2::{Digest as _, Sha256};

/// Folder of unfinished uploads; no object lies in it.
pub(crate) const PARTIAL: &str = ".cofre-partial";

/// Refuses a key that is no relative path of plain names.
pub(crate) fn check(key: &str) -> Result<()> {
    let wrong = if key.is_empty() {
        "it is empty"
    } else if key.contains('\0') {
        "it has a NUL"
    } else if key.split('/').any(str::is_empty) {
        "it has an empty part"
    } else if key.split('/').any(|part| part == "." || part == "..") {
        "it has a part `.` or `..`"
    } else if key.split('/').next() == Some(PARTIAL) {
        "its first part is the folder of unfinished uploads"
    } else {
        return Ok(());
    };
    Err(Error::invalid_config(format!("`{}` cannot be a file's path: {wrong}", key.escape_debug())))
}

/// `folder/name`, where either may be empty.
pub(crate) fn join(folder: &str, name: &str) -> String {
    match (folder, name) {
        ("", _) => name.to_owned(),
        (_, "") => folder.to_owned(),
        ("/", _) => format!("/{name}"),
        _ => format!("{folder}/{name}"),
    }
}

/// The folder of a path; `None` where it has none that could be made: a bare name, or `/`.
pub(crate) fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(folder, _)| folder).filter(|folder| !folder.is_empty())
}

/// Name of the partial file of `key`: its digest, so that any key fits and a new session of the same key replaces the old one.
pub(crate) fn partial_name(key: &str) -> String {
    Sha256::digest(key.as_bytes()).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_could_leave_the_folder_is_refused() {
        for key in ["", "/etc/passwd", "a//b", "a/", "../x", "a/../b", "a/.", "a\0b", ".cofre-partial/x", ".."] {
            assert!(check(key).is_err(), "{key:?}");
        }
        for key in ["a", "a/b.tar.gz.enc", "..a/b..", ".hidden", "x/.cofre-partial", "ação/ü +%", "a\\b"] {
            assert!(check(key).is_ok(), "{key:?}");
        }
    }

    #[test]
    fn paths_are_put_together_and_taken_apart() {
        assert_eq!((join("", "a"), join("/", "a"), join("x/y", "a"), join("x", "")), ("a".into(), "/a".into(), "x/y/a".into(), "x".into()));
        assert_eq!((parent("a"), parent("/a"), parent("/a/b"), parent("a/b/c")), (None, None, Some("/a"), Some("a/b")));
    }
}
