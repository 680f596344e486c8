//! A place for objects: the two traits a plug-in implements, and the adapter between them and the contract.

use std::cell::RefCell;
use std::io::Write as _;
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::bindings::describing::exports::cofre::plugin::plugin;
use crate::bindings::imports::cofre::plugin::types as wire_types;
use crate::bindings::imports::wasi::io::streams::{InputStream, OutputStream};
use crate::bindings::storing::exports::cofre::plugin::destination as wire;
use crate::body::{Body, Sink};
use crate::error::{Context as _, Error, Result};
use crate::plugin::{Description, NetworkNeed, SecretNeed};
use crate::{host, settings};

/// A place for objects. One value lives for one call or one upload session; nothing survives in memory.
pub trait Destination: Sized + 'static {
    /// The administrator's settings; put `#[serde(deny_unknown_fields)]` on the struct.
    type Settings: DeserializeOwned + JsonSchema;
    /// An upload session.
    type Upload: Upload;

    /// Short name, `[a-z][a-z0-9-]*`.
    const NAME: &'static str;
    /// Version, semver: `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// What it is, in one sentence.
    const SUMMARY: &'static str;
    /// Whether it needs one directory of the host, reached through [`crate::files::Dir::granted`].
    const DIRECTORY: bool = false;

    /// Network targets it needs; none by default.
    fn network() -> Vec<NetworkNeed> {
        Vec::new()
    }

    /// Secrets it asks for; none by default.
    fn secrets() -> Vec<SecretNeed> {
        Vec::new()
    }

    /// Checks the settings and gets ready, without reaching outside.
    fn open(settings: Self::Settings) -> Result<Self>;

    /// Proves that settings, credentials and permissions work, by writing, reading and removing a small object
    /// (left in place where deleting is not permitted).
    fn probe(&self) -> Result<Limits>;

    /// Opens an upload session. No object appears under `key` before [`Upload::finish`]. `size` is in bytes.
    fn begin(&self, key: &str, size: Option<u64>) -> Result<Self::Upload>;

    /// Opens an earlier session from its token. `session-lost` where the service does not know it any more.
    fn resume(&self, key: &str, token: &str) -> Result<Self::Upload>;

    /// Writes `range` of the object into `sink`.
    fn read(&self, key: &str, range: Range, sink: &mut Sink) -> Result<()>;

    /// Describes one object; `not-found` where there is none.
    fn stat(&self, key: &str) -> Result<Object>;

    /// One page of the objects whose key starts with `prefix`, and the cursor of the next.
    fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Page>;

    /// Removes one object; no object is success.
    fn delete(&self, key: &str) -> Result<()>;
}

/// One upload session. Dropping it must leave it resumable.
pub trait Upload: 'static {
    /// Names the session for [`Destination::resume`]; at most 64 KiB.
    fn token(&self) -> String;

    /// Bytes that are durable at the destination.
    fn offset(&self) -> u64;

    /// Takes the whole body, makes it durable, and returns the new offset.
    fn write(&mut self, body: &mut Body) -> Result<u64>;

    /// The only commit. Returns the object as the service reports it after it.
    fn finish(&mut self) -> Result<Object>;

    /// Forgets the session and what it stored. Idempotent.
    fn abort(&mut self) -> Result<()>;
}

/// What the service accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one write; every write but the last has exactly this length. `None`: any length.
    pub part_size: Option<u64>,
    /// Largest object in bytes.
    pub max_object_size: Option<u64>,
    /// Uploads that may run at once; at least 1.
    pub parallel_uploads: u32,
}

/// One stored object as the service reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Key as it was given to `begin`.
    pub key: String,
    /// Size in bytes.
    pub size: u64,
    /// Last change in Unix milliseconds, where the service knows it.
    pub modified_unix_ms: Option<u64>,
    /// `algorithm:lower-case hex` over the whole object, where the service reports one.
    pub checksum: Option<String>,
}

/// Bytes of an object: `length` of them from `offset` on, or all to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First byte.
    pub offset: u64,
    /// How many; `None` for all that follow.
    pub length: Option<u64>,
}

impl Range {
    /// How many bytes this range has in an object of `size` bytes.
    ///
    /// # Errors
    /// `invalid-config` where it goes beyond the object.
    pub fn length_in(self, size: u64) -> Result<u64> {
        let beyond = || Error::invalid_config(format!("the range {self:?} goes beyond the object's {size} bytes"));
        let available = size.checked_sub(self.offset).ok_or_else(beyond)?;
        match self.length {
            Some(length) if length > available => Err(beyond()),
            Some(length) => Ok(length),
            None => Ok(available),
        }
    }
}

/// One page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The objects of this page.
    pub objects: Vec<Object>,
    /// Cursor of the next page; `None` on the last.
    pub cursor: Option<String>,
}

/// Makes a component out of a [`Destination`]: `export_destination!(MyDestination);` in its crate's root.
#[macro_export]
macro_rules! export_destination {
    ($destination:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Component = $crate::__private::DestinationAdapter<$destination>;
    $crate::bindings::describing::export!(Component with_types_in $crate::bindings::describing);
    $crate::bindings::storing::export!(Component with_types_in $crate::bindings::storing);
        };
    };
}

/// Speaks the contract for `D`.
#[doc(hidden)]
#[derive(Debug)]
pub struct DestinationAdapter<D>(PhantomData<D>);

/// One session of a destination; the contract's methods share it, and a component has one thread.
#[doc(hidden)]
pub struct Session<D: Destination>(RefCell<D::Upload>);

impl<D: Destination> DestinationAdapter<D> {
    fn open() -> Result<D> {
        D::open(settings::parse(&host::settings())?)
    }

    fn read_into(key: &str, range: Range, stream: OutputStream) -> Result<u64> {
        let mut sink = Sink::from_stream(stream);
        Self::open()?.read(key, range, &mut sink)?;
        sink.flush().with_context(|| format!("cannot hand over {key}"))?;
        match range.length {
            Some(length) if sink.written() != length => {
                Err(Error::integrity(format!("reading {key} gave {} bytes instead of {length}", sink.written())))
            }
            _ => Ok(sink.written()),
        }
    }
}

impl<D: Destination> plugin::Guest for DestinationAdapter<D> {
    fn describe() -> plugin::Description {
        let description = Description {
            name: D::NAME,
            version: D::VERSION,
            kind: plugin::Kind::Destination,
            summary: D::SUMMARY,
            settings_schema: settings::schema::<D::Settings>(),
            network: D::network(),
            secrets: D::secrets(),
            directory: D::DIRECTORY,
        };
        description.into()
    }
}

impl<D: Destination> wire::Guest for DestinationAdapter<D> {
    type Upload = Session<D>;

    fn probe() -> Result<wire::Limits, wire_types::Error> {
        let limits = Self::open()?.probe()?;
        Ok(wire::Limits { part_size: limits.part_size, max_object_size: limits.max_object_size, parallel_uploads: limits.parallel_uploads })
    }

    fn read(key: String, offset: u64, length: Option<u64>, sink: OutputStream) -> Result<u64, wire_types::Error> {
        Ok(Self::read_into(&key, Range { offset, length }, sink)?)
    }

    fn stat(key: String) -> Result<wire_types::Object, wire_types::Error> {
        Ok(Self::open()?.stat(&key)?.into())
    }

    fn list(prefix: String, cursor: Option<String>) -> Result<(Vec<wire_types::Object>, Option<String>), wire_types::Error> {
        let page = Self::open()?.list(&prefix, cursor.as_deref())?;
        Ok((page.objects.into_iter().map(Into::into).collect(), page.cursor))
    }

    fn delete(key: String) -> Result<(), wire_types::Error> {
        Ok(Self::open()?.delete(&key)?)
    }
}

impl<D: Destination> wire::GuestUpload for Session<D> {
    fn begin(key: String, size: Option<u64>) -> Result<wire::Upload, wire_types::Error> {
        let upload = DestinationAdapter::<D>::open()?.begin(&key, size)?;
        Ok(wire::Upload::new(Self(RefCell::new(upload))))
    }

    fn resume(key: String, token: String) -> Result<wire::Upload, wire_types::Error> {
        let upload = DestinationAdapter::<D>::open()?.resume(&key, &token)?;
        Ok(wire::Upload::new(Self(RefCell::new(upload))))
    }

    fn token(&self) -> String {
        self.0.borrow().token()
    }

    fn offset(&self) -> u64 {
        self.0.borrow().offset()
    }

    fn write(&self, body: InputStream, length: u64) -> Result<u64, wire_types::Error> {
        let mut body = Body::from_stream(body, length);
        let offset = self.0.borrow_mut().write(&mut body)?;
        match body.remaining() {
            0 => Ok(offset),
            rest => Err(Error::integrity(format!("the plug-in left {rest} of {length} bytes unread")).into()),
        }
    }

    fn finish(&self) -> Result<wire_types::Object, wire_types::Error> {
        Ok(self.0.borrow_mut().finish()?.into())
    }

    fn abort(&self) -> Result<(), wire_types::Error> {
        Ok(self.0.borrow_mut().abort()?)
    }
}

impl From<Object> for wire_types::Object {
    fn from(it: Object) -> Self {
        Self { key: it.key, size: it.size, modified_unix_ms: it.modified_unix_ms, checksum: it.checksum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_range_beyond_the_object_is_refused() {
        assert_eq!(Range { offset: 3, length: None }.length_in(10).expect("inside"), 7);
        assert_eq!(Range { offset: 3, length: Some(7) }.length_in(10).expect("inside"), 7);
        assert_eq!(Range { offset: 10, length: None }.length_in(10).expect("the empty end"), 0);
        for range in [Range { offset: 3, length: Some(8) }, Range { offset: 11, length: None }, Range { offset: u64::MAX, length: Some(1) }]
        {
            assert_eq!(range.length_in(10).expect_err("beyond").kind(), ErrorKind::InvalidConfig);
        }
    }
}
