//! Destinations: how they stand, what they list, and whether they work.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::endpoint::{Ask, Endpoint, Json, Need};
use super::super::problem::Problem;
use crate::access::Scope;
use crate::job::{self, DestinationStanding, Diagnosis, ListedSet};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/destinations", Need::Whole(Scope::StatusRead), "Destinations, and how they stand", list),
        Endpoint::get("/destinations/{name}/sets", Need::Whole(Scope::RestoreRead), "Sets as it lists them itself, newest first", sets)
            .patient(),
        Endpoint::post("/destinations/{name}/probe", Need::Whole(Scope::RunCreate), "Write, read and remove a small object there", probe)
            .patient(),
        Endpoint::post(
            "/destinations/{name}/rebuild",
            Need::Whole(Scope::ConfigWrite),
            "Read the catalogue's sets again from there",
            rebuild,
        )
        .patient(),
    ]
}

async fn list(ask: Ask) -> Result<Json<Vec<DestinationStanding>>, Problem> {
    ask.aside(|context| Ok(Json(job::destinations(context, Timestamp::now())?))).await
}

/// Whether there is one of that name.
fn named<B, Q>(ask: &Ask<B, Q>) -> Result<String, Problem> {
    let name = ask.name("name");
    ask.context.chosen(Some(name)).map_err(|_| Problem::not_found(format!("destination `{name}`")))?;
    Ok(name.to_owned())
}

async fn sets(ask: Ask) -> Result<Json<Vec<ListedSet>>, Problem> {
    Ok(Json(job::sets_at(&ask.context, &named(&ask)?).await?))
}

async fn probe(ask: Ask) -> Result<Json<Vec<Diagnosis>>, Problem> {
    Ok(Json(job::doctor(&ask.context, Some(&named(&ask)?), true).await?))
}

/// What was read.
#[derive(Debug, Serialize, JsonSchema)]
struct Rebuilt {
    /// Sets.
    sets: usize,
    /// What was passed over, and why.
    passed_over: Vec<String>,
}

/// Nothing to say.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NothingBody {}

async fn rebuild(ask: Ask<NothingBody>) -> Result<Json<Rebuilt>, Problem> {
    let (sets, passed_over) = job::rebuild(&ask.context, &named(&ask)?).await?;
    Ok(Json(Rebuilt { sets, passed_over }))
}
