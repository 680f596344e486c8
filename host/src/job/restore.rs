//! Restores: a whole set, schemas under any name, one table, a directory, a file; into a directory, to standard output,
//! or into a database. Nothing is decrypted before its seal and digest hold, and a loaded schema is compared with the
//! passport of the set before anybody calls it done.

mod before;
mod choice;
mod database;
mod files;
mod find;
mod outlook;

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::OnceCell;

use super::context::{Context, JobError};
use super::fetch::{Download, FetchError, VerifiedArtifact};
use super::trail::Intent;
use crate::audit::{Action, Outcome};
use crate::pipeline::Passphrase;
use crate::ports::{Meter, MysqlSettings, Warnings};
use crate::set::{ArtifactKind, ArtifactRecord, Passport, SetName, stem_of};
use crate::text::Locale;
use choice::{Chosen, HeldCopy};
use outlook::Outlook;

pub(super) use choice::choose;

/// Failures that an error lists.
const FAILURES_TOLD: usize = 10;

/// Which set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetChoice {
    /// The newest.
    Latest,
    /// This one.
    Named(SetName),
    /// The newest of a day.
    Day(jiff::civil::Date),
}

impl FromStr for SetChoice {
    type Err = JobError;

    fn from_str(text: &str) -> Result<Self, JobError> {
        match (text, text.parse::<SetName>(), text.parse::<jiff::civil::Date>()) {
            ("latest", ..) => Ok(Self::Latest),
            (_, Ok(name), _) => Ok(Self::Named(name)),
            (_, _, Ok(day)) => Ok(Self::Day(day)),
            _ => {
                let text: String = text.chars().take(100).collect();
                Err(JobError::Request(format!("`{text}` is neither a set, nor `latest`, nor a day such as 2026-03-15")))
            }
        }
    }
}

/// What to restore.
#[derive(Debug, Clone)]
pub enum What {
    /// Everything; for a database all schemas of that source.
    All,
    /// One artifact, by key.
    Artifact(String),
    /// Schemas, or one table of one.
    Schemas {
        /// Their names in the backup, or patterns for them.
        names: Vec<String>,
        /// One table.
        table: Option<String>,
    },
    /// What lies at or below a path.
    Path(PathBuf),
    /// What matches a pattern, relative to `/`.
    Glob(String),
}

/// Where to.
#[derive(Debug, Clone)]
pub enum RestoreTarget {
    /// Below a directory.
    Directory(PathBuf),
    /// Standard output: one file, or the tar of one artifact.
    Stdout,
    /// The same, to somebody who waits for it.
    Stream(Outlet),
    /// A database server of the configuration.
    Database {
        /// Name of the source.
        source: String,
        /// Name of the new schema; `None` keeps the old one.
        into: Option<String>,
    },
}

/// Where one file, or the tar of one artifact, is written to. It can be taken once.
#[derive(Clone)]
pub struct Outlet(Arc<Mutex<Option<Box<dyn Write + Send>>>>);

impl Outlet {
    /// Writes there.
    pub fn new(out: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(out)))))
    }

    /// Takes it.
    fn take(&self) -> Option<Box<dyn Write + Send>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outlet")
    }
}

/// A restore.
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// Which set.
    pub set: SetChoice,
    /// From one destination only.
    pub from: Option<String>,
    /// What.
    pub what: What,
    /// Where to.
    pub target: RestoreTarget,
    /// Replace what is there.
    pub force: bool,
    /// Only say what would happen.
    pub dry_run: bool,
}

/// One thing that was, or would be, restored.
#[derive(Debug, Clone, Serialize)]
pub struct Restored {
    /// Set.
    pub set: String,
    /// Destination that it came from.
    pub from: String,
    /// Key of the artifact.
    pub artifact: String,
    /// What it holds.
    pub what: String,
    /// Where it went.
    pub place: String,
    /// Counts, and whether it was compared with the passport.
    pub detail: String,
    /// Of a dry run: what was found, and what is to be fetched, in bytes.
    #[serde(skip)]
    outlook: Option<(Arc<Outlook>, u64)>,
}

impl Restored {
    /// Counts, or what a dry run found, in a language.
    pub fn detail_in(&self, locale: Locale) -> String {
        self.outlook.as_ref().map_or_else(|| self.detail.clone(), |(outlook, size)| outlook.words(*size, locale))
    }
}

/// Restores.
///
/// # Errors
/// On the first thing that cannot be restored as it was.
pub async fn restore(context: &Context, request: &RestoreRequest, report: (Arc<Warnings>, Arc<Meter>)) -> Result<Vec<Restored>, JobError> {
    let server = before::check_request(context, request)?;
    let passphrase = context.config.passphrase()?;
    let Chosen { copies, records } = choose(context, request, &passphrase, &report.0).await?;
    before::check_records(request, &records)?;
    let set = copies[0].sealed.manifest().set;
    let intent = announced(context, request, (set, copies[0].place.name()))?;
    let number = context.catalog.begin_run("restore", Some(set))?;
    let work = Restore { server, ..Restore::new((context, request, passphrase), &copies, report) };
    let result = work.go(&records).await;
    let (outcome, detail) = match &result {
        Ok(_) if request.dry_run => (Outcome::Done, "dry run".to_owned()),
        Ok(done) => (if work.warnings.snapshot().1 > 0 { Outcome::Warnings } else { Outcome::Done }, format!("{} artifacts", done.len())),
        Err(error) => (Outcome::Failed, error.to_string()),
    };
    intent.end(outcome, &[("result", &detail)]);
    context.catalog.finish_run(number, outcome.name(), &detail)?;
    result
}

/// Puts the restore into the audit log. One that may replace something does not begin without it.
fn announced<'a>(context: &'a Context, request: &RestoreRequest, (set, from): (SetName, &str)) -> Result<Intent<'a>, JobError> {
    let what = match &request.what {
        What::All => "everything".to_owned(),
        What::Artifact(key) => key.clone(),
        What::Schemas { names, table } => names.iter().chain(table).map(String::as_str).collect::<Vec<_>>().join(", "),
        What::Path(path) => path.display().to_string(),
        What::Glob(pattern) => pattern.clone(),
    };
    let into = match &request.target {
        RestoreTarget::Directory(directory) => directory.display().to_string(),
        RestoreTarget::Stdout => "standard output".to_owned(),
        RestoreTarget::Stream(_) => "download".to_owned(),
        RestoreTarget::Database { source, into } => format!("{source}: {}", into.as_deref().unwrap_or("the same names")),
    };
    let yes = |is: bool| if is { "yes" } else { "" };
    let facts = [
        ("what", what.as_str()),
        ("into", into.as_str()),
        ("from", from),
        ("replace", yes(request.force)),
        ("dry_run", yes(request.dry_run)),
    ];
    let set = set.to_string();
    if request.force && !request.dry_run {
        return context.audit.must(Action::Restore, &set, &facts);
    }
    Ok(context.audit.begin(Action::Restore, &set, &facts))
}

/// A restore at work; a drill goes through the same steps.
pub(super) struct Restore<'a> {
    context: &'a Context,
    request: &'a RestoreRequest,
    passphrase: Passphrase,
    copies: &'a [HeldCopy<'a>],
    /// Where schemas go, if that is a database.
    server: Option<MysqlSettings>,
    passport: OnceCell<Passport>,
    warnings: Arc<Warnings>,
    meter: Arc<Meter>,
}

impl<'a> Restore<'a> {
    /// One from these copies of a set, not into a database.
    pub(super) fn new(
        (context, request, passphrase): (&'a Context, &'a RestoreRequest, Passphrase),
        copies: &'a [HeldCopy<'a>],
        (warnings, meter): (Arc<Warnings>, Arc<Meter>),
    ) -> Self {
        Self { context, request, passphrase, copies, server: None, passport: OnceCell::new(), warnings, meter }
    }
}

impl Restore<'_> {
    async fn go(&self, records: &[ArtifactRecord]) -> Result<Vec<Restored>, JobError> {
        let outlook = Arc::new(self.look_ahead(records).await?);
        if self.request.dry_run {
            return Ok(records.iter().map(|record| self.would(record, &outlook)).collect());
        }
        let (mut done, mut failed, mut entries) = (Vec::new(), Vec::new(), 0);
        if matches!(self.request.what, What::All | What::Artifact(_) | What::Schemas { table: None, .. }) {
            self.expect(records);
        }
        for record in records {
            match self.one(record, &mut entries).await {
                Ok(restored) => done.push(restored),
                Err(error) if records.len() > 1 && concerns_one(&error) && !self.context.cancel.is_cancelled() => {
                    self.warnings.push(&record.key, format!("NOT RESTORED: {error}"));
                    failed.push(error);
                }
                Err(error) => return Err(error),
            }
        }
        if !failed.is_empty() {
            let problems = failed.iter().take(FAILURES_TOLD).map(ToString::to_string).collect();
            let damaged = failed.iter().any(JobError::is_damage);
            return Err(JobError::Partly { failed: failed.len(), all: records.len(), problems, damaged });
        }
        let wrote_nothing = matches!(self.request.target, RestoreTarget::Directory(_)) && entries == 0;
        match &self.request.what {
            What::Path(path) if wrote_nothing => Err(JobError::Request(format!("the backup holds nothing at `{}`", path.display()))),
            What::Glob(pattern) if wrote_nothing => Err(JobError::Request(format!("nothing in the backup matches `{pattern}`"))),
            _ => Ok(done),
        }
    }

    /// Tells the meter what is to come.
    pub(super) fn expect(&self, records: &[ArtifactRecord]) {
        self.meter.expect(records.iter().map(|record| record.plain).sum());
    }

    /// What would come of an artifact.
    fn would(&self, record: &ArtifactRecord, outlook: &Arc<Outlook>) -> Restored {
        let detail = outlook.words(record.size, Locale::En);
        Restored { detail, outlook: Some((Arc::clone(outlook), record.size)), ..self.planned(record) }
    }

    fn planned(&self, record: &ArtifactRecord) -> Restored {
        Restored {
            set: self.copies[0].sealed.manifest().set.to_string(),
            from: self.copies[0].place.name().to_owned(),
            artifact: record.key.clone(),
            what: self.what(record),
            place: self.place(record),
            detail: String::new(),
            outlook: None,
        }
    }

    async fn one(&self, record: &ArtifactRecord, entries: &mut u64) -> Result<Restored, JobError> {
        let (from, artifact) = self.fetch(record).await?;
        let detail = match &self.request.target {
            RestoreTarget::Database { into, .. } => self.load(artifact, into.as_deref().unwrap_or(&record.name)).await?,
            RestoreTarget::Directory(directory) => {
                let report = self.unpack(Arc::new(artifact), &folder(directory, record)).await?;
                *entries += report.entries;
                format!("{} entries, {} bytes", report.entries, report.bytes)
            }
            RestoreTarget::Stdout | RestoreTarget::Stream(_) => self.print(artifact).await?,
        };
        Ok(Restored { from, detail, ..self.planned(record) })
    }

    /// From the first copy that has it whole: a damaged or unreachable one is passed over with a warning.
    pub(super) async fn fetch(&self, record: &ArtifactRecord) -> Result<(String, VerifiedArtifact), JobError> {
        let mut last = None;
        for copy in self.copies {
            let Some(record) = copy.sealed.manifest().artifact(&record.key) else { continue };
            let download = Download { set: &copy.sealed, record, meter: &self.meter };
            match copy.place.reader().fetch(download, &self.context.spool).await {
                Ok(artifact) => return Ok((copy.place.name().to_owned(), artifact)),
                Err(FetchError::Cancelled) => return Err(JobError::Cancelled),
                Err(error @ FetchError::Room { .. }) => return Err(error.into()),
                Err(error) => {
                    self.warnings.push(copy.place.name(), error.to_string());
                    last = Some(error);
                }
            }
        }
        Err(last.map_or(JobError::Cancelled, JobError::from))
    }

    fn what(&self, record: &ArtifactRecord) -> String {
        match &self.request.what {
            What::Schemas { table: Some(table), .. } => format!("{}.{table}", record.name),
            What::Path(path) => path.display().to_string(),
            What::Glob(glob) => format!("{} ({glob})", record.name),
            _ => record.name.clone(),
        }
    }

    fn place(&self, record: &ArtifactRecord) -> String {
        match &self.request.target {
            RestoreTarget::Directory(directory) => folder(directory, record).display().to_string(),
            RestoreTarget::Stdout => "standard output".to_owned(),
            RestoreTarget::Stream(_) => "download".to_owned(),
            RestoreTarget::Database { source, into } => format!("{source}: {}", into.as_deref().unwrap_or(&record.name)),
        }
    }
}

/// Whether a failure keeps nobody from the other artifacts: one that cannot be had, or a schema that cannot be loaded.
fn concerns_one(error: &JobError) -> bool {
    matches!(
        error,
        JobError::Fetch(FetchError::Destination { .. } | FetchError::Damaged { .. } | FetchError::Room { .. })
            | JobError::Mysql(_)
            | JobError::Differs(_)
    )
}

/// Directories keep their paths below the target; everything else gets a folder of its own. Every server's grants are in a file of one name.
fn folder(directory: &Path, record: &ArtifactRecord) -> PathBuf {
    match record.kind {
        ArtifactKind::Directory => directory.to_path_buf(),
        ArtifactKind::Schema => directory.join("sql"),
        ArtifactKind::Grants => directory.join("sql").join(stem_of(&record.key)),
        ArtifactKind::Own => directory.join("cofre"),
    }
}
