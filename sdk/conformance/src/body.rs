//! The bytes of objects: a seeded function of the offset, made while they are read and compared while they come back.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use md5::Md5;
use sha2::Sha256;
use sha2::digest::Digest;

/// Bytes that a body makes at once.
const CHUNK: usize = 64 << 10;

/// What one object holds: byte `n` is the same whoever asks, and looks like noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pattern(u64);

impl Pattern {
    /// The pattern of a run and a name.
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        // FNV-1a: any spread will do, and this one is three lines.
        Self(name.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
    }

    /// Fills `out` with the bytes from `offset` on.
    pub(crate) fn fill(self, offset: u64, out: &mut [u8]) {
        let (mut index, mut skip, mut rest) = (offset / 8, usize::try_from(offset % 8).unwrap_or(0), out);
        while !rest.is_empty() {
            let word = self.word(index).to_le_bytes();
            let count = (8 - skip).min(rest.len());
            let (now, later) = rest.split_at_mut(count);
            now.copy_from_slice(&word[skip..skip + count]);
            (index, skip, rest) = (index.wrapping_add(1), 0, later);
        }
    }

    /// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators") at a place instead of in a row.
    fn word(self, index: u64) -> u64 {
        let mut z = self.0.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Bytes `from..to`, as a body.
    pub(crate) fn body(self, from: u64, to: u64) -> Body {
        Body { pattern: self, at: from, to, stop: None, gate: None }
    }

    /// The digest of the first `size` bytes as hex, where the algorithm is one that the contract knows.
    pub(crate) fn checksum(self, algorithm: &str, size: u64) -> Option<String> {
        match algorithm {
            "md5" => Some(self.digest::<Md5>(size)),
            "sha256" => Some(self.digest::<Sha256>(size)),
            _ => None,
        }
    }

    fn digest<D: Digest>(self, size: u64) -> String {
        let (mut digest, mut chunk, mut at) = (D::new(), vec![0; CHUNK], 0);
        while at < size {
            let count = usize::try_from(size - at).unwrap_or(CHUNK).min(CHUNK);
            self.fill(at, &mut chunk[..count]);
            digest.update(&chunk[..count]);
            at += count as u64;
        }
        digest.finalize().iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

/// How a body ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// With an error, as where the disk with the ciphertext fails.
    Error,
    /// Without one, which the host turns into one.
    End,
}

/// Bytes on their way to a subject.
#[derive(Debug)]
pub(crate) struct Body {
    pattern: Pattern,
    at: u64,
    to: u64,
    stop: Option<(u64, Stop)>,
    gate: Option<(u64, Arc<Gate>)>,
}

impl Body {
    /// Ends at `offset`, before its length is reached.
    pub(crate) fn stopping(self, offset: u64, how: Stop) -> Self {
        Self { stop: Some((offset, how)), ..self }
    }

    /// Waits at `offset` until the gate is open.
    pub(crate) fn waiting(self, offset: u64, gate: Arc<Gate>) -> Self {
        Self { gate: Some((offset, gate)), ..self }
    }

    /// Where the next byte may not simply be made.
    fn next_halt(&self) -> u64 {
        let gate = self.gate.as_ref().map_or(self.to, |(at, _)| *at);
        let stop = self.stop.map_or(self.to, |(at, _)| at);
        [gate, stop].into_iter().filter(|halt| *halt > self.at).fold(self.to, u64::min)
    }
}

impl Read for Body {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if let Some((offset, gate)) = self.gate.take_if(|(offset, _)| *offset <= self.at) {
            gate.pass().map_err(|why| io::Error::other(format!("held back at {offset}: {why}")))?;
        }
        match self.stop {
            Some((offset, Stop::Error)) if self.at >= offset => return Err(io::Error::other("the suite broke this body on purpose")),
            Some((offset, Stop::End)) if self.at >= offset => return Ok(0),
            _ => {}
        }
        let left = usize::try_from(self.next_halt() - self.at).unwrap_or(usize::MAX);
        let count = out.len().min(left).min(CHUNK);
        self.pattern.fill(self.at, &mut out[..count]);
        self.at += count as u64;
        Ok(count)
    }
}

/// Holds a body until somebody opens it, or says that it stays shut.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    reached: bool,
    verdict: Option<Result<(), String>>,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the verdict.
    fn pass(&self) -> Result<(), String> {
        let mut state = self.lock();
        state.reached = true;
        loop {
            match &state.verdict {
                Some(verdict) => return verdict.clone(),
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Whether the body stands before it.
    pub(crate) fn is_reached(&self) -> bool {
        self.lock().reached
    }

    /// Whether there is a verdict.
    pub(crate) fn is_decided(&self) -> bool {
        self.lock().verdict.is_some()
    }

    /// Lets the body go on, or fail; the first verdict counts.
    pub(crate) fn decide(&self, verdict: Result<(), String>) {
        self.lock().verdict.get_or_insert(verdict);
        self.changed.notify_all();
    }
}

/// A sink that compares what comes with what was sent.
pub(crate) struct Check {
    pattern: Pattern,
    state: Arc<Mutex<Seen>>,
}

/// What a [`Check`] has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Offset of the next byte.
    at: u64,
    /// Offset of the first byte that was another.
    wrong: Option<u64>,
}

/// The other end of a [`Check`].
pub(crate) struct Checked {
    from: u64,
    state: Arc<Mutex<Seen>>,
}

impl Pattern {
    /// A sink for the bytes from `offset` on, and what it will have seen.
    pub(crate) fn check(self, offset: u64) -> (Check, Checked) {
        let state = Arc::new(Mutex::new(Seen { at: offset, wrong: None }));
        (Check { pattern: self, state: Arc::clone(&state) }, Checked { from: offset, state })
    }
}

impl Checked {
    /// How many bytes came.
    pub(crate) fn count(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).at - self.from
    }

    /// Where the first wrong one was.
    pub(crate) fn wrong(&self) -> Option<u64> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).wrong
    }
}

impl Write for Check {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut seen = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut expected = [0; 4 << 10];
        for block in bytes.chunks(expected.len()) {
            let expected = &mut expected[..block.len()];
            self.pattern.fill(seen.at, expected);
            if seen.wrong.is_none() && expected != block {
                let first = expected.iter().zip(block).position(|(one, other)| one != other).unwrap_or(0);
                seen.wrong = Some(seen.at + first as u64);
            }
            seen.at += block.len() as u64;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(mut body: Body) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        body.read_to_end(&mut all).map(|_| all)
    }

    #[test]
    fn a_byte_is_the_same_from_wherever_it_is_read() {
        let pattern = Pattern::new(7, "a");
        let whole = bytes(pattern.body(0, 200_000)).expect("made");
        for (from, to) in [(0, 1), (1, 17), (7, 8), (8, 24), (65_535, 70_000), (199_999, 200_000), (5, 5)] {
            assert_eq!(
                bytes(pattern.body(from, to)).expect("made"),
                whole[usize::try_from(from).expect("small")..usize::try_from(to).expect("small")]
            );
        }
        assert_ne!(bytes(Pattern::new(7, "b").body(0, 16)).expect("made"), whole[..16]);
        assert_ne!(bytes(Pattern::new(8, "a").body(0, 16)).expect("made"), whole[..16]);
    }

    #[test]
    fn a_check_names_the_first_wrong_byte() {
        let pattern = Pattern::new(1, "x");
        let mut content = bytes(pattern.body(10, 20_010)).expect("made");
        content[12_345] ^= 1;
        let (mut sink, seen) = pattern.check(10);
        for part in content.chunks(777) {
            sink.write_all(part).expect("taken");
        }
        assert_eq!((seen.count(), seen.wrong()), (20_000, Some(12_355)));
    }

    #[test]
    fn a_body_stops_where_it_was_told_to() {
        let pattern = Pattern::new(1, "x");
        assert_eq!(bytes(pattern.body(0, 100_000).stopping(70_001, Stop::End)).expect("an end").len(), 70_001);
        let mut broken = pattern.body(0, 100_000).stopping(70_001, Stop::Error);
        let mut all = Vec::new();
        broken.read_to_end(&mut all).expect_err("broken");
        assert_eq!(all.len(), 70_001);
    }

    #[test]
    fn a_held_body_goes_on_once_its_gate_is_open() {
        let (pattern, gate) = (Pattern::new(1, "x"), Arc::new(Gate::default()));
        let held = pattern.body(0, 100).waiting(40, Arc::clone(&gate));
        let reader = std::thread::spawn(move || bytes(held));
        while !gate.is_reached() {
            std::thread::yield_now();
        }
        gate.decide(Ok(()));
        assert_eq!(reader.join().expect("no panic").expect("opened").len(), 100);
        let shut = Arc::new(Gate::default());
        shut.decide(Err("nothing moved".to_owned()));
        assert!(bytes(pattern.body(0, 100).waiting(40, shut)).is_err());
    }

    #[test]
    fn a_checksum_is_that_of_the_bytes() {
        let pattern = Pattern::new(3, "x");
        assert_eq!(pattern.checksum("md5", 0).as_deref(), Some("d41d8cd98f00b204e9800998ecf8427e"));
        assert_eq!(pattern.checksum("sha256", 0).as_deref(), Some("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
        assert_eq!(pattern.checksum("crc32", 0), None);
    }
}
