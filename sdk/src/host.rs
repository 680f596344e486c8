//! What the host gives to every plug-in: its log, its secrets, its roots of trust. Outside a component there is none; with the feature
//! `testing` a test can stand in for it ([`crate::testing`]).

use std::fmt;

use crate::bindings::imports::cofre::plugin::host as wire;
use crate::error::{Error, Result};
use crate::http::{Request, Response};

/// Weight of a log line.
///
/// # Examples
///
/// ```
/// use cofre_sdk::{Level, log};
///
/// let failed_before = true;
/// let level = if failed_before { Level::Warn } else { Level::Info };
/// log(level, "the upload begins again");
/// assert!(level > Level::Info, "levels are ordered by weight");
/// ```
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
///
/// # Examples
///
/// ```
/// cofre_sdk::log(cofre_sdk::Level::Info, "the folder was made");
/// ```
pub fn log(level: Level, message: &str) {
    if cfg!(not(target_arch = "wasm32")) {
        return stand_in::add_to_log(level, message);
    }
    let level = match level {
        Level::Debug => wire::Level::Debug,
        Level::Info => wire::Level::Info,
        Level::Warn => wire::Level::Warn,
        Level::Error => wire::Level::Error,
    };
    wire::log(level, message);
}

/// Logs a formatted line: `log!(Warn, "skipping {name}")`. In native tests it goes to the test's host, where there is one.
///
/// # Examples
///
/// ```
/// let key = "cofre-probe";
/// cofre_sdk::log!(Warn, "the probe file {key} stays: it may not be deleted");
/// ```
#[macro_export]
macro_rules! log {
    ($level:ident, $($message:tt)*) => { $crate::log($crate::Level::$level, &::std::format!($($message)*)) };
}

/// A secret of this instance. `Debug` hides it; keep [`Secret::expose`] out of messages.
///
/// # Examples
///
/// ```
/// use cofre_sdk::Secret;
///
/// let token = Secret::new("hunter2");
/// assert_eq!(format!("Bearer {}", token.expose()), "Bearer hunter2");
/// assert_eq!(format!("{token:?}"), "[REDACTED]");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret that came from elsewhere, such as a token exchanged for one.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::{Error, Result, Secret};
    ///
    /// /// The token of a session, out of the answer to a log-in.
    /// fn session(answer: &str) -> Result<Secret> {
    ///     let token = answer.strip_prefix("token=").ok_or_else(|| Error::other("the answer has no token"))?;
    ///     Ok(Secret::new(token))
    /// }
    /// # assert_eq!(session("token=x")?.expose(), "x");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use cofre_sdk::{Secret, http::Request};
    ///
    /// fn authorized(request: Request, token: &Secret) -> Request {
    ///     request.header("authorization", format!("Bearer {}", token.expose()))
    /// }
    /// # assert_eq!(authorized(Request::get("https://h"), &Secret::new("x")).headers()[0].1, "Bearer x");
    /// ```
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// A secret of this instance by name, where the administrator gave one. In native tests, where the test gave one.
///
/// # Examples
///
/// ```
/// use cofre_sdk::{http::Request, optional_secret};
///
/// let mut request = Request::get("https://objects.example/");
/// if let Some(token) = optional_secret("token") {
///     request = request.header("authorization", format!("Bearer {}", token.expose()));
/// }
/// # assert!(request.headers().is_empty());
/// ```
pub fn optional_secret(name: &str) -> Option<Secret> {
    if cfg!(target_arch = "wasm32") { wire::secret(name).map(Secret) } else { stand_in::given_secret(name) }
}

/// A secret of this instance by name.
///
/// # Errors
/// `invalid-config` where the administrator gave none.
///
/// # Examples
///
/// ```
/// use cofre_sdk::{Result, secret};
///
/// fn authorization() -> Result<String> {
///     Ok(format!("Bearer {}", secret("token")?.expose()))
/// }
/// # assert_eq!(authorization().expect_err("there is none").kind(), cofre_sdk::ErrorKind::InvalidConfig);
/// # #[cfg(feature = "testing")]
/// # assert_eq!(cofre_sdk::testing::FakeHost::new().secret("token", "x").run(authorization)?, "Bearer x");
/// # Ok::<(), cofre_sdk::Error>(())
/// ```
pub fn secret(name: &str) -> Result<Secret> {
    optional_secret(name)
        .ok_or_else(|| Error::invalid_config(format!("the secret `{name}` is missing; give this instance one of that name")))
}

/// DER certificates of the roots that the host trusts, for plug-ins that speak TLS themselves.
///
/// # Examples
///
/// ```
/// # #[derive(Default)]
/// # struct RootCertStore(Vec<Vec<u8>>);
/// # impl RootCertStore {
/// #     fn add(&mut self, der: Vec<u8>) -> std::result::Result<(), &'static str> { Ok(self.0.push(der)) }
/// # }
/// use cofre_sdk::{Error, Result, trust_roots};
///
/// /// The host's roots in the store of a TLS library, such as that of rustls.
/// fn roots() -> Result<RootCertStore> {
///     let mut store = RootCertStore::default();
///     for der in trust_roots() {
///         store.add(der).map_err(|why| Error::invalid_config(format!("the host trusts a root that cannot be read: {why}")))?;
///     }
///     Ok(store)
/// }
/// # assert!(roots()?.0.is_empty());
/// # Ok::<(), Error>(())
/// ```
pub fn trust_roots() -> Vec<Vec<u8>> {
    if cfg!(target_arch = "wasm32") { wire::trust_roots() } else { stand_in::given_roots() }
}

pub(crate) fn settings() -> String {
    if cfg!(target_arch = "wasm32") { wire::settings() } else { stand_in::given_settings().unwrap_or_else(|| "{}".to_owned()) }
}

/// The directory that a test gave.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn given_directory() -> Option<std::path::PathBuf> {
    stand_in::given_directory()
}

/// What a test answers to a request, if it stands in for the network.
pub(crate) fn given_answer(request: &Request, body: &[u8]) -> Option<Result<Response>> {
    stand_in::given_answer(request, body)
}

#[cfg(feature = "testing")]
use crate::testing as stand_in;

/// Nobody.
#[cfg(not(feature = "testing"))]
mod stand_in {
    use super::{Level, Request, Response, Result, Secret};

    pub(super) fn add_to_log(_: Level, _: &str) {}

    pub(super) fn given_settings() -> Option<String> {
        None
    }

    pub(super) fn given_secret(_: &str) -> Option<Secret> {
        None
    }

    pub(super) fn given_roots() -> Vec<Vec<u8>> {
        Vec::new()
    }

    pub(super) fn given_answer(_: &Request, _: &[u8]) -> Option<Result<Response>> {
        None
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn given_directory() -> Option<std::path::PathBuf> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_itself() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "[REDACTED]");
    }
}
