//! Tasks: followed, cancelled, and listened to.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::endpoint::{Ask, Done, Endpoint, Json, Need};
use super::super::events::{self, EventStream};
use super::super::idempotency::ShownOnce;
use super::super::problem::Problem;
use super::super::tasks::TaskView;
use axum::response::{IntoResponse, Response};
use schemars::SchemaGenerator;

use super::super::endpoint::{Look, Reply};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/tasks", Need::Known, "Tasks that you may see, newest first", list),
        Endpoint::get("/tasks/{id}", Need::Known, "One task, with its log and what came of it", one),
        Endpoint::delete("/tasks/{id}", Need::Known, "Cancel a task", cancel),
        Endpoint::get("/tasks/{id}/events", Need::Known, "Its progress, its log and its end, as they come", follow),
        Endpoint::get("/events", Need::Known, "What happens to tasks and alerts, as it comes", everything),
    ]
}

async fn list(ask: Ask) -> Result<Json<Vec<TaskView>>, Problem> {
    Ok(Json(ask.state.tasks().seen_by(&ask.caller).iter().map(|task| task.brief()).collect()))
}

/// A task, perhaps with a secret that is shown once.
struct Shown(TaskView);

impl IntoResponse for Shown {
    fn into_response(self) -> Response {
        let secret = self.0.passphrase.is_some();
        let mut response = Json(self.0).into_response();
        if secret {
            response.extensions_mut().insert(ShownOnce);
        }
        response
    }
}

impl Reply for Shown {
    fn look(generator: &mut SchemaGenerator) -> Look {
        Json::<TaskView>::look(generator)
    }
}

async fn one(ask: Ask) -> Result<Shown, Problem> {
    Ok(Shown(ask.state.tasks().find(ask.name("id"), &ask.caller)?.view(&ask.caller)))
}

async fn cancel(ask: Ask) -> Result<Done, Problem> {
    ask.state.tasks().find(ask.name("id"), &ask.caller)?.cancel(&ask.caller)?;
    Ok(Done)
}

/// From where on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FollowQuery {
    /// Only lines after this one; a browser that comes back says it in `Last-Event-ID`.
    after: Option<u64>,
}

async fn follow(ask: Ask<(), FollowQuery>) -> Result<EventStream, Problem> {
    let task = ask.state.tasks().find(ask.name("id"), &ask.caller)?;
    let seen = ask.headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    Ok(events::of_task(task, seen.or(ask.query.after).unwrap_or(0), ask.state.stop().clone()))
}

async fn everything(ask: Ask) -> Result<EventStream, Problem> {
    Ok(events::of_all(&ask.state, ask.caller))
}
