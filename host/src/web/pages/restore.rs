//! `/restore`: a set, what of it, where to, what will happen. Each step is an address, which says all that was chosen before; the last one
//! posts, and begins a task.

mod pick;
mod picked;
mod plan;
#[cfg(test)]
mod tests;

use axum::extract::{RawQuery, Request};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::api::{set_named, work};
use super::form::Form;
use super::frame::{Answer, Visit, Wrong, see};
use super::shell::words;
use crate::access::Scope;
use crate::catalog::ArtifactLine;
use crate::config::format_size;
use crate::job::{self, SetDetail};
use crate::page::part::Fact;
use crate::page::restore::{self, Restore, Step};
use crate::page::{Section, Tone};
use crate::set::SetName;
use crate::text::Locale;
use picked::{Fault, Goal, Part, Picked};

/// Every field that says what and where to.
const ALL: [&str; 10] = ["set", "from", "artifact", "item", "path", "target", "schema", "server", "directory", "replace"];

/// A set that something can be restored from.
struct Chosen {
    set: SetName,
    detail: SetDetail,
}

/// How far what was chosen reaches.
enum Reached {
    Set,
    What(Chosen, Option<ArtifactLine>),
    Where(Chosen, ArtifactLine, Part),
    Plan(Chosen, ArtifactLine, Part, Goal),
}

pub(super) async fn show(visit: Visit, RawQuery(query): RawQuery) -> Answer {
    let visit = visit.at(Section::Restore)?;
    let form = Form::of_query(query.as_deref()).map_err(|problem| visit.wrong(problem))?;
    let picked = Picked::of(&form);
    let (reached, fault) = reached(&visit, &picked, form.text("step")).await?;
    let faults = fault.map(|(portuguese, english)| visit.t(portuguese, english).to_owned()).into_iter().collect();
    page(&visit, (&picked, &form), reached, faults).await
}

pub(super) async fn start(visit: Visit, request: Request) -> Answer {
    let visit = visit.at(Section::Restore)?;
    let form = visit.sent(request).await?;
    visit.demand(Scope::RestoreWrite)?;
    let picked = Picked::of(&form);
    let (reached, fault) = reached(&visit, &picked, "plan").await?;
    let wrong: Fault = match (&reached, fault) {
        (_, Some(fault)) => fault,
        (Reached::Plan(.., Goal::Download), _) => {
            ("Um download não é confirmado: abra o endereço.", "A download is not confirmed: open its address.")
        }
        (Reached::Plan(_, line, part, goal), None) if form.text("confirm").trim() == goal.name() => {
            let begun = work::restore(visit.ask(picked.body((line, part), goal, false))).await;
            let task = begun.map_err(|problem| visit.wrong(problem))?.value;
            return Ok(see(&format!("/runs/{}", task.id)));
        }
        _ => (
            "Nada foi restaurado: o nome digitado não é o do destino.",
            "Nothing was restored: what was typed is not the name of the target.",
        ),
    };
    let mut response = page(&visit, (&picked, &form), reached, vec![visit.t(wrong.0, wrong.1).to_owned()]).await?;
    *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    Ok(response)
}

/// Looks how far what was chosen holds, at most up to a step; where it ends early, also why.
async fn reached(visit: &Visit, picked: &Picked, step: &str) -> Result<(Reached, Option<Fault>), Wrong> {
    if picked.set.is_empty() || step == "set" {
        return Ok((Reached::Set, None));
    }
    let no_set: Fault = ("Não há conjunto com esse nome no catálogo.", "There is no set of that name in the catalogue.");
    let Ok(set) = set_named(&picked.set) else { return Ok((Reached::Set, Some(no_set))) };
    let Some(detail) = visit.aside(move |context| Ok(job::set_detail(context, set)?)).await? else {
        return Ok((Reached::Set, Some(no_set)));
    };
    if !detail.set.copies.iter().any(|copy| copy.complete && (picked.from.is_empty() || copy.destination == picked.from)) {
        let fault = ("Desse conjunto não há cópia completa lá.", "There is no complete copy of that set there.");
        return Ok((Reached::Set, Some(fault)));
    }
    let line = detail.contents.iter().find(|line| line.key == picked.artifact && line.kind != "own").cloned();
    let chosen = Chosen { set, detail };
    if !matches!(step, "where" | "plan") {
        return Ok((Reached::What(chosen, line), None));
    }
    let Some(line) = line else {
        return Ok((Reached::What(chosen, None), Some(("Escolha o que restaurar.", "Choose what to restore."))));
    };
    let part = match picked.part(&line).and_then(|part| unmistakable(&chosen, &line, part)) {
        Ok(part) => part,
        Err(fault) => return Ok((Reached::What(chosen, Some(line)), Some(fault))),
    };
    if step == "where" {
        return Ok((Reached::Where(chosen, line, part), None));
    }
    let servers: Vec<&str> = servers(visit).collect();
    match picked.goal((&line, &part), &servers) {
        Ok(goal) => Ok((Reached::Plan(chosen, line, part, goal), None)),
        Err(fault) => Ok((Reached::Where(chosen, line, part), Some(fault))),
    }
}

/// A table is asked for by the name of its schema, which must be one only.
fn unmistakable(chosen: &Chosen, line: &ArtifactLine, part: Part) -> Result<Part, Fault> {
    let namesakes = chosen.detail.contents.iter().filter(|other| other.kind == "schema" && other.name == line.name).count();
    if matches!(part, Part::Table(_)) && namesakes > 1 {
        return Err((
            "O conjunto tem mais de um banco com esse nome: restaure o banco inteiro.",
            "The set has more than one schema of that name: restore the whole schema.",
        ));
    }
    Ok(part)
}

fn servers(visit: &Visit) -> impl Iterator<Item = &str> {
    visit.context.config.mysql.iter().map(|server| server.settings.name.as_str())
}

async fn page(visit: &Visit, (picked, form): (&Picked, &Form), reached: Reached, mut faults: Vec<String>) -> Result<Response, Wrong> {
    let (step, carried, parts) = match reached {
        Reached::Set => (pick::set(visit, picked, form).await?, Vec::new(), (None, None)),
        Reached::What(chosen, line) => {
            let opened = line.filter(|line| !picked.at.is_empty() && line.kind != "grants");
            let names: &[&str] = if opened.is_some() { &["set", "from", "artifact", "at"] } else { &["set", "from"] };
            let step = pick::what(visit, (picked, form), (&chosen, opened.as_ref()), &mut faults).await;
            (step, picked.carried(names), (opened, None))
        }
        Reached::Where(_, line, part) => {
            let step = pick::place(visit, picked, (&line, &part));
            (step, picked.carried(&["set", "from", "artifact", "item", "path"]), (Some(line), Some((part, None))))
        }
        Reached::Plan(chosen, line, part, goal) => {
            let step = plan::plan(visit, picked, chosen.set, (&line, &part, &goal)).await;
            (step, picked.carried(&ALL), (Some(line), Some((part, Some(goal)))))
        }
    };
    let (line, rest) = parts;
    let (part, goal) = rest.map_or((None, None), |(part, goal)| (Some(part), goal));
    let both = line.as_ref().zip(part.as_ref());
    let command = match step {
        Step::Set(_) => "cofre list".to_owned(),
        Step::What(_) => format!("cofre show {}", words(&[&picked.set])),
        Step::Where(_) | Step::Plan(_) => picked.command(both, goal.as_ref()),
    };
    let chosen = if matches!(step, Step::Set(_)) { Vec::new() } else { facts(visit, picked, both, goal.as_ref()) };
    let view = Restore { step, carried, chosen, faults, command };
    Ok(visit.page(restore::render(&visit.frame, &view)))
}

/// What was chosen, in words.
fn facts(visit: &Visit, picked: &Picked, part: Option<(&ArtifactLine, &Part)>, goal: Option<&Goal>) -> Vec<Fact> {
    let fact = |label: &str, value: String| Fact { label: label.to_owned(), value, tone: Tone::Plain };
    let from = if picked.from.is_empty() { visit.t("a melhor cópia", "the best copy").to_owned() } else { picked.from.clone() };
    let mut facts = vec![fact(visit.t("Conjunto", "Set"), picked.set.clone()), fact(visit.t("Ler de", "Read from"), from)];
    if let Some((line, part)) = part {
        facts.push(fact(visit.t("O que", "What"), part.shown(line)));
    }
    let place = goal.map(|goal| match goal {
        Goal::Schema { server, name } => format!("{name} @ {server}"),
        Goal::Directory { path, .. } => path.display().to_string(),
        Goal::Download => visit.t("este navegador", "this browser").to_owned(),
    });
    facts.extend(place.map(|place| fact(visit.t("Para onde", "Where to"), place)));
    facts
}

/// A size in the page's language.
fn size(visit: &Visit, bytes: u64) -> String {
    let text = format_size(bytes);
    if visit.frame.locale == Locale::PtBr { text.replace('.', ",") } else { text }
}
