//! Writes a tar. The caller gives exactly the bytes that the header announced; the writer refuses anything else.

use std::io::{self, Write};

use super::header::{Header, fits, pax_record, pax_time, type_letter};
use super::{BLOCK, Entry, EntryKind, padding};

/// Writes entries one after the other.
pub struct TarWriter<W: Write> {
    sink: W,
    left: u64,
    pad: usize,
}

impl<W: Write> TarWriter<W> {
    /// A writer of a new archive.
    pub fn new(sink: W) -> Self {
        Self { sink, left: 0, pad: 0 }
    }

    /// Writes a small file of root, for the entries of dumps.
    ///
    /// # Errors
    /// When the sink fails.
    pub fn append_bytes(&mut self, path: &[u8], mode: u32, mtime_seconds: i64, content: &[u8]) -> io::Result<()> {
        let mut entry = Entry::file(path, mode, content.len() as u64);
        entry.mtime.seconds = mtime_seconds;
        self.begin(&entry)?;
        self.data(content)?;
        self.end()
    }

    /// Writes the header of an entry; its [`Entry::stored`] bytes follow through [`Self::data`], extent after extent.
    ///
    /// # Errors
    /// When the sink fails, or the entry before has not been ended.
    pub fn begin(&mut self, entry: &Entry) -> io::Result<()> {
        if self.left > 0 || self.pad > 0 {
            return Err(io::Error::other("an entry of the archive was begun inside another"));
        }
        let map = entry.extents.as_ref().map(|extents| sparse_map(extents, entry.size));
        let stored = entry.stored() + map.as_ref().map_or(0, |map| map.len() as u64);
        self.pax_header(entry, stored)?;
        let mut header = Header::new(type_letter(entry.kind));
        header.set_path(&entry.path);
        header.set_link(&entry.link);
        header.set_mode(entry.mode);
        header.set_owner(entry.uid, entry.gid);
        header.set_size(stored);
        header.set_mtime(entry.mtime.seconds);
        if matches!(entry.kind, EntryKind::CharDevice | EntryKind::BlockDevice) {
            header.set_device(entry.device);
        }
        header.seal();
        self.sink.write_all(&header.0)?;
        if let Some(map) = &map {
            self.sink.write_all(map)?;
        }
        self.left = entry.stored();
        self.pad = padding(stored);
        Ok(())
    }

    fn pax_header(&mut self, entry: &Entry, stored: u64) -> io::Result<()> {
        let mut records = Vec::new();
        if entry.extents.is_some() {
            pax_record(&mut records, b"GNU.sparse.major", b"1");
            pax_record(&mut records, b"GNU.sparse.minor", b"0");
            pax_record(&mut records, b"GNU.sparse.name", &entry.path);
            pax_record(&mut records, b"GNU.sparse.realsize", entry.size.to_string().as_bytes());
        } else if entry.path.len() > 100 {
            pax_record(&mut records, b"path", &entry.path);
        }
        if entry.link.len() > 100 {
            pax_record(&mut records, b"linkpath", &entry.link);
        }
        if !fits(stored, 11) {
            pax_record(&mut records, b"size", stored.to_string().as_bytes());
        }
        if !fits(u64::from(entry.uid), 7) {
            pax_record(&mut records, b"uid", entry.uid.to_string().as_bytes());
        }
        if !fits(u64::from(entry.gid), 7) {
            pax_record(&mut records, b"gid", entry.gid.to_string().as_bytes());
        }
        let plain_time = entry.mtime.nanoseconds == 0 && u64::try_from(entry.mtime.seconds).is_ok_and(|seconds| fits(seconds, 11));
        if !plain_time {
            pax_record(&mut records, b"mtime", pax_time(entry.mtime).as_bytes());
        }
        for (name, value) in &entry.xattrs {
            pax_record(&mut records, &[b"SCHILY.xattr.", name.as_slice()].concat(), value);
        }
        if records.is_empty() {
            return Ok(());
        }
        let mut header = Header::new(b'x');
        header.set_path(b"././@PaxHeader");
        header.set_mode(0o644);
        header.set_owner(0, 0);
        header.set_mtime(0);
        header.set_size(records.len() as u64);
        header.seal();
        self.sink.write_all(&header.0)?;
        records.resize(records.len() + padding(records.len() as u64), 0);
        self.sink.write_all(&records)
    }

    /// Writes content.
    ///
    /// # Errors
    /// When the sink fails, or there is more content than the header announced.
    pub fn data(&mut self, content: &[u8]) -> io::Result<()> {
        let length = content.len() as u64;
        if length > self.left {
            return Err(io::Error::other("an entry of the archive is longer than its header says"));
        }
        self.left -= length;
        self.sink.write_all(content)
    }

    /// Content still missing from the entry.
    pub fn missing(&self) -> u64 {
        self.left
    }

    /// Ends the entry.
    ///
    /// # Errors
    /// When the sink fails, or content is missing.
    pub fn end(&mut self) -> io::Result<()> {
        if self.left > 0 {
            return Err(io::Error::other("an entry of the archive is shorter than its header says"));
        }
        let pad = std::mem::take(&mut self.pad);
        self.sink.write_all(&[0; BLOCK][..pad])
    }

    /// Ends the archive with its two empty blocks.
    ///
    /// # Errors
    /// When the sink fails, or the last entry has not been ended.
    pub fn finish(mut self) -> io::Result<W> {
        if self.left > 0 || self.pad > 0 {
            return Err(io::Error::other("the archive was ended inside an entry"));
        }
        self.sink.write_all(&[0; 2 * BLOCK])?;
        Ok(self.sink)
    }
}

/// GNU sparse format 1.0: the number of extents, then offset and length of each, one decimal number a line, padded to a block.
/// A file that ends in a hole gets an empty extent at its end.
fn sparse_map(extents: &[(u64, u64)], size: u64) -> Vec<u8> {
    let ends_in_data = extents.last().is_some_and(|(offset, length)| offset + length == size);
    let tail = if ends_in_data { None } else { Some((size, 0)) };
    let mut map = format!("{}\n", extents.len() + usize::from(tail.is_some()));
    for (offset, length) in extents.iter().copied().chain(tail) {
        map.push_str(&format!("{offset}\n{length}\n"));
    }
    let mut map = map.into_bytes();
    map.resize(map.len() + padding(map.len() as u64), 0);
    map
}
