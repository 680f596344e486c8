//! `cofre daemon` and `cofre schedule`: what is due is done, and what will be is told.

use std::path::Path;

use jiff::Timestamp;

use super::Exit;
use super::render::{Renderer, table};
use crate::daemon::{self, Outcome, Turn};
use crate::job::{Context, JobError, Monitor, Round, tell};
use crate::schedule::JobSpec;
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
    daemon::serve(config, context, say, heed).await?;
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
    let (now, mut times) = (Timestamp::now(), Vec::new());
    for spec in &context.config.jobs {
        let mut since = context.catalog.job(&spec.name)?.map_or(now, |state| state.since);
        for _ in 0..count {
            // What is overdue begins at the next look.
            let Some(next) = spec.next(since).map(|next| next.max(now)) else { break };
            times.push((next, spec));
            since = next;
        }
    }
    times.sort_by_key(|(at, _)| *at);
    let value: Vec<_> = times
        .iter()
        .map(|(at, spec)| serde_json::json!({ "job": spec.name, "action": spec.action.name(), "schedule": spec.schedule.text(), "at": at }))
        .collect();
    renderer.result("schedule", &value, || {
        let row = |(at, spec): &(Timestamp, &JobSpec)| {
            let zone = spec.schedule.zone();
            let local = moment(&at.to_zoned_datetime(zone.clone()), locale);
            let zone = zone.iana_name().unwrap_or_default().to_owned();
            vec![local, zone, spec.name.clone(), spec.action.name().to_owned(), spec.schedule.text().to_owned()]
        };
        table(&times.iter().map(row).collect::<Vec<_>>())
    });
    Ok(Exit::Done)
}
