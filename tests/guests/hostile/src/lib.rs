//! A destination that breaks the contract and its limits on demand, written on the bare bindings so that nothing keeps it honest.
//! `mode` names what to do and `at` the verb that does it (`probe` where it is left out); every other verb behaves.
//!
//! The well-behaved object is `size` bytes long, byte `i` being `i % 251`; uploads are counted and forgotten.
//! What a probing mode has seen comes back as the message of an error of kind `other` that begins with `report: `.

#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit/v1.0", world: "cofre:plugin/destination-plugin", generate_all });
}
mod attack;
mod lies;
mod probes;

use std::cell::Cell;

use bindings::cofre::plugin::host;
use bindings::cofre::plugin::types::{Error, ErrorKind, Object};
use bindings::exports::cofre::plugin::destination::{Guest, GuestUpload, InputStream, Limits, OutputStream, Upload};
use bindings::exports::cofre::plugin::plugin;

const SCHEMA: &str = r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","additionalProperties":false,"required":["mode"],
"properties":{"mode":{"type":"string"},"at":{"type":"string"},"target":{"type":"string"},"url":{"type":"string"},"size":{"type":"integer","minimum":0},
"kind":{"type":"string"},"retryable":{"type":"boolean"},"retry_after_ms":{"type":"integer","minimum":0}}}"#;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) mode: String,
    #[serde(default = "probe")]
    pub(crate) at: String,
    #[serde(default)]
    pub(crate) target: String,
    #[serde(default)]
    pub(crate) url: String,
    #[serde(default = "mebibyte")]
    pub(crate) size: u64,
    #[serde(default)]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) retryable: bool,
    #[serde(default)]
    pub(crate) retry_after_ms: Option<u64>,
}

fn probe() -> String {
    "probe".to_owned()
}

fn mebibyte() -> u64 {
    1 << 20
}

impl Settings {
    pub(crate) fn read() -> Result<Self, Error> {
        serde_json::from_str(&host::settings()).map_err(|error| fault(ErrorKind::InvalidConfig, error.to_string()))
    }

    fn is(&self, mode: &str) -> bool {
        self.mode == mode
    }
}

pub(crate) fn fault(kind: ErrorKind, message: String) -> Error {
    Error { kind, retryable: false, retry_after_ms: None, message, context: Vec::new() }
}

/// Reads the settings and does the mischief if this is the verb for it.
fn enter(verb: &str) -> Result<Settings, Error> {
    let settings = Settings::read()?;
    if settings.at == verb {
        attack::act(&settings)?;
        probes::act(&settings)?;
    }
    Ok(settings)
}

struct Hostile;

struct Session {
    key: String,
    offset: Cell<u64>,
    ended: Cell<bool>,
}

impl plugin::Guest for Hostile {
    fn describe() -> plugin::Description {
        plugin::Description {
            name: "hostile".to_owned(),
            version: "0.1.0".to_owned(),
            kind: plugin::Kind::Destination,
            summary: "Breaks the contract on demand.".to_owned(),
            settings_schema: SCHEMA.to_owned(),
            network: vec![
                plugin::NetworkNeed { target: "{target}".to_owned(), reason: "what it tries to reach".to_owned() },
                plugin::NetworkNeed { target: "{url}".to_owned(), reason: "what it tries to fetch".to_owned() },
            ],
            secrets: vec![plugin::SecretNeed { name: "token".to_owned(), summary: "something to leak".to_owned(), optional: true }],
            directory: false,
        }
    }
}

impl Guest for Hostile {
    type Upload = Session;

    fn probe() -> Result<Limits, Error> {
        let settings = enter("probe")?;
        let part_size = if settings.is("zero-part-size") { Some(0) } else { None };
        let parallel_uploads = if settings.is("no-parallel-uploads") { 0 } else { 2 };
        Ok(Limits { part_size, max_object_size: None, parallel_uploads, free_bytes: None })
    }

    fn read(key: String, offset: u64, length: Option<u64>, sink: OutputStream) -> Result<u64, Error> {
        let settings = enter("read")?;
        lies::read(&settings, &key, (offset, length), &sink)
    }

    fn stat(key: String) -> Result<Object, Error> {
        let settings = enter("stat")?;
        Ok(Object { key, size: settings.size, modified_unix_ms: None, checksum: None })
    }

    fn list(prefix: String, cursor: Option<String>) -> Result<(Vec<Object>, Option<String>), Error> {
        let settings = enter("list")?;
        Ok(lies::list(&settings, &prefix, cursor))
    }

    fn delete(_key: String) -> Result<(), Error> {
        enter("delete").map(|_| ())
    }

    fn protect(_key: String, _until_unix_ms: u64) -> Result<(), Error> {
        enter("protect").map(|_| ())
    }

    fn share(key: String, _lifetime_seconds: u32) -> Result<String, Error> {
        let settings = enter("share")?;
        Ok(if settings.is("no-address") { "two words\n".to_owned() } else { format!("https://example.test/{key}") })
    }
}

impl GuestUpload for Session {
    fn begin(key: String, _size: Option<u64>) -> Result<Upload, Error> {
        enter("begin")?;
        Ok(Upload::new(Self { key, offset: Cell::new(0), ended: Cell::new(false) }))
    }

    fn resume(key: String, token: String) -> Result<Upload, Error> {
        enter("resume")?;
        let offset = token.parse().map_err(|_| fault(ErrorKind::SessionLost, format!("`{token}` is no token of this guest")))?;
        Ok(Upload::new(Self { key, offset: Cell::new(offset), ended: Cell::new(false) }))
    }

    fn token(&self) -> String {
        match Settings::read() {
            Ok(settings) if settings.is("huge-token") => "x".repeat(16 << 20),
            Ok(settings) if settings.is("big-token") => "x".repeat((64 << 10) + 1),
            _ => self.offset.get().to_string(),
        }
    }

    fn offset(&self) -> u64 {
        let _ = enter("offset");
        self.offset.get()
    }

    fn write(&self, body: InputStream, length: u64) -> Result<u64, Error> {
        let settings = enter("write")?;
        lies::write(&settings, &self.offset, &body, length)
    }

    fn finish(&self) -> Result<Object, Error> {
        let settings = enter("finish")?;
        if self.ended.replace(true) {
            return Err(fault(ErrorKind::SessionLost, "the session has ended".to_owned()));
        }
        Ok(lies::finished(&settings, &self.key, self.offset.get()))
    }

    fn abort(&self) -> Result<(), Error> {
        enter("abort")?;
        self.ended.set(true);
        Ok(())
    }
}

#[cfg(target_arch = "wasm32")]
bindings::export!(Hostile with_types_in bindings);
