//! The backup of one tenant, on demand: its schemas at one snapshot, and its directories, as one artifact under a passphrase of its own, sent
//! to one person.
//!
//! What goes out is whole, and holds nothing of anybody else: what cannot be read whole, or may be another tenant's, stops it.
//! The passphrase is returned to whoever asked, once, and is kept nowhere; the artifact has no name on any disk of ours.

use std::io::Write;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::alert;
use super::context::{Context, JobError};
use super::produce::{DumpStream, ENTRIES_AHEAD, ProduceError};
use super::share::{self, Shared};
use super::tell::{self, Personal, Words};
use crate::audit::{Action, Outcome};
use crate::catalog::{Letter, LetterFile};
use crate::config::{DirectoryConfig, MysqlConfig, NotifierConfig, Owners, format_size, passphrase_from};
use crate::notify::{Alert, Event};
use crate::pipeline::tar::TarWriter;
use crate::pipeline::{CipherKey, Compression, Encoder, EncoderSettings, Kdf, Passphrase, Totals};
use crate::ports::{DirectorySettings, Meter, MysqlSettings, SpareBuffers, Warnings, name_pattern};
use crate::set::{ArtifactKeys, Contents, stem_of};
use crate::source::files::{FilesError, archive};
use crate::source::mysql::{DumpContext, MysqlError, Snapshot};
use crate::spool::ScratchFile;
use crate::text::{AlertText, Locale, TenantFacts, tenant_letter};

/// Notifier plug-ins that write to whomever a message names.
const WRITES_TO_ANYBODY: [&str; 1] = ["email"];
/// Longest address of a mailbox (RFC 5321, 4.5.3.1.3).
const ADDRESS_MAX: usize = 254;
/// Letters and digits of a passphrase: those of Crockford's base 32, of which nobody confuses two when copying by hand.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Six groups of five: 150 bits.
const GROUPS: usize = 6;
const GROUP: usize = 5;
/// Longest name of a tenant in a file's name.
const NAME_MAX: usize = 80;
/// Level of dumps where the configuration has another algorithm: whoever gets this has `tar` and perhaps no `zstd`.
const GZIP: Compression = Compression::Gzip { level: 3 };

/// Who gets what.
#[derive(Debug, Clone)]
pub struct TenantRequest {
    /// Name of the tenant.
    pub tenant: String,
    /// Address of the person.
    pub recipient: String,
    /// Notifier that writes to them; `None` is the first that can.
    pub notifier: Option<String>,
    /// Destination of a file that is too large for a mail, instead of the configured one.
    pub via: Option<String>,
    /// The passphrase; `None` makes one.
    pub passphrase: Option<Passphrase>,
}

/// What came of it. It cannot be printed for debugging: it has the passphrase.
#[derive(Serialize)]
pub struct TenantBackup {
    /// Name of the tenant.
    pub tenant: String,
    /// Address of the person.
    pub recipient: String,
    /// Notifier that writes to them.
    pub notifier: String,
    /// Name of the file.
    pub file: String,
    /// Its bytes.
    pub size: u64,
    /// Its digest, lower-case hex.
    pub sha256: String,
    /// Schemas in it.
    pub schemas: Vec<String>,
    /// Directories in it.
    pub directories: Vec<PathBuf>,
    /// What was noticed on the way, such as a file that changed while it was read.
    pub warnings: Vec<String>,
    /// `attachment`, or `link`.
    pub way: &'static str,
    /// Until when the link is good.
    pub expires: Option<Timestamp>,
    /// Whether the service took the message.
    pub delivered: bool,
    /// Why not yet.
    pub error: Option<String>,
    /// The passphrase that was made; `None` where it was given.
    #[serde(skip)]
    pub passphrase: Option<Zeroizing<String>>,
}

/// Reads the passphrase of a delivery from a private file.
///
/// # Errors
/// When it cannot be had, with the mend.
pub fn delivery_passphrase(file: &Path) -> Result<Passphrase, JobError> {
    passphrase_from(file).map_err(JobError::Request)
}

/// Makes the backup of one tenant and sends it.
///
/// # Errors
/// When nothing was sent and nothing will be. A message that its service has not taken yet is in the result.
pub async fn tenant_backup(context: &Context, request: TenantRequest, meter: &Arc<Meter>) -> Result<TenantBackup, JobError> {
    let intent = context.audit.begin(Action::TenantDelivery, &request.tenant, &[("recipient", &request.recipient)]);
    let result = match Order::checked(context, request).await {
        Ok(order) => order.recorded(meter).await,
        Err(error) => Err(error),
    };
    let (outcome, detail) = told(&result);
    intent.end(outcome, &[("result", &detail)]);
    result
}

/// How a delivery ended, for the records.
fn told(result: &Result<TenantBackup, JobError>) -> (Outcome, String) {
    match result {
        Ok(done) if done.delivered => (Outcome::Done, format!("{} to {}: {}", done.tenant, done.recipient, done.way)),
        Ok(done) => {
            let why = done.error.as_deref().unwrap_or_default();
            (Outcome::Warnings, format!("{} to {}: waiting: {why}", done.tenant, done.recipient))
        }
        Err(error) => (Outcome::Failed, error.to_string()),
    }
}

/// A request that makes sense.
struct Order<'a> {
    context: &'a Context,
    request: TenantRequest,
    through: &'a NotifierConfig,
    sources: Vec<&'a MysqlConfig>,
    directories: Vec<&'a DirectorySettings>,
    passphrase: Passphrase,
    /// The passphrase where it was made here.
    made: Option<Zeroizing<String>>,
    at: jiff::ZonedDateTime,
    deadline: Instant,
    /// Ends everything that it began.
    cancel: CancellationToken,
}

/// A source at its snapshot, and the schemas of the tenant there.
struct Source<'a> {
    config: &'a MysqlConfig,
    snapshot: Arc<Snapshot>,
    schemas: Vec<String>,
}

/// The artifact.
struct Made {
    file: ScratchFile,
    totals: Totals,
    /// Schemas, and the stem of each one's files.
    schemas: Vec<(String, String)>,
    /// Files that changed while they were read.
    unstable: u64,
    warnings: Vec<String>,
}

impl<'a> Order<'a> {
    async fn checked(context: &'a Context, request: TenantRequest) -> Result<Self, JobError> {
        check_address(&request.recipient).map_err(JobError::Request)?;
        let sources: Vec<_> = context.config.mysql.iter().filter(|source| source.settings.tenants.contains_key(&request.tenant)).collect();
        let belongs = |directory: &&'a DirectoryConfig| directory.tenant.as_ref() == Some(&request.tenant);
        let directories: Vec<_> = context.config.directories.iter().filter(belongs).map(|directory| &directory.settings).collect();
        if sources.is_empty() && directories.is_empty() {
            let known: Vec<_> = context.config.tenants().into_keys().collect();
            let known = if known.is_empty() {
                "none: add `tenants` to a [[mysql]], or `tenant` to a [[directory]]".to_owned()
            } else {
                known.join(", ")
            };
            return Err(JobError::Request(format!("there is no tenant `{}`; configured are: {known}", request.tenant)));
        }
        if let Some(via) = request.via.as_deref() {
            context.chosen(Some(via))?;
        }
        let through = writer(context, request.notifier.as_deref()).await?;
        let (passphrase, made) = if let Some(given) = &request.passphrase {
            (given.clone(), None)
        } else {
            let made = fresh_passphrase()?;
            (Passphrase::from_bytes(made.as_bytes()), Some(made))
        };
        // Where the system's cannot be had now, nobody can have given it for this one by mistake either.
        if context.config.passphrase().is_ok_and(|own| own.as_bytes() == passphrase.as_bytes()) {
            return Err(JobError::Request("this is the passphrase of all backups; give a delivery one of its own".to_owned()));
        }
        let at = Timestamp::now().to_zoned_datetime(context.config.zone.clone());
        let deadline = Instant::now() + context.config.tenant_delivery.deadline;
        Ok(Self { context, request, through, sources, directories, passphrase, made, at, deadline, cancel: context.cancel.child_token() })
    }

    async fn recorded(&self, meter: &Arc<Meter>) -> Result<TenantBackup, JobError> {
        let number = self.context.catalog.begin_run("tenant", None)?;
        let result = self.fulfil(meter).await;
        let (outcome, detail) = told(&result);
        self.context.catalog.finish_run(number, outcome.name(), &detail)?;
        self.tell(&result);
        result
    }

    async fn fulfil(&self, meter: &Arc<Meter>) -> Result<TenantBackup, JobError> {
        share::remove_expired(self.context).await;
        let result = self.make_and_send(meter).await;
        // Whatever still reads or writes for a job that failed is to end.
        self.cancel.cancel();
        result
    }

    async fn make_and_send(&self, meter: &Arc<Meter>) -> Result<TenantBackup, JobError> {
        let mut made = self.within(self.make(meter)).await?;
        let (size, name) = (made.totals.cipher.size, file_name(&self.request.tenant, &self.at));
        let (files, shared) = if size <= self.context.config.tenant_delivery.max_attachment {
            let failed = |error| JobError::Failed(format!("cannot read the artifact again: {error}"));
            (vec![attachment(&name, made.file.bytes().map_err(failed)?)], None)
        } else {
            (Vec::new(), Some(self.share(&made, &name).await?))
        };
        let facts = TenantFacts {
            tenant: self.request.tenant.clone(),
            at: self.at.clone(),
            file: name.clone(),
            size,
            sha256: hex::encode(made.totals.cipher.sha256),
            iterations: match self.context.config.kdf {
                Kdf::Pbkdf2 { iterations } => Some(iterations),
                Kdf::Legacy => None,
            },
            schemas: made.schemas.clone(),
            directories: self.directories.iter().map(|one| one.path.display().to_string()).collect(),
            unstable: made.unstable,
            link: shared
                .as_ref()
                .map(|shared| (shared.address.clone(), shared.expires.to_zoned_datetime(self.context.config.zone.clone()))),
        };
        let letter = self.deliver(&facts, files).await?;
        Ok(TenantBackup {
            tenant: self.request.tenant.clone(),
            recipient: self.request.recipient.clone(),
            notifier: letter.notifier,
            file: name,
            size,
            sha256: facts.sha256,
            schemas: made.schemas.into_iter().map(|(schema, _)| schema).collect(),
            directories: self.directories.iter().map(|one| one.path.clone()).collect(),
            warnings: made.warnings,
            way: if shared.is_some() { "link" } else { "attachment" },
            expires: shared.map(|shared| shared.expires),
            delivered: letter.state == "delivered",
            error: letter.error,
            passphrase: self.made.clone(),
        })
    }

    /// Does something before the deadline; what is late is cancelled.
    async fn within<T>(&self, work: impl Future<Output = Result<T, JobError>>) -> Result<T, JobError> {
        if let Ok(done) = tokio::time::timeout_at(self.deadline, work).await {
            return done;
        }
        self.cancel.cancel();
        let most = self.context.config.tenant_delivery.deadline;
        Err(JobError::Failed(format!(
            "the backup of tenant `{}` was cancelled: it was not ready within {} s; raise tenant_delivery.deadline, or try again \
             when the server has less to do",
            self.request.tenant,
            most.as_secs()
        )))
    }

    async fn make(&self, meter: &Arc<Meter>) -> Result<Made, JobError> {
        let warnings = Arc::new(Warnings::default());
        let mut sources = Vec::new();
        for config in self.sources.iter().copied() {
            sources.push(self.snapshot(config, &warnings).await?);
        }
        let named: Vec<(&str, &str)> = sources
            .iter()
            .flat_map(|source| source.schemas.iter().map(|schema| (source.config.settings.name.as_str(), schema.as_str())))
            .collect();
        let keys = ArtifactKeys::of(Contents { directories: &[], servers: &[], schemas: &named }, GZIP.extension()).schemas;
        let schemas = named.iter().zip(&keys).map(|((_, schema), key)| ((*schema).to_owned(), stem_of(key).to_owned())).collect::<Vec<_>>();
        let (file, totals, unstable) = self.write(&sources, &schemas, (&warnings, meter)).await?;
        for source in sources {
            if let Ok(snapshot) = Arc::try_unwrap(source.snapshot) {
                snapshot.close().await;
            }
        }
        let warnings = warnings.snapshot().0.into_iter().map(|warning| format!("{}: {}", warning.subject, warning.message)).collect();
        Ok(Made { file, totals, schemas, unstable, warnings })
    }

    async fn snapshot(&self, config: &'a MysqlConfig, warnings: &Warnings) -> Result<Source<'a>, JobError> {
        let mut settings = self.context.config.mysql_settings(config)?;
        settings.include_schemas = settings.tenants.get(&self.request.tenant).cloned().unwrap_or_default();
        let snapshot = Snapshot::open(&settings, warnings, self.cancel.clone()).await?;
        let schemas = own_schemas(&self.request.tenant, &config.settings, snapshot.schemas()).map_err(JobError::Failed)?;
        Ok(Source { config, snapshot: Arc::new(snapshot), schemas })
    }

    /// Writes all schemas and directories into one artifact, and counts the files that changed meanwhile.
    async fn write(
        &self,
        sources: &[Source<'_>],
        schemas: &[(String, String)],
        (warnings, meter): (&Arc<Warnings>, &Arc<Meter>),
    ) -> Result<(ScratchFile, Totals, u64), JobError> {
        let (out, entries) = mpsc::channel(ENTRIES_AHEAD);
        let (ended, end) = oneshot::channel();
        let spare = Arc::new(SpareBuffers::default());
        let stream = DumpStream { entries, end, spare: Arc::clone(&spare) };
        let file = self.context.spool.scratch_writer()?;
        let config = &self.context.config;
        let compression = if matches!(config.dump_compression, Compression::Gzip { .. }) { config.dump_compression } else { GZIP };
        let settings = EncoderSettings { compression, threads: config.threads, meter: Some(meter.artifact(&self.request.tenant)) };
        let (passphrase, kdf) = (self.passphrase.clone(), config.kdf);
        let content = Content {
            key: self.request.tenant.clone(),
            stems: schemas.iter().map(|(_, stem)| stem.clone()).collect(),
            directories: self.directories.iter().map(|one| (*one).clone()).collect(),
            warnings: Arc::clone(warnings),
            meter: Arc::clone(meter),
            cancel: self.cancel.clone(),
        };
        let writing =
            tokio::task::spawn_blocking(move || fill(file, (settings, move || CipherKey::fresh(&passphrase, kdf)), stream, &content));
        let context = |stem: &str| DumpContext {
            out: out.clone(),
            stem: stem.to_owned(),
            warnings: Arc::clone(warnings),
            meter: Arc::clone(meter),
            spare: Arc::clone(&spare),
        };
        let read = dump(sources, schemas, context).await;
        drop(out);
        let _ = ended.send(read.is_ok());
        let written = writing.await.map_err(|panic| ProduceError::Source(format!("writing ended unexpectedly: {panic}")))?;
        match (read, written) {
            (Ok(()), Ok(made)) => Ok(made),
            // The reader stops because nobody takes its entries: the writer knows why.
            (Ok(()) | Err(JobError::Mysql(MysqlError::Abandoned)), Err(error)) => Err(error.into()),
            (Err(error), _) => Err(error),
        }
    }

    /// Puts the artifact where it can be downloaded from for a while.
    async fn share(&self, made: &Made, name: &str) -> Result<Shared, JobError> {
        let delivery = &self.context.config.tenant_delivery;
        let Some(via) = self.request.via.as_deref().or(delivery.destination.as_deref()) else {
            return Err(JobError::Failed(format!(
                "the backup of tenant `{}` has {}, more than tenant_delivery.max_attachment allows ({}), and there is no destination to \
                 download it from: set tenant_delivery.destination or give --via, or raise tenant_delivery.max_attachment",
                self.request.tenant,
                format_size(made.totals.cipher.size),
                format_size(delivery.max_attachment)
            )));
        };
        let destination = self.context.chosen(Some(via))?[0];
        let key = format!("deliveries/{}/{name}", random_name()?);
        share::remember(self.context, destination, &key, delivery.link_lifetime)?;
        let order = share::Order { key: &key, file: made.file.follower(), totals: &made.totals, lifetime: delivery.link_lifetime };
        let shared = self.within(share::share(self.context, destination, order, &self.cancel)).await;
        if shared.is_err() {
            share::discard(self.context, destination, &key).await;
        }
        shared
    }

    async fn deliver(&self, facts: &TenantFacts, files: Vec<LetterFile>) -> Result<Letter, JobError> {
        let locale = Locale::choose(None, self.context.config.locale.as_deref());
        let AlertText { subject, text, html } = tenant_letter(facts, locale);
        let alert = Alert::new(Event::TenantDelivered, self.at.timestamp(), "the backup of a tenant")
            .with("tenant", facts.tenant.as_str())
            .with("file", facts.file.as_str())
            .with("size", facts.size);
        let recipients = [self.request.recipient.clone()];
        let letter = Personal { alert, words: Words { subject, text, html }, recipients: &recipients, files };
        tell::deliver_personal(self.context, self.through, letter).await
    }

    /// Tells the administrators; neither the passphrase nor the link.
    fn tell(&self, result: &Result<TenantBackup, JobError>) {
        let now = Timestamp::now();
        let alert = match result {
            Ok(done) if done.delivered => {
                let title = format!("the backup of tenant `{}` was delivered to {}", done.tenant, done.recipient);
                Alert::new(Event::TenantDelivered, now, &title)
            }
            Ok(done) => {
                let title = format!("the backup of tenant `{}` waits for its delivery to {}", done.tenant, done.recipient);
                let why = done.error.as_deref().unwrap_or("the service has not taken it");
                Alert::new(Event::TenantFailed, now, &title)
                    .with("detail", format!("not delivered yet, and tried again by the daemon: {why}"))
            }
            Err(JobError::Cancelled) => return,
            Err(_) if self.context.cancel.is_cancelled() => return,
            // It was asked for once: nothing comes back to it.
            Err(error) => Alert { problem: None, ..alert::of_failure(Event::TenantFailed, error, now) },
        };
        let mut alert = alert
            .with("tenant", self.request.tenant.as_str())
            .with("recipient", self.request.recipient.as_str())
            .with("requested_by", self.context.audit.actor().to_string().as_str());
        if let Ok(done) = result {
            alert = alert.with("way", done.way).with("size", done.size).with("file", done.file.as_str());
        }
        tell::raise(self.context, alert);
    }
}

/// Dumps every schema of every source, whole.
async fn dump(sources: &[Source<'_>], schemas: &[(String, String)], context: impl Fn(&str) -> DumpContext) -> Result<(), JobError> {
    let of_each = sources.iter().flat_map(|source| std::iter::repeat_n(source, source.schemas.len()));
    for (source, (schema, stem)) in of_each.zip(schemas) {
        let passport = source.snapshot.dump_schema(schema, &Arc::new(context(stem))).await?;
        if !passport.unreadable.is_empty() {
            return Err(JobError::Failed(format!(
                "schema `{schema}` cannot be read whole, and nothing is sent: the account may not read {}; see: cofre check",
                passport.unreadable.join(", ")
            )));
        }
    }
    Ok(())
}

/// What goes into the artifact.
struct Content {
    /// Its name in errors.
    key: String,
    /// Names of the dumps' files, without their endings.
    stems: Vec<String>,
    directories: Vec<DirectorySettings>,
    warnings: Arc<Warnings>,
    meter: Arc<Meter>,
    cancel: CancellationToken,
}

fn fill(
    file: ScratchFile,
    (settings, cipher): (EncoderSettings, impl FnOnce() -> std::io::Result<CipherKey> + Send + 'static),
    stream: DumpStream,
    content: &Content,
) -> Result<(ScratchFile, Totals, u64), ProduceError> {
    let key = content.key.clone();
    let tar_error = |source| ProduceError::Tar { key: key.clone(), source };
    let mut tar = TarWriter::new(Encoder::start(settings, cipher, file).map_err(tar_error)?);
    stream.append_to(&mut tar, &key)?;
    let unstable =
        content.directories.iter().try_fold(0, |sum, directory| Ok::<_, ProduceError>(sum + content.append(directory, &mut tar)?))?;
    let (file, totals) = tar.finish().map_err(tar_error)?.finish()?;
    Ok((file, totals, unstable))
}

impl Content {
    /// Writes one directory, and counts the files of it that changed meanwhile.
    fn append<W: Write>(&self, directory: &DirectorySettings, tar: &mut TarWriter<W>) -> Result<u64, ProduceError> {
        apart(&directory.path, &self.stems).map_err(ProduceError::Source)?;
        let passport = archive(directory, tar, (&self.warnings, &self.meter), &self.cancel).map_err(|error| match error {
            FilesError::Cancelled => ProduceError::Cancelled,
            other => ProduceError::Source(other.to_string()),
        })?;
        if passport.unreadable > 0 {
            return Err(ProduceError::Source(format!(
                "`{}` cannot be read whole, and nothing is sent: {}",
                directory.path.display(),
                passport.unreadable_paths.first().map_or("see the log", String::as_str)
            )));
        }
        Ok(passport.unstable)
    }
}

/// Refuses a directory that would be unpacked over the dumps.
fn apart(path: &Path, stems: &[String]) -> Result<(), String> {
    let first = path.components().find_map(|part| if let Component::Normal(name) = part { name.to_str() } else { None });
    let taken = |stem: &String| first.and_then(|name| name.strip_prefix(stem.as_str())).is_some_and(|end| matches!(end, ".sql" | ".d"));
    match stems.iter().find(|stem| taken(stem)) {
        Some(stem) => Err(format!("`{}` has the name of the dump of `{stem}`, and nothing is sent: give it another name", path.display())),
        None => Ok(()),
    }
}

/// The notifier that writes to the person.
async fn writer<'a>(context: &'a Context, name: Option<&str>) -> Result<&'a NotifierConfig, JobError> {
    let configured = &context.config.notifiers;
    if let Some(name) = name.filter(|name| !configured.iter().any(|one| one.settings.name == **name)) {
        let known: Vec<_> = configured.iter().map(|one| one.settings.name.as_str()).collect();
        return Err(JobError::Request(format!("there is no notifier `{name}`; configured are: {}", known.join(", "))));
    }
    for one in configured.iter().filter(|one| name.is_none_or(|name| one.settings.name == name)) {
        let plugin = context.plugin(&one.settings.plugin).await?;
        if WRITES_TO_ANYBODY.contains(&plugin.description().name.as_str()) {
            return Ok(one);
        }
    }
    Err(JobError::Request(match name {
        Some(name) => format!("notifier `{name}` writes only to those in its settings; name one with the plug-in `email`"),
        None => "nobody can be written to: add a [[notifier]] with the plug-in `email`".to_owned(),
    }))
}

/// The schemas of a source that are the tenant's and are backed up at all.
fn own_schemas(tenant: &str, source: &MysqlSettings, found: &[String]) -> Result<Vec<String>, String> {
    let taken = |schema: &String| {
        let matches = |pattern: &String| name_pattern(pattern).is_ok_and(|glob| glob.compile_matcher().is_match(schema));
        source.include_schemas.is_empty() || source.include_schemas.iter().any(matches)
    };
    let (mut own, owners) = (Vec::new(), Owners::of(&source.tenants));
    for schema in found.iter().filter(|schema| taken(schema)) {
        match owners.of_schema(schema).as_slice() {
            [owner] if *owner == tenant => own.push(schema.clone()),
            [] | [_] => return Err(format!("schema `{schema}` is not of tenant `{tenant}`, and nothing is sent")),
            several => {
                return Err(format!(
                    "schema `{schema}` of source `{}` matches the patterns of {}, and nothing is sent: make the patterns in `tenants` say \
                     whose it is",
                    source.name,
                    several.join(" and ")
                ));
            }
        }
    }
    if own.is_empty() {
        return Err(format!("source `{}` takes no schema of tenant `{tenant}`: see its include_schemas and tenants", source.name));
    }
    Ok(own)
}

/// Refuses what is not the address of one mailbox.
fn check_address(text: &str) -> Result<(), String> {
    let (local, domain) = text.split_once('@').unwrap_or_default();
    let harmless = |c: char| !c.is_control() && !c.is_whitespace() && !"<>()[],;:\\\"".contains(c);
    let good = !local.is_empty() && !domain.is_empty() && !domain.contains('@') && text.len() <= ADDRESS_MAX && text.chars().all(harmless);
    if good { Ok(()) } else { Err(format!("{text:?} is not an address; write for example someone@example.com")) }
}

/// `empresa1_2026-03-15_0200.tar.gz.enc`: of the tenant's name what is safe in any file system and mail.
fn file_name(tenant: &str, at: &jiff::ZonedDateTime) -> String {
    let safe: String =
        tenant.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).take(NAME_MAX).collect();
    let safe = safe.trim_start_matches(['.', '-']);
    let name = if safe.is_empty() { "tenant" } else { safe };
    format!("{name}_{}.tar.{}.enc", at.strftime("%Y-%m-%d_%H%M"), GZIP.extension())
}

fn attachment(name: &str, bytes: Vec<u8>) -> LetterFile {
    LetterFile { name: name.to_owned(), media_type: "application/octet-stream".to_owned(), content_id: None, bytes }
}

/// A passphrase that can be read out: `7k2mq-…`.
fn fresh_passphrase() -> Result<Zeroizing<String>, JobError> {
    let mut bytes = Zeroizing::new([0_u8; GROUPS * GROUP]);
    random(&mut *bytes)?;
    let mut text = Zeroizing::new(String::with_capacity(GROUPS * (GROUP + 1)));
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 && index % GROUP == 0 {
            text.push('-');
        }
        text.push(char::from(ALPHABET[usize::from(byte % 32)]));
    }
    Ok(text)
}

/// 128 bits: whoever is not told a name does not find it.
fn random_name() -> Result<String, JobError> {
    let mut bytes = [0_u8; 16];
    random(&mut bytes)?;
    Ok(hex::encode(bytes))
}

fn random(bytes: &mut [u8]) -> Result<(), JobError> {
    getrandom::fill(bytes).map_err(|error| JobError::Failed(format!("the system gives no randomness: {error}")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::ports::{MysqlEndpoint, MysqlTls};

    fn source(include: &[&str], tenants: &[(&str, &[&str])]) -> MysqlSettings {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        MysqlSettings {
            name: "main".to_owned(),
            endpoint: MysqlEndpoint::Socket("/s".into()),
            user: "u".to_owned(),
            password: None,
            tls: MysqlTls::default(),
            include_schemas: texts(include),
            exclude_schemas: Vec::new(),
            exclude_tables: Vec::new(),
            exclude_rows: Vec::new(),
            connections: 1,
            lock_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(1),
            tenants: tenants.iter().map(|(name, patterns)| ((*name).to_owned(), texts(patterns))).collect(),
        }
    }

    fn own(source: &MysqlSettings, found: &[&str]) -> Result<Vec<String>, String> {
        own_schemas("acme", source, &found.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn only_schemas_that_are_the_tenants_beyond_doubt_are_sent() {
        let tenants: [(&str, &[&str]); 2] = [("acme", &["acme_*"]), ("beta", &["*_comum"])];
        let all = source(&[], &tenants);
        assert_eq!(own(&all, &["acme_erp", "acme_loja"]).expect("its own"), ["acme_erp", "acme_loja"]);
        assert!(own(&all, &["acme_erp", "acme_comum"]).expect_err("whose?").contains("acme and beta"));
        assert!(own(&all, &["acme_erp", "beta_comum"]).expect_err("another's").contains("not of tenant `acme`"));
        assert!(own(&all, &["acme_erp", "sobra"]).expect_err("nobody's").contains("not of tenant `acme`"));
        // What is not backed up is not sent either.
        let some = source(&["acme_e*"], &tenants);
        assert_eq!(own(&some, &["acme_erp", "acme_loja"]).expect("its own"), ["acme_erp"]);
        assert!(own(&some, &["acme_loja"]).expect_err("nothing").contains("takes no schema"));
    }

    #[test]
    fn a_directory_is_not_unpacked_over_a_dump() {
        let stems = ["acme_erp".to_owned()];
        for wrong in ["/acme_erp.sql", "/acme_erp.d/x"] {
            apart(Path::new(wrong), &stems).expect_err(wrong);
        }
        for good in ["/acme_erp", "/srv/acme_erp.sql", "/acme_erp.dir"] {
            apart(Path::new(good), &stems).expect(good);
        }
    }

    #[test]
    fn an_address_is_of_one_mailbox_and_of_one_line() {
        for good in ["someone@example.com", "a.b+c@sub.example.com", "joão@exemplo.com.br"] {
            check_address(good).expect("an address");
        }
        let long = format!("{}@example.com", "a".repeat(ADDRESS_MAX));
        for wrong in ["", "someone", "@example.com", "someone@", "a@b@c", "a@b.c\r\nBcc: x@y.z", "a@b.c, x", "A <a@b.c>", "a b@c", &long] {
            check_address(wrong).expect_err(wrong);
        }
    }

    #[test]
    fn a_passphrase_can_be_read_out_and_is_another_each_time() {
        let made: BTreeSet<String> = (0..200).map(|_| fresh_passphrase().expect("randomness").to_string()).collect();
        assert_eq!(made.len(), 200);
        let mut seen = BTreeSet::new();
        for passphrase in &made {
            let groups: Vec<&str> = passphrase.split('-').collect();
            assert!(groups.len() == GROUPS && groups.iter().all(|group| group.len() == GROUP), "{passphrase}");
            seen.extend(groups.concat().bytes());
        }
        // Each of 32 is missing among 6000 with a chance below 10^-80.
        assert_eq!(seen, ALPHABET.iter().copied().collect(), "every letter is drawn");
    }

    proptest! {
        #[test]
        fn the_name_of_a_file_is_safe_whatever_the_tenant_is_called(tenant in "(?s).{0,200}") {
            let at = jiff::civil::date(2026, 3, 15).at(2, 0, 0, 0).to_zoned_datetime(jiff::tz::TimeZone::UTC).expect("a time");
            let name = file_name(&tenant, &at);
            prop_assert!(name.ends_with("_2026-03-15_0200.tar.gz.enc") && name.len() < 255, "{}", name);
            prop_assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) && !name.starts_with(['.', '-']), "{}", name);
        }
    }
}
