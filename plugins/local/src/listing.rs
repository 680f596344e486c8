//! One page of objects in the order of their keys; the cursor is the last key of the page before.
//!
//! A folder sorts as its name with `/` behind it, so that walking folder by folder gives exactly the order of whole keys, and a subtree
//! before the cursor or outside the prefix is never entered.

use std::io;

use cofre_sdk::files::Kind;
use cofre_sdk::{Context as _, Error, Page, Result};

use crate::key::{self, PARTIAL};
use crate::store::{Folder, object};

/// Objects of one page.
const PAGE: usize = 1_000;

/// Folders inside folders; cofre itself needs two.
const DEEPEST: usize = 64;

/// The objects after `cursor` whose keys start with `prefix`.
pub(crate) fn page(folder: &Folder, prefix: &str, cursor: Option<&str>) -> Result<Page> {
    let mut walk = Walk { folder, prefix, cursor, page: Page::default() };
    walk.enter("", 0)?;
    Ok(walk.page)
}

struct Walk<'a> {
    folder: &'a Folder,
    prefix: &'a str,
    cursor: Option<&'a str>,
    page: Page,
}

impl Walk<'_> {
    /// Adds the objects of one folder; stops once the page has its cursor.
    fn enter(&mut self, folder: &str, depth: usize) -> Result<()> {
        if depth > DEEPEST {
            return Err(Error::unsupported(format!("cannot list {folder}: more than {DEEPEST} folders inside each other")));
        }
        for (name, kind) in self.sorted(folder)? {
            let key = key::join(folder, name.trim_end_matches('/'));
            match kind {
                Kind::Directory if self.may_hold(&format!("{key}/")) => self.enter(&key, depth + 1)?,
                Kind::File => self.add(&key)?,
                _ => {}
            }
            if self.page.cursor.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Names in a folder in the order of the keys below them; a folder's name ends in `/`.
    fn sorted(&self, folder: &str) -> Result<Vec<(String, Kind)>> {
        let entries = match self.folder.dir.entries(&self.folder.path(folder)) {
            // Not made yet, or removed since its parent was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            entries => entries.with_context(|| format!("cannot list {folder}/"))?,
        };
        let own = entries.into_iter().filter(|entry| !(folder.is_empty() && entry.name == PARTIAL));
        let mut names: Vec<(String, Kind)> =
            own.map(|entry| (if entry.kind == Kind::Directory { entry.name + "/" } else { entry.name }, entry.kind)).collect();
        names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(names)
    }

    fn may_hold(&self, folder: &str) -> bool {
        let in_prefix = folder.starts_with(self.prefix) || self.prefix.starts_with(folder);
        in_prefix && self.cursor.is_none_or(|cursor| folder > cursor || cursor.starts_with(folder))
    }

    fn add(&mut self, key: &str) -> Result<()> {
        if !key.starts_with(self.prefix) || self.cursor.is_some_and(|cursor| key <= cursor) {
            return Ok(());
        }
        if self.page.objects.len() == PAGE {
            self.page.cursor = self.page.objects.last().map(|last| last.key.clone());
            return Ok(());
        }
        match self.folder.dir.metadata(&self.folder.path(key)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            metadata => self.page.objects.push(object(key, &metadata.with_context(|| format!("cannot look at {key}"))?)),
        }
        Ok(())
    }
}
