//! Every limit, tripped.

use std::time::{Duration, Instant};

use super::{doing, limited};
use crate::ports::{Destination, DestinationErrorKind, PluginLimits};

fn limits(change: impl FnOnce(&mut PluginLimits)) -> PluginLimits {
    let mut limits = PluginLimits::default();
    change(&mut limits);
    limits
}

async fn probe_fails(mode: &str, limits: PluginLimits) -> (DestinationErrorKind, String) {
    let error = limited(mode, "probe", limits).await.probe().await.expect_err("the limit holds");
    (error.kind, error.message)
}

macro_rules! trips {
    ($($test:ident: $mode:literal, $change:expr => $kind:ident, $says:literal;)*) => {$(
        #[tokio::test]
        async fn $test() {
            let (kind, message) = probe_fails($mode, limits($change)).await;
            assert_eq!(kind, DestinationErrorKind::$kind, "{message}");
            assert_eq!(message, $says);
        }
    )*};
}

trips! {
    a_memory_bomb_ends: "memory-bomb", |l| l.memory = 64 << 20 =>
        Plugin, "plug-in `hostile`: `probe` failed: it wanted more than 64 MiB of memory (limit `memory`)";
    a_spin_ends: "spin", |l| l.cpu = Duration::from_millis(100) =>
        Plugin, "plug-in `hostile`: `probe` failed: it used the processor for more than 100 ms in one call (limit `cpu`)";
    a_spin_that_rests_now_and_then_ends: "spin-with-yield", |l| l.cpu = Duration::from_millis(100) =>
        Plugin, "plug-in `hostile`: `probe` failed: it used the processor for more than 100 ms in one call (limit `cpu`)";
    a_call_that_waits_for_ever_ends: "hang-forever", |l| l.wall = Duration::from_millis(200) =>
        Timeout, "plug-in `hostile`: `probe` took longer than 200 ms (limit `wall`)";
    a_spin_ends_at_the_wall_as_well: "spin", |l| l.wall = Duration::from_millis(200) =>
        Timeout, "plug-in `hostile`: `probe` took longer than 200 ms (limit `wall`)";
    a_log_flood_ends: "log-flood", |l| l.log_bytes = 64 << 10 =>
        Plugin, "plug-in `hostile`: `probe` failed: it logged more than 64 KiB in one call (limit `log`)";
    a_flood_on_stdout_ends: "stdout-flood", |l| l.log_bytes = 64 << 10 =>
        Plugin, "plug-in `hostile`: `probe` failed: it logged more than 64 KiB in one call (limit `log`)";
    handles_are_limited: "resource-bomb", |_| {} =>
        Plugin, "plug-in `hostile`: `probe` failed: it opened more than 10000 things at once and closed none";
    a_huge_error_message_is_not_carried: "huge-error-message", |_| {} =>
        Plugin, "plug-in `hostile`: `probe` failed: it handed over more than 8 MiB of values at once";
    a_huge_error_context_is_not_carried: "huge-error-context", |_| {} =>
        Plugin, "plug-in `hostile`: `probe` failed: it handed over more than 8 MiB of values at once";
    endless_recursion_ends: "stack-bomb", |_| {} =>
        Plugin, "plug-in `hostile`: `probe` failed: it crashed: wasm trap: out of bounds memory access";
    an_exit_is_no_answer: "exit", |_| {} =>
        Plugin, "plug-in `hostile`: `probe` failed: it ended itself instead of answering";
    a_panic_says_why: "panic", |_| {} =>
        Plugin, "plug-in `hostile`: `probe` failed: it crashed: the guest panics on purpose";
    instances_are_limited: "ok", |l| l.instances = 1 =>
        Plugin, "plug-in `hostile`: it cannot start: it consists of more than 1 instances (limit `instances`)";
    memories_are_limited: "ok", |l| l.memories = 0 =>
        Plugin, "plug-in `hostile`: it cannot start: it consists of more than 0 memories (limit `memories`)";
    tables_are_limited: "ok", |l| l.tables = 0 =>
        Plugin, "plug-in `hostile`: it cannot start: it consists of more than 0 tables (limit `tables`)";
}

#[tokio::test]
async fn table_elements_are_limited() {
    let (kind, message) = probe_fails("ok", limits(|l| l.table_elements = 1)).await;
    assert_eq!(kind, DestinationErrorKind::Plugin);
    assert!(message.contains("it wanted a table of") && message.contains("(limit `table_elements`: 1)"), "{message}");
}

#[tokio::test]
async fn waiting_is_not_counted_as_processor_time() {
    let limits = limits(|l| (l.cpu, l.wall) = (Duration::from_millis(50), Duration::from_millis(500)));
    let (kind, message) = probe_fails("hang-forever", limits).await;
    assert_eq!(kind, DestinationErrorKind::Timeout, "it was ended for {message}");
}

#[tokio::test]
async fn a_trap_leaves_other_instances_alone() {
    let (crashing, honest) = (doing("trap", "probe").await, doing("ok", "probe").await);
    let (crashed, probed) = tokio::join!(crashing.probe(), honest.probe());
    assert_eq!(crashed.expect_err("it traps").kind, DestinationErrorKind::Plugin);
    assert_eq!(probed.expect("it is honest").parallel_uploads, 2);
    honest.probe().await.expect("it still is");
}

/// On a runtime of one thread: a guest that spins must not keep others from it, nor the deadline.
#[tokio::test]
async fn a_spinning_guest_holds_up_nobody() {
    let spinning = limited("spin", "probe", limits(|l| l.cpu = Duration::from_secs(20))).await;
    let honest = doing("ok", "probe").await;
    let spin = spinning.probe();
    tokio::pin!(spin);
    tokio::select! {
        biased;
        _ = &mut spin => panic!("the honest one had to wait for the spinning one"),
        probed = honest.probe() => drop(probed.expect("it is honest")),
    }
}

#[test]
fn a_call_that_nobody_waits_for_ends() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let started = runtime.block_on(async {
        let spinning = limited("spin", "probe", limits(|l| l.cpu = Duration::from_secs(60))).await;
        let abandoned = tokio::time::timeout(Duration::from_millis(100), spinning.probe()).await;
        assert!(abandoned.is_err());
        Instant::now()
    });
    // Waits for the thread on which the guest runs.
    drop(runtime);
    assert!(started.elapsed() < Duration::from_secs(20), "the guest went on for {:?}", started.elapsed());
}
