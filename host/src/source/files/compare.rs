//! Compares two trees by everything that a backup promises to bring back; the demo and the end-to-end tests stand on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::attributes::{AttributeReader, Place};

const READ_SIZE: usize = 256 << 10;
/// A file with holes may take so much more space than the other, as a part of its size, before that counts as a difference.
const ALLOCATION_SLACK: u64 = 8;

/// One difference between two trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeDifference {
    /// Path relative to both roots; empty for the roots themselves.
    pub path: PathBuf,
    /// What differs, with both values.
    pub what: String,
}

impl fmt::Display for TreeDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.path.display(), self.what)
    }
}

/// Compares names, kinds, content, modes, owners, times of change to the nanosecond, extended attributes with ACLs, which names
/// are hard links of each other, targets of links, device numbers, and whether holes are still holes. The times of links count too;
/// sockets, which no archive holds, do not.
///
/// # Errors
/// When either tree cannot be read.
pub fn compare_trees(a: &Path, b: &Path) -> io::Result<Vec<TreeDifference>> {
    let mut comparison = Comparison {
        roots: [a, b],
        differences: Vec::new(),
        links: [BTreeMap::new(), BTreeMap::new()],
        attributes: AttributeReader::new(),
    };
    comparison.names(Path::new(""))?;
    comparison.hard_links();
    Ok(comparison.differences)
}

/// Names of each inode with several, by inode.
type Links = BTreeMap<(u64, u64), BTreeSet<PathBuf>>;

struct Comparison<'a> {
    roots: [&'a Path; 2],
    differences: Vec<TreeDifference>,
    links: [Links; 2],
    attributes: AttributeReader,
}

impl Comparison<'_> {
    fn names(&mut self, first: &Path) -> io::Result<()> {
        let mut waiting = vec![first.to_path_buf()];
        while let Some(path) = waiting.pop() {
            if !self.both(&path)? {
                continue;
            }
            let [ours, theirs] = [self.children(0, &path)?, self.children(1, &path)?];
            for name in ours.difference(&theirs) {
                self.differ(name, "it is in the first tree only".to_owned());
            }
            for name in theirs.difference(&ours) {
                self.differ(name, "it is in the second tree only".to_owned());
            }
            waiting.extend(ours.intersection(&theirs).cloned());
        }
        Ok(())
    }

    fn children(&self, side: usize, path: &Path) -> io::Result<BTreeSet<PathBuf>> {
        let mut names = BTreeSet::new();
        for entry in std::fs::read_dir(self.at(side, path))? {
            let entry = entry?;
            if !entry.file_type()?.is_socket() {
                names.insert(path.join(entry.file_name()));
            }
        }
        Ok(names)
    }

    fn at(&self, side: usize, path: &Path) -> PathBuf {
        if path.as_os_str().is_empty() { self.roots[side].to_path_buf() } else { self.roots[side].join(path) }
    }

    /// Compares what has the same name in both; says whether both are directories.
    fn both(&mut self, path: &Path) -> io::Result<bool> {
        let places = [self.at(0, path), self.at(1, path)];
        let [a, b] = [std::fs::symlink_metadata(&places[0])?, std::fs::symlink_metadata(&places[1])?];
        if a.file_type() != b.file_type() {
            self.differ(path, format!("{:?} against {:?}", a.file_type(), b.file_type()));
            return Ok(false);
        }
        self.status(path, &a, &b);
        let [ours, theirs] = [self.attributes.read(Place::Path(&places[0])), self.attributes.read(Place::Path(&places[1]))];
        if let Some(trouble) = ours.1.or(theirs.1) {
            return Err(io::Error::other(trouble));
        }
        if ours.0 != theirs.0 {
            let names = |all: &[(Vec<u8>, Vec<u8>)], other: &[(Vec<u8>, Vec<u8>)]| {
                let own = all.iter().filter(|attribute| !other.contains(attribute));
                own.map(|(name, value)| format!("{} ({} bytes)", name.escape_ascii(), value.len())).collect::<Vec<_>>().join(", ")
            };
            self.differ(path, format!("extended attributes: [{}] against [{}]", names(&ours.0, &theirs.0), names(&theirs.0, &ours.0)));
        }
        if a.is_symlink() {
            let [one, other] = [std::fs::read_link(&places[0])?, std::fs::read_link(&places[1])?];
            if one.as_os_str().as_bytes() != other.as_os_str().as_bytes() {
                self.differ(path, format!("target `{}` against `{}`", one.display(), other.display()));
            }
        }
        if a.is_file() {
            self.file(path, (&places[0], &a), (&places[1], &b))?;
        }
        if !a.is_dir() {
            for (side, status) in [a, b].iter().enumerate().filter(|(_, status)| status.nlink() > 1) {
                self.links[side].entry((status.dev(), status.ino())).or_default().insert(path.to_path_buf());
            }
            return Ok(false);
        }
        Ok(true)
    }

    fn status(&mut self, path: &Path, a: &Metadata, b: &Metadata) {
        if a.mode() != b.mode() {
            self.differ(path, format!("mode {:o} against {:o}", a.mode(), b.mode()));
        }
        if (a.uid(), a.gid()) != (b.uid(), b.gid()) {
            self.differ(path, format!("owner {}:{} against {}:{}", a.uid(), a.gid(), b.uid(), b.gid()));
        }
        if (a.mtime(), a.mtime_nsec()) != (b.mtime(), b.mtime_nsec()) {
            self.differ(path, format!("changed at {}+{:09} against {}+{:09}", a.mtime(), a.mtime_nsec(), b.mtime(), b.mtime_nsec()));
        }
        let device = a.file_type().is_block_device() || a.file_type().is_char_device();
        if device && a.rdev() != b.rdev() {
            self.differ(path, format!("device {:#x} against {:#x}", a.rdev(), b.rdev()));
        }
    }

    fn file(&mut self, path: &Path, (one, a): (&Path, &Metadata), (other, b): (&Path, &Metadata)) -> io::Result<()> {
        if a.len() != b.len() {
            self.differ(path, format!("{} bytes against {}", a.len(), b.len()));
            return Ok(());
        }
        let [ours, theirs] = [a.blocks() * 512, b.blocks() * 512];
        let slack = (a.len() / ALLOCATION_SLACK).max(64 << 10);
        if ours.abs_diff(theirs) > slack {
            self.differ(path, format!("{ours} bytes on disk against {theirs}: holes were filled or made"));
        }
        if let Some(position) = first_difference(one, other, a.len(), ours.max(theirs) < a.len())? {
            self.differ(path, format!("the content differs from byte {position} on"));
        }
        Ok(())
    }

    /// Every group of names of one inode must be one group in the other tree.
    fn hard_links(&mut self) {
        let groups = |links: &Links| links.values().filter(|names| names.len() > 1).cloned().collect::<BTreeSet<_>>();
        let [ours, theirs] = [groups(&self.links[0]), groups(&self.links[1])];
        for names in ours.symmetric_difference(&theirs) {
            let side = if ours.contains(names) { "first" } else { "second" };
            let list: Vec<_> = names.iter().map(|name| name.display().to_string()).collect();
            let Some(first) = names.first() else { continue };
            self.differences.push(TreeDifference {
                path: first.clone(),
                what: format!("only in the {side} tree one file has exactly these names: {}", list.join(", ")),
            });
        }
    }

    fn differ(&mut self, path: &Path, what: String) {
        self.differences.push(TreeDifference { path: path.to_path_buf(), what });
    }
}

/// Where the content differs first. Of files with holes in both, only what is data in either is read.
fn first_difference(one: &Path, other: &Path, size: u64, holes: bool) -> io::Result<Option<u64>> {
    let (mut a, mut b) = (File::open(one)?, File::open(other)?);
    let (mut ours, mut theirs) = (vec![0; READ_SIZE], vec![0; READ_SIZE]);
    let mut position = 0;
    while position < size {
        if holes {
            let data = next_data(&a, position, size)?.min(next_data(&b, position, size)?);
            if data >= size {
                return Ok(None);
            }
            if data != position {
                position = data;
            }
            rustix::fs::seek(&a, rustix::fs::SeekFrom::Start(position))?;
            rustix::fs::seek(&b, rustix::fs::SeekFrom::Start(position))?;
        }
        let want = usize::try_from(size - position).unwrap_or(READ_SIZE).min(READ_SIZE);
        a.read_exact(&mut ours[..want])?;
        b.read_exact(&mut theirs[..want])?;
        if let Some(at) = ours[..want].iter().zip(&theirs[..want]).position(|(x, y)| x != y) {
            return Ok(Some(position + at as u64));
        }
        position += want as u64;
    }
    Ok(None)
}

fn next_data(file: &File, position: u64, size: u64) -> io::Result<u64> {
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(position)) {
        Ok(data) => Ok(data),
        Err(rustix::io::Errno::NXIO) => Ok(size),
        Err(rustix::io::Errno::INVAL) => Ok(position),
        Err(error) => Err(error.into()),
    }
}
