//! `multistatus` answers to PROPFIND (RFC 4918, 13), one `response` after the other, so that a folder of any size needs no more memory
//! than one of its entries. Properties are taken from `propstat` elements of success only; what is not asked for is passed over.

use std::io::{BufReader, Read, Take};

use cofre_sdk::{Error, Result};
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, Event};
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::reader::NsReader;

/// Asks for what is understood here, and nothing else: some servers compute the rest at great cost.
pub(crate) const PROPFIND: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<propfind xmlns="DAV:" xmlns:oc="http://owncloud.org/ns"><prop><resourcetype/><getcontentlength/><getlastmodified/><quota-available-bytes/><oc:checksums/></prop></propfind>"#;

/// Longest tag or text: an address has 4,096 bytes of key, every one of them escaped.
const LONGEST_EVENT: u64 = 64 << 10;

/// One resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its address, as the server writes it.
    pub(crate) href: String,
    pub(crate) is_folder: bool,
    pub(crate) size: Option<u64>,
    pub(crate) modified_unix_ms: Option<u64>,
    pub(crate) free_bytes: Option<u64>,
    /// `algorithm:lower-case hex`, the best that there is.
    pub(crate) checksum: Option<String>,
}

/// Hands over each entry of an answer.
///
/// # Errors
/// Retryable where the answer is no whole `multistatus`; what `each` fails with.
pub(crate) fn read(answer: impl Read, mut each: impl FnMut(Entry) -> Result<()>) -> Result<()> {
    let mut reader = NsReader::from_reader(BufReader::new(answer).take(LONGEST_EVENT));
    reader.config_mut().expand_empty_elements = true;
    let (mut state, mut buffer) = (State::default(), Vec::new());
    while let Some(event) = next(&mut reader, &mut buffer)? {
        if let Some(entry) = state.take(event)? {
            each(entry)?;
        }
    }
    if state.is_whole { Ok(()) } else { Err(malformed("it breaks off")) }
}

/// What is of interest in an event.
enum Item {
    Start(Name),
    End(Name),
    Text(String),
    Other,
}

/// Elements that are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Multistatus,
    Response,
    Href,
    Propstat,
    Status,
    Collection,
    Length,
    Modified,
    Quota,
    Checksum,
    Unknown,
}

impl Name {
    fn new(namespace: &ResolveResult<'_>, local: &str) -> Self {
        match (namespace, local) {
            (ResolveResult::Bound(Namespace("DAV:")), local) => match local {
                "multistatus" => Self::Multistatus,
                "response" => Self::Response,
                "href" => Self::Href,
                "propstat" => Self::Propstat,
                "status" => Self::Status,
                "collection" => Self::Collection,
                "getcontentlength" => Self::Length,
                "getlastmodified" => Self::Modified,
                "quota-available-bytes" => Self::Quota,
                _ => Self::Unknown,
            },
            (ResolveResult::Bound(Namespace("http://owncloud.org/ns")), "checksum") => Self::Checksum,
            _ => Self::Unknown,
        }
    }
}

fn next<R: Read>(reader: &mut NsReader<Take<BufReader<R>>>, buffer: &mut Vec<u8>) -> Result<Option<Item>> {
    buffer.clear();
    reader.get_mut().set_limit(LONGEST_EVENT);
    let (namespace, event) = match reader.read_resolved_event_into(buffer) {
        Ok(read) => read,
        Err(quick_xml::Error::Io(error)) => return Err(std::io::Error::new(error.kind(), error.to_string()).into()),
        Err(error) => return Err(malformed(&error.to_string())),
    };
    Ok(Some(match event {
        Event::Eof => return Ok(None),
        Event::Start(element) => Item::Start(Name::new(&namespace, element.local_name().as_ref())),
        Event::End(element) => Item::End(Name::new(&namespace, element.local_name().as_ref())),
        Event::Text(text) => Item::Text(text.xml10_content().into_owned()),
        Event::CData(text) => Item::Text(text.xml10_content().into_owned()),
        Event::GeneralRef(reference) => Item::Text(resolved(&reference)?),
        _ => Item::Other,
    }))
}

fn resolved(reference: &BytesRef<'_>) -> Result<String> {
    let character = reference.resolve_char_ref().map_err(|error| malformed(&error.to_string()))?;
    let text = character.map(String::from).or_else(|| resolve_predefined_entity(reference).map(str::to_owned));
    text.ok_or_else(|| malformed("it has an unknown entity"))
}

/// Where in the answer the reader is.
#[derive(Default)]
struct State {
    /// The `response` that is being read.
    entry: Entry,
    /// The `propstat` that is being read, and whether its status is one of success.
    properties: Option<(Entry, bool)>,
    /// Text of the innermost element that is understood.
    text: String,
    /// Whether the root element was seen to its end.
    is_whole: bool,
}

impl State {
    /// Takes one event; returns an entry once it is complete.
    fn take(&mut self, item: Item) -> Result<Option<Entry>> {
        match item {
            Item::Start(name) => self.start(name),
            Item::Text(text) => self.text.push_str(&text),
            Item::End(name) => return Ok(self.end(name)),
            Item::Other => {}
        }
        if self.text.len() as u64 > LONGEST_EVENT { Err(malformed("it has a text that is too long")) } else { Ok(None) }
    }

    fn start(&mut self, name: Name) {
        self.text.clear();
        match name {
            Name::Response => (self.entry, self.properties) = (Entry::default(), None),
            Name::Propstat => self.properties = Some((Entry::default(), false)),
            _ => {}
        }
    }

    fn end(&mut self, name: Name) -> Option<Entry> {
        let text = std::mem::take(&mut self.text);
        match (name, &mut self.properties) {
            (Name::Multistatus, _) => self.is_whole = true,
            (Name::Response, _) => return Some(std::mem::take(&mut self.entry)),
            (Name::Propstat, properties) => {
                if let Some((found, true)) = properties.take() {
                    self.entry.add(found);
                }
            }
            (Name::Href, None) => text.trim().clone_into(&mut self.entry.href),
            (Name::Status, Some((_, succeeded))) => *succeeded = text.split_whitespace().nth(1).is_some_and(|code| code.starts_with('2')),
            (name, Some((found, _))) => found.set(name, text.trim()),
            _ => {}
        }
        None
    }
}

impl Entry {
    fn set(&mut self, name: Name, text: &str) {
        match name {
            Name::Collection => self.is_folder = true,
            Name::Length => self.size = text.parse().ok(),
            Name::Modified => self.modified_unix_ms = unix_ms(text),
            // Negative at Nextcloud, where there is no limit or none is known.
            Name::Quota => self.free_bytes = text.parse().ok(),
            Name::Checksum => self.checksum = best_checksum(text),
            _ => {}
        }
    }

    fn add(&mut self, other: Self) {
        self.is_folder |= other.is_folder;
        self.size = other.size.or(self.size);
        self.modified_unix_ms = other.modified_unix_ms.or(self.modified_unix_ms);
        self.free_bytes = other.free_bytes.or(self.free_bytes);
        self.checksum = other.checksum.or(self.checksum.take());
    }
}

fn unix_ms(text: &str) -> Option<u64> {
    let since = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

/// Out of ownCloud's `SHA1:… MD5:… ADLER32:…`, and Nextcloud's `SHA256:…`.
pub(crate) fn best_checksum(text: &str) -> Option<String> {
    let of = |algorithm: &str, digits: usize| {
        text.split_whitespace().find_map(|one| {
            let (name, hex) = one.split_once(':')?;
            let fits = name.eq_ignore_ascii_case(algorithm) && hex.len() == digits && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
            fits.then(|| format!("{algorithm}:{}", hex.to_ascii_lowercase()))
        })
    };
    of("sha256", 64).or_else(|| of("md5", 32))
}

fn malformed(why: &str) -> Error {
    Error::other(format!("the server's answer cannot be understood: {why}; is /url a WebDAV folder?")).retryable(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(xml: &str) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        read(xml.as_bytes(), |entry| {
            entries.push(entry);
            Ok(())
        })?;
        Ok(entries)
    }

    #[test]
    fn nextclouds_answer_is_understood() {
        let xml = r#"<?xml version="1.0"?>
<d:multistatus xmlns:d="DAV:" xmlns:s="http://sabredav.org/ns" xmlns:oc="http://owncloud.org/ns" xmlns:nc="http://nextcloud.org/ns">
 <d:response><d:href>/remote.php/dav/files/ana/c/</d:href><d:propstat><d:prop><d:resourcetype><d:collection/></d:resourcetype>
  <d:getlastmodified>Fri, 24 May 2013 00:00:00 GMT</d:getlastmodified><d:quota-available-bytes>-3</d:quota-available-bytes></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>
  <d:propstat><d:prop><d:getcontentlength/><oc:checksums/></d:prop><d:status>HTTP/1.1 404 Not Found</d:status></d:propstat></d:response>
 <d:response><d:href>/remote.php/dav/files/ana/c/a%20&amp;b&#38;</d:href><d:propstat><d:prop><d:resourcetype/><d:getcontentlength>7</d:getcontentlength>
  <oc:checksums><oc:checksum>SHA1:2fd4e1c67a2d28fced849ee1bb76e7391b93eb12 MD5:D41D8CD98F00B204E9800998ECF8427E</oc:checksum></oc:checksums></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>
</d:multistatus>"#;
        let found = entries(xml).expect("well-formed");
        assert_eq!(found.len(), 2);
        assert!(found[0].is_folder && found[0].size.is_none() && found[0].free_bytes.is_none());
        assert_eq!(found[0].modified_unix_ms, Some(1_369_353_600_000));
        assert_eq!((found[1].href.as_str(), found[1].size), ("/remote.php/dav/files/ana/c/a%20&b&", Some(7)));
        assert_eq!(found[1].checksum.as_deref(), Some("md5:d41d8cd98f00b204e9800998ecf8427e"));
    }

    #[test]
    fn prefixes_do_not_matter_and_other_namespaces_do() {
        let xml = r#"<multistatus xmlns="DAV:"><response xmlns:x="urn:x"><href>/a</href><propstat><prop><x:getcontentlength>9</x:getcontentlength>
            <getcontentlength>5</getcontentlength><quota-available-bytes>12</quota-available-bytes></prop><status>HTTP/1.1 200 OK</status></propstat></response></multistatus>"#;
        let found = entries(xml).expect("well-formed");
        assert_eq!((found[0].size, found[0].free_bytes), (Some(5), Some(12)));
    }

    #[test]
    fn an_answer_that_breaks_off_or_is_something_else_is_no_empty_one() {
        for xml in ["", "<html><body>Index</body></html>", r#"<multistatus xmlns="DAV:"><response><href>/a</href>"#, "<a"] {
            let error = entries(xml).expect_err(xml);
            assert!(error.is_retryable(), "{xml}");
        }
        let endless = format!(r#"<multistatus xmlns="DAV:"><response><href>{}"#, "a".repeat(1 << 20));
        assert!(entries(&endless).is_err());
    }
}
