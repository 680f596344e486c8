//! A way to tell people: the trait a plug-in implements, and the adapter between it and the contract.

use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::bindings::describing::exports::cofre::plugin::plugin;
use crate::bindings::imports::cofre::plugin::types as wire_types;
use crate::bindings::notifying::exports::cofre::plugin::notifier as wire;
use crate::body::Body;
use crate::error::Result;
use crate::plugin::{Description, NetworkNeed, SecretNeed};
use crate::{host, settings};

/// A way to tell people. One value lives for one call.
///
/// # Examples
///
/// ```
/// use cofre_sdk::{Attachment, Error, Message, Notifier, Result, http::Request};
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// pub struct Settings {
///     /// Address that messages are posted to, `https://…`.
///     endpoint: String,
/// }
///
/// pub struct Hook(Settings);
///
/// impl Notifier for Hook {
///     type Settings = Settings;
///     const NAME: &'static str = "hook";
///     const VERSION: &'static str = env!("CARGO_PKG_VERSION");
///     const SUMMARY: &'static str = "Posts each message's text to an address.";
///
///     fn open(settings: Settings) -> Result<Self> {
///         Ok(Self(settings))
///     }
///     fn probe(&self) -> Result<()> {
///         Ok(()) // This service has no request that disturbs nobody.
///     }
///     fn notify(&self, message: &Message, attachments: Vec<Attachment>) -> Result<()> {
///         if !attachments.is_empty() || !message.recipients.is_empty() {
///             return Err(Error::unsupported("this service takes no files, and tells nobody by name"));
///         }
///         let answer = Request::post(&self.0.endpoint).send_bytes(message.text.as_bytes())?;
///         if answer.is_success() { Ok(()) } else { Err(Error::from_http(answer.status(), b"")) }
///     }
/// }
///
/// cofre_sdk::export_notifier!(Hook);
/// # fn main() {}
/// ```
pub trait Notifier: Sized + 'static {
    /// The administrator's settings; put `#[serde(deny_unknown_fields)]` on the struct.
    ///
    /// # Examples
    ///
    /// ```
    /// /// Doc comments become the documentation of the settings.
    /// #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// #[serde(deny_unknown_fields)]
    /// pub struct Settings {
    ///     /// Address that messages are posted to, `https://…`.
    ///     endpoint: String,
    ///     /// Channel; that of the address where it is left out.
    ///     channel: Option<String>,
    /// }
    /// ```
    type Settings: DeserializeOwned + JsonSchema;

    /// Short name, `[a-z][a-z0-9-]*`.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct It;
    /// # impl It {
    /// const NAME: &'static str = "my-chat";
    /// # }
    /// # assert_eq!(It::NAME, "my-chat");
    /// ```
    const NAME: &'static str;
    /// Version, semver: that of the plug-in's own crate.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct It;
    /// # impl It {
    /// const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    /// # }
    /// # assert!(It::VERSION.contains('.'));
    /// ```
    const VERSION: &'static str;
    /// What it is, in one sentence.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct It;
    /// # impl It {
    /// const SUMMARY: &'static str = "Posts each message to a room of the chat.";
    /// # }
    /// # assert!(It::SUMMARY.ends_with('.'));
    /// ```
    const SUMMARY: &'static str;

    /// Network targets it needs; none by default.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::NetworkNeed;
    /// fn network() -> Vec<NetworkNeed> {
    ///     vec![NetworkNeed::new("{endpoint}", "messages are posted there")]
    /// }
    /// # assert_eq!(network().len(), 1);
    /// ```
    fn network() -> Vec<NetworkNeed> {
        Vec::new()
    }

    /// Secrets it asks for; none by default.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::SecretNeed;
    /// fn secrets() -> Vec<SecretNeed> {
    ///     vec![SecretNeed::optional("token", "bearer token of the service")]
    /// }
    /// # assert_eq!(secrets().len(), 1);
    /// ```
    fn secrets() -> Vec<SecretNeed> {
        Vec::new()
    }

    /// Checks the settings and gets ready, without reaching outside.
    ///
    /// # Errors
    /// `invalid-config` that names the setting at fault and what would do; what [`crate::secret`] fails with.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::{Error, Result};
    /// # struct Settings { endpoint: String }
    /// # struct Hook { settings: Settings }
    /// # impl Hook {
    /// fn open(settings: Settings) -> Result<Self> {
    ///     if !settings.endpoint.starts_with("https://") {
    ///         return Err(Error::invalid_config("/endpoint is no address; write https://…"));
    ///     }
    ///     Ok(Self { settings })
    /// }
    /// # }
    /// # assert!(Hook::open(Settings { endpoint: "example.com".to_owned() }).is_err());
    /// ```
    fn open(settings: Self::Settings) -> Result<Self>;

    /// Proves that settings and credentials work without disturbing anyone, as far as the service allows.
    ///
    /// # Errors
    /// Of the kind that says what is wrong: `invalid-config`, `access-denied`, `unavailable`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::{Error, Result, http::Request};
    /// # struct Bot { endpoint: String, token: cofre_sdk::Secret }
    /// # impl Bot {
    /// fn probe(&self) -> Result<()> {
    ///     let request = Request::get(format!("{}/me", self.endpoint)).header("authorization", format!("Bearer {}", self.token.expose()));
    ///     let answer = request.send()?;
    ///     if answer.is_success() { Ok(()) } else { Err(Error::from_http(answer.status(), b"")) }
    /// }
    /// # }
    /// ```
    fn probe(&self) -> Result<()>;

    /// Delivers one message with its files; returns once the service has accepted it.
    ///
    /// # Errors
    /// `unsupported` where there are files and the service takes none, or recipients and it cannot choose them. A file that ends early is
    /// `integrity`, and nothing is delivered.
    ///
    /// # Examples
    ///
    /// ```
    /// # use cofre_sdk::{Attachment, Context as _, Error, Message, Result, http::Request};
    /// # struct Hook { endpoint: String }
    /// # impl Hook {
    /// fn notify(&self, message: &Message, attachments: Vec<Attachment>) -> Result<()> {
    ///     if !attachments.is_empty() || !message.recipients.is_empty() {
    ///         return Err(Error::unsupported("this service takes no files, and tells nobody by name"));
    ///     }
    ///     let posted = serde_json::json!({ "id": message.id, "subject": message.subject, "text": message.text }).to_string();
    ///     let request = Request::post(&self.endpoint).header("content-type", "application/json");
    ///     let mut answer = request.send_bytes(posted.as_bytes()).context("cannot post the message")?;
    ///     if answer.is_success() {
    ///         return Ok(());
    ///     }
    ///     let said = answer.body_to_vec(4_096).unwrap_or_default();
    ///     Err(Error::from_http(answer.status(), &said)).context("the service did not take the message")
    /// }
    /// # }
    /// ```
    fn notify(&self, message: &Message, attachments: Vec<Attachment>) -> Result<()>;
}

/// How grave an event is.
///
/// # Examples
///
/// ```
/// use cofre_sdk::Severity;
///
/// fn colour(severity: Severity) -> &'static str {
///     match severity {
///         Severity::Info => "#2e7d32",
///         Severity::Warning => "#f9a825",
///         Severity::Critical => "#c62828",
///     }
/// }
/// # assert_eq!(colour(Severity::Info), "#2e7d32");
/// assert!(Severity::Critical > Severity::Warning, "severities are ordered");
/// ```
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
///
/// # Examples
///
/// ```
/// use cofre_sdk::{Message, Severity};
///
/// /// One line for a service that shows nothing else.
/// fn line(message: &Message) -> String {
///     let mark = if message.severity == Severity::Critical { "[!] " } else { "" };
///     format!("{mark}{} ({})", message.subject, message.event)
/// }
/// # let message = Message {
/// #     id: "1".to_owned(),
/// #     event: "run.failed".to_owned(),
/// #     severity: Severity::Critical,
/// #     at_unix_ms: 0,
/// #     recipients: Vec::new(),
/// #     language: "en".to_owned(),
/// #     subject: "Backup \"erp\" failed".to_owned(),
/// #     text: String::new(),
/// #     html: None,
/// #     facts: "{}".to_owned(),
/// # };
/// # assert_eq!(line(&message), "[!] Backup \"erp\" failed (run.failed)");
/// ```
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
    /// Whom to reach instead of those in the settings; empty: those in the settings. `unsupported` where the service has no such thing.
    pub recipients: Vec<String>,
    /// Language of its texts, as in BCP 47: `pt-BR`, `en`.
    pub language: String,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// The same as HTML, where the host has it.
    pub html: Option<String>,
    /// The event's facts as a JSON object.
    pub facts: String,
}

/// A file that goes with a message.
///
/// # Examples
///
/// ```
/// use cofre_sdk::http::{Request, Response};
/// use cofre_sdk::{Attachment, Result};
///
/// /// Sends a file without holding it in memory.
/// fn send(url: &str, mut file: Attachment) -> Result<Response> {
///     let size = file.body.remaining();
///     let request = Request::put(format!("{url}/{}", file.name)).header("content-type", file.media_type);
///     request.send_stream(&mut file.body, size)
/// }
/// ```
pub struct Attachment {
    /// File name, without a path.
    pub name: String,
    /// Media type, such as `application/octet-stream`.
    pub media_type: String,
    /// Where the message's HTML shows it, as `cid:` and this; such a file may be left out where no HTML is delivered.
    pub content_id: Option<String>,
    /// Its bytes; [`Body::remaining`] is its size until it is read.
    pub body: Body,
}

/// Makes a component out of a [`Notifier`], by one line in the root of its crate.
/// Outside `wasm32` it is nothing, so that the crate's tests run natively.
///
/// # Examples
///
/// ```
/// /// Implements `Notifier`.
/// pub struct Hook;
///
/// cofre_sdk::export_notifier!(Hook);
/// # fn main() {}
/// ```
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

    fn notify(message: wire::Message, attachments: Vec<wire::Attachment>) -> Result<(), wire_types::Error> {
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
            recipients: message.recipients,
            language: message.language,
            subject: message.subject,
            text: message.text,
            html: message.html,
            facts: message.facts,
        };
        let attachments = attachments.into_iter().map(|file| Attachment {
            name: file.name,
            media_type: file.media_type,
            content_id: file.content_id,
            body: Body::from_stream(file.body, file.size),
        });
        Ok(Self::open()?.notify(&message, attachments.collect())?)
    }
}
