//! The verbs on finished objects, and the probe.

use std::rc::Rc;

use cofre_sdk::http;
use cofre_sdk::{
    Body, Context as _, Destination, Error, ErrorKind, Limits, NetworkNeed, Object, Page, Range, Result, SecretNeed, Sink, Upload as _,
};
use serde::Deserialize;
use serde_json::json;

use crate::auth::Credentials;
use crate::client::{Client, Listed, Metadata};
use crate::settings::{LARGEST_OBJECT, Settings, check_key};
use crate::transport::Network;
use crate::upload::DropboxUpload;

/// Key of the probe. One name, so that where deleting is not permitted one small object stays and not one a probe.
const PROBE: &str = ".cofre-probe";

/// Entries that are asked for at once.
const PAGE: u32 = 1_000;

/// How long an address lives that the service gives out; it gives no others.
const SHARED_SECONDS: u32 = 4 * 3_600;

/// Objects in a folder of Dropbox.
pub struct Dropbox {
    client: Rc<Client>,
}

impl Dropbox {
    pub(crate) fn new(client: Client) -> Self {
        Self { client: Rc::new(client) }
    }

    fn path(&self, key: &str) -> Result<String> {
        check_key(key)?;
        Ok(self.client.settings.path(key))
    }

    /// Writes, reads and compares the probe object.
    fn write_probe(&self) -> Result<()> {
        let content = b"cofre was here\n";
        let mut upload = self.begin(PROBE, Some(content.len() as u64))?;
        upload.write(&mut Body::from_reader(&content[..], content.len() as u64))?;
        upload.finish()?;
        let argument = json!({ "path": self.path(PROBE)? });
        let found = self.client.download(&argument, None).and_then(|mut answer| answer.body_to_vec(1 << 10));
        let found = found.context("cannot read the probe object back")?;
        if found == content { Ok(()) } else { Err(Error::integrity("the probe object came back with other bytes")) }
    }

    /// Removes the folders of a removed key that hold nothing any more, up to the folder of the settings. What cannot be removed stays: the
    /// object is gone all the same. (Should an upload end in one of them just then, the service keeps it among the removed for 30 days.)
    fn prune(&self, key: &str) {
        let mut folder = key;
        while let Some((parent, _)) = folder.rsplit_once('/') {
            folder = parent;
            let path = self.client.settings.path(folder);
            match self.client.list(&path, false, 1) {
                Ok(listed) if listed.entries.is_empty() && !listed.has_more => {}
                _ => return,
            }
            if let Err(error) = self.client.remove(&path, None) {
                return cofre_sdk::log!(Info, "the empty folder {folder} stays: {error}");
            }
        }
    }

    /// The key of a file that a listing shows. Only the last part of a path is sure to be written as it was given, so the folder that was
    /// listed is written as it was asked for.
    fn key(&self, entry: &Metadata, listed: &str) -> Option<String> {
        let path = entry.path_display.as_deref().or(entry.path_lower.as_deref())?;
        let depth = self.client.settings.path(listed).matches('/').count();
        let rest: Vec<&str> = path.split('/').skip(1 + depth).collect();
        let key = if listed.is_empty() { rest.join("/") } else { format!("{listed}/{}", rest.join("/")) };
        (!rest.is_empty() && key != PROBE).then_some(key)
    }
}

#[derive(Deserialize)]
struct Link {
    link: String,
}

impl Destination for Dropbox {
    type Settings = Settings;
    type Upload = DropboxUpload;

    const NAME: &'static str = "dropbox";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Keeps objects in Dropbox: in an account, an app folder or a team folder.";

    fn network() -> Vec<NetworkNeed> {
        vec![
            NetworkNeed::new("api.dropboxapi.com:443", "Dropbox, where `endpoint` is not set"),
            NetworkNeed::new("content.dropboxapi.com:443", "Dropbox's transfers, where `endpoint` is not set"),
            NetworkNeed::new("{endpoint}", "the service, where `endpoint` is set"),
        ]
    }

    fn secrets() -> Vec<SecretNeed> {
        vec![
            SecretNeed::required("refresh_token", "refresh token, as `cofre login dropbox` stores it"),
            SecretNeed::required("client_id", "key of the app that the refresh token was made with"),
            SecretNeed::optional("client_secret", "secret of that app; not needed where the login was made without it"),
        ]
    }

    fn open(settings: Settings) -> Result<Self> {
        Ok(Self::new(Client::new(settings, Credentials::from_secrets()?, Box::new(Network))?))
    }

    fn probe(&self) -> Result<Limits> {
        self.write_probe().context("Dropbox cannot be used")?;
        match self.delete(PROBE) {
            // An account that may not delete is a good one for backups.
            Err(error) if error.kind() == ErrorKind::AccessDenied => cofre_sdk::log!(Info, "the probe object {PROBE} stays: {error}"),
            deleted => deleted?,
        }
        let settings = &self.client.settings;
        let free_bytes = match self.client.free_bytes() {
            // An app may do without this scope.
            Err(error) if error.kind() == ErrorKind::AccessDenied => None,
            free => free?,
        };
        Ok(Limits {
            part_size: Some(settings.part_size),
            max_object_size: Some(LARGEST_OBJECT),
            parallel_uploads: settings.parallel_uploads,
            free_bytes,
        })
    }

    fn begin(&self, key: &str, size: Option<u64>) -> Result<DropboxUpload> {
        DropboxUpload::begin(Rc::clone(&self.client), key, size)
    }

    fn resume(&self, key: &str, token: &str) -> Result<DropboxUpload> {
        DropboxUpload::resume(Rc::clone(&self.client), key, token)
    }

    fn read(&self, key: &str, range: Range, sink: &mut Sink) -> Result<()> {
        let reading = || format!("cannot read {key}");
        let file = self.client.file(&self.path(key)?).with_context(reading)?;
        // Nothing to fetch, or nothing that could be fetched: the service knows no empty range.
        if range.length_in(file.size).with_context(reading)? == 0 {
            return Ok(());
        }
        // The revision, so that another object that takes the place of this one meanwhile is not read as a part of it.
        let argument = json!({ "path": format!("rev:{}", file.rev) });
        http::read_range(range, sink, |header| self.client.download(&argument, header), || Ok(file.size)).with_context(reading)
    }

    fn stat(&self, key: &str) -> Result<Object> {
        let file = self.client.file(&self.path(key)?).with_context(|| format!("cannot look at {key}"))?;
        Ok(file.object(key.to_owned()))
    }

    fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Page> {
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let listed = match cursor {
            Some(cursor) => self.client.list_on(cursor),
            // No key is in a folder with such a path.
            None if !folder.is_empty() && check_key(folder).is_err() => Ok(Listed::default()),
            None => self.client.list(&self.client.settings.path(folder), true, PAGE),
        };
        let listed = match listed {
            Err(error) if error.kind() == ErrorKind::NotFound => Listed::default(),
            listed => listed.with_context(|| format!("cannot list {prefix}*"))?,
        };
        let files = listed.entries.iter().filter(|entry| entry.is_file());
        let objects =
            files.filter_map(|entry| Some(entry.object(self.key(entry, folder)?))).filter(|object| object.key.starts_with(prefix));
        Ok(Page { objects: objects.collect(), cursor: listed.has_more.then_some(listed.cursor) })
    }

    fn delete(&self, key: &str) -> Result<()> {
        let (path, removing) = (self.path(key)?, || format!("cannot remove {key}"));
        // The service removes a folder with all that is in it, so it must be seen that this is none.
        match self.client.file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            found => self.client.remove(&path, Some(&found.with_context(removing)?.rev)).with_context(removing)?,
        }
        self.prune(key);
        Ok(())
    }

    fn share(&self, key: &str, lifetime_seconds: u32) -> Result<String> {
        if lifetime_seconds > SHARED_SECONDS {
            let why = format!("Dropbox's addresses live {SHARED_SECONDS} s, and {lifetime_seconds} s were asked for");
            return Err(Error::unsupported(format!("cannot share {key}: {why}")));
        }
        let link: Link = self
            .client
            .call("files/get_temporary_link", &json!({ "path": self.path(key)? }))
            .with_context(|| format!("cannot share {key}"))?;
        Ok(link.link)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::fake::{Fault, store};

    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("whole").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn get(store: &Dropbox, offset: u64, length: Option<u64>) -> Result<Vec<u8>> {
        let shared = Arc::new(Mutex::new(Vec::new()));
        store.read("a", Range { offset, length }, &mut Sink::from_writer(Shared(Arc::clone(&shared))))?;
        let bytes = shared.lock().expect("whole").clone();
        Ok(bytes)
    }

    fn all(store: &Dropbox, prefix: &str) -> Vec<String> {
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = store.list(prefix, cursor.as_deref()).expect("listed");
            found.extend(page.objects.into_iter().map(|object| object.key));
            cursor = page.cursor;
            if cursor.is_none() {
                found.sort_unstable();
                return found;
            }
        }
    }

    #[test]
    fn a_range_is_read_exactly_and_never_beyond_the_end() {
        let (store, account) = store("");
        account.borrow_mut().add("/a", b"0123456789");
        assert_eq!(get(&store, 0, None).expect("read"), b"0123456789");
        assert_eq!(get(&store, 3, Some(4)).expect("read"), b"3456");
        assert_eq!(get(&store, 8, None).expect("read"), b"89");
        assert_eq!(get(&store, 10, None).expect("the empty rest"), b"");
        for (offset, length) in [(8, Some(3)), (11, None), (11, Some(0)), (12, Some(1))] {
            assert_eq!(get(&store, offset, length).expect_err("beyond").kind(), ErrorKind::InvalidConfig, "{offset} {length:?}");
        }
    }

    #[test]
    fn a_listing_pages_and_gives_back_the_keys_that_were_stored() {
        let (store, account) = store(r#", "folder": "base""#);
        {
            let mut account = account.borrow_mut();
            // The service may write the folders of a path as it likes.
            for path in ["/Base/SET/x", "/base/set/Ação", "/base/set.other/z", "/base/a", "/base/.cofre-probe", "/based", "/outside"] {
                account.add(path, b"x");
            }
            account.folders.push("/base/set".to_owned());
        }
        assert_eq!(all(&store, "set/"), ["set/Ação", "set/x"]);
        assert_eq!(all(&store, "set/x"), ["set/x"]);
        assert_eq!(all(&store, "set."), ["set.other/z"]);
        assert_eq!(all(&store, "a"), ["a"]);
        assert_eq!(all(&store, "").len(), 4);
        assert_eq!(all(&store, "nothing/here"), Vec::<String>::new());
        assert_eq!(all(&store, "//"), Vec::<String>::new());
    }

    #[test]
    fn deleting_the_last_object_removes_its_folders_and_a_folder_is_no_object() {
        let (store, account) = store(r#", "folder": "base""#);
        for key in ["set/deep/a", "set/b"] {
            let mut upload = store.begin(key, Some(1)).expect("begun");
            upload.write(&mut Body::from_reader(&b"x"[..], 1)).expect("held");
            upload.finish().expect("finished");
        }
        store.delete("set").expect("no object");
        assert_eq!(store.stat("set").expect_err("a folder").kind(), ErrorKind::NotFound);
        assert_eq!(account.borrow().files.len(), 2);
        store.delete("set/deep/a").expect("removed");
        store.delete("set/deep/a").expect("again");
        assert!(!account.borrow().folders.contains(&"/base/set/deep".to_owned()));
        assert_eq!(all(&store, ""), ["set/b"]);
        store.delete("set/b").expect("removed");
        assert!(account.borrow().folders.iter().all(|folder| folder == "/base"), "the folder of the settings stays");
    }

    #[test]
    fn the_probe_cleans_up_says_what_is_free_and_accepts_an_account_that_may_not_delete() {
        let (store, account) = store(r#", "namespace_id": "7", "team_member_id": "dbmid:x""#);
        let limits = store.probe().expect("it works");
        assert_eq!((limits.part_size, limits.free_bytes), (Some(4 << 20), Some(600)));
        assert!(account.borrow().files.is_empty());
        for header in [("dropbox-api-path-root", r#"{".tag":"namespace_id","namespace_id":"7"}"#), ("dropbox-api-select-user", "dbmid:x")] {
            assert!(account.borrow().last_headers.iter().any(|(name, value)| (name.as_str(), value.as_str()) == header), "{header:?}");
        }
        account.borrow_mut().faults.push(Fault {
            route: "delete_v2",
            status: 409,
            summary: "path_write/no_write_permission",
            after: false,
        });
        store.probe().expect("it still works");
        assert_eq!(all(&store, ""), Vec::<String>::new());
        account.borrow_mut().faults.push(Fault { route: "files/upload", status: 409, summary: "path/insufficient_space", after: false });
        assert_eq!(store.probe().expect_err("full").kind(), ErrorKind::OutOfSpace);
    }

    #[test]
    fn an_address_is_given_out_for_four_hours_and_no_longer() {
        let (store, account) = store("");
        account.borrow_mut().add("/a", b"x");
        assert_eq!(store.share("a", 3_600).expect("shared"), "https://h/link");
        assert_eq!(store.share("a", 14_401).expect_err("too long").kind(), ErrorKind::Unsupported);
        assert_eq!(store.share("b", 60).expect_err("missing").kind(), ErrorKind::NotFound);
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let (store, _) = store("");
        assert_eq!(store.stat("a").expect_err("missing").kind(), ErrorKind::NotFound);
        assert_eq!(get(&store, 0, None).expect_err("missing").kind(), ErrorKind::NotFound);
        for key in ["../a", "a\\b", "a ", "a /b", "/a"] {
            assert_eq!(store.stat(key).expect_err("refused").kind(), ErrorKind::InvalidConfig, "{key}");
        }
    }
}
