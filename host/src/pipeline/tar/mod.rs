//! The tar inside an artifact: POSIX pax interchange format (POSIX.1-2001, `pax`), with GNU's sparse format 1.0 for files
//! with holes, `SCHILY.xattr.*` for extended attributes and `SCHILY.acl.*` for ACLs; GNU tar reads all of it.

mod acl;
mod header;
mod reader;
mod sparse;
mod writer;

pub use reader::{TarEntry, TarError, TarReader, TarSummary};
pub use writer::TarWriter;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A second name of a file that came earlier in the archive.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

/// A moment with nanoseconds; seconds may be negative, nanoseconds count upwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileTime {
    /// Seconds since 1970.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

/// Everything about an entry but its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path, without leading slash; any bytes but NUL.
    pub path: Vec<u8>,
    /// Kind.
    pub kind: EntryKind,
    /// Permission bits, setuid, setgid and sticky included.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Name of the owner where the archive was made; empty where it had none.
    pub user: Vec<u8>,
    /// Name of the group likewise.
    pub group: Vec<u8>,
    /// Last change of the content.
    pub mtime: FileTime,
    /// Bytes of the file (holes included); 0 for everything else.
    pub size: u64,
    /// Target of a link.
    pub link: Vec<u8>,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes, ACLs among them.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Extents `(offset, length)` that hold data, where the file has holes.
    pub extents: Option<Vec<(u64, u64)>>,
}

impl Entry {
    /// A plain file of root.
    pub fn file(path: &[u8], mode: u32, size: u64) -> Self {
        Self {
            path: path.to_vec(),
            kind: EntryKind::File,
            mode,
            uid: 0,
            gid: 0,
            user: Vec::new(),
            group: Vec::new(),
            mtime: FileTime::default(),
            size,
            link: Vec::new(),
            device: (0, 0),
            xattrs: Vec::new(),
            extents: None,
        }
    }

    /// Bytes of content that stand in the archive.
    pub fn stored(&self) -> u64 {
        self.extents.as_ref().map_or(self.size, |extents| extents.iter().map(|extent| extent.1).sum())
    }
}

const BLOCK: usize = 512;
/// Longest pax header that is read, in bytes: Linux allows 64 KiB per attribute, and a map of holes is no pax header.
const PAX_MAX: u64 = 8 << 20;
/// Most extended attributes of one entry that are read.
const XATTRS_MAX: usize = 10_000;
/// Most extents of one sparse file.
const EXTENTS_MAX: u64 = 1 << 20;

fn padding(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).expect("below 512");
    if over == 0 { 0 } else { BLOCK - over }
}
