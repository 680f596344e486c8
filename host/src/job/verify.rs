//! Reads sets back from their destinations and proves them: seal, sizes, digests; and with `deep` decrypts, decompresses
//! and walks every archive to its last byte (trap 1). What is damaged is told with the copy that is still good, and the command that mends it.

mod share;

use std::num::NonZeroU32;
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::context::{Context, JobError};
use super::fetch::{Download, FetchError, Reader};
use super::good_copy::{GoodCopy, good_copies, mend};
use super::inspect::list_at;
use super::{alert, tell};
use crate::audit::{Action, Outcome};
use crate::catalog::{CopyRecord, CopyState};
use crate::config::DestinationConfig;
use crate::notify::Event;
use crate::pipeline::Passphrase;
use crate::pipeline::tar::TarReader;
use crate::ports::{Destination, Meter};
use crate::set::{Manifest, MissingRecord, SetName, set_key};
use share::Known;

/// What to verify.
#[derive(Debug, Clone, Default)]
pub struct VerifyRequest {
    /// One set, and nothing else.
    pub set: Option<SetName>,
    /// In how many verifications each set is read at least once: 1 is all of them each time. `None` is the newest at each destination.
    pub every: Option<NonZeroU32>,
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
    /// Where a damaged copy can be had again: the best of the other copies.
    pub good: Option<GoodCopy>,
    /// The command that mends it from there.
    pub mend: Option<String>,
}

/// Verifies copies.
///
/// # Errors
/// When nothing could be begun; what is wrong with a copy is in the result.
pub async fn verify(context: &Context, request: &VerifyRequest, meter: Arc<Meter>) -> Result<Vec<VerifiedCopy>, JobError> {
    let result = recorded(context, request, &meter).await;
    let scope =
        [Some(scope(request)).filter(|scope| scope != "all"), request.from.clone()].into_iter().flatten().collect::<Vec<_>>().join(":");
    tell::raise_end(context, (Event::VerifyFailed, &scope), &result, |copies| alert::of_verification(copies, jiff::Timestamp::now()));
    result
}

/// Which sets are verified.
fn scope(request: &VerifyRequest) -> String {
    match (request.set, request.every) {
        (Some(set), _) => set.to_string(),
        (None, Some(NonZeroU32::MIN)) => "all".to_owned(),
        (None, Some(every)) => format!("1/{every}"),
        (None, None) => "latest".to_owned(),
    }
}

async fn recorded(context: &Context, request: &VerifyRequest, meter: &Arc<Meter>) -> Result<Vec<VerifiedCopy>, JobError> {
    let passphrase = context.config.passphrase()?;
    let number = context.catalog.begin_run("verify", request.set)?;
    let what = scope(request);
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

/// All lines of a kind about copies, each with its set and destination, and with what mends it: `told(&copies, |copy| &copy.problems)`.
pub fn told(copies: &[VerifiedCopy], what: impl Fn(&VerifiedCopy) -> &Vec<String>) -> String {
    let subject =
        |copy: &VerifiedCopy| if copy.set.is_empty() { copy.destination.clone() } else { format!("{} · {}", copy.set, copy.destination) };
    let of = |copy: &VerifiedCopy| {
        let lines: Vec<String> = what(copy).iter().map(|line| format!("{}: {line}", subject(copy))).collect();
        let mend = copy.mend.iter().filter(|_| !lines.is_empty()).map(|mend| format!("{}: mend it with: {mend}", subject(copy)));
        lines.iter().cloned().chain(mend).collect::<Vec<_>>()
    };
    copies.iter().flat_map(of).collect::<Vec<_>>().join("; ")
}

/// A destination, and the sets there that are to be verified.
struct Place<'a> {
    config: &'a DestinationConfig,
    destination: Arc<dyn Destination>,
    sets: Vec<SetName>,
    /// Sets that were complete there, and whose seal is gone.
    lost: Vec<SetName>,
}

impl Place<'_> {
    fn name(&self) -> &str {
        &self.config.settings.name
    }
}

async fn verify_all(
    context: &Context,
    request: &VerifyRequest,
    (passphrase, meter): (&Passphrase, &Arc<Meter>),
) -> Result<Vec<VerifiedCopy>, JobError> {
    let mut verified = Vec::new();
    let mut places = Vec::new();
    let known = context.catalog.all_copies()?;
    for config in context.chosen(request.from.as_deref())? {
        let destination = config.settings.name.clone();
        match place(context, config, request, &known).await {
            Ok(place) if place.sets.is_empty() && place.lost.is_empty() => {
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
    let newest = places.iter().filter_map(|place| place.sets.first().map(|set| (*set, place.name()))).max();
    for place in &places {
        verified.extend(place.lost.iter().map(|set| lost(*set, place.name())));
        for set in &place.sets {
            let reader = Reader::new(context, place.config, place.destination.as_ref());
            let work = OneCopy { context, reader, passphrase, deep: request.deep, meter };
            let mut copy = work.verify(*set).await?;
            if copy.damaged && was_removed(context, &known, (*set, place.name()))? {
                continue;
            }
            if let Some((newest, elsewhere)) =
                newest.filter(|(newest, _)| request.set.is_none() && *newest > place.sets[0] && *set == place.sets[0])
            {
                copy.warnings.push(format!("it is the newest set here, but `{elsewhere}` has a newer one: {newest}"));
            }
            record(context, *set, &copy)?;
            verified.push(copy);
        }
        for set in &place.lost {
            record(context, *set, &lost(*set, place.name()))?;
        }
    }
    advise(context, &mut verified)?;
    Ok(verified)
}

fn record(context: &Context, set: SetName, copy: &VerifiedCopy) -> Result<(), JobError> {
    let problem = (!copy.problems.is_empty()).then(|| copy.problems.join("; "));
    if copy.damaged || problem.is_none() {
        context.catalog.record_verification(set, &copy.destination, problem.as_deref())?;
    }
    Ok(())
}

fn lost(set: SetName, destination: &str) -> VerifiedCopy {
    VerifiedCopy {
        set: set.to_string(),
        destination: destination.to_owned(),
        problems: vec!["this set was complete here, and its seal is gone: files of it were removed, or all of it".to_owned()],
        damaged: true,
        ..VerifiedCopy::default()
    }
}

/// Whether retention has removed a copy while it was read, so that nothing is wrong with it.
fn was_removed(context: &Context, known: &[(SetName, CopyRecord)], (set, destination): (SetName, &str)) -> Result<bool, JobError> {
    if !known.iter().any(|(other, copy)| *other == set && copy.destination == destination && !copy.given_up) {
        return Ok(false);
    }
    let now = context.catalog.copies(set)?;
    Ok(now.iter().find(|(name, _)| name == destination).is_none_or(|(_, state)| *state == CopyState::GivenUp))
}

/// Names the copy that is still good, and what mends the one that is not.
fn advise(context: &Context, verified: &mut [VerifiedCopy]) -> Result<(), JobError> {
    if !verified.iter().any(|copy| copy.damaged) {
        return Ok(());
    }
    let known = context.catalog.all_copies()?;
    let configured = |copy: &CopyRecord| context.config.destinations.iter().any(|config| config.settings.name == copy.destination);
    for copy in verified.iter_mut().filter(|copy| copy.damaged) {
        let of_set = known.iter().filter(|(set, other)| set.to_string() == copy.set && configured(other));
        let others: Vec<CopyRecord> = of_set.map(|(_, other)| other.clone()).collect();
        copy.good = good_copies(&others, &copy.destination).into_iter().next();
        copy.mend = copy.good.as_ref().map(|_| mend(&copy.set, &copy.destination));
    }
    Ok(())
}

async fn place<'a>(
    context: &Context,
    config: &'a DestinationConfig,
    request: &VerifyRequest,
    known: &[(SetName, CopyRecord)],
) -> Result<Place<'a>, JobError> {
    let destination = context.destination(config).await?;
    if let Some(set) = request.set {
        return Ok(Place { config, destination, sets: vec![set], lost: Vec::new() });
    }
    let name = config.settings.name.as_str();
    let listed = list_at(destination.as_ref()).await?.into_iter().filter(|set| set.complete).map(|set| set.name);
    let Some(every) = request.every else {
        return Ok(Place { config, destination, sets: listed.take(1).collect(), lost: Vec::new() });
    };
    let listed: Vec<SetName> = listed.collect();
    let known: Vec<_> = known.iter().filter(|(_, copy)| copy.destination == name).collect();
    let should_be_there = |copy: &CopyRecord| copy.complete || (copy.problem.is_some() && !copy.given_up);
    // What retention has removed since is nothing that is missing.
    let still = context.catalog.all_copies()?;
    let is_still_there =
        |set: &SetName| still.iter().any(|(other, copy)| other == set && copy.destination == name && should_be_there(copy));
    let missing = known.iter().filter(|(set, copy)| should_be_there(copy) && !listed.contains(set));
    let lost = missing.map(|(set, _)| *set).filter(is_still_there).collect();
    let verified = |set: &SetName| known.iter().find(|(other, _)| other == set)?.1.verified.as_deref()?.parse().ok();
    let sets: Vec<Known> = listed.iter().map(|set| Known { set: *set, verified: verified(set) }).collect();
    let sets = share::chosen(&sets, &context.catalog.rounds(name)?, (every, jiff::Timestamp::now()));
    if every.get() > 1 {
        context.catalog.begin_round(name)?;
    }
    Ok(Place { config, destination, sets, lost })
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
