//! A small WebDAV server in memory for this crate's own tests, with failures on demand; real servers answer elsewhere.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Cursor, Read};
use std::rc::Rc;

use cofre_sdk::Result;
use cofre_sdk::http::{Request, Response};

use crate::address::decoded;
use crate::auth::Credentials;
use crate::client::Client;
use crate::store::Webdav;
use crate::transport::{Pieces, Transport};
use crate::upload::Way;

/// Path of the objects' folder.
pub(crate) const ROOT: &str = "/dav/copias";

pub(crate) struct Server {
    /// By path.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) folders: BTreeSet<String>,
    /// Method and path below the objects' folder.
    pub(crate) requests: Vec<String>,
    /// How pieces can be added to a file; any other way replaces the file, as Go's server does.
    pub(crate) way: Way,
    pub(crate) has_locks: bool,
    /// Bytes that are left, and what a server that is full answers.
    pub(crate) free: Option<(u64, u16)>,
    /// Statuses answered instead, once each, to the first request whose line contains the text.
    pub(crate) faults: Vec<(&'static str, u16)>,
}

#[derive(Clone)]
struct Fake(Rc<RefCell<Server>>);

/// A destination on a fake server, with pieces of 5 MiB.
pub(crate) fn store(way: Way, extra: &str) -> (Webdav, Rc<RefCell<Server>>) {
    let json = format!(r#"{{"url": "https://h{ROOT}", "auth": "none", "part_size": 5242880 {extra}}}"#);
    let server = Server {
        files: BTreeMap::new(),
        folders: ["/dav", ROOT].map(str::to_owned).into(),
        requests: Vec::new(),
        way,
        has_locks: true,
        free: None,
        faults: Vec::new(),
    };
    let server = Rc::new(RefCell::new(server));
    let settings = cofre_sdk::settings::parse(&json).expect("settings");
    let client = Client::new(settings, Credentials::None, Box::new(Fake(Rc::clone(&server)))).expect("a client");
    (Webdav::new(client), server)
}

impl Transport for Fake {
    fn send(&self, request: Request, body: Option<(&mut dyn Read, u64)>) -> Result<Response> {
        let mut bytes = Vec::new();
        if let Some((body, length)) = body {
            body.take(length).read_to_end(&mut bytes)?;
        }
        Ok(self.0.borrow_mut().answer(&request, bytes))
    }

    fn open(&self, request: Request, _: Option<u64>) -> Result<Box<dyn Pieces>> {
        Ok(Box::new(Open { server: self.clone(), request, bytes: Vec::new() }))
    }
}

struct Open {
    server: Fake,
    request: Request,
    bytes: Vec<u8>,
}

impl Pieces for Open {
    fn send(&mut self, body: &mut dyn Read, length: u64) -> Result<bool> {
        body.take(length).read_to_end(&mut self.bytes)?;
        Ok(self.server.0.borrow().faults.iter().all(|(text, _)| *text != "while it is sent"))
    }

    fn finish(self: Box<Self>) -> Result<Response> {
        Ok(self.server.0.borrow_mut().answer(&self.request, self.bytes))
    }
}

fn status(code: u16) -> Response {
    Response::from_reader(code, Vec::new(), std::io::empty())
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers().iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

impl Server {
    /// A file below the objects' folder, with the folders above it.
    pub(crate) fn put(&mut self, key: &str, bytes: &[u8]) {
        let path = format!("{ROOT}/{key}");
        let mut folder = parent(&path);
        while !folder.is_empty() {
            self.folders.insert(folder.to_owned());
            folder = parent(folder);
        }
        self.files.insert(path, bytes.to_vec());
    }

    pub(crate) fn file(&self, key: &str) -> Option<&Vec<u8>> {
        self.files.get(&format!("{ROOT}/{key}"))
    }

    /// Unfinished files.
    pub(crate) fn unfinished(&self) -> usize {
        self.files.keys().filter(|path| path.starts_with(&format!("{ROOT}/.cofre-tmp/"))).count()
    }

    fn answer(&mut self, request: &Request, body: Vec<u8>) -> Response {
        let path = decoded(request.url()).expect("UTF-8");
        let line = format!("{} {}", request.method().as_str(), path.trim_start_matches(ROOT).trim_start_matches('/'));
        self.requests.push(line.clone());
        if let Some(at) = self.faults.iter().position(|(text, _)| line.contains(text) || *text == "while it is sent") {
            return status(self.faults.remove(at).1);
        }
        match request.method().as_str() {
            "OPTIONS" => {
                let announced = if self.way == Way::Sabredav { "1, 2, sabredav-partialupdate" } else { "1, 2" };
                Response::from_reader(200, vec![("dav".to_owned(), announced.to_owned())], std::io::empty())
            }
            "PROPFIND" => self.propfind(&path, header(request, "depth") == Some("1")),
            "PUT" | "PATCH" => self.store(request, path, body),
            "MKCOL" if self.folders.contains(&path) || self.files.contains_key(&path) => status(405),
            "MKCOL" if !self.folders.contains(parent(&path)) => status(409),
            "MKCOL" => {
                self.folders.insert(path);
                status(201)
            }
            "MOVE" => self.rename(request, &path),
            "DELETE" => self.remove(&path),
            "LOCK" if self.has_locks => Response::from_reader(200, vec![("lock-token".to_owned(), "<urn:1>".to_owned())], std::io::empty()),
            "LOCK" => status(405),
            "UNLOCK" => status(204),
            _ => self.get(&path, header(request, "range")),
        }
    }

    fn store(&mut self, request: &Request, path: String, body: Vec<u8>) -> Response {
        if !self.folders.contains(parent(&path)) {
            return status(409);
        }
        if let Some((free, refusal)) = self.free.filter(|(free, _)| *free < body.len() as u64) {
            self.free = Some((free, refusal));
            return status(refusal);
        }
        let range = match self.way {
            Way::ContentRange => header(request, "content-range").map(|range| range.trim_start_matches("bytes ")),
            Way::Sabredav => header(request, "x-update-range").map(|range| range.trim_start_matches("bytes=")),
            _ => None,
        };
        if request.method().as_str() == "PATCH" && range.is_none() {
            return status(405);
        }
        let offset = range.and_then(|range| range.split('-').next()).map_or(0, |first| first.parse().expect("a number"));
        let file = self.files.entry(path).or_default();
        file.truncate(offset);
        file.extend(body);
        status(204)
    }

    fn rename(&mut self, request: &Request, from: &str) -> Response {
        let to = decoded(header(request, "destination").expect("a destination")).expect("UTF-8");
        let there = self.files.contains_key(&to) || self.folders.contains(&to);
        if there && header(request, "overwrite") == Some("F") {
            return status(412);
        }
        match self.files.remove(from) {
            None => status(404),
            Some(bytes) if !self.folders.contains(parent(&to)) => {
                self.files.insert(from.to_owned(), bytes);
                status(409)
            }
            Some(bytes) => {
                self.remove(&to);
                self.files.insert(to, bytes);
                status(201)
            }
        }
    }

    /// With all that is in it, as servers do.
    fn remove(&mut self, path: &str) -> Response {
        let below = format!("{path}/");
        let before = self.files.len() + self.folders.len();
        self.files.retain(|file, _| file != path && !file.starts_with(&below));
        self.folders.retain(|folder| folder != path && !folder.starts_with(&below));
        status(if self.files.len() + self.folders.len() < before { 204 } else { 404 })
    }

    fn get(&self, path: &str, range: Option<&str>) -> Response {
        let Some(bytes) = self.files.get(path) else { return status(404) };
        let length = |bytes: &[u8]| ("content-length".to_owned(), bytes.len().to_string());
        let Some(range) = range else { return Response::from_reader(200, vec![length(bytes)], Cursor::new(bytes.clone())) };
        let (first, last) = range.trim_start_matches("bytes=").split_once('-').expect("a range");
        let first: usize = first.parse().expect("a number");
        let end = last.parse::<usize>().map_or(bytes.len(), |last| bytes.len().min(last + 1));
        if first >= bytes.len() {
            return status(416);
        }
        let shown = format!("bytes {first}-{}/{}", end - 1, bytes.len());
        let headers = vec![length(&bytes[first..end]), ("content-range".to_owned(), shown)];
        Response::from_reader(206, headers, Cursor::new(bytes[first..end].to_vec()))
    }

    fn propfind(&self, path: &str, deep: bool) -> Response {
        if !self.files.contains_key(path) && !self.folders.contains(path) {
            return status(404);
        }
        let shown = |other: &&String| *other == path || (deep && parent(other) == path);
        let mut xml = String::from(r#"<D:multistatus xmlns:D="DAV:">"#);
        for folder in self.folders.iter().filter(shown) {
            let free = self.free.map_or_else(String::new, |(free, _)| format!("<D:quota-available-bytes>{free}</D:quota-available-bytes>"));
            add(&mut xml, &format!("{folder}/"), &format!("<D:resourcetype><D:collection/></D:resourcetype>{free}"));
        }
        for (file, bytes) in self.files.iter().filter(|(file, _)| shown(file)) {
            let modified = "<D:getlastmodified>Fri, 24 May 2013 00:00:00 GMT</D:getlastmodified>";
            add(&mut xml, file, &format!("<D:resourcetype/><D:getcontentlength>{}</D:getcontentlength>{modified}", bytes.len()));
        }
        Response::from_reader(207, Vec::new(), Cursor::new((xml + "</D:multistatus>").into_bytes()))
    }
}

fn add(xml: &mut String, path: &str, properties: &str) {
    let href = percent_encoding::utf8_percent_encode(path, percent_encoding::NON_ALPHANUMERIC).to_string().replace("%2F", "/");
    let _ = write!(
        xml,
        "<D:response><D:href>{href}</D:href><D:propstat><D:prop>{properties}</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
    );
}
