//! Reading the audit log: its entries, and whether they are what was written.

use std::collections::VecDeque;
use std::path::Path;

use jiff::Timestamp;

use super::context::{Context, JobError};
use crate::audit::{AuditLog, Entry, Findings, Head};

/// Entries that a list has: the newest.
const LISTED_MAX: usize = 10_000;

/// The entries of the log since a moment, oldest first: the newest ten thousand. Also how many older ones there are since then.
///
/// # Errors
/// When it cannot be read.
pub fn audit_entries(context: &Context, since: Option<Timestamp>) -> Result<(Vec<Entry>, u64), JobError> {
    let (mut newest, mut older) = (VecDeque::new(), 0);
    context.audit.log().entries(|entry| {
        if since.is_none_or(|since| entry.at >= since) {
            newest.push_back(entry);
        }
        if newest.len() > LISTED_MAX {
            newest.pop_front();
            older += 1;
        }
    })?;
    Ok((newest.into(), older))
}

/// The newest entries before a number, newest first, at most so many.
///
/// # Errors
/// When it cannot be read.
pub fn audit_page(context: &Context, before: Option<u64>, most: usize) -> Result<Vec<Entry>, JobError> {
    audit_found(context, before, most, |_| true)
}

/// The same of those that fit.
///
/// # Errors
/// When it cannot be read.
pub fn audit_found(context: &Context, before: Option<u64>, most: usize, fits: impl Fn(&Entry) -> bool) -> Result<Vec<Entry>, JobError> {
    let mut newest = VecDeque::with_capacity(most.min(LISTED_MAX));
    context.audit.log().entries(|entry| {
        if before.is_none_or(|before| entry.seq < before) && fits(&entry) {
            newest.push_back(entry);
        }
        if newest.len() > most {
            newest.pop_front();
        }
    })?;
    Ok(newest.into_iter().rev().collect())
}

/// Follows the chain of the log, and compares it with what `audit.head`, the catalogue and, in `remembered`, a person know of it.
///
/// # Errors
/// When it cannot be read.
pub fn audit_verify(context: &Context, remembered: Option<Head>) -> Result<Findings, JobError> {
    // Before the files, which may grow meanwhile.
    let recorded = context.catalog.audit_head()?.map(|(count, hash)| Head { count, hash });
    let known = recorded.map(|head| ("the catalogue".to_owned(), head)).into_iter().chain(yours(remembered));
    Ok(context.audit.log().verify(known.collect())?)
}

/// The same for a copy of the files in another directory.
///
/// # Errors
/// When there is none, or it cannot be read.
pub fn audit_verify_at(directory: &Path, remembered: Option<Head>) -> Result<Findings, JobError> {
    let findings = AuditLog::new(directory).verify(yours(remembered).into_iter().collect())?;
    if findings.files == 0 && findings.fault.is_none() {
        return Err(JobError::Request(format!("there is no audit log in `{}`", directory.display())));
    }
    Ok(findings)
}

fn yours(remembered: Option<Head>) -> Option<(String, Head)> {
    remembered.map(|head| ("--head".to_owned(), head))
}
