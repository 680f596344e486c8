//! What retention would keep, by what the catalogue knows: no destination is asked, and nothing is removed. A pin lies at the destination
//! alone and is not seen here; what is pinned stays all the same when retention really looks.

use super::context::{Context, JobError};
use super::prune::REMOVED_BY_RETENTION;
use crate::catalog::{CopyRecord, SetRecord};
use crate::retention::{Pruned, PrunedSet, Version, VersionState, decide};
use crate::set::SetName;

/// Decides over the known copies at each destination of the configuration.
///
/// # Errors
/// When the catalogue cannot be read.
pub fn foresee(context: &Context) -> Result<Vec<Pruned>, JobError> {
    let sets = context.catalog.sets()?;
    let now = jiff::ZonedDateTime::now().datetime();
    let place = |config: &crate::config::DestinationConfig| {
        let name = &config.settings.name;
        let versions: Vec<Version> = sets.iter().filter_map(|set| version(set, name)).collect();
        let sets = decide(&versions, &config.retention, now).into_iter().map(PrunedSet::from).collect();
        Pruned { destination: name.clone(), sets, held: None, error: None }
    };
    Ok(context.config.destinations.iter().map(place).collect())
}

/// The copy of a set there, where one is.
fn version(record: &SetRecord, destination: &str) -> Option<Version> {
    let set: SetName = record.name.parse().ok()?;
    let copy = record.copies.iter().find(|copy| copy.destination == destination)?;
    let state = state(record, copy)?;
    Some(Version {
        set,
        bytes: record.stored,
        state,
        verified: copy.verified.is_some() && copy.problem.is_none(),
        pinned: false,
        tags: record.tags.clone(),
        selection: record.selection.clone(),
    })
}

/// What is known of a copy; nothing where it is gone.
fn state(record: &SetRecord, copy: &CopyRecord) -> Option<VersionState> {
    Some(match copy {
        CopyRecord { complete: true, problem: Some(_), .. } => VersionState::Damaged,
        CopyRecord { complete: true, .. } if record.whole => VersionState::Good,
        CopyRecord { complete: true, .. } => VersionState::Partial,
        CopyRecord { given_up: true, detail, .. } if detail == REMOVED_BY_RETENTION => return None,
        CopyRecord { given_up: true, .. } => VersionState::Incomplete,
        CopyRecord { .. } => VersionState::Unfinished,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(whole: bool, copy: CopyRecord) -> SetRecord {
        SetRecord {
            name: "backup_2026_03_15_02_00_00".to_owned(),
            whole,
            plain: 2,
            stored: 1,
            artifacts: 1,
            warnings: 0,
            selection: Vec::new(),
            tags: Vec::new(),
            copies: vec![copy],
        }
    }

    fn copy((complete, given_up): (bool, bool), detail: &str, problem: Option<&str>) -> CopyRecord {
        CopyRecord {
            destination: "disco".to_owned(),
            complete,
            given_up,
            detail: detail.to_owned(),
            verified: None,
            problem: problem.map(str::to_owned),
        }
    }

    #[test]
    fn a_copy_is_what_the_catalogue_says_of_it() {
        let of = |whole, copy| version(&record(whole, copy), "disco").map(|version| version.state);
        let (whole, begun, left) = ((true, false), (false, false), (false, true));
        assert_eq!(of(true, copy(whole, "complete", None)), Some(VersionState::Good));
        assert_eq!(of(false, copy(whole, "complete", None)), Some(VersionState::Partial));
        assert_eq!(of(true, copy(whole, "complete", Some("short"))), Some(VersionState::Damaged));
        assert_eq!(of(true, copy(left, "refused", None)), Some(VersionState::Incomplete));
        assert_eq!(of(true, copy(begun, "", None)), Some(VersionState::Unfinished));
        assert_eq!(of(true, copy(left, REMOVED_BY_RETENTION, None)), None);
        assert_eq!(version(&record(true, copy(whole, "", None)), "nuvem"), None);
    }
}
