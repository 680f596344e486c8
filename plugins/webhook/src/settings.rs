//! What the administrator can set, and what of it cannot work.

use std::collections::BTreeMap;

use cofre_plugin_http_notifier::{endpoint, refuse_setting};
use cofre_sdk::{Result, http};
use schemars::JsonSchema;
use serde::Deserialize;

/// Headers that the plug-in or HTTP itself writes.
const OWN_HEADERS: [&str; 6] = ["authorization", "connection", "content-length", "content-type", "host", "transfer-encoding"];

/// Settings of one instance.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Address that messages are sent to: `https://host[:port]/path`. What of it nobody may see, and a query, goes into the secret `path`.
    pub url: String,
    /// Method of the request.
    #[serde(default)]
    pub method: Method,
    /// Headers that every request has, by their names.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Template of the body, in Jinja's language: `{"title": {{ subject }}, "job": {{ facts.job }}}`. Left out: the whole message as JSON.
    #[serde(default)]
    pub template: Option<String>,
    /// Media type of the body. Where it is one of JSON, the template's values are written as JSON, with their quotation marks.
    #[serde(default = "Settings::content_type")]
    pub content_type: String,
    /// Whether `http://` may carry messages and secrets unencrypted. Not needed for this machine itself.
    #[serde(default)]
    pub allow_plaintext: bool,
}

/// Method of a request that delivers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// The usual one.
    #[default]
    Post,
    /// For services that keep the last message.
    Put,
    /// For services that change something.
    Patch,
}

impl From<Method> for http::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Post => Self::Post,
            Method::Put => Self::Put,
            Method::Patch => Self::Patch,
        }
    }
}

impl Settings {
    fn content_type() -> String {
        "application/json".to_owned()
    }

    /// Whether the body is JSON.
    pub(crate) fn is_json(&self) -> bool {
        let kind = self.content_type.split(';').next().unwrap_or_default().trim();
        kind.ends_with("/json") || kind.ends_with("+json")
    }

    /// Refuses what cannot work, with the JSON pointer of the setting at fault.
    pub(crate) fn check(&self) -> Result<()> {
        endpoint("/url", &self.url, self.allow_plaintext)?;
        if !is_value(&self.content_type) || !self.content_type.contains('/') {
            return refuse_setting("/content_type", "it is a media type such as `application/json`");
        }
        if self.template.is_none() && !self.is_json() {
            return refuse_setting("/content_type", "without a template the body is JSON");
        }
        for (name, value) in &self.headers {
            let pointer = format!("/headers/{}", name.replace('~', "~0").replace('/', "~1"));
            if !is_name(name) || !is_value(value) {
                return refuse_setting(&pointer, "it is no header: a name of letters, digits and `-`, and a value of printable ASCII");
            }
            let lower = name.to_ascii_lowercase();
            if OWN_HEADERS.contains(&lower.as_str()) || lower.starts_with("x-cofre-") {
                return refuse_setting(&pointer, "cofre writes it itself; a token is the secret `token`, a media type is `content_type`");
            }
        }
        Ok(())
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"-_".contains(&letter))
}

fn is_value(text: &str) -> bool {
    text.bytes().all(|letter| letter.is_ascii_graphic() || letter == b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_cannot_work_is_named() {
        for (json, pointer) in [
            (r#"{"url": "h"}"#, "/url"),
            (r#"{"url": "http://h"}"#, "/url"),
            (r#"{"url": "https://h?token=1"}"#, "/url"),
            (r#"{"url": "https://h", "method": "GET"}"#, "/method"),
            (r#"{"url": "https://h", "content_type": "json"}"#, "/content_type"),
            (r#"{"url": "https://h", "content_type": "text/plain"}"#, "/content_type"),
            (r#"{"url": "https://h", "headers": {"a b": "c"}}"#, "/headers/a b"),
            (r#"{"url": "https://h", "headers": {"x-a": "c\r\nd: e"}}"#, "/headers/x-a"),
            (r#"{"url": "https://h", "headers": {"Authorization": "Bearer x"}}"#, "/headers/Authorization"),
            (r#"{"url": "https://h", "headers": {"X-Cofre-Signature": "x"}}"#, "/headers/X-Cofre-Signature"),
        ] {
            let checked = cofre_sdk::settings::parse(json).and_then(|settings: Settings| settings.check());
            let error = checked.expect_err(json);
            assert_eq!(error.detail("pointer"), Some(pointer), "{json}: {error}");
        }
    }
}
