//! Bodies between the host and a component: bounded in memory, counted, and never ending early without an error.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle};
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{InputStream, OutputStream, StreamError};

use super::throttle::Pace;
use crate::ports::{BodySink, BodySource};

/// Bytes of one block; measured best between 256 KiB and 1 MiB.
const BLOCK: usize = 512 << 10;
/// Blocks between the two sides.
const BLOCKS_AHEAD: usize = 3;

/// What a guest reads of an upload's body.
pub(super) struct BodyInput {
    blocks: mpsc::Receiver<io::Result<Bytes>>,
    current: Option<io::Result<Bytes>>,
    taken: Arc<AtomicU64>,
    reader: JoinHandle<()>,
}

/// Ends the reading of a body when the call that it was for has ended, even if the guest keeps the stream.
pub(super) struct StopReading(AbortHandle);

impl Drop for StopReading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl BodyInput {
    /// A stream of exactly `length` bytes; `taken` counts what the guest took.
    pub(super) fn new((body, length): (BodySource, u64), taken: Arc<AtomicU64>, pace: Pace) -> Self {
        let (sender, blocks) = mpsc::channel(BLOCKS_AHEAD);
        Self { blocks, current: None, taken, reader: tokio::spawn(read_ahead((body, length), sender, pace)) }
    }

    /// Dropped together with the call.
    pub(super) fn stop_when_dropped(&self) -> StopReading {
        StopReading(self.reader.abort_handle())
    }
}

async fn read_ahead((mut body, length): (BodySource, u64), sender: mpsc::Sender<io::Result<Bytes>>, pace: Pace) {
    let mut left = length;
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(BLOCK).min(pace.piece(BLOCK));
        let mut block = BytesMut::with_capacity(want);
        let outcome = loop {
            // The buffer may have more room than was asked for: `take` keeps the body to its length.
            match (&mut body).take((want - block.len()) as u64).read_buf(&mut block).await {
                Ok(0) => break Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the body ended early")),
                Ok(_) if block.len() < want => {}
                Ok(_) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        left -= block.len() as u64;
        pace.pass(block.len()).await;
        let failed = outcome.is_err();
        if sender.send(outcome.map(|()| block.freeze())).await.is_err() || failed {
            return;
        }
    }
}

impl Drop for BodyInput {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

#[async_trait::async_trait]
impl Pollable for BodyInput {
    async fn ready(&mut self) {
        if self.current.is_none() {
            self.current = self.blocks.recv().await;
        }
    }
}

#[async_trait::async_trait]
impl InputStream for BodyInput {
    fn read(&mut self, size: usize) -> Result<Bytes, StreamError> {
        if self.current.is_none() {
            self.current = match self.blocks.try_recv() {
                Ok(block) => Some(block),
                Err(mpsc::error::TryRecvError::Empty) => return Ok(Bytes::new()),
                Err(mpsc::error::TryRecvError::Disconnected) => return Err(StreamError::Closed),
            };
        }
        match self.current.take() {
            Some(Ok(mut block)) => {
                let part = block.split_to(block.len().min(size));
                if !block.is_empty() {
                    self.current = Some(Ok(block));
                }
                self.taken.fetch_add(part.len() as u64, Ordering::Relaxed);
                Ok(part)
            }
            Some(Err(error)) => Err(StreamError::LastOperationFailed(error.into())),
            None => Ok(Bytes::new()),
        }
    }
}

/// Where a guest writes what it read from the service.
pub(super) struct SinkOutput {
    blocks: Option<mpsc::Sender<Bytes>>,
    given: Arc<AtomicU64>,
    most: u64,
    pace: Pace,
}

/// The other end of a [`SinkOutput`].
pub(super) struct SinkEnd {
    writer: JoinHandle<io::Result<()>>,
    given: Arc<AtomicU64>,
}

/// A stream of at most `most` bytes into `sink`, and the handle by which the host waits for its end.
pub(super) fn sink_output(sink: BodySink, most: u64, pace: Pace) -> (SinkOutput, SinkEnd) {
    let (sender, blocks) = mpsc::channel(BLOCKS_AHEAD);
    let given = Arc::new(AtomicU64::new(0));
    let writer = tokio::spawn(write_out(sink, blocks, pace.clone()));
    (SinkOutput { blocks: Some(sender), given: Arc::clone(&given), most, pace }, SinkEnd { writer, given })
}

async fn write_out(mut sink: BodySink, mut blocks: mpsc::Receiver<Bytes>, pace: Pace) -> io::Result<()> {
    while let Some(block) = blocks.recv().await {
        pace.pass(block.len()).await;
        sink.write_all(&block).await?;
    }
    sink.shutdown().await
}

impl SinkEnd {
    /// What counts the bytes that the guest gives.
    pub(super) fn given(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.given)
    }

    /// Waits until everything is written; returns how many bytes the guest gave.
    pub(super) async fn finish(mut self) -> io::Result<u64> {
        (&mut self.writer).await.map_err(io::Error::other)??;
        Ok(self.given.load(Ordering::Relaxed))
    }

    /// Why the sink took no more, if that is what ended the call.
    pub(super) async fn failure(mut self) -> Option<io::Error> {
        if !self.writer.is_finished() {
            return None;
        }
        (&mut self.writer).await.ok()?.err()
    }
}

impl Drop for SinkEnd {
    fn drop(&mut self) {
        self.writer.abort();
    }
}

#[async_trait::async_trait]
impl Pollable for SinkOutput {
    async fn ready(&mut self) {
        if let Some(blocks) = &self.blocks
            && blocks.reserve().await.is_err()
        {
            self.blocks = None;
        }
    }
}

#[async_trait::async_trait]
impl OutputStream for SinkOutput {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        let Some(blocks) = &self.blocks else { return Err(StreamError::Closed) };
        let length = bytes.len() as u64;
        if self.given.load(Ordering::Relaxed).saturating_add(length) > self.most {
            return Err(StreamError::trap(&format!("it gave more than the {} bytes that it was asked for", self.most)));
        }
        match blocks.try_send(bytes) {
            Ok(()) => {
                self.given.fetch_add(length, Ordering::Relaxed);
                Ok(())
            }
            Err(mpsc::error::TrySendError::Full(_)) => Err(StreamError::trap("the plug-in wrote more than it was permitted to")),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(StreamError::Closed),
        }
    }

    // Nothing to do: the host itself waits for the last byte before it believes a read.
    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        match &self.blocks {
            Some(blocks) if blocks.is_closed() => Err(StreamError::Closed),
            Some(blocks) if blocks.capacity() > 0 => Ok(self.pace.piece(BLOCK)),
            Some(_) => Ok(0),
            None => Err(StreamError::Closed),
        }
    }
}
