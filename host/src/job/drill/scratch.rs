//! Where a drill restores to: a directory and schemas that nobody else uses, which go whatever comes of it. What a killed drill left is known
//! by its name and by a lock that nobody holds any more.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::job::context::{Context, JobError};
use crate::ports::{MysqlSettings, ObjectKind};
use crate::set::{ArtifactKind, ArtifactRecord, Passport};
use crate::source::mysql::{ScratchNeeds, ScratchSchemas};
use crate::spool::SpaceRule;

/// What the name of every scratch directory begins with; eight hex digits follow.
const PREFIX: &str = "cofre-drill-";
const MARK: usize = 8;

/// A scratch directory.
pub(super) struct Place {
    mark: String,
    directory: PathBuf,
    /// Held while the drill lives.
    _lock: File,
    swept: Vec<String>,
}

impl Place {
    /// Makes one in `above`, or in the spool, after removing what dead drills left there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn make(context: &Context, above: Option<&Path>) -> Result<Self, JobError> {
        let above = above.map_or_else(|| context.spool.directory().join("scratch"), Path::to_path_buf);
        let failed = |error: io::Error| JobError::Failed(format!("cannot make a scratch directory in `{}`: {error}", above.display()));
        DirBuilder::new().recursive(true).mode(0o700).create(&above).map_err(failed)?;
        let swept = sweep(&above).map_err(failed)?;
        let mut random = [0; MARK / 2];
        getrandom::fill(&mut random).map_err(|error| failed(io::Error::other(error.to_string())))?;
        let mark = hex::encode(random);
        let directory = above.join(format!("{PREFIX}{mark}"));
        DirBuilder::new().mode(0o700).create(&directory).map_err(failed)?;
        let lock = File::open(&directory).map_err(failed)?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| failed(error.into()))?;
        // Another drill may have swept it away before it was locked.
        let (ours, there) = (lock.metadata().map_err(failed)?, std::fs::metadata(&directory).map_err(failed)?);
        if ours.ino() != there.ino() {
            return Err(failed(io::Error::other("another drill removed it")));
        }
        Ok(Self { mark, directory, _lock: lock, swept })
    }

    /// The mark of this drill.
    pub(super) fn mark(&self) -> &str {
        &self.mark
    }

    /// Where files go.
    pub(super) fn tree(&self) -> PathBuf {
        self.directory.join("tree")
    }

    /// What dead drills had left.
    pub(super) fn swept(&self) -> &[String] {
        &self.swept
    }

    /// Refuses where the largest artifact has no room: one is there at a time, its download in the spool and its files in the scratch.
    ///
    /// # Errors
    /// When it has none.
    pub(super) fn check_room(&self, context: &Context, records: &[ArtifactRecord]) -> Result<(), JobError> {
        let largest = |of: fn(&ArtifactRecord) -> u64| records.iter().map(of).max().unwrap_or(0);
        let files = |record: &ArtifactRecord| if record.kind == ArtifactKind::Directory { record.plain } else { 0 };
        let same_disk = match (self.directory.metadata(), context.spool.directory().metadata()) {
            (Ok(one), Ok(other)) => one.dev() == other.dev(),
            _ => true,
        };
        if same_disk {
            return Ok(context.spool.check_scratch(records.iter().map(|record| record.size + files(record)).max().unwrap_or(0))?);
        }
        context.spool.check_scratch(largest(|record| record.size))?;
        let rule = SpaceRule { reserve: context.config.storage.reserve, patience: context.config.storage.patience };
        Ok(rule.check(&self.directory, records.iter().map(files).max().unwrap_or(0))?)
    }

    /// Removes the files of an artifact.
    ///
    /// # Errors
    /// When something stays.
    pub(super) fn empty(tree: &Path) -> io::Result<()> {
        remove_tree(tree)
    }

    /// Removes everything; returns what could not be removed.
    pub(super) fn remove(self) -> Option<String> {
        remove_tree(&self.directory).err().map(|error| format!("`{}`: {error}", self.directory.display()))
    }
}

/// Also where nobody calls [`Place::remove`]: as when the set cannot be chosen.
impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.directory) {
            tracing::warn!(directory = %self.directory.display(), %error, "the scratch of a drill could not be removed");
        }
    }
}

/// Removes what dead drills left in a directory; returns what that was.
fn sweep(above: &Path) -> io::Result<Vec<String>> {
    let mut swept = Vec::new();
    for entry in std::fs::read_dir(above)? {
        let entry = entry?;
        let name = entry.file_name();
        let mark = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let is_ours = mark.is_some_and(|mark| mark.len() == MARK && mark.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if !is_ours || !entry.file_type()?.is_dir() {
            continue;
        }
        let Ok(directory) = File::open(entry.path()) else { continue };
        // A living drill holds it.
        if rustix::fs::flock(directory.as_fd(), FlockOperation::NonBlockingLockExclusive).is_ok() {
            remove_tree(&entry.path())?;
            swept.push(entry.path().display().to_string());
        }
    }
    Ok(swept)
}

/// Removes a tree, also where its directories are closed to their owner. What is not there is removed.
fn remove_tree(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_directories(path)?;
            std::fs::remove_dir_all(path)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn open_directories(path: &Path) -> io::Result<()> {
    let mut waiting = vec![path.to_path_buf()];
    while let Some(directory) = waiting.pop() {
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o700))?;
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    Ok(())
}

/// The servers that schemas are restored into.
pub(super) struct Databases(BTreeMap<String, Server>);

/// One server.
pub(super) struct Server {
    pub(super) settings: MysqlSettings,
    pub(super) scratch: ScratchSchemas,
}

impl Databases {
    /// Prepares every server that a schema came from. Returns also what dead drills had left there.
    ///
    /// # Errors
    /// When a server is not configured any more or cannot be reached, or has no room, or the account may not.
    pub(super) async fn open(
        context: &Context,
        (records, passport): (&[ArtifactRecord], &Passport),
        mark: &str,
    ) -> Result<(Self, Vec<String>), JobError> {
        let (mut servers, mut swept) = (Self(BTreeMap::new()), Vec::new());
        for record in records.iter().filter(|record| record.kind == ArtifactKind::Schema) {
            let name = record.source.clone().unwrap_or_default();
            // Opening waits, and an entry cannot be held for so long.
            let known = servers.0.contains_key(&name);
            if !known {
                let schemas = records.iter().filter(|other| other.kind == ArtifactKind::Schema && other.source == record.source);
                let of_server: Vec<&ArtifactRecord> = schemas.collect();
                match Server::open(context, (&name, &of_server, passport), mark).await {
                    Ok((server, left)) => {
                        servers.0.insert(name, server);
                        swept.extend(left);
                    }
                    Err(error) => {
                        servers.close().await;
                        return Err(error);
                    }
                }
            }
        }
        Ok((servers, swept))
    }

    /// The server that a schema came from.
    ///
    /// # Errors
    /// When it has none.
    pub(super) fn of(&mut self, record: &ArtifactRecord) -> Result<&mut Server, JobError> {
        let server = record.source.as_ref().and_then(|name| self.0.get_mut(name));
        server.ok_or_else(|| JobError::Failed(format!("`{}` names no database", record.key)))
    }

    /// Drops whatever is left; returns what could not be dropped.
    pub(super) async fn close(self) -> Vec<String> {
        let mut left = Vec::new();
        for (name, mut server) in self.0 {
            if let Err(error) = server.scratch.remove().await {
                left.push(format!("database `{name}`: {error}"));
            }
            server.scratch.close().await;
        }
        left
    }
}

impl Server {
    async fn open(
        context: &Context,
        (name, records, passport): (&str, &[&ArtifactRecord], &Passport),
        mark: &str,
    ) -> Result<(Self, Vec<String>), JobError> {
        let Some(config) = context.config.mysql.iter().find(|config| config.settings.name == name) else {
            return Err(JobError::Failed(format!(
                "the schemas of the set came from the database `{name}`, which is not in the configuration any more; drill the rest with --only"
            )));
        };
        let settings = context.config.mysql_settings(config)?;
        let passports: Vec<_> = records.iter().filter_map(|record| passport.schema(&record.key)).collect();
        let some = |kinds: &[ObjectKind]| passports.iter().any(|schema| schema.objects.iter().any(|object| kinds.contains(&object.kind)));
        let needs = ScratchNeeds {
            views: some(&[ObjectKind::View]),
            triggers: some(&[ObjectKind::Trigger]),
            routines: some(&[ObjectKind::Procedure, ObjectKind::Function, ObjectKind::Package]),
        };
        let opened = ScratchSchemas::open(&settings, mark, needs).await;
        let (mut scratch, left) = opened.map_err(|error| {
            JobError::Failed(format!(
                "a drill cannot be held at database `{name}`: {error}. Its account needs all rights on schemas of its own: GRANT ALL ON `cofre\\_drill\\_%`.* TO it"
            ))
        })?;
        if let Err(error) = room(context, &mut scratch, records).await {
            scratch.close().await;
            return Err(error);
        }
        Ok((Self { settings, scratch }, left))
    }
}

/// Refuses where the largest schema has no room, as far as that is known: the server's disk can only be looked at on this machine.
async fn room(context: &Context, scratch: &mut ScratchSchemas, records: &[&ArtifactRecord]) -> Result<(), JobError> {
    let Some(free) = scratch.free_bytes().await else { return Ok(()) };
    for record in records {
        let needed = scratch.bytes_of(&record.name).await?.max(record.plain).saturating_add(context.config.storage.reserve);
        if needed > free {
            return Err(JobError::Failed(format!(
                "schema `{}` needs about {needed} bytes on the disk of its database, storage.spool_reserve included, and {free} are free; free some, or drill the rest with --only",
                record.name
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_dead_drill_left_is_swept() {
        let directory = tempfile::tempdir().expect("a directory");
        let make = |name: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.join("tree/closed")).expect("made");
            std::fs::set_permissions(path.join("tree/closed"), std::fs::Permissions::from_mode(0o000)).expect("closed");
            path
        };
        let (dead, living) = (make("cofre-drill-0a1b2c3d"), make("cofre-drill-00000000"));
        let others = ["cofre-drill-x", "cofre-drill-0a1b2c3d4", "backup", "cofre-drill-"].map(make);
        let lock = File::open(&living).expect("opened");
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).expect("free");
        assert_eq!(sweep(directory.path()).expect("swept"), [dead.display().to_string()]);
        assert!(!dead.exists() && living.exists() && others.iter().all(|other| other.exists()));
    }
}
