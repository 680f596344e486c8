//! Reads sets back from their destinations and proves them: seal, sizes, digests; and with `deep` decrypts, decompresses
//! and walks every archive to its last byte (trap 1).

use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::context::{Context, JobError};
use super::fetch::{Download, FetchError, Reader};
use super::inspect::list_at;
use super::{alert, tell};
use crate::audit::{Action, Outcome};
use crate::config::DestinationConfig;
use crate::notify::Event;
use crate::pipeline::Passphrase;
use crate::pipeline::tar::TarReader;
use crate::ports::{Destination, Meter};
use crate::set::{Manifest, MissingRecord, SetName, set_key};

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
#[derive(Debug, Clone, Default, Serialize)]
pub struct VerifiedCopy {
    /// The set.
    pub set: String,
    /// The destination.
    pub destination: String,
    /// Bytes that were read and found right.
    pub bytes: u64,
    /// What is wrong; empty where the copy is sound.
    pub problems: Vec<String>,
    /// What else a person should know: what the set does not hold, or that another destination has a newer one.
    pub warnings: Vec<String>,
    /// Whether what is wrong is damage, rather than a destination out of reach.
    pub damaged: bool,
}

/// Verifies copies.
///
/// # Errors
/// When nothing could be begun; what is wrong with a copy is in the result.
pub async fn verify(context: &Context, request: &VerifyRequest, meter: Arc<Meter>) -> Result<Vec<VerifiedCopy>, JobError> {
    let result = recorded(context, request, &meter).await;
    tell::raise_end(context, Event::VerifyFailed, &result, |copies| alert::of_verification(copies, jiff::Timestamp::now()));
    result
}

async fn recorded(context: &Context, request: &VerifyRequest, meter: &Arc<Meter>) -> Result<Vec<VerifiedCopy>, JobError> {
    let passphrase = context.config.passphrase()?;
    let number = context.catalog.begin_run("verify", request.set)?;
    let what = request.set.map_or_else(|| if request.all { "all" } else { "latest" }.to_owned(), |set| set.to_string());
    let facts = [("from", request.from.as_deref().unwrap_or_default()), ("deep", if request.deep { "yes" } else { "" })];
    let intent = context.audit.begin(Action::Verify, &what, &facts);
    let result = verify_all(context, request, (&passphrase, meter)).await;
    let (outcome, detail) = match &result {
        Ok(copies) if copies.iter().any(|copy| !copy.problems.is_empty()) => (Outcome::Failed, told(copies, |copy| &copy.problems)),
        Ok(copies) if copies.iter().any(|copy| !copy.warnings.is_empty()) => (Outcome::Warnings, told(copies, |copy| &copy.warnings)),
        Ok(copies) => (Outcome::Done, format!("{} copies", copies.len())),
        Err(error) => (Outcome::Failed, error.to_string()),
    };
    intent.end(outcome, &[("result", &detail)]);
    context.catalog.finish_run(number, outcome.name(), &detail)?;
    result
}

/// All lines of a kind about copies, each with its destination: `told(&copies, |copy| &copy.problems)`.
pub fn told(copies: &[VerifiedCopy], what: impl Fn(&VerifiedCopy) -> &Vec<String>) -> String {
    let lines = copies.iter().flat_map(|copy| what(copy).iter().map(|line| format!("{}: {line}", copy.destination)));
    lines.collect::<Vec<_>>().join("; ")
}

/// A destination, and the sets there that are to be verified.
struct Place<'a> {
    config: &'a DestinationConfig,
    destination: Arc<dyn Destination>,
    sets: Vec<SetName>,
}

async fn verify_all(
    context: &Context,
    request: &VerifyRequest,
    (passphrase, meter): (&Passphrase, &Arc<Meter>),
) -> Result<Vec<VerifiedCopy>, JobError> {
    let mut verified = Vec::new();
    let mut places = Vec::new();
    for config in context.chosen(request.from.as_deref())? {
        let destination = config.settings.name.clone();
        match place(context, config, request).await {
            Ok(place) if place.sets.is_empty() => {
                verified.push(VerifiedCopy {
                    destination,
                    problems: vec!["there is no complete set".to_owned()],
                    ..VerifiedCopy::default()
                });
            }
            Ok(place) => places.push(place),
            Err(JobError::Cancelled) => return Err(JobError::Cancelled),
            Err(error) => verified.push(VerifiedCopy { destination, problems: vec![error.to_string()], ..VerifiedCopy::default() }),
        }
    }
    let newest = places.iter().filter_map(|place| place.sets.first().map(|set| (*set, &place.config.settings.name))).max();
    for place in &places {
        let name = &place.config.settings.name;
        for set in &place.sets {
            let reader = Reader::new(context, place.config, place.destination.as_ref());
            let work = OneCopy { context, reader, passphrase, deep: request.deep, meter };
            let mut copy = work.verify(*set).await?;
            let problem = (!copy.problems.is_empty()).then(|| copy.problems.join("; "));
            if copy.damaged || problem.is_none() {
                context.catalog.record_verification(*set, name, problem.as_deref())?;
            }
            if let Some((newest, elsewhere)) =
                newest.filter(|(newest, _)| request.set.is_none() && *newest > place.sets[0] && *set == place.sets[0])
            {
                copy.warnings.push(format!("it is the newest set here, but `{elsewhere}` has a newer one: {newest}"));
            }
            verified.push(copy);
        }
    }
    Ok(verified)
}

async fn place<'a>(context: &Context, config: &'a DestinationConfig, request: &VerifyRequest) -> Result<Place<'a>, JobError> {
    let destination = context.destination(config).await?;
    let sets = if let Some(set) = request.set {
        vec![set]
    } else {
        let sets = list_at(destination.as_ref()).await?.into_iter().filter(|set| set.complete).map(|set| set.name);
        if request.all { sets.collect() } else { sets.take(1).collect() }
    };
    Ok(Place { config, destination, sets })
}

/// What a set does not hold, in words; a copy of it can be sound all the same.
fn lacking(manifest: &Manifest) -> Vec<String> {
    let missing: Vec<_> = manifest.missing.iter().map(MissingRecord::described).collect();
    let mut lines = Vec::new();
    if !missing.is_empty() {
        lines.push(format!("NOT IN THE BACKUP, because it could not be read: {}", missing.join(", ")));
    }
    if !manifest.selection.is_empty() {
        lines.push(format!("NOT IN THE BACKUP, because the run was told to take only {}: everything else", manifest.selection.join(", ")));
    }
    lines
}

struct OneCopy<'a> {
    context: &'a Context,
    reader: Reader<'a>,
    passphrase: &'a Passphrase,
    deep: bool,
    meter: &'a Arc<Meter>,
}

impl OneCopy<'_> {
    async fn verify(&self, set: SetName) -> Result<VerifiedCopy, JobError> {
        let destination = self.reader.name().to_owned();
        let mut copy = VerifiedCopy { set: set.to_string(), destination, ..VerifiedCopy::default() };
        let sealed = match self.reader.open_set(set, self.passphrase).await {
            Ok(sealed) => sealed,
            Err(error) => {
                note(&mut copy, error)?;
                return Ok(copy);
            }
        };
        copy.warnings = lacking(sealed.manifest());
        for file in &sealed.manifest().files {
            match self.reader.small(&set_key(set, &file.key)).await {
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
        self.meter.expect(sealed.manifest().stored_bytes());
        for record in &sealed.manifest().artifacts {
            let download = Download { set: &sealed, record, meter: self.meter };
            match self.artifact(download, &mut copy).await {
                Ok(()) => {
                    copy.bytes += record.size;
                    self.meter.add_plain(record.size);
                }
                Err(error) => note(&mut copy, error)?,
            }
        }
        Ok(copy)
    }

    /// Only what is decrypted as well needs room on the disk.
    async fn artifact(&self, download: Download<'_>, copy: &mut VerifiedCopy) -> Result<(), FetchError> {
        if !self.deep {
            return self.reader.check(download).await;
        }
        let artifact = self.reader.fetch(download, &self.context.spool).await?;
        self.walk(artifact, copy).await
    }

    async fn walk(&self, artifact: super::fetch::VerifiedArtifact, copy: &mut VerifiedCopy) -> Result<(), FetchError> {
        let (passphrase, threads) = (self.passphrase.clone(), self.context.config.threads);
        let key = artifact.record().key.clone();
        let plain = artifact.record().plain;
        let walked = tokio::task::spawn_blocking(move || {
            let decoder = artifact.open(&passphrase, threads).map_err(|error| error.to_string())?;
            let mut counted = Counted { inner: decoder, bytes: 0 };
            TarReader::new(&mut counted).walk_to_end().map_err(|error| error.to_string())?;
            if counted.bytes == plain { Ok(()) } else { Err(format!("its archive has {} bytes instead of {plain}", counted.bytes)) }
        });
        if let Err(problem) = walked.await.map_err(|_| FetchError::Cancelled)? {
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
