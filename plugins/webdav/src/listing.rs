//! One page of objects in the order of their keys, folder by folder; the cursor is the last key of the page before.
//!
//! `Depth: infinity` is refused by most servers, so each folder is asked for alone. A folder sorts as its name with `/` behind it, so
//! that the walk gives exactly the order of whole keys, and a subtree before the cursor or outside the prefix is never entered.

use std::collections::BTreeMap;

use cofre_sdk::{Context as _, Error, Object, Page, Result};

use crate::address::unescape;
use crate::client::Client;
use crate::multistatus::Entry;
use crate::settings::check_key;
use crate::store::{PROBE, TEMPORARY};

/// Objects of one page, and entries of one folder held at once.
#[cfg(not(test))]
const PAGE: usize = 1_000;
#[cfg(test)]
const PAGE: usize = 3;

/// Folders inside folders; cofre itself needs two.
const DEEPEST: usize = 64;

/// The objects after `cursor` whose keys start with `prefix`.
pub(crate) fn page(client: &Client, prefix: &str, cursor: Option<&str>) -> Result<Page> {
    let start = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut walk = Walk { client, prefix, cursor, page: Page::default() };
    // Under a prefix that no key can have there is nothing.
    let is_possible = if start.is_empty() { !prefix.starts_with('/') } else { check_key(start).is_ok() };
    if is_possible {
        walk.enter(start, 0)?;
    }
    Ok(walk.page)
}

struct Walk<'a> {
    client: &'a Client,
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
        let mut after = None;
        loop {
            let batch = self.batch(folder, after.as_deref())?;
            let is_last = batch.len() < PAGE;
            for (name, entry) in batch {
                let key = joined(folder, name.trim_end_matches('/'));
                if entry.is_folder {
                    self.enter(&key, depth + 1)?;
                } else {
                    self.add(key, entry)?;
                }
                if self.page.cursor.is_some() {
                    return Ok(());
                }
                after = Some(name);
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// The first entries of a folder behind the name `after` that can hold keys of this page; a folder's name ends in `/`.
    fn batch(&self, folder: &str, after: Option<&str>) -> Result<BTreeMap<String, Entry>> {
        let mut batch = BTreeMap::new();
        let url = self.client.address.of_folder(folder);
        let listed = self.client.entries(&url, |stored, entry| {
            // A name under which no key of ours is stored.
            let Some(mut name) = unescape(stored) else { return Ok(()) };
            if folder.is_empty() && (name == TEMPORARY || name == PROBE) {
                return Ok(());
            }
            if entry.is_folder {
                name.push('/');
            }
            if after.is_none_or(|after| name.as_str() > after) && self.may_hold(&joined(folder, &name), entry.is_folder) {
                batch.insert(name, entry);
                if batch.len() > PAGE {
                    batch.pop_last();
                }
            }
            Ok(())
        });
        listed.with_context(|| format!("cannot list {folder}/"))?;
        Ok(batch)
    }

    /// Whether a key, or one below a folder, which ends in `/`, belongs to this page.
    fn may_hold(&self, key: &str, is_folder: bool) -> bool {
        let is_inside = key.starts_with(self.prefix) || (is_folder && self.prefix.starts_with(key));
        is_inside && self.cursor.is_none_or(|cursor| key > cursor || (is_folder && cursor.starts_with(key)))
    }

    fn add(&mut self, key: String, entry: Entry) -> Result<()> {
        let size = entry.size.ok_or_else(|| Error::other(format!("the server does not say how long {key} is")))?;
        if self.page.objects.len() + 1 == PAGE {
            self.page.cursor = Some(key.clone());
        }
        self.page.objects.push(Object { key, size, modified_unix_ms: entry.modified_unix_ms, checksum: entry.checksum });
        Ok(())
    }
}

fn joined(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}
