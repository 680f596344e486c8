//! Work that was started over the API or from a page: it goes on when whoever asked is gone, can be followed and cancelled, and what came of
//! it stays for a while.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use super::caller::Caller;
use super::lines::{self, Line, Lines};
use super::problem::{Kind, Problem, ProblemView};
use super::secret;
use crate::access::Scope;
use crate::job::{Context, JobError, tell};
use crate::ports::{Meter, PartKind};

/// Tasks that are at work at once.
const AT_WORK: usize = 8;
/// Tasks that are remembered, those at work among them.
const KEPT: usize = 200;
/// Events that a slow listener may be behind before it misses some.
const EVENTS: usize = 256;
/// How long a secret waits for whoever asked for it.
const SECRET_KEPT: Duration = Duration::from_secs(3_600);

/// How a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// It is at work.
    Running,
    /// Done.
    Done,
    /// Done, with warnings.
    Warnings,
    /// Failed; what is wrong is in its result, or its problem.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

/// What came of the work.
pub struct Outcome {
    /// How it ended.
    pub state: TaskState,
    /// As the command line's JSON has it.
    pub result: Value,
    /// A passphrase that was made; whoever asked is shown it once.
    pub secret: Option<Zeroizing<String>>,
}

/// What is to be done, and for whom.
pub struct Order<'a> {
    /// `run`, `verify`, `repair`, `drill`, `prune`, `restore`, `tenant`.
    pub verb: &'static str,
    /// What was asked for, as JSON; never a secret.
    pub asked: Value,
    /// Who asks.
    pub caller: &'a Caller,
    /// The right that it took, which whoever cancels it needs.
    pub scope: Scope,
    /// The tenant that it is about.
    pub tenant: Option<String>,
}

/// Bytes and things so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Progress")]
pub struct ProgressView {
    /// Bytes read from the sources, or written to the target.
    pub plain: u64,
    /// Bytes of ciphertext.
    pub cipher: u64,
    /// Rows and files.
    pub items: u64,
    /// Plain bytes to come in all, where somebody knows.
    pub expected: Option<u64>,
    /// What is at work right now.
    pub parts: Vec<PartView>,
}

/// Something at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Part")]
pub struct PartView {
    /// `artifact`, `destination` or `download`.
    pub kind: &'static str,
    /// Its name.
    pub label: String,
    /// Plain bytes so far.
    pub plain: u64,
    /// Bytes of ciphertext so far.
    pub cipher: u64,
}

/// A task, as it is shown.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Task")]
pub struct TaskView {
    /// Its name.
    pub id: String,
    /// What it does: `run`, `verify`, `repair`, `drill`, `prune`, `restore`, `tenant`.
    pub verb: &'static str,
    /// How it stands.
    pub state: TaskState,
    /// Who asked for it.
    pub by: String,
    /// The tenant that it is about.
    pub tenant: Option<String>,
    /// What was asked for.
    pub asked: Value,
    /// When it began, RFC 3339.
    #[schemars(with = "String")]
    pub started: Timestamp,
    /// When it ended, RFC 3339.
    #[schemars(with = "Option<String>")]
    pub finished: Option<Timestamp>,
    /// How far it is.
    pub progress: ProgressView,
    /// The newest lines of its log.
    pub lines: Vec<Line>,
    /// What came of it, as the command line's JSON has it.
    pub result: Option<Value>,
    /// Why it failed.
    #[schemars(with = "Option<ProblemView>")]
    pub problem: Option<Value>,
    /// The passphrase that was made: shown once, to whoever asked, and then forgotten.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<String>,
}

/// Something that happened, for everybody who listens.
#[derive(Debug, Clone)]
pub(super) struct Happening {
    /// `task` or `alert`.
    pub kind: &'static str,
    /// The task's tenant; who is limited to tenants hears of theirs alone.
    pub tenant: Option<String>,
    /// Whose task it is.
    pub owner: Option<String>,
    /// As JSON.
    pub data: Value,
}

/// Work that was started.
#[derive(Clone)]
pub struct Tasks(Arc<Registry>);

struct Registry {
    tasks: Mutex<VecDeque<Arc<Task>>>,
    tracker: TaskTracker,
    happenings: broadcast::Sender<Happening>,
}

/// One piece of work.
pub struct Task {
    id: String,
    verb: &'static str,
    asked: Value,
    by: String,
    owner: String,
    scope: Scope,
    tenant: Option<String>,
    started: Timestamp,
    cancel: CancellationToken,
    meter: Arc<Meter>,
    lines: Arc<Lines>,
    standing: Mutex<Standing>,
    ended: watch::Sender<bool>,
}

struct Standing {
    state: TaskState,
    finished: Option<Timestamp>,
    progress: Option<ProgressView>,
    result: Option<Value>,
    problem: Option<Value>,
    secret: Option<Zeroizing<String>>,
}

impl Default for Tasks {
    fn default() -> Self {
        let (happenings, _) = broadcast::channel(EVENTS);
        Self(Arc::new(Registry { tasks: Mutex::default(), tracker: TaskTracker::new(), happenings }))
    }
}

impl Tasks {
    fn list(&self) -> MutexGuard<'_, VecDeque<Arc<Task>>> {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins with a piece of work, in a context that ends with it.
    ///
    /// # Errors
    /// When too many are at work.
    pub fn start<W, F>(&self, order: Order<'_>, context: &Context, work: W) -> Result<Arc<Task>, Problem>
    where
        W: FnOnce(Context, Arc<Meter>) -> F,
        F: Future<Output = Result<Outcome, JobError>> + Send + 'static,
    {
        let id = secret::name().map_err(|error| Problem::new(Kind::Failed, format!("the system gives no randomness: {error}")))?;
        let cancel = context.cancel.child_token();
        let task = Arc::new(Task {
            id,
            verb: order.verb,
            asked: order.asked,
            by: order.caller.principal.via(),
            owner: order.caller.identity(),
            scope: order.scope,
            tenant: order.tenant,
            started: Timestamp::now(),
            cancel: cancel.clone(),
            meter: Arc::default(),
            lines: Arc::default(),
            standing: Mutex::new(Standing {
                state: TaskState::Running,
                finished: None,
                progress: None,
                result: None,
                problem: None,
                secret: None,
            }),
            ended: watch::Sender::new(false),
        });
        self.admit(&task)?;
        let own = Context { cancel, ..context.clone() };
        let work = work(own.clone(), Arc::clone(&task.meter));
        let (tasks, task_at_work) = (self.clone(), Arc::clone(&task));
        self.0.tracker.spawn(lines::kept(Arc::clone(&task.lines), async move {
            let outcome = work.await;
            task_at_work.end(outcome);
            tasks.tell(&task_at_work);
            forget_secret(&task_at_work);
            tell::deliver_after_command(&own).await;
        }));
        self.tell(&task);
        Ok(task)
    }

    /// Takes a task in, and forgets the oldest that have ended.
    fn admit(&self, task: &Arc<Task>) -> Result<(), Problem> {
        let mut list = self.list();
        if list.iter().filter(|task| !task.has_ended()).count() >= AT_WORK {
            return Err(Problem::new(Kind::TooMany, format!("{AT_WORK} tasks are at work already; wait for one to end, or cancel one")));
        }
        while list.len() >= KEPT {
            let Some(oldest) = list.iter().position(|task| task.has_ended()) else { break };
            list.remove(oldest);
        }
        list.push_back(Arc::clone(task));
        Ok(())
    }

    fn tell(&self, task: &Task) {
        let data = serde_json::to_value(task.brief()).unwrap_or_default();
        let happening = Happening { kind: "task", tenant: task.tenant.clone(), owner: Some(task.owner.clone()), data };
        self.announce(happening);
    }

    /// Tells everybody who listens.
    pub(super) fn announce(&self, happening: Happening) {
        // Nobody may be listening.
        let _ = self.0.happenings.send(happening);
    }

    /// Whether anybody listens.
    pub(super) fn has_listeners(&self) -> bool {
        self.0.happenings.receiver_count() > 0
    }

    /// What happens from now on.
    pub(super) fn listen(&self) -> broadcast::Receiver<Happening> {
        self.0.happenings.subscribe()
    }

    /// The tasks that somebody may see, newest first.
    pub fn seen_by(&self, caller: &Caller) -> Vec<Arc<Task>> {
        self.list().iter().rev().filter(|task| task.is_for(caller)).cloned().collect()
    }

    /// A task that somebody may see.
    ///
    /// # Errors
    /// When there is none of that name, as far as they may know.
    pub fn find(&self, id: &str, caller: &Caller) -> Result<Arc<Task>, Problem> {
        let found = self.list().iter().find(|task| task.id == id && task.is_for(caller)).cloned();
        found.ok_or_else(|| {
            Problem::not_found(format!("task `{}`: it never was, or was forgotten", id.chars().take(64).collect::<String>()))
        })
    }

    /// How many are at work.
    pub fn at_work(&self) -> usize {
        self.list().iter().filter(|task| !task.has_ended()).count()
    }

    /// Waits until all have ended, which were told to; not for ever.
    pub(super) async fn wind_up(&self, patience: Duration) {
        self.0.tracker.close();
        if tokio::time::timeout(patience, self.0.tracker.wait()).await.is_err() {
            tracing::warn!("some tasks did not end within {} s", patience.as_secs());
        }
    }
}

impl Task {
    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Becomes true when it has ended.
    pub(super) fn end_seen(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

    /// The lines of its log.
    pub(super) fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Whether somebody may see it: their own, and of others what their rights and tenants allow.
    fn is_for(&self, caller: &Caller) -> bool {
        if self.owner == caller.identity() {
            return true;
        }
        let own_tenant = match (&self.tenant, caller.principal.tenants()) {
            (_, None) => true,
            (Some(tenant), Some(_)) => caller.principal.may_tenant(tenant),
            (None, Some(_)) => false,
        };
        own_tenant && caller.principal.may(Scope::StatusRead)
    }

    /// Tells it to end.
    ///
    /// # Errors
    /// When whoever asks may not start such a thing either, or it has ended.
    pub fn cancel(&self, caller: &Caller) -> Result<(), Problem> {
        if !caller.principal.may(self.scope) {
            return Err(Problem::missing(self.scope));
        }
        if self.has_ended() {
            return Err(Problem::new(Kind::Conflict, "the task has ended already"));
        }
        self.cancel.cancel();
        Ok(())
    }

    fn end(&self, outcome: Result<Outcome, JobError>) {
        let mut standing = self.standing();
        standing.finished = Some(Timestamp::now());
        standing.progress = Some(progress(&self.meter));
        match outcome {
            Ok(outcome) => {
                standing.state = outcome.state;
                standing.result = Some(outcome.result);
                standing.secret = outcome.secret;
            }
            Err(error) => {
                let error = if self.cancel.is_cancelled() { JobError::Cancelled } else { error };
                standing.state = if matches!(error, JobError::Cancelled) { TaskState::Cancelled } else { TaskState::Failed };
                standing.problem = serde_json::to_value(Problem::from(error).view()).ok();
            }
        }
        drop(standing);
        self.ended.send_replace(true);
    }

    /// How far it is.
    pub fn progress(&self) -> ProgressView {
        self.standing().progress.clone().unwrap_or_else(|| progress(&self.meter))
    }

    /// All that may be shown of it; whoever asked for it is shown a secret, once.
    pub fn view(&self, caller: &Caller) -> TaskView {
        let secret = if self.owner == caller.identity() { self.standing().secret.take() } else { None };
        TaskView { lines: self.lines.newest(), passphrase: secret.map(|secret| secret.as_str().to_owned()), ..self.brief() }
    }

    /// The same, never with a secret.
    pub fn told(&self) -> TaskView {
        TaskView { lines: self.lines.newest(), ..self.brief() }
    }

    /// The same without its log, and never with a secret.
    pub fn brief(&self) -> TaskView {
        let progress = self.progress();
        let standing = self.standing();
        TaskView {
            id: self.id.clone(),
            verb: self.verb,
            state: standing.state,
            by: self.by.clone(),
            tenant: self.tenant.clone(),
            asked: self.asked.clone(),
            started: self.started,
            finished: standing.finished,
            progress,
            lines: Vec::new(),
            result: standing.result.clone(),
            problem: standing.problem.clone(),
            passphrase: None,
        }
    }
}

/// Forgets a secret that nobody came for.
fn forget_secret(task: &Arc<Task>) {
    if task.standing().secret.is_none() {
        return;
    }
    let task = Arc::downgrade(task);
    tokio::spawn(async move {
        tokio::time::sleep(SECRET_KEPT).await;
        if let Some(task) = task.upgrade() {
            task.standing().secret = None;
        }
    });
}

fn progress(meter: &Meter) -> ProgressView {
    let part = |part: crate::ports::PartProgress| PartView {
        kind: match part.kind {
            PartKind::Artifact => "artifact",
            PartKind::Destination => "destination",
            PartKind::Download => "download",
        },
        label: part.label,
        plain: part.plain,
        cipher: part.cipher,
    };
    ProgressView {
        plain: meter.plain(),
        cipher: meter.cipher(),
        items: meter.items(),
        expected: meter.expected(),
        parts: meter.parts().into_iter().map(part).collect(),
    }
}
