//! May this file be used at all? Pinned by `plugins.lock`, signed where signatures are required; asked before a byte of it is compiled.

use std::path::Path;

use serde::Serialize;

use super::component::PluginError;
use super::lock::{Pin, PluginLock};
use super::package::PluginFile;
use super::signature::Signature;
use crate::ports::PluginSettings;

/// What a plug-in file is to cofre.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PluginState {
    /// It may be used.
    Approved,
    /// Nobody has approved it yet.
    Pending,
    /// It is not the file that was approved.
    Changed,
    /// It was approved, or is configured, and is not there.
    Missing,
    /// A signature is required, and it has none that counts.
    Unsigned,
    /// It is there, and is no plug-in.
    Invalid,
}

/// One file, looked at without running it.
#[derive(Debug)]
pub struct Examined {
    /// What it is.
    pub state: PluginState,
    /// Its approval, or that of the file that lay there before.
    pub pin: Option<Pin>,
    /// What its signature is worth.
    pub signature: Signature,
    /// SHA-256, hex, where it can be read.
    pub sha256: Option<String>,
    /// Why it cannot be used, with the mend.
    pub problem: Option<PluginError>,
}

/// The rules by which files are admitted.
#[derive(Debug)]
pub struct Approvals<'a> {
    settings: &'a PluginSettings,
    lock: PluginLock,
}

impl<'a> Approvals<'a> {
    /// Reads `plugins.lock`.
    ///
    /// # Errors
    /// When it cannot be read or trusted.
    pub fn read(settings: &'a PluginSettings) -> Result<Self, PluginError> {
        Ok(Self { settings, lock: PluginLock::read(&settings.lock)? })
    }

    /// The approvals.
    pub fn lock(&self) -> &PluginLock {
        &self.lock
    }

    /// Looks at a file.
    pub fn examine(&self, path: &Path) -> Examined {
        let file = match PluginFile::read(path) {
            Ok(file) => file,
            Err(error) => {
                let state = if error.is_missing() { PluginState::Missing } else { PluginState::Invalid };
                let pin = self.lock.at(path).cloned();
                return Examined { state, pin, signature: Signature::None, sha256: None, problem: Some(error) };
            }
        };
        let problem = self.admit(&file).err();
        let state = match &problem {
            None => PluginState::Approved,
            Some(PluginError::Unsigned { .. }) => PluginState::Unsigned,
            Some(PluginError::Changed { .. }) => PluginState::Changed,
            Some(_) => PluginState::Pending,
        };
        let pin = self.lock.of(file.sha256()).or_else(|| self.lock.at(path)).cloned();
        let signature = Signature::of(&file, &self.settings.trusted_keys);
        Examined { state, pin, signature, sha256: Some(file.sha256().to_owned()), problem }
    }

    /// The approval of a file that may be used.
    ///
    /// # Errors
    /// When it may not, with the mend.
    pub fn admit(&self, file: &PluginFile) -> Result<&Pin, PluginError> {
        let pin = self.lock.admit(file)?;
        self.signed(file)?;
        Ok(pin)
    }

    /// Whether a file has the signature that it needs.
    ///
    /// # Errors
    /// When it needs one and has none that counts.
    pub fn signed(&self, file: &PluginFile) -> Result<(), PluginError> {
        let signature = Signature::of(file, &self.settings.trusted_keys);
        if !self.settings.require_signed || signature.trusted_key().is_some() {
            return Ok(());
        }
        let why = match signature {
            Signature::Unknown { key } => format!("the key {key} that signed it is not one of plugins.trusted_keys"),
            Signature::Invalid { reason } => format!("its signature does not hold: {reason}"),
            Signature::None | Signature::Trusted { .. } => "it has no signature".to_owned(),
        };
        Err(PluginError::Unsigned { path: file.path().to_path_buf(), why })
    }
}
