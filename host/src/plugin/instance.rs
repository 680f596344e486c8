//! One configured instance of a plug-in, whatever its kind: its settings, secrets and grants checked against what the plug-in asks for, and
//! put together into what each of its stores gets.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::component::{Description, PluginComponent, PluginError, PluginKind};
use super::contract::Pre;
use super::dns::Resolver;
use super::grants::{Gate, resolve_target};
use super::http::HttpDoor;
use super::journal::Redaction;
use super::schema::{self, Fault};
use super::session::Session;
use super::state::{Provision, State};
use super::throttle::Throttle;
use crate::ports::{DestinationError, DestinationErrorKind, DestinationSettings, NetworkPattern};

/// A network target that an instance asks for.
#[derive(Debug, Clone)]
pub struct Need {
    /// The target, settings filled in.
    pub target: NetworkPattern,
    /// Why.
    pub reason: String,
    /// Whether it is granted, at least in part.
    pub granted: bool,
}

/// An instance.
pub(super) struct Instance {
    name: String,
    plugin: String,
    component: Arc<PluginComponent>,
    provision: Arc<Provision>,
    needs: Vec<Need>,
    unasked: Vec<NetworkPattern>,
}

impl Instance {
    /// Checks everything that can be checked without running the plug-in.
    ///
    /// # Errors
    /// When the plug-in is of another kind, or the settings, secrets or grants do not fit it.
    pub(super) fn new(
        component: Arc<PluginComponent>,
        kind: PluginKind,
        settings: DestinationSettings,
        resolver: Arc<dyn Resolver>,
    ) -> Result<Self, PluginError> {
        let description = component.description();
        let faults = problems(description, kind, &settings);
        if !faults.is_empty() {
            return Err(PluginError::Settings { instance: settings.name, faults });
        }
        let plugin = description.name.clone();
        let grants = settings.grants;
        let needs = needs(description, &settings.settings, &grants.network);
        let asked = needs.iter().map(|need| need.target.clone()).collect();
        let unasked = grants.network.iter().filter(|grant| !needs.iter().any(|need| need.target.meets(grant))).cloned().collect();
        let provision = Provision {
            label: format!("{plugin}/{}", settings.name),
            settings: settings.settings.to_string(),
            redaction: Redaction::new(settings.secrets.values()),
            secrets: settings.secrets,
            gate: Gate::new(&plugin, (asked, grants.network), resolver).deleting(grants.delete),
            http: Arc::new(HttpDoor::new(settings.ca_file.as_deref())?),
            directory: grants.directory,
            limits: settings.limits,
            throttle: Arc::new(Throttle::new(settings.bandwidth)),
            ..Provision::default()
        };
        Ok(Self { name: settings.name, plugin, component, provision: Arc::new(provision), needs, unasked })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Name of the plug-in.
    pub(super) fn plugin(&self) -> &str {
        &self.plugin
    }

    pub(super) fn component(&self) -> &PluginComponent {
        &self.component
    }

    /// Network targets that it asks for with its settings.
    pub(super) fn needs(&self) -> &[Need] {
        &self.needs
    }

    /// Granted targets that it does not ask for.
    pub(super) fn unasked(&self) -> &[NetworkPattern] {
        &self.unasked
    }

    pub(super) fn may_delete(&self) -> bool {
        self.provision.gate.may_delete()
    }

    /// What slows its transfers down.
    pub(super) fn throttle(&self) -> Arc<Throttle> {
        Arc::clone(&self.provision.throttle)
    }

    /// Bytes sent and received; `None` where nothing may be reached.
    pub(super) fn traffic(&self) -> Option<(u64, u64)> {
        let Provision { traffic, gate, .. } = self.provision.as_ref();
        gate.may_reach_something().then(|| (traffic.sent(), traffic.received()))
    }

    pub(super) fn memory_peak(&self) -> u64 {
        self.provision.memory_peak.load(Ordering::Relaxed)
    }

    /// That the component does not export what its kind does.
    pub(super) fn unfit(&self, error: &wasmtime::Error) -> PluginError {
        let kind = self.component.description().kind.as_str();
        let faults = vec![fault("plugin", format!("plug-in `{}` is no {kind}: {error:#}", self.plugin))];
        PluginError::Settings { instance: self.name.clone(), faults }
    }

    /// A store of its own with an instance in it.
    ///
    /// # Errors
    /// When it cannot start within its limits.
    pub(super) async fn session<G: ?Sized + Send + Sync + 'static>(&self, ready: Arc<Pre<G>>) -> Result<Session<G>, DestinationError> {
        // A drive that is not mounted is the usual reason.
        let store = State::store(&self.component.engine, &self.provision)
            .map_err(|error| DestinationError::fatal(DestinationErrorKind::Unavailable, format!("plug-in `{}`: {error}", self.plugin)))?;
        Session::start(&self.plugin, &self.provision, (store, ready)).await
    }
}

fn needs(description: &Description, settings: &serde_json::Value, granted: &[NetworkPattern]) -> Vec<Need> {
    let settings = schema::with_defaults(&description.settings_schema, settings);
    let resolved = description.network.iter().filter_map(|need| Some((resolve_target(&need.target, &settings)?, need.reason.clone())));
    resolved.map(|(target, reason)| Need { granted: granted.iter().any(|grant| grant.meets(&target)), target, reason }).collect()
}

fn fault(key: &str, message: String) -> Fault {
    Fault { key: key.to_owned(), message }
}

/// What is wrong with the settings of an instance, for the administrator.
fn problems(description: &Description, kind: PluginKind, settings: &DestinationSettings) -> Vec<Fault> {
    if description.kind != kind {
        return vec![fault("plugin", format!("plug-in `{}` is no {}", description.name, kind.as_str()))];
    }
    let mut problems = schema::problems(&description.settings_schema, &settings.settings);
    for need in description.secrets.iter().filter(|need| !need.optional && !settings.secrets.contains_key(&need.name)) {
        problems.push(fault("secrets", format!("secret `{}` is missing ({})", need.name, need.summary)));
    }
    for name in settings.secrets.keys().filter(|name| !description.secrets.iter().any(|need| need.name == **name)) {
        problems.push(fault(&format!("secrets.{name}"), format!("secret `{name}` is not one that the plug-in asks for")));
    }
    match (description.directory, &settings.grants.directory) {
        (true, None) => problems.push(fault("grants", "it needs a directory: set `grants.directory`".to_owned())),
        (false, Some(_)) => problems.push(fault("grants.directory", "it asks for no directory: remove `grants.directory`".to_owned())),
        _ => {}
    }
    problems
}
