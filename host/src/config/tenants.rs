//! Tenants: whose schemas are whose, and how a tenant's backup reaches somebody.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use globset::{GlobSet, GlobSetBuilder};
use schemars::JsonSchema;
use serde::Deserialize;

use super::diagnostics::Problems;
use super::raw::{RawDestination, RawSecret};
use super::resolved::Config;
use super::secret::fetch_passphrase;
use super::units::{format_size, parse_duration, parse_size};
use crate::pipeline::Passphrase;
use crate::ports::name_pattern;

/// Below it a mail server takes the message, which is a third larger than the file.
const ATTACHMENT: u64 = 15 << 20;
/// A file that is attached is held in memory, and in the catalogue until it is delivered.
const ATTACHMENT_MAX: u64 = 100 << 20;
const LINK_LIFETIME: Duration = Duration::from_secs(72 * 3_600);
const DEADLINE: Duration = Duration::from_secs(15 * 60);

/// How a tenant's backup reaches somebody.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawTenantDelivery {
    /// The largest file that is sent as an attachment. Default `15MiB`, at most `100MiB`.
    pub max_attachment: Option<String>,
    /// Destination that gives an address to download a larger file from. Default: none.
    pub destination: Option<String>,
    /// How long such an address is good for. Default `72h`.
    pub link_lifetime: Option<String>,
    /// How long the whole may take. Default `15m`.
    pub deadline: Option<String>,
}

/// How a tenant's backup reaches somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantDelivery {
    /// Bytes of the largest file that is sent as an attachment.
    pub max_attachment: u64,
    /// Destination that gives addresses.
    pub destination: Option<String>,
    /// How long an address is good for.
    pub link_lifetime: Duration,
    /// How long the whole may take.
    pub deadline: Duration,
}

pub(super) fn resolve(raw: &RawTenantDelivery, destinations: &[RawDestination], problems: &mut Problems<'_>) -> TenantDelivery {
    let place = |key| ("tenant_delivery", 0, key);
    let mut max_attachment =
        raw.max_attachment.as_deref().and_then(|text| problems.keep(place("max_attachment"), parse_size(text))).unwrap_or(ATTACHMENT);
    if max_attachment > ATTACHMENT_MAX {
        problems.add(place("max_attachment"), format!("no mail has room for that; write at most {}", format_size(ATTACHMENT_MAX)));
        max_attachment = ATTACHMENT_MAX;
    }
    let mut duration = |key, text: &Option<String>, default| {
        let read = |text: &str| match parse_duration(text) {
            Ok(time) if time < Duration::from_secs(1) || u32::try_from(time.as_secs()).is_err() => {
                Err(format!("`{text}` is too short, or longer than a lifetime; write for example `72h` or `15m`"))
            }
            read => read,
        };
        text.as_deref().and_then(|text| problems.keep(place(key), read(text))).unwrap_or(default)
    };
    let link_lifetime = duration("link_lifetime", &raw.link_lifetime, LINK_LIFETIME);
    let deadline = duration("deadline", &raw.deadline, DEADLINE);
    if let Some(name) = raw.destination.as_ref().filter(|name| !destinations.iter().any(|one| one.name == **name)) {
        problems.add(place("destination"), format!("there is no destination `{name}`"));
    }
    TenantDelivery { max_attachment, destination: raw.destination.clone(), link_lifetime, deadline }
}

/// Whose the schemas of a source are: the patterns of all its tenants, compiled once, as there may be hundreds of both.
pub struct Owners<'a> {
    patterns: GlobSet,
    /// Of each pattern its tenant; those of one tenant follow one another.
    tenants: Vec<&'a str>,
}

impl<'a> Owners<'a> {
    /// Of the tenants of a source. A pattern that is none, which the configuration refuses, matches nothing.
    pub fn of(tenants: &'a BTreeMap<String, Vec<String>>) -> Self {
        let each = tenants.iter().flat_map(|(name, patterns)| patterns.iter().map(move |pattern| (name.as_str(), pattern)));
        let (tenants, globs): (Vec<_>, Vec<_>) = each.filter_map(|(name, pattern)| Some((name, name_pattern(pattern).ok()?))).unzip();
        let mut builder = GlobSetBuilder::new();
        for glob in globs {
            builder.add(glob);
        }
        match builder.build() {
            Ok(patterns) => Self { patterns, tenants },
            Err(error) => {
                // Each of them is compiled when the configuration is read; all of them together may be too many.
                tracing::error!(%error, "the patterns of the tenants cannot be used, and no schema is taken for anybody's");
                Self { patterns: GlobSet::empty(), tenants: Vec::new() }
            }
        }
    }

    /// The tenants whose patterns a schema matches; more than one where the configuration does not say whose it is.
    pub fn of_schema(&self, schema: &str) -> Vec<&'a str> {
        let mut owners: Vec<&str> =
            self.patterns.matches(schema).into_iter().filter_map(|index| self.tenants.get(index).copied()).collect();
        owners.dedup();
        owners
    }
}

/// What belongs to a tenant.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Belongings<'a> {
    /// Sources that have schemas of it, and their patterns.
    pub schemas: Vec<(&'a str, &'a [String])>,
    /// Its directories.
    pub directories: Vec<&'a Path>,
}

impl Config {
    /// Every tenant, and what belongs to it.
    pub fn tenants(&self) -> BTreeMap<&str, Belongings<'_>> {
        let mut tenants: BTreeMap<&str, Belongings<'_>> = BTreeMap::new();
        for source in &self.mysql {
            for (tenant, patterns) in &source.settings.tenants {
                tenants.entry(tenant).or_default().schemas.push((&source.settings.name, patterns));
            }
        }
        for directory in &self.directories {
            if let Some(tenant) = &directory.tenant {
                tenants.entry(tenant).or_default().directories.push(&directory.settings.path);
            }
        }
        tenants
    }
}

/// Reads the passphrase of one delivery from a private file.
///
/// # Errors
/// In words for the administrator, with the mend; never with the passphrase.
pub fn passphrase_from(file: &Path) -> Result<Passphrase, String> {
    let place = RawSecret { file: Some(file.to_path_buf()), ..RawSecret::default() };
    fetch_passphrase(&place).map(|text| Passphrase::from_bytes(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("cofre.toml");
        let rest = "[[destination]]\nname = \"nuvem\"\nplugin = \"s3\"\n";
        std::fs::write(&path, format!("[passphrase]\nenv = \"X\"\n{rest}{text}")).expect("written");
        Config::load(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn a_delivery_has_defaults_and_its_mistakes_are_named() {
        let plain = load("").expect("holds").tenant_delivery;
        let known = TenantDelivery { max_attachment: 15 << 20, destination: None, link_lifetime: LINK_LIFETIME, deadline: DEADLINE };
        assert_eq!(plain, known);
        let own = "[tenant_delivery]\nmax_attachment = \"1MiB\"\ndestination = \"nuvem\"\nlink_lifetime = \"24h\"\ndeadline = \"5m\"\n";
        let own = load(own).expect("holds").tenant_delivery;
        assert_eq!((own.max_attachment, own.destination.as_deref()), (1 << 20, Some("nuvem")));
        assert_eq!((own.link_lifetime, own.deadline), (Duration::from_secs(86_400), Duration::from_secs(300)));
        for (wrong, why) in [
            ("max_attachment = \"1GiB\"", "at most 100 MiB"),
            ("destination = \"lua\"", "no destination `lua`"),
            ("link_lifetime = \"0s\"", "too short"),
            ("deadline = \"99999999d\"", "longer than a lifetime"),
        ] {
            let error = load(&format!("[tenant_delivery]\n{wrong}\n")).expect_err("wrong");
            assert!(error.contains("tenant_delivery.") && error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_schema_is_its_tenants_alone_or_nobody_knows_whose() {
        let patterns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let tenants =
            BTreeMap::from([("acme".to_owned(), patterns(&["acme_*", "loja"])), ("acme-filial".to_owned(), patterns(&["acme_filial*"]))]);
        let owners = Owners::of(&tenants);
        assert_eq!(owners.of_schema("acme_erp"), ["acme"]);
        assert_eq!(owners.of_schema("loja"), ["acme"]);
        assert_eq!(owners.of_schema("acme_filial_erp"), ["acme", "acme-filial"]);
        assert!(owners.of_schema("loja2").is_empty() && owners.of_schema("LOJA").is_empty());
        let twice = BTreeMap::from([("acme".to_owned(), patterns(&["acme*", "*", "acme_erp"]))]);
        assert_eq!(Owners::of(&twice).of_schema("acme_erp"), ["acme"], "once, however many patterns match");
    }

    #[test]
    fn what_belongs_to_a_tenant_is_known_together() {
        let source = |name: &str, tenants: &str| format!("[[mysql]]\nname = \"{name}\"\nuser = \"u\"\ntenants = {{ {tenants} }}\n");
        let directory = |path: &str, tenant: &str| format!("[[directory]]\npath = \"{path}\"\n{tenant}");
        let text = source("a", "acme = [\"acme_*\"]")
            + &source("b", "acme = [\"acme\"], beta = [\"b\"]")
            + &directory("/srv/acme", "tenant = \"acme\"\n")
            + &directory("/srv/gama", "tenant = \"gama\"\n")
            + &directory("/etc", "");
        let config = load(&text).expect("holds");
        let names: Vec<_> = config
            .tenants()
            .iter()
            .map(|(name, own)| {
                let directories = own.directories.iter().map(|path| path.display().to_string()).collect::<String>();
                (*name, own.schemas.iter().map(|place| place.0).collect::<String>() + &directories)
            })
            .collect();
        assert_eq!(names, [("acme", "ab/srv/acme".to_owned()), ("beta", "b".to_owned()), ("gama", "/srv/gama".to_owned())]);
    }
}
