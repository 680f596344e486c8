//! The service's three kinds of calls: JSON for JSON, bytes up, bytes down; the last two have their argument in a header, where only ASCII
//! may stand ("Content-upload endpoints").

use cofre_sdk::http::{Request, Response};
use cofre_sdk::{Context as _, Error, ErrorKind, Object, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::auth::{Authority, Credentials};
use crate::error;
use crate::settings::{Addresses, Settings};
use crate::transport::{Payload, Transport};

/// Longest answer: a page of 2,000 files with long paths.
const LONGEST_ANSWER: u64 = 16 << 20;

/// A file or a folder as the service describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Metadata {
    /// `file`, `folder` or `deleted`; left out where only a file is possible.
    #[serde(rename = ".tag")]
    pub(crate) tag: String,
    pub(crate) path_display: Option<String>,
    pub(crate) path_lower: Option<String>,
    pub(crate) size: u64,
    pub(crate) rev: String,
    pub(crate) content_hash: Option<String>,
    server_modified: Option<String>,
}

impl Metadata {
    pub(crate) fn is_file(&self) -> bool {
        self.tag == "file"
    }

    /// Whether its name is written as the last part of `path` is; of the parts before it the service does not say so reliably.
    pub(crate) fn is_named(&self, path: &str) -> bool {
        let name = |path: &str| path.rsplit('/').next().map(str::to_owned);
        self.path_display.as_deref().is_none_or(|display| name(display) == name(path))
    }

    /// As the contract has it. The service's digest is none that the host knows.
    pub(crate) fn object(&self, key: String) -> Object {
        let modified_unix_ms = self.server_modified.as_deref().and_then(unix_ms);
        Object { key, size: self.size, modified_unix_ms, checksum: None }
    }
}

/// One page of a folder.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Listed {
    pub(crate) entries: Vec<Metadata>,
    pub(crate) cursor: String,
    pub(crate) has_more: bool,
}

/// An account with the right to use it.
pub(crate) struct Client {
    pub(crate) settings: Settings,
    addresses: Addresses,
    authority: Authority,
    transport: Box<dyn Transport>,
}

impl Client {
    pub(crate) fn new(settings: Settings, credentials: Credentials, transport: Box<dyn Transport>) -> Result<Self> {
        settings.check()?;
        let addresses = settings.addresses();
        let authority = Authority::new(credentials, addresses.token.clone());
        Ok(Self { settings, addresses, authority, transport })
    }

    /// Sends a request and returns whatever is answered. A token that is refused is replaced once; a body that was streamed cannot be sent
    /// again, so the host is told that it may.
    fn exchange(&self, request: Request, payload: Payload<'_>) -> Result<Response> {
        let request = match &self.settings.namespace_id {
            Some(id) => request.header("dropbox-api-path-root", json!({".tag": "namespace_id", "namespace_id": id}).to_string()),
            None => request,
        };
        let request = match &self.settings.team_member_id {
            Some(id) => request.header("dropbox-api-select-user", id),
            None => request,
        };
        let authorised =
            || -> Result<Request> { Ok(request.clone().header("authorization", self.authority.bearer(self.transport.as_ref())?)) };
        let first = authorised()?;
        let Some(again) = payload.again() else {
            let answer = self.transport.send(first, payload)?;
            if answer.status() != 401 {
                return Ok(answer);
            }
            self.authority.forget();
            // Fails for good where the refresh token itself is refused; a scope that is missing stays missing.
            authorised()?;
            let error = error::from_answer(answer);
            let ended = error::has_tag(&error, &["expired_access_token", "invalid_access_token"]);
            return Err(error.retryable(ended));
        };
        let answer = self.transport.send(first, again)?;
        if answer.status() != 401 {
            return Ok(answer);
        }
        self.authority.forget();
        self.transport.send(authorised()?, payload)
    }

    fn send(&self, request: Request, payload: Payload<'_>) -> Result<Response> {
        let answer = self.exchange(request, payload)?;
        if answer.is_success() { Ok(answer) } else { Err(error::from_answer(answer)) }
    }

    /// JSON for JSON; a route without an argument has `null`.
    pub(crate) fn call<T: DeserializeOwned>(&self, route: &str, argument: &Value) -> Result<T> {
        let request = Request::post(format!("{}/{route}", self.addresses.api)).header("content-type", "application/json");
        parse(&self.send(request, Payload::Bytes(argument.to_string().as_bytes()))?.body_to_vec(LONGEST_ANSWER)?)
    }

    /// Bytes up, JSON down.
    pub(crate) fn upload<T: DeserializeOwned>(&self, route: &str, argument: &Value, payload: Payload<'_>) -> Result<T> {
        let request = Request::post(format!("{}/{route}", self.addresses.content))
            .header("content-type", "application/octet-stream")
            .header("dropbox-api-arg", for_header(argument));
        parse(&self.send(request, payload)?.body_to_vec(LONGEST_ANSWER)?)
    }

    /// Bytes down: an answer of success or 416.
    pub(crate) fn download(&self, argument: &Value, range: Option<String>) -> Result<Response> {
        let request = Request::post(format!("{}/files/download", self.addresses.content))
            .header("content-type", "application/octet-stream")
            .header("dropbox-api-arg", for_header(argument));
        let request = range.into_iter().fold(request, |request, range| request.header("range", range));
        let answer = self.exchange(request, Payload::Nothing)?;
        if answer.is_success() || answer.status() == 416 { Ok(answer) } else { Err(error::from_answer(answer)) }
    }

    /// What is at a path, as the service compares names: without regard to case.
    pub(crate) fn look(&self, path: &str) -> Result<Option<Metadata>> {
        match self.call::<Metadata>("files/get_metadata", &json!({ "path": path })) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            found => found.map(Some),
        }
    }

    /// The file at a path; `not-found` where there is none, or a folder, or a name that is written in another way.
    pub(crate) fn file(&self, path: &str) -> Result<Metadata> {
        let found = self.look(path)?.filter(|found| found.is_file() && found.is_named(path));
        found.ok_or_else(|| Error::not_found("there is no such file"))
    }

    /// Removes what is at a path, or only this revision of it; nothing is success.
    pub(crate) fn remove(&self, path: &str, revision: Option<&str>) -> Result<()> {
        let mut argument = json!({ "path": path });
        if let Some(revision) = revision {
            argument["parent_rev"] = revision.into();
        }
        match self.call::<Value>("files/delete_v2", &argument) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.map(drop),
        }
    }

    /// The first entries of a folder, with those of the folders in it or without.
    pub(crate) fn list(&self, path: &str, recursive: bool, limit: u32) -> Result<Listed> {
        self.call("files/list_folder", &json!({ "path": path, "recursive": recursive, "limit": limit }))
    }

    /// The entries that follow.
    pub(crate) fn list_on(&self, cursor: &str) -> Result<Listed> {
        self.call("files/list_folder/continue", &json!({ "cursor": cursor }))
    }

    /// Bytes that are free.
    pub(crate) fn free_bytes(&self) -> Result<Option<u64>> {
        let usage: Usage = self.call("users/get_space_usage", &Value::Null).context("cannot ask how much space is left")?;
        Ok(usage.free())
    }
}

#[derive(Debug, Deserialize)]
struct Usage {
    used: u64,
    allocation: Allocation,
}

/// An account's own space, or its share in a team's.
#[derive(Debug, Deserialize)]
#[serde(tag = ".tag", rename_all = "lowercase")]
enum Allocation {
    Individual {
        allocated: u64,
    },
    Team {
        used: u64,
        allocated: u64,
        /// A limit for this member; 0 for none.
        #[serde(default)]
        user_within_team_space_allocated: u64,
    },
    #[serde(other)]
    Other,
}

impl Usage {
    fn free(&self) -> Option<u64> {
        match self.allocation {
            Allocation::Individual { allocated } => Some(allocated.saturating_sub(self.used)),
            Allocation::Team { used, allocated, user_within_team_space_allocated: 0 } => Some(allocated.saturating_sub(used)),
            Allocation::Team { used, allocated, user_within_team_space_allocated: own } => {
                Some(allocated.saturating_sub(used).min(own.saturating_sub(self.used)))
            }
            Allocation::Other => None,
        }
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body)
        .map_err(|error| Error::other(format!("the service's answer cannot be understood: {error}")).retryable(true))
}

/// JSON of which a header may consist: everything beyond printable ASCII as `\uXXXX`.
fn for_header(argument: &Value) -> String {
    let mut text = String::new();
    for letter in argument.to_string().chars() {
        if (' '..='~').contains(&letter) {
            text.push(letter);
        } else {
            let mut units = [0; 2];
            text.extend(letter.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    text
}

fn unix_ms(text: &str) -> Option<u64> {
    let nanoseconds = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
    u64::try_from(nanoseconds / 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_ascii_and_the_same_json() {
        let argument = json!({"path": "/ação \u{7f} \u{1f600} \"q\""});
        let text = for_header(&argument);
        assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)), "{text}");
        assert!(text.contains("\\ud83d\\ude00"), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), argument);
    }

    #[test]
    fn what_is_free_is_the_smaller_of_the_teams_and_the_members() {
        let free = |json: &str| serde_json::from_str::<Usage>(json).expect("JSON").free();
        assert_eq!(free(r#"{"used": 4, "allocation": {".tag": "individual", "allocated": 10}}"#), Some(6));
        let team = |own: u64| {
            format!(
                r#"{{"used": 4, "allocation": {{".tag": "team", "used": 50, "allocated": 100, "user_within_team_space_allocated": {own}}}}}"#
            )
        };
        assert_eq!((free(&team(0)), free(&team(10)), free(&team(1_000))), (Some(50), Some(6), Some(50)));
        assert_eq!(free(r#"{"used": 4, "allocation": {".tag": "other"}}"#), None);
    }
}
