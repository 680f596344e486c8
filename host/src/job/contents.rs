//! What lies inside an artifact, one directory at a time, and the tables of a schema: for whoever chooses what to restore.
//!
//! The artifact is fetched and proven as for a restore, and read to its end, whatever its order; what is kept of it is one page. All of it has
//! an end: the size of the artifact, its entries, the time, and how many look at once.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::context::{Context, JobError};
use super::restore::{Restore, RestoreRequest, RestoreTarget, SetChoice, What, choose};
use crate::config::format_size;
use crate::pipeline::tar::{Entry, EntryKind, TarReader};
use crate::ports::{Meter, Warnings};
use crate::set::{ArtifactKind, SetName};

/// Entries of a page.
const PAGE: usize = 200;
/// Entries of an archive that are read.
const READ_MAX: u64 = 5_000_000;
/// Stored bytes of an artifact that is looked into: it is downloaded whole.
const SIZE_MAX: u64 = 8 << 30;
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// How many may look at once.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// Which directory of which artifact.
#[derive(Debug, Clone)]
pub struct ContentsRequest {
    /// The set.
    pub set: SetName,
    /// Key of the artifact.
    pub artifact: String,
    /// Only from this destination.
    pub from: Option<String>,
    /// The directory, from `/` on; without one, where the artifact begins.
    pub path: Option<PathBuf>,
    /// [`Contents::next`] of the page before.
    pub after: Option<String>,
}

/// One page of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Contents {
    /// Destination that it was read from.
    pub from: String,
    /// The directory.
    pub path: String,
    /// What is in it, by name; at most 200.
    pub entries: Vec<Content>,
    /// What to give as `cursor` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether the archive was read to its end; if not, it has more than five million entries, and some may be missing here.
    pub whole: bool,
}

/// One thing in a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Content {
    /// Its name, as far as it is UTF-8.
    pub name: String,
    /// Whether that is the name to the letter; else only its directory can be chosen.
    pub exact: bool,
    /// What it is.
    pub kind: ContentKind,
    /// Bytes of a file.
    pub size: u64,
    /// Everything below a directory, counted.
    pub below: u64,
    /// When it last changed, RFC 3339; absent where the archive does not say.
    #[schemars(with = "Option<String>")]
    pub modified: Option<Timestamp>,
}

/// What something in an archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ContentKind {
    /// A file, or a further name of one.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, a pipe, a device.
    Other,
}

/// One table of a schema, by the passport of its set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableLine {
    /// Name.
    pub name: String,
    /// Rows.
    pub rows: u64,
    /// Bytes of row text.
    pub bytes: u64,
}

/// Looks into a directory of an artifact.
///
/// # Errors
/// When the artifact cannot be had, holds no such directory, or is too large to be looked into.
pub async fn contents(context: &Context, request: &ContentsRequest) -> Result<Contents, JobError> {
    let look = Look::begin(context)?;
    context.audit.access(&request.set.to_string(), &format!("contents of {}", request.artifact));
    tokio::time::timeout(PATIENCE, inside(&look.context, request)).await.map_err(|_| late())?
}

/// The tables of a schema.
///
/// # Errors
/// When the passport of the set cannot be had, or does not know the schema.
pub async fn tables(context: &Context, set: SetName, (artifact, from): (&str, Option<&str>)) -> Result<Vec<TableLine>, JobError> {
    let look = Look::begin(context)?;
    context.audit.access(&set.to_string(), &format!("tables of {artifact}"));
    let request = asked(set, artifact, from);
    tokio::time::timeout(PATIENCE, tables_of(&look.context, &request, artifact)).await.map_err(|_| late())?
}

/// The log of the run that made a set: what it did, and all its warnings.
///
/// # Errors
/// When the set's own artifact cannot be had.
pub async fn set_log(context: &Context, set: SetName, from: Option<&str>) -> Result<String, JobError> {
    let look = Look::begin(context)?;
    context.audit.access(&set.to_string(), "log");
    let request = RestoreRequest { what: What::All, ..asked(set, "", from) };
    tokio::time::timeout(PATIENCE, log_of(&look.context, &request)).await.map_err(|_| late())?
}

/// Ends with whoever looks.
struct Look {
    context: Context,
    _guard: DropGuard,
    _place: SemaphorePermit<'static>,
}

impl Look {
    fn begin(context: &Context) -> Result<Self, JobError> {
        let full = |_| JobError::Failed("others are looking into archives right now; try again in a moment".to_owned());
        let place = AT_ONCE.try_acquire().map_err(full)?;
        let cancel = context.cancel.child_token();
        Ok(Self { context: Context { cancel: cancel.clone(), ..context.clone() }, _guard: cancel.drop_guard(), _place: place })
    }
}

fn late() -> JobError {
    let minutes = PATIENCE.as_secs() / 60;
    JobError::Failed(format!("it was not read within {minutes} minutes; name what is wanted by its path, or restore the whole artifact"))
}

fn asked(set: SetName, artifact: &str, from: Option<&str>) -> RestoreRequest {
    RestoreRequest {
        set: SetChoice::Named(set),
        from: from.map(str::to_owned),
        what: What::Artifact(artifact.to_owned()),
        target: RestoreTarget::Stdout,
        force: false,
        dry_run: true,
    }
}

async fn inside(context: &Context, request: &ContentsRequest) -> Result<Contents, JobError> {
    let after = request.after.as_deref().map(hex::decode).transpose();
    let after = after.map_err(|_| JobError::Request("`cursor` is no `next` of this list; leave it out to begin anew".to_owned()))?;
    let passphrase = context.config.passphrase()?;
    let order = asked(request.set, &request.artifact, request.from.as_deref());
    let report = (Arc::new(Warnings::default()), Arc::new(Meter::default()));
    let chosen = choose(context, &order, &passphrase, &report.0).await?;
    let Some(record) = chosen.records.first() else { return Err(JobError::Request(format!("there is no `{}`", request.artifact))) };
    if record.kind == ArtifactKind::Own {
        return Err(JobError::Request("cofre's own artifact is not looked into here; restore it with: cofre restore".to_owned()));
    }
    if record.size > SIZE_MAX {
        let (size, most) = (format_size(record.size), format_size(SIZE_MAX));
        let message =
            format!("`{}` has {size}, and at most {most} are fetched to look inside; name what is wanted by its path", record.key);
        return Err(JobError::Request(message));
    }
    let begin = if record.kind == ArtifactKind::Directory { PathBuf::from(&record.name) } else { PathBuf::from("/") };
    let path = request.path.clone().unwrap_or(begin);
    let under = path.strip_prefix("/").map_err(|_| JobError::Request("`path` begins with `/`".to_owned()))?.to_path_buf();
    let work = Restore::new((context, &order, passphrase), &chosen.copies, report);
    let (from, artifact) = work.fetch(record).await?;
    let (open, cancel) = (work.opener(Arc::new(artifact)), context.cancel.clone());
    let read = move || page_of(open()?, &under, after.as_deref(), &cancel);
    let page = tokio::task::spawn_blocking(read).await.map_err(|_| JobError::Cancelled)??;
    if !page.there {
        return Err(JobError::Request(format!("the backup holds no directory `{}`", path.display())));
    }
    Ok(Contents { from, path: path.display().to_string(), entries: page.entries, next: page.next, whole: page.whole })
}

async fn tables_of(context: &Context, request: &RestoreRequest, artifact: &str) -> Result<Vec<TableLine>, JobError> {
    let passphrase = context.config.passphrase()?;
    let report = (Arc::new(Warnings::default()), Arc::new(Meter::default()));
    let chosen = choose(context, request, &passphrase, &report.0).await?;
    let work = Restore::new((context, request, passphrase), &chosen.copies, report);
    let passport = work.passport().await?;
    let unknown = || JobError::Request(format!("the passport of the set knows no schema in `{artifact}`"));
    let schema = passport.schema(artifact).ok_or_else(unknown)?;
    Ok(schema.tables.iter().map(|table| TableLine { name: table.name.clone(), rows: table.rows, bytes: table.bytes }).collect())
}

async fn log_of(context: &Context, request: &RestoreRequest) -> Result<String, JobError> {
    let passphrase = context.config.passphrase()?;
    let report = (Arc::new(Warnings::default()), Arc::new(Meter::default()));
    let chosen = choose(context, request, &passphrase, &report.0).await?;
    Restore::new((context, request, passphrase), &chosen.copies, report).log().await
}

/// What was found in one directory.
#[derive(Debug)]
struct Page {
    entries: Vec<Content>,
    next: Option<String>,
    whole: bool,
    there: bool,
}

/// Reads a tar to its end, and keeps the first names of one directory after another name; `under` is relative to `/`.
fn page_of(tar: impl Read, under: &Path, after: Option<&[u8]>, cancel: &CancellationToken) -> Result<Page, JobError> {
    let mut reader = TarReader::new(Until { source: tar, cancel });
    let (mut shelf, mut read, mut whole, mut there) = (Shelf::default(), 0_u64, true, false);
    loop {
        let entry = match reader.next_entry() {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            Err(_) if cancel.is_cancelled() => return Err(JobError::Cancelled),
            Err(error) => return Err(error.into()),
        };
        read += 1;
        if read > READ_MAX {
            whole = false;
            break;
        }
        let Ok(inner) = Path::new(OsStr::from_bytes(&entry.path)).strip_prefix(under) else { continue };
        let mut parts = inner.components();
        let Some(Component::Normal(name)) = parts.next() else {
            there |= entry.kind == EntryKind::Directory;
            continue;
        };
        there = true;
        if after.is_none_or(|after| name.as_bytes() > after) {
            shelf.put(name.as_bytes(), &entry, parts.next().is_some());
        }
    }
    let (entries, next) = shelf.page();
    Ok(Page { entries, next, whole, there })
}

/// The first names so far, one more than a page has. What falls off never comes back: the last name only moves towards the front, so that
/// what is counted below a directory that stays was counted from its first entry on.
#[derive(Default)]
struct Shelf(BTreeMap<Vec<u8>, Content>);

impl Shelf {
    fn put(&mut self, name: &[u8], entry: &Entry, deeper: bool) {
        let is_full = self.0.len() > PAGE;
        if is_full && self.0.last_key_value().is_some_and(|(last, _)| last.as_slice() < name) {
            return;
        }
        let content = self.0.entry(name.to_vec()).or_insert_with(|| nameless(name));
        if deeper {
            content.below += 1;
        } else {
            content.kind = kind_of(entry.kind);
            content.size = entry.size;
            content.modified = Timestamp::from_second(entry.mtime.seconds).ok();
        }
        if self.0.len() > PAGE + 1 {
            self.0.pop_last();
        }
    }

    fn page(mut self) -> (Vec<Content>, Option<String>) {
        let more = self.0.len() > PAGE;
        if more {
            self.0.pop_last();
        }
        let next = self.0.last_key_value().filter(|_| more).map(|(name, _)| hex::encode(name));
        (self.0.into_values().collect(), next)
    }
}

/// A directory, until its own entry says otherwise.
fn nameless(name: &[u8]) -> Content {
    let text = std::str::from_utf8(name);
    Content {
        name: text.map_or_else(|_| String::from_utf8_lossy(name).into_owned(), str::to_owned),
        exact: text.is_ok(),
        kind: ContentKind::Directory,
        size: 0,
        below: 0,
        modified: None,
    }
}

fn kind_of(kind: EntryKind) -> ContentKind {
    match kind {
        EntryKind::File | EntryKind::HardLink => ContentKind::File,
        EntryKind::Directory => ContentKind::Directory,
        EntryKind::Symlink | EntryKind::Fifo | EntryKind::CharDevice | EntryKind::BlockDevice => ContentKind::Other,
    }
}

/// Ends when nobody looks any more, also within a long file.
struct Until<'a, R> {
    source: R,
    cancel: &'a CancellationToken,
}

impl<R: Read> Read for Until<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() { Err(io::Error::other("cancelled")) } else { self.source.read(buffer) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::tar::TarWriter;

    fn tar(entries: &[(&str, EntryKind, u64)]) -> Vec<u8> {
        let mut writer = TarWriter::new(Vec::new());
        for (path, kind, size) in entries {
            let entry = Entry { kind: *kind, ..Entry::file(path.as_bytes(), 0o644, *size) };
            writer.begin(&entry).expect("begun");
            writer.data(&vec![0; usize::try_from(*size).expect("small")]).expect("written");
            writer.end().expect("ended");
        }
        writer.finish().expect("finished")
    }

    fn look(tar: &[u8], under: &str, after: Option<&[u8]>) -> Page {
        page_of(tar, Path::new(under), after, &CancellationToken::new()).expect("read")
    }

    fn names(page: &Page) -> Vec<&str> {
        page.entries.iter().map(|content| content.name.as_str()).collect()
    }

    #[test]
    fn a_directory_shows_what_is_right_in_it_and_counts_what_is_below() {
        let tar = tar(&[
            ("etc/b", EntryKind::Directory, 0),
            ("etc/b/x", EntryKind::File, 700),
            ("etc/b/c/y", EntryKind::File, 1),
            ("etc/a", EntryKind::File, 5),
            ("etc/implied/z", EntryKind::File, 1),
            ("other/a", EntryKind::File, 1),
        ]);
        let page = look(&tar, "etc", None);
        assert_eq!(names(&page), ["a", "b", "implied"]);
        assert_eq!((page.entries[0].kind, page.entries[0].size), (ContentKind::File, 5));
        assert_eq!((page.entries[1].kind, page.entries[1].below), (ContentKind::Directory, 2));
        assert_eq!((page.entries[2].kind, page.entries[2].below), (ContentKind::Directory, 1));
        assert!(page.whole && page.there && page.next.is_none());
        assert_eq!(names(&look(&tar, "", None)), ["etc", "other"]);
        assert!(!look(&tar, "none", None).there && !look(&tar, "etc/a", None).there);
    }

    #[test]
    fn pages_follow_each_other_without_a_gap_whatever_the_order() {
        let count = 2 * PAGE + 7;
        let mut paths: Vec<String> = (0..count).map(|number| format!("d/{number:04}")).collect();
        paths.rotate_left(count / 2);
        let entries: Vec<_> = paths.iter().map(|path| (path.as_str(), EntryKind::File, 0)).collect();
        let tar = tar(&entries);
        let (mut seen, mut after) = (Vec::new(), None::<Vec<u8>>);
        loop {
            let page = look(&tar, "d", after.as_deref());
            assert!(page.entries.len() <= PAGE);
            seen.extend(page.entries.into_iter().map(|content| content.name));
            let Some(next) = page.next else { break };
            after = Some(hex::decode(next).expect("hex"));
        }
        paths.sort();
        let expected: Vec<_> = paths.iter().map(|path| path[2..].to_owned()).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_name_that_is_no_text_is_shown_and_said_to_be_none() {
        let mut writer = TarWriter::new(Vec::new());
        writer.begin(&Entry::file(b"d/\xff", 0o644, 0)).expect("begun");
        writer.end().expect("ended");
        let page = look(&writer.finish().expect("finished"), "d", None);
        assert_eq!((page.entries[0].name.as_str(), page.entries[0].exact), ("\u{fffd}", false));
    }

    #[test]
    fn whoever_is_gone_keeps_no_reader_busy() {
        let cancel = CancellationToken::new();
        cancel.cancel();
        let read = page_of(tar(&[("a", EntryKind::File, 1)]).as_slice(), Path::new(""), None, &cancel);
        assert!(matches!(read, Err(JobError::Cancelled)));
    }
}
