//! An entry of the configuration as a form has it: read from what was posted, laid over what is written, and sent on as a merge patch of
//! what is different.

use serde_json::{Map, Value};

use crate::page::form::{Keeper, Kept, read_secret};
use crate::text::Locale;

/// An entry that a form changes.
pub(super) struct Entry<'a> {
    posted: &'a [(String, String)],
    locale: Locale,
    /// As it will be.
    pub values: Map<String, Value>,
    /// What cannot be read: name of the field, and why.
    pub faults: Vec<(String, String)>,
}

impl<'a> Entry<'a> {
    /// Begins with what is written now.
    pub(super) fn new(current: &Map<String, Value>, posted: &'a [(String, String)], locale: Locale) -> Self {
        Self { posted, locale, values: current.clone(), faults: Vec::new() }
    }

    /// What was posted under a name. The name that a thing has now is posted before the field of the same name.
    pub(super) fn posted(&self, name: &str) -> &'a str {
        self.posted.iter().rev().find(|(known, _)| known == name).map_or("", |(_, value)| value.trim())
    }

    /// A text that must say something, of which the button that was pressed has the name too, and comes last.
    pub(super) fn needed_before_the_button(&mut self, key: &str) {
        let mut posted = self.posted.iter().filter(|(known, _)| known == key).map(|(_, value)| value.trim());
        let text = posted.next().filter(|text| posted.next().is_some() && !text.is_empty());
        if text.is_none() {
            self.fault(key, ("preencha este campo", "fill this in"));
        }
        self.set(key, text.map(Value::from));
    }

    /// All that was posted.
    pub(super) fn all(&self) -> &'a [(String, String)] {
        self.posted
    }

    /// Puts a value at a key, of a table below the entry where there is a dot; takes it away where there is none.
    pub(super) fn set(&mut self, key: &str, value: Option<Value>) {
        let (table, key) = match key.split_once('.') {
            None => (&mut self.values, key),
            Some((table, key)) => {
                let inner = self.values.entry(table).or_insert_with(|| Value::Object(Map::new()));
                let Value::Object(inner) = inner else { return };
                (inner, key)
            }
        };
        match value {
            Some(value) => drop(table.insert(key.to_owned(), value)),
            None => drop(table.remove(key)),
        }
    }

    /// Notes what is wrong with a field.
    pub(super) fn fault(&mut self, name: &str, (portuguese, english): (&str, &str)) {
        self.faults.push((name.to_owned(), self.locale.pick(portuguese, english).to_owned()));
    }

    /// A text; an empty one is left out.
    pub(super) fn text(&mut self, key: &str) {
        let text = self.posted(key);
        self.set(key, (!text.is_empty()).then(|| Value::from(text)));
    }

    /// A text that must say something.
    pub(super) fn needed(&mut self, key: &str) {
        self.text(key);
        if self.posted(key).is_empty() {
            self.fault(key, ("preencha este campo", "fill this in"));
        }
    }

    /// Texts, one a line; none are left out.
    pub(super) fn lines(&mut self, key: &str) {
        let lines: Vec<Value> = self.posted(key).lines().map(str::trim).filter(|line| !line.is_empty()).map(Value::from).collect();
        self.set(key, (!lines.is_empty()).then_some(Value::Array(lines)));
    }

    /// A whole number; an empty one is left out.
    pub(super) fn count(&mut self, key: &str) {
        let text = self.posted(key);
        let number = text.parse::<u32>().ok();
        if !text.is_empty() && number.is_none() {
            self.fault(key, ("não é um número inteiro", "is not a whole number"));
        }
        // What cannot be read is shown again as it was typed.
        self.set(key, (!text.is_empty()).then(|| number.map_or_else(|| Value::from(text), Value::from)));
    }

    /// On or off; what is as it is anyway needs no word.
    pub(super) fn flag(&mut self, key: &str, default: bool) {
        let on = !self.posted(key).is_empty();
        if on != default || has(&self.values, key) {
            self.set(key, Some(Value::Bool(on)));
        }
    }

    /// Where a secret is kept, posted under the key.
    pub(super) fn secret(&mut self, key: &str, current: Option<&Value>) {
        let now = current.and_then(kept);
        let wanted = read_secret(key, self.posted);
        match &wanted {
            // As it was, with all that the file says of it.
            wanted if *wanted == now => return,
            Some(Kept { keeper: Keeper::Command, .. }) => {
                let words = ("um comando só se escreve no próprio arquivo", "a command is written in the file itself");
                self.fault(key, words);
            }
            _ => {}
        }
        self.set(key, wanted.map(|kept| Value::Object(Map::from_iter([(kept.keeper.name().to_owned(), Value::from(kept.place))]))));
    }
}

fn has(values: &Map<String, Value>, key: &str) -> bool {
    match key.split_once('.') {
        None => values.contains_key(key),
        Some((table, key)) => values.get(table).is_some_and(|table| table.get(key).is_some()),
    }
}

/// A text of an entry, with a number as it is written.
pub(super) fn text(values: &Map<String, Value>, key: &str) -> String {
    match values.get(key) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Texts of an entry.
pub(super) fn texts(value: Option<&Value>) -> Vec<String> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A flag of an entry.
pub(super) fn flag(value: Option<&Value>, default: bool) -> bool {
    value.and_then(Value::as_bool).unwrap_or(default)
}

/// Where a secret is kept.
pub(super) fn kept(value: &Value) -> Option<Kept> {
    Keeper::ALL.into_iter().find_map(|keeper| {
        let place = match value.get(keeper.name())? {
            Value::String(place) => place.clone(),
            words => texts(Some(words)).join(" "),
        };
        Some(Kept { keeper, place })
    })
}

/// What makes `after` of `before`, as a merge patch (RFC 7396). Tables that would be empty are not begun.
pub(super) fn patch(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let gone = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let mut patched: Map<String, Value> = gone.collect();
    for (key, value) in after {
        match (before.get(key), value) {
            (Some(old), new) if old == new => {}
            (Some(Value::Object(old)), Value::Object(new)) => drop(patched.insert(key.clone(), Value::Object(patch(old, new)))),
            (None, Value::Object(new)) if new.is_empty() => {}
            (_, new) => drop(patched.insert(key.clone(), new.clone())),
        }
    }
    patched
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn what_was_not_touched_is_not_in_the_patch() {
        let now =
            object(&json!({ "user": "u", "port": 3306, "password": { "command": ["pass", "db"] }, "include_schemas": ["a"], "x": 1 }));
        let posted = [
            ("name", "old"),
            ("name", "new"),
            ("user", "u"),
            ("port", "3306"),
            ("include_schemas", " a \r\n\r\n"),
            ("password.kind", "command"),
            ("password.place", "pass db"),
        ];
        let posted = posted.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut entry = Entry::new(&now, &posted, Locale::En);
        entry.text("name");
        entry.text("user");
        entry.count("port");
        entry.lines("include_schemas");
        entry.secret("password", now.get("password"));
        entry.flag("grants.delete", false);
        assert_eq!((Value::from(patch(&now, &entry.values)), entry.faults), (json!({ "name": "new" }), Vec::new()));
    }

    #[test]
    fn what_is_empty_goes_and_what_cannot_be_read_is_named() {
        let now = object(&json!({ "socket": "/x", "port": 1, "secrets": { "key": { "file": "/a" } }, "one_file_system": true }));
        let posted = [("port", "many"), ("secrets.key.kind", "env"), ("secrets.key.place", "KEY")];
        let posted = posted.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut entry = Entry::new(&now, &posted, Locale::En);
        entry.text("socket");
        entry.count("port");
        entry.secret("secrets.key", now["secrets"].get("key"));
        entry.flag("one_file_system", true);
        let expected =
            json!({ "socket": null, "port": "many", "secrets": { "key": { "file": null, "env": "KEY" } }, "one_file_system": false });
        assert_eq!(Value::from(patch(&now, &entry.values)), expected);
        assert_eq!(entry.faults, [("port".to_owned(), "is not a whole number".to_owned())]);
        let posted = [("password.kind", "command"), ("password.place", "id")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut entry = Entry::new(&now, &posted, Locale::En);
        entry.secret("password", None);
        assert_eq!(entry.faults[0].0, "password");
    }
}
