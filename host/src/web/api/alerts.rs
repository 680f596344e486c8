//! What is wrong, who was told, and what is looked at.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::endpoint::{Ask, Endpoint, Json, Need};
use super::super::problem::Problem;
use super::limit;
use crate::access::Scope;
use crate::job::tell::{self, Sent, Trouble};
use crate::job::{self, CheckStanding};
use crate::ports::Severity;

const READ: Need = Need::Whole(Scope::StatusRead);

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/alerts", READ, "What is wrong right now, and the newest alerts", alerts),
        Endpoint::get("/checks", READ, "What is looked at every few minutes, and how it stood last", checks),
        Endpoint::get("/notifiers", READ, "Who is told of what", notifiers),
        Endpoint::post("/notifiers/{name}/test", Need::Whole(Scope::RunCreate), "Send a trial message", test).patient(),
    ]
}

/// What is wrong, and who was told.
#[derive(Debug, Serialize, JsonSchema)]
struct Alerts {
    /// What is wrong right now, oldest first.
    problems: Vec<Trouble>,
    /// The newest alerts, newest first.
    letters: Vec<Sent>,
}

/// How many.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AlertsQuery {
    /// Alerts: 1 to 500, 50 unless given.
    #[schemars(range(min = 1, max = 500))]
    limit: Option<u32>,
}

async fn alerts(ask: Ask<(), AlertsQuery>) -> Result<Json<Alerts>, Problem> {
    let limit = limit(ask.query.limit)?;
    ask.aside(move |context| Ok(Json(Alerts { problems: tell::troubles(context)?, letters: tell::letters(context, limit)? }))).await
}

async fn checks(ask: Ask) -> Result<Json<Vec<CheckStanding>>, Problem> {
    ask.aside(|context| Ok(Json(job::standings(context)?))).await
}

/// One notifier.
#[derive(Debug, Serialize, JsonSchema)]
struct NotifierView {
    /// Its name.
    name: String,
    /// Name of its plug-in's file, without the ending.
    plugin: String,
    /// The least grave that it hears of.
    min_severity: Severity,
    /// How many seconds a problem must last before it hears of it.
    after_seconds: u64,
    /// After how many seconds it is told again.
    remind_after_seconds: u64,
}

async fn notifiers(ask: Ask) -> Result<Json<Vec<NotifierView>>, Problem> {
    let view = |one: &crate::config::NotifierConfig| NotifierView {
        name: one.settings.name.clone(),
        plugin: one.settings.plugin.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default(),
        min_severity: one.rule.min_severity,
        after_seconds: one.rule.after.as_secs(),
        remind_after_seconds: one.rule.remind_after.as_secs(),
    };
    Ok(Json(ask.context.config.notifiers.iter().map(view).collect()))
}

async fn test(ask: Ask) -> Result<Json<Vec<Sent>>, Problem> {
    let name = ask.name("name");
    if !ask.context.config.notifiers.iter().any(|one| one.settings.name == name) {
        return Err(Problem::not_found(format!("notifier `{name}`")));
    }
    Ok(Json(tell::trial(&ask.context, Some(name)).await?))
}
