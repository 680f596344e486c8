//! What a set holds of what was asked for, and what it lacks of it. Pure: from a manifest alone.

use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use super::{RestoreTarget, What};
use crate::job::context::JobError;
use crate::set::{ALL_SCHEMAS, ArtifactKind, ArtifactRecord, Manifest, MissingRecord};

/// What a set holds of what was asked for.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The artifacts to restore.
    pub records: Vec<ArtifactRecord>,
    /// What it lacks; empty where all that was asked for is there.
    pub lacking: Vec<String>,
    /// Whether something was asked for by its name and is not there: such a set is of no use, whatever else it holds.
    pub useless: bool,
}

impl Found {
    fn lacks_named(&mut self, what: String) {
        self.lacking.push(what);
        self.useless = true;
    }
}

/// Looks for what was asked for in a set.
///
/// # Errors
/// When the request makes no sense for this set, whichever other there may be.
pub(super) fn find(manifest: &Manifest, what: &What, target: &RestoreTarget) -> Result<Found, JobError> {
    let database = match target {
        RestoreTarget::Database { source, .. } => Some(source.as_str()),
        _ => None,
    };
    let mut found = match (what, database) {
        (What::All, Some(source)) => schemas_of(manifest, source),
        (What::All, None) => everything(manifest),
        (What::Artifact(key), _) => artifact(manifest, key),
        (What::Schemas { names, .. }, database) => schemas(manifest, names, database)?,
        (What::Path(path), _) => directories(manifest, path),
        (What::Glob(pattern), _) => directories(manifest, &literal_part(pattern)),
    };
    if database.is_some() {
        one_for_each_name(&found.records)?;
    }
    found.useless |= found.records.is_empty();
    Ok(found)
}

/// What of the chosen artifacts could not be read when they were made.
pub(super) fn flaws(manifest: &Manifest, records: &[ArtifactRecord]) -> Vec<String> {
    let of_chosen = |missing: &&MissingRecord| records.iter().any(|record| (record.kind, &record.name) == (missing.kind, &missing.name));
    let told = |missing: &MissingRecord| missing.parts.map(|parts| format!("{parts} parts of `{}`", missing.name));
    manifest.missing.iter().filter(of_chosen).filter_map(told).collect()
}

fn everything(manifest: &Manifest) -> Found {
    let lacking = manifest.absent().map(unread).chain(selected(manifest)).collect();
    Found { records: manifest.artifacts.clone(), lacking, useless: false }
}

fn artifact(manifest: &Manifest, key: &str) -> Found {
    let mut found = Found { records: manifest.artifact(key).cloned().into_iter().collect(), ..Found::default() };
    if found.records.is_empty() {
        found.lacks_named(format!("artifact `{key}`; `cofre show` lists them"));
    }
    found
}

fn schemas_of(manifest: &Manifest, source: &str) -> Found {
    let records: Vec<_> =
        of_kind(manifest, ArtifactKind::Schema).filter(|record| record.source.as_deref() == Some(source)).cloned().collect();
    let absent = manifest.absent().filter(|missing| missing.kind == ArtifactKind::Schema && missing.source.as_deref() == Some(source));
    let mut found =
        Found { lacking: absent.map(unread).chain(selected_but(manifest, &["sql", source])).collect(), records, useless: false };
    if found.records.is_empty() {
        let mut others: Vec<_> = of_kind(manifest, ArtifactKind::Schema).filter_map(|record| record.source.clone()).collect();
        others.dedup();
        let others = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
        found.lacks_named(format!(
            "schema of the source `{source}` (sources in it: {others}; for one of those name schemas, `--schema '*'`)"
        ));
    }
    found
}

fn schemas(manifest: &Manifest, names: &[String], database: Option<&str>) -> Result<Found, JobError> {
    let mut found = Found::default();
    let add = |records: Vec<&ArtifactRecord>, found: &mut Found| {
        for record in records {
            if !found.records.contains(record) {
                found.records.push(record.clone());
            }
        }
    };
    for name in names {
        let named: Vec<_> = of_kind(manifest, ArtifactKind::Schema).filter(|record| record.name == *name).collect();
        // Of schemas with one name, the one of the server that it shall go to.
        let own = named.iter().copied().find(|record| named.len() > 1 && database.is_some() && record.source.as_deref() == database);
        if !named.is_empty() {
            add(own.map_or(named, |own| vec![own]), &mut found);
        } else if is_literal(name) {
            let unreadable = manifest.absent().any(|missing| is_schema(missing, |missing| missing == name));
            found.lacks_named(format!("schema `{name}`{}", if unreadable { " (it could not be read)" } else { "" }));
        } else {
            let pattern = matcher(name, false)?;
            add(of_kind(manifest, ArtifactKind::Schema).filter(|record| pattern.is_match(&record.name)).collect(), &mut found);
            let absent = manifest.absent().filter(|missing| is_schema(missing, |name| pattern.is_match(name)));
            found.lacking.extend(absent.map(unread).chain(selected_but(manifest, &["sql"])));
        }
    }
    if found.records.is_empty() && found.lacking.is_empty() {
        found.lacking.push(format!("schema like {}", names.join(", ")));
    }
    Ok(found)
}

/// Directories that a path lies in, or that lie below it.
fn directories(manifest: &Manifest, path: &Path) -> Found {
    let (within, below): (Vec<_>, Vec<_>) = of_kind(manifest, ArtifactKind::Directory)
        .filter(|record| path.starts_with(&record.name) || Path::new(&record.name).starts_with(path))
        .cloned()
        .partition(|record| path.starts_with(&record.name));
    // A directory that is in another's artifact is excluded there.
    let deepest = within.into_iter().max_by_key(|record| record.name.len());
    let is_held = deepest.is_some();
    let absent = |missing: &&MissingRecord| {
        let name = Path::new(&missing.name);
        missing.kind == ArtifactKind::Directory && (name.starts_with(path) || (!is_held && path.starts_with(name)))
    };
    let mut lacking: Vec<_> = manifest.absent().filter(absent).map(unread).collect();
    if !is_held {
        lacking.extend(selected_but(manifest, &["config"]));
    }
    let records: Vec<_> = deepest.into_iter().chain(below).collect();
    if records.is_empty() {
        lacking.insert(0, format!("directory with `{}`", path.display()));
    }
    Found { records, lacking, useless: false }
}

fn unread(missing: &MissingRecord) -> String {
    format!("`{}` (it could not be read)", missing.described())
}

/// What a set of a selection lacks: nobody can say.
fn selected(manifest: &Manifest) -> Option<String> {
    let only = manifest.selection.join(", ");
    (!only.is_empty()).then(|| format!("whatever else the configuration names: the run was told to take only {only}"))
}

/// The same, unless one of `all` was selected, which is all that was asked for.
fn selected_but(manifest: &Manifest, all: &[&str]) -> Option<String> {
    let has_all = manifest.selection.iter().any(|only| all.contains(&only.as_str()));
    selected(manifest).filter(|_| !has_all)
}

fn is_schema(missing: &MissingRecord, named: impl Fn(&str) -> bool) -> bool {
    missing.kind == ArtifactKind::Schema && (missing.name == ALL_SCHEMAS || named(&missing.name))
}

fn one_for_each_name(records: &[ArtifactRecord]) -> Result<(), JobError> {
    let twice = records.iter().enumerate().find(|(index, record)| records[..*index].iter().any(|other| other.name == record.name));
    let Some((_, record)) = twice else { return Ok(()) };
    let keys: Vec<_> = records.iter().filter(|other| other.name == record.name).map(|other| other.key.as_str()).collect();
    let message = format!("schema `{}` is in the set more than once; choose with --artifact: {}", record.name, keys.join(", "));
    Err(JobError::Request(message))
}

pub(super) fn of_kind(manifest: &Manifest, kind: ArtifactKind) -> impl Iterator<Item = &ArtifactRecord> {
    manifest.artifacts.iter().filter(move |artifact| artifact.kind == kind)
}

fn is_literal(text: &str) -> bool {
    !text.contains(['*', '?', '[', '{', '\\'])
}

/// The directory that everything lies in which a pattern can match.
fn literal_part(pattern: &str) -> PathBuf {
    let pattern = format!("/{}", pattern.trim_start_matches('/'));
    Path::new(&pattern).iter().take_while(|part| part.to_str().is_some_and(is_literal)).collect()
}

/// Compiles a pattern; `paths`: whether `/` is special.
///
/// # Errors
/// When it is malformed.
pub(super) fn matcher(pattern: &str, paths: bool) -> Result<GlobMatcher, JobError> {
    let glob = GlobBuilder::new(pattern).literal_separator(paths).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|error| JobError::Request(format!("`{pattern}` is no pattern: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::set::{CompressionRecord, EncryptionRecord};

    fn record(kind: ArtifactKind, name: &str, source: Option<&str>) -> ArtifactRecord {
        ArtifactRecord {
            key: format!("{}/{}{name}", kind.name(), source.unwrap_or_default()),
            kind,
            name: name.into(),
            source: source.map(str::to_owned),
            tenant: None,
            plain: 1,
            compressed: 1,
            size: 1,
            sha256: String::new(),
            md5: String::new(),
            read: None,
        }
    }

    fn set(artifacts: Vec<ArtifactRecord>, missing: &[(ArtifactKind, &str, Option<u64>)], selection: &[&str]) -> Manifest {
        let missing = missing.iter().map(|(kind, name, parts)| MissingRecord {
            kind: *kind,
            name: (*name).into(),
            source: (*kind == ArtifactKind::Schema).then(|| "a".to_owned()),
            parts: *parts,
        });
        Manifest {
            format: Manifest::format_name(),
            set: "backup_2026_03_15_02_00_00".parse().expect("valid"),
            cofre: "0.1.0".into(),
            host: "erp".into(),
            started: jiff::Timestamp::UNIX_EPOCH,
            finished: jiff::Timestamp::UNIX_EPOCH,
            encryption: EncryptionRecord { cipher: String::new(), kdf: String::new(), iterations: None, digest: String::new() },
            compression: CompressionRecord { algorithm: "gzip".into(), level: 6 },
            artifacts,
            missing: missing.collect(),
            files: Vec::new(),
            warnings: 0,
            selection: selection.iter().map(|only| (*only).to_owned()).collect(),
            tags: Vec::new(),
        }
    }

    fn sample(missing: &[(ArtifactKind, &str, Option<u64>)], selection: &[&str]) -> Manifest {
        let schema = |source, name| record(ArtifactKind::Schema, name, Some(source));
        let directory = |name| record(ArtifactKind::Directory, name, None);
        let artifacts = vec![
            schema("a", "erp"),
            schema("a", "erp_teste"),
            schema("b", "erp"),
            schema("b", "loja"),
            directory("/etc"),
            directory("/var/www"),
            directory("/var/www/data"),
        ];
        set(artifacts, missing, selection)
    }

    const TO: RestoreTarget = RestoreTarget::Stdout;

    /// Keys found, and whether something is lacking.
    fn found(manifest: &Manifest, what: &What, target: &RestoreTarget) -> (Vec<String>, usize, bool) {
        let found = find(manifest, what, target).expect("makes sense");
        (found.records.iter().map(|record| record.key.clone()).collect(), found.lacking.len(), found.useless)
    }

    fn named(names: &[&str]) -> What {
        What::Schemas { names: names.iter().map(|name| (*name).to_owned()).collect(), table: None }
    }

    fn database(source: &str) -> RestoreTarget {
        RestoreTarget::Database { source: source.to_owned(), into: None }
    }

    fn keys(found: &(Vec<String>, usize, bool)) -> Vec<&str> {
        found.0.iter().map(String::as_str).collect()
    }

    #[test]
    fn a_whole_restore_wants_a_set_of_everything() {
        assert_eq!(found(&sample(&[], &[]), &What::All, &TO).1, 0);
        assert_eq!(found(&sample(&[], &["erp"]), &What::All, &TO).1, 1);
        assert_eq!(found(&sample(&[(ArtifactKind::Directory, "/srv", None)], &[]), &What::All, &TO).1, 1);
        // Three files that could not be read are told, and no reason to bring back older files.
        let flawed = sample(&[(ArtifactKind::Directory, "/etc", Some(3))], &[]);
        assert_eq!(found(&flawed, &What::All, &TO).1, 0);
        assert_eq!(flaws(&flawed, &flawed.artifacts), ["3 parts of `/etc`"]);
        assert!(flaws(&flawed, &flawed.artifacts[..2]).is_empty());
    }

    #[test]
    fn a_schema_is_found_in_a_partial_set_and_in_a_selection() {
        let partial = sample(&[(ArtifactKind::Directory, "/srv", None), (ArtifactKind::Schema, "x", None)], &["erp", "loja"]);
        assert_eq!(found(&partial, &named(&["loja"]), &TO), (vec!["schema/bloja".to_owned()], 0, false));
        assert_eq!(found(&partial, &named(&["loja", "x"]), &TO), (vec!["schema/bloja".to_owned()], 1, true));
        assert!(found(&sample(&[(ArtifactKind::Schema, "*", None)], &[]), &named(&["nada"]), &TO).2);
    }

    #[test]
    fn a_pattern_wants_all_that_it_can_match() {
        let whole = found(&sample(&[], &[]), &named(&["erp*"]), &TO);
        assert_eq!((keys(&whole), whole.1), (vec!["schema/aerp", "schema/aerp_teste", "schema/berp"], 0));
        assert_eq!(found(&sample(&[(ArtifactKind::Schema, "erp_9", None)], &[]), &named(&["erp*"]), &TO).1, 1);
        assert_eq!(found(&sample(&[(ArtifactKind::Schema, "outro", None)], &[]), &named(&["erp*"]), &TO).1, 0);
        assert_eq!(found(&sample(&[(ArtifactKind::Schema, "*", None)], &[]), &named(&["erp*"]), &TO).1, 1);
        assert_eq!(found(&sample(&[], &["erp"]), &named(&["erp*"]), &TO).1, 1);
        assert_eq!(found(&sample(&[], &["sql"]), &named(&["erp*"]), &TO).1, 0);
        assert!(found(&sample(&[], &[]), &named(&["zzz*"]), &TO).2);
        assert!(find(&sample(&[], &[]), &named(&["a[*"]), &TO).is_err());
    }

    #[test]
    fn of_schemas_with_one_name_the_one_of_the_server_is_meant() {
        assert_eq!(keys(&found(&sample(&[], &[]), &named(&["erp"]), &database("b"))), ["schema/berp"]);
        let error = find(&sample(&[], &[]), &named(&["erp"]), &database("c")).expect_err("which?").to_string();
        assert!(error.contains("--artifact") && error.contains("schema/aerp"), "{error}");
        assert!(find(&sample(&[], &[]), &named(&["erp*"]), &database("b")).is_err());
    }

    #[test]
    fn all_schemas_of_a_server_go_to_it() {
        let all = found(&sample(&[], &[]), &What::All, &database("a"));
        assert_eq!((keys(&all), all.1), (vec!["schema/aerp", "schema/aerp_teste"], 0));
        assert_eq!(found(&sample(&[(ArtifactKind::Schema, "*", None)], &[]), &What::All, &database("a")).1, 1);
        assert_eq!(found(&sample(&[(ArtifactKind::Directory, "/srv", None)], &["a"]), &What::All, &database("a")).1, 0);
        assert!(found(&sample(&[], &[]), &What::All, &database("novo")).2);
    }

    #[test]
    fn a_path_comes_from_the_directory_that_holds_it_and_from_those_below_it() {
        let at = |manifest: &Manifest, path: &str| found(manifest, &What::Path(path.into()), &TO);
        let whole = sample(&[], &[]);
        assert_eq!(keys(&at(&whole, "/etc/apache2")), ["directory//etc"]);
        assert_eq!(keys(&at(&whole, "/var/www/data/x")), ["directory//var/www/data"]);
        assert_eq!(keys(&at(&whole, "/var/www")), ["directory//var/www", "directory//var/www/data"]);
        assert_eq!(keys(&at(&whole, "/var")), ["directory//var/www", "directory//var/www/data"]);
        assert!(at(&whole, "/home").2);
        let partial = sample(&[(ArtifactKind::Directory, "/var/lib", None)], &["/etc"]);
        assert_eq!(at(&partial, "/etc/apache2").1, 0);
        assert_eq!(at(&partial, "/var/www").1, 0);
        assert_eq!(at(&partial, "/var").1, 2, "a directory below it, and whatever was not selected");
        assert!(at(&partial, "/var/lib/x").2);
    }

    #[test]
    fn a_pattern_for_paths_reads_only_directories_that_it_can_match_in() {
        let of = |pattern: &str| found(&sample(&[], &[]), &What::Glob(pattern.into()), &TO).0;
        assert_eq!(of("/etc/**/*.conf"), ["directory//etc"]);
        assert_eq!(of("etc/apache2"), ["directory//etc"]);
        assert_eq!(of("**/*.conf").len(), 3);
        assert_eq!(of("/var/w*/x").len(), 2);
        assert!(of("/home/*").is_empty());
    }
}
