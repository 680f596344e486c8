//! A body of the administrator's own. In JSON every value is written as JSON, so that a quotation mark in a message cannot break it; and
//! what comes out is looked at before it is sent.

use cofre_plugin_http_notifier::refuse_setting;
use cofre_sdk::{Error, Result};
use minijinja::Environment;
use serde_json::Value;

/// Bytes of the longest body.
const LONGEST_BODY: usize = 1 << 20;

/// Fills `template` with the message; a value that it does not have is empty, or `null` in JSON: an alert with a hole is better than none.
///
/// # Errors
/// `invalid-config` where the template is wrong, or makes something that is not the JSON that it should be.
pub(crate) fn fill(template: &str, message: &Value, is_json: bool) -> Result<String> {
    let mut environment = Environment::new();
    // The name's ending says how values are written.
    let name = if is_json { "template.json" } else { "template.txt" };
    let wrong = |error: minijinja::Error| Error::invalid_config(format!("/template: {}", line(&error))).with("pointer", "/template");
    environment.add_template(name, template).map_err(wrong)?;
    let filled = environment.get_template(name).and_then(|parsed| parsed.render(message)).map_err(wrong)?;
    if filled.len() > LONGEST_BODY {
        return refuse_setting("/template", "it makes a body of more than 1 MiB");
    }
    if is_json && let Err(why) = serde_json::from_str::<serde::de::IgnoredAny>(&filled) {
        return refuse_setting("/template", &format!("what it makes is no JSON: {why} (a value brings its own quotation marks)"));
    }
    Ok(filled)
}

fn line(error: &minijinja::Error) -> String {
    let place = error.line().map_or_else(String::new, |line| format!("line {line}: "));
    let detail = error.detail().map_or_else(String::new, |detail| format!(": {detail}"));
    format!("{place}{}{detail}", error.kind())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_written_as_json_whatever_is_in_it() {
        let message = json!({"subject": "a \"b\"\n\\", "facts": {"bytes": 12}});
        let filled =
            fill(r#"{"t": {{ subject }}, "n": {{ facts.bytes }}, "none": {{ facts.none }}}"#, &message, true).expect("it is right");
        assert_eq!(serde_json::from_str::<Value>(&filled).expect("JSON"), json!({"t": "a \"b\"\n\\", "n": 12, "none": null}));
    }

    #[test]
    fn values_that_are_put_together_are_one_value() {
        let message = json!({"subject": "a \"b\"", "text": "c\nd"});
        let filled = fill(r#"{"text": {{ "**" ~ subject ~ "**\n\n" ~ text }}}"#, &message, true).expect("it is right");
        assert_eq!(serde_json::from_str::<Value>(&filled).expect("JSON"), json!({"text": "**a \"b\"**\n\nc\nd"}));
    }

    #[test]
    fn a_text_is_written_as_it_is() {
        let filled = fill(
            "{% if severity == 'critical' %}[!] {% endif %}{{ subject }}",
            &json!({"subject": "a <b>", "severity": "critical"}),
            false,
        );
        assert_eq!(filled.expect("it is right"), "[!] a <b>");
    }

    #[test]
    fn a_wrong_template_is_named_with_its_line() {
        for (template, why) in [("{\n{% if %}", "line 2"), (r#"{"t": "{{ subject }}"}"#, "no JSON"), ("{{ subject | nothing }}", "nothing")]
        {
            let error = fill(template, &json!({"subject": "a"}), true).expect_err(template);
            assert_eq!(error.detail("pointer"), Some("/template"));
            assert!(error.message().contains(why), "{error}");
        }
    }
}
