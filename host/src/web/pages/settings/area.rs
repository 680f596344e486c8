//! The entry of each area of the settings: which fields its form has, and how what was posted becomes the entry again.

use serde_json::{Map, Value};

use super::entry::{Entry, flag, kept, text, texts};
use crate::config::EXCLUDED;
use crate::page::form::{Field, read_form, schema_form, secret_fields};
use crate::page::settings::{self, Area, Database, Directory, Grants, Hearing, Job, RetentionRules};
use crate::plugin::{Description, PluginKind};
use crate::text::Locale;

/// The list of an area, and the key by which an entry is known; retention is a table.
pub(super) fn list(area: Area) -> Option<(&'static str, &'static str)> {
    match area {
        Area::Databases => Some(("mysql", "name")),
        Area::Directories => Some(("directory", "path")),
        Area::Destinations => Some(("destination", "name")),
        Area::Notifiers => Some(("notifier", "name")),
        Area::Schedules => Some(("job", "name")),
        Area::Retention => None,
    }
}

/// What the plug-ins of an area are.
pub(super) fn kind(area: Area) -> Option<PluginKind> {
    match area {
        Area::Destinations => Some(PluginKind::Destination),
        Area::Notifiers => Some(PluginKind::Notifier),
        _ => None,
    }
}

/// The fields of an entry; `said` is what its plug-in says of itself, where it has one that can be used.
pub(super) fn fields(area: Area, values: &Map<String, Value>, said: Option<&Description>, locale: Locale) -> Vec<Field> {
    let text = |key| text(values, key);
    let lines = |key| texts(values.get(key));
    match area {
        Area::Databases => settings::database_fields(&database(values), locale),
        Area::Directories => {
            let now = Directory {
                path: text("path"),
                exclude: lines("exclude"),
                exclude_caches: flag(values.get("exclude_caches"), true),
                one_file_system: flag(values.get("one_file_system"), true),
                max_file_size: text("max_file_size"),
                tenant: text("tenant"),
            };
            settings::directory_fields(&now, locale)
        }
        Area::Schedules => {
            let now = Job {
                name: text("name"),
                action: text("action"),
                schedule: text("schedule"),
                time_zone: text("time_zone"),
                only: lines("only"),
                not_between: lines("not_between"),
                timeout: text("timeout"),
                catch_up: flag(values.get("catch_up"), true),
                enabled: flag(values.get("enabled"), true),
            };
            settings::job_fields(&now, locale)
        }
        Area::Retention => {
            let now = RetentionRules {
                keep_last: text("keep_last"),
                keep_within: text("keep_within"),
                keep_daily: text("keep_daily"),
                keep_weekly: text("keep_weekly"),
                keep_monthly: text("keep_monthly"),
                keep_yearly: text("keep_yearly"),
                max_size: text("max_size"),
            };
            settings::retention_fields(&now, locale)
        }
        Area::Destinations | Area::Notifiers => instance_fields(area, values, said, locale),
    }
}

fn database(values: &Map<String, Value>) -> Database {
    let text = |key| text(values, key);
    let lines = |key| texts(values.get(key));
    Database {
        name: text("name"),
        host: text("host"),
        port: text("port"),
        socket: text("socket"),
        user: text("user"),
        password: values.get("password").and_then(kept),
        include_schemas: lines("include_schemas"),
        // Whoever adds one does not lose the others.
        exclude_schemas: values.get("exclude_schemas").map_or_else(|| EXCLUDED.map(str::to_owned).to_vec(), |list| texts(Some(list))),
        exclude_tables: lines("exclude_tables"),
        exclude_rows: lines("exclude_rows"),
    }
}

fn instance_fields(area: Area, values: &Map<String, Value>, said: Option<&Description>, locale: Locale) -> Vec<Field> {
    let empty = Value::Object(Map::new());
    let mut fields = vec![settings::name_field(&text(values, "name"), locale)];
    if let Some(said) = said {
        fields.extend(schema_form(&said.settings_schema, values.get("settings").unwrap_or(&empty), locale));
        let needs: Vec<_> = said.secrets.iter().map(|need| (need.name.clone(), need.summary.clone(), need.optional)).collect();
        fields.extend(secret_fields(&needs, |name| values.get("secrets")?.get(name).and_then(kept)));
    }
    fields.extend(settings::grant_fields(&grants(area, values, said), locale));
    if area == Area::Notifiers {
        let now =
            Hearing { events: texts(values.get("events")), min_severity: text(values, "min_severity"), quiet: texts(values.get("quiet")) };
        fields.extend(settings::hearing_fields(&now, locale));
    }
    fields
}

fn grants(area: Area, values: &Map<String, Value>, said: Option<&Description>) -> Grants {
    let now = values.get("grants");
    let of = |key: &str| now.and_then(|grants| grants.get(key));
    let asks: Vec<_> = said.iter().flat_map(|said| &said.network).map(|need| (need.target.clone(), need.reason.clone())).collect();
    // What a new one asks for whatever its settings are can be proposed.
    let proposed = || asks.iter().map(|(target, _)| target.clone()).filter(|target| !target.contains('{')).collect();
    let directory = of("directory").and_then(Value::as_str).map(str::to_owned);
    Grants {
        network: if now.is_some() { texts(of("network")) } else { proposed() },
        directory: directory.or_else(|| said.is_some_and(|said| said.directory).then(String::new)),
        delete: (area == Area::Destinations).then(|| flag(of("delete"), false)),
        asks,
    }
}

/// Reads what was posted into an entry.
pub(super) fn read(area: Area, entry: &mut Entry<'_>, said: Option<&Description>, locale: Locale) {
    match area {
        Area::Databases => {
            for key in ["name", "user"] {
                entry.needed(key);
            }
            for key in ["host", "socket"] {
                entry.text(key);
            }
            entry.count("port");
            let password = entry.values.get("password").cloned();
            entry.secret("password", password.as_ref());
            for key in ["include_schemas", "exclude_tables", "exclude_rows"] {
                entry.lines(key);
            }
            let (written, before) = (entry.values.contains_key("exclude_schemas"), EXCLUDED.join("\n"));
            let posted: Vec<&str> = entry.posted("exclude_schemas").lines().map(str::trim).collect();
            if written || posted.join("\n") != before {
                // None at all is not the same as none written.
                let list = posted.into_iter().filter(|line| !line.is_empty()).map(Value::from).collect();
                entry.set("exclude_schemas", Some(Value::Array(list)));
            }
        }
        Area::Directories => {
            entry.needed("path");
            entry.lines("exclude");
            for key in ["exclude_caches", "one_file_system"] {
                entry.flag(key, true);
            }
            for key in ["max_file_size", "tenant"] {
                entry.text(key);
            }
        }
        Area::Schedules => {
            for key in ["name", "schedule"] {
                entry.needed(key);
            }
            entry.needed_before_the_button("action");
            for key in ["time_zone", "timeout"] {
                entry.text(key);
            }
            for key in ["only", "not_between"] {
                entry.lines(key);
            }
            for key in ["catch_up", "enabled"] {
                entry.flag(key, true);
            }
        }
        Area::Retention => {
            for key in ["keep_last", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly"] {
                entry.count(key);
            }
            for key in ["keep_within", "max_size"] {
                entry.text(key);
            }
        }
        Area::Destinations | Area::Notifiers => read_instance(area, entry, said, locale),
    }
}

fn read_instance(area: Area, entry: &mut Entry<'_>, said: Option<&Description>, locale: Locale) {
    entry.needed("name");
    if let Some(said) = said {
        let now = entry.values.get("settings").cloned().unwrap_or_else(|| Value::Object(Map::new()));
        let read = read_form(&said.settings_schema, &now, entry.all(), locale);
        entry.faults.extend(read.faults);
        entry.set("settings", Some(read.settings));
        for need in &said.secrets {
            let now = entry.values.get("secrets").and_then(|secrets| secrets.get(&need.name)).cloned();
            entry.secret(&format!("secrets.{}", need.name), now.as_ref());
        }
    }
    let has = |entry: &Entry<'_>, name: &str| entry.all().iter().any(|(known, _)| known == name);
    if has(entry, "grants.network") {
        entry.lines("grants.network");
    }
    if has(entry, "grants.directory") {
        entry.text("grants.directory");
    }
    if area == Area::Destinations {
        entry.flag("grants.delete", false);
    } else {
        for key in ["events", "quiet"] {
            entry.lines(key);
        }
        entry.text("min_severity");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::entry::patch;
    use super::*;
    use crate::plugin::{NetworkNeed, SecretNeed};

    fn said() -> Description {
        Description {
            name: "s3".to_owned(),
            version: "1.0.0".to_owned(),
            kind: PluginKind::Destination,
            summary: String::new(),
            settings_schema: json!({ "type": "object", "properties": { "bucket": { "type": "string" }, "retries": { "type": "integer" } } }),
            network: vec![NetworkNeed { target: "{endpoint}:443".to_owned(), reason: "the service".to_owned() }],
            secrets: vec![SecretNeed { name: "key".to_owned(), summary: "the key".to_owned(), optional: false }],
            directory: false,
        }
    }

    fn read_as(area: Area, now: &Value, posted: &[(&str, &str)]) -> Value {
        let now = now.as_object().expect("an object");
        let posted: Vec<_> = posted.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut entry = Entry::new(now, &posted, Locale::En);
        read(area, &mut entry, Some(&said()), Locale::En);
        assert_eq!(entry.faults, []);
        Value::from(patch(now, &entry.values))
    }

    #[test]
    fn a_new_destination_is_made_of_its_form() {
        let posted = [
            ("name", ""),
            ("plugin", "s3"),
            ("name", "nuvem"),
            ("settings.bucket", "erp"),
            ("secrets.key.kind", "file"),
            ("secrets.key.place", "/etc/cofre/key"),
            ("grants.network", "s3.example.com:443\r\n"),
            ("grants.delete", "on"),
        ];
        let expected = json!({
            "name": "nuvem", "settings": { "bucket": "erp" }, "secrets": { "key": { "file": "/etc/cofre/key" } },
            "grants": { "network": ["s3.example.com:443"], "delete": true }
        });
        assert_eq!(read_as(Area::Destinations, &json!({}), &posted), expected);
    }

    #[test]
    fn what_a_form_does_not_show_stays() {
        let now = json!({ "name": "nuvem", "retention": { "keep_last": 3 }, "grants": { "network": ["a:1"] }, "settings": { "bucket": "x", "y": 1 } });
        let posted = [("name", "nuvem"), ("name", "nuvem"), ("settings.bucket", "x"), ("grants.network", "a:1")];
        assert_eq!(read_as(Area::Destinations, &now, &posted), json!({}));
        let excluded = EXCLUDED.join("\r\n");
        let posted = [("name", "main"), ("name", "main"), ("user", "u"), ("exclude_schemas", excluded.as_str())];
        assert_eq!(read_as(Area::Databases, &json!({ "name": "main", "user": "u", "tls": {} }), &posted), json!({}));
    }
}
