//! Looking through sets, also those of one tenant: whose a schema or a directory is, is said by the configuration as it is now.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use super::context::{Context, JobError};
use crate::catalog::{ArtifactLine, SetFilter, SetRecord};
use crate::config::{Config, Owners};
use crate::schedule::Action;
use crate::set::SetName;

/// A set with what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SetDetail {
    /// What is known of it.
    #[serde(flatten)]
    pub set: SetRecord,
    /// What it holds.
    pub contents: Vec<ArtifactLine>,
}

/// A tenant, and where its own is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TenantView {
    /// Its name.
    pub name: String,
    /// Sources that have schemas of it.
    pub sources: Vec<TenantSource>,
    /// Its directories.
    #[schemars(with = "Vec<String>")]
    pub directories: Vec<std::path::PathBuf>,
}

/// A source that has schemas of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TenantSource {
    /// Name of the source.
    pub source: String,
    /// Patterns of its schemas there.
    pub schemas: Vec<String>,
}

/// All tenants of the configuration, by name.
pub fn tenants(config: &Config) -> Vec<TenantView> {
    let view = |(name, own): (&str, crate::config::Belongings<'_>)| TenantView {
        name: name.to_owned(),
        sources: own
            .schemas
            .iter()
            .map(|(source, schemas)| TenantSource { source: (*source).to_owned(), schemas: schemas.to_vec() })
            .collect(),
        directories: own.directories.iter().map(|path| path.to_path_buf()).collect(),
    };
    config.tenants().into_iter().map(view).collect()
}

/// Sets, newest first: those that the filter lets through and, with a tenant, that hold something of it.
///
/// # Errors
/// When the catalogue cannot be read.
pub fn browse(context: &Context, filter: SetFilter, tenant: Option<&str>, most: u32) -> Result<Vec<SetRecord>, JobError> {
    let filter = match tenant {
        Some(tenant) => SetFilter { holding: Some(holdings_of(context, tenant)?), ..filter },
        None => filter,
    };
    Ok(context.catalog.browse_sets(&filter, most)?)
}

/// What a job that makes backups tells its runs to take alone; nothing where they take everything.
///
/// # Errors
/// When there is no such job.
pub fn selection_of(context: &Context, job: &str) -> Result<Vec<String>, JobError> {
    let known = context.config.jobs.iter().filter_map(|spec| match &spec.action {
        Action::Run { only, .. } => Some((spec.name.as_str(), only)),
        _ => None,
    });
    let (names, found): (Vec<&str>, Vec<_>) = known.map(|(name, only)| (name, (name == job).then(|| only.clone()))).unzip();
    let unknown = || JobError::Request(format!("there is no job `{job}` that makes backups; there are: {}", names.join(", ")));
    found.into_iter().flatten().next().ok_or_else(unknown)
}

/// What any set holds of a tenant.
fn holdings_of(context: &Context, tenant: &str) -> Result<Vec<(String, String)>, JobError> {
    let directories: BTreeSet<&Path> = context
        .config
        .directories
        .iter()
        .filter(|directory| directory.tenant.as_deref() == Some(tenant))
        .map(|directory| directory.settings.path.as_path())
        .collect();
    let settings = context.config.mysql.iter().map(|server| &server.settings);
    let servers: BTreeMap<&str, Owners<'_>> = settings.map(|one| (one.name.as_str(), Owners::of(&one.tenants))).collect();
    let is_its = |(source, name): &(String, String)| {
        if source.is_empty() {
            return directories.contains(Path::new(name));
        }
        servers.get(source.as_str()).is_some_and(|owners| owners.of_schema(name).contains(&tenant))
    };
    Ok(context.catalog.held_names()?.into_iter().filter(is_its).collect())
}

/// One set with what it holds, as far as the catalogue knows.
///
/// # Errors
/// When the catalogue cannot be read.
pub fn set_detail(context: &Context, set: SetName) -> Result<Option<SetDetail>, JobError> {
    let Some(known) = context.catalog.set(set)? else { return Ok(None) };
    Ok(Some(SetDetail { set: known, contents: context.catalog.artifacts_of(set)? }))
}
