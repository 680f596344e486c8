//! Tests of a plug-in without wasm: a host for the thread at hand, and the conformance suite on the plug-in's own types.
//!
//! ```
//! # use cofre_sdk::{Body, Destination, Error, Limits, Object, Page, Range, Result, Sink, Upload};
//! # #[derive(serde::Deserialize, schemars::JsonSchema)]
//! # struct Settings {}
//! # struct Nowhere;
//! # struct Nothing;
//! # impl Destination for Nowhere {
//! #     type Settings = Settings;
//! #     type Upload = Nothing;
//! #     const NAME: &'static str = "nowhere";
//! #     const VERSION: &'static str = "1.0.0";
//! #     const SUMMARY: &'static str = "Keeps nothing.";
//! #     fn open(_: Settings) -> Result<Self> { cofre_sdk::secret("password").map(|_| Self) }
//! #     fn probe(&self) -> Result<Limits> { Err(Error::unavailable("there is nothing here")) }
//! #     fn begin(&self, _: &str, _: Option<u64>) -> Result<Nothing> { Ok(Nothing) }
//! #     fn resume(&self, _: &str, _: &str) -> Result<Nothing> { Ok(Nothing) }
//! #     fn read(&self, _: &str, _: Range, _: &mut Sink) -> Result<()> { Ok(()) }
//! #     fn stat(&self, key: &str) -> Result<Object> { Err(Error::not_found(key)) }
//! #     fn list(&self, _: &str, _: Option<&str>) -> Result<Page> { Ok(Page::default()) }
//! #     fn delete(&self, _: &str) -> Result<()> { Ok(()) }
//! # }
//! # impl Upload for Nothing {
//! #     fn token(&self) -> String { String::new() }
//! #     fn offset(&self) -> u64 { 0 }
//! #     fn write(&mut self, _: &mut Body) -> Result<u64> { Ok(0) }
//! #     fn finish(&mut self) -> Result<Object> { Err(Error::unsupported("no")) }
//! #     fn abort(&mut self) -> Result<()> { Ok(()) }
//! # }
//! use cofre_sdk::testing::{FakeHost, Native, Options};
//!
//! let host = FakeHost::new().settings(serde_json::json!({})).secret("password", "correct");
//! let report = Native::<Nowhere>::new(host).run(&Options::default());
//! assert_eq!(report.failed(), 1, "its probe fails, so that nothing else was tried");
//! ```
//!
//! [`Options`] says which cases are run and how large they are (in bytes and objects), [`Report`] what came of them: a [`CaseReport`] with
//! an [`Outcome`] each. [`Native::run`] shows them together.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write};
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use cofre_conformance::{Answer, Failure, Kind, Session, Subject, Suite};
pub use cofre_conformance::{CaseReport, Event, Options, Outcome, Report};

use crate::body::{Body, Sink};
use crate::destination::{Destination, Object, Range, Upload};
use crate::error::{Error, ErrorKind, Result};
use crate::host::{Level, Secret};
use crate::http::{Request, Response};
use crate::settings;

/// What a plug-in gets from its host, in a test. Cheap to clone; clones share their log.
///
/// # Examples
///
/// ```
/// use cofre_sdk::testing::FakeHost;
/// use cofre_sdk::{log, secret};
///
/// let host = FakeHost::new().secret("token", "hunter2");
/// let length = host.run(|| {
///     log!(Info, "the token is there");
///     secret("token").map(|token| token.expose().len())
/// })?;
/// assert_eq!((length, host.logged().len()), (7, 1));
/// # Ok::<(), cofre_sdk::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct FakeHost(Arc<Given>);

#[derive(Debug, Clone, Default)]
struct Given {
    settings: serde_json::Value,
    secrets: BTreeMap<String, Secret>,
    roots: Vec<Vec<u8>>,
    directory: Option<PathBuf>,
    network: Option<Network>,
    log: Arc<Mutex<Vec<(Level, String)>>>,
}

type Answering = dyn Fn(&Request, &[u8]) -> Result<Response> + Send + Sync;

/// What stands where the network is in a component.
#[derive(Clone)]
struct Network(Arc<Answering>);

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}

impl FakeHost {
    /// A host that gives empty settings and nothing else.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::testing::FakeHost;
    ///
    /// assert_eq!(FakeHost::new().run(|| cofre_sdk::optional_secret("token")), None);
    /// ```
    pub fn new() -> Self {
        Self(Arc::new(Given { settings: serde_json::json!({}), ..Given::default() }))
    }

    /// The administrator's settings, in place of empty ones; what `open` gets from [`Native`].
    ///
    /// # Examples
    ///
    /// ```
    /// let host = cofre_sdk::testing::FakeHost::new().settings(serde_json::json!({ "folder": "copies" }));
    /// # assert!(host.logged().is_empty());
    /// ```
    #[must_use]
    pub fn settings(self, settings: serde_json::Value) -> Self {
        self.with(|given| given.settings = settings)
    }

    /// A secret by its name; the last one of a name counts.
    ///
    /// # Examples
    ///
    /// ```
    /// let host = cofre_sdk::testing::FakeHost::new().secret("user", "ana").secret("password", "correct");
    /// assert!(host.run(|| cofre_sdk::secret("password")).is_ok());
    /// ```
    #[must_use]
    pub fn secret(self, name: impl Into<String>, secret: impl Into<String>) -> Self {
        self.with(|given| drop(given.secrets.insert(name.into(), Secret::new(secret))))
    }

    /// One more root of trust, as DER.
    ///
    /// # Examples
    ///
    /// ```
    /// # let der = vec![0x30, 0x00];
    /// let host = cofre_sdk::testing::FakeHost::new().trust_root(der);
    /// assert_eq!(host.run(cofre_sdk::trust_roots).len(), 1);
    /// ```
    #[must_use]
    pub fn trust_root(self, der: impl Into<Vec<u8>>) -> Self {
        self.with(|given| given.roots.push(der.into()))
    }

    /// The one directory of the host, which [`crate::files::Dir::granted`] gives.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::{files::Dir, testing::FakeHost};
    ///
    /// let host = FakeHost::new().directory(std::env::temp_dir());
    /// assert!(host.run(Dir::granted).is_ok());
    /// ```
    #[must_use]
    pub fn directory(self, path: impl Into<PathBuf>) -> Self {
        self.with(|given| given.directory = Some(path.into()))
    }

    /// What answers the requests of [`crate::http`], in place of the network: each request with its whole body, however it was sent.
    /// A request that is sent piece by piece ([`Request::open`]) has no stand-in.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::http::{Request, Response};
    /// use cofre_sdk::testing::FakeHost;
    ///
    /// let host = FakeHost::new().network(|request, body| {
    ///     assert_eq!((request.url(), body), ("https://hook.example/a", &b"hello"[..]));
    ///     Ok(Response::from_reader(204, Vec::new(), std::io::empty()))
    /// });
    /// let answer = host.run(|| Request::post("https://hook.example/a").send_bytes(b"hello"))?;
    /// assert!(answer.is_success());
    /// # Ok::<(), cofre_sdk::Error>(())
    /// ```
    #[must_use]
    pub fn network(self, answer: impl Fn(&Request, &[u8]) -> Result<Response> + Send + Sync + 'static) -> Self {
        self.with(|given| given.network = Some(Network(Arc::new(answer))))
    }

    /// Lines that were logged so far, the first one first.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::{Level, log, testing::FakeHost};
    ///
    /// let host = FakeHost::new();
    /// host.run(|| log!(Warn, "the probe stays"));
    /// assert_eq!(host.logged(), [(Level::Warn, "the probe stays".to_owned())]);
    /// ```
    pub fn logged(&self) -> Vec<(Level, String)> {
        self.0.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes this the host of everything that `work` calls on this thread, and returns what it returns. Other threads have none.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::{Error, Result, secret, testing::FakeHost};
    ///
    /// fn login() -> Result<String> {
    ///     Ok(format!("ana:{}", secret("password")?.expose()))
    /// }
    ///
    /// assert_eq!(FakeHost::new().secret("password", "correct").run(login)?, "ana:correct");
    /// assert!(FakeHost::new().run(login).is_err());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        let _guard = Entered(HOST.replace(Some(self.clone())));
        work()
    }

    fn with(mut self, change: impl FnOnce(&mut Given)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

thread_local! {
    static HOST: RefCell<Option<FakeHost>> = const { RefCell::new(None) };
}

/// Puts the host back that was there before, also when a test panics.
struct Entered(Option<FakeHost>);

impl Drop for Entered {
    fn drop(&mut self) {
        HOST.set(self.0.take());
    }
}

fn given<T>(get: impl FnOnce(&Given) -> T) -> Option<T> {
    HOST.with_borrow(|host| host.as_ref().map(|host| get(&host.0)))
}

pub(crate) fn given_settings() -> Option<String> {
    given(|given| given.settings.to_string())
}

pub(crate) fn given_secret(name: &str) -> Option<Secret> {
    given(|given| given.secrets.get(name).cloned()).flatten()
}

pub(crate) fn given_roots() -> Vec<Vec<u8>> {
    given(|given| given.roots.clone()).unwrap_or_default()
}

pub(crate) fn given_directory() -> Option<PathBuf> {
    given(|given| given.directory.clone()).flatten()
}

pub(crate) fn given_answer(request: &Request, body: &[u8]) -> Option<Result<Response>> {
    let network = given(|given| given.network.clone()).flatten()?;
    Some((network.0)(request, body))
}

pub(crate) fn add_to_log(level: Level, message: &str) {
    given(|given| given.log.lock().unwrap_or_else(PoisonError::into_inner).push((level, message.to_owned())));
}

/// A destination run natively, each call with a value of its own, as in the sandbox.
///
/// # Examples
///
/// `Store` is the plug-in's own type; the cases that are not to be waited for are left out:
///
/// ```
/// # use cofre_sdk::{Body, Destination, Error, Limits, Object, Page, Range, Result, Sink, Upload};
/// # #[derive(serde::Deserialize, schemars::JsonSchema)]
/// # struct Settings { folder: String }
/// # struct Store;
/// # struct Transfer;
/// # impl Destination for Store {
/// #     type Settings = Settings;
/// #     type Upload = Transfer;
/// #     const NAME: &'static str = "store";
/// #     const VERSION: &'static str = "1.0.0";
/// #     const SUMMARY: &'static str = "Keeps nothing.";
/// #     fn open(it: Settings) -> Result<Self> { if it.folder.is_empty() { Err(Error::invalid_config("/folder")) } else { Ok(Self) } }
/// #     fn probe(&self) -> Result<Limits> {
/// #         Ok(Limits { part_size: None, max_object_size: None, parallel_uploads: 1, free_bytes: None })
/// #     }
/// #     fn begin(&self, _: &str, _: Option<u64>) -> Result<Transfer> { Ok(Transfer) }
/// #     fn resume(&self, _: &str, _: &str) -> Result<Transfer> { Ok(Transfer) }
/// #     fn read(&self, _: &str, _: Range, _: &mut Sink) -> Result<()> { Ok(()) }
/// #     fn stat(&self, key: &str) -> Result<Object> { Err(Error::not_found(key)) }
/// #     fn list(&self, _: &str, _: Option<&str>) -> Result<Page> { Ok(Page::default()) }
/// #     fn delete(&self, _: &str) -> Result<()> { Ok(()) }
/// # }
/// # impl Upload for Transfer {
/// #     fn token(&self) -> String { String::new() }
/// #     fn offset(&self) -> u64 { 0 }
/// #     fn write(&mut self, _: &mut Body) -> Result<u64> { Ok(0) }
/// #     fn finish(&mut self) -> Result<Object> { Err(Error::unsupported("no")) }
/// #     fn abort(&mut self) -> Result<()> { Ok(()) }
/// # }
/// use cofre_sdk::testing::{FakeHost, Native, Options};
///
/// let host = FakeHost::new().settings(serde_json::json!({ "folder": "copies" }));
/// let store = Native::<Store>::new(host);
/// store.assert_conforms(&Options { only: vec!["probe/limits".to_owned()], ..Options::default() });
/// ```
#[derive(Debug)]
pub struct Native<D> {
    host: FakeHost,
    of: PhantomData<fn() -> D>,
}

impl<D: Destination> Native<D> {
    /// The destination with what `host` gives it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::{Body, Destination, Error, Limits, Object, Page, Range, Result, Sink, Upload};
    /// # #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// # struct Settings { folder: String }
    /// # struct Store;
    /// # struct Transfer;
    /// # impl Destination for Store {
    /// #     type Settings = Settings;
    /// #     type Upload = Transfer;
    /// #     const NAME: &'static str = "store";
    /// #     const VERSION: &'static str = "1.0.0";
    /// #     const SUMMARY: &'static str = "Keeps nothing.";
    /// #     fn open(it: Settings) -> Result<Self> { if it.folder.is_empty() { Err(Error::invalid_config("/folder")) } else { Ok(Self) } }
    /// #     fn probe(&self) -> Result<Limits> {
    /// #         Ok(Limits { part_size: None, max_object_size: None, parallel_uploads: 1, free_bytes: None })
    /// #     }
    /// #     fn begin(&self, _: &str, _: Option<u64>) -> Result<Transfer> { Ok(Transfer) }
    /// #     fn resume(&self, _: &str, _: &str) -> Result<Transfer> { Ok(Transfer) }
    /// #     fn read(&self, _: &str, _: Range, _: &mut Sink) -> Result<()> { Ok(()) }
    /// #     fn stat(&self, key: &str) -> Result<Object> { Err(Error::not_found(key)) }
    /// #     fn list(&self, _: &str, _: Option<&str>) -> Result<Page> { Ok(Page::default()) }
    /// #     fn delete(&self, _: &str) -> Result<()> { Ok(()) }
    /// # }
    /// # impl Upload for Transfer {
    /// #     fn token(&self) -> String { String::new() }
    /// #     fn offset(&self) -> u64 { 0 }
    /// #     fn write(&mut self, _: &mut Body) -> Result<u64> { Ok(0) }
    /// #     fn finish(&mut self) -> Result<Object> { Err(Error::unsupported("no")) }
    /// #     fn abort(&mut self) -> Result<()> { Ok(()) }
    /// # }
    /// # use cofre_sdk::testing::{FakeHost, Native};
    /// let host = FakeHost::new().settings(serde_json::json!({ "folder": "copies" })).secret("token", "correct");
    /// let store = Native::<Store>::new(host);
    /// # let _ = store;
    /// ```
    pub fn new(host: FakeHost) -> Self {
        Self { host, of: PhantomData }
    }

    /// Takes it through the conformance suite, and returns what came of each case.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::{Body, Destination, Error, Limits, Object, Page, Range, Result, Sink, Upload};
    /// # #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// # struct Settings { folder: String }
    /// # struct Store;
    /// # struct Transfer;
    /// # impl Destination for Store {
    /// #     type Settings = Settings;
    /// #     type Upload = Transfer;
    /// #     const NAME: &'static str = "store";
    /// #     const VERSION: &'static str = "1.0.0";
    /// #     const SUMMARY: &'static str = "Keeps nothing.";
    /// #     fn open(it: Settings) -> Result<Self> { if it.folder.is_empty() { Err(Error::invalid_config("/folder")) } else { Ok(Self) } }
    /// #     fn probe(&self) -> Result<Limits> {
    /// #         Ok(Limits { part_size: None, max_object_size: None, parallel_uploads: 1, free_bytes: None })
    /// #     }
    /// #     fn begin(&self, _: &str, _: Option<u64>) -> Result<Transfer> { Ok(Transfer) }
    /// #     fn resume(&self, _: &str, _: &str) -> Result<Transfer> { Ok(Transfer) }
    /// #     fn read(&self, _: &str, _: Range, _: &mut Sink) -> Result<()> { Ok(()) }
    /// #     fn stat(&self, key: &str) -> Result<Object> { Err(Error::not_found(key)) }
    /// #     fn list(&self, _: &str, _: Option<&str>) -> Result<Page> { Ok(Page::default()) }
    /// #     fn delete(&self, _: &str) -> Result<()> { Ok(()) }
    /// # }
    /// # impl Upload for Transfer {
    /// #     fn token(&self) -> String { String::new() }
    /// #     fn offset(&self) -> u64 { 0 }
    /// #     fn write(&mut self, _: &mut Body) -> Result<u64> { Ok(0) }
    /// #     fn finish(&mut self) -> Result<Object> { Err(Error::unsupported("no")) }
    /// #     fn abort(&mut self) -> Result<()> { Ok(()) }
    /// # }
    /// use cofre_sdk::testing::{FakeHost, Native, Options, Outcome};
    ///
    /// # let host = FakeHost::new().settings(serde_json::json!({ "folder": "copies" }));
    /// # let options = Options { only: vec!["probe/limits".to_owned()], ..Options::default() };
    /// let report = Native::<Store>::new(host).run(&options);
    /// for case in &report.cases {
    ///     println!("{}: {} in {} ms", case.name, case.outcome.name(), case.took.as_millis());
    /// }
    /// let failed = report.cases.iter().filter(|case| matches!(case.outcome, Outcome::Failed(_)));
    /// assert_eq!(failed.count(), report.failed());
    /// # assert_eq!((report.passed(), report.failed()), (1, 0));
    /// ```
    pub fn run(&self, options: &Options) -> Report {
        Suite { subject: self, refusals: Vec::new(), options: options.clone() }.run(&mut |_| {})
    }

    /// The same, for a test that is to fail with the reasons.
    ///
    /// # Panics
    /// When a case fails.
    ///
    /// # Examples
    ///
    /// In the plug-in's tests, with a shorter run than the suite's own:
    ///
    /// ```
    /// # use cofre_sdk::{Body, Destination, Error, Limits, Object, Page, Range, Result, Sink, Upload};
    /// # #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// # struct Settings { folder: String }
    /// # struct Store;
    /// # struct Transfer;
    /// # impl Destination for Store {
    /// #     type Settings = Settings;
    /// #     type Upload = Transfer;
    /// #     const NAME: &'static str = "store";
    /// #     const VERSION: &'static str = "1.0.0";
    /// #     const SUMMARY: &'static str = "Keeps nothing.";
    /// #     fn open(it: Settings) -> Result<Self> { if it.folder.is_empty() { Err(Error::invalid_config("/folder")) } else { Ok(Self) } }
    /// #     fn probe(&self) -> Result<Limits> {
    /// #         Ok(Limits { part_size: None, max_object_size: None, parallel_uploads: 1, free_bytes: None })
    /// #     }
    /// #     fn begin(&self, _: &str, _: Option<u64>) -> Result<Transfer> { Ok(Transfer) }
    /// #     fn resume(&self, _: &str, _: &str) -> Result<Transfer> { Ok(Transfer) }
    /// #     fn read(&self, _: &str, _: Range, _: &mut Sink) -> Result<()> { Ok(()) }
    /// #     fn stat(&self, key: &str) -> Result<Object> { Err(Error::not_found(key)) }
    /// #     fn list(&self, _: &str, _: Option<&str>) -> Result<Page> { Ok(Page::default()) }
    /// #     fn delete(&self, _: &str) -> Result<()> { Ok(()) }
    /// # }
    /// # impl Upload for Transfer {
    /// #     fn token(&self) -> String { String::new() }
    /// #     fn offset(&self) -> u64 { 0 }
    /// #     fn write(&mut self, _: &mut Body) -> Result<u64> { Ok(0) }
    /// #     fn finish(&mut self) -> Result<Object> { Err(Error::unsupported("no")) }
    /// #     fn abort(&mut self) -> Result<()> { Ok(()) }
    /// # }
    /// use cofre_sdk::testing::{FakeHost, Native, Options};
    ///
    /// // #[test]
    /// fn it_conforms() {
    ///     let host = FakeHost::new().settings(serde_json::json!({ "folder": "copies" }));
    ///     let options = Options { large: 8 << 20, objects: 50, ..Options::default() }; // Bytes and objects.
    /// #     let options = Options { only: vec!["probe/limits".to_owned()], ..options };
    ///     Native::<Store>::new(host).assert_conforms(&options);
    /// }
    /// # it_conforms();
    /// ```
    pub fn assert_conforms(&self, options: &Options) {
        let report = self.run(options);
        let failed = report.cases.iter().filter(|case| matches!(case.outcome, Outcome::Failed(_)));
        let lines: Vec<String> = failed.map(|case| format!("{}: {}", case.name, case.outcome.detail().unwrap_or_default())).collect();
        assert!(lines.is_empty(), "{} does not conform:\n{}", D::NAME, lines.join("\n"));
    }

    fn call<T>(&self, work: impl FnOnce(&D) -> Result<T>) -> Answer<T> {
        self.host.run(|| open::<D>().and_then(|destination| work(&destination))).map_err(|error| failure(&error))
    }

    fn session(&self, upload: D::Upload) -> Box<dyn Session + '_> {
        Box::new(NativeSession { host: &self.host, upload })
    }
}

fn open<D: Destination>() -> Result<D> {
    D::open(settings::parse(&crate::host::settings())?)
}

impl<D: Destination> Subject for Native<D> {
    fn probe(&self) -> Answer<cofre_conformance::Limits> {
        let limits = self.call(D::probe)?;
        Ok(cofre_conformance::Limits {
            part_size: limits.part_size,
            max_object_size: limits.max_object_size,
            parallel_uploads: limits.parallel_uploads,
            free_bytes: limits.free_bytes,
        })
    }

    fn begin(&self, key: &str, size: Option<u64>) -> Answer<Box<dyn Session + '_>> {
        self.call(|destination| destination.begin(key, size)).map(|upload| self.session(upload))
    }

    fn resume(&self, key: &str, token: &str) -> Answer<Box<dyn Session + '_>> {
        self.call(|destination| destination.resume(key, token)).map(|upload| self.session(upload))
    }

    fn read(&self, key: &str, offset: u64, length: Option<u64>, sink: Box<dyn Write + Send>) -> Answer<u64> {
        self.call(|destination| {
            let mut sink = Sink::from_writer(sink);
            destination.read(key, Range { offset, length }, &mut sink)?;
            Ok(sink.written())
        })
    }

    fn stat(&self, key: &str) -> Answer<cofre_conformance::Object> {
        self.call(|destination| destination.stat(key)).map(object)
    }

    fn list(&self, prefix: &str, cursor: Option<&str>) -> Answer<cofre_conformance::Page> {
        let page = self.call(|destination| destination.list(prefix, cursor))?;
        Ok(cofre_conformance::Page { objects: page.objects.into_iter().map(object).collect(), cursor: page.cursor })
    }

    fn delete(&self, key: &str) -> Answer<()> {
        self.call(|destination| destination.delete(key))
    }
}

struct NativeSession<'a, U> {
    host: &'a FakeHost,
    upload: U,
}

impl<U: Upload> Session for NativeSession<'_, U> {
    fn token(&mut self) -> Answer<String> {
        Ok(self.host.run(|| self.upload.token()))
    }

    fn offset(&mut self) -> Answer<u64> {
        Ok(self.host.run(|| self.upload.offset()))
    }

    fn write(&mut self, body: Box<dyn Read + Send>, length: u64) -> Answer<u64> {
        let mut body = Body::from_reader(body, length);
        let offset = self.host.run(|| self.upload.write(&mut body)).map_err(|error| failure(&error))?;
        match body.remaining() {
            0 => Ok(offset),
            rest => Err(Failure::new(Kind::Plugin, format!("the plug-in left {rest} of {length} bytes unread"))),
        }
    }

    fn finish(&mut self) -> Answer<cofre_conformance::Object> {
        self.host.run(|| self.upload.finish()).map(object).map_err(|error| failure(&error))
    }

    fn abort(&mut self) -> Answer<()> {
        self.host.run(|| self.upload.abort()).map_err(|error| failure(&error))
    }
}

fn object(object: Object) -> cofre_conformance::Object {
    cofre_conformance::Object { key: object.key, size: object.size, checksum: object.checksum }
}

fn failure(error: &Error) -> Failure {
    let kind = match error.kind() {
        ErrorKind::InvalidConfig => Kind::InvalidConfig,
        ErrorKind::AccessDenied => Kind::AccessDenied,
        ErrorKind::NotFound => Kind::NotFound,
        ErrorKind::AlreadyExists => Kind::AlreadyExists,
        ErrorKind::OutOfSpace => Kind::OutOfSpace,
        ErrorKind::RateLimited => Kind::RateLimited,
        ErrorKind::Unavailable => Kind::Unavailable,
        ErrorKind::Timeout => Kind::Timeout,
        ErrorKind::Integrity => Kind::Integrity,
        ErrorKind::SessionLost => Kind::SessionLost,
        ErrorKind::Unsupported => Kind::Unsupported,
        ErrorKind::Other => Kind::Other,
    };
    Failure { kind, retryable: error.is_retryable(), retry_after: error.wait(), message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_there_for_its_work_and_on_its_thread_alone() {
        let host = FakeHost::new().settings(serde_json::json!({"a": 1})).secret("key", "hunter2").trust_root([7]).directory("/x");
        assert_eq!(crate::optional_secret("key"), None);
        host.run(|| {
            assert_eq!(crate::secret("key").expect("given").expose(), "hunter2");
            assert_eq!(crate::secret("other").expect_err("not given").kind(), ErrorKind::InvalidConfig);
            assert_eq!((crate::trust_roots(), crate::host::settings()), (vec![vec![7]], r#"{"a":1}"#.to_owned()));
            FakeHost::new().run(|| assert_eq!(crate::optional_secret("key"), None));
            std::thread::spawn(|| assert_eq!(crate::optional_secret("key"), None)).join().expect("no panic");
            crate::log!(Warn, "{} of {}", 1, 2);
        });
        assert_eq!(crate::trust_roots(), Vec::<Vec<u8>>::new());
        assert_eq!(host.logged(), [(Level::Warn, "1 of 2".to_owned())]);
        assert!(!format!("{host:?}").contains("hunter2"));
    }
}
