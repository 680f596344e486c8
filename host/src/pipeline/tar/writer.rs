//! Writes a tar. The caller gives exactly the bytes that the header announced; the writer refuses anything else.

use std::io::{self, Write};

use super::header::{Header, escape_attribute, fits, pax_record, pax_time, type_letter};
use super::sparse::write_map;
use super::{BLOCK, Entry, EntryKind, PAX_MAX, acl, padding};

/// Writes entries one after the other.
pub struct TarWriter<W: Write> {
    sink: W,
    left: u64,
    pad: usize,
    /// Headers of one entry, put together here so that the sink sees one write.
    head: Vec<u8>,
    records: Vec<u8>,
}

impl<W: Write> TarWriter<W> {
    /// A writer of a new archive.
    pub fn new(sink: W) -> Self {
        Self { sink, left: 0, pad: 0, head: Vec::new(), records: Vec::new() }
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
    /// When the sink fails, the entry before has not been ended, or names and attributes together exceed 8 MiB.
    pub fn begin(&mut self, entry: &Entry) -> io::Result<()> {
        if self.left > 0 || self.pad > 0 {
            return Err(io::Error::other("an entry of the archive was begun inside another"));
        }
        let map = entry.extents.as_ref().map(|extents| write_map(extents, entry.size));
        let stored = entry.stored() + map.as_ref().map_or(0, |map| map.len() as u64);
        self.head.clear();
        self.pax_header(entry, stored)?;
        self.main_header(entry, stored);
        if let Some(map) = &map {
            self.head.extend_from_slice(map);
        }
        self.sink.write_all(&self.head)?;
        self.left = entry.stored();
        self.pad = padding(stored);
        Ok(())
    }

    fn main_header(&mut self, entry: &Entry, stored: u64) {
        let mut header = Header::new(type_letter(entry.kind));
        header.set_path(&entry.path);
        header.set_link(&entry.link);
        header.set_mode(entry.mode);
        header.set_owner(entry.uid, entry.gid);
        header.set_owner_names(&entry.user, &entry.group);
        header.set_size(stored);
        header.set_mtime(entry.mtime.seconds);
        if matches!(entry.kind, EntryKind::CharDevice | EntryKind::BlockDevice) {
            header.set_device(entry.device);
        }
        header.seal();
        self.head.extend_from_slice(&header.0);
    }

    fn pax_header(&mut self, entry: &Entry, stored: u64) -> io::Result<()> {
        self.records.clear();
        self.pax_of_places(entry, stored);
        self.pax_of_attributes(entry);
        if self.records.is_empty() {
            return Ok(());
        }
        let length = self.records.len() as u64;
        if length > PAX_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "an entry's name and attributes are too large for an archive"));
        }
        let mut header = Header::new(b'x');
        header.set_path(b"././@PaxHeader");
        header.set_mode(0o644);
        header.set_owner(0, 0);
        header.set_mtime(0);
        header.set_size(length);
        header.seal();
        self.head.extend_from_slice(&header.0);
        self.head.extend_from_slice(&self.records);
        self.head.resize(self.head.len() + padding(length), 0);
        Ok(())
    }

    fn pax_of_places(&mut self, entry: &Entry, stored: u64) {
        let records = &mut self.records;
        if entry.extents.is_some() {
            pax_record(records, b"GNU.sparse.major", b"1");
            pax_record(records, b"GNU.sparse.minor", b"0");
            pax_record(records, b"GNU.sparse.name", &entry.path);
            pax_record(records, b"GNU.sparse.realsize", entry.size.to_string().as_bytes());
        } else if entry.path.len() > 100 {
            pax_record(records, b"path", &entry.path);
        }
        if entry.link.len() > 100 {
            pax_record(records, b"linkpath", &entry.link);
        }
        if !fits(stored, 11) {
            pax_record(records, b"size", stored.to_string().as_bytes());
        }
    }

    fn pax_of_attributes(&mut self, entry: &Entry) {
        let records = &mut self.records;
        for (key, id) in [(b"uid", entry.uid), (b"gid", entry.gid)] {
            if !fits(u64::from(id), 7) {
                pax_record(records, key, id.to_string().as_bytes());
            }
        }
        let plain_time = entry.mtime.nanoseconds == 0 && u64::try_from(entry.mtime.seconds).is_ok_and(|seconds| fits(seconds, 11));
        if !plain_time {
            pax_record(records, b"mtime", pax_time(entry.mtime).as_bytes());
        }
        for (name, value) in &entry.xattrs {
            pax_record(records, &[b"SCHILY.xattr.", escape_attribute(name).as_slice()].concat(), value);
            let key: &[u8] = match name.as_slice() {
                acl::ACCESS => b"SCHILY.acl.access",
                acl::DEFAULT => b"SCHILY.acl.default",
                _ => continue,
            };
            if let Some(text) = acl::text(value) {
                pax_record(records, key, text.as_bytes());
            }
        }
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
