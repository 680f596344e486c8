//! Looks after the plug-ins of every configured instance: approved, signed, with settings, secrets and grants that fit, and working.

use serde::Serialize;

use super::context::{Context, JobError};
use crate::config::DestinationConfig;
use crate::plugin::{Approvals, Signature, WasmDestination};
use crate::ports::{Destination, NetworkPattern};

/// What was found out about one instance.
#[derive(Debug, Clone, Serialize)]
pub struct Diagnosis {
    /// The instance.
    pub instance: String,
    /// What was looked at, in order.
    pub findings: Vec<Finding>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
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
    let mut diagnoses = Vec::new();
    for config in context.chosen(name)? {
        let mut findings = Findings(Vec::new());
        findings.examine(context, config, probe).await;
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

    /// Each step needs the ones before it.
    async fn examine(&mut self, context: &Context, config: &DestinationConfig, probe: bool) {
        let settings = &config.settings;
        let approvals = match Approvals::read(&context.config.plugins) {
            Ok(approvals) => approvals,
            Err(error) => return self.add("approval", Err(error.to_string())),
        };
        let examined = approvals.examine(&settings.plugin);
        self.add("signature", signed(&examined.signature));
        if let Some(problem) = examined.problem {
            return self.add("approval", Err(problem.to_string()));
        }
        let component = match context.plugin(&settings.plugin).await {
            Ok(component) => component,
            Err(error) => return self.add("approval", Err(error.to_string())),
        };
        let said = component.description();
        self.add("approval", Ok(format!("{} {}, as approved", said.name, said.version)));
        let settings = match context.config.destination_settings(config) {
            Ok(settings) => settings,
            Err(error) => return self.add("secrets", Err(error.to_string())),
        };
        let destination = match WasmDestination::new(component, settings) {
            Ok(destination) => destination,
            Err(error) => return self.add("settings", Err(error.to_string())),
        };
        self.add("settings", Ok("settings and secrets fit".to_owned()));
        self.network(&destination);
        let deletion = if destination.may_delete() { "granted" } else { "not granted: append-only" };
        self.add("deletion", Ok(deletion.to_owned()));
        if probe {
            self.add("probe", destination.probe().await.map(|_| "works".to_owned()).map_err(|error| error.to_string()));
        }
    }

    fn network(&mut self, destination: &WasmDestination) {
        let listed = |patterns: &[&NetworkPattern]| patterns.iter().map(|one| format!("\"{one}\"")).collect::<Vec<_>>().join(", ");
        let (granted, denied): (Vec<_>, Vec<_>) = destination.needs().iter().partition(|need| need.granted);
        let targets = |needs: &[&crate::plugin::Need]| listed(&needs.iter().map(|need| &need.target).collect::<Vec<_>>());
        if granted.is_empty() && !denied.is_empty() {
            let mend = format!("nothing that it asks for is granted; add what it needs to grants.network: {}", targets(&denied));
            self.add("network", Err(mend));
        } else if !granted.is_empty() {
            self.add("network", Ok(format!("will talk to {}", targets(&granted))));
        }
        let unasked: Vec<_> = destination.unasked().iter().collect();
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
