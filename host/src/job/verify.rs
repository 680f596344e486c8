//! Reads sets back from their destinations and proves them: seal, sizes, digests; and with `deep` decrypts, decompresses
//! and walks every archive to its last byte (trap 1).

use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::context::{Context, JobError};
use super::fetch::{Download, FetchError, fetch_artifact, open_set, read_small};
use super::inspect::list_at;
use crate::pipeline::Passphrase;
use crate::pipeline::tar::TarReader;
use crate::ports::{Destination, Meter};
use crate::set::{SetName, set_key};

/// What to verify.
#[derive(Debug, Clone, Default)]
pub struct VerifyRequest {
    /// One set; `None` is the newest at each destination.
    pub set: Option<SetName>,
    /// Every set.
    pub all: bool,
    /// One destination; `None` is all.
    pub from: Option<String>,
    /// Also decrypt and read every archive.
    pub deep: bool,
}

/// One copy that was verified.
#[derive(Debug, Clone, Serialize)]
pub struct VerifiedCopy {
    /// The set.
    pub set: String,
    /// The destination.
    pub destination: String,
    /// Bytes that were read and found right.
    pub bytes: u64,
    /// What is wrong; empty where the copy is sound.
    pub problems: Vec<String>,
    /// Whether what is wrong is damage, rather than a destination out of reach.
    pub damaged: bool,
}

/// Verifies copies.
///
/// # Errors
/// When nothing could be begun; what is wrong with a copy is in the result.
pub async fn verify(context: &Context, request: &VerifyRequest, meter: Arc<Meter>) -> Result<Vec<VerifiedCopy>, JobError> {
    let passphrase = context.config.passphrase()?;
    let mut verified = Vec::new();
    for config in context.chosen(request.from.as_deref())? {
        let name = &config.settings.name;
        let unreachable = |problem: String| VerifiedCopy {
            set: String::new(),
            destination: name.clone(),
            bytes: 0,
            problems: vec![problem],
            damaged: false,
        };
        let destination = match context.destination(config).await {
            Ok(destination) => destination,
            Err(error) => {
                verified.push(unreachable(error.to_string()));
                continue;
            }
        };
        let sets = match chosen_sets(destination.as_ref(), request).await {
            Ok(sets) => sets,
            Err(error) => {
                verified.push(unreachable(error.to_string()));
                continue;
            }
        };
        if sets.is_empty() {
            verified.push(unreachable("there is no complete set".to_owned()));
        }
        for set in sets {
            let work = OneCopy { context, destination: destination.as_ref(), passphrase: &passphrase, deep: request.deep, meter: &meter };
            let copy = work.verify(set).await?;
            let problem = (!copy.problems.is_empty()).then(|| copy.problems.join("; "));
            if copy.damaged || problem.is_none() {
                context.catalog.record_verification(set, name, problem.as_deref())?;
            }
            verified.push(copy);
        }
    }
    Ok(verified)
}

async fn chosen_sets(destination: &dyn Destination, request: &VerifyRequest) -> Result<Vec<SetName>, JobError> {
    if let Some(set) = request.set {
        return Ok(vec![set]);
    }
    let sets = list_at(destination).await?.into_iter().filter(|set| set.complete).map(|set| set.name);
    Ok(if request.all { sets.collect() } else { sets.take(1).collect() })
}

struct OneCopy<'a> {
    context: &'a Context,
    destination: &'a dyn Destination,
    passphrase: &'a Passphrase,
    deep: bool,
    meter: &'a Arc<Meter>,
}

impl OneCopy<'_> {
    async fn verify(&self, set: SetName) -> Result<VerifiedCopy, JobError> {
        let name = self.destination.name().to_owned();
        let mut copy = VerifiedCopy { set: set.to_string(), destination: name, bytes: 0, problems: Vec::new(), damaged: false };
        let sealed = match open_set(self.destination, set, self.passphrase).await {
            Ok(sealed) => sealed,
            Err(error) => {
                note(&mut copy, error)?;
                return Ok(copy);
            }
        };
        for file in &sealed.manifest().files {
            match read_small(self.destination, &set_key(set, &file.key)).await {
                Ok(bytes) if bytes.len() as u64 == file.size && hex::encode(Sha256::digest(&bytes)) == file.sha256 => {
                    copy.bytes += file.size;
                }
                Ok(_) => {
                    copy.damaged = true;
                    copy.problems.push(format!("`{}` is not the file that the sealed manifest lists", file.key));
                }
                Err(error) => note(&mut copy, error)?,
            }
        }
        let scratch = self.context.spool.scratch()?;
        for record in &sealed.manifest().artifacts {
            let download = Download { set: &sealed, record, scratch: &scratch };
            match fetch_artifact(self.destination, download, &self.context.cancel).await {
                Ok(artifact) => {
                    copy.bytes += record.size;
                    self.meter.add_plain(record.size);
                    if self.deep {
                        self.walk(artifact, &mut copy).await?;
                    }
                }
                Err(error) => note(&mut copy, error)?,
            }
        }
        Ok(copy)
    }

    async fn walk(&self, artifact: super::fetch::VerifiedArtifact, copy: &mut VerifiedCopy) -> Result<(), JobError> {
        let (passphrase, threads) = (self.passphrase.clone(), self.context.config.threads);
        let key = artifact.record().key.clone();
        let plain = artifact.record().plain;
        let walked = tokio::task::spawn_blocking(move || {
            let decoder = artifact.open(&passphrase, threads).map_err(|error| error.to_string())?;
            let mut counted = Counted { inner: decoder, bytes: 0 };
            TarReader::new(&mut counted).walk_to_end().map_err(|error| error.to_string())?;
            if counted.bytes == plain { Ok(()) } else { Err(format!("its archive has {} bytes instead of {plain}", counted.bytes)) }
        });
        if let Err(problem) = walked.await.map_err(|_| JobError::Cancelled)? {
            copy.damaged = true;
            copy.problems.push(format!("`{key}`: {problem}"));
        }
        Ok(())
    }
}

struct Counted<R> {
    inner: R,
    bytes: u64,
}

impl<R: std::io::Read> std::io::Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes += count as u64;
        Ok(count)
    }
}

fn note(copy: &mut VerifiedCopy, error: FetchError) -> Result<(), JobError> {
    if matches!(error, FetchError::Cancelled) {
        return Err(JobError::Cancelled);
    }
    copy.damaged |= error.is_damage();
    copy.problems.push(error.to_string());
    Ok(())
}
