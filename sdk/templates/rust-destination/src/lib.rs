//! A destination for cofre. As it comes from `cofre plugin new` it keeps objects as files in the granted directory, and holds to the
//! whole contract: replace what touches files by calls of your service, verb by verb, and keep the tests green meanwhile.

use std::io;
use std::rc::Rc;

use cofre_sdk::files::{Dir, File, Kind, Metadata};
use cofre_sdk::{Body, Context as _, Destination, Error, ErrorKind, Limits, Object, Page, Range, Result, Sink, Upload};

/// Finished objects.
const OBJECTS: &str = "objects";
/// Uploads that are not finished: no listing shows them, and one rename makes them objects.
const UNFINISHED: &str = "unfinished";
/// Objects of one page of a listing.
const PAGE: usize = 1_000;

/// What the administrator sets. The doc comments become the documentation of the settings.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Folder inside the granted directory.
    folder: String,
}

/// The destination. A value lives for one call, or for one upload; nothing stays in memory between calls.
pub struct Store {
    dir: Rc<Dir>,
    settings: Settings,
}

impl Store {
    fn object_path(&self, key: &str) -> Result<String> {
        checked(key)?;
        Ok(format!("{}/{OBJECTS}/{key}", self.settings.folder))
    }

    fn unfinished_path(&self, key: &str) -> Result<String> {
        checked(key)?;
        Ok(format!("{}/{UNFINISHED}/{key}", self.settings.folder))
    }

    fn upload(&self, key: &str, file: File, offset: u64) -> Result<Transfer> {
        let (partial, object) = (self.unfinished_path(key)?, self.object_path(key)?);
        Ok(Transfer { dir: Rc::clone(&self.dir), key: key.to_owned(), partial, object, file: Some(file), offset })
    }

    fn metadata(&self, key: &str) -> Result<Metadata> {
        let metadata = self.dir.metadata(&self.object_path(key)?).with_context(|| format!("cannot look at {key}"))?;
        if metadata.kind == Kind::File { Ok(metadata) } else { Err(Error::not_found(format!("{key} is no object"))) }
    }

    /// Adds the keys below a folder, `below` being the part of the keys that it stands for.
    fn collect(&self, below: &str, keys: &mut Vec<String>) -> Result<()> {
        let folder = format!("{}/{OBJECTS}/{below}", self.settings.folder);
        let entries = match self.dir.entries(folder.trim_end_matches('/')) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()), // Nothing was stored yet.
            entries => entries.with_context(|| format!("cannot list {below}"))?,
        };
        for entry in entries {
            let key = format!("{below}{}", entry.name);
            match entry.kind {
                Kind::Directory => self.collect(&format!("{key}/"), keys)?,
                Kind::File => keys.push(key),
                Kind::Other => {}
            }
        }
        Ok(())
    }
}

impl Destination for Store {
    type Settings = Settings;
    type Upload = Transfer;

    const NAME: &'static str = "{{name}}";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Keeps objects as files in the granted directory.";
    const DIRECTORY: bool = true;

    // For a service: `fn network()` names `host:port` of every target, `fn secrets()` every secret; the administrator grants them.

    fn open(settings: Settings) -> Result<Self> {
        if settings.folder.is_empty() || settings.folder.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(Error::invalid_config("/folder is no path inside the granted directory; write a name such as `copies`"));
        }
        Ok(Self { dir: Rc::new(Dir::granted()?), settings })
    }

    fn probe(&self) -> Result<Limits> {
        let (key, content) = ("cofre-probe", b"cofre was here\n");
        let length = content.len() as u64;
        let mut upload = self.begin(key, Some(length))?;
        upload.write(&mut Body::from_reader(&content[..], length))?;
        upload.finish()?;
        self.delete(key)?;
        Ok(Limits { part_size: None, max_object_size: None, parallel_uploads: 2, free_bytes: None })
    }

    fn begin(&self, key: &str, _size: Option<u64>) -> Result<Transfer> {
        let beginning = || format!("cannot begin {key}");
        let partial = self.unfinished_path(key)?;
        self.dir.create_dirs(parent(&partial)).with_context(beginning)?;
        let mut file = self.dir.create(&partial).with_context(beginning)?;
        file.set_size(0).with_context(beginning)?;
        self.upload(key, file, 0)
    }

    fn resume(&self, key: &str, token: &str) -> Result<Transfer> {
        let lost = |why: &str| Error::session_lost(format!("cannot resume {key}: {why}"));
        let offset: u64 = token.parse().map_err(|_| lost("its token is not one of this plug-in"))?;
        let file = match self.dir.open_to_write(&self.unfinished_path(key)?) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(lost("nothing is left of it")),
            opened => opened.with_context(|| format!("cannot resume {key}"))?,
        };
        if file.metadata().with_context(|| format!("cannot resume {key}"))?.size < offset {
            return Err(lost("less is left of it than was stored"));
        }
        self.upload(key, file, offset)
    }

    fn read(&self, key: &str, range: Range, sink: &mut Sink) -> Result<()> {
        let length = range.length_in(self.metadata(key)?.size).with_context(|| format!("cannot read {key}"))?;
        let mut file = self.dir.open(&self.object_path(key)?).with_context(|| format!("cannot read {key}"))?;
        file.read_into(range.offset, length, sink).with_context(|| format!("cannot read {key}"))
    }

    fn stat(&self, key: &str) -> Result<Object> {
        Ok(object(key, &self.metadata(key)?))
    }

    fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Page> {
        let mut keys = Vec::new();
        self.collect("", &mut keys)?;
        keys.retain(|key| key.starts_with(prefix) && cursor.is_none_or(|cursor| key.as_str() > cursor));
        keys.sort_unstable();
        let more = keys.len() > PAGE;
        keys.truncate(PAGE);
        let objects = keys.iter().map(|key| self.stat(key)).collect::<Result<Vec<_>>>()?;
        Ok(Page { objects, cursor: keys.pop().filter(|_| more) })
    }

    fn delete(&self, key: &str) -> Result<()> {
        match self.metadata(key) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()), // Deleting what is no object is success.
            found => found?,
        };
        match self.dir.remove_file(&self.object_path(key)?) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()), // Somebody else was faster.
            removed => removed.with_context(|| format!("cannot remove {key}")),
        }
    }
}

/// One upload. Dropped at any moment, it is found again by its token.
pub struct Transfer {
    dir: Rc<Dir>,
    key: String,
    partial: String,
    object: String,
    /// `None` once it was finished or aborted.
    file: Option<File>,
    offset: u64,
}

impl Upload for Transfer {
    fn token(&self) -> String {
        self.offset.to_string()
    }

    /// What is durable: the host goes on from here after a crash.
    fn offset(&self) -> u64 {
        self.offset
    }

    fn write(&mut self, body: &mut Body) -> Result<u64> {
        let writing = format!("cannot write {} at {}", self.key, self.offset);
        let file = self.file.as_mut().ok_or_else(|| Error::session_lost(format!("{writing}: the upload has ended")))?;
        let count = file.write_body(self.offset, body).context(&writing)?;
        file.sync().context(&writing)?;
        self.offset += count;
        Ok(self.offset)
    }

    /// The only commit: before it, nobody sees the object.
    fn finish(&mut self) -> Result<Object> {
        let finishing = format!("cannot finish {}", self.key);
        let file = self.file.as_mut().ok_or_else(|| Error::session_lost(format!("{finishing}: the upload has ended")))?;
        file.set_size(self.offset).context(&finishing)?; // A write that failed may have left bytes beyond.
        file.sync().context(&finishing)?;
        self.dir.create_dirs(parent(&self.object)).context(&finishing)?;
        self.dir.rename(&self.partial, &self.object).context(&finishing)?;
        self.dir.sync_dir(parent(&self.object)).context(&finishing)?;
        self.file = None;
        let metadata = self.dir.metadata(&self.object).context(&finishing)?;
        Ok(object(&self.key, &metadata))
    }

    fn abort(&mut self) -> Result<()> {
        self.file = None;
        match self.dir.remove_file(&self.partial) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.with_context(|| format!("cannot remove what was stored of {}", self.key)),
        }
    }
}

fn object(key: &str, metadata: &Metadata) -> Object {
    Object { key: key.to_owned(), size: metadata.size, modified_unix_ms: metadata.modified_unix_ms, checksum: None }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Refuses a key that is no path of plain names.
fn checked(key: &str) -> Result<()> {
    if key.contains('\0') || key.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(Error::invalid_config(format!("`{}` cannot be a file's path", key.escape_debug())));
    }
    Ok(())
}

cofre_sdk::export_destination!(Store);

#[cfg(test)]
mod tests {
    use super::*;
    use cofre_sdk::testing::{FakeHost, Native, Options};

    #[test]
    fn it_conforms() {
        let directory = tempfile::tempdir().expect("a directory");
        let host = FakeHost::new().settings(serde_json::json!({ "folder": "copies" })).directory(directory.path());
        Native::<Store>::new(host).assert_conforms(&Options::default());
    }

    #[test]
    fn a_folder_that_leads_elsewhere_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        for folder in ["", "..", "a/../../b", "/etc"] {
            let opened = FakeHost::new().directory(directory.path()).run(|| Store::open(Settings { folder: folder.to_owned() }));
            assert!(opened.is_err(), "{folder:?}");
        }
    }
}
