//! The postman: delivers alerts beside the jobs, so that one is not held up by a backup that takes the night, and comes back to what lasts.

use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinHandle;

use crate::job::{Context, tell};

/// Longest pause between two looks: an alert is put down by whatever finds it out, also by another process.
const LOOK: Duration = Duration::from_secs(5);
/// Shortest time between two looks at what lasts.
const LASTING: Duration = Duration::from_secs(60);

/// Ends with its owner.
pub(super) struct Postman(JoinHandle<()>);

impl Postman {
    /// Begins.
    pub(super) fn start(context: Context) -> Self {
        Self(tokio::spawn(async move {
            let mut looked = None::<Timestamp>;
            loop {
                let now = Timestamp::now();
                if looked.is_none_or(|then| Duration::try_from(now.duration_since(then)).map_or(true, |since| since >= LASTING)) {
                    looked = Some(now);
                    if let Err(error) = tell::remind(&context, now) {
                        tracing::error!(%error, "what is wrong and lasts could not be looked at");
                    }
                }
                round(&context).await;
                tokio::select! {
                    () = context.cancel.cancelled() => return,
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        }))
    }
}

/// One look at what is to be delivered.
pub(super) async fn round(context: &Context) {
    if let Err(error) = tell::deliver(context).await {
        tracing::error!(%error, "alerts could not be delivered");
    }
}

impl Drop for Postman {
    fn drop(&mut self) {
        self.0.abort();
    }
}
