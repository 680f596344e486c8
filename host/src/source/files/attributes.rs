//! Extended attributes of files, ACLs and capabilities among them (xattr(7)).

use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::io::Errno;

/// Largest list of names, and largest value, of extended attributes (Linux: XATTR_LIST_MAX, XATTR_SIZE_MAX).
const XATTR_MAX: usize = 64 << 10;
/// Bytes of attributes of one file that are kept, far below what a pax header may hold.
const KEPT_MAX: usize = 4 << 20;

/// Names and values, sorted by name.
pub(super) type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// Whose attributes are read.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// An open file or directory.
    Open(BorrowedFd<'a>),
    /// Something that is not opened (a link, a FIFO, a device), by its path.
    Path(&'a Path),
}

/// Reads attributes into buffers that it keeps.
pub(super) struct AttributeReader {
    names: Vec<u8>,
    value: Vec<u8>,
}

impl AttributeReader {
    pub(super) fn new() -> Self {
        Self { names: vec![0; XATTR_MAX], value: vec![0; XATTR_MAX] }
    }

    /// All attributes of a file, and why some are missing, if some are.
    pub(super) fn read(&mut self, place: Place<'_>) -> (Attributes, Option<String>) {
        let length = match place.list(&mut self.names) {
            Ok(0) | Err(Errno::NOTSUP) => return (Vec::new(), None),
            Ok(length) => length,
            Err(error) => {
                return (Vec::new(), Some(format!("its extended attributes could not be listed and are not in the backup: {error}")));
            }
        };
        let (mut found, mut kept, mut trouble) = (Vec::new(), 0, None);
        for name in self.names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            let value = place.get(name, &mut self.value);
            let shown = String::from_utf8_lossy(name);
            match value {
                Ok(length) if kept + name.len() + length <= KEPT_MAX => {
                    kept += name.len() + length;
                    found.push((name.to_vec(), self.value[..length].to_vec()));
                }
                Ok(_) => trouble = Some(format!("its attribute `{shown}` is not in the backup: its attributes are larger than 4 MiB")),
                // Removed meanwhile.
                Err(Errno::NODATA) => {}
                Err(error) => trouble = Some(format!("its attribute `{shown}` could not be read and is not in the backup: {error}")),
            }
        }
        found.sort_unstable();
        (found, trouble)
    }
}

impl Place<'_> {
    fn list(self, buffer: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Open(fd) => rustix::fs::flistxattr(fd, buffer),
            Self::Path(path) => rustix::fs::llistxattr(path, buffer),
        }
    }

    fn get(self, name: &[u8], buffer: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Open(fd) => rustix::fs::fgetxattr(fd, name, buffer),
            Self::Path(path) => rustix::fs::lgetxattr(path, name, buffer),
        }
    }
}
