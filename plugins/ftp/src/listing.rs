//! One page of objects in the order of their keys; the cursor is the last key of the page before.
//!
//! A directory sorts as its name with `/` behind it, so that walking directory by directory gives exactly the order of whole keys, and a
//! subtree before the cursor or outside the prefix is never asked for.

use cofre_sdk::{Context as _, Error, Object, Page, Result};

use crate::client::Connection;
use crate::entry::{Entry, Kind};
use crate::key;
use crate::settings::Settings;

/// Objects of one page.
const PAGE: usize = 1_000;

/// Directories inside directories; cofre itself needs two.
const DEEPEST: usize = 64;

/// The objects after `cursor` whose keys start with `prefix`.
pub(crate) fn page(connection: &mut Connection, settings: &Settings, prefix: &str, cursor: Option<&str>) -> Result<Page> {
    let mut walk = Walk { connection, settings, prefix, cursor, page: Page::default() };
    // What a prefix names whole needs no look at what stands beside it.
    let start = key::parent(prefix);
    if start.is_empty() || key::check(start).is_ok() {
        walk.enter(start, start.split('/').count())?;
    }
    Ok(walk.page)
}

struct Walk<'a> {
    connection: &'a mut Connection,
    settings: &'a Settings,
    prefix: &'a str,
    cursor: Option<&'a str>,
    page: Page,
}

impl Walk<'_> {
    /// Adds the objects of one directory; stops once the page has its cursor.
    fn enter(&mut self, folder: &str, depth: usize) -> Result<()> {
        if depth > DEEPEST {
            return Err(Error::unsupported(format!("cannot list {folder}: more than {DEEPEST} directories inside each other")));
        }
        for (sort_key, entry) in self.sorted(folder)? {
            match entry.kind {
                Kind::Directory if self.may_hold(&sort_key) => self.enter(sort_key.trim_end_matches('/'), depth + 1)?,
                Kind::File => self.add(sort_key, &entry)?,
                _ => {}
            }
            if self.page.cursor.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// What is in a directory, by key and in the order of keys; that of a directory ends in `/`.
    fn sorted(&mut self, folder: &str) -> Result<Vec<(String, Entry)>> {
        let path = self.settings.path(folder);
        let entries = self.connection.entries(&path).with_context(|| format!("cannot list {path}"))?;
        let plain = |name: &str| !name.is_empty() && !name.contains('/') && name != "." && name != "..";
        let ours = entries.into_iter().filter(|entry| plain(&entry.name) && !key::is_unfinished(&entry.name));
        let mut sorted: Vec<(String, Entry)> = ours
            .map(|entry| {
                let slash = if entry.kind == Kind::Directory { "/" } else { "" };
                (format!("{}{slash}", key::join(folder, &entry.name)), entry)
            })
            .collect();
        sorted.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(sorted)
    }

    fn may_hold(&self, folder: &str) -> bool {
        let in_prefix = folder.starts_with(self.prefix) || self.prefix.starts_with(folder);
        in_prefix && self.cursor.is_none_or(|cursor| folder > cursor || cursor.starts_with(folder))
    }

    fn add(&mut self, key: String, entry: &Entry) -> Result<()> {
        // What no key can be was put there by somebody else.
        let wanted = key.starts_with(self.prefix) && key != key::PROBE && key::check(&key).is_ok();
        if !wanted || self.cursor.is_some_and(|cursor| key.as_str() <= cursor) {
            return Ok(());
        }
        if self.page.objects.len() == PAGE {
            self.page.cursor = self.page.objects.last().map(|last| last.key.clone());
            return Ok(());
        }
        let size = match entry.size {
            Some(size) => size,
            None => match self.connection.size(&self.settings.path(&key)).with_context(|| format!("cannot look at {key}"))? {
                Some(size) => size,
                // Removed since its directory was read.
                None => return Ok(()),
            },
        };
        self.page.objects.push(Object { key, size, modified_unix_ms: entry.modified_unix_ms, checksum: None });
        Ok(())
    }
}
