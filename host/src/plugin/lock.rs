//! `plugins.lock`: which component files the administrator approved, and what each of them asked for at the time. A file is used only
//! if its SHA-256 stands here, and only as long as it asks for what it asked for then.
//!
//! The file is TOML for people to read, and written by `cofre plugin` alone: whole, by a rename, one writer at a time.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::component::{NetworkNeed, PluginComponent, PluginError, PluginKind, Profile, SecretNeed};
use super::package::{self, PluginFile};
use super::signature::Signature;

/// The form of the file.
const FORMAT: u32 = 1;
/// Permission bits by which group and others could approve something.
const WRITABLE: u32 = 0o022;
const HEAD: &str = "# The plug-ins that were approved on this machine. Written by `cofre plugin add`, `update` and `remove`.\n";

/// One approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// Name that the plug-in gives itself.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it is.
    pub kind: PluginKind,
    /// Version of the contract it was built for.
    pub contract: String,
    /// Where it lies.
    pub file: PathBuf,
    /// SHA-256 of the file, hex.
    pub sha256: String,
    /// Identifier of the trusted key that signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// When it was approved.
    pub approved: jiff::Timestamp,
    /// Whether it asks for a directory.
    pub directory: bool,
    /// Network targets it asks for.
    #[serde(default)]
    pub network: Vec<NetworkNeed>,
    /// Secrets it asks for.
    #[serde(default)]
    pub secrets: Vec<SecretNeed>,
}

impl Pin {
    /// What would be approved with this component.
    pub fn new(component: &Profile, place: &Path, signature: &Signature) -> Self {
        let said = &component.description;
        Self {
            name: said.name.clone(),
            version: said.version.clone(),
            kind: said.kind,
            contract: component.contract.clone(),
            file: place.to_path_buf(),
            sha256: component.sha256.clone(),
            key: signature.trusted_key().map(str::to_owned),
            approved: jiff::Timestamp::now(),
            directory: said.directory,
            network: said.network.clone(),
            secrets: said.secrets.clone(),
        }
    }

    /// What a newer approval changes.
    pub fn changes(&self, newer: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut text = |what, from: &str, to: &str| {
            if from != to {
                changes.push(Change::Text { what, from: from.to_owned(), to: to.to_owned() });
            }
        };
        text("name", &self.name, &newer.name);
        text("version", &self.version, &newer.version);
        text("contract", &self.contract, &newer.contract);
        text("kind", self.kind.as_str(), newer.kind.as_str());
        if self.directory != newer.directory {
            changes.push(Change::Directory { added: newer.directory });
        }
        let without = |all: &[NetworkNeed], others: &[NetworkNeed]| -> Vec<NetworkNeed> {
            all.iter().filter(|need| !others.iter().any(|other| other.target == need.target)).cloned().collect()
        };
        changes.extend(without(&newer.network, &self.network).into_iter().map(|need| Change::Network { added: true, need }));
        changes.extend(without(&self.network, &newer.network).into_iter().map(|need| Change::Network { added: false, need }));
        let without = |all: &[SecretNeed], others: &[SecretNeed]| -> Vec<SecretNeed> {
            all.iter().filter(|need| !others.iter().any(|other| other.name == need.name)).cloned().collect()
        };
        changes.extend(without(&newer.secrets, &self.secrets).into_iter().map(|need| Change::Secret { added: true, need }));
        changes.extend(without(&self.secrets, &newer.secrets).into_iter().map(|need| Change::Secret { added: false, need }));
        if self.key != newer.key {
            changes.push(Change::Key { from: self.key.clone(), to: newer.key.clone() });
        }
        changes
    }

    /// Whether a component asks for exactly what was approved; else what differs. The bytes are the same, but a plug-in that describes
    /// itself by the clock, or by chance, asks for something else when nobody looks.
    pub(super) fn check(&self, component: &PluginComponent) -> Result<(), PluginError> {
        let now = Self { key: self.key.clone(), ..Self::new(&component.profile(), &self.file, &Signature::None) };
        if self.changes(&now).is_empty() {
            return Ok(());
        }
        Err(PluginError::Fickle { name: self.name.clone() })
    }
}

/// What an approval changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum Change {
    /// Name, version, contract or kind.
    Text {
        /// Which.
        what: &'static str,
        /// Before.
        from: String,
        /// Now.
        to: String,
    },
    /// A directory is asked for, or no longer.
    Directory {
        /// Whether it is new.
        added: bool,
    },
    /// A network target.
    Network {
        /// Whether it is new.
        added: bool,
        /// Which, and why.
        need: NetworkNeed,
    },
    /// A secret.
    Secret {
        /// Whether it is new.
        added: bool,
        /// Which, and what it is.
        need: SecretNeed,
    },
    /// Another key signed it, or none.
    Key {
        /// Before.
        from: Option<String>,
        /// Now.
        to: Option<String>,
    },
}

impl Change {
    /// Whether what was signed is now signed by somebody else, or by nobody: what somebody who took over a plug-in's home could not avoid.
    pub fn is_another_signer(&self) -> bool {
        matches!(self, Self::Key { from: Some(_), .. })
    }
}

/// All approvals.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u32,
    #[serde(default)]
    plugin: Vec<Pin>,
}

/// The approvals of this machine.
#[derive(Debug, Clone, Default)]
pub struct PluginLock {
    pins: Vec<Pin>,
}

impl PluginLock {
    /// Reads the file; where there is none, nothing is approved.
    ///
    /// # Errors
    /// When it cannot be read, others could have written it, or it is damaged.
    pub fn read(path: &Path) -> Result<Self, PluginError> {
        let failed = |reason: String| PluginError::Lock { path: path.to_path_buf(), reason };
        let status = match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            status => status.map_err(|error| failed(error.to_string()))?,
        };
        if status.mode() & WRITABLE != 0 {
            return Err(failed(format!("others can write it; look at it, then run: chmod go-w {}", path.display())));
        }
        let us = rustix::process::geteuid().as_raw();
        if status.uid() != us && status.uid() != 0 {
            return Err(failed(format!("it belongs to another user; look at it, then run: chown root {}", path.display())));
        }
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let document: Document = toml::from_str(&text).map_err(|error| failed(error.message().trim().replace('\n', " ")))?;
        if document.format != FORMAT {
            return Err(failed(format!("its format is {}, and this cofre knows {FORMAT}", document.format)));
        }
        Ok(Self { pins: document.plugin })
    }

    /// Reads, changes and writes the file while nobody else does.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn change(path: &Path, edit: impl FnOnce(&mut Self)) -> Result<(), PluginError> {
        let failed = |error: io::Error| PluginError::Lock { path: path.to_path_buf(), reason: error.to_string() };
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(directory).map_err(failed)?;
        // A lock on the directory leaves no file behind.
        let held = File::open(directory).map_err(failed)?;
        flock(&held, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        let mut lock = Self::read(path)?;
        edit(&mut lock);
        lock.pins.sort_by(|a, b| (&a.name, &a.file).cmp(&(&b.name, &b.file)));
        package::write_whole(path, lock.text().map_err(io::Error::other).map_err(failed)?.as_bytes()).map_err(failed)
    }

    /// The approvals, by name.
    pub fn pins(&self) -> &[Pin] {
        &self.pins
    }

    /// The approval of a file's very bytes, wherever they lie.
    pub fn of(&self, sha256: &str) -> Option<&Pin> {
        self.pins.iter().find(|pin| pin.sha256 == sha256)
    }

    /// The approval of what lay at a path.
    pub fn at(&self, file: &Path) -> Option<&Pin> {
        self.pins.iter().find(|pin| pin.file == file)
    }

    /// Approves; what lay at the same path before is approved no longer.
    pub fn approve(&mut self, pin: Pin) {
        self.revoke(&pin.file);
        self.pins.push(pin);
    }

    /// Forgets the approval of what lies at a path.
    pub fn revoke(&mut self, file: &Path) {
        self.pins.retain(|pin| pin.file != file);
    }

    /// Whether a file may be used.
    pub(super) fn admit(&self, file: &PluginFile) -> Result<&Pin, PluginError> {
        self.of(file.sha256()).ok_or_else(|| match self.at(file.path()) {
            Some(pin) => PluginError::Changed {
                path: file.path().to_path_buf(),
                name: pin.name.clone(),
                approved: pin.sha256.clone(),
                found: file.sha256().to_owned(),
            },
            None => PluginError::Pending { path: file.path().to_path_buf() },
        })
    }

    fn text(&self) -> Result<String, toml::ser::Error> {
        let document = Document { format: FORMAT, plugin: self.pins.clone() };
        Ok(format!("{HEAD}{}", toml::to_string_pretty(&document)?))
    }
}
