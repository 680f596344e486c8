//! A plug-in's schema and the settings of now, as fields.

use serde_json::{Map, Value};

use super::shape::{Rule, Shape, rule};
use super::{Field, Input, Kept};
use crate::page::part::Choice;
use crate::text::Locale;

/// Groups inside groups; what is deeper is JSON.
const DEEPEST: usize = 3;
/// Fields of one form; a schema may have any number.
const MOST: usize = 200;
/// Values of one choice.
const CHOICES: usize = 200;

/// The fields of a plug-in's settings: `schema` is its JSON Schema, `current` what is configured, an object. Each is named
/// `settings.KEY`. Help is the schema's `description`, in the plug-in's own language.
pub fn schema_form(schema: &Value, current: &Value, locale: Locale) -> Vec<Field> {
    let mut maker = Maker { root: schema, locale, left: MOST };
    match rule(schema, schema).shape {
        Shape::Group(properties, required) => maker.group(properties, &required, current.as_object(), ("settings", 0)),
        _ => Vec::new(),
    }
}

/// A field for each secret of a plug-in: name, what it is, whether it can do without, and where it is kept now. Each is named `secrets.NAME`.
pub fn secret_fields(needs: &[(String, String, bool)], kept: impl Fn(&str) -> Option<Kept>) -> Vec<Field> {
    let field = |(name, summary, optional): &(String, String, bool)| Field {
        name: format!("secrets.{name}"),
        label: label(name, None),
        help: summary.clone(),
        input: Input::Secret { kept: kept(name) },
        required: !optional,
        fault: None,
    };
    needs.iter().take(MOST).map(field).collect()
}

struct Maker<'a> {
    root: &'a Value,
    locale: Locale,
    left: usize,
}

impl<'a> Maker<'a> {
    /// What is required comes first; else the schema's own order.
    fn group(
        &mut self,
        properties: &'a Map<String, Value>,
        required: &[&str],
        current: Option<&Map<String, Value>>,
        (path, depth): (&str, usize),
    ) -> Vec<Field> {
        let mut keys: Vec<&String> = properties.keys().collect();
        keys.sort_by_key(|key| !required.contains(&key.as_str()));
        let mut fields = Vec::new();
        for key in keys {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            let now = current.and_then(|current| current.get(key));
            let found = rule(self.root, &properties[key]);
            let name = format!("{path}.{key}");
            let is_required = required.contains(&key.as_str());
            fields.push(Field {
                label: label(key, found.title),
                help: found.description.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" "),
                required: is_required && !matches!(found.shape, Shape::Flag | Shape::Group(..) | Shape::Lines),
                input: self.input(&found, now, is_required, (&name, depth)),
                name,
                fault: None,
            });
        }
        fields
    }

    fn input(&mut self, found: &Rule<'a>, now: Option<&Value>, required: bool, (name, depth): (&str, usize)) -> Input {
        let text = |value: Option<&Value>| value.map(plain).unwrap_or_default();
        let default = text(found.default);
        match &found.shape {
            Shape::Text { most } => Input::Text { value: text(now), most: *most, default },
            Shape::Number { whole, least, most } => Input::Number { value: text(now), whole: *whole, least: *least, most: *most, default },
            Shape::Flag if found.nullable => Input::Choice { choices: self.yes_or_no(now.and_then(Value::as_bool)) },
            Shape::Flag => Input::Flag { on: now.or(found.default).and_then(Value::as_bool).unwrap_or(false) },
            Shape::Choice(values) => Input::Choice { choices: self.choices(values, now, (required, &default)) },
            Shape::Lines => {
                let lines = now.or(found.default).and_then(Value::as_array).into_iter().flatten();
                Input::Lines { values: lines.map(plain).collect() }
            }
            Shape::Group(properties, inner) if depth < DEEPEST => {
                let fields = self.group(properties, inner, now.and_then(Value::as_object), (name, depth + 1));
                Input::Group { given: (!required).then_some(now.is_some_and(Value::is_object)), fields }
            }
            Shape::Group(..) | Shape::Json => Input::Json { value: now.map(Value::to_string).unwrap_or_default() },
        }
    }

    fn choices(&self, values: &[(&str, Option<&str>)], now: Option<&Value>, (required, default): (bool, &str)) -> Vec<Choice> {
        let now = now.and_then(Value::as_str);
        let nothing = (!required).then(|| Choice {
            value: String::new(),
            label: match default {
                "" => self.locale.pick("(padrão)", "(default)").to_owned(),
                default => format!("({} {default})", self.locale.pick("padrão:", "default:")),
            },
            chosen: now.is_none(),
        });
        let choice = |(value, meaning): &(&str, Option<&str>)| Choice {
            value: (*value).to_owned(),
            label: meaning.map_or_else(|| (*value).to_owned(), |meaning| format!("{value}: {meaning}")),
            chosen: now == Some(*value),
        };
        nothing.into_iter().chain(values.iter().take(CHOICES).map(choice)).collect()
    }

    fn yes_or_no(&self, now: Option<bool>) -> Vec<Choice> {
        let choice = |value: &str, label: &str, chosen| Choice { value: value.to_owned(), label: label.to_owned(), chosen };
        vec![
            choice("", self.locale.pick("(padrão)", "(default)"), now.is_none()),
            choice("true", self.locale.pick("sim", "yes"), now == Some(true)),
            choice("false", self.locale.pick("não", "no"), now == Some(false)),
        ]
    }
}

/// A value as it stands in a field.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| if value.is_null() { String::new() } else { value.to_string() }, str::to_owned)
}

/// A key as a label: `path_style` is "Path style".
fn label(key: &str, title: Option<&str>) -> String {
    if let Some(title) = title {
        return title.to_owned();
    }
    let words = key.replace('_', " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
