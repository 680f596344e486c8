//! Streaming: bytes leave the sandbox long before the last ones exist. A plug-in that HOLDS what it is given would pass every other
//! case, and fail on the first file that is larger than its memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::body::Gate;
use crate::report::Outcome;
use crate::stage::{Check, Doing as _, Fault, Stage, Verdict, must};

/// Bytes of the one write to a destination without parts.
const WRITE: u64 = 32 << 20;

/// Bytes of one long request that may be on their way between two writes.
const UNDER_WAY: u64 = 1 << 20;

/// Between two looks at the counter.
const LOOK: Duration = Duration::from_millis(2);

pub(super) fn pacing(stage: &Stage<'_>) -> Verdict {
    if stage.subject().sent().is_none() {
        return Err(Fault::skip("what leaves the sandbox cannot be counted here, as it is no network traffic"));
    }
    match stage.limits().part_size {
        Some(part) => between_parts(stage, part),
        None => inside_a_write(stage),
    }
}

fn sent(stage: &Stage<'_>) -> u64 {
    stage.subject().sent().unwrap_or(0)
}

/// A part may be held; the first one has left when its write has ended, and each further one likewise.
fn between_parts(stage: &Stage<'_>, part: u64) -> Verdict {
    let (item, size) = (stage.item("object"), 3 * part);
    stage.needs(size)?;
    let (before, under_way) = (sent(stage), if stage.options().begins_anew { UNDER_WAY } else { 0 });
    let mut upload = stage.begin(&item.key, Some(size)).doing("begin")?;
    let mut offset = 0;
    while offset < size {
        offset = upload.send_part(&item, (offset, size))?;
        let left = sent(stage) - before;
        must!(left + under_way >= offset, "{offset} bytes were written, and {left} have left the sandbox");
    }
    upload.complete(&item, size)?;
    stage.verify(&item, size)?;
    Ok(Outcome::Passed(Some(format!("each part of {part} bytes left before the next was made"))))
}

/// Before the last quarter of one write is made, half of it has to have left.
fn inside_a_write(stage: &Stage<'_>) -> Verdict {
    let item = stage.item("object");
    stage.needs(WRITE)?;
    let (gate, before, hold) = (Arc::new(Gate::default()), sent(stage), WRITE / 4 * 3);
    let mut upload = stage.begin(&item.key, Some(WRITE)).doing("begin")?;
    let left = std::thread::scope(|scope| -> Check<u64> {
        let watcher = scope.spawn(|| watch(stage, &gate, before + WRITE / 2));
        let body = item.pattern.body(0, WRITE).waiting(hold, Arc::clone(&gate));
        let written = upload.write(body, WRITE);
        // Should the write have ended without its body, the watcher need not wait any more.
        gate.decide(Err("the write has ended".to_owned()));
        let watched = watcher.join().unwrap_or_else(|_| Err("a thread of the suite panicked".to_owned()));
        let left = watched.map_err(|why| Fault::new(format!("{hold} of {WRITE} bytes were there to be taken: {why}")))?;
        written.doing("write")?;
        Ok(left - before)
    })?;
    upload.complete(&item, WRITE)?;
    stage.verify(&item, WRITE)?;
    Ok(Outcome::Passed(Some(format!("{left} bytes had left before the last {} of {WRITE} were made", WRITE - hold))))
}

/// Opens the gate once enough has left; shuts it when nothing moves any more.
fn watch(stage: &Stage<'_>, gate: &Gate, enough: u64) -> Result<u64, String> {
    let (mut last, mut moved, start) = (sent(stage), Instant::now(), sent(stage));
    loop {
        let now = sent(stage);
        if now >= enough {
            gate.decide(Ok(()));
            return Ok(now);
        }
        // As long as bytes are being taken, nobody holds them back yet.
        if now > last || !gate.is_reached() {
            (last, moved) = (now, Instant::now());
        }
        if gate.is_decided() || moved.elapsed() > stage.options().patience {
            let why = format!("{} have left the sandbox, and no more do", now.saturating_sub(start));
            gate.decide(Err(why.clone()));
            return Err(why);
        }
        std::thread::sleep(LOOK);
    }
}
