//! `cofre monitor` and `cofre watch`: what was looked at, how it stands, and since when.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;

use super::Exit;
use super::args::Global;
use super::render::{Renderer, table};
use crate::config::Config;
use crate::job::{self, Context, JobError, Monitor, Observation, Standing, tell};
use crate::monitor::Transition;
use crate::text::{Locale, check_in_words, fault_in_words, moment, problem_title};

/// Looks at everything that the daemon looks at.
pub(super) async fn glance(context: &Context, how: (Renderer, Locale)) -> Result<Exit, JobError> {
    let now = Timestamp::now();
    let observations = tokio::select! {
        () = context.cancel.cancelled() => return Err(JobError::Cancelled),
        seen = async { Monitor::of(context, now).glance(now).await } => seen?,
    };
    Ok(show("monitor", &observations, how))
}

/// Looks at the destinations of another machine, once or again and again.
pub(super) async fn watch(
    global: &Global,
    (renderer, every): (Renderer, Option<Duration>),
    cancel: CancellationToken,
) -> Result<Exit, JobError> {
    let config = Config::load_to_watch(&global.config)?;
    let locale = Locale::choose(global.locale.as_deref(), config.locale.as_deref());
    let context = Context::open(config, job::actor(every.is_some()), cancel.clone())?;
    let Some(every) = every else {
        let observations = job::watch(&context, Timestamp::now()).await?;
        let exit = show("watch", &observations, (renderer, locale));
        tell_of(&context, &observations).await;
        return Ok(exit);
    };
    loop {
        match job::watch(&context, Timestamp::now()).await {
            Ok(observations) => {
                show("watch", &observations, (renderer, locale));
                tell_of(&context, &observations).await;
            }
            Err(error) if cancel.is_cancelled() => return Err(error),
            Err(error) => tracing::error!(%error, "the destinations could not be looked at; trying again"),
        }
        tokio::select! {
            () = cancel.cancelled() => return Ok(Exit::Done),
            () = tokio::time::sleep(every) => {}
        }
    }
}

/// Tells people what changed, and what lasts.
async fn tell_of(context: &Context, observations: &[Observation]) {
    tell::raise_checks(context, observations);
    if let Err(error) = tell::remind(context, Timestamp::now()) {
        tracing::error!(%error, "what is wrong and lasts could not be looked at");
    }
    tell::deliver_after_command(context).await;
}

fn show(command: &str, observations: &[Observation], (renderer, locale): (Renderer, Locale)) -> Exit {
    renderer.result(command, &observations, || table(&observations.iter().map(|one| row(one, locale)).collect::<Vec<_>>()));
    if observations.iter().any(Observation::is_bad) { Exit::Failed } else { Exit::Done }
}

fn row(observation: &Observation, locale: Locale) -> Vec<String> {
    let standing = match (observation.standing, observation.look.fault()) {
        (Standing::Good, _) => locale.pick("bom", "good"),
        (Standing::Failing, _) => locale.pick("falhando", "failing"),
        (Standing::Problem, _) => locale.pick("PROBLEMA", "PROBLEM"),
        (Standing::Recovering, _) => locale.pick("voltando", "recovering"),
    };
    let (value, detail) = check_in_words(&observation.look, locale);
    vec![
        mark(observation).to_owned(),
        observation.check.clone(),
        standing.to_owned(),
        moment(&observation.since.to_zoned_datetime(TimeZone::system()), locale),
        value,
        detail,
    ]
}

fn mark(observation: &Observation) -> &'static str {
    match (observation.is_bad(), observation.standing) {
        (false, Standing::Good) => "✅",
        (true, _) => "❌",
        (false, _) => "⚠️",
    }
}

/// Says what changed: a problem that began, became another one, or is over.
pub(super) fn changes(observations: &[Observation], (renderer, locale): (Renderer, Locale)) {
    for observation in observations {
        let title = |fault| problem_title(&observation.check, observation.kind, fault, locale);
        let line = match (observation.transition, observation.look.fault()) {
            (Transition::Began | Transition::Changed { .. }, Some(fault)) => {
                format!("❌ {}: {}", title(fault), check_in_words(&observation.look, locale).1)
            }
            (Transition::Recovered { from, .. }, _) => {
                format!("✅ {}: {} ({})", observation.check, locale.pick("voltou ao normal", "is well again"), fault_in_words(from, locale))
            }
            _ => continue,
        };
        renderer.say(&line);
    }
}
