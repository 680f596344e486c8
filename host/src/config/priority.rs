//! `[run]`: how much of the machine a run leaves to others.

use schemars::JsonSchema;
use serde::Deserialize;

use super::diagnostics::Problems;

/// How a run behaves towards what else the machine does.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawRun {
    /// Niceness on the processor, 0 to 19. Default: as cofre was started.
    pub nice: Option<i32>,
    /// Priority at the disks: `idle`, or `best-effort:0` (first) to `best-effort:7`. Default: as cofre was started.
    pub ionice: Option<String>,
}

/// The same, once it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Priority {
    /// Niceness.
    pub nice: Option<i32>,
    /// Priority at the disks.
    pub io: Option<IoPriority>,
}

/// Priority at the disks, as ionice(1) knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoPriority {
    /// Only when nobody else wants anything.
    Idle,
    /// With the others, at a level from 0 to 7.
    BestEffort(u8),
}

impl IoPriority {
    fn parse(text: &str) -> Result<Self, String> {
        let level = text.strip_prefix("best-effort:").and_then(|level| level.parse().ok()).filter(|level| *level <= 7);
        match (text, level) {
            ("idle", _) => Ok(Self::Idle),
            (_, Some(level)) => Ok(Self::BestEffort(level)),
            _ => Err(format!("`{text}` is not known; write `idle`, or `best-effort:0` to `best-effort:7`")),
        }
    }
}

/// What was written, as far as it holds.
pub(super) fn resolve(raw: &RawRun, problems: &mut Problems<'_>) -> Priority {
    if let Some(nice) = raw.nice.filter(|nice| !(0..=19).contains(nice)) {
        problems.add(("run", 0, "nice"), format!("{nice} is no niceness of a backup; write 0 to 19"));
    }
    let io = raw.ionice.as_deref().map(IoPriority::parse).transpose();
    Priority { nice: raw.nice, io: problems.keep(("run", 0, "ionice"), io).flatten() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_those_of_ionice() {
        assert_eq!(["idle", "best-effort:7"].map(IoPriority::parse), [Ok(IoPriority::Idle), Ok(IoPriority::BestEffort(7))]);
        for text in ["", "best-effort", "best-effort:8", "best-effort:-1", "realtime:0"] {
            assert!(IoPriority::parse(text).is_err(), "{text}");
        }
    }
}
