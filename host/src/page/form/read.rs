//! What a form posted, as settings again. Whether they hold to the schema is for the plug-in's side to say; here it is only what a number is.

use serde_json::{Map, Number, Value};

use super::shape::{Shape, rule};
use super::{Keeper, Kept};
use crate::text::Locale;

/// Groups inside groups that are read.
const DEEPEST: usize = 3;

/// What a form said.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// The settings: what was filled in, and what the form did not ask for as it was before.
    pub settings: Value,
    /// What cannot be read: name of the field, and why.
    pub faults: Vec<(String, String)>,
}

/// Reads the fields of [`super::schema_form`]. A field that was left empty is left out, and so is what equals the schema's default where it
/// was not written before.
pub fn read_form(schema: &Value, current: &Value, posted: &[(String, String)], locale: Locale) -> Read {
    let mut reader = Reader { root: schema, posted, locale, faults: Vec::new() };
    let settings = match rule(schema, schema).shape {
        Shape::Group(properties, _) => Value::Object(reader.group(properties, current.as_object(), ("settings", 0))),
        _ => current.clone(),
    };
    Read { settings, faults: reader.faults }
}

/// Where a secret is kept, as [`super::Input::Secret`] posted it under `name`; `None` where nothing was filled in.
pub fn read_secret(name: &str, posted: &[(String, String)]) -> Option<Kept> {
    let value = |part: &str| posted.iter().find(|(key, _)| *key == format!("{name}.{part}")).map(|(_, value)| value.trim());
    let (keeper, place) = (value("kind").and_then(Keeper::named)?, value("place")?);
    (!place.is_empty()).then(|| Kept { keeper, place: place.to_owned() })
}

struct Reader<'a> {
    root: &'a Value,
    posted: &'a [(String, String)],
    locale: Locale,
    faults: Vec<(String, String)>,
}

impl<'a> Reader<'a> {
    fn group(
        &mut self,
        properties: &'a Map<String, Value>,
        current: Option<&Map<String, Value>>,
        (path, depth): (&str, usize),
    ) -> Map<String, Value> {
        let mut read = current.cloned().unwrap_or_default();
        for (key, inner) in properties {
            let (name, now) = (format!("{path}.{key}"), current.and_then(|current| current.get(key)));
            let found = rule(self.root, inner);
            let is_default = |value: &Value| now.is_none() && found.default.is_some_and(|default| default == value);
            let value = match &found.shape {
                Shape::Group(properties, _) if depth < DEEPEST => {
                    let group = self.group(properties, now.and_then(Value::as_object), (&name, depth + 1));
                    (self.text(&name).is_some() || !group.is_empty()).then_some(Value::Object(group)).filter(|_| self.is_given(&name))
                }
                shape => self.value(shape, found.nullable, &name),
            };
            match value.filter(|value| !is_default(value)) {
                // What was never written, and is off, needs no word.
                Some(Value::Bool(false)) if now.is_none() && found.default.is_none() && !found.nullable => {}
                Some(value) => drop(read.insert(key.clone(), value)),
                None => drop(read.remove(key)),
            }
        }
        read
    }

    fn value(&mut self, shape: &Shape, nullable: bool, name: &str) -> Option<Value> {
        let text = self.text(name);
        match shape {
            Shape::Flag if nullable => text.and_then(|text| text.parse().ok()).map(Value::Bool),
            Shape::Flag => Some(Value::Bool(text.is_some())),
            Shape::Lines => {
                let lines: Vec<Value> = text?.lines().map(str::trim).filter(|line| !line.is_empty()).map(Value::from).collect();
                (!lines.is_empty()).then_some(Value::Array(lines))
            }
            Shape::Number { whole, .. } => {
                let number = number(text.filter(|text| !text.is_empty())?, *whole);
                if number.is_none() {
                    let (portuguese, english) = if *whole {
                        ("não é um número inteiro", "is not a whole number")
                    } else {
                        ("não é um número", "is not a number")
                    };
                    self.faults.push((name.to_owned(), self.locale.pick(portuguese, english).to_owned()));
                }
                number.map(Value::Number)
            }
            Shape::Text { .. } | Shape::Choice(_) => text.filter(|text| !text.is_empty()).map(Value::from),
            Shape::Json | Shape::Group(..) => {
                let text = text.filter(|text| !text.is_empty())?;
                serde_json::from_str(text).map_err(|error| self.faults.push((name.to_owned(), error.to_string()))).ok()
            }
        }
    }

    /// Groups that may be left out have a box of their own; those that may not have none, and are always given.
    fn is_given(&self, name: &str) -> bool {
        self.text(name).is_some() || !self.posted.iter().any(|(key, _)| *key == format!("{name}.?"))
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.posted.iter().find(|(key, _)| key == name).map(|(_, value)| value.trim())
    }
}

fn number(text: &str, whole: bool) -> Option<Number> {
    if whole {
        return text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from)).ok();
    }
    text.replace(',', ".").parse::<f64>().ok().and_then(Number::from_f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::page::form::{Field, Input, schema_form};
    use crate::page::samples;

    /// What a browser posts of a form that nobody touched.
    fn untouched(fields: &[Field]) -> Vec<(String, String)> {
        let mut posted = Vec::new();
        for field in fields {
            let mut post = |value: &str| posted.push((field.name.clone(), value.to_owned()));
            match &field.input {
                Input::Text { value, .. } | Input::Number { value, .. } | Input::Json { value } => post(value),
                Input::Flag { on: true } => post("on"),
                Input::Choice { choices } => post(choices.iter().find(|choice| choice.chosen).map_or("", |choice| &choice.value)),
                Input::Lines { values } => post(&values.join("\r\n")),
                Input::Group { given, fields } => {
                    if *given == Some(true) {
                        post("on");
                    }
                    if given.is_some() {
                        posted.push((format!("{}.?", field.name), String::new()));
                    }
                    posted.extend(untouched(fields));
                }
                Input::Flag { on: false } | Input::Secret { .. } => {}
            }
        }
        posted
    }

    #[test]
    fn a_form_that_nobody_touched_changes_nothing() {
        for current in [
            samples::settings(),
            json!({ "bucket": "b" }),
            json!({ "bucket": "b", "path_style": false, "parallel": 4, "tags": ["a", "b"] }),
        ] {
            let fields = schema_form(&samples::schema(), &current, Locale::En);
            let read = read_form(&samples::schema(), &current, &untouched(&fields), Locale::En);
            assert_eq!(read, Read { settings: current, faults: Vec::new() });
        }
    }

    #[test]
    fn what_was_filled_in_is_read_as_its_type() {
        let posted = [
            ("bucket", " copias "),
            ("part_size", "8388608"),
            ("legal_hold", "on"),
            ("path_style", "true"),
            ("tags", "a\r\n\r\nb"),
            ("object_lock", "on"),
            ("object_lock.?", ""),
            ("object_lock.mode", "governance"),
            ("object_lock.days", "30"),
            ("retries", "many"),
        ];
        let posted: Vec<_> = posted.iter().map(|(name, value)| (format!("settings.{name}"), (*value).to_owned())).collect();
        let read = read_form(&samples::schema(), &json!({}), &posted, Locale::En);
        let expected = json!({
            "bucket": "copias", "part_size": 8_388_608, "legal_hold": true, "path_style": true, "tags": ["a", "b"],
            "object_lock": { "mode": "governance", "days": 30 }
        });
        assert_eq!(read.settings, expected);
        assert_eq!(read.faults, [("settings.retries".to_owned(), "is not a whole number".to_owned())]);
    }

    #[test]
    fn a_group_that_is_switched_off_is_left_out() {
        let posted = [("settings.bucket", "b"), ("settings.object_lock.?", ""), ("settings.object_lock.days", "30")];
        let posted = posted.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let current = json!({ "bucket": "b", "object_lock": { "mode": "governance", "days": 30 } });
        assert_eq!(read_form(&samples::schema(), &current, &posted, Locale::En).settings, json!({ "bucket": "b" }));
    }

    #[test]
    fn a_secret_is_only_a_place() {
        let posted = |kind: &str, place: &str| {
            vec![("secrets.k.kind".to_owned(), kind.to_owned()), ("secrets.k.place".to_owned(), place.to_owned())]
        };
        assert_eq!(read_secret("secrets.k", &posted("env", " S3_KEY ")), Some(Kept { keeper: Keeper::Env, place: "S3_KEY".to_owned() }));
        assert_eq!(read_secret("secrets.k", &posted("elsewhere", "x")), None);
        assert_eq!(read_secret("secrets.k", &posted("file", " ")), None);
    }

    fn any_schema() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!({ "type": "string" })),
            Just(json!({ "$ref": "#" })),
            Just(json!({ "$ref": "#/$defs/a" })),
            Just(json!({ "anyOf": [{ "$ref": "#/$defs/a" }, { "type": "null" }] })),
            Just(json!({ "type": ["integer", "null"], "minimum": -1 })),
            Just(json!({ "enum": [1, null, "a"] })),
            Just(json!(true)),
            Just(json!({ "oneOf": [{ "const": "x" }, { "enum": ["y"] }] })),
        ];
        leaf.prop_recursive(4, 24, 6, |inner| {
            prop_oneof![
                prop::collection::hash_map("[a-z]{1,3}", inner.clone(), 0..5)
                    .prop_map(|map| json!({ "type": "object", "properties": map, "$defs": map })),
                prop::collection::vec(inner.clone(), 0..3).prop_map(|list| json!({ "allOf": list, "anyOf": list })),
                inner.prop_map(|items| json!({ "type": "array", "items": items })),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_a_schema_says_there_is_a_form_and_it_ends(schema in any_schema(), current in any_schema()) {
            let fields = schema_form(&schema, &current, Locale::PtBr);
            prop_assert!(fields.len() <= 200);
            read_form(&schema, &current, &untouched(&fields), Locale::PtBr);
        }
    }
}
