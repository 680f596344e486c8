//! One backup: sources into artifacts, artifacts into a sealed set, the set to every destination.
//!
//! All databases are held at their snapshots first; right after, directories are read, and then the schemas. So a file that a database
//! names is in the set unless it was deleted after the snapshot (trap 6): one that goes between the listing of its directory and its turn is
//! named by a warning; for what went before that, the set says when the snapshots were taken and when each directory was read.
//! What fails alone, one schema, one directory or one file, makes the set partial: it is kept, and never called good.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::context::{Context, JobError};
use super::own;
use super::produce::{ArtifactTar, DumpStream, ENTRIES_AHEAD, KeyRing, ProduceError, Workshop};
use super::resume::{Removal, clean_up_at, tidy};
use super::{alert, tell};
use crate::audit::{Action, Outcome};
use crate::catalog::{Catalog, CopyState, Delivery, RunResult};
use crate::config::{HookMoment, MysqlConfig, Owners};
use crate::copy::{DestinationOutcome, Expected, SetCopies};
use crate::hooks::{HookContext, run_hooks};
use crate::notify::{Alert, Event};
use crate::pipeline::{Kdf, Passphrase, PipelineError, Totals};
use crate::ports::{Meter, SpareBuffers, Warning, Warnings};
use crate::set::{
    ALL_SCHEMAS, ArtifactKeys, ArtifactKind, ArtifactRecord, BACKUP_LOG, CompressionRecord, Contents, DirectoryEntry, EncryptionRecord,
    FileRecord, MANIFEST, MD5SUMS, Manifest, MissingRecord, Passport, Period, RESTORE_NOTES, SEAL, SHA256SUMS, SchemaEntry, SealedManifest,
    ServerEntry, SetName, md5_sums, own_key, restore_notes, sha256_sums, stem_of,
};
use crate::source::files::{FilesError, archive};
use crate::source::mysql::{DumpContext, MysqlError, Snapshot};
use crate::spool::{LeftOver, Relief, Spool, SpoolError, SpoolSet, statvfs_free};

/// Files of a directory that could not be read, of which the report names the first.
const UNREADABLE_TOLD: usize = 50;

/// What to back up.
#[derive(Debug, Clone, Default)]
pub struct RunRequest {
    /// Only these: `sql`, `config`, a source, a schema or a directory; everything where it is empty.
    pub only: Vec<String>,
    /// Tags of the set.
    pub tags: Vec<String>,
}

impl RunRequest {
    /// Longest tag, in bytes.
    const TAG_MAX: usize = 64;

    /// A request whose tags can stand in lists and in file formats.
    ///
    /// # Errors
    /// When one of them cannot.
    pub fn checked(only: Vec<String>, tags: Vec<String>) -> Result<Self, JobError> {
        tags.iter().try_for_each(|tag| Self::check_tag(tag)).map_err(JobError::Request)?;
        Ok(Self { only, tags })
    }

    /// Whether a tag is one word without what separates them in lists.
    ///
    /// # Errors
    /// With what a tag is, when this is none.
    pub fn check_tag(tag: &str) -> Result<(), String> {
        let is_plain = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.' | ':');
        if tag.is_empty() || tag.len() > Self::TAG_MAX || !tag.chars().all(is_plain) {
            return Err(format!("a tag has 1 to {} letters, digits, `-`, `_`, `.` or `:`", Self::TAG_MAX));
        }
        Ok(())
    }
}

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

    /// What is not as it should be, in one line; empty where the run is good.
    fn lacking(&self) -> String {
        let copies = self.destinations.iter().filter(|copy| !copy.complete);
        let copies = copies.map(|copy| format!("{}: {}", copy.name, copy.error.as_deref().unwrap_or("incomplete")));
        let missing = (!self.missing.is_empty()).then(|| format!("NOT IN THE BACKUP: {}", self.missing.join(", ")));
        copies.chain(missing).collect::<Vec<_>>().join("; ")
    }
}

/// What the report remembers of a run.
fn made(report: &RunReport, request: &RunRequest, warnings: u64) -> RunResult {
    RunResult {
        selected: !request.only.is_empty(),
        databases: report.databases as u64,
        directories: report.directories as u64,
        plain: report.plain,
        stored: report.stored,
        missing: report.missing.len() as u64,
        warnings,
    }
}

/// Makes a backup.
///
/// # Errors
/// When no set could be made. A set that is partial, or that a destination lacks, is in the report.
pub async fn run(context: &Context, request: &RunRequest, meter: Arc<Meter>) -> Result<RunReport, JobError> {
    // A configuration without sources is right on a machine that only restores.
    if context.config.mysql.is_empty() && context.config.directories.is_empty() {
        return Err(JobError::Request("there is nothing to back up: add a [[mysql]] or a [[directory]] to the configuration".to_owned()));
    }
    let result = make(context, request, meter).await;
    tell::raise_end(context, (Event::RunFailed, &request.only.join(",")), &result, alert::of_run);
    result
}

async fn make(context: &Context, request: &RunRequest, meter: Arc<Meter>) -> Result<RunReport, JobError> {
    let _lock = context.spool.lock_run()?;
    let passphrase = context.config.passphrase()?;
    let warnings = Arc::new(Warnings::default());
    super::priority::take(context.config.priority, &warnings).await;
    let set = fresh_name(context)?;
    tell::raise(context, Alert::new(Event::RunStarted, jiff::Timestamp::now(), "a backup began").with("set", set.to_string()));
    // That it began is told while it runs.
    let making = make_set(context, request, (set, passphrase), (warnings, meter));
    let (report, ()) = tokio::join!(making, tell::deliver_after_command(context));
    report
}

async fn make_set(
    context: &Context,
    request: &RunRequest,
    (set, passphrase): (SetName, Passphrase),
    (warnings, meter): (Arc<Warnings>, Arc<Meter>),
) -> Result<RunReport, JobError> {
    let number = context.catalog.begin_run("run", Some(set))?;
    let intent =
        context.audit.begin(Action::Run, &set.to_string(), &[("only", &request.only.join(", ")), ("tags", &request.tags.join(", "))]);
    let hook = HookContext { set: set.to_string(), ..HookContext::default() };
    let result = match hooks(context, HookMoment::BeforeRun, &hook, &warnings).await {
        Ok(()) => Run::new(context, set, passphrase.clone(), request, (Arc::clone(&warnings), Arc::clone(&meter))).go().await,
        Err(error) => Err(error),
    };
    // What earlier runs left comes after the new set: a slow line must not hold up the next snapshot.
    earlier_sets(context, set, (&passphrase, &meter), &warnings).await;
    let outcome = match &result {
        Ok((report, _)) if !report.is_good() => Outcome::Failed,
        Ok(_) if warnings.snapshot().1 > 0 => Outcome::Warnings,
        Ok(_) => Outcome::Done,
        Err(_) => Outcome::Failed,
    };
    let hook = HookContext { outcome: outcome.name().to_owned(), ..hook };
    let after = hooks(context, HookMoment::AfterRun, &hook, &warnings).await;
    let detail = match &result {
        Ok((report, _)) => report.lacking(),
        Err(error) => error.to_string(),
    };
    let copies = result.as_ref().map(|(report, _)| copies_told(&report.destinations)).unwrap_or_default();
    intent.end(outcome, &[("copies", &copies), ("error", &detail)]);
    if let Some(why) = context.audit.failure() {
        warnings.push("audit", format!("this run is not, or not whole, in the audit log: {why}"));
    }
    if let Ok((report, _)) = &result {
        context.catalog.record_result(number, &made(report, request, warnings.snapshot().1))?;
    }
    context.catalog.finish_run(number, outcome.name(), &detail)?;
    let (mut report, failed_hook) = result?;
    after?;
    if let Some(error) = failed_hook {
        return Err(error);
    }
    (report.warnings, report.warnings_total) = warnings.snapshot();
    Ok(report)
}

/// Where a set is now, and where not, in one line.
fn copies_told(destinations: &[DestinationOutcome]) -> String {
    let told = |copy: &DestinationOutcome| format!("{}: {}", copy.name, if copy.complete { "complete" } else { "incomplete" });
    destinations.iter().map(told).collect::<Vec<_>>().join(", ")
}

/// Goes on with what earlier runs left. Whatever is wrong with one of those sets is a warning: the new one does not depend on it.
async fn earlier_sets(context: &Context, new: SetName, (passphrase, meter): (&Passphrase, &Meter), warnings: &Warnings) {
    if context.cancel.is_cancelled() {
        return;
    }
    let earlier = match tidy(context, passphrase, meter, Some(new)).await {
        Ok(earlier) => earlier,
        Err(error) => return warnings.push("spool", format!("what earlier runs left could not be looked at: {error}")),
    };
    for set in earlier {
        if let Some(error) = &set.error {
            warnings.push(&set.set, format!("this earlier set could not be copied on: {error}"));
        }
        for copy in set.destinations.iter().filter(|copy| !copy.complete) {
            let why = copy.error.as_deref().unwrap_or("it is not complete");
            warnings.push(&copy.name, format!("the earlier set {} is still not there: {why}", set.set));
        }
        for left in &set.left {
            warnings.push(&left.destination, format!("{}: {left}", set.set));
        }
    }
}

/// Runs the hooks of a moment. What is to happen afterwards happens after a cancelled run too, within the hook's own time.
pub(super) async fn hooks(context: &Context, moment: HookMoment, hook: &HookContext, warnings: &Warnings) -> Result<(), JobError> {
    let afterwards = matches!(moment, HookMoment::AfterRun | HookMoment::AfterSource | HookMoment::AfterCopy);
    let cancel = if afterwards { CancellationToken::new() } else { context.cancel.clone() };
    for warning in run_hooks(&context.config.hooks, moment, hook, &cancel).await? {
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
    /// The moment of the snapshot lies in between.
    taken: Period,
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
        MissingRecord { kind: self.kind, name: self.name.clone(), source: self.source(), parts: None }
    }
}

struct Run<'a> {
    context: &'a Context,
    set: SetName,
    passphrase: Passphrase,
    request: &'a RunRequest,
    warnings: Arc<Warnings>,
    meter: Arc<Meter>,
    started: jiff::Timestamp,
    log: Mutex<String>,
    artifacts: Vec<ArtifactRecord>,
    missing: Vec<MissingRecord>,
    passport: Passport,
    /// Objects of schemas that could not be read, by their names.
    unreadable: Vec<String>,
    /// Sources whose hooks before them ran, and not yet those after them.
    begun: Vec<String>,
    /// The first hook afterwards whose failure is to be one of the run: nothing is stopped by it, since everything is done by then.
    failed_hook: Option<JobError>,
}

impl<'a> Run<'a> {
    fn new(
        context: &'a Context,
        set: SetName,
        passphrase: Passphrase,
        request: &'a RunRequest,
        (warnings, meter): (Arc<Warnings>, Arc<Meter>),
    ) -> Self {
        Self {
            context,
            set,
            passphrase,
            request,
            warnings,
            meter,
            started: jiff::Timestamp::now(),
            log: Mutex::default(),
            artifacts: Vec::new(),
            missing: Vec::new(),
            passport: Passport::new(set, env!("CARGO_PKG_VERSION")),
            unreadable: Vec::new(),
            begun: Vec::new(),
            failed_hook: None,
        }
    }

    fn note(&self, line: &str) {
        tracing::info!(set = %self.set, "{line}");
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(log, "{} {line}", jiff::ZonedDateTime::now().strftime("%Y-%m-%d %H:%M:%S"));
    }

    /// Makes the set; returns the first hook afterwards that failed, too.
    async fn go(mut self) -> Result<(RunReport, Option<JobError>), JobError> {
        self.note(&format!("cofre {}: {}", env!("CARGO_PKG_VERSION"), self.set));
        let made = self.copied().await;
        for source in std::mem::take(&mut self.begun) {
            let failed = made.is_err() || self.missing.iter().any(|missing| missing.source.as_ref() == Some(&source));
            self.after_source(source, if failed { "failed" } else { "done" }).await;
        }
        let (spool, sealed, outcomes) = made?;
        self.report(&spool, &sealed, outcomes).await
    }

    async fn copied(&mut self) -> Result<(Arc<SpoolSet>, SealedManifest, Vec<DestinationOutcome>), JobError> {
        let (lanes, mut outcomes) = self.lanes().await?;
        let sources = self.snapshots().await?;
        let plans = self.plans(&sources)?;
        self.expect(&plans)?;
        let spool = Arc::new(self.room()?);
        let copies = Arc::new(SetCopies::start((*spool).clone(), lanes, outcomes.len(), false, &self.context.cancel));
        let config = &self.context.config;
        let keys = Arc::new(KeyRing::start(self.passphrase.clone(), config.kdf, plans.len() + 1, config.iterations));
        let workshop = Arc::new(Workshop {
            spool: Arc::clone(&spool),
            copies,
            compression: self.context.config.compression,
            dump_compression: self.context.config.dump_compression,
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
        Ok((spool, closing.sealed, outcomes))
    }

    /// Begins the set in the spool. Where that is full, sets make room that are held somewhere and wait for a destination that does not
    /// answer: a backup of today is worth more than the second copy of an old one.
    fn room(&self) -> Result<SpoolSet, JobError> {
        let (spool, catalog, warnings, new) =
            (self.context.spool.clone(), Arc::clone(&self.context.catalog), Arc::clone(&self.warnings), self.set);
        let relief: Relief = Arc::new(move || relieve(&spool, &catalog, &warnings, new));
        loop {
            match self.context.spool.create_set(self.set) {
                Err(SpoolError::Full { .. }) if relief() => {}
                made => {
                    let made = made?;
                    made.relieved_by(relief);
                    return Ok(made);
                }
            }
        }
    }

    /// Runs the hooks after a source.
    async fn after_source(&mut self, subject: String, outcome: &str) {
        let hook = HookContext { set: self.set.to_string(), subject, outcome: outcome.to_owned() };
        if let Err(error) = hooks(self.context, HookMoment::AfterSource, &hook, &self.warnings).await {
            self.warnings.push(HookMoment::AfterSource.name(), error.to_string());
            self.failed_hook.get_or_insert(error);
        }
    }

    /// Runs the hooks before a source.
    async fn before_source(&mut self, subject: &str) -> Result<(), JobError> {
        let hook = HookContext { set: self.set.to_string(), subject: subject.to_owned(), ..HookContext::default() };
        self.begun.push(subject.to_owned());
        hooks(self.context, HookMoment::BeforeSource, &hook, &self.warnings).await
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
                Ok(destination) => {
                    let lane = self.context.lane(self.set, config, destination);
                    self.meter.destination(name, &lane.meter);
                    lanes.push(lane);
                }
                Err(error) => {
                    self.note(&format!("destination {name}: FAILED: {error}"));
                    failed.push(DestinationOutcome::failed(name, error.to_string()));
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
        self.request.only.is_empty() || self.request.only.iter().any(|only| only == name || only == kind)
    }

    async fn snapshots(&mut self) -> Result<Vec<Source<'a>>, JobError> {
        let mut sources = Vec::new();
        let context = self.context;
        let wanted: Vec<&'a MysqlConfig> =
            context.config.mysql.iter().filter(|config| self.wants(&config.settings.name, "sql") || self.wants_a_schema()).collect();
        for config in wanted {
            let name = &config.settings.name;
            match self.snapshot(config).await {
                Ok(source) => sources.push(source),
                Err(_) if self.context.cancel.is_cancelled() => return Err(JobError::Cancelled),
                // One server that does not answer takes the others and the directories with it in no set.
                Err(error) => {
                    self.note(&format!("source {name}: FAILED: none of its schemas is in the set"));
                    self.warnings.push(name, format!("NOT IN THE BACKUP: {error}"));
                    self.missing.push(MissingRecord {
                        kind: ArtifactKind::Schema,
                        name: ALL_SCHEMAS.to_owned(),
                        source: Some(name.clone()),
                        parts: None,
                    });
                }
            }
        }
        Ok(sources)
    }

    async fn snapshot(&mut self, config: &'a MysqlConfig) -> Result<Source<'a>, JobError> {
        let name = &config.settings.name;
        self.before_source(name).await?;
        let settings = self.context.config.mysql_settings(config)?;
        let from = jiff::Timestamp::now();
        let snapshot = Snapshot::open(&settings, &self.warnings, self.context.cancel.clone()).await?;
        let taken = Period { from, to: jiff::Timestamp::now() };
        self.note(&format!("source {name}: {} schemas at one snapshot", snapshot.schemas().len()));
        let (server, position) = (snapshot.server().clone(), snapshot.position().clone());
        self.passport.servers.push(ServerEntry { source: name.clone(), server, position, taken: Some(taken) });
        Ok(Source { config, snapshot: Arc::new(snapshot), taken })
    }

    /// Whether `--only` names something that can only be a schema, of whichever source.
    fn wants_a_schema(&self) -> bool {
        let is_source = |name: &String| self.context.config.mysql.iter().any(|config| config.settings.name == *name);
        self.request.only.iter().any(|only| only != "config" && only != "sql" && !only.starts_with('/') && !is_source(only))
    }

    fn plans<'s>(&self, sources: &'s [Source<'a>]) -> Result<Vec<Plan<'s>>, JobError>
    where
        'a: 's,
    {
        let extension = self.context.config.compression.extension();
        let mut plans = Vec::new();
        let directories = &self.context.config.directories;
        let paths: Vec<_> = directories.iter().map(|directory| directory.settings.path.as_path()).collect();
        let servers: Vec<_> = sources.iter().map(|source| source.config.settings.name.as_str()).collect();
        let schemas: Vec<(&str, &str)> = sources
            .iter()
            .flat_map(|source| source.snapshot.schemas().iter().map(|schema| (source.config.settings.name.as_str(), schema.as_str())))
            .collect();
        let keys = ArtifactKeys::of(Contents { directories: &paths, servers: &servers, schemas: &schemas }, extension);
        for (directory, key) in directories.iter().zip(keys.directories) {
            let name = directory.settings.path.display().to_string();
            if self.wants(&name, "config") {
                plans.push(Plan { key, kind: ArtifactKind::Directory, name, tenant: None, task: Task::Directory(&directory.settings) });
            }
        }
        let mut schema_keys = keys.schemas.into_iter();
        for (source, grants) in sources.iter().zip(keys.grants) {
            let name = &source.config.settings.name;
            let owners = Owners::of(&source.config.settings.tenants);
            for (schema, key) in source.snapshot.schemas().iter().zip(schema_keys.by_ref()) {
                if self.wants(schema, "sql") || self.wants(name, "sql") {
                    let tenant = owners.of_schema(schema).first().map(|name| (*name).to_owned());
                    plans.push(Plan { key, kind: ArtifactKind::Schema, name: schema.clone(), tenant, task: Task::Schema(source) });
                }
            }
            if source.config.grants && self.wants(name, "sql") {
                plans.push(Plan { key: grants, kind: ArtifactKind::Grants, name: name.clone(), tenant: None, task: Task::Grants(source) });
            }
        }
        self.matched(&plans)?;
        Ok(plans)
    }

    /// Refuses a name of `--only` that means nothing: whoever mistypes one would believe that it is in the set.
    fn matched(&self, plans: &[Plan<'_>]) -> Result<(), JobError> {
        let kind = |plan: &Plan<'_>| if plan.kind == ArtifactKind::Directory { "config" } else { "sql" };
        let means = |plan: &Plan<'_>, only: &str| only == plan.name || only == kind(plan) || plan.source().as_deref() == Some(only);
        // A server that did not answer may hold any schema.
        let unknown = self.request.only.iter().find(|only| self.missing.is_empty() && !plans.iter().any(|plan| means(plan, only)));
        match unknown {
            Some(name) => Err(JobError::Request(format!(
                "`{name}` of --only is nothing that is backed up here; name `sql`, `config`, a source, a schema or a directory"
            ))),
            None if plans.is_empty() => Err(JobError::Failed("nothing could be read: see the warnings above".to_owned())),
            None => Ok(()),
        }
    }

    /// Tells the meter what these took the last time.
    fn expect(&self, plans: &[Plan<'_>]) -> Result<(), JobError> {
        for (kind, source, name, plain) in self.context.catalog.artifacts_before(self.set)? {
            let same = |plan: &&Plan<'_>| plan.kind == kind && plan.name == name && plan.source().unwrap_or_default() == source;
            if plans.iter().any(|plan| same(&plan)) {
                self.meter.expect(plain);
            }
        }
        Ok(())
    }

    async fn produce(&mut self, workshop: &Arc<Workshop>, plans: Vec<Plan<'_>>, sources: &[Source<'a>]) -> Result<Closing, JobError> {
        for (index, plan) in plans.iter().enumerate() {
            if self.context.cancel.is_cancelled() {
                return Err(JobError::Cancelled);
            }
            self.make(workshop, plan).await?;
            let source = plan.source();
            if let Some(source) = source.filter(|source| !plans[index + 1..].iter().any(|later| later.source().as_ref() == Some(source))) {
                let failed = self.missing.iter().any(|missing| missing.source.as_ref() == Some(&source));
                self.ended(&source, failed).await;
            }
        }
        if self.artifacts.is_empty() {
            return Err(JobError::Failed("nothing could be read: see the warnings above".to_owned()));
        }
        self.compare_with_before(sources, &plans)?;
        self.own_artifact(workshop).await?;
        self.close_set(workshop).await
    }

    /// Runs the hooks after a source that was read to its end.
    async fn ended(&mut self, source: &str, failed: bool) {
        self.begun.retain(|begun| begun != source);
        self.after_source(source.to_owned(), if failed { "failed" } else { "done" }).await;
    }

    async fn make(&mut self, workshop: &Arc<Workshop>, plan: &Plan<'_>) -> Result<(), JobError> {
        let from = jiff::Timestamp::now();
        let made = match &plan.task {
            Task::Directory(settings) => {
                let made = match self.before_source(&plan.name).await {
                    Ok(()) => self.directory(workshop, plan, settings).await,
                    Err(error) => Err(ProduceError::Source(error.to_string())),
                };
                self.ended(&plan.name, made.is_err()).await;
                made
            }
            Task::Schema(source) => self.dump(workshop, plan, source, true).await,
            Task::Grants(source) => self.dump(workshop, plan, source, false).await,
        };
        let error = match made {
            Ok(totals) => {
                self.note(&format!("{}: {} bytes from {} bytes", plan.key, totals.cipher.size, totals.plain));
                let read = match &plan.task {
                    Task::Directory(_) => Period { from, to: jiff::Timestamp::now() },
                    Task::Schema(source) | Task::Grants(source) => source.taken,
                };
                self.artifacts.push(ArtifactRecord { read: Some(read), ..record(plan, &totals) });
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
        let from = jiff::Timestamp::now();
        let (passport, totals) = blocking(move || workshop.make((&key, ArtifactKind::Directory), fill)).await?;
        let read = Period { from, to: jiff::Timestamp::now() };
        if passport.unreadable > 0 {
            self.missing.push(MissingRecord { parts: Some(passport.unreadable), ..plan.missing() });
        }
        self.passport.directories.push(DirectoryEntry { artifact: plan.key.clone(), passport, read: Some(read) });
        Ok(totals)
    }

    async fn dump(
        &mut self,
        workshop: &Arc<Workshop>,
        plan: &Plan<'_>,
        source: &Source<'_>,
        is_schema: bool,
    ) -> Result<Totals, ProduceError> {
        let (out, entries) = mpsc::channel(ENTRIES_AHEAD);
        let (ended, end) = tokio::sync::oneshot::channel::<bool>();
        let (workshop, key) = (Arc::clone(workshop), plan.key.clone());
        let writer_key = key.clone();
        let spare = Arc::new(SpareBuffers::default());
        let stream = DumpStream { entries, end, spare: Arc::clone(&spare) };
        let fill = move |tar: &mut ArtifactTar| stream.append_to(tar, &writer_key);
        let kind = plan.kind;
        let writing = tokio::spawn(blocking(move || workshop.make((&key, kind), fill)));
        let (warnings, meter) = (Arc::clone(&self.warnings), Arc::clone(&self.meter));
        let dump = Arc::new(DumpContext { out, stem: stem_of(&plan.key).to_owned(), warnings, meter, spare });
        let read = if is_schema {
            source.snapshot.dump_schema(&plan.name, &dump).await.map(|passport| (passport.unreadable.clone(), Some(passport)))
        } else {
            source.snapshot.dump_grants(&dump).await.map(|unreadable| (unreadable, None))
        };
        let _ = ended.send(read.is_ok());
        drop(dump);
        let written = writing.await.map_err(|panic| ProduceError::Source(format!("writing ended unexpectedly: {panic}")))?;
        match (read, written) {
            (Ok((unreadable, passport)), Ok(((), totals))) => {
                // What the account may not see is missing, though the rest is there.
                if !unreadable.is_empty() {
                    self.missing.push(MissingRecord { parts: Some(unreadable.len() as u64), ..plan.missing() });
                    self.unreadable.extend(unreadable.into_iter().map(|what| format!("{}: {what}", plan.name)));
                }
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
        if !self.request.only.is_empty() {
            return Ok(());
        }
        for (kind, source, name, before) in self.context.catalog.artifacts_before(self.set)? {
            let Some(config) =
                sources.iter().map(|known| known.config).find(|config| kind == ArtifactKind::Schema && config.settings.name == source)
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
        let ((), totals) =
            blocking(move || workshop.make((&made.clone(), ArtifactKind::Own), |tar| own::write(tar, &files, &made))).await?;
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
            selection: self.request.only.clone(),
            tags: self.request.tags.clone(),
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
            self.context.catalog.record_copy(self.set, &destination.settings.name, CopyState::Incomplete, "copying")?;
        }
        self.context.catalog.record_set(sealed.manifest())?;
        workshop.spool.seal()?;
        Ok(Closing { files: closing, sealed })
    }

    /// What is not in the set, one by one; of many files in one directory the first.
    fn missing_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.missing.iter().filter(|missing| missing.parts.is_none()).map(MissingRecord::described).collect();
        names.extend(self.unreadable.iter().cloned());
        for DirectoryEntry { passport, .. } in self.passport.directories.iter().filter(|directory| directory.passport.unreadable > 0) {
            names.extend(passport.unreadable_paths.iter().take(UNREADABLE_TOLD).cloned());
            let more = passport.unreadable.saturating_sub(UNREADABLE_TOLD as u64);
            if more > 0 {
                names.push(format!("{}: {more} more files", passport.path));
            }
        }
        names
    }

    async fn report(
        mut self,
        spool: &SpoolSet,
        sealed: &SealedManifest,
        outcomes: Vec<DestinationOutcome>,
    ) -> Result<(RunReport, Option<JobError>), JobError> {
        settle(self.context, spool, &outcomes).await?;
        if let Err(error) = after_copies(self.context, self.set, &outcomes, &self.warnings).await {
            self.failed_hook.get_or_insert(error);
        }
        let manifest = sealed.manifest();
        let count = |kind| manifest.artifacts.iter().filter(|artifact| artifact.kind == kind).count();
        let report = RunReport {
            set: self.set.to_string(),
            started: self.started,
            finished: jiff::Timestamp::now(),
            databases: count(ArtifactKind::Schema),
            directories: count(ArtifactKind::Directory),
            plain: manifest.plain_bytes(),
            stored: manifest.stored_bytes(),
            missing: self.missing_names(),
            destinations: outcomes,
            warnings: Vec::new(),
            warnings_total: 0,
        };
        Ok((report, self.failed_hook))
    }
}

/// Runs the hooks after the copies of each destination; returns the first failure that is one of the run.
pub(super) async fn after_copies(
    context: &Context,
    set: SetName,
    outcomes: &[DestinationOutcome],
    warnings: &Warnings,
) -> Result<(), JobError> {
    let mut first = Ok(());
    for outcome in outcomes {
        let result = if outcome.complete { "done" } else { "failed" };
        let hook = HookContext { set: set.to_string(), subject: outcome.name.clone(), outcome: result.to_owned() };
        let ran = hooks(context, HookMoment::AfterCopy, &hook, warnings).await;
        if first.is_ok() {
            first = ran;
        }
    }
    first
}

/// Gives up the oldest earlier set that some destination holds; whether there was one.
fn relieve(spool: &Spool, catalog: &Catalog, warnings: &Warnings, new: SetName) -> bool {
    let Ok(left) = spool.left_overs() else { return false };
    for (set, state) in left {
        if set == new || state != LeftOver::Sealed || !catalog.is_held(set).unwrap_or(false) {
            continue;
        }
        let Ok(lacking) = catalog.incomplete(set) else { continue };
        if let Err(error) = spool.open_set(set).give_up() {
            tracing::warn!(%set, %error, "the spool is full, and an earlier set could not make room");
            continue;
        }
        for destination in lacking {
            let why = "given up: the spool needed its space before this destination took it";
            if let Err(error) = catalog.record_copy(set, &destination, CopyState::GivenUp, why) {
                tracing::warn!(%set, %error, "the catalogue could not be told that a copy was given up");
            }
            warnings.push(&destination, format!("the spool is full: the earlier set {set} will never be there, others hold it"));
        }
        return true;
    }
    false
}

/// The sealed set, and the files that close it at a destination, in order.
struct Closing {
    files: Vec<(String, Expected)>,
    sealed: SealedManifest,
}

/// Records how each destination fared; the spool keeps the set until all have it, or can never have it.
pub(super) async fn settle(context: &Context, spool: &SpoolSet, outcomes: &[DestinationOutcome]) -> Result<(), JobError> {
    // Where no destination has the whole set, pieces of it are better than nothing.
    let held = outcomes.iter().any(|outcome| outcome.complete) || context.catalog.is_held(spool.name())?;
    for outcome in outcomes {
        let state = match outcome {
            DestinationOutcome { complete: true, .. } => CopyState::Complete,
            DestinationOutcome { lost: true, name, .. } if held => match clean_up_at(context, spool.name(), name).await? {
                Removal::Done(_) => CopyState::GivenUp,
                Removal::Later => CopyState::Incomplete,
            },
            _ => CopyState::Incomplete,
        };
        let detail = outcome.error.as_deref().unwrap_or(if outcome.complete { "complete" } else { "incomplete" });
        context.catalog.record_copy(spool.name(), &outcome.name, state, detail)?;
        context.catalog.record_delivery(spool.name(), &delivery(context, outcome))?;
    }
    // Only what is recorded counts, for every destination that is configured now: one that was added or renamed has nothing yet. And what
    // nobody holds stays, whatever the configuration says.
    let copies = context.catalog.copies(spool.name())?;
    let settled = |name: &String| copies.iter().any(|(known, state)| known == name && *state != CopyState::Incomplete);
    let held = copies.iter().any(|(_, state)| *state == CopyState::Complete);
    if held && context.config.destinations.iter().all(|destination| settled(&destination.settings.name)) {
        spool.remove_all()?;
    }
    Ok(())
}

fn delivery(context: &Context, outcome: &DestinationOutcome) -> Delivery {
    // A plug-in that writes into a directory cannot ask how much is free there; its host can.
    let config = context.config.destinations.iter().find(|config| config.settings.name == outcome.name);
    let directory = config.and_then(|config| config.settings.grants.directory.as_ref());
    Delivery {
        destination: outcome.name.clone(),
        complete: outcome.complete,
        bytes: outcome.bytes,
        seconds: outcome.seconds,
        free: outcome.free.or_else(|| statvfs_free(directory?).ok()),
        detail: outcome.error.clone().unwrap_or_default(),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, ProduceError> + Send + 'static) -> Result<T, ProduceError> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|panic| Err(ProduceError::Source(format!("a thread ended unexpectedly: {panic}"))))
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
        read: None,
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
