//! What a rule of a JSON Schema asks for, as far as a form has a field for it. Understood is what schemas derived from settings structs are
//! made of; the rest is shown as JSON. The schema is a plug-in's word: whatever it says, this ends.

use serde_json::{Map, Value};

/// Steps through `$ref` and `allOf` that are followed.
const STEPS: usize = 16;

/// A rule without its detours.
pub(super) struct Rule<'a> {
    pub(super) shape: Shape<'a>,
    pub(super) nullable: bool,
    pub(super) title: Option<&'a str>,
    pub(super) description: Option<&'a str>,
    pub(super) default: Option<&'a Value>,
}

/// What is asked for.
pub(super) enum Shape<'a> {
    Text { most: Option<u64> },
    Number { whole: bool, least: Option<f64>, most: Option<f64> },
    Flag,
    Choice(Vec<(&'a str, Option<&'a str>)>),
    Lines,
    Group(&'a Map<String, Value>, Vec<&'a str>),
    Json,
}

/// Reads a rule of `root`.
pub(super) fn rule<'a>(root: &'a Value, rule: &'a Value) -> Rule<'a> {
    let mut found = Rule { shape: Shape::Json, nullable: false, title: None, description: None, default: None };
    let mut at = rule;
    for _ in 0..STEPS {
        note(&mut found, at);
        match detour(root, at, &mut found.nullable) {
            Some(next) => at = next,
            None => break,
        }
    }
    found.shape = shape(at, &mut found.nullable);
    found
}

/// The nearest words about it count.
fn note<'a>(found: &mut Rule<'a>, at: &'a Value) {
    let text = |key| at.get(key).and_then(Value::as_str);
    found.title = found.title.or_else(|| text("title"));
    found.description = found.description.or_else(|| text("description"));
    found.default = found.default.or_else(|| at.get("default").filter(|default| !default.is_null()));
}

/// What a rule stands for: a reference, the only one of several, or all but nothing.
fn detour<'a>(root: &'a Value, at: &'a Value, nullable: &mut bool) -> Option<&'a Value> {
    if let Some(to) = at.get("$ref").and_then(Value::as_str) {
        return root.pointer(to.strip_prefix('#')?);
    }
    if let Some([only]) = at.get("allOf").and_then(Value::as_array).map(Vec::as_slice) {
        return Some(only);
    }
    let choices = at.get("anyOf").or_else(|| at.get("oneOf")).and_then(Value::as_array)?;
    let is_null = |choice: &&Value| choice.get("type").and_then(Value::as_str) == Some("null");
    let mut others = choices.iter().filter(|choice| !is_null(choice));
    let first = others.next()?;
    (others.next().is_none() && choices.len() > 1).then(|| {
        *nullable = true;
        first
    })
}

fn shape<'a>(at: &'a Value, nullable: &mut bool) -> Shape<'a> {
    if let Some(choices) = choices(at) {
        *nullable |= at.get("enum").and_then(Value::as_array).is_some_and(|values| values.contains(&Value::Null));
        return Shape::Choice(choices);
    }
    let types: Vec<&str> = match at.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    *nullable |= types.contains(&"null");
    let mut types = types.into_iter().filter(|name| *name != "null");
    let number = |key: &str| at.get(key).and_then(Value::as_f64);
    match (types.next(), types.next()) {
        (Some("string"), None) => Shape::Text { most: at.get("maxLength").and_then(Value::as_u64) },
        (Some(kind @ ("integer" | "number")), None) => {
            Shape::Number { whole: kind == "integer", least: number("minimum"), most: number("maximum") }
        }
        (Some("boolean"), None) => Shape::Flag,
        (Some("array"), None) if is_text(at.get("items")) => Shape::Lines,
        (Some("object"), None) => match at.get("properties").and_then(Value::as_object) {
            Some(properties) => {
                let required = at.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
                Shape::Group(properties, required)
            }
            None => Shape::Json,
        },
        _ => Shape::Json,
    }
}

fn is_text(items: Option<&Value>) -> bool {
    items.is_some_and(|items| items.get("type").and_then(Value::as_str) == Some("string") && items.get("enum").is_none())
}

/// The texts to choose from, each with what it means: `enum`, or `oneOf` of `const` and of `enum`.
fn choices(at: &Value) -> Option<Vec<(&str, Option<&str>)>> {
    if let Some(values) = at.get("enum").and_then(Value::as_array) {
        let texts: Vec<_> = values.iter().filter_map(Value::as_str).map(|text| (text, None)).collect();
        let nothing_else = values.iter().all(|value| value.is_string() || value.is_null());
        return (!texts.is_empty() && nothing_else).then_some(texts);
    }
    let mut found = Vec::new();
    for choice in at.get("oneOf").or_else(|| at.get("anyOf")).and_then(Value::as_array)? {
        let description = choice.get("description").and_then(Value::as_str);
        match (choice.get("const").and_then(Value::as_str), choice.get("enum").and_then(Value::as_array)) {
            (Some(text), _) => found.push((text, description)),
            (None, Some(values)) => found.extend(values.iter().filter_map(Value::as_str).map(|text| (text, description))),
            (None, None) => return None,
        }
    }
    (!found.is_empty()).then_some(found)
}
