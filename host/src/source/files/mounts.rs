//! File systems that are mounted below a directory, from `/proc/self/mountinfo` (proc_pid_mountinfo(5)): what lies on them is not in a
//! backup of one file system, and somebody must be told.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::exclude::Exclusions;
use crate::ports::DirectorySettings;

/// Kinds of file systems that hold nothing of anybody's: the kernel's own views, and doors of a desktop session.
const PSEUDO: [&str; 25] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fuse.gvfsd-fuse",
    "fuse.lxcfs",
    "fuse.portal",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nfsd",
    "nsfs",
    "proc",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tracefs",
];
/// Where, and below which, a file system in memory holds only what every start makes anew.
const VOLATILE: [&str; 3] = ["/dev", "/run", "/sys"];
/// The same, where only the place itself counts: what somebody mounts below it has a purpose.
const TEMPORARY: &str = "/tmp";

/// What is mounted below a directory.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    /// The directory, behind every symbolic link.
    root: PathBuf,
    /// Kind of file system by mount point; what is mounted over another counts.
    kinds: BTreeMap<PathBuf, String>,
}

/// What a mount is to a backup of one file system.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mounted<'a> {
    /// Nothing is mounted there.
    Nothing,
    /// Nothing of anybody's.
    Pseudo,
    /// A file system of this kind.
    Data(&'a str),
}

impl Mounts {
    /// The mounts of this machine; none where they cannot be told.
    pub(super) fn below(root: &Path) -> Self {
        Self::parse(root, &std::fs::read("/proc/self/mountinfo").unwrap_or_default())
    }

    fn parse(root: &Path, table: &[u8]) -> Self {
        let root = root.canonicalize().unwrap_or_else(|_| root.to_path_buf());
        let line = |line: &[u8]| {
            let fields: Vec<_> = line.split(|byte| *byte == b' ').collect();
            let separator = fields.iter().position(|field| *field == b"-")?;
            let path = PathBuf::from(unescaped(fields.get(4)?));
            let kind = String::from_utf8_lossy(fields.get(separator + 1)?).into_owned();
            (path.starts_with(&root) && path != root).then_some((path, kind))
        };
        Self { kinds: table.split(|byte| *byte == b'\n').filter_map(line).collect(), root }
    }

    /// What is mounted at a path below the root.
    pub(super) fn at(&self, relative: &Path) -> Mounted<'_> {
        let path = self.root.join(relative);
        self.kinds.get(&path).map_or(Mounted::Nothing, |kind| judged(&path, kind))
    }
}

fn judged<'a>(path: &Path, kind: &'a str) -> Mounted<'a> {
    let volatile = path == Path::new(TEMPORARY) || VOLATILE.iter().any(|place| path.starts_with(place));
    if PSEUDO.contains(&kind) || (volatile && matches!(kind, "tmpfs" | "ramfs")) { Mounted::Pseudo } else { Mounted::Data(kind) }
}

/// Paths have blanks, tabs, line feeds and backslashes as `\` and three octal digits.
fn unescaped(field: &[u8]) -> OsString {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|digits| *first == b'\\' && digits.iter().all(|digit| (b'0'..=b'7').contains(digit)));
        let code = digits.and_then(|digits| digits.iter().try_fold(0_u8, |code, digit| code.checked_mul(8)?.checked_add(digit - b'0')));
        if let Some(code) = code {
            plain.push(code);
            rest = &after[3..];
        } else {
            plain.push(*first);
            rest = after;
        }
    }
    OsString::from_vec(plain)
}

/// Mount points whose files a backup of this directory leaves out, with the kinds of their file systems; of those inside one another
/// only the outermost. Empty where other file systems are crossed into.
pub fn skipped_mounts(settings: &DirectorySettings) -> Vec<(PathBuf, String)> {
    let Some(device) = settings.one_file_system.then(|| std::fs::metadata(&settings.path).ok()).flatten().map(|status| status.dev()) else {
        return Vec::new();
    };
    let Ok(exclusions) = Exclusions::new(settings, device) else { return Vec::new() };
    let mounts = Mounts::below(&settings.path);
    let mut skipped: Vec<(PathBuf, String)> = Vec::new();
    for (path, kind) in &mounts.kinds {
        let is_elsewhere = std::fs::symlink_metadata(path).map_or(true, |status| status.dev() != device);
        let relative = path.strip_prefix(&mounts.root).unwrap_or(path);
        let excluded = relative.ancestors().any(|part| !part.as_os_str().is_empty() && exclusions.by_pattern(part, true));
        let inside = skipped.iter().any(|(outer, _)| path.starts_with(outer));
        if is_elsewhere && !excluded && !inside && matches!(judged(path, kind), Mounted::Data(_)) {
            skipped.push((path.clone(), kind.clone()));
        }
    }
    skipped
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
        23 22 0:20 / /proc rw - proc proc rw\n\
        24 22 0:21 / /run rw,nosuid shared:2 master:3 - tmpfs tmpfs rw\n\
        25 22 8:2 / /srv/my\\040data\\134 rw - xfs /dev/sda2 rw\n\
        26 22 0:22 / /srv/cache rw - tmpfs tmpfs rw\n\
        27 22 0:23 / /srv/auto rw - autofs systemd-1 rw\n\
        28 27 0:24 / /srv/auto rw - nfs4 nas:/x rw\n\
        29 22 8:3 / /srvother rw - ext4 /dev/sda3 rw\n\
        broken line\n";

    #[test]
    fn mounts_are_told_apart_by_their_kind() {
        let root = Mounts::parse(Path::new("/"), TABLE);
        assert_eq!(root.at(Path::new("proc")), Mounted::Pseudo);
        assert_eq!(root.at(Path::new("run")), Mounted::Pseudo);
        assert_eq!(root.at(Path::new("srv/cache")), Mounted::Data("tmpfs"));
        assert_eq!(root.at(Path::new("srv/auto")), Mounted::Data("nfs4"), "what is mounted over another counts");
        assert_eq!(root.at(Path::new("srv/my data\\")), Mounted::Data("xfs"));
        assert_eq!(root.at(Path::new("srv")), Mounted::Nothing);
    }

    #[test]
    fn only_what_lies_below_the_directory_counts() {
        let srv = Mounts::parse(Path::new("/srv"), TABLE);
        assert_eq!(srv.kinds.len(), 3, "{srv:?}");
        assert_eq!(srv.at(Path::new("my data\\")), Mounted::Data("xfs"));
    }
}
