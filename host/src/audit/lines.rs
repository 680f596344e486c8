//! Lines of a file that may hold anything: never more of it in memory than the longest line.

use std::io::{self, BufRead, Read as _};

use super::entry::LINE_MAX;

/// A line, or as much of one as may be.
#[derive(Debug)]
pub(super) struct Piece {
    /// Without the newline.
    pub(super) bytes: Vec<u8>,
    /// Whether a newline ended it: not so where the file ended first, or the line is too long.
    pub(super) ended: bool,
}

/// The next piece; `None` at the end.
pub(super) fn next_piece(from: &mut impl BufRead) -> io::Result<Option<Piece>> {
    let mut bytes = Vec::new();
    from.take(LINE_MAX as u64 + 1).read_until(b'\n', &mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let ended = bytes.last() == Some(&b'\n');
    if ended {
        bytes.pop();
    }
    Ok(Some(Piece { bytes, ended }))
}
