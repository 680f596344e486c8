//! One authorised request at a time, and what of the answers is used. Every request says that it knows shared drives ("Implement shared
//! drive support"), without which the service hides what is in them.

use std::cell::RefCell;
use std::collections::HashMap;

use cofre_sdk::http::{Method, Request, Response};
use cofre_sdk::{Context as _, Error, ErrorKind, Object, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::auth::{Authority, Credentials};
use crate::error;
use crate::settings::{Addresses, Settings};
use crate::transport::{Payload, Transport};

/// What is encoded in addresses and forms: everything but RFC 3986's unreserved characters.
pub(crate) const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Longest answer: a page of 1,000 files with long names.
const LONGEST_ANSWER: u64 = 8 << 20;

/// Files that are asked for at once, the most that the service gives.
const PAGE: &str = "1000";

/// Pages of one folder; one with more files than that is no folder of backups.
const PAGES_MOST: usize = 500;

/// Type of a folder.
pub(crate) const FOLDER: &str = "application/vnd.google-apps.folder";

/// What is asked of each file.
pub(crate) const FIELDS: &str = "id,name,mimeType,size,md5Checksum,createdTime,modifiedTime,trashed,parents";

/// What is asked of the service.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) payload: Payload<'a>,
}

impl Ask<'_> {
    /// A request without headers and body.
    pub(crate) fn new(method: Method, url: String) -> Self {
        Self { method, url, headers: Vec::new(), payload: Payload::Nothing }
    }
}

/// A file or a folder as the service describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct File {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) mime_type: String,
    size: Option<String>,
    md5_checksum: Option<String>,
    pub(crate) created_time: String,
    pub(crate) modified_time: String,
    pub(crate) trashed: bool,
    pub(crate) parents: Vec<String>,
}

impl File {
    /// Something of which only the identifier is known.
    pub(crate) fn known_as(id: &str) -> Self {
        Self { id: id.to_owned(), ..Self::default() }
    }

    pub(crate) fn is_folder(&self) -> bool {
        self.mime_type == FOLDER
    }

    /// Bytes; `None` for what is no plain file, such as a document of Google's own kinds or a shortcut.
    pub(crate) fn size(&self) -> Option<u64> {
        self.size.as_deref()?.parse().ok()
    }

    /// As the contract has it.
    pub(crate) fn object(&self, key: String) -> Object {
        let md5 = self.md5_checksum.as_deref().filter(|md5| md5.len() == 32);
        Object {
            key,
            size: self.size().unwrap_or(0),
            modified_unix_ms: unix_ms(&self.modified_time),
            checksum: md5.map(|md5| format!("md5:{}", md5.to_ascii_lowercase())),
        }
    }
}

/// What a look into a folder is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Files,
    Folders,
    Both,
}

/// A drive with the right to use it.
pub(crate) struct Client {
    pub(crate) settings: Settings,
    pub(crate) addresses: Addresses,
    authority: Authority,
    transport: Box<dyn Transport>,
    /// Folders that were found, by their path from the base.
    pub(crate) known: RefCell<HashMap<String, Vec<File>>>,
}

impl Client {
    pub(crate) fn new(settings: Settings, credentials: Credentials, transport: Box<dyn Transport>) -> Result<Self> {
        settings.check()?;
        let addresses = settings.addresses();
        let authority = Authority::new(credentials, addresses.token.clone());
        Ok(Self { settings, addresses, authority, transport, known: RefCell::default() })
    }

    /// Sends a request and returns whatever is answered. A token that is refused is replaced once; a body that was streamed cannot be sent
    /// again, so the host is told that it may.
    pub(crate) fn exchange(&self, ask: Ask<'_>) -> Result<Response> {
        let Ask { method, url, headers, payload } = ask;
        let request = headers.into_iter().fold(Request::new(method, url), |request, (name, value)| request.header(name, value));
        let authorised =
            || -> Result<Request> { Ok(request.clone().header("authorization", self.authority.bearer(self.transport.as_ref())?)) };
        let first = authorised()?;
        let Some(again) = payload.again() else {
            let answer = self.transport.send(first, payload)?;
            if answer.status() != 401 {
                return Ok(answer);
            }
            self.authority.forget();
            // Fails for good where the credentials themselves are refused.
            authorised()?;
            return Err(Error::access_denied("the access token ended during the transfer; there is a new one").retryable(true));
        };
        let answer = self.transport.send(first, again)?;
        if answer.status() != 401 {
            return Ok(answer);
        }
        self.authority.forget();
        self.transport.send(authorised()?, payload)
    }

    /// Sends a request; an answer that is no success is an error.
    pub(crate) fn send(&self, ask: Ask<'_>) -> Result<Response> {
        let answer = self.exchange(ask)?;
        if answer.is_success() { Ok(answer) } else { Err(error::from_answer(answer)) }
    }

    /// Sends a request whose answer is a document.
    pub(crate) fn send_for<T: DeserializeOwned>(&self, ask: Ask<'_>) -> Result<T> {
        parse(&self.send(ask)?.body_to_vec(LONGEST_ANSWER)?)
    }

    /// Address of a resource, as `/files/ID`, with what every request has.
    pub(crate) fn url(&self, resource: &str, query: &[(&str, &str)]) -> String {
        with_query(format!("{}{resource}", self.addresses.api), query)
    }

    /// Address to open a session for a resource at.
    pub(crate) fn upload_url(&self, resource: &str) -> String {
        with_query(format!("{}{resource}", self.addresses.upload), &[("uploadType", "resumable"), ("fields", FIELDS)])
    }

    /// What lies in a folder, under a name or under any; nothing where the folder is gone.
    pub(crate) fn children(&self, folder: &str, name: Option<&str>, kind: Kind) -> Result<Vec<File>> {
        let name_is = name.map(|name| format!("name = '{}'", quoted(name)));
        let kind_is = match kind {
            Kind::Files => Some(format!("mimeType != '{FOLDER}'")),
            Kind::Folders => Some(format!("mimeType = '{FOLDER}'")),
            Kind::Both => None,
        };
        let query: Vec<String> = [Some(lies_in(folder)), name_is, kind_is].into_iter().flatten().collect();
        let query = query.join(" and ");
        let (mut found, mut token) = (Vec::new(), None);
        for _ in 0..PAGES_MOST {
            let page = match self.page(&query, PAGE, token.as_deref()) {
                Err(error) if error.kind() == ErrorKind::NotFound && folder != self.settings.base() => return Ok(found),
                page => page.map_err(|error| self.no_base(error))?,
            };
            // The service compares names without regard to case.
            found.extend(page.files.into_iter().filter(|file| name.is_none_or(|name| file.name == name)));
            token = page.next_page_token;
            if token.is_none() {
                return Ok(found);
            }
        }
        Err(Error::unsupported(format!("the folder {folder} holds more than {PAGES_MOST} pages of files")))
    }

    /// Whether a folder holds nothing at all.
    pub(crate) fn is_empty(&self, folder: &str) -> Result<bool> {
        Ok(self.page(&lies_in(folder), "1", None)?.files.is_empty())
    }

    fn page(&self, query: &str, size: &str, token: Option<&str>) -> Result<FileList> {
        let fields = format!("nextPageToken,incompleteSearch,files({FIELDS})");
        let mut parameters = vec![("includeItemsFromAllDrives", "true"), ("q", query), ("pageSize", size), ("fields", &fields)];
        if let Some(drive) = &self.settings.drive_id {
            parameters.extend([("corpora", "drive"), ("driveId", drive)]);
        }
        parameters.extend(token.map(|token| ("pageToken", token)));
        let page: FileList = self.send_for(Ask::new(Method::Get, self.url("/files", &parameters)))?;
        if page.incomplete_search {
            return Err(Error::unavailable("the service did not look everywhere"));
        }
        Ok(page)
    }

    /// What a folder that cannot be found means where it is the one of the settings.
    fn no_base(&self, error: Error) -> Error {
        let setting = match (&self.settings.folder_id, &self.settings.drive_id) {
            _ if error.kind() != ErrorKind::NotFound => return error,
            (Some(_), _) => "/folder_id",
            (None, Some(_)) => "/drive_id",
            (None, None) => return error,
        };
        let why =
            "there is no such folder, or it is not shared with this account; with the scope `drive.file` only what cofre made can be seen";
        Error::invalid_config(format!("{setting}: {why}: {error}")).with("pointer", setting)
    }

    /// Moves a file or a folder to the trash, from where it can be brought back.
    pub(crate) fn to_trash(&self, id: &str) -> Result<()> {
        let ask = Ask {
            headers: vec![("content-type", "application/json".to_owned())],
            payload: Payload::Bytes(br#"{"trashed":true}"#),
            ..Ask::new(Method::Patch, self.url(&format!("/files/{id}"), &[("fields", "id")]))
        };
        gone_is_fine(self.send(ask))
    }

    /// Removes a file as the settings say.
    pub(crate) fn remove(&self, id: &str) -> Result<()> {
        if self.settings.trash {
            return self.to_trash(id);
        }
        gone_is_fine(self.send(Ask::new(Method::Delete, self.url(&format!("/files/{id}"), &[]))))
    }

    /// Bytes that are free, where the account has a limit of its own and the objects count against it.
    pub(crate) fn free_bytes(&self) -> Result<Option<u64>> {
        if self.is_shared()? {
            return Ok(None);
        }
        let about: About = self.send_for(Ask::new(Method::Get, self.url("/about", &[("fields", "storageQuota(limit,usage)")])))?;
        let number = |text: Option<String>| text.and_then(|text| text.parse::<u64>().ok());
        let (limit, usage) = (number(about.storage_quota.limit), number(about.storage_quota.usage));
        Ok(limit.map(|limit| limit.saturating_sub(usage.unwrap_or(0))))
    }

    /// Whether the objects are in a shared drive. My Drive's own root is not asked about: with the scope `drive.file` it is not to be seen.
    fn is_shared(&self) -> Result<bool> {
        match (&self.settings.drive_id, &self.settings.folder_id) {
            (Some(_), _) => Ok(true),
            (None, None) => Ok(false),
            (None, Some(folder)) => {
                let base: Base = self.send_for(Ask::new(Method::Get, self.url(&format!("/files/{folder}"), &[("fields", "driveId")])))?;
                Ok(base.drive_id.is_some())
            }
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct FileList {
    files: Vec<File>,
    next_page_token: Option<String>,
    incomplete_search: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Base {
    drive_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct About {
    storage_quota: Quota,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Quota {
    limit: Option<String>,
    usage: Option<String>,
}

/// Reads an answer of the kind that was asked for.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body)
        .map_err(|error| Error::other(format!("the service's answer cannot be understood: {error}")).retryable(true))
}

fn gone_is_fine(answer: Result<Response>) -> Result<()> {
    match answer {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        answer => answer.context("cannot remove it").map(drop),
    }
}

fn with_query(mut url: String, query: &[(&str, &str)]) -> String {
    url.push_str("?supportsAllDrives=true");
    for (name, value) in query {
        url.extend(["&", name, "="]);
        url.extend(utf8_percent_encode(value, RESERVED));
    }
    url
}

fn lies_in(folder: &str) -> String {
    format!("'{}' in parents and trashed = false", quoted(folder))
}

/// A text between the quotes of a query ("Search query terms and operators").
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}

pub(crate) fn unix_ms(text: &str) -> Option<u64> {
    let nanoseconds = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
    u64::try_from(nanoseconds / 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_of_the_service_is_read_to_the_millisecond() {
        assert_eq!(unix_ms("2024-02-29T12:30:45.678Z"), Some(1_709_209_845_678));
        assert_eq!(unix_ms("yesterday"), None);
    }

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        assert_eq!(quoted(r"a'b\' or name != '"), r"a\'b\\\' or name != \'");
    }
}
