//! `cargo xtask check-layers`: the host's modules depend one way, as docs and `host/src/lib.rs` tell, and each large library stays in
//! the one module that wraps it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

/// What each module may use. A module that is not listed here is a mistake: it has no place in the order yet.
const ALLOWED: [(&str, &[&str]); 27] = [
    ("access", &["owner"]),
    ("audit", &["owner"]),
    ("ports", &[]),
    ("owner", &[]),
    ("tls", &[]),
    ("trend", &[]),
    ("pipeline", &["ports"]),
    ("set", &["ports"]),
    ("retention", &["set"]),
    ("schedule", &[]),
    ("monitor", &["tls", "trend"]),
    ("source", &["ports", "pipeline"]),
    ("plugin", &["ports", "tls"]),
    ("catalog", &["ports", "set", "owner", "monitor"]),
    ("spool", &["ports", "set", "owner"]),
    ("copy", &["ports", "pipeline", "set", "spool"]),
    ("config", &["ports", "pipeline", "copy", "retention", "schedule", "monitor", "notify"]),
    ("hooks", &["ports", "config"]),
    ("notify", &["ports", "schedule"]),
    ("report", &["catalog", "config", "trend"]),
    ("text", &["ports", "access", "audit", "config", "retention", "monitor", "notify", "report"]),
    (
        "job",
        &[
            "ports",
            "access",
            "owner",
            "audit",
            "pipeline",
            "set",
            "retention",
            "schedule",
            "monitor",
            "source",
            "plugin",
            "catalog",
            "spool",
            "copy",
            "config",
            "hooks",
            "notify",
            "report",
            "text",
        ],
    ),
    ("page", &["text"]),
    (
        "web",
        &[
            "access",
            "ports",
            "audit",
            "owner",
            "tls",
            "retention",
            "spool",
            "set",
            "catalog",
            "config",
            "page",
            "plugin",
            "report",
            "text",
            "job",
        ],
    ),
    ("daemon", &["ports", "audit", "retention", "spool", "catalog", "config", "schedule", "notify", "report", "text", "job"]),
    (
        "cli",
        &[
            "ports",
            "access",
            "audit",
            "pipeline",
            "set",
            "retention",
            "source",
            "plugin",
            "catalog",
            "spool",
            "copy",
            "config",
            "hooks",
            "notify",
            "report",
            "text",
            "job",
            "schedule",
            "monitor",
            "tls",
            "daemon",
            "web",
        ],
    ),
    ("main", &["cli"]),
];

/// Where a library may be named: a module, or one of its files.
const LIBRARIES: [(&str, &[&str]); 7] = [
    ("axum", &["web"]),
    ("wasmtime", &["plugin"]),
    ("wasmtime_wasi", &["plugin"]),
    ("wasmtime_wasi_http", &["plugin"]),
    ("rusqlite", &["catalog", "access"]),
    ("mysql_async", &["source"]),
    ("clap", &["cli", "config/raw.rs"]),
];

/// Checks every file below `source`.
///
/// # Errors
/// With every violation, or when a file cannot be read.
pub(crate) fn check(source: &Path) -> Result<()> {
    let (mut violations, mut count) = (Vec::new(), 0);
    for file in rust_files(source)? {
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let relative = file.strip_prefix(source).unwrap_or(&file).to_owned();
        violations.extend(violations_in(&relative, &text));
        count += 1;
    }
    ensure!(count > 0, "no Rust file below {}", source.display());
    if violations.is_empty() {
        println!("layers: {count} files depend one way");
        return Ok(());
    }
    bail!("{} dependencies go the wrong way:\n{}", violations.len(), violations.join("\n"))
}

fn rust_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// What a file, named from `src`, uses and must not.
fn violations_in(file: &Path, text: &str) -> Vec<String> {
    let first = file.iter().next().map(|name| name.to_string_lossy().trim_end_matches(".rs").to_owned()).unwrap_or_default();
    if first == "lib" {
        return Vec::new();
    }
    let Some((_, allowed)) = ALLOWED.iter().find(|(module, _)| *module == first) else {
        return vec![format!("{}: module `{first}` has no place in the order: give it one in xtask/src/layers.rs", file.display())];
    };
    let code = without_comments(text);
    let mut found = Vec::new();
    let own_crate = if first == "main" { "cofre::" } else { "crate::" };
    for used in used_modules(&code, own_crate) {
        // Only names of modules count: `crate::Result` would be an item of lib.rs, which has none.
        if used != first && !allowed.contains(&used.as_str()) {
            found.push(format!("{}: `{first}` must not use `{used}`", file.display()));
        }
    }
    for (library, homes) in LIBRARIES {
        let at_home = homes.iter().any(|home| *home == first || Path::new(home) == file);
        if !at_home && mentions(&code, library) {
            found.push(format!("{}: `{library}` is named outside {}", file.display(), homes.join(" and ")));
        }
    }
    found
}

/// The text without `//` comments, which may name whatever they explain.
fn without_comments(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

/// The modules that follow `prefix`, alone or in braces: `crate::a::b`, `crate::{a, b::{c, d}}`.
fn used_modules(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        if code[..at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            used.extend(top_level_names(group));
        } else {
            used.insert(name_at(rest));
        }
    }
    used.remove("");
    used
}

/// First names of the comma-separated paths up to the brace that closes the group.
fn top_level_names(group: &str) -> Vec<String> {
    let (mut names, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(name_at(group[start..at].trim_start()));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(name_at(group[start..at].trim_start()));
                start = at + 1;
            }
            _ => {}
        }
    }
    names
}

fn name_at(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

/// Whether a crate's name is used as the start of a path.
fn mentions(code: &str, library: &str) -> bool {
    code.match_indices(library).any(|(at, _)| {
        let before = code[..at].chars().next_back().unwrap_or(' ');
        let after = &code[at + library.len()..];
        !(before.is_alphanumeric() || before == '_' || before == '"')
            && (after.starts_with("::") || (code[..at].ends_with("use ") && after.starts_with(';')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violations(file: &str, text: &str) -> usize {
        violations_in(Path::new(file), text).len()
    }

    #[test]
    fn a_dependency_upwards_is_found_however_it_is_written() {
        assert_eq!(violations("pipeline/gzip.rs", "use crate::job::run;"), 1);
        assert_eq!(violations("set/seal.rs", "fn f() { crate::plugin::load() }"), 1);
        assert_eq!(violations("source/files/mod.rs", "use crate::{ports::Meter, pipeline::{tar, Gzip}, catalog::Catalog};"), 1);
        assert_eq!(violations("catalog/mod.rs", "use crate::{\n    cli,\n    job::{self, Context},\n    set,\n};"), 2);
        assert_eq!(violations("main.rs", "use cofre::job::run;"), 1);
    }

    #[test]
    fn a_library_outside_its_module_is_found() {
        assert_eq!(violations("job/run.rs", "use wasmtime::Store;"), 1);
        assert_eq!(violations("job/run.rs", "fn f(e: rusqlite::Error) {}"), 1);
        assert_eq!(violations("config/resolved.rs", "#[derive(clap::ValueEnum)] enum A {}"), 1);
        assert_eq!(violations("config/raw.rs", "#[derive(clap::ValueEnum)] enum A {}"), 0);
        assert_eq!(violations("plugin/contract/v1_0.rs", "use wasmtime::Store; use wasmtime_wasi::ResourceTable;"), 0);
    }

    #[test]
    fn what_is_allowed_passes() {
        assert_eq!(violations("job/run.rs", "use crate::copy::Copy; use crate::job::Context; use crate::{source, set};"), 0);
        assert_eq!(violations("pipeline/tar/mod.rs", "//! See [`crate::job`].\nuse crate::ports::Meter; // crate::cli"), 0);
        assert_eq!(violations("cli/mod.rs", "let a = \"wasmtime is fast\"; other_crate::job::x();"), 0);
    }

    #[test]
    fn a_new_module_needs_a_place_in_the_order() {
        assert_eq!(violations("novelty/mod.rs", ""), 1);
    }
}
