//! Plug-ins: what they ask for, and the administrator's answer.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::endpoint::{Ask, Done, Endpoint, Json, Need};
use super::super::problem::{Kind, Problem};
use crate::access::Scope;
use crate::config::PluginConfig;
use crate::job::{ListedPlugin, PluginRoom, Proposal};

const READ: Need = Need::Whole(Scope::StatusRead);
const WRITE: Need = Need::Whole(Scope::PluginWrite);

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/plugins", READ, "Plug-ins that are there, configured or approved", list),
        Endpoint::get("/plugins/{name}", READ, "What one says of itself, asks for, and would change against its approval", one).patient(),
        Endpoint::post("/plugins/{name}/approval", WRITE, "Approve it as it is, by its SHA-256", approve).patient(),
        Endpoint::delete("/plugins/{name}/approval", WRITE, "Take its approval back, and remove it", remove),
    ]
}

fn room<B, Q>(ask: &Ask<B, Q>) -> Result<PluginRoom, Problem> {
    let config = PluginConfig::load(&ask.context.config.path).map_err(crate::job::JobError::from)?;
    Ok(PluginRoom::open(config, ask.context.audit.actor().clone())?)
}

/// The one that a name means; never a path that somebody wishes to be read.
fn file(room: &PluginRoom, name: &str) -> Result<PathBuf, Problem> {
    let mut found: Vec<_> = room.list()?.into_iter().filter(|plugin| plugin.name == name).map(|plugin| plugin.file).collect();
    match (found.pop(), found.is_empty()) {
        (Some(file), true) => Ok(file),
        (Some(_), false) => Err(Problem::new(Kind::Conflict, format!("there are several plug-ins `{name}`; use: cofre plugin"))),
        (None, _) => Err(Problem::not_found(format!("plug-in `{name}`"))),
    }
}

async fn list(ask: Ask) -> Result<Json<Vec<ListedPlugin>>, Problem> {
    Ok(Json(room(&ask)?.list()?))
}

/// What would be approved.
#[derive(Debug, Serialize, JsonSchema)]
struct ProposalView {
    /// The approval to be, as `plugins.lock` has it.
    approval: Value,
    /// What its signature is worth.
    signature: crate::plugin::Signature,
    /// What is different from what was approved; nothing where nothing was.
    changes: Value,
    /// Whether it is approved already, as it is.
    approved: bool,
    /// Whether it was signed by another key before.
    another_signer: bool,
    /// What it says of itself.
    description: Value,
}

impl ProposalView {
    fn of(proposal: &Proposal) -> Self {
        let json = |value: Result<Value, serde_json::Error>| value.unwrap_or_default();
        Self {
            approval: json(serde_json::to_value(&proposal.pin)),
            signature: proposal.signature.clone(),
            changes: json(serde_json::to_value(&proposal.changes)),
            approved: proposal.known,
            another_signer: proposal.is_by_another_signer(),
            description: json(serde_json::to_value(&proposal.said.description)),
        }
    }
}

async fn one(ask: Ask) -> Result<Json<ProposalView>, Problem> {
    let room = room(&ask)?;
    let file = file(&room, ask.name("name"))?;
    Ok(Json(ProposalView::of(&room.propose(&file).await?)))
}

/// Consent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ApprovalBody {
    /// SHA-256 of the file that is approved, hex: what was looked at, and no other.
    sha256: String,
    /// Also where another key has signed it than before, or none.
    #[serde(default)]
    new_key: bool,
}

async fn approve(ask: Ask<ApprovalBody>) -> Result<Json<ProposalView>, Problem> {
    let room = room(&ask)?;
    let file = file(&room, ask.name("name"))?;
    let proposal = room.propose(&file).await?;
    if proposal.pin.sha256 != ask.body.sha256 {
        let detail = format!("the file has the SHA-256 {} now, and another one was approved; look at it again", proposal.pin.sha256);
        return Err(Problem::new(Kind::Conflict, detail));
    }
    if proposal.is_by_another_signer() && !ask.body.new_key {
        let detail = "it was signed by another key before; find out why, then repeat with `new_key`";
        return Err(Problem::new(Kind::Conflict, detail));
    }
    if !proposal.known {
        room.approve(&proposal)?;
    }
    Ok(Json(ProposalView::of(&room.propose(&file).await?)))
}

async fn remove(ask: Ask) -> Result<Done, Problem> {
    let room = room(&ask)?;
    let file = file(&room, ask.name("name"))?;
    room.remove(&file.display().to_string(), false)?;
    Ok(Done)
}
