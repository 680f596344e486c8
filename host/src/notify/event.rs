//! The events that somebody can be told of. Their names are what routing rules and webhooks see, and never change.

use serde::{Deserialize, Serialize};

use crate::ports::Severity;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Event {
    /// A backup began.
    #[serde(rename = "run.started")]
    RunStarted,
    /// A backup is at every destination.
    #[serde(rename = "run.done")]
    RunDone,
    /// The same, with warnings.
    #[serde(rename = "run.warnings")]
    RunWarnings,
    /// A backup was not made, or is partial, or a destination lacks it.
    #[serde(rename = "run.failed")]
    RunFailed,
    /// Copies were read back and hold.
    #[serde(rename = "verify.done")]
    VerifyDone,
    /// A copy does not hold, or could not be read.
    #[serde(rename = "verify.failed")]
    VerifyFailed,
    /// Retention was applied.
    #[serde(rename = "prune.done")]
    PruneDone,
    /// Something that was to go could not be removed.
    #[serde(rename = "prune.failed")]
    PruneFailed,
    /// A restore was rehearsed, and what came back is what was backed up.
    #[serde(rename = "drill.done")]
    DrillDone,
    /// A rehearsal failed.
    #[serde(rename = "drill.failed")]
    DrillFailed,
    /// A damaged copy was made good.
    #[serde(rename = "repair.done")]
    RepairDone,
    /// A damaged copy could not be made good.
    #[serde(rename = "repair.failed")]
    RepairFailed,
    /// An availability check crossed its threshold.
    #[serde(rename = "check.failed")]
    CheckFailed,
    /// It is on the good side again.
    #[serde(rename = "check.recovered")]
    CheckRecovered,
    /// Another machine's backups are late, short or gone.
    #[serde(rename = "watch.failed")]
    WatchFailed,
    /// They are as they should be again.
    #[serde(rename = "watch.recovered")]
    WatchRecovered,
    /// A job was due while nothing ran.
    #[serde(rename = "job.missed")]
    JobMissed,
    /// A job failed before it could say more.
    #[serde(rename = "job.failed")]
    JobFailed,
    /// A problem that was told is still there.
    #[serde(rename = "problem.persists")]
    ProblemPersists,
    /// A problem that was told is gone.
    #[serde(rename = "problem.recovered")]
    ProblemRecovered,
    /// A new configuration is wrong, and the old one stays.
    #[serde(rename = "config.refused")]
    ConfigRefused,
    /// A tenant's backup was delivered.
    #[serde(rename = "tenant.delivered")]
    TenantDelivered,
    /// It was not.
    #[serde(rename = "tenant.failed")]
    TenantFailed,
    /// The report of a month.
    #[serde(rename = "report.monthly")]
    ReportMonthly,
    /// Somebody tries out a notifier.
    #[serde(rename = "test")]
    Test,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::RunStarted,
        Self::RunDone,
        Self::RunWarnings,
        Self::RunFailed,
        Self::VerifyDone,
        Self::VerifyFailed,
        Self::PruneDone,
        Self::PruneFailed,
        Self::DrillDone,
        Self::DrillFailed,
        Self::RepairDone,
        Self::RepairFailed,
        Self::CheckFailed,
        Self::CheckRecovered,
        Self::WatchFailed,
        Self::WatchRecovered,
        Self::JobMissed,
        Self::JobFailed,
        Self::ProblemPersists,
        Self::ProblemRecovered,
        Self::ConfigRefused,
        Self::TenantDelivered,
        Self::TenantFailed,
        Self::ReportMonthly,
        Self::Test,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::RunStarted => "run.started",
            Self::RunDone => "run.done",
            Self::RunWarnings => "run.warnings",
            Self::RunFailed => "run.failed",
            Self::VerifyDone => "verify.done",
            Self::VerifyFailed => "verify.failed",
            Self::PruneDone => "prune.done",
            Self::PruneFailed => "prune.failed",
            Self::DrillDone => "drill.done",
            Self::DrillFailed => "drill.failed",
            Self::RepairDone => "repair.done",
            Self::RepairFailed => "repair.failed",
            Self::CheckFailed => "check.failed",
            Self::CheckRecovered => "check.recovered",
            Self::WatchFailed => "watch.failed",
            Self::WatchRecovered => "watch.recovered",
            Self::JobMissed => "job.missed",
            Self::JobFailed => "job.failed",
            Self::ProblemPersists => "problem.persists",
            Self::ProblemRecovered => "problem.recovered",
            Self::ConfigRefused => "config.refused",
            Self::TenantDelivered => "tenant.delivered",
            Self::TenantFailed => "tenant.failed",
            Self::ReportMonthly => "report.monthly",
            Self::Test => "test",
        }
    }

    /// The event of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.name() == name)
    }

    /// How bad it is, where nothing says otherwise.
    pub fn severity(self) -> Severity {
        match self {
            Self::RunFailed
            | Self::VerifyFailed
            | Self::DrillFailed
            | Self::RepairFailed
            | Self::CheckFailed
            | Self::WatchFailed
            | Self::JobFailed
            | Self::ProblemPersists => Severity::Critical,
            Self::RunWarnings | Self::PruneFailed | Self::JobMissed | Self::ConfigRefused | Self::TenantFailed => Severity::Warning,
            Self::RunStarted
            | Self::RunDone
            | Self::VerifyDone
            | Self::PruneDone
            | Self::DrillDone
            | Self::RepairDone
            | Self::CheckRecovered
            | Self::WatchRecovered
            | Self::ProblemRecovered
            | Self::TenantDelivered
            | Self::ReportMonthly
            | Self::Test => Severity::Info,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_wherever_it_is_written() {
        for event in Event::ALL {
            assert_eq!(serde_json::to_value(event).expect("JSON"), event.name());
            assert_eq!(Event::named(event.name()), Some(event));
        }
        assert_eq!(Event::named("run.flown"), None);
        let severities: Vec<_> =
            [Severity::Info, Severity::Warning, Severity::Critical].iter().map(serde_json::to_value).map(Result::ok).collect();
        assert_eq!(serde_json::json!(severities), serde_json::json!(["info", "warning", "critical"]));
    }
}
