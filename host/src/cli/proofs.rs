//! `cofre repair` and `cofre drill`: copies that are mended, and a set that is restored to see that it can be.

use std::sync::Arc;

use super::Exit;
use super::render::Renderer;
use crate::job::{self, Context, DrillReport, DrillRequest, JobError, RepairOutcome, RepairRequest, RepairedCopy};
use crate::ports::Meter;
use crate::text::{DrillFacts, Locale, RepairFacts, drill_summary, nothing_to_repair, repair_summary};

/// Mends copies.
pub(super) async fn repair(context: &Context, (renderer, locale): (Renderer, Locale), request: &RepairRequest) -> Result<Exit, JobError> {
    let meter = Arc::new(Meter::default());
    let progress = renderer.progress("repair", &meter, locale);
    let copies = job::repair(context, request, meter).await;
    drop(progress);
    let copies = copies?;
    renderer.result("repair", &copies, || match copies.as_slice() {
        [] => nothing_to_repair(locale).to_owned(),
        some => some.iter().map(|copy| repair_summary(&repaired(copy), locale)).collect::<Vec<_>>().join("\n"),
    });
    let some = |wanted: RepairOutcome| copies.iter().any(|copy| copy.outcome == wanted);
    Ok(match (some(RepairOutcome::Unrepairable), some(RepairOutcome::Failed)) {
        (true, _) => Exit::Damage,
        (false, true) => Exit::Failed,
        (false, false) => Exit::Done,
    })
}

fn repaired(copy: &RepairedCopy) -> RepairFacts {
    let from = |object: &job::RepairedObject| object.from.clone().unwrap_or_default();
    RepairFacts {
        set: copy.set.clone(),
        destination: copy.destination.clone(),
        state: copy.outcome.into(),
        objects: copy.objects.iter().map(|object| (object.key.clone(), object.bytes, object.missing, from(object))).collect(),
        problems: copy.problems.clone(),
    }
}

impl From<RepairOutcome> for crate::text::RepairState {
    fn from(outcome: RepairOutcome) -> Self {
        match outcome {
            RepairOutcome::Sound => Self::Sound,
            RepairOutcome::Mended => Self::Mended,
            RepairOutcome::WouldMend => Self::WouldMend,
            RepairOutcome::Unrepairable => Self::Unrepairable,
            RepairOutcome::Failed => Self::Failed,
        }
    }
}

/// Restores a set into a scratch and compares it.
pub(super) async fn drill(context: &Context, (renderer, locale): (Renderer, Locale), request: &DrillRequest) -> Result<Exit, JobError> {
    let meter = Arc::new(Meter::default());
    let progress = renderer.progress("drill", &meter, locale);
    let report = job::drill(context, request, meter).await;
    drop(progress);
    let report = report?;
    renderer.result("drill", &report, || drill_summary(&drilled(&report), locale));
    Ok(match (report.good, report.is_quiet()) {
        (false, _) => Exit::Damage,
        (true, true) => Exit::Done,
        (true, false) => Exit::Warnings,
    })
}

fn drilled(report: &DrillReport) -> DrillFacts {
    DrillFacts {
        set: report.set.clone(),
        parts: report.parts.len(),
        stored: report.stored,
        plain: report.plain,
        recovery_seconds: report.recovery_seconds,
        download_seconds: report.download_seconds,
        restore_seconds: report.restore_seconds,
        compare_seconds: report.compare_seconds,
        previous_seconds: report.previous.as_ref().map(|previous| previous.download_seconds + previous.restore_seconds),
        problems: report.problems(),
        warnings: report.warnings_total,
        swept: report.swept.clone(),
    }
}
