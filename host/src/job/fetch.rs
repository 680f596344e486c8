//! Brings manifests and artifacts back from a destination and proves them before anybody looks inside.
//!
//! The order is held by types: a set is opened to a [`SealedManifest`], an artifact of it is fetched to a
//! [`VerifiedArtifact`], and only that can be decrypted. A download that was cut goes on at its offset.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::Bytes;
use md5::Md5;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, PollSender};

use crate::pipeline::{Compression, Decoder, Kdf, Passphrase, PipelineError};
use crate::ports::{Destination, DestinationError, DestinationErrorKind, body_sink};
use crate::set::{ArtifactRecord, MANIFEST, Manifest, SEAL, SealError, SealedManifest, SetName, set_key};

/// Largest manifest or seal that is read into memory.
const SMALL_FILE_MAX: usize = 64 << 20;
/// Blocks on their way from the component to the disk.
const BLOCKS_IN_FLIGHT: usize = 8;
/// Attempts without a byte of progress before a download is given up.
const ATTEMPTS: u32 = 5;
/// First pause between attempts; doubles each time.
const PAUSE: Duration = Duration::from_millis(500);

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
        source: std::io::Error,
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
            Self::Scratch { .. } | Self::Cancelled => false,
        }
    }
}

/// Opens a set on a destination: reads manifest and seal and checks both.
///
/// # Errors
/// When the set is incomplete, cannot be read or cannot be trusted.
pub async fn open_set(destination: &dyn Destination, set: SetName, passphrase: &Passphrase) -> Result<SealedManifest, FetchError> {
    let seal = match read_small(destination, &set_key(set, SEAL)).await {
        Err(FetchError::Destination { source, .. }) if source.kind == DestinationErrorKind::NotFound => {
            return Err(FetchError::Incomplete { set, destination: destination.name().to_owned() });
        }
        other => other?,
    };
    let bytes = read_small(destination, &set_key(set, MANIFEST)).await?;
    let secret = passphrase.clone();
    let opened = tokio::task::spawn_blocking(move || SealedManifest::open(bytes, &seal, secret.as_bytes())).await;
    let sealed = match opened {
        Ok(result) => result.map_err(|source| FetchError::Seal { set, destination: destination.name().to_owned(), source })?,
        Err(_) => return Err(FetchError::Cancelled),
    };
    let found = sealed.manifest().set;
    if found != set {
        return Err(FetchError::Swapped { set, destination: destination.name().to_owned(), found });
    }
    Ok(sealed)
}

/// Reads a file of a few MiB at most.
///
/// # Errors
/// When the destination fails or the file is larger than any that cofre writes.
pub(super) async fn read_small(destination: &dyn Destination, key: &str) -> Result<Vec<u8>, FetchError> {
    let store: Arc<Mutex<Vec<u8>>> = Arc::default();
    let filled = Arc::clone(&store);
    let sink = body_sink(move |bytes| {
        let mut store = filled.lock().unwrap_or_else(PoisonError::into_inner);
        if store.len() + bytes.len() > SMALL_FILE_MAX {
            return Err(std::io::Error::other("the file is larger than any that cofre writes here"));
        }
        store.extend_from_slice(bytes);
        Ok(())
    });
    let read = destination.read(key, 0, None, sink).await;
    read.map_err(|source| FetchError::Destination { destination: destination.name().to_owned(), key: key.to_owned(), source })?;
    let bytes = std::mem::take(&mut *store.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(bytes)
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
        "gzip" => Compression::Gzip { level: u8::try_from(level).unwrap_or(6) },
        "zstd" => Compression::Zstd { level },
        other => return Err(format!("the set is compressed with `{other}`, which this cofre does not know")),
    };
    Ok((kdf, compression))
}

/// One download: which artifact of which set, to which scratch directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Download<'a> {
    /// The set, proven.
    pub set: &'a SealedManifest,
    /// One of its artifacts.
    pub record: &'a ArtifactRecord,
    /// A private directory with room for it.
    pub scratch: &'a Path,
}

/// Downloads an artifact and proves it.
///
/// # Errors
/// When it cannot be had whole, or is not what the manifest says.
pub(super) async fn fetch_artifact(
    destination: &dyn Destination,
    download: Download<'_>,
    cancel: &CancellationToken,
) -> Result<VerifiedArtifact, FetchError> {
    let manifest = download.set.manifest();
    let record = download.record;
    let scratch = |source| FetchError::Scratch { key: record.key.clone(), source };
    let damaged = |what: String| FetchError::Damaged { key: record.key.clone(), destination: destination.name().to_owned(), what };
    let (kdf, compression) = methods(manifest).map_err(&damaged)?;
    let file = tempfile::tempfile_in(download.scratch).map_err(scratch)?;
    let (sender, receiver) = mpsc::channel(BLOCKS_IN_FLIGHT);
    let writer = tokio::task::spawn_blocking(move || store_and_digest(file, receiver));
    let transferred = transfer(destination, &set_key(manifest.set, &record.key), record.size, sender, cancel).await;
    let stored = writer.await.map_err(|_| FetchError::Cancelled)?;
    // The writer's own failure is the cause where both ends report one.
    let (file, found) = stored.map_err(scratch)?;
    if let Err(error) = transferred {
        // A file that was cut looks like a transfer that failed: its size tells them apart.
        let stored = destination.stat(&set_key(manifest.set, &record.key)).await.map(|object| object.size);
        return Err(match stored {
            Ok(size) if size != record.size => damaged(format!("it has {size} bytes instead of {}", record.size)),
            _ => error,
        });
    }
    if found.size != record.size {
        return Err(damaged(format!("it has {} bytes instead of {}", found.size, record.size)));
    }
    if found.sha256 != record.sha256 || found.md5 != record.md5 {
        return Err(damaged("its digest is not the one in the sealed manifest".to_owned()));
    }
    Ok(VerifiedArtifact { file, record: record.clone(), kdf, compression })
}

struct Found {
    size: u64,
    sha256: String,
    md5: String,
}

fn store_and_digest(mut file: File, mut blocks: mpsc::Receiver<Bytes>) -> std::io::Result<(File, Found)> {
    let (mut sha256, mut md5, mut size) = (Sha256::new(), Md5::new(), 0);
    while let Some(block) = blocks.blocking_recv() {
        sha256.update(&block);
        md5.update(&block);
        size += block.len() as u64;
        file.write_all(&block)?;
    }
    file.seek(SeekFrom::Start(0))?;
    let found = Found { size, sha256: hex::encode(sha256.finalize()), md5: hex::encode(md5.finalize()) };
    Ok((file, found))
}

/// Moves an object's bytes into `blocks`, going on at the offset that was reached when the destination fails in between.
async fn transfer(
    destination: &dyn Destination,
    key: &str,
    size: u64,
    blocks: mpsc::Sender<Bytes>,
    cancel: &CancellationToken,
) -> Result<(), FetchError> {
    let taken = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let mut failures = 0;
    loop {
        let offset = taken.load(std::sync::atomic::Ordering::Acquire);
        if offset >= size && (offset > 0 || failures > 0) {
            return Ok(());
        }
        let sink = BlockSink { sender: PollSender::new(blocks.clone()), taken: Arc::clone(&taken) };
        let read = tokio::select! {
            () = cancel.cancelled() => return Err(FetchError::Cancelled),
            read = destination.read(key, offset, Some(size - offset), Box::pin(sink)) => read,
        };
        let Err(error) = read else { return Ok(()) };
        let progressed = taken.load(std::sync::atomic::Ordering::Acquire) > offset;
        failures = if progressed { 1 } else { failures + 1 };
        if !error.retryable || failures >= ATTEMPTS {
            return Err(FetchError::Destination { destination: destination.name().to_owned(), key: key.to_owned(), source: error });
        }
        tracing::info!(destination = destination.name(), key, %error, "download interrupted; going on at the offset reached");
        let pause = error.retry_after.unwrap_or(PAUSE * 2u32.pow(failures - 1)).min(Duration::from_secs(60));
        tokio::select! {
            () = cancel.cancelled() => return Err(FetchError::Cancelled),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

struct BlockSink {
    sender: PollSender<Bytes>,
    taken: Arc<std::sync::atomic::AtomicU64>,
}

impl AsyncWrite for BlockSink {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let gone = || std::io::Error::other("the scratch file cannot be written");
        match self.sender.poll_reserve(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(_)) => return Poll::Ready(Err(gone())),
            Poll::Ready(Ok(())) => {}
        }
        self.sender.send_item(Bytes::copy_from_slice(bytes)).map_err(|_| gone())?;
        self.taken.fetch_add(bytes.len() as u64, std::sync::atomic::Ordering::Release);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
