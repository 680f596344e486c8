//! Refusals: what must fail fails in the words of the contract, since the host acts on the kind alone.

use crate::report::Outcome;
use crate::stage::{Doing as _, Fault, Item, Stage, Verdict};
use crate::subject::{Answer, Failure, Kind, Subject};
use crate::suite::{Refusal, Verb};

/// Bytes of an upload that must be refused.
const PUT: u64 = 1 << 20;

/// Tries one refusal.
pub(crate) fn refusal(stage: &Stage<'_>, refusal: &Refusal<'_>) -> Verdict {
    let item = stage.item("object");
    if matches!(refusal.verb, Some(Verb::Read | Verb::Stat | Verb::Delete)) {
        stage.put_small(&item, 100)?;
    }
    let failure = match &refusal.subject {
        // The settings were refused before there was anything to call.
        Err(failure) => Some(failure.clone()),
        Ok(subject) => attempt(stage, refusal, (subject.as_ref(), &item)),
    };
    let wanted = refusal.error;
    match failure {
        None => Err(Fault::new(format!("it is not refused, where it must be `{wanted}`"))),
        Some(failure) if failure.kind != wanted => {
            Err(Fault::new(format!("it is refused as `{}`, where it must be `{wanted}` ({})", failure.kind, failure.message)))
        }
        Some(failure) if failure.message.trim().is_empty() => Err(Fault::new("it is refused without a word of why")),
        Some(failure) => Ok(Outcome::Passed(Some(failure.to_string()))),
    }
}

fn attempt(stage: &Stage<'_>, refusal: &Refusal<'_>, (subject, item): (&dyn Subject, &Item)) -> Option<Failure> {
    let put = || put(stage, subject, (item, refusal.bytes.unwrap_or(PUT)));
    match refusal.verb {
        None => subject.probe().err().or_else(put),
        Some(Verb::Probe) => subject.probe().err(),
        Some(Verb::Put) => put(),
        Some(Verb::Read) => subject.read(&item.key, 0, None, Box::new(std::io::sink())).err(),
        Some(Verb::Stat) => subject.stat(&item.key).err(),
        Some(Verb::List) => subject.list(stage.prefix(), None).err(),
        Some(Verb::Delete) => subject.delete(&item.key).err(),
    }
}

/// Why an upload fails; what it stored is removed as far as that is permitted.
fn put(stage: &Stage<'_>, subject: &dyn Subject, (item, size): (&Item, u64)) -> Option<Failure> {
    let mut session = match subject.begin(&item.key, Some(size)) {
        Ok(session) => session,
        Err(failure) => return Some(failure),
    };
    let mut upload = || -> Answer<()> {
        let mut offset = 0;
        while offset < size {
            let end = offset.saturating_add(stage.part()).min(size);
            offset = session.write(Box::new(item.pattern.body(offset, end)), end - offset)?;
            if offset != end {
                return Err(Failure::new(Kind::Plugin, format!("a write up to {end} says that it is at {offset}")));
            }
        }
        session.finish().map(drop)
    };
    let failure = upload().err();
    match failure {
        Some(_) => drop(session.abort()),
        None => drop(subject.delete(&item.key).doing("delete")),
    }
    failure
}
