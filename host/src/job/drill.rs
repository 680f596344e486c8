//! The drill: restores the newest set into scratch schemas and a scratch directory, compares everything with what was read when the set was
//! made, measures how long that took, and removes the scratch again. A backup that was never restored is a hope.
//!
//! One artifact at a time, so that the scratch takes no more room than the largest of them. Events are not made: they would run.

mod proving;
mod scratch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::context::{Context, JobError};
use super::restore::{Restore, RestoreRequest, RestoreTarget, SetChoice, What, choose};
use super::{alert, tell};
use crate::audit::{Action, Outcome};
use crate::catalog::DrillRecord;
use crate::notify::Event;
use crate::ports::{Meter, Warning, Warnings};
use crate::set::{ArtifactKind, ArtifactRecord, Manifest};
use proving::Proving;
use scratch::{Databases, Place};

/// What to drill.
#[derive(Debug, Clone)]
pub struct DrillRequest {
    /// Which set.
    pub set: SetChoice,
    /// From one destination only.
    pub from: Option<String>,
    /// Only these: `sql`, `config`, a source, a schema or a directory; everything where it is empty.
    pub only: Vec<String>,
    /// Where the scratch directory is made; the spool where it is `None`.
    pub into: Option<PathBuf>,
}

/// What came of one artifact.
#[derive(Debug, Clone, Serialize)]
pub struct DrilledPart {
    /// Key of the artifact.
    pub artifact: String,
    /// What it holds.
    pub kind: ArtifactKind,
    /// Schema, directory or source.
    pub name: String,
    /// Destination that it came from.
    pub from: Option<String>,
    /// Bytes that were downloaded.
    pub stored: u64,
    /// Bytes after decryption and decompression.
    pub plain: u64,
    /// Rows of a schema, entries of a directory.
    pub items: u64,
    /// Seconds of downloading, digests included.
    pub download_seconds: f64,
    /// Seconds of decrypting, decompressing and loading.
    pub restore_seconds: f64,
    /// Seconds of comparing.
    pub compare_seconds: f64,
    /// Why it did not come back as it was.
    pub problem: Option<String>,
}

/// What came of a drill.
#[derive(Debug, Clone, Serialize)]
pub struct DrillReport {
    /// The set.
    pub set: String,
    /// When it began, RFC 3339.
    pub started: jiff::Timestamp,
    /// When it ended.
    pub finished: jiff::Timestamp,
    /// Whether all of it came back as it was.
    pub good: bool,
    /// Each artifact.
    pub parts: Vec<DrilledPart>,
    /// Bytes that were downloaded.
    pub stored: u64,
    /// Bytes after decryption and decompression.
    pub plain: u64,
    /// Seconds that a restore of the same would take: downloading, decrypting, decompressing and loading.
    pub recovery_seconds: f64,
    /// Of these, downloading.
    pub download_seconds: f64,
    /// Of these, decrypting, decompressing and loading.
    pub restore_seconds: f64,
    /// Seconds of comparing, beside that.
    pub compare_seconds: f64,
    /// Seconds from the beginning to the end.
    pub total_seconds: f64,
    /// The last good drill of everything before; absent where only some things were drilled.
    pub previous: Option<DrillRecord>,
    /// Scratch of drills that were killed, which was removed.
    pub swept: Vec<String>,
    /// Scratch of this one that could not be removed; the next drill tries again.
    pub left: Vec<String>,
    /// What a person should know, the first thousand.
    pub warnings: Vec<Warning>,
    /// How many there are.
    pub warnings_total: u64,
}

impl DrillReport {
    /// Whether there is nothing that a person should know.
    pub fn is_quiet(&self) -> bool {
        self.warnings_total == 0 && self.left.is_empty()
    }

    /// What did not come back, in words.
    pub fn problems(&self) -> Vec<String> {
        let parts = self.parts.iter().filter_map(|part| part.problem.as_ref().map(|problem| format!("`{}`: {problem}", part.artifact)));
        parts.collect()
    }
}

/// Restores a set into a scratch, compares it, and removes the scratch.
///
/// # Errors
/// When it could not be tried: no set, no room, no rights, a server out of reach. What did not come back as it was is in the report.
pub async fn drill(context: &Context, request: &DrillRequest, meter: Arc<Meter>) -> Result<DrillReport, JobError> {
    let result = recorded(context, request, meter).await;
    tell::raise_end(context, (Event::DrillFailed, &request.only.join(",")), &result, alert::of_drill);
    result
}

async fn recorded(context: &Context, request: &DrillRequest, meter: Arc<Meter>) -> Result<DrillReport, JobError> {
    let passphrase = context.config.passphrase()?;
    let warnings = Arc::new(Warnings::default());
    let place = Place::make(context, request.into.as_deref())?;
    let restore = RestoreRequest {
        set: request.set.clone(),
        from: request.from.clone(),
        what: What::All,
        target: RestoreTarget::Directory(place.tree()),
        force: false,
        dry_run: false,
    };
    let chosen = choose(context, &restore, &passphrase, &warnings).await?;
    let manifest = chosen.copies[0].sealed.manifest();
    let records = only(&chosen.records, &request.only)?;
    let number = context.catalog.begin_run("drill", Some(manifest.set))?;
    let intent = context.audit.begin(Action::Drill, &manifest.set.to_string(), &[("only", &request.only.join(", "))]);
    let work = Restore::new((context, &restore, passphrase), &chosen.copies, (Arc::clone(&warnings), meter));
    let whole = request.only.is_empty();
    let result = rehearse(context, (&work, manifest), (&records, place, whole)).await;
    let (outcome, detail) = match &result {
        Ok(report) if !report.good => (Outcome::Failed, report.problems().join("; ")),
        Ok(report) => (
            if report.is_quiet() { Outcome::Done } else { Outcome::Warnings },
            format!("{} artifacts, {:.0} s to recover", report.parts.len(), report.recovery_seconds),
        ),
        Err(error) => (Outcome::Failed, error.to_string()),
    };
    intent.end(outcome, &[("result", &detail)]);
    context.catalog.finish_run(number, outcome.name(), &detail)?;
    result
}

async fn rehearse(
    context: &Context,
    (work, manifest): (&Restore<'_>, &Manifest),
    (records, place, whole): (&[ArtifactRecord], Place, bool),
) -> Result<DrillReport, JobError> {
    let (started, clock) = (jiff::Timestamp::now(), Instant::now());
    let passport = work.passport().await?;
    place.check_room(context, records)?;
    let (mut databases, mut swept) = Databases::open(context, (records, passport), place.mark()).await?;
    swept.extend(place.swept().iter().cloned());
    work.expect(records);
    let mut parts = Vec::new();
    let mut failed = None;
    for record in records {
        let proving = Proving { context, work, passport, tree: &place.tree() };
        match proving.part(record, &mut databases).await {
            Ok(part) => parts.push(part),
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    // Whatever came of it, the scratch goes.
    let mut left = databases.close().await;
    left.extend(place.remove());
    for left in &left {
        work.warn("scratch", format!("could not be removed, the next drill tries again: {left}"));
    }
    match failed {
        _ if context.cancel.is_cancelled() => return Err(JobError::Cancelled),
        Some(error) => return Err(error),
        None => {}
    }
    report(context, (work, manifest), Drilled { started, took: clock.elapsed(), whole, parts, swept, left })
}

/// What was done, before it is summed up.
struct Drilled {
    started: jiff::Timestamp,
    took: Duration,
    /// Whether it was of everything: only such drills are compared with each other.
    whole: bool,
    parts: Vec<DrilledPart>,
    swept: Vec<String>,
    left: Vec<String>,
}

fn report(context: &Context, (work, manifest): (&Restore<'_>, &Manifest), drilled: Drilled) -> Result<DrillReport, JobError> {
    let Drilled { started, took, whole, parts, swept, left } = drilled;
    let seconds = |of: fn(&DrilledPart) -> f64| parts.iter().map(of).sum::<f64>();
    let (download_seconds, restore_seconds, compare_seconds) =
        (seconds(|part| part.download_seconds), seconds(|part| part.restore_seconds), seconds(|part| part.compare_seconds));
    let (warnings, warnings_total) = work.warnings();
    let report = DrillReport {
        set: manifest.set.to_string(),
        started,
        finished: jiff::Timestamp::now(),
        good: parts.iter().all(|part| part.problem.is_none()),
        stored: parts.iter().map(|part| part.stored).sum(),
        plain: parts.iter().map(|part| part.plain).sum(),
        recovery_seconds: download_seconds + restore_seconds,
        download_seconds,
        restore_seconds,
        compare_seconds,
        total_seconds: took.as_secs_f64(),
        previous: if whole { context.catalog.last_good_drill()? } else { None },
        parts,
        swept,
        left,
        warnings,
        warnings_total,
    };
    if !whole {
        return Ok(report);
    }
    context.catalog.record_drill(&DrillRecord {
        set: report.set.clone(),
        at: report.finished.to_string(),
        good: report.good,
        stored: report.stored,
        plain: report.plain,
        download_seconds,
        restore_seconds,
        compare_seconds,
        total_seconds: report.total_seconds,
    })?;
    Ok(report)
}

/// The artifacts that were asked for, and cofre's own, which says what they must be.
fn only(records: &[ArtifactRecord], names: &[String]) -> Result<Vec<ArtifactRecord>, JobError> {
    let kind = |record: &ArtifactRecord| if record.kind == ArtifactKind::Directory { "config" } else { "sql" };
    let means = |record: &ArtifactRecord, only: &String| {
        record.kind != ArtifactKind::Own && (*only == record.name || only == kind(record) || record.source.as_ref() == Some(only))
    };
    if let Some(unknown) = names.iter().find(|only| !records.iter().any(|record| means(record, only))) {
        return Err(JobError::Request(format!(
            "`{unknown}` of --only is nothing that this set holds; name `sql`, `config`, a source, a schema or a directory"
        )));
    }
    let wanted = |record: &&ArtifactRecord| names.is_empty() || names.iter().any(|only| means(record, only));
    Ok(records.iter().filter(wanted).cloned().collect())
}
