//! What the host gives to every plug-in: its log, its secrets, its roots of trust.

use std::fmt;

use crate::bindings::imports::cofre::plugin::host as wire;
use crate::error::{Error, Result};

/// Weight of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For whoever looks for a fault.
    Debug,
    /// Worth knowing.
    Info,
    /// Something is not as it should be.
    Warn,
    /// Something failed.
    Error,
}

/// Adds one line to the run's log. The volume of one operation is limited; never log a secret.
pub fn log(level: Level, message: &str) {
    if cfg!(not(target_arch = "wasm32")) {
        return;
    }
    let level = match level {
        Level::Debug => wire::Level::Debug,
        Level::Info => wire::Level::Info,
        Level::Warn => wire::Level::Warn,
        Level::Error => wire::Level::Error,
    };
    wire::log(level, message);
}

/// Logs a formatted line: `log!(Warn, "skipping {name}")`. Does nothing in native tests.
#[macro_export]
macro_rules! log {
    ($level:ident, $($message:tt)*) => { $crate::log($crate::Level::$level, &::std::format!($($message)*)) };
}

/// A secret of this instance. `Debug` hides it; keep [`Secret::expose`] out of messages.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret that came from elsewhere, such as a token exchanged for one.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// A secret of this instance by name, where the administrator gave one. Always `None` in native tests.
pub fn optional_secret(name: &str) -> Option<Secret> {
    if cfg!(target_arch = "wasm32") { wire::secret(name).map(Secret) } else { None }
}

/// A secret of this instance by name.
///
/// # Errors
/// `invalid-config` where the administrator gave none.
pub fn secret(name: &str) -> Result<Secret> {
    optional_secret(name)
        .ok_or_else(|| Error::invalid_config(format!("the secret `{name}` is missing; give this destination one of that name")))
}

/// DER certificates of the roots that the host trusts, for plug-ins that speak TLS themselves.
pub fn trust_roots() -> Vec<Vec<u8>> {
    if cfg!(target_arch = "wasm32") { wire::trust_roots() } else { Vec::new() }
}

pub(crate) fn settings() -> String {
    wire::settings()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_itself() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "[REDACTED]");
    }
}
