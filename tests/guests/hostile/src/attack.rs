//! Modes that use up what the host has, or that end the call in a bad way.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::bindings::cofre::plugin::host::{self, Level};
use crate::bindings::cofre::plugin::types::{Error, ErrorKind};
use crate::bindings::wasi::clocks::monotonic_clock;
use crate::{Settings, fault};

/// Does what `mode` says; returns only from modes that this file does not know.
pub(crate) fn act(settings: &Settings) -> Result<(), Error> {
    match settings.mode.as_str() {
        "spin" => spin(),
        "spin-with-yield" => spin_with_yield(),
        "hang-forever" => std::thread::sleep(Duration::from_secs(1 << 30)),
        "memory-bomb" => memory_bomb(),
        "resource-bomb" => resource_bomb(),
        "stack-bomb" => drop(black_box(stack_bomb(0))),
        "trap" => std::process::abort(),
        "panic" => panic!("the guest panics on purpose"),
        "exit" => std::process::exit(3),
        "log-flood" => log_flood(),
        "stdout-flood" => stdout_flood(),
        "huge-error-message" => return Err(fault(ErrorKind::Other, "x".repeat(32 << 20))),
        "huge-error-context" => return Err(huge_context()),
        "control-characters" => return Err(fault(ErrorKind::Other, "one line\nlevel=ERROR forged \u{1b}[2Jline\r\0end".to_owned())),
        "malformed-text" => return Err(fault(ErrorKind::Other, malformed())),
        "error" => return Err(wanted(settings)),
        _ => {}
    }
    Ok(())
}

/// Bytes that are no UTF-8, where the contract has a text.
fn malformed() -> String {
    // SAFETY: it is not safe, and nothing here looks at it before the host does.
    unsafe { String::from_utf8_unchecked(vec![b'x', 0xFF, 0xFE, 0xC0]) }
}

fn spin() {
    let mut n = 0_u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

/// Always busy, never for long at a stretch.
fn spin_with_yield() {
    loop {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(1) {
            black_box(start);
        }
        monotonic_clock::subscribe_duration(1_000).block();
    }
}

fn memory_bomb() {
    let mut kept = Vec::new();
    loop {
        kept.push(black_box(vec![0xA5_u8; 16 << 20]));
    }
}

/// One handle after the other, none given back.
fn resource_bomb() {
    loop {
        std::mem::forget(monotonic_clock::subscribe_duration(u64::MAX));
    }
}

#[allow(unconditional_recursion, reason = "that is the attack")]
fn stack_bomb(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    black_box(stack_bomb(depth + 1)) + frame[7]
}

fn log_flood() {
    let line = "flood ".repeat(170);
    loop {
        host::log(Level::Info, &line);
    }
}

fn stdout_flood() {
    let line = "flood ".repeat(170);
    loop {
        println!("{line}");
        eprintln!("{line}");
    }
}

fn huge_context() -> Error {
    let context = (0..300_000).map(|n| (format!("name {n}"), "value".repeat(4))).collect();
    Error { context, ..fault(ErrorKind::Other, "see the context".to_owned()) }
}

/// An honest failure of the kind that the settings name.
fn wanted(settings: &Settings) -> Error {
    let kind = match settings.kind.as_str() {
        "invalid-config" => ErrorKind::InvalidConfig,
        "access-denied" => ErrorKind::AccessDenied,
        "not-found" => ErrorKind::NotFound,
        "already-exists" => ErrorKind::AlreadyExists,
        "out-of-space" => ErrorKind::OutOfSpace,
        "rate-limited" => ErrorKind::RateLimited,
        "unavailable" => ErrorKind::Unavailable,
        "timeout" => ErrorKind::Timeout,
        "integrity" => ErrorKind::Integrity,
        "session-lost" => ErrorKind::SessionLost,
        "unsupported" => ErrorKind::Unsupported,
        _ => ErrorKind::Other,
    };
    Error {
        kind,
        retryable: settings.retryable,
        retry_after_ms: settings.retry_after_ms,
        message: "cannot do it: the settings say so".to_owned(),
        context: vec![("status".to_owned(), "503".to_owned())],
    }
}
