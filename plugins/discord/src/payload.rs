//! A message as Discord takes it: one embed with the colour of its severity.

use cofre_plugin_http_notifier::{colour, cut, rfc3339};
use cofre_sdk::Message;
use serde_json::{Value, json};

/// UTF-16 units of an embed's title ("Embed Limits").
const LONGEST_TITLE: usize = 256;

/// UTF-16 units of an embed's text. With title and footer it stays below the 6,000 of a whole message.
const LONGEST_TEXT: usize = 4_096;

/// UTF-16 units of the event's name.
const LONGEST_EVENT: usize = 100;

/// The message.
pub(crate) fn of(message: &Message, username: Option<&str>) -> Value {
    let mut embed = json!({
        "title": cut(&escaped(&message.subject), LONGEST_TITLE, char::len_utf16),
        "description": cut(&escaped(&message.text), LONGEST_TEXT, char::len_utf16),
        "color": colour(message.severity),
        "footer": { "text": format!("cofre · {}", cut(&message.event, LONGEST_EVENT, char::len_utf16)) },
    });
    if let Some(at) = rfc3339(message.at_unix_ms) {
        embed["timestamp"] = json!(at);
    }
    // Nobody is called by what happens to stand in a text.
    let mut request = json!({ "embeds": [embed], "allowed_mentions": { "parse": [] } });
    if let Some(name) = username {
        request["username"] = json!(name);
    }
    request
}

/// No letter of a message is mark-up ("Message Formatting"): `_` and `*` are in many a name. An address stays what it is, to be opened.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for word in text.split_inclusive(char::is_whitespace) {
        if word.starts_with("https://") || word.starts_with("http://") {
            escaped.push_str(word);
            continue;
        }
        for letter in word.chars() {
            if "\\*_~`|>#[]<@-".contains(letter) {
                escaped.push('\\');
            }
            escaped.push(letter);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_mark_up_and_an_address_can_be_opened() {
        assert_eq!(escaped("a_b *c*\n- https://h/d_e-f?g=_ @here"), "a\\_b \\*c\\*\n\\- https://h/d_e-f?g=_ \\@here");
    }
}
