//! How it stands: at one glance, the schedule, the history, and the reports.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::endpoint::{Ask, Endpoint, Json, Need};
use super::super::problem::{Kind, Problem};
use super::{Page, limit, number};
use crate::access::Scope;
use crate::catalog::NumberedRun;
use crate::job::{self, JobStanding, Status};
use crate::report::{Month, MonthError, Monthly};
use crate::text::Locale;

const READ: Need = Need::Whole(Scope::StatusRead);

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/status", READ, "How it stands with everything", status),
        Endpoint::get("/jobs", READ, "The jobs, with their next five times", jobs),
        Endpoint::get("/runs", READ, "What was done, newest first", runs),
        Endpoint::get("/reports/{month}", READ, "The figures of a month, `2026-10`", report),
    ]
}

async fn status(ask: Ask) -> Result<Json<Status>, Problem> {
    ask.aside(|context| Ok(Json(job::status(context)?))).await
}

async fn jobs(ask: Ask) -> Result<Json<Vec<JobStanding>>, Problem> {
    ask.aside(|context| Ok(Json(job::jobs(context, job::TIMES_TOLD, Timestamp::now())?))).await
}

/// Which runs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RunsQuery {
    /// Only this verb: `run`, `verify`, `prune`, `restore` and so on.
    verb: Option<String>,
    /// Lines of a page: 1 to 500, 50 unless given.
    #[schemars(range(min = 1, max = 500))]
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

async fn runs(ask: Ask<(), RunsQuery>) -> Result<Json<Page<NumberedRun>>, Problem> {
    let (limit, before) = (limit(ask.query.limit)?, number(ask.query.cursor.as_deref())?);
    let verb = ask.query.verb.clone();
    ask.aside(move |context| {
        let runs = context.catalog.browse_runs(verb.as_deref(), before, limit + 1)?;
        Ok(Json(Page::of(runs, limit, |run| run.id.to_string())))
    })
    .await
}

async fn report(ask: Ask) -> Result<Json<Monthly>, Problem> {
    let month: Month = ask.name("month").parse().map_err(|error: MonthError| Problem::new(Kind::NotFound, error.to_string()))?;
    ask.aside(move |context| {
        let locale = Locale::choose(None, context.config.locale.as_deref());
        Ok(Json(job::monthly(context, month, locale)?.monthly))
    })
    .await
}
