//! What the host asks of a notifier: one message at a time, each tried once; retries are decided by `notify/` alone.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::destination::{BodySource, DestinationError};

/// How grave an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look at it.
    Warning,
    /// Somebody must act.
    Critical,
}

impl Severity {
    /// As people and files write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Info, Self::Warning, Self::Critical].into_iter().find(|severity| severity.as_str() == name)
    }
}

/// One message, worded in the administrator's language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The same for every attempt to deliver it.
    pub id: String,
    /// Machine name of the event, for example `run.failed`.
    pub event: String,
    /// How grave it is.
    pub severity: Severity,
    /// When it happened, in Unix milliseconds.
    pub at_unix_ms: u64,
    /// Whom to reach instead of those in the settings; empty: those.
    pub recipients: Vec<String>,
    /// BCP 47.
    pub language: String,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// The same as HTML.
    pub html: Option<String>,
    /// The event's facts, a JSON object.
    pub facts: String,
}

/// A file that goes with a message.
pub struct Attachment {
    /// File name, without a path.
    pub name: String,
    /// Media type.
    pub media_type: String,
    /// Where the message's HTML shows it, as `cid:` and this; such a file may be left out by a service that shows no HTML.
    pub content_id: Option<String>,
    /// Bytes.
    pub size: u64,
    /// Exactly `size` bytes.
    pub body: BodySource,
}

/// One configured notifier instance. Its failures have the shape of a destination's.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Name of the instance in the configuration.
    fn name(&self) -> &str;
    /// Proves that settings and credentials work, as far as the service lets it without disturbing anyone.
    async fn probe(&self) -> Result<(), DestinationError>;
    /// Delivers one message; returns once the service has accepted it.
    async fn notify(&self, message: Message, attachments: Vec<Attachment>) -> Result<(), DestinationError>;
}
