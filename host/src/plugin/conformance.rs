//! A configured destination as the conformance suite drives it: the real component in its real sandbox, from threads that may block.

use std::io::{self, Read, Write};

use bytes::{Bytes, BytesMut};
use cofre_conformance::{Failure, Kind, Limits, Object, Page, Session, Subject};
use futures_util::stream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::io::StreamReader;

use super::destination::{WasmDestination, WasmUpload};
use crate::ports::{self, BodySource, Destination, DestinationError, DestinationErrorKind, Upload, body_sink};

/// Bytes of a body that are handed over at once.
const CHUNK: usize = 256 << 10;
/// Chunks that are made before they are asked for. Few, since what was made and not taken blurs where a body was cut.
const CHUNKS_AHEAD: usize = 1;

/// A destination for [`cofre_conformance::Suite`]. Its calls block, so they must not be made on the threads of the runtime.
pub struct ConformanceSubject {
    destination: WasmDestination,
    runtime: Handle,
}

impl ConformanceSubject {
    /// Takes a destination; its calls run on `runtime`.
    pub fn new(destination: WasmDestination, runtime: Handle) -> Self {
        Self { destination, runtime }
    }
}

impl Subject for ConformanceSubject {
    fn probe(&self) -> Result<Limits, Failure> {
        let ports::Limits { part_size, max_object_size, parallel_uploads, free_bytes } =
            self.runtime.block_on(self.destination.probe()).map_err(failure)?;
        Ok(Limits { part_size, max_object_size, parallel_uploads, free_bytes })
    }

    fn begin(&self, key: &str, size: Option<u64>) -> Result<Box<dyn Session + '_>, Failure> {
        self.session(self.runtime.block_on(self.destination.begin_upload(key, size)))
    }

    fn resume(&self, key: &str, token: &str) -> Result<Box<dyn Session + '_>, Failure> {
        self.session(self.runtime.block_on(self.destination.resume_upload(key, token)))
    }

    fn read(&self, key: &str, offset: u64, length: Option<u64>, mut sink: Box<dyn Write + Send>) -> Result<u64, Failure> {
        let sink = body_sink(move |block| sink.write_all(block));
        self.runtime.block_on(self.destination.read(key, offset, length, sink)).map_err(failure)
    }

    fn stat(&self, key: &str) -> Result<Object, Failure> {
        self.runtime.block_on(self.destination.stat(key)).map(object).map_err(failure)
    }

    fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Page, Failure> {
        let page = self.runtime.block_on(self.destination.list(prefix, cursor)).map_err(failure)?;
        Ok(Page { objects: page.objects.into_iter().map(object).collect(), cursor: page.cursor })
    }

    fn delete(&self, key: &str) -> Result<(), Failure> {
        self.runtime.block_on(self.destination.delete(key)).map_err(failure)
    }

    fn sent(&self) -> Option<u64> {
        self.destination.traffic().map(|(sent, _)| sent)
    }

    fn memory_peak(&self) -> Option<u64> {
        Some(self.destination.memory_peak())
    }
}

impl ConformanceSubject {
    fn session(&self, opened: Result<WasmUpload, DestinationError>) -> Result<Box<dyn Session + '_>, Failure> {
        let upload = opened.map_err(failure)?;
        Ok(Box::new(ConformanceSession { upload, runtime: &self.runtime }))
    }
}

struct ConformanceSession<'a> {
    upload: WasmUpload,
    runtime: &'a Handle,
}

impl Session for ConformanceSession<'_> {
    fn token(&mut self) -> Result<String, Failure> {
        self.runtime.block_on(self.upload.token()).map_err(failure)
    }

    fn offset(&mut self) -> Result<u64, Failure> {
        self.runtime.block_on(self.upload.offset()).map_err(failure)
    }

    fn write(&mut self, body: Box<dyn Read + Send>, length: u64) -> Result<u64, Failure> {
        let body = source(self.runtime, body);
        self.runtime.block_on(self.upload.write(body, length)).map_err(failure)
    }

    fn finish(&mut self) -> Result<Object, Failure> {
        self.runtime.block_on(self.upload.commit()).map(object).map_err(failure)
    }

    fn abort(&mut self) -> Result<(), Failure> {
        self.runtime.block_on(self.upload.forget()).map_err(failure)
    }
}

/// A body out of a reader that may block, which a thread of its own reads.
fn source(runtime: &Handle, mut body: Box<dyn Read + Send>) -> BodySource {
    let (sender, mut chunks) = mpsc::channel::<io::Result<Bytes>>(CHUNKS_AHEAD);
    let read = move || {
        loop {
            let mut chunk = BytesMut::zeroed(CHUNK);
            let read = body.read(&mut chunk).map(|count| chunk.split_to(count).freeze());
            if read.as_ref().is_ok_and(Bytes::is_empty) {
                return;
            }
            // Where nobody waits for it any more, the call has ended.
            let failed = read.is_err();
            if sender.blocking_send(read).is_err() || failed {
                return;
            }
        }
    };
    runtime.spawn_blocking(read);
    Box::pin(StreamReader::new(stream::poll_fn(move |context| chunks.poll_recv(context))))
}

fn object(object: ports::Object) -> Object {
    Object { key: object.key, size: object.size, checksum: object.checksum }
}

fn failure(error: DestinationError) -> Failure {
    let kind = match error.kind {
        DestinationErrorKind::InvalidConfig => Kind::InvalidConfig,
        DestinationErrorKind::AccessDenied => Kind::AccessDenied,
        DestinationErrorKind::NotFound => Kind::NotFound,
        DestinationErrorKind::AlreadyExists => Kind::AlreadyExists,
        DestinationErrorKind::OutOfSpace => Kind::OutOfSpace,
        DestinationErrorKind::RateLimited => Kind::RateLimited,
        DestinationErrorKind::Unavailable => Kind::Unavailable,
        DestinationErrorKind::Timeout => Kind::Timeout,
        DestinationErrorKind::Integrity => Kind::Integrity,
        DestinationErrorKind::SessionLost => Kind::SessionLost,
        DestinationErrorKind::Unsupported => Kind::Unsupported,
        DestinationErrorKind::Plugin => Kind::Plugin,
        DestinationErrorKind::Other => Kind::Other,
    };
    Failure { kind, retryable: error.retryable, retry_after: error.retry_after, message: error.to_string() }
}
