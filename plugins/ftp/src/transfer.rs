//! Bytes over a data connection, and its end in order: the server hears that all was sent, and what it still sends is read, for a socket
//! closed over unread bytes (TLS 1.3 tickets, for one) is reset, and takes the end of an upload with it.

use std::io::{self, BufRead as _, Read, Write as _};
use std::net::{Shutdown, TcpStream};

use cofre_sdk::{Body, Error, Result, Sink};
use suppaftp::{DataStream, TlsStream as _, TransferStream};

use crate::error::{Refusal, broken, failure};
use crate::line::{Ends, Line};

/// A data connection of suppaftp; its `finish` reads the server's last word.
pub(crate) type Transfer = TransferStream<Line>;

/// Bytes that a read moves at once.
const CHUNK: usize = 256 << 10;

/// Bytes that TLS seals before they go out; the default of 64 KiB costs a turn to the host for every four records.
const SEALED: usize = 512 << 10;

/// Bytes that a server may send against the direction of an upload: tickets and a farewell.
const FAREWELL: u64 = 64 << 10;

/// Sends a body. The connection stays open, whatever happens to the body; where it is the server that takes no more, its reason is the error.
pub(crate) fn send(mut transfer: Transfer, body: &mut Body) -> Result<Transfer> {
    if let Some(Ends::Secured(stream)) = ends(&mut transfer) {
        stream.conn.set_buffer_limit(Some(SEALED));
    }
    loop {
        let chunk = match body.fill_buf() {
            Ok([]) => return Ok(transfer),
            Ok(chunk) => chunk,
            Err(error) => {
                // What was sent is kept, and the server told that nothing follows.
                let _ = end(transfer);
                return Err(error.into());
            }
        };
        let length = chunk.len();
        match transfer.write_all(chunk) {
            Ok(()) => body.consume(length),
            Err(error) => return Err(refused(transfer, error)),
        }
    }
}

/// Receives exactly `length` bytes, behind `before` that nobody wants.
pub(crate) fn receive(mut transfer: Transfer, (mut before, length): (u64, u64), sink: &mut Sink) -> Result<Transfer> {
    let mut buffer = vec![0; CHUNK];
    let length = before + length;
    let mut left = length;
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match transfer.read(&mut buffer[..most]) {
            Ok(0) => return Err(refused(transfer, io::Error::other(short(left, length)))),
            Ok(count) => {
                let unwanted = usize::try_from(before).unwrap_or(usize::MAX).min(count);
                sink.write_all(&buffer[unwanted..count])?;
                before -= unwanted as u64;
                left -= count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Without its own farewell an end of TLS may be anybody's.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(refused(transfer, io::Error::other(short(left, length))));
            }
            Err(error) => return Err(refused(transfer, error)),
        }
    }
    Ok(transfer)
}

/// Receives a file of fewer bytes than `buffer` has; returns how many.
pub(crate) fn receive_small(mut transfer: Transfer, buffer: &mut [u8]) -> Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match transfer.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) => return Err(refused(transfer, error)),
        }
    }
    end(transfer)?;
    Ok(length)
}

/// Leaves a transfer of which nothing more is wanted; that the server calls it broken is no failure.
pub(crate) fn leave(transfer: Transfer) {
    let _ = transfer.finish();
}

/// Ends a transfer, and reads whether it succeeded.
pub(crate) fn end(mut transfer: Transfer) -> Result<()> {
    if let Some(ends) = ends(&mut transfer) {
        // An empty object has sent nothing yet, not even the greeting of TLS.
        ends.flush().map_err(broken)?;
        if let Ends::Secured(stream) = ends {
            stream.conn.send_close_notify();
            stream.flush().map_err(broken)?;
        }
        farewell(ends.tcp())?;
        drain(ends);
    }
    transfer.finish().map_err(failure)
}

/// This end of a data connection; each is made by our own connector.
fn ends(transfer: &mut Transfer) -> Option<&mut Ends> {
    match transfer.get_mut() {
        DataStream::Ssl(line) => Some(line.mut_ref()),
        DataStream::Tcp(_) => None,
    }
}

fn farewell(stream: &TcpStream) -> Result<()> {
    match stream.shutdown(Shutdown::Write) {
        // The server was first.
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        shut => shut.map_err(broken),
    }
}

/// Reads until the server has closed its side too; whatever comes, its last word on the control connection decides.
fn drain(stream: impl Read) {
    let _ = io::copy(&mut stream.take(FAREWELL), &mut io::sink());
}

/// Why a data connection broke: the server says so on the control connection, where that still stands.
fn refused(transfer: Transfer, error: io::Error) -> Error {
    match transfer.finish() {
        Err(refusal) if Refusal::in_error(&refusal).is_some() => failure(refusal),
        _ => broken(error),
    }
}

fn short(left: u64, length: u64) -> Error {
    Error::integrity(format!("the transfer ended {left} of {length} bytes early"))
}
