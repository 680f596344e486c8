//! `read`: exactly the range that was asked for, or an error.

use crate::stage::{Doing as _, HOLDS, Stage, Verdict, must, must_fail};
use crate::subject::Kind;

/// Bytes of the object: more than one block of any buffer, and no round number.
const SIZE: u64 = (3 << 20) + 17;

/// The first byte, the middle, the last byte, to the end, nothing at all, and everything.
pub(super) fn ranges(stage: &Stage<'_>) -> Verdict {
    let item = stage.item("object");
    stage.put(&item, SIZE, Some(SIZE))?;
    let ranges = [
        (0, Some(1)),
        (0, Some(SIZE)),
        (0, None),
        (SIZE / 2, Some(1)),
        (SIZE / 2, Some(70_001)),
        (SIZE - 1, Some(1)),
        (SIZE - 1, None),
        (SIZE / 3, None),
        (1_234, Some(0)),
        (SIZE, None),
        (SIZE, Some(0)),
    ];
    for (offset, length) in ranges {
        let count = stage.read(&item, offset, length).doing(range(offset, length))?;
        let wanted = length.unwrap_or(SIZE - offset);
        must!(count == wanted, "{} gives {count} of {wanted} bytes", range(offset, length));
    }
    HOLDS
}

/// What goes beyond the object is refused, and not cut to fit.
pub(super) fn beyond(stage: &Stage<'_>) -> Verdict {
    let (item, size) = (stage.item("object"), 1_000);
    stage.put_small(&item, size)?;
    for (offset, length) in
        [(0, Some(size + 1)), (size - 1, Some(2)), (size, Some(1)), (size + 1, None), (size + 1, Some(1)), (1 << 40, Some(1))]
    {
        must_fail(stage.read(&item, offset, length), &[Kind::InvalidConfig], range(offset, length))?;
    }
    HOLDS
}

pub(super) fn empty_object(stage: &Stage<'_>) -> Verdict {
    let item = stage.item("object");
    stage.put_small(&item, 0)?;
    for length in [None, Some(0)] {
        let count = stage.read(&item, 0, length).doing(range(0, length))?;
        must!(count == 0, "{} of an empty object gives {count} bytes", range(0, length));
    }
    must_fail(stage.read(&item, 0, Some(1)), &[Kind::InvalidConfig], range(0, Some(1)))?;
    HOLDS
}

pub(super) fn nothing(stage: &Stage<'_>) -> Verdict {
    let item = stage.item("folder/missing");
    for (offset, length) in [(0, None), (0, Some(10)), (5, None)] {
        must_fail(stage.read(&item, offset, length), &[Kind::NotFound], format_args!("{} of nothing", range(offset, length)))?;
    }
    HOLDS
}

fn range(offset: u64, length: Option<u64>) -> String {
    match length {
        Some(length) => format!("a read of {length} bytes from {offset} on"),
        None => format!("a read from {offset} to the end"),
    }
}
