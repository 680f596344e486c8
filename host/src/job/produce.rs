//! Makes one artifact: source → tar → compression → cipher → spool, while the copies already follow the growing file.
//!
//! An artifact either ends whole, with its digests, or is aborted: then its spool file goes, its uploads are told, and the
//! set is partial.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use crate::copy::{Expected, SetCopies};
use crate::pipeline::tar::TarWriter;
use crate::pipeline::{CipherKey, Compression, Encoder, EncoderSettings, Kdf, Passphrase, PipelineError, Totals};
use crate::ports::Meter;
use crate::spool::{SpoolError, SpoolSet, SpoolWriter};

/// The tar that a source writes into.
pub(super) type ArtifactTar = TarWriter<Encoder<SpoolWriter>>;

/// Why an artifact could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// The spool failed, for example because the disk is full.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// Compression, encryption or writing failed.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The key could not be made.
    #[error("cannot make a key for `{key}`: {source}")]
    Key {
        /// The artifact.
        key: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The archive could not be written.
    #[error("cannot write the archive `{key}`: {source}")]
    Tar {
        /// The artifact.
        key: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The source failed.
    #[error("{0}")]
    Source(String),
    /// Somebody cancelled.
    #[error("cancelled")]
    Cancelled,
}

/// What all artifacts of a run share.
pub(super) struct Workshop {
    /// Where ciphertext goes.
    pub spool: Arc<SpoolSet>,
    /// Who follows it.
    pub copies: Arc<SetCopies>,
    /// How it is compressed.
    pub compression: Compression,
    /// Compressing threads.
    pub threads: usize,
    /// Progress of the run.
    pub meter: Arc<Meter>,
    /// Keys, made ahead.
    pub keys: KeyRing,
}

impl Workshop {
    /// Makes the artifact `key`; `fill` writes its entries. Blocks: call it off the async threads.
    ///
    /// # Errors
    /// When anything on the way fails; the artifact is aborted then.
    pub(super) fn make<T>(
        &self,
        key: &str,
        fill: impl FnOnce(&mut ArtifactTar) -> Result<T, ProduceError>,
    ) -> Result<(T, Totals), ProduceError> {
        let secret = self.keys.next().map_err(|source| ProduceError::Key { key: key.to_owned(), source })?;
        let writer = self.spool.create(key)?;
        self.copies.artifact_started(key);
        let made = self.write(key, writer, secret, fill);
        match &made {
            Ok((_, totals)) => self.copies.artifact_finished(key, expected(totals)),
            Err(_) => self.copies.artifact_aborted(key),
        }
        made
    }

    fn write<T>(
        &self,
        key: &str,
        writer: SpoolWriter,
        secret: CipherKey,
        fill: impl FnOnce(&mut ArtifactTar) -> Result<T, ProduceError>,
    ) -> Result<(T, Totals), ProduceError> {
        let settings = EncoderSettings { compression: self.compression, threads: self.threads, meter: Some(Arc::clone(&self.meter)) };
        let tar_error = |source| ProduceError::Tar { key: key.to_owned(), source };
        let encoder = Encoder::start(settings, secret, writer).map_err(tar_error)?;
        let mut tar = TarWriter::new(encoder);
        let filled = fill(&mut tar)?;
        let encoder = tar.finish().map_err(tar_error)?;
        let (writer, totals) = encoder.finish()?;
        writer.finish().map_err(tar_error)?;
        Ok((filled, totals))
    }
}

fn expected(totals: &Totals) -> Expected {
    Expected { size: totals.cipher.size, sha256: hex::encode(totals.cipher.sha256), md5: hex::encode(totals.cipher.md5) }
}

/// Derives the keys of coming artifacts while the current one is being written: a derivation takes a tenth of a second.
pub(super) struct KeyRing {
    ready: std::sync::Mutex<Receiver<std::io::Result<CipherKey>>>,
}

impl KeyRing {
    /// Starts deriving `count` keys, one ahead of need.
    pub(super) fn start(passphrase: Passphrase, kdf: Kdf, count: usize) -> Self {
        let (sender, ready) = sync_channel(1);
        std::thread::spawn(move || {
            for _ in 0..count {
                if sender.send(CipherKey::fresh(&passphrase, kdf)).is_err() {
                    return;
                }
            }
        });
        Self { ready: std::sync::Mutex::new(ready) }
    }

    fn next(&self) -> std::io::Result<CipherKey> {
        let ready = self.ready.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        ready.recv().unwrap_or_else(|_| Err(std::io::Error::other("more artifacts were made than were planned")))
    }
}
