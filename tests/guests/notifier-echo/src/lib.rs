//! A well-behaved notifier: it logs what it was given, and delivers nothing.

use cofre_sdk::{Attachment, Error, Message, Notifier, Result};

/// Settings of the test.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Events that it says it cannot deliver.
    #[serde(default)]
    pub refuse: Vec<String>,
}

/// The notifier.
pub struct Echo(Settings);

impl Notifier for Echo {
    type Settings = Settings;
    const NAME: &'static str = "notifier-echo";
    const VERSION: &'static str = "0.1.0";
    const SUMMARY: &'static str = "Made for a test.";

    fn open(settings: Settings) -> Result<Self> {
        Ok(Self(settings))
    }

    fn probe(&self) -> Result<()> {
        Ok(())
    }

    fn notify(&self, message: &Message, mut attachments: Vec<Attachment>) -> Result<()> {
        if self.0.refuse.contains(&message.event) {
            return Err(Error::unavailable(format!("the settings refuse {}", shown(message, &attachments))));
        }
        cofre_sdk::log!(Info, "{:?} {} {}: {}", message.severity, message.event, message.subject, message.text);
        for file in &mut attachments {
            let size = std::io::copy(&mut file.body, &mut std::io::sink())?;
            cofre_sdk::log!(Info, "with {} ({}, {size} bytes)", file.name, file.media_type);
        }
        Ok(())
    }
}

/// Everything that it was given.
fn shown(message: &Message, attachments: &[Attachment]) -> String {
    let Message { id, event, severity, at_unix_ms, recipients, language, subject, text, html, facts } = message;
    let html = html.as_deref().unwrap_or_default();
    let mut all = format!("{id} {event} {severity:?} {at_unix_ms} to {recipients:?} in {language}: {subject}, {text}, {html}, {facts}");
    for Attachment { name, media_type, content_id, body } in attachments {
        all += &format!("; {name} {media_type} {} {}", content_id.as_deref().unwrap_or_default(), body.remaining());
    }
    all
}

cofre_sdk::export_notifier!(Echo);
