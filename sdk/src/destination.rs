//! A place for objects: the two traits a plug-in implements, and the adapter between them and the contract.

use std::cell::RefCell;
use std::io::Write as _;
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::bindings::describing::exports::cofre::plugin::plugin;
use crate::bindings::imports::cofre::plugin::types as wire_types;
use crate::bindings::imports::wasi::io::streams::{InputStream, OutputStream};
use crate::bindings::storing::exports::cofre::plugin::destination as wire;
use crate::body::{Body, Sink};
use crate::error::{Context as _, Error, Result};
use crate::plugin::{Description, NetworkNeed, SecretNeed};
use crate::{host, settings};

/// A place for objects. One value lives for one call or one upload session; nothing survives in memory.
///
/// The crate's own example is a whole destination; the methods here show how each is written.
///
/// # Examples
///
/// What the host does with one:
///
/// ```
/// use cofre_sdk::{Body, Destination, Object, Result, Upload as _};
///
/// fn copy<D: Destination>(settings: D::Settings, key: &str, body: &mut Body) -> Result<Object> {
///     let destination = D::open(settings)?;
///     let mut upload = destination.begin(key, Some(body.length()))?;
///     upload.write(body)?; // As often as there are parts.
///     upload.finish()
/// }
/// ```
///
/// What it says of itself, before anything is granted to it:
///
/// ```
/// # use cofre_sdk::{Body, Destination, Error, Limits, NetworkNeed, Object, Page, Range, Result, SecretNeed, Sink, Upload};
/// # #[derive(serde::Deserialize, schemars::JsonSchema)]
/// # struct Settings {}
/// # struct Nas;
/// # struct Transfer;
/// impl Destination for Nas {
///     const NAME: &'static str = "my-nas";
///     const VERSION: &'static str = env!("CARGO_PKG_VERSION");
///     const SUMMARY: &'static str = "Keeps objects as files on a NAS.";
///     const DIRECTORY: bool = true; // `false` where it is left out.
///     type Settings = Settings;
///     type Upload = Transfer;
///     // And the verbs.
/// #     fn open(_: Settings) -> Result<Self> { Ok(Self) }
/// #     fn probe(&self) -> Result<Limits> { Err(Error::unavailable("there is nothing here")) }
/// #     fn begin(&self, _: &str, _: Option<u64>) -> Result<Transfer> { Ok(Transfer) }
/// #     fn resume(&self, _: &str, _: &str) -> Result<Transfer> { Ok(Transfer) }
/// #     fn read(&self, _: &str, _: Range, _: &mut Sink) -> Result<()> { Ok(()) }
/// #     fn stat(&self, key: &str) -> Result<Object> { Err(Error::not_found(key)) }
/// #     fn list(&self, _: &str, _: Option<&str>) -> Result<Page> { Ok(Page::default()) }
/// #     fn delete(&self, _: &str) -> Result<()> { Ok(()) }
/// }
/// # impl Upload for Transfer {
/// #     fn token(&self) -> String { String::new() }
/// #     fn offset(&self) -> u64 { 0 }
/// #     fn write(&mut self, _: &mut Body) -> Result<u64> { Ok(0) }
/// #     fn finish(&mut self) -> Result<Object> { Err(Error::unsupported("no")) }
/// #     fn abort(&mut self) -> Result<()> { Ok(()) }
/// # }
/// # assert!(Nas::DIRECTORY && Nas::network().is_empty() && Nas::secrets().is_empty());
/// # assert_eq!(Nas.share("a", 1).expect_err("a NAS has no addresses").kind(), cofre_sdk::ErrorKind::Unsupported);
/// ```
pub trait Destination: Sized + 'static {
    /// The administrator's settings; put `#[serde(deny_unknown_fields)]` on the struct.
    ///
    /// # Examples
    ///
    /// ```
    /// /// Doc comments become the documentation of the settings.
    /// #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// #[serde(deny_unknown_fields)]
    /// pub struct Settings {
    ///     /// Folder on the server; empty for the one of the user.
    ///     #[serde(default)]
    ///     folder: String,
    /// }
    /// ```
    type Settings: DeserializeOwned + JsonSchema;
    /// An upload session. It holds all that its verbs need; the destination that made it is gone by then.
    ///
    /// # Examples
    ///
    /// ```
    /// /// Made by `begin` and `resume`; implements `Upload`.
    /// pub struct Transfer {
    ///     key: String,
    ///     /// The service's own name of the session, which the token carries.
    ///     session: String,
    ///     /// Bytes that are durable.
    ///     offset: u64,
    /// }
    /// ```
    type Upload: Upload;

    /// Short name, `[a-z][a-z0-9-]*`.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct It;
    /// # impl It {
    /// const NAME: &'static str = "my-nas";
    /// # }
    /// # assert_eq!(It::NAME, "my-nas");
    /// ```
    const NAME: &'static str;
    /// Version, semver: that of the plug-in's own crate.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct It;
    /// # impl It {
    /// const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    /// # }
    /// # assert!(It::VERSION.contains('.'));
    /// ```
    const VERSION: &'static str;
    /// What it is, in one sentence.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct It;
    /// # impl It {
    /// const SUMMARY: &'static str = "Keeps objects as files on a NAS.";
    /// # }
    /// # assert!(It::SUMMARY.ends_with('.'));
    /// ```
    const SUMMARY: &'static str;
    /// Whether it needs one directory of the host, reached through [`crate::files::Dir::granted`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::{Result, files::Dir};
    /// # struct Store { dir: Dir }
    /// # struct Settings;
    /// # impl Store {
    /// const DIRECTORY: bool = true;
    ///
    /// fn open(_: Settings) -> Result<Self> {
    ///     Ok(Self { dir: Dir::granted()? })
    /// }
    /// # }
    /// # assert!(Store::DIRECTORY && Store::open(Settings).is_err());
    /// ```
    const DIRECTORY: bool = false;

    /// Network targets it needs; none by default.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::NetworkNeed;
    /// fn network() -> Vec<NetworkNeed> {
    ///     vec![NetworkNeed::new("{endpoint}", "objects are stored there")]
    /// }
    /// # assert_eq!(network().len(), 1);
    /// ```
    fn network() -> Vec<NetworkNeed> {
        Vec::new()
    }

    /// Secrets it asks for; none by default.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::SecretNeed;
    /// fn secrets() -> Vec<SecretNeed> {
    ///     vec![SecretNeed::required("token", "token of the service, with the right to write")]
    /// }
    /// # assert_eq!(secrets().len(), 1);
    /// ```
    fn secrets() -> Vec<SecretNeed> {
        Vec::new()
    }

    /// Checks the settings and gets ready, without reaching outside.
    ///
    /// # Errors
    /// `invalid-config` that names the setting at fault and what would do; what [`crate::secret`] and [`crate::files::Dir::granted`] fail
    /// with.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::{Error, Result, files::Dir};
    /// # struct Settings { folder: String }
    /// # struct Store { dir: Dir, settings: Settings }
    /// # impl Store {
    /// fn open(settings: Settings) -> Result<Self> {
    ///     if settings.folder.split('/').any(|part| matches!(part, "" | "." | "..")) {
    ///         return Err(Error::invalid_config("/folder is no path inside the granted directory; write a name such as `copies`"));
    ///     }
    ///     Ok(Self { dir: Dir::granted()?, settings })
    /// }
    /// # }
    /// # assert!(Store::open(Settings { folder: "..".to_owned() }).is_err());
    /// ```
    fn open(settings: Self::Settings) -> Result<Self>;

    /// Proves that settings, credentials and permissions work, by writing, reading and removing a small object
    /// (left in place where deleting is not permitted).
    ///
    /// # Errors
    /// Of the kind that says what is wrong: `invalid-config`, `access-denied`, `out-of-space`, `unavailable`; `other` tells the host
    /// nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::{Body, Destination, Error, ErrorKind, Limits, Result, Upload as _, log};
    ///
    /// fn probe(store: &impl Destination) -> Result<Limits> {
    ///     let (key, content) = ("cofre-probe", &b"cofre was here\n"[..]);
    ///     let length = content.len() as u64;
    ///     let mut upload = store.begin(key, Some(length))?;
    ///     upload.write(&mut Body::from_reader(content, length))?;
    ///     let stored = upload.finish()?.size;
    ///     match store.delete(key) {
    ///         Err(error) if error.kind() == ErrorKind::AccessDenied => log!(Warn, "the probe {key} stays: {error}"),
    ///         deleted => deleted?,
    ///     }
    ///     if stored != length {
    ///         return Err(Error::integrity(format!("a probe of {length} bytes was stored as {stored}")));
    ///     }
    ///     Ok(Limits { part_size: None, max_object_size: None, parallel_uploads: 4, free_bytes: None })
    /// }
    /// ```
    fn probe(&self) -> Result<Limits>;

    /// Opens an upload session. No object appears under `key` before [`Upload::finish`].
    /// `size` is in bytes, and `None` where the host does not know it yet.
    ///
    /// # Errors
    /// `invalid-config` or `unsupported` for a key that the service cannot have; `out-of-space` where `size` does not fit.
    ///
    /// # Examples
    ///
    /// Bytes go to a name that no listing shows:
    ///
    /// ```
    /// # use cofre_sdk::{Context as _, Result, files::{Dir, File}};
    /// # struct Transfer { file: File, offset: u64 }
    /// # struct Store { dir: Dir }
    /// # impl Store {
    /// fn begin(&self, key: &str, _size: Option<u64>) -> Result<Transfer> {
    ///     let beginning = || format!("cannot begin {key}");
    ///     let partial = format!("unfinished/{key}");
    ///     self.dir.create_dirs(partial.rsplit_once('/').map_or("", |(folder, _)| folder)).with_context(beginning)?;
    ///     let mut file = self.dir.create(&partial).with_context(beginning)?;
    ///     file.set_size(0).with_context(beginning)?; // Of a session that was given up.
    ///     Ok(Transfer { file, offset: 0 })
    /// }
    /// # }
    /// # let path = std::env::temp_dir().join(format!("cofre-doc-begin-{}", std::process::id()));
    /// # std::fs::create_dir(&path)?;
    /// # let store = Store { dir: Dir::at(&path) };
    /// # assert_eq!(store.begin("set/db.tar", None)?.offset, 0);
    /// # assert!(path.join("unfinished/set/db.tar").is_file());
    /// # std::fs::remove_dir_all(path)?;
    /// # Ok::<(), cofre_sdk::Error>(())
    /// ```
    fn begin(&self, key: &str, size: Option<u64>) -> Result<Self::Upload>;

    /// Opens an earlier session from its token alone, in another instance and perhaps after a restart of the machine.
    ///
    /// # Errors
    /// `session-lost` where the service does not know it any more; the host then begins a new one.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::io;
    /// # use cofre_sdk::{Context as _, Error, Result, files::{Dir, File}};
    /// # struct Transfer { file: File, offset: u64 }
    /// # struct Store { dir: Dir }
    /// # impl Store {
    /// fn resume(&self, key: &str, token: &str) -> Result<Transfer> {
    ///     let lost = |why: &str| Error::session_lost(format!("cannot resume {key}: {why}"));
    ///     let offset = token.parse().map_err(|_| lost("its token is not one of this plug-in"))?;
    ///     let file = match self.dir.open_to_write(&format!("unfinished/{key}")) {
    ///         Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(lost("nothing is left of it")),
    ///         opened => opened.with_context(|| format!("cannot resume {key}"))?,
    ///     };
    ///     if file.metadata()?.size < offset {
    ///         return Err(lost("less is left of it than was stored"));
    ///     }
    ///     Ok(Transfer { file, offset })
    /// }
    /// # }
    /// # let path = std::env::temp_dir().join(format!("cofre-doc-resume-{}", std::process::id()));
    /// # std::fs::create_dir_all(path.join("unfinished"))?;
    /// # std::fs::write(path.join("unfinished/a"), "12345")?;
    /// # let store = Store { dir: Dir::at(&path) };
    /// # assert_eq!(store.resume("a", "5")?.offset, 5);
    /// # for (key, token) in [("a", "6"), ("a", "x"), ("b", "0")] {
    /// #     assert_eq!(store.resume(key, token).err().map(|e| e.kind()), Some(cofre_sdk::ErrorKind::SessionLost));
    /// # }
    /// # std::fs::remove_dir_all(path)?;
    /// # Ok::<(), Error>(())
    /// ```
    fn resume(&self, key: &str, token: &str) -> Result<Self::Upload>;

    /// Writes `range` of the object, in bytes, into `sink`.
    ///
    /// # Errors
    /// `not-found` where there is no object; `invalid-config` where the range goes beyond it ([`Range::length_in`] says so); `integrity`
    /// where fewer bytes came than there are.
    ///
    /// # Examples
    ///
    /// From a file; over HTTP, [`crate::http::read_range`] does the same:
    ///
    /// ```
    /// # use cofre_sdk::{Context as _, Range, Result, Sink, files::Dir};
    /// # struct Store { dir: Dir }
    /// # impl Store {
    /// fn read(&self, key: &str, range: Range, sink: &mut Sink) -> Result<()> {
    ///     let reading = || format!("cannot read {key}");
    ///     let length = range.length_in(self.dir.metadata(key).with_context(reading)?.size).with_context(reading)?;
    ///     let mut file = self.dir.open(key).with_context(reading)?;
    ///     file.read_into(range.offset, length, sink).with_context(reading)
    /// }
    /// # }
    /// # let path = std::env::temp_dir().join(format!("cofre-doc-read-{}", std::process::id()));
    /// # std::fs::create_dir(&path)?;
    /// # std::fs::write(path.join("a"), "12345")?;
    /// # let mut sink = Sink::from_writer(std::io::sink());
    /// # let store = Store { dir: Dir::at(&path) };
    /// # store.read("a", Range { offset: 2, length: None }, &mut sink)?;
    /// # assert_eq!(sink.written(), 3);
    /// # assert!(store.read("a", Range { offset: 2, length: Some(4) }, &mut sink).is_err());
    /// # std::fs::remove_dir_all(path)?;
    /// # Ok::<(), cofre_sdk::Error>(())
    /// ```
    fn read(&self, key: &str, range: Range, sink: &mut Sink) -> Result<()>;

    /// Describes one object.
    ///
    /// # Errors
    /// `not-found` where there is none; a folder is none.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::{Context as _, Error, Object, Result, files::{Dir, Kind}};
    /// # struct Store { dir: Dir }
    /// # impl Store {
    /// fn stat(&self, key: &str) -> Result<Object> {
    ///     let found = self.dir.metadata(key).with_context(|| format!("cannot look at {key}"))?;
    ///     if found.kind != Kind::File {
    ///         return Err(Error::not_found(format!("{key} is no object")));
    ///     }
    ///     Ok(Object { key: key.to_owned(), size: found.size, modified_unix_ms: found.modified_unix_ms, checksum: None })
    /// }
    /// # }
    /// # let store = Store { dir: Dir::at(std::env::temp_dir()) };
    /// # assert_eq!(store.stat(".").expect_err("a folder").kind(), cofre_sdk::ErrorKind::NotFound);
    /// ```
    fn stat(&self, key: &str) -> Result<Object>;

    /// One page of the objects whose key starts with `prefix`, and the cursor of the next; `cursor` is the one that the page before gave,
    /// `None` for the first. A prefix may end inside a name, and one that nothing has is an empty page.
    ///
    /// # Errors
    /// What the service fails with. A page that was cut is an error, never a shorter listing.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::collections::BTreeMap;
    ///
    /// use cofre_sdk::{Object, Page};
    ///
    /// /// Keys and sizes, in pages of two; the cursor is the last key of the page before.
    /// fn list(stored: &BTreeMap<&str, u64>, prefix: &str, cursor: Option<&str>) -> Page {
    ///     let mut found = stored.iter().filter(|(key, _)| key.starts_with(prefix) && cursor.is_none_or(|last| **key > last));
    ///     let object = |(key, size): (&&str, &u64)| Object { key: key.to_string(), size: *size, modified_unix_ms: None, checksum: None };
    ///     let objects: Vec<Object> = found.by_ref().take(2).map(object).collect();
    ///     let cursor = found.next().and(objects.last()).map(|last| last.key.clone());
    ///     Page { objects, cursor }
    /// }
    ///
    /// let stored = BTreeMap::from([("a/1", 10), ("a/2", 20), ("a/3", 30), ("b", 40)]);
    /// let first = list(&stored, "a/", None);
    /// assert_eq!(first.cursor.as_deref(), Some("a/2"));
    /// assert_eq!(list(&stored, "a/", first.cursor.as_deref()).cursor, None);
    /// ```
    fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Page>;

    /// Removes one object; no object is success. A protected one stays, also where the service would only hide it.
    ///
    /// # Errors
    /// `access-denied` where the object is protected or the credentials may not delete.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::io;
    /// # use cofre_sdk::{Context as _, Result, files::Dir};
    /// # struct Store { dir: Dir }
    /// # impl Store {
    /// fn delete(&self, key: &str) -> Result<()> {
    ///     match self.dir.remove_file(key) {
    ///         Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
    ///         removed => removed.with_context(|| format!("cannot remove {key}")),
    ///     }
    /// }
    /// # }
    /// # let store = Store { dir: Dir::at(std::env::temp_dir()) };
    /// # assert!(store.delete("cofre-doc-that-nobody-made").is_ok());
    /// ```
    fn delete(&self, key: &str) -> Result<()>;

    /// Keeps one object from being changed or removed until then (Unix milliseconds), by anybody; never shortens an earlier time.
    ///
    /// # Errors
    /// `unsupported`, unless the service can do so.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::{Error, Result, http::Request};
    /// # struct Store { endpoint: String }
    /// # impl Store {
    /// #     fn protected_until(&self, _key: &str) -> Result<u64> { Ok(0) }
    /// fn protect(&self, key: &str, until_unix_ms: u64) -> Result<()> {
    ///     let until = until_unix_ms.max(self.protected_until(key)?); // Never shorter than before.
    ///     let seconds = until.div_ceil(1_000); // This service counts in seconds; rounded up, for the same reason.
    ///     let answer = Request::put(format!("{}/{key}?retain-until={seconds}", self.endpoint)).send()?;
    ///     if answer.is_success() { Ok(()) } else { Err(Error::from_http(answer.status(), b"")) }
    /// }
    /// # }
    /// ```
    fn protect(&self, key: &str, until_unix_ms: u64) -> Result<()> {
        let _ = until_unix_ms;
        Err(Error::unsupported(format!("{} cannot protect {key}: the service keeps no object from being removed", Self::NAME)))
    }

    /// An address from which anybody who holds it can download the object for `lifetime_seconds`.
    ///
    /// # Errors
    /// `unsupported`, unless the service gives such addresses; an error too where it gives them for less time only, or has no such object.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::{Error, Object, Result};
    /// # struct Store;
    /// # impl Store {
    /// #     fn stat(&self, key: &str) -> Result<Object> { Err(Error::not_found(key)) }
    /// #     fn signed(&self, key: &str, seconds: u32) -> Result<String> { Ok(format!("https://objects.example/{key}?expires={seconds}")) }
    /// fn share(&self, key: &str, lifetime_seconds: u32) -> Result<String> {
    ///     const LONGEST: u32 = 7 * 24 * 60 * 60;
    ///     if lifetime_seconds > LONGEST {
    ///         return Err(Error::unsupported(format!("cannot share {key}: an address lives for at most {LONGEST} s (seven days)")));
    ///     }
    ///     self.stat(key)?; // An address of nothing would be found out by whoever it is given to.
    ///     self.signed(key, lifetime_seconds)
    /// }
    /// # }
    /// # assert_eq!(Store.share("a", u32::MAX).expect_err("too long").kind(), cofre_sdk::ErrorKind::Unsupported);
    /// # assert_eq!(Store.share("a", 60).expect_err("nothing").kind(), cofre_sdk::ErrorKind::NotFound);
    /// ```
    fn share(&self, key: &str, lifetime_seconds: u32) -> Result<String> {
        let _ = lifetime_seconds;
        Err(Error::unsupported(format!("{} cannot share {key}: the service gives no addresses to download from", Self::NAME)))
    }
}

/// One upload session. Dropping it must leave it resumable.
///
/// # Examples
///
/// What the host does with one that was interrupted:
///
/// ```
/// use std::io::{Seek as _, SeekFrom};
///
/// use cofre_sdk::{Body, Destination, ErrorKind, Object, Result, Upload as _};
///
/// fn go_on(to: &impl Destination, key: &str, token: &str, mut file: std::fs::File, size: u64) -> Result<Object> {
///     let mut upload = match to.resume(key, token) {
///         Err(error) if error.kind() == ErrorKind::SessionLost => to.begin(key, Some(size))?,
///         resumed => resumed?,
///     };
///     file.seek(SeekFrom::Start(upload.offset()))?;
///     upload.write(&mut Body::from_reader(file, size - upload.offset()))?;
///     upload.finish()
/// }
/// ```
pub trait Upload: 'static {
    /// Names the session for [`Destination::resume`]; at most 64 KiB. It may change with each write, and that of before the last write is
    /// still good.
    ///
    /// # Examples
    ///
    /// All that another instance needs, and no secret:
    ///
    /// ```
    /// # use cofre_sdk::{Error, Result};
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct Token {
    ///     upload_id: String,
    ///     parts: Vec<String>,
    /// }
    ///
    /// # struct Transfer { token: Token }
    /// # impl Transfer {
    /// fn token(&self) -> String {
    ///     serde_json::json!({ "upload_id": self.token.upload_id, "parts": self.token.parts }).to_string()
    /// }
    /// # }
    ///
    /// /// The other direction, for `resume`.
    /// fn read(token: &str) -> Result<Token> {
    ///     serde_json::from_str(token).map_err(|_| Error::session_lost("the token is not one of this plug-in"))
    /// }
    /// # let upload = Transfer { token: Token { upload_id: "1".to_owned(), parts: vec!["a".to_owned()] } };
    /// # assert_eq!(read(&upload.token())?.parts.len(), 1);
    /// # Ok::<(), Error>(())
    /// ```
    fn token(&self) -> String;

    /// Bytes that are durable at the destination, from the object's first one on. After an interruption the host goes on from here, also
    /// where it is less than before.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct Transfer { parts: u64, part_size: u64 }
    /// # impl Transfer {
    /// fn offset(&self) -> u64 {
    ///     self.parts * self.part_size // What was acknowledged; the part under way begins again.
    /// }
    /// # }
    /// # assert_eq!(Transfer { parts: 2, part_size: 5 }.offset(), 10);
    /// ```
    fn offset(&self) -> u64;

    /// Takes the whole body, makes it durable, and returns the new offset in bytes.
    ///
    /// # Errors
    /// `integrity` where the body ends early (reading it says so by itself); `session-lost` where the service has forgotten the session.
    /// What was durable before stays resumable.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::{Body, Context as _, Result, files::{Dir, File}};
    /// # struct Transfer { key: String, file: File, offset: u64 }
    /// # impl Transfer {
    /// fn write(&mut self, body: &mut Body) -> Result<u64> {
    ///     let writing = || format!("cannot write {} at {}", self.key, self.offset);
    ///     let count = self.file.write_body(self.offset, body).with_context(writing)?;
    ///     self.file.sync().with_context(writing)?;
    ///     self.offset += count;
    ///     Ok(self.offset)
    /// }
    /// # }
    /// # let path = std::env::temp_dir().join(format!("cofre-doc-write-{}", std::process::id()));
    /// # std::fs::create_dir(&path)?;
    /// # let mut upload = Transfer { key: "a".to_owned(), file: Dir::at(&path).create("a")?, offset: 0 };
    /// # assert_eq!(upload.write(&mut Body::from_reader(&b"12345"[..], 5))?, 5);
    /// # assert_eq!(upload.write(&mut Body::from_reader(&b"678"[..], 3))?, 8);
    /// # std::fs::remove_dir_all(path)?;
    /// # Ok::<(), cofre_sdk::Error>(())
    /// ```
    fn write(&mut self, body: &mut Body) -> Result<u64>;

    /// The only commit. Returns the object as the service reports it after it, with its size in bytes.
    ///
    /// # Errors
    /// `integrity` where the service has other bytes than were sent; then no object may be under the key.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::{Context as _, Object, Result, files::{Dir, File}};
    /// # struct Transfer { dir: Dir, key: String, file: File }
    /// # impl Transfer {
    /// fn finish(&mut self) -> Result<Object> {
    ///     let finishing = || format!("cannot finish {}", self.key);
    ///     self.file.sync().with_context(finishing)?;
    ///     self.dir.rename(&format!("{}.part", self.key), &self.key).with_context(finishing)?;
    ///     self.dir.sync_dir("").with_context(finishing)?;
    ///     let stored = self.dir.metadata(&self.key).with_context(finishing)?;
    ///     Ok(Object { key: self.key.clone(), size: stored.size, modified_unix_ms: stored.modified_unix_ms, checksum: None })
    /// }
    /// # }
    /// # let path = std::env::temp_dir().join(format!("cofre-doc-finish-{}", std::process::id()));
    /// # std::fs::create_dir(&path)?;
    /// # let dir = Dir::at(&path);
    /// # let mut upload = Transfer { file: dir.create("a.part")?, dir, key: "a".to_owned() };
    /// # assert_eq!((upload.finish()?.size, path.join("a").exists()), (0, true));
    /// # std::fs::remove_dir_all(path)?;
    /// # Ok::<(), cofre_sdk::Error>(())
    /// ```
    fn finish(&mut self) -> Result<Object>;

    /// Forgets the session and what it stored. Idempotent: a session that is gone is success. An object that was under the key before
    /// stays.
    ///
    /// # Errors
    /// What the service fails with; the host tries again.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::{Error, Result, http::Request};
    /// # struct Transfer { session: String }
    /// # impl Transfer {
    /// fn abort(&mut self) -> Result<()> {
    ///     let answer = Request::delete(&self.session).send()?;
    ///     match answer.status() {
    ///         200..=299 | 404 | 410 => Ok(()),
    ///         status => Err(Error::from_http(status, b"")),
    ///     }
    /// }
    /// # }
    /// ```
    fn abort(&mut self) -> Result<()>;
}

/// What the service accepts.
///
/// # Examples
///
/// ```
/// use cofre_sdk::Limits;
///
/// // Parts of 8 MiB, ten thousand of them at most.
/// let part = 8 << 20;
/// let limits = Limits { part_size: Some(part), max_object_size: Some(10_000 * part), parallel_uploads: 4, free_bytes: None };
/// # assert_eq!(limits.max_object_size, Some(83_886_080_000));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one write; every write but the last has exactly this length. `None`: any length.
    pub part_size: Option<u64>,
    /// Largest object in bytes.
    pub max_object_size: Option<u64>,
    /// Uploads that may run at once; at least 1.
    pub parallel_uploads: u32,
    /// Bytes that are free for objects, where the service says.
    pub free_bytes: Option<u64>,
}

/// One stored object as the service reports it.
///
/// # Examples
///
/// ```
/// use cofre_sdk::Object;
///
/// let object = Object {
///     key: "set/db.tar".to_owned(),
///     size: 5,
///     modified_unix_ms: Some(1_767_225_600_000), // 2026-01-01T00:00:00Z
///     checksum: Some("md5:5d41402abc4b2a76b9719d911017c592".to_owned()),
/// };
/// # assert_eq!(object.clone(), object);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Key as it was given to `begin`.
    pub key: String,
    /// Size in bytes.
    pub size: u64,
    /// Last change in Unix milliseconds, where the service knows it.
    pub modified_unix_ms: Option<u64>,
    /// `algorithm:lower-case hex` over the whole object, where the service reports one.
    pub checksum: Option<String>,
}

/// Bytes of an object: `length` of them from `offset` on, or all to its end.
///
/// # Examples
///
/// ```
/// use cofre_sdk::Range;
///
/// let middle = Range { offset: 100, length: Some(50) };
/// let all = Range { offset: 0, length: None };
/// assert_eq!((middle.length_in(1_000)?, all.length_in(1_000)?), (50, 1_000));
/// # Ok::<(), cofre_sdk::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First byte.
    pub offset: u64,
    /// How many; `None` for all that follow.
    pub length: Option<u64>,
}

impl Range {
    /// How many bytes this range has in an object of `size` bytes.
    ///
    /// # Errors
    /// `invalid-config` where it goes beyond the object.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::Range;
    ///
    /// let rest = Range { offset: 900, length: None };
    /// assert_eq!(rest.length_in(1_000)?, 100);
    /// assert!(Range { offset: 900, length: Some(101) }.length_in(1_000).is_err());
    /// # Ok::<(), cofre_sdk::Error>(())
    /// ```
    pub fn length_in(self, size: u64) -> Result<u64> {
        let beyond = || Error::invalid_config(format!("the range {self:?} goes beyond the object's {size} bytes"));
        let available = size.checked_sub(self.offset).ok_or_else(beyond)?;
        match self.length {
            Some(length) if length > available => Err(beyond()),
            Some(length) => Ok(length),
            None => Ok(available),
        }
    }
}

/// One page of a listing.
///
/// # Examples
///
/// ```
/// use cofre_sdk::{Destination, Object, Result};
///
/// /// All pages, as the host reads them.
/// fn all(store: &impl Destination, prefix: &str) -> Result<Vec<Object>> {
///     let (mut objects, mut cursor) = (Vec::new(), None);
///     loop {
///         let page = store.list(prefix, cursor.as_deref())?;
///         objects.extend(page.objects);
///         cursor = page.cursor;
///         if cursor.is_none() {
///             return Ok(objects);
///         }
///     }
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The objects of this page.
    pub objects: Vec<Object>,
    /// Cursor of the next page; `None` on the last.
    pub cursor: Option<String>,
}

/// Makes a component out of a [`Destination`](crate::Destination), by one line in the root of its crate.
/// Outside `wasm32` it is nothing, so that the crate's tests run natively.
///
/// # Examples
///
/// ```
/// /// Implements `Destination`.
/// pub struct Shelf;
///
/// cofre_sdk::export_destination!(Shelf);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! export_destination {
    ($destination:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Component = $crate::__private::DestinationAdapter<$destination>;
    $crate::bindings::describing::export!(Component with_types_in $crate::bindings::describing);
    $crate::bindings::storing::export!(Component with_types_in $crate::bindings::storing);
        };
    };
}

/// Speaks the contract for `D`.
#[doc(hidden)]
#[derive(Debug)]
pub struct DestinationAdapter<D>(PhantomData<D>);

/// One session of a destination; the contract's methods share it, and a component has one thread.
#[doc(hidden)]
pub struct Session<D: Destination>(RefCell<D::Upload>);

impl<D: Destination> DestinationAdapter<D> {
    fn open() -> Result<D> {
        D::open(settings::parse(&host::settings())?)
    }

    fn read_into(key: &str, range: Range, stream: OutputStream) -> Result<u64> {
        let mut sink = Sink::from_stream(stream);
        Self::open()?.read(key, range, &mut sink)?;
        sink.flush().with_context(|| format!("cannot hand over {key}"))?;
        match range.length {
            Some(length) if sink.written() != length => {
                Err(Error::integrity(format!("reading {key} gave {} bytes instead of {length}", sink.written())))
            }
            _ => Ok(sink.written()),
        }
    }
}

impl<D: Destination> plugin::Guest for DestinationAdapter<D> {
    fn describe() -> plugin::Description {
        let description = Description {
            name: D::NAME,
            version: D::VERSION,
            kind: plugin::Kind::Destination,
            summary: D::SUMMARY,
            settings_schema: settings::schema::<D::Settings>(),
            network: D::network(),
            secrets: D::secrets(),
            directory: D::DIRECTORY,
        };
        description.into()
    }
}

impl<D: Destination> wire::Guest for DestinationAdapter<D> {
    type Upload = Session<D>;

    fn probe() -> Result<wire::Limits, wire_types::Error> {
        let limits = Self::open()?.probe()?;
        Ok(wire::Limits {
            part_size: limits.part_size,
            max_object_size: limits.max_object_size,
            parallel_uploads: limits.parallel_uploads,
            free_bytes: limits.free_bytes,
        })
    }

    fn read(key: String, offset: u64, length: Option<u64>, sink: OutputStream) -> Result<u64, wire_types::Error> {
        Ok(Self::read_into(&key, Range { offset, length }, sink)?)
    }

    fn stat(key: String) -> Result<wire_types::Object, wire_types::Error> {
        Ok(Self::open()?.stat(&key)?.into())
    }

    fn list(prefix: String, cursor: Option<String>) -> Result<(Vec<wire_types::Object>, Option<String>), wire_types::Error> {
        let page = Self::open()?.list(&prefix, cursor.as_deref())?;
        Ok((page.objects.into_iter().map(Into::into).collect(), page.cursor))
    }

    fn delete(key: String) -> Result<(), wire_types::Error> {
        Ok(Self::open()?.delete(&key)?)
    }

    fn protect(key: String, until_unix_ms: u64) -> Result<(), wire_types::Error> {
        Ok(Self::open()?.protect(&key, until_unix_ms)?)
    }

    fn share(key: String, lifetime_seconds: u32) -> Result<String, wire_types::Error> {
        Ok(Self::open()?.share(&key, lifetime_seconds)?)
    }
}

impl<D: Destination> wire::GuestUpload for Session<D> {
    fn begin(key: String, size: Option<u64>) -> Result<wire::Upload, wire_types::Error> {
        let upload = DestinationAdapter::<D>::open()?.begin(&key, size)?;
        Ok(wire::Upload::new(Self(RefCell::new(upload))))
    }

    fn resume(key: String, token: String) -> Result<wire::Upload, wire_types::Error> {
        let upload = DestinationAdapter::<D>::open()?.resume(&key, &token)?;
        Ok(wire::Upload::new(Self(RefCell::new(upload))))
    }

    fn token(&self) -> String {
        self.0.borrow().token()
    }

    fn offset(&self) -> u64 {
        self.0.borrow().offset()
    }

    fn write(&self, body: InputStream, length: u64) -> Result<u64, wire_types::Error> {
        let mut body = Body::from_stream(body, length);
        let offset = self.0.borrow_mut().write(&mut body)?;
        match body.remaining() {
            0 => Ok(offset),
            rest => Err(Error::integrity(format!("the plug-in left {rest} of {length} bytes unread")).into()),
        }
    }

    fn finish(&self) -> Result<wire_types::Object, wire_types::Error> {
        Ok(self.0.borrow_mut().finish()?.into())
    }

    fn abort(&self) -> Result<(), wire_types::Error> {
        Ok(self.0.borrow_mut().abort()?)
    }
}

impl From<Object> for wire_types::Object {
    fn from(it: Object) -> Self {
        Self { key: it.key, size: it.size, modified_unix_ms: it.modified_unix_ms, checksum: it.checksum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_range_beyond_the_object_is_refused() {
        assert_eq!(Range { offset: 3, length: None }.length_in(10).expect("inside"), 7);
        assert_eq!(Range { offset: 3, length: Some(7) }.length_in(10).expect("inside"), 7);
        assert_eq!(Range { offset: 10, length: None }.length_in(10).expect("the empty end"), 0);
        for range in [Range { offset: 3, length: Some(8) }, Range { offset: 11, length: None }, Range { offset: u64::MAX, length: Some(1) }]
        {
            assert_eq!(range.length_in(10).expect_err("beyond").kind(), ErrorKind::InvalidConfig);
        }
    }
}
