//! `stat`: an object, or `not-found`; what is there and right is looked at by every case that stores something.

use crate::stage::{HOLDS, Stage, Verdict, must_fail};
use crate::subject::Kind;

/// Neither a missing name, nor a folder, nor something below an object is an object.
pub(super) fn nothing(stage: &Stage<'_>) -> Verdict {
    stage.put_small(&stage.item("folder/object"), 10)?;
    for name in ["missing", "missing/missing", "folder/missing", "folder", "folder/object/below", "folder/objec", "folder/objects"] {
        must_fail(stage.stat(&stage.item(name).key), &[Kind::NotFound], format_args!("stat of `{name}`, which is no object,"))?;
    }
    HOLDS
}
