//! Stands in for `russh-util`: the real one takes every `wasm32` for a browser and spawns through JavaScript. A component has tokio and a
//! clock of its own, so tasks are tokio's and time is the standard library's. Only what `russh` calls is here.

/// Tasks.
pub mod runtime {
    use std::fmt;
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    /// A task ended without a result: it panicked, or its runtime is gone.
    #[derive(Debug)]
    pub struct JoinError;

    impl fmt::Display for JoinError {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the task ended without a result")
        }
    }

    impl std::error::Error for JoinError {}

    /// A task that was spawned; goes on when this is dropped.
    #[derive(Debug)]
    pub struct JoinHandle<T: Send>(tokio::task::JoinHandle<T>);

    impl<T: Send> Future for JoinHandle<T> {
        type Output = Result<T, JoinError>;

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
            Pin::new(&mut self.0).poll(context).map(|ended| ended.map_err(|_| JoinError))
        }
    }

    /// Runs a task beside the others of the current tokio runtime.
    pub fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        JoinHandle(tokio::spawn(task))
    }
}

/// Time.
pub mod time {
    pub use std::time::Instant;
}
