//! Brings manifests and artifacts back from a destination and proves them before anybody looks inside.
//!
//! The order is held by types: a set is opened to a [`SealedManifest`], an artifact of it is fetched to a
//! [`VerifiedArtifact`], and only that can be decrypted. A download that was cut goes on at its offset; one that trickles is given up
//! (trap 10).

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as TaskContext, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, PollSender};

use super::context::Context;
use crate::config::DestinationConfig;
use crate::copy::RetryPolicy;
use crate::pipeline::{Compression, Decoder, Digester, Digests, Kdf, Passphrase, PipelineError};
use crate::ports::{BodySink, Destination, DestinationError, DestinationErrorKind, Meter, body_sink};
use crate::set::{ArtifactRecord, MANIFEST, Manifest, SEAL, SealError, SealedManifest, SetName, set_key};
use crate::spool::{Spool, SpoolError};

/// Largest manifest or seal that is read into memory.
const SMALL_FILE_MAX: usize = 64 << 20;
/// Blocks on their way from the component to the disk.
const BLOCKS_IN_FLIGHT: usize = 8;
/// So many bytes (or the rest) must come within [`RetryPolicy::call`], whatever happens meanwhile: a window of a write has the same time.
const WINDOW: u64 = 16 << 20;

/// Why something could not be brought back.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The destination failed.
    #[error("cannot read `{key}` from destination `{destination}`: {source}")]
    Destination {
        /// Name of the instance.
        destination: String,
        /// What was read.
        key: String,
        /// Why not.
        source: DestinationError,
    },
    /// The set has no seal here.
    #[error("set {set} is not complete on destination `{destination}`: it has no `{SEAL}`")]
    Incomplete {
        /// The set.
        set: SetName,
        /// Name of the instance.
        destination: String,
    },
    /// The seal does not hold.
    #[error("set {set} on destination `{destination}` cannot be trusted: {source}")]
    Seal {
        /// The set.
        set: SetName,
        /// Name of the instance.
        destination: String,
        /// Why not.
        source: SealError,
    },
    /// A manifest that belongs to another set.
    #[error("set {set} on destination `{destination}` carries the manifest of {found}: the folder was renamed or swapped")]
    Swapped {
        /// The set that was asked for.
        set: SetName,
        /// Name of the instance.
        destination: String,
        /// The set that the manifest belongs to.
        found: SetName,
    },
    /// What came is not what was stored.
    #[error("`{key}` on destination `{destination}` is damaged: {what}")]
    Damaged {
        /// What was read.
        key: String,
        /// Name of the instance.
        destination: String,
        /// What differs.
        what: String,
    },
    /// The scratch file failed.
    #[error("cannot write `{key}` to scratch space: {source}")]
    Scratch {
        /// What was read.
        key: String,
        /// Why not.
        source: io::Error,
    },
    /// There is no room for it.
    #[error("cannot download `{key}`: {source}")]
    Room {
        /// What was to be read.
        key: String,
        /// How much is missing, and where.
        source: SpoolError,
    },
    /// Somebody cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl FetchError {
    /// Whether this means that the copy is bad, rather than out of reach.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Seal { .. } | Self::Swapped { .. } | Self::Damaged { .. } | Self::Incomplete { .. } => true,
            Self::Destination { source, .. } => matches!(source.kind, DestinationErrorKind::NotFound | DestinationErrorKind::Integrity),
            Self::Scratch { .. } | Self::Room { .. } | Self::Cancelled => false,
        }
    }
}

/// A destination as it is read from: with retries, and with an end to all patience.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    destination: &'a dyn Destination,
    policy: RetryPolicy,
    cancel: &'a CancellationToken,
}

impl<'a> Reader<'a> {
    /// Reads from `destination`, which `config` describes.
    pub(super) fn new(context: &'a Context, config: &DestinationConfig, destination: &'a dyn Destination) -> Self {
        Self { destination, policy: config.retry, cancel: &context.cancel }
    }

    /// Name of the instance.
    pub(super) fn name(&self) -> &'a str {
        self.destination.name()
    }

    /// Opens a set: reads manifest and seal and checks both.
    ///
    /// # Errors
    /// When the set is incomplete, cannot be read or cannot be trusted.
    pub(super) async fn open_set(&self, set: SetName, passphrase: &Passphrase) -> Result<SealedManifest, FetchError> {
        let destination = || self.name().to_owned();
        let seal = match self.small(&set_key(set, SEAL)).await {
            Err(FetchError::Destination { source, .. }) if source.kind == DestinationErrorKind::NotFound => {
                return Err(FetchError::Incomplete { set, destination: destination() });
            }
            other => other?,
        };
        let bytes = self.small(&set_key(set, MANIFEST)).await?;
        let secret = passphrase.clone();
        let opened = tokio::task::spawn_blocking(move || SealedManifest::open(bytes, &seal, secret.as_bytes())).await;
        let opened = opened.map_err(|_| FetchError::Cancelled)?;
        let sealed = opened.map_err(|source| FetchError::Seal { set, destination: destination(), source })?;
        let found = sealed.manifest().set;
        if found != set {
            return Err(FetchError::Swapped { set, destination: destination(), found });
        }
        Ok(sealed)
    }

    /// Reads a file of a few MiB at most.
    ///
    /// # Errors
    /// When the destination fails or the file is larger than any that cofre writes.
    pub(super) async fn small(&self, key: &str) -> Result<Vec<u8>, FetchError> {
        let mut pace = Pace::new(self.policy);
        loop {
            pace.begin();
            let store: Arc<Mutex<Vec<u8>>> = Arc::default();
            let (filled, pulse) = (Arc::clone(&store), Arc::clone(&pace.pulse));
            let sink = body_sink(move |bytes| {
                let mut store = locked(&filled);
                if store.len() + bytes.len() > SMALL_FILE_MAX {
                    return Err(io::Error::other("the file is larger than any that cofre writes here"));
                }
                store.extend_from_slice(bytes);
                locked(&pulse).beat(bytes.len() as u64);
                Ok(())
            });
            match self.attempt(key, (0, None), sink, &mut pace).await {
                Ok(_) => return Ok(std::mem::take(&mut *locked(&store))),
                // It starts anew, so what came counts for nothing.
                Err(error) => self.go_on(key, error, (&mut pace, false)).await?,
            }
        }
    }

    /// Moves an object's bytes into `blocks`, going on at the offset that was reached when the destination fails in between.
    async fn transfer(&self, key: &str, size: u64, blocks: mpsc::Sender<Bytes>) -> Result<(), FetchError> {
        let mut pace = Pace::new(self.policy);
        loop {
            let (attempt, offset) = pace.begin();
            let sink = BlockSink { sender: PollSender::new(blocks.clone()), pulse: Arc::clone(&pace.pulse), attempt };
            let read = self.attempt(key, (offset, Some(size - offset)), Box::pin(sink), &mut pace).await;
            let Err(error) = read else { return Ok(()) };
            let taken = locked(&pace.pulse).taken;
            // Whatever is said after the last byte: the digest decides.
            if size > 0 && taken >= size {
                return Ok(());
            }
            self.go_on(key, error, (&mut pace, taken > offset)).await?;
        }
    }

    /// One call, for as long as bytes come at a bearable pace.
    async fn attempt(&self, key: &str, (offset, length): (u64, Option<u64>), sink: BodySink, pace: &mut Pace) -> Result<u64, Stopped> {
        tokio::select! {
            () = self.cancel.cancelled() => Err(Stopped::Cancelled),
            read = self.destination.read(key, offset, length, sink) => read.map_err(Stopped::Failed),
            error = pace.stalled() => Err(Stopped::Failed(error)),
        }
    }

    /// Waits for the next attempt, or says that there is none.
    async fn go_on(&self, key: &str, stopped: Stopped, (pace, progressed): (&mut Pace, bool)) -> Result<(), FetchError> {
        let Stopped::Failed(error) = stopped else { return Err(FetchError::Cancelled) };
        pace.failures = if progressed { 1 } else { pace.failures + 1 };
        if !error.retryable || pace.failures >= self.policy.attempts {
            return Err(FetchError::Destination { destination: self.name().to_owned(), key: key.to_owned(), source: error });
        }
        tracing::info!(destination = self.name(), key, %error, "download interrupted; going on at the offset reached");
        tokio::select! {
            () = self.cancel.cancelled() => Err(FetchError::Cancelled),
            () = tokio::time::sleep(self.policy.pause(pace.failures, &error)) => Ok(()),
        }
    }

    /// Downloads an artifact to a file without a name and proves it.
    ///
    /// # Errors
    /// When there is no room for it, it cannot be had whole, or is not what the manifest says.
    pub(super) async fn fetch(&self, download: Download<'_>, spool: &Spool) -> Result<VerifiedArtifact, FetchError> {
        let record = download.record;
        let (kdf, compression) = methods(download.set.manifest()).map_err(|what| self.damaged(&record.key, what))?;
        let file = spool.scratch_file(record.size).map_err(|source| FetchError::Room { key: record.key.clone(), source })?;
        let mut file = self.proven(download, file, Write::write_all).await?;
        file.seek(SeekFrom::Start(0)).map_err(|source| FetchError::Scratch { key: record.key.clone(), source })?;
        Ok(VerifiedArtifact { file, record: record.clone(), kdf, compression })
    }

    /// Reads an artifact to its last byte and proves it, and keeps nothing of it.
    ///
    /// # Errors
    /// When it cannot be had whole, or is not what the manifest says.
    pub(super) async fn check(&self, download: Download<'_>) -> Result<(), FetchError> {
        self.proven(download, (), |(), _| Ok(())).await
    }

    /// Brings an artifact to `take`, block by block on a thread of its own, and compares it with its record.
    async fn proven<T: Send + 'static>(
        &self,
        download: Download<'_>,
        place: T,
        take: impl Fn(&mut T, &[u8]) -> io::Result<()> + Send + 'static,
    ) -> Result<T, FetchError> {
        let record = download.record;
        let key = set_key(download.set.manifest().set, &record.key);
        let (sender, receiver) = mpsc::channel(BLOCKS_IN_FLIGHT);
        let meter = download.meter.download(&format!("{} {}", self.name(), record.key));
        let taker = tokio::task::spawn_blocking(move || digest_while(place, receiver, take, &meter));
        let transferred = self.transfer(&key, record.size, sender).await;
        let taken = taker.await.map_err(|_| FetchError::Cancelled)?;
        // The taker's own failure is the cause where both ends report one.
        let (place, found) = taken.map_err(|source| FetchError::Scratch { key: record.key.clone(), source })?;
        match transferred {
            Err(FetchError::Cancelled) => return Err(FetchError::Cancelled),
            Err(error) => return Err(self.shorter(&key, record).await.unwrap_or(error)),
            Ok(()) => {}
        }
        if found.size != record.size {
            return Err(self.damaged(&record.key, format!("it has {} bytes instead of {}", found.size, record.size)));
        }
        if hex::encode(found.sha256) != record.sha256 || hex::encode(found.md5) != record.md5 {
            return Err(self.damaged(&record.key, "its digest is not the one in the sealed manifest".to_owned()));
        }
        Ok(place)
    }

    /// A file that was cut looks like a transfer that failed: its size tells them apart.
    async fn shorter(&self, key: &str, record: &ArtifactRecord) -> Option<FetchError> {
        let object = tokio::time::timeout(self.policy.small_call(), self.destination.stat(key)).await.ok()?.ok()?;
        (object.size != record.size).then(|| self.damaged(&record.key, format!("it has {} bytes instead of {}", object.size, record.size)))
    }

    fn damaged(&self, key: &str, what: String) -> FetchError {
        FetchError::Damaged { key: key.to_owned(), destination: self.name().to_owned(), what }
    }
}

/// Why an attempt ended early.
enum Stopped {
    Cancelled,
    Failed(DestinationError),
}

/// How fast a download is, over all its attempts.
struct Pace {
    policy: RetryPolicy,
    pulse: Arc<Mutex<Pulse>>,
    /// When the current window began, and how many bytes there were then.
    window: (Instant, u64),
    /// Attempts since the last progress.
    failures: u32,
}

/// What came, and when the last of it.
struct Pulse {
    /// Number of the attempt that may give more: what one that was left behind still gives must not be mixed into it.
    attempt: u32,
    last: Instant,
    taken: u64,
}

impl Pulse {
    fn beat(&mut self, bytes: u64) {
        self.last = Instant::now();
        self.taken += bytes;
    }
}

impl Pace {
    fn new(policy: RetryPolicy) -> Self {
        let now = Instant::now();
        Self { policy, pulse: Arc::new(Mutex::new(Pulse { attempt: 0, last: now, taken: 0 })), window: (now, 0), failures: 0 }
    }

    /// Begins an attempt: its number, and the offset to go on from.
    fn begin(&mut self) -> (u32, u64) {
        let mut pulse = locked(&self.pulse);
        pulse.attempt += 1;
        pulse.last = Instant::now();
        (pulse.attempt, pulse.taken)
    }

    /// Ends when nothing came for too long, which may pass, or too little did within a window, which will not.
    async fn stalled(&mut self) -> DestinationError {
        let late = |message: String| DestinationError::transient(DestinationErrorKind::Timeout, message);
        let allowed = self.policy.call_of(WINDOW);
        loop {
            let (last, taken) = {
                let pulse = locked(&self.pulse);
                (pulse.last, pulse.taken)
            };
            if taken - self.window.1 >= WINDOW {
                self.window = (Instant::now(), taken);
            }
            let (silence, window) = (last + self.policy.idle, self.window.0 + allowed);
            let now = Instant::now();
            if window <= now {
                let message = format!("the destination sent less than {} MiB within {} s", WINDOW >> 20, allowed.as_secs());
                return DestinationError { retryable: false, ..late(message) };
            }
            if silence <= now {
                return late(format!("the destination sent nothing for {} s", self.policy.idle.as_secs()));
            }
            tokio::time::sleep_until(silence.min(window)).await;
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An artifact whose size and digests are those of a sealed manifest. The file vanishes with it.
#[derive(Debug)]
pub(super) struct VerifiedArtifact {
    file: File,
    record: ArtifactRecord,
    kdf: Kdf,
    compression: Compression,
}

impl VerifiedArtifact {
    /// What the manifest says of it.
    pub(super) fn record(&self) -> &ArtifactRecord {
        &self.record
    }

    /// The ciphertext itself.
    pub(super) fn into_file(self) -> File {
        self.file
    }

    /// Decrypts and decompresses: the bytes of the tar. One reader at a time: they share the file's position.
    ///
    /// # Errors
    /// When the content is not what a sealed artifact must be.
    pub(super) fn open(&self, passphrase: &Passphrase, threads: usize) -> Result<Decoder, PipelineError> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        Decoder::open(file, passphrase, self.kdf, self.compression, threads)
    }
}

/// How the artifacts of a set are to be read, from its sealed manifest.
///
/// # Errors
/// When the manifest names a method that this cofre does not know.
pub(super) fn methods(manifest: &Manifest) -> Result<(Kdf, Compression), String> {
    let kdf = match (manifest.encryption.kdf.as_str(), manifest.encryption.iterations) {
        ("pbkdf2", Some(iterations)) => Kdf::Pbkdf2 { iterations },
        ("legacy", None) => Kdf::Legacy,
        (other, _) => return Err(format!("the set uses the key derivation `{other}`, which this cofre does not know")),
    };
    let level = manifest.compression.level;
    let compression = match manifest.compression.algorithm.as_str() {
        "gzip" => match u8::try_from(level) {
            Ok(level) => Compression::Gzip { level },
            Err(_) => return Err(format!("the set says that gzip's level was {level}, which is none")),
        },
        "zstd" => Compression::Zstd { level },
        other => return Err(format!("the set is compressed with `{other}`, which this cofre does not know")),
    };
    Ok((kdf, compression))
}

/// One download: which artifact of which set.
#[derive(Clone, Copy)]
pub(super) struct Download<'a> {
    /// The set, proven.
    pub set: &'a SealedManifest,
    /// One of its artifacts.
    pub record: &'a ArtifactRecord,
    /// Shows how far it is.
    pub meter: &'a Meter,
}

fn digest_while<T>(
    mut place: T,
    mut blocks: mpsc::Receiver<Bytes>,
    take: impl Fn(&mut T, &[u8]) -> io::Result<()>,
    meter: &Meter,
) -> io::Result<(T, Digests)> {
    let mut digester = Digester::default();
    while let Some(block) = blocks.blocking_recv() {
        digester.update(&block);
        take(&mut place, &block)?;
        meter.add_cipher(block.len() as u64);
    }
    Ok((place, digester.finish()))
}

struct BlockSink {
    sender: PollSender<Bytes>,
    pulse: Arc<Mutex<Pulse>>,
    attempt: u32,
}

impl AsyncWrite for BlockSink {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let gone = || io::Error::other("the scratch file cannot be written");
        ready!(self.sender.poll_reserve(context)).map_err(|_| gone())?;
        let block = Bytes::copy_from_slice(bytes);
        let pulse = Arc::clone(&self.pulse);
        let mut pulse = locked(&pulse);
        if pulse.attempt != self.attempt {
            return Poll::Ready(Err(io::Error::other("this download was given up")));
        }
        self.sender.send_item(block).map_err(|_| gone())?;
        pulse.beat(bytes.len() as u64);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use async_trait::async_trait;
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::ports::{Limits, Object, ObjectPage, Upload};

    const MOMENT: Duration = Duration::from_millis(1);
    const FOREVER: Duration = Duration::from_secs(3_600);

    /// Gives an object piece by piece with a pause before each, and breaks after so many pieces of a read.
    struct Slow {
        size: u64,
        piece: u64,
        pause: Duration,
        breaks_after: u64,
    }

    #[async_trait]
    impl Destination for Slow {
        fn name(&self) -> &'static str {
            "slow"
        }

        async fn read(&self, _: &str, offset: u64, _: Option<u64>, mut sink: BodySink) -> Result<u64, DestinationError> {
            let mut position = offset;
            for _ in 0..self.breaks_after {
                tokio::time::sleep(self.pause).await;
                let length = self.piece.min(self.size - position);
                let piece = vec![7; usize::try_from(length).expect("small")];
                sink.write_all(&piece).await.map_err(|error| DestinationError::fatal(DestinationErrorKind::Other, error.to_string()))?;
                position += length;
                if position == self.size {
                    return Ok(position - offset);
                }
            }
            tokio::time::sleep(self.pause).await;
            Err(DestinationError::transient(DestinationErrorKind::Unavailable, "the line broke"))
        }

        async fn probe(&self) -> Result<Limits, DestinationError> {
            unreachable!("only read")
        }
        async fn begin(&self, _: &str, _: Option<u64>) -> Result<Box<dyn Upload>, DestinationError> {
            unreachable!("only read")
        }
        async fn resume(&self, _: &str, _: &str) -> Result<Box<dyn Upload>, DestinationError> {
            unreachable!("only read")
        }
        async fn stat(&self, _: &str) -> Result<Object, DestinationError> {
            unreachable!("only read")
        }
        async fn list(&self, _: &str, _: Option<&str>) -> Result<ObjectPage, DestinationError> {
            unreachable!("only read")
        }
        async fn delete(&self, _: &str) -> Result<(), DestinationError> {
            unreachable!("only read")
        }
        async fn protect(&self, _: &str, _: u64) -> Result<(), DestinationError> {
            unreachable!("only read")
        }
        async fn share(&self, _: &str, _: u32) -> Result<String, DestinationError> {
            unreachable!("only read")
        }
    }

    fn policy(call: Duration, idle: Duration) -> RetryPolicy {
        RetryPolicy { attempts: 3, first_pause: MOMENT, longest_pause: MOMENT, call, idle, pace: None }
    }

    /// Downloads; returns how much came, how it ended, and how long that took.
    async fn downloaded(slow: Slow, policy: RetryPolicy) -> (u64, Result<(), FetchError>, Duration) {
        let cancel = CancellationToken::new();
        let reader = Reader { destination: &slow, policy, cancel: &cancel };
        let (sender, mut receiver) = mpsc::channel::<Bytes>(BLOCKS_IN_FLIGHT);
        let counted = tokio::spawn(async move {
            let mut count = 0;
            while let Some(block) = receiver.recv().await {
                count += block.len() as u64;
            }
            count
        });
        let began = Instant::now();
        let ended = reader.transfer("a", slow.size, sender).await;
        let took = began.elapsed();
        (counted.await.expect("no panic"), ended, took)
    }

    #[tokio::test]
    async fn a_download_that_trickles_is_given_up_however_often_it_is_cut() {
        for breaks_after in [u64::MAX, 1, 20] {
            let slow = Slow { size: 1 << 40, piece: 1, pause: 5 * MOMENT, breaks_after };
            let trickle = downloaded(slow, policy(500 * MOMENT, FOREVER));
            let (_, ended, _) = tokio::time::timeout(Duration::from_secs(60), trickle).await.expect("it is given up");
            let error = ended.expect_err("it never ends").to_string();
            assert!(error.contains("less than 16 MiB within"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_download_that_is_slow_and_often_cut_comes_whole() {
        let slow = Slow { size: 40 << 20, piece: 1 << 20, pause: MOMENT, breaks_after: 2 };
        let (count, ended, _) = downloaded(slow, policy(FOREVER, FOREVER)).await;
        ended.expect("it comes");
        assert_eq!(count, 40 << 20);
    }

    #[tokio::test]
    async fn a_destination_that_says_nothing_is_asked_again_and_then_given_up() {
        let idle = 50 * MOMENT;
        let (count, ended, took) = downloaded(Slow { size: 9, piece: 9, pause: FOREVER, breaks_after: 1 }, policy(FOREVER, idle)).await;
        let error = ended.expect_err("silence").to_string();
        assert!(error.contains("sent nothing for"), "{error}");
        assert!(count == 0 && took >= 3 * idle, "{took:?}");
    }
}
