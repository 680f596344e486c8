//! A small Drive in memory for this crate's own tests, with failures and rivals on demand. The end-to-end tests have a larger one that
//! Google's own client judges.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::rc::Rc;

use cofre_sdk::http::{Method, Request, Response};
use cofre_sdk::{Result, Secret};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::auth::{Credentials, ServiceAccount};
use crate::client::{Client, FOLDER};
use crate::settings::GRANULE;
use crate::store::GoogleDrive;
use crate::transport::{Payload, Transport};

/// A key that was made for these tests and opens nothing.
pub(crate) const KEY_FILE: &str = include_str!("fake_key.json");

/// Files on one page of a listing.
const PAGE: usize = 2;

/// An answer sent instead, once, to the first request whose line contains the text.
pub(crate) struct Fault {
    pub(crate) line: &'static str,
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
    /// Whether the request is carried out all the same, as when only the answer was lost.
    pub(crate) after: bool,
}

/// What somebody else does meanwhile.
pub(crate) type Act = Box<dyn FnOnce(&mut Drive)>;

/// Something that happens before the first request whose line contains the text is answered.
type Rival = (&'static str, Act);

pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) parent: String,
    pub(crate) folder: bool,
    pub(crate) content: Vec<u8>,
    pub(crate) trashed: bool,
    created: u64,
    modified: u64,
}

struct Session {
    metadata: Value,
    file: Option<String>,
    bytes: Vec<u8>,
}

#[derive(Default)]
pub(crate) struct Drive {
    pub(crate) nodes: BTreeMap<String, Node>,
    sessions: BTreeMap<String, Session>,
    pub(crate) requests: Vec<String>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) rivals: Vec<Rival>,
    /// Milliseconds added before every change; one day, so that folders are old, unless told otherwise.
    pub(crate) tick: u64,
    clock: u64,
    token: u64,
}

pub(crate) struct Fake(Rc<RefCell<Drive>>);

/// A destination on a fake drive, with pieces of 256 KiB.
pub(crate) fn store(extra: &str) -> (GoogleDrive, Rc<RefCell<Drive>>) {
    let drive = Rc::new(RefCell::new(Drive { tick: 86_400_000, ..Drive::default() }));
    (store_on(&drive, extra), drive)
}

/// Another destination on the same drive.
pub(crate) fn store_on(drive: &Rc<RefCell<Drive>>, extra: &str) -> GoogleDrive {
    let settings =
        cofre_sdk::settings::parse(&format!(r#"{{"endpoint": "https://h", "part_size": {GRANULE} {extra}}}"#)).expect("settings");
    let account = ServiceAccount::new(&Secret::new(KEY_FILE), None).expect("a key");
    let credentials = Credentials::ServiceAccount(Box::new(account));
    GoogleDrive::new(Client::new(settings, credentials, Box::new(Fake(Rc::clone(drive)))).expect("a client"))
}

fn answer(status: u16, headers: &[(&str, String)], body: Vec<u8>) -> Response {
    let mut headers: Vec<(String, String)> = headers.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
    headers.push(("content-length".to_owned(), body.len().to_string()));
    Response::from_reader(status, headers, std::io::Cursor::new(body))
}

fn failure(status: u16, reason: &str) -> Response {
    let body = json!({"error": {"code": status, "message": reason, "errors": [{"domain": "global", "reason": reason}]}});
    answer(status, &[], body.to_string().into_bytes())
}

impl Transport for Fake {
    fn send(&self, request: Request, payload: Payload<'_>) -> Result<Response> {
        let mut body = Vec::new();
        match payload {
            Payload::Nothing => {}
            Payload::Bytes(bytes) => body.extend_from_slice(bytes),
            Payload::Stream(stream, length) => drop(stream.take(length).read_to_end(&mut body)?),
        }
        let drive = &mut *self.0.borrow_mut();
        let line = format!(
            "{} {}",
            request.method().as_str(),
            percent_decode_str(request.url().strip_prefix("https://h").expect("the service")).decode_utf8_lossy()
        );
        drive.requests.push(line.clone());
        if let Some(at) = drive.rivals.iter().position(|(text, _)| line.contains(text)) {
            let (_, act) = drive.rivals.remove(at);
            act(drive);
        }
        match drive.faults.iter().position(|fault| line.contains(fault.line)) {
            Some(at) => {
                let fault = drive.faults.remove(at);
                if fault.after {
                    drive.answer(&request, &body);
                }
                Ok(failure(fault.status, fault.reason))
            }
            None => Ok(drive.answer(&request, &body)),
        }
    }
}

impl Drive {
    fn now(&mut self) -> u64 {
        self.clock += self.tick;
        self.clock
    }

    pub(crate) fn add(&mut self, parent: &str, name: &str, content: Option<&[u8]>) -> String {
        let (now, id) = (self.now(), format!("id{:03}", self.nodes.len()));
        let node = Node {
            name: name.to_owned(),
            parent: parent.to_owned(),
            folder: content.is_none(),
            content: content.unwrap_or_default().to_vec(),
            trashed: false,
            created: now,
            modified: now,
        };
        self.nodes.insert(id.clone(), node);
        id
    }

    /// Makes a node the oldest of all.
    pub(crate) fn age(&mut self, id: &str) {
        self.nodes.get_mut(id).expect("there").created = 0;
    }

    /// Paths of all files, and of folders with a `/` at the end, that are not in the trash.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths: Vec<String> = self
            .nodes
            .iter()
            .filter(|(id, _)| self.is_visible(id))
            .map(|(id, node)| format!("{}{}", self.path(id), if node.folder { "/" } else { "" }))
            .collect();
        paths.sort_unstable();
        paths
    }

    fn path(&self, id: &str) -> String {
        let node = &self.nodes[id];
        if node.parent == "root" { node.name.clone() } else { format!("{}/{}", self.path(&node.parent), node.name) }
    }

    /// What lies in a folder that is in the trash is there too.
    fn is_visible(&self, id: &str) -> bool {
        id == "root" || self.nodes.get(id).is_some_and(|node| !node.trashed && self.is_visible(&node.parent))
    }

    fn describe(&self, id: &str) -> Value {
        let node = &self.nodes[id];
        let moment = |ms: u64| {
            format!(
                "{:04}-01-01T{:02}:{:02}:{:02}.{:03}Z",
                2000 + ms / 86_400_000,
                ms / 3_600_000 % 24,
                ms / 60_000 % 60,
                ms / 1_000 % 60,
                ms % 1_000
            )
        };
        let mut value = json!({"id": id, "name": node.name, "parents": [node.parent], "trashed": !self.is_visible(id),
            "mimeType": if node.folder { FOLDER } else { "application/octet-stream" }, "createdTime": moment(node.created), "modifiedTime": moment(node.modified)});
        if !node.folder {
            value["size"] = node.content.len().to_string().into();
            value["md5Checksum"] = format!("{:032x}", node.content.len()).into();
        }
        value
    }

    fn answer(&mut self, request: &Request, body: &[u8]) -> Response {
        let url = request.url().strip_prefix("https://h").expect("the service");
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let query: BTreeMap<&str, String> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name, percent_decode_str(value).decode_utf8_lossy().into_owned()))
            .collect();
        let header = |name: &str| request.headers().iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        if path == "/token" {
            self.token += 1;
            return answer(200, &[], json!({"access_token": format!("t{}", self.token), "expires_in": 3_600}).to_string().into_bytes());
        }
        if header("authorization") != Some(&format!("Bearer t{}", self.token)) {
            return failure(401, "authError");
        }
        let json = |value: &Value| answer(200, &[], value.to_string().into_bytes());
        let value = || serde_json::from_slice::<Value>(body).unwrap_or_default();
        let id = path.rsplit_once("/files/").map_or("", |(_, id)| id);
        match (request.method(), path) {
            (_, path) if path.starts_with("/upload/drive/v3/session/") => {
                self.session(request.method(), path, header("content-range"), body)
            }
            (Method::Post | Method::Patch, path) if path.starts_with("/upload/drive/v3/files") => {
                let session = format!("/upload/drive/v3/session/{}", self.sessions.len());
                self.sessions.insert(
                    session.clone(),
                    Session { metadata: value(), file: (!id.is_empty()).then(|| id.to_owned()), bytes: Vec::new() },
                );
                answer(200, &[("location", format!("https://h{session}"))], vec![])
            }
            (Method::Get, "/drive/v3/about") => json(&json!({"storageQuota": {"limit": "1000", "usage": "400"}})),
            (Method::Get, "/drive/v3/files") => self.list(&query),
            (Method::Post, "/drive/v3/files") => {
                let value = value();
                let id = self.add(value["parents"][0].as_str().expect("a parent"), value["name"].as_str().expect("a name"), None);
                json(&self.describe(&id))
            }
            (method, _) if self.nodes.contains_key(id) => self.one(method, id, &query, &value(), header("range")),
            _ => failure(404, "notFound"),
        }
    }

    fn one(&mut self, method: Method, id: &str, query: &BTreeMap<&str, String>, value: &Value, range: Option<&str>) -> Response {
        match method {
            Method::Delete => {
                self.nodes.remove(id);
                answer(204, &[], vec![])
            }
            Method::Patch => {
                let node = self.nodes.get_mut(id).expect("checked");
                node.trashed |= value["trashed"] == true;
                node.parent = query.get("addParents").cloned().unwrap_or_else(|| node.parent.clone());
                answer(200, &[], self.describe(id).to_string().into_bytes())
            }
            _ if query.get("alt").is_some() => {
                let content = &self.nodes[id].content;
                let Some((first, last)) = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) else {
                    return answer(200, &[], content.clone());
                };
                let first: usize = first.parse().expect("a number");
                let end = last.parse::<usize>().map_or(content.len(), |last| content.len().min(last + 1));
                answer(206, &[("content-range", format!("bytes {first}-{}/{}", end - 1, content.len()))], content[first..end].to_vec())
            }
            _ => answer(200, &[], self.describe(id).to_string().into_bytes()),
        }
    }

    fn list(&self, query: &BTreeMap<&str, String>) -> Response {
        let text = &query["q"];
        let between = |from: &str, to: &str| {
            text.split_once(from).and_then(|(_, rest)| rest.split_once(to)).map(|(found, _)| found.replace("\\'", "'"))
        };
        let parent = between("'", "' in parents").expect("a parent");
        if parent != "root" && !self.nodes.contains_key(&parent) {
            return failure(404, "notFound");
        }
        let name = between("name = '", "' and mimeType").map(|name| name.to_lowercase());
        let folders = if text.contains("mimeType = ") { Some(true) } else { text.contains("mimeType != ").then_some(false) };
        let fits = |id: &str, node: &Node| {
            node.parent == parent
                && self.is_visible(id)
                && name.as_ref().is_none_or(|name| node.name.to_lowercase() == *name)
                && folders.is_none_or(|folders| node.folder == folders)
        };
        let found: Vec<Value> = self.nodes.iter().filter(|(id, node)| fits(id, node)).map(|(id, _)| self.describe(id)).collect();
        let from: usize = query.get("pageToken").map_or(0, |token| token.parse().expect("a number"));
        let mut page = json!({"files": found.iter().skip(from).take(PAGE).collect::<Vec<_>>()});
        if from + PAGE < found.len() {
            page["nextPageToken"] = (from + PAGE).to_string().into();
        }
        answer(200, &[], page.to_string().into_bytes())
    }

    fn session(&mut self, method: Method, path: &str, range: Option<&str>, body: &[u8]) -> Response {
        let Some(session) = self.sessions.get_mut(path) else { return failure(404, "notFound") };
        if method == Method::Delete {
            self.sessions.remove(path);
            return answer(499, &[], vec![]);
        }
        let (part, total) =
            range.map_or(("*", "0"), |range| range.strip_prefix("bytes ").and_then(|range| range.split_once('/')).expect("a range"));
        if let Some((first, _)) = part.split_once('-') {
            assert_eq!(first.parse(), Ok(session.bytes.len()), "a piece at the wrong place");
            let whole = if total == "*" { body.len() - body.len() % 262_144 } else { body.len() };
            session.bytes.extend_from_slice(&body[..whole]);
        }
        if total.parse() != Ok(session.bytes.len()) {
            let held = session.bytes.len().checked_sub(1).map(|last| ("range", format!("bytes=0-{last}")));
            return answer(308, held.as_slice(), vec![]);
        }
        let session = self.sessions.remove(path).expect("checked");
        let id = match session.file {
            Some(id) if !self.nodes.contains_key(&id) => return failure(404, "notFound"),
            Some(id) => {
                let now = self.now();
                let node = self.nodes.get_mut(&id).expect("checked");
                (node.content, node.modified) = (session.bytes, now);
                id
            }
            None => {
                let parent = session.metadata["parents"][0].as_str().expect("a parent").to_owned();
                if parent != "root" && !self.nodes.contains_key(&parent) {
                    return failure(404, "notFound");
                }
                self.add(&parent, session.metadata["name"].as_str().expect("a name"), Some(&session.bytes))
            }
        };
        answer(200, &[], self.describe(&id).to_string().into_bytes())
    }
}
