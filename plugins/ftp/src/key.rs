//! Which keys are paths on the server, and the temporary names beside them. Refused are keys that would leave the directory or end a command.

use std::hash::{BuildHasher as _, RandomState};

use cofre_sdk::{Error, Result};

/// Begins the name of an unfinished object; no key has such a part, and no listing shows one.
const UNFINISHED: &str = ".cofre-part-";

/// Key of the probe. One name, so that where deleting is not permitted one small object stays and not one a probe.
pub(crate) const PROBE: &str = ".cofre-probe";

/// Longest path, so that a command fits into what servers take as a line (vsftpd: 4,096 bytes).
const LONGEST: usize = 3_000;

/// Refuses a key that is no relative path of plain names.
pub(crate) fn check(key: &str) -> Result<()> {
    let wrong = if key.is_empty() {
        "it is empty"
    } else if key.len() > LONGEST {
        "it is longer than 3,000 bytes"
    } else if key.chars().any(char::is_control) {
        "it has a control character"
    } else if key.split('/').any(|part| matches!(part, "" | "." | "..")) {
        "it has an empty part, `.` or `..`"
    } else if key.split('/').any(is_unfinished) {
        "it has a part that begins as the names of unfinished objects do"
    } else {
        return Ok(());
    };
    Err(Error::invalid_config(format!("`{}` cannot be a path on the server: {wrong}", key.escape_debug())))
}

/// Whether a name is that of an unfinished object.
pub(crate) fn is_unfinished(name: &str) -> bool {
    name.starts_with(UNFINISHED)
}

/// `folder/name`, where either may be empty.
pub(crate) fn join(folder: &str, name: &str) -> String {
    match (folder.is_empty(), name.is_empty()) {
        (true, _) => name.to_owned(),
        (_, true) => folder.to_owned(),
        _ => format!("{folder}/{name}"),
    }
}

/// The folder of a path; empty for a bare name.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A mark of one upload, different every time, so that what a forgotten transfer still writes never gets into another upload.
pub(crate) fn mark() -> String {
    format!("{:016x}", RandomState::new().hash_one(0))
}

/// Whether a text can be such a mark.
pub(crate) fn is_mark(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Where the object of a key grows: beside its place, so that a rename is enough.
pub(crate) fn unfinished(key: &str, mark: &str) -> String {
    join(parent(key), &format!("{UNFINISHED}{mark}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_could_leave_the_directory_or_end_a_command_is_refused() {
        for key in ["", "/etc/passwd", "a//b", "a/", "../x", "a/../b", "a/.", "a\0b", "a\r\nDELE b", "a\nb", "x/.cofre-part-0"] {
            assert!(check(key).is_err(), "{key:?}");
        }
        for key in ["a", "a/b.tar.gz.enc", "..a/b..", ".hidden", " a b ", "ação/ü +%#?'\"", "a\\b", "-la"] {
            assert!(check(key).is_ok(), "{key:?}");
        }
    }

    #[test]
    fn an_unfinished_object_lies_beside_its_place_under_a_name_of_its_own() {
        let (one, other) = (mark(), mark());
        assert!(is_mark(&one) && one != other);
        assert_eq!(unfinished("set/a.enc", "0123456789abcdef"), "set/.cofre-part-0123456789abcdef");
        assert_eq!(unfinished("a", "0123456789abcdef"), ".cofre-part-0123456789abcdef");
    }
}
