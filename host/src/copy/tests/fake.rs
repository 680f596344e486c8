//! A destination in memory with switches for everything that goes wrong. A fault that was queued and never met fails the test.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use md5::Digest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::copy::{Expected, UploadJournal};
use crate::ports::{BodySink, BodySource, Destination, DestinationError, DestinationErrorKind as Kind, Limits, Object, ObjectPage, Upload};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Verb {
    Probe,
    Begin,
    Resume,
    Token,
    Offset,
    Write,
    Finish,
    Abort,
    Stat,
    List,
    Delete,
}

#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// Nothing goes wrong this time.
    Pass,
    /// Fails before anything is done.
    Before(Kind, bool),
    /// A write stores this much and then breaks; other verbs do all and then say that they failed.
    After(u64),
    /// A write reads this much of its body and stores nothing.
    Cut(u64),
    /// Says another offset than the true one.
    Lie(i64),
    /// Never answers.
    Hang,
    /// A write takes a byte of its body now and then, for ever.
    Trickle,
    /// `finish` stores an object without its last byte.
    Short,
    /// `finish` reports another checksum.
    WrongChecksum,
    /// The code of the destination dies.
    Panic,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Vec<u8>>,
    sessions: BTreeMap<String, (String, Vec<u8>)>,
    faults: HashMap<Verb, VecDeque<Fault>>,
    log: Vec<(Verb, String)>,
    opened: u32,
    kill: Option<(usize, CancellationToken)>,
}

pub(super) struct Fake {
    name: String,
    pub(super) limits: Limits,
    pub(super) checksum: Option<&'static str>,
    /// Whether deletion is granted.
    pub(super) delete: bool,
    state: Arc<Mutex<State>>,
    calls: Arc<watch::Sender<usize>>,
}

impl Fake {
    pub(super) fn new(name: &str, part_size: Option<u64>) -> Self {
        let limits = Limits { part_size, max_object_size: None, parallel_uploads: 2, free_bytes: None };
        let calls = Arc::new(watch::Sender::new(0));
        Self { name: name.to_owned(), limits, checksum: Some("md5"), delete: true, state: Arc::default(), calls }
    }

    /// The same store behind a new instance, as after a restart of the host.
    pub(super) fn reopened(&self) -> Self {
        let calls = Arc::new(watch::Sender::new(0));
        Self { name: self.name.clone(), state: Arc::clone(&self.state), calls, ..*self }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while it is held")
    }

    pub(super) fn queue(&self, verb: Verb, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.entry(verb).or_default().extend(faults);
    }

    pub(super) fn forget_faults(&self) {
        self.state().faults.clear();
    }

    pub(super) fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.state().objects.get(key).cloned()
    }

    pub(super) fn put(&self, key: &str, bytes: &[u8]) {
        self.state().objects.insert(key.to_owned(), bytes.to_vec());
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }

    pub(super) fn sessions(&self) -> usize {
        self.state().sessions.len()
    }

    /// Keys that the verb was called with, in order.
    pub(super) fn called(&self, verb: Verb) -> Vec<String> {
        self.state().log.iter().filter(|(called, _)| *called == verb).map(|(_, key)| key.clone()).collect()
    }

    /// Waits until that many calls have been made.
    pub(super) async fn wait_for_call(&self, count: usize) {
        self.calls.subscribe().wait_for(|calls| *calls >= count).await.expect("the sender lives");
    }

    /// Cancels as that call begins, whoever else runs at the time.
    pub(super) fn kill_at(&self, call: usize, cancel: &CancellationToken) {
        self.state().kill = Some((call, cancel.clone()));
    }

    /// Waits until the verb has been called with the key.
    pub(super) async fn wait_for(&self, verb: Verb, key: &str) {
        let mut calls = self.calls.subscribe();
        while !self.called(verb).iter().any(|called| called == key) {
            calls.changed().await.expect("the sender lives");
        }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let state = self.state.lock().expect("no panic while it is held");
        let left: Vec<_> = state.faults.iter().filter(|(_, faults)| !faults.is_empty()).collect();
        assert!(left.is_empty(), "faults that were never met: {left:?}");
    }
}

/// What every verb begins with: its entry in the log, and its fault.
async fn enter(state: &Mutex<State>, calls: &watch::Sender<usize>, (verb, key): (Verb, &str)) -> Result<Fault, DestinationError> {
    let fault = {
        let mut state = state.lock().expect("no panic while it is held");
        state.log.push((verb, key.to_owned()));
        if let Some((_, cancel)) = state.kill.as_ref().filter(|(call, _)| state.log.len() == *call) {
            cancel.cancel();
        }
        state.faults.get_mut(&verb).and_then(VecDeque::pop_front).unwrap_or(Fault::Pass)
    };
    calls.send_modify(|calls| *calls += 1);
    match fault {
        Fault::Before(kind, true) => Err(DestinationError::transient(kind, format!("{verb:?}: injected"))),
        Fault::Before(kind, false) => Err(DestinationError::fatal(kind, format!("{verb:?}: injected"))),
        Fault::Hang => std::future::pending().await,
        Fault::Panic => panic!("injected"),
        other => Ok(other),
    }
}

fn broken(what: &str) -> DestinationError {
    DestinationError::transient(Kind::Unavailable, format!("injected: {what}"))
}

fn described(key: &str, bytes: &[u8], algorithm: Option<&str>) -> Object {
    let checksum = algorithm.map(|algorithm| match algorithm {
        "md5" => format!("md5:{}", hex::encode(md5::Md5::digest(bytes))),
        _ => format!("sha256:{}", hex::encode(sha2::Sha256::digest(bytes))),
    });
    Object { key: key.to_owned(), size: bytes.len() as u64, modified_unix_ms: None, checksum }
}

pub(super) fn expected(bytes: &[u8]) -> Expected {
    Expected { size: bytes.len() as u64, sha256: hex::encode(sha2::Sha256::digest(bytes)), md5: hex::encode(md5::Md5::digest(bytes)) }
}

#[async_trait]
impl Destination for Fake {
    fn name(&self) -> &str {
        &self.name
    }

    fn may_delete(&self) -> bool {
        self.delete
    }

    async fn probe(&self) -> Result<Limits, DestinationError> {
        enter(&self.state, &self.calls, (Verb::Probe, "")).await?;
        Ok(self.limits)
    }

    async fn begin(&self, key: &str, _size: Option<u64>) -> Result<Box<dyn Upload>, DestinationError> {
        enter(&self.state, &self.calls, (Verb::Begin, key)).await?;
        let token = {
            let mut state = self.state();
            state.opened += 1;
            let token = format!("session {}", state.opened);
            state.sessions.insert(token.clone(), (key.to_owned(), Vec::new()));
            token
        };
        Ok(self.upload(key, token))
    }

    async fn resume(&self, key: &str, token: &str) -> Result<Box<dyn Upload>, DestinationError> {
        enter(&self.state, &self.calls, (Verb::Resume, key)).await?;
        if self.state().sessions.contains_key(token) {
            return Ok(self.upload(key, token.to_owned()));
        }
        Err(DestinationError::fatal(Kind::SessionLost, "no such session"))
    }

    async fn read(&self, key: &str, offset: u64, length: Option<u64>, mut sink: BodySink) -> Result<u64, DestinationError> {
        let bytes = self.object(key).ok_or_else(|| DestinationError::fatal(Kind::NotFound, "no such object"))?;
        let rest = &bytes[usize::try_from(offset).expect("small").min(bytes.len())..];
        let part = &rest[..length.map_or(rest.len(), |length| usize::try_from(length).expect("small").min(rest.len()))];
        sink.write_all(part).await.map_err(|error| DestinationError::fatal(Kind::Other, error.to_string()))?;
        Ok(part.len() as u64)
    }

    async fn stat(&self, key: &str) -> Result<Object, DestinationError> {
        enter(&self.state, &self.calls, (Verb::Stat, key)).await?;
        let bytes = self.object(key).ok_or_else(|| DestinationError::fatal(Kind::NotFound, "no such object"))?;
        Ok(described(key, &bytes, self.checksum))
    }

    async fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<ObjectPage, DestinationError> {
        enter(&self.state, &self.calls, (Verb::List, prefix)).await?;
        let state = self.state();
        let mut found =
            state.objects.iter().filter(|(key, _)| key.starts_with(prefix) && cursor.is_none_or(|cursor| key.as_str() > cursor));
        let objects: Vec<Object> = found.by_ref().take(2).map(|(key, bytes)| described(key, bytes, None)).collect();
        let cursor = found.next().and_then(|_| objects.last().map(|object| object.key.clone()));
        Ok(ObjectPage { objects, cursor })
    }

    async fn delete(&self, key: &str) -> Result<(), DestinationError> {
        enter(&self.state, &self.calls, (Verb::Delete, key)).await?;
        self.state().objects.remove(key);
        Ok(())
    }

    async fn protect(&self, key: &str, _: u64) -> Result<(), DestinationError> {
        Err(DestinationError::fatal(Kind::Unsupported, format!("cannot protect {key}")))
    }

    async fn share(&self, key: &str, _: u32) -> Result<String, DestinationError> {
        Err(DestinationError::fatal(Kind::Unsupported, format!("cannot share {key}")))
    }
}

impl Fake {
    fn upload(&self, key: &str, token: String) -> Box<dyn Upload> {
        Box::new(FakeUpload {
            key: key.to_owned(),
            token,
            checksum: self.checksum,
            state: Arc::clone(&self.state),
            calls: Arc::clone(&self.calls),
        })
    }
}

struct FakeUpload {
    key: String,
    token: String,
    checksum: Option<&'static str>,
    state: Arc<Mutex<State>>,
    calls: Arc<watch::Sender<usize>>,
}

impl FakeUpload {
    async fn enter(&self, verb: Verb) -> Result<Fault, DestinationError> {
        enter(&self.state, &self.calls, (verb, &self.key)).await
    }

    fn stored<T>(&self, change: impl FnOnce(&mut Vec<u8>) -> T) -> Result<T, DestinationError> {
        let mut state = self.state.lock().expect("no panic while it is held");
        let session = state.sessions.get_mut(&self.token).ok_or_else(|| DestinationError::fatal(Kind::SessionLost, "no such session"))?;
        Ok(change(&mut session.1))
    }
}

#[async_trait]
impl Upload for FakeUpload {
    async fn token(&mut self) -> Result<String, DestinationError> {
        self.enter(Verb::Token).await?;
        Ok(self.token.clone())
    }

    async fn offset(&mut self) -> Result<u64, DestinationError> {
        let fault = self.enter(Verb::Offset).await?;
        let offset = self.stored(|bytes| bytes.len() as u64)?;
        let Fault::Lie(by) = fault else { return Ok(offset) };
        // Less than there was is no lie: the service has lost some, as after a crash of its own.
        let claimed = offset.saturating_add_signed(by);
        self.stored(|bytes| bytes.truncate(usize::try_from(claimed).expect("small")))?;
        Ok(claimed)
    }

    async fn write(&mut self, mut body: BodySource, length: u64) -> Result<u64, DestinationError> {
        let fault = self.enter(Verb::Write).await?;
        let taken = match fault {
            Fault::After(count) | Fault::Cut(count) => count.min(length),
            _ => length,
        };
        let mut sent = vec![0; usize::try_from(taken).expect("small")];
        if matches!(fault, Fault::Trickle) {
            loop {
                let _ = body.read_u8().await;
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        }
        body.read_exact(&mut sent).await.map_err(|error| DestinationError::fatal(Kind::Integrity, format!("the body broke: {error}")))?;
        if matches!(fault, Fault::Cut(_)) {
            return Err(broken("cut"));
        }
        let reached = self.stored(|bytes| {
            bytes.extend(&sent);
            bytes.len() as u64
        })?;
        match fault {
            Fault::After(_) => Err(broken("cut after storing")),
            Fault::Lie(by) => Ok(reached.saturating_add_signed(by)),
            _ => Ok(reached),
        }
    }

    async fn finish(self: Box<Self>) -> Result<Object, DestinationError> {
        let fault = self.enter(Verb::Finish).await?;
        let mut bytes = self.stored(|bytes| bytes.clone())?;
        if matches!(fault, Fault::Short) {
            bytes.pop();
        }
        let mut object = described(&self.key, &bytes, self.checksum);
        {
            let mut state = self.state.lock().expect("no panic while it is held");
            state.sessions.remove(&self.token);
            state.objects.insert(self.key.clone(), bytes);
        }
        match fault {
            Fault::After(_) => Err(broken("the answer was lost")),
            Fault::WrongChecksum => {
                object.checksum = Some("sha256:00".to_owned());
                Ok(object)
            }
            _ => Ok(object),
        }
    }

    async fn abort(self: Box<Self>) -> Result<(), DestinationError> {
        self.enter(Verb::Abort).await?;
        self.state.lock().expect("no panic while it is held").sessions.remove(&self.token);
        Ok(())
    }
}

/// A journal in memory.
#[derive(Default)]
pub(super) struct Journal(Mutex<HashMap<String, String>>);

impl Journal {
    fn kept(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().expect("no panic while it is held")
    }

    pub(super) fn all(&self) -> Vec<(String, String)> {
        self.kept().iter().map(|(key, kept)| (key.clone(), kept.clone())).collect()
    }

    /// What deleting the catalogue does.
    pub(super) fn lose(&self) {
        self.kept().clear();
    }
}

impl UploadJournal for Journal {
    fn token(&self, key: &str) -> Option<String> {
        self.kept().get(key).cloned()
    }

    fn remember(&self, key: &str, token: &str) {
        self.kept().insert(key.to_owned(), token.to_owned());
    }

    fn forget(&self, key: &str) {
        self.kept().remove(key);
    }
}
