//! A small container in memory for this crate's own tests, with failures on demand. It checks no signature; Azurite does that elsewhere.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Cursor;
use std::rc::Rc;

use cofre_sdk::Result;
use cofre_sdk::http::{Method, Request, Response};
use percent_encoding::percent_decode_str;

use crate::client::{Client, Credentials};
use crate::digest::block;
use crate::store::AzureBlob;
use crate::transport::Transport;

/// Objects on one page of a listing.
const PAGE: usize = 2;

const CONTAINER: &str = "https://acc.blob.core.windows.net/bkp";

#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) bytes: Vec<u8>,
    md5: String,
    /// Until when, and how strictly.
    pub(crate) policy: Option<(String, String)>,
}

struct Fault {
    text: &'static str,
    status: u16,
    code: &'static str,
    /// Whether the request is carried out all the same, as when only the answer was lost.
    after: bool,
}

#[derive(Default)]
pub(crate) struct Container {
    pub(crate) objects: BTreeMap<String, Stored>,
    /// By key and name.
    pub(crate) blocks: BTreeMap<(String, String), Vec<u8>>,
    pub(crate) requests: Vec<String>,
    pub(crate) tiers: Vec<String>,
    /// Whether bodies arrive with a changed byte.
    pub(crate) corrupt: bool,
    faults: Vec<Fault>,
}

struct Fake(Rc<RefCell<Container>>);

/// A destination on a fake container, with parts of 4 MiB.
pub(crate) fn store(extra: &str) -> (AzureBlob, Rc<RefCell<Container>>) {
    let json = format!(r#"{{"account": "acc", "container": "bkp", "part_size": 4194304 {extra}}}"#);
    let settings = cofre_sdk::settings::parse(&json).expect("settings");
    let container = Rc::new(RefCell::new(Container::default()));
    let credentials = Credentials::token("?sv=1&sig=x").expect("a token");
    (AzureBlob::new(Client::new(settings, credentials, Box::new(Fake(Rc::clone(&container)))).expect("a client")), container)
}

fn answer(status: u16, headers: &[(&str, &str)], body: Vec<u8>) -> Response {
    let mut headers: Vec<(String, String)> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    if !headers.iter().any(|(name, _)| name == "content-length") {
        headers.push(("content-length".to_owned(), body.len().to_string()));
    }
    Response::from_reader(status, headers, Cursor::new(body))
}

fn failure(status: u16, code: &str) -> Response {
    answer(status, &[("x-ms-error-code", code)], Vec::new())
}

impl Transport for Fake {
    fn send(&self, request: Request, body: &[u8]) -> Result<Response> {
        let container = &mut *self.0.borrow_mut();
        let rest = request.url().strip_prefix(CONTAINER).expect("the container").trim_start_matches('/');
        let rest = rest.trim_end_matches("sv=1&sig=x").trim_end_matches(['?', '&']);
        let line = format!("{} {rest}", request.method().as_str());
        container.requests.push(line.clone());
        let fault = container.faults.iter().position(|fault| line.contains(fault.text)).map(|at| container.faults.remove(at));
        let answered = if fault.as_ref().is_none_or(|fault| fault.after) { Some(container.answer(&request, rest, body)) } else { None };
        Ok(fault.map_or_else(|| answered.expect("no fault"), |fault| failure(fault.status, fault.code)))
    }
}

impl Container {
    pub(crate) fn fault(&mut self, text: &'static str, status: u16, code: &'static str) {
        self.faults.push(Fault { text, status, code, after: false });
    }

    pub(crate) fn fault_after(&mut self, text: &'static str, status: u16, code: &'static str) {
        self.faults.push(Fault { text, status, code, after: true });
    }

    pub(crate) fn put(&mut self, key: &str, bytes: &[u8]) {
        self.objects.insert(key.to_owned(), Stored { bytes: bytes.to_vec(), md5: block(bytes), policy: None });
    }

    pub(crate) fn add_block(&mut self, key: &str, name: &str, bytes: &[u8]) {
        self.blocks.insert((key.to_owned(), name.to_owned()), bytes.to_vec());
    }

    fn answer(&mut self, request: &Request, rest: &str, body: &[u8]) -> Response {
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let decode = |text: &str| percent_decode_str(text).decode_utf8().expect("UTF-8").into_owned();
        let key = decode(path);
        let query: BTreeMap<String, String> =
            query.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (name.to_owned(), decode(value))).collect();
        let header = |name: &str| request.headers().iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
        let arrived = if self.corrupt { [body, b"!"].concat() } else { body.to_vec() };
        if header("content-md5").is_some_and(|md5| md5 != block(&arrived)) {
            return failure(400, "Md5Mismatch");
        }
        self.tiers.extend(header("x-ms-access-tier"));
        match (request.method(), query.get("comp").map(String::as_str)) {
            (Method::Get, Some("list")) => self.list(&query),
            (Method::Put, Some("block")) => {
                self.blocks.insert((key, query["blockid"].clone()), arrived);
                answer(201, &[], Vec::new())
            }
            (Method::Get, Some("blocklist")) => self.block_list(&key),
            (Method::Put, Some("blocklist")) => self.commit(key, &arrived, header("x-ms-blob-content-md5").unwrap_or_default()),
            (Method::Put, Some("immutabilityPolicies")) => {
                let policy = header("x-ms-immutability-policy-until-date").zip(header("x-ms-immutability-policy-mode"));
                self.objects.get_mut(&key).expect("it was looked at").policy = policy;
                answer(200, &[], Vec::new())
            }
            (Method::Put, None) => {
                self.put(&key, &arrived);
                answer(201, &[], Vec::new())
            }
            (Method::Delete, _) => self.objects.remove(&key).map_or_else(|| failure(404, "BlobNotFound"), |_| answer(202, &[], Vec::new())),
            (method, _) => self.get(&key, method, header("range")),
        }
    }

    fn get(&self, key: &str, method: Method, range: Option<String>) -> Response {
        let Some(stored) = self.objects.get(key) else { return failure(404, "BlobNotFound") };
        let size = stored.bytes.len();
        let length = size.to_string();
        let mut headers = vec![("last-modified", "Fri, 24 May 2013 00:00:00 GMT"), ("content-md5", stored.md5.as_str())];
        headers.extend(stored.policy.as_ref().map(|(until, _)| ("x-ms-immutability-policy-until-date", until.as_str())));
        if method == Method::Head {
            headers.push(("content-length", &length));
            return answer(200, &headers, Vec::new());
        }
        let Some(range) = range else { return answer(200, &headers, stored.bytes.clone()) };
        let (first, last) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')).expect("a range");
        let first: usize = first.parse().expect("a number");
        let end = last.parse::<usize>().map_or(size, |last| size.min(last + 1));
        if first >= size {
            return failure(416, "InvalidRange");
        }
        let shown = format!("bytes {first}-{}/{size}", end - 1);
        answer(206, &[("content-range", &shown)], stored.bytes[first..end].to_vec())
    }

    fn block_list(&self, key: &str) -> Response {
        let mut xml = String::from("<BlockList><CommittedBlocks /><UncommittedBlocks>");
        for ((_, name), bytes) in self.blocks.iter().filter(|((of, _), _)| of == key) {
            let _ = write!(xml, "<Block><Name>{name}</Name><Size>{}</Size></Block>", bytes.len());
        }
        if self.blocks.is_empty() {
            return failure(404, "BlobNotFound");
        }
        answer(200, &[], (xml + "</UncommittedBlocks></BlockList>").into_bytes())
    }

    fn commit(&mut self, key: String, document: &[u8], md5: String) -> Response {
        let document = String::from_utf8_lossy(document).into_owned();
        let mut bytes = Vec::new();
        for name in document.split("<Uncommitted>").skip(1).filter_map(|rest| rest.split('<').next()) {
            match self.blocks.get(&(key.clone(), name.to_owned())) {
                Some(block) => bytes.extend_from_slice(block),
                None => return failure(400, "InvalidBlockList"),
            }
        }
        self.blocks.retain(|(of, _), _| *of != key);
        self.objects.insert(key, Stored { bytes, md5, policy: None });
        answer(201, &[], Vec::new())
    }

    fn list(&self, query: &BTreeMap<String, String>) -> Response {
        let after = query.get("marker").cloned().unwrap_or_default();
        let found: Vec<_> = self.objects.iter().filter(|(key, _)| key.starts_with(&query["prefix"]) && **key > after).collect();
        let mut xml = String::from("<EnumerationResults><Blobs>");
        for (key, stored) in found.iter().take(PAGE) {
            let key = quick_xml::escape::escape(key.as_str());
            let _ = write!(
                xml,
                "<Blob><Name>{key}</Name><Properties><Content-Length>{}</Content-Length></Properties></Blob>",
                stored.bytes.len()
            );
        }
        let next = found.get(PAGE - 1).filter(|_| found.len() > PAGE).map_or("", |(key, _)| key.as_str());
        let _ = write!(xml, "</Blobs><NextMarker>{}</NextMarker></EnumerationResults>", quick_xml::escape::escape(next));
        answer(200, &[], xml.into_bytes())
    }
}
