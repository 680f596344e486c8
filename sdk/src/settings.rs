//! Typed settings: the JSON Schema that the administrator sees and the values that the plug-in gets come from one struct.
//! Put `#[serde(deny_unknown_fields)]` on it, so that a misspelt key is an error.
//!
//! # Examples
//!
//! ```
//! use cofre_sdk::settings::{parse, schema};
//!
//! #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Settings {
//!     /// Address of the server, `https://…`.
//!     endpoint: String,
//!     /// Seconds to wait for a connection.
//!     #[serde(default)]
//!     timeout_seconds: u32,
//! }
//!
//! assert!(schema::<Settings>().contains("Seconds to wait for a connection."));
//! assert!(parse::<Settings>(r#"{"endpoint": "https://h", "timeout": 5}"#).is_err(), "a misspelt key");
//! # assert_eq!(parse::<Settings>(r#"{"endpoint": "https://h"}"#)?.timeout_seconds, 0);
//! # Ok::<(), cofre_sdk::Error>(())
//! ```

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// JSON Schema (draft 2020-12) of `S`, as text.
///
/// # Examples
///
/// ```
/// /// What the administrator sets.
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Settings {
///     /// Folder inside the granted directory.
///     folder: String,
/// }
///
/// let schema = cofre_sdk::settings::schema::<Settings>();
/// assert!(schema.contains("Folder inside the granted directory."));
/// ```
pub fn schema<S: JsonSchema>() -> String {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<S>().to_value().to_string()
}

/// Reads `S` from JSON.
///
/// # Errors
/// `invalid-config` with the JSON pointer of the value at fault.
///
/// # Examples
///
/// ```
/// use cofre_sdk::settings::parse;
///
/// #[derive(Debug, serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Settings {
///     parallel: u8,
/// }
///
/// assert_eq!(parse::<Settings>(r#"{"parallel": 4}"#)?.parallel, 4);
/// let error = parse::<Settings>(r#"{"parallel": 400}"#).expect_err("more than a u8 holds");
/// assert_eq!(error.detail("pointer"), Some("/parallel"));
/// # Ok::<(), cofre_sdk::Error>(())
/// ```
pub fn parse<S: DeserializeOwned>(json: &str) -> Result<S> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let settings = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let pointer = pointer(error.path());
        let shown = if pointer.is_empty() { "the settings" } else { &pointer };
        Error::invalid_config(format!("{shown}: {}", error.inner())).with("pointer", &pointer)
    })?;
    reader.end().map_err(|error| Error::invalid_config(format!("the settings: {error}")))?;
    Ok(settings)
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(format!("/{index}")),
            Segment::Map { key } => Some(format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
            Segment::Enum { variant } => Some(format!("/{variant}")),
            Segment::Unknown => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only read through its schema and its errors")]
    struct Sample {
        /// Where it goes.
        folder: String,
        #[serde(default)]
        inner: Option<Inner>,
    }

    #[derive(Debug, serde::Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only read through its schema and its errors")]
    struct Inner {
        size: u8,
    }

    #[test]
    fn the_schema_names_required_keys_and_refuses_unknown_ones() {
        let schema: serde_json::Value = serde_json::from_str(&schema::<Sample>()).expect("a schema is JSON");
        assert_eq!(schema["required"], serde_json::json!(["folder"]));
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["properties"]["folder"]["description"], "Where it goes.");
    }

    #[test]
    fn a_wrong_value_is_named_by_its_pointer() {
        let error = parse::<Sample>(r#"{"folder": "x", "inner": {"size": 300}}"#).expect_err("300 is no u8");
        assert_eq!(error.detail("pointer"), Some("/inner/size"));
        let error = parse::<Sample>(r#"{"folder": "x", "foldre": 1}"#).expect_err("there is no such key");
        assert!(error.message().contains("foldre"), "{error}");
    }
}
