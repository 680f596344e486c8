//! The network side of a connection, where small packets do not wait for each other.
//!
//! A component cannot ask for `TCP_NODELAY`: a small packet behind another waits until the server has acknowledged the first, which a server
//! that has nothing to say puts off for 40 ms. The one place where we send two in a row is the end of the first exchange of keys: our
//! `SSH_MSG_NEWKEYS` is held until what comes next, and we are always the one to go on (RFC 4253, section 10).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::TcpStream;

/// Bytes that are read from the network at once.
const READ_AHEAD: usize = 256 << 10;

/// `SSH_MSG_NEWKEYS` (RFC 4253, section 12), and the bytes of it in a packet that is not encrypted yet.
const NEWKEYS: u8 = 21;
const NEWKEYS_BYTES: usize = 16;

/// A connection to the server.
pub(crate) struct Wire {
    stream: BufReader<TcpStream>,
    /// What goes out with, and before, what is written next.
    held: Vec<u8>,
    /// Whether to hold is over.
    released: bool,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream: BufReader::with_capacity(READ_AHEAD, stream), held: Vec::new(), released: false }
    }

    /// Sends what was held.
    fn poll_held(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(context, &self.held))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.held.drain(..count);
        }
        Poll::Ready(Ok(()))
    }
}

fn is_new_keys(packet: &[u8]) -> bool {
    packet.len() == NEWKEYS_BYTES && packet[..4] == [0, 0, 0, 12] && packet[5] == NEWKEYS
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.released {
            if self.held.is_empty() && is_new_keys(bytes) {
                self.held.extend_from_slice(bytes);
                return Poll::Ready(Ok(bytes.len()));
            }
            if !self.held.is_empty() {
                self.released = true;
                self.held.extend_from_slice(bytes);
                return Poll::Ready(Ok(bytes.len()));
            }
        }
        ready!(self.poll_held(context))?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.released {
            ready!(self.poll_held(context))?;
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_held(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    #[tokio::test(flavor = "current_thread")]
    async fn the_last_packet_of_the_first_exchange_of_keys_goes_with_the_next_and_no_other_waits() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let connected = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("connected");
        let (mut server, _) = listener.accept().await.expect("accepted");
        let mut wire = Wire::new(connected);
        let new_keys = [0, 0, 0, 12, 10, NEWKEYS, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut seen = [0; 64];
        for packet in [&b"greeting"[..], &new_keys, b"request", &new_keys] {
            wire.write_all(packet).await.expect("written");
            wire.flush().await.expect("flushed");
            if packet == b"greeting" {
                assert_eq!(server.read(&mut seen).await.expect("read"), 8);
                server.write_all(b"x").await.expect("answered");
            }
            if packet == new_keys && !wire.released {
                assert_eq!(server.try_read(&mut seen).expect_err("nothing came").kind(), io::ErrorKind::WouldBlock);
            }
        }
        server.read_exact(&mut seen[..39]).await.expect("read");
        assert_eq!((&seen[..16], &seen[16..23], &seen[23..39]), (&new_keys[..], &b"request"[..], &new_keys[..]));
        assert_eq!(wire.read_u8().await.expect("read"), b'x');
    }
}
