//! The way back: decrypts, finds the members or frames that the encoder wrote, decompresses them in parallel, in order.
//!
//! An artifact that somebody made with `tar | gzip | openssl` reads as well, on one thread. The end of the stream is
//! reported only after padding, trailers and the end of the input all held.

use std::io::{self, BufReader, Read};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::cipher::{DecryptReader, Kdf, Passphrase, read_full};
use super::{Compression, PipelineError, gzip, zstd};

const BLOCKS_AHEAD: usize = 2;

/// Reads the plain bytes of an artifact. After a failure it only fails: nothing behind a damaged block is given out.
pub struct Decoder {
    inner: Inner,
    failed: bool,
}

enum Inner {
    Parallel(Parallel),
    Single(Box<dyn Read + Send>),
}

impl Decoder {
    /// Opens an artifact; fails at once where the passphrase is wrong.
    ///
    /// # Errors
    /// When the source is no artifact, or its first bytes do not decrypt to compressed data.
    pub fn open(
        source: impl Read + Send + 'static,
        passphrase: &Passphrase,
        kdf: Kdf,
        compression: Compression,
        threads: usize,
    ) -> Result<Self, PipelineError> {
        let mut plain = DecryptReader::open(source, passphrase, kdf)?;
        let mut head = vec![0; gzip::HEADER_SIZE.max(zstd::HEADER_SIZE)];
        let got = match read_full(&mut plain, &mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(PipelineError::WrongPassphrase),
            other => other?,
        };
        head.truncate(got);
        let (known, ours) = match compression {
            Compression::Gzip { .. } => (gzip::is_gzip(&head), gzip::parse_header(&head[..got.min(gzip::HEADER_SIZE)]).is_some()),
            Compression::Zstd { .. } => (zstd::is_zstd(&head), zstd::parse_header(&head).is_some()),
        };
        if !known {
            return Err(PipelineError::WrongPassphrase);
        }
        let stream = io::Cursor::new(head).chain(plain);
        let inner = match (ours, compression) {
            (true, _) => Inner::Parallel(Parallel::start(stream, compression, threads.max(1))?),
            (false, Compression::Gzip { .. }) => Inner::Single(Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::new(stream)))),
            (false, Compression::Zstd { .. }) => Inner::Single(Box::new(::zstd::stream::read::Decoder::new(stream)?)),
        };
        Ok(Self { inner, failed: false })
    }
}

impl Read for Decoder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.failed {
            return Err(PipelineError::Damaged("reading it failed before".to_owned()).into());
        }
        let result = match &mut self.inner {
            Inner::Parallel(parallel) => parallel.read(buffer),
            Inner::Single(reader) => reader.read(buffer),
        };
        self.failed = result.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::Interrupted);
        result
    }
}

type Plain = Result<Vec<u8>, PipelineError>;

struct Job {
    packed: Vec<u8>,
    plain: usize,
    reply: Sender<Plain>,
}

struct Parallel {
    queue: Option<Receiver<Receiver<Plain>>>,
    current: Vec<u8>,
    position: usize,
    ended: bool,
    spare: Sender<Vec<u8>>,
    splitter: Option<JoinHandle<Result<(), PipelineError>>>,
    workers: Vec<JoinHandle<()>>,
}

impl Parallel {
    fn start(stream: impl Read + Send + 'static, compression: Compression, threads: usize) -> io::Result<Self> {
        let (jobs, work) = bounded::<Job>(1);
        let (orders, queue) = bounded(threads + BLOCKS_AHEAD);
        let room = threads + BLOCKS_AHEAD + 1;
        let pool = Pool { packed: bounded(room), plain: bounded(room) };
        let mut workers = Vec::with_capacity(threads);
        for _ in 0..threads {
            let (work, pool) = (work.clone(), pool.clone());
            workers.push(std::thread::Builder::new().name("decompress".into()).spawn(move || decompress(compression, &work, &pool))?);
        }
        let (spare, spares) = (pool.plain.0, pool.packed.1);
        let splitter =
            std::thread::Builder::new().name("decrypt".into()).spawn(move || split(stream, compression, (&jobs, &orders), &spares))?;
        Ok(Self { queue: Some(queue), current: Vec::new(), position: 0, ended: false, spare, splitter: Some(splitter), workers })
    }

    fn next(&mut self) -> Result<bool, PipelineError> {
        let Some(answer) = self.queue.as_ref().and_then(|queue| queue.recv().ok()) else {
            self.ended = true;
            // The splitter is at the end, or failed: only it can say which.
            return self
                .splitter
                .take()
                .map_or(Ok(false), |splitter| splitter.join().unwrap_or(Err(PipelineError::ThreadDied)).map(|()| false));
        };
        let block = answer.recv().map_err(|_| PipelineError::ThreadDied)??;
        let _ = self.spare.try_send(std::mem::replace(&mut self.current, block));
        self.position = 0;
        Ok(true)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.position == self.current.len() {
            if self.ended || !self.next()? {
                return Ok(0);
            }
        }
        let count = buffer.len().min(self.current.len() - self.position);
        buffer[..count].copy_from_slice(&self.current[self.position..self.position + count]);
        self.position += count;
        Ok(count)
    }
}

impl Drop for Parallel {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(splitter) = self.splitter.take() {
            let _ = splitter.join();
        }
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

fn decompress(compression: Compression, work: &Receiver<Job>, pool: &Pool) {
    let mut decompressor = match compression {
        Compression::Gzip { .. } => Ok(AnyDecompressor::Gzip(gzip::BlockDecompressor::new())),
        Compression::Zstd { .. } => zstd::BlockDecompressor::new().map(AnyDecompressor::Zstd),
    };
    for job in work {
        let mut output = pool.plain.1.try_recv().unwrap_or_default();
        let result = match &mut decompressor {
            Ok(AnyDecompressor::Gzip(gzip)) => gzip.decompress(&job.packed, job.plain, &mut output),
            Ok(AnyDecompressor::Zstd(zstd)) => zstd.decompress(&job.packed, &mut output),
            Err(error) => Err(PipelineError::Damaged(format!("the decompressor cannot start: {error}"))),
        };
        let _ = pool.packed.0.try_send(job.packed);
        let _ = job.reply.send(result.map(|()| output));
    }
}

enum AnyDecompressor {
    Gzip(gzip::BlockDecompressor),
    Zstd(zstd::BlockDecompressor),
}

/// Buffers on their way back to where they are filled.
#[derive(Clone)]
struct Pool {
    packed: (Sender<Vec<u8>>, Receiver<Vec<u8>>),
    plain: (Sender<Vec<u8>>, Receiver<Vec<u8>>),
}

/// Cuts the compressed stream into members or frames and hands them out in order. Returns early when nobody reads any more.
fn split(
    mut stream: impl Read,
    compression: Compression,
    (jobs, orders): (&Sender<Job>, &Sender<Receiver<Plain>>),
    spares: &Receiver<Vec<u8>>,
) -> Result<(), PipelineError> {
    let header_size = match compression {
        Compression::Gzip { .. } => gzip::HEADER_SIZE,
        Compression::Zstd { .. } => zstd::HEADER_SIZE,
    };
    loop {
        let mut header = [0; gzip::HEADER_SIZE];
        let header = &mut header[..header_size];
        let got = read_full(&mut stream, header)?;
        if got == 0 {
            return Ok(());
        }
        if got < header_size {
            return Err(PipelineError::Truncated("its last block is cut"));
        }
        let (rest, plain) =
            announced(compression, header).ok_or_else(|| PipelineError::Damaged("what follows a block is no block".to_owned()))?;
        // A gzip member begins with its header; a zstd frame stands behind it.
        let start = if let Compression::Gzip { .. } = compression { header_size } else { 0 };
        let mut packed = spares.try_recv().unwrap_or_default();
        packed.resize(start + rest, 0);
        packed[..start].copy_from_slice(&header[..start]);
        if read_full(&mut stream, &mut packed[start..])? < rest {
            return Err(PipelineError::Truncated("its last block is cut"));
        }
        let (reply, answer) = bounded(1);
        if orders.send(answer).is_err() || jobs.send(Job { packed, plain, reply }).is_err() {
            return Ok(());
        }
    }
}

/// Bytes that follow a header, and the plain length it announces.
fn announced(compression: Compression, header: &[u8]) -> Option<(usize, usize)> {
    match compression {
        Compression::Gzip { .. } => gzip::parse_header(header).map(|found| (found.member - gzip::HEADER_SIZE, found.plain)),
        Compression::Zstd { .. } => zstd::parse_header(header).map(|length| (length, 0)),
    }
}
