//! A way to tell people: the trait a plug-in implements, and the adapter between it and the contract.

use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::bindings::describing::exports::cofre::plugin::plugin;
use crate::bindings::imports::cofre::plugin::types as wire_types;
use crate::bindings::notifying::exports::cofre::plugin::notifier as wire;
use crate::error::Result;
use crate::plugin::{Description, NetworkNeed, SecretNeed};
use crate::{host, settings};

/// A way to tell people. One value lives for one call.
pub trait Notifier: Sized + 'static {
    /// The administrator's settings; put `#[serde(deny_unknown_fields)]` on the struct.
    type Settings: DeserializeOwned + JsonSchema;

    /// Short name, `[a-z][a-z0-9-]*`.
    const NAME: &'static str;
    /// Version, semver: `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// What it is, in one sentence.
    const SUMMARY: &'static str;

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

    /// Proves that settings and credentials work without disturbing anyone, as far as the service allows.
    fn probe(&self) -> Result<()>;

    /// Delivers one message; returns once the service has accepted it.
    fn notify(&self, message: &Message) -> Result<()>;
}

/// How grave an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For the record.
    Info,
    /// Someone should look at it.
    Warning,
    /// Someone must look at it now.
    Critical,
}

/// One message, already worded in the administrator's language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Stable identifier of the event, for services that deduplicate.
    pub id: String,
    /// Machine name of the event, for example `run.failed`.
    pub event: String,
    /// How grave it is.
    pub severity: Severity,
    /// Unix milliseconds.
    pub at_unix_ms: u64,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// The same as HTML, where the host has it.
    pub html: Option<String>,
    /// The event's facts as a JSON object.
    pub facts: String,
}

/// Makes a component out of a [`Notifier`]: `export_notifier!(MyNotifier);` in its crate's root.
#[macro_export]
macro_rules! export_notifier {
    ($notifier:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Component = $crate::__private::NotifierAdapter<$notifier>;
    $crate::bindings::describing::export!(Component with_types_in $crate::bindings::describing);
    $crate::bindings::notifying::export!(Component with_types_in $crate::bindings::notifying);
        };
    };
}

/// Speaks the contract for `N`.
#[doc(hidden)]
#[derive(Debug)]
pub struct NotifierAdapter<N>(PhantomData<N>);

impl<N: Notifier> NotifierAdapter<N> {
    fn open() -> Result<N> {
        N::open(settings::parse(&host::settings())?)
    }
}

impl<N: Notifier> plugin::Guest for NotifierAdapter<N> {
    fn describe() -> plugin::Description {
        let description = Description {
            name: N::NAME,
            version: N::VERSION,
            kind: plugin::Kind::Notifier,
            summary: N::SUMMARY,
            settings_schema: settings::schema::<N::Settings>(),
            network: N::network(),
            secrets: N::secrets(),
            directory: false,
        };
        description.into()
    }
}

impl<N: Notifier> wire::Guest for NotifierAdapter<N> {
    fn probe() -> Result<(), wire_types::Error> {
        Ok(Self::open()?.probe()?)
    }

    fn notify(message: wire::Message) -> Result<(), wire_types::Error> {
        let severity = match message.severity {
            wire::Severity::Info => Severity::Info,
            wire::Severity::Warning => Severity::Warning,
            wire::Severity::Critical => Severity::Critical,
        };
        let message = Message {
            id: message.id,
            event: message.event,
            severity,
            at_unix_ms: message.at_unix_ms,
            subject: message.subject,
            text: message.text,
            html: message.html,
            facts: message.facts,
        };
        Ok(Self::open()?.notify(&message)?)
    }
}
