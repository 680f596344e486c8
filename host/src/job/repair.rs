//! Mends copies: what is missing or wrong in one is copied again from another. Every object at the target is read, and only what is not
//! what the sealed manifest says is replaced, by an object that was proven on its way and is read back in its new place.

mod mending;
mod plan;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use super::context::{Context, JobError};
use super::{alert, tell};
use crate::audit::{Action, Outcome};
use crate::notify::Event;
use crate::pipeline::Passphrase;
use crate::ports::Meter;
use crate::set::SetName;
use mending::Mending;
use plan::{Known, Need};

/// What to mend.
#[derive(Debug, Clone, Default)]
pub struct RepairRequest {
    /// One set; `None` is all whose copies are known to be damaged or incomplete.
    pub set: Option<SetName>,
    /// The destination that is to be mended, whatever is known of it; `None` is those that are known to need it.
    pub to: Option<String>,
    /// Take what is missing from this destination only.
    pub from: Option<String>,
    /// Only read, and say what would be done.
    pub dry_run: bool,
}

/// How it ended for one copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepairOutcome {
    /// Nothing was wrong with it.
    Sound,
    /// It is whole again, and was read back.
    Mended,
    /// A dry run: it can be mended.
    WouldMend,
    /// It stays damaged: no copy has what is missing, or the target does not take it.
    Unrepairable,
    /// It could not be tried: a destination is out of reach, or the disk is full.
    Failed,
}

/// One object that was, or would be, replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RepairedObject {
    /// Key below the set.
    pub key: String,
    /// Whether there was nothing under the key, rather than something wrong.
    pub missing: bool,
    /// Bytes.
    pub bytes: u64,
    /// Destination that it came from.
    pub from: Option<String>,
    /// What was wrong.
    pub was: String,
}

/// What came of one copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RepairedCopy {
    /// The set.
    pub set: String,
    /// The destination that was to be mended.
    pub destination: String,
    /// How it ended.
    pub outcome: RepairOutcome,
    /// What was replaced, or would be.
    pub objects: Vec<RepairedObject>,
    /// Why it is not whole, with what a person can do.
    pub problems: Vec<String>,
}

impl RepairedCopy {
    /// Whether the copy is whole, or would be.
    pub fn is_good(&self) -> bool {
        matches!(self.outcome, RepairOutcome::Sound | RepairOutcome::Mended | RepairOutcome::WouldMend)
    }
}

/// Mends copies. Takes the run lock: nothing is mended while a run writes it or retention removes it.
///
/// # Errors
/// When nothing could be begun; what is wrong with a copy is in the result.
pub async fn repair(context: &Context, request: &RepairRequest, meter: Arc<Meter>) -> Result<Vec<RepairedCopy>, JobError> {
    let result = recorded(context, request, &meter).await;
    if !request.dry_run {
        let scope = request.set.map(|set| set.to_string()).unwrap_or_default();
        tell::raise_end(context, (Event::RepairFailed, &scope), &result, |copies| alert::of_repair(copies, jiff::Timestamp::now()));
    }
    result
}

async fn recorded(context: &Context, request: &RepairRequest, meter: &Arc<Meter>) -> Result<Vec<RepairedCopy>, JobError> {
    let _lock = context.spool.lock_run()?;
    let passphrase = context.config.passphrase()?;
    let needs = needs(context, request)?;
    let what = request.set.map_or_else(|| "all that needs it".to_owned(), |set| set.to_string());
    if request.dry_run {
        context.audit.access(&what, "repair --dry-run");
        return mend_all(context, request, (&needs, &passphrase, meter)).await;
    }
    let to = [("to", request.to.as_deref().unwrap_or_default()), ("from", request.from.as_deref().unwrap_or_default())];
    let intent = context.audit.must(Action::Repair, &what, &to)?;
    let number = context.catalog.begin_run("repair", request.set)?;
    let result = mend_all(context, request, (&needs, &passphrase, meter)).await;
    let (outcome, detail) = match &result {
        Ok(copies) if copies.iter().all(RepairedCopy::is_good) => (Outcome::Done, format!("{} copies", copies.len())),
        Ok(copies) => (Outcome::Failed, told(copies)),
        Err(error) => (Outcome::Failed, error.to_string()),
    };
    intent.end(outcome, &[("result", &detail)]);
    context.catalog.finish_run(number, outcome.name(), &detail)?;
    result
}

fn told(copies: &[RepairedCopy]) -> String {
    let lines = copies.iter().flat_map(|copy| copy.problems.iter().map(|line| format!("{} · {}: {line}", copy.set, copy.destination)));
    lines.collect::<Vec<_>>().join("; ")
}

fn needs(context: &Context, request: &RepairRequest) -> Result<Vec<Need>, JobError> {
    context.chosen(request.to.as_deref())?;
    context.chosen(request.from.as_deref())?;
    if request.from.is_some() && request.from == request.to {
        return Err(JobError::Request("--from and --to are the same destination; a copy is mended from another one".to_owned()));
    }
    let copies = context.catalog.all_copies()?;
    let destinations: Vec<String> = context.config.destinations.iter().map(|config| config.settings.name.clone()).collect();
    let in_spool: BTreeSet<SetName> = context.spool.left_overs()?.into_iter().map(|(set, _)| set).collect();
    let known = Known { copies: &copies, destinations: &destinations, in_spool: &in_spool };
    let mut needs = match (request.set, &request.to) {
        (Some(set), _) if in_spool.contains(&set) => {
            return Err(JobError::Request(format!("copies of {set} still go on from the spool; complete them first with: cofre resume")));
        }
        (Some(set), Some(to)) => vec![known.need(set, to)],
        (set, to) => {
            let mut needs = known.needs();
            needs.retain(|need| set.is_none_or(|set| need.set == set) && to.as_ref().is_none_or(|to| need.to == *to));
            needs
        }
    };
    if let Some(from) = &request.from {
        needs.retain(|need| need.to != *from);
        for need in &mut needs {
            need.from = vec![from.clone()];
        }
    }
    Ok(needs)
}

async fn mend_all(
    context: &Context,
    request: &RepairRequest,
    (needs, passphrase, meter): (&[Need], &Passphrase, &Arc<Meter>),
) -> Result<Vec<RepairedCopy>, JobError> {
    let mut copies = Vec::new();
    for need in needs {
        let mending = Mending { context, need, passphrase, meter, dry_run: request.dry_run };
        let mut copy = RepairedCopy {
            set: need.set.to_string(),
            destination: need.to.clone(),
            outcome: RepairOutcome::Failed,
            objects: Vec::new(),
            problems: Vec::new(),
        };
        match mending.mend(&mut copy).await {
            Ok(()) => {}
            Err(_) if context.cancel.is_cancelled() => return Err(JobError::Cancelled),
            Err(error) => copy.problems.push(error.to_string()),
        }
        if !request.dry_run {
            mending.record(&copy)?;
        }
        copies.push(copy);
    }
    Ok(copies)
}
