//! A destination instance: the component behind [`Destination`], each verb in a store of its own (D11).
//!
//! The plug-in's word is not taken: what it read and wrote is counted by the host, and an offset, a length or a listing
//! that does not fit is a broken contract.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use wasmtime::component::ResourceAny;
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream};

use super::body::{BodyInput, sink_output};
use super::component::{PluginComponent, PluginError, PluginKind};
use super::contract::{DestinationGuest, Pre, Range};
use super::dns::{Resolver, SystemResolver};
use super::instance::{Instance, Need};
use super::journal::readable;
use super::session::Session;
use super::throttle::Throttle;
use crate::ports::{
    BodySink, BodySource, Destination, DestinationError, DestinationErrorKind, DestinationSettings, Limits, NetworkPattern, Object,
    ObjectPage, Upload,
};

const TOKEN_MAX: usize = 64 << 10;
const PAGE_MAX: usize = 10_000;
/// Longest address to download from; signed ones have about 1 KiB.
const ADDRESS_MAX: usize = 8 << 10;

/// One configured destination.
pub struct WasmDestination {
    instance: Instance,
    ready: Arc<Pre<dyn DestinationGuest>>,
}

impl WasmDestination {
    /// Makes an instance of a loaded plug-in.
    ///
    /// # Errors
    /// When it is no destination, or the settings, secrets or grants do not fit it.
    pub fn new(component: Arc<PluginComponent>, settings: DestinationSettings) -> Result<Self, PluginError> {
        Self::with_resolver(component, settings, Arc::new(SystemResolver))
    }

    /// As [`Self::new`], with names looked up by `resolver`.
    pub(super) fn with_resolver(
        component: Arc<PluginComponent>,
        settings: DestinationSettings,
        resolver: Arc<dyn Resolver>,
    ) -> Result<Self, PluginError> {
        let instance = Instance::new(component, PluginKind::Destination, settings, resolver)?;
        let ready = instance.component().destination().map_err(|error| instance.unfit(&error))?;
        Ok(Self { instance, ready })
    }

    /// Network targets that it asks for with its settings.
    pub fn needs(&self) -> &[Need] {
        self.instance.needs()
    }

    /// Granted targets that it does not ask for.
    pub fn unasked(&self) -> &[NetworkPattern] {
        self.instance.unasked()
    }

    /// Bytes that left the sandbox over the network and came into it, by all calls so far; `None` where nothing may be reached.
    pub fn traffic(&self) -> Option<(u64, u64)> {
        self.instance.traffic()
    }

    /// Most memory that one call or upload session had so far, in bytes.
    pub fn memory_peak(&self) -> u64 {
        self.instance.memory_peak()
    }

    /// As [`Destination::begin`].
    pub(super) async fn begin_upload(&self, key: &str, size: Option<u64>) -> Result<WasmUpload, DestinationError> {
        let (mut session, owned) = (self.session().await?, key.to_owned());
        let resource = session.call("begin", move |plugin, store| Box::pin(async move { plugin.begin(store, &owned, size).await })).await?;
        // Nothing was sent yet, so nothing can be durable.
        let throttle = self.instance.throttle();
        Ok(WasmUpload { session, throttle, resource, key: key.to_owned(), floor: 0, ceiling: 0, offset: None })
    }

    /// As [`Destination::resume`].
    pub(super) async fn resume_upload(&self, key: &str, token: &str) -> Result<WasmUpload, DestinationError> {
        let (mut session, owned, token) = (self.session().await?, key.to_owned(), token.to_owned());
        let resource =
            session.call("resume", move |plugin, store| Box::pin(async move { plugin.resume(store, &owned, &token).await })).await?;
        // What was sent before only the caller knows.
        let throttle = self.instance.throttle();
        Ok(WasmUpload { session, throttle, resource, key: key.to_owned(), floor: 0, ceiling: u64::MAX, offset: None })
    }

    async fn session(&self) -> Result<Session<dyn DestinationGuest>, DestinationError> {
        self.instance.session(self.ready.clone()).await
    }
}

#[async_trait]
impl Destination for WasmDestination {
    fn name(&self) -> &str {
        self.instance.name()
    }

    fn may_delete(&self) -> bool {
        self.instance.may_delete()
    }

    async fn probe(&self) -> Result<Limits, DestinationError> {
        let mut session = self.session().await?;
        let limits = session.call("probe", |plugin, store| Box::pin(async move { plugin.probe(store).await })).await?;
        if limits.part_size == Some(0) {
            return Err(session.broken("it wants parts of no bytes".to_owned()));
        }
        let parallel_uploads = limits.parallel_uploads.max(1);
        Ok(Limits { part_size: limits.part_size, max_object_size: limits.max_object_size, parallel_uploads, free_bytes: limits.free_bytes })
    }

    async fn begin(&self, key: &str, size: Option<u64>) -> Result<Box<dyn Upload>, DestinationError> {
        Ok(Box::new(self.begin_upload(key, size).await?))
    }

    async fn resume(&self, key: &str, token: &str) -> Result<Box<dyn Upload>, DestinationError> {
        Ok(Box::new(self.resume_upload(key, token).await?))
    }

    async fn read(&self, key: &str, offset: u64, length: Option<u64>, sink: BodySink) -> Result<u64, DestinationError> {
        let mut session = self.session().await?;
        let pace = self.instance.throttle().pace();
        let (output, end) = sink_output(sink, length.unwrap_or(u64::MAX), pace.clone());
        let stream = session.push::<DynOutputStream>(Box::new(output), (end.given(), pace.waited))?;
        let owned = key.to_owned();
        let called = session.call("read", move |plugin, store| {
            Box::pin(async move { plugin.read(store, &owned, Range { offset, length, sink: stream }).await })
        });
        let called = called.await;
        // Dropping the store closes the stream, should the plug-in have kept it.
        drop(session);
        let not_taken = |error: std::io::Error| {
            DestinationError::fatal(DestinationErrorKind::Other, format!("cannot take what was read of `{key}`: {error}"))
        };
        let claimed = match called {
            Ok(claimed) => claimed,
            // The plug-in can only say that it could not write; the reason is ours.
            Err(error) => return Err(end.failure().await.map_or(error, not_taken)),
        };
        let written = end.finish().await.map_err(not_taken)?;
        if claimed != written || length.is_some_and(|length| written != length) {
            let wanted = length.map_or_else(|| "the rest".to_owned(), |length| length.to_string());
            let message = format!(
                "plug-in `{}`: `read` of `{key}` was to give {wanted} bytes, says {claimed} and gave {written}",
                self.instance.plugin()
            );
            return Err(DestinationError::transient(DestinationErrorKind::Integrity, message));
        }
        Ok(written)
    }

    async fn stat(&self, key: &str) -> Result<Object, DestinationError> {
        let (mut session, owned) = (self.session().await?, key.to_owned());
        let object = session.call("stat", move |plugin, store| Box::pin(async move { plugin.stat(store, &owned).await })).await?;
        session.object(object, Some(key))
    }

    async fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<ObjectPage, DestinationError> {
        let mut session = self.session().await?;
        let (begins, from) = (prefix.to_owned(), cursor.map(str::to_owned));
        let (objects, next) =
            session.call("list", move |plugin, store| Box::pin(async move { plugin.list(store, &begins, from.as_deref()).await })).await?;
        if objects.len() > PAGE_MAX || next.as_ref().is_some_and(|next| next.len() > TOKEN_MAX) {
            return Err(session.broken("it gives more in one page of a listing than the contract allows".to_owned()));
        }
        if next.is_some() && next.as_deref() == cursor {
            return Err(session.broken("its listing goes round in circles".to_owned()));
        }
        let objects = objects.into_iter().map(|object| session.object(object, None)).collect::<Result<Vec<_>, _>>()?;
        if let Some(stray) = objects.iter().find(|object| !object.key.starts_with(prefix)) {
            return Err(session.broken(format!("its listing of `{prefix}` holds `{}`", readable(&stray.key, 200))));
        }
        Ok(ObjectPage { objects, cursor: next })
    }

    async fn delete(&self, key: &str) -> Result<(), DestinationError> {
        if !self.may_delete() {
            let message =
                format!("cannot remove `{key}`: deletion is not granted; if cofre may remove it, set grants.delete of this destination");
            return Err(DestinationError::fatal(DestinationErrorKind::AccessDenied, message));
        }
        let (mut session, owned) = (self.session().await?, key.to_owned());
        let call = session.call("delete", move |plugin, store| Box::pin(async move { plugin.delete(store, &owned).await }));
        call.await
    }

    async fn protect(&self, key: &str, until_unix_ms: u64) -> Result<(), DestinationError> {
        let (mut session, owned) = (self.session().await?, key.to_owned());
        let call =
            session.call("protect", move |plugin, store| Box::pin(async move { plugin.protect(store, &owned, until_unix_ms).await }));
        call.await
    }

    async fn share(&self, key: &str, lifetime_seconds: u32) -> Result<String, DestinationError> {
        let (mut session, owned) = (self.session().await?, key.to_owned());
        let call = session.call("share", move |plugin, store| Box::pin(async move { plugin.share(store, &owned, lifetime_seconds).await }));
        let address = call.await?;
        if address.len() > ADDRESS_MAX || address.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(session.broken("what it gives as an address to download from is none".to_owned()));
        }
        Ok(address)
    }
}

/// An upload session of a [`WasmDestination`].
pub(super) struct WasmUpload {
    session: Session<dyn DestinationGuest>,
    throttle: Arc<Throttle>,
    resource: ResourceAny,
    key: String,
    /// Bytes that were said to be durable, and so must stay so.
    floor: u64,
    /// Bytes that the plug-in took in all, so that no more can be durable.
    ceiling: u64,
    /// The durable offset, while it is known.
    offset: Option<u64>,
}

impl WasmUpload {
    /// Adopts an offset, or ends the session over it.
    fn believe(&mut self, offset: u64) -> Result<u64, DestinationError> {
        if !(self.floor..=self.ceiling).contains(&offset) {
            let what = format!(
                "it says that it is at offset {offset}, where {} bytes were durable and {} were given to it",
                self.floor, self.ceiling
            );
            return Err(self.session.end(what));
        }
        (self.floor, self.ceiling, self.offset) = (offset, offset, Some(offset));
        Ok(offset)
    }

    /// As [`Upload::finish`], with the session still there.
    pub(super) async fn commit(&mut self) -> Result<Object, DestinationError> {
        let resource = self.resource;
        let call = self.session.call("finish", move |plugin, store| Box::pin(async move { plugin.finish(store, resource).await }));
        let object = call.await?;
        self.session.object(object, Some(&self.key))
    }

    /// As [`Upload::abort`], with the session still there.
    pub(super) async fn forget(&mut self) -> Result<(), DestinationError> {
        let resource = self.resource;
        let call = self.session.call("abort", move |plugin, store| Box::pin(async move { plugin.abort(store, resource).await }));
        call.await
    }
}

#[async_trait]
impl Upload for WasmUpload {
    async fn token(&mut self) -> Result<String, DestinationError> {
        let resource = self.resource;
        let call = self.session.call("token", move |plugin, store| Box::pin(async move { plugin.token(store, resource).await }));
        let token = call.await?;
        if token.len() > TOKEN_MAX {
            return Err(self.session.end(format!("its token has {} bytes, more than the contract allows", token.len())));
        }
        Ok(token)
    }

    async fn offset(&mut self) -> Result<u64, DestinationError> {
        let resource = self.resource;
        let call = self.session.call("offset", move |plugin, store| Box::pin(async move { plugin.offset(store, resource).await }));
        let offset = call.await?;
        self.believe(offset)
    }

    async fn write(&mut self, body: BodySource, length: u64) -> Result<u64, DestinationError> {
        let before = match self.offset {
            Some(offset) => offset,
            None => self.offset().await?,
        };
        let Some(after) = before.checked_add(length) else {
            return Err(self.session.end(format!("it says that it is at offset {before}, which no object reaches")));
        };
        let taken = Arc::new(AtomicU64::new(0));
        let pace = self.throttle.pace();
        let body = BodyInput::new((body, length), Arc::clone(&taken), pace.clone());
        let _reading = body.stop_when_dropped();
        let stream = self.session.push::<DynInputStream>(Box::new(body), (Arc::clone(&taken), pace.waited))?;
        let resource = self.resource;
        self.offset = None;
        let call =
            self.session.call("write", move |plugin, store| Box::pin(async move { plugin.write(store, resource, (stream, length)).await }));
        let called = call.await;
        let taken = taken.load(Ordering::Relaxed);
        self.ceiling = before.saturating_add(taken);
        let reached = called?;
        if taken != length || reached != after {
            let what = format!("it was given {length} bytes at offset {before}, took {taken} and says that it is at offset {reached}");
            return Err(self.session.end(what));
        }
        self.believe(reached)
    }

    async fn finish(mut self: Box<Self>) -> Result<Object, DestinationError> {
        self.commit().await
    }

    async fn abort(mut self: Box<Self>) -> Result<(), DestinationError> {
        self.forget().await
    }
}
