//! `/settings`: a form becomes changes of the file, the difference is shown, and only what was shown is saved.

mod area;
mod draft;
mod entry;
mod show;
#[cfg(test)]
mod tests;

use axum::extract::{Path, Query, Request};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::configuration::{Proposed, propose};
use super::super::problem::{Kind, Problem};
use super::form::Form;
use super::frame::{Answer, Visit};
use crate::access::Scope;
use crate::config::{Change, DEFAULT_JOBS};
use crate::page::settings::{self, Area, Retention, Schedules, Trial};
use crate::page::{Section, Tone};

use draft::{Asked, Written};

#[derive(Debug, Default, Deserialize)]
pub(super) struct AreaQuery {
    /// The entry whose form is shown.
    name: Option<String>,
    /// A new one: its plug-in, or `yes`.
    new: Option<String>,
}

pub(super) async fn overview(visit: Visit) -> Answer {
    let visit = visit.at(Section::Settings)?;
    let view = show::overview(&visit).await?;
    Ok(visit.page(settings::render(&visit.frame, &view)))
}

pub(super) async fn change_overview(visit: Visit, request: Request) -> Answer {
    let visit = visit.at(Section::Settings)?;
    visit.demand(Scope::ConfigWrite)?;
    let form = visit.sent(request).await?;
    match form.text("action") {
        "write" => write(&visit, &form, "/settings").await,
        "enable" => {
            let written = Written::read(&visit).await?;
            let changes = switched(&written, !form.text("enabled").is_empty());
            let proposed = propose(&visit.context, changes.clone()).await.map_err(|problem| visit.wrong(problem))?;
            difference(&visit, ("/settings", None), proposed, &changes).await
        }
        _ => Err(visit.wrong(not_whole())),
    }
}

pub(super) async fn area(visit: Visit, Path(name): Path<String>, Query(query): Query<AreaQuery>) -> Answer {
    let visit = visit.at(Section::Settings)?;
    let area = named(&visit, &name)?;
    let written = Written::read(&visit).await?;
    let asked = match (area, query.name, query.new) {
        (Area::Retention, ..) => Some(Asked::table(written.table("retention"))),
        (_, Some(name), _) => Some(Asked::known(&visit, (area, &written), &name).await?),
        (_, None, Some(new)) => Some(Asked::fresh(&visit, area, &new).await),
        (_, None, None) => None,
    };
    page(&visit, (area, &written), asked, Shown::default()).await
}

pub(super) async fn change_area(visit: Visit, Path(name): Path<String>, request: Request) -> Answer {
    let visit = visit.at(Section::Settings)?;
    visit.demand(Scope::ConfigWrite)?;
    let area = named(&visit, &name)?;
    let form = visit.sent(request).await?;
    let address = format!("/settings/{}", area.name());
    // A job has an `action` of its own, which comes before the button.
    let action = form.fields().filter(|(name, _)| *name == "action").last().map_or("", |(_, value)| value);
    match action {
        "write" => write(&visit, &form, &address).await,
        "remove" => {
            let written = Written::read(&visit).await?;
            let Some((list, _)) = area::list(area) else { return Err(visit.wrong(not_whole())) };
            let changes = written.with_jobs(list, vec![Change::Remove { list: list.to_owned(), id: form.text("name").to_owned() }]);
            let proposed = propose(&visit.context, changes.clone()).await.map_err(|problem| visit.wrong(problem))?;
            difference(&visit, (&address, Some(area)), proposed, &changes).await
        }
        "save" | "test" | "preview" => {
            let written = Written::read(&visit).await?;
            asked(&visit, (area, &written), &form, action).await
        }
        _ => Err(visit.wrong(not_whole())),
    }
}

/// What a form with fields asks for. Where they do not hold, it is shown again with what is wrong.
async fn asked(visit: &Visit, (area, written): (Area, &Written), form: &Form, action: &str) -> Answer {
    let (mut asked, changes) = Asked::posted(visit, (area, written), form).await?;
    if !asked.faults.is_empty() {
        return page(visit, (area, written), Some(asked), Shown::default()).await;
    }
    let proposed = match propose(&visit.context, changes.clone()).await {
        Ok(proposed) => proposed,
        Err(problem) if problem.kind == Kind::Invalid => {
            asked.faults.push((String::new(), problem.detail));
            return page(visit, (area, written), Some(asked), Shown::default()).await;
        }
        Err(problem) => return Err(visit.wrong(problem)),
    };
    let prefix = area::list(area).map_or_else(|| "retention.".to_owned(), |(list, _)| format!("{list}."));
    asked.faults.extend(proposed.faults.iter().map(|(key, message)| {
        let field = key.strip_prefix(&prefix).unwrap_or(key);
        (field.to_owned(), message.clone())
    }));
    if !asked.faults.is_empty() {
        return page(visit, (area, written), Some(asked), Shown::default()).await;
    }
    let shown = match (action, &proposed.config) {
        ("test", Some(config)) => Shown { trial: Some(show::trial(visit, area, &asked, config).await?), preview: None },
        ("preview", Some(config)) => Shown { trial: None, preview: Some(visit.context.under(config)) },
        _ => return difference(visit, (&format!("/settings/{}", area.name()), Some(area)), proposed, &changes).await,
    };
    page(visit, (area, written), Some(asked), shown).await
}

/// What is shown beside the form.
#[derive(Default)]
struct Shown {
    trial: Option<Trial>,
    preview: Option<crate::job::Context>,
}

async fn page(visit: &Visit, (area, written): (Area, &Written), asked: Option<Asked>, shown: Shown) -> Answer {
    let wrong = asked.as_ref().is_some_and(Asked::is_wrong);
    let editor = show::editor(visit, (area, written), asked, shown.trial).await?;
    let html = match area {
        Area::Schedules => {
            let jobs = show::schedules(visit).await?;
            settings::render_schedules(&visit.frame, &Schedules { editor, jobs })
        }
        Area::Retention => {
            let context = shown.preview.unwrap_or_else(|| visit.context.clone());
            let show::Foreseen { preview, kept, removed, freed } = show::foreseen(visit, context).await?;
            settings::render_retention(&visit.frame, &Retention { editor, preview, kept, removed, freed })
        }
        _ => settings::render_editor(&visit.frame, &editor),
    };
    let mut response = visit.page(html);
    if wrong {
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    }
    Ok(response)
}

/// What would be different, before anything is written.
async fn difference(visit: &Visit, (address, area): (&str, Option<Area>), proposed: Proposed, changes: &[Change]) -> Answer {
    let view = show::difference(visit, (address, area), proposed, changes).await?;
    let mut response: Response = visit.page(settings::render_difference(&visit.frame, &view));
    if !view.faults.is_empty() {
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    }
    Ok(response)
}

/// Saves the changes that were shown.
async fn write(visit: &Visit, form: &Form, address: &str) -> Answer {
    let changes: Vec<Change> = serde_json::from_str(form.text("changes")).map_err(|_| visit.wrong(not_whole()))?;
    let proposed = propose(&visit.context, changes).await.map_err(|problem| visit.wrong(problem))?;
    let saved = proposed.save(&visit.state, &visit.context, form.text("revision")).await.map_err(|problem| visit.wrong(problem))?;
    let notice = if saved.in_force {
        (Tone::Good, visit.t("Salvo, e em vigor.", "Saved, and in force."))
    } else {
        let words = visit.t(
            "Salvo. Ainda não está em vigor: a tarefa em andamento termina antes; sem daemon, vale a partir do próximo comando.",
            "Saved. It is not in force yet: the job at hand ends first; without a daemon, it counts from the next command on.",
        );
        (Tone::Warn, words)
    };
    Ok(visit.on(address, notice))
}

/// Each job switched on or off.
fn switched(written: &Written, on: bool) -> Vec<Change> {
    let jobs = written.list("job");
    let switch = |job: &Map<String, Value>| {
        let is_off = job.get("enabled") == Some(&Value::Bool(false));
        let value = match (on, is_off) {
            (true, true) => Value::Null,
            (false, false) => Value::Bool(false),
            _ => return None,
        };
        let id = job.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(Change::Entry { list: "job".to_owned(), id, values: Map::from_iter([("enabled".to_owned(), value)]) })
    };
    let changes: Vec<Change> = jobs.iter().filter_map(switch).collect();
    if changes.is_empty() { changes } else { written.with_jobs("job", changes) }
}

/// The jobs that there are where none is written, as changes that write them.
fn default_jobs() -> impl Iterator<Item = Map<String, Value>> {
    DEFAULT_JOBS.into_iter().map(|job| {
        let (name, action, schedule) = job;
        let keys = [("name", name), ("action", action), ("schedule", schedule)];
        keys.into_iter().map(|(key, value)| (key.to_owned(), Value::from(value))).collect()
    })
}

fn named(visit: &Visit, name: &str) -> Result<Area, super::frame::Wrong> {
    Area::named(name).ok_or_else(|| visit.wrong(Problem::not_found("such part of the settings")))
}

fn not_whole() -> Problem {
    Problem::new(Kind::Invalid, "the form is not whole; open the page again")
}
