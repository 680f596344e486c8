//! The configuration: where secrets are, and never a secret.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::super::endpoint::{Ask, Endpoint, Json, Need};
use super::super::problem::Problem;
use crate::access::Scope;
use crate::config::RawConfig;

const READ: Need = Need::Whole(Scope::ConfigRead);

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/config", READ, "The configuration that is in force; it names where secrets are", config),
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

/// A JSON Schema.
#[derive(Debug, Serialize, JsonSchema)]
struct SchemaView(std::collections::BTreeMap<String, Value>);

async fn schema(_: Ask) -> Result<Json<SchemaView>, Problem> {
    let schema = schemars::schema_for!(RawConfig);
    let fields = schema.as_object().cloned().unwrap_or_default();
    Ok(Json(SchemaView(fields.into_iter().collect())))
}
