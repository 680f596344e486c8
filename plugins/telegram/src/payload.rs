//! A message as the service takes it. It is sent as plain text: no letter of it can be taken for a mark, and the subject is made bold by
//! its place ("MessageEntity"), which the service counts in UTF-16.

use cofre_plugin_http_notifier::cut;
use cofre_sdk::{Message, Severity};
use serde_json::{Value, json};

use crate::settings::Settings;

/// UTF-16 units of a message ("sendMessage": 4096 characters after parsing).
const LONGEST_TEXT: usize = 4_096;

/// UTF-16 units of a subject, which leaves most of the message to its text.
const LONGEST_SUBJECT: usize = 512;

/// What every request to a chat has.
pub(crate) fn addressed(chat: &str, settings: &Settings, severity: Severity) -> Value {
    let mut request = json!({ "chat_id": chat });
    if let Some(topic) = settings.topic {
        request["message_thread_id"] = json!(topic);
    }
    if settings.quiet_info && severity == Severity::Info {
        request["disable_notification"] = json!(true);
    }
    request
}

/// The message for a chat.
pub(crate) fn text(chat: &str, settings: &Settings, message: &Message) -> Value {
    let mark = match message.severity {
        Severity::Info => "ℹ️",
        Severity::Warning => "⚠️",
        Severity::Critical => "🚨",
    };
    let subject = format!("{mark} {}", message.subject);
    let subject = cut(&subject, LONGEST_SUBJECT, char::len_utf16);
    let whole = format!("{subject}\n\n{}", message.text);
    let mut request = addressed(chat, settings, message.severity);
    request["text"] = json!(cut(whole.trim_end(), LONGEST_TEXT, char::len_utf16));
    request["entities"] = json!([{ "type": "bold", "offset": 0, "length": subject.encode_utf16().count() }]);
    // A preview would fetch an address that only the reader should open.
    request["link_preview_options"] = json!({ "is_disabled": true });
    request
}
