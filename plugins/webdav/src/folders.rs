//! Folders above objects: made when an object needs them, removed when the last object has left them.

use cofre_sdk::http::Method;
use cofre_sdk::{ErrorKind, Result};

use crate::client::Client;

const LOCK: Method = Method::Other("LOCK");
const UNLOCK: Method = Method::Other("UNLOCK");

const LOCK_INFO: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype><owner>cofre</owner></lockinfo>"#;

/// Folder of a key or of a folder; `None` for what is in the objects' own folder.
fn parent(key: &str) -> Option<&str> {
    key.rsplit_once('/').map(|(parent, _)| parent)
}

impl Client {
    /// Makes the folders above a key.
    pub(crate) fn create_parents(&self, key: &str) -> Result<()> {
        let Some(folder) = parent(key) else { return Ok(()) };
        let create = || self.create_folder(self.mkcol(&self.address.of_folder(folder))?);
        match create() {
            // Its own parent is missing (RFC 4918, 9.3.1).
            Err(error) if error.kind() == ErrorKind::NotFound && parent(folder).is_some() => {
                self.create_parents(folder)?;
                create()
            }
            created => created,
        }
    }

    /// Removes the folders above a key as far as they are empty. What cannot be removed stays: it holds no object and hurts nobody.
    ///
    /// A server removes a folder with all that is in it, so one is removed only under a lock, looked at once more after the lock is
    /// there; at servers without locks empty folders stay.
    pub(crate) fn remove_empty_parents(&self, mut key: &str) {
        while let Some(folder) = parent(key) {
            let url = self.address.of_folder(folder);
            if !self.remove_if_empty(&url).unwrap_or(false) {
                return;
            }
            key = folder;
        }
    }

    fn remove_if_empty(&self, url: &str) -> Result<bool> {
        if !self.is_empty(url)? {
            return Ok(false);
        }
        let lock = self.request(LOCK, url)?.header("depth", "infinity").header("timeout", "Second-60");
        let lock = lock.header("content-type", "application/xml; charset=utf-8");
        let answer = self.send(lock, Some((&mut LOCK_INFO.as_bytes(), LOCK_INFO.len() as u64)))?;
        let Some(token) = answer.header("lock-token").map(str::to_owned) else { return Ok(false) };
        drop(answer);
        if self.is_empty(url).unwrap_or(false) {
            // With the address, as the token would else be asked of the folder above, too (RFC 4918, 10.4.3).
            let remove = self.request(Method::Delete, url)?.header("if", format!("<{url}> ({token})"));
            if self.send(remove, None).is_ok() {
                return Ok(true);
            }
        }
        self.send(self.request(UNLOCK, url)?.header("lock-token", token), None)?;
        Ok(false)
    }

    fn is_empty(&self, url: &str) -> Result<bool> {
        let mut empty = true;
        self.entries(url, |_, _| {
            empty = false;
            Ok(())
        })?;
        Ok(empty)
    }
}
