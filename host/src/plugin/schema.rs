//! Checks an instance's settings against the plug-in's own JSON Schema before the plug-in sees them.
//!
//! Understood is what schemas derived from settings structs are made of: `type`, `properties`, `required`, `enum`, `const`, bounds of
//! numbers and lengths, `items`, `additionalProperties`, `anyOf`, `oneOf`, `allOf`, and `$ref` within the schema. A word beyond these
//! is passed over: the plug-in checks its settings itself as well. Unknown settings are errors unless the schema lets them in.

use std::cell::Cell;
use std::fmt;

use serde_json::{Map, Value};

/// Schemas inside schemas that are followed; a schema may refer to itself.
const DEEPEST: usize = 32;
/// Rules that one check applies: the schema is the plug-in's word, and one that refers to itself twice would grow without end.
const STEPS_MAX: u32 = 20_000;

/// One mistake in the configuration of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where: `settings.bucket`, `secrets.password`, `grants.directory`.
    pub key: String,
    /// What is wrong, and the mend.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What is wrong with the settings, key by key.
pub(super) fn problems(schema: &Value, settings: &Value) -> Vec<Fault> {
    if !settings.is_object() {
        return vec![Fault { key: "settings".to_owned(), message: "the settings must be a table".to_owned() }];
    }
    let steps = Cell::new(0);
    let mut check = Check { root: schema, steps: &steps, problems: Vec::new() };
    let closed = schema.get("additionalProperties").is_none();
    if closed && let (Some(known), Some(given)) = (schema.get("properties").and_then(Value::as_object), settings.as_object()) {
        check.no_others(known, given, "");
    }
    check.value(schema, settings, ("", 0));
    check.problems
}

/// The settings with what the schema gives where a key is left out.
pub(super) fn with_defaults(schema: &Value, settings: &Value) -> Value {
    let mut filled = settings.clone();
    if let (Some(known), Some(filled)) = (schema.get("properties").and_then(Value::as_object), filled.as_object_mut()) {
        for (key, rule) in known {
            if let Some(default) = rule.get("default").filter(|default| !default.is_null()) {
                filled.entry(key).or_insert_with(|| default.clone());
            }
        }
    }
    filled
}

struct Check<'a> {
    root: &'a Value,
    steps: &'a Cell<u32>,
    problems: Vec<Fault>,
}

impl<'a> Check<'a> {
    /// Compares one value with one rule; `path` is the key to it.
    fn value(&mut self, rule: &'a Value, value: &Value, (path, depth): (&str, usize)) {
        let Some(rule) = rule.as_object().filter(|_| self.may_go_on(depth)) else { return };
        let deeper = (path, depth + 1);
        if let Some(target) = rule.get("$ref").and_then(Value::as_str).and_then(|to| self.root.pointer(to.strip_prefix('#')?)) {
            self.value(target, value, deeper);
        }
        for part in list(rule, "allOf") {
            self.value(part, value, deeper);
        }
        for word in ["anyOf", "oneOf"] {
            let choices = list(rule, word);
            if !choices.is_empty() && !choices.iter().any(|choice| self.fits(choice, value, deeper)) {
                self.wrong(path, "must be", &self.described(rule, depth));
            }
        }
        if !has_type(rule, value) {
            return self.wrong(path, "has the wrong type; expected", &self.described(rule, depth));
        }
        let constant = rule.get("const").is_some_and(|only| only != value);
        let listed = rule.get("enum").and_then(Value::as_array).is_some_and(|allowed| !allowed.contains(value));
        if constant || listed {
            self.wrong(path, "must be", &self.described(rule, depth));
        }
        self.bounds(rule, value, path);
        self.object(rule, value, deeper);
        if let (Some(rule), Some(items)) = (rule.get("items"), value.as_array()) {
            for (index, item) in items.iter().enumerate() {
                self.value(rule, item, (&format!("{path}[{index}]"), depth + 1));
            }
        }
    }

    fn may_go_on(&self, depth: usize) -> bool {
        self.steps.set(self.steps.get() + 1);
        depth < DEEPEST && self.steps.get() < STEPS_MAX
    }

    fn fits(&self, rule: &'a Value, value: &Value, at: (&str, usize)) -> bool {
        let mut trial = Check { root: self.root, steps: self.steps, problems: Vec::new() };
        trial.value(rule, value, at);
        trial.problems.is_empty()
    }

    fn object(&mut self, rule: &'a Map<String, Value>, value: &Value, (path, depth): (&str, usize)) {
        let Some(given) = value.as_object() else { return };
        if let Some(known) = rule.get("properties").and_then(Value::as_object) {
            for (key, value) in given {
                if let Some(rule) = known.get(key) {
                    self.value(rule, value, (&below(path, key), depth));
                }
            }
            if rule.get("additionalProperties") == Some(&Value::Bool(false)) {
                self.no_others(known, given, path);
            }
        }
        for key in list(rule, "required").iter().filter_map(Value::as_str).filter(|key| !given.contains_key(*key)) {
            self.wrong(&below(path, key), "is", "missing");
        }
    }

    fn no_others(&mut self, known: &Map<String, Value>, given: &Map<String, Value>, path: &str) {
        for key in given.keys().filter(|key| !known.contains_key(*key)) {
            let near = known.keys().map(|name| (strsim::damerau_levenshtein(key, name), name)).min();
            let close = near.filter(|(distance, _)| distance * 3 <= key.chars().count());
            let hint = close.map(|(_, name)| format!("; did you mean `{name}`?")).unwrap_or_default();
            self.wrong(&below(path, key), "is", &format!("unknown{hint}"));
        }
    }

    fn bounds(&mut self, rule: &Map<String, Value>, value: &Value, path: &str) {
        let size = match value {
            Value::Number(number) => number.as_f64().map(|number| (number, ["minimum", "maximum"], "")),
            Value::String(text) => Some((text.chars().count() as f64, ["minLength", "maxLength"], " characters")),
            Value::Array(items) => Some((items.len() as f64, ["minItems", "maxItems"], " entries")),
            _ => None,
        };
        let Some((size, [least, most], unit)) = size else { return };
        if let Some(least) = rule.get(least).filter(|least| least.as_f64().is_some_and(|least| size < least)) {
            self.wrong(path, "must be at least", &format!("{least}{unit}"));
        }
        if let Some(most) = rule.get(most).filter(|most| most.as_f64().is_some_and(|most| size > most)) {
            self.wrong(path, "must be at most", &format!("{most}{unit}"));
        }
    }

    fn wrong(&mut self, path: &str, how: &str, what: &str) {
        self.problems.push(Fault { key: format!("settings.{path}"), message: format!("setting `{path}` {how} {what}") });
    }

    /// What a rule allows, in words; `null` is how a schema says that a key may be left out, and not one of them.
    fn described(&self, rule: &Map<String, Value>, depth: usize) -> String {
        self.allowed(rule, depth).join(" or ")
    }

    fn allowed(&self, rule: &Map<String, Value>, depth: usize) -> Vec<String> {
        if !self.may_go_on(depth) {
            return Vec::new();
        }
        if let Some(only) = rule.get("const") {
            return vec![only.to_string()];
        }
        let listed = list(rule, "enum");
        if !listed.is_empty() {
            return listed.iter().filter(|value| !value.is_null()).map(ToString::to_string).collect();
        }
        let target = rule.get("$ref").and_then(Value::as_str).and_then(|to| self.root.pointer(to.strip_prefix('#')?));
        let choices = target.into_iter().chain(list(rule, "anyOf")).chain(list(rule, "oneOf")).filter_map(Value::as_object);
        let mut words: Vec<String> = choices.flat_map(|choice| self.allowed(choice, depth + 1)).collect();
        words.extend(types(rule).into_iter().filter(|name| *name != "null").map(str::to_owned));
        words
    }
}

fn list<'a>(rule: &'a Map<String, Value>, word: &str) -> &'a [Value] {
    rule.get(word).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn types(rule: &Map<String, Value>) -> Vec<&str> {
    match rule.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn has_type(rule: &Map<String, Value>, value: &Value) -> bool {
    let types = types(rule);
    types.is_empty()
        || types.iter().any(|name| match *name {
            "string" => value.is_string(),
            "integer" => value.is_u64() || value.is_i64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            "null" => value.is_null(),
            _ => true,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(schema: &Value, settings: &Value) -> Vec<String> {
        problems(schema, settings).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_mistake_is_named() {
        let schema = json!({"additionalProperties": false, "required": ["bucket"], "properties": {"bucket": {"type": "string"}, "path_style": {"type": ["boolean", "null"]}}});
        let found = said(&schema, &json!({"buckett": "x", "path_style": "yes"}));
        assert_eq!(
            found,
            [
                "setting `path_style` has the wrong type; expected boolean",
                "setting `buckett` is unknown; did you mean `bucket`?",
                "setting `bucket` is missing"
            ]
        );
        assert_eq!(problems(&schema, &json!({}))[0].key, "settings.bucket");
        assert!(problems(&schema, &json!({"bucket": "b", "path_style": null})).is_empty());
    }

    #[test]
    fn a_choice_and_a_bound_are_told() {
        let schema = json!({
            "$defs": {"Encryption": {"oneOf": [{"const": "AES256", "type": "string"}, {"const": "aws:kms", "type": "string"}]}},
            "properties": {
                "encryption": {"anyOf": [{"$ref": "#/$defs/Encryption"}, {"type": "null"}]},
                "part_size": {"type": "integer", "minimum": 5, "maximum": 64},
                "name": {"type": "string", "minLength": 3},
                "class": {"enum": ["hot", "cold"]},
                "hosts": {"type": "array", "items": {"type": "string"}}
            }
        });
        let good = json!({"encryption": "aws:kms", "part_size": 64, "name": "abc", "class": "hot", "hosts": ["a"]});
        assert!(problems(&schema, &good).is_empty());
        assert!(problems(&schema, &json!({"encryption": null})).is_empty());
        let bad = json!({"encryption": "rot13", "part_size": 65, "name": "ab", "class": "warm", "hosts": ["a", 1]});
        let mut found = said(&schema, &bad);
        found.sort();
        assert_eq!(
            found,
            [
                "setting `class` must be \"hot\" or \"cold\"",
                "setting `encryption` must be \"AES256\" or \"aws:kms\"",
                "setting `hosts[1]` has the wrong type; expected string",
                "setting `name` must be at least 3 characters",
                "setting `part_size` must be at most 64"
            ]
        );
    }

    #[test]
    fn inner_tables_are_checked_and_an_unknown_key_is_wrong_even_where_the_schema_is_silent() {
        let schema = json!({"properties": {"proxy": {"type": "object", "additionalProperties": false, "required": ["host"], "properties": {"host": {"type": "string"}}}}});
        assert_eq!(said(&schema, &json!({"proxi": {}})), ["setting `proxi` is unknown; did you mean `proxy`?"]);
        assert_eq!(said(&schema, &json!({"proxy": {"port": 1}})), ["setting `proxy.port` is unknown", "setting `proxy.host` is missing"]);
    }

    #[test]
    fn what_is_left_out_is_filled_with_the_defaults_of_the_schema() {
        let schema = json!({"properties": {"region": {"default": "us-east-1"}, "endpoint": {"default": null}, "bucket": {}}});
        assert_eq!(with_defaults(&schema, &json!({"bucket": "b"})), json!({"bucket": "b", "region": "us-east-1"}));
        assert_eq!(with_defaults(&schema, &json!({"region": "x"})), json!({"region": "x"}));
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema =
            json!({"anyOf": [{"$ref": "#"}, {"$ref": "#"}, {"$ref": "#"}], "allOf": [{"$ref": "#"}], "properties": {"a": {"$ref": "#"}}});
        let steps = Cell::new(0);
        let mut check = Check { root: &schema, steps: &steps, problems: Vec::new() };
        check.value(&schema, &json!({"a": {"a": 1}}), ("", 0));
        assert!(steps.get() >= STEPS_MAX, "it did not even begin to grow");
    }
}
