//! A well-behaved notifier: it logs what it was given, and delivers nothing.

use cofre_sdk::{Error, Message, Notifier, Result};

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

    fn notify(&self, message: &Message) -> Result<()> {
        if self.0.refuse.contains(&message.event) {
            return Err(Error::unavailable(format!("cannot deliver {}: the settings refuse it", message.event)));
        }
        cofre_sdk::log!(Info, "{:?} {} {}: {}", message.severity, message.event, message.subject, message.text);
        Ok(())
    }
}

cofre_sdk::export_notifier!(Echo);
