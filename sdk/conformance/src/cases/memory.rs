//! Memory: one instance has at most 64 MiB, whatever went through it.

use crate::report::Outcome;
use crate::stage::{Doing as _, Fault, Stage, Verdict, must};

/// Bytes that one instance may have.
const MOST: u64 = 64 << 20;

/// Looks at the largest instance of the whole run, after an upload and a read that would not fit.
pub(super) fn memory(stage: &Stage<'_>) -> Verdict {
    if stage.subject().memory_peak().is_none() {
        return Err(Fault::skip("the memory of an instance cannot be seen here"));
    }
    // Larger than the limit, and small next to what the large object may be.
    let (item, size) = (stage.item("object"), MOST + (8 << 20) + 1);
    stage.needs(size)?;
    stage.put(&item, size, Some(size))?;
    stage.read(&item, 0, None).doing("read")?;
    let peak = stage.subject().memory_peak().unwrap_or(0);
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    must!(peak <= MOST, "an instance had {:.1} MiB of memory, and 64 MiB are allowed", mib(peak));
    Ok(Outcome::Passed(Some(format!("{:.1} MiB at most", mib(peak)))))
}
