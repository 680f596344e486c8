//! The life of a plug-in on this machine: proposed, approved, replaced, removed. What a plug-in asks for is shown before anything is
//! approved, and nothing that is not approved is ever run with anything granted.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::context::JobError;
use super::trail::Trail;
use crate::audit::{Action, Actor};
use crate::config::PluginConfig;
use crate::plugin::{
    Approvals, Change, Examined, Pin, PluginComponent, PluginEngine, PluginFile, PluginLock, PluginState, Profile, Signature, uninstall,
};

/// Plug-ins of which is remembered what they said.
const SAYINGS_MAX: usize = 200;
/// How long one is not asked again that could not say what it is.
const SILENCE: Duration = Duration::from_secs(60);

/// The plug-in directory, the approvals, and an engine to ask plug-ins what they are.
pub struct PluginRoom {
    config: PluginConfig,
    engine: PluginEngine,
    audit: Trail,
    sayings: Arc<Sayings>,
}

/// What would be approved. It has been read and has described itself in the empty sandbox; nothing is changed yet.
pub struct Proposal {
    /// The approval to be.
    pub pin: Pin,
    /// What it says of itself.
    pub said: Arc<Profile>,
    /// What its signature is worth.
    pub signature: Signature,
    /// What was approved at its place before.
    pub before: Option<Pin>,
    /// What is different from then; nothing where there was nothing.
    pub changes: Vec<Change>,
    /// Whether it is approved already, as it is.
    pub known: bool,
    file: Arc<PluginFile>,
}

/// What plug-ins said of themselves, or why they could not be asked, by the SHA-256 of their files: the same bytes say the same again, and
/// asking takes long enough to be waited for.
#[derive(Debug, Default)]
pub struct Sayings(Mutex<HashMap<String, (Instant, Saying)>>);

type Saying = Result<Arc<Profile>, String>;

impl Sayings {
    fn of(&self, sha256: &str) -> Option<Saying> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, saying) = known.get(sha256)?;
        (saying.is_ok() || at.elapsed() < SILENCE).then(|| saying.clone())
    }

    fn keep(&self, sha256: &str, saying: Saying) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= SAYINGS_MAX {
            known.clear();
        }
        known.insert(sha256.to_owned(), (Instant::now(), saying));
    }
}

impl Proposal {
    /// Whether what was signed before is now signed by somebody else, or by nobody.
    pub fn is_by_another_signer(&self) -> bool {
        self.changes.iter().any(Change::is_another_signer)
    }
}

/// One line of the list of plug-ins.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct ListedPlugin {
    /// Name; that of the file where nobody has approved it yet.
    pub name: String,
    /// Version, where it is approved.
    pub version: Option<String>,
    /// What it is to cofre.
    pub state: PluginState,
    /// What its signature is worth.
    pub signature: Signature,
    /// The file.
    pub file: PathBuf,
    /// SHA-256 of what is there, hex.
    pub sha256: Option<String>,
    /// Configured instances that use it.
    pub used_by: Vec<String>,
    /// Why it cannot be used, with the mend.
    pub problem: Option<String>,
}

impl PluginRoom {
    /// Opens the room for `actor`.
    ///
    /// # Errors
    /// When this machine cannot run plug-ins.
    pub fn open(config: PluginConfig, actor: Actor) -> Result<Self, JobError> {
        let engine = PluginEngine::new(Some(&config.cache))?;
        let audit = Trail::new(&config.state, actor, None);
        Ok(Self { config, engine, audit, sayings: Arc::default() })
    }

    /// The same, that asks no plug-in again which said already what it is.
    #[must_use]
    pub fn remembering(self, sayings: Arc<Sayings>) -> Self {
        Self { sayings, ..self }
    }

    /// What a file says of itself, in the empty sandbox.
    async fn said(&self, file: &Arc<PluginFile>) -> Result<Arc<Profile>, JobError> {
        if let Some(known) = self.sayings.of(file.sha256()) {
            return known.map_err(JobError::Failed);
        }
        let said = self.engine.compile(Arc::clone(file)).await.map(|component| Arc::new(component.profile()));
        self.sayings.keep(file.sha256(), said.as_ref().map(Arc::clone).map_err(ToString::to_string));
        Ok(said?)
    }

    /// Where approvals are kept.
    pub fn lock(&self) -> &Path {
        &self.config.settings.lock
    }

    /// Where plug-ins are.
    pub fn directory(&self) -> &Path {
        &self.config.settings.directory
    }

    /// Component files of a directory, by name.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn files_in(directory: &Path) -> Result<Vec<PathBuf>, JobError> {
        let failed = |error: std::io::Error| JobError::Request(format!("cannot list `{}`: {error}", directory.display()));
        let mut files = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "wasm") && path.is_file() {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    /// Reads a file and asks it, in the empty sandbox, what it is and wants.
    ///
    /// # Errors
    /// When it is no plug-in, or may not be approved at all.
    pub async fn propose(&self, file: &Path) -> Result<Proposal, JobError> {
        let approvals = Approvals::read(&self.config.settings)?;
        let file = Arc::new(PluginFile::read(file)?);
        let said = self.said(&file).await?;
        let signature = Signature::of(&file, &self.config.settings.trusted_keys);
        if let Signature::Invalid { reason } = &signature {
            return Err(JobError::Failed(format!("the signature beside `{}` does not hold: {reason}", file.path().display())));
        }
        approvals.signed(&file)?;
        let pin = Pin::new(&said, &self.place(file.path(), &said.description.name)?, &signature);
        let before = approvals.lock().at(&pin.file).cloned();
        let changes = before.as_ref().map(|before| before.changes(&pin)).unwrap_or_default();
        let known = before.as_ref().is_some_and(|before| before.sha256 == pin.sha256 && before.key == pin.key) && pin.file.is_file();
        Ok(Proposal { pin, said, signature, before, changes, known, file })
    }

    /// The same for what takes the place of an approved plug-in: another file, or what lies there now.
    ///
    /// # Errors
    /// When nothing of that name is approved, or what takes its place is something else.
    pub async fn propose_update(&self, name: &str, file: Option<&Path>) -> Result<Proposal, JobError> {
        let before = self.approved(name)?;
        let proposal = self.propose(file.unwrap_or(&before.file)).await?;
        if proposal.pin.name != before.name {
            return Err(JobError::Request(format!(
                "`{}` calls itself `{}`, so it is no update of `{}`; add it with: cofre plugin add {0}",
                proposal.file.path().display(),
                proposal.pin.name,
                before.name
            )));
        }
        let pin = Pin { file: before.file.clone(), ..proposal.pin };
        let known = before.sha256 == pin.sha256 && before.key == pin.key && pin.file.is_file();
        Ok(Proposal { changes: before.changes(&pin), before: Some(before), known, pin, ..proposal })
    }

    /// Puts a plug-in in its place and pins it. A crash in between leaves a file that is not approved.
    ///
    /// # Errors
    /// When the file, the approvals or the audit log cannot be written.
    pub fn approve(&self, proposal: &Proposal) -> Result<(), JobError> {
        let pin = &proposal.pin;
        let before = proposal.before.as_ref().map(|before| before.sha256.as_str()).unwrap_or_default();
        let network = pin.network.iter().map(|need| need.target.as_str()).collect::<Vec<_>>().join(", ");
        let file = pin.file.display().to_string();
        let facts = [
            ("file", file.as_str()),
            ("sha256", pin.sha256.as_str()),
            ("before", before),
            ("signed_by", pin.key.as_deref().unwrap_or_default()),
            ("network", network.as_str()),
        ];
        let intent = self.audit.must(Action::PluginApprove, &format!("{} {}", pin.name, pin.version), &facts)?;
        let approved = self.approve_now(proposal);
        intent.ended(&approved);
        approved
    }

    fn approve_now(&self, proposal: &Proposal) -> Result<(), JobError> {
        if proposal.file.path() != proposal.pin.file {
            proposal.file.install(&proposal.pin.file)?;
        }
        Ok(PluginLock::change(self.lock(), |lock| lock.approve(proposal.pin.clone()))?)
    }

    /// Forgets an approval, and removes the file where it lies in the plug-in directory.
    ///
    /// # Errors
    /// When there is no such plug-in, something is configured to use it, or the audit log cannot be written.
    pub fn remove(&self, name: &str, force: bool) -> Result<PathBuf, JobError> {
        let file = match self.approved(name) {
            Ok(pin) => pin.file,
            Err(error) => Some(self.find(name)).filter(|file| file.is_file()).ok_or(error)?,
        };
        let users = self.users(&file);
        if !users.is_empty() && !force {
            let message = format!("`{name}` is used by {}; change the configuration first, or repeat with --force", users.join(", "));
            return Err(JobError::Request(message));
        }
        let intent = self.audit.must(Action::PluginRemove, name, &[("file", &file.display().to_string())])?;
        let removed = self.remove_now(&file);
        intent.ended(&removed);
        removed.map(|()| file)
    }

    fn remove_now(&self, file: &Path) -> Result<(), JobError> {
        PluginLock::change(self.lock(), |lock| lock.revoke(file))?;
        if self.is_at_home(file) {
            uninstall(file)?;
        }
        Ok(())
    }

    /// Why something could not be written to the audit log.
    pub fn audit_failure(&self) -> Option<String> {
        self.audit.failure()
    }

    /// Looks at a file without running it.
    ///
    /// # Errors
    /// When the approvals cannot be read.
    pub fn examine(&self, file: &Path) -> Result<Examined, JobError> {
        Ok(Approvals::read(&self.config.settings)?.examine(&absolute(file)))
    }

    /// Loads a file to look at it.
    ///
    /// # Errors
    /// When it is no plug-in.
    pub async fn load(&self, file: &Path) -> Result<Arc<PluginComponent>, JobError> {
        Ok(self.engine.load(file).await?)
    }

    /// The file that a person means: a path, a configured instance, a name in the plug-in directory, or one that was approved.
    pub fn find(&self, name: &str) -> PathBuf {
        let configured = self.config.instances.iter().find(|(instance, _)| instance == name).map(|(_, file)| file.clone());
        let at_home = self.directory().join(format!("{name}.wasm"));
        if name.contains('/') {
            absolute(Path::new(name))
        } else if let Some(file) = configured {
            absolute(&file)
        } else if at_home.is_file() {
            absolute(&at_home)
        } else {
            self.approved(name).map_or(PathBuf::from(name), |pin| pin.file)
        }
    }

    /// All plug-ins: in the plug-in directory, in the configuration, and approved.
    ///
    /// # Errors
    /// When the approvals cannot be read, or the directory cannot be listed.
    pub fn list(&self) -> Result<Vec<ListedPlugin>, JobError> {
        let approvals = Approvals::read(&self.config.settings)?;
        let mut files: BTreeSet<PathBuf> = self.config.instances.iter().map(|(_, file)| absolute(file)).collect();
        files.extend(approvals.lock().pins().iter().map(|pin| pin.file.clone()));
        if self.directory().is_dir() {
            files.extend(Self::files_in(self.directory())?.iter().map(|file| absolute(file)));
        }
        Ok(files.into_iter().map(|file| self.listed(&approvals, file)).collect())
    }

    fn listed(&self, approvals: &Approvals<'_>, file: PathBuf) -> ListedPlugin {
        let Examined { state, pin, signature, sha256, problem } = approvals.examine(&file);
        let stem = || file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        ListedPlugin {
            name: pin.as_ref().map_or_else(stem, |pin| pin.name.clone()),
            version: pin.map(|pin| pin.version),
            state,
            signature,
            sha256,
            used_by: self.users(&file),
            problem: problem.map(|problem| problem.to_string()),
            file,
        }
    }

    /// The one approval that a name or a path means.
    fn approved(&self, name: &str) -> Result<Pin, JobError> {
        let lock = PluginLock::read(self.lock())?;
        let path = absolute(Path::new(name));
        let found: Vec<&Pin> = lock.pins().iter().filter(|pin| pin.name == name || pin.file == path).collect();
        match found.as_slice() {
            [pin] => Ok((*pin).clone()),
            [] => {
                let known: BTreeSet<&str> = lock.pins().iter().map(|pin| pin.name.as_str()).collect();
                let known = known.into_iter().collect::<Vec<_>>().join(", ");
                Err(JobError::Request(format!("no plug-in `{name}` is approved; approved are: {known}")))
            }
            several => {
                let files = several.iter().map(|pin| pin.file.display().to_string()).collect::<Vec<_>>().join(", ");
                Err(JobError::Request(format!("there are several plug-ins `{name}`; name the file that you mean: {files}")))
            }
        }
    }

    fn users(&self, file: &Path) -> Vec<String> {
        self.config.instances.iter().filter(|(_, used)| absolute(used) == file).map(|(name, _)| name.clone()).collect()
    }

    fn is_at_home(&self, file: &Path) -> bool {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| absolute(path));
        file.parent().is_some_and(|parent| real(parent) == real(self.directory()))
    }

    /// Where a plug-in is to lie: where it is, if it is at home or configured by its path; else in the plug-in directory.
    fn place(&self, file: &Path, name: &str) -> Result<PathBuf, JobError> {
        let home = absolute(&self.directory().join(format!("{name}.wasm")));
        if !self.is_at_home(file) {
            return Ok(if self.users(file).is_empty() { home } else { file.to_path_buf() });
        }
        if file.file_name() == home.file_name() {
            return Ok(home);
        }
        let file = file.display();
        Err(JobError::Request(format!(
            "`{file}` calls itself `{name}`, and would be found under that name only: mv {file} {}",
            home.display()
        )))
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}
