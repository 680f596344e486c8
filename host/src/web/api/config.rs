//! The configuration: where secrets are, and never a secret.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::super::configuration::propose;
use super::super::endpoint::{Ask, Endpoint, Json, Need};
use super::super::problem::{Kind, Problem};
use crate::access::Scope;
use crate::config::{Change, DiffLine, RawConfig};

const READ: Need = Need::Whole(Scope::ConfigRead);
const WRITE: Need = Need::Whole(Scope::ConfigWrite);

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/config", READ, "The configuration that is in force; it names where secrets are", config),
        Endpoint::patch("/config", WRITE, "Change the configuration's file, or say what would be different", change).patient(),
        Endpoint::get("/config/schema", READ, "The JSON Schema of the configuration", schema),
    ]
}

/// The configuration.
#[derive(Debug, Serialize, JsonSchema)]
struct ConfigView {
    /// The file that it was read from.
    #[schemars(with = "String")]
    path: PathBuf,
    /// SHA-256 of its text, hex.
    sha256: String,
    /// Its text.
    text: String,
}

async fn config(ask: Ask) -> Result<Json<ConfigView>, Problem> {
    let config = &ask.context.config;
    let sha256 = hex::encode(Sha256::digest(config.text.as_bytes()));
    Ok(Json(ConfigView { path: config.path.clone(), sha256, text: config.text.clone() }))
}

/// Changes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ChangeBody {
    /// SHA-256 of the file that is changed, hex: `sha256` of what was read, or `revision` of the change before.
    revision: String,
    /// What changes.
    changes: Vec<Change>,
    /// Only say what would be different.
    #[serde(default)]
    dry_run: bool,
}

/// What a change did, or would do.
#[derive(Debug, Serialize, JsonSchema)]
struct ChangedView {
    /// SHA-256 of the file as it is now.
    revision: String,
    /// What is different.
    difference: Vec<DiffLine>,
    /// Why it cannot be saved.
    problems: Vec<ProblemLine>,
    /// What is yet to be done for it to work.
    notes: Vec<String>,
    /// Whether it was saved.
    saved: bool,
    /// Whether it is in force; where it is not yet, a job is at work, and it will be read when that has ended.
    in_force: bool,
    /// The file as it was.
    #[schemars(with = "Option<String>")]
    kept: Option<PathBuf>,
}

/// One thing that is wrong.
#[derive(Debug, Serialize, JsonSchema)]
struct ProblemLine {
    /// The key.
    key: String,
    /// What is wrong, and the mend.
    message: String,
}

async fn change(ask: Ask<ChangeBody>) -> Result<Json<ChangedView>, Problem> {
    let ChangeBody { revision, changes, dry_run } = ask.body;
    let proposed = propose(&ask.context, changes).await?;
    if proposed.revision != revision {
        let detail = format!("the file has the SHA-256 {} now, and another one was changed; look at it again", proposed.revision);
        return Err(Problem::new(Kind::Conflict, detail));
    }
    let (difference, notes) = (proposed.lines.clone(), proposed.notes.clone());
    if dry_run {
        let problems = proposed.faults.into_iter().map(|(key, message)| ProblemLine { key, message }).collect();
        return Ok(Json(ChangedView { revision, difference, problems, notes, saved: false, in_force: false, kept: None }));
    }
    let saved = proposed.save(&ask.state, &ask.context, &revision).await?;
    let (kept, in_force) = (saved.kept, saved.in_force);
    Ok(Json(ChangedView { revision: saved.revision, difference, problems: Vec::new(), notes, saved: kept.is_some(), in_force, kept }))
}

/// A JSON Schema.
#[derive(Debug, Serialize, JsonSchema)]
struct SchemaView(std::collections::BTreeMap<String, Value>);

async fn schema(_: Ask) -> Result<Json<SchemaView>, Problem> {
    let schema = schemars::schema_for!(RawConfig);
    let fields = schema.as_object().cloned().unwrap_or_default();
    Ok(Json(SchemaView(fields.into_iter().collect())))
}
