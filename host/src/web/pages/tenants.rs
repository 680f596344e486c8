//! `/tenants`: the backup of one tenant, sent to somebody. It is a task, whose page shows the passphrase once; here is only who got what.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use axum::extract::{Query, Request};
use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::super::api::tenants::{DeliveryBody, deliver_to};
use super::super::problem::Kind;
use super::super::tasks::{TaskState, TaskView};
use super::form::Form;
use super::frame::{Answer, Visit, Wrong, see};
use super::shell::words;
use crate::access::Scope;
use crate::audit::{Action, Entry, Outcome};
use crate::job::{self, Context, JobError, TenantView};
use crate::page::part::{Choice, Pager};
use crate::page::tenants::{self, Delivery, Filled, Tenants};
use crate::page::{Section, Tone};

/// Deliveries of a page.
const ROWS: usize = 50;
/// How far back they are looked for.
const DAYS: i64 = 366;
/// Tenants that the form knows by name.
const TENANTS_MAX: usize = 1_000;
/// Longest address of a mailbox (RFC 5321, 4.5.3.1.3).
const ADDRESS_MAX: usize = 254;
/// A task begins, and so does its delivery.
const AT_ONCE: SignedDuration = SignedDuration::from_secs(5);

/// Where in the list.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ListQuery {
    before: Option<u64>,
}

pub(super) async fn show(visit: Visit, Query(query): Query<ListQuery>) -> Answer {
    let visit = visit.at(Section::Tenants)?;
    let view = view(&visit, query.before, (Filled::default(), "")).await?;
    Ok(visit.page(tenants::render(&visit.frame, &view)))
}

pub(super) async fn change(visit: Visit, request: Request) -> Answer {
    let visit = visit.at(Section::Tenants)?;
    let form = visit.sent(request).await?;
    visit.demand(Scope::TenantDeliver)?;
    let mut filled = filled(&visit, &form);
    if filled.tenant_fault.is_none() && filled.email_fault.is_none() {
        let via = form.some("via").map(str::to_owned);
        visit.context.chosen(via.as_deref()).map_err(|error| visit.wrong(error))?;
        let body = DeliveryBody { recipient: filled.email.clone(), notifier: None, via };
        match deliver_to(visit.ask(body), filled.tenant.clone()).await {
            Ok(task) => return Ok(see(&format!("/runs/{}", task.value.id))),
            // Nobody learns which others there are.
            Err(problem) if matches!(problem.kind, Kind::Tenant | Kind::NotFound) => {
                filled.tenant_fault = Some(visit.t("Não há cliente com esse nome.", "There is no tenant of that name.").to_owned());
            }
            Err(problem) => return Err(visit.wrong(problem)),
        }
    }
    let view = view(&visit, None, (filled, form.text("via"))).await?;
    let mut response = visit.page(tenants::render(&visit.frame, &view));
    *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    Ok(response)
}

/// What was filled in; whether mail can go there is said by the task, this is what nobody can mean.
fn filled(visit: &Visit, form: &Form) -> Filled {
    let (tenant, email) = (form.some("tenant").unwrap_or_default(), form.some("email").unwrap_or_default());
    let is_address = email.len() <= ADDRESS_MAX && email.split_once('@').is_some_and(|(who, at)| !who.is_empty() && !at.is_empty());
    let missing = tenant.is_empty().then(|| visit.t("Escolha um cliente.", "Choose a tenant.").to_owned());
    let wrong = (!is_address).then(|| visit.t("Isto não é um endereço de e-mail.", "This is no address of a mailbox.").to_owned());
    Filled { tenant: tenant.to_owned(), email: email.to_owned(), tenant_fault: missing, email_fault: wrong }
}

async fn view(visit: &Visit, before: Option<u64>, (filled, via): (Filled, &str)) -> Result<Tenants, Wrong> {
    let may = |tenant: &str| visit.caller.principal.may_tenant(tenant);
    let config = &visit.context.config;
    let known = job::tenants(config).into_iter().filter(|tenant| may(&tenant.name)).take(TENANTS_MAX);
    let way = |name: &str| Choice { value: name.to_owned(), label: name.to_owned(), chosen: via == name };
    let attached = Choice { label: visit.t("anexo, se couber", "attached, where it fits").to_owned(), ..way("") };
    let or = |text: &str, otherwise: &str| if text.is_empty() { otherwise.to_owned() } else { text.to_owned() };
    let (tenant, email) = (or(&filled.tenant, visit.t("CLIENTE", "TENANT")), or(&filled.email, visit.t("ENDEREÇO", "ADDRESS")));
    let mut command = vec!["cofre", "tenant", "backup", &tenant, "--email", &email];
    if !via.is_empty() {
        command.extend(["--via", via]);
    }
    let command = words(&command);
    let (deliveries, pager) = deliveries(visit, before).await?;
    Ok(Tenants {
        tenants: known.map(|tenant| (tenant.name.clone(), belongings(&tenant))).collect(),
        filled,
        ways: std::iter::once(attached).chain(config.destinations.iter().map(|one| way(&one.settings.name))).collect(),
        minutes: config.tenant_delivery.deadline.as_secs().div_ceil(60),
        deliveries,
        pager,
        may_deliver: visit.may(Scope::TenantDeliver),
        command,
    })
}

/// What a tenant has, in a line.
fn belongings(tenant: &TenantView) -> String {
    let schemas = tenant.sources.iter().flat_map(|source| source.schemas.iter().cloned());
    let directories = tenant.directories.iter().map(|path| path.display().to_string());
    schemas.chain(directories).collect::<Vec<_>>().join(", ")
}

/// Those of the audit log, for who may read it; for others those that they started themselves, as long as they are remembered.
async fn deliveries(visit: &Visit, before: Option<u64>) -> Result<(Vec<Delivery>, Pager), Wrong> {
    let tasks: Vec<TaskView> = visit.state.tasks().seen_by(&visit.caller).into_iter().map(|task| task.brief()).collect();
    let tasks: Vec<TaskView> = tasks.into_iter().filter(|task| task.verb == "tenant").collect();
    if !(visit.may(Scope::AuditRead) && visit.caller.principal.tenants().is_none()) {
        let own = tasks.iter().take(ROWS).map(|task| of_task(visit, task)).collect();
        return Ok((own, Pager::default()));
    }
    let mut past = visit.aside(move |context| Ok(past(context, before)?)).await?;
    let more = past.len() > ROWS;
    past.truncate(ROWS);
    let next = past.last().filter(|_| more).map(|last| format!("?before={}", last.begun.seq));
    let pager = Pager { previous: before.map(|_| "?".to_owned()), next, total: None };
    Ok((past.iter().map(|past| of_past(visit, past, &tasks)).collect(), pager))
}

/// A delivery as the audit log has it: when it began, and how it ended.
struct Past {
    begun: Entry,
    outcome: Option<String>,
}

/// The newest before a number, one more than a page.
fn past(context: &Context, before: Option<u64>) -> Result<Vec<Past>, JobError> {
    let since = Timestamp::now() - SignedDuration::from_hours(24 * DAYS);
    let (entries, _) = job::audit_entries(context, Some(since))?;
    let mut known: BTreeMap<u64, Past> = BTreeMap::new();
    for entry in entries.into_iter().filter(|entry| entry.action == Action::TenantDelivery.name()) {
        match entry.of {
            Some(of) => {
                if let Some(past) = known.get_mut(&of) {
                    past.outcome = Some(entry.outcome);
                }
            }
            None => {
                known.insert(entry.seq, Past { begun: entry, outcome: None });
            }
        }
    }
    let newest = known.into_values().rev().filter(|past| before.is_none_or(|before| past.begun.seq < before));
    Ok(newest.take(ROWS + 1).collect())
}

fn of_past(visit: &Visit, past: &Past, tasks: &[TaskView]) -> Delivery {
    let Entry { at, actor, object: tenant, detail, .. } = &past.begun;
    let recipient = detail.get("recipient").cloned().unwrap_or_default();
    let is_it = |task: &&TaskView| {
        let is_same = task.tenant.as_ref() == Some(tenant) && task.asked["recipient"].as_str() == Some(recipient.as_str());
        is_same && *at >= task.started && at.duration_since(task.started) < AT_ONCE
    };
    let task = tasks.iter().find(is_it);
    let running = task.is_some_and(|task| task.state == TaskState::Running);
    let (tone, word) = match past.outcome.as_deref() {
        Some(outcome) if outcome == Outcome::Done.name() => (Tone::Good, visit.t("entregue", "delivered")),
        Some(outcome) if outcome == Outcome::Warnings.name() => (Tone::Warn, visit.t("na fila de envio", "waiting to be sent")),
        Some(_) => (Tone::Bad, visit.t("falhou", "failed")),
        None if running => (Tone::Busy, visit.t("em andamento", "in progress")),
        None => (Tone::Plain, visit.t("sem fim registrado", "no end is recorded")),
    };
    Delivery {
        at: *at,
        tenant: tenant.clone(),
        recipient,
        by: actor.to_string(),
        tone,
        word: word.to_owned(),
        task: task.map(|task| task.id.clone()),
    }
}

fn of_task(visit: &Visit, task: &TaskView) -> Delivery {
    let (tone, word) = match task.state {
        TaskState::Running => (Tone::Busy, visit.t("em andamento", "in progress")),
        TaskState::Done => (Tone::Good, visit.t("entregue", "delivered")),
        TaskState::Warnings => (Tone::Warn, visit.t("com avisos", "with warnings")),
        TaskState::Failed => (Tone::Bad, visit.t("falhou", "failed")),
        TaskState::Cancelled => (Tone::Plain, visit.t("cancelada", "cancelled")),
    };
    Delivery {
        at: task.started,
        tenant: task.tenant.clone().unwrap_or_default(),
        recipient: task.asked["recipient"].as_str().unwrap_or_default().to_owned(),
        by: task.by.clone(),
        tone,
        word: word.to_owned(),
        task: Some(task.id.clone()),
    }
}
