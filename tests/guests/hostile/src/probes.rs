//! Modes that try to see or reach what was not granted, and report what they found.

use std::fmt::Debug;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};

use cofre_sdk::http::{Method, Request};

use crate::bindings::cofre::plugin::host::{self, Level};
use crate::bindings::cofre::plugin::types::{Error, ErrorKind};
use crate::bindings::wasi::clocks::{monotonic_clock, wall_clock};
use crate::{Settings, fault};

/// What one call leaves for the next, where both are in one memory.
static CALLS: AtomicU64 = AtomicU64::new(0);

/// Does what `mode` says; what it saw is the message of the error that it returns.
pub(crate) fn act(settings: &Settings) -> Result<(), Error> {
    let seen = match settings.mode.as_str() {
        "environment" => environment(),
        "filesystem" => filesystem(),
        "write-file" => said("write", std::fs::write("/data/hostile", "was here")),
        "escape-directory" => escape(),
        "resolve" | "resolve-denied-name" => said("resolve", settings.target.to_socket_addrs().map(Iterator::collect::<Vec<_>>)),
        "connect" | "connect-denied" | "connect-bare-address" => said("connect", TcpStream::connect(&settings.target).map(drop)),
        "tcp-exchange" => said("exchange", exchange(&settings.target)),
        "listen" => said("listen", TcpListener::bind("127.0.0.1:0").map(drop)),
        "udp" => said("udp", udp(&settings.target)),
        "http-get" => http(Request::get(&settings.url)),
        "http-delete" => http(Request::new(Method::Delete, &settings.url)),
        "http-delete-in-disguise" => http(Request::new(Method::Post, &settings.url).header("X-HTTP-Method-Override", "DELETE")),
        "clock" => clock(),
        "remember" => format!("calls before={}", CALLS.fetch_add(1, Ordering::Relaxed)),
        "settings-echo" => host::settings(),
        "secret-echo" => said("secret", host::secret(&settings.target).ok_or("none")),
        "leak-secret" => leak(),
        "trust-roots" => format!("roots={}", host::trust_roots().len()),
        _ => return Ok(()),
    };
    Err(fault(ErrorKind::Other, format!("report: {seen}")))
}

fn said<T: Debug, E: Debug>(what: &str, result: Result<T, E>) -> String {
    match result {
        Ok(value) => format!("{what}=ok {value:?}"),
        Err(error) => format!("{what}=failed {error:?}"),
    }
}

fn environment() -> String {
    let variables: Vec<_> = std::env::vars_os().collect();
    let arguments: Vec<_> = std::env::args_os().collect();
    format!("variables={} arguments={} {variables:?} {arguments:?}", variables.len(), arguments.len())
}

fn filesystem() -> String {
    let names = |path| std::fs::read_dir(path).map(|entries| entries.filter_map(Result::ok).map(|e| e.file_name()).collect::<Vec<_>>());
    let tries = [
        said("root", names("/")),
        said("data", names("/data")),
        said("here", names(".")),
        said("passwd", std::fs::read("/etc/passwd").map(|bytes| bytes.len())),
        said("write", std::fs::write("/cofre-hostile", "x")),
    ];
    tries.join("; ")
}

/// Out of `/data`, by parent folders and by a link.
fn escape() -> String {
    let tries = [
        said("parent", std::fs::read("/data/../etc/passwd").map(|bytes| bytes.len())),
        said("deep", std::fs::read("/data/a/../../../etc/passwd").map(|bytes| bytes.len())),
        said("link", std::fs::read("/data/link").map(|bytes| bytes.len())),
        said("rename", std::fs::rename("/data/mine", "/data/../theirs")),
    ];
    tries.join("; ")
}

/// Sends `ping` and gives back what comes until the other side closes.
fn exchange(target: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(target)?;
    stream.write_all(b"ping")?;
    let mut answer = String::new();
    stream.take(1 << 16).read_to_string(&mut answer)?;
    Ok(answer)
}

fn udp(target: &str) -> std::io::Result<usize> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.send_to(b"ping", target)
}

fn http(request: Request) -> String {
    let fetched = request.send().and_then(|mut answer| {
        let body = answer.body_to_vec(1 << 16)?;
        Ok((answer.status(), String::from_utf8_lossy(&body).into_owned()))
    });
    match fetched {
        Ok((status, body)) => format!("status={status} body={body}"),
        Err(error) => format!("failed kind={:?} {error}", error.kind()),
    }
}

/// The smallest steps of both clocks, in nanoseconds, of twenty of each.
fn clock() -> String {
    let smallest = |now: &dyn Fn() -> u64| {
        let (mut last, mut smallest, mut steps) = (now(), u64::MAX, 0);
        while steps < 20 {
            let next = now();
            if next != last {
                smallest = smallest.min(next - last);
                (last, steps) = (next, steps + 1);
            }
        }
        smallest
    };
    let wall = || {
        let now = wall_clock::now();
        now.seconds * 1_000_000_000 + u64::from(now.nanoseconds)
    };
    format!("monotonic={} wall={}", smallest(&monotonic_clock::now), smallest(&wall))
}

/// Puts a secret where it must not go.
fn leak() -> String {
    let secret = host::secret("token").unwrap_or_default();
    host::log(Level::Info, &format!("the secret is {secret}"));
    format!("the secret is {secret}")
}
