//! What is looked at, how often, and what is expected of it.

use std::time::Duration;

use super::{DiskRule, HoldingRule, HttpRule, Hysteresis, Service};

/// One check.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckSpec {
    /// Its name.
    pub name: String,
    /// What it looks at.
    pub kind: CheckKind,
    /// Time between two looks.
    pub interval: Duration,
    /// How long one look may take.
    pub timeout: Duration,
    /// How many looks in a row it takes.
    pub hysteresis: Hysteresis,
}

/// What a check looks at.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckKind {
    /// A database server of the configuration, by its name.
    Mysql(String),
    /// A file system.
    Disk(DiskRule),
    /// A service of this machine.
    Service(Service),
    /// A port.
    Tcp {
        /// Host.
        host: String,
        /// Port.
        port: u16,
    },
    /// A page.
    Http(HttpRule),
    /// The newest good backup, as the catalogue knows it.
    Backup(BackupRule),
}

impl CheckKind {
    /// Its name in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Mysql(_) => "mysql",
            Self::Disk(_) => "disk",
            Self::Service(_) => "service",
            Self::Tcp { .. } => "tcp",
            Self::Http(_) => "http",
            Self::Backup(_) => "backup",
        }
    }
}

/// Which backup is to be how new.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BackupRule {
    /// At this destination; at any where it is none.
    pub destination: Option<String>,
    /// Of this job, by its name; of any run where it is none.
    pub job: Option<String>,
    /// The age that it may have; where it is none, what the schedule of the job lets it have.
    pub max_age: Option<Duration>,
}

/// What is expected of a destination that is watched from elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct WatchSpec {
    /// Its name.
    pub name: String,
    /// The destination, by its name.
    pub destination: String,
    /// What the runs were told to take alone (`--only`); empty for sets of everything.
    pub selection: Vec<String>,
    /// What is expected.
    pub rule: HoldingRule,
    /// How long one look may take.
    pub timeout: Duration,
    /// How many looks in a row it takes.
    pub hysteresis: Hysteresis,
}
