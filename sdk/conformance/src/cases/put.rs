//! `begin`, `write`, `finish`: objects of the sizes at which implementations differ, and the promise that nothing is seen before the end.

use std::time::Instant;

use crate::report::Outcome;
use crate::stage::{Doing as _, HOLDS, Stage, Verdict, must};

pub(super) fn empty(stage: &Stage<'_>) -> Verdict {
    told_and_untold(stage, 0)
}

pub(super) fn one_byte(stage: &Stage<'_>) -> Verdict {
    told_and_untold(stage, 1)
}

pub(super) fn part_minus_one(stage: &Stage<'_>) -> Verdict {
    told_and_untold(stage, stage.part() - 1)
}

pub(super) fn part(stage: &Stage<'_>) -> Verdict {
    told_and_untold(stage, stage.part())
}

pub(super) fn part_plus_one(stage: &Stage<'_>) -> Verdict {
    told_and_untold(stage, stage.part() + 1)
}

pub(super) fn several_parts(stage: &Stage<'_>) -> Verdict {
    told_and_untold(stage, 3 * stage.part() + stage.part() / 3)
}

/// The host knows the size of a finished file and not that of a growing one.
fn told_and_untold(stage: &Stage<'_>, size: u64) -> Verdict {
    stage.needs(2 * size)?;
    for (name, told) in [("told", Some(size)), ("untold", None)] {
        let item = stage.item(name);
        stage.put(&item, size, told)?;
        stage.verify(&item, size)?;
        let keys = stage.keys(&item.key)?;
        must!(keys == [item.key.clone()], "after the upload of `{}` the listing shows {keys:?}", item.key);
    }
    HOLDS
}

/// No object appears under its key before `finish`, whatever has been written.
pub(super) fn unseen_until_finished(stage: &Stage<'_>) -> Verdict {
    let (item, size) = (stage.item("object"), 2 * stage.part() + 1);
    stage.needs(size)?;
    let mut upload = stage.begin(&item.key, Some(size)).doing("begin")?;
    stage.unseen(&item, "before anything was written")?;
    let mut offset = 0;
    while offset < size {
        offset = upload.send_part(&item, (offset, size))?;
        stage.unseen(&item, &format!("after {offset} of {size} bytes and before `finish`"))?;
    }
    upload.complete(&item, size)?;
    stage.verify(&item, size)?;
    HOLDS
}

/// A new object of an old key takes its place at `finish` and not before.
pub(super) fn replaces(stage: &Stage<'_>) -> Verdict {
    let part = stage.part();
    stage.needs(2 * part + 5_000)?;
    let (old, new) = (stage.item("object"), crate::stage::Item { key: stage.item("object").key, pattern: stage.item("other").pattern });
    for size in [part + 1, 77] {
        stage.put_small(&old, 4_321)?;
        let mut upload = stage.begin(&new.key, Some(size)).doing("begin of the second")?;
        upload.send(&new, (0, size))?;
        stage.verify(&old, 4_321)?;
        upload.complete(&new, size)?;
        stage.verify(&new, size)?;
        let keys = stage.keys(&new.key)?;
        must!(keys == [new.key.clone()], "after `{}` was replaced the listing shows {keys:?}", new.key);
    }
    HOLDS
}

/// An object that fits in no instance's memory.
pub(super) fn large(stage: &Stage<'_>) -> Verdict {
    let (item, size) = (stage.item("object"), stage.options().large);
    stage.needs(size)?;
    let started = Instant::now();
    stage.put(&item, size, Some(size))?;
    let up = started.elapsed();
    let started = Instant::now();
    stage.verify(&item, size)?;
    let speed = |took: std::time::Duration| size as f64 / 1e6 / took.as_secs_f64().max(1e-6);
    Ok(Outcome::Passed(Some(format!("{size} bytes, {:.0} MB/s up and {:.0} MB/s down", speed(up), speed(started.elapsed())))))
}
