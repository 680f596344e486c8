//! Version 1.0: `wit/v1.0`. The bindings are generated; the rest puts them behind the traits that all versions share.

use std::sync::Arc;

use async_trait::async_trait;
use semver::Version;
use wasmtime::Store;
use wasmtime::component::{HasSelf, InstancePre, Linker, Resource, ResourceAny};
use wasmtime_wasi_io::streams::DynInputStream;

use self::notifying::exports::cofre::plugin::notifier;
use self::notifying::{NotifierPlugin, NotifierPluginPre};
use self::wit::cofre::plugin::{host, types};
use self::wit::exports::cofre::plugin::plugin;
use self::wit::{DestinationPlugin, DestinationPluginPre};
use super::{AttachedStream, Called, Contract, Describer, DestinationGuest, GuestError, NotifierGuest, Pre, Range, Ready, Said};
use crate::plugin::component::{NetworkNeed, PluginKind, SecretNeed};
use crate::plugin::journal::Weight;
use crate::plugin::state::State;
use crate::ports::{DestinationErrorKind, Limits, Message, Object, Severity};

/// Generates the bindings of a world, in a module right below this one. WASI's own interfaces are those of wasmtime-wasi, or of
/// `super::wasi`; `more` are interfaces that another module has the bindings of.
macro_rules! bindings {
    ($world:tt, { $($more:tt)* }) => {
        wasmtime::component::bindgen!({
            path: "../wit/v1.0",
            world: $world,
            imports: { default: async | trappable },
            exports: { default: async },
            with: {
                $($more)*
                "wasi:io/poll": wasmtime_wasi_io::bindings::wasi::io::poll,
                "wasi:io/streams": wasmtime_wasi_io::bindings::wasi::io::streams,
                "wasi:io/error": wasmtime_wasi_io::bindings::wasi::io::error,
                "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
                "wasi:random": wasmtime_wasi::p2::bindings::random,
                "wasi:http": wasmtime_wasi_http::p2::bindings::http,
                "wasi:sockets/network": wasmtime_wasi::p2::bindings::sockets::network,
                "wasi:sockets/instance-network": wasmtime_wasi::p2::bindings::sockets::instance_network,
                "wasi:sockets/tcp": wasmtime_wasi::p2::bindings::sockets::tcp,
                "wasi:sockets/ip-name-lookup": super::super::wasi::wasi::sockets::ip_name_lookup,
                "wasi:sockets/tcp-create-socket": super::super::wasi::wasi::sockets::tcp_create_socket,
            },
        });
    };
}

/// The storing half.
mod wit {
    bindings!("destination-plugin", {});
}

/// The notifying half; what both halves import and share is the first one's.
mod notifying {
    bindings!("notifier-plugin", {
        "cofre:plugin/types": super::wit::cofre::plugin::types,
        "cofre:plugin/host": super::wit::cofre::plugin::host,
    });
}

/// The adapter.
pub(super) struct Adapter;

impl Contract for Adapter {
    fn version(&self) -> Version {
        Version::new(1, 0, 0)
    }

    fn add_to_linker(&self, linker: &mut Linker<State>) -> wasmtime::Result<()> {
        host::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
    }

    fn describer(&self, ready: &InstancePre<State>) -> wasmtime::Result<Box<dyn Describer>> {
        Ok(Box::new(Described { indices: plugin::GuestIndices::new(ready)?, ready: ready.clone() }))
    }

    fn destination(&self, ready: &InstancePre<State>) -> wasmtime::Result<Arc<Pre<dyn DestinationGuest>>> {
        Ok(Arc::new(DestinationPluginPre::new(ready.clone())?))
    }

    fn notifier(&self, ready: &InstancePre<State>) -> wasmtime::Result<Arc<Pre<dyn NotifierGuest>>> {
        Ok(Arc::new(NotifierPluginPre::new(ready.clone())?))
    }
}

impl types::Host for State {}

impl host::Host for State {
    async fn log(&mut self, level: host::Level, message: String) -> wasmtime::Result<()> {
        let weight = match level {
            host::Level::Debug => Weight::Debug,
            host::Level::Info => Weight::Info,
            host::Level::Warn => Weight::Warn,
            host::Level::Error => Weight::Error,
        };
        self.guest_logs(weight, &message)
    }

    async fn settings(&mut self) -> wasmtime::Result<String> {
        Ok(self.guest_settings())
    }

    async fn secret(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.guest_secret(&name))
    }

    async fn trust_roots(&mut self) -> wasmtime::Result<Vec<Vec<u8>>> {
        Ok(self.guest_roots())
    }
}

struct Described {
    indices: plugin::GuestIndices,
    ready: InstancePre<State>,
}

#[async_trait]
impl Describer for Described {
    async fn describe(&self, store: &mut Store<State>) -> wasmtime::Result<Said> {
        let instance = self.ready.instantiate_async(&mut *store).await?;
        let said = self.indices.load(&mut *store, &instance)?.call_describe(store).await?;
        Ok(Said {
            name: said.name,
            version: said.version,
            kind: match said.kind {
                plugin::Kind::Destination => PluginKind::Destination,
                plugin::Kind::Notifier => PluginKind::Notifier,
            },
            summary: said.summary,
            settings_schema: said.settings_schema,
            network: said.network.into_iter().map(|need| NetworkNeed { target: need.target, reason: need.reason }).collect(),
            secrets: said
                .secrets
                .into_iter()
                .map(|need| SecretNeed { name: need.name, summary: need.summary, optional: need.optional })
                .collect(),
            directory: said.directory,
        })
    }
}

#[async_trait]
impl Ready<dyn DestinationGuest> for DestinationPluginPre<State> {
    async fn start(&self, store: &mut Store<State>) -> wasmtime::Result<Arc<dyn DestinationGuest>> {
        Ok(Arc::new(self.instantiate_async(store).await?))
    }
}

#[async_trait]
impl Ready<dyn NotifierGuest> for NotifierPluginPre<State> {
    async fn start(&self, store: &mut Store<State>) -> wasmtime::Result<Arc<dyn NotifierGuest>> {
        Ok(Arc::new(self.instantiate_async(store).await?))
    }
}

#[async_trait]
impl NotifierGuest for NotifierPlugin {
    async fn probe(&self, store: &mut Store<State>) -> Called<()> {
        said(self.cofre_plugin_notifier().call_probe(store).await)
    }

    async fn notify(&self, store: &mut Store<State>, message: Message, files: Vec<AttachedStream>) -> Called<()> {
        let message = notifier::Message::from(message);
        let files: Vec<_> = files.into_iter().map(notifier::Attachment::from).collect();
        said(self.cofre_plugin_notifier().call_notify(store, &message, &files).await)
    }
}

impl From<Message> for notifier::Message {
    fn from(it: Message) -> Self {
        Self {
            id: it.id,
            event: it.event,
            severity: match it.severity {
                Severity::Info => notifier::Severity::Info,
                Severity::Warning => notifier::Severity::Warning,
                Severity::Critical => notifier::Severity::Critical,
            },
            at_unix_ms: it.at_unix_ms,
            recipients: it.recipients,
            language: it.language,
            subject: it.subject,
            text: it.text,
            html: it.html,
            facts: it.facts,
        }
    }
}

impl From<AttachedStream> for notifier::Attachment {
    fn from(it: AttachedStream) -> Self {
        Self { name: it.name, media_type: it.media_type, content_id: it.content_id, size: it.size, body: it.body }
    }
}

#[async_trait]
impl DestinationGuest for DestinationPlugin {
    async fn probe(&self, store: &mut Store<State>) -> Called<Limits> {
        let probed = self.cofre_plugin_destination().call_probe(store).await?;
        Ok(probed.map_err(GuestError::from).map(|limits| Limits {
            part_size: limits.part_size,
            max_object_size: limits.max_object_size,
            parallel_uploads: limits.parallel_uploads,
            free_bytes: limits.free_bytes,
        }))
    }

    async fn begin(&self, store: &mut Store<State>, key: &str, size: Option<u64>) -> Called<ResourceAny> {
        said(self.cofre_plugin_destination().upload().call_begin(store, key, size).await)
    }

    async fn resume(&self, store: &mut Store<State>, key: &str, token: &str) -> Called<ResourceAny> {
        said(self.cofre_plugin_destination().upload().call_resume(store, key, token).await)
    }

    async fn token(&self, store: &mut Store<State>, upload: ResourceAny) -> Called<String> {
        self.cofre_plugin_destination().upload().call_token(store, upload).await.map(Ok)
    }

    async fn offset(&self, store: &mut Store<State>, upload: ResourceAny) -> Called<u64> {
        self.cofre_plugin_destination().upload().call_offset(store, upload).await.map(Ok)
    }

    async fn write(&self, store: &mut Store<State>, upload: ResourceAny, body: (Resource<DynInputStream>, u64)) -> Called<u64> {
        let (stream, length) = body;
        said(self.cofre_plugin_destination().upload().call_write(store, upload, stream, length).await)
    }

    async fn finish(&self, store: &mut Store<State>, upload: ResourceAny) -> Called<Object> {
        said(self.cofre_plugin_destination().upload().call_finish(store, upload).await)
    }

    async fn abort(&self, store: &mut Store<State>, upload: ResourceAny) -> Called<()> {
        said(self.cofre_plugin_destination().upload().call_abort(store, upload).await)
    }

    async fn read(&self, store: &mut Store<State>, key: &str, range: Range) -> Called<u64> {
        let Range { offset, length, sink } = range;
        said(self.cofre_plugin_destination().call_read(store, key, offset, length, sink).await)
    }

    async fn stat(&self, store: &mut Store<State>, key: &str) -> Called<Object> {
        said(self.cofre_plugin_destination().call_stat(store, key).await)
    }

    async fn list(&self, store: &mut Store<State>, prefix: &str, cursor: Option<&str>) -> Called<(Vec<Object>, Option<String>)> {
        let listed = self.cofre_plugin_destination().call_list(store, prefix, cursor).await?;
        Ok(listed.map_err(GuestError::from).map(|(objects, next)| (objects.into_iter().map(Object::from).collect(), next)))
    }

    async fn delete(&self, store: &mut Store<State>, key: &str) -> Called<()> {
        said(self.cofre_plugin_destination().call_delete(store, key).await)
    }

    async fn protect(&self, store: &mut Store<State>, key: &str, until_unix_ms: u64) -> Called<()> {
        said(self.cofre_plugin_destination().call_protect(store, key, until_unix_ms).await)
    }

    async fn share(&self, store: &mut Store<State>, key: &str, lifetime_seconds: u32) -> Called<String> {
        said(self.cofre_plugin_destination().call_share(store, key, lifetime_seconds).await)
    }
}

/// What a call gave, in the terms that all versions share.
fn said<T: Into<U>, U>(called: wasmtime::Result<Result<T, types::Error>>) -> Called<U> {
    Ok(called?.map(Into::into).map_err(GuestError::from))
}

impl From<types::Object> for Object {
    fn from(it: types::Object) -> Self {
        Self { key: it.key, size: it.size, modified_unix_ms: it.modified_unix_ms, checksum: it.checksum }
    }
}

impl From<types::Error> for GuestError {
    fn from(it: types::Error) -> Self {
        let types::Error { kind, retryable, retry_after_ms, message, context } = it;
        Self { kind: kind.into(), retryable, retry_after_ms, message, context }
    }
}

impl From<types::ErrorKind> for DestinationErrorKind {
    fn from(it: types::ErrorKind) -> Self {
        match it {
            types::ErrorKind::InvalidConfig => Self::InvalidConfig,
            types::ErrorKind::AccessDenied => Self::AccessDenied,
            types::ErrorKind::NotFound => Self::NotFound,
            types::ErrorKind::AlreadyExists => Self::AlreadyExists,
            types::ErrorKind::OutOfSpace => Self::OutOfSpace,
            types::ErrorKind::RateLimited => Self::RateLimited,
            types::ErrorKind::Unavailable => Self::Unavailable,
            types::ErrorKind::Timeout => Self::Timeout,
            types::ErrorKind::Integrity => Self::Integrity,
            types::ErrorKind::SessionLost => Self::SessionLost,
            types::ErrorKind::Unsupported => Self::Unsupported,
            types::ErrorKind::Other => Self::Other,
        }
    }
}
