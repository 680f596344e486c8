//! The chain of lines, apart from files: the next line, and whether what is there is what was written.
//!
//! What is no entry is tolerated in two places only: where the next entry names its very bytes as what a crash left, and at the end, behind
//! every line that a head vouches for.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::entry::{Actor, Entry, Event, LINE_MAX, Torn};
use super::lines::Piece;

/// Most bytes between two lines that a crash can have left: a few lines that each died on its way.
const TORN_MAX: u64 = 4 * LINE_MAX as u64;

/// The end of a chain: how many lines it has, and the SHA-256 of the last, hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Head {
    /// Lines.
    pub count: u64,
    /// SHA-256 of the last line without its newline, hex; zeros where there is none.
    pub hash: String,
}

impl Head {
    /// Before the first line.
    pub fn beginning() -> Self {
        Self { count: 0, hash: "0".repeat(64) }
    }

    /// The line that comes next, without its newline, and the end that the chain has with it.
    pub(super) fn next(&self, actor: &Actor, event: &Event, torn: Option<Torn>) -> Result<(Vec<u8>, Self), serde_json::Error> {
        let entry = event.entry(actor, (self.count + 1, &self.hash), torn);
        let line = serde_json::to_vec(&entry)?;
        let hash = digest(&line);
        Ok((line, Self { count: self.count + 1, hash }))
    }

    /// Takes a line for the next one.
    fn follow(&self, piece: &Piece) -> Result<(Entry, Self), Break> {
        if !piece.ended {
            return Err(Break::Unended);
        }
        let entry: Entry = serde_json::from_slice(&piece.bytes).map_err(|error| Break::NoEntry(error.to_string()))?;
        let hash = digest(&piece.bytes);
        if entry.seq != self.count.saturating_add(1) {
            return Err(Break::Number { found: entry.seq, expected: self.count.saturating_add(1) });
        }
        if entry.previous != self.hash {
            return Err(Break::Previous { own: hash });
        }
        Ok((entry, Self { count: self.count + 1, hash }))
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.count, self.hash)
    }
}

impl FromStr for Head {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fail = || format!("`{}` is no head of an audit log; it is a number, a blank and 64 hexadecimal digits", text.trim());
        let (count, hash) = text.trim().split_once(' ').ok_or_else(fail)?;
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let count = count.parse().ok().filter(|_| is_hash).ok_or_else(fail)?;
        Ok(Self { count, hash: hash.to_owned() })
    }
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Why a line is not the next one.
#[derive(Debug, Clone)]
enum Break {
    Unended,
    NoEntry(String),
    Number {
        found: u64,
        expected: u64,
    },
    Previous {
        own: String,
    },
    /// It claims to mend what is not there.
    NotTorn,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unended => f.write_str("it is no whole line"),
            Self::NoEntry(error) => write!(f, "it is no entry: {error}"),
            Self::Number { found, expected } if found > expected => write!(f, "entry {expected} is missing here: {found} follows"),
            Self::Number { found, expected } => write!(f, "entry {found} stands where {expected} belongs"),
            Self::Previous { .. } => f.write_str("it was altered: it does not follow the line before it"),
            Self::NotTorn => f.write_str("it was altered: what it says to lie before it does not"),
        }
    }
}

/// The first line that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Fault {
    /// File.
    pub file: String,
    /// Line of that file, from 1.
    pub line: u64,
    /// Number of the entry that belongs there.
    pub entry: u64,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: entry {}: {}", self.file, self.line, self.entry, self.what)
    }
}

/// Where a line stands.
#[derive(Debug, Clone)]
struct Place {
    file: Arc<str>,
    line: u64,
}

impl Place {
    fn fault(&self, entry: u64, what: String) -> Fault {
        Fault { file: self.file.to_string(), line: self.line, entry, what }
    }
}

/// What is no entry, as far as it has been read.
#[derive(Debug)]
struct Rest {
    begin: Place,
    why: Break,
    /// Pieces that it consists of.
    pieces: u64,
    bytes: u64,
    digest: Sha256,
}

impl Rest {
    fn add(&mut self, piece: &Piece) {
        self.pieces += 1;
        self.bytes += piece.bytes.len() as u64 + u64::from(piece.ended);
        self.digest.update(&piece.bytes);
        if piece.ended {
            self.digest.update(b"\n");
        }
    }

    fn facts(&self) -> Torn {
        Torn { bytes: self.bytes, sha256: hex::encode(self.digest.clone().finalize()) }
    }
}

/// Follows a chain line by line.
#[derive(Debug)]
pub(super) struct Inspection {
    head: Head,
    /// The last line that followed.
    last: Place,
    next: Place,
    rest: Option<Rest>,
    known: Vec<(String, Head)>,
    healed: u64,
}

/// How a chain ends.
#[derive(Debug)]
pub(super) struct End {
    /// Its last line.
    pub(super) head: Head,
    /// Places where a crash had left half a line.
    pub(super) healed: u64,
    /// Bytes behind its last line.
    pub(super) torn: u64,
}

impl Inspection {
    /// Goes on from `head`. The heads in `known`, each with the name of who knows it, must be in the chain.
    pub(super) fn new(head: Head, known: Vec<(String, Head)>) -> Self {
        let place = Place { file: Arc::from(""), line: 1 };
        Self { head, last: place.clone(), next: place, rest: None, known, healed: 0 }
    }

    /// The lines from here on are of another file. What a crash left cannot lie across two.
    pub(super) fn file(&mut self, name: &str) -> Result<(), Fault> {
        if self.rest.is_some() {
            return Err(self.blamed());
        }
        self.next = Place { file: Arc::from(name), line: 1 };
        Ok(())
    }

    /// Looks at the next piece. Returns its entry, if it is one.
    pub(super) fn piece(&mut self, piece: &Piece) -> Result<Option<Entry>, Fault> {
        let here = self.next.clone();
        self.next.line += u64::from(piece.ended);
        let why = match self.head.follow(piece) {
            Ok((entry, head)) if entry.torn == self.rest.as_ref().map(Rest::facts) => {
                self.healed += u64::from(self.rest.take().is_some());
                (self.head, self.last) = (head, here);
                return self.as_known().map(|()| Some(entry));
            }
            Ok(_) => Break::NotTorn,
            Err(why) => why,
        };
        if let Some(Rest { why: Break::Previous { own }, pieces: 1, .. }) = &self.rest
            && serde_json::from_slice::<Entry>(&piece.bytes).is_ok_and(|next| next.previous == *own)
        {
            return Err(self.blamed_for(true));
        }
        let rest = self.rest.get_or_insert_with(|| Rest { begin: here, why, pieces: 0, bytes: 0, digest: Sha256::new() });
        rest.add(piece);
        if rest.bytes > TORN_MAX { Err(self.blamed()) } else { Ok(None) }
    }

    /// Compares the line that was just taken with what is known of it.
    fn as_known(&self) -> Result<(), Fault> {
        match self.known.iter().find(|(_, head)| head.count == self.head.count && head.hash != self.head.hash) {
            Some((name, _)) => Err(self.last.fault(self.head.count, format!("it was altered: it is not the line that {name} names"))),
            None => Ok(()),
        }
    }

    /// The line to blame for what is no entry.
    fn blamed(&self) -> Fault {
        let own = self.rest.as_ref().and_then(|rest| if let Break::Previous { own } = &rest.why { Some(own) } else { None });
        let head_of = |own: &String| self.known.iter().any(|(_, head)| head.count == self.head.count + 1 && head.hash == *own);
        self.blamed_for(own.is_some_and(head_of))
    }

    /// The same, where it is known whether the line that does not follow is as it was: then the one before it is not.
    fn blamed_for(&self, is_as_it_was: bool) -> Fault {
        match &self.rest {
            Some(_) if is_as_it_was && self.head.count > 0 => {
                self.last.fault(self.head.count, "it was altered: the line after it follows another".to_owned())
            }
            Some(rest) => rest.begin.fault(self.head.count + 1, rest.why.to_string()),
            None => self.next.fault(self.head.count + 1, Break::Unended.to_string()),
        }
    }

    /// Whether every known head was met.
    ///
    /// # Errors
    /// When lines are missing at the end.
    pub(super) fn end(self) -> Result<End, Fault> {
        let unmet = self.known.iter().find(|(_, head)| head.count > self.head.count);
        match (&self.rest, unmet) {
            (Some(_), Some(_)) => Err(self.blamed()),
            (None, Some((name, head))) => {
                let count = self.head.count;
                Err(self
                    .next
                    .fault(count + 1, format!("it is missing: the log ends with entry {count}, but {name} knows of {}", head.count)))
            }
            (rest, None) => {
                Ok(End { torn: rest.as_ref().map(|rest| rest.bytes).unwrap_or_default(), head: self.head, healed: self.healed })
            }
        }
    }

    /// How far the chain holds.
    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    /// What a line that is added now has to name as torn.
    pub(super) fn torn(&self) -> Option<Torn> {
        self.rest.as_ref().map(Rest::facts)
    }
}
