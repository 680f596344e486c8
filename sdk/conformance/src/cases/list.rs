//! `list`: every object once, over as many pages as it takes, and nothing else.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::report::Outcome;
use crate::stage::{Check, Doing as _, Fault, HOLDS, Stage, Verdict, must};

/// Uploads at once, at most, where many small objects are stored.
const THREADS_MAX: u32 = 8;

/// How many objects there are before each look at the listing, as parts of a thousand of all that are allowed.
const STEPS: [usize; 5] = [10, 60, 250, 550, 1_000];

/// Objects are stored until the listing has a second page, or as many as are allowed.
pub(super) fn pages(stage: &Stage<'_>) -> Verdict {
    let most = stage.options().objects;
    let (mut stored, mut paged, started) = (0, false, Instant::now());
    for step in STEPS {
        let target = (most * step / 1_000).max(stored);
        let whole = store(stage, stored..target, started)?;
        stored = whole;
        paged = whole_listing(stage, stored)?;
        if paged || stored < target {
            break;
        }
    }
    clear(stage, stored)?;
    let seen = if paged { "over more than one page" } else { "all in one page: a second one was not seen" };
    Ok(Outcome::Passed(Some(format!("{stored} objects {seen}"))))
}

fn name(number: usize) -> String {
    match number % 3 {
        0 => format!("{number:05}"),
        1 => format!("a/{number:05}"),
        _ => format!("a b/{number:05}+"),
    }
}

fn size(number: usize) -> u64 {
    number as u64 % 5
}

/// Stores objects of some numbers with as many uploads at once as are allowed; returns how many there are then.
fn store(stage: &Stage<'_>, numbers: std::ops::Range<usize>, started: Instant) -> Check<usize> {
    let late = || stage.options().listing_time.is_some_and(|time| started.elapsed() > time);
    let next = AtomicUsize::new(numbers.start);
    at_once(stage, || {
        while !late() {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= numbers.end {
                break;
            }
            stage.put_small(&stage.item(&name(number)), size(number))?;
        }
        Ok(())
    })?;
    Ok(next.into_inner().min(numbers.end))
}

/// Removes them the same way; one after the other is what tidying would do.
fn clear(stage: &Stage<'_>, stored: usize) -> Check {
    let next = AtomicUsize::new(0);
    at_once(stage, || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= stored {
                return Ok(());
            }
            stage.delete(&stage.item(&name(number)).key).doing(format_args!("delete of object {number}"))?;
        }
    })
}

/// Does the same in as many threads as the destination takes uploads.
fn at_once(stage: &Stage<'_>, work: impl Fn() -> Check + Sync) -> Check {
    let threads = stage.limits().parallel_uploads.clamp(1, THREADS_MAX);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(&work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| Err(Fault::new("a thread of the suite panicked"))))
    })
}

/// Whether the listing has more than one page, once it is right.
fn whole_listing(stage: &Stage<'_>, stored: usize) -> Check<bool> {
    let paged = stage.list(stage.prefix(), None).doing("list")?.cursor.is_some();
    let mut found: Vec<(String, u64)> = stage.all(stage.prefix())?.into_iter().map(|object| (object.key, object.size)).collect();
    found.sort_unstable();
    let mut wanted: Vec<(String, u64)> = (0..stored).map(|number| (stage.item(&name(number)).key, size(number))).collect();
    wanted.sort_unstable();
    if let Some(twice) = found.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(Fault::new(format!("`{}` is listed twice", twice[0].0)));
    }
    if let Some((missing, _)) = wanted.iter().find(|one| found.binary_search(one).is_err()) {
        return Err(Fault::new(format!("`{missing}` is not among the {} listed of {stored} objects, or with another size", found.len())));
    }
    must!(found.len() == wanted.len(), "{} objects are listed where {stored} were stored", found.len());
    Ok(paged)
}

/// A prefix is the beginning of a key, wherever it ends.
pub(super) fn prefix(stage: &Stage<'_>) -> Verdict {
    let names = ["a/x", "a/y/z", "ab", "ab.c", "abc/x", "b", "b c/%41"];
    for name in names {
        stage.put_small(&stage.item(name), 3)?;
    }
    for start in ["", "a", "a/", "a/y", "ab", "ab.", "abc", "abc/", "b", "b ", "b c/%41", "a/x", "%", "ab/", "a/y/z/"] {
        let mut wanted: Vec<String> = names.iter().filter(|name| name.starts_with(start)).map(|name| stage.item(name).key).collect();
        wanted.sort_unstable();
        let found = stage.keys(&stage.item(start).key)?;
        must!(found == wanted, "the listing of `{start}` gives {found:?} where it must give {wanted:?}");
    }
    HOLDS
}

/// What an upload keeps beside its object is not listed anywhere.
pub(super) fn no_temporaries(stage: &Stage<'_>) -> Verdict {
    let (neighbour, item, part) = (stage.item("neighbour"), stage.item("object"), stage.part());
    stage.needs(2 * part)?;
    stage.put_small(&neighbour, 5)?;
    let before = super::probe::everything(stage)?;
    let mut upload = stage.begin(&item.key, None).doing("begin")?;
    upload.send(&item, (0, part))?;
    let keys = stage.keys(stage.prefix())?;
    must!(keys == [neighbour.key.clone()], "beside an open upload the listing shows {keys:?}");
    let new: Vec<String> = super::probe::everything(stage)?.difference(&before).cloned().collect();
    must!(new.is_empty(), "while an upload is open there is more to be listed: {new:?}");
    let cut = upload.cut().doing("token")?;
    let keys = stage.keys(stage.prefix())?;
    must!(keys == [neighbour.key.clone()], "after an upload was cut the listing shows {keys:?}");
    stage.resume(&cut).doing("resume")?.abort().doing("abort")?;
    HOLDS
}

/// A prefix that nothing has is no error.
pub(super) fn nothing(stage: &Stage<'_>) -> Verdict {
    for start in ["missing", "missing/", "missing/missing/x"] {
        let keys = stage.keys(&stage.item(start).key)?;
        must!(keys.is_empty(), "the listing of `{start}` gives {keys:?}");
    }
    HOLDS
}
