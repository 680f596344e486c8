//! What was chosen so far in the wizard: read from a query or a form, carried to the next step, and what it means as a restore. Pure.

use std::path::{Component, Path, PathBuf};

use super::super::super::api::work::RestoreBody;
use super::super::form::Form;
use super::super::shell::words;
use crate::catalog::ArtifactLine;

/// Things of one directory that are restored together.
const ITEMS_MAX: usize = 50;
/// Longest name of a schema (MySQL, MariaDB).
const SCHEMA_MAX: usize = 64;

/// What is wrong with what was chosen, in both languages.
pub(super) type Fault = (&'static str, &'static str);

/// Fields, as they are carried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Picked {
    /// Name of a set.
    pub set: String,
    /// Destination; empty is the best copy.
    pub from: String,
    /// Key of an artifact.
    pub artifact: String,
    /// The directory of it that is open; of a schema, anything.
    pub at: String,
    /// Tables, or paths; those of directories end with `/`.
    pub items: Vec<String>,
    /// A path that was typed.
    pub path: String,
    /// `schema`, `directory`, `download`.
    pub target: String,
    /// Name of the new schema.
    pub schema: String,
    /// Source that it is made at.
    pub server: String,
    /// Directory of this machine.
    pub directory: String,
    /// Whether files there are replaced.
    pub replace: bool,
}

/// What of an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// One table of a schema.
    Table(String),
    /// What lies at or below these paths, all in one directory; those of directories end with `/`.
    Paths(Vec<String>),
}

/// Where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Goal {
    /// A new schema.
    Schema { server: String, name: String },
    /// A directory of this machine.
    Directory { path: PathBuf, replace: bool },
    /// The browser.
    Download,
}

impl Picked {
    pub(super) fn of(form: &Form) -> Self {
        let text = |name: &str| form.text(name).to_owned();
        Self {
            set: text("set"),
            from: text("from"),
            artifact: text("artifact"),
            at: text("at"),
            items: form.all("item"),
            path: form.some("path").unwrap_or_default().to_owned(),
            target: text("target"),
            schema: form.some("schema").unwrap_or_default().to_owned(),
            server: text("server"),
            directory: form.some("directory").unwrap_or_default().to_owned(),
            replace: form.text("replace") == "yes",
        }
    }

    /// The fields of these names that say something.
    pub(super) fn carried(&self, names: &[&str]) -> Vec<(String, String)> {
        let single = [
            ("set", self.set.as_str()),
            ("from", &self.from),
            ("artifact", &self.artifact),
            ("at", &self.at),
            ("path", &self.path),
            ("target", &self.target),
            ("schema", &self.schema),
            ("server", &self.server),
            ("directory", &self.directory),
            ("replace", if self.replace { "yes" } else { "" }),
        ];
        let items = self.items.iter().map(|item| ("item", item.as_str()));
        let all = single.into_iter().chain(items).filter(|(name, value)| names.contains(name) && !value.is_empty());
        all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// The same as a query, with further fields.
    pub(super) fn link(&self, names: &[&str], further: &[(&str, &str)]) -> String {
        let mut query = form_urlencoded::Serializer::for_suffix("?".to_owned(), 1);
        query.extend_pairs(self.carried(names));
        query.extend_pairs(further);
        query.finish()
    }

    /// What of the chosen artifact.
    pub(super) fn part(&self, line: &ArtifactLine) -> Result<Part, Fault> {
        let mut chosen: Vec<String> = self.items.clone();
        chosen.extend(Some(self.path.clone()).filter(|path| !path.is_empty()));
        chosen.dedup();
        if chosen.is_empty() {
            // Whoever looked inside and took nothing of it does not mean all of it.
            let nothing =
                ("Escolha algo, ou volte e escolha o artefato inteiro.", "Choose something, or go back and choose the whole artifact.");
            return if self.at.is_empty() { Ok(Part::Whole) } else { Err(nothing) };
        }
        match line.kind.as_str() {
            "schema" => match <[String; 1]>::try_from(chosen) {
                Ok([table]) => Ok(Part::Table(table)),
                Err(_) => Err(("Uma tabela de cada vez, ou o banco inteiro.", "One table at a time, or the whole schema.")),
            },
            "directory" => paths(chosen, Path::new(&line.name)).map(Part::Paths),
            _ => Err(("Deste artefato só se restaura o todo.", "Of this artifact only the whole can be restored.")),
        }
    }

    /// Where to, as far as it makes sense for what was chosen. `servers`: those of the configuration.
    pub(super) fn goal(&self, (line, part): (&ArtifactLine, &Part), servers: &[&str]) -> Result<Goal, Fault> {
        match self.target.as_str() {
            "schema" if line.kind != "schema" => {
                Err(("Só um banco vai para um servidor de banco.", "Only a schema goes to a database server."))
            }
            "schema" if !servers.contains(&self.server.as_str()) => {
                Err(("Esse servidor não está na configuração.", "That server is not in the configuration."))
            }
            "schema" if !is_schema_name(&self.schema) => Err((
                "O nome do banco tem de 1 a 64 caracteres, sem / \\ nem .",
                "The name of a schema has 1 to 64 characters, without / \\ and .",
            )),
            "schema" => Ok(Goal::Schema { server: self.server.clone(), name: self.schema.clone() }),
            "directory" if matches!(part, Part::Table(_)) => Err(TABLE_ALONE),
            "directory" if !is_plain_path(Path::new(&self.directory)) => {
                Err(("O diretório começa com / e não tem `..`.", "The directory begins with / and has no `..` in it."))
            }
            "directory" => Ok(Goal::Directory { path: PathBuf::from(&self.directory), replace: self.replace }),
            "download" => downloadable(part).map(|()| Goal::Download),
            _ => Err(("Escolha para onde restaurar.", "Choose where to restore to.")),
        }
    }

    /// The command that does the same, as far as it is chosen.
    pub(super) fn command(&self, part: Option<(&ArtifactLine, &Part)>, goal: Option<&Goal>) -> String {
        let mut all = vec!["cofre", "restore", self.set.as_str()];
        if !self.from.is_empty() {
            all.extend(["--from", self.from.as_str()]);
        }
        let glob;
        match part {
            None => {}
            Some((line, Part::Whole)) => all.extend(["--artifact", line.key.as_str()]),
            Some((line, Part::Table(table))) => all.extend(["--schema", line.name.as_str(), "--table", table]),
            Some((_, Part::Paths(paths))) => match paths.as_slice() {
                [path] => all.extend(["--path", bare(path)]),
                several => {
                    glob = glob_of(several);
                    all.extend(["--glob", glob.as_str()]);
                }
            },
        }
        let path = match goal {
            Some(Goal::Directory { path, .. }) => path.display().to_string(),
            _ => String::new(),
        };
        match goal {
            None => {}
            Some(Goal::Schema { server, name }) => all.extend(["--database", server, "--into", name]),
            Some(Goal::Directory { replace, .. }) => {
                all.extend(["--to", path.as_str()]);
                all.extend(replace.then_some("--force"));
            }
            Some(Goal::Download) => {
                all.push("--stdout");
                let name = part.map(|(line, part)| file_name(line, part)).unwrap_or_default();
                return format!("{} > {}", words(&all), words(&[&name]));
            }
        }
        words(&all)
    }

    /// The same as the API takes it; nothing for a download.
    pub(super) fn body(&self, (line, part): (&ArtifactLine, &Part), goal: &Goal, dry_run: bool) -> RestoreBody {
        let (to, database, into, force) = match goal {
            Goal::Schema { server, name } => (None, Some(server.clone()), Some(name.clone()), false),
            Goal::Directory { path, replace } => (Some(path.clone()), None, None, *replace),
            Goal::Download => (None, None, None, false),
        };
        let mut body = RestoreBody {
            set: Some(self.set.clone()),
            from: Some(self.from.clone()).filter(|from| !from.is_empty()),
            schemas: Vec::new(),
            table: None,
            path: None,
            glob: None,
            artifact: None,
            to,
            database,
            into,
            force,
            dry_run,
        };
        match part {
            Part::Whole => body.artifact = Some(line.key.clone()),
            Part::Table(table) => (body.schemas, body.table) = (vec![line.name.clone()], Some(table.clone())),
            Part::Paths(paths) => match paths.as_slice() {
                [path] => body.path = Some(PathBuf::from(bare(path))),
                several => body.glob = Some(glob_of(several)),
            },
        }
        body
    }

    /// Where the API gives what is downloaded.
    pub(super) fn address(&self, line: &ArtifactLine, part: &Part) -> String {
        let key: Vec<String> = line.key.split('/').map(percent).collect();
        let path = match part {
            Part::Paths(paths) => paths.first().map(|path| bare(path)),
            Part::Whole | Part::Table(_) => None,
        };
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(path.map(|path| ("path", path)));
        query.extend_pairs(Some(("from", self.from.as_str())).filter(|(_, from)| !from.is_empty()));
        let query = query.finish();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}/sets/{}/artifacts/{}{mark}{query}", super::super::super::openapi::BASE, percent(&self.set), key.join("/"))
    }
}

impl Part {
    /// What was chosen, in a line.
    pub(super) fn shown(&self, line: &ArtifactLine) -> String {
        match self {
            Self::Whole if line.kind == "grants" => line.key.clone(),
            Self::Whole => line.name.clone(),
            Self::Table(table) => format!("{}.{table}", line.name),
            Self::Paths(paths) => paths.join(", "),
        }
    }
}

impl Goal {
    /// The name that confirms it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Schema { name, .. } => name.clone(),
            Self::Directory { path, .. } => path.display().to_string(),
            Self::Download => String::new(),
        }
    }
}

const TABLE_ALONE: Fault = ("Uma tabela sozinha só vai para um banco.", "A table alone goes into a database only.");

/// Whether a browser can fetch it as one file.
pub(super) fn downloadable(part: &Part) -> Result<(), Fault> {
    match part {
        Part::Table(_) => Err(TABLE_ALONE),
        Part::Whole => Ok(()),
        Part::Paths(paths) => match paths.as_slice() {
            [path] if !path.ends_with('/') => Ok(()),
            [_] => Err((
                "Um diretório vai para um diretório; o artefato inteiro pode ser baixado.",
                "A directory goes into a directory; the whole artifact can be downloaded.",
            )),
            _ => Err(("O navegador recebe um arquivo de cada vez.", "The browser takes one file at a time.")),
        },
    }
}

/// Paths in one directory of an artifact.
fn paths(chosen: Vec<String>, root: &Path) -> Result<Vec<String>, Fault> {
    if chosen.len() > ITEMS_MAX {
        return Err(("No máximo 50 de cada vez; ou escolha o diretório.", "At most 50 at a time; or choose the directory."));
    }
    let outside = ("O caminho não está neste artefato.", "The path is not in this artifact.");
    if !chosen.iter().all(|path| is_plain_path(Path::new(path)) && Path::new(path).starts_with(root)) {
        return Err(outside);
    }
    let parents: Vec<_> = chosen.iter().map(|path| Path::new(path).parent()).collect();
    if parents.iter().any(|parent| *parent != parents[0]) {
        return Err(("Escolha de um só diretório de cada vez.", "Choose out of one directory at a time."));
    }
    Ok(chosen)
}

/// Whether a path begins at the root and goes down only.
fn is_plain_path(path: &Path) -> bool {
    path.is_absolute() && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_))) && !has_nul(path)
}

fn has_nul(path: &Path) -> bool {
    path.to_str().is_none_or(|text| text.contains('\0'))
}

fn is_schema_name(name: &str) -> bool {
    let count = name.chars().count();
    (1..=SCHEMA_MAX).contains(&count) && !name.contains(['/', '\\', '.']) && !name.contains(char::is_control)
}

/// A path without the `/` that says that it is a directory's.
fn bare(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => "/",
        bare => bare,
    }
}

/// One pattern for several things of one directory, and nothing else.
fn glob_of(paths: &[String]) -> String {
    let parent = paths.first().and_then(|path| Path::new(bare(path)).parent()).and_then(Path::to_str).unwrap_or_default();
    let names: Vec<String> = paths.iter().filter_map(|path| Path::new(bare(path)).file_name()?.to_str()).map(literal).collect();
    format!("{}/{{{}}}", literal(parent.trim_end_matches('/')), names.join(","))
}

/// A text that a pattern takes as it is.
fn literal(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if "*?[]{},\\!".contains(letter) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// A text as one part of an address.
fn percent(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// The file that is downloaded.
fn file_name(line: &ArtifactLine, part: &Part) -> String {
    match part {
        Part::Paths(paths) => {
            let name = paths.first().and_then(|path| Path::new(bare(path)).file_name()?.to_str());
            name.unwrap_or("file").to_owned()
        }
        Part::Whole | Part::Table(_) => format!("{}.tar", crate::set::stem_of(&line.key).rsplit('/').next().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: &str, name: &str) -> ArtifactLine {
        let source = if kind == "schema" { "main" } else { "" };
        ArtifactLine { key: format!("{kind}/x.tar.gz.enc"), kind: kind.into(), source: source.into(), name: name.into(), plain: 2, size: 1 }
    }

    fn picked(items: &[&str]) -> Picked {
        let items = items.iter().map(|item| (*item).to_owned()).collect();
        Picked { set: "backup_2026_03_15_02_00_00".into(), artifact: "x".into(), items, ..Picked::default() }
    }

    #[test]
    fn several_things_become_a_pattern_for_them_alone() {
        let etc = line("directory", "/etc");
        let chosen = picked(&["/etc/a,b", "/etc/[c]*/", "/etc/d\\{e}"]);
        let part = chosen.part(&etc).expect("one directory");
        let glob = chosen.body((&etc, &part), &Goal::Download, true).glob.expect("a pattern");
        let matcher = globset::GlobBuilder::new(&glob).literal_separator(true).build().expect("a pattern").compile_matcher();
        for path in ["/etc/a,b", "/etc/[c]*", "/etc/d\\{e}"] {
            assert!(matcher.is_match(path), "{glob}: {path}");
        }
        for path in ["/etc/a", "/etc/b", "/etc/c", "/etc/[c]x", "/etc/e", "/etc/x/a,b"] {
            assert!(!matcher.is_match(path), "{glob}: {path}");
        }
    }

    #[test]
    fn nothing_outside_the_artifact_can_be_chosen() {
        let etc = line("directory", "/etc");
        for wrong in ["/var/x", "/etc/../var", "etc/x", "/etcetera", "/etc/a\0"] {
            assert!(picked(&[wrong]).part(&etc).is_err(), "{wrong}");
        }
        assert!(picked(&["/etc/a", "/etc/b/c"]).part(&etc).is_err(), "two directories");
        assert!(picked(&["a", "b"]).part(&line("schema", "erp")).is_err(), "two tables");
        assert!(picked(&["a"]).part(&line("grants", "main")).is_err());
        let opened = Picked { at: "/etc".into(), ..picked(&[]) };
        assert!(opened.part(&etc).is_err(), "looked inside, and chose nothing");
        assert_eq!(picked(&[]).part(&etc), Ok(Part::Whole));
    }

    #[test]
    fn where_to_fits_what_it_is() {
        let (erp, etc) = (line("schema", "erp"), line("directory", "/etc"));
        let to = |target: &str, schema: &str, directory: &str| Picked {
            target: target.into(),
            schema: schema.into(),
            server: "main".into(),
            directory: directory.into(),
            ..picked(&[])
        };
        let table = Part::Table("t".into());
        assert!(to("schema", "new", "").goal((&erp, &table), &["main"]).is_ok());
        assert!(to("schema", "new", "").goal((&erp, &table), &["other"]).is_err());
        assert!(to("schema", "a/b", "").goal((&erp, &Part::Whole), &["main"]).is_err());
        assert!(to("schema", "new", "").goal((&etc, &Part::Whole), &["main"]).is_err());
        assert!(to("directory", "", "/srv").goal((&erp, &table), &["main"]).is_err());
        assert!(to("directory", "", "srv").goal((&etc, &Part::Whole), &["main"]).is_err());
        assert!(to("directory", "", "/srv/../x").goal((&etc, &Part::Whole), &["main"]).is_err());
        assert!(to("download", "", "").goal((&erp, &table), &["main"]).is_err());
        assert!(to("download", "", "").goal((&etc, &Part::Paths(vec!["/etc/b/".into()])), &[]).is_err());
        assert_eq!(to("download", "", "").goal((&etc, &Part::Paths(vec!["/etc/b".into()])), &[]), Ok(Goal::Download));
        assert!(to("", "", "").goal((&etc, &Part::Whole), &[]).is_err());
    }

    #[test]
    fn the_command_does_the_same_and_is_quoted() {
        let (erp, etc) = (line("schema", "erp"), line("directory", "/etc"));
        let mut chosen = picked(&["/etc/it's"]);
        chosen.from = "disk".into();
        let part = chosen.part(&etc).expect("holds");
        let goal = Goal::Directory { path: "/srv/a b".into(), replace: true };
        let text = chosen.command(Some((&etc, &part)), Some(&goal));
        assert_eq!(text, "cofre restore backup_2026_03_15_02_00_00 --from disk --path '/etc/it'\\''s' --to '/srv/a b' --force");
        let goal = Goal::Schema { server: "main".into(), name: "new".into() };
        let text = picked(&[]).command(Some((&erp, &Part::Table("t".into()))), Some(&goal));
        assert_eq!(text, "cofre restore backup_2026_03_15_02_00_00 --schema erp --table t --database main --into new");
        let text = picked(&[]).command(Some((&erp, &Part::Whole)), Some(&Goal::Download));
        assert_eq!(text, "cofre restore backup_2026_03_15_02_00_00 --artifact schema/x.tar.gz.enc --stdout > x.tar");
        let address = chosen.address(&etc, &part);
        assert_eq!(address, "/api/v1/sets/backup_2026_03_15_02_00_00/artifacts/directory/x.tar.gz.enc?path=%2Fetc%2Fit%27s&from=disk");
    }
}
