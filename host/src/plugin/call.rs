//! One call into a plug-in: on a thread where it may block, with a deadline, and ended when nobody waits for it any more.
//!
//! File access of a plug-in blocks the thread that it runs on (a hand-over for every 64 KiB would cost three times the copy itself).
//! On the threads that all destinations share, a slow disk would hold up every other copy; here it holds up its own.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasmtime::Store;

use super::state::State;
use super::throttle::Waited;

/// What a call does with its store.
pub(super) type Work<'a, T> = Pin<Box<dyn Future<Output = wasmtime::Result<T>> + Send + 'a>>;

/// How much longer than its deadline a call may be stuck in the host, for example on a network drive that is gone, before it is left behind.
const STUCK: Duration = Duration::from_secs(5);

/// Why a call did not come back. Its store is gone: what it held cannot be trusted.
#[derive(Debug)]
pub(super) enum Lost {
    /// A trap or a limit, in words for a person.
    Crashed(String),
    /// The deadline passed.
    TooLong,
}

/// Runs `work` on `store` and gives the store back if all went well. Dropping this future ends the call within a clock tick.
///
/// The deadline is `limit.0` from now, and later by as long as the call has waited for bandwidth, which is not its own doing.
pub(super) async fn run<T, F>(mut store: Store<State>, limit: (Duration, Waited), work: F) -> Result<(Store<State>, T), Lost>
where
    T: Send + 'static,
    F: for<'a> FnOnce(&'a mut Store<State>) -> Work<'a, T> + Send + 'static,
{
    let abandoned = CancellationToken::new();
    let _abandon_on_drop = abandoned.clone().drop_guard();
    let runtime = Handle::current();
    let (wall, waited) = limit;
    let waits = waited.clone();
    let call = move || {
        runtime.block_on(async move {
            store.data_mut().begin_call();
            let ended = tokio::select! {
                biased;
                () = abandoned.cancelled() => return Err(Lost::TooLong),
                ended = within(wall, &waits, work(&mut store)) => ended,
            };
            match ended {
                Ok(Ok(value)) => Ok((store, value)),
                Ok(Err(trap)) => Err(Lost::Crashed(store.data().explain(&trap))),
                Err(_) => Err(Lost::TooLong),
            }
        })
    };
    match within(wall.saturating_add(STUCK), &waited, tokio::task::spawn_blocking(call)).await {
        Ok(Ok(ended)) => ended,
        Ok(Err(panic)) => Err(Lost::Crashed(format!("the host's side of the call failed: {panic}"))),
        Err(_) => Err(Lost::TooLong),
    }
}

/// As [`tokio::time::timeout`], without the time in which the call waited for its bandwidth.
async fn within<T>(limit: Duration, waited: &Waited, work: impl Future<Output = T>) -> Result<T, TooLate> {
    let began = Instant::now();
    let mut work = std::pin::pin!(work);
    loop {
        let deadline = began + limit.saturating_add(waited.total());
        match tokio::time::timeout_at(deadline, work.as_mut()).await {
            Ok(ended) => return Ok(ended),
            Err(_) if began + limit.saturating_add(waited.total()) <= Instant::now() => return Err(TooLate),
            // It waited meanwhile.
            Err(_) => {}
        }
    }
}

/// The deadline passed.
#[derive(Debug)]
struct TooLate;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::throttle::{Pace, Throttle};
    use crate::ports::{Bandwidth, BandwidthLimit};
    use std::sync::Arc;

    fn pace(rate: u64) -> Pace {
        Arc::new(Throttle::new(Bandwidth { limits: vec![BandwidthLimit { rate, between: None }], zone: None })).pace()
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_bandwidth_is_no_time_of_the_call() {
        let (limit, slow) = (Duration::from_secs(10), pace(1));
        let waits = async {
            for _ in 0..100 {
                slow.pass(1).await;
            }
        };
        assert!(within(limit, &slow.waited, waits).await.is_ok(), "100 s of waiting");
        let next = pace(1);
        let dawdles = async {
            next.pass(20).await;
            std::future::pending::<()>().await;
        };
        let began = Instant::now();
        assert!(within(limit, &next.waited, dawdles).await.is_err());
        assert_eq!(began.elapsed(), Duration::from_secs(30), "its own ten, and twenty of waiting");
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_wait_has_no_more_time() {
        let began = Instant::now();
        assert!(within(Duration::from_secs(10), &Waited::default(), std::future::pending::<()>()).await.is_err());
        assert_eq!(began.elapsed(), Duration::from_secs(10));
    }
}
