//! One connection, secured or not, of which no wait is without end: a server that says nothing for too long counts as gone. Sockets of a
//! component know no time-outs of their own, so none waits by itself: what would have to wait does so here, for as long as that may take.

use std::io::{self, BufReader, IoSlice, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::{ClientConnection, StreamOwned};
use suppaftp::{FtpError, FtpResult, TlsStream};

/// Bytes that are read ahead.
const AHEAD: usize = 128 << 10;

/// How long the server may say nothing; one value for all connections of a session.
#[derive(Debug, Clone)]
pub(crate) struct Patience(Arc<AtomicU64>);

impl Patience {
    pub(crate) fn new(longest: Duration) -> Self {
        let patience = Self(Arc::default());
        patience.set(longest);
        patience
    }

    pub(crate) fn set(&self, longest: Duration) {
        self.0.store(u64::try_from(longest.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Waits until a socket is ready for what is wanted of it.
    pub(crate) fn wait(&self, stream: &TcpStream, wanted: PollFlags) -> io::Result<()> {
        let longest = Duration::from_millis(self.0.load(Ordering::Relaxed));
        let timeout = Timespec::try_from(longest).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(stream, wanted)], Some(&timeout))? {
            0 => Err(io::Error::new(io::ErrorKind::TimedOut, format!("the server said nothing for {} s (/timeout)", longest.as_secs()))),
            _ => Ok(()),
        }
    }
}

/// A socket that takes what is written as one piece, and reads ahead: rustls asks for 4 KiB at a time, each a turn to the host.
#[derive(Debug)]
pub(crate) struct Socket(BufReader<Patient>);

#[derive(Debug)]
struct Patient {
    stream: TcpStream,
    patience: Patience,
}

impl Socket {
    /// # Errors
    /// When the socket cannot be told not to wait by itself.
    pub(crate) fn new(stream: TcpStream, patience: Patience) -> io::Result<Self> {
        // A socket that counts as ready may have nothing all the same, and would then wait without end.
        stream.set_nonblocking(true)?;
        Ok(Self(BufReader::with_capacity(AHEAD, Patient { stream, patience })))
    }

    pub(crate) fn tcp(&self) -> &TcpStream {
        &self.0.get_ref().stream
    }
}

impl Patient {
    /// Tries until there is something to be done, and waits in between.
    fn ready<T>(&mut self, wanted: PollFlags, mut attempt: impl FnMut(&mut TcpStream) -> io::Result<T>) -> io::Result<T> {
        loop {
            match attempt(&mut self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.patience.wait(&self.stream, wanted)?,
                done => return done,
            }
        }
    }
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.ready(PollFlags::IN, |stream| stream.read(buffer))
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_mut().ready(PollFlags::OUT, |stream| stream.write(bytes))
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        if let [piece] = pieces {
            return self.write(piece);
        }
        let mut whole = Vec::with_capacity(pieces.iter().map(|piece| piece.len()).sum());
        for piece in pieces {
            whole.extend_from_slice(piece);
        }
        self.write(&whole)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.get_mut().stream.flush()
    }
}

/// A connection. The handshake of a secured one is made by the first byte in either direction.
#[derive(Debug)]
pub(crate) struct Line(Ends);

/// What is at this end of it.
#[derive(Debug)]
pub(crate) enum Ends {
    /// The socket itself.
    Plain(Socket),
    /// TLS over it.
    Secured(Box<StreamOwned<ClientConnection, Socket>>),
}

impl Line {
    pub(crate) fn plain(socket: Socket) -> Self {
        Self(Ends::Plain(socket))
    }

    pub(crate) fn secured(stream: StreamOwned<ClientConnection, Socket>) -> Self {
        Self(Ends::Secured(Box::new(stream)))
    }
}

impl Ends {
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket.tcp(),
            Self::Secured(stream) => stream.sock.tcp(),
        }
    }
}

impl TlsStream for Line {
    type InnerStream = Ends;

    /// Only `CCC` takes TLS away again, and cofre never sends it.
    fn tcp_stream(self) -> FtpResult<TcpStream> {
        Err(FtpError::SecureError("a connection stays what it is".to_owned()))
    }

    fn get_ref(&self) -> &TcpStream {
        self.0.tcp()
    }

    fn mut_ref(&mut self) -> &mut Ends {
        &mut self.0
    }
}

impl Read for Ends {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Secured(stream) => stream.read(buffer),
        }
    }
}

impl Write for Ends {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Secured(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Secured(stream) => stream.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A connection and its other side.
    fn connected(patience: &Patience) -> (Ends, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let stream = TcpStream::connect(listener.local_addr().expect("an address")).expect("connects");
        let (peer, _) = listener.accept().expect("accepts");
        (Ends::Plain(Socket::new(stream, patience.clone()).expect("a socket")), peer)
    }

    #[test]
    fn a_silent_server_is_one_that_is_gone() {
        let (mut line, _peer) = connected(&Patience::new(Duration::from_millis(20)));
        let error = line.read(&mut [0; 8]).expect_err("nothing comes");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_server_that_takes_nothing_is_one_that_is_gone() {
        let (mut line, _peer) = connected(&Patience::new(Duration::from_millis(20)));
        let block = vec![0; 64 << 10];
        let error = loop {
            if let Err(error) = line.write(&block) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn bytes_pass_in_both_directions_and_an_end_is_an_end() {
        let (mut line, mut peer) = connected(&Patience::new(Duration::from_secs(30)));
        line.write_all(b"NOOP\r\n").expect("written");
        let mut heard = [0; 6];
        peer.read_exact(&mut heard).expect("heard");
        assert_eq!(&heard, b"NOOP\r\n");
        peer.write_all(b"200\r\n").expect("written");
        drop(peer);
        let mut answer = Vec::new();
        line.read_to_end(&mut answer).expect("read");
        assert_eq!(answer, b"200\r\n");
    }
}
