//! The verbs on finished objects, and the probe.

use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cofre_sdk::http::{Method, read_range};
use cofre_sdk::{
    Body, Context as _, Destination, Error, ErrorKind, Limits, NetworkNeed, Object, Page, Range, Result, SecretNeed, Sink, Upload as _,
};

use crate::auth::Credentials;
use crate::client::Client;
use crate::listing;
use crate::settings::{Resume, Settings, check_key, refuse};
use crate::transport::Network;
use crate::upload::{MOST_CHUNKS, Way, WebdavUpload};

/// Key of the probe. One name, so that where deleting is not permitted one small object stays and not one a probe.
pub(crate) const PROBE: &str = ".cofre-probe";

/// Folder of unfinished files.
pub(crate) const TEMPORARY: &str = ".cofre-tmp";

/// How long an unfinished file is kept after its last change: longer than any host goes on trying.
const KEPT: Duration = Duration::from_hours(7 * 24);

/// Objects on a WebDAV server.
pub struct Webdav {
    client: Rc<Client>,
}

impl Webdav {
    pub(crate) fn new(client: Client) -> Self {
        Self { client: Rc::new(client) }
    }

    /// Looks at the folder of the objects, and makes it where only it is missing; returns the bytes that are free.
    fn open_folder(&self) -> Result<Option<u64>> {
        let url = self.client.address.of_folder("");
        if self.client.entry(&url)?.is_none() {
            match self.client.create_folder(self.client.mkcol(&url)?) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return refuse("/url", "neither this folder nor the one above it is there; create it, or correct the address");
                }
                created => created?,
            }
        }
        match self.client.entry(&url)? {
            Some(folder) if folder.is_folder => Ok(folder.free_bytes),
            _ => refuse("/url", "there is something there, but no folder"),
        }
    }

    /// Writes, reads and compares the probe object.
    fn write_probe(&self) -> Result<()> {
        let content = b"cofre was here\n";
        let mut upload = self.begin(PROBE, Some(content.len() as u64))?;
        let proven = self.prove_resume(&upload);
        let stored = proven.and_then(|()| upload.write(&mut Body::from_reader(&content[..], content.len() as u64)));
        let stored = stored.and_then(|_| upload.finish());
        if stored.is_err() {
            // What went wrong is the answer; that the file may stay is not.
            let _ = upload.abort();
        }
        stored?;
        let mut found = self.client.bare(Method::Get, &self.client.address.of(PROBE)).context("cannot read the probe object back")?;
        if found.body_to_vec(1 << 10)? == content { Ok(()) } else { Err(Error::integrity("the probe object came back with other bytes")) }
    }

    /// Refuses a way to resume that was set and that the server does not have.
    fn prove_resume(&self, upload: &WebdavUpload) -> Result<()> {
        let way = match self.client.settings.resume {
            Resume::ContentRange => Way::ContentRange,
            Resume::Sabredav => Way::Sabredav,
            Resume::Auto | Resume::None | Resume::Nextcloud => return Ok(()),
        };
        if upload.proves(way)? { Ok(()) } else { refuse("/resume", "the server does not add to a file in this way; use `auto` or `none`") }
    }

    /// Removes files that nobody will finish any more.
    fn sweep(&self) -> Result<()> {
        let before = SystemTime::now().checked_sub(KEPT).and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let mut old = Vec::new();
        self.client.entries(&self.client.address.of_folder(TEMPORARY), |name, entry| {
            if !entry.is_folder && entry.modified_unix_ms.is_some_and(|modified| u128::from(modified) < before.as_millis()) {
                old.push(format!("{TEMPORARY}/{name}"));
            }
            Ok(())
        })?;
        old.iter().try_for_each(|name| self.client.remove(&self.client.address.of(name)))
    }
}

impl Destination for Webdav {
    type Settings = Settings;
    type Upload = WebdavUpload;

    const NAME: &'static str = "webdav";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Keeps objects on a WebDAV server: Nextcloud, ownCloud, Apache, a NAS.";

    fn network() -> Vec<NetworkNeed> {
        vec![NetworkNeed::new("{url}", "the WebDAV server")]
    }

    fn secrets() -> Vec<SecretNeed> {
        vec![
            SecretNeed::optional("password", "password of the account; at Nextcloud an app password; for `basic` and `digest`"),
            SecretNeed::optional("token", "token, for `bearer`"),
        ]
    }

    fn open(settings: Settings) -> Result<Self> {
        settings.check()?;
        let credentials = Credentials::new(&settings)?;
        Ok(Self::new(Client::new(settings, credentials, Box::new(Network))?))
    }

    fn probe(&self) -> Result<Limits> {
        let cannot = || format!("the folder {} cannot be used", self.client.settings.url);
        let free_bytes = self.open_folder().with_context(cannot)?;
        self.write_probe().with_context(cannot)?;
        match self.client.remove(&self.client.address.of(PROBE)) {
            // An account that may not delete is a good one for backups.
            Err(error) if error.kind() == ErrorKind::AccessDenied => cofre_sdk::log!(Info, "the probe object {PROBE} stays: {error}"),
            removed => removed.with_context(cannot)?,
        }
        if let Err(error) = self.sweep() {
            cofre_sdk::log!(Info, "old unfinished files in {TEMPORARY} stay: {error}");
        }
        let settings = &self.client.settings;
        Ok(Limits {
            part_size: Some(settings.part_size),
            max_object_size: self.client.stores_chunks().then_some(settings.part_size * MOST_CHUNKS),
            parallel_uploads: settings.parallel_uploads,
            free_bytes,
        })
    }

    fn begin(&self, key: &str, size: Option<u64>) -> Result<WebdavUpload> {
        WebdavUpload::begin(Rc::clone(&self.client), key, size)
    }

    fn resume(&self, key: &str, token: &str) -> Result<WebdavUpload> {
        WebdavUpload::resume(Rc::clone(&self.client), key, token)
    }

    fn read(&self, key: &str, range: Range, sink: &mut Sink) -> Result<()> {
        check_key(key)?;
        let get = |range| self.client.get_range(&self.client.address.of(key), range);
        read_range(range, sink, get, || Ok(self.client.object(key)?.size)).with_context(|| format!("cannot read {key}"))
    }

    fn stat(&self, key: &str) -> Result<Object> {
        check_key(key)?;
        self.client.object(key)
    }

    fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Page> {
        listing::page(&self.client, prefix, cursor)
    }

    fn delete(&self, key: &str) -> Result<()> {
        check_key(key)?;
        let removing = || format!("cannot remove {key}");
        let url = self.client.address.of(key);
        // A folder would go with all that is in it.
        if self.client.entry(&url).with_context(removing)?.is_none_or(|entry| entry.is_folder) {
            return Ok(());
        }
        self.client.remove(&url).with_context(removing)?;
        self.client.remove_empty_parents(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{ROOT, store};

    fn keys(store: &Webdav, prefix: &str) -> Vec<String> {
        let (mut keys, mut cursor) = (Vec::new(), None);
        loop {
            let page = store.list(prefix, cursor.as_deref()).expect("listed");
            assert!(page.objects.len() <= 3, "a page has three objects in tests");
            keys.extend(page.objects.into_iter().map(|object| object.key));
            cursor = page.cursor;
            if cursor.is_none() {
                return keys;
            }
        }
    }

    #[test]
    fn a_listing_pages_in_the_order_of_keys_and_shows_nothing_else() {
        let (store, server) = store(Way::One, "");
        let wanted = ["a b", "a%b", "a.txt", "a/1", "a/2", "a/3", "a/4", "a/b/c", "a0", "ação", "z/1", "z/2", "z/3"];
        for key in wanted {
            server.borrow_mut().put(&key.replace('%', "%25"), b"x");
        }
        server.borrow_mut().put(".cofre-tmp/0123456789abcdef", b"x");
        server.borrow_mut().put(PROBE, b"x");
        server.borrow_mut().put("foreign%41", b"x");
        server.borrow_mut().folders.extend([format!("{ROOT}/empty"), format!("{ROOT}/a/empty")]);
        assert_eq!(keys(&store, ""), wanted);
        assert_eq!(keys(&store, "a/"), ["a/1", "a/2", "a/3", "a/4", "a/b/c"]);
        assert_eq!(keys(&store, "a/b"), ["a/b/c"]);
        assert_eq!(keys(&store, "z"), ["z/1", "z/2", "z/3"]);
        for nothing in ["b", "a/b/c/d", "missing/x", "/", "a//b", "../"] {
            assert_eq!(keys(&store, nothing), [""; 0], "{nothing}");
        }
    }

    #[test]
    fn deleting_takes_one_object_and_the_folders_that_it_empties() {
        let (store, server) = store(Way::One, "");
        for key in ["set/sub/a", "set/b"] {
            server.borrow_mut().put(key, b"x");
        }
        store.delete("set").expect("a folder is no object");
        assert_eq!(server.borrow().files.len(), 2);
        store.delete("set/sub/a").expect("removed");
        store.delete("set/sub/a").expect("nothing to remove");
        assert!(!server.borrow().folders.contains(&format!("{ROOT}/set/sub")));
        assert!(server.borrow().file("set/b").is_some());
        server.borrow_mut().has_locks = false;
        store.delete("set/b").expect("removed");
        assert!(server.borrow().folders.contains(&format!("{ROOT}/set")), "without a lock nobody may be kept from adding to it");
    }

    #[test]
    fn the_probe_makes_its_folder_cleans_up_and_accepts_an_account_that_may_not_delete() {
        let (store, server) = store(Way::One, "");
        server.borrow_mut().folders.remove(ROOT);
        server.borrow_mut().free = Some((1_000, 507));
        assert_eq!(store.probe().expect("it works").free_bytes, Some(1_000));
        assert!(server.borrow().files.is_empty());
        server.borrow_mut().faults.push(("DELETE", 403));
        store.probe().expect("it still works");
        assert_eq!(keys(&store, ""), [""; 0]);
        server.borrow_mut().folders.clear();
        assert_eq!(store.probe().expect_err("no folder").detail("pointer"), Some("/url"));
    }

    #[test]
    fn a_way_to_resume_that_the_server_has_not_is_refused_by_the_probe() {
        for (way, setting, works) in [
            (Way::ContentRange, "content-range", true),
            (Way::Sabredav, "sabredav", true),
            (Way::One, "content-range", false),
            (Way::One, "sabredav", false),
            (Way::One, "none", true),
        ] {
            let (store, server) = store(way, &format!(r#", "resume": "{setting}""#));
            match store.probe() {
                Ok(_) => assert!(works, "{setting}"),
                Err(error) => assert_eq!((works, error.detail("pointer")), (false, Some("/resume")), "{setting}: {error}"),
            }
            assert_eq!(server.borrow().unfinished(), 0, "{setting}");
        }
    }

    #[test]
    fn files_that_nobody_finishes_go_after_a_week() {
        let (store, server) = store(Way::One, "");
        // Of 2013, as everything at this server.
        server.borrow_mut().put(".cofre-tmp/0123456789abcdef", b"x");
        store.probe().expect("it works");
        assert_eq!(server.borrow().unfinished(), 0);
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let (store, server) = store(Way::One, "");
        server.borrow_mut().put("set/a", b"0123456789");
        for key in ["a", "set", "set/a/b"] {
            assert_eq!(store.stat(key).expect_err("missing").kind(), ErrorKind::NotFound, "{key}");
        }
        assert_eq!(store.stat("../a").expect_err("refused").kind(), ErrorKind::InvalidConfig);
        assert_eq!(store.stat("set/a").expect("there").size, 10);
    }
}
