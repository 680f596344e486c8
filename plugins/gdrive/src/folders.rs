//! Keys as real folders, so that an administrator finds a set as a folder in a browser.
//!
//! The service lets two folders of one name lie side by side, and two uploads that begin a new set at once make just that. So the oldest
//! one counts (by the service's clock, then by identifier); whoever made a younger one and finds it empty takes it away again; an upload
//! that ends looks once more and moves its file where it finds itself in a folder that does not count; and whoever reads looks into all
//! of them. Folders only ever go to the trash: should any of this lose a race, nothing is lost with it.

use std::time::Duration;

use cofre_sdk::http::Method;
use cofre_sdk::{Context as _, Error, Result};

use crate::client::{Ask, Client, FIELDS, FOLDER, File, Kind};
use crate::transport::Payload;

/// For so long after a folder was made somebody may still be making another of its name.
const SETTLED: Duration = Duration::from_mins(15);

impl Client {
    /// Path, from the base, of the folder of a key; and the key's own name.
    pub(crate) fn place<'a>(&self, key: &'a str) -> (String, &'a str) {
        let (folder, name) = key.rsplit_once('/').unwrap_or(("", key));
        (self.path(folder), name)
    }

    /// Path, from the base, of a folder of keys.
    pub(crate) fn path(&self, folder: &str) -> String {
        match (self.settings.folder.as_str(), folder) {
            (base, "") => base.to_owned(),
            ("", folder) => folder.to_owned(),
            (base, folder) => format!("{base}/{folder}"),
        }
    }

    /// The folders of a path, the one that counts first; none where it is missing.
    pub(crate) fn folders(&self, path: &str) -> Result<Vec<File>> {
        if path.is_empty() {
            return Ok(vec![File::known_as(self.settings.base())]);
        }
        if let Some(known) = self.known.borrow().get(path) {
            return Ok(known.clone());
        }
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut found = Vec::new();
        for parent in self.folders(parent)? {
            found.extend(
                self.children(&parent.id, Some(name), Kind::Folders).with_context(|| format!("cannot look for the folder {path}"))?,
            );
        }
        by_age(&mut found);
        if !found.is_empty() {
            self.known.borrow_mut().insert(path.to_owned(), found.clone());
        }
        Ok(found)
    }

    /// The folder of a path that counts, made where it is missing.
    pub(crate) fn make_folders(&self, path: &str) -> Result<File> {
        if let Some(folder) = self.folders(path)?.into_iter().next() {
            return Ok(folder);
        }
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = self.make_folders(parent)?;
        let making = || format!("cannot make the folder {path}");
        let made = self.make_folder(&parent.id, name).with_context(making)?;
        // Whoever made one at the same time sees the same list, so all choose the same one.
        match self.folders(path)?.into_iter().next() {
            Some(oldest) if oldest.id != made.id => {
                self.take_away(&made).with_context(making)?;
                Ok(oldest)
            }
            Some(oldest) => Ok(oldest),
            // A list that is late.
            None => {
                self.known.borrow_mut().insert(path.to_owned(), vec![made.clone()]);
                Ok(made)
            }
        }
    }

    fn make_folder(&self, parent: &str, name: &str) -> Result<File> {
        let body = serde_json::json!({ "name": name, "mimeType": FOLDER, "parents": [parent] }).to_string();
        self.send_for(Ask {
            headers: vec![("content-type", "application/json".to_owned())],
            payload: Payload::Bytes(body.as_bytes()),
            ..Ask::new(Method::Post, self.url("/files", &[("fields", FIELDS)]))
        })
    }

    /// Takes a folder away, unless something lies in it. Where the account may not, an empty folder stays and does no harm.
    fn take_away(&self, folder: &File) -> Result<()> {
        if self.is_empty(&folder.id)?
            && let Err(error) = self.to_trash(&folder.id)
        {
            cofre_sdk::log!(Info, "a second, empty folder {} stays: {error}", folder.name);
        }
        Ok(())
    }

    /// Sees to it that a finished file lies in the folder of its path that counts. Looks again only for folders that are new, or unknown.
    pub(crate) fn settle(&self, path: &str, file: &File) -> Result<()> {
        if path.is_empty() {
            return Ok(());
        }
        self.known.borrow_mut().retain(|_, folders| folders.iter().all(|folder| is_older(folder, file, SETTLED)));
        match self.folders(path)?.first() {
            Some(folder) if file.parents.contains(&folder.id) => Ok(()),
            Some(folder) => self.move_to(file, &folder.id),
            None => Err(Error::session_lost(format!("the folder {path} was removed during the upload"))),
        }
    }

    fn move_to(&self, file: &File, folder: &str) -> Result<()> {
        let parents = file.parents.join(",");
        let query = [("addParents", folder), ("removeParents", parents.as_str()), ("fields", "id")];
        let ask = Ask {
            headers: vec![("content-type", "application/json".to_owned())],
            payload: Payload::Bytes(b"{}"),
            ..Ask::new(Method::Patch, self.url(&format!("/files/{}", file.id), &query))
        };
        self.send(ask).context("cannot move it to the older of two folders of one name").map(drop)
    }

    /// Takes away the folders of a removed key that hold nothing any more, up to the folder of the settings. What cannot be taken away
    /// stays: the object is gone all the same.
    pub(crate) fn prune(&self, key: &str) {
        let mut folder = key;
        while let Some((parent, _)) = folder.rsplit_once('/') {
            folder = parent;
            match self.prune_one(&self.path(folder)) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return cofre_sdk::log!(Info, "the empty folder {folder} stays: {error}"),
            }
        }
    }

    /// Whether nothing is left of a path.
    fn prune_one(&self, path: &str) -> Result<bool> {
        for found in self.folders(path)? {
            if !self.is_empty(&found.id)? {
                return Ok(false);
            }
            self.to_trash(&found.id)?;
        }
        self.known.borrow_mut().remove(path);
        Ok(true)
    }
}

/// The one that counts first.
fn by_age(folders: &mut [File]) {
    folders.sort_by(|one, other| (&one.created_time, &one.id).cmp(&(&other.created_time, &other.id)));
}

/// Whether a folder was made so long before a file was last changed, both by the service's clock.
fn is_older(folder: &File, file: &File, by: Duration) -> bool {
    let ms = |text: &str| crate::client::unix_ms(text);
    match (ms(&folder.created_time), ms(&file.modified_time)) {
        (Some(made), Some(changed)) => u128::from(changed.saturating_sub(made)) > by.as_millis(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use cofre_sdk::{Body, Destination as _, ErrorKind, Upload as _};

    use crate::fake::{Act, store, store_on};
    use crate::store::GoogleDrive;

    fn put(store: &GoogleDrive, key: &str) {
        let mut upload = store.begin(key, Some(1)).expect("begun");
        upload.write(&mut Body::from_reader(&b"x"[..], 1)).expect("held");
        upload.finish().expect("finished");
    }

    #[test]
    fn two_uploads_that_make_one_folder_at_once_end_up_in_the_same_one() {
        // The rival's folder comes before our own is made; or after it, and then it is the rival's to take away.
        for (lines, left) in [(["POST /drive/v3/files?", "never"], 1), (["name = 'set'", "name = 'set'"], 2)] {
            let (store, drive) = store("");
            let rival = store_on(&drive, "");
            let make: [Act; 2] = [
                Box::new(move |drive| drop((left == 1).then(|| drive.add("root", "set", None)))),
                Box::new(|drive| drop(drive.add("root", "set", None))),
            ];
            drive.borrow_mut().rivals.extend(lines.into_iter().zip(make));
            put(&store, "set/a");
            put(&rival, "set/b");
            let drive = drive.borrow();
            let parents: std::collections::BTreeSet<_> =
                drive.nodes.values().filter(|node| !node.folder).map(|node| &node.parent).collect();
            assert_eq!((parents.len(), drive.paths().iter().filter(|path| *path == "set/").count()), (1, left), "{lines:?}");
        }
    }

    #[test]
    fn a_file_that_finds_itself_in_the_younger_folder_moves_to_the_older_one() {
        let (store, drive) = store("");
        drive.borrow_mut().tick = 1;
        let young = drive.borrow_mut().add("root", "set", None);
        let mut upload = store.begin("set/a", Some(1)).expect("begun");
        upload.write(&mut Body::from_reader(&b"x"[..], 1)).expect("held");
        // Made earlier, seen later.
        let old = drive.borrow_mut().add("root", "set", None);
        drive.borrow_mut().age(&old);
        upload.finish().expect("finished");
        let drive = drive.borrow();
        assert_eq!(drive.nodes.values().find(|node| node.name == "a").expect("there").parent, old);
        assert_ne!(old, young);
    }

    #[test]
    fn an_upload_whose_folder_was_taken_away_is_begun_anew() {
        let (store, drive) = store("");
        drive.borrow_mut().tick = 1;
        let mut upload = store.begin("set/a", Some(1)).expect("begun");
        upload.write(&mut Body::from_reader(&b"x"[..], 1)).expect("held");
        drive.borrow_mut().nodes.values_mut().find(|node| node.name == "set").expect("there").trashed = true;
        assert_eq!(upload.finish().expect_err("nobody sees it").kind(), ErrorKind::SessionLost);
    }

    #[test]
    fn a_folder_that_holds_something_is_never_taken_away() {
        let (store, drive) = store("");
        let folder = drive.borrow_mut().add("root", "set", None);
        drive.borrow_mut().add(&folder, "somebody else's", Some(b"precious"));
        put(&store, "set/a");
        put(&store, "set/deep/er/b");
        store.delete("set/deep/er/b").expect("removed");
        assert_eq!(drive.borrow().paths(), ["set/", "set/a", "set/somebody else's"]);
        store.delete("set/a").expect("removed");
        store.delete("set/a").expect("again");
        store.delete("set").expect("a folder is no object");
        assert_eq!(drive.borrow().paths(), ["set/", "set/somebody else's"]);
    }
}
