//! The message as JSON, which is also what a template sees.

use cofre_plugin_http_notifier::rfc3339;
use cofre_sdk::{Message, Severity};
use serde_json::{Value, json};

/// All of a message.
pub(crate) fn of(message: &Message) -> Value {
    let severity = match message.severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    };
    // The host writes an object; anything else is passed on as it is rather than lost.
    let facts = serde_json::from_str(&message.facts).unwrap_or_else(|_| Value::String(message.facts.clone()));
    json!({
        "id": message.id,
        "event": message.event,
        "severity": severity,
        "at": rfc3339(message.at_unix_ms),
        "at_unix_ms": message.at_unix_ms,
        "language": message.language,
        "subject": message.subject,
        "text": message.text,
        "facts": facts,
    })
}

/// A message that was never sent, to try a template with.
pub(crate) fn sample() -> Message {
    Message {
        id: "sample".to_owned(),
        event: "run.done".to_owned(),
        severity: Severity::Info,
        at_unix_ms: 0,
        recipients: Vec::new(),
        language: "en".to_owned(),
        subject: "A \"sample\"".to_owned(),
        text: "two\nlines".to_owned(),
        html: None,
        facts: "{}".to_owned(),
    }
}
