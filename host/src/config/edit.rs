//! Changes to the file that an administrator wrote: what is asked for changes, every comment, order and space beside it stays.
//!
//! What makes cofre run a program (hooks, a secret by `command`), where its own files lie, and what is encrypted with, is changed in the
//! file alone: whoever gets into the page gets no shell by it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};
use similar::{ChangeTag, TextDiff};
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike, Value};

/// Tables that can be changed; `""` is the top of the file.
const TABLES: [&str; 5] = ["", "compression", "retention", "run", "tenant_delivery"];
/// Keys of the top of the file that can be changed.
const TOP: [&str; 2] = ["locale", "time_zone"];
/// Lists that can be changed, and the key by which an entry is known.
const LISTS: [(&str, &str); 6] =
    [("mysql", "name"), ("directory", "path"), ("destination", "name"), ("notifier", "name"), ("job", "name"), ("check", "name")];
/// A key that makes a program run.
const COMMAND: &str = "command";
/// Changes at once.
const CHANGES_MAX: usize = 200;
/// Lines around a difference.
const AROUND: usize = 3;

/// One change. Values lie over what is there as in a merge patch (RFC 7396): `null` takes a key away, and an object is merged in turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "change", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Change {
    /// Keys of a table.
    Table {
        /// Its name; empty is the top of the file.
        #[serde(default)]
        table: String,
        /// Keys.
        values: Map<String, Json>,
    },
    /// An entry of a list, which is added where there is none.
    Entry {
        /// Name of the list, such as `destination`.
        list: String,
        /// Name of the entry; of a directory its path.
        id: String,
        /// Keys. Another name renames the entry.
        values: Map<String, Json>,
    },
    /// An entry of a list goes.
    Remove {
        /// Name of the list.
        list: String,
        /// Name of the entry.
        id: String,
    },
}

/// Why a file cannot be changed as asked.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// It is no TOML.
    #[error("the file cannot be read as TOML, and is changed by hand: {0}")]
    Syntax(String),
    /// What is asked for is only changed in the file itself.
    #[error("`{0}` is changed in the file itself, not from here")]
    ByHand(String),
    /// What is asked for is not there, or makes no sense.
    #[error("{0}")]
    Request(String),
}

/// A line of a difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DiffLine {
    /// `+`, `-` or a space.
    pub sign: char,
    /// The line without its end.
    pub text: String,
}

/// The text with the changes made.
///
/// # Errors
/// When it is no TOML, or one of them is not possible here. Whether the result means anything is not looked at.
pub fn edited(text: &str, changes: &[Change]) -> Result<String, EditError> {
    if changes.len() > CHANGES_MAX {
        return Err(EditError::Request(format!("these are {} changes; send at most {CHANGES_MAX} at once", changes.len())));
    }
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| EditError::Syntax(error.message().to_owned()))?;
    for change in changes {
        match change {
            Change::Table { table, values } => change_table(&mut document, table, values)?,
            Change::Entry { list, id, values } => change_entry(&mut document, list, id, values)?,
            Change::Remove { list, id } => remove_entry(&mut document, list, id)?,
        }
    }
    Ok(document.to_string())
}

/// What the file says, as JSON. It names the places of secrets, and no secret.
///
/// # Errors
/// When it is no TOML.
pub fn values(text: &str) -> Result<Json, EditError> {
    toml::from_str(text).map_err(|error: toml::de::Error| EditError::Syntax(error.message().to_owned()))
}

/// Which version of a file somebody changes: its SHA-256 in lower-case hex.
pub fn revision(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// What is different, with some lines around each place and an empty line between two; nothing where nothing is.
pub fn difference(before: &str, after: &str) -> Vec<DiffLine> {
    let diff = TextDiff::from_lines(before, after);
    let mut lines = Vec::new();
    for group in diff.grouped_ops(AROUND) {
        if !lines.is_empty() {
            lines.push(DiffLine { sign: ' ', text: String::new() });
        }
        for change in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
            let sign = match change.tag() {
                ChangeTag::Insert => '+',
                ChangeTag::Delete => '-',
                ChangeTag::Equal => ' ',
            };
            lines.push(DiffLine { sign, text: change.value().trim_end_matches(['\n', '\r']).to_owned() });
        }
    }
    lines
}

fn change_table(document: &mut DocumentMut, name: &str, values: &Map<String, Json>) -> Result<(), EditError> {
    if !TABLES.contains(&name) {
        return Err(EditError::ByHand(name.to_owned()));
    }
    if name.is_empty() {
        if let Some(key) = values.keys().find(|key| !TOP.contains(&key.as_str())) {
            return Err(EditError::ByHand(key.clone()));
        }
        return merge(document.as_table_mut(), values, "");
    }
    let table = document.entry(name).or_insert_with(|| Item::Table(Table::new()));
    let table = table.as_table_like_mut().ok_or_else(|| EditError::Request(format!("`{name}` is no table in the file")))?;
    merge(table, values, name)
}

fn key_of(list: &str) -> Result<&'static str, EditError> {
    LISTS.iter().find(|(name, _)| *name == list).map(|(_, key)| *key).ok_or_else(|| EditError::ByHand(list.to_owned()))
}

fn entries<'a>(document: &'a mut DocumentMut, list: &str) -> Result<&'a mut ArrayOfTables, EditError> {
    let item = document.entry(list).or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    item.as_array_of_tables_mut().ok_or_else(|| EditError::ByHand(format!("{list} = […]")))
}

fn place_of(list: &ArrayOfTables, key: &str, id: &str) -> Option<usize> {
    list.iter().position(|entry| entry.get(key).and_then(Item::as_str) == Some(id))
}

fn change_entry(document: &mut DocumentMut, list: &str, id: &str, values: &Map<String, Json>) -> Result<(), EditError> {
    let key = key_of(list)?;
    let entries = entries(document, list)?;
    let place = match place_of(entries, key, id) {
        Some(place) => place,
        None => {
            let mut entry = Table::new();
            entry.insert(key, toml_edit::value(id));
            // An empty line before it, as people write them.
            entry.decor_mut().set_prefix("\n");
            entries.push(entry);
            entries.len() - 1
        }
    };
    let entry = entries.get_mut(place).ok_or_else(|| EditError::Request(format!("{list} `{id}` is not there")))?;
    merge(entry, values, list)
}

fn remove_entry(document: &mut DocumentMut, list: &str, id: &str) -> Result<(), EditError> {
    let key = key_of(list)?;
    let entries = entries(document, list)?;
    let place = place_of(entries, key, id).ok_or_else(|| EditError::Request(format!("there is no {list} `{id}`")))?;
    entries.remove(place);
    if entries.is_empty() {
        document.remove(list);
    }
    Ok(())
}

/// Lays values over a table.
fn merge(table: &mut dyn TableLike, values: &Map<String, Json>, path: &str) -> Result<(), EditError> {
    for (key, value) in values {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if key == COMMAND && !value.is_null() {
            return Err(EditError::ByHand(path));
        }
        let found = table.get_mut(key);
        match (value, found) {
            (Json::Null, _) => drop(table.remove(key)),
            (Json::Object(values), Some(item)) if item.is_table_like() => {
                let inner = item.as_table_like_mut().ok_or_else(|| EditError::Request(format!("`{path}` is no table")))?;
                let keys = inner.len();
                merge(inner, values, &path)?;
                if let Some(inline) = item.as_inline_table_mut().filter(|inline| inline.len() != keys) {
                    inline.fmt();
                }
            }
            (value, Some(item)) => replace(item, value, &path)?,
            (value, None) => drop(table.insert(key, Item::Value(fresh(value, &path)?))),
        }
    }
    Ok(())
}

/// Puts another value in the place of one, with the comment behind it; one that says the same is not touched.
fn replace(item: &mut Item, value: &Json, path: &str) -> Result<(), EditError> {
    let Some(old) = item.as_value() else {
        return Err(EditError::Request(format!("`{path}` is a table in the file")));
    };
    let mut new = fresh(value, path)?;
    if meaning(old) == meaning(&new) {
        return Ok(());
    }
    *new.decor_mut() = old.decor().clone();
    *item = Item::Value(new);
    Ok(())
}

/// What a value says, however it is written.
fn meaning(value: &Value) -> Option<Json> {
    match value {
        Value::String(text) => Some(Json::from(text.value().as_str())),
        Value::Integer(number) => Some(Json::from(*number.value())),
        Value::Float(number) => Some(Json::from(*number.value())),
        Value::Boolean(truth) => Some(Json::from(*truth.value())),
        Value::Datetime(_) => None,
        Value::Array(list) => list.iter().map(meaning).collect::<Option<Vec<_>>>().map(Json::from),
        Value::InlineTable(table) => {
            table.iter().map(|(key, value)| Some((key.to_owned(), meaning(value)?))).collect::<Option<Map<_, _>>>().map(Json::from)
        }
    }
}

fn fresh(value: &Json, path: &str) -> Result<Value, EditError> {
    Ok(match value {
        Json::Null => return Err(EditError::Request(format!("`{path}` cannot be empty here"))),
        Json::Bool(truth) => (*truth).into(),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(number)) if number.is_finite() => number.into(),
            _ => return Err(EditError::Request(format!("`{path}`: {number} is too large"))),
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(list) => {
            let list: Result<Array, EditError> = list.iter().map(|value| fresh(value, path)).collect();
            list?.into()
        }
        Json::Object(values) => {
            let mut table = InlineTable::new();
            merge(&mut table, values, path)?;
            table.into()
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const TEXT: &str = "\
# Backups of the ERP.
locale = \"pt-BR\"   # of the reports

[passphrase]
file = \"/etc/cofre/passphrase\"

[[destination]]  # the disk
name = \"disco\"
plugin = \"local\"
grants = { directory = \"/backup\", delete = true } # all of it

# Far away.
[[destination]]
name = \"nuvem\"
plugin = \"s3\"
[destination.settings]
bucket = \"erp\"  # do not rename
region = \"sa-east-1\"

[[hook]]
when = \"before-run\"
shell = \"true\"
";

    fn entry(list: &str, id: &str, values: Json) -> Change {
        Change::Entry { list: list.to_owned(), id: id.to_owned(), values: values.as_object().expect("an object").clone() }
    }

    fn table(name: &str, values: Json) -> Change {
        Change::Table { table: name.to_owned(), values: values.as_object().expect("an object").clone() }
    }

    /// The difference as one text.
    fn shown(changes: &[Change]) -> String {
        let after = edited(TEXT, changes).expect("possible");
        let lines = difference(TEXT, &after);
        lines.iter().filter(|line| line.sign != ' ').map(|line| format!("{}{}\n", line.sign, line.text)).collect()
    }

    #[test]
    fn only_what_was_asked_for_is_different() {
        assert_eq!(shown(&[]), "");
        assert_eq!(
            shown(&[table("", json!({ "locale": "en" }))]),
            "-locale = \"pt-BR\"   # of the reports\n+locale = \"en\"   # of the reports\n"
        );
        let bucket = entry("destination", "nuvem", json!({ "settings": { "bucket": "erp2", "region": "sa-east-1" } }));
        assert_eq!(shown(&[bucket]), "-bucket = \"erp\"  # do not rename\n+bucket = \"erp2\"  # do not rename\n");
        let grants = entry("destination", "disco", json!({ "grants": { "delete": null } }));
        let line = "grants = { directory = \"/backup\", delete = true } # all of it";
        assert_eq!(shown(&[grants]), format!("-{line}\n+{}\n", line.replace(", delete = true", "")));
        let removed = Change::Remove { list: "destination".to_owned(), id: "disco".to_owned() };
        assert!(edited(TEXT, &[removed]).expect("there").contains("# Far away.\n[[destination]]\nname = \"nuvem\""));
    }

    #[test]
    fn what_is_new_is_written_as_people_write_it() {
        let added = [
            entry("job", "noite", json!({ "action": "run", "schedule": "0 1 * * *", "only": ["sql"], "retention": { "keep_last": 3 } })),
            table("compression", json!({ "algorithm": "zstd", "level": 3 })),
        ];
        let after = edited(TEXT, &added).expect("possible");
        let new =
            "\n[[job]]\nname = \"noite\"\naction = \"run\"\nonly = [\"sql\"]\nretention = { keep_last = 3 }\nschedule = \"0 1 * * *\"\n";
        assert!(after.contains(new), "{after}");
        assert!(after.contains("[compression]\nalgorithm = \"zstd\"\nlevel = 3\n"), "{after}");
        assert_eq!(values(&after).expect("TOML")["job"][0]["only"], json!(["sql"]));
        assert_eq!(edited(&after, &added).expect("possible"), after, "the same once more changes nothing");
    }

    #[test]
    fn nothing_here_makes_a_program_run_or_moves_what_is_cofres_own() {
        let refused = |change: Change| edited(TEXT, &[change]).expect_err("refused").to_string();
        for (change, what) in [
            (entry("hook", "x", json!({ "shell": "rm -rf /" })), "hook"),
            (table("storage", json!({ "state_dir": "/tmp" })), "storage"),
            (table("encryption", json!({ "kdf": "legacy" })), "encryption"),
            (table("plugins", json!({ "require_signed": false })), "plugins"),
            (table("passphrase", json!({ "file": "/tmp/x" })), "passphrase"),
            (table("", json!({ "passphrase": { "file": "/tmp/x" } })), "passphrase"),
            (table("", json!({ "hook": [{ "shell": "id" }] })), "hook"),
            (entry("mysql", "main", json!({ "password": { "command": ["id"] } })), "mysql.password.command"),
            (entry("destination", "nuvem", json!({ "secrets": { "key": { "command": ["id"] } } })), "destination.secrets.key.command"),
        ] {
            assert!(refused(change).starts_with(&format!("`{what}`")), "{what}");
        }
        assert!(refused(Change::Remove { list: "destination".to_owned(), id: "lua".to_owned() }).contains("no destination `lua`"));
        assert!(matches!(edited("a = = 1", &[]), Err(EditError::Syntax(_))));
        assert!(matches!(edited("job = []", &[entry("job", "a", json!({}))]), Err(EditError::ByHand(_))));
    }

    proptest! {
        #[test]
        fn whatever_text_is_written_is_read_again(name in "\\PC{1,40}", text in "(?s).{0,80}", number in any::<i64>()) {
            let change = entry("destination", &name, json!({ "plugin": text, "settings": { "a": [text, number], (name.clone()): number } }));
            // A key that would make a program run is refused, and nothing else is.
            prop_assume!(name != COMMAND);
            let after = edited(TEXT, &[change]).expect("possible");
            let read = values(&after).expect("TOML");
            let found = read["destination"].as_array().expect("a list").iter().find(|one| one["name"] == name.as_str()).expect("there");
            prop_assert_eq!(&found["plugin"], &json!(text));
            prop_assert_eq!(&found["settings"]["a"], &json!([text, number]));
            prop_assert!(after.starts_with("# Backups of the ERP.\nlocale = \"pt-BR\"   # of the reports\n"));
        }
    }
}
