//! The copies of one set: a lane for every destination, so that a slow or broken one delays nobody.
//!
//! A lane sends artifacts as they come and the closing files only after every artifact is confirmed; the seal is the last
//! of them. A spool file goes when every lane has confirmed it; what a lane could not send stays for `resume` while there is
//! room. After a failure of one file a lane tries the others, since they are then spared to `resume`; after a failure of the
//! destination itself (access, space, a broken plug-in) it tries nothing more.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::file::{CopyContext, CopyJob, Expected, Patience, SMALL_CALL, copy_file, is_there, small};
use super::{CopyError, RetryPolicy, UploadJournal};
use crate::ports::{Destination, DestinationError, DestinationErrorKind, Limits, Meter};
use crate::set::{SEAL, set_key};
use crate::spool::SpoolSet;

/// Uploads of one lane at once, whatever the service allows.
pub(super) const PARALLEL_MAX: u32 = 8;

/// One destination of a set.
#[derive(Clone)]
pub struct Lane {
    /// The destination.
    pub destination: Arc<dyn Destination>,
    /// Its open sessions.
    pub journal: Arc<dyn UploadJournal>,
    /// Its retries.
    pub policy: RetryPolicy,
    /// Its progress.
    pub meter: Arc<Meter>,
}

/// How a destination fared.
#[derive(Debug, Clone, serde::Serialize)]
pub struct DestinationOutcome {
    /// Its name.
    pub name: String,
    /// Whether the whole set, seal included, is there.
    pub complete: bool,
    /// Bytes confirmed.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// What went wrong.
    pub error: Option<String>,
    /// What kind of failure that was, where it was the destination's.
    pub kind: Option<DestinationErrorKind>,
    /// Bytes that were free there before, where the service says.
    pub free: Option<u64>,
    /// Whether the copy can never be completed: one of its files is neither there nor in the spool any more.
    pub lost: bool,
}

impl DestinationOutcome {
    /// Of a destination that took nothing.
    pub fn failed(name: &str, error: String) -> Self {
        Self { name: name.to_owned(), complete: false, bytes: 0, seconds: 0.0, error: Some(error), kind: None, free: None, lost: false }
    }
}

enum Command {
    Copy(CopyJob),
    Close(Closing),
}

/// What ends a set.
#[derive(Clone)]
struct Closing {
    /// What must be there before anything of `files` goes out.
    artifacts: Arc<[(String, Expected)]>,
    /// In this order; no job for a file that the spool no longer has.
    files: Arc<[(String, Expected, Option<CopyJob>)]>,
}

/// One destination at work.
struct Running {
    name: String,
    commands: mpsc::UnboundedSender<Command>,
    work: JoinHandle<DestinationOutcome>,
}

/// The copies of one set.
pub struct SetCopies {
    spool: SpoolSet,
    lanes: Vec<Running>,
    expected: Mutex<HashMap<String, watch::Sender<Option<Expected>>>>,
    look_first: bool,
}

impl SetCopies {
    /// Starts a lane for every destination. `absent` destinations have no lane today and will need the spool's files later.
    /// `look_first` after a restart: what is there already is not sent again.
    pub fn start(spool: SpoolSet, lanes: Vec<Lane>, absent: usize, look_first: bool, cancel: &CancellationToken) -> Self {
        spool.cancelled_by(cancel);
        let ledger = Arc::new(Ledger { spool: spool.clone(), lanes: lanes.len(), absent, tallies: Mutex::default() });
        let lanes = lanes
            .into_iter()
            .map(|lane| {
                let (sender, commands) = mpsc::unbounded_channel();
                let name = lane.destination.name().to_owned();
                let work = LaneWork {
                    lane: Arc::new(lane),
                    ledger: Arc::clone(&ledger),
                    cancel: cancel.clone(),
                    failure: None,
                    lost: false,
                    here: HashSet::new(),
                };
                Running { name, commands: sender, work: tokio::spawn(work.run(commands)) }
            })
            .collect();
        Self { spool, lanes, expected: Mutex::default(), look_first }
    }

    /// Tells that a spool file has begun.
    pub fn artifact_started(&self, key: &str) {
        let sender = watch::Sender::new(None);
        let receiver = sender.subscribe();
        self.expected.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), sender);
        if let Some(job) = self.job(key, receiver) {
            for lane in &self.lanes {
                // A lane that ended has its reason in its outcome.
                let _ = lane.commands.send(Command::Copy(job.clone()));
            }
        }
    }

    /// Tells that it has ended, and what it must be at the destination.
    pub fn artifact_finished(&self, key: &str, expected: Expected) {
        if let Some(sender) = self.expected.lock().unwrap_or_else(PoisonError::into_inner).remove(key) {
            sender.send_replace(Some(expected));
        }
    }

    /// Tells that it was given up.
    pub fn artifact_aborted(&self, key: &str) {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Sends the closing files in this order, the seal last, after every one of `artifacts` is confirmed; waits for all lanes.
    pub async fn close(self, artifacts: Vec<(String, Expected)>, files: &[(String, Expected)]) -> Vec<DestinationOutcome> {
        let artifacts: Arc<[(String, Expected)]> =
            artifacts.into_iter().map(|(key, expected)| (set_key(self.spool.name(), &key), expected)).collect();
        let files = files.iter().map(|(key, expected)| {
            let job = self.job(key, watch::Sender::new(Some(expected.clone())).subscribe());
            (set_key(self.spool.name(), key), expected.clone(), job)
        });
        let closing = Closing { artifacts, files: files.collect() };
        for lane in &self.lanes {
            let _ = lane.commands.send(Command::Close(closing.clone()));
        }
        self.ended().await
    }

    /// Gives up: lets the lanes end without the closing files.
    pub async fn abandon(self) -> Vec<DestinationOutcome> {
        self.ended().await
    }

    async fn ended(self) -> Vec<DestinationOutcome> {
        let mut outcomes = Vec::new();
        // All of them at once: a lane must not wait for its end until another has found its own.
        let lanes: Vec<_> = self.lanes.into_iter().map(|Running { name, commands: _, work }| (name, work)).collect();
        for (name, work) in lanes {
            let ended = work.await;
            outcomes
                .push(ended.unwrap_or_else(|panic| DestinationOutcome::failed(&name, format!("the copies ended unexpectedly: {panic}"))));
        }
        outcomes
    }

    fn job(&self, key: &str, expected: watch::Receiver<Option<Expected>>) -> Option<CopyJob> {
        let file = self.spool.follow(key)?;
        Some(CopyJob { key: set_key(self.spool.name(), key), file, expected, look_first: self.look_first })
    }
}

/// Counts what the lanes have done with each file, and frees its space when nobody needs it.
struct Ledger {
    spool: SpoolSet,
    lanes: usize,
    /// Destinations without a lane: they need every file later.
    absent: usize,
    tallies: Mutex<HashMap<String, Tally>>,
}

#[derive(Default, Clone, Copy)]
struct Tally {
    confirmed: usize,
    given_up: usize,
}

impl Ledger {
    fn confirmed(&self, key: &str) {
        self.tally(key, |tally| tally.confirmed += 1);
    }

    fn given_up(&self, key: &str) {
        self.tally(key, |tally| tally.given_up += 1);
    }

    fn tally(&self, key: &str, count: impl FnOnce(&mut Tally)) {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = tallies.entry(key.to_owned()).or_default();
        count(tally);
        let prefix = format!("{}/", self.spool.name());
        let file = key.strip_prefix(&prefix).unwrap_or(key);
        if tally.confirmed == self.lanes + self.absent {
            self.spool.remove(file);
        } else if tally.confirmed + tally.given_up == self.lanes {
            self.spool.settle(file, tally.confirmed > 0);
        }
    }
}

struct LaneWork {
    lane: Arc<Lane>,
    ledger: Arc<Ledger>,
    cancel: CancellationToken,
    failure: Option<CopyError>,
    /// Whether a file is neither here nor in the spool.
    lost: bool,
    /// Keys that this destination has confirmed.
    here: HashSet<String>,
}

impl LaneWork {
    async fn run(mut self, commands: mpsc::UnboundedReceiver<Command>) -> DestinationOutcome {
        let started = Instant::now();
        let limits = self.probe().await;
        let complete = match limits {
            Some(limits) => self.serve(limits, commands).await,
            None => self.refuse(commands).await,
        };
        DestinationOutcome {
            name: self.lane.destination.name().to_owned(),
            complete,
            bytes: self.lane.meter.cipher(),
            seconds: started.elapsed().as_secs_f64(),
            free: limits.and_then(|limits| limits.free_bytes),
            kind: self.failure.as_ref().and_then(CopyError::kind),
            error: self.failure.map(|error| error.to_string()),
            lost: self.lost,
        }
    }

    /// Copies as many files at once as the service allows, in the order in which they came, until there are no more.
    async fn serve(&mut self, limits: Limits, mut commands: mpsc::UnboundedReceiver<Command>) -> bool {
        let at_once = limits.parallel_uploads.clamp(1, PARALLEL_MAX) as usize;
        let (mut copies, mut waiting) = (JoinSet::new(), VecDeque::new());
        let (mut open, mut closing) = (true, None);
        loop {
            while copies.len() < at_once
                && let Some(job) = waiting.pop_front()
            {
                self.begin(limits, job, &mut copies);
            }
            tokio::select! {
                Some(ended) = copies.join_next() => self.note(ended),
                command = commands.recv(), if open => match command {
                    Some(Command::Copy(job)) => waiting.push_back(job),
                    Some(Command::Close(last)) => (open, closing) = (false, Some(last)),
                    None => open = false,
                },
                else => break,
            }
        }
        match closing {
            Some(closing) => self.close(limits, &closing).await,
            None => false,
        }
    }

    fn begin(&self, limits: Limits, job: CopyJob, copies: &mut JoinSet<(String, Result<(), CopyError>)>) {
        if self.hopeless() {
            return self.ledger.given_up(&job.key);
        }
        let (lane, cancel) = (Arc::clone(&self.lane), self.cancel.clone());
        copies.spawn(async move { one(&lane, limits, &cancel, job).await });
    }

    /// What becomes of the files of a destination that does not answer: no copy, and nobody waits for one.
    async fn refuse(&self, mut commands: mpsc::UnboundedReceiver<Command>) -> bool {
        while let Some(command) = commands.recv().await {
            if let Command::Copy(job) = command {
                self.ledger.given_up(&job.key);
            }
        }
        false
    }

    async fn probe(&mut self) -> Option<Limits> {
        let mut failures = 0;
        loop {
            let probed = tokio::select! {
                () = self.cancel.cancelled() => {
                    self.failure = Some(CopyError::Cancelled);
                    return None;
                }
                probed = tokio::time::timeout(self.lane.policy.call.min(SMALL_CALL), self.lane.destination.probe()) => probed,
            };
            let error = match probed {
                Ok(Ok(limits)) => return Some(limits),
                Ok(Err(error)) => error,
                Err(_) => DestinationError::transient(DestinationErrorKind::Timeout, "the destination did not answer the probe in time"),
            };
            failures += 1;
            if !error.retryable || failures >= self.lane.policy.attempts {
                self.failure = Some(CopyError::Destination { key: "probe".to_owned(), source: error });
                return None;
            }
            tokio::select! {
                () = self.cancel.cancelled() => {}
                () = tokio::time::sleep(self.lane.policy.pause(failures, &error)) => {}
            }
        }
    }

    /// Whether further copies make no sense: the destination itself refuses, not one file.
    fn hopeless(&self) -> bool {
        use DestinationErrorKind::{AccessDenied, InvalidConfig, OutOfSpace, Plugin};
        match &self.failure {
            Some(CopyError::Destination { key, source }) => {
                key == "probe" || matches!(source.kind, AccessDenied | InvalidConfig | OutOfSpace | Plugin)
            }
            Some(CopyError::Cancelled) => true,
            _ => false,
        }
    }

    fn note(&mut self, ended: Result<(String, Result<(), CopyError>), tokio::task::JoinError>) {
        match ended {
            Ok((key, Ok(()))) => {
                self.ledger.confirmed(&key);
                self.here.insert(key);
            }
            // The artifact itself failed; the set is partial at every destination alike, which is no fault of this one.
            Ok((_, Err(CopyError::Aborted { .. }))) => {}
            Ok((key, Err(error))) => {
                self.ledger.given_up(&key);
                self.fail(error);
            }
            Err(panic) => {
                let source = DestinationError::fatal(DestinationErrorKind::Other, format!("the copy ended unexpectedly: {panic}"));
                self.fail(CopyError::Destination { key: self.ledger.spool.name().to_string(), source });
            }
        }
    }

    fn fail(&mut self, error: CopyError) {
        tracing::warn!(destination = self.lane.destination.name(), %error, "copy failed");
        self.failure.get_or_insert(error);
    }

    /// Sends the closing files, one after the other, once everything before is there. The seal alone makes a set complete,
    /// so whatever is in doubt withholds it.
    async fn close(&mut self, limits: Limits, closing: &Closing) -> bool {
        for (key, expected) in closing.artifacts.iter() {
            self.require(limits, key, expected).await;
        }
        for (key, expected, job) in closing.files.iter() {
            if key.ends_with(SEAL) {
                self.look_around(limits, closing).await;
            }
            match job {
                Some(job) if self.failure.is_none() => match one(&self.lane, limits, &self.cancel, job.clone()).await {
                    (key, Ok(())) => _ = self.here.insert(key),
                    (_, Err(error)) => self.fail(error),
                },
                _ => self.require(limits, key, expected).await,
            }
        }
        let sealed = closing.files.last().is_some_and(|(key, _, _)| key.ends_with(SEAL) && self.here.contains(key));
        self.failure.is_none() && sealed
    }

    /// Looks at the whole folder before the seal: what is not ours there, or has another size by now, was written by somebody else, and
    /// what they wrote over cannot be trusted. A file that is not listed proves nothing: listings may lag, and each was confirmed.
    async fn look_around(&mut self, limits: Limits, closing: &Closing) {
        if self.failure.is_some() {
            return;
        }
        let artifacts = closing.artifacts.iter().map(|(key, expected)| (key.as_str(), expected.size));
        let files = closing.files.iter().map(|(key, expected, _)| (key.as_str(), expected.size));
        let expected: HashMap<&str, u64> = artifacts.chain(files).collect();
        let prefix = format!("{}/", self.ledger.spool.name());
        if let Err(error) = only_ours(&context(&self.lane, limits, &self.cancel), &prefix, &expected).await {
            self.fail(error);
        }
    }

    /// Makes sure of one file: confirmed by this lane, or found at the destination.
    async fn require(&mut self, limits: Limits, key: &str, expected: &Expected) {
        if self.failure.is_some() || self.here.contains(key) {
            return;
        }
        match is_there(&context(&self.lane, limits, &self.cancel), key, expected).await {
            Ok(true) => _ = self.here.insert(key.to_owned()),
            Ok(false) => {
                self.lost = true;
                let message = "it is neither at the destination nor in the spool any more; make a new backup";
                let source = DestinationError::fatal(DestinationErrorKind::NotFound, message);
                self.fail(CopyError::Destination { key: key.to_owned(), source });
            }
            Err(error) => self.fail(error),
        }
    }
}

/// Refuses a folder that holds anything but `expected`, keys with their sizes.
async fn only_ours(context: &CopyContext<'_>, prefix: &str, expected: &HashMap<&str, u64>) -> Result<(), CopyError> {
    let (mut cursor, mut patience) = (None::<String>, Patience::default());
    loop {
        let page = match small(context, prefix, context.destination.list(prefix, cursor.as_deref())).await {
            Ok(page) => page,
            Err(error) => {
                patience.spend(context, error).await?;
                continue;
            }
        };
        if let Some(object) = page.objects.iter().find(|object| expected.get(object.key.as_str()) != Some(&object.size)) {
            let message = format!(
                "there is something that this run did not write: {} bytes under `{}`; does another server keep its backups in the same \
                 place? Give each server a directory, bucket or prefix of its own",
                object.size, object.key
            );
            let source = DestinationError::fatal(DestinationErrorKind::Integrity, message);
            return Err(CopyError::Destination { key: prefix.to_owned(), source });
        }
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(());
        }
    }
}

async fn one(lane: &Lane, limits: Limits, cancel: &CancellationToken, job: CopyJob) -> (String, Result<(), CopyError>) {
    let key = job.key.clone();
    (key, copy_file(&context(lane, limits, cancel), job).await.map(|_| ()))
}

pub(super) fn context<'a>(lane: &'a Lane, limits: Limits, cancel: &'a CancellationToken) -> CopyContext<'a> {
    CopyContext {
        destination: lane.destination.as_ref(),
        limits,
        policy: lane.policy,
        journal: lane.journal.as_ref(),
        meter: &lane.meter,
        cancel,
    }
}
