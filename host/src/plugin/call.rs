//! One call into a plug-in: on a thread where it may block, with a deadline, and ended when nobody waits for it any more.
//!
//! File access of a plug-in blocks the thread that it runs on (a hand-over for every 64 KiB would cost three times the copy itself).
//! On the threads that all destinations share, a slow disk would hold up every other copy; here it holds up its own.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use wasmtime::Store;

use super::state::State;

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
pub(super) async fn run<T, F>(mut store: Store<State>, wall: Duration, work: F) -> Result<(Store<State>, T), Lost>
where
    T: Send + 'static,
    F: for<'a> FnOnce(&'a mut Store<State>) -> Work<'a, T> + Send + 'static,
{
    let abandoned = CancellationToken::new();
    let _abandon_on_drop = abandoned.clone().drop_guard();
    let runtime = Handle::current();
    let call = move || {
        runtime.block_on(async move {
            store.data_mut().begin_call();
            let ended = tokio::select! {
                biased;
                () = abandoned.cancelled() => return Err(Lost::TooLong),
                ended = tokio::time::timeout(wall, work(&mut store)) => ended,
            };
            match ended {
                Ok(Ok(value)) => Ok((store, value)),
                Ok(Err(trap)) => Err(Lost::Crashed(store.data().explain(&trap))),
                Err(_) => Err(Lost::TooLong),
            }
        })
    };
    match tokio::time::timeout(wall.saturating_add(STUCK), tokio::task::spawn_blocking(call)).await {
        Ok(Ok(ended)) => ended,
        Ok(Err(panic)) => Err(Lost::Crashed(format!("the host's side of the call failed: {panic}"))),
        Err(_) => Err(Lost::TooLong),
    }
}
