//! The content of one file on its way into the tar: exactly the bytes that the header announced, whatever the file does
//! meanwhile. What it does not give is zeros, and the caller learns why.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::BorrowedFd;

use rustix::fs::SeekFrom as RawSeek;
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use crate::pipeline::tar::{Entry, TarWriter};

/// Bytes read from a file at once.
pub(super) const READ_SIZE: usize = 256 << 10;
/// A file in more pieces than this is archived with its holes written out.
const EXTENTS_KEPT: usize = 100_000;

/// Why the content could not be written at all.
pub(super) enum ContentError {
    Output(io::Error),
    Cancelled,
}

/// What went wrong with the file itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It ended early.
    Shorter,
    /// It could not be read on.
    Unreadable(String),
}

impl Trouble {
    /// For the warning.
    pub(super) fn message(&self) -> String {
        match self {
            Self::Shorter => "it became shorter while it was read; what is missing is zeros in the backup".to_owned(),
            Self::Unreadable(error) => format!("it could not be read to its end ({error}); the rest is zeros in the backup"),
        }
    }
}

/// Writes exactly the stored bytes of `entry`, extent after extent.
pub(super) fn copy<W: Write>(
    file: &mut (impl Read + Seek),
    entry: &Entry,
    tar: &mut TarWriter<W>,
    (buffer, cancel): (&mut [u8], &CancellationToken),
) -> Result<Option<Trouble>, ContentError> {
    let whole = [(0, entry.size)];
    let mut trouble = None;
    for (offset, length) in entry.extents.as_deref().unwrap_or(&whole) {
        if entry.extents.is_some() && trouble.is_none() {
            trouble = file.seek(SeekFrom::Start(*offset)).err().map(|error| Trouble::Unreadable(error.to_string()));
        }
        let mut left = *length;
        while left > 0 {
            if cancel.is_cancelled() {
                return Err(ContentError::Cancelled);
            }
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let count = match &trouble {
                None => read_some(file, &mut buffer[..want]).unwrap_or_else(|error| {
                    trouble = Some(Trouble::Unreadable(error.to_string()));
                    0
                }),
                Some(_) => 0,
            };
            let count = if count > 0 {
                count
            } else {
                trouble.get_or_insert(Trouble::Shorter);
                buffer[..want].fill(0);
                want
            };
            tar.data(&buffer[..count]).map_err(ContentError::Output)?;
            left -= count as u64;
        }
    }
    Ok(trouble)
}

fn read_some(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// The extents that hold data. `None` where that is the whole file, the file system does not say, or there are too many.
pub(super) fn extents(fd: BorrowedFd<'_>, size: u64) -> Option<Vec<(u64, u64)>> {
    let (mut extents, mut position) = (Vec::new(), 0);
    while position < size {
        let data = match rustix::fs::seek(fd, RawSeek::Data(position)) {
            Ok(data) => data,
            Err(Errno::NXIO) => break,
            Err(_) => return None,
        };
        let hole = rustix::fs::seek(fd, RawSeek::Hole(data)).ok()?.min(size);
        if data >= hole {
            break;
        }
        if extents.len() == EXTENTS_KEPT {
            return None;
        }
        extents.push((data, hole - data));
        position = hole;
    }
    if extents == [(0, size)] { None } else { Some(extents) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::tar::TarReader;

    /// A file of `good` bytes of `x` that then answers as told.
    struct Odd {
        good: usize,
        then: Result<usize, i32>,
    }

    impl Read for Odd {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.good == 0 {
                return self.then.map_err(io::Error::from_raw_os_error);
            }
            let count = buffer.len().min(self.good).min(700);
            buffer[..count].fill(b'x');
            self.good -= count;
            Ok(count)
        }
    }

    impl Seek for Odd {
        fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
            Ok(0)
        }
    }

    fn archived(mut file: Odd, size: u64) -> (Vec<u8>, Option<Trouble>) {
        let mut tar = TarWriter::new(Vec::new());
        let entry = Entry::file(b"f", 0o644, size);
        tar.begin(&entry).expect("a Vec takes all");
        let trouble = copy(&mut file, &entry, &mut tar, (&mut [0; 1000], &CancellationToken::new())).ok().expect("copied");
        tar.end().expect("whole");
        tar.append_bytes(b"next", 0o644, 0, b"after").expect("room");
        let bytes = tar.finish().expect("whole");
        let mut reader = TarReader::new(bytes.as_slice());
        reader.next_entry().expect("sound").expect("an entry");
        let content = reader.content(1 << 20).expect("its content");
        assert_eq!(reader.next_entry().expect("sound").expect("an entry").path, b"next");
        assert!(reader.next_entry().expect("sound").is_none());
        (content, trouble)
    }

    #[test]
    fn a_file_that_shrinks_is_filled_up_with_zeros() {
        let (content, trouble) = archived(Odd { good: 1500, then: Ok(0) }, 5000);
        assert_eq!(content, [vec![b'x'; 1500], vec![0; 3500]].concat());
        assert_eq!(trouble, Some(Trouble::Shorter));
    }

    #[test]
    fn a_file_that_grows_is_cut_at_its_announced_length() {
        let (content, trouble) = archived(Odd { good: 9000, then: Ok(0) }, 5000);
        assert_eq!(content, vec![b'x'; 5000]);
        assert_eq!(trouble, None);
    }

    #[test]
    fn a_read_error_in_the_middle_leaves_a_whole_archive_and_says_so() {
        let (content, trouble) = archived(Odd { good: 1500, then: Err(5) }, 2000);
        assert_eq!(content, [vec![b'x'; 1500], vec![0; 500]].concat());
        let message = trouble.expect("a trouble").message();
        assert!(message.contains("Input/output error") && message.contains("zeros"), "{message}");
    }

    #[test]
    fn cancelling_ends_the_copy_of_a_large_file() {
        let cancel = CancellationToken::new();
        cancel.cancel();
        let mut tar = TarWriter::new(Vec::new());
        let entry = Entry::file(b"f", 0o644, 1 << 40);
        tar.begin(&entry).expect("a Vec takes all");
        let ended = copy(&mut Odd { good: usize::MAX, then: Ok(0) }, &entry, &mut tar, (&mut [0; 1000], &cancel));
        assert!(matches!(ended, Err(ContentError::Cancelled)));
    }
}
