//! A message as Slack takes it: the subject as its text, which is also what a phone shows, and the rest in an attachment with the colour
//! of its severity. Attachments rather than blocks, because the services with the same interface know only those.

use cofre_plugin_http_notifier::{colour, cut};
use cofre_sdk::Message;
use serde_json::{Value, json};

/// Letters of a subject, as the service counts them.
const LONGEST_SUBJECT: usize = 1_000;

/// Letters of a text. The service cuts a message at 40,000, and shows only the start of a long one until it is asked for the rest.
const LONGEST_TEXT: usize = 8_000;

/// The message.
pub(crate) fn of(message: &Message) -> Value {
    let subject = escaped(&cut(&message.subject, LONGEST_SUBJECT, sent_size));
    json!({
        // The only mark-up that is left are its own signs; a subject has no use for them.
        "text": format!("*{}*", subject.replace('*', "∗").trim()),
        "attachments": [{
            "color": format!("#{:06x}", colour(message.severity)),
            "fallback": subject,
            "text": escaped(&cut(&message.text, LONGEST_TEXT, sent_size)),
            "footer": format!("cofre · {}", escaped(&message.event)),
            "ts": message.at_unix_ms / 1_000,
            // Nothing in the text is mark-up: `_` and `*` are in many a name.
            "mrkdwn_in": [],
        }],
        // A preview would fetch an address that only the reader should open.
        "unfurl_links": false,
        "unfurl_media": false,
    })
}

/// The three characters that begin something in Slack ("Escaping text"), and with them `<!channel>` in a message of somebody else.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// What a letter is after that.
fn sent_size(letter: char) -> usize {
    match letter {
        '&' => "&amp;".len(),
        '<' | '>' => "&lt;".len(),
        letter => letter.len_utf16(),
    }
}
