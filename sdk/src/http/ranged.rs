//! A ranged download that believes nothing: RFC 9110 lets a server ignore `Range`, send less than it promised, or end early.

use std::io::{Read as _, Write as _};

use super::Response;
use crate::body::Sink;
use crate::destination::Range;
use crate::error::{Error, Result};

/// Bytes moved at once.
const CHUNK: usize = 256 << 10;

/// Writes exactly `range` of an object into `sink`. `get` asks for the object with the value of `Range` that it is given, and returns
/// an answer of success or 416; `size` asks how long the object is, and is called only where an answer does not say.
///
/// # Errors
/// `invalid-config` where the range goes beyond the object; `integrity` where the service sends another range or less than it promised;
/// what `get` and `size` fail with.
///
/// # Examples
///
/// ```
/// # use cofre_sdk::{Error, Object, Range, Result, Sink, http::{Request, Response, read_range}};
/// # struct Store;
/// # impl Store {
/// #     fn stat(&self, _: &str) -> Result<Object> { Err(Error::unsupported("the answer says it")) }
/// #     fn send(&self, request: Request) -> Result<Response> {
/// #         assert_eq!(request.headers()[0].1, "bytes=5-9");
/// #         let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
/// #         Ok(Response::from_reader(206, vec![header("content-range", "bytes 5-9/20"), header("content-length", "5")], &b"56789"[..]))
/// #     }
/// fn read(&self, key: &str, range: Range, sink: &mut Sink) -> Result<()> {
///     let get = |range: Option<String>| {
///         let request = Request::get(format!("https://objects.example/{key}"));
///         let request = range.into_iter().fold(request, |request, range| request.header("range", range));
///         let answer = self.send(request)?;
///         if answer.is_success() || answer.status() == 416 { Ok(answer) } else { Err(Error::from_http(answer.status(), b"")) }
///     };
///     read_range(range, sink, get, || Ok(self.stat(key)?.size))
/// }
/// # }
/// # let mut sink = Sink::from_writer(std::io::sink());
/// # Store.read("a", Range { offset: 5, length: Some(5) }, &mut sink)?;
/// # assert_eq!(sink.written(), 5);
/// # Ok::<(), Error>(())
/// ```
pub fn read_range(
    range: Range,
    sink: &mut Sink,
    get: impl FnOnce(Option<String>) -> Result<Response>,
    size: impl FnOnce() -> Result<u64>,
) -> Result<()> {
    let header = match range {
        Range { length: Some(0), .. } => return range.length_in(size()?).map(drop),
        Range { offset: 0, length: None } => None,
        Range { offset, length: None } => Some(format!("bytes={offset}-")),
        Range { offset, length: Some(length) } => Some(format!("bytes={offset}-{}", offset.saturating_add(length - 1))),
    };
    let answer = get(header)?;
    if answer.status() == 416 {
        return match range.length_in(size()?)? {
            // No byte follows the last one; the empty rest of an object is a range all the same.
            0 => Ok(()),
            _ => Err(Error::integrity(format!("the service says that there is no range {range:?}, and that the object is longer"))),
        };
    }
    let length = match length_of(&answer) {
        Some(length) => length,
        None if answer.status() == 206 => return Err(Error::integrity("the service does not say which range it sends")),
        None => size()?,
    };
    let length = wanted(&answer, range, length)?;
    copy(answer, length, sink)
}

/// How many bytes an answer brings, where it says so: a body in chunks of unknown number ends explicitly too, but after how many?
fn length_of(answer: &Response) -> Option<u64> {
    let stated = answer.header("content-length").and_then(|length| length.trim().parse().ok());
    stated.or_else(|| {
        let (first, last) = answer.header("content-range")?.strip_prefix("bytes ")?.split_once('/')?.0.split_once('-')?;
        last.trim().parse::<u64>().ok()?.checked_sub(first.trim().parse().ok()?)?.checked_add(1)
    })
}

/// How many of an answer's `length` bytes are wanted; refused where they are not the range.
fn wanted(answer: &Response, range: Range, length: u64) -> Result<u64> {
    if answer.status() == 206 {
        let begins = answer.header("content-range").and_then(|text| text.strip_prefix("bytes ")).and_then(|text| text.split_once('-'));
        if begins.is_some_and(|(first, _)| first.trim().parse() != Ok(range.offset)) {
            return Err(Error::integrity(format!("the service sends another range than {range:?}")));
        }
    } else if range.offset != 0 {
        return Err(Error::integrity(format!("the service ignored the range {range:?}")));
    }
    match range.length {
        Some(wanted) if length < wanted => Err(Error::invalid_config(format!("the range {range:?} goes beyond the object"))),
        // The whole object where only its beginning was wanted is more than was asked for, and its beginning all the same.
        Some(wanted) if length > wanted && answer.status() == 206 => {
            Err(Error::integrity(format!("the service sends more than the range {range:?}")))
        }
        Some(wanted) => Ok(wanted),
        None => Ok(length),
    }
}

/// Moves exactly `length` bytes of an answer.
fn copy(mut answer: Response, length: u64, sink: &mut Sink) -> Result<()> {
    let mut buffer = vec![0; CHUNK];
    let mut left = length;
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = answer.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(Error::integrity(format!("the answer ended {left} of {length} bytes early")));
        }
        sink.write_all(&buffer[..count])?;
        left -= count as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::error::ErrorKind;

    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("whole").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Reads a range of ten digits from a server that answers with `status`, `headers` and `body`.
    fn read((offset, length): (u64, Option<u64>), status: u16, headers: &[(&str, &str)], body: &'static str) -> Result<String> {
        let shared = Arc::new(Mutex::new(Vec::new()));
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let answer = Response::from_reader(status, headers, body.as_bytes());
        read_range(Range { offset, length }, &mut Sink::from_writer(Shared(Arc::clone(&shared))), |_| Ok(answer), || Ok(10))?;
        let bytes = shared.lock().expect("whole").clone();
        Ok(String::from_utf8(bytes).expect("digits"))
    }

    #[test]
    fn an_honest_server_gives_the_range() {
        assert_eq!(read((0, None), 200, &[("content-length", "10")], "0123456789").expect("whole"), "0123456789");
        let headers = [("content-length", "4"), ("content-range", "bytes 3-6/10")];
        assert_eq!(read((3, Some(4)), 206, &headers, "3456").expect("ranged"), "3456");
        assert_eq!(read((10, None), 416, &[], "").expect("the empty rest"), "");
        assert_eq!(read((10, Some(0)), 500, &[], "").expect("nothing, without a request"), "");
        assert_eq!(read((0, Some(2)), 200, &[("content-length", "10")], "0123456789").expect("the beginning"), "01");
        assert_eq!(read((0, None), 200, &[], "0123456789").expect("in chunks"), "0123456789");
        assert_eq!(read((3, Some(4)), 206, &[("content-range", "bytes 3-6/10")], "3456").expect("in chunks"), "3456");
    }

    #[test]
    fn what_goes_beyond_the_object_is_refused() {
        let headers = [("content-length", "2"), ("content-range", "bytes 8-9/10")];
        for (range, status) in [((8, Some(3)), 206), ((11, None), 416), ((11, Some(0)), 206), ((12, Some(1)), 416)] {
            let error = read(range, status, &headers, "89").expect_err("beyond");
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{range:?}");
        }
    }

    #[test]
    fn a_server_that_ignores_the_range_or_sends_less_is_not_believed() {
        for (range, status, headers, body) in [
            ((3, Some(4)), 200, vec![("content-length", "10")], "0123456789"),
            ((3, None), 200, vec![("content-length", "10")], "0123456789"),
            ((3, Some(4)), 206, vec![("content-length", "4"), ("content-range", "bytes 0-3/10")], "0123"),
            ((3, Some(4)), 206, vec![("content-length", "4"), ("content-range", "bytes 3-6/10")], "34"),
            ((3, Some(4)), 206, vec![], "3456"),
            ((3, Some(4)), 416, vec![], ""),
        ] {
            assert_eq!(read(range, status, &headers, body).expect_err("not the range").kind(), ErrorKind::Integrity, "{headers:?}");
        }
    }
}
