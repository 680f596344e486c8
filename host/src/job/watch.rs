//! Looks at destinations for somebody who cannot read a word of what is there: is the newest set complete, new and large enough? Run on
//! another machine, it notices a server that died, and with it everything that would have told so.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use jiff::Timestamp;

use super::context::{Context, JobError};
use super::fetch::{FetchError, Reader};
use super::inspect::{ListedSet, each_object, list_at};
use super::monitor::Observation;
use crate::catalog::CheckScope;
use crate::config::DestinationConfig;
use crate::monitor::{Fault, HoldingSet, Look, WatchSpec, judge_holding};
use crate::ports::{Destination, DestinationErrorKind};
use crate::set::{Inventory, MANIFEST, set_key};

/// What such an observation says that it looked at.
const KIND: &str = "watch";
/// Sets before the newest whose sizes it is compared with.
const BEFORE: usize = 5;
/// Manifests that are read in search of sets of the wanted selection.
const MANIFESTS_MAX: usize = 60;

/// Looks at every destination that is watched, remembers what that means, and says what it changed.
///
/// # Errors
/// When the catalogue cannot be used. What is wrong with a destination is in its observation.
pub async fn watch(context: &Context, now: Timestamp) -> Result<Vec<Observation>, JobError> {
    let specs = &context.config.watches;
    let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    context.catalog.keep_checks(CheckScope::Watch, &names)?;
    let mut known = context.catalog.checks(CheckScope::Watch)?;
    let looks = join_all(specs.iter().map(|spec| look(context, spec, now))).await;
    let mut observations = Vec::new();
    for (spec, look) in specs.iter().zip(looks) {
        if context.cancel.is_cancelled() {
            return Err(JobError::Cancelled);
        }
        let mut state = known.remove(&spec.name).map(|record| record.state).unwrap_or_default();
        let transition = state.observe(look.verdict, now, spec.hysteresis);
        context.catalog.record_check(CheckScope::Watch, &spec.name, now, &state)?;
        observations.push(Observation::new((spec.name.as_str(), KIND), look, now, (&state, transition)));
    }
    Ok(observations)
}

async fn look(context: &Context, spec: &WatchSpec, now: Timestamp) -> Look {
    match tokio::time::timeout(spec.timeout, seen(context, spec, now)).await {
        Err(_) => Look::failed(Fault::Silent, format!("no answer within {} s", spec.timeout.as_secs())),
        Ok(Ok(look)) => look,
        Ok(Err(error @ (JobError::Config(_) | JobError::Plugin(_) | JobError::Request(_)))) => {
            Look::failed(Fault::Unknown, error.to_string())
        }
        Ok(Err(error)) => Look::failed(Fault::Unreachable, error.to_string()),
    }
}

async fn seen(context: &Context, spec: &WatchSpec, now: Timestamp) -> Result<Look, JobError> {
    let config = context.chosen(Some(&spec.destination))?[0];
    let destination = context.destination(config).await?;
    let complete: Vec<ListedSet> = list_at(destination.as_ref()).await?.into_iter().filter(|set| set.complete).collect();
    let found = read(context, (config, destination.as_ref()), spec, &complete).await?;
    Ok(judge_holding(&spec.rule, &found, complete.len() as u64, now))
}

/// The newest sets of the wanted selection, the objects of the first of them compared with its manifest.
async fn read(
    context: &Context,
    (config, destination): (&DestinationConfig, &dyn Destination),
    spec: &WatchSpec,
    complete: &[ListedSet],
) -> Result<Vec<HoldingSet>, JobError> {
    let reader = Reader::new(context, config, destination);
    let mut found: Vec<HoldingSet> = Vec::new();
    for listed in complete.iter().take(MANIFESTS_MAX) {
        if found.len() > BEFORE {
            break;
        }
        let claimed = match reader.small(&set_key(listed.name, MANIFEST)).await {
            Ok(bytes) => Inventory::claimed(&bytes).map_err(|error| error.to_string()),
            Err(FetchError::Destination { source, .. }) if source.kind == DestinationErrorKind::NotFound => {
                Err(format!("{MANIFEST} is missing"))
            }
            Err(error) => return Err(error.into()),
        };
        match claimed {
            Ok(inventory) if inventory.set != listed.name => {
                found.push(unreadable(listed, format!("{MANIFEST} is of {}: the folder was renamed or swapped", inventory.set)));
            }
            Ok(inventory) if inventory.selection != spec.selection => {}
            Ok(inventory) => {
                let wrong = if found.is_empty() { inventory.differences(&sizes(destination, listed).await?) } else { Vec::new() };
                let name = listed.name.to_string();
                found.push(HoldingSet { name, finished: inventory.finished, bytes: listed.bytes, whole: inventory.whole, wrong });
            }
            Err(problem) => found.push(unreadable(listed, problem)),
        }
    }
    Ok(found)
}

/// A set whose manifest says nothing: its name says when it was, in its own server's time.
fn unreadable(listed: &ListedSet, problem: String) -> HoldingSet {
    let moment = listed.name.moment().to_zoned_datetime(jiff::tz::TimeZone::system());
    let finished = moment.map_or(Timestamp::UNIX_EPOCH, |moment| moment.timestamp());
    HoldingSet { name: listed.name.to_string(), finished, bytes: listed.bytes, whole: false, wrong: vec![problem] }
}

/// Sizes of the objects of a set, by their keys below it.
async fn sizes(destination: &dyn Destination, listed: &ListedSet) -> Result<BTreeMap<String, u64>, JobError> {
    let prefix = set_key(listed.name, "");
    let mut sizes = BTreeMap::new();
    let mut take = |object: crate::ports::Object| {
        if let Some(key) = object.key.strip_prefix(&prefix) {
            sizes.insert(key.to_owned(), object.size);
        }
    };
    each_object(destination, &prefix, &mut take).await?;
    Ok(sizes)
}
