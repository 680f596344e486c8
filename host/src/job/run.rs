//! One backup: sources into artifacts, artifacts into a sealed set, the set to every destination.
//!
//! All databases are held at their snapshots first; then directories are read, so that a file that the database knows of
//! was there at its snapshot or later (trap 6: a file deleted in between is named by its warning); then the schemas.
//! What fails alone, one schema or one directory, makes the set partial: it is kept, and never called good.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::context::{Context, JobError};
use super::own;
use super::produce::{ArtifactTar, KeyRing, ProduceError, Workshop};
use super::resume::tidy;
use crate::config::{HookMoment, MysqlConfig};
use crate::copy::{DestinationOutcome, Expected, SetCopies};
use crate::hooks::{HookContext, run_hooks};
use crate::pipeline::{Kdf, Passphrase, PipelineError, Totals};
use crate::ports::{Meter, Warning, Warnings};
use crate::set::{
    ArtifactKind, ArtifactRecord, BACKUP_LOG, CompressionRecord, DirectoryEntry, EncryptionRecord, FileRecord, MANIFEST, MD5SUMS, Manifest,
    MissingRecord, Passport, RESTORE_NOTES, SEAL, SHA256SUMS, SchemaEntry, SealedManifest, ServerEntry, SetName, directory_key, grants_key,
    md5_sums, own_key, restore_notes, schema_key, schema_stems, sha256_sums,
};
use crate::source::files::{FilesError, archive, artifact_stems};
use crate::source::mysql::{DumpContext, MysqlError, Snapshot};
use crate::spool::SpoolSet;

/// Files of a dump between its readers and the archive.
const ENTRIES_AHEAD: usize = 2;

/// What came of a run.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    /// The set.
    pub set: String,
    /// Start, RFC 3339.
    pub started: jiff::Timestamp,
    /// End, RFC 3339.
    pub finished: jiff::Timestamp,
    /// Schemas backed up.
    pub databases: usize,
    /// Directories backed up.
    pub directories: usize,
    /// Bytes before compression.
    pub plain: u64,
    /// Bytes stored, once.
    pub stored: u64,
    /// What could not be read.
    pub missing: Vec<String>,
    /// Destinations.
    pub destinations: Vec<DestinationOutcome>,
    /// The first warnings, word for word.
    pub warnings: Vec<Warning>,
    /// How many there were.
    pub warnings_total: u64,
}

impl RunReport {
    /// Whether everything that was to be read is at every destination.
    pub fn is_good(&self) -> bool {
        self.missing.is_empty() && self.destinations.iter().all(|destination| destination.complete)
    }
}

/// Makes a backup.
///
/// # Errors
/// When no set could be made. A set that is partial, or that a destination lacks, is in the report.
pub async fn run(context: &Context, only: &[String], meter: Arc<Meter>) -> Result<RunReport, JobError> {
    // A configuration without sources is right on a machine that only restores.
    if context.config.mysql.is_empty() && context.config.directories.is_empty() {
        return Err(JobError::Request("there is nothing to back up: add a [[mysql]] or a [[directory]] to the configuration".to_owned()));
    }
    let _lock = context.spool.lock_run()?;
    let passphrase = context.config.passphrase()?;
    tidy(context, &passphrase).await?;
    let set = fresh_name(context)?;
    let number = context.catalog.begin_run("run", Some(set))?;
    let warnings = Arc::new(Warnings::default());
    let hook = HookContext { set: set.to_string(), ..HookContext::default() };
    let result = match hooks(context, HookMoment::BeforeRun, &hook, &warnings).await {
        Ok(()) => Run::new(context, set, passphrase, only, (Arc::clone(&warnings), meter)).go().await,
        Err(error) => Err(error),
    };
    let outcome = match &result {
        Ok(report) if !report.is_good() => "failed",
        Ok(report) if report.warnings_total > 0 => "warnings",
        Ok(_) => "done",
        Err(_) => "failed",
    };
    let hook = HookContext { outcome: outcome.to_owned(), ..hook };
    let after = hooks(context, HookMoment::AfterRun, &hook, &warnings).await;
    let detail = result.as_ref().err().map(ToString::to_string).unwrap_or_default();
    context.catalog.finish_run(number, outcome, &detail)?;
    let mut report = result?;
    after?;
    (report.warnings, report.warnings_total) = warnings.snapshot();
    Ok(report)
}

async fn hooks(context: &Context, moment: HookMoment, hook: &HookContext, warnings: &Warnings) -> Result<(), JobError> {
    for warning in run_hooks(&context.config.hooks, moment, hook, &context.cancel).await? {
        warnings.push(moment.name(), warning);
    }
    Ok(())
}

fn fresh_name(context: &Context) -> Result<SetName, JobError> {
    let mut name = SetName::at(jiff::ZonedDateTime::now().datetime());
    let known = context.catalog.sets()?;
    let left = context.spool.left_overs()?;
    while known.iter().any(|set| set.name == name.to_string()) || left.iter().any(|(set, _)| *set == name) {
        name = name.next();
    }
    Ok(name)
}

struct Source<'a> {
    config: &'a MysqlConfig,
    snapshot: Arc<Snapshot>,
}

/// One artifact to be made.
struct Plan<'a> {
    key: String,
    kind: ArtifactKind,
    name: String,
    tenant: Option<String>,
    task: Task<'a>,
}

enum Task<'a> {
    Directory(&'a crate::ports::DirectorySettings),
    Schema(&'a Source<'a>),
    Grants(&'a Source<'a>),
}

impl Plan<'_> {
    fn source(&self) -> Option<String> {
        match &self.task {
            Task::Directory(_) => None,
            Task::Schema(source) | Task::Grants(source) => Some(source.config.settings.name.clone()),
        }
    }

    fn missing(&self) -> MissingRecord {
        MissingRecord { kind: self.kind, name: self.name.clone(), source: self.source() }
    }
}

struct Run<'a> {
    context: &'a Context,
    set: SetName,
    passphrase: Passphrase,
    only: &'a [String],
    warnings: Arc<Warnings>,
    meter: Arc<Meter>,
    started: jiff::Timestamp,
    log: Mutex<String>,
    artifacts: Vec<ArtifactRecord>,
    missing: Vec<MissingRecord>,
    passport: Passport,
}

impl<'a> Run<'a> {
    fn new(
        context: &'a Context,
        set: SetName,
        passphrase: Passphrase,
        only: &'a [String],
        (warnings, meter): (Arc<Warnings>, Arc<Meter>),
    ) -> Self {
        Self {
            context,
            set,
            passphrase,
            only,
            warnings,
            meter,
            started: jiff::Timestamp::now(),
            log: Mutex::default(),
            artifacts: Vec::new(),
            missing: Vec::new(),
            passport: Passport::new(set, env!("CARGO_PKG_VERSION")),
        }
    }

    fn note(&self, line: &str) {
        tracing::info!(set = %self.set, "{line}");
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(log, "{} {line}", jiff::ZonedDateTime::now().strftime("%Y-%m-%d %H:%M:%S"));
    }

    async fn go(mut self) -> Result<RunReport, JobError> {
        self.note(&format!("cofre {}: {}", env!("CARGO_PKG_VERSION"), self.set));
        let (lanes, mut outcomes) = self.lanes().await?;
        let sources = self.snapshots().await?;
        let plans = self.plans(&sources)?;
        let spool = Arc::new(self.context.spool.create_set(self.set)?);
        let copies = Arc::new(SetCopies::start((*spool).clone(), lanes, outcomes.len(), false, &self.context.cancel));
        let config = &self.context.config;
        let keys = Arc::new(KeyRing::start(self.passphrase.clone(), config.kdf, plans.len() + 1, config.iterations));
        let workshop = Arc::new(Workshop {
            spool: Arc::clone(&spool),
            copies,
            compression: self.context.config.compression,
            threads: self.context.config.threads,
            meter: Arc::clone(&self.meter),
            keys,
        });
        let sealed = self.produce(&workshop, plans, &sources).await;
        for source in sources {
            if let Ok(snapshot) = Arc::try_unwrap(source.snapshot) {
                snapshot.close().await;
            }
        }
        let Some(workshop) = Arc::into_inner(workshop) else { return Err(JobError::Cancelled) };
        let Some(copies) = Arc::into_inner(workshop.copies) else { return Err(JobError::Cancelled) };
        let closing = match sealed {
            Ok(closing) => closing,
            Err(error) => {
                // The set can never be: what is in the spool goes now, what destinations hold at the next run at the latest.
                copies.abandon().await;
                super::resume::clean_up_dead(self.context, self.set).await?;
                return Err(error);
            }
        };
        outcomes.extend(copies.close(artifacts_of(closing.sealed.manifest()), &closing.files).await);
        self.report(&spool, &closing.sealed, outcomes).await
    }

    /// Opens the destinations; one that cannot be opened is a failed copy, all of them are a failed run.
    async fn lanes(&self) -> Result<(Vec<crate::copy::Lane>, Vec<DestinationOutcome>), JobError> {
        let (mut lanes, mut failed, mut last) = (Vec::new(), Vec::new(), None);
        for config in &self.context.config.destinations {
            let name = &config.settings.name;
            let hook = HookContext { set: self.set.to_string(), subject: name.clone(), ..HookContext::default() };
            let opened = match hooks(self.context, HookMoment::BeforeCopy, &hook, &self.warnings).await {
                Ok(()) => self.context.destination(config).await,
                Err(error) => Err(error),
            };
            match opened {
                Ok(destination) => lanes.push(self.context.lane(self.set, config, destination)),
                Err(error) => {
                    self.note(&format!("destination {name}: FAILED: {error}"));
                    failed.push(DestinationOutcome {
                        name: name.clone(),
                        complete: false,
                        bytes: 0,
                        seconds: 0.0,
                        error: Some(error.to_string()),
                    });
                    last = Some(error);
                }
            }
        }
        match last {
            Some(error) if lanes.is_empty() => Err(error),
            _ => Ok((lanes, failed)),
        }
    }

    fn wants(&self, name: &str, kind: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name || only == kind)
    }

    async fn snapshots(&mut self) -> Result<Vec<Source<'a>>, JobError> {
        let mut sources = Vec::new();
        let context = self.context;
        let wanted: Vec<&'a MysqlConfig> =
            context.config.mysql.iter().filter(|config| self.wants(&config.settings.name, "sql") || self.wants_a_schema()).collect();
        for config in wanted {
            let name = &config.settings.name;
            let hook = HookContext { set: self.set.to_string(), subject: name.clone(), ..HookContext::default() };
            hooks(self.context, HookMoment::BeforeSource, &hook, &self.warnings).await?;
            let snapshot = Snapshot::open(&config.settings, &self.warnings, self.context.cancel.clone()).await?;
            self.note(&format!("source {name}: {} schemas at one snapshot", snapshot.schemas().len()));
            let entry = ServerEntry { source: name.clone(), server: snapshot.server().clone(), position: snapshot.position().clone() };
            self.passport.servers.push(entry);
            sources.push(Source { config, snapshot: Arc::new(snapshot) });
        }
        Ok(sources)
    }

    /// Whether `--only` names something that can only be a schema, of whichever source.
    fn wants_a_schema(&self) -> bool {
        let is_source = |name: &String| self.context.config.mysql.iter().any(|config| config.settings.name == *name);
        self.only.iter().any(|only| only != "config" && only != "sql" && !only.starts_with('/') && !is_source(only))
    }

    fn plans<'s>(&self, sources: &'s [Source<'a>]) -> Result<Vec<Plan<'s>>, JobError>
    where
        'a: 's,
    {
        let extension = self.context.config.compression.extension();
        let mut plans = Vec::new();
        let directories = &self.context.config.directories;
        let paths: Vec<_> = directories.iter().map(|directory| directory.settings.path.as_path()).collect();
        for (directory, stem) in directories.iter().zip(artifact_stems(&paths)) {
            let name = directory.settings.path.display().to_string();
            if self.wants(&name, "config") {
                plans.push(Plan {
                    key: directory_key(&stem, extension),
                    kind: ArtifactKind::Directory,
                    name,
                    tenant: None,
                    task: Task::Directory(&directory.settings),
                });
            }
        }
        let schemas: Vec<(&str, &str)> = sources
            .iter()
            .flat_map(|source| source.snapshot.schemas().iter().map(|schema| (source.config.settings.name.as_str(), schema.as_str())))
            .collect();
        let mut stems = schema_stems(&schemas).into_iter();
        for source in sources {
            let name = &source.config.settings.name;
            for (schema, stem) in source.snapshot.schemas().iter().zip(stems.by_ref()) {
                if self.wants(schema, "sql") || self.wants(name, "sql") {
                    let tenant = tenant(source.config, schema);
                    plans.push(Plan {
                        key: schema_key(&stem, extension),
                        kind: ArtifactKind::Schema,
                        name: schema.clone(),
                        tenant,
                        task: Task::Schema(source),
                    });
                }
            }
            if source.config.grants && self.wants(name, "sql") {
                plans.push(Plan {
                    key: grants_key(name, extension),
                    kind: ArtifactKind::Grants,
                    name: name.clone(),
                    tenant: None,
                    task: Task::Grants(source),
                });
            }
        }
        if plans.is_empty() {
            return Err(JobError::Request("nothing matches --only: name `sql`, `config`, a source, a schema or a directory".to_owned()));
        }
        Ok(plans)
    }

    async fn produce(&mut self, workshop: &Arc<Workshop>, plans: Vec<Plan<'_>>, sources: &[Source<'a>]) -> Result<Closing, JobError> {
        for plan in &plans {
            if self.context.cancel.is_cancelled() {
                return Err(JobError::Cancelled);
            }
            self.make(workshop, plan).await?;
        }
        if self.artifacts.is_empty() {
            return Err(JobError::Failed("nothing could be read: see the warnings above".to_owned()));
        }
        self.compare_with_before(sources, &plans)?;
        for source in sources {
            let hook = HookContext { set: self.set.to_string(), subject: source.config.settings.name.clone(), outcome: "done".to_owned() };
            hooks(self.context, HookMoment::AfterSource, &hook, &self.warnings).await?;
        }
        self.own_artifact(workshop).await?;
        self.close_set(workshop).await
    }

    async fn make(&mut self, workshop: &Arc<Workshop>, plan: &Plan<'_>) -> Result<(), JobError> {
        let made = match &plan.task {
            Task::Directory(settings) => self.directory(workshop, plan, settings).await,
            Task::Schema(source) => self.dump(workshop, plan, source, true).await,
            Task::Grants(source) => self.dump(workshop, plan, source, false).await,
        };
        let error = match made {
            Ok(totals) => {
                self.note(&format!("{}: {} bytes from {} bytes", plan.key, totals.cipher.size, totals.plain));
                self.artifacts.push(record(plan, &totals));
                return Ok(());
            }
            Err(error) => error,
        };
        // A spool that fails, or a cancelled run, concerns everything; anything else only this artifact.
        let ends_the_run =
            self.context.cancel.is_cancelled() || matches!(error, ProduceError::Spool(_) | ProduceError::Pipeline(PipelineError::Key(_)));
        if ends_the_run {
            return Err(if self.context.cancel.is_cancelled() { JobError::Cancelled } else { error.into() });
        }
        self.note(&format!("{}: FAILED: it is not in the set", plan.key));
        self.warnings.push(plan.name.clone(), format!("NOT IN THE BACKUP: {error}"));
        self.missing.push(plan.missing());
        Ok(())
    }

    async fn directory(
        &mut self,
        workshop: &Arc<Workshop>,
        plan: &Plan<'_>,
        settings: &crate::ports::DirectorySettings,
    ) -> Result<Totals, ProduceError> {
        let (settings, workshop, key) = (settings.clone(), Arc::clone(workshop), plan.key.clone());
        let (warnings, meter, cancel) = (Arc::clone(&self.warnings), Arc::clone(&self.meter), self.context.cancel.clone());
        let fill = move |tar: &mut ArtifactTar| {
            archive(&settings, tar, (&warnings, &meter), &cancel).map_err(|error| match error {
                FilesError::Cancelled => ProduceError::Cancelled,
                other => ProduceError::Source(other.to_string()),
            })
        };
        let (passport, totals) = blocking(move || workshop.make(&key, fill)).await?;
        self.passport.directories.push(DirectoryEntry { artifact: plan.key.clone(), passport });
        Ok(totals)
    }

    async fn dump(
        &mut self,
        workshop: &Arc<Workshop>,
        plan: &Plan<'_>,
        source: &Source<'_>,
        is_schema: bool,
    ) -> Result<Totals, ProduceError> {
        let (out, mut entries) = mpsc::channel(ENTRIES_AHEAD);
        let (ended, end) = tokio::sync::oneshot::channel::<bool>();
        let (workshop, key) = (Arc::clone(workshop), plan.key.clone());
        let writer_key = key.clone();
        let fill = move |tar: &mut ArtifactTar| {
            let now = jiff::Timestamp::now().as_second();
            while let Some(crate::ports::DumpEntry { name, data }) = entries.blocking_recv() {
                tar.append_bytes(name.as_bytes(), 0o600, now, &data)
                    .map_err(|source| ProduceError::Tar { key: writer_key.clone(), source })?;
            }
            // The end of the entries says nothing: only the reader knows whether they were all.
            if end.blocking_recv().unwrap_or(false) {
                Ok(())
            } else {
                Err(ProduceError::Source("the dump did not come to its end".to_owned()))
            }
        };
        let writing = tokio::spawn(blocking(move || workshop.make(&key, fill)));
        let dump =
            Arc::new(DumpContext { out, stem: dump_stem(&plan.key), warnings: Arc::clone(&self.warnings), meter: Arc::clone(&self.meter) });
        let read = if is_schema {
            source.snapshot.dump_schema(&plan.name, &dump).await.map(Some)
        } else {
            source.snapshot.dump_grants(&dump).await.map(|()| None)
        };
        let _ = ended.send(read.is_ok());
        drop(dump);
        let written = writing.await.map_err(|panic| ProduceError::Source(format!("writing ended unexpectedly: {panic}")))?;
        match (read, written) {
            (Ok(passport), Ok(((), totals))) => {
                if let Some(passport) = passport {
                    self.passport.schemas.push(SchemaEntry { artifact: plan.key.clone(), passport });
                }
                Ok(totals)
            }
            // The reader stops because nobody takes its entries: the writer knows why.
            (Err(MysqlError::Abandoned) | Ok(_), Err(error)) => Err(error),
            (Err(error), _) => Err(ProduceError::Source(error.to_string())),
        }
    }

    /// Warns of schemas that vanished or shrank since the last whole set.
    fn compare_with_before(&self, sources: &[Source<'_>], plans: &[Plan<'_>]) -> Result<(), JobError> {
        if !self.only.is_empty() {
            return Ok(());
        }
        for (kind, source, name, before) in self.context.catalog.artifacts_before(self.set)? {
            let Some(config) = sources.iter().map(|known| known.config).find(|config| kind == "schema" && config.settings.name == source)
            else {
                continue;
            };
            let planned = plans
                .iter()
                .any(|plan| plan.kind == ArtifactKind::Schema && plan.name == name && plan.source().as_deref() == Some(&source));
            if !planned {
                self.warnings.push(name, "this schema was in the last backup and is not on the server any more");
                continue;
            }
            let now = self.artifacts.iter().find(|artifact| {
                artifact.kind == ArtifactKind::Schema && artifact.name == name && artifact.source.as_deref() == Some(&source)
            });
            if let Some(now) = now.filter(|now| (now.plain as f64) < before as f64 * (1.0 - config.shrink)) {
                self.warnings.push(
                    name,
                    format!("this schema shrank from {before} to {} bytes of dump since the last backup: was data deleted?", now.plain),
                );
            }
        }
        Ok(())
    }

    async fn own_artifact(&mut self, workshop: &Arc<Workshop>) -> Result<(), JobError> {
        let key = own_key(self.context.config.compression.extension());
        (self.passport.warnings, self.passport.warnings_total) = self.warnings.snapshot();
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for warning in &self.passport.warnings {
            let _ = writeln!(log, "warning: {}: {}", warning.subject, warning.message);
        }
        let files = own::files(self.context, &self.passport, &log).await?;
        let (workshop, made) = (Arc::clone(workshop), key.clone());
        let ((), totals) = blocking(move || workshop.make(&made.clone(), |tar| own::write(tar, &files, &made))).await?;
        self.artifacts.push(ArtifactRecord {
            kind: ArtifactKind::Own,
            name: "cofre".to_owned(),
            source: None,
            tenant: None,
            ..base(&key, &totals)
        });
        Ok(())
    }

    /// Writes the readable files and the sealed manifest, and makes the spool's set durable as sealed.
    async fn close_set(&mut self, workshop: &Arc<Workshop>) -> Result<Closing, JobError> {
        self.artifacts.sort_by(|a, b| a.key.cmp(&b.key));
        let (_, warnings) = self.warnings.snapshot();
        self.note(&format!("{} artifacts, {} missing, {warnings} warnings", self.artifacts.len(), self.missing.len()));
        let mut manifest = Manifest {
            format: Manifest::format_name(),
            set: self.set,
            cofre: env!("CARGO_PKG_VERSION").to_owned(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            started: self.started,
            finished: jiff::Timestamp::now(),
            encryption: encryption(self.context.config.kdf),
            compression: CompressionRecord {
                algorithm: self.context.config.compression.algorithm().to_owned(),
                level: self.context.config.compression.level(),
            },
            artifacts: self.artifacts.clone(),
            missing: self.missing.clone(),
            files: Vec::new(),
            warnings,
        };
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut files = vec![(BACKUP_LOG, log.into_bytes()), (RESTORE_NOTES, restore_notes(&manifest).into_bytes())];
        manifest.files = files.iter().map(|(key, bytes)| file_record(key, bytes)).collect();
        let sums =
            [(MD5SUMS, md5_sums(&manifest.artifacts, &manifest.files)), (SHA256SUMS, sha256_sums(&manifest.artifacts, &manifest.files))];
        for (key, text) in sums {
            manifest.files.push(file_record(key, text.as_bytes()));
            files.push((key, text.into_bytes()));
        }
        manifest.files.sort_by(|a, b| a.key.cmp(&b.key));
        let keys = Arc::clone(&workshop.keys);
        let sealing = tokio::task::spawn_blocking(move || SealedManifest::seal(manifest, keys.seal_key()?)).await;
        let sealed = sealing.map_err(|_| JobError::Cancelled)??;
        files.push((MANIFEST, sealed.bytes().to_vec()));
        files.push((SEAL, sealed.seal_text().as_bytes().to_vec()));
        let mut closing = Vec::new();
        for (key, bytes) in files {
            workshop.spool.put(key, &bytes)?;
            closing.push((key.to_owned(), expected_of(&bytes)));
        }
        for destination in &self.context.config.destinations {
            self.context.catalog.record_copy(self.set, &destination.settings.name, false, "copying")?;
        }
        self.context.catalog.record_set(sealed.manifest())?;
        workshop.spool.seal()?;
        Ok(Closing { files: closing, sealed })
    }

    async fn report(self, spool: &SpoolSet, sealed: &SealedManifest, outcomes: Vec<DestinationOutcome>) -> Result<RunReport, JobError> {
        settle(self.context, spool, &outcomes)?;
        for outcome in &outcomes {
            let result = if outcome.complete { "done" } else { "failed" };
            let hook = HookContext { set: self.set.to_string(), subject: outcome.name.clone(), outcome: result.to_owned() };
            hooks(self.context, HookMoment::AfterCopy, &hook, &self.warnings).await?;
        }
        let manifest = sealed.manifest();
        let count = |kind| manifest.artifacts.iter().filter(|artifact| artifact.kind == kind).count();
        Ok(RunReport {
            set: self.set.to_string(),
            started: self.started,
            finished: jiff::Timestamp::now(),
            databases: count(ArtifactKind::Schema),
            directories: count(ArtifactKind::Directory),
            plain: manifest.plain_bytes(),
            stored: manifest.stored_bytes(),
            missing: self.missing.iter().map(|missing| missing.name.clone()).collect(),
            destinations: outcomes,
            warnings: Vec::new(),
            warnings_total: 0,
        })
    }
}

/// The sealed set, and the files that close it at a destination, in order.
struct Closing {
    files: Vec<(String, Expected)>,
    sealed: SealedManifest,
}

/// Records how each destination fared; the spool keeps the set until all have it.
pub(super) fn settle(context: &Context, spool: &SpoolSet, outcomes: &[DestinationOutcome]) -> Result<(), JobError> {
    for outcome in outcomes {
        let detail = outcome.error.as_deref().unwrap_or(if outcome.complete { "complete" } else { "incomplete" });
        context.catalog.record_copy(spool.name(), &outcome.name, outcome.complete, detail)?;
    }
    if outcomes.iter().all(|outcome| outcome.complete) {
        spool.remove_all()?;
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, ProduceError> + Send + 'static) -> Result<T, ProduceError> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|panic| Err(ProduceError::Source(format!("a thread ended unexpectedly: {panic}"))))
}

fn dump_stem(key: &str) -> String {
    let file = key.rsplit('/').next().unwrap_or(key);
    let stem = file.split(".tar.").next().unwrap_or(file);
    stem.strip_suffix(".sql").unwrap_or(stem).to_owned()
}

fn tenant(config: &MysqlConfig, schema: &str) -> Option<String> {
    let matches = |pattern: &String| globset::Glob::new(pattern).is_ok_and(|glob| glob.compile_matcher().is_match(schema));
    config.settings.tenants.iter().find(|(_, patterns)| patterns.iter().any(matches)).map(|(name, _)| name.clone())
}

fn base(key: &str, totals: &Totals) -> ArtifactRecord {
    ArtifactRecord {
        key: key.to_owned(),
        kind: ArtifactKind::Own,
        name: String::new(),
        source: None,
        tenant: None,
        plain: totals.plain,
        compressed: totals.compressed,
        size: totals.cipher.size,
        sha256: hex::encode(totals.cipher.sha256),
        md5: hex::encode(totals.cipher.md5),
    }
}

fn record(plan: &Plan<'_>, totals: &Totals) -> ArtifactRecord {
    ArtifactRecord {
        kind: plan.kind,
        name: plan.name.clone(),
        source: plan.source(),
        tenant: plan.tenant.clone(),
        ..base(&plan.key, totals)
    }
}

fn file_record(key: &str, bytes: &[u8]) -> FileRecord {
    FileRecord {
        key: key.to_owned(),
        size: bytes.len() as u64,
        sha256: hex::encode(Sha256::digest(bytes)),
        md5: hex::encode(md5::Md5::digest(bytes)),
    }
}

pub(super) fn expected(record: &FileRecord) -> Expected {
    Expected { size: record.size, sha256: record.sha256.clone(), md5: record.md5.clone() }
}

/// The artifacts that a complete copy must have.
pub(super) fn artifacts_of(manifest: &Manifest) -> Vec<(String, Expected)> {
    let expected = |artifact: &ArtifactRecord| Expected { size: artifact.size, sha256: artifact.sha256.clone(), md5: artifact.md5.clone() };
    manifest.artifacts.iter().map(|artifact| (artifact.key.clone(), expected(artifact))).collect()
}

/// What a small file must be at the destination.
pub(super) fn expected_of(bytes: &[u8]) -> Expected {
    expected(&file_record("", bytes))
}

fn encryption(kdf: Kdf) -> EncryptionRecord {
    let (kdf, iterations) = match kdf {
        Kdf::Pbkdf2 { iterations } => ("pbkdf2", Some(iterations)),
        Kdf::Legacy => ("legacy", None),
    };
    EncryptionRecord { cipher: "aes-256-cbc".to_owned(), kdf: kdf.to_owned(), iterations, digest: "sha256".to_owned() }
}
