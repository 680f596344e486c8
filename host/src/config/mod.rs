//! The configuration: `raw` is what the administrator wrote, `resolved` what it means once every rule holds.
//!
//! A mistake names the file, the line, the key and the mend; several mistakes are reported together.

mod bandwidth;
mod checks;
mod diagnostics;
mod edit;
mod jobs;
mod notifiers;
mod oidc;
mod priority;
mod raw;
mod resolved;
mod retention;
mod rules;
mod secret;
mod tenants;
mod trial;
mod units;
mod unknown;
mod watches;
mod web;

pub use diagnostics::{ConfigError, Problem};
pub use edit::{Change, DiffLine, EditError, difference, edited, revision, values};
pub use jobs::DEFAULT_JOBS;
pub use notifiers::NotifierConfig;
pub use oidc::{Claim, OidcSettings, is_private};
pub use priority::{IoPriority, Priority};
pub use raw::RawConfig;
pub use resolved::{
    Config, DestinationConfig, DirectoryConfig, EXCLUDED, FailureRule, HookCommand, HookMoment, HookSettings, LogSettings, MysqlConfig,
    PluginConfig, StorageSettings, plugin_file,
};
pub use secret::secret_from;
pub use tenants::{Belongings, Owners, TenantDelivery, passphrase_from};
pub use trial::{TrialConfig, TrialRefusal};
pub use units::{format_size, parse_duration, parse_share, parse_size};
pub use web::{Proxies, PublicUrl, WebSettings, browsed, host_of};
