//! Keys that some protocol, encoding or file system on the way could change: they come back as they were given.

use crate::report::Outcome;
use crate::stage::{Doing as _, HOLDS, Item, Stage, Verdict, must, must_fail};
use crate::subject::Kind;

/// What is escaped in addresses, XML, JSON, listings of FTP servers and shells, and letters outside ASCII.
const ODD: [&str; 26] = [
    "two words",
    "two  blanks",
    "plus+plus",
    "per%cent",
    "%41",
    "%2Fslash",
    "100%",
    "hash#tag",
    "question?x=1&y=2",
    "ampersand&amp;",
    "single'quote",
    "double\"quote",
    "semi;colon,comma",
    "equals=at@dollar$",
    "(round)[square]{curly}",
    "tilde~bang!",
    "back`tick^caret",
    "-dash",
    ".hidden",
    "..two.dots",
    "composed \u{e7}\u{e3}o \u{f1} \u{fc}",
    "decomposed c\u{327}a\u{303}o",
    "\u{65e5}\u{672c}\u{8a9e}",
    "\u{1f512} emoji",
    "folder with blank/inner",
    "folder%2F+/in#ner?",
];

/// All at once, so that one that is taken for another is seen.
pub(super) fn odd(stage: &Stage<'_>) -> Verdict {
    for name in ODD {
        stage.put_small(&stage.item(name), name.len() as u64)?;
    }
    for name in ODD {
        stage.verify(&stage.item(name), name.len() as u64)?;
        let item = stage.item(name);
        let keys = stage.keys(&item.key)?;
        must!(keys.contains(&item.key), "the listing that begins with `{name}` does not show it, but {keys:?}");
    }
    let mut wanted = ODD.map(|name| stage.item(name).key).to_vec();
    wanted.sort_unstable();
    let found = stage.keys(stage.prefix())?;
    let lost: Vec<&String> = wanted.iter().filter(|key| !found.contains(key)).collect();
    must!(found == wanted, "the listing shows other keys than were given: {lost:?} are missing of {found:?}");
    stage.delete(&stage.item(ODD[4]).key).doing("delete")?;
    must!(stage.keys(stage.prefix())?.len() == ODD.len() - 1, "deleting `{}` removed another one, or none", ODD[4]);
    HOLDS
}

/// Parts of 200 bytes, in ASCII and in letters of two bytes: what is escaped or encoded on the way grows.
pub(super) fn long(stage: &Stage<'_>) -> Verdict {
    for part in ["n".repeat(200), "\u{e9}".repeat(100)] {
        // No key is the folder of another: file systems and services with folders have one of the two.
        for name in [format!("{part}x"), format!("{part}/{part}"), format!("{part}/{part}x")] {
            let item = stage.item(&name);
            stage.put_small(&item, 30)?;
            stage.verify(&item, 30)?;
        }
        let keys = stage.keys(&stage.item(&part).key)?;
        must!(keys.len() == 3, "the listing shows {} of 3 long keys", keys.len());
    }
    HOLDS
}

/// Folders inside folders, made as they are needed and gone when they are empty.
pub(super) fn deep(stage: &Stage<'_>) -> Verdict {
    let path = (1..=20).map(|level| level.to_string()).collect::<Vec<_>>().join("/");
    let items = [stage.item(&format!("{path}/object")), stage.item("1/2/3/other")];
    for item in &items {
        stage.put_small(item, 40)?;
        stage.verify(item, 40)?;
    }
    stage.delete(&items[0].key).doing("delete")?;
    let keys = stage.keys(stage.prefix())?;
    must!(keys == [items[1].key.clone()], "after the deepest object was deleted the listing shows {keys:?}");
    HOLDS
}

/// Pairs of keys that a service may take for one: it keeps both apart, or the plug-in refuses the second. Never is one object
/// silently replaced by another.
pub(super) fn twins(stage: &Stage<'_>) -> Verdict {
    let pairs = [("letter case", "Schema", "schema"), ("composed and decomposed letters", "a\u{e7}\u{e3}o", "ac\u{327}a\u{303}o")];
    let mut refused = Vec::new();
    for (what, one, other) in pairs {
        let (one, other): (Item, Item) = (stage.item(one), stage.item(other));
        stage.put_small(&one, 111)?;
        let second = stage.begin(&other.key, Some(222)).and_then(|mut upload| {
            upload.write(other.pattern.body(0, 222), 222)?;
            upload.finish()
        });
        match second {
            Ok(object) => {
                other.fits(&object, 222)?;
                stage.verify(&other, 222)?;
            }
            Err(failure) => {
                let kinds = [Kind::AlreadyExists, Kind::InvalidConfig, Kind::Unsupported];
                must_fail::<()>(Err(failure), &kinds, format_args!("a key that differs only in {what}"))?;
                refused.push(what);
            }
        }
        stage
            .verify(&one, 111)
            .map_err(|_| crate::stage::Fault::new(format!("`{}` was changed by `{}`, which differs only in {what}", one.key, other.key)))?;
    }
    Ok(Outcome::Passed((!refused.is_empty()).then(|| format!("refused, as its service takes them for one: {}", refused.join("; ")))))
}
