//! Pins: a mark at every destination that has a set, so that retention leaves the set alone, whatever becomes of the catalogue.
//!
//! The mark is an object of the set's folder, `PINNED`, which is neither sealed nor listed by the manifest: whoever may write there can add
//! one, and all that follows is that a set stays.

use serde::Serialize;

use super::context::{Context, JobError};
use super::inspect::list_at;
use crate::audit::{Action, Outcome};
use crate::config::DestinationConfig;
use crate::copy::{put_small, remove_small};
use crate::set::{PINNED, SetName, set_key};

/// What became of a pin at one destination.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Pinned {
    /// The destination.
    pub destination: String,
    /// Whether it has the set.
    pub has: bool,
    /// Whether the set is pinned there now.
    pub pinned: bool,
    /// Why that is not what was asked for.
    pub error: Option<String>,
}

/// Pins a set at every destination that has it, or takes the pins away.
///
/// # Errors
/// When no destination has the set, or a pin cannot be taken away because the audit log cannot be written.
pub async fn pin(context: &Context, set: SetName, wanted: bool) -> Result<Vec<Pinned>, JobError> {
    let name = set.to_string();
    // Without its pin, the next clean-up may remove it.
    let intent = if wanted { context.audit.begin(Action::Pin, &name, &[]) } else { context.audit.must(Action::Unpin, &name, &[])? };
    let places = at_all(context, set, wanted).await;
    match &places {
        Ok(places) => {
            let told = |place: &Pinned| match (&place.error, place.has) {
                (Some(error), _) => format!("{}: {error}", place.destination),
                (None, true) => format!("{}: done", place.destination),
                (None, false) => format!("{}: does not have it", place.destination),
            };
            let outcome = if places.iter().all(|place| place.error.is_none()) { Outcome::Done } else { Outcome::Failed };
            intent.end(outcome, &[("destinations", &places.iter().map(told).collect::<Vec<_>>().join(", "))]);
        }
        Err(error) => intent.end(Outcome::Failed, &[("error", &error.to_string())]),
    }
    places
}

async fn at_all(context: &Context, set: SetName, wanted: bool) -> Result<Vec<Pinned>, JobError> {
    let mut places = Vec::new();
    for config in &context.config.destinations {
        let destination = config.settings.name.clone();
        let place = match at(context, config, set, wanted).await {
            Ok(Some(pinned)) => Pinned { destination, has: true, pinned, error: None },
            Ok(None) => Pinned { destination, has: false, pinned: false, error: None },
            Err(error) => Pinned { destination, has: true, pinned: !wanted, error: Some(error.to_string()) },
        };
        places.push(place);
    }
    if places.iter().all(|place| !place.has && place.error.is_none()) {
        return Err(JobError::Request(format!("no destination has the set {set}; see: cofre list")));
    }
    Ok(places)
}

/// `None` where the set is not there.
async fn at(context: &Context, config: &DestinationConfig, set: SetName, wanted: bool) -> Result<Option<bool>, JobError> {
    let destination = context.destination(config).await?;
    let Some(listed) = list_at(destination.as_ref()).await?.into_iter().find(|listed| listed.name == set && listed.complete) else {
        return Ok(None);
    };
    if listed.pinned == wanted {
        return Ok(Some(wanted));
    }
    let (key, lane) = (set_key(set, PINNED), context.lane(set, config, destination));
    let done = if wanted {
        let text = format!("This set is kept, whatever the retention: pinned at {}.\n", jiff::Timestamp::now());
        put_small(&lane, &key, text.as_bytes(), &context.cancel).await
    } else {
        remove_small(&lane, &key, &context.cancel).await
    };
    done.map_err(|source| JobError::Destination { name: config.settings.name.clone(), source })?;
    Ok(Some(wanted))
}
