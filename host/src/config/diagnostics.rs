//! Mistakes in a configuration, told so that they can be mended: file, line, key, what is wrong, what to write.

use std::fmt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;

use super::unknown::unknown_keys;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line, counted from 1, where it is known.
    pub line: Option<usize>,
    /// Key, for example `destination.cloud.plugin`.
    pub key: String,
    /// What is wrong, and the mend.
    pub message: String,
}

/// All mistakes of one configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it; at least one.
    pub problems: Vec<Problem>,
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}", self.path.display())?;
            if let Some(line) = problem.line {
                write!(f, ":{line}")?;
            }
            if !problem.key.is_empty() {
                write!(f, ": {}", problem.key)?;
            }
            write!(f, ": {}", problem.message)?;
        }
        Ok(())
    }
}

/// Collects mistakes while a configuration is resolved.
pub(super) struct Problems<'a> {
    text: &'a str,
    found: Vec<Problem>,
}

impl<'a> Problems<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, found: Vec::new() }
    }

    /// Adds a mistake at `key` of the `index`-th table `[[table]]` (or of `[table]`).
    pub(super) fn add(&mut self, (table, index, key): (&str, usize, &str), message: impl Into<String>) {
        let name = if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") };
        self.found.push(Problem { line: line_of(self.text, table, index, key), key: name, message: message.into() });
    }

    /// Keeps a value, or notes why there is none.
    pub(super) fn keep<T>(&mut self, place: (&str, usize, &str), result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.add(place, message)).ok()
    }

    /// All of them, in the order of the file.
    pub(super) fn into_error(mut self, path: &Path) -> Option<ConfigError> {
        self.found.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
        (!self.found.is_empty()).then(|| ConfigError { path: path.to_path_buf(), problems: self.found })
    }
}

/// The line of a key, by reading the text as a person would: the right table header, then the key below it, or the table of its own
/// that it has there.
fn line_of(text: &str, table: &str, index: usize, key: &str) -> Option<usize> {
    let mut parts = key.split(['.', '[']);
    let (first, second) = (parts.next().unwrap_or(key), parts.next());
    let (mut seen, mut inside, mut header) = (0, table.is_empty(), None);
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.starts_with('[') {
            let name = line.trim_start_matches('[').split(']').next().unwrap_or("").trim();
            if name == table {
                inside = seen == index;
                seen += 1;
                if inside {
                    header = Some(number + 1);
                }
            } else if inside && name == format!("{table}.{first}") {
                let mut below = text.lines().skip(number + 1).take_while(|line| !line.trim_start().starts_with('['));
                let of_key = second.and_then(|key| below.position(|line| is_of(line.trim_start(), key)));
                return Some(number + 1 + of_key.map_or(0, |lines| lines + 1));
            } else if !name.starts_with(&format!("{table}.")) {
                inside = false;
            }
        } else if inside && is_of(line, first) {
            return Some(number + 1);
        }
    }
    header
}

/// Whether a line gives a key its value, or a part of it.
fn is_of(line: &str, key: &str) -> bool {
    line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(['=', '.']))
}

/// What is wrong with the TOML itself, or all keys that do not exist in an `S`.
pub(super) fn syntax<S: JsonSchema>(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    let message = error.message().trim().replace('\n', " ");
    let mut problems = if message.starts_with("unknown field") { unknown_keys::<S>(text) } else { Vec::new() };
    if problems.is_empty() {
        problems.push(Problem { line, key: String::new(), message });
    }
    ConfigError { path: path.to_path_buf(), problems }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_its_own_table() {
        let text =
            "locale = 'x'\n[[destination]]\nname = 'a'\n[[destination]]\nname = 'b'\nplugin = 's3'\n[destination.grants]\nnetwork = []\n";
        assert_eq!(line_of(text, "destination", 1, "plugin"), Some(6));
        assert_eq!(line_of(text, "destination", 0, "name"), Some(3));
        assert_eq!(line_of(text, "destination", 1, "grants.network"), Some(8));
        assert_eq!(line_of(text, "", 0, "locale"), Some(1));
        let text = "[[destination]]\nsettings = { a = 1 }\n[[destination]]\nname = 'b'\n[destination.settings]\nb = 1\nhosts = [1]\n";
        assert_eq!(line_of(text, "destination", 0, "settings.a"), Some(2));
        assert_eq!(line_of(text, "destination", 1, "settings.hosts[0]"), Some(7));
        assert_eq!(line_of(text, "destination", 1, "settings.absent"), Some(5));
    }
}
