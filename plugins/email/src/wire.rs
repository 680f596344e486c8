//! The connection to the server, where every wait ends: `std`'s sockets have no time-outs in a component, tokio's timers do.
//! The contract's calls are synchronous and a component has one thread: the runtime runs while a call waits for the network, and only then.

use std::io::{self, IoSlice, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::{Instant, timeout, timeout_at};

/// How long the server may take, per kind of wait (RFC 5321, section 4.5.3.2, asks for patience with a loaded server).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    /// One address, until it accepts the connection.
    pub(crate) connect: Duration,
    /// The greeting, TLS, and the whole answer to a command.
    pub(crate) answer: Duration,
    /// A block of the message, until the network takes it.
    pub(crate) block: Duration,
    /// The verdict on the whole message: whoever leaves earlier sends it twice.
    pub(crate) verdict: Duration,
    /// The answer to the farewell, which changes nothing any more.
    pub(crate) farewell: Duration,
}

impl Waits {
    pub(crate) const USUAL: Self = Self {
        connect: Duration::from_secs(20),
        answer: Duration::from_mins(2),
        block: Duration::from_mins(3),
        verdict: Duration::from_mins(10),
        farewell: Duration::from_secs(5),
    };
}

/// A socket whose reads end at a moment that is set before, and whose writes end by themselves.
#[derive(Debug)]
pub(crate) struct Socket {
    runtime: Runtime,
    stream: TcpStream,
    until: Instant,
    block: Duration,
}

impl Socket {
    /// Connects to the first of the addresses that answers.
    ///
    /// # Errors
    /// Why the last one did not.
    pub(crate) fn connect(addresses: &[SocketAddr], waits: Waits) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            match runtime.block_on(async { timeout(waits.connect, TcpStream::connect(address)).await }) {
                Ok(Ok(stream)) => return Ok(Self { runtime, stream, until: Instant::now() + waits.answer, block: waits.block }),
                Ok(Err(error)) => failure = error,
                Err(_) => failure = late("the server does not answer", waits.connect),
            }
        }
        Err(failure)
    }

    fn local_ip(&self) -> Option<IpAddr> {
        self.stream.local_addr().ok().map(|address| address.ip())
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.runtime.block_on(async { timeout_at(self.until, self.stream.read(buffer)).await });
        read.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "the server did not answer in time")))
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.runtime.block_on(async { timeout(self.block, self.stream.write(bytes)).await });
        written.unwrap_or_else(|_| Err(late("the server took no more of what is sent", self.block)))
    }

    /// One piece: the C library of components cannot write several to a socket, and small ones wait for each other.
    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        if let [piece] = pieces {
            return self.write(piece);
        }
        let whole: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
        self.write(&whole)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A connection, secured or not.
#[derive(Debug)]
pub(crate) enum Wire {
    Plain(Socket),
    Secured(Box<StreamOwned<ClientConnection, Socket>>),
}

impl Wire {
    /// Lets reads wait so long from now, all together: a server that sends a byte now and then gains nothing.
    pub(crate) fn wait_for(&mut self, within: Duration) {
        self.socket().until = Instant::now() + within;
    }

    /// The address on this side.
    pub(crate) fn local_ip(&mut self) -> Option<IpAddr> {
        self.socket().local_ip()
    }

    /// Puts TLS around it; returns once both sides agree.
    ///
    /// # Errors
    /// What TLS or the network fails with.
    pub(crate) fn secure(self, mut connection: ClientConnection, within: Duration) -> io::Result<Self> {
        let Self::Plain(mut socket) = self else { return Ok(self) };
        socket.until = Instant::now() + within;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        Ok(Self::Secured(Box::new(StreamOwned::new(connection, socket))))
    }

    fn socket(&mut self) -> &mut Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Secured(stream) => &mut stream.sock,
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Secured(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
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

fn late(what: &str, limit: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{what} within {} s", limit.as_secs()))
}
