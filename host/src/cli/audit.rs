//! `cofre audit`: the log for people and scripts, and whether it is what was written.

use std::path::Path;

use super::Exit;
use super::args::AuditCommand;
use super::render::{Renderer, table};
use crate::audit::{Findings, Head};
use crate::job::{self, Context, JobError};
use crate::text::{Locale, audit_entry, audit_findings};

/// Lists, or verifies.
pub(super) fn run(context: &Context, command: AuditCommand, (renderer, locale): (Renderer, Locale)) -> Result<Exit, JobError> {
    match command {
        AuditCommand::List { since } => {
            let (entries, older) = job::audit_entries(context, since)?;
            let value = serde_json::json!({ "entries": entries, "older": older });
            renderer.result("audit", &value, || {
                let rows: Vec<_> = entries.iter().map(|entry| audit_entry(entry, locale)).collect();
                let more = if older == 0 {
                    String::new()
                } else {
                    format!("… {older} {}\n", locale.pick("mais antigas não são mostradas", "older ones are not shown"))
                };
                format!("{more}{}", table(&rows))
            });
            Ok(Exit::Done)
        }
        AuditCommand::Verify { at: None, head } => Ok(told(&job::audit_verify(context, head)?, (renderer, locale))),
        AuditCommand::Verify { at: Some(directory), head } => verify_at(&directory, head, (renderer, locale)),
    }
}

/// Verifies a copy, for which no configuration is needed.
pub(super) fn verify_at(directory: &Path, head: Option<Head>, shown: (Renderer, Locale)) -> Result<Exit, JobError> {
    Ok(told(&job::audit_verify_at(directory, head)?, shown))
}

fn told(findings: &Findings, (renderer, locale): (Renderer, Locale)) -> Exit {
    renderer.result("audit", findings, || audit_findings(findings, locale));
    if findings.fault.is_none() { Exit::Done } else { Exit::Damage }
}
