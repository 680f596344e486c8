//! What every request finds: the configuration as it is now, who gets in, and the work that was started.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::idempotency::Remembered;
use super::oidc::Oidc;
use super::secret::ProcessKey;
use super::tasks::Tasks;
use crate::access::Access;
use crate::config::WebSettings;
use crate::job::{Context, JobError, Sayings};

use super::caller::Caller;

/// How long is waited for a configuration that was saved to be read.
const REREAD: Duration = Duration::from_secs(5);

/// What every request finds. A clone is cheap and shares everything.
#[derive(Clone)]
pub struct State(Arc<Shared>);

struct Shared {
    context: watch::Receiver<Context>,
    access: Access,
    settings: WebSettings,
    tasks: Tasks,
    remembered: Remembered,
    key: ProcessKey,
    oidc: Option<Oidc>,
    sayings: Arc<Sayings>,
    stop: CancellationToken,
}

impl State {
    /// Begins with an opened configuration, which whoever sends it may replace. `stop` ends all.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn new(
        context: watch::Receiver<Context>,
        access: Access,
        settings: WebSettings,
        stop: CancellationToken,
    ) -> Result<Self, JobError> {
        let key = ProcessKey::fresh().map_err(|error| JobError::Failed(format!("the system gives no randomness: {error}")))?;
        let (tasks, remembered) = (Tasks::default(), Remembered::default());
        let oidc = settings.oidc.clone().map(|provider| Oidc::new(provider, &settings.address()));
        Ok(Self(Arc::new(Shared { context, access, settings, tasks, remembered, key, oidc, sayings: Arc::default(), stop })))
    }

    /// The configuration as it is now, opened.
    pub fn context(&self) -> Context {
        self.0.context.borrow().clone()
    }

    /// The same, for what somebody does: the audit log names them.
    pub fn context_for(&self, caller: &Caller) -> Context {
        self.context().asked_by(&caller.principal.via())
    }

    /// Has the configuration read again by whoever runs this process, and waits until it is the one of `text`; says whether that came in
    /// time. A daemon reads it when the job at hand has ended.
    pub(super) async fn reread(&self, text: &str) -> bool {
        let mut context = self.0.context.clone();
        // Whoever feeds this also takes the signal; where there is nobody, it would end the process.
        if context.has_changed().is_err() {
            return false;
        }
        if let Err(error) = kill_process(getpid(), Signal::HUP) {
            tracing::warn!(%error, "the configuration was saved, and could not be told to be read again");
            return false;
        }
        let read = tokio::time::timeout(REREAD, context.wait_for(|context| context.config.text == text)).await;
        matches!(read, Ok(Ok(_)))
    }

    /// Who gets in.
    pub fn access(&self) -> &Access {
        &self.0.access
    }

    /// How it listens, as of the start.
    pub fn settings(&self) -> &WebSettings {
        &self.0.settings
    }

    /// Work that was started.
    pub fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    /// What was answered to requests that may come again.
    pub(super) fn remembered(&self) -> &Remembered {
        &self.0.remembered
    }

    /// Ends everything.
    pub fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }

    /// The provider of identities, where there is one.
    pub(super) fn oidc(&self) -> Option<&Oidc> {
        self.0.oidc.as_ref()
    }

    /// What plug-ins said of themselves.
    pub(super) fn sayings(&self) -> &Arc<Sayings> {
        &self.0.sayings
    }

    /// The word for changes of somebody who has no session of ours.
    pub(super) fn word_for(&self, name: &str) -> String {
        self.0.key.word(name)
    }
}
