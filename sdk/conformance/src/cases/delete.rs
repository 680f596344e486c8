//! `delete`: the object is gone, as often as it is called, and nothing else is.

use crate::stage::{Doing as _, HOLDS, Stage, Verdict, must};

pub(super) fn twice(stage: &Stage<'_>) -> Verdict {
    let (item, neighbour) = (stage.item("folder/object"), stage.item("folder/object2"));
    stage.put_small(&item, 100)?;
    stage.put_small(&neighbour, 100)?;
    stage.delete(&item.key).doing("delete")?;
    stage.unseen_but(&item, &neighbour)?;
    stage.delete(&item.key).doing("delete again")?;
    stage.delete(&stage.item("never/was/there").key).doing("delete of what never was")?;
    stage.verify(&neighbour, 100)?;
    HOLDS
}

/// A folder is no object, so there is nothing to delete, and what lies in it stays.
pub(super) fn folder(stage: &Stage<'_>) -> Verdict {
    let item = stage.item("folder/inner/object");
    stage.put_small(&item, 100)?;
    for name in ["folder", "folder/inner"] {
        stage.delete(&stage.item(name).key).doing(format_args!("delete of `{name}`, which is no object,"))?;
        stage.verify(&item, 100)?;
    }
    let keys = stage.keys(stage.prefix())?;
    must!(keys == [item.key.clone()], "the listing shows {keys:?}");
    HOLDS
}
