//! A notifier for cofre. As it comes from `cofre plugin new` it posts every message as JSON to an address; make of it what your
//! service takes.

use cofre_sdk::http::Request;
use cofre_sdk::{Attachment, Context as _, Error, Message, NetworkNeed, Notifier, Result, SecretNeed, Severity};

/// Bytes of an answer that are read: what the service says of an error.
const ANSWER_MAX: u64 = 4_096;

/// What the administrator sets. The doc comments become the documentation of the settings.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Address that messages are posted to, `https://…`.
    endpoint: String,
}

/// The notifier. A value lives for one call.
pub struct Hook {
    settings: Settings,
}

impl Notifier for Hook {
    type Settings = Settings;

    const NAME: &'static str = "{{name}}";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Posts messages as JSON to an address.";

    fn network() -> Vec<NetworkNeed> {
        vec![NetworkNeed::new("{endpoint}", "messages are posted there")]
    }

    fn secrets() -> Vec<SecretNeed> {
        vec![SecretNeed::optional("token", "bearer token of the service")]
    }

    fn open(settings: Settings) -> Result<Self> {
        if !settings.endpoint.starts_with("https://") && !settings.endpoint.starts_with("http://") {
            return Err(Error::invalid_config("/endpoint is no address; write https://…"));
        }
        Ok(Self { settings })
    }

    fn probe(&self) -> Result<()> {
        // Most services have a request that proves the token and disturbs nobody. This one has none.
        Ok(())
    }

    fn notify(&self, message: &Message, attachments: Vec<Attachment>) -> Result<()> {
        if !attachments.is_empty() {
            return Err(Error::unsupported("this service takes no files"));
        }
        if !message.recipients.is_empty() {
            return Err(Error::unsupported("this service tells whoever reads it, and nobody by name"));
        }
        let mut request = Request::post(&self.settings.endpoint).header("content-type", "application/json");
        if let Some(token) = cofre_sdk::optional_secret("token") {
            request = request.header("authorization", format!("Bearer {}", token.expose()));
        }
        let mut answer = request.send_bytes(payload(message).as_bytes()).context("cannot post the message")?;
        if answer.is_success() {
            return Ok(());
        }
        let said = answer.body_to_vec(ANSWER_MAX).unwrap_or_default();
        Err(Error::from_http(answer.status(), &said)).context("the service did not take the message")
    }
}

/// The message as the service takes it.
fn payload(message: &Message) -> String {
    let severity = match message.severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    };
    serde_json::json!({
        "id": message.id,
        "event": message.event,
        "severity": severity,
        "subject": message.subject,
        "text": message.text,
    })
    .to_string()
}

cofre_sdk::export_notifier!(Hook);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_posted_with_what_matters() {
        let message = Message {
            id: "1".to_owned(),
            event: "run.failed".to_owned(),
            severity: Severity::Critical,
            at_unix_ms: 0,
            recipients: Vec::new(),
            language: "en".to_owned(),
            subject: "Backup \"erp\" failed".to_owned(),
            text: "line 1\nline 2".to_owned(),
            html: None,
            facts: "{}".to_owned(),
        };
        let posted: serde_json::Value = serde_json::from_str(&payload(&message)).expect("it is JSON");
        assert_eq!(posted["severity"], "critical");
        assert_eq!(posted["subject"], "Backup \"erp\" failed");
        assert_eq!(posted["text"], "line 1\nline 2");
    }

    #[test]
    fn an_endpoint_that_is_no_address_is_refused() {
        assert!(Hook::open(Settings { endpoint: "example.com".to_owned() }).is_err());
        assert!(Hook::open(Settings { endpoint: "https://example.com/hook".to_owned() }).is_ok());
    }
}
