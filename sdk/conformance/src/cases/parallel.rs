//! Uploads at once: sessions know nothing of each other.

use crate::report::Outcome;
use crate::stage::{Check, Doing as _, Fault, HOLDS, Stage, Verdict};

/// Uploads at once that are tried, at most; a destination may allow more.
const THREADS_MAX: u32 = 8;

/// Two sessions of different keys, one write each in turn.
pub(super) fn interleaved(stage: &Stage<'_>) -> Verdict {
    let (items, part) = ([stage.item("one"), stage.item("two")], stage.part());
    let size = 2 * part + part / 2;
    stage.needs(2 * size)?;
    if stage.limits().parallel_uploads < 2 {
        return Err(Fault::skip("the destination takes one upload at a time"));
    }
    let begin = |item: &crate::stage::Item| stage.begin(&item.key, Some(size)).doing(format_args!("begin of `{}`", item.key));
    let (mut one, mut two) = (begin(&items[0])?, begin(&items[1])?);
    let mut offset = 0;
    while offset < size {
        one.send_part(&items[0], (offset, size))?;
        offset = two.send_part(&items[1], (offset, size))?;
    }
    two.complete(&items[1], size)?;
    one.complete(&items[0], size)?;
    items.iter().try_for_each(|item| stage.verify(item, size))?;
    HOLDS
}

/// As many uploads as `probe` allows, each in a thread of its own.
pub(super) fn at_once(stage: &Stage<'_>) -> Verdict {
    let count = stage.limits().parallel_uploads.min(THREADS_MAX);
    if count < 2 {
        return Err(Fault::skip("the destination takes one upload at a time"));
    }
    let size = stage.part() + 1_001;
    stage.needs(size * u64::from(count + 1))?;
    let one = |number: u32| -> Check {
        let item = stage.item(&format!("object-{number}"));
        stage.put(&item, size, Some(size))?;
        stage.verify(&item, size)
    };
    // The folder that they share is made first: servers that make it for two at once refuse one for a moment, and the host comes again.
    one(0)?;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (1..=count).map(|number| scope.spawn(move || one(number))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| Err(Fault::new("a thread of the suite panicked"))))
    })?;
    Ok(Outcome::Passed(Some(format!("{count} uploads at once"))))
}
