//! Work that takes longer than a moment: each begins a task.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::endpoint::{Accepted, Ask, Endpoint, Json, Made, Need};
use super::super::openapi::BASE;
use super::super::problem::{Kind, Problem};
use super::super::tasks::{Order, Outcome, TaskState, TaskView};
use super::set_named;
use crate::access::Scope;
use crate::job::{
    self, DrillRequest, JobError, Monitor, PruneRequest, RepairRequest, RestoreRequest, RestoreTarget, RunRequest, SetChoice,
    VerifyRequest, What,
};
use crate::ports::Warnings;
use crate::retention::Pruned;

const RUN: Need = Need::Whole(Scope::RunCreate);

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post("/runs", RUN, "Make a backup", run),
        Endpoint::post("/verifications", RUN, "Read sets back and prove them", verify),
        Endpoint::post("/repairs", RUN, "Mend damaged copies from others", repair),
        Endpoint::post("/drills", RUN, "Restore into a scratch, compare, and remove it again", drill),
        Endpoint::post("/resumptions", RUN, "Go on with copies that were interrupted", resume),
        Endpoint::post("/checks", RUN, "Look now at everything that is checked", look),
        Endpoint::get("/prune", Need::Whole(Scope::StatusRead), "What retention would remove, and why each set stays or goes", would_prune)
            .patient(),
        Endpoint::post("/prunes", RUN, "Remove the sets that retention does not keep", prune),
        Endpoint::post("/restores", Need::Whole(Scope::RestoreWrite), "Restore, or only say what would happen", restore),
    ]
}

/// Where a task is.
pub(super) fn accepted(task: TaskView) -> Accepted<TaskView> {
    let location = format!("{BASE}/tasks/{}", task.id);
    Made { value: task, location }
}

/// Refuses at once what could not begin anyway.
fn must_be_free<B: Send, Q: Send>(ask: &Ask<B, Q>) -> Result<(), Problem> {
    match ask.context.spool.holder() {
        Some(holder) => Err(Problem::new(Kind::Busy, format!("another cofre run is active ({holder}); wait for it, or stop it"))),
        None => Ok(()),
    }
}

/// Begins a task.
fn begin<B: Serialize, W, F>(ask: &Ask<B>, verb: &'static str, work: W) -> Result<Accepted<TaskView>, Problem>
where
    W: FnOnce(job::Context, Arc<crate::ports::Meter>) -> F,
    F: Future<Output = Result<Outcome, JobError>> + Send + 'static,
{
    let scope = if verb == "restore" { Scope::RestoreWrite } else { Scope::RunCreate };
    let asked = serde_json::to_value(&ask.body).unwrap_or_default();
    let order = Order { verb, asked, caller: &ask.caller, scope, tenant: None };
    Ok(accepted(ask.state.tasks().start(order, &ask.context, work)?.brief()))
}

/// What came of something, by whether it is good and whether there is something to know.
pub(super) fn outcome(good: bool, quiet: bool, result: &impl Serialize) -> Outcome {
    let state = match (good, quiet) {
        (false, _) => TaskState::Failed,
        (true, false) => TaskState::Warnings,
        (true, true) => TaskState::Done,
    };
    Outcome { state, result: serde_json::to_value(result).unwrap_or_default(), secret: None }
}

/// A backup.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RunBody {
    /// Only these: `sql`, `config`, a source, a schema or a directory. Everything where it is empty.
    #[serde(default)]
    pub only: Vec<String>,
    /// Tags of the set: letters, digits, `-`, `_`, `.` and `:`.
    #[serde(default)]
    pub tags: Vec<String>,
}

pub(in super::super) async fn run(ask: Ask<RunBody>) -> Result<Accepted<TaskView>, Problem> {
    let RunBody { only, tags } = &ask.body;
    let request = RunRequest::checked(only.clone(), tags.clone())?;
    must_be_free(&ask)?;
    begin(&ask, "run", |context, meter| async move {
        let report = job::run(&context, &request, meter).await?;
        Ok(outcome(report.is_good(), report.warnings_total == 0, &report))
    })
}

/// A verification.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct VerifyBody {
    /// Name of a set, `latest` (at each destination, and the default) or `all`.
    pub set: Option<String>,
    /// A share of all sets: in so many verifications each is read at least once. Not with `set`.
    #[schemars(range(min = 1))]
    pub every: Option<NonZeroU32>,
    /// Only this destination.
    pub from: Option<String>,
    /// Also decrypt, decompress and read every archive to its end.
    #[serde(default)]
    pub deep: bool,
}

pub(in super::super) async fn verify(ask: Ask<VerifyBody>) -> Result<Accepted<TaskView>, Problem> {
    let body = &ask.body;
    let (set, every) = match (body.set.as_deref(), body.every) {
        (Some(_), Some(_)) => return Err(Problem::new(Kind::Invalid, "give `set` or `every`, not both")),
        (None | Some("latest"), every) => (None, every),
        (Some("all"), None) => (None, Some(NonZeroU32::MIN)),
        (Some(name), None) => (Some(set_named(name).map_err(invalid)?), None),
    };
    ask.context.chosen(body.from.as_deref())?;
    let request = VerifyRequest { set, every, from: body.from.clone(), deep: body.deep };
    begin(&ask, "verify", |context, meter| async move {
        let copies = job::verify(&context, &request, meter).await?;
        let good = copies.iter().all(|copy| copy.problems.is_empty());
        Ok(outcome(good, copies.iter().all(|copy| copy.warnings.is_empty()), &copies))
    })
}

/// A repair.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RepairBody {
    /// Name of a set; without one, all whose copies are known to be damaged or incomplete.
    pub set: Option<String>,
    /// The destination to mend; without one, those that are known to need it.
    pub to: Option<String>,
    /// Only from this destination.
    pub from: Option<String>,
    /// Only read, and say what would be replaced.
    #[serde(default)]
    pub dry_run: bool,
}

pub(in super::super) async fn repair(ask: Ask<RepairBody>) -> Result<Accepted<TaskView>, Problem> {
    let RepairBody { set, to, from, dry_run } = &ask.body;
    let set = set.as_deref().map(set_named).transpose().map_err(invalid)?;
    for name in [to, from] {
        ask.context.chosen(name.as_deref())?;
    }
    must_be_free(&ask)?;
    let request = RepairRequest { set, to: to.clone(), from: from.clone(), dry_run: *dry_run };
    begin(&ask, "repair", |context, meter| async move {
        let copies = job::repair(&context, &request, meter).await?;
        Ok(outcome(copies.iter().all(job::RepairedCopy::is_good), true, &copies))
    })
}

/// A drill.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct DrillBody {
    /// Name of a set, `latest` (the default), or a day such as `2026-03-15`.
    pub set: Option<String>,
    /// Only from this destination.
    pub from: Option<String>,
    /// Only these: `sql`, `config`, a source, a schema or a directory.
    #[serde(default)]
    pub only: Vec<String>,
}

pub(in super::super) async fn drill(ask: Ask<DrillBody>) -> Result<Accepted<TaskView>, Problem> {
    let DrillBody { set, from, only } = &ask.body;
    ask.context.chosen(from.as_deref())?;
    let request = DrillRequest { set: choice(set.as_deref())?, from: from.clone(), only: only.clone(), into: None };
    begin(&ask, "drill", |context, meter| async move {
        let report = job::drill(&context, &request, meter).await?;
        Ok(outcome(report.good, report.is_quiet(), &report))
    })
}

/// Nothing to say.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NothingBody {}

async fn resume(ask: Ask<NothingBody>) -> Result<Accepted<TaskView>, Problem> {
    must_be_free(&ask)?;
    begin(&ask, "resume", |context, meter| async move {
        let sets = job::resume(&context, &meter).await?;
        let good = sets.iter().all(|set| set.error.is_none() && set.destinations.iter().all(|copy| copy.complete));
        Ok(outcome(good, sets.iter().all(|set| set.left.is_empty()), &sets))
    })
}

async fn look(ask: Ask<NothingBody>) -> Result<Accepted<TaskView>, Problem> {
    begin(&ask, "monitor", |context, _| async move {
        let now = Timestamp::now();
        let seen = tokio::select! {
            () = context.cancel.cancelled() => return Err(JobError::Cancelled),
            seen = async { Monitor::of(&context, now).glance(now).await } => seen?,
        };
        Ok(outcome(!seen.iter().any(job::Observation::is_bad), true, &seen))
    })
}

/// Where.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PruneQuery {
    /// Only at this destination.
    from: Option<String>,
}

async fn would_prune(ask: Ask<(), PruneQuery>) -> Result<Json<Vec<Pruned>>, Problem> {
    let request = PruneRequest { from: ask.query.from.clone(), dry_run: true };
    Ok(Json(job::prune(&ask.context, &request).await?))
}

/// A clean-up.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct PruneBody {
    /// Only at this destination.
    pub from: Option<String>,
}

pub(in super::super) async fn prune(ask: Ask<PruneBody>) -> Result<Accepted<TaskView>, Problem> {
    ask.context.chosen(ask.body.from.as_deref())?;
    must_be_free(&ask)?;
    let request = PruneRequest { from: ask.body.from.clone(), dry_run: false };
    begin(&ask, "prune", |context, _| async move {
        let places = job::prune(&context, &request).await?;
        Ok(outcome(places.iter().all(Pruned::is_clean), true, &places))
    })
}

/// A restore: what, and where to.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RestoreBody {
    /// Name of a set, `latest` (the default), or a day such as `2026-03-15`.
    pub set: Option<String>,
    /// Only from this destination.
    pub from: Option<String>,
    /// These schemas, by name or pattern.
    #[serde(default)]
    pub schemas: Vec<String>,
    /// One table of the schema; only into a database.
    pub table: Option<String>,
    /// What lies at or below this path.
    pub path: Option<PathBuf>,
    /// Files and directories whose path matches this pattern.
    pub glob: Option<String>,
    /// One artifact, by its key.
    pub artifact: Option<String>,
    /// Into this directory of the server.
    pub to: Option<PathBuf>,
    /// Into this database of the configuration.
    pub database: Option<String>,
    /// Under this schema name; with `database`.
    pub into: Option<String>,
    /// Replace what is there.
    #[serde(default)]
    pub force: bool,
    /// Only say what would happen.
    #[serde(default)]
    pub dry_run: bool,
}

pub(in super::super) async fn restore(ask: Ask<RestoreBody>) -> Result<Accepted<TaskView>, Problem> {
    let request = restore_request(&ask.body)?;
    ask.context.chosen(request.from.as_deref())?;
    begin(&ask, "restore", |context, meter| async move {
        let warnings = Arc::new(Warnings::default());
        let restored = job::restore(&context, &request, (Arc::clone(&warnings), meter)).await?;
        let (told, total) = warnings.snapshot();
        let result = serde_json::json!({ "dry_run": request.dry_run, "restored": restored, "warnings": told, "warnings_total": total });
        Ok(outcome(true, total == 0, &result))
    })
}

/// What a body asks for.
pub(in super::super) fn restore_request(body: &RestoreBody) -> Result<RestoreRequest, Problem> {
    let wrong = |detail: &str| Problem::new(Kind::Invalid, detail);
    let given = [!body.schemas.is_empty(), body.path.is_some(), body.glob.is_some(), body.artifact.is_some()];
    if given.iter().filter(|given| **given).count() > 1 {
        return Err(wrong("say one of `schemas`, `path`, `glob` and `artifact`; none of them means everything"));
    }
    if body.table.is_some() && body.schemas.is_empty() {
        return Err(wrong("`table` goes with `schemas`"));
    }
    if body.into.is_some() && body.database.is_none() {
        return Err(wrong("`into` goes with `database`"));
    }
    let what = match (&body.path, &body.glob, &body.artifact) {
        (Some(path), ..) => What::Path(path.clone()),
        (_, Some(glob), _) => What::Glob(glob.clone()),
        (_, _, Some(key)) => What::Artifact(key.clone()),
        _ if body.schemas.is_empty() => What::All,
        _ => What::Schemas { names: body.schemas.clone(), table: body.table.clone() },
    };
    let target = match (&body.to, &body.database) {
        (Some(_), Some(_)) => return Err(wrong("say `to` or `database`, not both")),
        (Some(directory), None) if directory.is_absolute() => RestoreTarget::Directory(directory.clone()),
        (Some(_), None) => return Err(wrong("`to` is an absolute path on the server")),
        (None, Some(source)) => RestoreTarget::Database { source: source.clone(), into: body.into.clone() },
        (None, None) if body.dry_run => RestoreTarget::Directory(PathBuf::from("/")),
        (None, None) => return Err(wrong("say where to restore to: `to`, a directory of the server, or `database`, with `into`")),
    };
    let set = choice(body.set.as_deref())?;
    Ok(RestoreRequest { set, from: body.from.clone(), what, target, force: body.force, dry_run: body.dry_run })
}

fn choice(set: Option<&str>) -> Result<SetChoice, Problem> {
    Ok(set.map_or(Ok(SetChoice::Latest), str::parse::<SetChoice>)?)
}

/// A name in a body that is none: the address is right, and the request is not.
fn invalid(problem: Problem) -> Problem {
    Problem { kind: Kind::Invalid, ..problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(json: &str) -> Result<RestoreRequest, String> {
        let body: RestoreBody = serde_json::from_str(json).expect("a body");
        restore_request(&body).map_err(|problem| problem.detail)
    }

    #[test]
    fn a_restore_says_what_and_where_to_once() {
        assert!(matches!(request(r#"{"to":"/a"}"#).expect("holds").what, What::All));
        let table = request(r#"{"schemas":["a"],"table":"t","database":"main","into":"b"}"#).expect("holds");
        assert!(matches!(table.what, What::Schemas { table: Some(_), .. }) && matches!(table.target, RestoreTarget::Database { .. }));
        assert!(request(r#"{"dry_run":true}"#).expect("holds").dry_run);
        for (json, why) in [
            (r#"{}"#, "where to restore"),
            (r#"{"to":"a"}"#, "absolute"),
            (r#"{"to":"/a","database":"b"}"#, "not both"),
            (r#"{"to":"/a","path":"/x","glob":"y"}"#, "one of"),
            (r#"{"to":"/a","table":"t"}"#, "goes with `schemas`"),
            (r#"{"to":"/a","into":"t"}"#, "goes with `database`"),
            (r#"{"to":"/a","set":"yesterday"}"#, "neither a set"),
        ] {
            let problem = request(json).expect_err("wrong");
            assert!(problem.contains(why), "{json}: {problem}");
        }
    }
}
