//! What one store may use up, and the sentence that a person reads when it wanted more.
//!
//! Memory, tables and instances are refused where they are asked for. Processor time is that of the thread which runs the call, the
//! host's work for the guest included and waiting excluded, and is looked at on every clock tick in which the guest runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::component::ResourceTableError;
use wasmtime::{ResourceLimiter, Trap};
use wasmtime_wasi::I32Exit;

use crate::ports::PluginLimits;

/// Bytes of values that a guest may hand to the host at once, and that a listing or an error may have in all.
pub(super) const HOSTCALL_FUEL: usize = 8 << 20;
/// Bytes of a body for which a call gets its processor time once more: ciphers without the processor's own instructions for them, as
/// components have them, do some 10 MB a second at worst, and one read may be a whole object.
const BODY_STEP: u64 = 64 << 20;
/// Handles and table entries of one store.
pub(super) const HANDLES_MAX: usize = 10_000;

/// What a store has used, and which limit it hit.
#[derive(Debug)]
pub(super) struct Usage {
    limits: PluginLimits,
    memory: u64,
    /// Most memory of any store of the same instance.
    peak: Arc<AtomicU64>,
    /// Processor time of the thread when the call began.
    began: Duration,
    /// Bytes that the call has moved of its body, and the counter of the next call.
    moved: Arc<AtomicU64>,
    next: Option<Arc<AtomicU64>>,
    hit: Option<String>,
}

impl Usage {
    pub(super) fn new(limits: PluginLimits, peak: Arc<AtomicU64>) -> Self {
        Self { limits, memory: 0, peak, began: Duration::ZERO, moved: Arc::default(), next: None, hit: None }
    }

    /// Names the counter of the body that the next call moves.
    pub(super) fn moving(&mut self, moved: Arc<AtomicU64>) {
        self.next = Some(moved);
    }

    /// Counts from here; must run on the thread that runs the call.
    pub(super) fn begin_call(&mut self) {
        self.began = processor_time();
        self.moved = self.next.take().unwrap_or_default();
        self.hit = None;
    }

    /// Fails once the call has used its processor time.
    pub(super) fn check_processor(&mut self) -> wasmtime::Result<()> {
        let steps = u32::try_from(self.moved.load(Ordering::Relaxed) / BODY_STEP).unwrap_or(u32::MAX);
        let limit = self.limits.cpu.saturating_mul(steps.saturating_add(1));
        if processor_time().saturating_sub(self.began) <= limit {
            return Ok(());
        }
        let message = format!("it used the processor for more than {} ms in one call (limit `cpu`)", limit.as_millis());
        self.hit = Some(message.clone());
        Err(wasmtime::Error::msg(message))
    }

    /// Why a call ended in `trap`.
    pub(super) fn explain(&self, trap: &wasmtime::Error, last_words: Option<String>) -> String {
        if let Some(limit) = &self.hit {
            return limit.clone();
        }
        if trap.downcast_ref::<I32Exit>().is_some() {
            return "it ended itself instead of answering".to_owned();
        }
        if trap.downcast_ref::<Trap>() == Some(&Trap::StackOverflow) {
            return "it crashed: it used more stack than there is".to_owned();
        }
        let cause = trap.root_cause().to_string();
        if trap.downcast_ref::<ResourceTableError>().is_some() || cause.contains("handle limit") || cause.contains("no free keys") {
            return format!("it opened more than {HANDLES_MAX} things at once and closed none");
        }
        if cause.contains("fuel allocated for hostcalls") {
            return format!("it handed over more than {} MiB of values at once", HOSTCALL_FUEL >> 20);
        }
        if let Some(count) = cause.strip_prefix("resource limit exceeded: ") {
            return self.too_many(count);
        }
        last_words.map_or_else(|| format!("it crashed: {cause}"), |words| format!("it crashed: {words}"))
    }

    /// wasmtime says, for example, `instance count too high at 33`.
    fn too_many(&self, count: &str) -> String {
        let PluginLimits { instances, tables, memories, .. } = self.limits;
        let (name, limit) = match count.split(' ').next() {
            Some("instance") => ("instances", instances),
            Some("table") => ("tables", tables),
            _ => ("memories", memories),
        };
        format!("it consists of more than {limit} {name} (limit `{name}`)")
    }
}

/// Processor time that this thread has used.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

impl ResourceLimiter for Usage {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_add(desired.saturating_sub(current) as u64);
        if total > self.limits.memory {
            self.hit = Some(format!("it wanted more than {} MiB of memory (limit `memory`)", self.limits.memory >> 20));
            return Ok(false);
        }
        self.memory = total;
        self.peak.fetch_max(total, Ordering::Relaxed);
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let limit = self.limits.table_elements;
        if desired > limit {
            self.hit = Some(format!("it wanted a table of {desired} elements (limit `table_elements`: {limit})"));
        }
        Ok(desired <= limit)
    }

    fn instances(&self) -> usize {
        self.limits.instances
    }

    fn tables(&self) -> usize {
        self.limits.tables
    }

    fn memories(&self) -> usize {
        self.limits.memories
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_a_spin(moved: u64) -> wasmtime::Result<()> {
        let limit = Duration::from_millis(2);
        let mut usage = Usage::new(PluginLimits { cpu: limit, ..PluginLimits::default() }, Arc::default());
        let counter = Arc::new(AtomicU64::new(0));
        usage.moving(Arc::clone(&counter));
        usage.begin_call();
        while processor_time() < usage.began + 2 * limit {}
        counter.store(moved, Ordering::Relaxed);
        usage.check_processor()
    }

    #[test]
    fn who_moves_a_large_body_may_compute_longer() {
        assert!(after_a_spin(BODY_STEP - 1).is_err());
        assert!(after_a_spin(1_000 * BODY_STEP).is_ok());
    }

    #[test]
    fn a_body_of_an_earlier_call_counts_no_more() {
        let mut usage = Usage::new(PluginLimits { cpu: Duration::ZERO, ..PluginLimits::default() }, Arc::default());
        usage.moving(Arc::new(AtomicU64::new(u64::MAX)));
        usage.begin_call();
        assert_eq!(usage.moved.load(Ordering::Relaxed), u64::MAX);
        usage.begin_call();
        assert_eq!(usage.moved.load(Ordering::Relaxed), 0);
    }
}
