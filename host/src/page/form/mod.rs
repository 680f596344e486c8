//! Forms: fields with labels, help and faults; made by hand, or out of a plug-in's JSON Schema and read back by it.
//!
//! A secret is never in a form. What is shown and posted is where it is kept.

mod fields;
mod read;
mod shape;

use askama::Template;

use super::frame::Frame;
use super::part::{Choice, Html};
use super::written;

pub use fields::{schema_form, secret_fields};
pub use read::{Read, read_form, read_secret};

/// One field, or several that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// What it is posted as. A field inside another has its name before its own: `settings.object_lock.days`.
    pub name: String,
    /// Label.
    pub label: String,
    /// What it is for; commands and keys in backticks.
    pub help: String,
    /// What is asked for.
    pub input: Input,
    /// Whether it must be filled in.
    pub required: bool,
    /// What is wrong with what was filled in.
    pub fault: Option<String>,
}

/// What a field asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A line of text.
    Text {
        /// What it is now.
        value: String,
        /// Most characters.
        most: Option<u64>,
        /// What it is when left out, shown in the empty field.
        default: String,
    },
    /// A number.
    Number {
        /// What it is now; empty where it is left out.
        value: String,
        /// Whether only whole ones will do.
        whole: bool,
        /// Least.
        least: Option<f64>,
        /// Most.
        most: Option<f64>,
        /// What it is when left out.
        default: String,
    },
    /// On or off; posted as `on` or not at all.
    Flag {
        /// Whether it is on.
        on: bool,
    },
    /// One of several values.
    Choice {
        /// The values.
        choices: Vec<Choice>,
    },
    /// Several texts, one a line.
    Lines {
        /// What they are now.
        values: Vec<String>,
    },
    /// Fields that belong together.
    Group {
        /// Whether they are given at all, where they may be left out; posted under the group's own name, as `on` or not at all.
        given: Option<bool>,
        /// The fields.
        fields: Vec<Field>,
    },
    /// Where a secret is kept; posted as `{name}.kind` and `{name}.place`.
    Secret {
        /// Where it is now.
        kept: Option<Kept>,
    },
    /// What no field can show, as JSON.
    Json {
        /// The value.
        value: String,
    },
}

/// Where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// In what.
    pub keeper: Keeper,
    /// Which: a path, a variable, a command with its arguments, a credential's name.
    pub place: String,
}

/// What keeps a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeper {
    /// A file that only cofre's account can read.
    File,
    /// A variable of the environment.
    Env,
    /// A command that prints it.
    Command,
    /// A credential of systemd.
    Systemd,
}

impl Keeper {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::File, Self::Env, Self::Command, Self::Systemd];

    /// As the configuration names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Env => "env",
            Self::Command => "command",
            Self::Systemd => "systemd_credential",
        }
    }

    /// The keeper of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|keeper| keeper.name() == name)
    }
}

/// Puts faults to their fields: each with the name of the field that it is about. What is about none is given back.
pub fn with_faults(fields: &mut [Field], faults: &[(String, String)]) -> Vec<String> {
    let mut homeless = Vec::new();
    for (name, message) in faults {
        match find(fields, name) {
            Some(field) => field.fault = Some(message.clone()),
            None => homeless.push(format!("{name}: {message}")),
        }
    }
    homeless
}

fn find<'a>(fields: &'a mut [Field], name: &str) -> Option<&'a mut Field> {
    for field in fields {
        if field.name == name {
            return Some(field);
        }
        if let Input::Group { fields, .. } = &mut field.input
            && let Some(found) = find(fields, name)
        {
            return Some(found);
        }
    }
    None
}

#[derive(Template)]
#[template(path = "page/field.html")]
struct FieldPart<'a> {
    frame: &'a Frame,
    field: &'a Field,
    id: String,
    keepers: Vec<Choice>,
}

impl Frame {
    /// A field with its label, help and fault.
    pub(super) fn field(&self, field: &Field) -> Html {
        let kept = match &field.input {
            Input::Secret { kept } => kept.as_ref().map(|kept| kept.keeper),
            _ => None,
        };
        let label = |keeper| match keeper {
            Keeper::File => self.t("Arquivo privado", "Private file"),
            Keeper::Env => self.t("Variável de ambiente", "Environment variable"),
            Keeper::Command => self.t("Comando que a imprime", "Command that prints it"),
            Keeper::Systemd => self.t("Credencial do systemd", "Credential of systemd"),
        };
        let keeper =
            |keeper: Keeper| Choice { value: keeper.name().to_owned(), label: label(keeper).to_owned(), chosen: kept == Some(keeper) };
        let part = FieldPart { frame: self, field, id: id(&field.name), keepers: Keeper::ALL.into_iter().map(keeper).collect() };
        Html(written(&part))
    }
}

/// A name as an `id`, which has no spaces.
fn id(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect()
}

impl Field {
    fn described(&self, id: &str) -> String {
        let help = (!self.help.is_empty()).then(|| format!("{id}-help"));
        let fault = self.fault.as_ref().map(|_| format!("{id}-fault"));
        [help, fault].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    fn rows(values: &[String]) -> usize {
        values.len().clamp(2, 12) + 1
    }
}
