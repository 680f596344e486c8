//! One copy that is mended: what is wrong with it is found, brought from the others, put in its place, and read back.

use std::io::{Seek, SeekFrom, Write};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::plan::Need;
use super::{RepairOutcome, RepairedCopy, RepairedObject};
use crate::catalog::CopyState;
use crate::config::DestinationConfig;
use crate::copy::{Expected, limits_of, replace};
use crate::job::context::{Context, JobError};
use crate::job::fetch::{Download, FetchError, Reader, VerifiedArtifact};
use crate::pipeline::Passphrase;
use crate::ports::{Destination, DestinationErrorKind, Limits, Meter};
use crate::set::{ArtifactRecord, MANIFEST, SEAL, SealedManifest, set_key};

/// One copy at work.
pub(super) struct Mending<'a> {
    pub context: &'a Context,
    pub need: &'a Need,
    pub passphrase: &'a Passphrase,
    pub meter: &'a Arc<Meter>,
    pub dry_run: bool,
}

/// A destination that can be read from.
struct Place<'a> {
    context: &'a Context,
    config: &'a DestinationConfig,
    destination: Arc<dyn Destination>,
}

impl Place<'_> {
    fn reader(&self) -> Reader<'_> {
        Reader::new(self.context, self.config, self.destination.as_ref())
    }

    fn name(&self) -> &str {
        &self.config.settings.name
    }
}

/// An object of a set, and what it must be.
enum Wanted<'a> {
    Artifact(&'a ArtifactRecord),
    /// Key, size, SHA-256 and MD5 of a readable file.
    File(&'a str, Expected),
    /// Key and bytes of the manifest, or of its seal.
    Exactly(&'a str, &'a [u8]),
}

impl Wanted<'_> {
    fn key(&self) -> &str {
        match self {
            Self::Artifact(record) => &record.key,
            Self::File(key, _) | Self::Exactly(key, _) => key,
        }
    }

    fn expected(&self) -> Expected {
        match self {
            Self::Artifact(record) => Expected { size: record.size, sha256: record.sha256.clone(), md5: record.md5.clone() },
            Self::File(_, expected) => expected.clone(),
            Self::Exactly(_, bytes) => {
                Expected { size: bytes.len() as u64, sha256: hex::encode(Sha256::digest(bytes)), md5: hex::encode(md5::Md5::digest(bytes)) }
            }
        }
    }
}

/// All objects of a set, in the order in which they must arrive: the seal last.
fn all_of(sealed: &SealedManifest) -> Vec<Wanted<'_>> {
    let manifest = sealed.manifest();
    let files = manifest
        .files
        .iter()
        .map(|file| Wanted::File(file.key.as_str(), Expected { size: file.size, sha256: file.sha256.clone(), md5: file.md5.clone() }));
    let ends = [Wanted::Exactly(MANIFEST, sealed.bytes()), Wanted::Exactly(SEAL, sealed.seal_text().as_bytes())];
    manifest.artifacts.iter().map(Wanted::Artifact).chain(files).chain(ends).collect()
}

impl<'a> Mending<'a> {
    /// Mends the copy; what is wrong with it and stays so is written into `copy`.
    ///
    /// # Errors
    /// When it could not be tried.
    pub(super) async fn mend(&self, copy: &mut RepairedCopy) -> Result<(), JobError> {
        let target = self.place(&self.need.to).await?;
        let mut sources = Vec::new();
        let mut unreachable = Vec::new();
        for name in &self.need.from {
            match self.place(name).await {
                Ok(place) => sources.push(place),
                Err(error) => unreachable.push(format!("`{name}` cannot be asked: {error}")),
            }
        }
        let Some((sealed, sources)) = self.sealed(&target, sources, (&mut *copy, &mut unreachable)).await? else { return Ok(()) };
        let wrong = self.examine(&target, &sealed, copy).await?;
        if wrong.is_empty() {
            copy.outcome = RepairOutcome::Sound;
            return self.note(&sealed);
        }
        let mut is_final = unreachable.is_empty();
        let limits = if self.dry_run { None } else { Some(self.limits(&target).await?) };
        for (index, wanted) in wrong {
            let object = &mut copy.objects[index];
            if !object.missing && !target.destination.may_delete() {
                copy.problems.push(format!(
                    "`{}` is wrong there and stays: cofre may remove and replace nothing at `{}`, as `grants.delete` is not granted (an append-only destination). Grant it for the repair, or remove that object with another credential, and repeat this",
                    object.key,
                    target.name()
                ));
                continue;
            }
            // A seal says that all of the set is there.
            if object.key == SEAL && !copy.problems.is_empty() {
                continue;
            }
            match self.bring(&sealed, &wanted, &sources).await {
                Ok((from, file)) => {
                    object.from = from;
                    if let Some(limits) = limits {
                        self.put(&target, (&sealed, &wanted, file), limits).await?;
                    }
                }
                Err(NotHad::Nowhere { why, passing }) => {
                    is_final &= !passing;
                    let all = why.into_iter().chain(unreachable.iter().cloned()).collect::<Vec<_>>().join("; ");
                    copy.problems.push(format!("`{}` cannot be had from any other copy: {all}", object.key));
                }
                Err(NotHad::Failed(error)) => return Err(error),
            }
        }
        copy.outcome = match (copy.problems.is_empty(), self.dry_run) {
            // What cannot be asked today may have it tomorrow, and is no verdict.
            (false, _) if !is_final => RepairOutcome::Failed,
            (false, _) => RepairOutcome::Unrepairable,
            (true, true) => RepairOutcome::WouldMend,
            (true, false) => RepairOutcome::Mended,
        };
        if copy.outcome == RepairOutcome::Mended { self.note(&sealed) } else { Ok(()) }
    }

    async fn place(&self, name: &str) -> Result<Place<'a>, JobError> {
        let config = self.context.chosen(Some(name))?[0];
        Ok(Place { context: self.context, config, destination: self.context.destination(config).await? })
    }

    async fn limits(&self, target: &Place<'_>) -> Result<Limits, JobError> {
        let lane = self.context.lane(self.need.set, target.config, Arc::clone(&target.destination));
        limits_of(&lane, &self.context.cancel).await.map_err(|error| JobError::Failed(format!("destination `{}`: {error}", target.name())))
    }

    /// The sealed manifest that says what the copy must be, and those copies that are of the same: the best source's own, else what the
    /// target has itself.
    async fn sealed(
        &self,
        target: &Place<'_>,
        places: Vec<Place<'a>>,
        (copy, unreachable): (&mut RepairedCopy, &mut Vec<String>),
    ) -> Result<Option<(SealedManifest, Vec<Place<'a>>)>, JobError> {
        let (mut found, mut sources, mut broken) = (None::<SealedManifest>, Vec::new(), Vec::new());
        for place in places {
            match place.reader().open_set(self.need.set, self.passphrase).await {
                Ok(sealed) if found.as_ref().is_none_or(|found| found.bytes() == sealed.bytes()) => {
                    found.get_or_insert(sealed);
                    sources.push(place);
                }
                Ok(_) => broken.push(format!("`{}` has another set under this name", place.name())),
                Err(FetchError::Cancelled) => return Err(JobError::Cancelled),
                Err(error) if error.is_damage() => {
                    broken.push(error.to_string());
                    // Its artifacts may be sound all the same: each is proven by itself.
                    sources.push(place);
                }
                Err(error) => unreachable.push(error.to_string()),
            }
        }
        let own = match target.reader().open_set(self.need.set, self.passphrase).await {
            Ok(own) => Some(own),
            Err(error) if error.is_damage() => {
                broken.push(error.to_string());
                None
            }
            Err(error) => return Err(error.into()),
        };
        match (found, own) {
            (Some(found), Some(own)) if found.bytes() != own.bytes() => {
                copy.outcome = RepairOutcome::Unrepairable;
                let message =
                    format!("`{}` has another set under this name, with a seal of its own that holds; nothing is touched", target.name());
                copy.problems.push(message);
                Ok(None)
            }
            (Some(sealed), _) | (None, Some(sealed)) => Ok(Some((sealed, sources))),
            (None, None) => {
                let is_final = unreachable.is_empty();
                copy.outcome = if is_final { RepairOutcome::Unrepairable } else { RepairOutcome::Failed };
                broken.append(unreachable);
                copy.problems.push(format!("no copy has a manifest that can be trusted: {}", broken.join("; ")));
                Ok(None)
            }
        }
    }

    /// Reads everything at the target; what is wrong comes back with its place in `copy.objects`.
    async fn examine<'s>(
        &self,
        target: &Place<'_>,
        sealed: &'s SealedManifest,
        copy: &mut RepairedCopy,
    ) -> Result<Vec<(usize, Wanted<'s>)>, JobError> {
        let mut wrong = Vec::new();
        self.meter.expect(sealed.manifest().stored_bytes());
        for wanted in all_of(sealed) {
            match self.check(target, sealed, &wanted).await {
                Ok(()) => {}
                Err(error) if error.is_damage() => {
                    let missing = matches!(&error, FetchError::Destination { source, .. } if source.kind == DestinationErrorKind::NotFound);
                    let (key, bytes) = (wanted.key().to_owned(), wanted.expected().size);
                    copy.objects.push(RepairedObject { key, missing, bytes, from: None, was: error.to_string() });
                    wrong.push((copy.objects.len() - 1, wanted));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(wrong)
    }

    /// Reads one object to its last byte and proves it.
    async fn check(&self, place: &Place<'_>, sealed: &SealedManifest, wanted: &Wanted<'_>) -> Result<(), FetchError> {
        match wanted {
            Wanted::Artifact(record) => {
                place.reader().check(Download { set: sealed, record, meter: self.meter }).await?;
                self.meter.add_plain(record.size);
                Ok(())
            }
            _ => self.small(place, wanted).await.map(drop),
        }
    }

    async fn small(&self, place: &Place<'_>, wanted: &Wanted<'_>) -> Result<Vec<u8>, FetchError> {
        let bytes = place.reader().small(&set_key(self.need.set, wanted.key())).await?;
        let expected = wanted.expected();
        if bytes.len() as u64 == expected.size && hex::encode(Sha256::digest(&bytes)) == expected.sha256 {
            return Ok(bytes);
        }
        let what = "it is not the file that belongs to the set".to_owned();
        Err(FetchError::Damaged { key: wanted.key().to_owned(), destination: place.name().to_owned(), what })
    }

    /// Brings an object from the first source that has it as it must be, into a file without a name.
    async fn bring(
        &self,
        sealed: &SealedManifest,
        wanted: &Wanted<'_>,
        sources: &[Place<'_>],
    ) -> Result<(Option<String>, std::fs::File), NotHad> {
        if let Wanted::Exactly(_, bytes) = wanted {
            return Ok((None, self.file(bytes).map_err(NotHad::Failed)?));
        }
        let (mut why, mut passing) = (Vec::new(), false);
        for source in sources {
            let had = match wanted {
                Wanted::Artifact(record) => {
                    let download = Download { set: sealed, record, meter: self.meter };
                    source.reader().fetch(download, &self.context.spool).await.map(VerifiedArtifact::into_file)
                }
                _ => match self.small(source, wanted).await {
                    Ok(bytes) => return Ok((Some(source.name().to_owned()), self.file(&bytes).map_err(NotHad::Failed)?)),
                    Err(error) => Err(error),
                },
            };
            match had {
                Ok(file) => return Ok((Some(source.name().to_owned()), file)),
                Err(error @ (FetchError::Room { .. } | FetchError::Scratch { .. })) => return Err(NotHad::Failed(error.into())),
                Err(FetchError::Cancelled) => return Err(NotHad::Failed(JobError::Cancelled)),
                Err(error) => {
                    passing |= !error.is_damage();
                    why.push(error.to_string());
                }
            }
        }
        if why.is_empty() {
            why.push("there is no other copy".to_owned());
        }
        Err(NotHad::Nowhere { why, passing })
    }

    fn file(&self, bytes: &[u8]) -> Result<std::fs::File, JobError> {
        let mut file = self.context.spool.scratch_file(bytes.len() as u64)?;
        let written = file.write_all(bytes).and_then(|()| file.seek(SeekFrom::Start(0)));
        written.map_err(|source| FetchError::Scratch { key: MANIFEST.to_owned(), source })?;
        Ok(file)
    }

    /// Puts an object in its place and reads it back from there.
    async fn put(
        &self,
        target: &Place<'_>,
        (sealed, wanted, file): (&SealedManifest, &Wanted<'_>, std::fs::File),
        limits: Limits,
    ) -> Result<(), JobError> {
        let lane = self.context.lane(self.need.set, target.config, Arc::clone(&target.destination));
        self.meter.destination(&format!("{} {}", target.name(), wanted.key()), &lane.meter);
        let key = set_key(self.need.set, wanted.key());
        let stored = replace(&lane, (limits, &self.context.cancel), (&key, Arc::new(file), wanted.expected())).await;
        stored.map_err(|error| JobError::Failed(format!("destination `{}`: {error}", target.name())))?;
        Ok(self.check(target, sealed, wanted).await?)
    }

    /// The copy is whole, and all of it was read.
    fn note(&self, sealed: &SealedManifest) -> Result<(), JobError> {
        if self.dry_run {
            return Ok(());
        }
        let catalog = &self.context.catalog;
        if catalog.set(self.need.set)?.is_none() {
            catalog.record_set(sealed.manifest())?;
        }
        catalog.record_copy(self.need.set, &self.need.to, CopyState::Complete, "complete")?;
        Ok(catalog.record_verification(self.need.set, &self.need.to, None)?)
    }

    /// Keeps what is wrong with a copy that could not be mended.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub(super) fn record(&self, copy: &RepairedCopy) -> Result<(), JobError> {
        let was: Vec<&str> = copy.objects.iter().map(|object| object.was.as_str()).collect();
        if copy.outcome == RepairOutcome::Unrepairable && !was.is_empty() {
            self.context.catalog.record_verification(self.need.set, &self.need.to, Some(&was.join("; ")))?;
        }
        Ok(())
    }
}

/// Why an object could not be had.
enum NotHad {
    /// No other copy has it as it must be.
    Nowhere {
        /// What each of them has instead.
        why: Vec<String>,
        /// Whether one of them could only not be read now.
        passing: bool,
    },
    /// It could not be tried.
    Failed(JobError),
}
