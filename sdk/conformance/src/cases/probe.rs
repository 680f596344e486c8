//! `probe`: what it promises is possible, and it leaves nothing behind.

use std::collections::BTreeSet;

use crate::stage::{Check, Doing as _, Fault, HOLDS, Stage, Verdict, must};

/// Keys beyond which a place is too full for its listing to be compared.
const KEYS_MAX: usize = 5_000;

/// Whatever `probe` says can be worked with, and it says the same again.
pub(super) fn limits(stage: &Stage<'_>) -> Verdict {
    let first = stage.limits();
    must!(first.part_size != Some(0), "it wants parts of no bytes");
    must!(first.parallel_uploads >= 1, "it allows no upload at all");
    must!(first.max_object_size != Some(0), "it takes no object of any size");
    let again = stage.subject().probe().doing("probe again")?;
    let lasting = |limits: crate::Limits| (limits.part_size, limits.max_object_size, limits.parallel_uploads);
    must!(lasting(again) == lasting(first), "it says {again:?} where it said {first:?} before");
    HOLDS
}

/// The probe's own object is never listed, also where it always has the same name and stays.
pub(super) fn leaves_nothing(stage: &Stage<'_>) -> Verdict {
    let before = everything(stage)?;
    stage.subject().probe().doing("probe")?;
    let after = everything(stage)?;
    let new: Vec<&String> = after.difference(&before).collect();
    must!(new.is_empty(), "after a probe there is more to be listed: {new:?}");
    // Any probe leaves it, so it was there before this one.
    let named = |key: &&String| key.rsplit('/').next().is_some_and(|name| name.to_lowercase().contains("probe"));
    let probes: Vec<&String> = after.iter().filter(named).collect();
    must!(probes.is_empty(), "what looks like the object of a probe is listed: {probes:?}");
    HOLDS
}

/// Every key at the destination, where they are few enough to be compared.
pub(super) fn everything(stage: &Stage<'_>) -> Check<BTreeSet<String>> {
    let (mut keys, mut cursor) = (BTreeSet::new(), None::<String>);
    loop {
        let page = stage.list("", cursor.as_deref()).doing("list of everything")?;
        keys.extend(page.objects.into_iter().map(|object| object.key));
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(keys);
        }
        if keys.len() > KEYS_MAX {
            return Err(Fault::skip(format!(
                "there are more than {KEYS_MAX} objects at the destination; give the test a place of its own"
            )));
        }
    }
}
