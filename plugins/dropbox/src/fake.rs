//! A small Dropbox in memory for this crate's own tests, with failures on demand. The end-to-end tests have a larger one that Dropbox's own
//! client judges.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::rc::Rc;

use cofre_sdk::http::{Request, Response};
use cofre_sdk::{Result, Secret};
use serde_json::{Value, json};

use crate::auth::Credentials;
use crate::client::Client;
use crate::content_hash::ContentHash;
use crate::store::Dropbox;
use crate::transport::{Payload, Transport};

/// Entries on one page of a listing.
const PAGE: usize = 2;

/// An answer sent instead, once, to the first request whose route contains the text.
pub(crate) struct Fault {
    pub(crate) route: &'static str,
    pub(crate) status: u16,
    pub(crate) summary: &'static str,
    /// Whether the request is carried out all the same, as when only the answer was lost.
    pub(crate) after: bool,
}

#[derive(Default)]
pub(crate) struct Account {
    /// By path in lower case: the path as it was given, and the content.
    pub(crate) files: BTreeMap<String, (String, Vec<u8>)>,
    pub(crate) folders: Vec<String>,
    sessions: BTreeMap<String, (Vec<u8>, bool)>,
    pub(crate) requests: Vec<String>,
    pub(crate) last_headers: Vec<(String, String)>,
    pub(crate) faults: Vec<Fault>,
    /// Whether the last byte of what is stored is changed.
    pub(crate) corrupt: bool,
    token: u64,
}

pub(crate) struct Fake(Rc<RefCell<Account>>);

/// A destination on a fake account, with pieces of 4 MiB.
pub(crate) fn store(extra: &str) -> (Dropbox, Rc<RefCell<Account>>) {
    let settings = cofre_sdk::settings::parse(&format!(r#"{{"endpoint": "https://h", "part_size": 4194304 {extra}}}"#)).expect("settings");
    let account = Rc::new(RefCell::new(Account::default()));
    let credentials = Credentials { refresh_token: Secret::new("r"), client_id: Secret::new("c"), client_secret: None };
    let client = Client::new(settings, credentials, Box::new(Fake(Rc::clone(&account)))).expect("a client");
    (Dropbox::new(client), account)
}

fn answer(status: u16, headers: &[(&str, String)], body: Vec<u8>) -> Response {
    let mut headers: Vec<(String, String)> = headers.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
    headers.push(("content-length".to_owned(), body.len().to_string()));
    Response::from_reader(status, headers, std::io::Cursor::new(body))
}

fn ok(value: &Value) -> Response {
    answer(200, &[], value.to_string().into_bytes())
}

fn failure(status: u16, summary: &str, error: &Value) -> Response {
    answer(status, &[], json!({"error_summary": format!("{summary}/.."), "error": error}).to_string().into_bytes())
}

impl Transport for Fake {
    fn send(&self, request: Request, payload: Payload<'_>) -> Result<Response> {
        let mut body = Vec::new();
        match payload {
            Payload::Nothing => {}
            Payload::Bytes(bytes) => body.extend_from_slice(bytes),
            Payload::Stream(stream, length) => drop(stream.take(length).read_to_end(&mut body)?),
        }
        let account = &mut *self.0.borrow_mut();
        let route = request.url().strip_prefix("https://h/").expect("the service").trim_start_matches("2/").to_owned();
        account.requests.push(route.clone());
        account.last_headers = request.headers().to_vec();
        match account.faults.iter().position(|fault| route.contains(fault.route)) {
            Some(at) => {
                let fault = account.faults.remove(at);
                if fault.after {
                    account.answer(&route, &request, body);
                }
                Ok(failure(fault.status, fault.summary, &json!({})))
            }
            None => Ok(account.answer(&route, &request, body)),
        }
    }
}

impl Account {
    pub(crate) fn add(&mut self, path: &str, content: &[u8]) {
        self.files.insert(path.to_lowercase(), (path.to_owned(), content.to_vec()));
    }

    fn describe(&self, path: &str) -> Option<Value> {
        let (path, content) = self.files.get(&path.to_lowercase())?;
        Some(
            json!({".tag": "file", "path_display": path, "path_lower": path.to_lowercase(), "size": content.len(), "rev": format!("0123456789{}", content.len()),
            "content_hash": ContentHash::of(content), "server_modified": "2024-02-29T12:30:45Z"}),
        )
    }

    fn is_folder(&self, path: &str) -> bool {
        let below = format!("{}/", path.to_lowercase());
        path.is_empty() || self.folders.contains(&path.to_lowercase()) || self.files.keys().any(|file| file.starts_with(&below))
    }

    fn answer(&mut self, route: &str, request: &Request, mut body: Vec<u8>) -> Response {
        let header = |name: &str| request.headers().iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        if route == "oauth2/token" {
            self.token += 1;
            return ok(&json!({"access_token": format!("t{}", self.token), "expires_in": 14_400}));
        }
        if header("authorization") != Some(&format!("Bearer t{}", self.token)) {
            return failure(401, "expired_access_token", &json!({}));
        }
        let argument: Value = match header("dropbox-api-arg") {
            Some(text) => serde_json::from_str(text).expect("JSON"),
            None => serde_json::from_slice(&body).expect("JSON"),
        };
        let path = argument["path"].as_str().unwrap_or_default();
        let not_found = || failure(409, "path/not_found", &json!({}));
        match route {
            "files/upload" => {
                assert_eq!(argument["content_hash"], ContentHash::of(&body).as_str());
                self.commit(&argument, body)
            }
            "files/upload_session/start" => {
                let id = format!("pid:upload/{}", self.sessions.len());
                self.sessions.insert(id.clone(), (body, false));
                ok(&json!({"session_id": id}))
            }
            "files/upload_session/append_v2" | "files/upload_session/finish" => {
                let cursor = &argument["cursor"];
                let Some((held, closed)) = self.sessions.get_mut(cursor["session_id"].as_str().expect("an id")) else {
                    return failure(409, "not_found", &json!({}));
                };
                if cursor["offset"] != held.len() {
                    return failure(409, "incorrect_offset", &json!({".tag": "incorrect_offset", "correct_offset": held.len()}));
                }
                if route.ends_with("finish") {
                    let bytes = held.clone();
                    self.sessions.remove(cursor["session_id"].as_str().expect("an id"));
                    return self.commit(&argument["commit"], bytes);
                }
                if *closed {
                    return failure(409, "closed", &json!({}));
                }
                held.append(&mut body);
                *closed = argument["close"] == true;
                ok(&Value::Null)
            }
            "files/download" => {
                let found = path.strip_prefix("rev:").map_or_else(
                    || self.files.get(&path.to_lowercase()),
                    |rev| self.files.values().find(|(file, _)| self.describe(file).expect("there")["rev"] == rev),
                );
                let Some((_, content)) = found else { return not_found() };
                let Some((first, last)) = header("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) else {
                    return answer(200, &[], content.clone());
                };
                let first: usize = first.parse().expect("a number");
                let end = last.parse::<usize>().map_or(content.len(), |last| content.len().min(last + 1));
                answer(206, &[("content-range", format!("bytes {first}-{}/{}", end - 1, content.len()))], content[first..end].to_vec())
            }
            "files/get_metadata" => match self.describe(path) {
                Some(file) => ok(&file),
                None if self.is_folder(path) => ok(&json!({".tag": "folder", "path_display": path})),
                None => not_found(),
            },
            "files/delete_v2" => {
                let below = format!("{}/", path.to_lowercase());
                let before = self.files.len() + self.folders.len();
                self.files.retain(|file, _| *file != path.to_lowercase() && !file.starts_with(&below));
                self.folders.retain(|folder| *folder != path.to_lowercase());
                if before == self.files.len() + self.folders.len() {
                    failure(409, "path_lookup/not_found", &json!({}))
                } else {
                    ok(&json!({}))
                }
            }
            "files/list_folder" if !self.is_folder(path) => not_found(),
            "files/list_folder" => self.list(path, argument["recursive"] == true, 0),
            "files/list_folder/continue" => {
                let (from, path) = argument["cursor"].as_str().and_then(|cursor| cursor.split_once(' ')).expect("a cursor");
                self.list(path, true, from.parse().expect("a number"))
            }
            "users/get_space_usage" => ok(&json!({"used": 400, "allocation": {".tag": "individual", "allocated": 1_000}})),
            "files/get_temporary_link" if self.describe(path).is_some() => ok(&json!({"link": "https://h/link"})),
            _ => not_found(),
        }
    }

    fn commit(&mut self, commit: &Value, mut bytes: Vec<u8>) -> Response {
        let path = commit["path"].as_str().expect("a path").to_owned();
        let there = self.describe(&path).map(|file| file["rev"].clone());
        if self.is_folder(&path) || there != commit["mode"].get("update").cloned() {
            return failure(409, "path/conflict/file", &json!({}));
        }
        if self.corrupt {
            bytes.pop();
            bytes.push(0xff);
        }
        let mut folder = path.as_str();
        while let Some((parent, _)) = folder.rsplit_once('/').filter(|(parent, _)| !parent.is_empty()) {
            self.folders.push(parent.to_lowercase());
            folder = parent;
        }
        self.add(&path, &bytes);
        let mut file = self.describe(&path).expect("stored");
        file.as_object_mut().expect("an object").remove(".tag");
        ok(&file)
    }

    fn list(&self, path: &str, recursive: bool, from: usize) -> Response {
        let below = format!("{}/", path.to_lowercase());
        let fits = |entry: &str| entry.starts_with(&below) && (recursive || !entry[below.len()..].contains('/'));
        let mut found: Vec<Value> = self.files.keys().filter(|file| fits(file)).filter_map(|file| self.describe(file)).collect();
        let folders: std::collections::BTreeSet<_> = self.folders.iter().filter(|folder| fits(folder)).collect();
        found.extend(folders.iter().map(|folder| json!({".tag": "folder", "path_display": folder})));
        let page: Vec<&Value> = found.iter().skip(from).take(PAGE).collect();
        ok(&json!({"entries": page, "cursor": format!("{} {path}", from + PAGE), "has_more": from + PAGE < found.len()}))
    }
}
