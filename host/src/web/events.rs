//! Server-sent events: one task's progress, log and end; and what happens to all tasks and alerts.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use schemars::SchemaGenerator;
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::caller::Caller;
use super::endpoint::{Look, Reply};
use super::state::State;
use super::tasks::{Happening, ProgressView, Task};
use crate::access::Scope;
use crate::job::tell;

/// Between two looks at how far a task is.
const TICK: Duration = Duration::from_millis(500);
/// Between two signs of life.
const ALIVE: Duration = Duration::from_secs(15);
/// Between two looks at what is wrong, as long as anybody listens.
const ALERTS: Duration = Duration::from_secs(5);

type Events = std::pin::Pin<Box<dyn Stream<Item = Result<Event, Infallible>> + Send>>;

/// A stream of events.
pub(super) struct EventStream(Events);

impl IntoResponse for EventStream {
    fn into_response(self) -> Response {
        Sse::new(self.0).keep_alive(KeepAlive::new().interval(ALIVE)).into_response()
    }
}

impl Reply for EventStream {
    fn look(_: &mut SchemaGenerator) -> Look {
        let text = serde_json::json!({ "type": "string" });
        let schema = schemars::json_schema!({
            "type": "object",
            "description": "One event of many: `line`, `progress` and `end` of a task, `task`, `alert` and `missed` of everything. `data` is JSON.",
            "properties": { "event": text, "data": text, "id": text },
        });
        Look { status: axum::http::StatusCode::OK, body: Some(("text/event-stream", schema)), located: false }
    }
}

/// What follows one task.
struct Following {
    task: Arc<Task>,
    stop: CancellationToken,
    line: u64,
    progress: Option<ProgressView>,
    pending: std::collections::VecDeque<Event>,
    over: bool,
}

/// A task from its beginning, or after the line that was seen last, to its end: `line`, `progress` and, once, `end`.
pub(super) fn of_task(task: Arc<Task>, after: u64, stop: CancellationToken) -> EventStream {
    let following = Following { task, stop, line: after, progress: None, pending: std::collections::VecDeque::new(), over: false };
    EventStream(Box::pin(stream::unfold(following, |mut following| async move {
        let event = following.next().await?;
        Some((Ok(event), following))
    })))
}

impl Following {
    async fn next(&mut self) -> Option<Event> {
        let (mut count, mut end) = (self.task.lines().count(), self.task.end_seen());
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            // Asked before the rest is looked at: what comes in between is in the last look.
            let ended = *end.borrow_and_update();
            count.borrow_and_update();
            self.collect(ended);
            if self.pending.is_empty() {
                tokio::select! {
                    () = self.stop.cancelled() => return None,
                    _ = count.changed() => {}
                    _ = end.changed() => {}
                    () = tokio::time::sleep(TICK) => {}
                }
            }
        }
    }

    /// What is new.
    fn collect(&mut self, ended: bool) {
        for line in self.task.lines().after(self.line) {
            self.line = line.number;
            self.pending.push_back(event("line", &line).id(line.number.to_string()));
        }
        let progress = self.task.progress();
        if self.progress.as_ref() != Some(&progress) {
            self.pending.push_back(event("progress", &progress));
            self.progress = Some(progress);
        }
        if ended {
            self.pending.push_back(event("end", &self.task.brief()));
            self.over = true;
        }
    }
}

fn event(name: &str, data: &impl Serialize) -> Event {
    // JSON has no line break that would end a field.
    Event::default().event(name).data(serde_json::to_string(data).unwrap_or_default())
}

/// Everything that happens from now on and that somebody may know: `task` and `alert`.
pub(super) fn of_all(state: &State, caller: Caller) -> EventStream {
    let (receiver, stop) = (state.tasks().listen(), state.stop().clone());
    EventStream(Box::pin(stream::unfold((receiver, stop, caller), |(mut receiver, stop, caller)| async move {
        loop {
            let happening = tokio::select! {
                () = stop.cancelled() => return None,
                happening = receiver.recv() => happening,
            };
            match happening {
                Ok(happening) if concerns(&happening, &caller) => {
                    let event = event(happening.kind, &happening.data);
                    return Some((Ok(event), (receiver, stop, caller)));
                }
                Ok(_) => {}
                // A listener that was too slow is told so, and can ask for everything anew.
                Err(RecvError::Lagged(missed)) => {
                    let event = event("missed", &serde_json::json!({ "events": missed }));
                    return Some((Ok(event), (receiver, stop, caller)));
                }
                Err(RecvError::Closed) => return None,
            }
        }
    })))
}

fn concerns(happening: &Happening, caller: &Caller) -> bool {
    if happening.owner.as_ref() == Some(&caller.identity()) {
        return true;
    }
    let allowed = match (&happening.tenant, caller.principal.tenants()) {
        (_, None) => true,
        (Some(tenant), Some(_)) => caller.principal.may_tenant(tenant),
        (None, Some(_)) => false,
    };
    allowed && caller.principal.may(Scope::StatusRead)
}

/// Watches what is wrong, and tells who listens what begins and what is over.
pub(super) async fn watch_alerts(state: State) {
    let mut known: Option<BTreeMap<String, tell::Trouble>> = None;
    loop {
        tokio::select! {
            () = state.stop().cancelled() => return,
            () = tokio::time::sleep(ALERTS) => {}
        }
        if !state.tasks().has_listeners() {
            known = None;
            continue;
        }
        let context = state.context();
        let Ok(Ok(troubles)) = tokio::task::spawn_blocking(move || tell::troubles(&context)).await else { continue };
        let now: BTreeMap<_, _> = troubles.into_iter().map(|trouble| (trouble.problem.clone(), trouble)).collect();
        if let Some(before) = &known {
            let begun = now.iter().filter(|(key, _)| !before.contains_key(*key)).map(|(_, trouble)| ("begun", trouble));
            let over = before.iter().filter(|(key, _)| !now.contains_key(*key)).map(|(_, trouble)| ("over", trouble));
            for (change, trouble) in begun.chain(over) {
                let data = serde_json::json!({ "change": change, "alert": trouble });
                state.tasks().announce(Happening { kind: "alert", tenant: None, owner: None, data });
            }
        }
        known = Some(now);
    }
}
