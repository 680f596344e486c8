//! Modes that say one thing and do another, beside the honest behaviour they depart from.

use std::cell::Cell;

use crate::bindings::cofre::plugin::types::{Error, ErrorKind, Object};
use crate::bindings::wasi::io::streams::{InputStream, OutputStream, StreamError};
use crate::{Settings, fault};

const CHUNK: u64 = 64 << 10;

/// Takes a part, or says that it did.
pub(crate) fn write(settings: &Settings, offset: &Cell<u64>, body: &InputStream, length: u64) -> Result<u64, Error> {
    let end = offset.get() + length;
    match settings.mode.as_str() {
        "finish-without-reading" => {}
        "read-half" => drain(body, length / 2)?,
        "read-past-the-end" => {
            drain(body, length)?;
            // There is nothing behind the body; whatever comes is a fault of the host.
            if let Ok(more) = body.blocking_read(1) {
                return Err(fault(ErrorKind::Integrity, format!("{} bytes came after the end of the body", more.len())));
            }
        }
        "lie-offset-forward" => {
            drain(body, length)?;
            offset.set(end + 1);
            return Ok(end + 1);
        }
        "lie-offset-back" => {
            drain(body, length)?;
            return Ok(offset.get());
        }
        _ => drain(body, length)?,
    }
    offset.set(end);
    Ok(end)
}

/// The object as it is after `finish`.
pub(crate) fn finished(settings: &Settings, key: &str, offset: u64) -> Object {
    let size = match settings.mode.as_str() {
        "lie-finish-size" => offset + 1,
        "lie-finish-short" => offset.saturating_sub(1),
        _ => offset,
    };
    let key = if settings.mode == "lie-finish-key" { "another/key" } else { key };
    let checksum = match settings.mode.as_str() {
        "lie-finish-checksum" => Some("sha256:0000000000000000000000000000000000000000000000000000000000000000".to_owned()),
        "bad-finish-checksum" => Some("no colon and\nno hex".to_owned()),
        _ => None,
    };
    Object { key: key.to_owned(), size, modified_unix_ms: None, checksum }
}

/// Gives a range of the object, or says that it did.
pub(crate) fn read(settings: &Settings, key: &str, (offset, length): (u64, Option<u64>), sink: &OutputStream) -> Result<u64, Error> {
    let beyond = || fault(ErrorKind::InvalidConfig, format!("the range goes beyond {key}"));
    let available = settings.size.checked_sub(offset).ok_or_else(beyond)?;
    let length = length.unwrap_or(available);
    if length > available {
        return Err(beyond());
    }
    let (sent, said) = match settings.mode.as_str() {
        "read-short" => (length.saturating_sub(1), length),
        "read-short-honest" => (length.saturating_sub(1), length.saturating_sub(1)),
        "read-too-much" => (length + 1, length),
        "read-flood" => (u64::MAX - offset, length),
        "read-nothing" => (0, length),
        _ => (length, length),
    };
    send(sink, offset, sent)?;
    Ok(said)
}

/// One page, or far too much of one.
pub(crate) fn list(settings: &Settings, prefix: &str, cursor: Option<String>) -> (Vec<Object>, Option<String>) {
    let object = |key: String| Object { key, size: settings.size, modified_unix_ms: None, checksum: None };
    match settings.mode.as_str() {
        "huge-list" => ((0..300_000).map(|n| object(format!("{prefix}{n:0>100}"))).collect(), None),
        "endless-list" => (vec![object(format!("{prefix}again"))], Some("the same".to_owned())),
        "empty-endless-list" => {
            let page = cursor.and_then(|c| c.parse::<u64>().ok()).unwrap_or(0);
            (Vec::new(), Some((page + 1).to_string()))
        }
        "huge-cursor" => (vec![object(format!("{prefix}x"))], Some("x".repeat(16 << 20))),
        "list-outside" => {
            (vec![object("../../etc/passwd".to_owned()), object("/absolute".to_owned()), object("another/prefix".to_owned())], None)
        }
        _ => ((0..3).map(|n| object(format!("{prefix}object-{n}"))).collect(), None),
    }
}

fn drain(body: &InputStream, length: u64) -> Result<(), Error> {
    let mut left = length;
    while left > 0 {
        match body.blocking_read(left.min(CHUNK)) {
            Ok(chunk) => left -= chunk.len() as u64,
            Err(StreamError::Closed) => return Err(fault(ErrorKind::Integrity, format!("the body ended {left} bytes early"))),
            Err(StreamError::LastOperationFailed(cause)) => return Err(fault(ErrorKind::Other, cause.to_debug_string())),
        }
    }
    Ok(())
}

fn send(sink: &OutputStream, from: u64, length: u64) -> Result<(), Error> {
    let failed = |error: StreamError| fault(ErrorKind::Other, format!("cannot write into the sink: {error:?}"));
    let end = from + length;
    let mut at = from;
    while at < end {
        let permitted = sink.check_write().map_err(failed)?;
        if permitted == 0 {
            sink.subscribe().block();
            continue;
        }
        let next = end.min(at + permitted.min(CHUNK));
        let chunk: Vec<u8> = (at..next).map(|i| u8::try_from(i % 251).unwrap_or(0)).collect();
        sink.write(&chunk).map_err(failed)?;
        at = next;
    }
    sink.blocking_flush().map_err(failed)
}
