//! `/`: the state with the sentence that explains it, what comes next, where the sets are, and what is wrong.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::frame::{Answer, Visit};
use super::runs;
use crate::access::Scope;
use crate::catalog::PastRun;
use crate::job::{self, Context, DestinationStanding, Status};
use crate::page::overview::{self, Day, Last, Next, Overview, Place, Reason, Running};
use crate::page::part::{Alert, Plot};
use crate::page::{Html, Section, Tone};
use crate::ports::Severity;
use crate::report::Month;
use crate::text::{Locale, alert_actions, alert_title, schedule_in_words};

/// Days of the strip.
const DAYS: i64 = 60;
/// Days over which successes are counted.
const COUNTED: i64 = 30;
/// A backup that is older than this is late, whatever a check says.
const LATE: SignedDuration = SignedDuration::from_hours(26);

/// Everything that the catalogue says.
struct Read {
    status: Status,
    past: Vec<PastRun>,
    per_destination: BTreeMap<String, (u64, u64)>,
    saving: Option<f64>,
    plots: Vec<Plot>,
    alerts: Vec<Alert>,
}

pub(super) async fn show(visit: Visit) -> Answer {
    let visit = visit.at(Section::Overview)?;
    let locale = visit.frame.locale;
    let read = visit.aside(move |context| Ok(read(context, locale)?)).await?;
    let view = view(&visit, read);
    Ok(visit.page(overview::render(&visit.frame, &view)))
}

fn read(context: &Context, locale: Locale) -> Result<Read, job::JobError> {
    let (status, now) = (job::status(context)?, Timestamp::now());
    let past = context.catalog.past_runs(now - SignedDuration::from_hours(24 * DAYS), now)?;
    let mut per_destination: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let (mut plain, mut stored) = (0_u64, 0_u64);
    for set in context.catalog.sets()? {
        (plain, stored) = (plain + set.plain, stored + set.stored);
        for copy in set.copies.iter().filter(|copy| copy.complete) {
            let (sets, bytes) = per_destination.entry(copy.destination.clone()).or_default();
            (*sets, *bytes) = (*sets + 1, *bytes + set.stored);
        }
    }
    let saving = (plain > 0).then(|| 1.0 - stored as f64 / plain as f64);
    let month = Month::at(now, &context.config.zone);
    let plot = |(title, svg): (&str, String)| Plot { title: title.to_owned(), svg: Html::drawing(svg), summary: String::new() };
    let plots = job::trends(context, month, locale)?.into_iter().map(plot).collect();
    Ok(Read { alerts: alerts(&status, locale), status, past, per_destination, saving, plots })
}

/// What is wrong, the gravest first, with what to do.
pub(super) fn alerts(status: &Status, locale: Locale) -> Vec<Alert> {
    let mut problems: Vec<_> = status.problems.iter().collect();
    problems.sort_by_key(|trouble| (std::cmp::Reverse(trouble.severity), trouble.since));
    let alert = |trouble: &&job::tell::Trouble| Alert {
        tone: if trouble.severity >= Severity::Critical { Tone::Bad } else { Tone::Warn },
        title: title(trouble, locale),
        detail: trouble.detail.join("\n"),
        since: Some(trouble.since),
        actions: trouble.alert.as_ref().map(|alert| alert_actions(alert, locale)).unwrap_or_default(),
        address: None,
    };
    problems.iter().map(alert).collect()
}

fn title(trouble: &job::tell::Trouble, locale: Locale) -> String {
    trouble.alert.as_ref().map_or_else(|| trouble.title.clone(), |alert| alert_title(alert, locale))
}

fn view(visit: &Visit, read: Read) -> Overview {
    let Read { status, past, per_destination, saving, plots, alerts } = read;
    let now = visit.frame.now;
    let counted: Vec<&PastRun> = past
        .iter()
        .filter(|run| run.verb == "run" && now.duration_since(run.started) <= SignedDuration::from_hours(24 * COUNTED))
        .collect();
    let good = |run: &&&PastRun| matches!(run.outcome.as_deref(), Some("done" | "warnings"));
    let last = past.iter().filter(|run| run.verb == "run").filter(|run| run.finished.is_some()).max_by_key(|run| run.started);
    let (zone, locale) = (visit.frame.zone.clone(), visit.frame.locale);
    let next =
        status.jobs.iter().filter(|job| job.action == "run").filter_map(|job| {
            Some(Next { at: *job.next.first()?, job: job.job.clone(), schedule: schedule_in_words(&job.schedule, locale) })
        });
    Overview {
        reasons: reasons(&status, last, (now, visit.frame.locale)),
        running: visit.state.tasks().seen_by(&visit.caller).iter().find(|task| !task.has_ended()).map(|task| {
            let brief = task.brief();
            Running {
                task: brief.id.clone(),
                title: runs::kind(brief.verb).word(visit.frame.locale).to_owned(),
                started: brief.started,
                share: runs::share(&brief),
            }
        }),
        last: last.map(|run| ended(visit, run)),
        next: next.min_by_key(|next| next.at),
        stored: status.stored,
        sets: status.sets,
        saving,
        successes: counted.iter().filter(good).count() as u64,
        executions: counted.len() as u64,
        days: days(visit, &past, |at| at.to_zoned_datetime(zone.clone()).date()),
        destinations: status.destinations.iter().map(|place| destination(visit, place, &per_destination)).collect(),
        alerts,
        plots,
        may_run: visit.may(Scope::RunCreate),
    }
}

/// Why the state is what it is.
fn reasons(status: &Status, last: Option<&PastRun>, (now, locale): (Timestamp, Locale)) -> Vec<Reason> {
    let newest = status.destinations.iter().filter_map(|place| place.newest.as_ref()).max_by_key(|newest| newest.finished);
    let mut reasons = Vec::new();
    match newest {
        None if last.is_none() => reasons.push(Reason::Never),
        None => reasons.push(Reason::Late { newest: None }),
        Some(newest) => {
            let there = |place: &&DestinationStanding| place.newest.as_ref().is_some_and(|own| own.set == newest.set);
            let holding = status.destinations.iter().filter(there).count();
            reasons.push(Reason::Whole { destinations: u32::try_from(holding).unwrap_or(u32::MAX), finished: newest.finished });
            if now.duration_since(newest.finished) > LATE {
                reasons.push(Reason::Late { newest: Some(newest.finished) });
            }
            let lacking: Vec<String> =
                status.destinations.iter().filter(|place| !there(place)).map(|place| place.destination.clone()).collect();
            if !lacking.is_empty() {
                reasons.push(Reason::NotAt { destinations: lacking });
            }
        }
    }
    if let Some(failed) = last.filter(|run| run.outcome.as_deref() == Some("failed")) {
        reasons.push(Reason::Failed { at: failed.finished.unwrap_or(failed.started) });
    }
    if status.destinations.len() == 1 {
        reasons.push(Reason::OneDestination);
    }
    for trouble in &status.problems {
        let light = if trouble.severity >= Severity::Critical { overview::Light::Red } else { overview::Light::Yellow };
        reasons.push(Reason::Other { light, sentence: title(trouble, locale) });
    }
    reasons
}

fn ended(visit: &Visit, run: &PastRun) -> Last {
    let finished = run.finished.unwrap_or(run.started);
    let (tone, word) = outcome(visit, run.outcome.as_deref());
    let seconds = u64::try_from(finished.duration_since(run.started).as_secs()).unwrap_or(0);
    Last { started: run.started, finished, seconds, tone, word: word.to_owned() }
}

/// How a run ended, in a word.
pub(super) fn outcome(visit: &Visit, outcome: Option<&str>) -> (Tone, &'static str) {
    match outcome {
        Some("done") => (Tone::Good, visit.t("completo", "complete")),
        Some("warnings") => (Tone::Warn, visit.t("com avisos", "with warnings")),
        Some(_) => (Tone::Bad, visit.t("falhou", "failed")),
        None => (Tone::Busy, visit.t("sem fim registrado", "no end recorded")),
    }
}

/// Each day by its best backup: one that was made good later the same day is good.
fn days(visit: &Visit, past: &[PastRun], date: impl Fn(Timestamp) -> Date) -> Vec<Day> {
    let mut tones: BTreeMap<Date, Tone> = BTreeMap::new();
    for run in past.iter().filter(|run| run.verb == "run" && run.finished.is_some()) {
        let (tone, _) = outcome(visit, run.outcome.as_deref());
        let best = tones.entry(date(run.started)).or_insert(tone);
        *best = (*best).min(tone);
    }
    let today = date(visit.frame.now);
    let all = (0..DAYS).rev().filter_map(|back| today.checked_sub(SignedDuration::from_hours(24 * back)).ok());
    all.map(|date| {
        let tone = tones.get(&date).copied().unwrap_or(Tone::Plain);
        let word = match tone {
            Tone::Good => visit.t("completo", "complete"),
            Tone::Warn => visit.t("com avisos", "with warnings"),
            Tone::Bad => visit.t("falhou", "failed"),
            Tone::Busy | Tone::Plain => visit.t("nenhum backup", "no backup"),
        };
        Day { date, tone, word: word.to_owned() }
    })
    .collect()
}

fn destination(visit: &Visit, place: &DestinationStanding, held: &BTreeMap<String, (u64, u64)>) -> Place {
    let (sets, stored) = held.get(&place.destination).copied().unwrap_or_default();
    let late = place.newest.as_ref().is_none_or(|newest| visit.frame.now.duration_since(newest.finished) > LATE);
    let (tone, word) = match (&place.newest, late) {
        (None, _) => (Tone::Bad, visit.t("nenhum backup bom", "no good backup")),
        (Some(_), true) => (Tone::Warn, visit.t("atrasado", "late")),
        (Some(_), false) => (Tone::Good, visit.t("em dia", "up to date")),
    };
    Place {
        name: place.destination.clone(),
        plugin: place.plugin.clone(),
        tone,
        word: word.to_owned(),
        newest: place.newest.as_ref().map(|newest| newest.finished),
        sets,
        stored,
        free: place.free,
        total: None,
        days_until_full: None,
    }
}
