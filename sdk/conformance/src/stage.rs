//! What one case works with: the subject's verbs under a prefix of the case's own, uploads as the host does them, and tidying up.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::body::{Body, Pattern};
use crate::report::Outcome;
use crate::subject::{Answer, Failure, Kind, Limits, Object, Page, Session, Subject};
use crate::suite::Options;

/// Pages that a whole listing may have.
const PAGES_MAX: usize = 1_000;

/// Times that a call is repeated where the service asks to slow down, as the host would.
const RATE_LIMITED_MAX: u32 = 5;

/// Longest wait that a service is granted.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Why a case does not hold, or that it is not for this subject.
#[derive(Debug)]
pub(crate) enum Fault {
    Wrong(String),
    Skip(String),
}

impl Fault {
    pub(crate) fn new(why: impl fmt::Display) -> Self {
        Self::Wrong(why.to_string())
    }

    pub(crate) fn skip(why: impl fmt::Display) -> Self {
        Self::Skip(why.to_string())
    }
}

/// What a step of a case gives.
pub(crate) type Check<T = ()> = Result<T, Fault>;

/// What a case gives.
pub(crate) type Verdict = Check<Outcome>;

/// It holds, and there is no more to say.
pub(crate) const HOLDS: Verdict = Ok(Outcome::Passed(None));

/// Ends a case with a reason unless something is so.
macro_rules! must {
    ($so:expr, $($why:tt)*) => {
        if !$so {
            return Err($crate::stage::Fault::new(::std::format!($($why)*)));
        }
    };
}
pub(crate) use must;

/// Says what was being done when a call failed.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl fmt::Display) -> Check<T>;
}

impl<T> Doing<T> for Answer<T> {
    fn doing(self, what: impl fmt::Display) -> Check<T> {
        self.map_err(|failure| Fault::new(format!("{what}: {failure}")))
    }
}

/// A call that must fail in one of some ways.
pub(crate) fn must_fail<T>(answer: Answer<T>, kinds: &[Kind], what: impl fmt::Display) -> Check {
    let wanted = kinds.iter().map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(" or ");
    match answer {
        Ok(_) => Err(Fault::new(format!("{what} succeeds, where it must be {wanted}"))),
        Err(failure) if kinds.contains(&failure.kind) => Ok(()),
        Err(failure) => Err(Fault::new(format!("{what} is `{}`, where it must be {wanted} ({})", failure.kind, failure.message))),
    }
}

/// The place of one case.
pub(crate) struct Stage<'a> {
    subject: &'a dyn Subject,
    options: &'a Options,
    limits: Limits,
    prefix: String,
    seed: u64,
    /// Sessions that are neither finished nor aborted: key and last known token.
    open: Mutex<BTreeMap<u64, (String, String)>>,
    next: AtomicU64,
    /// A run that was stopped still removes what it stored.
    tidying: AtomicBool,
}

/// A key of the case, and what is to be stored under it.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) key: String,
    pub(crate) pattern: Pattern,
}

impl Item {
    /// Whether a report fits what was sent.
    pub(crate) fn fits(&self, object: &Object, size: u64) -> Check {
        let key = &self.key;
        must!(object.key == *key, "`{key}` is reported as `{}`", object.key);
        must!(object.size == size, "`{key}` is reported with {} bytes, and {size} were sent", object.size);
        let Some(checksum) = &object.checksum else { return Ok(()) };
        let Some((algorithm, said)) = checksum.split_once(':') else {
            return Err(Fault::new(format!("the checksum `{checksum}` is not written as `algorithm:hex`")));
        };
        match self.pattern.checksum(algorithm, size) {
            Some(right) if right == said => Ok(()),
            Some(right) => Err(Fault::new(format!("`{key}` is reported with {checksum}, and its bytes have {algorithm}:{right}"))),
            None => Err(Fault::new(format!("the host knows checksums of `md5` and `sha256`, and none of `{algorithm}`"))),
        }
    }
}

impl<'a> Stage<'a> {
    /// `prefix` ends in `/`.
    pub(crate) fn new(subject: &'a dyn Subject, options: &'a Options, limits: Limits, (prefix, seed): (String, u64)) -> Self {
        Self { subject, options, limits, prefix, seed, open: Mutex::default(), next: AtomicU64::new(0), tidying: AtomicBool::new(false) }
    }

    pub(crate) fn subject(&self) -> &'a dyn Subject {
        self.subject
    }

    pub(crate) fn options(&self) -> &'a Options {
        self.options
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// Prefix of the case's keys.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A key of the case and the content that goes with it.
    pub(crate) fn item(&self, name: &str) -> Item {
        let key = format!("{}{name}", self.prefix);
        Item { pattern: Pattern::new(self.seed, &key), key }
    }

    /// Bytes of one write, as the host chooses them.
    pub(crate) fn part(&self) -> u64 {
        self.limits.part_size.unwrap_or(self.options.window)
    }

    /// Skips a case that needs larger objects or more space than there is.
    pub(crate) fn needs(&self, size: u64) -> Check {
        if let Some(max) = self.limits.max_object_size.filter(|max| *max < size) {
            return Err(Fault::skip(format!("the destination takes no object of more than {max} bytes, and this needs {size}")));
        }
        match self.limits.free_bytes.filter(|free| *free < size) {
            Some(free) => Err(Fault::skip(format!("the destination has {free} bytes free, and this needs {size}"))),
            None => Ok(()),
        }
    }

    // The verbs.

    pub(crate) fn stat(&self, key: &str) -> Answer<Object> {
        self.patiently(|| self.subject.stat(key))
    }

    pub(crate) fn list(&self, prefix: &str, cursor: Option<&str>) -> Answer<Page> {
        self.patiently(|| self.subject.list(prefix, cursor))
    }

    pub(crate) fn delete(&self, key: &str) -> Answer<()> {
        self.patiently(|| self.subject.delete(key))
    }

    /// Reads a range and compares it; returns how many bytes it had. A wrong byte is a failure of kind `integrity`.
    pub(crate) fn read(&self, item: &Item, offset: u64, length: Option<u64>) -> Answer<u64> {
        self.patiently(|| {
            let (sink, seen) = item.pattern.check(offset);
            let said = self.subject.read(&item.key, offset, length, Box::new(sink))?;
            let wrong = |why: String| Err(Failure::new(Kind::Integrity, format!("reading `{}`: {why}", item.key)));
            match seen.wrong() {
                Some(at) => wrong(format!("byte {at} is not the one that was sent")),
                None if said != seen.count() => wrong(format!("it says that it gave {said} bytes, and gave {}", seen.count())),
                None => Ok(said),
            }
        })
    }

    pub(crate) fn begin(&self, key: &str, size: Option<u64>) -> Answer<Upload<'_>> {
        let session = self.patiently(|| self.subject.begin(key, size))?;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut upload = Upload { stage: self, id, key: key.to_owned(), session };
        upload.token()?;
        Ok(upload)
    }

    pub(crate) fn resume(&self, cut: &Cut) -> Answer<Upload<'_>> {
        let session = self.patiently(|| self.subject.resume(&cut.key, &cut.token))?;
        Ok(Upload { stage: self, id: cut.id, key: cut.key.clone(), session })
    }

    /// Repeats a call while the service asks to slow down: the host does so too, and pace is not what is tested.
    fn patiently<T>(&self, call: impl Fn() -> Answer<T>) -> Answer<T> {
        for attempt in 0..RATE_LIMITED_MAX {
            if !self.tidying.load(Ordering::Relaxed) {
                self.options.go_on()?;
            }
            match call() {
                Err(failure) if failure.kind == Kind::RateLimited => {
                    let wait = failure.retry_after.unwrap_or(Duration::from_millis(500 << attempt));
                    std::thread::sleep(wait.min(WAIT_MAX));
                }
                answer => return answer,
            }
        }
        call()
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, (String, String)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // What cases do again and again.

    /// Uploads an object as the host does, and checks what `finish` reports.
    pub(crate) fn put(&self, item: &Item, size: u64, told: Option<u64>) -> Check<Object> {
        let key = &item.key;
        let mut upload = self.begin(key, told).doing(format_args!("begin of `{key}`"))?;
        let offset = upload.offset().doing(format_args!("offset of `{key}`"))?;
        must!(offset == 0, "a new upload of `{key}` begins at offset {offset}");
        upload.send(item, (0, size))?;
        upload.complete(item, size)
    }

    /// The same for a small object whose size is told, again where the service asks to slow down.
    pub(crate) fn put_small(&self, item: &Item, size: u64) -> Check<Object> {
        let object = self.patiently(|| {
            let mut upload = self.begin(&item.key, Some(size))?;
            if size > 0 {
                upload.write(item.pattern.body(0, size), size)?;
            }
            upload.finish()
        });
        let object = object.doing(format_args!("put of `{}`", item.key))?;
        item.fits(&object, size).map(|()| object)
    }

    /// Describes and reads the whole object, and compares both with what was sent.
    pub(crate) fn verify(&self, item: &Item, size: u64) -> Check {
        let object = self.stat(&item.key).doing(format_args!("stat of `{}`", item.key))?;
        item.fits(&object, size)?;
        let count = self.read(item, 0, None).doing(format_args!("read of `{}`", item.key))?;
        must!(count == size, "reading `{}` gives {count} of {size} bytes", item.key);
        Ok(())
    }

    /// All objects below a prefix, over all pages.
    pub(crate) fn all(&self, prefix: &str) -> Check<Vec<Object>> {
        let (mut found, mut cursor) = (Vec::new(), None::<String>);
        for _ in 0..PAGES_MAX {
            let page = self.list(prefix, cursor.as_deref()).doing(format_args!("list of `{prefix}`"))?;
            found.extend(page.objects);
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(found);
            }
        }
        Err(Fault::new(format!("the listing of `{prefix}` has no end after {PAGES_MAX} pages")))
    }

    /// Keys below a prefix, sorted.
    pub(crate) fn keys(&self, prefix: &str) -> Check<Vec<String>> {
        let mut keys: Vec<String> = self.all(prefix)?.into_iter().map(|object| object.key).collect();
        keys.sort_unstable();
        Ok(keys)
    }

    /// That nothing is to be seen under a key.
    pub(crate) fn unseen(&self, item: &Item, when: &str) -> Check {
        must_fail(self.stat(&item.key), &[Kind::NotFound], format_args!("stat {when}"))?;
        must_fail(self.read(item, 0, None), &[Kind::NotFound], format_args!("read {when}"))?;
        let keys = self.keys(&item.key)?;
        must!(keys.is_empty(), "{when} the listing shows {keys:?}");
        Ok(())
    }

    /// That an object is gone and its neighbour, whose key begins with its own, is not.
    pub(crate) fn unseen_but(&self, gone: &Item, neighbour: &Item) -> Check {
        must_fail(self.stat(&gone.key), &[Kind::NotFound], "stat after `delete`")?;
        must_fail(self.read(gone, 0, None), &[Kind::NotFound], "read after `delete`")?;
        let keys = self.keys(&gone.key)?;
        must!(keys == [neighbour.key.clone()], "after `delete` the listing shows {keys:?}");
        Ok(())
    }

    /// Removes whatever the case left; says what could not be removed.
    pub(crate) fn tidy(&self) -> Check {
        self.tidying.store(true, Ordering::Relaxed);
        for (key, token) in std::mem::take(&mut *self.open()).into_values() {
            // What the service does not know any more needs no aborting.
            if let Ok(mut session) = self.subject.resume(&key, &token) {
                let _ = session.abort();
            }
        }
        for object in self.all(&self.prefix)? {
            self.delete(&object.key).doing(format_args!("removing `{}` after the case", object.key))?;
        }
        let left = self.keys(&self.prefix)?;
        must!(left.is_empty(), "what was removed is still listed: {left:?}");
        Ok(())
    }
}

/// An open session that the stage remembers until it has ended.
pub(crate) struct Upload<'a> {
    stage: &'a Stage<'a>,
    id: u64,
    key: String,
    session: Box<dyn Session + 'a>,
}

/// A session that was dropped.
#[derive(Debug, Clone)]
pub(crate) struct Cut {
    id: u64,
    pub(crate) key: String,
    pub(crate) token: String,
}

impl Upload<'_> {
    pub(crate) fn token(&mut self) -> Answer<String> {
        let token = self.session.token()?;
        self.stage.open().insert(self.id, (self.key.clone(), token.clone()));
        Ok(token)
    }

    pub(crate) fn offset(&mut self) -> Answer<u64> {
        self.session.offset()
    }

    pub(crate) fn write(&mut self, body: Body, length: u64) -> Answer<u64> {
        self.stage.options.go_on()?;
        self.session.write(Box::new(body), length)
    }

    /// Writes bytes `from..to` of an item, part by part.
    pub(crate) fn send(&mut self, item: &Item, (from, to): (u64, u64)) -> Check {
        let mut offset = from;
        while offset < to {
            offset = self.send_part(item, (offset, to))?;
        }
        Ok(())
    }

    /// Writes the next part of an item; returns the offset behind it.
    pub(crate) fn send_part(&mut self, item: &Item, (from, to): (u64, u64)) -> Check<u64> {
        let end = from.saturating_add(self.stage.part()).min(to);
        let reached = self.write(item.pattern.body(from, end), end - from);
        let reached = reached.doing(format_args!("write of `{}` at {from}", item.key))?;
        must!(reached == end, "a write of {} bytes at {from} says that it is at {reached}", end - from);
        Ok(end)
    }

    pub(crate) fn finish(&mut self) -> Answer<Object> {
        let object = self.session.finish()?;
        self.stage.open().remove(&self.id);
        Ok(object)
    }

    /// Finishes and checks what is reported.
    pub(crate) fn complete(mut self, item: &Item, size: u64) -> Check<Object> {
        let object = self.finish().doing(format_args!("finish of `{}`", item.key))?;
        item.fits(&object, size).map(|()| object)
    }

    pub(crate) fn abort(&mut self) -> Answer<()> {
        self.session.abort()?;
        self.stage.open().remove(&self.id);
        Ok(())
    }

    /// Drops the session as a crash would, with the token that it had just now.
    pub(crate) fn cut(mut self) -> Answer<Cut> {
        let token = self.token()?;
        Ok(Cut { id: self.id, key: self.key, token })
    }

    /// Drops the session as a crash would, with a token from before.
    pub(crate) fn cut_with(self, token: String) -> Cut {
        Cut { id: self.id, key: self.key, token }
    }
}
