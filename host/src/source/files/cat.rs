//! The content of one file of an archive, into any output and nowhere near a file system.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::extract::{COPY_SIZE, ExtractError, safe_path};
use crate::pipeline::tar::{Entry, EntryKind, TarError, TarReader};

/// What [`cat_entry`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "only `Written` means that the content was written"]
pub enum Cat {
    /// The content was written: so many bytes, holes included.
    Written(u64),
    /// The entry is a second name of this path, where the content is.
    LinkTo(PathBuf),
    /// The entry is no file.
    NoFile(EntryKind),
    /// There is no such entry; the archive was read to its end.
    NotFound,
}

/// Writes the content of one file; `path` is relative to `/`. Stops reading after it.
///
/// # Errors
/// When the archive or `out` fails, or `cancel` fires.
pub fn cat_entry(tar: impl Read, path: &Path, out: &mut impl Write, cancel: &CancellationToken) -> Result<Cat, ExtractError> {
    let mut reader = TarReader::new(tar);
    while let Some(entry) = reader.next_entry()? {
        if cancel.is_cancelled() {
            return Err(ExtractError::Cancelled);
        }
        if safe_path(&entry.path).is_ok_and(|found| found == path) {
            return match entry.kind {
                EntryKind::File => cat_content(&entry, &mut reader, out, cancel).map(|()| Cat::Written(entry.size)),
                EntryKind::HardLink => Ok(Cat::LinkTo(safe_path(&entry.link)?)),
                other => Ok(Cat::NoFile(other)),
            };
        }
    }
    Ok(Cat::NotFound)
}

fn cat_content(entry: &Entry, content: &mut impl Read, out: &mut impl Write, cancel: &CancellationToken) -> Result<(), ExtractError> {
    let whole = [(0, entry.size)];
    let mut position = 0;
    let mut buffer = vec![0; COPY_SIZE];
    let mut copy = |from: &mut dyn Read, mut left: u64| {
        while left > 0 {
            if cancel.is_cancelled() {
                return Err(ExtractError::Cancelled);
            }
            let want = usize::try_from(left).unwrap_or(COPY_SIZE).min(COPY_SIZE);
            from.read_exact(&mut buffer[..want]).map_err(TarError::from)?;
            out.write_all(&buffer[..want]).map_err(ExtractError::Output)?;
            left -= want as u64;
        }
        Ok(())
    };
    for (offset, length) in entry.extents.as_deref().unwrap_or(&whole) {
        copy(&mut io::repeat(0), offset - position)?;
        copy(content, *length)?;
        position = offset + length;
    }
    copy(&mut io::repeat(0), entry.size - position)
}
