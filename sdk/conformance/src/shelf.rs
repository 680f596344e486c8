//! A destination in memory, honest or with one bug, so that the suite itself can be tested: what it finds, and that it finds it with the
//! case that is meant for it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::subject::{Answer, Failure, Kind, Limits, Object, Page, Session, Subject};

/// Objects of one page.
const PAGE: usize = 50;
const CHUNK: usize = 16 << 10;

/// What is wrong with a shelf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    AppearsEarly,
    RemovesTheOldAtBegin,
    WillNotReplace,
    ReportsAnotherSize,
    ReportsAWrongChecksum,
    WantsPartsOfNothing,
    ProbeStays,
    LosesAByteAtResume,
    ClaimsMoreThanItHas,
    ForgetsAtACut,
    KnowsOnlyTheLastToken,
    TakesAShortBodyForWhole,
    ResumesWhatItNeverGave,
    AbortWorksOnce,
    AbortRemovesTheObject,
    AbortKeepsTheSession,
    RangeIsOffByOne,
    CutsRangesToFit,
    MissingIsOther,
    FolderIsAnObject,
    ListsTemporaries,
    ListsTheLastTwice,
    LosesTheFirstOfAPage,
    PrefixIsAFolder,
    PlusIsABlank,
    CutsLongNames,
    FoldsCase,
    DeletesWithTheFolder,
    DeletesOnlyOnce,
    SharesOneSession,
    BuffersAll,
    EatsMemory,
    RefusesAsOther,
}

#[derive(Default)]
struct Content {
    objects: BTreeMap<String, Vec<u8>>,
    sessions: BTreeMap<String, Part>,
    next: u64,
    sent: u64,
}

#[derive(Default, Clone)]
struct Part {
    key: String,
    bytes: Vec<u8>,
}

/// The destination.
pub(crate) struct Shelf {
    pub(crate) bug: Option<Bug>,
    pub(crate) part_size: Option<u64>,
    pub(crate) denied: bool,
    content: Mutex<Content>,
}

struct ShelfSession<'a> {
    shelf: &'a Shelf,
    key: String,
    id: String,
    offset: u64,
}

fn fail<T>(kind: Kind, what: &str) -> Answer<T> {
    Err(Failure::new(kind, what))
}

impl Shelf {
    pub(crate) fn new(bug: Option<Bug>, part_size: Option<u64>) -> Self {
        Self { bug, part_size, denied: false, content: Mutex::default() }
    }

    /// One that refuses everything.
    pub(crate) fn denying(bug: Option<Bug>) -> Self {
        Self { denied: true, ..Self::new(bug, None) }
    }

    fn is(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keys of whatever is left.
    pub(crate) fn left(&self) -> (usize, usize) {
        let content = self.content();
        (content.objects.len(), content.sessions.len())
    }

    fn stored_as(&self, key: &str) -> String {
        match self.bug {
            Some(Bug::PlusIsABlank) => key.replace('+', " "),
            Some(Bug::FoldsCase) => key.to_lowercase(),
            Some(Bug::CutsLongNames) => key.split('/').map(|part| part.chars().take(150).collect::<String>()).collect::<Vec<_>>().join("/"),
            _ => key.to_owned(),
        }
    }

    fn permitted(&self) -> Answer<()> {
        match (self.denied, self.is(Bug::RefusesAsOther)) {
            (true, true) => fail(Kind::Other, "no"),
            (true, false) => fail(Kind::AccessDenied, "the password is wrong"),
            _ => Ok(()),
        }
    }

    fn missing<T>(&self, key: &str) -> Answer<T> {
        fail(if self.is(Bug::MissingIsOther) { Kind::Other } else { Kind::NotFound }, key)
    }

    fn object(&self, key: &str, bytes: &[u8]) -> Object {
        let size = bytes.len() as u64 + u64::from(self.is(Bug::ReportsAnotherSize));
        let checksum = self.is(Bug::ReportsAWrongChecksum).then(|| "md5:00000000000000000000000000000000".to_owned());
        Object { key: key.to_owned(), size, checksum }
    }
}

impl Subject for Shelf {
    fn probe(&self) -> Answer<Limits> {
        self.permitted()?;
        if self.is(Bug::ProbeStays) {
            self.content().objects.insert("probe".to_owned(), Vec::new());
        }
        let part_size = if self.is(Bug::WantsPartsOfNothing) { Some(0) } else { self.part_size };
        Ok(Limits { part_size, max_object_size: None, parallel_uploads: 3, free_bytes: None })
    }

    fn begin(&self, key: &str, _: Option<u64>) -> Answer<Box<dyn Session + '_>> {
        self.permitted()?;
        let mut content = self.content();
        content.next += 1;
        let id = if self.is(Bug::SharesOneSession) { "the one".to_owned() } else { content.next.to_string() };
        content.sessions.insert(id.clone(), Part { key: key.to_owned(), bytes: Vec::new() });
        if self.is(Bug::RemovesTheOldAtBegin) {
            content.objects.remove(&self.stored_as(key));
        }
        Ok(Box::new(ShelfSession { shelf: self, key: key.to_owned(), id, offset: 0 }))
    }

    fn resume(&self, key: &str, token: &str) -> Answer<Box<dyn Session + '_>> {
        self.permitted()?;
        let (id, told) = token.split_once('@').unwrap_or((token, ""));
        let mut content = self.content();
        let Some(part) = content.sessions.get_mut(id).filter(|part| part.key == key) else {
            if self.is(Bug::ResumesWhatItNeverGave) {
                return Ok(Box::new(ShelfSession { shelf: self, key: key.to_owned(), id: id.to_owned(), offset: 7 }));
            }
            return fail(Kind::SessionLost, "no such session");
        };
        match self.bug {
            Some(Bug::LosesAByteAtResume) if part.bytes.len() > 1 => drop(part.bytes.remove(0)),
            Some(Bug::ForgetsAtACut) => part.bytes.clear(),
            Some(Bug::KnowsOnlyTheLastToken) if told != part.bytes.len().to_string() => return fail(Kind::SessionLost, "an old token"),
            _ => {}
        }
        let more = u64::from(self.is(Bug::ClaimsMoreThanItHas) || self.is(Bug::LosesAByteAtResume));
        let offset = part.bytes.len() as u64 + if part.bytes.is_empty() { 0 } else { more };
        Ok(Box::new(ShelfSession { shelf: self, key: key.to_owned(), id: id.to_owned(), offset }))
    }

    fn read(&self, key: &str, offset: u64, length: Option<u64>, mut sink: Box<dyn Write + Send>) -> Answer<u64> {
        self.permitted()?;
        let Some(bytes) = self.content().objects.get(&self.stored_as(key)).cloned() else { return self.missing(key) };
        let size = bytes.len() as u64;
        let end = length.map_or(size.max(offset), |length| offset.saturating_add(length));
        let (mut offset, mut end) = (offset, end);
        if self.is(Bug::CutsRangesToFit) {
            (offset, end) = (offset.min(size), end.min(size));
        }
        if end > size || offset > size {
            return fail(Kind::InvalidConfig, "beyond the object");
        }
        if self.is(Bug::RangeIsOffByOne) && offset > 0 && end < size {
            (offset, end) = (offset + 1, end + 1);
        }
        let range = usize::try_from(offset).expect("small")..usize::try_from(end).expect("small");
        sink.write_all(&bytes[range]).map_err(|error| Failure::new(Kind::Other, error.to_string()))?;
        Ok(end - offset)
    }

    fn stat(&self, key: &str) -> Answer<Object> {
        self.permitted()?;
        let content = self.content();
        if self.is(Bug::FolderIsAnObject) && content.objects.keys().any(|other| other.starts_with(&format!("{key}/"))) {
            return Ok(self.object(key, &[]));
        }
        match content.objects.get(&self.stored_as(key)) {
            Some(bytes) => Ok(self.object(key, bytes)),
            None => self.missing(key),
        }
    }

    fn list(&self, prefix: &str, cursor: Option<&str>) -> Answer<Page> {
        self.permitted()?;
        let content = self.content();
        let folder = |key: &String| key.starts_with(&format!("{}/", prefix.trim_end_matches('/'))) || key == prefix || prefix.is_empty();
        let fits = |key: &&String| if self.is(Bug::PrefixIsAFolder) { folder(key) } else { key.starts_with(prefix) };
        let mut keys: Vec<(String, u64)> =
            content.objects.iter().filter(|(key, _)| fits(key)).map(|(key, bytes)| (key.clone(), bytes.len() as u64)).collect();
        if self.is(Bug::ListsTemporaries) {
            keys.extend(content.sessions.values().map(|part| (format!("{}.part", part.key), 0)).filter(|(key, _)| key.starts_with(prefix)));
        }
        keys.sort_unstable();
        let first = cursor.and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
        let mut page: Vec<_> = keys.iter().skip(first).take(PAGE).cloned().collect();
        let next = (first + PAGE < keys.len()).then(|| first + PAGE);
        match self.bug {
            Some(Bug::ListsTheLastTwice) if next.is_some() => page.extend(keys.get(first + PAGE).cloned()),
            Some(Bug::LosesTheFirstOfAPage) if first > 0 => drop(page.remove(0)),
            _ => {}
        }
        let objects = page.into_iter().map(|(key, size)| Object { key, size, checksum: None }).collect();
        Ok(Page { objects, cursor: next.map(|next| next.to_string()) })
    }

    fn delete(&self, key: &str) -> Answer<()> {
        self.permitted()?;
        let mut content = self.content();
        if self.is(Bug::DeletesWithTheFolder) {
            content.objects.retain(|other, _| !other.starts_with(&format!("{key}/")));
        }
        match content.objects.remove(&self.stored_as(key)) {
            None if self.is(Bug::DeletesOnlyOnce) => fail(Kind::NotFound, "nothing to delete"),
            _ => Ok(()),
        }
    }

    fn sent(&self) -> Option<u64> {
        Some(self.content().sent)
    }

    fn memory_peak(&self) -> Option<u64> {
        Some(if self.is(Bug::EatsMemory) { 65 << 20 } else { 2 << 20 })
    }
}

impl ShelfSession<'_> {
    fn part<T>(&self, work: impl FnOnce(&mut Part) -> T) -> Answer<T> {
        self.shelf.content().sessions.get_mut(&self.id).map(work).ok_or_else(|| Failure::new(Kind::SessionLost, "the session has ended"))
    }
}

impl Session for ShelfSession<'_> {
    fn token(&mut self) -> Answer<String> {
        Ok(format!("{}@{}", self.id, self.part(|part| part.bytes.len()).unwrap_or(0)))
    }

    fn offset(&mut self) -> Answer<u64> {
        Ok(self.offset)
    }

    fn write(&mut self, mut body: Box<dyn Read + Send>, length: u64) -> Answer<u64> {
        let (mut chunk, mut left) = (vec![0; CHUNK], length);
        while left > 0 {
            let most = chunk.len().min(usize::try_from(left).unwrap_or(CHUNK));
            let count = match body.read(&mut chunk[..most]) {
                Ok(0) if self.shelf.is(Bug::TakesAShortBodyForWhole) => break,
                Ok(0) => return fail(Kind::Integrity, "the body ended early"),
                Ok(count) => count,
                Err(error) => return fail(Kind::Integrity, &error.to_string()),
            };
            self.part(|part| part.bytes.extend_from_slice(&chunk[..count]))?;
            left -= count as u64;
            if !self.shelf.is(Bug::BuffersAll) {
                self.shelf.content().sent += count as u64;
            }
        }
        self.offset += length;
        if self.shelf.is(Bug::AppearsEarly) {
            let part = self.part(|part| part.clone())?;
            self.shelf.content().objects.insert(part.key, part.bytes);
        }
        Ok(self.offset)
    }

    fn finish(&mut self) -> Answer<Object> {
        let stored = self.shelf.stored_as(&self.key);
        if self.shelf.is(Bug::WillNotReplace) && self.shelf.content().objects.contains_key(&stored) {
            return fail(Kind::AlreadyExists, "it is there already");
        }
        let mut content = self.shelf.content();
        let Some(part) = content.sessions.remove(&self.id) else { return fail(Kind::SessionLost, "the session has ended") };
        let object = self.shelf.object(&self.key, &part.bytes);
        content.sent += if self.shelf.is(Bug::BuffersAll) { part.bytes.len() as u64 } else { 0 };
        content.objects.insert(stored, part.bytes);
        Ok(object)
    }

    fn abort(&mut self) -> Answer<()> {
        let mut content = self.shelf.content();
        if self.shelf.is(Bug::AbortRemovesTheObject) {
            content.objects.remove(&self.key);
        }
        if self.shelf.is(Bug::AbortKeepsTheSession) {
            let part = content.sessions.get(&self.id).cloned().unwrap_or_default();
            content.objects.insert(self.key.clone(), part.bytes);
            return Ok(());
        }
        match content.sessions.remove(&self.id) {
            None if self.shelf.is(Bug::AbortWorksOnce) => fail(Kind::Other, "there is nothing to abort"),
            _ => Ok(()),
        }
    }
}
