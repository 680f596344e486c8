//! Stands in for `gloo-timers`, which counts time through JavaScript, by tokio's timer. Only what `russh-sftp` calls is here.

/// Timers to wait for.
pub mod future {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    /// Is ready once its time has passed.
    #[derive(Debug)]
    pub struct TimeoutFuture(Pin<Box<tokio::time::Sleep>>);

    impl TimeoutFuture {
        /// A timer of so many milliseconds.
        pub fn new(milliseconds: u32) -> Self {
            Self(Box::pin(tokio::time::sleep(Duration::from_millis(milliseconds.into()))))
        }
    }

    impl Future for TimeoutFuture {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
            self.0.as_mut().poll(context)
        }
    }
}
