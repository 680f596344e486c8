//! A notifier instance: the component behind [`Notifier`], each call in a store of its own (D11).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use wasmtime_wasi_io::streams::DynInputStream;

use super::body::BodyInput;
use super::component::{PluginComponent, PluginError, PluginKind};
use super::contract::{AttachedStream, NotifierGuest, Pre};
use super::dns::{Resolver, SystemResolver};
use super::instance::{Instance, Need};
use super::session::Session;
use crate::ports::{Attachment, DestinationError, DestinationSettings, Message, NetworkPattern, Notifier};

/// One configured notifier.
pub struct WasmNotifier {
    instance: Instance,
    ready: Arc<Pre<dyn NotifierGuest>>,
}

impl WasmNotifier {
    /// Makes an instance of a loaded plug-in.
    ///
    /// # Errors
    /// When it is no notifier, or the settings, secrets or grants do not fit it.
    pub fn new(component: Arc<PluginComponent>, settings: DestinationSettings) -> Result<Self, PluginError> {
        let resolver: Arc<dyn Resolver> = Arc::new(SystemResolver);
        let instance = Instance::new(component, PluginKind::Notifier, settings, resolver)?;
        let ready = instance.component().notifier().map_err(|error| instance.unfit(&error))?;
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

    async fn session(&self) -> Result<Session<dyn NotifierGuest>, DestinationError> {
        self.instance.session(self.ready.clone()).await
    }
}

#[async_trait]
impl Notifier for WasmNotifier {
    fn name(&self) -> &str {
        self.instance.name()
    }

    async fn probe(&self) -> Result<(), DestinationError> {
        let mut session = self.session().await?;
        session.call("probe", |plugin, store| Box::pin(async move { plugin.probe(store).await })).await
    }

    async fn notify(&self, message: Message, attachments: Vec<Attachment>) -> Result<(), DestinationError> {
        let mut session = self.session().await?;
        // One counter for all files: the processor time that is allowed grows with what is moved.
        let taken = Arc::new(AtomicU64::new(0));
        let (mut files, mut reading) = (Vec::new(), Vec::new());
        for attachment in attachments {
            let pace = self.instance.throttle().pace();
            let input = BodyInput::new((attachment.body, attachment.size), Arc::clone(&taken), pace.clone());
            reading.push(input.stop_when_dropped());
            let body = session.push::<DynInputStream>(Box::new(input), (Arc::clone(&taken), pace.waited))?;
            let Attachment { name, media_type, content_id, size, .. } = attachment;
            files.push(AttachedStream { name, media_type, content_id, size, body });
        }
        let wanted: u64 = files.iter().filter(|file| file.content_id.is_none()).map(|file| file.size).sum();
        let called = session.call("notify", move |plugin, store| Box::pin(async move { plugin.notify(store, message, files).await }));
        called.await?;
        let taken = taken.load(Ordering::Relaxed);
        // What only the HTML shows may be left out; any other file that was not read was not delivered.
        if taken < wanted {
            return Err(
                session.end(format!("it says that it delivered a message of which it took {taken} bytes of files instead of {wanted}"))
            );
        }
        Ok(())
    }
}
