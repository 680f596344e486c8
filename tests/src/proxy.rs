//! A TCP proxy that breaks connections on purpose: late, slow, cut, silent or with a changed byte; told so while it runs.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Most bytes moved at once: faults act at a byte, so pieces end there.
const PIECE: usize = 16 << 10;
/// How often a waiting direction looks whether it was told something else.
const TICK: Duration = Duration::from_millis(20);

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server: uploads.
    Up,
    /// From the server to the client: downloads.
    Down,
}

/// What the proxy does to a connection. Offsets count the bytes of one connection and one way, from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Delays each piece of up to 16 KiB.
    Latency(Duration),
    /// Passes at most so many bytes a second in each direction.
    Throttle(u64),
    /// Resets the connection after exactly so many bytes one way; `once`: the next connections pass.
    Cut {
        /// Which way is counted.
        way: Way,
        /// Bytes that still pass.
        after: u64,
        /// Whether only one connection is cut.
        once: bool,
    },
    /// Passes exactly so many bytes one way, then keeps the connection open and silent.
    Stall {
        /// Which way is counted.
        way: Way,
        /// Bytes that still pass.
        after: u64,
    },
    /// Accepts connections and answers nothing.
    BlackHole,
    /// Resets every connection at once.
    Refuse,
    /// Changes the byte at this offset.
    Corrupt {
        /// Which way is counted.
        way: Way,
        /// Offset of the byte.
        at: u64,
    },
}

/// A proxy on 127.0.0.1 before a server. Ends, with its connections, when dropped.
pub struct FaultProxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    listener: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    faults: Mutex<Vec<Fault>>,
    ended: AtomicBool,
    up: AtomicU64,
    down: AtomicU64,
    connections: AtomicU64,
    cuts: AtomicU64,
    live: Mutex<Vec<TcpStream>>,
}

impl FaultProxy {
    /// Starts one before `server`; without faults it passes everything.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start(server: SocketAddr) -> Result<Self> {
        Self::start_on(0, server)
    }

    /// The same on a certain port, for protocols in which the server names it.
    ///
    /// # Errors
    /// When the port is not free.
    pub fn start_on(port: u16, server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).context("no free port")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        let listener = std::thread::spawn(move || accept(&listener, server, &accepting));
        Ok(Self { shared, address, listener: Some(listener) })
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Replaces the faults; connections that are open obey too.
    pub fn set(&self, faults: &[Fault]) {
        *lock(&self.shared.faults) = faults.to_vec();
    }

    /// Passes everything again.
    pub fn heal(&self) {
        self.set(&[]);
    }

    /// Resets every open connection now.
    pub fn reset_all(&self) {
        for stream in lock(&self.shared.live).drain(..) {
            reset(&stream);
        }
    }

    /// Bytes that reached the server, over all connections.
    pub fn bytes_up(&self) -> u64 {
        self.shared.up.load(Ordering::SeqCst)
    }

    /// Bytes that reached clients, over all connections.
    pub fn bytes_down(&self) -> u64 {
        self.shared.down.load(Ordering::SeqCst)
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Connections cut so far.
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.reset_all();
        // Wakes the listener, which then sees that it is over.
        drop(TcpStream::connect_timeout(&self.address, Duration::from_secs(1)));
        if let Some(listener) = self.listener.take() {
            drop(listener.join());
        }
    }
}

fn accept(listener: &TcpListener, server: SocketAddr, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        let Ok(client) = client else { continue };
        shared.connections.fetch_add(1, Ordering::SeqCst);
        if shared.has(Fault::Refuse) {
            reset(&client);
            continue;
        }
        let shared = Arc::clone(shared);
        std::thread::spawn(move || connect(&client, server, &shared));
    }
}

/// One connection: two directions, each a thread, both over when either is.
fn connect(client: &TcpStream, server: SocketAddr, shared: &Arc<Shared>) {
    if !shared.wait_while(|shared| shared.has(Fault::BlackHole)) {
        return;
    }
    let Ok(server) = TcpStream::connect_timeout(&server, Duration::from_secs(10)) else {
        reset(client);
        return;
    };
    let copies = [client.try_clone(), client.try_clone(), server.try_clone(), server.try_clone()];
    let [Ok(client_keep), Ok(client_down), Ok(server_keep), Ok(server_up)] = copies else { return };
    lock(&shared.live).extend([client_keep, server_keep]);
    std::thread::scope(|scope| {
        scope.spawn(|| Direction { way: Way::Up, from: client, to: &server_up, shared, passed: 0 }.pass());
        scope.spawn(|| Direction { way: Way::Down, from: &server, to: &client_down, shared, passed: 0 }.pass());
    });
}

struct Direction<'a> {
    way: Way,
    from: &'a TcpStream,
    to: &'a TcpStream,
    shared: &'a Shared,
    passed: u64,
}

impl Direction<'_> {
    fn pass(mut self) {
        let mut buffer = vec![0; PIECE];
        loop {
            let length = match (&mut &*self.from).read(&mut buffer) {
                Ok(length) if length > 0 => length,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                _ => break,
            };
            if !self.deliver(&mut buffer[..length]) {
                return;
            }
        }
        // One way is finished; the other may still answer.
        let _ = self.to.shutdown(Shutdown::Write);
    }

    /// Delivers a piece as the faults say; `false` when the connection is over.
    fn deliver(&mut self, mut piece: &mut [u8]) -> bool {
        while !piece.is_empty() {
            if !self.shared.wait_while(|shared| shared.has(Fault::BlackHole)) {
                return false;
            }
            let faults = lock(&self.shared.faults).clone();
            let mut length = piece.len();
            for fault in &faults {
                match *fault {
                    Fault::Latency(time) => std::thread::sleep(time),
                    Fault::Throttle(rate) => {
                        length = length.min(usize::try_from(rate / 20).unwrap_or(PIECE).max(1));
                        std::thread::sleep(Duration::from_secs_f64(length as f64 / rate.max(1) as f64));
                    }
                    Fault::Corrupt { way, at } if way == self.way && (self.passed..self.passed + length as u64).contains(&at) => {
                        piece[usize::try_from(at - self.passed).unwrap_or(0)] ^= 0x20;
                        self.shared.forget(*fault);
                    }
                    Fault::Cut { way, after, once } if way == self.way => {
                        let left = after.saturating_sub(self.passed);
                        if left == 0 {
                            return self.cut(once.then_some(*fault));
                        }
                        length = length.min(usize::try_from(left).unwrap_or(length));
                    }
                    Fault::Stall { way, after } if way == self.way => {
                        let left = after.saturating_sub(self.passed);
                        if left == 0 {
                            length = 0;
                            break;
                        }
                        length = length.min(usize::try_from(left).unwrap_or(length));
                    }
                    _ => {}
                }
            }
            if length == 0 {
                let stalled = |shared: &Shared| {
                    lock(&shared.faults)
                        .iter()
                        .any(|fault| matches!(fault, Fault::Stall { way, after } if *way == self.way && *after <= self.passed))
                };
                if !self.shared.wait_while(stalled) {
                    return false;
                }
                continue;
            }
            let (now, later) = piece.split_at_mut(length);
            if (&mut &*self.to).write_all(now).is_err() {
                let _ = self.from.shutdown(Shutdown::Both);
                return false;
            }
            self.passed += length as u64;
            let counter = if self.way == Way::Up { &self.shared.up } else { &self.shared.down };
            counter.fetch_add(length as u64, Ordering::SeqCst);
            piece = later;
        }
        true
    }

    /// Resets both ends; a fault of one use is spent.
    fn cut(&self, spent: Option<Fault>) -> bool {
        if let Some(fault) = spent {
            self.shared.forget(fault);
        }
        self.shared.cuts.fetch_add(1, Ordering::SeqCst);
        reset(self.from);
        reset(self.to);
        false
    }
}

impl Shared {
    fn has(&self, fault: Fault) -> bool {
        lock(&self.faults).contains(&fault)
    }

    fn forget(&self, fault: Fault) {
        lock(&self.faults).retain(|other| *other != fault);
    }

    /// Waits while a condition holds; `false` when the proxy ended, or after five minutes.
    fn wait_while(&self, condition: impl Fn(&Self) -> bool) -> bool {
        let deadline = Instant::now() + Duration::from_mins(5);
        while condition(self) {
            if self.ended.load(Ordering::SeqCst) || Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(TICK);
        }
        !self.ended.load(Ordering::SeqCst)
    }
}

/// Ends a connection with a reset rather than an orderly close: on Linux, connecting a socket to nothing sends one at once,
/// however many copies of the socket are open.
fn reset(stream: &TcpStream) {
    if rustix::net::connect_unspec(stream).is_err() {
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers every connection with the bytes that it got.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                std::thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
            }
        });
        address
    }

    fn connected(proxy: &FaultProxy) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream
    }

    /// Sends `length` bytes and returns what came back before the end or an error.
    fn exchange(proxy: &FaultProxy, length: usize) -> (Vec<u8>, bool) {
        let mut stream = connected(proxy);
        let mut writer = stream.try_clone().unwrap();
        let sending = std::thread::spawn(move || {
            let _ = writer.write_all(&vec![b'a'; length]);
            let _ = writer.shutdown(Shutdown::Write);
        });
        let mut got = Vec::new();
        let orderly = stream.read_to_end(&mut got).is_ok();
        sending.join().unwrap();
        (got, orderly)
    }

    #[test]
    fn without_faults_every_byte_passes_and_is_counted() {
        let proxy = FaultProxy::start(echo()).unwrap();
        assert_eq!(exchange(&proxy, 1_000_000), (vec![b'a'; 1_000_000], true));
        assert_eq!((proxy.bytes_up(), proxy.bytes_down(), proxy.connections(), proxy.cuts()), (1_000_000, 1_000_000, 1, 0));
    }

    #[test]
    fn an_upload_is_cut_at_the_byte_it_was_told_and_only_once() {
        let proxy = FaultProxy::start(echo()).unwrap();
        proxy.set(&[Fault::Cut { way: Way::Up, after: 123_457, once: true }]);
        let (got, orderly) = exchange(&proxy, 1_000_000);
        assert!(!orderly && got.len() <= 123_457, "a cut must be a reset, not an end of file");
        assert_eq!((proxy.bytes_up(), proxy.cuts()), (123_457, 1));
        assert_eq!(exchange(&proxy, 1_000_000).0.len(), 1_000_000);
    }

    #[test]
    fn a_download_that_is_always_cut_is_cut_each_time() {
        let proxy = FaultProxy::start(echo()).unwrap();
        proxy.set(&[Fault::Cut { way: Way::Down, after: 1_000, once: false }]);
        for _ in 0..3 {
            assert!(exchange(&proxy, 50_000).0.len() <= 1_000);
        }
        assert_eq!((proxy.bytes_down(), proxy.cuts()), (3_000, 3));
    }

    #[test]
    fn one_byte_is_changed_and_no_other() {
        let proxy = FaultProxy::start(echo()).unwrap();
        proxy.set(&[Fault::Corrupt { way: Way::Down, at: 40_000 }]);
        let (got, _) = exchange(&proxy, 100_000);
        let changed: Vec<usize> = got.iter().enumerate().filter(|(_, byte)| **byte != b'a').map(|(at, _)| at).collect();
        assert_eq!((got.len(), changed), (100_000, vec![40_000]));
    }

    #[test]
    fn a_stalled_connection_goes_on_when_healed() {
        let proxy = FaultProxy::start(echo()).unwrap();
        proxy.set(&[Fault::Stall { way: Way::Up, after: 10 }]);
        let mut stream = connected(&proxy);
        stream.write_all(&[b'a'; 30]).unwrap();
        let mut got = [0; 30];
        stream.read_exact(&mut got[..10]).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert!(stream.read(&mut got).is_err(), "a stalled connection passed more than it was told");
        proxy.heal();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.read_exact(&mut got[10..]).unwrap();
    }

    #[test]
    fn a_black_hole_is_silent_and_a_refusal_is_quick() {
        let proxy = FaultProxy::start(echo()).unwrap();
        proxy.set(&[Fault::BlackHole]);
        let mut stream = connected(&proxy);
        stream.write_all(b"hello").unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert!(matches!(stream.read(&mut [0; 5]).unwrap_err().kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
        proxy.set(&[Fault::Refuse]);
        let (got, _) = exchange(&proxy, 10);
        assert!(got.is_empty());
    }

    #[test]
    fn a_throttled_connection_is_as_slow_as_told() {
        let proxy = FaultProxy::start(echo()).unwrap();
        proxy.set(&[Fault::Throttle(100_000)]);
        let started = Instant::now();
        assert_eq!(exchange(&proxy, 50_000).0.len(), 50_000);
        let time = started.elapsed().as_secs_f64();
        assert!((0.45..4.0).contains(&time), "{time} s");
    }
}
