//! Keys that do not exist: all of them at once, each with its line and the key that was probably meant. The JSON Schema of the
//! configuration knows which keys there are.

use schemars::JsonSchema;
use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::diagnostics::Problem;

/// Letters by which a key may differ from one that exists to be taken for it.
const DISTANCE_MAX: usize = 3;

/// The unknown keys of a file that is to be an `S`; none where it is no TOML at all.
pub(super) fn unknown_keys<S: JsonSchema>(text: &str) -> Vec<Problem> {
    let Ok(table) = DeTable::parse(text) else { return Vec::new() };
    let Ok(schema) = serde_json::to_value(schemars::schema_for!(S)) else { return Vec::new() };
    let mut walk = Walk { text, schema: &schema, found: Vec::new() };
    walk.table(table.get_ref(), &schema, "");
    walk.found.sort_by_key(|problem| problem.line);
    walk.found
}

struct Walk<'a> {
    text: &'a str,
    schema: &'a Value,
    found: Vec<Problem>,
}

impl<'a> Walk<'a> {
    fn table(&mut self, table: &DeTable<'_>, schema: &'a Value, path: &str) {
        let schema = self.resolve(schema);
        let known = schema.get("properties").and_then(Value::as_object);
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let further = schema.get("additionalProperties");
            match known.and_then(|known| known.get(name)).or(further.filter(|further| further.is_object())) {
                Some(next) => self.value(value.get_ref(), next, &format!("{path}{name}.")),
                None if further == Some(&Value::Bool(false)) => {
                    let line = self.text[..key.span().start.min(self.text.len())].matches('\n').count() + 1;
                    let suggestion = suggestion(name, known.into_iter().flat_map(|known| known.keys()));
                    let message = format!("the key `{name}` does not exist here{suggestion}");
                    self.found.push(Problem { line: Some(line), key: path.trim_end_matches('.').to_owned(), message });
                }
                None => {}
            }
        }
    }

    fn value(&mut self, value: &DeValue<'_>, schema: &'a Value, path: &str) {
        let schema = self.resolve(schema);
        if let Some(table) = value.as_table() {
            self.table(table, schema, path);
        } else if let (Some(items), Some(schema)) = (value.as_array(), schema.get("items")) {
            for item in items {
                self.value(item.get_ref(), schema, path);
            }
        }
    }

    /// What a reference points to; of a choice, the one that has keys.
    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let choices = schema.get("anyOf").and_then(Value::as_array);
        let schema = choices.and_then(|choices| choices.iter().find(|choice| choice.get("$ref").is_some())).unwrap_or(schema);
        let pointer = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
        pointer.and_then(|pointer| self.schema.pointer(pointer)).unwrap_or(schema)
    }
}

fn suggestion<'a>(unknown: &str, known: impl Iterator<Item = &'a String>) -> String {
    let close = known.map(|name| (strsim::damerau_levenshtein(unknown, name), name)).min();
    close.filter(|(distance, _)| *distance <= DISTANCE_MAX).map_or_else(String::new, |(_, name)| format!("; did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RawConfig;

    #[test]
    fn every_unknown_key_is_told_with_its_line_and_the_one_that_was_meant() {
        let text = "lokale = 'en'\npassphrase = { fil = 'x' }\n[[mysql]]\nname = 'a'\nuser = 'u'\npassword = { evn = 'x' }\n\
                    [mysql.tenants]\nanything = ['a']\n[[destination]]\nname = 'b'\nplugin = 's3'\nsettings = { what = 1 }\n\
                    secrets = { key = { flie = 'x' } }\n[destination.grants]\nnetworks = []\nzzzzzzzz = 1\n";
        let found: Vec<_> = unknown_keys::<RawConfig>(text)
            .iter()
            .map(|problem| format!("{:?} {}: {}", problem.line, problem.key, problem.message))
            .collect();
        insta::assert_snapshot!(found.join("\n"), @r"
        Some(1) : the key `lokale` does not exist here; did you mean `locale`?
        Some(2) passphrase: the key `fil` does not exist here; did you mean `file`?
        Some(6) mysql.password: the key `evn` does not exist here; did you mean `env`?
        Some(13) destination.secrets.key: the key `flie` does not exist here; did you mean `file`?
        Some(15) destination.grants: the key `networks` does not exist here; did you mean `network`?
        Some(16) destination.grants: the key `zzzzzzzz` does not exist here
        ");
    }

    #[test]
    fn what_exists_is_never_told() {
        for text in [include_str!("../text/cofre.pt-BR.toml"), include_str!("../text/cofre.en.toml")] {
            assert_eq!(unknown_keys::<RawConfig>(text), []);
        }
    }
}
