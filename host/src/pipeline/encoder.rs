//! The way out: plain bytes are cut into blocks, compressed by several threads, put back in order, encrypted and digested.
//!
//! Order is kept by a queue of one-shot receivers: the writer takes the next receiver and waits for that very block.
//! Only an explicit end makes the writer put the padding down; an encoder that is dropped leaves a file that no one can open.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::cipher::{CipherKey, Encryptor};
use super::digest::{Digester, Digests};
use super::{Compression, PipelineError, gzip, zstd};
use crate::ports::Meter;

/// Blocks that wait in order for the writer, beyond those that are being compressed.
const BLOCKS_AHEAD: usize = 2;

/// How an artifact is made.
#[derive(Debug, Clone)]
pub struct EncoderSettings {
    /// Compression.
    pub compression: Compression,
    /// Threads that compress; at least 1.
    pub threads: usize,
    /// Progress, where somebody looks.
    pub meter: Option<Arc<Meter>>,
}

/// What went through an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Plain bytes taken.
    pub plain: u64,
    /// Bytes after compression.
    pub compressed: u64,
    /// Size and digests of the ciphertext.
    pub cipher: Digests,
}

type Compressed = Result<Vec<u8>, PipelineError>;

struct Job {
    plain: Vec<u8>,
    reply: Sender<Compressed>,
}

enum Order {
    Block(Receiver<Compressed>),
    End,
}

/// Compresses and encrypts what is written to it.
pub struct Encoder<W: Write + Send + 'static> {
    block: Vec<u8>,
    block_size: usize,
    plain: u64,
    jobs: Option<Sender<Job>>,
    orders: Option<Sender<Order>>,
    spare: Receiver<Vec<u8>>,
    workers: Vec<JoinHandle<()>>,
    writer: Option<JoinHandle<Result<(W, Totals), PipelineError>>>,
    meter: Option<Arc<Meter>>,
}

impl<W: Write + Send + 'static> Encoder<W> {
    /// Starts the threads of one artifact; `key` is called on one of them, so that a key that takes its time holds up nothing else.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(settings: EncoderSettings, key: impl FnOnce() -> io::Result<CipherKey> + Send + 'static, sink: W) -> io::Result<Self> {
        let threads = settings.threads.max(1);
        let (jobs, work) = bounded::<Job>(1);
        let (orders, queue) = bounded::<Order>(threads + BLOCKS_AHEAD);
        let (plain_back, spare) = bounded(threads + BLOCKS_AHEAD + 1);
        let (output_back, outputs) = bounded(threads + BLOCKS_AHEAD + 1);
        let mut workers = Vec::with_capacity(threads);
        for _ in 0..threads {
            let (work, back, outputs) = (work.clone(), plain_back.clone(), outputs.clone());
            let compression = settings.compression;
            workers.push(std::thread::Builder::new().name("compress".into()).spawn(move || compress(compression, &work, &back, &outputs))?);
        }
        let out = Writer { sink, digester: Digester::default(), compressed: 0, meter: settings.meter.clone(), output_back };
        let writer = std::thread::Builder::new().name("encrypt".into()).spawn(move || out.run(key, &queue))?;
        let block_size = match settings.compression {
            Compression::Gzip { .. } => gzip::BLOCK_SIZE,
            Compression::Zstd { .. } => zstd::BLOCK_SIZE,
        };
        Ok(Self {
            block: Vec::with_capacity(block_size),
            block_size,
            plain: 0,
            jobs: Some(jobs),
            orders: Some(orders),
            spare,
            workers,
            writer: Some(writer),
            meter: settings.meter,
        })
    }

    /// Ends the artifact and gives the sink back.
    ///
    /// # Errors
    /// When anything on the way failed; the artifact is of no use then.
    pub fn finish(mut self) -> Result<(W, Totals), PipelineError> {
        if !self.block.is_empty() || self.plain == 0 {
            self.send_block()?;
        }
        let ended = self.orders.as_ref().is_some_and(|orders| orders.send(Order::End).is_ok());
        let plain = self.plain;
        let (sink, totals) = self.stop()?;
        if ended { Ok((sink, Totals { plain, ..totals })) } else { Err(PipelineError::ThreadDied) }
    }

    fn send_block(&mut self) -> Result<(), PipelineError> {
        let fresh = self.spare.try_recv().unwrap_or_else(|_| Vec::with_capacity(self.block_size));
        let plain = std::mem::replace(&mut self.block, fresh);
        if let Some(meter) = &self.meter {
            meter.add_plain(plain.len() as u64);
        }
        let (reply, answer) = bounded(1);
        let ordered = self.orders.as_ref().is_some_and(|orders| orders.send(Order::Block(answer)).is_ok());
        let taken = ordered && self.jobs.as_ref().is_some_and(|jobs| jobs.send(Job { plain, reply }).is_ok());
        if taken { Ok(()) } else { Err(self.stop().err().unwrap_or(PipelineError::ThreadDied)) }
    }

    /// Closes the queues and waits for the threads; without an `Order::End` before it, the writer abandons the file.
    fn stop(&mut self) -> Result<(W, Totals), PipelineError> {
        self.jobs = None;
        self.orders = None;
        let result =
            self.writer.take().map_or(Err(PipelineError::Abandoned), |writer| writer.join().unwrap_or(Err(PipelineError::ThreadDied)));
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                return Err(PipelineError::ThreadDied);
            }
        }
        result
    }
}

impl<W: Write + Send + 'static> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.block_size - self.block.len());
        self.block.extend_from_slice(&bytes[..count]);
        self.plain += count as u64;
        if self.block.len() == self.block_size {
            self.send_block()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write + Send + 'static> Drop for Encoder<W> {
    fn drop(&mut self) {
        if self.writer.is_some() {
            let _ = self.stop();
        }
    }
}

fn compress(compression: Compression, work: &Receiver<Job>, back: &Sender<Vec<u8>>, outputs: &Receiver<Vec<u8>>) {
    let mut compressor = match compression {
        Compression::Gzip { level } => Ok(AnyCompressor::Gzip(gzip::BlockCompressor::new(level))),
        Compression::Zstd { level } => zstd::BlockCompressor::new(level).map(AnyCompressor::Zstd),
    };
    for Job { mut plain, reply } in work {
        let mut output = outputs.try_recv().unwrap_or_default();
        let result = match &mut compressor {
            Ok(AnyCompressor::Gzip(gzip)) => gzip.compress(&plain, &mut output),
            Ok(AnyCompressor::Zstd(zstd)) => zstd.compress(&plain, &mut output),
            Err(error) => Err(PipelineError::Damaged(format!("the compressor cannot start: {error}"))),
        };
        plain.clear();
        let _ = back.try_send(plain);
        // Nobody waits any more when the encoder was dropped.
        let _ = reply.send(result.map(|()| output));
    }
}

enum AnyCompressor {
    Gzip(gzip::BlockCompressor),
    Zstd(zstd::BlockCompressor),
}

struct Writer<W> {
    sink: W,
    digester: Digester,
    compressed: u64,
    meter: Option<Arc<Meter>>,
    output_back: Sender<Vec<u8>>,
}

impl<W: Write> Writer<W> {
    fn run(mut self, key: impl FnOnce() -> io::Result<CipherKey>, queue: &Receiver<Order>) -> Result<(W, Totals), PipelineError> {
        let mut encryptor = Encryptor::new(&key().map_err(PipelineError::Key)?);
        let mut cipher = encryptor.header();
        self.put(&cipher)?;
        loop {
            match queue.recv() {
                Ok(Order::Block(answer)) => {
                    let block = answer.recv().map_err(|_| PipelineError::ThreadDied)??;
                    self.compressed += block.len() as u64;
                    encryptor.update(&block, &mut cipher);
                    let _ = self.output_back.try_send(block);
                    self.put(&cipher)?;
                }
                Ok(Order::End) => break,
                Err(_) => return Err(PipelineError::Abandoned),
            }
        }
        encryptor.finish(&mut cipher);
        self.put(&cipher)?;
        self.sink.flush()?;
        let totals = Totals { plain: 0, compressed: self.compressed, cipher: self.digester.finish() };
        Ok((self.sink, totals))
    }

    fn put(&mut self, cipher: &[u8]) -> io::Result<()> {
        self.digester.update(cipher);
        self.sink.write_all(cipher)?;
        if let Some(meter) = &self.meter {
            meter.add_cipher(cipher.len() as u64);
        }
        Ok(())
    }
}
