//! Checks an instance's settings against the plug-in's own JSON Schema before the plug-in sees them.
//!
//! Checked here: unknown keys, missing keys, and the type of each value; what goes deeper the plug-in checks itself (its
//! settings struct is where the schema came from).

use serde_json::Value;

/// What is wrong with the settings, key by key.
pub(super) fn problems(schema: &Value, settings: &Value) -> Vec<String> {
    let Some(object) = settings.as_object() else { return vec!["the settings must be a table".to_owned()] };
    let empty = serde_json::Map::new();
    let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    let mut problems = Vec::new();
    for (key, value) in object {
        match known.get(key) {
            Some(rule) if !fits(rule, value) => problems.push(format!("setting `{key}` has the wrong type; expected {}", expected(rule))),
            None if closed => problems.push(unknown(key, known.keys())),
            _ => {}
        }
    }
    let required = schema.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let missing = required.iter().filter_map(Value::as_str).filter(|key| !object.contains_key(*key));
    problems.extend(missing.map(|key| format!("setting `{key}` is missing")));
    problems
}

fn unknown<'a>(key: &str, known: impl Iterator<Item = &'a String>) -> String {
    let close = known.map(|name| (strsim::damerau_levenshtein(key, name), name)).min().filter(|(distance, _)| *distance <= 3);
    match close {
        Some((_, name)) => format!("setting `{key}` is unknown; did you mean `{name}`?"),
        None => format!("setting `{key}` is unknown"),
    }
}

fn types(rule: &Value) -> Vec<&str> {
    match rule.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn fits(rule: &Value, value: &Value) -> bool {
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

fn expected(rule: &Value) -> String {
    types(rule).into_iter().filter(|name| *name != "null").collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_mistake_is_named() {
        let schema = json!({"additionalProperties": false, "required": ["bucket"], "properties": {"bucket": {"type": "string"}, "path_style": {"type": ["boolean", "null"]}}});
        let found = problems(&schema, &json!({"buckett": "x", "path_style": "yes"}));
        assert_eq!(
            found,
            [
                "setting `buckett` is unknown; did you mean `bucket`?",
                "setting `path_style` has the wrong type; expected boolean",
                "setting `bucket` is missing"
            ]
        );
        assert!(problems(&schema, &json!({"bucket": "b", "path_style": null})).is_empty());
    }
}
