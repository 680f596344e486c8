//! `/runs`: begins a backup, lists what is and was at work, and shows one task while it goes.

use axum::extract::{Path, Query, Request};
use axum::response::Response;
use serde::Deserialize;

use super::super::api::work;
use super::super::tasks::{PartView, TaskState, TaskView};
use super::frame::{Answer, Visit, see};
use super::overview::outcome;
use crate::access::Scope;
use crate::catalog::NumberedRun;
use crate::page::part::{Alert, Choice, Fact, LogLine, Pager};
use crate::page::run::{self, Kind, Part, Row, Runs, Start, State, Task};
use crate::page::{Section, Tone};

/// Past runs of a page.
const ROWS: u32 = 50;
/// Restored things that a task shows.
const RESTORED: usize = 20;

#[derive(Debug, Default, Deserialize)]
pub(super) struct ListQuery {
    before: Option<i64>,
}

pub(super) async fn list(visit: Visit, Query(query): Query<ListQuery>) -> Answer {
    let visit = visit.at(Section::Runs)?;
    let mut past = visit.aside(move |context| Ok(context.catalog.browse_runs(None, query.before, ROWS + 1)?)).await?;
    let more = past.len() > ROWS as usize;
    past.truncate(ROWS as usize);
    let next = past.last().filter(|_| more).map(|run| format!("?before={}", run.id));
    let mut active = Vec::new();
    for task in visit.state.tasks().seen_by(&visit.caller) {
        let brief = task.brief();
        if !task.has_ended() {
            active.push(row(&brief));
        }
    }
    let view = Runs {
        start: visit.may(Scope::RunCreate).then(|| start_of(&visit)),
        active,
        past: past.iter().map(|run| past_row(&visit, run)).collect(),
        pager: Pager { previous: query.before.map(|_| "?".to_owned()), next, total: None },
    };
    Ok(visit.page(run::render_list(&visit.frame, &view)))
}

fn start_of(visit: &Visit) -> Start {
    let config = &visit.context.config;
    let choice = |value: String| Choice { label: value.clone(), value, chosen: false };
    let servers = config.mysql.iter().map(|server| server.settings.name.clone());
    let directories = config.directories.iter().map(|directory| directory.settings.path.display().to_string());
    Start { sources: servers.chain(directories).map(choice).collect(), destinations: Vec::new(), command: "cofre run".to_owned() }
}

fn row(task: &TaskView) -> Row {
    Row {
        task: task.id.clone(),
        kind: kind(task.verb),
        object: object(task),
        state: state(task.state),
        started: task.started,
        finished: task.finished,
        by: task.by.clone(),
    }
}

/// What a task is about.
fn object(task: &TaskView) -> String {
    let asked = |name: &str| task.asked[name].as_str().map(str::to_owned);
    task.tenant.clone().or_else(|| asked("set")).or_else(|| asked("name")).unwrap_or_default()
}

fn past_row(visit: &Visit, run: &NumberedRun) -> Row {
    let (tone, _) = outcome(visit, run.run.outcome.as_deref());
    Row {
        task: String::new(),
        kind: kind(&run.run.verb),
        object: run.run.set.clone().unwrap_or_default(),
        state: match tone {
            Tone::Good => State::Done,
            Tone::Warn => State::Warnings,
            Tone::Bad => State::Failed,
            Tone::Busy | Tone::Plain => State::Running,
        },
        started: run.run.started.parse().unwrap_or(visit.frame.now),
        finished: run.run.finished.as_deref().and_then(|text| text.parse().ok()),
        by: String::new(),
    }
}

/// What a verb does.
pub(super) fn kind(verb: &str) -> Kind {
    match verb {
        "resume" => Kind::Resume,
        "verify" => Kind::Verify,
        "restore" => Kind::Restore,
        "drill" => Kind::Drill,
        "prune" => Kind::Prune,
        "repair" => Kind::Repair,
        "tenant" => Kind::Tenant,
        "probe" | "test" | "monitor" => Kind::Test,
        _ => Kind::Run,
    }
}

fn state(state: TaskState) -> State {
    match state {
        TaskState::Running => State::Running,
        TaskState::Done => State::Done,
        TaskState::Warnings => State::Warnings,
        TaskState::Failed => State::Failed,
        TaskState::Cancelled => State::Cancelled,
    }
}

/// How much is done, where somebody knows how much there is.
pub(super) fn share(task: &TaskView) -> Option<f64> {
    let expected = task.progress.expected.filter(|expected| *expected > 0)?;
    Some((task.progress.plain as f64 / expected as f64).clamp(0.0, 1.0))
}

pub(super) async fn start(visit: Visit, request: Request) -> Answer {
    let visit = visit.at(Section::Runs)?;
    let form = visit.sent(request).await?;
    visit.demand(Scope::RunCreate)?;
    let tags = form.text("tag").split([' ', ',']).filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
    let begun = work::run(visit.ask(work::RunBody { only: form.all("only"), tags })).await;
    let task = begun.map_err(|problem| visit.wrong(problem))?.value;
    Ok(see(&format!("/runs/{}", task.id)))
}

pub(super) async fn show(visit: Visit, Path(id): Path<String>) -> Answer {
    // Whoever only delivers to tenants follows what they started.
    let mut visit = visit;
    visit.frame.active = Section::Runs;
    let task = visit.state.tasks().find(&id, &visit.caller).map_err(|problem| visit.wrong(problem))?;
    let task = if visit.is_part() { task.told() } else { task.view(&visit.caller) };
    let secret = task.passphrase.is_some();
    let view = view(&visit, &task);
    let mut response: Response = visit.page(run::render(&visit.frame, &view));
    if secret {
        super::frame::keep_nowhere(&mut response);
    }
    Ok(response)
}

pub(super) async fn change(visit: Visit, Path(id): Path<String>, request: Request) -> Answer {
    let form = visit.sent(request).await?;
    if form.text("action") == "cancel" {
        let task = visit.state.tasks().find(&id, &visit.caller).map_err(|problem| visit.wrong(problem))?;
        task.cancel(&visit.caller).map_err(|problem| visit.wrong(problem))?;
    }
    Ok(see(&format!("/runs/{id}")))
}

fn view(visit: &Visit, task: &TaskView) -> Task {
    let parts = |kind: &str| task.progress.parts.iter().filter(|part| part.kind == kind).map(|part| self::part(visit, part)).collect();
    let mut result = Vec::new();
    let mut fact = |label: &str, value: String| result.push(Fact { label: label.to_owned(), value, tone: Tone::Plain });
    if task.finished.is_some() {
        for (label, key) in
            [(visit.t("Conjunto", "Set"), "set"), (visit.t("Arquivo", "File"), "file"), (visit.t("Entrega", "Delivery"), "way")]
        {
            if let Some(value) = task.result.as_ref().and_then(|result| result[key].as_str()) {
                fact(label, value.to_owned());
            }
        }
        let restored = task.result.as_ref().and_then(|result| result["restored"].as_array());
        for one in restored.into_iter().flatten().take(RESTORED) {
            let text = |key: &str| one[key].as_str().unwrap_or_default();
            fact(text("what"), format!("{}: {}", text("place"), text("detail")));
        }
        if let Some(passphrase) = &task.passphrase {
            fact(visit.t("Senha deste arquivo, mostrada só agora", "Passphrase of this file, shown only now"), passphrase.clone());
        }
    }
    Task {
        task: task.id.clone(),
        kind: kind(task.verb),
        object: object(task),
        state: state(task.state),
        started: task.started,
        finished: task.finished,
        by: task.by.clone(),
        share: share(task),
        artifacts: parts("artifact"),
        destinations: parts("destination"),
        log: task.lines.iter().map(|line| LogLine { at: line.at, tone: level(line.level), text: line.text.clone() }).collect(),
        problems: problems(visit, task),
        result,
        digests: Vec::new(),
        set: task.result.as_ref().and_then(|result| result["set"].as_str()).map(str::to_owned),
        download: None,
        may_cancel: task.finished.is_none() && visit.may(scope_of(task.verb)),
        events: format!("/api/v1/tasks/{}/events", task.id),
        command: String::new(),
    }
}

fn scope_of(verb: &str) -> Scope {
    match verb {
        "restore" => Scope::RestoreWrite,
        "tenant" => Scope::TenantDeliver,
        _ => Scope::RunCreate,
    }
}

fn level(level: &str) -> Tone {
    match level {
        "error" => Tone::Bad,
        "warn" => Tone::Warn,
        _ => Tone::Plain,
    }
}

fn part(visit: &Visit, part: &PartView) -> Part {
    let stage = if part.kind == "destination" { visit.t("enviando", "sending") } else { visit.t("lendo", "reading") };
    let done = if part.kind == "destination" { part.cipher } else { part.plain };
    Part { name: part.label.clone(), tone: Tone::Busy, stage: stage.to_owned(), done, total: None, rate: None, left: None }
}

/// What went wrong, in the words of the task itself.
fn problems(visit: &Visit, task: &TaskView) -> Vec<Alert> {
    let alert = |title: String, detail: String| Alert { tone: Tone::Bad, title, detail, since: None, actions: Vec::new(), address: None };
    let mut problems = Vec::new();
    if let Some(problem) = &task.problem {
        let text = |key: &str| problem[key].as_str().unwrap_or_default().to_owned();
        problems.push(alert(visit.t("Não foi concluído", "It did not end well").to_owned(), text("detail")));
    }
    let lists = task.result.as_ref().and_then(|result| result["warnings"].as_array());
    for warning in lists.into_iter().flatten().take(20) {
        let text = warning
            .as_str()
            .map(str::to_owned)
            .or_else(|| Some(format!("{}: {}", warning["subject"].as_str()?, warning["message"].as_str()?)));
        if let Some(text) = text {
            problems.push(Alert { tone: Tone::Warn, ..alert(visit.t("Aviso", "Warning").to_owned(), text) });
        }
    }
    problems
}
