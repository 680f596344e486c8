//! Bytes on their way through a plug-in: [`Body`] is what an upload takes, [`Sink`] is where a read writes.
//! Both are plain `Read`/`Write`, with natural chunks of up to 1 MiB; on a file they can also be handed over whole (see [`crate::files`]),
//! so that the bytes never enter the component's memory.

use std::io::{self, BufRead, Read, Write};

use crate::bindings::imports::wasi::io::streams::{InputStream, OutputStream, StreamError};

/// Bytes asked for at once: large enough that crossing into the component costs nothing, small next to its memory.
const CHUNK: u64 = 1 << 20;

/// Exactly [`Body::length`] bytes. Ends early only with an error of kind `integrity`, never with a silent end.
///
/// It is a `Read` and a `BufRead`: whatever takes a reader takes a body.
///
/// # Examples
///
/// ```
/// use cofre_sdk::{Body, Result};
///
/// /// Takes the whole body, piece by piece.
/// fn store(body: &mut Body, mut disk: impl std::io::Write) -> Result<u64> {
///     Ok(std::io::copy(body, &mut disk)?)
/// }
///
/// let mut body = Body::from_reader(&b"ciphertext"[..], 10);
/// assert_eq!(store(&mut body, std::io::sink())?, 10);
/// assert_eq!(body.remaining(), 0);
/// # Ok::<(), cofre_sdk::Error>(())
/// ```
pub struct Body {
    source: Source,
    length: u64,
    /// Bytes that came out of the source; those still in `buffer` included.
    fetched: u64,
    buffer: Vec<u8>,
    position: usize,
}

enum Source {
    Stream(InputStream),
    Reader(Box<dyn Read>),
}

impl Body {
    /// A body of `length` bytes out of any reader: for tests, and for what a plug-in sends of its own, as in a probe.
    /// What the reader has beyond `length` stays there; where it has less, reading the body fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::{Body, Error, ErrorKind};
    ///
    /// let mut cut = Body::from_reader(&b"half"[..], 8);
    /// let failed = std::io::copy(&mut cut, &mut std::io::sink()).expect_err("four bytes are missing");
    /// assert_eq!(Error::from(failed).kind(), ErrorKind::Integrity);
    /// ```
    pub fn from_reader(reader: impl Read + 'static, length: u64) -> Self {
        Self { source: Source::Reader(Box::new(reader)), length, fetched: 0, buffer: Vec::new(), position: 0 }
    }

    pub(crate) fn from_stream(stream: InputStream, length: u64) -> Self {
        Self { source: Source::Stream(stream), length, fetched: 0, buffer: Vec::new(), position: 0 }
    }

    /// Bytes of the whole body, however many of them were read.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::Body;
    /// use std::io::Read as _;
    ///
    /// let mut body = Body::from_reader(&b"1234567"[..], 7);
    /// body.read_exact(&mut [0; 3])?;
    /// assert_eq!((body.length(), body.remaining()), (7, 4));
    /// # Ok::<(), cofre_sdk::Error>(())
    /// ```
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Bytes that nobody has read yet.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::http::{Request, Response};
    /// use cofre_sdk::{Body, Result};
    ///
    /// /// Sends what is left of a body in one request.
    /// fn put(url: &str, body: &mut Body) -> Result<Response> {
    ///     let length = body.remaining();
    ///     Request::put(url).send_stream(body, length)
    /// }
    /// ```
    pub fn remaining(&self) -> u64 {
        self.length - self.fetched + (self.buffer.len() - self.position) as u64
    }

    /// Moves what is left into `out` without copying it through this component; returns how many bytes that were.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn splice(&mut self, out: &OutputStream, failure: impl Fn(StreamError) -> io::Error) -> io::Result<u64> {
        let mut moved = 0;
        if self.position < self.buffer.len() {
            let rest = self.buffer.split_off(self.position);
            write_stream(out, &rest, &failure)?;
            moved += rest.len() as u64;
            (self.buffer, self.position) = (Vec::new(), 0);
        }
        let stream = match &mut self.source {
            Source::Stream(stream) => stream,
            // The component's own bytes, as a probe sends them.
            Source::Reader(_) => return self.copy_to(out, &failure).map(|count| moved + count),
        };
        while self.fetched < self.length {
            let wanted = (self.length - self.fetched).min(CHUNK);
            match out.blocking_splice(stream, wanted) {
                Ok(count) => {
                    self.fetched += count.min(wanted);
                    moved += count.min(wanted);
                }
                // Either side may have closed; only the body's own end is the host's mistake.
                Err(StreamError::Closed) => {
                    return Err(if is_closed(stream) { cut_short(self.fetched, self.length) } else { failure(StreamError::Closed) });
                }
                Err(error) => return Err(failure(error)),
            }
        }
        Ok(moved)
    }
}

#[cfg(target_arch = "wasm32")]
impl Body {
    fn copy_to(&mut self, out: &OutputStream, failure: &impl Fn(StreamError) -> io::Error) -> io::Result<u64> {
        let mut moved = 0;
        loop {
            let count = match self.fill_buf()? {
                [] => return Ok(moved),
                bytes => {
                    write_stream(out, bytes, failure)?;
                    bytes.len()
                }
            };
            moved += count as u64;
            self.consume(count);
        }
    }
}

impl BufRead for Body {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.position == self.buffer.len() && self.fetched < self.length {
            let wanted = (self.length - self.fetched).min(CHUNK);
            self.buffer = self.source.fetch(wanted)?.ok_or_else(|| cut_short(self.fetched, self.length))?;
            self.position = 0;
            self.fetched += self.buffer.len() as u64;
        }
        Ok(&self.buffer[self.position..])
    }

    fn consume(&mut self, amount: usize) {
        self.position = (self.position + amount).min(self.buffer.len());
    }
}

impl Read for Body {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(out.len());
        out[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl Source {
    /// At least one and at most `wanted` bytes; `None` at the end.
    fn fetch(&mut self, wanted: u64) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Stream(stream) => read_stream(stream, wanted),
            Self::Reader(reader) => {
                let mut chunk = Vec::new();
                reader.take(wanted).read_to_end(&mut chunk)?;
                Ok((!chunk.is_empty()).then_some(chunk))
            }
        }
    }
}

/// Where a read writes the object's bytes. Dropping it ends the stream; the call's result says whether it was whole.
///
/// It is a `Write`: whatever takes a writer takes a sink.
///
/// # Examples
///
/// ```
/// use std::io::{Read, copy};
///
/// use cofre_sdk::{Result, Sink};
///
/// fn read(mut object: impl Read, sink: &mut Sink) -> Result<()> {
///     copy(&mut object, sink)?;
///     Ok(())
/// }
///
/// let mut sink = Sink::from_writer(std::io::sink());
/// read(&b"hello"[..], &mut sink)?;
/// assert_eq!(sink.written(), 5);
/// # Ok::<(), cofre_sdk::Error>(())
/// ```
pub struct Sink {
    target: Target,
    written: u64,
}

enum Target {
    Stream(OutputStream),
    Writer(Box<dyn Write>),
}

impl Sink {
    /// A sink into any writer, for tests.
    ///
    /// # Examples
    ///
    /// A few bytes fit into a pipe, and come out of its other end:
    ///
    /// ```
    /// use std::io::{Read as _, Write as _, pipe};
    ///
    /// let (mut reader, writer) = pipe()?;
    /// let mut sink = cofre_sdk::Sink::from_writer(writer);
    /// sink.write_all(b"hello")?;
    /// drop(sink); // The pipe ends here.
    ///
    /// let mut read = String::new();
    /// reader.read_to_string(&mut read)?;
    /// assert_eq!(read, "hello");
    /// # Ok::<(), cofre_sdk::Error>(())
    /// ```
    pub fn from_writer(writer: impl Write + 'static) -> Self {
        Self { target: Target::Writer(Box::new(writer)), written: 0 }
    }

    pub(crate) fn from_stream(stream: OutputStream) -> Self {
        Self { target: Target::Stream(stream), written: 0 }
    }

    /// Bytes that went in so far.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::{Error, Result, Sink};
    ///
    /// /// Refuses an object that the service sent only in part.
    /// fn check(sink: &Sink, size: u64) -> Result<()> {
    ///     match sink.written() {
    ///         all if all == size => Ok(()),
    ///         part => Err(Error::integrity(format!("the service sent {part} of {size} bytes"))),
    ///     }
    /// }
    /// # let sink = Sink::from_writer(std::io::sink());
    /// # assert!(check(&sink, 0).is_ok() && check(&sink, 1).is_err());
    /// ```
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Moves `length` bytes out of `source` without copying them through this component.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn splice(&mut self, source: &InputStream, length: u64) -> io::Result<()> {
        let Target::Stream(out) = &self.target else { return Err(io::Error::from(io::ErrorKind::Unsupported)) };
        let mut left = length;
        while left > 0 {
            match out.blocking_splice(source, left.min(CHUNK)) {
                Ok(count) => {
                    let count = count.min(left);
                    left -= count;
                    self.written += count;
                }
                Err(StreamError::Closed) => {
                    return Err(if is_closed(source) { cut_short(length - left, length) } else { stream_failed(StreamError::Closed) });
                }
                Err(error) => return Err(stream_failed(error)),
            }
        }
        Ok(())
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = match &mut self.target {
            Target::Stream(stream) => {
                write_stream(stream, bytes, &stream_failed)?;
                bytes.len()
            }
            Target::Writer(writer) => writer.write(bytes)?,
        };
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.target {
            Target::Stream(stream) => stream.blocking_flush().map_err(stream_failed),
            Target::Writer(writer) => writer.flush(),
        }
    }
}

/// The next bytes of a stream, at most `wanted`; `None` at its end. Waits for at least one.
pub(crate) fn read_stream(stream: &InputStream, wanted: u64) -> io::Result<Option<Vec<u8>>> {
    loop {
        match stream.blocking_read(wanted) {
            Ok(chunk) if chunk.is_empty() => {}
            Ok(chunk) => return Ok(Some(chunk)),
            Err(StreamError::Closed) => return Ok(None),
            Err(error) => return Err(stream_failed(error)),
        }
    }
}

/// Writes all of `bytes`, as many at once as the stream permits, waiting where it permits none.
pub(crate) fn write_stream(stream: &OutputStream, mut bytes: &[u8], failure: &impl Fn(StreamError) -> io::Error) -> io::Result<()> {
    while !bytes.is_empty() {
        let permitted = usize::try_from(stream.check_write().map_err(failure)?).unwrap_or(usize::MAX);
        if permitted == 0 {
            stream.subscribe().block();
            continue;
        }
        let (now, later) = bytes.split_at(permitted.min(bytes.len()));
        stream.write(now).map_err(failure)?;
        bytes = later;
    }
    Ok(())
}

pub(crate) fn stream_failed(error: StreamError) -> io::Error {
    match error {
        StreamError::Closed => io::Error::new(io::ErrorKind::BrokenPipe, "the other side closed the stream"),
        StreamError::LastOperationFailed(cause) => io::Error::other(cause.to_debug_string()),
    }
}

#[cfg(target_arch = "wasm32")]
fn is_closed(stream: &InputStream) -> bool {
    matches!(stream.read(0), Err(StreamError::Closed))
}

fn cut_short(got: u64, length: u64) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("the body ended after {got} of {length} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_ends_early_is_an_error_and_not_an_end() {
        let mut body = Body::from_reader(&b"12345"[..], 6);
        let error = io::copy(&mut body, &mut io::sink()).expect_err("a byte is missing");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_body_gives_its_length_and_leaves_the_rest_of_the_source_alone() {
        let mut body = Body::from_reader(&b"1234567"[..], 5);
        let mut first = [0; 2];
        body.read_exact(&mut first).expect("two bytes are there");
        assert_eq!(body.remaining(), 3);
        let mut rest = String::new();
        body.read_to_string(&mut rest).expect("the rest is there");
        assert_eq!((rest.as_str(), body.remaining()), ("345", 0));
    }
}
