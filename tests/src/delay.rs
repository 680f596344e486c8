//! A proxy on loopback that stands for a long line: what goes in comes out later, and as much of it may be on its way as anybody sends.
//!
//! A connection comes about after one and a half times there and back, as its handshake would let it; each byte then takes half of it one
//! way. Bandwidth is not limited, and TCP's slow beginning is not imitated: that is the same for whoever is compared.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Bytes of one piece.
const PIECE: usize = 64 << 10;
/// Pieces on their way in one direction of one connection.
const ON_THE_WAY: usize = 2_048;

/// The proxy. It accepts nothing more once dropped; connections end with their peers.
pub struct DelayProxy {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

impl DelayProxy {
    /// Starts one on a port of 127.0.0.1, or on a free one where that is 0; `there_and_back` is the time that a ping would take.
    ///
    /// # Errors
    /// When the port is not free.
    pub fn start_on(port: u16, server: SocketAddr, there_and_back: Duration) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).context("no free port")?;
        let (address, ended) = (listener.local_addr()?, Arc::new(AtomicBool::new(false)));
        let end = Arc::clone(&ended);
        let listener = std::thread::spawn(move || {
            for client in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(client) = client {
                    std::thread::spawn(move || pass(client, server, there_and_back));
                }
            }
        });
        Ok(Self { address, ended, listener: Some(listener) })
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for DelayProxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes it.
        let _ = TcpStream::connect(self.address);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

fn pass(client: TcpStream, server: SocketAddr, there_and_back: Duration) {
    std::thread::sleep(there_and_back * 3 / 2);
    let Ok(server) = TcpStream::connect(server) else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (Ok(from_client), Ok(from_server)) = (client.try_clone(), server.try_clone()) else { return };
    let back = std::thread::spawn(move || one_way(from_server, client, there_and_back / 2));
    one_way(from_client, server, there_and_back / 2);
    let _ = back.join();
}

/// Passes one direction until it ends, and then its end.
fn one_way(from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (sender, pieces) = sync_channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    let reader = std::thread::spawn(move || take(from, &sender, delay));
    for (due, piece) in pieces {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&piece).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    let _ = reader.join();
}

/// Takes what comes; its end takes its time too.
fn take(mut from: TcpStream, sender: &SyncSender<(Instant, Vec<u8>)>, delay: Duration) {
    let mut piece = vec![0; PIECE];
    loop {
        let length = from.read(&mut piece).unwrap_or(0);
        if sender.send((Instant::now() + delay, piece[..length].to_vec())).is_err() {
            // Whoever sends is to see that nobody reads any more.
            let _ = from.shutdown(Shutdown::Read);
            return;
        }
        if length == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_takes_there_and_back_and_much_may_be_on_its_way() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let echo = std::thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            stream.write_all(&all).unwrap();
        });
        let proxy = DelayProxy::start_on(0, address, Duration::from_millis(200)).unwrap();
        let started = Instant::now();
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        let sent: Vec<u8> = (0..40_000_000_u32).map(|number| (number % 251) as u8).collect();
        stream.write_all(&sent).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        echo.join().unwrap();
        assert!(got == sent, "{} bytes came back", got.len());
        assert!(started.elapsed() >= Duration::from_millis(500), "{:?}", started.elapsed());
    }
}
