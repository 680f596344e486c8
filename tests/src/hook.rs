//! A web server that keeps what is posted to it, answers as it is told, and can be away.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

/// The server. Ends when dropped.
pub struct Hook {
    shared: Arc<Shared>,
    address: SocketAddr,
    listener: Option<JoinHandle<()>>,
}

struct Shared {
    posted: Mutex<Vec<Value>>,
    answer: AtomicU16,
    ended: AtomicBool,
}

impl Hook {
    /// Starts one on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { posted: Mutex::default(), answer: AtomicU16::new(200), ended: AtomicBool::new(false) });
        let serving = Arc::clone(&shared);
        let listener = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.ended.load(Ordering::SeqCst) {
                    return;
                }
                // One client at a time; a broken one is its own fault.
                let _ = stream.and_then(|stream| serve(&stream, &serving));
            }
        });
        Ok(Self { shared, address, listener: Some(listener) })
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Answers with this status from now on; what is refused is not kept.
    pub fn answer(&self, status: u16) {
        self.shared.answer.store(status, Ordering::SeqCst);
    }

    /// Takes what was posted since the last time.
    pub fn take(&self) -> Vec<Value> {
        std::mem::take(&mut *self.shared.posted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A `[[notifier]]` that posts here, with further keys.
    pub fn notifier(&self, name: &str, more: &str) -> String {
        let port = self.port();
        format!(
            "[[notifier]]\nname = \"{name}\"\nplugin = \"webhook\"\nsettings = {{ url = \"http://127.0.0.1:{port}/{name}\" }}\n\
             grants = {{ network = [\"127.0.0.1:{port}\"] }}\n{more}\n"
        )
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(stream);
    let (mut path, mut length) = (String::new(), 0);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 && !line.trim_end().is_empty() {
        if path.is_empty() {
            line.split(' ').nth(1).unwrap_or_default().clone_into(&mut path);
        } else if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let status = shared.answer.load(Ordering::SeqCst);
    if status == 200
        && let Ok(mut posted) = serde_json::from_slice::<Value>(&body)
    {
        posted["path"] = path.trim_start_matches('/').into();
        shared.posted.lock().unwrap_or_else(PoisonError::into_inner).push(posted);
    }
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {status} Told\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the listener, which then sees that it is over.
        drop(TcpStream::connect_timeout(&self.address, Duration::from_secs(1)));
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}
