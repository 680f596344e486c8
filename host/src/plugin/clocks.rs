//! The clocks that a plug-in sees: right, and no finer than a millisecond, so that it cannot measure what others do on the machine.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtxBuilder};

/// What both clocks are rounded down to.
const STEP: Duration = Duration::from_millis(1);

/// Gives a sandbox these clocks.
pub(super) fn coarsen(wasi: &mut WasiCtxBuilder) {
    wasi.monotonic_clock(Monotonic(Instant::now())).wall_clock(Wall);
}

/// Counts from when its store was made.
struct Monotonic(Instant);

impl HostMonotonicClock for Monotonic {
    fn resolution(&self) -> u64 {
        nanoseconds(STEP)
    }

    fn now(&self) -> u64 {
        nanoseconds(rounded(self.0.elapsed()))
    }
}

struct Wall;

impl HostWallClock for Wall {
    fn resolution(&self) -> Duration {
        STEP
    }

    fn now(&self) -> Duration {
        rounded(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

/// Down to [`STEP`].
fn rounded(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs()) + Duration::from_millis(u64::from(time.subsec_millis()))
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
