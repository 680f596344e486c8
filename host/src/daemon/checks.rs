//! The rounds of checks, on a task of their own: a backup that takes all night keeps none of them waiting.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::task::AbortOnDropHandle;

use crate::job::{Context, Monitor, Round, tell};

/// Longest sleep: the clock may be set, and the machine may have been asleep.
const SLEEP_MAX: Duration = Duration::from_secs(30);
/// Shortest: a round that is due at once is due again.
const SLEEP_MIN: Duration = Duration::from_millis(200);
/// Pause after a round that failed, as when the catalogue cannot be written.
const PAUSE: Duration = Duration::from_secs(60);

/// The checks of one configuration, at work until this is dropped.
pub(super) struct Checks {
    _task: AbortOnDropHandle<()>,
}

impl Checks {
    /// Begins with them; what a round changed is told to people, and every round to `heed`.
    pub(super) fn start(context: &Context, heed: Arc<dyn Fn(&Round) + Send + Sync>) -> Self {
        let (monitor, context) = (Monitor::of(context, Timestamp::now()), context.clone());
        let heed = move |round: &Round| {
            tell::raise_checks(&context, &round.observations);
            heed(round);
        };
        let task = async move {
            loop {
                tokio::time::sleep(round(&monitor, &heed).await).await;
            }
        };
        Self { _task: AbortOnDropHandle::new(tokio::spawn(task)) }
    }
}

/// One round; how long to sleep after it.
async fn round(monitor: &Monitor, heed: &(dyn Fn(&Round) + Send + Sync)) -> Duration {
    match monitor.round(Timestamp::now()).await {
        Ok(round) => {
            heed(&round);
            let wait = round.next.map(|next| Duration::try_from(next.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO));
            wait.unwrap_or(SLEEP_MAX).clamp(SLEEP_MIN, SLEEP_MAX)
        }
        Err(error) => {
            tracing::error!(%error, "the checks could not be made; trying again");
            PAUSE
        }
    }
}
