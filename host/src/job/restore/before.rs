//! What is looked at before anything is downloaded: whether what was asked for makes sense, whether something is there already,
//! whether there is room. What cannot be known beforehand is said.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::find::matcher;
use super::outlook::{Note, Outlook, Unknown};
use super::{Restore, RestoreRequest, RestoreTarget, What, folder};
use crate::config::format_size;
use crate::job::context::{Context, JobError};
use crate::ports::MysqlSettings;
use crate::set::{ArtifactKind, ArtifactRecord, stem_of};
use crate::source::mysql::Staging;
use crate::spool::statvfs_free;

/// Names that a refusal lists.
const NAMES_TOLD: usize = 10;

/// Refuses what makes no sense whatever set there is. Returns the settings of the server that is restored into.
pub(super) fn check_request(context: &Context, request: &RestoreRequest) -> Result<Option<MysqlSettings>, JobError> {
    let refuse = |message: &str| Err(JobError::Request(message.to_owned()));
    match (&request.what, &request.target) {
        (What::Schemas { table: Some(_), .. }, RestoreTarget::Directory(_) | RestoreTarget::Stdout | RestoreTarget::Stream(_)) => {
            return refuse(
                "a table alone can only go into a database: load it with --database SOURCE --into NAME, or leave --table out to get the whole schema's files",
            );
        }
        (What::Glob(_), RestoreTarget::Stdout | RestoreTarget::Stream(_)) => {
            return refuse(
                "a pattern may match several files, and standard output takes one: name it with --path, or restore with --to DIR",
            );
        }
        (What::Path(_) | What::Glob(_), RestoreTarget::Database { .. }) => {
            return refuse("only schemas can be restored into a database: name one with --schema, or restore to a directory with --to");
        }
        (What::Glob(pattern), _) => drop(matcher(pattern, true)?),
        (What::Path(path), _) if !path.is_absolute() => return refuse("--path names a path as it was backed up, which begins with `/`"),
        _ => {}
    }
    let RestoreTarget::Database { source, .. } = &request.target else { return Ok(None) };
    let Some(known) = context.config.mysql.iter().find(|config| config.settings.name == *source) else {
        let known: Vec<_> = context.config.mysql.iter().map(|config| config.settings.name.as_str()).collect();
        let message = format!("there is no database `{source}` in the configuration; configured are: {}", known.join(", "));
        return Err(JobError::Request(message));
    };
    Ok(Some(context.config.mysql_settings(known)?))
}

/// Refuses what makes no sense for these artifacts.
pub(super) fn check_records(request: &RestoreRequest, records: &[ArtifactRecord]) -> Result<(), JobError> {
    let one = records.len() == 1;
    let problem = match (&request.target, &request.what) {
        (RestoreTarget::Database { .. }, _) if records.iter().any(|record| record.kind != ArtifactKind::Schema) => {
            "only schemas can be restored into a database: name one with --schema, or restore to a directory with --to"
        }
        (RestoreTarget::Database { into: Some(_), .. }, _) if !one => "--into needs exactly one schema",
        (_, What::Schemas { table: Some(_), .. }) if !one => "--table needs exactly one schema",
        (RestoreTarget::Stdout | RestoreTarget::Stream(_), _) if !one => "only one artifact or one file can go to standard output",
        _ => return Ok(()),
    };
    Err(JobError::Request(problem.to_owned()))
}

impl Restore<'_> {
    /// Looks at the target and at the room, before anything is downloaded.
    pub(super) async fn look_ahead(&self, records: &[ArtifactRecord]) -> Result<Outlook, JobError> {
        let mut outlook = Outlook::default();
        let largest = records.iter().map(|record| record.size).max().unwrap_or(0);
        self.context.spool.check_scratch(largest)?;
        match &self.request.target {
            RestoreTarget::Database { into, .. } => self.look_at_database(records, into.as_deref(), &mut outlook).await?,
            RestoreTarget::Directory(directory) => {
                self.look_at_directory(directory, records, &mut outlook)?;
                self.look_at_room(directory, records, largest, &mut outlook);
            }
            RestoreTarget::Stdout | RestoreTarget::Stream(_) => {}
        }
        if let What::Path(path) = &self.request.what
            && records.iter().any(|record| path != Path::new(&record.name) && path.starts_with(&record.name))
        {
            outlook.unknown.push(Unknown::InArchive(path.display().to_string()));
        }
        Ok(outlook)
    }

    async fn look_at_database(&self, records: &[ArtifactRecord], into: Option<&str>, outlook: &mut Outlook) -> Result<(), JobError> {
        let settings = self.settings()?;
        let table = self.table();
        let mut there = Vec::new();
        for record in records {
            let name = into.unwrap_or(&record.name);
            if Staging::is_needed(settings, name, table).await? {
                there.push(table.map_or_else(|| name.to_owned(), |table| format!("{name}.{table}")));
            }
            if let Some(table) = table {
                self.look_for_table(record, table).await?;
            }
        }
        if there.is_empty() {
            outlook.notes.push(Note::NothingInDatabase);
        } else if self.request.force {
            outlook.notes.push(Note::Replaces(listed(&there)));
        } else {
            return Err(JobError::Failed(format!(
                "{} in database `{}`: there already, and not empty; restore one under another name with --into, or repeat with --force to replace what is there once what was restored has proven whole",
                listed(&there),
                settings.name
            )));
        }
        outlook.unknown.push(Unknown::RoomOfServer);
        Ok(())
    }

    /// The passport is small, and knows.
    async fn look_for_table(&self, record: &ArtifactRecord, table: &str) -> Result<(), JobError> {
        let passport = self.passport().await?;
        let known = passport.schema(&record.key).is_some_and(|schema| schema.tables.iter().any(|known| known.name == table));
        if known { Ok(()) } else { Err(JobError::Request(format!("the backup of schema `{}` holds no table `{table}`", record.name))) }
    }

    fn look_at_directory(&self, directory: &Path, records: &[ArtifactRecord], outlook: &mut Outlook) -> Result<(), JobError> {
        let mut there = Vec::new();
        for record in records {
            match self.place_of(directory, record) {
                Some(places) => there.extend(places.iter().filter(|place| is_taken(place)).map(|place| place.display().to_string())),
                None => outlook.unknown.push(Unknown::MatchesIn(directory.display().to_string())),
            }
        }
        there.dedup();
        outlook.unknown.dedup();
        if there.is_empty() {
            return Ok(());
        }
        if self.request.force {
            outlook.notes.push(Note::WritesInto(listed(&there)));
            return Ok(());
        }
        let message = "exists already; restore to another place, or repeat with --force to replace files";
        Err(JobError::Failed(format!("{}: {message}", listed(&there))))
    }

    /// Where an artifact would go; `None` where only its content tells.
    fn place_of(&self, directory: &Path, record: &ArtifactRecord) -> Option<Vec<PathBuf>> {
        let below = |path: &Path| directory.join(path.strip_prefix("/").unwrap_or(path));
        let folder = folder(directory, record);
        Some(match (record.kind, &self.request.what) {
            (ArtifactKind::Directory, What::Glob(_)) => return None,
            (ArtifactKind::Directory, What::Path(path)) if path.starts_with(&record.name) => vec![below(path)],
            (ArtifactKind::Directory, _) => vec![below(Path::new(&record.name))],
            (ArtifactKind::Schema, _) => {
                let stem = stem_of(&record.key);
                vec![folder.join(format!("{stem}.sql")), folder.join(format!("{stem}.d"))]
            }
            (ArtifactKind::Grants | ArtifactKind::Own, _) => vec![folder],
        })
    }

    /// Room at the target is a guess: file systems compress, files have holes, and small ones take a whole block.
    fn look_at_room(&self, directory: &Path, records: &[ArtifactRecord], largest: u64, outlook: &mut Outlook) {
        if !matches!(self.request.what, What::All | What::Artifact(_) | What::Schemas { .. }) {
            outlook.unknown.push(Unknown::RoomNeeded);
            return;
        }
        let Some(above) = directory.ancestors().find(|above| above.is_dir()).or(Some(Path::new("."))) else { return };
        let (Ok(free), Ok(status)) = (statvfs_free(above), above.metadata()) else {
            outlook.unknown.push(Unknown::RoomIn(above.display().to_string()));
            return;
        };
        let same_disk = self.context.spool.directory().metadata().is_ok_and(|spool| spool.dev() == status.dev());
        let plain: u64 = records.iter().map(|record| record.plain).sum();
        let needed = plain.saturating_add(if same_disk { largest } else { 0 });
        if needed > free {
            let message = format!("it needs about {} there, and {} are free", format_size(needed), format_size(free));
            self.warnings.push(directory.display().to_string(), message);
        } else {
            outlook.notes.push(Note::Room { needed, free, place: above.display().to_string() });
        }
    }
}

/// Whether a file is there, or a directory with something in it. What cannot be looked at is left to the extraction.
fn is_taken(path: &Path) -> bool {
    match path.symlink_metadata() {
        Ok(status) if status.is_dir() => path.read_dir().is_ok_and(|mut entries| entries.next().is_some()),
        Ok(_) => true,
        Err(_) => false,
    }
}

fn listed(names: &[String]) -> String {
    let shown: Vec<_> = names.iter().take(NAMES_TOLD).map(|name| format!("`{name}`")).collect();
    let more = names.len().checked_sub(NAMES_TOLD).filter(|more| *more > 0).map_or_else(String::new, |more| format!(" and {more} more"));
    format!("{}{more}", shown.join(", "))
}
