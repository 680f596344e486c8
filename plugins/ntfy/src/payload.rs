//! A message as ntfy takes it ("Publish as JSON").

use cofre_plugin_http_notifier::cut;
use cofre_sdk::{Message, Severity};
use serde_json::{Value, json};

/// Bytes of a message; the service makes a file of a longer one ("Limitations").
const LONGEST_MESSAGE: usize = 4_096;

/// Bytes of a title, of which a phone shows less.
const LONGEST_TITLE: usize = 500;

/// The message for a topic.
pub(crate) fn of(topic: &str, message: &Message, quiet_info: bool) -> Value {
    // 3 is the service's default, 5 rings through a phone's silence; a tag that is an emoji's name is shown as one.
    let (priority, tag) = match message.severity {
        Severity::Info if quiet_info => (2, "information_source"),
        Severity::Info => (3, "information_source"),
        Severity::Warning => (4, "warning"),
        Severity::Critical => (5, "rotating_light"),
    };
    json!({
        "topic": topic,
        "title": cut(&message.subject, LONGEST_TITLE, char::len_utf8),
        "message": cut(&message.text, LONGEST_MESSAGE, char::len_utf8),
        "priority": priority,
        "tags": [tag, message.event],
    })
}
