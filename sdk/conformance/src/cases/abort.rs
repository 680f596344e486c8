//! `abort`: it forgets the session and what it stored, as often as it is called, and nothing else.

use crate::stage::{Doing as _, HOLDS, Item, Stage, Verdict, must_fail};
use crate::subject::Kind;

/// In the same session, in another one of the same token, and after nothing was written.
pub(super) fn twice(stage: &Stage<'_>) -> Verdict {
    let part = stage.part();
    for (name, size) in [("nothing", 0), ("small", 1_000), ("parts", part + 1)] {
        stage.needs(size)?;
        let item = stage.item(name);
        let mut upload = stage.begin(&item.key, Some(size)).doing("begin")?;
        upload.send(&item, (0, size))?;
        let token = upload.token().doing("token")?;
        upload.abort().doing("abort")?;
        upload.abort().doing("abort again")?;
        let cut = upload.cut_with(token);
        match stage.resume(&cut) {
            Err(failure) => must_fail::<()>(Err(failure), &[Kind::SessionLost], "resuming an aborted session")?,
            Ok(mut upload) => upload.abort().doing("abort in another session")?,
        }
        stage.unseen(&item, "after `abort`")?;
    }
    HOLDS
}

/// An upload that is given up leaves the object that was there before.
pub(super) fn keeps_what_was_there(stage: &Stage<'_>) -> Verdict {
    let (old, size) = (stage.item("object"), stage.part() + 1);
    stage.needs(size)?;
    let new = Item { key: old.key.clone(), pattern: stage.item("other").pattern };
    stage.put_small(&old, 2_000)?;
    let mut upload = stage.begin(&new.key, Some(size)).doing("begin of the second")?;
    upload.send(&new, (0, size))?;
    upload.abort().doing("abort")?;
    stage.verify(&old, 2_000)?;
    HOLDS
}
