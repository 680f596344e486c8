//! Stands in for `wasm-bindgen-futures`, which spawns through JavaScript, by tokio's local tasks. Only what `russh-sftp` calls is here.

use std::future::Future;

/// Runs a task on this thread; the caller must be inside a tokio `LocalSet`.
pub fn spawn_local(task: impl Future<Output = ()> + 'static) {
    tokio::task::spawn_local(task);
}
