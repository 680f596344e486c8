//! Makes one artifact: source → tar → compression → cipher → spool, while the copies already follow the growing file.
//!
//! An artifact either ends whole, with its digests, or is aborted: then its spool file goes, its uploads are told, and the
//! set is partial.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use crate::copy::{Expected, SetCopies};
use crate::pipeline::tar::TarWriter;
use crate::pipeline::{CipherKey, Compression, Encoder, EncoderSettings, Kdf, Passphrase, PipelineError, Totals};
use crate::ports::{DumpEntry, Meter, SpareBuffers};
use crate::set::{ArtifactKind, SealError, SealKey};
use crate::spool::{SpoolError, SpoolSet, SpoolWriter};

/// Files of a dump between its readers and the archive.
pub(super) const ENTRIES_AHEAD: usize = 2;

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
    /// The archive could not be written.
    #[error("cannot write the archive `{key}`: {source}")]
    Tar {
        /// The artifact.
        key: String,
        /// Why not.
        source: io::Error,
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
    /// How files are compressed.
    pub compression: Compression,
    /// How dumps are compressed.
    pub dump_compression: Compression,
    /// Compressing threads.
    pub threads: usize,
    /// Progress of the run.
    pub meter: Arc<Meter>,
    /// Keys, made ahead.
    pub keys: Arc<KeyRing>,
}

impl Workshop {
    /// Makes the artifact `key` of a kind; `fill` writes its entries. Blocks: call it off the async threads.
    ///
    /// # Errors
    /// When anything on the way fails; the artifact is aborted then.
    pub(super) fn make<T>(
        &self,
        (key, kind): (&str, ArtifactKind),
        fill: impl FnOnce(&mut ArtifactTar) -> Result<T, ProduceError>,
    ) -> Result<(T, Totals), ProduceError> {
        let writer = self.spool.create(key)?;
        self.copies.artifact_started(key);
        let compression = match kind {
            ArtifactKind::Schema | ArtifactKind::Grants => self.dump_compression,
            ArtifactKind::Directory | ArtifactKind::Own => self.compression,
        };
        let made = self.write(key, (writer, compression), fill);
        match &made {
            Ok((_, totals)) => self.copies.artifact_finished(key, expected(totals)),
            Err(_) => self.copies.artifact_aborted(key),
        }
        made
    }

    fn write<T>(
        &self,
        key: &str,
        (writer, compression): (SpoolWriter, Compression),
        fill: impl FnOnce(&mut ArtifactTar) -> Result<T, ProduceError>,
    ) -> Result<(T, Totals), ProduceError> {
        let settings = EncoderSettings { compression, threads: self.threads, meter: Some(self.meter.artifact(key)) };
        let tar_error = |source| ProduceError::Tar { key: key.to_owned(), source };
        let keys = Arc::clone(&self.keys);
        let encoder = Encoder::start(settings, move || keys.next(), writer).map_err(tar_error)?;
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

/// The files of a dump on their way from its readers into an archive.
pub(super) struct DumpStream {
    /// The files, in order.
    pub entries: mpsc::Receiver<DumpEntry>,
    /// Says once whether they were all.
    pub end: oneshot::Receiver<bool>,
    /// Gets the buffers back.
    pub spare: Arc<SpareBuffers>,
}

impl DumpStream {
    /// Writes all of them into the archive `key`. Blocks: call it off the async threads.
    ///
    /// # Errors
    /// When the archive cannot be written, or the dump did not come to its end.
    pub(super) fn append_to<W: Write>(mut self, tar: &mut TarWriter<W>, key: &str) -> Result<(), ProduceError> {
        let now = jiff::Timestamp::now().as_second();
        while let Some(DumpEntry { name, data }) = self.entries.blocking_recv() {
            tar.append_bytes(name.as_bytes(), 0o600, now, &data).map_err(|source| ProduceError::Tar { key: key.to_owned(), source })?;
            self.spare.put(data);
        }
        // The end of the entries says nothing: only the reader knows whether they were all.
        if self.end.blocking_recv().unwrap_or(false) {
            Ok(())
        } else {
            Err(ProduceError::Source("the dump did not come to its end".to_owned()))
        }
    }
}

/// Derives the keys of coming artifacts, and at last the seal's, while the current artifact is being written: a derivation takes
/// two tenths of a second.
pub(super) struct KeyRing {
    /// Gone once the seal's key was asked for.
    ready: Mutex<Option<Receiver<io::Result<CipherKey>>>>,
    seal: Mutex<Receiver<Result<SealKey, SealError>>>,
}

impl KeyRing {
    /// Starts deriving `count` keys, one ahead of need.
    pub(super) fn start(passphrase: Passphrase, kdf: Kdf, count: usize, seal_iterations: u32) -> Self {
        let (sender, ready) = sync_channel(1);
        let (seal_sender, seal) = sync_channel(1);
        std::thread::spawn(move || {
            for _ in 0..count {
                if sender.send(CipherKey::fresh(&passphrase, kdf)).is_err() {
                    break; // fewer artifacts were made than were planned
                }
            }
            let _ = seal_sender.send(SealKey::fresh(passphrase.as_bytes(), seal_iterations));
        });
        Self { ready: Mutex::new(Some(ready)), seal: Mutex::new(seal) }
    }

    fn next(&self) -> io::Result<CipherKey> {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let key = ready.as_ref().and_then(|ready| ready.recv().ok());
        key.unwrap_or_else(|| Err(io::Error::other("more artifacts were made than were planned")))
    }

    /// The key of the seal; after it there are no more keys for artifacts. Blocks while it is being derived.
    pub(super) fn seal_key(&self) -> Result<SealKey, SealError> {
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let seal = self.seal.lock().unwrap_or_else(PoisonError::into_inner);
        seal.recv().unwrap_or(Err(SealError::NoKey))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seal_gets_its_key_even_if_artifacts_were_planned_and_never_made() {
        let ring = KeyRing::start(Passphrase::from_bytes(b"segredo"), Kdf::Legacy, 9, 1);
        ring.next().expect("a key");
        ring.seal_key().expect("the seal's key");
        ring.next().expect_err("no more");
    }
}
