//! Reads a tar from front to back, with every length checked before anything is allocated for it.
//!
//! Reads pax, ustar and GNU long names, and sparse files in all of GNU tar's formats. The end is reported only after the archive's own
//! end marker: an archive that was cut is an error, wherever it was cut (trap 1).

use std::io::{self, Read};

use super::header::{Header, next_pax_record, number, parse_pax_time, unescape_attribute};
use super::sparse::{Extents, MapReader, OLD_IN_CONTINUATION, OLD_IN_HEADER, OLD_SIZE, add_old_block};
use super::{BLOCK, EXTENTS_MAX, Entry, EntryKind, FileTime, PAX_MAX, XATTRS_MAX, padding};
use crate::pipeline::PipelineError;

/// Bytes read at once where content is skipped.
const SKIP_SIZE: usize = 64 << 10;
const MAP_NUMBER: &str = "the map of a sparse file is no number";

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
        error.downcast::<Self>().unwrap_or_else(Self::Io)
    }
}

impl From<TarError> for io::Error {
    fn from(error: TarError) -> Self {
        match error {
            TarError::Io(error) => error,
            TarError::Truncated(_) => Self::new(io::ErrorKind::UnexpectedEof, error),
            TarError::Damaged { .. } => Self::new(io::ErrorKind::InvalidData, error),
        }
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
    /// For skipping; made when something is skipped.
    scratch: Vec<u8>,
}

/// What pax and GNU headers said about the entry that follows them.
#[derive(Default)]
struct Extra {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    user: Option<Vec<u8>>,
    group: Option<Vec<u8>>,
    mtime: Option<FileTime>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    sparse_name: Option<Vec<u8>>,
    sparse_size: Option<u64>,
    sparse_major: Option<u64>,
    /// Offsets and lengths in turn, of the formats 0.0 and 0.1.
    sparse_numbers: Vec<u64>,
    pax_bytes: u64,
}

impl<R: Read> TarReader<R> {
    /// A reader at the start of an archive.
    pub fn new(source: R) -> Self {
        Self { source, left: 0, pad: 0, near: Vec::new(), ended: false, scratch: Vec::new() }
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

    /// The entries one after the other, without their content. Ends after the first error.
    pub fn entries(mut self) -> impl Iterator<Item = Result<TarEntry, TarError>> {
        std::iter::from_fn(move || {
            let next = self.next_entry().transpose();
            self.ended |= matches!(next, Some(Err(_)));
            next
        })
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
        extra.pax_bytes = extra.pax_bytes.saturating_add(size);
        if extra.pax_bytes > PAX_MAX {
            return Err(self.damaged("its extended headers are larger than any real ones"));
        }
        let bytes = self.small(size)?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (key, value) = next_pax_record(&mut rest).ok_or_else(|| self.damaged("a pax header is malformed"))?;
            extra.record(key, value).map_err(|what| self.damaged(what))?;
        }
        Ok(())
    }

    fn entry(&mut self, header: &Header, mut extra: Extra, size: u64) -> Result<TarEntry, TarError> {
        let stored = extra.size.unwrap_or(size);
        let kind = kind_of(header.kind()).ok_or_else(|| self.damaged("an entry is of a kind that cofre does not know"))?;
        self.left = if kind == EntryKind::File { stored } else { 0 };
        self.pad = padding(self.left);
        let path = extra.sparse_name.take().or_else(|| extra.path.take()).unwrap_or_else(|| header.path());
        self.near.clone_from(&path);
        let mut entry = Entry {
            path,
            kind,
            mode: header.mode().ok_or_else(|| self.damaged("a mode is no number"))?,
            uid: extra.uid.or_else(|| header.uid()).ok_or_else(|| self.damaged("an owner is no number"))?,
            gid: extra.gid.or_else(|| header.gid()).ok_or_else(|| self.damaged("a group is no number"))?,
            user: extra.user.take().unwrap_or_else(|| header.user().to_vec()),
            group: extra.group.take().unwrap_or_else(|| header.group().to_vec()),
            mtime: extra.mtime.or_else(|| header.mtime().map(|seconds| FileTime { seconds, nanoseconds: 0 })).unwrap_or_default(),
            size: self.left,
            link: extra.link.take().unwrap_or_else(|| header.link()),
            device: header.device(),
            xattrs: std::mem::take(&mut extra.xattrs),
            extents: None,
        };
        if header.kind() == b'S' {
            entry.size = number(&header.0[OLD_SIZE]).ok_or_else(|| self.damaged("a sparse file has no size"))?;
            entry.extents = Some(self.old_map(header, entry.size)?);
        } else if kind == EntryKind::File && (extra.sparse_major.is_some() || !extra.sparse_numbers.is_empty()) {
            entry.size = extra.sparse_size.ok_or_else(|| self.damaged("a sparse file has no size"))?;
            entry.extents = Some(self.pax_map(&extra, entry.size)?);
        }
        Ok(entry)
    }

    fn old_map(&mut self, header: &Header, size: u64) -> Result<Extents, TarError> {
        let mut map = MapReader::new(size);
        let mut more = add_old_block(&mut map, &header.0, OLD_IN_HEADER, number).map_err(|what| self.damaged(what))?;
        while more {
            let mut block = [0; BLOCK];
            self.fill(&mut block, "the map of a sparse file is cut")?;
            more = add_old_block(&mut map, &block, OLD_IN_CONTINUATION, number).map_err(|what| self.damaged(what))?;
        }
        map.finish(self.left).map_err(|what| self.damaged(what))
    }

    fn pax_map(&mut self, extra: &Extra, size: u64) -> Result<Extents, TarError> {
        let mut map = MapReader::new(size);
        match extra.sparse_major {
            Some(1) => {
                let mut block = [0; BLOCK];
                let mut position = BLOCK;
                let count = self.map_number(&mut block, &mut position)?;
                if count > EXTENTS_MAX {
                    return Err(self.damaged("a sparse file has too many extents"));
                }
                for _ in 0..count {
                    let offset = self.map_number(&mut block, &mut position)?;
                    let length = self.map_number(&mut block, &mut position)?;
                    map.add(offset, length).map_err(|what| self.damaged(what))?;
                }
            }
            Some(0) | None if extra.sparse_numbers.len().is_multiple_of(2) => {
                for extent in extra.sparse_numbers.chunks_exact(2) {
                    map.add(extent[0], extent[1]).map_err(|what| self.damaged(what))?;
                }
            }
            _ => return Err(self.damaged("a sparse file is in an unknown format")),
        }
        map.finish(self.left).map_err(|what| self.damaged(what))
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
        if self.left > 0 {
            let mut scratch = std::mem::take(&mut self.scratch);
            scratch.resize(SKIP_SIZE, 0);
            while self.left > 0 {
                self.read_content(&mut scratch)?;
            }
            self.scratch = scratch;
        }
        let pad = std::mem::take(&mut self.pad);
        self.fill(&mut [0; BLOCK][..pad], "an entry's padding is cut")
    }

    /// Some of the current entry's content; nothing only at its end.
    fn read_content(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let want = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if want == 0 {
            return Ok(0);
        }
        let count = loop {
            match self.source.read(&mut buffer[..want]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other.map_err(TarError::Io)?,
            }
        };
        if count == 0 {
            return Err(TarError::Truncated("an entry's content is cut"));
        }
        self.left -= count as u64;
        Ok(count)
    }

    fn fill(&mut self, buffer: &mut [u8], what: &'static str) -> Result<(), TarError> {
        let cut = |error: &io::Error| error.kind() == io::ErrorKind::UnexpectedEof && error.get_ref().is_none();
        self.source.read_exact(buffer).map_err(|error| if cut(&error) { TarError::Truncated(what) } else { TarError::Io(error) })
    }

    fn damaged(&self, what: &'static str) -> TarError {
        TarError::Damaged { near: String::from_utf8_lossy(&self.near).into_owned(), what }
    }
}

/// Reads the content of the current entry; for a sparse file its extents, one after the other.
impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.read_content(buffer)?)
    }
}

impl Extra {
    /// Takes one record of a pax header.
    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let number = |value: &[u8]| std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
        let id = |value: &[u8]| number(value).and_then(|id| u32::try_from(id).ok());
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(number(value).ok_or("a size is no number")?),
            b"uid" => self.uid = Some(id(value).ok_or("an owner is no number")?),
            b"gid" => self.gid = Some(id(value).ok_or("a group is no number")?),
            b"uname" => self.user = Some(value.to_vec()),
            b"gname" => self.group = Some(value.to_vec()),
            b"mtime" => self.mtime = Some(parse_pax_time(value).ok_or("a time is no number")?),
            b"GNU.sparse.major" => self.sparse_major = Some(number(value).ok_or("a sparse format is no number")?),
            b"GNU.sparse.name" => self.sparse_name = Some(value.to_vec()),
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => self.sparse_size = Some(number(value).ok_or("a size is no number")?),
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => self.sparse_numbers.push(number(value).ok_or(MAP_NUMBER)?),
            b"GNU.sparse.map" => {
                for text in value.split(|byte| *byte == b',') {
                    self.sparse_numbers.push(number(text).ok_or(MAP_NUMBER)?);
                }
            }
            _ => self.attribute(key, value)?,
        }
        Ok(())
    }

    fn attribute(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let Some(name) = key.strip_prefix(b"SCHILY.xattr.") else { return Ok(()) };
        if self.xattrs.len() == XATTRS_MAX {
            return Err("an entry has more extended attributes than any real one");
        }
        self.xattrs.push((unescape_attribute(name), value.to_vec()));
        Ok(())
    }
}

fn kind_of(letter: u8) -> Option<EntryKind> {
    Some(match letter {
        b'0' | 0 | b'7' | b'S' => EntryKind::File,
        b'1' => EntryKind::HardLink,
        b'2' => EntryKind::Symlink,
        b'3' => EntryKind::CharDevice,
        b'4' => EntryKind::BlockDevice,
        b'5' => EntryKind::Directory,
        b'6' => EntryKind::Fifo,
        _ => return None,
    })
}
