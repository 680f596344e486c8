//! One authorised request at a time, and what a WebDAV server answers to it.

use std::io::Read;

use cofre_sdk::http::{Method, Request, Response};
use cofre_sdk::{Context as _, Error, ErrorKind, Object, Result};

use crate::address::{Address, decoded};
use crate::auth::Credentials;
use crate::error;
use crate::multistatus::{self, Entry, PROPFIND};
use crate::settings::{Resume, Settings};
use crate::transport::{Pieces, Transport};

const PROPFIND_METHOD: Method = Method::Other("PROPFIND");
const MKCOL: Method = Method::Other("MKCOL");
const MOVE: Method = Method::Other("MOVE");

/// A server with the right to use it.
pub(crate) struct Client {
    pub(crate) settings: Settings,
    pub(crate) address: Address,
    credentials: Credentials,
    transport: Box<dyn Transport>,
}

impl Client {
    pub(crate) fn new(settings: Settings, credentials: Credentials, transport: Box<dyn Transport>) -> Result<Self> {
        settings.check()?;
        let address = Address::new(&settings)?;
        Ok(Self { settings, address, credentials, transport })
    }

    /// Whether larger objects are stored as Nextcloud's chunks.
    pub(crate) fn stores_chunks(&self) -> bool {
        match self.settings.resume {
            Resume::Nextcloud => true,
            Resume::Auto => self.address.is_nextcloud(),
            Resume::None | Resume::ContentRange | Resume::Sabredav => false,
        }
    }

    /// A request with its authorization.
    pub(crate) fn request(&self, method: Method, url: &str) -> Result<Request> {
        if self.credentials.needs_challenge() {
            self.ask_for_challenge()?;
        }
        let request = Request::new(method, url);
        let header = self.credentials.header(method.as_str(), self.address.path_of(url))?;
        Ok(match header {
            Some(value) => request.header("authorization", value),
            None => request,
        })
    }

    fn ask_for_challenge(&self) -> Result<()> {
        let answer = self.transport.send(Request::new(Method::Options, self.address.of_folder("")), None)?;
        if answer.status() != 401 {
            return Ok(());
        }
        let challenges = answer.headers().iter().filter(|(name, _)| name == "www-authenticate").map(|(_, value)| value.as_str());
        self.credentials.challenged(challenges)
    }

    /// Sends a request; an answer that is no success is an error.
    pub(crate) fn send(&self, request: Request, body: Option<(&mut dyn Read, u64)>) -> Result<Response> {
        accepted(self.transport.send(request, body)?)
    }

    /// A request without a body.
    pub(crate) fn bare(&self, method: Method, url: &str) -> Result<Response> {
        self.send(self.request(method, url)?, None)
    }

    /// Asks for a range; 416, "there is no such range", is an answer too.
    pub(crate) fn get_range(&self, url: &str, range: Option<String>) -> Result<Response> {
        let request = range.into_iter().fold(self.request(Method::Get, url)?, |request, range| request.header("range", range));
        let answer = self.transport.send(request, None)?;
        if answer.status() == 416 { Ok(answer) } else { accepted(answer) }
    }

    /// The resource at `url`; `None` where there is none.
    pub(crate) fn entry(&self, url: &str) -> Result<Option<Entry>> {
        let mut found = None;
        let answer = match self.propfind(url, "0") {
            Err(error) if is_absent(&error) => return Ok(None),
            // Apache says so of a folder that was asked for without `/` at its end.
            Err(error) if matches!(error::status(&error), Some(301 | 302 | 307 | 308)) && !url.ends_with('/') => {
                return self.entry(&format!("{url}/"));
            }
            answer => answer?,
        };
        multistatus::read(answer, |entry| {
            found.get_or_insert(entry);
            Ok(())
        })?;
        found.map(Some).ok_or_else(|| Error::other("the server's answer has nothing in it").retryable(true))
    }

    /// The resources in the folder at `url`, each with the name under which it is stored; nothing where there is no such folder.
    pub(crate) fn entries(&self, url: &str, mut each: impl FnMut(&str, Entry) -> Result<()>) -> Result<()> {
        let answer = match self.propfind(url, "1") {
            Err(error) if is_absent(&error) => return Ok(()),
            answer => answer?,
        };
        let own = decoded(self.address.path_of(url)).unwrap_or_default();
        multistatus::read(answer, |entry| {
            // What is no UTF-8 is none of ours.
            let Some(path) = decoded(&entry.href) else { return Ok(()) };
            match path.strip_prefix(own.as_str()) {
                Some("") => Ok(()),
                Some(rest) if rest.starts_with('/') && !rest[1..].contains('/') => each(&rest[1..], entry),
                _ => {
                    let why = format!("/url: the server shows `{path}` in the folder `{own}`; use the address that the server itself uses");
                    Err(Error::invalid_config(why).with("pointer", "/url"))
                }
            }
        })
    }

    fn propfind(&self, url: &str, depth: &str) -> Result<Response> {
        let request = self.request(PROPFIND_METHOD, url)?.header("depth", depth).header("content-type", "application/xml; charset=utf-8");
        self.send(request, Some((&mut PROPFIND.as_bytes(), PROPFIND.len() as u64)))
    }

    /// Stores exactly `length` bytes at `url`.
    pub(crate) fn put(&self, request: Request, body: &mut dyn Read, length: u64) -> Result<()> {
        let request = request.header("content-type", "application/octet-stream");
        self.send(request, Some((body, length))).map(drop).map_err(|error| self.out_of_space(error, length))
    }

    /// Begins to store what comes piece by piece.
    pub(crate) fn open_put(&self, url: &str, length: Option<u64>) -> Result<Box<dyn Pieces>> {
        let request = self.request(Method::Put, url)?.header("content-type", "application/octet-stream");
        self.transport.open(request, length)
    }

    /// Ends what [`Client::open_put`] began, after `sent` bytes.
    pub(crate) fn end_put(&self, pieces: Box<dyn Pieces>, sent: u64) -> Result<()> {
        accepted(pieces.finish()?).map(drop).map_err(|error| self.out_of_space(error, sent))
    }

    /// A full disk, where the server calls it something else: Go's server says 405, others 500.
    fn out_of_space(&self, error: Error, length: u64) -> Error {
        if !matches!(error::status(&error), Some(405 | 500)) {
            return error;
        }
        match self.entry(&self.address.of_folder("")) {
            Ok(Some(Entry { free_bytes: Some(free), .. })) if free < length => {
                Error::out_of_space(format!("the server has {free} bytes left ({error})"))
            }
            _ => error,
        }
    }

    /// Creates a folder, whose parent must be there; one that is there already is success. One that another upload makes at the same moment
    /// is refused by Apache with 403, by Go's server with 423 and by WsgiDAV with 500.
    pub(crate) fn create_folder(&self, request: Request) -> Result<()> {
        let url = request.url().to_owned();
        match self.send(request, None) {
            Err(error) if error::status(&error) == Some(405) => Ok(()),
            Err(error) if matches!(error::status(&error), Some(403 | 423 | 500)) => match self.entry(&url) {
                Ok(Some(entry)) if entry.is_folder => Ok(()),
                _ => Err(error),
            },
            created => created.map(drop),
        }
    }

    /// The request that creates a folder.
    pub(crate) fn mkcol(&self, url: &str) -> Result<Request> {
        self.request(MKCOL, url)
    }

    /// Moves a file of `size` bytes to the address of an object, over another object but never over a folder, which a server would remove
    /// with all that is in it (RFC 4918, 9.9.3).
    pub(crate) fn move_file(&self, from: &str, to: &str, size: u64) -> Result<()> {
        let send = |overwrite: &str| {
            // The size is for Nextcloud, which compares it with that of the chunks.
            let request = self.request(MOVE, from)?.header("destination", to).header("overwrite", overwrite);
            let request = request.header("oc-total-length", size.to_string());
            self.send(request, None).map(drop)
        };
        match send("F") {
            Err(error) if error::status(&error) == Some(412) => {}
            moved => return moved,
        }
        match self.exactly(to)? {
            Some(there) if there.is_folder => Err(Error::new(ErrorKind::AlreadyExists, "there is a folder of that name")),
            Some(_) => send("T"),
            None => Err(Error::new(ErrorKind::AlreadyExists, "the server takes its name for the name of another object")),
        }
    }

    /// The resource at `url` as the folder above it shows it, under exactly this name: a server that does not care for the case of letters,
    /// or how an accent is written, shows another.
    fn exactly(&self, url: &str) -> Result<Option<Entry>> {
        let (folder, name) = url.rsplit_once('/').unwrap_or_default();
        let (name, mut found) = (decoded(name).unwrap_or_default(), None);
        self.entries(&format!("{folder}/"), |stored, entry| {
            if stored == name {
                found = Some(entry);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Removes what is at `url`; nothing there is success.
    pub(crate) fn remove(&self, url: &str) -> Result<()> {
        match self.bare(Method::Delete, url) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.map(drop),
        }
    }

    /// The object at `key`.
    pub(crate) fn object(&self, key: &str) -> Result<Object> {
        let entry = self.entry(&self.address.of(key)).with_context(|| format!("cannot look at {key}"))?;
        let entry = entry.filter(|entry| !entry.is_folder).ok_or_else(|| Error::not_found(format!("there is no object {key}")))?;
        let size = entry.size.ok_or_else(|| Error::other(format!("the server does not say how long {key} is")))?;
        Ok(Object { key: key.to_owned(), size, modified_unix_ms: entry.modified_unix_ms, checksum: entry.checksum })
    }
}

fn accepted(answer: Response) -> Result<Response> {
    if answer.is_success() { Ok(answer) } else { Err(error::from_answer(answer)) }
}

/// Whether a refusal of PROPFIND says that there is nothing: Apache finds an address below a file malformed.
fn is_absent(error: &Error) -> bool {
    error.kind() == ErrorKind::NotFound || error::status(error) == Some(400)
}
