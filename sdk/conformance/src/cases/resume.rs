//! `resume`: a session that was dropped at any moment goes on from what is durable, and its object is whole.

use std::ops::RangeInclusive;

use crate::body::Stop;
use crate::report::Outcome;
use crate::stage::{Cut, Doing as _, HOLDS, Item, Stage, Upload, Verdict, must, must_fail};
use crate::subject::Kind;

/// Times that a cut may bring an upload no further before it is called stuck.
const STUCK: u32 = 3;

/// A cut after every write; at most one part is sent again.
pub(super) fn at_every_part(stage: &Stage<'_>) -> Verdict {
    let (item, part) = (stage.item("object"), stage.part());
    let size = 4 * part + part / 3 + 1;
    stage.needs(size)?;
    if stage.options().begins_anew {
        return from_the_start(stage, &item, size);
    }
    let mut upload = stage.begin(&item.key, None).doing("begin")?;
    let (mut offset, mut stuck) = (0, 0);
    while offset < size {
        let reached = upload.send_part(&item, (offset, size))?;
        let durable;
        (upload, durable) = again(stage, upload.cut().doing("token")?)?;
        must!(durable <= reached, "{reached} bytes were sent, and after the cut it says that {durable} are durable");
        must!(durable + part >= reached, "a cut after {reached} bytes lost more than one part: it goes on at {durable}");
        stuck = if durable > offset { 0 } else { stuck + 1 };
        // What is smaller than a unit of the service may have to wait for `finish`, which takes it with the end.
        if stuck > 0 && reached == size {
            upload.send(&item, (durable, size))?;
            break;
        }
        must!(stuck < STUCK, "{STUCK} writes, each followed by a cut, brought it no further than {durable}");
        offset = durable;
    }
    stage.unseen(&item, "before `finish`")?;
    upload.complete(&item, size)?;
    stage.verify(&item, size)?;
    HOLDS
}

/// Whatever was sent before a cut is sent again, and the object is whole.
fn from_the_start(stage: &Stage<'_>, item: &Item, size: u64) -> Verdict {
    for parts in 1..=4 {
        let mut upload = stage.begin(&item.key, None).doing("begin")?;
        let sent = parts * stage.part();
        upload.send(item, (0, sent))?;
        let (mut upload, durable) = again(stage, upload.cut().doing("token")?)?;
        must!(durable <= sent, "{sent} bytes were sent, and after the cut it says that {durable} are durable");
        upload.send(item, (durable, size))?;
        upload.complete(item, size)?;
        stage.verify(item, size)?;
    }
    Ok(Outcome::Passed(Some("an interrupted upload begins again at its start, as its settings file says".to_owned())))
}

/// Whether a session goes on where it has to.
fn goes_on(stage: &Stage<'_>, durable: u64, range: RangeInclusive<u64>) -> bool {
    range.contains(&durable) || (durable == 0 && stage.options().begins_anew)
}

/// The body breaks in the middle of a write.
pub(super) fn inside_a_part(stage: &Stage<'_>) -> Verdict {
    broken_body(stage, Stop::Error)
}

/// The body ends in the middle of a write, which is no success.
pub(super) fn short_body(stage: &Stage<'_>) -> Verdict {
    broken_body(stage, Stop::End)
}

fn broken_body(stage: &Stage<'_>, how: Stop) -> Verdict {
    let (item, part) = (stage.item("object"), stage.part());
    let (size, half) = (3 * part + 11, part + part / 2);
    stage.needs(size)?;
    let mut upload = stage.begin(&item.key, Some(size)).doing("begin")?;
    upload.send_part(&item, (0, size))?;
    let token = upload.token().doing("token")?;
    let body = item.pattern.body(part, 2 * part).stopping(half, how);
    must!(upload.write(body, part).is_err(), "a write whose body ended after {} of {part} bytes succeeds", half - part);
    stage.unseen(&item, "after a write that failed")?;
    let (mut upload, durable) = again(stage, upload.cut_with(token))?;
    must!(goes_on(stage, durable, part..=half), "{part} bytes were durable and {half} were given, and it goes on at {durable}");
    upload.send(&item, (durable, size))?;
    upload.complete(&item, size)?;
    stage.verify(&item, size)?;
    HOLDS
}

/// An object of one part, which some services take only as a whole.
pub(super) fn one_part(stage: &Stage<'_>) -> Verdict {
    let (item, size) = (stage.item("object"), stage.part().min(10_000) - 1);
    let mut upload = stage.begin(&item.key, Some(size)).doing("begin")?;
    (upload, _) = again(stage, upload.cut().doing("token")?)?;
    upload.send(&item, (0, size))?;
    let (mut upload, durable) = again(stage, upload.cut().doing("token")?)?;
    must!(durable <= size, "{size} bytes were sent, and after the cut it says that {durable} are durable");
    upload.send(&item, (durable, size))?;
    upload.complete(&item, size)?;
    stage.verify(&item, size)?;
    HOLDS
}

/// After a power cut the host has the token from before its last write.
pub(super) fn older_token(stage: &Stage<'_>) -> Verdict {
    let (item, part) = (stage.item("object"), stage.part());
    let size = 3 * part + 5;
    stage.needs(size)?;
    let mut upload = stage.begin(&item.key, Some(size)).doing("begin")?;
    upload.send_part(&item, (0, size))?;
    let token = upload.token().doing("token")?;
    upload.send_part(&item, (part, size))?;
    let (mut upload, durable) = again(stage, upload.cut_with(token))?;
    let sent = 2 * part;
    must!(goes_on(stage, durable, part..=sent), "{part} bytes were durable and {sent} were sent, and it goes on at {durable}");
    upload.send(&item, (durable, size))?;
    upload.complete(&item, size)?;
    stage.verify(&item, size)?;
    HOLDS
}

/// Of a finished session nothing is left that could harm its object.
pub(super) fn finished(stage: &Stage<'_>) -> Verdict {
    let part = stage.part();
    for (name, size) in [("small", 1_000), ("parts", part + 1)] {
        stage.needs(size)?;
        let item = stage.item(name);
        let mut upload = stage.begin(&item.key, Some(size)).doing("begin")?;
        upload.send(&item, (0, size))?;
        let token = upload.token().doing("token")?;
        let cut = upload.cut_with(token);
        let (upload, durable) = again(stage, cut.clone())?;
        let mut upload = upload;
        upload.send(&item, (durable, size))?;
        upload.complete(&item, size)?;
        match stage.resume(&cut) {
            Err(failure) => must_fail::<()>(Err(failure), &[Kind::SessionLost], "resuming a finished session")?,
            // The host ends a session of which it does not know whether it was finished.
            Ok(mut upload) => upload.abort().doing("abort of a finished session")?,
        }
        stage.verify(&item, size)?;
    }
    HOLDS
}

/// A token that no plug-in gave is a session that is lost, and the host begins anew.
pub(super) fn unknown_token(stage: &Stage<'_>) -> Verdict {
    let item = stage.item("object");
    let upload = stage.begin(&item.key, None).doing("begin")?;
    let cut = upload.cut_with("no token of any plug-in".to_owned());
    match stage.resume(&cut) {
        Err(failure) => must_fail::<()>(Err(failure), &[Kind::SessionLost], "resuming by a token that nobody gave")?,
        Ok(mut upload) => {
            let offset = upload.offset().doing("offset")?;
            must!(offset == 0, "a session that nobody opened is at offset {offset}");
        }
    }
    HOLDS
}

/// Resumes after a cut and asks where to go on.
fn again<'a>(stage: &'a Stage<'_>, cut: Cut) -> crate::stage::Check<(Upload<'a>, u64)> {
    let mut upload = stage.resume(&cut).doing(format_args!("resume of `{}`", cut.key))?;
    let durable = upload.offset().doing("offset after the cut")?;
    Ok((upload, durable))
}
