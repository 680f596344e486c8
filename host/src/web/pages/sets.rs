//! `/sets`: the calendar, the list, and one set with its copies, its pin and its verification.

use std::collections::BTreeMap;

use axum::extract::{Path, Query, Request};
use axum::http::header;
use axum::response::IntoResponse;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::super::api::{set_named, work};
use super::super::problem::Problem;
use super::frame::{Answer, Visit, see};
use super::overview::outcome;
use super::runs::kind;
use crate::access::Scope;
use crate::catalog::{ArtifactLine, CopyRecord, RunRecord, SetFilter, SetRecord, SetState};
use crate::job;
use crate::page::part::{Alert, Choice, Fact, Pager};
use crate::page::set::{self, Artifact, Copy, Proof, Set};
use crate::page::sets::{self, Copy as Place, Day, Row, Sets};
use crate::page::{Section, Tone};
use crate::set::SetName;
use crate::text::Locale;

/// Sets of a page.
const ROWS: u32 = 50;
/// Sets of the calendar.
const CALENDAR: u32 = 2_000;
/// Days of the calendar.
const DAYS: i64 = 365;
/// Artifacts of a page.
const ARTIFACTS: usize = 100;

#[derive(Debug, Default, Deserialize)]
pub(super) struct ListQuery {
    job: Option<String>,
    tenant: Option<String>,
    destination: Option<String>,
    state: Option<String>,
    day: Option<String>,
    before: Option<String>,
}

pub(super) async fn list(visit: Visit, Query(query): Query<ListQuery>) -> Answer {
    let visit = visit.at(Section::Sets)?;
    let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let (tenant, destination) = (some(&query.tenant), some(&query.destination));
    let jobs: Vec<&str> = visit.context.config.jobs.iter().filter(|job| job.action.name() == "run").map(|job| job.name.as_str()).collect();
    // One that is gone filters nothing, as an unknown state does.
    let job = some(&query.job).filter(|name| jobs.contains(&name.as_str()));
    let selection = job.as_deref().map(|name| job::selection_of(&visit.context, name)).transpose().map_err(|error| visit.wrong(error))?;
    let state = some(&query.state).and_then(|name| SetState::named(&name));
    let day: Option<Date> = some(&query.day).and_then(|day| day.parse().ok());
    let before = some(&query.before).and_then(|name| name.parse().ok());
    let filter = SetFilter { destination: destination.clone(), state, selection, ..SetFilter::default() };
    let (asked, whose) = (filter.clone(), tenant.clone());
    let (all, mut rows) = visit
        .aside(move |context| {
            let all = job::browse(context, asked.clone(), whose.as_deref(), CALENDAR)?;
            let first = before.map_or(0, |before: SetName| all.partition_point(|set| set.name >= before.to_string()));
            let page = match day {
                // The day's own sets, and those of a page, are among those of the calendar.
                Some(day) => all.iter().filter(|set| date_of(set) == Some(day)).cloned().collect(),
                None if all.len() - first > ROWS as usize || all.len() < CALENDAR as usize => {
                    all.iter().skip(first).take(ROWS as usize + 1).cloned().collect()
                }
                None => job::browse(context, SetFilter { before, ..asked }, whose.as_deref(), ROWS + 1)?,
            };
            Ok((all, page))
        })
        .await?;
    let more = day.is_none() && rows.len() > ROWS as usize;
    rows.truncate(ROWS as usize);
    let choices = |names: Vec<(String, String)>, chosen: Option<&str>| {
        let all = (String::new(), visit.t("todos", "all").to_owned());
        std::iter::once(all)
            .chain(names)
            .map(|(value, label)| Choice { chosen: chosen == Some(value.as_str()), value, label })
            .collect::<Vec<_>>()
    };
    let same = |name: &str| (name.to_owned(), name.to_owned());
    let config = &visit.context.config;
    let kept = kept(&query);
    let view = Sets {
        jobs: choices(jobs.iter().map(|name| same(name)).collect(), job.as_deref()),
        tenants: choices(config.tenants().keys().map(|name| same(name)).collect(), tenant.as_deref()),
        destinations: choices(config.destinations.iter().map(|one| same(&one.settings.name)).collect(), destination.as_deref()),
        states: choices(
            SetState::ALL.map(|state| (state.name().to_owned(), state_word(state, visit.frame.locale).to_owned())).into(),
            state.map(SetState::name),
        ),
        day,
        days: days(&visit, &all),
        pager: Pager {
            previous: query.before.as_ref().map(|_| format!("?{kept}")),
            next: rows.last().filter(|_| more).map(|set| format!("?{kept}before={}", set.name)),
            total: (all.len() < CALENDAR as usize).then_some(all.len() as u64),
        },
        rows: rows.iter().map(|set| row(&visit, set)).collect(),
    };
    Ok(visit.page(sets::render(&visit.frame, &view)))
}

/// The filters again, for the links to other pages.
fn kept(query: &ListQuery) -> String {
    let mut kept = form_urlencoded::Serializer::new(String::new());
    for (name, value) in [("job", &query.job), ("tenant", &query.tenant), ("destination", &query.destination), ("state", &query.state)] {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            kept.append_pair(name, value);
        }
    }
    let kept = kept.finish();
    if kept.is_empty() { kept } else { kept + "&" }
}

fn date_of(set: &SetRecord) -> Option<Date> {
    set.name.parse::<SetName>().ok().map(|name| name.moment().date())
}

/// When a set began.
pub(super) fn started(visit: &Visit, name: &str) -> Timestamp {
    let moment = name.parse::<SetName>().ok().map(SetName::moment);
    // A set is named by the clock of its machine.
    moment.and_then(|moment| moment.to_zoned_datetime(TimeZone::system()).ok()).map_or(visit.frame.now, |moment| moment.timestamp())
}

fn days(visit: &Visit, all: &[SetRecord]) -> Vec<Day> {
    let mut days: BTreeMap<Date, (Tone, u64)> = BTreeMap::new();
    let first = visit.frame.now.to_zoned_datetime(TimeZone::system()).date().saturating_sub(jiff::SignedDuration::from_hours(24 * DAYS));
    for set in all {
        let Some(date) = date_of(set).filter(|date| *date > first) else { continue };
        let (tone, _) = standing(set, visit.frame.locale);
        let (worst, sets) = days.entry(date).or_insert((tone, 0));
        (*worst, *sets) = ((*worst).max(tone), *sets + 1);
    }
    days.into_iter().map(|(date, (tone, sets))| Day { date, tone, sets }).collect()
}

fn state_word(state: SetState, locale: Locale) -> &'static str {
    match state {
        SetState::Good => locale.pick("bom", "good"),
        SetState::Partial => locale.pick("incompleto", "not whole"),
        SetState::Incomplete => locale.pick("cópia inacabada", "copy unfinished"),
        SetState::Damaged => locale.pick("cópia danificada", "copy damaged"),
    }
}

/// How a set is, by itself and by its worst copy.
pub(super) fn standing(set: &SetRecord, locale: Locale) -> (Tone, &'static str) {
    if set.copies.iter().any(|copy| copy.problem.is_some()) {
        return (Tone::Bad, state_word(SetState::Damaged, locale));
    }
    if !set.whole {
        return (Tone::Bad, state_word(SetState::Partial, locale));
    }
    if set.copies.iter().any(|copy| !copy.complete) {
        return (Tone::Warn, state_word(SetState::Incomplete, locale));
    }
    match set.warnings {
        0 => (Tone::Good, locale.pick("completo", "complete")),
        _ => (Tone::Warn, locale.pick("com avisos", "with warnings")),
    }
}

fn copy_standing(visit: &Visit, copy: &CopyRecord) -> (Tone, &'static str) {
    match copy {
        CopyRecord { problem: Some(_), .. } => (Tone::Bad, visit.t("danificada", "damaged")),
        CopyRecord { complete: true, verified: Some(_), .. } => (Tone::Good, visit.t("verificada", "verified")),
        CopyRecord { complete: true, .. } => (Tone::Good, visit.t("completa", "complete")),
        CopyRecord { given_up: true, .. } => (Tone::Bad, visit.t("abandonada", "given up")),
        CopyRecord { .. } => (Tone::Warn, visit.t("inacabada", "unfinished")),
    }
}

fn row(visit: &Visit, set: &SetRecord) -> Row {
    let (tone, word) = standing(set, visit.frame.locale);
    Row {
        name: set.name.clone(),
        started: started(visit, &set.name),
        only: set.selection.join(", "),
        tone,
        word: word.to_owned(),
        plain: set.plain,
        stored: set.stored,
        artifacts: set.artifacts,
        copies: set
            .copies
            .iter()
            .map(|copy| {
                let (tone, word) = copy_standing(visit, copy);
                Place { destination: copy.destination.clone(), tone, word: word.to_owned() }
            })
            .collect(),
        pinned: false,
        tags: set.tags.clone(),
    }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct SetQuery {
    q: Option<String>,
    from: Option<usize>,
}

pub(super) async fn show(visit: Visit, Path(name): Path<String>, Query(query): Query<SetQuery>) -> Answer {
    let visit = visit.at(Section::Sets)?;
    let set = set_named(&name).map_err(|problem| visit.wrong(problem))?;
    let (detail, runs) = visit.aside(move |context| Ok((job::set_detail(context, set)?, context.catalog.runs_of(set)?))).await?;
    let Some(detail) = detail else { return Err(visit.wrong(Problem::not_found(format!("set {set} in the catalogue")))) };
    let (tone, word) = standing(&detail.set, visit.frame.locale);
    let made = runs.iter().find(|run| run.verb == "run");
    let wanted = query.q.unwrap_or_default();
    let found: Vec<&ArtifactLine> =
        detail.contents.iter().filter(|line| line.key.contains(&wanted) || line.name.contains(&wanted)).collect();
    let from = query.from.unwrap_or(0).min(found.len());
    let link = |from: usize| {
        let text =
            form_urlencoded::Serializer::new(String::new()).append_pair("q", &wanted).append_pair("from", &from.to_string()).finish();
        format!("?{text}")
    };
    let view = Set {
        name: detail.set.name.clone(),
        tone,
        word: word.to_owned(),
        started: started(&visit, &detail.set.name),
        finished: made.and_then(|run| run.finished.as_deref()?.parse().ok()),
        plain: detail.set.plain,
        stored: detail.set.stored,
        facts: facts(&visit, &detail.set),
        problems: problems(&visit, &detail.set),
        artifacts: found.iter().skip(from).take(ARTIFACTS).map(|line| artifact(line)).collect(),
        pager: Pager {
            previous: (from > 0).then(|| link(from.saturating_sub(ARTIFACTS))),
            next: (from + ARTIFACTS < found.len()).then(|| link(from + ARTIFACTS)),
            total: Some(found.len() as u64),
        },
        query: wanted,
        copies: detail.set.copies.iter().map(|copy| self::copy(&visit, copy, detail.set.stored)).collect(),
        history: runs.iter().filter(|run| run.verb != "run").map(|run| proof(&visit, run)).collect(),
        may_run: visit.may(Scope::RunCreate),
        may_restore: visit.may(Scope::RestoreRead),
        command: format!("cofre show {}", detail.set.name),
    };
    Ok(visit.page(set::render(&visit.frame, &view)))
}

/// The log of the run that made a set, as it was written.
pub(super) async fn log(visit: Visit, Path(name): Path<String>) -> Answer {
    let visit = visit.at(Section::Sets)?;
    visit.demand(Scope::RestoreRead)?;
    let set = set_named(&name).map_err(|problem| visit.wrong(problem))?;
    let text = job::set_log(&visit.context, set, None).await.map_err(|error| visit.wrong(error))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

/// What was done with a set: verified, rehearsed, repaired, restored.
fn proof(visit: &Visit, run: &RunRecord) -> Proof {
    let (tone, _) = outcome(visit, run.outcome.as_deref());
    Proof {
        at: run.started.parse().unwrap_or(visit.frame.now),
        kind: kind(&run.verb).word(visit.frame.locale).to_owned(),
        tone,
        detail: run.detail.clone().unwrap_or_default(),
    }
}

fn facts(visit: &Visit, set: &SetRecord) -> Vec<Fact> {
    let fact = |label: &str, value: String, tone| Fact { label: label.to_owned(), value, tone };
    let mut facts = vec![fact(visit.t("Artefatos", "Artifacts"), set.artifacts.to_string(), Tone::Plain)];
    if set.warnings > 0 {
        facts.push(fact(visit.t("Avisos", "Warnings"), set.warnings.to_string(), Tone::Warn));
    }
    for (label, list) in [(visit.t("Somente", "Only"), &set.selection), (visit.t("Etiquetas", "Tags"), &set.tags)] {
        if !list.is_empty() {
            facts.push(fact(label, list.join(", "), Tone::Plain));
        }
    }
    facts
}

fn problems(visit: &Visit, set: &SetRecord) -> Vec<Alert> {
    let damaged = set.copies.iter().filter_map(|copy| Some((copy, copy.problem.clone()?)));
    let mend = format!("cofre repair {}", set.name);
    damaged
        .map(|(copy, detail)| Alert {
            tone: Tone::Bad,
            title: format!("{}: {}", copy.destination, visit.t("a cópia está danificada", "the copy is damaged")),
            detail,
            since: None,
            actions: vec![match visit.frame.locale {
                Locale::PtBr => format!("Refaça a cópia a partir de outra que esteja boa: `{mend}`"),
                Locale::En => format!("Make it again out of another copy that is good: `{mend}`"),
            }],
            address: None,
        })
        .collect()
}

fn artifact(line: &ArtifactLine) -> Artifact {
    let source = if line.source.is_empty() { line.name.clone() } else { format!("{} · {}", line.source, line.name) };
    Artifact { path: line.key.clone(), source, tone: Tone::Good, plain: line.plain, stored: line.size }
}

fn copy(visit: &Visit, copy: &CopyRecord, stored: u64) -> Copy {
    let (tone, word) = copy_standing(visit, copy);
    Copy {
        destination: copy.destination.clone(),
        tone,
        word: word.to_owned(),
        bytes: if copy.complete { stored } else { 0 },
        verified: copy.verified.as_deref().and_then(|text| text.parse().ok()),
    }
}

pub(super) async fn change(visit: Visit, Path(name): Path<String>, request: Request) -> Answer {
    let visit = visit.at(Section::Sets)?;
    let form = visit.sent(request).await?;
    visit.demand(Scope::RunCreate)?;
    let set = set_named(&name).map_err(|problem| visit.wrong(problem))?;
    let address = format!("/sets/{set}");
    match form.text("action") {
        action @ ("pin" | "unpin") => {
            let pinned = job::pin(&visit.context, set, action == "pin").await.map_err(|error| visit.wrong(error))?;
            let failed: Vec<String> =
                pinned.iter().filter_map(|place| Some(format!("{}: {}", place.destination, place.error.as_deref()?))).collect();
            if failed.is_empty() {
                let text = if action == "pin" {
                    visit.t("O conjunto fica.", "The set stays.")
                } else {
                    visit.t("A retenção decide de novo.", "Retention decides again.")
                };
                return Ok(visit.on(&address, (Tone::Good, text)));
            }
            Ok(visit.on(&address, (Tone::Bad, &failed.join("; "))))
        }
        "verify" => {
            let body = work::VerifyBody {
                set: Some(set.to_string()),
                every: None,
                from: form.some("destination").map(str::to_owned),
                deep: false,
            };
            let task = work::verify(visit.ask(body)).await.map_err(|problem| visit.wrong(problem))?.value;
            Ok(see(&format!("/runs/{}", task.id)))
        }
        _ => Ok(see(&address)),
    }
}
