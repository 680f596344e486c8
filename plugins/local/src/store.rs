//! The verbs on finished objects, and the probe.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::rc::Rc;

use cofre_sdk::files::{Dir, Kind, Metadata};
use cofre_sdk::{Body, Context as _, Destination, Error, ErrorKind, Limits, Object, Page, Range, Result, Sink, Upload as _};

use crate::key;
use crate::listing;
use crate::settings::Settings;
use crate::upload::LocalUpload;

/// Uploads that one disk takes well at once.
const PARALLEL_UPLOADS: u32 = 4;

/// Objects as files below one folder.
#[derive(Debug)]
pub struct Local {
    folder: Rc<Folder>,
}

/// The granted directory and how to use it.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) dir: Dir,
    pub(crate) settings: Settings,
}

impl Folder {
    /// Path of a key, or of the folder itself for the empty key, inside the granted directory.
    pub(crate) fn path(&self, key: &str) -> String {
        key::join(&self.settings.path, key)
    }
}

impl Local {
    /// A destination in `dir`.
    ///
    /// # Errors
    /// `invalid-config` where the folder is not one inside the directory.
    pub fn new(dir: Dir, settings: Settings) -> Result<Self> {
        if !settings.path.is_empty() {
            key::check(&settings.path).context("/path")?;
        }
        Ok(Self { folder: Rc::new(Folder { dir, settings }) })
    }

    fn object(&self, key: &str) -> Result<Metadata> {
        key::check(key)?;
        let path = self.folder.path(key);
        let metadata = self.folder.dir.metadata(&path).with_context(|| format!("cannot look at {key}"))?;
        if metadata.kind == Kind::File { Ok(metadata) } else { Err(Error::not_found(format!("{key} is no file"))) }
    }

    fn remove_empty_folders(&self, mut key: &str) {
        loop {
            key = key::parent(key);
            // A folder that is not empty, or that is gone, ends the climb.
            if key.is_empty() || self.folder.dir.remove_dir(&self.folder.path(key)).is_err() {
                return;
            }
        }
    }
}

impl Destination for Local {
    type Settings = Settings;
    type Upload = LocalUpload;

    const NAME: &'static str = "local";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Keeps objects as files in one directory of this machine: a disk, a NAS mount, a USB drive.";
    const DIRECTORY: bool = true;

    fn open(settings: Settings) -> Result<Self> {
        Self::new(Dir::granted()?, settings)
    }

    fn probe(&self) -> Result<Limits> {
        let content = b"cofre was here\n";
        let length = content.len() as u64;
        let key = format!("cofre-probe-{:016x}", RandomState::new().hash_one(0));
        let mut upload = self.begin(&key, Some(length))?;
        let stored = upload.write(&mut Body::from_reader(&content[..], length)).and_then(|_| upload.finish());
        if stored.is_err() {
            // What went wrong is the answer; that the partial file may stay is not.
            let _ = upload.abort();
        }
        let found = stored.and_then(|_| self.stat(&key));
        match self.delete(&key) {
            // The administrator may keep a directory from which nothing can be removed.
            Err(error) if error.kind() == ErrorKind::AccessDenied => cofre_sdk::log!(Warn, "the probe file {key} stays: {error}"),
            deleted => deleted?,
        }
        match found?.size {
            size if size == length => {
                Ok(Limits { part_size: None, max_object_size: None, parallel_uploads: PARALLEL_UPLOADS, free_bytes: None })
            }
            size => Err(Error::integrity(format!("a probe of {length} bytes was stored as {size}"))),
        }
    }

    fn begin(&self, key: &str, _size: Option<u64>) -> Result<LocalUpload> {
        LocalUpload::begin(Rc::clone(&self.folder), key)
    }

    fn resume(&self, key: &str, token: &str) -> Result<LocalUpload> {
        LocalUpload::resume(Rc::clone(&self.folder), key, token)
    }

    fn read(&self, key: &str, range: Range, sink: &mut Sink) -> Result<()> {
        let size = self.object(key)?.size;
        let length = range.length_in(size).with_context(|| format!("cannot read {key}"))?;
        let reading = || format!("cannot read {key}");
        let mut file = self.folder.dir.open(&self.folder.path(key)).with_context(reading)?;
        file.read_into(range.offset, length, sink).with_context(reading)
    }

    fn stat(&self, key: &str) -> Result<Object> {
        let metadata = self.object(key)?;
        Ok(object(key, &metadata))
    }

    fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Page> {
        listing::page(&self.folder, prefix, cursor)
    }

    fn delete(&self, key: &str) -> Result<()> {
        match self.object(key) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            found => found?,
        };
        let path = self.folder.path(key);
        match self.folder.dir.remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.with_context(|| format!("cannot remove {key}"))?,
        }
        if self.folder.settings.fsync {
            // Gone either way; without this a power cut may bring it back.
            let _ = self.folder.dir.sync_dir(key::parent(&path));
        }
        self.remove_empty_folders(key);
        Ok(())
    }
}

/// What the contract reports of a file.
pub(crate) fn object(key: &str, metadata: &Metadata) -> Object {
    Object { key: key.to_owned(), size: metadata.size, modified_unix_ms: metadata.modified_unix_ms, checksum: None }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use cofre_sdk::testing::{FakeHost, Native, Options};

    use super::*;

    fn local(folder: &tempfile::TempDir, path: &str) -> Local {
        Local::new(Dir::at(folder.path()), Settings { path: path.to_owned(), fsync: true }).expect("good settings")
    }

    fn put(local: &Local, key: &str, content: &'static [u8]) {
        let mut upload = local.begin(key, None).expect("begun");
        upload.write(&mut Body::from_reader(content, content.len() as u64)).expect("written");
        assert_eq!(upload.finish().expect("finished").size, content.len() as u64);
    }

    fn get(local: &Local, key: &str, range: Range) -> Result<Vec<u8>> {
        let shared = Arc::new(Mutex::new(Vec::new()));
        local.read(key, range, &mut Sink::from_writer(Shared(Arc::clone(&shared))))?;
        let bytes = shared.lock().expect("whole").clone();
        Ok(bytes)
    }

    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("whole").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const ALL: Range = Range { offset: 0, length: None };

    #[test]
    fn it_conforms() {
        let folder = tempfile::tempdir().expect("a directory");
        let host = FakeHost::new().settings(serde_json::json!({"path": "copies"})).directory(folder.path());
        Native::<Local>::new(host).assert_conforms(&Options::default());
        let left: Vec<_> = std::fs::read_dir(folder.path().join("copies")).expect("made").filter_map(std::result::Result::ok).collect();
        assert!(left.iter().all(|entry| entry.file_name() == key::PARTIAL), "{left:?}");
    }

    #[test]
    fn an_object_appears_only_when_it_is_finished() {
        let folder = tempfile::tempdir().expect("a directory");
        let local = local(&folder, "");
        let mut upload = local.begin("set/a", Some(5)).expect("begun");
        upload.write(&mut Body::from_reader(&b"hello"[..], 5)).expect("written");
        assert_eq!(local.stat("set/a").expect_err("not yet").kind(), ErrorKind::NotFound);
        assert_eq!(local.list("", None).expect("listed"), Page::default());
        upload.finish().expect("finished");
        assert_eq!(get(&local, "set/a", ALL).expect("read"), b"hello");
    }

    #[test]
    fn a_cut_upload_resumes_at_its_durable_offset() {
        let folder = tempfile::tempdir().expect("a directory");
        let local = local(&folder, "inner");
        let mut upload = local.begin("a", None).expect("begun");
        upload.write(&mut Body::from_reader(&b"first "[..], 6)).expect("written");
        let token = upload.token();
        let cut = upload.write(&mut Body::from_reader(&b"half"[..], 100)).expect_err("the body ended early");
        assert_eq!(cut.kind(), ErrorKind::Integrity);
        assert_eq!(upload.offset(), 6);
        drop(upload);
        let mut upload = local.resume("a", &token).expect("resumed");
        assert_eq!(upload.offset(), 6);
        assert_eq!(upload.write(&mut Body::from_reader(&b"second"[..], 6)).expect("written"), 12);
        assert_eq!(upload.finish().expect("finished").size, 12);
        assert_eq!(get(&local, "a", ALL).expect("read"), b"first second");
    }

    #[test]
    fn what_a_failed_write_left_behind_is_not_part_of_the_object() {
        let folder = tempfile::tempdir().expect("a directory");
        let local = local(&folder, "");
        let mut upload = local.begin("a", None).expect("begun");
        upload.write(&mut Body::from_reader(&b"much that is cut"[..], 100)).expect_err("the body ended early");
        upload.write(&mut Body::from_reader(&b"little"[..], 6)).expect("written");
        assert_eq!(upload.finish().expect("finished").size, 6);
        assert_eq!(get(&local, "a", ALL).expect("read"), b"little");
    }

    #[test]
    fn a_session_that_is_gone_or_of_another_key_is_lost() {
        let folder = tempfile::tempdir().expect("a directory");
        let local = local(&folder, "");
        let mut upload = local.begin("a", None).expect("begun");
        let token = upload.token();
        for (key, token) in [("b", token.as_str()), ("a", "nonsense"), ("a", &token.replace(":0", ":7"))] {
            assert_eq!(local.resume(key, token).expect_err("lost").kind(), ErrorKind::SessionLost, "{key} {token}");
        }
        upload.abort().expect("aborted");
        upload.abort().expect("again");
        assert_eq!(local.resume("a", &token).expect_err("lost").kind(), ErrorKind::SessionLost);
    }

    #[test]
    fn a_range_is_read_exactly_and_never_beyond_the_end() {
        let folder = tempfile::tempdir().expect("a directory");
        let local = local(&folder, "");
        put(&local, "a", b"0123456789");
        assert_eq!(get(&local, "a", Range { offset: 3, length: Some(4) }).expect("read"), b"3456");
        assert_eq!(get(&local, "a", Range { offset: 8, length: None }).expect("read"), b"89");
        let beyond = get(&local, "a", Range { offset: 8, length: Some(3) }).expect_err("beyond");
        assert_eq!(beyond.kind(), ErrorKind::InvalidConfig);
        assert_eq!(get(&local, "b", ALL).expect_err("missing").kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_listing_is_in_the_order_of_keys_and_pages_without_a_gap() {
        let folder = tempfile::tempdir().expect("a directory");
        let local = local(&folder, "");
        let mut wanted: Vec<String> = (0..1_205).map(|n| format!("set/sub{}/{n:04}", n % 7)).collect();
        wanted.extend(["set.txt", "set-1/x", "set/a", "set/sub1.x", "zz"].map(str::to_owned));
        for key in &wanted {
            let path = folder.path().join(key);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, "x").expect("written");
        }
        wanted.sort();
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = local.list("", cursor.as_deref()).expect("listed");
            found.extend(page.objects.into_iter().map(|object| object.key));
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(found, wanted);
        let keys = |prefix: &str| -> Vec<String> { local.list(prefix, None).expect("listed").objects.into_iter().map(|o| o.key).collect() };
        assert_eq!(keys("set/sub1."), ["set/sub1.x"]);
        assert_eq!(keys("set-"), ["set-1/x"]);
        assert_eq!(keys("nothing/here"), Vec::<String>::new());
        assert_eq!(keys("set/sub3").len(), 172);
    }

    #[test]
    fn deleting_the_last_object_removes_its_folders_and_deleting_nothing_is_success() {
        let folder = tempfile::tempdir().expect("a directory");
        let local = local(&folder, "root");
        put(&local, "a/b/c", b"x");
        put(&local, "a/d", b"y");
        local.delete("a/b/c").expect("deleted");
        local.delete("a/b/c").expect("again");
        assert!(!folder.path().join("root/a/b").exists());
        assert!(folder.path().join("root/a/d").exists());
        local.delete("a").expect("a folder is no object");
        assert!(folder.path().join("root/a/d").exists());
    }

    #[test]
    fn the_probe_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a directory");
        let local = local(&folder, "deep/er");
        assert_eq!(local.probe().expect("it works").part_size, None);
        assert_eq!(local.list("", None).expect("listed"), Page::default());
    }

    #[test]
    fn a_folder_setting_that_leaves_the_directory_is_refused() {
        let folder = tempfile::tempdir().expect("a directory");
        for path in ["../up", "/abs", "a/../b", "a//b"] {
            let settings = Settings { path: path.to_owned(), fsync: true };
            assert_eq!(Local::new(Dir::at(folder.path()), settings).expect_err("refused").kind(), ErrorKind::InvalidConfig, "{path}");
        }
    }
}
