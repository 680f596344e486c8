//! One page of objects in the order of their keys; the cursor is the last key of the page before.
//!
//! A folder sorts as its name with `/` behind it, so that walking folder by folder gives exactly the order of whole keys, and a subtree
//! before the cursor or outside the prefix is never entered.

use cofre_sdk::{Context as _, Error, ErrorKind, Page, Result};
use russh_sftp::protocol::FileAttributes;

use crate::client::Server;
use crate::key;
use crate::sftp::Client;
use crate::store::{is_file, is_folder, object};

/// Objects of one page.
const PAGE: usize = 1_000;

/// Bytes of the keys of one page: the host takes 8 MiB at once.
const PAGE_BYTES: usize = 2 << 20;

/// Folders inside folders; cofre itself needs two.
const DEEPEST: usize = 64;

/// The objects after `cursor` whose keys start with `prefix`.
pub(crate) async fn page(client: &mut Client, server: &Server, prefix: &str, cursor: Option<&str>) -> Result<Page> {
    let mut walk = Walk { client, server, prefix, cursor, page: Page::default(), bytes: 0 };
    walk.all().await?;
    Ok(walk.page)
}

struct Walk<'a> {
    client: &'a mut Client,
    server: &'a Server,
    prefix: &'a str,
    cursor: Option<&'a str>,
    page: Page,
    bytes: usize,
}

/// A name in a folder: its whole key, and what it is. A folder's key ends in `/`.
type Entry = (String, FileAttributes);

impl Walk<'_> {
    /// Adds objects folder by folder until all are there or the page is full. The folders that are not finished lie on a stack, what comes
    /// next at the end of each.
    async fn all(&mut self) -> Result<()> {
        let mut folders = vec![self.entries("").await?];
        while let Some(rest) = folders.last_mut() {
            let Some((key, attributes)) = rest.pop() else {
                folders.pop();
                continue;
            };
            let Some(folder) = key.strip_suffix('/') else {
                if !self.add(&key, &attributes) {
                    return Ok(());
                }
                continue;
            };
            if !self.may_hold(&key) {
                continue;
            }
            if folders.len() > DEEPEST {
                return Err(Error::unsupported(format!("cannot list {folder}: more than {DEEPEST} folders inside each other")));
            }
            folders.push(self.entries(folder).await?);
        }
        Ok(())
    }

    /// What lies in a folder, in the backward order of the keys.
    async fn entries(&mut self, folder: &str) -> Result<Vec<Entry>> {
        let names = match self.client.names(&self.server.folder(folder)).await {
            // Not made yet, or removed since its parent was read.
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            names => names.with_context(|| format!("cannot list {folder}/"))?,
        };
        let mut entries = Vec::with_capacity(names.len());
        for file in names {
            let mut key = key::join(folder, &file.filename);
            // A name that is no UTF-8 is none of ours, and it could not be asked for again.
            if key::check(&key).is_err() || key.contains(char::REPLACEMENT_CHARACTER) {
                continue;
            }
            let mut attributes = file.attrs;
            if attributes.permissions.is_none() {
                attributes = match self.client.look(&self.server.path(&key)).await {
                    Err(error) if error.kind() == ErrorKind::NotFound => continue,
                    found => found.with_context(|| format!("cannot look at {key}"))?,
                };
            }
            if is_folder(&attributes) {
                key.push('/');
                entries.push((key, attributes));
            } else if is_file(&attributes) {
                entries.push((key, attributes));
            }
        }
        entries.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        Ok(entries)
    }

    fn may_hold(&self, folder: &str) -> bool {
        let in_prefix = folder.starts_with(self.prefix) || self.prefix.starts_with(folder);
        in_prefix && self.cursor.is_none_or(|cursor| folder > cursor || cursor.starts_with(folder))
    }

    /// Adds an object if it belongs here; `false` once the page is full.
    fn add(&mut self, key: &str, attributes: &FileAttributes) -> bool {
        if !key.starts_with(self.prefix) || self.cursor.is_some_and(|cursor| key <= cursor) {
            return true;
        }
        if self.page.objects.len() == PAGE || self.bytes + key.len() > PAGE_BYTES {
            self.page.cursor = self.page.objects.last().map(|last| last.key.clone());
            return false;
        }
        self.bytes += key.len();
        self.page.objects.push(object(key, attributes));
        true
    }
}
