//! A destination instance: the component behind [`Destination`], each verb in a store of its own (D11).
//!
//! The plug-in's word is not taken: what it read and wrote is counted by the host, and an offset, a length or a listing
//! that does not fit is a broken contract.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::error::Elapsed;
use wasmtime::Store;
use wasmtime::component::{Resource, ResourceAny};
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream};

use super::bindings::v0_1::cofre::plugin::types as wit;
use super::bindings::v0_1::{DestinationPlugin, DestinationPluginPre};
use super::body::{BodyInput, sink_output};
use super::component::{PluginComponent, PluginError, PluginKind};
use super::grants::{Gate, resolve_targets};
use super::http::HttpDoor;
use super::schema;
use super::state::{Provision, State};
use crate::ports::{
    BodySink, BodySource, Destination, DestinationError, DestinationErrorKind, DestinationSettings, Limits, Object, ObjectPage, Upload,
};

const KEY_MAX: usize = 4 << 10;
const TOKEN_MAX: usize = 64 << 10;
const MESSAGE_MAX: usize = 2_000;
const PAGE_MAX: usize = 10_000;

/// One configured destination.
pub struct WasmDestination {
    name: String,
    plugin: String,
    component: Arc<PluginComponent>,
    ready: DestinationPluginPre<State>,
    provision: Arc<Provision>,
}

impl WasmDestination {
    /// Makes an instance of a loaded plug-in.
    ///
    /// # Errors
    /// When it is no destination, or the settings, secrets or grants do not fit it.
    pub fn new(component: Arc<PluginComponent>, settings: DestinationSettings) -> Result<Self, PluginError> {
        let description = component.description();
        let mut problems = schema::problems(&description.settings_schema, &settings.settings);
        if description.kind != PluginKind::Destination {
            problems.push(format!("plug-in `{}` is no destination", description.name));
        }
        for need in description.secrets.iter().filter(|need| !need.optional && !settings.secrets.contains_key(&need.name)) {
            problems.push(format!("secret `{}` is missing ({})", need.name, need.summary));
        }
        for name in settings.secrets.keys().filter(|name| !description.secrets.iter().any(|need| need.name == **name)) {
            problems.push(format!("secret `{name}` is not one that the plug-in asks for"));
        }
        match (description.directory, &settings.grants.directory) {
            (true, None) => problems.push("it needs a directory: set `grants.directory`".to_owned()),
            (false, Some(_)) => problems.push("it asks for no directory: remove `grants.directory`".to_owned()),
            _ => {}
        }
        let targets: Vec<String> = description.network.iter().map(|need| need.target.clone()).collect();
        let asked = resolve_targets(&targets, &settings.settings);
        if !problems.is_empty() {
            return Err(PluginError::Settings { instance: settings.name, problems: problems.join("; ") });
        }
        let plugin = description.name.clone();
        let provision = Provision {
            label: format!("{plugin}/{}", settings.name),
            settings: settings.settings.to_string(),
            secrets: settings.secrets,
            gate: Gate::new(&plugin, asked, settings.grants.network),
            http: Arc::new(HttpDoor::new(settings.ca_file.as_deref())?),
            directory: settings.grants.directory,
            limits: settings.limits,
        };
        let ready = DestinationPluginPre::new(component.ready.clone()).map_err(|error| PluginError::Settings {
            instance: settings.name.clone(),
            problems: format!("the plug-in is no destination: {error:#}"),
        })?;
        Ok(Self { name: settings.name, plugin, component, ready, provision: Arc::new(provision) })
    }

    async fn session(&self) -> Result<Session, DestinationError> {
        let fatal =
            |message: String| DestinationError::fatal(DestinationErrorKind::Plugin, format!("plug-in `{}`: {message}", self.plugin));
        let mut store = State::store(&self.component.engine, &self.provision).map_err(|error| fatal(error.to_string()))?;
        let wall = self.provision.limits.wall;
        let started = tokio::time::timeout(wall, self.ready.instantiate_async(&mut store)).await;
        let instance = match started {
            Ok(Ok(instance)) => instance,
            Ok(Err(trap)) => return Err(fatal(format!("it cannot start: {}", store.data().explain(&trap)))),
            Err(_) => return Err(fatal("it took too long to start".to_owned())),
        };
        Ok(Session { plugin: self.plugin.clone(), wall, store, instance, dead: false })
    }

    async fn upload(&self, key: &str, opening: Opening<'_>) -> Result<Box<dyn Upload>, DestinationError> {
        let mut session = self.session().await?;
        let Session { store, instance, wall, .. } = &mut session;
        let (verb, opened) = match opening {
            Opening::Begin(size) => {
                let uploads = instance.cofre_plugin_destination().upload();
                let call = uploads.call_begin(&mut *store, key, size);
                ("begin", tokio::time::timeout(*wall, call).await)
            }
            Opening::Resume(token) => {
                let uploads = instance.cofre_plugin_destination().upload();
                let call = uploads.call_resume(&mut *store, key, token);
                ("resume", tokio::time::timeout(*wall, call).await)
            }
        };
        let resource = session.settle(verb, opened)?;
        Ok(Box::new(WasmUpload { session, resource, offset: None }))
    }
}

enum Opening<'a> {
    Begin(Option<u64>),
    Resume(&'a str),
}

/// One store with one instance. Dead after a trap or a time-out: what it held cannot be trusted.
struct Session {
    plugin: String,
    wall: Duration,
    store: Store<State>,
    instance: DestinationPlugin,
    dead: bool,
}

impl Session {
    fn alive(&mut self) -> Result<(), DestinationError> {
        if self.dead {
            return Err(self.broken("it crashed earlier in this session".to_owned()));
        }
        self.store.data_mut().begin_call();
        Ok(())
    }

    fn broken(&self, what: String) -> DestinationError {
        DestinationError::fatal(DestinationErrorKind::Plugin, format!("plug-in `{}`: {what}", self.plugin))
    }

    /// Turns the end of a call into its value or one clear error.
    fn settle<T>(&mut self, verb: &str, ended: Result<wasmtime::Result<Result<T, wit::Error>>, Elapsed>) -> Result<T, DestinationError> {
        match ended {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(error))) => Err(self.refused(error)),
            Ok(Err(trap)) => {
                self.dead = true;
                let why = self.store.data().explain(&trap);
                Err(self.broken(format!("`{verb}` failed: {why}")))
            }
            Err(_) => {
                self.dead = true;
                let message = format!("plug-in `{}`: `{verb}` took longer than {} ms (limit `wall`)", self.plugin, self.wall.as_millis());
                Err(DestinationError::transient(DestinationErrorKind::Timeout, message))
            }
        }
    }

    fn refused(&self, error: wit::Error) -> DestinationError {
        let mut context: Vec<(String, String)> =
            error.context.into_iter().take(20).map(|(name, value)| (clean(&name, 100), clean(&value, 500))).collect();
        if let Some(refusal) = self.store.data().gate.refusal() {
            context.push(("refused".to_owned(), refusal));
        }
        DestinationError {
            kind: kind(error.kind),
            retryable: error.retryable,
            retry_after: error.retry_after_ms.map(Duration::from_millis),
            message: clean(&error.message, MESSAGE_MAX),
            context,
        }
    }

    fn object(&self, object: wit::Object) -> Result<Object, DestinationError> {
        let safe = !object.key.is_empty()
            && object.key.len() <= KEY_MAX
            && !object.key.chars().any(char::is_control)
            && object.key.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        if !safe {
            return Err(self.broken(format!("it reports an object with the key `{}`, which cannot be", clean(&object.key, 200))));
        }
        let checksum = object.checksum.map(|checksum| clean(&checksum, 200));
        Ok(Object { key: object.key, size: object.size, modified_unix_ms: object.modified_unix_ms, checksum })
    }
}

/// Text from a plug-in, fit for a terminal and a log line.
fn clean(text: &str, max: usize) -> String {
    let mut cleaned: String = text.chars().take(max).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(max).is_some() {
        cleaned.push('…');
    }
    cleaned
}

fn kind(kind: wit::ErrorKind) -> DestinationErrorKind {
    match kind {
        wit::ErrorKind::InvalidConfig => DestinationErrorKind::InvalidConfig,
        wit::ErrorKind::AccessDenied => DestinationErrorKind::AccessDenied,
        wit::ErrorKind::NotFound => DestinationErrorKind::NotFound,
        wit::ErrorKind::AlreadyExists => DestinationErrorKind::AlreadyExists,
        wit::ErrorKind::OutOfSpace => DestinationErrorKind::OutOfSpace,
        wit::ErrorKind::RateLimited => DestinationErrorKind::RateLimited,
        wit::ErrorKind::Unavailable => DestinationErrorKind::Unavailable,
        wit::ErrorKind::Timeout => DestinationErrorKind::Timeout,
        wit::ErrorKind::Integrity => DestinationErrorKind::Integrity,
        wit::ErrorKind::SessionLost => DestinationErrorKind::SessionLost,
        wit::ErrorKind::Unsupported => DestinationErrorKind::Unsupported,
        wit::ErrorKind::Other => DestinationErrorKind::Other,
    }
}

#[async_trait]
impl Destination for WasmDestination {
    fn name(&self) -> &str {
        &self.name
    }

    async fn probe(&self) -> Result<Limits, DestinationError> {
        let mut session = self.session().await?;
        let call = session.instance.cofre_plugin_destination().call_probe(&mut session.store);
        let ended = tokio::time::timeout(session.wall, call).await;
        let limits = session.settle("probe", ended)?;
        if limits.part_size == Some(0) {
            return Err(session.broken("it wants parts of no bytes".to_owned()));
        }
        let parallel_uploads = limits.parallel_uploads.max(1);
        Ok(Limits { part_size: limits.part_size, max_object_size: limits.max_object_size, parallel_uploads })
    }

    async fn begin(&self, key: &str, size: Option<u64>) -> Result<Box<dyn Upload>, DestinationError> {
        self.upload(key, Opening::Begin(size)).await
    }

    async fn resume(&self, key: &str, token: &str) -> Result<Box<dyn Upload>, DestinationError> {
        self.upload(key, Opening::Resume(token)).await
    }

    async fn read(&self, key: &str, offset: u64, length: Option<u64>, sink: BodySink) -> Result<u64, DestinationError> {
        let mut session = self.session().await?;
        let (output, end) = sink_output(sink);
        let stream: DynOutputStream = Box::new(output);
        let pushed = session.store.data_mut().table.push(stream);
        let stream = pushed.map_err(|error| session.broken(error.to_string()))?;
        let call = session.instance.cofre_plugin_destination().call_read(&mut session.store, key, offset, length, stream);
        let ended = tokio::time::timeout(session.wall, call).await;
        let claimed = session.settle("read", ended)?;
        // Dropping the store closes the stream, should the plug-in have kept it.
        let plugin = session.plugin.clone();
        drop(session);
        let written = end
            .finish()
            .await
            .map_err(|error| DestinationError::fatal(DestinationErrorKind::Other, format!("cannot take what was read: {error}")))?;
        if claimed != written || length.is_some_and(|length| written != length) {
            let wanted = length.map_or_else(|| "the rest".to_owned(), |length| length.to_string());
            let message = format!("plug-in `{plugin}`: `read` of `{key}` was to give {wanted} bytes, says {claimed} and gave {written}");
            return Err(DestinationError::transient(DestinationErrorKind::Integrity, message));
        }
        Ok(written)
    }

    async fn stat(&self, key: &str) -> Result<Object, DestinationError> {
        let mut session = self.session().await?;
        let call = session.instance.cofre_plugin_destination().call_stat(&mut session.store, key);
        let ended = tokio::time::timeout(session.wall, call).await;
        let object = session.settle("stat", ended)?;
        session.object(object)
    }

    async fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<ObjectPage, DestinationError> {
        let mut session = self.session().await?;
        let call = session.instance.cofre_plugin_destination().call_list(&mut session.store, prefix, cursor);
        let ended = tokio::time::timeout(session.wall, call).await;
        let (objects, next) = session.settle("list", ended)?;
        if objects.len() > PAGE_MAX || next.as_ref().is_some_and(|next| next.len() > TOKEN_MAX) {
            return Err(session.broken("it gives more in one page of a listing than the contract allows".to_owned()));
        }
        if next.is_some() && next.as_deref() == cursor {
            return Err(session.broken("its listing goes round in circles".to_owned()));
        }
        let objects: Result<Vec<_>, _> = objects.into_iter().map(|object| session.object(object)).collect();
        let objects = objects?;
        if let Some(stray) = objects.iter().find(|object| !object.key.starts_with(prefix)) {
            return Err(session.broken(format!("its listing of `{prefix}` holds `{}`", clean(&stray.key, 200))));
        }
        Ok(ObjectPage { objects, cursor: next })
    }

    async fn delete(&self, key: &str) -> Result<(), DestinationError> {
        let mut session = self.session().await?;
        let call = session.instance.cofre_plugin_destination().call_delete(&mut session.store, key);
        let ended = tokio::time::timeout(session.wall, call).await;
        session.settle("delete", ended)
    }
}

struct WasmUpload {
    session: Session,
    resource: ResourceAny,
    /// Last offset that was believed.
    offset: Option<u64>,
}

#[async_trait]
impl Upload for WasmUpload {
    async fn token(&mut self) -> Result<String, DestinationError> {
        self.session.alive()?;
        let Session { store, instance, wall, .. } = &mut self.session;
        let uploads = instance.cofre_plugin_destination().upload();
        let call = uploads.call_token(&mut *store, self.resource);
        let ended = tokio::time::timeout(*wall, call).await;
        let token = self.session.settle("token", ended.map(|ended| ended.map(Ok)))?;
        if token.len() > TOKEN_MAX {
            return Err(self.session.broken(format!("its token has {} bytes, more than the contract allows", token.len())));
        }
        Ok(token)
    }

    async fn offset(&mut self) -> Result<u64, DestinationError> {
        self.session.alive()?;
        let Session { store, instance, wall, .. } = &mut self.session;
        let uploads = instance.cofre_plugin_destination().upload();
        let call = uploads.call_offset(&mut *store, self.resource);
        let ended = tokio::time::timeout(*wall, call).await;
        let offset = self.session.settle("offset", ended.map(|ended| ended.map(Ok)))?;
        self.offset = Some(offset);
        Ok(offset)
    }

    async fn write(&mut self, body: BodySource, length: u64) -> Result<u64, DestinationError> {
        let before = match self.offset {
            Some(offset) => offset,
            None => self.offset().await?,
        };
        self.session.alive()?;
        let taken = Arc::new(AtomicU64::new(0));
        let stream: DynInputStream = Box::new(BodyInput::new(body, length, Arc::clone(&taken)));
        let pushed: Result<Resource<DynInputStream>, _> = self.session.store.data_mut().table.push(stream);
        let stream = pushed.map_err(|error| self.session.broken(error.to_string()))?;
        let Session { store, instance, wall, .. } = &mut self.session;
        let uploads = instance.cofre_plugin_destination().upload();
        let call = uploads.call_write(&mut *store, self.resource, stream, length);
        let ended = tokio::time::timeout(*wall, call).await;
        let reached = self.session.settle("write", ended)?;
        let taken = taken.load(Ordering::Relaxed);
        if taken != length || reached != before + length {
            self.session.dead = true;
            let what = format!("it was given {length} bytes at offset {before}, took {taken} and says that it is at offset {reached}");
            return Err(self.session.broken(what));
        }
        self.offset = Some(reached);
        Ok(reached)
    }

    async fn finish(mut self: Box<Self>) -> Result<Object, DestinationError> {
        self.session.alive()?;
        let Session { store, instance, wall, .. } = &mut self.session;
        let uploads = instance.cofre_plugin_destination().upload();
        let call = uploads.call_finish(&mut *store, self.resource);
        let ended = tokio::time::timeout(*wall, call).await;
        let object = self.session.settle("finish", ended)?;
        self.session.object(object)
    }

    async fn abort(mut self: Box<Self>) -> Result<(), DestinationError> {
        self.session.alive()?;
        let Session { store, instance, wall, .. } = &mut self.session;
        let uploads = instance.cofre_plugin_destination().upload();
        let call = uploads.call_abort(&mut *store, self.resource);
        let ended = tokio::time::timeout(*wall, call).await;
        self.session.settle("abort", ended)
    }
}
