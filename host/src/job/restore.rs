//! Restores: a whole set, one schema under any name, one table, a directory, a file; into a directory, to standard output,
//! or into a database. Nothing is decrypted before its seal and digest hold, and a loaded schema is compared with the
//! passport of the set before anybody calls it done.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::mpsc;

use super::context::{Context, JobError};
use super::fetch::{Download, FetchError, VerifiedArtifact, fetch_artifact, open_set};
use super::inspect::list_at;
use super::own;
use crate::pipeline::Passphrase;
use crate::pipeline::tar::TarReader;
use crate::ports::{Destination, Meter, MysqlSettings, ObjectKind, SchemaPassport, Warnings};
use crate::set::{ArtifactKind, ArtifactRecord, Passport, SealedManifest, SetName};
use crate::source::files::{Cat, ExtractOptions, ExtractReport, Selection, cat_entry, extract_with_links};
use crate::source::mysql::{Difference, ENTRY_MAX, LoadOptions, LoadReport, Loader, Staging, compare, compare_definitions, passport_of};

/// Differences that an error lists.
const DIFFERENCES_TOLD: usize = 10;
/// Files of a dump between the archive and the database.
const FILES_AHEAD: usize = 2;

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

/// What to restore.
#[derive(Debug, Clone)]
pub enum What {
    /// Everything.
    All,
    /// One artifact, by key.
    Artifact(String),
    /// One schema, or one table of it.
    Schema {
        /// Its name in the backup.
        name: String,
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
    /// A database server of the configuration.
    Database {
        /// Name of the source.
        source: String,
        /// Name of the new schema; `None` keeps the old one.
        into: Option<String>,
    },
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
}

/// Restores.
///
/// # Errors
/// On the first thing that cannot be restored as it was.
pub async fn restore(context: &Context, request: &RestoreRequest, report: (Arc<Warnings>, Arc<Meter>)) -> Result<Vec<Restored>, JobError> {
    let passphrase = context.config.passphrase()?;
    let copies = copies(context, request, &passphrase).await?;
    let Some((_, sealed)) = copies.first() else { return Err(JobError::Request("no destination has such a set".to_owned())) };
    let records = chosen(sealed, &request.what)?;
    check_target(request, &records)?;
    let number = context.catalog.begin_run("restore", Some(sealed.manifest().set))?;
    let work = Restore { context, request, passphrase, copies: &copies, warnings: report.0, meter: report.1 };
    let result = work.go(&records).await;
    let (outcome, detail) = match &result {
        Ok(_) if request.dry_run => ("done", "dry run".to_owned()),
        Ok(done) => ("done", format!("{} artifacts", done.len())),
        Err(error) => ("failed", error.to_string()),
    };
    context.catalog.finish_run(number, outcome, &detail)?;
    result
}

type Copies = Vec<(Arc<dyn Destination>, SealedManifest)>;

/// The copies of the chosen set whose seal holds, in the order of the configuration.
async fn copies(context: &Context, request: &RestoreRequest, passphrase: &Passphrase) -> Result<Copies, JobError> {
    let (mut reachable, mut problems, mut newest) = (Vec::new(), Vec::new(), None);
    for config in context.chosen(request.from.as_deref())? {
        let destination = match context.destination(config).await {
            Ok(destination) => destination,
            Err(error) => {
                problems.push(error.to_string());
                continue;
            }
        };
        let found = match &request.set {
            SetChoice::Named(set) => Some(*set),
            other => match list_at(destination.as_ref()).await {
                Ok(sets) => newest_whole(destination.as_ref(), sets, other, passphrase, &mut problems).await,
                Err(error) => {
                    problems.push(error.to_string());
                    None
                }
            },
        };
        newest = newest.max(found);
        reachable.push(destination);
    }
    let set = newest.ok_or_else(|| {
        let why = if problems.is_empty() { String::new() } else { format!(": {}", problems.join("; ")) };
        JobError::Failed(format!("there is no such complete set at any destination{why}"))
    })?;
    let (mut copies, mut last) = (Vec::new(), None);
    for destination in reachable {
        match open_set(destination.as_ref(), set, passphrase).await {
            Ok(sealed) => copies.push((destination, sealed)),
            Err(error) => {
                tracing::warn!(%error, "this copy is passed over");
                last = Some(error);
            }
        }
    }
    match last {
        Some(error) if copies.is_empty() => Err(error.into()),
        _ => Ok(copies),
    }
}

/// The newest set that fits and from which nothing is missing; a partial one only where there is no other.
async fn newest_whole(
    destination: &dyn Destination,
    sets: Vec<super::inspect::ListedSet>,
    choice: &SetChoice,
    passphrase: &Passphrase,
    problems: &mut Vec<String>,
) -> Option<SetName> {
    let fits = |set: &SetName| !matches!(choice, SetChoice::Day(day) if set.moment().date() != *day);
    let mut partial = None;
    for set in sets.into_iter().filter(|set| set.complete && fits(&set.name)) {
        match open_set(destination, set.name, passphrase).await {
            Ok(sealed) if sealed.manifest().is_whole() => return Some(set.name),
            Ok(_) => drop(partial.get_or_insert(set.name)),
            Err(error) => problems.push(error.to_string()),
        }
    }
    partial
}

fn chosen(sealed: &SealedManifest, what: &What) -> Result<Vec<ArtifactRecord>, JobError> {
    let manifest = sealed.manifest();
    let missing = |text: String| {
        let absent = manifest.missing.iter().map(|missing| missing.name.as_str()).collect::<Vec<_>>().join(", ");
        let note = if absent.is_empty() { String::new() } else { format!(" (the run could not read: {absent})") };
        JobError::Request(format!("set {} holds no {text}{note}", manifest.set))
    };
    let found: Vec<ArtifactRecord> = match what {
        What::All => manifest.artifacts.clone(),
        What::Artifact(key) => manifest.artifact(key).cloned().into_iter().collect(),
        What::Schema { name, .. } => of_kind(sealed, ArtifactKind::Schema).filter(|artifact| artifact.name == *name).cloned().collect(),
        What::Path(path) => of_kind(sealed, ArtifactKind::Directory)
            .filter(|artifact| path.starts_with(&artifact.name) || Path::new(&artifact.name).starts_with(path))
            .cloned()
            .collect(),
        What::Glob(_) => of_kind(sealed, ArtifactKind::Directory).cloned().collect(),
    };
    match what {
        What::Schema { name, .. } if found.is_empty() => Err(missing(format!("schema `{name}`"))),
        What::Schema { name, .. } if found.len() > 1 => {
            let keys = found.iter().map(|artifact| artifact.key.as_str()).collect::<Vec<_>>().join(", ");
            Err(JobError::Request(format!("schema `{name}` is in the set more than once; choose with --artifact: {keys}")))
        }
        What::Artifact(key) if found.is_empty() => Err(missing(format!("artifact `{key}`; `cofre show` lists them"))),
        What::Path(path) if found.is_empty() => Err(missing(format!("directory with `{}`", path.display()))),
        _ => Ok(found),
    }
}

fn of_kind(sealed: &SealedManifest, kind: ArtifactKind) -> impl Iterator<Item = &ArtifactRecord> {
    sealed.manifest().artifacts.iter().filter(move |artifact| artifact.kind == kind)
}

fn check_target(request: &RestoreRequest, records: &[ArtifactRecord]) -> Result<(), JobError> {
    let problem = match &request.target {
        RestoreTarget::Database { .. } if records.iter().any(|record| record.kind != ArtifactKind::Schema) => {
            Some("only schemas can be restored into a database: name one with --schema, or restore to a directory with --to")
        }
        RestoreTarget::Database { into: Some(_), .. } if records.len() != 1 => Some("--into needs exactly one schema"),
        RestoreTarget::Stdout if records.len() != 1 => Some("only one artifact or one file can go to standard output"),
        _ => None,
    };
    problem.map_or(Ok(()), |problem| Err(JobError::Request(problem.to_owned())))
}

struct Restore<'a> {
    context: &'a Context,
    request: &'a RestoreRequest,
    passphrase: Passphrase,
    copies: &'a Copies,
    warnings: Arc<Warnings>,
    meter: Arc<Meter>,
}

impl Restore<'_> {
    async fn go(&self, records: &[ArtifactRecord]) -> Result<Vec<Restored>, JobError> {
        let (mut done, mut entries) = (Vec::new(), 0);
        for record in records {
            let (place, what) = (self.place(record), self.what(record));
            let mut restored = Restored {
                set: self.copies[0].1.manifest().set.to_string(),
                from: self.copies[0].0.name().to_owned(),
                artifact: record.key.clone(),
                what,
                place,
                detail: "dry run: nothing was written".to_owned(),
            };
            if !self.request.dry_run {
                let (from, artifact) = self.fetch(record).await?;
                restored.from = from;
                restored.detail = match &self.request.target {
                    RestoreTarget::Database { source, into } => {
                        self.load(artifact, source, into.as_deref().unwrap_or(&record.name)).await?
                    }
                    RestoreTarget::Directory(directory) => {
                        let report = self.unpack(artifact, &Self::folder(directory, record)).await?;
                        entries += report.entries;
                        format!("{} entries, {} bytes", report.entries, report.bytes)
                    }
                    RestoreTarget::Stdout => self.print(artifact).await?,
                };
            }
            done.push(restored);
        }
        let wrote_nothing = matches!(self.request.target, RestoreTarget::Directory(_)) && entries == 0 && !self.request.dry_run;
        match &self.request.what {
            What::Path(path) if wrote_nothing => Err(JobError::Request(format!("the backup holds nothing at `{}`", path.display()))),
            What::Glob(pattern) if wrote_nothing => Err(JobError::Request(format!("nothing in the backup matches `{pattern}`"))),
            _ => Ok(done),
        }
    }

    /// From the first copy that has it whole: a damaged or unreachable one is passed over with a warning.
    async fn fetch(&self, record: &ArtifactRecord) -> Result<(String, VerifiedArtifact), JobError> {
        let scratch = self.context.spool.scratch()?;
        let mut last = None;
        for (destination, sealed) in self.copies {
            let Some(record) = sealed.manifest().artifact(&record.key) else { continue };
            match fetch_artifact(destination.as_ref(), Download { set: sealed, record, scratch: &scratch }, &self.context.cancel).await {
                Ok(artifact) => return Ok((destination.name().to_owned(), artifact)),
                Err(FetchError::Cancelled) => return Err(JobError::Cancelled),
                Err(error) => {
                    self.warnings.push(destination.name(), error.to_string());
                    last = Some(error);
                }
            }
        }
        Err(last.map_or(JobError::Cancelled, JobError::from))
    }

    fn what(&self, record: &ArtifactRecord) -> String {
        match &self.request.what {
            What::Schema { name, table: Some(table) } => format!("{name}.{table}"),
            What::Path(path) => path.display().to_string(),
            What::Glob(glob) => format!("{} ({glob})", record.name),
            _ => record.name.clone(),
        }
    }

    fn place(&self, record: &ArtifactRecord) -> String {
        match &self.request.target {
            RestoreTarget::Directory(directory) => Self::folder(directory, record).display().to_string(),
            RestoreTarget::Stdout => "standard output".to_owned(),
            RestoreTarget::Database { source, into } => format!("{source}: {}", into.as_deref().unwrap_or(&record.name)),
        }
    }

    /// Directories keep their paths below the target; everything else gets a folder of its own.
    fn folder(directory: &Path, record: &ArtifactRecord) -> PathBuf {
        match record.kind {
            ArtifactKind::Directory => directory.to_path_buf(),
            ArtifactKind::Schema | ArtifactKind::Grants => directory.join("sql"),
            ArtifactKind::Own => directory.join("cofre"),
        }
    }

    fn selection(&self) -> Result<Selection, JobError> {
        Ok(match &self.request.what {
            What::Path(path) => Selection::Below(path.strip_prefix("/").unwrap_or(path).to_path_buf()),
            What::Glob(pattern) => {
                let malformed = |error: globset::Error| JobError::Request(format!("`{pattern}` is no pattern: {error}"));
                let glob = globset::GlobBuilder::new(pattern.trim_start_matches('/')).literal_separator(true).build().map_err(malformed)?;
                Selection::Glob(globset::GlobSetBuilder::new().add(glob).build().map_err(malformed)?)
            }
            _ => Selection::All,
        })
    }

    async fn unpack(&self, artifact: VerifiedArtifact, target: &Path) -> Result<ExtractReport, JobError> {
        let is_directory = artifact.record().kind == ArtifactKind::Directory;
        let options = ExtractOptions {
            selection: if is_directory { self.selection()? } else { Selection::All },
            overwrite: self.request.force,
            owners: rustix::process::geteuid().is_root(),
            owner_names: false,
            xattrs: true,
        };
        let (passphrase, threads, target) = (self.passphrase.clone(), self.context.config.threads, target.to_path_buf());
        let (warnings, meter, cancel) = (Arc::clone(&self.warnings), Arc::clone(&self.meter), self.context.cancel.clone());
        let work = move || -> Result<_, JobError> {
            // Opened a second time only where a file is wanted whose content is stored under a name that is not.
            let open = || artifact.open(&passphrase, threads).map_err(std::io::Error::from);
            Ok(extract_with_links(open, &target, &options, (&warnings, &meter), &cancel)?)
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| JobError::Cancelled)?
    }

    async fn print(&self, artifact: VerifiedArtifact) -> Result<String, JobError> {
        let (passphrase, threads, what) = (self.passphrase.clone(), self.context.config.threads, self.request.what.clone());
        let cancel = self.context.cancel.clone();
        let work = move || -> Result<u64, JobError> {
            let mut decoder = artifact.open(&passphrase, threads)?;
            let mut out = std::io::BufWriter::with_capacity(256 << 10, std::io::stdout().lock());
            let failed = |error: std::io::Error| JobError::Failed(format!("cannot write to standard output: {error}"));
            let count = match what {
                What::Path(path) => {
                    let inner = path.strip_prefix("/").unwrap_or(&path).to_path_buf();
                    let found = cat_entry(decoder, &inner, &mut out, &cancel)?;
                    match found {
                        Cat::Written(count) => count,
                        Cat::LinkTo(first) => {
                            return Err(JobError::Request(format!(
                                "`{}` is a second name of `/{}`: ask for that path",
                                path.display(),
                                first.display()
                            )));
                        }
                        Cat::NoFile(_) => {
                            return Err(JobError::Request(format!("`{}` is not a file; restore it with --to DIR", path.display())));
                        }
                        Cat::NotFound => return Err(JobError::Request(format!("the backup holds no `{}`", path.display()))),
                    }
                }
                _ => std::io::copy(&mut decoder, &mut out).map_err(failed)?,
            };
            out.flush().map_err(failed)?;
            Ok(count)
        };
        let count = tokio::task::spawn_blocking(work).await.map_err(|_| JobError::Cancelled)??;
        Ok(format!("{count} bytes"))
    }

    async fn load(&self, artifact: VerifiedArtifact, source: &str, into: &str) -> Result<String, JobError> {
        let known = self.context.config.mysql.iter().find(|config| config.settings.name == source);
        let settings =
            known.ok_or_else(|| JobError::Request(format!("there is no database `{source}` in the configuration")))?.settings.clone();
        let key = artifact.record().key.clone();
        let table = match &self.request.what {
            What::Schema { table, .. } => table.clone(),
            _ => None,
        };
        let passport = self.passport().await?;
        let Some(expected) = passport.schema(&key) else {
            return Err(JobError::Failed("the passport does not know this schema".to_owned()));
        };
        let order = Order { settings: &settings, artifact: &Arc::new(artifact), expected, table: table.as_deref() };
        let replaces = self.request.force && Staging::is_needed(&settings, into, table.as_deref()).await?;
        let (report, rows) = if replaces { self.replace(&order, into).await? } else { self.load_proven(&order, into).await? };
        Ok(format!("{} files, {} statements, {rows} rows, equal to the passport", report.files, report.statements))
    }

    /// Loads into a schema that holds nothing of it yet, and compares with the passport.
    async fn load_proven(&self, order: &Order<'_>, into: &str) -> Result<(LoadReport, u64), JobError> {
        let options = LoadOptions { table: order.table.map(str::to_owned), staging: false };
        let (report, _) = self.load_into(order, into, options).await?;
        let rows = self.compare(order, into, order.expected.clone()).await?;
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
        staging.swap(&objects).await?;
        let differences = compare_definitions(order.settings, into, order.expected, self.context.cancel.clone()).await?;
        verdict(&differences).map(|()| (report, rows))
    }

    async fn prove(&self, order: &Order<'_>, staging: &str) -> Result<(LoadReport, u64, Vec<(String, Vec<u8>)>), JobError> {
        let options = LoadOptions { table: order.table.map(str::to_owned), staging: true };
        let (report, objects) = self.load_into(order, staging, options).await?;
        let mut expected = order.expected.clone();
        expected.objects.retain(|object| object.kind != ObjectKind::Event);
        let rows = self.compare(order, staging, expected).await?;
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

    async fn passport(&self) -> Result<Passport, JobError> {
        let own = self.copies.iter().find_map(|(_, sealed)| of_kind(sealed, ArtifactKind::Own).next());
        let record = own.ok_or_else(|| JobError::Failed("the set carries no passport".to_owned()))?;
        let (_, artifact) = self.fetch(record).await?;
        let (passphrase, threads) = (self.passphrase.clone(), self.context.config.threads);
        let work = move || own::passport(artifact.open(&passphrase, threads)?);
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

/// What goes into a database.
struct Order<'a> {
    settings: &'a MysqlSettings,
    artifact: &'a Arc<VerifiedArtifact>,
    expected: &'a SchemaPassport,
    table: Option<&'a str>,
}

fn verdict(differences: &[Difference]) -> Result<(), JobError> {
    if differences.is_empty() {
        return Ok(());
    }
    let listed: Vec<String> = differences.iter().take(DIFFERENCES_TOLD).map(ToString::to_string).collect();
    Err(JobError::Differs(format!("{} differences: {}", differences.len(), listed.join("; "))))
}
