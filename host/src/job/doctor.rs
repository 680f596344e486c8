//! Looks after the plug-ins of every configured instance: approved, signed, with settings, secrets and grants that fit, and working.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::context::{Context, JobError};
use crate::config::{DestinationConfig, NotifierConfig};
use crate::plugin::{Approvals, Need, PluginComponent, Signature, WasmDestination, WasmNotifier};
use crate::ports::{Destination, NetworkPattern, Notifier};

/// What was found out about one instance.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Diagnosis {
    /// The instance.
    pub instance: String,
    /// What was looked at, in order.
    pub findings: Vec<Finding>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Finding {
    /// What: `approval`, `signature`, `settings`, `network`, `deletion`, `probe`.
    pub subject: &'static str,
    /// What was found, and the mend where one is needed.
    pub detail: String,
    /// Whether it is as it should be.
    pub ok: bool,
}

/// Diagnoses the instance called `name`, or all; with `probe`, also by using it.
///
/// # Errors
/// When there is no such instance. What is wrong with one is a finding.
pub async fn doctor(context: &Context, name: Option<&str>, probe: bool) -> Result<Vec<Diagnosis>, JobError> {
    let notifiers: Vec<_> = context.config.notifiers.iter().filter(|one| name.is_none_or(|name| one.settings.name == name)).collect();
    let destinations = match context.chosen(name) {
        Err(_) if !notifiers.is_empty() => Vec::new(),
        chosen => chosen?,
    };
    let mut diagnoses = Vec::new();
    for config in destinations {
        let mut findings = Findings(Vec::new());
        findings.destination(context, config, probe).await;
        diagnoses.push(Diagnosis { instance: config.settings.name.clone(), findings: findings.0 });
    }
    for config in notifiers {
        let mut findings = Findings(Vec::new());
        findings.notifier(context, config, probe).await;
        diagnoses.push(Diagnosis { instance: config.settings.name.clone(), findings: findings.0 });
    }
    Ok(diagnoses)
}

struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, subject: &'static str, result: Result<String, String>) {
        let ok = result.is_ok();
        self.0.push(Finding { subject, detail: result.unwrap_or_else(|problem| problem), ok });
    }

    /// The same with what was found, where it was good.
    fn keep<T>(&mut self, subject: &'static str, found: Result<T, impl std::fmt::Display>) -> Option<T> {
        found.map_err(|problem| self.add(subject, Err(problem.to_string()))).ok()
    }

    /// The plug-in, where it is approved. Each step needs the ones before it.
    async fn approved(&mut self, context: &Context, plugin: &Path) -> Option<Arc<PluginComponent>> {
        let approvals = self.keep("approval", Approvals::read(&context.config.plugins))?;
        let examined = approvals.examine(plugin);
        self.add("signature", signed(&examined.signature));
        if let Some(problem) = examined.problem {
            self.add("approval", Err(problem.to_string()));
            return None;
        }
        let component = self.keep("approval", context.plugin(plugin).await)?;
        let said = component.description();
        self.add("approval", Ok(format!("{} {}, as approved", said.name, said.version)));
        Some(component)
    }

    async fn destination(&mut self, context: &Context, config: &DestinationConfig, probe: bool) -> Option<()> {
        let component = self.approved(context, &config.settings.plugin).await?;
        let settings = self.keep("secrets", context.config.destination_settings(config))?;
        let destination = self.keep("settings", WasmDestination::new(component, settings))?;
        self.add("settings", Ok("settings and secrets fit".to_owned()));
        self.network(destination.needs(), destination.unasked());
        let deletion = if destination.may_delete() { "granted" } else { "not granted: append-only" };
        self.add("deletion", Ok(deletion.to_owned()));
        if probe {
            self.add("probe", destination.probe().await.map(|_| "works".to_owned()).map_err(|error| error.to_string()));
        }
        Some(())
    }

    async fn notifier(&mut self, context: &Context, config: &NotifierConfig, probe: bool) -> Option<()> {
        let component = self.approved(context, &config.settings.plugin).await?;
        let settings = self.keep("secrets", context.config.notifier_settings(config))?;
        let notifier = self.keep("settings", WasmNotifier::new(component, settings))?;
        self.add("settings", Ok("settings and secrets fit".to_owned()));
        self.network(notifier.needs(), notifier.unasked());
        if probe {
            self.add("probe", notifier.probe().await.map(|()| "works".to_owned()).map_err(|error| error.to_string()));
        }
        Some(())
    }

    fn network(&mut self, needs: &[Need], unasked: &[NetworkPattern]) {
        let listed = |patterns: &[&NetworkPattern]| patterns.iter().map(|one| format!("\"{one}\"")).collect::<Vec<_>>().join(", ");
        let (granted, denied): (Vec<_>, Vec<_>) = needs.iter().partition(|need| need.granted);
        let targets = |needs: &[&Need]| listed(&needs.iter().map(|need| &need.target).collect::<Vec<_>>());
        if granted.is_empty() && !denied.is_empty() {
            let mend = format!("nothing that it asks for is granted; add what it needs to grants.network: {}", targets(&denied));
            self.add("network", Err(mend));
        } else if !granted.is_empty() {
            self.add("network", Ok(format!("will talk to {}", targets(&granted))));
        }
        let unasked: Vec<_> = unasked.iter().collect();
        if !unasked.is_empty() {
            let mend = format!("it does not ask for {}, which grants.network gives; remove them, or correct them", listed(&unasked));
            self.add("network", Err(mend));
        }
    }
}

fn signed(signature: &Signature) -> Result<String, String> {
    match signature {
        Signature::None => Ok("none".to_owned()),
        Signature::Trusted { key } => Ok(format!("by the trusted key {key}")),
        Signature::Unknown { key } => Ok(format!("by the key {key}, which is not one of plugins.trusted_keys, and so says nothing")),
        Signature::Invalid { reason } => Err(format!("does not hold: {reason}")),
    }
}
