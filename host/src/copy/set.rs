//! The copies of one set: a lane for every destination, so that a slow or broken one delays nobody.
//!
//! A lane sends artifacts as they come and the closing files only after every artifact is confirmed; the seal is the last
//! of them. A spool file goes when every lane has confirmed it; what a lane could not send stays for `resume`.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::file::{CopyContext, CopyJob, Expected, copy_file, is_there};
use super::{CopyError, RetryPolicy, UploadJournal};
use crate::ports::{Destination, DestinationError, DestinationErrorKind, Limits, Meter};
use crate::set::set_key;
use crate::spool::SpoolSet;

/// Uploads of one lane at once, whatever the service allows.
const PARALLEL_MAX: u32 = 8;

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
}

enum Command {
    Copy(CopyJob),
    Close(Arc<[(String, Expected)]>, Vec<CopyJob>),
}

/// The copies of one set.
pub struct SetCopies {
    spool: SpoolSet,
    lanes: Vec<(mpsc::UnboundedSender<Command>, JoinHandle<DestinationOutcome>)>,
    expected: Mutex<HashMap<String, watch::Sender<Option<Expected>>>>,
    look_first: bool,
}

impl SetCopies {
    /// Starts a lane for every destination. `absent` destinations have no lane today and will need the spool's files later.
    /// `look_first` after a restart: what is there already is not sent again.
    pub fn start(spool: SpoolSet, lanes: Vec<Lane>, absent: usize, look_first: bool, cancel: &CancellationToken) -> Self {
        let confirmed = Arc::new(Confirmed { spool: spool.clone(), lanes: lanes.len() + absent, counts: Mutex::default() });
        let lanes = lanes
            .into_iter()
            .map(|lane| {
                let (sender, commands) = mpsc::unbounded_channel();
                let work = LaneWork { lane: Arc::new(lane), confirmed: Arc::clone(&confirmed), cancel: cancel.clone(), failure: None, here: HashSet::new() };
                (sender, tokio::spawn(work.run(commands)))
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
            for (lane, _) in &self.lanes {
                // A lane that ended has its reason in its outcome.
                let _ = lane.send(Command::Copy(job.clone()));
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
        let jobs: Vec<CopyJob> = files
            .iter()
            .filter_map(|(key, expected)| self.job(key, watch::Sender::new(Some(expected.clone())).subscribe()))
            .collect();
        for (lane, _) in &self.lanes {
            let _ = lane.send(Command::Close(Arc::clone(&artifacts), jobs.clone()));
        }
        self.ended().await
    }

    /// Gives up: lets the lanes end without the closing files.
    pub async fn abandon(self) -> Vec<DestinationOutcome> {
        self.ended().await
    }

    async fn ended(self) -> Vec<DestinationOutcome> {
        let mut outcomes = Vec::new();
        for (sender, lane) in self.lanes {
            drop(sender);
            if let Ok(outcome) = lane.await {
                outcomes.push(outcome);
            }
        }
        outcomes
    }

    fn job(&self, key: &str, expected: watch::Receiver<Option<Expected>>) -> Option<CopyJob> {
        let file = self.spool.follow(key)?;
        Some(CopyJob { key: set_key(self.spool.name(), key), file, expected, look_first: self.look_first })
    }
}

/// Counts the lanes that have confirmed a file, and frees its space after the last.
struct Confirmed {
    spool: SpoolSet,
    lanes: usize,
    counts: Mutex<HashMap<String, usize>>,
}

impl Confirmed {
    fn add(&self, key: &str) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key.to_owned()).or_insert(0);
        *count += 1;
        if *count == self.lanes {
            let prefix = format!("{}/", self.spool.name());
            self.spool.remove(key.strip_prefix(&prefix).unwrap_or(key));
        }
    }
}

struct LaneWork {
    lane: Arc<Lane>,
    confirmed: Arc<Confirmed>,
    cancel: CancellationToken,
    failure: Option<CopyError>,
    /// Keys that this destination has confirmed.
    here: HashSet<String>,
}

impl LaneWork {
    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) -> DestinationOutcome {
        let started = Instant::now();
        let limits = self.probe().await;
        let permits = Arc::new(Semaphore::new(limits.map_or(1, |limits| limits.parallel_uploads.clamp(1, PARALLEL_MAX)) as usize));
        let mut copies = JoinSet::new();
        let mut complete = false;
        while let Some(command) = commands.recv().await {
            match command {
                Command::Copy(job) if self.hopeless() => drop(job),
                Command::Copy(job) => {
                    let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { break };
                    while let Some(ended) = copies.try_join_next() {
                        self.note(ended);
                    }
                    let Some(limits) = limits else { break };
                    let (lane, cancel) = (Arc::clone(&self.lane), self.cancel.clone());
                    copies.spawn(async move {
                        let _permit = permit;
                        one(&lane, limits, &cancel, job).await
                    });
                }
                Command::Close(artifacts, jobs) => {
                    while let Some(ended) = copies.join_next().await {
                        self.note(ended);
                    }
                    self.account_for(limits, &artifacts).await;
                    complete = self.closing(limits, jobs).await;
                }
            }
        }
        while let Some(ended) = copies.join_next().await {
            self.note(ended);
        }
        DestinationOutcome {
            name: self.lane.destination.name().to_owned(),
            complete,
            bytes: self.lane.meter.cipher(),
            seconds: started.elapsed().as_secs_f64(),
            error: self.failure.map(|error| error.to_string()),
        }
    }

    async fn probe(&mut self) -> Option<Limits> {
        let mut failures = 0;
        loop {
            let probed = tokio::select! {
                () = self.cancel.cancelled() => {
                    self.failure = Some(CopyError::Cancelled);
                    return None;
                }
                probed = tokio::time::timeout(self.lane.policy.call, self.lane.destination.probe()) => probed,
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
            Some(CopyError::Destination { key, source }) => key == "probe" || matches!(source.kind, AccessDenied | InvalidConfig | OutOfSpace | Plugin),
            Some(CopyError::Cancelled) => true,
            _ => false,
        }
    }

    fn note(&mut self, ended: Result<(String, Result<(), CopyError>), tokio::task::JoinError>) {
        match ended {
            Ok((key, Ok(()))) => {
                self.confirmed.add(&key);
                self.here.insert(key);
            }
            // The artifact itself failed; the set is partial at every destination alike, which is no fault of this one.
            Ok((_, Err(CopyError::Aborted { .. }))) => {}
            Ok((_, Err(error))) => {
                tracing::warn!(destination = self.lane.destination.name(), %error, "copy failed");
                self.failure.get_or_insert(error);
            }
            Err(panic) => {
                let source = DestinationError::fatal(DestinationErrorKind::Other, format!("the copy ended unexpectedly: {panic}"));
                self.failure.get_or_insert(CopyError::Destination { key: String::new(), source });
            }
        }
    }

    /// Looks for every artifact that was not confirmed by this lane itself: one that is not there forbids the seal.
    async fn account_for(&mut self, limits: Option<Limits>, artifacts: &[(String, Expected)]) {
        let Some(limits) = limits else { return };
        for (key, expected) in artifacts {
            if self.failure.is_some() {
                return;
            }
            if !self.here.contains(key) && !is_there(&context(&self.lane, limits, &self.cancel), key, expected).await {
                let message = "it is neither at the destination nor in the spool any more; make a new backup";
                let source = DestinationError::fatal(DestinationErrorKind::NotFound, message);
                self.failure = Some(CopyError::Destination { key: key.clone(), source });
            }
        }
    }

    async fn closing(&mut self, limits: Option<Limits>, jobs: Vec<CopyJob>) -> bool {
        let Some(limits) = limits else { return false };
        for job in jobs {
            if self.failure.is_some() {
                return false;
            }
            let ended = one(&self.lane, limits, &self.cancel, job).await;
            // Closing files stay in the spool until the whole set goes: a resumed copy needs them.
            if let (_, Err(error)) = ended {
                self.note(Ok((String::new(), Err(error))));
            }
        }
        self.failure.is_none()
    }
}

async fn one(lane: &Lane, limits: Limits, cancel: &CancellationToken, job: CopyJob) -> (String, Result<(), CopyError>) {
    let key = job.key.clone();
    (key, copy_file(&context(lane, limits, cancel), job).await.map(|_| ()))
}

fn context<'a>(lane: &'a Lane, limits: Limits, cancel: &'a CancellationToken) -> CopyContext<'a> {
    CopyContext { destination: lane.destination.as_ref(), limits, policy: lane.policy, journal: lane.journal.as_ref(), meter: &lane.meter, cancel }
}

/// How long removing what a dead run left at one destination may take.
const CLEANUP: Duration = Duration::from_secs(300);

/// Removes what a dead run left at a destination: open sessions and stored objects. Returns what could not be removed.
pub async fn clean_up(lane: &Lane, prefix: &str, sessions: &[(String, String)]) -> Result<u64, DestinationError> {
    let work = async {
        for (key, token) in sessions {
            if let Ok(upload) = lane.destination.resume(key, token).await {
                let _ = upload.abort().await;
            }
            lane.journal.forget(key);
        }
        let (mut removed, mut cursor) = (0, None::<String>);
        loop {
            let page = lane.destination.list(prefix, cursor.as_deref()).await?;
            for object in &page.objects {
                lane.destination.delete(&object.key).await?;
                removed += 1;
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(removed);
            }
        }
    };
    tokio::time::timeout(CLEANUP, work)
        .await
        .unwrap_or_else(|_| Err(DestinationError::transient(DestinationErrorKind::Timeout, "removing what a dead run left took too long")))
}
