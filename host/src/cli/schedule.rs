//! `cofre daemon` and `cofre schedule`: what is due is done, and what will be is told.

use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::watch;

use super::Exit;
use super::render::{Renderer, table};
use crate::daemon::{self, Outcome, Turn};
use crate::job::{self, Context, JobError, JobStanding, Monitor, Round, tell};
use crate::text::{Locale, moment};

/// Does what is due now.
pub(super) async fn once(mut context: Context, (renderer, locale): (Renderer, Locale)) -> Result<Exit, JobError> {
    let look = daemon::look(&mut context, true).await?;
    let now = Timestamp::now();
    let round = Monitor::of(&context, now).round(now).await?;
    tell::raise_checks(&context, &round.observations);
    tell::remind(&context, now)?;
    tell::deliver(&context).await?;
    let value = serde_json::json!({ "turns": look.turns, "next": look.next, "checks": round.observations });
    renderer.result("daemon", &value, || look.turns.iter().map(line).collect::<Vec<_>>().join("\n"));
    super::monitor::changes(&round.observations, (renderer, locale));
    let some = |wanted: Outcome| look.turns.iter().any(|turn| turn.outcome == wanted);
    Ok(match look.turns.iter().all(|turn| turn.outcome == Outcome::Done) {
        true => Exit::Done,
        false if some(Outcome::Stopped) => Exit::Cancelled,
        false if some(Outcome::Failed) => Exit::Failed,
        false => Exit::Warnings,
    })
}

/// Does what is due until told to stop.
pub(super) async fn serve(config: &Path, context: Context, (renderer, locale): (Renderer, Locale)) -> Result<Exit, JobError> {
    let say = |look: &daemon::Look| look.turns.iter().for_each(|turn| renderer.say(&line(turn)));
    let heed = move |round: &Round| super::monitor::changes(&round.observations, (renderer, locale));
    let Some(settings) = context.config.web.clone() else {
        daemon::serve(config, context, say, heed, None).await?;
        return Ok(Exit::Done);
    };
    let stop = context.cancel.clone();
    let feed = watch::Sender::new(context.clone());
    let page = super::serve::beside(feed.subscribe(), settings, stop.clone(), (renderer, locale));
    let work = async {
        let ended = daemon::serve(config, context, say, heed, Some(&feed)).await;
        stop.cancel();
        ended
    };
    tokio::join!(work, page).0?;
    Ok(Exit::Done)
}

fn line(turn: &Turn) -> String {
    let mark = match turn.outcome {
        Outcome::Done => "✅",
        Outcome::Failed => "❌",
        Outcome::Warnings | Outcome::Missed | Outcome::Waiting | Outcome::Stopped => "⚠️",
    };
    format!("{mark} {} ({}): {}", turn.job, turn.action, turn.detail)
}

/// The next `count` times of each job.
pub(super) fn upcoming(context: &Context, (renderer, locale): (Renderer, Locale), count: u16) -> Result<Exit, JobError> {
    let jobs = job::jobs(context, count.into(), Timestamp::now())?;
    let mut times: Vec<_> = jobs.iter().flat_map(|job| job.next.iter().map(move |at| (*at, job))).collect();
    times.sort_by_key(|(at, _)| *at);
    let value: Vec<_> = times
        .iter()
        .map(|(at, job)| serde_json::json!({ "job": job.job, "action": job.action, "schedule": job.schedule, "at": at }))
        .collect();
    renderer.result("schedule", &value, || {
        let row = |(at, job): &(Timestamp, &JobStanding)| {
            let zone = job.time_zone.as_deref().and_then(|name| TimeZone::get(name).ok()).unwrap_or_else(TimeZone::system);
            let local = moment(&at.to_zoned_datetime(zone), locale);
            let zone = job.time_zone.clone().unwrap_or_default();
            vec![local, zone, job.job.clone(), job.action.to_owned(), job.schedule.clone()]
        };
        table(&times.iter().map(row).collect::<Vec<_>>())
    });
    Ok(Exit::Done)
}
