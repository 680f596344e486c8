//! Sets: page by page, one in detail, its sealed manifest, its files, and its pin.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::endpoint::{Ask, Endpoint, Json, Need};
use super::super::problem::{Kind, Problem};
use super::{Page, download, limit, set_named};
use crate::access::Scope;
use crate::catalog::{SetFilter, SetRecord, SetState};
use crate::job::{self, Contents, ContentsRequest, Pinned, SetDetail};

const READ: Need = Need::Whole(Scope::StatusRead);

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/sets", READ, "Sets, newest first", sets),
        Endpoint::get("/sets/{set}", READ, "One set, with what it holds and its copies", set),
        Endpoint::get(
            "/sets/{set}/manifest",
            Need::Whole(Scope::RestoreRead),
            "Its manifest, read from a destination and proven by its seal",
            manifest,
        )
        .patient(),
        Endpoint::get(
            "/sets/{set}/artifacts/{*key}",
            Need::Whole(Scope::RestoreRead),
            "One artifact, decrypted, as a tar; or, with `path`, one file of it",
            download::artifact,
        )
        .patient(),
        Endpoint::get("/sets/{set}/log", Need::Whole(Scope::RestoreRead), "The log of the run that made it", log).patient(),
        Endpoint::get("/sets/{set}/contents", Need::Whole(Scope::RestoreRead), "What lies in one directory of an artifact", contents)
            .patient(),
        Endpoint::post("/sets/{set}/pin", Need::Whole(Scope::RunCreate), "Keep it, whatever the retention", pin).patient(),
        Endpoint::delete("/sets/{set}/pin", Need::Whole(Scope::RunCreate), "Leave it to the retention again", unpin).patient(),
    ]
}

/// Which sets.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetsQuery {
    /// Of which this destination has a copy, whole or not.
    destination: Option<String>,
    /// That hold something of this source, or this directory.
    source: Option<String>,
    /// That hold something of this tenant.
    tenant: Option<String>,
    /// Of the runs of this job: those that were told to take the same.
    job: Option<String>,
    /// In this state: `good`, `partial`, `incomplete` or `damaged`.
    state: Option<String>,
    /// With this tag.
    tag: Option<String>,
    /// Lines of a page: 1 to 500, 50 unless given.
    #[schemars(range(min = 1, max = 500))]
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

async fn sets(ask: Ask<(), SetsQuery>) -> Result<Json<Page<SetRecord>>, Problem> {
    let query = &ask.query;
    let limit = limit(query.limit)?;
    let state = query.state.as_deref().map(|name| {
        let wrong = || Problem::new(Kind::Invalid, format!("`state` is one of {}", SetState::ALL.map(SetState::name).join(", ")));
        SetState::named(name).ok_or_else(wrong)
    });
    let wrong = |_| Problem::new(Kind::Invalid, "`cursor` is no `next` of this list; leave it out to begin anew");
    let filter = SetFilter {
        destination: query.destination.clone(),
        source: query.source.clone(),
        tag: query.tag.clone(),
        state: state.transpose()?,
        selection: query.job.as_deref().map(|name| job::selection_of(&ask.context, name)).transpose()?,
        holding: None,
        before: query.cursor.as_deref().map(|cursor| cursor.parse().map_err(wrong)).transpose()?,
    };
    let tenant = query.tenant.clone();
    ask.aside(move |context| {
        let sets = job::browse(context, filter, tenant.as_deref(), limit + 1)?;
        Ok(Json(Page::of(sets, limit, |set| set.name.clone())))
    })
    .await
}

async fn set(ask: Ask) -> Result<Json<SetDetail>, Problem> {
    let set = set_named(ask.name("set"))?;
    let known = ask.aside(move |context| Ok(job::set_detail(context, set)?)).await?;
    known.map(Json).ok_or_else(|| Problem::not_found(format!("set {set} in the catalogue")))
}

/// From where.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FromQuery {
    /// Only from this destination.
    from: Option<String>,
}

/// A manifest, and where it was read.
#[derive(Debug, Serialize, JsonSchema)]
struct ShownManifest {
    /// Destination that it was read from.
    destination: String,
    /// The manifest, in the format `cofre-set-1`.
    #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>")]
    manifest: crate::set::Manifest,
}

async fn manifest(ask: Ask<(), FromQuery>) -> Result<Json<ShownManifest>, Problem> {
    let set = set_named(ask.name("set"))?;
    let (destination, manifest) = job::show(&ask.context, Some(set), ask.query.from.as_deref()).await?;
    Ok(Json(ShownManifest { destination, manifest }))
}

/// A log.
#[derive(Debug, Serialize, JsonSchema)]
struct LogView {
    /// Its text, line by line as it was written.
    text: String,
}

async fn log(ask: Ask<(), FromQuery>) -> Result<Json<LogView>, Problem> {
    let set = set_named(ask.name("set"))?;
    ask.context.chosen(ask.query.from.as_deref())?;
    Ok(Json(LogView { text: job::set_log(&ask.context, set, ask.query.from.as_deref()).await? }))
}

/// Which directory of which artifact.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ContentsQuery {
    /// Key of the artifact.
    artifact: String,
    /// Absolute path of the directory; without it, where the artifact begins.
    path: Option<std::path::PathBuf>,
    /// Only from this destination.
    from: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

async fn contents(ask: Ask<(), ContentsQuery>) -> Result<Json<Contents>, Problem> {
    let ContentsQuery { artifact, path, from, cursor } = &ask.query;
    ask.context.chosen(from.as_deref())?;
    let set = set_named(ask.name("set"))?;
    let request = ContentsRequest { set, artifact: artifact.clone(), from: from.clone(), path: path.clone(), after: cursor.clone() };
    Ok(Json(job::contents(&ask.context, &request).await?))
}

async fn pin(ask: Ask) -> Result<Json<Vec<Pinned>>, Problem> {
    Ok(Json(job::pin(&ask.context, set_named(ask.name("set"))?, true).await?))
}

async fn unpin(ask: Ask) -> Result<Json<Vec<Pinned>>, Problem> {
    Ok(Json(job::pin(&ask.context, set_named(ask.name("set"))?, false).await?))
}
