//! Whether what matters is there: what one look finds ([`Look`]), what looks in a row mean ([`CheckState`]), and how full a disk will be
//! ([`days_until_full`]). The looks that need nothing of cofre's are here too: disks, ports, pages, services.
//!
//! Looks at databases and backups, and the memory between looks, are the use cases' (`job/monitor.rs`, `job/watch.rs`).

mod disk;
mod holding;
mod http;
mod look;
mod service;
mod spec;
mod state;
mod tcp;
mod trend;

pub use disk::{DiskRule, Space, Threshold, judge as judge_space, measure as measure_space};
pub use holding::{Holding, HoldingRule, HoldingSet, judge as judge_holding};
pub use http::{HttpRule, look as look_at_page};
pub use look::{Facts, Fault, Look, Verdict};
pub use service::{Service, look as look_at_service};
pub use spec::{BackupRule, CheckKind, CheckSpec, WatchSpec};
pub use state::{CheckState, Hysteresis, Transition};
pub use tcp::look as look_at_port;
pub use trend::{HOURLY, Sample, days_until_full};
