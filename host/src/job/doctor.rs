//! Looks after the plug-ins of every configured instance: approved, signed, with settings, secrets and grants that fit, and working.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::context::{Context, JobError};
use crate::config::{DestinationConfig, NotifierConfig};
use crate::plugin::{Approvals, Need, PluginComponent, Signature, WasmDestination, WasmNotifier};
use crate::ports::{Destination, NetworkPattern, Notifier};
use crate::text::Locale;

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
    #[serde(skip)]
    found: Found,
}

/// What was found.
#[derive(Debug, Clone)]
enum Found {
    AsApproved {
        name: String,
        version: String,
    },
    Unsigned,
    SignedBy {
        key: String,
    },
    SignedByStranger {
        key: String,
    },
    SettingsFit,
    WillTalkTo {
        targets: String,
    },
    MayDelete,
    AppendOnly,
    Works,
    /// What is wrong, as whoever found it says it.
    Wrong(String),
}

impl Found {
    fn words(&self, locale: Locale) -> String {
        let both = |portuguese: &str, english: &str| locale.pick(portuguese, english).to_owned();
        match (self, locale) {
            (Self::AsApproved { name, version }, Locale::PtBr) => format!("{name} {version}, como aprovado"),
            (Self::AsApproved { name, version }, Locale::En) => format!("{name} {version}, as approved"),
            (Self::Unsigned, _) => both("nenhuma", "none"),
            (Self::SignedBy { key }, Locale::PtBr) => format!("da chave confiável {key}"),
            (Self::SignedBy { key }, Locale::En) => format!("by the trusted key {key}"),
            (Self::SignedByStranger { key }, Locale::PtBr) => {
                format!("da chave {key}, que não está em plugins.trusted_keys e por isso não diz nada")
            }
            (Self::SignedByStranger { key }, Locale::En) => {
                format!("by the key {key}, which is not one of plugins.trusted_keys, and so says nothing")
            }
            (Self::SettingsFit, _) => both("configuração e segredos servem", "settings and secrets fit"),
            (Self::WillTalkTo { targets }, Locale::PtBr) => format!("vai falar com {targets}"),
            (Self::WillTalkTo { targets }, Locale::En) => format!("will talk to {targets}"),
            (Self::MayDelete, _) => both("permitida", "granted"),
            (Self::AppendOnly, _) => both("não permitida: somente para acrescentar", "not granted: append-only"),
            (Self::Works, _) => both("funciona", "works"),
            (Self::Wrong(problem), _) => problem.clone(),
        }
    }
}

impl Finding {
    /// What was looked at, and what was found, in words.
    pub fn words(&self, locale: Locale) -> (&'static str, String) {
        let subject = match (locale, self.subject) {
            (Locale::PtBr, "approval") => "aprovação",
            (Locale::PtBr, "signature") => "assinatura",
            (Locale::PtBr, "secrets") => "segredos",
            (Locale::PtBr, "settings") => "configuração",
            (Locale::PtBr, "network") => "rede",
            (Locale::PtBr, "deletion") => "exclusão",
            (Locale::PtBr, "probe") => "teste de uso",
            (_, subject) => subject,
        };
        (subject, self.found.words(locale))
    }
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
    fn add(&mut self, subject: &'static str, result: Result<Found, String>) {
        let ok = result.is_ok();
        let found = result.unwrap_or_else(Found::Wrong);
        self.0.push(Finding { subject, detail: found.words(Locale::En), ok, found });
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
        self.add("approval", Ok(Found::AsApproved { name: said.name.clone(), version: said.version.clone() }));
        Some(component)
    }

    async fn destination(&mut self, context: &Context, config: &DestinationConfig, probe: bool) -> Option<()> {
        let component = self.approved(context, &config.settings.plugin).await?;
        let settings = self.keep("secrets", context.config.destination_settings(config))?;
        let destination = self.keep("settings", WasmDestination::new(component, settings))?;
        self.add("settings", Ok(Found::SettingsFit));
        self.network(destination.needs(), destination.unasked());
        self.add("deletion", Ok(if destination.may_delete() { Found::MayDelete } else { Found::AppendOnly }));
        if probe {
            self.add("probe", destination.probe().await.map(|_| Found::Works).map_err(|error| error.to_string()));
        }
        Some(())
    }

    async fn notifier(&mut self, context: &Context, config: &NotifierConfig, probe: bool) -> Option<()> {
        let component = self.approved(context, &config.settings.plugin).await?;
        let settings = self.keep("secrets", context.config.notifier_settings(config))?;
        let notifier = self.keep("settings", WasmNotifier::new(component, settings))?;
        self.add("settings", Ok(Found::SettingsFit));
        self.network(notifier.needs(), notifier.unasked());
        if probe {
            self.add("probe", notifier.probe().await.map(|()| Found::Works).map_err(|error| error.to_string()));
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
            self.add("network", Ok(Found::WillTalkTo { targets: targets(&granted) }));
        }
        let unasked: Vec<_> = unasked.iter().collect();
        if !unasked.is_empty() {
            let mend = format!("it does not ask for {}, which grants.network gives; remove them, or correct them", listed(&unasked));
            self.add("network", Err(mend));
        }
    }
}

fn signed(signature: &Signature) -> Result<Found, String> {
    match signature {
        Signature::None => Ok(Found::Unsigned),
        Signature::Trusted { key } => Ok(Found::SignedBy { key: key.clone() }),
        Signature::Unknown { key } => Ok(Found::SignedByStranger { key: key.clone() }),
        Signature::Invalid { reason } => Err(format!("does not hold: {reason}")),
    }
}
