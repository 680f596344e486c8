//! Rules that hold between parts of a configuration: names that meet, directories inside one another, secrets in plain sight.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::diagnostics::Problems;
use super::raw::{RawConfig, RawDirectory};
use super::resolved::StorageSettings;
use crate::ports::name_pattern;

/// Parts of a key that promise a secret, without `_` and `-`.
const SECRET_WORDS: [&str; 10] =
    ["password", "passwd", "senha", "passphrase", "secret", "token", "apikey", "accesskey", "privatekey", "credential"];
/// Ends of a key that promise something about a secret instead.
const ABOUT_SECRETS: [&str; 8] = ["url", "uri", "endpoint", "file", "path", "name", "id", "type"];

/// Checks them all.
pub(super) fn check(raw: &RawConfig, storage: &StorageSettings, problems: &mut Problems<'_>) {
    names(raw, problems);
    patterns(raw, problems);
    secrets_in_settings(raw, problems);
    hooks(raw, problems);
    directories_apart(raw, problems);
    spool_outside(raw, storage, problems);
    copies_outside(raw, problems);
}

fn names(raw: &RawConfig, problems: &mut Problems<'_>) {
    let mut check = |table: &str, names: Vec<&String>| {
        let mut seen = BTreeSet::new();
        for (index, name) in names.into_iter().enumerate() {
            let plain = !name.is_empty() && name.len() <= 64 && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
            if !plain {
                problems.add((table, index, "name"), format!("`{name}` is not a name; use letters, digits, `.`, `_` and `-`"));
            } else if !seen.insert(name) {
                problems.add((table, index, "name"), format!("`{name}` is used twice; give each its own name"));
            }
        }
    };
    check("mysql", raw.mysql.iter().map(|source| &source.name).collect());
    check("destination", raw.destination.iter().map(|destination| &destination.name).collect());
    check("notifier", raw.notifier.iter().map(|notifier| &notifier.name).collect());
}

/// Refuses patterns that no name can fall under: nothing would be left out, or taken, and nobody would know.
fn patterns(raw: &RawConfig, problems: &mut Problems<'_>) {
    for (index, source) in raw.mysql.iter().enumerate() {
        let mut check = |key: &str, patterns: &[String], of_tables: bool| {
            for pattern in patterns {
                if let Err(error) = name_pattern(pattern) {
                    problems.add(("mysql", index, key), format!("`{pattern}` is no pattern: {}", error.kind()));
                } else if of_tables && !pattern.contains(['.', '*', '?', '[', '{']) {
                    let message = format!(
                        "`{pattern}` would match nothing: tables are named with their schema; write `*.{pattern}` or `SCHEMA.{pattern}`"
                    );
                    problems.add(("mysql", index, key), message);
                }
            }
        };
        check("include_schemas", &source.include_schemas, false);
        check("exclude_schemas", source.exclude_schemas.as_deref().unwrap_or_default(), false);
        check("exclude_tables", &source.exclude_tables, true);
        check("exclude_rows", &source.exclude_rows, true);
        for patterns in source.tenants.values() {
            check("tenants", patterns, false);
        }
        for (name, _) in source.tenants.iter().filter(|(_, patterns)| patterns.is_empty()) {
            problems.add(("mysql", index, "tenants"), format!("tenant `{name}` has no patterns, so that no schema is its own; name some"));
        }
    }
}

/// Refuses secrets where every reader of the configuration would see them, and every set would carry them.
fn secrets_in_settings(raw: &RawConfig, problems: &mut Problems<'_>) {
    let destinations = raw.destination.iter().map(|destination| &destination.settings).enumerate().map(|one| ("destination", one));
    let notifiers = raw.notifier.iter().map(|notifier| &notifier.settings).enumerate().map(|one| ("notifier", one));
    for (table, (index, settings)) in destinations.chain(notifiers) {
        let settings = Value::Object(settings.clone().into_iter().collect());
        for key in secret_keys(&settings) {
            let message =
                format!("`{key}` looks like a secret; write it as secrets.{key} = {{ file = \"…\" }} so that it is in no configuration");
            problems.add((table, index, "settings"), message);
        }
    }
    for (index, hook) in raw.hook.iter().enumerate() {
        for key in hook.env.keys().filter(|key| is_secret(key)) {
            let message =
                format!("`{key}` looks like a secret; let the hook read it from a private file, so that it is in no configuration");
            problems.add(("hook", index, "env"), message);
        }
    }
}

/// Keys, however deep, under which a text stands that looks like a secret.
fn secret_keys(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(map) => {
            let one = |(key, value): (&'_ String, &'_ Value)| -> bool { value.is_string() && is_secret(key) };
            let mut found: Vec<&str> = map.iter().filter(|entry| one(*entry)).map(|(key, _)| key.as_str()).collect();
            found.extend(map.values().flat_map(secret_keys));
            found
        }
        Value::Array(items) => items.iter().flat_map(secret_keys).collect(),
        _ => Vec::new(),
    }
}

fn is_secret(key: &str) -> bool {
    let plain: String = key.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| plain.contains(word)) && !ABOUT_SECRETS.iter().any(|end| plain.ends_with(end))
}

/// Refuses a hook for something that does not exist: it would never run, and nobody would know.
fn hooks(raw: &RawConfig, problems: &mut Problems<'_>) {
    for (index, hook) in raw.hook.iter().enumerate() {
        let Some(wanted) = &hook.only_for else { continue };
        let (known, what): (Vec<String>, _) = match hook.when.as_str() {
            "before-source" | "after-source" => {
                let directories = raw.directory.iter().map(|directory| directory.path.display().to_string());
                (raw.mysql.iter().map(|source| source.name.clone()).chain(directories).collect(), "[[mysql]] source and no [[directory]]")
            }
            "before-copy" | "after-copy" => (raw.destination.iter().map(|copy| copy.name.clone()).collect(), "[[destination]]"),
            "before-run" | "after-run" => {
                problems.add(("hook", index, "for"), "a hook of the whole run is for nothing in particular; leave `for` out");
                continue;
            }
            _ => continue,
        };
        if !known.contains(wanted) {
            let message = format!("there is no {what} `{wanted}`, so the hook would never run; there are: {}", known.join(", "));
            problems.add(("hook", index, "for"), message);
        }
    }
}

/// The path itself, behind every symbolic link; as it is written where it is not there yet.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
}

/// Whether a pattern of the directory names exactly this path below it.
fn excludes(directory: &RawDirectory, path: &Path) -> bool {
    let root = real(&directory.path);
    directory.exclude.iter().any(|pattern| root.join(pattern.trim_matches('/')) == path)
}

fn directories_apart(raw: &RawConfig, problems: &mut Problems<'_>) {
    for (index, directory) in raw.directory.iter().enumerate() {
        let path = real(&directory.path);
        let meets = |other: &&RawDirectory| {
            let other = real(&other.path);
            path.starts_with(&other) || other.starts_with(&path)
        };
        if let Some(other) = raw.directory[..index].iter().find(meets) {
            let message =
                format!("`{}` and `{}` overlap: the same files would be backed up twice", directory.path.display(), other.path.display());
            problems.add(("directory", index, "path"), message);
        }
    }
}

fn spool_outside(raw: &RawConfig, storage: &StorageSettings, problems: &mut Problems<'_>) {
    let spool = real(&storage.spool);
    for (index, directory) in raw.directory.iter().enumerate() {
        if spool.starts_with(real(&directory.path)) && !excludes(directory, &spool) {
            let message = format!(
                "the spool `{}` lies inside: the backup would contain itself; move storage.spool_dir or exclude it",
                storage.spool.display()
            );
            problems.add(("directory", index, "path"), message);
        }
    }
}

/// Refuses a destination's directory inside a directory that is backed up: every set would hold the ones before it.
fn copies_outside(raw: &RawConfig, problems: &mut Problems<'_>) {
    for (index, destination) in raw.destination.iter().enumerate() {
        let Some(copies) = destination.grants.directory.as_deref().map(real) else { continue };
        for directory in &raw.directory {
            let root = real(&directory.path);
            if copies.starts_with(&root) && !excludes(directory, &copies) {
                let message = format!(
                    "it lies inside `{}`, which is backed up: every set would hold the ones before it; exclude it there",
                    root.display()
                );
                problems.add(("destination", index, "grants"), message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let raw: RawConfig = toml::from_str(text).expect("a configuration");
        let mut problems = Problems::new(text);
        let storage = StorageSettings {
            state: PathBuf::from("/nowhere"),
            spool: raw.storage.spool_dir.clone().unwrap_or_else(|| PathBuf::from("/nowhere/spool")),
            cache: PathBuf::from("/nowhere/cache"),
            reserve: 0,
            patience: std::time::Duration::ZERO,
        };
        check(&raw, &storage, &mut problems);
        problems.into_error(Path::new("x")).map_or_else(Vec::new, |error| error.problems.into_iter().map(|found| found.message).collect())
    }

    const HEAD: &str = "passphrase = { env = \"X\" }\n";

    #[test]
    fn a_secret_is_found_however_deep_and_however_it_is_written() {
        for (settings, key) in [
            ("{ apiToken = \"x\" }", "apiToken"),
            ("{ oauth = { client-secret = \"x\" } }", "client-secret"),
            ("{ accounts = [ { SENHA = \"x\" } ] }", "SENHA"),
        ] {
            let found = problems(&format!("{HEAD}[[destination]]\nname = \"a\"\nplugin = \"b\"\nsettings = {settings}\n"));
            assert!(found.len() == 1 && found[0].starts_with(&format!("`{key}` looks like a secret")), "{settings}: {found:?}");
        }
        let settings = "{ token_url = \"https://x\", access_key_id = \"AK\", refresh_tokens = true, secretary = 1, bucket = \"b\" }";
        assert!(problems(&format!("{HEAD}[[destination]]\nname = \"a\"\nplugin = \"b\"\nsettings = {settings}\n")).is_empty());
        let found =
            problems(&format!("{HEAD}[[hook]]\nwhen = \"before-run\"\nshell = \"x\"\nenv = {{ PGPASSWORD = \"x\", MODE = \"y\" }}\n"));
        assert!(found.len() == 1 && found[0].starts_with("`PGPASSWORD` looks like a secret"), "{found:?}");
    }

    #[test]
    fn a_hook_for_nothing_is_refused_with_what_there_is() {
        let hook = |when: &str, name: &str| {
            let source = "[[mysql]]\nname = \"main\"\nuser = \"u\"\n[[destination]]\nname = \"nas\"\nplugin = \"local\"\n";
            problems(&format!("{HEAD}{source}[[hook]]\nwhen = \"{when}\"\nshell = \"x\"\nfor = \"{name}\"\n"))
        };
        assert!(hook("before-source", "main").is_empty() && hook("after-copy", "nas").is_empty());
        assert_eq!(
            hook("before-source", "nas"),
            ["there is no [[mysql]] source and no [[directory]] `nas`, so the hook would never run; there are: main"]
        );
        assert_eq!(hook("before-copy", "main"), ["there is no [[destination]] `main`, so the hook would never run; there are: nas"]);
        assert_eq!(hook("after-run", "main"), ["a hook of the whole run is for nothing in particular; leave `for` out"]);
    }

    #[test]
    fn a_pattern_that_matches_nothing_is_refused() {
        let source = |patterns: &str| problems(&format!("{HEAD}[[mysql]]\nname = \"main\"\nuser = \"u\"\n{patterns}\n"));
        for key in ["include_schemas", "exclude_schemas", "exclude_tables", "exclude_rows"] {
            let found = source(&format!("{key} = [\"ok.*\", \"emp[\"]"));
            assert!(found.len() == 1 && found[0].starts_with("`emp[` is no pattern"), "{key}: {found:?}");
        }
        assert!(source("tenants = { acme = [\"{a\"] }")[0].starts_with("`{a` is no pattern"));
        assert!(source("tenants = { acme = [] }")[0].contains("has no patterns"));
        assert!(source("exclude_tables = [\"sessions\"]")[0].contains("write `*.sessions`"));
        assert!(source("exclude_rows = [\"loja.log_*\", \"*\"]\ntenants = { acme = [\"acme_*\"] }").is_empty());
    }

    #[test]
    fn a_symbolic_link_hides_no_overlap() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name).display().to_string();
        for name in ["data/inner/spool", "data/copies"] {
            std::fs::create_dir_all(directory.path().join(name)).expect("made");
        }
        std::os::unix::fs::symlink(directory.path().join("data"), directory.path().join("link")).expect("linked");
        let one = |name: &str| format!("[[directory]]\npath = \"{}\"\n", path(name));
        assert!(problems(&format!("{HEAD}{}{}", one("data"), one("link/inner")))[0].contains("overlap"));
        let spool = format!("storage = {{ spool_dir = \"{}\" }}\n", path("link/inner/spool"));
        assert!(problems(&format!("{HEAD}{spool}{}", one("data")))[0].contains("would contain itself"));
        let copies = format!("[[destination]]\nname = \"a\"\nplugin = \"local\"\ngrants = {{ directory = \"{}\" }}\n", path("link/copies"));
        assert!(problems(&format!("{HEAD}{copies}{}", one("data")))[0].contains("every set would hold"));
        let excluded = format!("{}exclude = [\"/copies/\"]\n", one("data"));
        assert!(problems(&format!("{HEAD}{copies}{excluded}")).is_empty());
    }
}
