//! The pace of bodies, where the administrator limits it: one for all transfers of an instance, in both directions.
//!
//! It sits where the host hands a body to a plug-in and takes one from it, so that it holds for every kind of plug-in, whatever it does
//! with the bytes then. What a protocol adds of its own is not in it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::ports::Bandwidth;

/// What may be made good of the time in which nothing passed.
const BURST: Duration = Duration::from_millis(125);
/// Pieces of a second's bytes: small ones keep a slow line even, and its other end awake.
const PIECES: u64 = 8;
/// Smallest piece, in bytes.
const PIECE_MIN: usize = 4 << 10;

/// Time that a call spent waiting for its turn; it is none of the call's own.
#[derive(Debug, Clone, Default)]
pub(super) struct Waited(Arc<AtomicU64>);

impl Waited {
    fn add(&self, wait: Duration) {
        self.0.fetch_add(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// So far, and what a wait that goes on will have taken.
    pub(super) fn total(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// The bucket of one instance. The default lets everything through.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    bandwidth: Bandwidth,
    /// Until when the line is taken by what already passed or has its turn.
    taken: Mutex<Option<Instant>>,
}

/// The way of one call's body through the bucket.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace {
    throttle: Arc<Throttle>,
    /// Where the waits of the call are counted.
    pub(super) waited: Waited,
}

impl Throttle {
    pub(super) fn new(bandwidth: Bandwidth) -> Self {
        Self { bandwidth, taken: Mutex::default() }
    }

    /// For one call.
    pub(super) fn pace(self: &Arc<Self>) -> Pace {
        Pace { throttle: Arc::clone(self), waited: Waited::default() }
    }

    /// Takes the next turn; returns how long it is until then.
    fn reserve(&self, bytes: usize, limit: Option<u64>, now: Instant) -> Duration {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(limit) = limit else {
            *taken = None;
            return Duration::ZERO;
        };
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let begin = taken.map_or(now, |taken| taken.max(earliest));
        let end = begin + Duration::from_secs_f64(bytes as f64 / limit.max(1) as f64);
        *taken = Some(end);
        end.saturating_duration_since(now)
    }
}

impl Pace {
    /// Most bytes that should pass at once, up to `most`.
    pub(super) fn piece(&self, most: usize) -> usize {
        let piece = self.throttle.bandwidth.now().map(|limit| usize::try_from(limit / PIECES).unwrap_or(usize::MAX));
        piece.map_or(most, |piece| piece.clamp(PIECE_MIN, most))
    }

    /// Waits until so many bytes may pass. The turns of all transfers come in the order in which they ask.
    pub(super) async fn pass(&self, bytes: usize) {
        let wait = self.throttle.reserve(bytes, self.throttle.bandwidth.now(), Instant::now());
        if !wait.is_zero() {
            self.waited.add(wait);
            tokio::time::sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::BandwidthLimit;

    fn throttle(rate: u64) -> Arc<Throttle> {
        Arc::new(Throttle::new(Bandwidth { limits: vec![BandwidthLimit { rate, between: None }], zone: None }))
    }

    #[tokio::test(start_paused = true)]
    async fn transfers_at_once_share_one_line() {
        let throttle = throttle(1_000);
        let began = Instant::now();
        let one = |pace: Pace| async move {
            for _ in 0..10 {
                pace.pass(100).await;
            }
            pace.waited.total()
        };
        let (a, b) = tokio::join!(one(throttle.pace()), one(throttle.pace()));
        assert_eq!(began.elapsed(), Duration::from_secs(2), "2000 bytes at 1000 a second");
        assert!(a > Duration::from_millis(1_800) && b > Duration::from_millis(1_800), "each waited for the other: {a:?}, {b:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nothing_passed_is_made_good_a_little_only() {
        let pace = throttle(1_000).pace();
        pace.pass(1).await;
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        let began = Instant::now();
        pace.pass(1_000).await;
        assert_eq!(began.elapsed() + BURST, Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_transfer_that_is_cancelled_stops_waiting_and_holds_up_nobody() {
        let throttle = throttle(1_000);
        let abandoned = throttle.pace();
        let cancelled = tokio::time::timeout(Duration::from_millis(10), abandoned.pass(500)).await;
        assert!(cancelled.is_err(), "it did not wait");
        let began = Instant::now();
        throttle.pace().pass(100).await;
        assert!(began.elapsed() <= Duration::from_millis(600), "{:?}", began.elapsed());
    }

    #[test]
    fn another_hour_brings_another_pace() {
        let (throttle, now) = (throttle(1), Instant::now());
        assert_eq!(throttle.reserve(1_000, Some(1_000), now), Duration::from_secs(1));
        assert_eq!(throttle.reserve(1_000, None, now), Duration::ZERO, "no limit any more");
        assert_eq!(throttle.reserve(1_000, Some(500), now), Duration::from_secs(2));
        assert_eq!(throttle.reserve(1_000, Some(2_000), now), Duration::from_millis(2_500));
    }

    #[test]
    fn pieces_are_small_on_a_slow_line() {
        let piece = |rate| throttle(rate).pace().piece(512 << 10);
        assert_eq!([1, 1 << 20, 1 << 30].map(piece), [PIECE_MIN, 128 << 10, 512 << 10]);
        assert_eq!(Pace::default().piece(9), 9);
    }
}
