//! The verbs on finished objects, and the probe.

use std::rc::Rc;

use cofre_sdk::http::{self, Method};
use cofre_sdk::{
    Body, Context as _, Destination, Error, ErrorKind, Limits, NetworkNeed, Object, Page, Range, Result, SecretNeed, Sink, Upload as _,
};

use crate::auth::Credentials;
use crate::client::{Ask, Client, File};
use crate::error;
use crate::listing;
use crate::settings::{LARGEST_OBJECT, Settings, check_key};
use crate::transport::Network;
use crate::upload::DriveUpload;

/// Key of the probe. One name, so that where deleting is not permitted one small object stays and not one a probe.
pub(crate) const PROBE: &str = ".cofre-probe";

/// Objects in a folder of Google Drive.
pub struct GoogleDrive {
    client: Rc<Client>,
}

impl GoogleDrive {
    pub(crate) fn new(client: Client) -> Self {
        Self { client: Rc::new(client) }
    }

    /// The file under a key that counts.
    fn newest(&self, key: &str) -> Result<File> {
        check_key(key)?;
        let found = self.client.namesakes(key)?.into_iter().next();
        found.ok_or_else(|| Error::not_found(format!("there is no {key}")))
    }

    /// Writes, reads and compares the probe object.
    fn write_probe(&self) -> Result<()> {
        let content = b"cofre was here\n";
        let mut upload = self.begin(PROBE, Some(content.len() as u64))?;
        upload.write(&mut Body::from_reader(&content[..], content.len() as u64))?;
        // A probe has no session that could be resumed or begun anew: it is tried again as a whole.
        upload.finish().map_err(|error| match error.kind() {
            ErrorKind::SessionLost => Error::unavailable(error.message()),
            _ => error,
        })?;
        let file = self.newest(PROBE).context("cannot find the probe object")?;
        let found =
            self.download(&file, None).and_then(|mut answer| answer.body_to_vec(1 << 10)).context("cannot read the probe object back")?;
        if found == content { Ok(()) } else { Err(Error::integrity("the probe object came back with other bytes")) }
    }

    /// The bytes of a file; an answer of success or 416.
    fn download(&self, file: &File, range: Option<String>) -> Result<http::Response> {
        let url = self.client.url(&format!("/files/{}", file.id), &[("alt", "media")]);
        let headers = range.into_iter().map(|range| ("range", range)).collect();
        let answer = self.client.exchange(Ask { headers, ..Ask::new(Method::Get, url) })?;
        if answer.is_success() || answer.status() == 416 { Ok(answer) } else { Err(error::from_answer(answer)) }
    }
}

impl Destination for GoogleDrive {
    type Settings = Settings;
    type Upload = DriveUpload;

    const NAME: &'static str = "gdrive";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Keeps objects in Google Drive, in My Drive or in a shared drive.";

    fn network() -> Vec<NetworkNeed> {
        vec![
            NetworkNeed::new("www.googleapis.com:443", "Google Drive, where `endpoint` is not set"),
            NetworkNeed::new("oauth2.googleapis.com:443", "Google's access tokens, where `endpoint` is not set"),
            NetworkNeed::new("{endpoint}", "the service, where `endpoint` is set"),
        ]
    }

    fn secrets() -> Vec<SecretNeed> {
        vec![
            SecretNeed::optional("service_account_key", "JSON key file of a service account"),
            SecretNeed::optional("refresh_token", "refresh token of a user, as `cofre login gdrive` stores it"),
            SecretNeed::optional("client_id", "OAuth client identifier that the refresh token was made with"),
            SecretNeed::optional("client_secret", "the secret of that client"),
        ]
    }

    fn open(settings: Settings) -> Result<Self> {
        let credentials = Credentials::from_secrets(settings.impersonate.clone())?;
        Ok(Self::new(Client::new(settings, credentials, Box::new(Network))?))
    }

    fn probe(&self) -> Result<Limits> {
        self.write_probe().context("Google Drive cannot be used")?;
        match self.delete(PROBE) {
            // An account that may not delete is a good one for backups.
            Err(error) if error.kind() == ErrorKind::AccessDenied => cofre_sdk::log!(Info, "the probe object {PROBE} stays: {error}"),
            deleted => deleted?,
        }
        let settings = &self.client.settings;
        Ok(Limits {
            part_size: Some(settings.part_size),
            max_object_size: Some(LARGEST_OBJECT),
            parallel_uploads: settings.parallel_uploads,
            free_bytes: self.client.free_bytes().context("cannot ask how much space is left")?,
        })
    }

    fn begin(&self, key: &str, size: Option<u64>) -> Result<DriveUpload> {
        DriveUpload::begin(Rc::clone(&self.client), key, size)
    }

    fn resume(&self, key: &str, token: &str) -> Result<DriveUpload> {
        DriveUpload::resume(Rc::clone(&self.client), key, token)
    }

    fn read(&self, key: &str, range: Range, sink: &mut Sink) -> Result<()> {
        let reading = || format!("cannot read {key}");
        let file = self.newest(key).with_context(reading)?;
        let size = file.size().unwrap_or(0);
        // Nothing to fetch, or nothing that could be fetched: the service knows no empty range.
        if range.length_in(size).with_context(reading)? == 0 {
            return Ok(());
        }
        http::read_range(range, sink, |header| self.download(&file, header), || Ok(size)).with_context(reading)
    }

    fn stat(&self, key: &str) -> Result<Object> {
        Ok(self.newest(key).with_context(|| format!("cannot look at {key}"))?.object(key.to_owned()))
    }

    fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Page> {
        listing::page(&self.client, prefix, cursor).with_context(|| format!("cannot list {prefix}*"))
    }

    fn delete(&self, key: &str) -> Result<()> {
        check_key(key)?;
        let removing = || format!("cannot remove {key}");
        for file in self.client.namesakes(key).with_context(removing)? {
            self.client.remove(&file.id).with_context(removing)?;
        }
        self.client.prune(key);
        Ok(())
    }

    fn share(&self, key: &str, _lifetime_seconds: u32) -> Result<String> {
        Err(Error::unsupported(format!(
            "cannot share {key}: Drive's addresses for everybody do not end by themselves; share it in a browser"
        )))
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

    fn get(store: &GoogleDrive, offset: u64, length: Option<u64>) -> Result<Vec<u8>> {
        let shared = Arc::new(Mutex::new(Vec::new()));
        store.read("a", Range { offset, length }, &mut Sink::from_writer(Shared(Arc::clone(&shared))))?;
        let bytes = shared.lock().expect("whole").clone();
        Ok(bytes)
    }

    fn all(store: &GoogleDrive, prefix: &str) -> Vec<(String, u64)> {
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = store.list(prefix, cursor.as_deref()).expect("listed");
            found.extend(page.objects.into_iter().map(|object| (object.key, object.size)));
            cursor = page.cursor;
            if cursor.is_none() {
                found.sort_unstable();
                return found;
            }
        }
    }

    #[test]
    fn a_range_is_read_exactly_and_never_beyond_the_end() {
        let (store, drive) = store("");
        drive.borrow_mut().add("root", "a", Some(b"older namesake"));
        drive.borrow_mut().add("root", "a", Some(b"0123456789"));
        assert_eq!(get(&store, 0, None).expect("read"), b"0123456789");
        assert_eq!(get(&store, 3, Some(4)).expect("read"), b"3456");
        assert_eq!(get(&store, 8, None).expect("read"), b"89");
        assert_eq!(get(&store, 10, None).expect("the empty rest"), b"");
        for (offset, length) in [(8, Some(3)), (11, None), (11, Some(0)), (12, Some(1))] {
            assert_eq!(get(&store, offset, length).expect_err("beyond").kind(), ErrorKind::InvalidConfig, "{offset} {length:?}");
        }
    }

    #[test]
    fn a_listing_walks_the_folders_and_shows_each_key_once() {
        let (store, drive) = store(r#", "folder": "base""#);
        {
            let mut drive = drive.borrow_mut();
            let base = drive.add("root", "base", None);
            drive.add("root", "outside", Some(b"x"));
            for name in ["a", "a", "a/b", ".cofre-probe"] {
                drive.add(&base, name, Some(name.as_bytes()));
            }
            drive.add(&base, "a", Some(b"the newest"));
            // Two folders of one name are one folder.
            for content in ["1", "22"] {
                let set = drive.add(&base, "set", None);
                drive.add(&set, "x", Some(content.as_bytes()));
                drive.add(&set, content, Some(b"y"));
            }
            let other = drive.add(&base, "set.other", None);
            drive.add(&other, "z", Some(b""));
        }
        let expect = |keys: &[(&str, u64)]| keys.iter().map(|(key, size)| ((*key).to_owned(), *size)).collect::<Vec<_>>();
        let set = [("set/1", 1), ("set/22", 1), ("set/x", 2)];
        assert_eq!(all(&store, ""), expect(&[&[("a", 10), ("set.other/z", 0)][..], &set].concat()));
        assert_eq!(all(&store, "set/"), expect(&set));
        assert_eq!(all(&store, "set/x"), expect(&set[2..]));
        assert_eq!(all(&store, "set"), expect(&[&[("set.other/z", 0)][..], &set].concat()));
        assert_eq!(all(&store, "nothing/here"), []);
        assert_eq!(all(&store, "//"), []);
    }

    #[test]
    fn a_page_ends_after_so_many_folders_and_the_next_goes_on() {
        let (store, drive) = store("");
        let wanted: Vec<(String, u64)> = (0..130).map(|n| (format!("set{n:03}/x"), 1)).collect();
        for (key, _) in &wanted {
            let set = drive.borrow_mut().add("root", &key[..6], None);
            drive.borrow_mut().add(&set, "x", Some(b"1"));
        }
        assert!(store.list("", None).expect("listed").cursor.is_some());
        assert_eq!(all(&store, ""), wanted);
        assert_eq!(store.list("", Some("nonsense")).expect_err("no cursor").kind(), ErrorKind::InvalidConfig);
    }

    #[test]
    fn deleting_removes_every_file_of_that_name_for_good_or_to_the_trash() {
        for (extra, left) in [("", 1), (r#", "trash": true"#, 3)] {
            let (store, drive) = store(extra);
            for name in ["a", "a", "A"] {
                drive.borrow_mut().add("root", name, Some(b"x"));
            }
            store.delete("a").expect("removed");
            store.delete("a").expect("again");
            assert_eq!(drive.borrow().paths(), ["A"]);
            assert_eq!(drive.borrow().nodes.len(), left);
        }
    }

    #[test]
    fn the_probe_cleans_up_says_what_is_free_and_accepts_an_account_that_may_not_delete() {
        let (store, drive) = store("");
        let limits = store.probe().expect("it works");
        assert_eq!((limits.part_size, limits.free_bytes), (Some(256 << 10), Some(600)));
        assert!(drive.borrow().paths().is_empty());
        for _ in 0..2 {
            drive.borrow_mut().faults.push(Fault { line: "DELETE", status: 403, reason: "insufficientFilePermissions", after: false });
            store.probe().expect("it still works");
        }
        assert_eq!(drive.borrow().paths(), [PROBE], "one file, however often");
        assert_eq!(all(&store, ""), []);
        drive.borrow_mut().faults.push(Fault { line: "uploadType", status: 403, reason: "storageQuotaExceeded", after: false });
        assert_eq!(store.probe().expect_err("full").kind(), ErrorKind::OutOfSpace);
        drive.borrow_mut().faults.push(Fault { line: "PUT /upload", status: 410, reason: "", after: false });
        assert!(store.probe().expect_err("the session is gone").is_retryable());
    }

    #[test]
    fn a_folder_of_the_settings_that_is_not_there_is_a_wrong_setting() {
        let (store, _) = store(r#", "folder_id": "nowhere""#);
        for error in [store.stat("a").expect_err("nowhere"), store.begin("set/a", None).map(drop).expect_err("nowhere")] {
            assert_eq!((error.kind(), error.detail("pointer")), (ErrorKind::InvalidConfig, Some("/folder_id")), "{error}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let (store, drive) = store("");
        drive.borrow_mut().add("root", "folder", None);
        for key in ["a", "set/a", "folder"] {
            assert_eq!(store.stat(key).expect_err("missing").kind(), ErrorKind::NotFound);
        }
        assert_eq!(get(&store, 0, None).expect_err("missing").kind(), ErrorKind::NotFound);
        assert_eq!(store.stat("../a").expect_err("refused").kind(), ErrorKind::InvalidConfig);
        assert_eq!(store.share("a", 60).expect_err("no such thing").kind(), ErrorKind::Unsupported);
    }
}
