//! What the file says now, and the entry that a form is about.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::super::super::problem::{Kind, Problem};
use super::super::form::Form;
use super::super::frame::{Visit, Wrong};
use super::area;
use super::entry::{Entry, patch};
use crate::config::{Change, Config, plugin_file, values};
use crate::page::settings::Area;
use crate::plugin::PluginComponent;

/// What the file says now.
pub(super) struct Written(Value);

impl Written {
    /// Reads the file; it may have been changed since it was opened.
    pub(super) async fn read(visit: &Visit) -> Result<Self, Wrong> {
        visit
            .aside(|context| {
                let text = Config::text_of(&context.config.path).map_err(crate::job::JobError::from)?;
                values(&text).map(Self).map_err(|error| Problem::new(Kind::Configuration, error.to_string()))
            })
            .await
    }

    /// A table.
    pub(super) fn table(&self, name: &str) -> Map<String, Value> {
        self.0.get(name).and_then(Value::as_object).cloned().unwrap_or_default()
    }

    /// A list; where no job is written, the jobs that there are then.
    pub(super) fn list(&self, name: &str) -> Vec<Map<String, Value>> {
        let written: Vec<_> =
            self.0.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object).cloned().collect();
        if written.is_empty() && name == "job" { super::default_jobs().collect() } else { written }
    }

    /// Changes of a list; of jobs where none is written, what is there without a word is written first.
    pub(super) fn with_jobs(&self, list: &str, changes: Vec<Change>) -> Vec<Change> {
        if list != "job" || self.0.get("job").is_some() {
            return changes;
        }
        let entry = |mut values: Map<String, Value>| {
            let id = values.remove("name").and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default();
            Change::Entry { list: "job".to_owned(), id, values }
        };
        super::default_jobs().map(entry).chain(changes).collect()
    }

    fn entry(&self, (list, key): (&str, &str), id: &str) -> Option<Map<String, Value>> {
        self.list(list).into_iter().find(|entry| entry.get(key).and_then(Value::as_str) == Some(id))
    }
}

/// The entry that a form is about.
pub(super) struct Asked {
    /// What it is called now; empty for a new one.
    pub id: String,
    /// Its keys, as the form has them.
    pub values: Map<String, Value>,
    /// The plug-in as it is written; empty where there is none.
    pub plugin: String,
    /// The plug-in, where it can be used.
    pub component: Option<Arc<PluginComponent>>,
    /// What is wrong: name of the field, and why.
    pub faults: Vec<(String, String)>,
    /// What is to be said of its plug-in.
    pub notes: Vec<String>,
}

impl Asked {
    /// A table of the file.
    pub(super) fn table(values: Map<String, Value>) -> Self {
        Self { id: String::new(), values, plugin: String::new(), component: None, faults: Vec::new(), notes: Vec::new() }
    }

    /// One that is in the file.
    pub(super) async fn known(visit: &Visit, (area, written): (Area, &Written), id: &str) -> Result<Self, Wrong> {
        let found = area::list(area).and_then(|list| written.entry(list, id));
        let values = found.ok_or_else(|| visit.wrong(Problem::not_found(format!("`{id}` in the configuration"))))?;
        let plugin = values.get("plugin").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Self { id: id.to_owned(), ..Self::table(values) }.using(visit, area, plugin).await)
    }

    /// A new one, of a plug-in where the area has them.
    pub(super) async fn fresh(visit: &Visit, area: Area, plugin: &str) -> Self {
        Self::table(Map::new()).using(visit, area, plugin.to_owned()).await
    }

    async fn using(mut self, visit: &Visit, area: Area, plugin: String) -> Self {
        let Some(kind) = area::kind(area) else { return self };
        match visit.context.plugin(&plugin_file(&plugin, &visit.context.config.plugins.directory)).await {
            Ok(component) if component.description().kind == kind => self.component = Some(component),
            Ok(_) => self.notes.push(format!("`{plugin}` is no {}", kind.as_str())),
            Err(error) => self.notes.push(error.to_string()),
        }
        self.plugin = plugin;
        self
    }

    /// One as it was posted, and the changes that make it so.
    pub(super) async fn posted(visit: &Visit, (area, written): (Area, &Written), form: &Form) -> Result<(Self, Vec<Change>), Wrong> {
        let posted: Vec<(String, String)> = form.fields().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let id = if area == Area::Retention { "" } else { form.text("name") };
        let mut asked = match (area, id) {
            (Area::Retention, _) => Self::table(written.table("retention")),
            (_, "") => Self::fresh(visit, area, form.text("plugin")).await,
            (_, id) => Self::known(visit, (area, written), id).await?,
        };
        let before = asked.values.clone();
        let locale = visit.frame.locale;
        let mut entry = Entry::new(&before, &posted, locale);
        area::read(area, &mut entry, asked.component.as_ref().map(|component| component.description()), locale);
        if let Some(list) = area::list(area) {
            let wanted = entry.posted(list.1);
            if wanted != id && written.entry(list, wanted).is_some() {
                entry.fault(list.1, ("já existe um com este nome", "there is one of this name already"));
            }
        }
        if id.is_empty() && area::kind(area).is_some() {
            entry.set("plugin", Some(Value::from(asked.plugin.as_str())));
        }
        (asked.values, asked.faults) = (entry.values, entry.faults);
        // What is said of the plug-in keeps nothing from being changed, but a new one needs it.
        if !id.is_empty() {
            asked.notes.clear();
        } else if asked.component.is_none() && area::kind(area).is_some() {
            asked.faults.push(("plugin".to_owned(), visit.t("escolha um plug-in aprovado", "choose an approved plug-in").to_owned()));
        }
        let changes = asked.changes((area, written), &before);
        Ok((asked, changes))
    }

    fn changes(&self, (area, written): (Area, &Written), before: &Map<String, Value>) -> Vec<Change> {
        let values = patch(before, &self.values);
        let Some((list, key)) = area::list(area) else { return vec![Change::Table { table: "retention".to_owned(), values }] };
        if values.is_empty() {
            return Vec::new();
        }
        let id = if self.id.is_empty() { self.name(area) } else { self.id.clone() };
        let mut values = values;
        // A new entry is begun with its name.
        if self.id.is_empty() {
            values.remove(key);
        }
        written.with_jobs(list, vec![Change::Entry { list: list.to_owned(), id, values }])
    }

    /// What it will be called.
    pub(super) fn name(&self, area: Area) -> String {
        let key = area::list(area).map_or("name", |(_, key)| key);
        self.values.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Whether something is wrong with what was posted.
    pub(super) fn is_wrong(&self) -> bool {
        !self.faults.is_empty()
    }
}
