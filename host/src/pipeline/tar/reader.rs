//! Reads a tar from front to back, with every length checked before anything is allocated for it.
//!
//! Reads pax, ustar and GNU long names, and sparse files in format 1.0. The end is reported only after the archive's own
//! end marker: an archive that was cut is an error, wherever it was cut (trap 1).

use std::io::{self, Read};

use super::header::{Header, parse_pax_time, pax_records};
use super::{BLOCK, EXTENTS_MAX, Entry, EntryKind, FileTime, PAX_MAX, padding};
use crate::pipeline::PipelineError;

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// Reading below failed: decryption, decompression or the disk.
    #[error("the archive cannot be read: {0}")]
    Io(#[source] io::Error),
    /// The archive ends too early.
    #[error("the archive is truncated: {0}")]
    Truncated(&'static str),
    /// A header is damaged.
    #[error("the archive is damaged near `{near}`: {what}")]
    Damaged {
        /// The last path that was read.
        near: String,
        /// What is wrong.
        what: &'static str,
    },
}

impl From<io::Error> for TarError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<PipelineError> for TarError {
    fn from(error: PipelineError) -> Self {
        Self::Io(error.into())
    }
}

/// What a whole archive held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TarSummary {
    /// Entries.
    pub entries: u64,
    /// Bytes of content.
    pub bytes: u64,
}

/// One entry, with its content still to be read.
pub type TarEntry = Entry;

/// Reads entries one after the other.
pub struct TarReader<R: Read> {
    source: R,
    /// Content of the current entry not yet read.
    left: u64,
    pad: usize,
    near: Vec<u8>,
    ended: bool,
}

/// What pax and GNU headers said about the entry that follows them.
#[derive(Default)]
struct Extra {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    mtime: Option<FileTime>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    sparse_name: Option<Vec<u8>>,
    sparse_size: Option<u64>,
    sparse_major: Option<u64>,
}

impl<R: Read> TarReader<R> {
    /// A reader at the start of an archive.
    pub fn new(source: R) -> Self {
        Self { source, left: 0, pad: 0, near: Vec::new(), ended: false }
    }

    /// The next entry, skipping what is left of the one before. `None` after the archive's end marker and the end of its source.
    ///
    /// # Errors
    /// When the archive is cut or damaged.
    pub fn next_entry(&mut self) -> Result<Option<TarEntry>, TarError> {
        if self.ended {
            return Ok(None);
        }
        self.skip_rest()?;
        let mut extra = Extra::default();
        loop {
            let Some(header) = self.header()? else {
                self.ended = true;
                return Ok(None);
            };
            let size = header.size().ok_or_else(|| self.damaged("a size is no number"))?;
            match header.kind() {
                b'x' => self.pax(size, &mut extra)?,
                b'g' => drop(self.small(size)?),
                b'L' => extra.path = Some(self.long_name(size)?),
                b'K' => extra.link = Some(self.long_name(size)?),
                _ => return self.entry(&header, extra, size).map(Some),
            }
        }
    }

    /// Reads every entry to its last byte.
    ///
    /// # Errors
    /// When the archive is cut or damaged anywhere.
    pub fn walk_to_end(mut self) -> Result<TarSummary, TarError> {
        let mut summary = TarSummary::default();
        while let Some(entry) = self.next_entry()? {
            summary.entries += 1;
            summary.bytes += entry.stored();
        }
        Ok(summary)
    }

    /// The whole content of the current entry.
    ///
    /// # Errors
    /// When it is longer than `max` bytes, or the archive is cut.
    pub fn content(&mut self, max: u64) -> Result<Vec<u8>, TarError> {
        if self.left > max {
            return Err(self.damaged("an entry is longer than any of its kind"));
        }
        let mut content = Vec::new();
        self.read_to_end(&mut content)?;
        Ok(content)
    }

    fn header(&mut self) -> Result<Option<Header>, TarError> {
        let mut header = Header([0; BLOCK]);
        self.fill(&mut header.0, "it ends without its end marker")?;
        if header.0.iter().all(|byte| *byte == 0) {
            self.fill(&mut header.0, "its end marker is cut")?;
            if header.0.iter().any(|byte| *byte != 0) {
                return Err(self.damaged("an empty block stands among its entries"));
            }
            self.drain_zeros()?;
            return Ok(None);
        }
        if header.is_sound() { Ok(Some(header)) } else { Err(self.damaged("a header's checksum is wrong")) }
    }

    /// After the end marker only zeros may follow, up to the end of the source, so that digests and paddings below are checked too.
    fn drain_zeros(&mut self) -> Result<(), TarError> {
        let mut buffer = [0; 16 << 10];
        loop {
            let count = match self.source.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if count == 0 {
                return Ok(());
            }
            if buffer[..count].iter().any(|byte| *byte != 0) {
                return Err(self.damaged("something follows its end marker"));
            }
        }
    }

    fn pax(&mut self, size: u64, extra: &mut Extra) -> Result<(), TarError> {
        let bytes = self.small(size)?;
        let records = pax_records(&bytes).ok_or_else(|| self.damaged("a pax header is malformed"))?;
        let number = |value: &[u8]| std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
        let id = |value: &[u8]| number(value).and_then(|id| u32::try_from(id).ok());
        for (key, value) in records {
            match key {
                b"path" => extra.path = Some(value.to_vec()),
                b"linkpath" => extra.link = Some(value.to_vec()),
                b"size" => extra.size = Some(number(value).ok_or_else(|| self.damaged("a size is no number"))?),
                b"uid" => extra.uid = id(value),
                b"gid" => extra.gid = id(value),
                b"mtime" => extra.mtime = parse_pax_time(value),
                b"GNU.sparse.major" => extra.sparse_major = number(value),
                b"GNU.sparse.name" => extra.sparse_name = Some(value.to_vec()),
                b"GNU.sparse.realsize" => extra.sparse_size = number(value),
                _ => {
                    if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                        extra.xattrs.push((name.to_vec(), value.to_vec()));
                    }
                }
            }
        }
        Ok(())
    }

    fn entry(&mut self, header: &Header, extra: Extra, size: u64) -> Result<TarEntry, TarError> {
        let stored = extra.size.unwrap_or(size);
        let kind = match header.kind() {
            b'0' | 0 | b'7' => EntryKind::File,
            b'1' => EntryKind::HardLink,
            b'2' => EntryKind::Symlink,
            b'3' => EntryKind::CharDevice,
            b'4' => EntryKind::BlockDevice,
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            _ => return Err(self.damaged("an entry is of a kind that cofre does not write")),
        };
        self.left = if kind == EntryKind::File { stored } else { 0 };
        self.pad = padding(self.left);
        let path = extra.path.unwrap_or_else(|| header.path());
        self.near.clone_from(&path);
        let mut entry = Entry {
            path,
            kind,
            mode: header.mode().ok_or_else(|| self.damaged("a mode is no number"))?,
            uid: extra.uid.or_else(|| header.uid()).ok_or_else(|| self.damaged("an owner is no number"))?,
            gid: extra.gid.or_else(|| header.gid()).ok_or_else(|| self.damaged("a group is no number"))?,
            mtime: extra.mtime.or_else(|| header.mtime().map(|seconds| FileTime { seconds, nanoseconds: 0 })).unwrap_or_default(),
            size: self.left,
            link: extra.link.unwrap_or_else(|| header.link()),
            device: header.device(),
            xattrs: extra.xattrs,
            extents: None,
        };
        if extra.sparse_major == Some(1) {
            entry.path = extra.sparse_name.ok_or_else(|| self.damaged("a sparse file has no name"))?;
            entry.size = extra.sparse_size.ok_or_else(|| self.damaged("a sparse file has no size"))?;
            entry.extents = Some(self.sparse_map(entry.size)?);
        }
        Ok(entry)
    }

    fn sparse_map(&mut self, size: u64) -> Result<Vec<(u64, u64)>, TarError> {
        let mut block = [0; BLOCK];
        let mut position = BLOCK;
        let count = self.map_number(&mut block, &mut position)?;
        if count > EXTENTS_MAX {
            return Err(self.damaged("a sparse file has too many extents"));
        }
        let (mut extents, mut end) = (Vec::new(), 0);
        for _ in 0..count {
            let offset = self.map_number(&mut block, &mut position)?;
            let length = self.map_number(&mut block, &mut position)?;
            let next = offset.checked_add(length).filter(|next| offset >= end && *next <= size);
            end = next.ok_or_else(|| self.damaged("the map of a sparse file is out of order"))?;
            if length > 0 {
                extents.push((offset, length));
            }
        }
        if extents.iter().map(|extent| extent.1).sum::<u64>() != self.left {
            return Err(self.damaged("a sparse file's content does not fit its map"));
        }
        Ok(extents)
    }

    fn map_number(&mut self, block: &mut [u8; BLOCK], position: &mut usize) -> Result<u64, TarError> {
        let mut value: u64 = 0;
        loop {
            if *position == BLOCK {
                if self.left < BLOCK as u64 {
                    return Err(self.damaged("the map of a sparse file is cut"));
                }
                self.left -= BLOCK as u64;
                self.fill(block, "the map of a sparse file is cut")?;
                *position = 0;
            }
            let byte = block[*position];
            *position += 1;
            match byte {
                b'\n' => return Ok(value),
                b'0'..=b'9' => {
                    let next = value.checked_mul(10).and_then(|value| value.checked_add(u64::from(byte - b'0')));
                    value = next.ok_or_else(|| self.damaged("a number in the map of a sparse file is too large"))?;
                }
                _ => return Err(self.damaged("the map of a sparse file has a character that is no digit")),
            }
        }
    }

    fn long_name(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        let bytes = self.small(size)?;
        Ok(bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec())
    }

    fn small(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        if size > PAX_MAX {
            return Err(self.damaged("an extended header is larger than any real one"));
        }
        let length = usize::try_from(size).expect("at most 8 MiB");
        let mut bytes = vec![0; length + padding(size)];
        self.fill(&mut bytes, "an extended header is cut")?;
        bytes.truncate(length);
        Ok(bytes)
    }

    fn skip_rest(&mut self) -> Result<(), TarError> {
        let mut buffer = [0; 64 << 10];
        while self.left > 0 {
            let count = self.read(&mut buffer)?;
            if count == 0 {
                return Err(TarError::Truncated("an entry's content is cut"));
            }
        }
        let pad = std::mem::take(&mut self.pad);
        self.fill(&mut buffer[..pad], "an entry's padding is cut")
    }

    fn fill(&mut self, buffer: &mut [u8], what: &'static str) -> Result<(), TarError> {
        self.source.read_exact(buffer).map_err(|error| if error.kind() == io::ErrorKind::UnexpectedEof && error.get_ref().is_none() { TarError::Truncated(what) } else { TarError::Io(error) })
    }

    fn damaged(&self, what: &'static str) -> TarError {
        TarError::Damaged { near: String::from_utf8_lossy(&self.near).into_owned(), what }
    }
}

/// Reads the content of the current entry; for a sparse file its extents, one after the other.
impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if want == 0 {
            return Ok(0);
        }
        let count = self.source.read(&mut buffer[..want])?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is truncated: an entry's content is cut"));
        }
        self.left -= count as u64;
        Ok(count)
    }
}
