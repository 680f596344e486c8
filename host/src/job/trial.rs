//! Takes one plug-in through the conformance suite, with settings that are in no configuration.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cofre_conformance::{CaseReport, Event, Failure, Kind, Options, Refusal, Report, Subject, Suite};
use serde::Serialize;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::context::JobError;
use crate::config::{TrialConfig, TrialRefusal};
use crate::plugin::{ConformanceSubject, PluginComponent, PluginEngine, PluginError, WasmDestination};
use crate::ports::DestinationSettings;

/// What to try.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The component.
    pub plugin: PathBuf,
    /// The file with its settings.
    pub settings: PathBuf,
    /// How.
    pub options: Options,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct TrialOutcome {
    /// Name of the plug-in.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// Cases that hold.
    pub passed: usize,
    /// Cases that do not.
    pub failed: usize,
    /// Cases that could not be tried.
    pub skipped: usize,
    /// All of them.
    #[serde(flatten)]
    pub report: Report,
}

/// Runs the suite; `observe` is told of each case when it begins and when it has ended.
///
/// # Errors
/// When there is nothing to run: a wrong settings file, no plug-in, a case that does not exist. A case that fails is no error.
pub async fn trial(
    trial: &Trial,
    cancel: &CancellationToken,
    mut observe: impl FnMut(&str, Option<&CaseReport>) + Send + 'static,
) -> Result<TrialOutcome, JobError> {
    let config = TrialConfig::load(&trial.settings, &trial.plugin)?;
    // Whatever is wrong with the file or with its settings, it is for whoever called to mend.
    let unusable = |error: PluginError| JobError::Request(error.to_string());
    let component = PluginEngine::new(None)?.load(&trial.plugin).await.map_err(unusable)?;
    let description = component.description();
    let (plugin, version) = (description.name.clone(), description.version.clone());
    let subject = subject(&component, config.settings).map_err(unusable)?;
    let refusals = config.refusals.into_iter().map(|refusal| refusal_of(&component, refusal)).collect();
    let options = Options { begins_anew: config.begins_anew, ..trial.options.clone() };
    let stop = Arc::clone(&options.stop);
    let _stop_when_cancelled = AbortOnDrop(tokio::spawn({
        let cancel = cancel.clone();
        async move {
            cancel.cancelled().await;
            stop.store(true, Ordering::Relaxed);
        }
    }));
    let run = move || {
        let suite = Suite { subject: &subject, refusals, options };
        if let Some(unknown) = suite.unknown().first() {
            let names = cofre_conformance::names().collect::<Vec<_>>().join(", ");
            return Err(JobError::Request(format!("there is no case `{unknown}`; there are: {names}, and refusal/NAME")));
        }
        Ok(suite.run(&mut |event| match event {
            Event::Begins(name) => observe(name, None),
            Event::Ended(case) => observe(&case.name, Some(case)),
        }))
    };
    let ended = tokio::task::spawn_blocking(run).await;
    let report = ended.map_err(|panic| JobError::Failed(format!("the suite ended unexpectedly: {panic}")))??;
    if cancel.is_cancelled() {
        return Err(JobError::Cancelled);
    }
    let (passed, failed, skipped) = (report.passed(), report.failed(), report.skipped());
    Ok(TrialOutcome { plugin, version, passed, failed, skipped, report })
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn subject(component: &Arc<PluginComponent>, settings: DestinationSettings) -> Result<ConformanceSubject, PluginError> {
    let destination = WasmDestination::new(Arc::clone(component), settings)?;
    Ok(ConformanceSubject::new(destination, Handle::current()))
}

fn refusal_of(component: &Arc<PluginComponent>, refusal: TrialRefusal) -> Refusal<'static> {
    // What the host finds wrong with settings it refuses as a plug-in would.
    let subject = subject(component, refusal.settings)
        .map(|subject| Box::new(subject) as Box<dyn Subject>)
        .map_err(|error| Failure::new(Kind::InvalidConfig, error.to_string()));
    Refusal { name: refusal.name, error: refusal.error, verb: refusal.verb, bytes: refusal.bytes, subject }
}
