//! Availability checks as written, and what they mean. A kind of which none is written has the checks that every server needs: its
//! databases answer, the spool has room, and there is a backup as new as the schedule promises.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;
use schemars::JsonSchema;
use serde::Deserialize;

use super::diagnostics::Problems;
use super::resolved::StorageSettings;
use super::units::{parse_duration, parse_size};
use crate::monitor::{BackupRule, CheckKind, CheckSpec, DiskRule, HttpRule, Hysteresis, Service, Threshold};
use crate::schedule::{Action, JobSpec};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
const INTERVAL: Duration = Duration::from_secs(5 * 60);
const INTERVAL_OF_DISKS: Duration = Duration::from_secs(15 * 60);
const INTERVAL_MIN: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(15);
/// A look that takes longer is no look.
const TIMEOUT_MAX: Duration = Duration::from_secs(300);
const FREE: &str = "10%";
/// Where no bound of the recovery is written, it is so much above that of the alert.
const RECOVERY: f64 = 1.2;
const FULL_WITHIN: Duration = Duration::from_secs(7 * 86_400);
const HISTORY: Duration = Duration::from_secs(14 * 86_400);
/// As long as samples are kept.
pub(super) const HISTORY_MAX: Duration = Duration::from_secs(90 * 86_400);
const CERTIFICATE: Duration = Duration::from_secs(14 * 86_400);

/// Something that is looked at every few minutes.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawCheck {
    /// Name of the check.
    pub name: String,
    /// `mysql`, `disk`, `service`, `tcp`, `http` or `backup`.
    pub kind: String,
    /// Time between two looks. Default `5m`, of disks `15m`.
    pub interval: Option<String>,
    /// How long a look may take. Default `15s`.
    pub timeout: Option<String>,
    /// Bad looks in a row until it is a problem. Default 3.
    pub failures: Option<u32>,
    /// Good looks in a row until the problem is over. Default 2.
    pub successes: Option<u32>,
    /// `mysql`: name of a `[[mysql]]`.
    pub source: Option<String>,
    /// `disk`: a path on the file system.
    pub path: Option<PathBuf>,
    /// `disk`: less is a problem, `10%` (the default) or `20GiB`.
    pub min_free: Option<String>,
    /// `disk`: the problem is over when there is as much. Default: a fifth more than `min_free`.
    pub recover_free: Option<String>,
    /// `disk`: it is a problem when the disk is full within this time. Default `7d`; `0s` looks at what is free alone.
    pub full_within: Option<String>,
    /// `disk`: from so long ago on the line is laid that says when it is full, `90d` at most. Default `14d`.
    pub history: Option<String>,
    /// `service`: a unit of systemd, `apache2.service`.
    pub unit: Option<String>,
    /// `service`: instead, the name of a process as `ps -o comm` shows it.
    pub process: Option<String>,
    /// `tcp`: host. Default `localhost`.
    pub host: Option<String>,
    /// `tcp`: port.
    pub port: Option<u16>,
    /// `http`: address of a page, `https://…`.
    pub url: Option<String>,
    /// `http`: statuses that are good. Default: all of 2xx and 3xx.
    pub status: Vec<u16>,
    /// `http`: how long the certificate must still hold. Default `14d`.
    pub certificate: Option<String>,
    /// `http`: PEM file of further roots to trust.
    pub ca_file: Option<PathBuf>,
    /// `backup`: at this destination. Default: at any.
    pub destination: Option<String>,
    /// `backup`: of this `[[job]]`. Default: of any.
    pub job: Option<String>,
    /// `backup`: the age that the newest good one may have. Default: what the schedule lets it have, and two hours.
    pub max_age: Option<String>,
}

/// What checks may name.
pub(super) struct Known<'a> {
    pub(super) servers: Vec<&'a str>,
    pub(super) destinations: Vec<&'a str>,
    pub(super) jobs: &'a [JobSpec],
    pub(super) storage: &'a StorageSettings,
}

/// Resolves all checks.
pub(super) fn resolve(raw: &[RawCheck], known: &Known<'_>, problems: &mut Problems<'_>) -> Vec<CheckSpec> {
    let mut names = BTreeSet::new();
    for (index, check) in raw.iter().enumerate() {
        problems.keep(("check", index, "name"), plain_name(&check.name, &mut names));
    }
    let mut checks: Vec<CheckSpec> = raw.iter().enumerate().filter_map(|(index, raw)| one(index, raw, known, problems)).collect();
    let written = |kind: &CheckKind| raw.iter().any(|check| check.kind == kind.name());
    checks.extend(defaults(known).into_iter().filter(|check| !written(&check.kind)));
    checks
}

/// A name that can stand in an alert, and that no other has. Names of defaults have a colon, which none that is written may have.
pub(super) fn plain_name<'a>(name: &'a str, seen: &mut BTreeSet<&'a str>) -> Result<(), String> {
    let plain = !name.is_empty() && name.len() <= 64 && name.chars().all(|c| c.is_alphanumeric() || "._-".contains(c));
    if !plain {
        return Err(format!("`{name}` is not a name; use letters, digits, `.`, `_` and `-`"));
    }
    if seen.insert(name) { Ok(()) } else { Err(format!("`{name}` is used twice; give each its own name")) }
}

fn defaults(known: &Known<'_>) -> Vec<CheckSpec> {
    let spec = |name: String, kind: CheckKind| CheckSpec {
        name,
        interval: if matches!(kind, CheckKind::Disk(_)) { INTERVAL_OF_DISKS } else { INTERVAL },
        kind,
        timeout: TIMEOUT,
        hysteresis: Hysteresis::default(),
    };
    let servers = known.servers.iter().map(|name| spec(format!("mysql:{name}"), CheckKind::Mysql((*name).to_owned())));
    let spool = DiskRule {
        path: known.storage.spool.clone(),
        alert: Threshold::Share(0.10),
        recover: Threshold::Share(0.10 * RECOVERY),
        full_within: Some(FULL_WITHIN),
        history: HISTORY,
    };
    let runs = known.jobs.iter().filter(|job| matches!(job.action, Action::Run { .. }));
    let backup = |job: &JobSpec| {
        let rule = BackupRule { job: Some(job.name.clone()), ..BackupRule::default() };
        spec(format!("backup:{}", job.name), CheckKind::Backup(rule))
    };
    let spool = spec("disk:spool".to_owned(), CheckKind::Disk(spool));
    servers.chain([spool]).chain(runs.map(backup)).collect()
}

fn one(index: usize, raw: &RawCheck, known: &Known<'_>, problems: &mut Problems<'_>) -> Option<CheckSpec> {
    let mut reader = Reader { index, problems };
    reader.foreign(raw);
    let kind = match raw.kind.as_str() {
        "mysql" => reader.named("source", raw.source.as_deref(), &known.servers, "[[mysql]]").map(CheckKind::Mysql),
        "disk" => reader.disk(raw).map(CheckKind::Disk),
        "service" => reader.service(raw).map(CheckKind::Service),
        "tcp" => match raw.port {
            Some(port) => Some(CheckKind::Tcp { host: raw.host.clone().unwrap_or_else(|| "localhost".to_owned()), port }),
            None => reader.fail("port", "a check of kind `tcp` needs a `port`"),
        },
        "http" => reader.page(raw).map(CheckKind::Http),
        "backup" => reader.backup(raw, known).map(CheckKind::Backup),
        other => reader.fail("kind", format!("`{other}` is no kind; write `mysql`, `disk`, `service`, `tcp`, `http` or `backup`")),
    };
    let interval = if raw.kind == "disk" { INTERVAL_OF_DISKS } else { INTERVAL };
    let interval = reader.within("interval", raw.interval.as_deref(), interval, (INTERVAL_MIN, DAY));
    let timeout = reader.within("timeout", raw.timeout.as_deref(), TIMEOUT, (INTERVAL_MIN, TIMEOUT_MAX));
    let hysteresis = reader.hysteresis(raw.failures, raw.successes);
    Some(CheckSpec { name: raw.name.clone(), kind: kind?, interval, timeout, hysteresis })
}

/// How many looks in a row it takes, of the `index`-th table `[[table]]`.
pub(super) fn hysteresis(
    (table, index): (&str, usize),
    (failures, successes): (Option<u32>, Option<u32>),
    problems: &mut Problems<'_>,
) -> Hysteresis {
    for (key, number) in [("failures", failures), ("successes", successes)] {
        if number == Some(0) {
            problems.add((table, index, key), "it takes at least one look; write 1 or more");
        }
    }
    let defaults = Hysteresis::default();
    Hysteresis { failures: failures.unwrap_or(defaults.failures).max(1), successes: successes.unwrap_or(defaults.successes).max(1) }
}

/// Reads one check, and notes what is wrong with it.
struct Reader<'a, 'b> {
    index: usize,
    problems: &'a mut Problems<'b>,
}

impl Reader<'_, '_> {
    fn fail<T>(&mut self, key: &str, message: impl Into<String>) -> Option<T> {
        self.problems.add(("check", self.index, key), message);
        None
    }

    fn keep<T>(&mut self, key: &str, result: Result<T, String>) -> Option<T> {
        self.problems.keep(("check", self.index, key), result)
    }

    /// A key that another kind has means nothing here, and whoever wrote it believes otherwise.
    fn foreign(&mut self, raw: &RawCheck) {
        let keys = [
            ("mysql", "source", raw.source.is_some()),
            ("disk", "path", raw.path.is_some()),
            ("disk", "min_free", raw.min_free.is_some()),
            ("disk", "recover_free", raw.recover_free.is_some()),
            ("disk", "full_within", raw.full_within.is_some()),
            ("disk", "history", raw.history.is_some()),
            ("service", "unit", raw.unit.is_some()),
            ("service", "process", raw.process.is_some()),
            ("tcp", "host", raw.host.is_some()),
            ("tcp", "port", raw.port.is_some()),
            ("http", "url", raw.url.is_some()),
            ("http", "status", !raw.status.is_empty()),
            ("http", "certificate", raw.certificate.is_some()),
            ("http", "ca_file", raw.ca_file.is_some()),
            ("backup", "destination", raw.destination.is_some()),
            ("backup", "job", raw.job.is_some()),
            ("backup", "max_age", raw.max_age.is_some()),
        ];
        let is_kind = keys.iter().any(|(kind, ..)| *kind == raw.kind);
        for (_, key, _) in keys.iter().filter(|(kind, _, written)| is_kind && *written && *kind != raw.kind) {
            self.problems.add(("check", self.index, key), format!("a check of kind `{}` has no `{key}`", raw.kind));
        }
    }

    fn hysteresis(&mut self, failures: Option<u32>, successes: Option<u32>) -> Hysteresis {
        hysteresis(("check", self.index), (failures, successes), self.problems)
    }

    /// A duration between two others.
    fn within(&mut self, key: &str, text: Option<&str>, default: Duration, (low, high): (Duration, Duration)) -> Duration {
        let Some(duration) = text.and_then(|text| self.keep(key, parse_duration(text))) else { return default };
        if !(low..=high).contains(&duration) {
            let message = format!("write a time of {} s to {} minutes", low.as_secs(), high.as_secs() / MINUTE.as_secs());
            return self.fail(key, message).unwrap_or(default);
        }
        duration
    }

    /// The name of something in the configuration.
    fn named(&mut self, key: &str, name: Option<&str>, known: &[&str], what: &str) -> Option<String> {
        match name {
            Some(name) if known.contains(&name) => Some(name.to_owned()),
            Some(name) => self.fail(key, format!("there is no {what} `{name}`; there are: {}", known.join(", "))),
            None => self.fail(key, format!("name a {what} in `{key}`")),
        }
    }

    fn disk(&mut self, raw: &RawCheck) -> Option<DiskRule> {
        let path = match &raw.path {
            Some(path) if path.is_absolute() => path.clone(),
            Some(path) => return self.fail("path", format!("`{}` is not an absolute path", path.display())),
            None => return self.fail("path", "a check of kind `disk` needs a `path`"),
        };
        let alert = self.keep("min_free", threshold(raw.min_free.as_deref().unwrap_or(FREE)))?;
        let recover = match &raw.recover_free {
            Some(text) => self.keep("recover_free", threshold(text))?,
            None => more(alert),
        };
        match (alert, recover) {
            (Threshold::Share(low), Threshold::Share(high)) if low <= high => {}
            (Threshold::Bytes(low), Threshold::Bytes(high)) if low <= high => {}
            _ => {
                return self.fail("recover_free", "write it as `min_free` is written, in percent or as a size, and not smaller");
            }
        }
        let full_within = self.within("full_within", raw.full_within.as_deref(), FULL_WITHIN, (Duration::ZERO, 365 * DAY));
        let history = self.within("history", raw.history.as_deref(), HISTORY, (3 * DAY, HISTORY_MAX));
        Some(DiskRule { path, alert, recover, full_within: (!full_within.is_zero()).then_some(full_within), history })
    }

    fn service(&mut self, raw: &RawCheck) -> Option<Service> {
        match (&raw.unit, &raw.process) {
            (Some(unit), None) if !unit.is_empty() => Some(Service::Unit(unit.clone())),
            (None, Some(process)) if !process.is_empty() => Some(Service::Process(process.clone())),
            _ => self.fail("unit", "give either `unit = \"apache2.service\"` or `process = \"apache2\"`"),
        }
    }

    fn page(&mut self, raw: &RawCheck) -> Option<HttpRule> {
        let Some(text) = &raw.url else { return self.fail("url", "a check of kind `http` needs a `url`") };
        let url = self.keep("url", address(text))?;
        if let Some(status) = raw.status.iter().find(|status| !(100..600).contains(*status)) {
            return self.fail("status", format!("{status} is no status of HTTP"));
        }
        let certificate = self.within("certificate", raw.certificate.as_deref(), CERTIFICATE, (Duration::ZERO, 365 * DAY));
        Some(HttpRule { url, status: raw.status.clone(), certificate, ca_file: raw.ca_file.clone() })
    }

    fn backup(&mut self, raw: &RawCheck, known: &Known<'_>) -> Option<BackupRule> {
        let runs = known.jobs.iter().filter(|job| matches!(job.action, Action::Run { .. }));
        let jobs: Vec<&str> = runs.map(|job| job.name.as_str()).collect();
        let destination =
            raw.destination.as_deref().map(|name| self.named("destination", Some(name), &known.destinations, "[[destination]]"));
        let job = raw.job.as_deref().map(|name| self.named("job", Some(name), &jobs, "[[job]] that makes backups"));
        let max_age = raw.max_age.as_deref().map(|text| self.keep("max_age", parse_duration(text)));
        if jobs.is_empty() && raw.max_age.is_none() {
            return self.fail("max_age", "no [[job]] makes backups, so that nothing says how old one may be; write `max_age`");
        }
        // A key that is wrong is a mistake by now.
        Some(BackupRule { destination: destination.flatten(), job: job.flatten(), max_age: max_age.flatten() })
    }
}

/// `10%`, or a size.
fn threshold(text: &str) -> Result<Threshold, String> {
    match text.trim().strip_suffix('%') {
        Some(number) => match number.trim().parse::<u8>() {
            Ok(percent) if (1..100).contains(&percent) => Ok(Threshold::Share(f64::from(percent) / 100.0)),
            _ => Err(format!("`{text}` is no share; write `1%` to `99%`, or a size")),
        },
        None => parse_size(text).map(Threshold::Bytes).map_err(|error| format!("{error}, or a share such as `10%`")),
    }
}

fn more(alert: Threshold) -> Threshold {
    match alert {
        Threshold::Share(share) => Threshold::Share((share * RECOVERY).min(0.995)),
        Threshold::Bytes(bytes) => Threshold::Bytes(bytes.saturating_add(bytes / 5)),
    }
}

fn address(text: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|error| format!("`{text}` is no address: {error}"))?;
    if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none_or(str::is_empty) {
        return Err(format!("`{text}` is no address; write `https://…` or `http://…`"));
    }
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(
            "an address with a password in it would be read by everybody who reads this file; check a page that needs none".to_owned()
        );
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn resolved(text: &str) -> Result<Vec<CheckSpec>, Vec<(usize, String)>> {
        #[derive(Deserialize)]
        struct Checks {
            #[serde(default)]
            check: Vec<RawCheck>,
        }
        let raw: Checks = toml::from_str(text).expect("TOML");
        let mut problems = Problems::new(text);
        let storage = StorageSettings {
            state: PathBuf::from("/state"),
            spool: PathBuf::from("/spool"),
            cache: PathBuf::from("/cache"),
            reserve: 0,
            patience: Duration::ZERO,
        };
        let jobs = super::super::jobs::resolve(&[], &jiff::tz::TimeZone::UTC, &mut problems);
        let known = Known { servers: vec!["principal"], destinations: vec!["nuvem"], jobs: &jobs, storage: &storage };
        let checks = resolve(&raw.check, &known, &mut problems);
        match problems.into_error(Path::new("x")) {
            None => Ok(checks),
            Some(error) => Err(error.problems.into_iter().map(|found| (found.line.unwrap_or(0), found.message)).collect()),
        }
    }

    fn names(checks: &[CheckSpec]) -> Vec<&str> {
        checks.iter().map(|check| check.name.as_str()).collect()
    }

    #[test]
    fn every_server_has_the_checks_that_it_needs() {
        let checks = resolved("").expect("good");
        assert_eq!(names(&checks), ["mysql:principal", "disk:spool", "backup:backup"]);
        assert!(checks.iter().all(|check| check.hysteresis == Hysteresis { failures: 3, successes: 2 }));
        // One more of another kind takes none of them away; one of the same kind stands in the place of its default.
        let page = "[[check]]\nname = 'site'\nkind = 'http'\nurl = 'https://exemplo.com.br/saude'\n";
        assert_eq!(names(&resolved(page).expect("good")), ["site", "mysql:principal", "disk:spool", "backup:backup"]);
        let disk = "[[check]]\nname = 'dados'\nkind = 'disk'\npath = '/var'\n";
        assert_eq!(names(&resolved(disk).expect("good")), ["dados", "mysql:principal", "backup:backup"]);
    }

    #[test]
    fn bounds_of_a_disk_are_a_share_or_a_size() {
        let of = |keys: &str| {
            resolved(&format!("[[check]]\nname = 'a'\nkind = 'disk'\npath = '/'\n{keys}\n")).map(|mut checks| checks.remove(0).kind)
        };
        let Ok(CheckKind::Disk(rule)) = of("min_free = '20GiB'\nfull_within = '0s'") else { panic!("a disk") };
        assert_eq!((rule.alert, rule.recover, rule.full_within), (Threshold::Bytes(20 << 30), Threshold::Bytes(24 << 30), None));
        let Ok(CheckKind::Disk(rule)) = of("min_free = '5%'\nrecover_free = '15%'") else { panic!("a disk") };
        assert_eq!((rule.alert, rule.recover), (Threshold::Share(0.05), Threshold::Share(0.15)));
        assert_eq!(of("min_free = '5%'\nrecover_free = '1GiB'").expect_err("mixed")[0].0, 6);
        assert_eq!(of("recover_free = '5%'").expect_err("below")[0].0, 5);
        assert!(of("min_free = '100%'").expect_err("all")[0].1.contains("`99%`"));
    }

    #[test]
    fn every_mistake_names_its_line() {
        let text = "[[check]]\nname = 'a b'\nkind = 'tcp'\nurl = 'https://x'\n[[check]]\nname = 'c'\nkind = 'http'\nurl = 'https://u:p@x/'\nfailures = 0\n\
                    [[check]]\nname = 'c'\nkind = 'ping'\ninterval = 'often'\n[[check]]\nname = 'd'\nkind = 'mysql'\nsource = 'other'\ntimeout = '1d'\n\
                    [[check]]\nname = 'e'\nkind = 'service'\nunit = 'a'\nprocess = 'b'\n[[check]]\nname = 'f'\nkind = 'backup'\njob = 'clean-up'\n";
        let problems = resolved(text).expect_err("wrong");
        let lines: Vec<usize> = problems.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 2, 4, 8, 9, 11, 12, 13, 17, 18, 22, 27], "{problems:#?}");
        assert!(!format!("{problems:?}").contains("u:p"), "a password was shown");
    }

    proptest! {
        #[test]
        fn reading_anything_never_panics(text in ".{0,40}") {
            let _ = (threshold(&text), address(&text));
        }
    }
}
