//! The loop around the looks: sleeps, takes a new configuration at SIGHUP, tells systemd how it is, and stops when told to.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::checks::Checks;
use super::look;
use super::post::Postman;
use crate::audit::{self, Action, Outcome};
use crate::config::Config;
use crate::job::{Context, JobError, Round, tell};
use crate::notify::{Advice, Alert, Event};

/// Longest sleep: the clock may be set, and the machine may have been asleep.
const SLEEP_MAX: Duration = Duration::from_secs(30);
/// The problem that a new configuration is refused.
const CONFIGURATION: &str = "configuration";
/// Pause after a look that failed, as when the disk is full.
const PAUSE: Duration = Duration::from_secs(60);

/// Serves until `cancel`: every look that came of it is told to `observe`, and every round of checks to `heed`, also while a job runs; a
/// configuration that was read again goes to `feed`.
///
/// # Errors
/// When it cannot begin.
pub async fn serve(
    path: &Path,
    mut context: Context,
    observe: impl Fn(&super::Look),
    heed: impl Fn(&Round) + Send + Sync + 'static,
    feed: Option<&watch::Sender<Context>>,
) -> Result<(), JobError> {
    let stop = context.cancel.clone();
    let mut hangups = signal(SignalKind::hangup()).map_err(|error| JobError::Failed(format!("cannot wait for signals: {error}")))?;
    let _watchdog = Watchdog::start();
    let version = env!("CARGO_PKG_VERSION");
    context.audit.note(&audit::Event::new(Action::Daemon, "daemon", Outcome::Begun).with("version", version));
    let heed: Arc<dyn Fn(&Round) + Send + Sync> = Arc::new(heed);
    let mut checks = Checks::start(&context, Arc::clone(&heed));
    let mut postman = Postman::start(context.clone());
    tell_systemd(&[NotifyState::Ready]);
    let mut fresh = true;
    while !stop.is_cancelled() {
        let pause = match look(&mut context, fresh).await {
            Ok(look) => {
                observe(&look);
                until(look.next)
            }
            Err(error) => {
                tracing::error!(%error, "the schedule could not be looked at; trying again");
                PAUSE
            }
        };
        fresh = false;
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
            () = hangup(&mut hangups) => match reload(path, &context, &stop) {
                Ok(new) => {
                    context = new;
                    if let Some(feed) = feed {
                        feed.send_replace(context.clone());
                    }
                    checks = Checks::start(&context, Arc::clone(&heed));
                    postman = Postman::start(context.clone());
                    tell::solved(&context, CONFIGURATION);
                    tracing::info!("the configuration was read again");
                }
                Err(error) => {
                    tracing::error!(%error, "the new configuration is refused, and the old one stays");
                    let refused = Alert::new(Event::ConfigRefused, Timestamp::now(), "the new configuration is refused");
                    tell::raise(&context, refused.about(CONFIGURATION).with_problem("", &error.to_string(), Advice::Settings));
                }
            },
        }
    }
    drop((checks, postman));
    tell_systemd(&[NotifyState::Stopping]);
    context.audit.note(&audit::Event::new(Action::Daemon, "daemon", Outcome::Done));
    Ok(())
}

async fn hangup(signals: &mut Signal) {
    // Without a source of signals there is none to come.
    if signals.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}

fn reload(path: &Path, old: &Context, stop: &CancellationToken) -> Result<Context, JobError> {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell_systemd(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "systemd could not be told"),
    }
    let actor = old.audit.actor().clone();
    let opened = Config::load(path).map_err(JobError::from).and_then(|config| Context::open(config, actor, stop.clone()));
    tell_systemd(&[NotifyState::Ready]);
    opened
}

fn until(next: Option<Timestamp>) -> Duration {
    let wait = next.map(|next| next.duration_since(Timestamp::now()));
    wait.map_or(SLEEP_MAX, |wait| Duration::try_from(wait).unwrap_or(Duration::ZERO)).min(SLEEP_MAX)
}

/// Tells systemd; without one there is nobody to tell.
fn tell_systemd(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd could not be told");
    }
}

/// Tells systemd's watchdog that the process is alive, also while a job takes hours.
struct Watchdog(Option<tokio::task::JoinHandle<()>>);

impl Watchdog {
    fn start() -> Self {
        let Some(limit) = sd_notify::watchdog_enabled() else { return Self(None) };
        Self(Some(tokio::spawn(async move {
            loop {
                tell_systemd(&[NotifyState::Watchdog]);
                tokio::time::sleep(limit / 3).await;
            }
        })))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}
