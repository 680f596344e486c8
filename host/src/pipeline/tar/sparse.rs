//! The maps of files with holes, in the forms that GNU tar has had: 1.0 (which cofre writes), 0.1 and 0.0 in pax headers,
//! and the old GNU header (GNU tar manual, "Storing Sparse Files").

use std::fmt::Write as _;

use super::{BLOCK, EXTENTS_MAX, padding};

/// Extents `(offset, length)` that hold data.
pub(super) type Extents = Vec<(u64, u64)>;

/// Format 1.0: the number of extents, then offset and length of each, one decimal number a line, padded to a block.
/// A file that ends in a hole gets an empty extent at its end.
pub(super) fn write_map(extents: &[(u64, u64)], size: u64) -> Vec<u8> {
    let ends_in_data = extents.last().is_some_and(|(offset, length)| offset + length == size);
    let tail = if ends_in_data { None } else { Some((size, 0)) };
    let mut map = format!("{}\n", extents.len() + usize::from(tail.is_some()));
    for (offset, length) in extents.iter().copied().chain(tail) {
        writeln!(map, "{offset}\n{length}").expect("a String takes all text");
    }
    let mut map = map.into_bytes();
    map.resize(map.len() + padding(map.len() as u64), 0);
    map
}

/// A map that is being read, checked extent by extent, so that a hostile one is refused before it is large.
pub(super) struct MapReader {
    extents: Extents,
    size: u64,
    end: u64,
    count: u64,
}

impl MapReader {
    /// For a file of `size` bytes.
    pub(super) fn new(size: u64) -> Self {
        Self { extents: Vec::new(), size, end: 0, count: 0 }
    }

    /// Adds the next extent.
    pub(super) fn add(&mut self, offset: u64, length: u64) -> Result<(), &'static str> {
        self.count += 1;
        if self.count > EXTENTS_MAX {
            return Err("a sparse file has too many extents");
        }
        let next = offset.checked_add(length).filter(|next| offset >= self.end && *next <= self.size);
        self.end = next.ok_or("the map of a sparse file is out of order")?;
        if length > 0 {
            self.extents.push((offset, length));
        }
        Ok(())
    }

    /// The map, if it announces exactly the `stored` bytes that follow.
    pub(super) fn finish(self, stored: u64) -> Result<Extents, &'static str> {
        if self.extents.iter().map(|extent| extent.1).sum::<u64>() == stored {
            Ok(self.extents)
        } else {
            Err("a sparse file's content does not fit its map")
        }
    }
}

/// Where the old GNU header has its first extents, and a continuation block its own.
pub(super) const OLD_IN_HEADER: (std::ops::Range<usize>, usize) = (386..482, 482);
/// Where a continuation block has its extents, and the flag that another follows.
pub(super) const OLD_IN_CONTINUATION: (std::ops::Range<usize>, usize) = (0..504, 504);
/// Where the old GNU header has the size with holes.
pub(super) const OLD_SIZE: std::ops::Range<usize> = 483..495;

/// Adds the extents of one block of an old GNU map; says whether another block follows.
pub(super) fn add_old_block(
    map: &mut MapReader,
    block: &[u8; BLOCK],
    (range, flag): (std::ops::Range<usize>, usize),
    number: impl Fn(&[u8]) -> Option<u64>,
) -> Result<bool, &'static str> {
    for extent in block[range].chunks_exact(24) {
        if extent[0] == 0 {
            break;
        }
        let (offset, length) = extent.split_at(12);
        let (Some(offset), Some(length)) = (number(offset), number(length)) else { return Err("the map of a sparse file is no number") };
        map.add(offset, length)?;
    }
    Ok(block[flag] != 0)
}
