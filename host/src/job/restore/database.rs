//! Into a database: beside what is there, read back and compared with the passport of the set before anybody calls it done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::{Restore, What};
use crate::job::context::JobError;
use crate::job::fetch::VerifiedArtifact;
use crate::job::own;
use crate::pipeline::tar::TarReader;
use crate::pipeline::{Decoder, PipelineError};
use crate::ports::{MysqlSettings, ObjectKind, SchemaPassport, Warning};
use crate::set::{ArtifactKind, Passport};
use crate::source::mysql::{
    Difference, ENTRY_MAX, LoadOptions, LoadReport, Loader, Remarks, Staging, compare, compare_definitions, passport_of,
};

/// Differences that an error lists.
const DIFFERENCES_TOLD: usize = 10;
/// Files of a dump between the archive and the database.
const FILES_AHEAD: usize = 2;

impl Restore<'_> {
    /// The server that is restored into.
    pub(super) fn settings(&self) -> Result<&MysqlSettings, JobError> {
        self.server.as_ref().ok_or_else(|| JobError::Request("the restore does not go into a database".to_owned()))
    }

    /// The one table that is restored.
    pub(super) fn table(&self) -> Option<&str> {
        match &self.request.what {
            What::Schemas { table, .. } => table.as_deref(),
            _ => None,
        }
    }

    pub(super) async fn load(&self, artifact: VerifiedArtifact, into: &str) -> Result<String, JobError> {
        let (settings, table) = (self.settings()?, self.table());
        let passport = self.passport().await?;
        let Some(expected) = passport.schema(&artifact.record().key) else {
            return Err(JobError::Failed("the passport does not know this schema".to_owned()));
        };
        let order = Order { settings, artifact: &Arc::new(artifact), expected, table };
        let replaces = self.request.force && Staging::is_needed(settings, into, table).await?;
        let (report, rows) = if replaces { self.replace(&order, into).await? } else { self.load_proven(&order, into).await? };
        Ok(format!("{} files, {} statements, {rows} rows, equal to the passport", report.files, report.statements))
    }

    /// Loads into a scratch schema, without events, and compares with the passport.
    ///
    /// # Errors
    /// When it cannot be loaded, or differs.
    pub(in crate::job) async fn rehearse(
        &self,
        settings: &MysqlSettings,
        artifact: &Arc<VerifiedArtifact>,
        scratch: &str,
    ) -> Result<Rehearsed, JobError> {
        let passport = self.passport().await?;
        let expected = passport.schema(&artifact.record().key);
        let expected = expected.ok_or_else(|| JobError::Differs("the passport of the set does not know this schema".to_owned()))?;
        let order = Order { settings, artifact, expected, table: None };
        let clock = Instant::now();
        let (report, _) = self.load_into(&order, scratch, LoadOptions { unlogged: true, ..order.options(true) }).await?;
        let loading = clock.elapsed();
        for (view, why) in &report.remarks.views {
            self.warnings.push(format!("{}.{view}", expected.schema), format!("this view could not be made in the scratch schema: {why}"));
        }
        let rows = self.compare(&order, scratch, without_events(&report.remarks, expected)).await?;
        Ok(Rehearsed { rows, loading, comparing: clock.elapsed().saturating_sub(loading) })
    }

    /// Decrypts and decompresses an artifact, whenever that is asked for.
    pub(in crate::job) fn opener(&self, artifact: Arc<VerifiedArtifact>) -> impl Fn() -> Result<Decoder, PipelineError> + Send + use<> {
        let (passphrase, threads) = (self.passphrase.clone(), self.context.config.threads);
        move || artifact.open(&passphrase, threads)
    }

    /// Tells the meter of plain bytes that nothing else counts.
    pub(in crate::job) fn count(&self, plain: u64) {
        self.meter.add_plain(plain);
    }

    /// Something that a person should know.
    pub(in crate::job) fn warn(&self, subject: &str, message: String) {
        self.warnings.push(subject, message);
    }

    /// The first of all that a person should know, and how much there is.
    pub(in crate::job) fn warnings(&self) -> (Vec<Warning>, u64) {
        self.warnings.snapshot()
    }

    /// Loads into a schema that holds nothing of it yet, and compares with the passport.
    async fn load_proven(&self, order: &Order<'_>, into: &str) -> Result<(LoadReport, u64), JobError> {
        let (report, _) = self.load_into(order, into, order.options(false)).await?;
        self.tell(into, &report.remarks);
        let rows = self.compare(order, into, report.remarks.expected(order.expected)).await?;
        Ok((report, rows))
    }

    /// Loads beside what is there, and replaces it only once all that was loaded has proven whole (trap 2).
    async fn replace(&self, order: &Order<'_>, into: &str) -> Result<(LoadReport, u64), JobError> {
        let staging = Staging::beside(order.settings, into).await?;
        let proven = self.prove(order, staging.name()).await;
        let (report, rows, objects) = match proven {
            Ok(proven) => proven,
            Err(error) => {
                if let Err(left) = staging.discard().await {
                    self.warnings.push(into, left.to_string());
                }
                return Err(error);
            }
        };
        if order.table.is_some() || !staging.can_move().await? {
            staging.drop_target(order.table).await?;
            let kept = staging.name().to_owned();
            return match self.load_proven(order, into).await {
                Ok(done) => staging.discard().await.map(|()| done).map_err(JobError::from),
                Err(error) => Err(JobError::Failed(format!("{error} (what was restored is whole in schema `{kept}`)"))),
            };
        }
        let remarks = staging.swap(&objects, &order.expected.schema).await?;
        self.tell(into, &remarks);
        let expected = remarks.expected(order.expected);
        let differences = compare_definitions(order.settings, into, &expected, self.context.cancel.clone()).await?;
        verdict(&differences).map(|()| (report, rows))
    }

    /// Says what is not as it was where it came from.
    fn tell(&self, into: &str, remarks: &Remarks) {
        for (subject, message) in remarks.warnings() {
            self.warnings.push(format!("{into}.{subject}"), message);
        }
    }

    async fn prove(&self, order: &Order<'_>, staging: &str) -> Result<(LoadReport, u64, Vec<(String, Vec<u8>)>), JobError> {
        let (report, objects) = self.load_into(order, staging, order.options(true)).await?;
        let rows = self.compare(order, staging, without_events(&report.remarks, order.expected)).await?;
        Ok((report, rows, objects))
    }

    async fn load_into(
        &self,
        order: &Order<'_>,
        schema: &str,
        options: LoadOptions,
    ) -> Result<(LoadReport, Vec<(String, Vec<u8>)>), JobError> {
        let mut loader = Loader::open(order.settings, schema, options, Arc::clone(&self.meter), self.context.cancel.clone()).await?;
        if let Err(error) = self.feed(&mut loader, order.artifact).await {
            loader.kill().await;
            return Err(error);
        }
        Ok(loader.finish().await?)
    }

    /// Brings the files of a dump to the loader; the archive is read on a thread of its own.
    async fn feed(&self, loader: &mut Loader, artifact: &Arc<VerifiedArtifact>) -> Result<(), JobError> {
        let (sender, mut files) = mpsc::channel::<(String, Vec<u8>)>(FILES_AHEAD);
        let (artifact, passphrase, threads) = (Arc::clone(artifact), self.passphrase.clone(), self.context.config.threads);
        let reader = tokio::task::spawn_blocking(move || -> Result<(), JobError> {
            let mut tar = TarReader::new(artifact.open(&passphrase, threads)?);
            while let Some(entry) = tar.next_entry()? {
                let name = String::from_utf8_lossy(&entry.path).into_owned();
                if sender.blocking_send((name, tar.content(ENTRY_MAX)?)).is_err() {
                    return Ok(());
                }
            }
            Ok(())
        });
        let mut failed = None;
        while let Some((name, data)) = files.recv().await {
            if loader.wants(&name)
                && let Err(error) = loader.file(&name, data).await
            {
                failed = Some(error);
                break;
            }
        }
        drop(files);
        let read = reader.await.map_err(|_| JobError::Cancelled)?;
        failed.map_or(read, |error| Err(error.into()))
    }

    /// The passport of the set; downloaded once.
    pub(in crate::job) async fn passport(&self) -> Result<&Passport, JobError> {
        self.passport.get_or_try_init(|| self.fetch_passport()).await
    }

    async fn fetch_passport(&self) -> Result<Passport, JobError> {
        self.of_own(own::passport).await
    }

    /// The log of the run that made the set.
    pub(in crate::job) async fn log(&self) -> Result<String, JobError> {
        self.of_own(own::log).await
    }

    /// Something out of cofre's own artifact of the set.
    async fn of_own<T: Send + 'static>(&self, read: fn(Decoder) -> Result<T, JobError>) -> Result<T, JobError> {
        let own = self.copies.iter().find_map(|copy| super::find::of_kind(copy.sealed.manifest(), ArtifactKind::Own).next());
        let record =
            own.ok_or_else(|| JobError::Failed("the set carries no artifact of cofre's own, with its passport and its log".to_owned()))?;
        let (_, artifact) = self.fetch(record).await?;
        let (passphrase, threads) = (self.passphrase.clone(), self.context.config.threads);
        let work = move || read(artifact.open(&passphrase, threads)?);
        tokio::task::spawn_blocking(work).await.map_err(|_| JobError::Cancelled)?
    }

    /// Reads back what was loaded. Returns its rows.
    async fn compare(&self, order: &Order<'_>, schema: &str, mut expected: SchemaPassport) -> Result<u64, JobError> {
        let mut found = passport_of(order.settings, schema, self.context.cancel.clone()).await?;
        if let Some(table) = order.table {
            expected.tables.retain(|known| known.name == table);
            found.tables.retain(|known| known.name == table);
            expected.objects.clear();
        }
        verdict(&compare(&expected, &found))?;
        Ok(expected.tables.iter().map(|table| table.rows).sum())
    }
}

/// What came of a schema in a scratch.
pub(in crate::job) struct Rehearsed {
    pub rows: u64,
    pub loading: Duration,
    pub comparing: Duration,
}

/// What a schema must be that was loaded without its events, which would run in it.
fn without_events(remarks: &Remarks, passport: &SchemaPassport) -> SchemaPassport {
    let mut expected = remarks.expected(passport);
    expected.objects.retain(|object| object.kind != ObjectKind::Event);
    expected
}

/// What goes into a database.
struct Order<'a> {
    settings: &'a MysqlSettings,
    artifact: &'a Arc<VerifiedArtifact>,
    expected: &'a SchemaPassport,
    table: Option<&'a str>,
}

impl Order<'_> {
    fn options(&self, staging: bool) -> LoadOptions {
        LoadOptions { origin: self.expected.schema.clone(), table: self.table.map(str::to_owned), staging, unlogged: false }
    }
}

fn verdict(differences: &[Difference]) -> Result<(), JobError> {
    if differences.is_empty() {
        return Ok(());
    }
    let listed: Vec<String> = differences.iter().take(DIFFERENCES_TOLD).map(ToString::to_string).collect();
    Err(JobError::Differs(format!("{} differences: {}", differences.len(), listed.join("; "))))
}
