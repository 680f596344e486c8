//! A small honest destination in one directory, on the bare bindings of its own copy of the contract. See the README beside it.

#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "cofre:plugin/destination-plugin", generate_all });
}

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use bindings::cofre::plugin::host;
use bindings::cofre::plugin::types::{Error, ErrorKind, Object};
use bindings::exports::cofre::plugin::destination::{Guest, GuestUpload, InputStream, Limits, OutputStream, Upload};
use bindings::exports::cofre::plugin::plugin;

const DIRECTORY: &str = "/data";
/// What begins the name of an unfinished object; no key has it.
const UNFINISHED: &str = ".unfinished-";
const CHUNK: usize = 64 << 10;

struct Frozen;

struct Session {
    key: String,
}

fn failed(error: io::Error) -> Error {
    let kind = if error.kind() == io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Other };
    fault(kind, error.to_string())
}

fn fault(kind: ErrorKind, message: String) -> Error {
    Error { kind, retryable: false, retry_after_ms: None, message, context: Vec::new() }
}

/// One file an object, whose name is the key with every `/` doubled into something that no key of ours has.
fn place(key: &str) -> PathBuf {
    PathBuf::from(DIRECTORY).join(key.replace('/', "@@"))
}

fn unfinished(key: &str) -> PathBuf {
    PathBuf::from(DIRECTORY).join(format!("{UNFINISHED}{}", key.replace('/', "@@")))
}

fn described(key: &str) -> Result<Object, Error> {
    let size = fs::metadata(place(key)).map_err(failed)?.len();
    Ok(Object { key: key.to_owned(), size, modified_unix_ms: None, checksum: None })
}

impl plugin::Guest for Frozen {
    fn describe() -> plugin::Description {
        plugin::Description {
            name: "frozen-v1-0".to_owned(),
            version: "1.0.0".to_owned(),
            kind: plugin::Kind::Destination,
            summary: "Built when version 1.0 of the contract was the newest.".to_owned(),
            settings_schema: r#"{"type":"object","properties":{"greeting":{"type":"string"}},"additionalProperties":false}"#.to_owned(),
            network: vec![plugin::NetworkNeed { target: "old.example:443".to_owned(), reason: "nothing any more".to_owned() }],
            secrets: vec![plugin::SecretNeed { name: "token".to_owned(), summary: "what it was given".to_owned(), optional: true }],
            directory: true,
        }
    }
}

impl Guest for Frozen {
    type Upload = Session;

    fn probe() -> Result<Limits, Error> {
        let greeting = format!("{} with {} secrets", host::settings(), usize::from(host::secret("token").is_some()));
        host::log(host::Level::Info, &greeting);
        fs::read_dir(DIRECTORY).map_err(failed)?;
        Ok(Limits { part_size: Some(3), max_object_size: Some(1 << 20), parallel_uploads: 2, free_bytes: Some(7) })
    }

    fn read(key: String, offset: u64, length: Option<u64>, sink: OutputStream) -> Result<u64, Error> {
        let mut file = File::open(place(&key)).map_err(failed)?;
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(length.unwrap_or(u64::MAX)).read_to_end(&mut bytes).map_err(failed)?;
        for chunk in bytes.chunks(4096) {
            sink.blocking_write_and_flush(chunk).map_err(|error| fault(ErrorKind::Other, format!("{error:?}")))?;
        }
        Ok(bytes.len() as u64)
    }

    fn stat(key: String) -> Result<Object, Error> {
        described(&key)
    }

    fn list(prefix: String, _cursor: Option<String>) -> Result<(Vec<Object>, Option<String>), Error> {
        let mut objects = Vec::new();
        for entry in fs::read_dir(DIRECTORY).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().replace("@@", "/");
            if name.starts_with(&prefix) && !name.starts_with(UNFINISHED) {
                objects.push(described(&name)?);
            }
        }
        Ok((objects, None))
    }

    fn delete(key: String) -> Result<(), Error> {
        match fs::remove_file(place(&key)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        }
    }

    fn protect(key: String, until_unix_ms: u64) -> Result<(), Error> {
        Err(fault(ErrorKind::Unsupported, format!("{key} cannot be protected until {until_unix_ms}")))
    }

    fn share(key: String, lifetime_seconds: u32) -> Result<String, Error> {
        Ok(format!("https://old.example/{key}?for={lifetime_seconds}"))
    }
}

impl GuestUpload for Session {
    fn begin(key: String, _size: Option<u64>) -> Result<Upload, Error> {
        File::create(unfinished(&key)).map_err(failed)?;
        Ok(Upload::new(Self { key }))
    }

    fn resume(key: String, token: String) -> Result<Upload, Error> {
        if token != key || !unfinished(&key).exists() {
            return Err(fault(ErrorKind::SessionLost, format!("nothing is left of {key}")));
        }
        Ok(Upload::new(Self { key }))
    }

    fn token(&self) -> String {
        self.key.clone()
    }

    fn offset(&self) -> u64 {
        fs::metadata(unfinished(&self.key)).map_or(0, |status| status.len())
    }

    fn write(&self, body: InputStream, length: u64) -> Result<u64, Error> {
        let mut file = OpenOptions::new().append(true).open(unfinished(&self.key)).map_err(failed)?;
        let mut left = length;
        while left > 0 {
            let chunk = body.blocking_read(left.min(CHUNK as u64)).map_err(|error| fault(ErrorKind::Integrity, format!("{error:?}")))?;
            file.write_all(&chunk).map_err(failed)?;
            left -= chunk.len() as u64;
        }
        Ok(self.offset())
    }

    fn finish(&self) -> Result<Object, Error> {
        fs::rename(unfinished(&self.key), place(&self.key)).map_err(failed)?;
        described(&self.key)
    }

    fn abort(&self) -> Result<(), Error> {
        match fs::remove_file(unfinished(&self.key)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        }
    }
}

#[cfg(target_arch = "wasm32")]
bindings::export!(Frozen with_types_in bindings);
