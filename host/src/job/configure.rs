//! The configuration changed from elsewhere than an editor: what would be different is shown first, only what holds is saved, and the file as
//! it was stays beside it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::context::{Context, JobError};
use crate::audit::Action;
use crate::config::{Change, Config, ConfigError, DiffLine, Problem, difference, edited, revision};
use crate::plugin::{Fault, PluginError};

/// Earlier files that stay.
const KEPT: usize = 20;
/// Between the name of the file and the moment in which it was replaced.
const MARK: &str = ".before-";

/// A change that is not saved, and perhaps makes no sense.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    before: String,
    after: String,
}

impl Draft {
    /// The file as it is now, with changes made to it.
    ///
    /// # Errors
    /// When it cannot be read, or not be changed like this.
    pub fn of(context: &Context, changes: &[Change]) -> Result<Self, JobError> {
        let path = context.config.path.clone();
        let before = Config::text_of(&path)?;
        let after = edited(&before, changes).map_err(|error| JobError::Request(error.to_string()))?;
        Ok(Self { path, before, after })
    }

    /// Which version of the file it changes.
    pub fn revision(&self) -> String {
        revision(&self.before)
    }

    /// What is different.
    pub fn difference(&self) -> Vec<DiffLine> {
        difference(&self.before, &self.after)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the file as it is now will lie; a moment stands for the star.
    pub fn kept_as(&self) -> String {
        format!("{}{MARK}*", self.path.display())
    }

    /// The whole file as it would be.
    pub fn text(&self) -> &str {
        &self.after
    }

    /// Looks whether it holds.
    ///
    /// # Errors
    /// With every mistake that was found.
    pub fn check(self) -> Result<CheckedDraft, ConfigError> {
        let config = Config::parse(&self.path, self.after.clone())?;
        Ok(CheckedDraft { draft: self, config: Arc::new(config) })
    }
}

/// A change that holds.
#[derive(Debug)]
pub struct CheckedDraft {
    draft: Draft,
    config: Arc<Config>,
}

impl CheckedDraft {
    /// What the file will mean.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Asks the plug-ins of destinations and notifiers that are changed whether their settings fit.
    pub async fn review(&self, context: &Context, changes: &[Change]) -> Review {
        let context = context.under(&self.config);
        let mut review = Review::default();
        for change in changes {
            let Change::Entry { list, id, values } = change else { continue };
            let name = values.get("name").and_then(serde_json::Value::as_str).unwrap_or(id);
            match opened_instance(&context, list, name).await {
                Ok(()) => {}
                Err(JobError::Config(error)) => review.sort(error.problems),
                Err(JobError::Plugin(PluginError::Settings { faults, .. })) => {
                    let problem = |fault: Fault| Problem { line: None, key: format!("{list}.{}", fault.key), message: fault.message };
                    review.sort(faults.into_iter().map(problem).collect());
                }
                Err(error) => review.notes.push(error.to_string()),
            }
        }
        review
    }

    /// The draft.
    pub fn draft(&self) -> &Draft {
        &self.draft
    }

    /// Saves it, unless the file is no longer the one of `expected`; returns where the file as it was lies. Whoever runs by this
    /// configuration reads it again by SIGHUP.
    ///
    /// # Errors
    /// When the file was changed meanwhile, or cannot be written; then it is as it was.
    pub fn save(self, context: &Context, expected: &str) -> Result<Option<PathBuf>, JobError> {
        let Draft { path, before, after } = &self.draft;
        let lock = crate::owner::private_file(&context.config.storage.state.join("configure.lock"))
            .map_err(|error| JobError::Failed(format!("the configuration cannot be locked: {error}")))?;
        let mut lock = fd_lock::RwLock::new(lock);
        let _held = lock.try_write().map_err(|_| JobError::Failed("somebody else saves the configuration just now".to_owned()))?;
        let now = Config::text_of(path)?;
        if revision(&now) != expected || now != *before {
            return Err(JobError::Request("the configuration was changed meanwhile, and nothing was saved: look at it again".to_owned()));
        }
        if before == after {
            return Ok(None);
        }
        let (old, new) = (revision(before), revision(after));
        let intent = context.audit.must(Action::Configuration, &path.display().to_string(), &[("before", &old), ("sha256", &new)])?;
        let saved = replace(path, before, after).map_err(|error| {
            JobError::Failed(format!(
                "{} cannot be written, and is as it was: {error}; the account of the daemon needs the right to write it and its directory",
                path.display()
            ))
        });
        if saved.is_ok() {
            let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            context.catalog.record_configuration(&absolute, &new)?;
        }
        intent.ended(&saved);
        saved.map(Some)
    }
}

/// What plug-ins say of a draft.
#[derive(Debug, Clone, Default)]
pub struct Review {
    /// What does not fit.
    pub problems: Vec<Problem>,
    /// What is yet to be done: an approval, a secret that is not there.
    pub notes: Vec<String>,
}

impl Review {
    /// A secret may come after its place: one that cannot be fetched now keeps nothing from being saved.
    fn sort(&mut self, problems: Vec<Problem>) {
        let (absent, wrong): (Vec<_>, Vec<_>) = problems.into_iter().partition(|problem| problem.key.ends_with(".secrets"));
        self.problems.extend(wrong);
        self.notes.extend(absent.into_iter().map(|problem| problem.message));
    }
}

/// Whether a destination or notifier can be opened; nothing is asked of its service.
async fn opened_instance(context: &Context, list: &str, name: &str) -> Result<(), JobError> {
    let config = &context.config;
    match list {
        "destination" => match config.destinations.iter().find(|one| one.settings.name == name) {
            Some(one) => context.destination(one).await.map(drop),
            None => Ok(()),
        },
        "notifier" => match config.notifiers.iter().find(|one| one.settings.name == name) {
            Some(one) => super::tell::notifier(context, one).await.map(drop),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// The newest of the earlier files that lie beside the configuration.
pub fn last_kept(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    let prefix = format!("{}{MARK}", path.file_name()?.to_string_lossy());
    let names = std::fs::read_dir(path.parent()?).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    names.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix))).max()
}

/// Puts a text in the place of another, whole or not at all, and keeps that beside it.
fn replace(path: &Path, before: &str, after: &str) -> io::Result<PathBuf> {
    // Where the path is a link, what it leads to is replaced.
    let path = &path.canonicalize()?;
    let (directory, name) = match (path.parent(), path.file_name()) {
        (Some(directory), Some(name)) => (directory, name.to_string_lossy().into_owned()),
        _ => return Err(io::Error::other("it has no name")),
    };
    let status = path.metadata()?;
    let moment = Timestamp::now().strftime("%Y-%m-%dT%H-%M-%S.%fZ");
    let kept = directory.join(format!("{name}{MARK}{moment}"));
    written(&kept, before, &status)?;
    let partial = directory.join(format!(".{name}.new"));
    written(&partial, after, &status)?;
    std::fs::rename(&partial, path)?;
    File::open(directory)?.sync_all()?;
    if let Err(error) = forget_oldest(directory, &format!("{name}{MARK}")) {
        tracing::warn!(%error, "earlier configurations could not be tidied up");
    }
    Ok(kept)
}

/// Writes a file with the mode and owner of another.
fn written(path: &Path, text: &str, like: &std::fs::Metadata) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
        std::os::unix::fs::fchown(&file, Some(like.uid()), Some(like.gid()))?;
    }
    file.set_permissions(like.permissions())?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn forget_oldest(directory: &Path, prefix: &str) -> io::Result<()> {
    let mut kept: Vec<_> = std::fs::read_dir(directory)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)))
        .collect();
    kept.sort();
    let surplus = kept.len().saturating_sub(KEPT);
    kept.iter().take(surplus).try_for_each(std::fs::remove_file)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio_util::sync::CancellationToken;

    use super::super::trail::actor;
    use super::*;

    const TEXT: &str =
        "locale = \"pt-BR\" # of the reports\n[passphrase]\nenv = \"X\"\n[[destination]]\nname = \"disco\"\nplugin = \"local\"\n";

    fn opened(directory: &Path) -> Context {
        let path = directory.join("cofre.toml");
        std::fs::write(&path, format!("{TEXT}[storage]\nstate_dir = \"{}\"\n", directory.join("state").display())).expect("written");
        let config = Config::load(&path).expect("holds");
        Context::open(config, actor(false), CancellationToken::new()).expect("opens")
    }

    fn table(name: &str, values: serde_json::Value) -> Change {
        Change::Table { table: name.to_owned(), values: values.as_object().expect("an object").clone() }
    }

    #[test]
    fn what_holds_is_saved_once_and_the_file_before_stays() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().expect("a directory");
        let context = opened(directory.path());
        let path = directory.path().join("cofre.toml");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).expect("set");
        let before = std::fs::read_to_string(&path).expect("read");
        let changes = [table("", json!({ "locale": "en" }))];
        let draft = || Draft::of(&context, &changes).expect("possible").check().expect("holds");
        let (one, other) = (draft(), draft());
        let revision = one.draft().revision();
        let kept = one.save(&context, &revision).expect("saved").expect("different");
        assert_eq!(std::fs::read_to_string(kept).expect("kept"), before);
        assert_eq!(std::fs::read_to_string(&path).expect("read"), before.replace("pt-BR", "en"));
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o640);
        let error = other.save(&context, &revision).expect_err("changed meanwhile").to_string();
        assert!(error.contains("changed meanwhile"), "{error}");
        let audit = std::fs::read_to_string(directory.path().join("state/audit.log")).expect("an audit log");
        assert_eq!(audit.lines().filter(|line| line.contains("\"configuration\"") && line.contains(&revision)).count(), 2, "{audit}");
    }

    #[test]
    fn what_does_not_hold_is_not_saved() {
        let directory = tempfile::tempdir().expect("a directory");
        let context = opened(directory.path());
        let error =
            Draft::of(&context, &[table("", json!({ "locale": "fr" }))]).expect("possible").check().expect_err("no language of ours");
        assert_eq!(error.problems[0].key, "locale");
    }

    #[test]
    fn of_earlier_files_the_newest_stay() {
        let directory = tempfile::tempdir().expect("a directory");
        for number in 0..KEPT + 3 {
            std::fs::write(directory.path().join(format!("cofre.toml{MARK}{number:03}")), "").expect("written");
        }
        std::fs::write(directory.path().join("other.toml"), "").expect("written");
        forget_oldest(directory.path(), &format!("cofre.toml{MARK}")).expect("tidied");
        assert!(!directory.path().join(format!("cofre.toml{MARK}002")).exists() && directory.path().join("other.toml").exists());
        assert_eq!(std::fs::read_dir(directory.path()).expect("listed").count(), KEPT + 1);
    }
}
