//! One artifact of a drill: downloaded, restored into the scratch, compared, and removed again, each step timed.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::DrilledPart;
use super::scratch::{Databases, Place};
use crate::job::context::{Context, JobError};
use crate::job::fetch::VerifiedArtifact;
use crate::job::restore::Restore;
use crate::pipeline::tar::TarReader;
use crate::set::{ArtifactKind, ArtifactRecord, Passport};
use crate::source::files::{ExtractError, TreeProof, prove_tree};
use crate::source::mysql::MysqlError;

/// Differences that a problem lists.
const DIFFERENCES_TOLD: usize = 10;

/// What every artifact of a drill needs.
pub(super) struct Proving<'a> {
    pub context: &'a Context,
    pub work: &'a Restore<'a>,
    pub passport: &'a Passport,
    pub tree: &'a Path,
}

/// What a restored artifact was found to be.
struct Proven {
    items: u64,
    restoring: Duration,
    comparing: Duration,
}

impl Proving<'_> {
    /// Restores one artifact and compares it; what differs is in the part.
    ///
    /// # Errors
    /// When it could not be tried.
    pub(super) async fn part(&self, record: &ArtifactRecord, databases: &mut Databases) -> Result<DrilledPart, JobError> {
        let mut part = DrilledPart {
            artifact: record.key.clone(),
            kind: record.kind,
            name: record.name.clone(),
            from: None,
            stored: record.size,
            plain: record.plain,
            items: 0,
            download_seconds: 0.0,
            restore_seconds: 0.0,
            compare_seconds: 0.0,
            problem: None,
        };
        let clock = Instant::now();
        let fetched = self.work.fetch(record).await;
        part.download_seconds = clock.elapsed().as_secs_f64();
        let proven = match fetched {
            Ok((from, artifact)) => {
                part.from = Some(from);
                self.prove(record, Arc::new(artifact), databases).await
            }
            Err(error) => Err(error),
        };
        match proven {
            Ok(proven) => {
                part.items = proven.items;
                part.restore_seconds = proven.restoring.as_secs_f64();
                part.compare_seconds = proven.comparing.as_secs_f64();
            }
            Err(error) if is_of_the_set(&error) => part.problem = Some(error.to_string()),
            Err(error) => return Err(error),
        }
        Ok(part)
    }

    async fn prove(&self, record: &ArtifactRecord, artifact: Arc<VerifiedArtifact>, databases: &mut Databases) -> Result<Proven, JobError> {
        match record.kind {
            ArtifactKind::Schema => self.schema(record, artifact, databases).await,
            ArtifactKind::Directory => self.directory(record, artifact).await,
            // Accounts are never made on a live server, and cofre's own files are of no use beside the live ones: both are read to their end.
            ArtifactKind::Grants | ArtifactKind::Own => self.read(record, artifact).await,
        }
    }

    async fn schema(
        &self,
        record: &ArtifactRecord,
        artifact: Arc<VerifiedArtifact>,
        databases: &mut Databases,
    ) -> Result<Proven, JobError> {
        let server = databases.of(record)?;
        let name = server.scratch.name_for(&record.name);
        let rehearsed = self.work.rehearse(&server.settings, &artifact, &name).await;
        // What cannot be dropped now is tried again at the end, and told then.
        if let Err(error) = server.scratch.remove().await {
            tracing::debug!(schema = name, %error, "the scratch schema could not be dropped yet");
        }
        let rehearsed = rehearsed?;
        Ok(Proven { items: rehearsed.rows, restoring: rehearsed.loading, comparing: rehearsed.comparing })
    }

    async fn directory(&self, record: &ArtifactRecord, artifact: Arc<VerifiedArtifact>) -> Result<Proven, JobError> {
        let clock = Instant::now();
        let extracted = self.work.unpack(Arc::clone(&artifact), self.tree).await;
        let restoring = clock.elapsed();
        let proven = match extracted {
            Ok(report) => self.compare(record, artifact).await.map(|()| report.entries),
            Err(error) => Err(error),
        };
        let comparing = clock.elapsed().saturating_sub(restoring);
        let tree = self.tree.to_path_buf();
        let emptied = tokio::task::spawn_blocking(move || Place::empty(&tree)).await.map_err(|_| JobError::Cancelled)?;
        let items = proven?;
        emptied.map_err(|error| JobError::Failed(format!("cannot remove the scratch of `{}`: {error}", record.key)))?;
        Ok(Proven { items, restoring, comparing })
    }

    async fn compare(&self, record: &ArtifactRecord, artifact: Arc<VerifiedArtifact>) -> Result<(), JobError> {
        let (tree, cancel) = (self.tree.to_path_buf(), self.context.cancel.clone());
        let open = self.work.opener(artifact);
        let owners = rustix::process::geteuid().is_root();
        let work = move || -> Result<TreeProof, JobError> { Ok(prove_tree(open()?, &tree, owners, &cancel)?) };
        let proof = tokio::task::spawn_blocking(work).await.map_err(|_| JobError::Cancelled)??;
        let read = self.passport.directories.iter().find(|entry| entry.artifact == record.key);
        let mut differences = read.map(|entry| proof.against(&entry.passport)).unwrap_or_default();
        differences.extend(proof.differences.iter().take(DIFFERENCES_TOLD).map(ToString::to_string));
        if differences.is_empty() {
            return Ok(());
        }
        let total = differences.len().max(usize::try_from(proof.differences_total).unwrap_or(usize::MAX));
        Err(JobError::Differs(format!("{total} differences: {}", differences.join("; "))))
    }

    async fn read(&self, record: &ArtifactRecord, artifact: Arc<VerifiedArtifact>) -> Result<Proven, JobError> {
        let clock = Instant::now();
        let open = self.work.opener(artifact);
        let work = move || -> Result<u64, JobError> { Ok(TarReader::new(open()?).walk_to_end()?.entries) };
        let items = tokio::task::spawn_blocking(work).await.map_err(|_| JobError::Cancelled)??;
        self.work.count(record.plain);
        Ok(Proven { items, restoring: clock.elapsed(), comparing: Duration::ZERO })
    }
}

/// Whether a failure says something of the set, rather than of what it was tried with.
fn is_of_the_set(error: &JobError) -> bool {
    match error {
        JobError::Fetch(error) => error.is_damage(),
        JobError::Mysql(error) => {
            !matches!(error, MysqlError::Cancelled | MysqlError::Connect { .. } | MysqlError::Silent { .. } | MysqlError::Abandoned)
        }
        JobError::Extract(error) => !matches!(error, ExtractError::Cancelled | ExtractError::Write { .. } | ExtractError::Target { .. }),
        JobError::Differs(_) | JobError::Pipeline(_) | JobError::Tar(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::fetch::FetchError;
    use crate::ports::{DestinationError, DestinationErrorKind};

    #[test]
    fn only_what_the_set_is_to_blame_for_counts_against_it() {
        let of = |kind| {
            let source = DestinationError::fatal(kind, "x");
            JobError::Fetch(FetchError::Destination { destination: "disk".to_owned(), key: "a".to_owned(), source })
        };
        assert!(is_of_the_set(&of(DestinationErrorKind::NotFound)) && !is_of_the_set(&of(DestinationErrorKind::Unavailable)));
        assert!(is_of_the_set(&JobError::Differs("1 row".to_owned())) && !is_of_the_set(&JobError::Cancelled));
        let gone = MysqlError::Connect { source_name: "main".to_owned(), place: "x".to_owned(), cause: "refused".to_owned() };
        assert!(!is_of_the_set(&JobError::Mysql(gone)) && is_of_the_set(&JobError::Mysql(MysqlError::Dump("cut".to_owned()))));
    }
}
