//! The steps at which something is chosen: a set, what of it, where to.

use std::path::Path;

use jiff::Timestamp;

use super::super::form::Form;
use super::super::frame::{Visit, Wrong};
use super::super::sets::{standing, started};
use super::picked::{Part, Picked, downloadable};
use super::{Chosen, servers, size};
use crate::catalog::{ArtifactLine, SetFilter, SetRecord};
use crate::job::{self, Content, ContentKind, ContentsRequest, JobError, TableLine};
use crate::page::part::{Choice, Pager};
use crate::page::restore::{Candidate, Choosable, Inside, PickSet, PickWhat, PickWhere, Step, Thing};
use crate::text::Locale;

/// Sets of a page.
const SETS: u32 = 50;
/// Artifacts of a page.
const ARTIFACTS: usize = 100;
/// Tables of a page.
const TABLES: usize = 200;
/// Characters of a schema's name before its suffix.
const STEM: usize = 50;
/// What stands for "inside" of a schema.
const TABLES_OPEN: &str = "tables";

/// Sets of which a copy is complete, newest first.
pub(super) async fn set(visit: &Visit, picked: &Picked, form: &Form) -> Result<Step, Wrong> {
    let before = form.some("before").and_then(|name| name.parse().ok());
    let filter = SetFilter { before, ..SetFilter::default() };
    let mut sets = visit.aside(move |context| Ok(job::browse(context, filter, None, SETS + 1)?)).await?;
    let more = sets.len() > SETS as usize;
    sets.truncate(SETS as usize);
    let next = sets.last().filter(|_| more).map(|set| picked.link(&["from"], &[("step", "set"), ("before", &set.name)]));
    let source = |name: &str| Choice { value: name.to_owned(), label: name.to_owned(), chosen: picked.from == name };
    let best = Choice { label: visit.t("a melhor cópia", "the best copy").to_owned(), ..source("") };
    let others = visit.context.config.destinations.iter().map(|destination| source(&destination.settings.name));
    Ok(Step::Set(PickSet {
        sets: sets
            .iter()
            .filter(|set| set.copies.iter().any(|copy| copy.complete))
            .map(|set| candidate(visit, set, picked.set == set.name))
            .collect(),
        pager: Pager { previous: before.map(|_| picked.link(&["from"], &[("step", "set")])), next, total: None },
        sources: std::iter::once(best).chain(others).collect(),
    }))
}

fn candidate(visit: &Visit, set: &SetRecord, chosen: bool) -> Candidate {
    let (tone, word) = standing(set, visit.frame.locale);
    let places: Vec<&str> = set.copies.iter().filter(|copy| copy.complete).map(|copy| copy.destination.as_str()).collect();
    Candidate {
        name: set.name.clone(),
        started: started(visit, &set.name),
        tone,
        word: word.to_owned(),
        content: format!("{} {}, {} · {}", set.artifacts, visit.t("artefatos", "artifacts"), size(visit, set.plain), places.join(", ")),
        chosen,
    }
}

/// Artifacts of the set or, with one that is open, what lies inside it. What cannot be looked into is a fault, and no end.
pub(super) async fn what(
    visit: &Visit,
    (picked, form): (&Picked, &Form),
    (chosen, opened): (&Chosen, Option<&ArtifactLine>),
    faults: &mut Vec<String>,
) -> Step {
    let inside = match opened {
        Some(line) if line.kind == "schema" => Some(in_schema(visit, (picked, form), chosen, line).await),
        Some(line) => Some(in_directory(visit, (picked, form), chosen, line).await),
        None => None,
    };
    let inside = inside.map(|(inside, fault)| {
        faults.extend(fault);
        inside
    });
    let query = form.text("q").to_owned();
    let found: Vec<&ArtifactLine> = chosen
        .detail
        .contents
        .iter()
        .filter(|line| line.kind != "own" && (line.name.contains(&query) || line.key.contains(&query)))
        .collect();
    let start: usize = form.text("start").parse().unwrap_or(0).min(found.len());
    let link = |start: usize| picked.link(&["set", "from"], &[("step", "what"), ("q", &query), ("start", &start.to_string())]);
    let pager = Pager {
        previous: (start > 0).then(|| link(start.saturating_sub(ARTIFACTS))),
        next: (start + ARTIFACTS < found.len()).then(|| link(start + ARTIFACTS)),
        total: Some(found.len() as u64),
    };
    let artifacts = found.iter().skip(start).take(ARTIFACTS).map(|line| artifact(visit, picked, line)).collect();
    Step::What(PickWhat { artifacts, pager, query, inside })
}

fn artifact(visit: &Visit, picked: &Picked, line: &ArtifactLine) -> Choosable {
    let open = |at: &str| picked.link(&["set", "from"], &[("step", "what"), ("artifact", &line.key), ("at", at)]);
    let size = size(visit, line.plain);
    let (kind, label, detail, open) = match line.kind.as_str() {
        "schema" => (Thing::Schema, line.name.clone(), format!("{} · {size}", line.source), Some(open(TABLES_OPEN))),
        "directory" => (Thing::Directory, line.name.clone(), size, Some(open(&line.name))),
        _ => (Thing::File, format!("{} {}", visit.t("contas e permissões de", "accounts and grants of"), line.name), size, None),
    };
    Choosable { value: line.key.clone(), label, detail, kind, chosen: picked.artifact == line.key, open }
}

async fn in_schema(visit: &Visit, (picked, form): (&Picked, &Form), chosen: &Chosen, line: &ArtifactLine) -> (Inside, Option<String>) {
    let from = Some(picked.from.as_str()).filter(|from| !from.is_empty());
    let (tables, fault) = listed(job::tables(&visit.context, chosen.set, (&line.key, from)).await);
    let start: usize = form.text("start").parse().unwrap_or(0).min(tables.len());
    let open = |start: usize| picked.link(&["set", "from", "artifact", "at"], &[("step", "what"), ("start", &start.to_string())]);
    let rows = visit.t("linhas", "rows");
    let table = |table: &TableLine| Choosable {
        value: table.name.clone(),
        label: table.name.clone(),
        detail: format!("{} {rows} · {}", table.rows, size(visit, table.bytes)),
        kind: Thing::Table,
        chosen: picked.items.contains(&table.name),
        open: None,
    };
    let inside = Inside {
        path: vec![(line.name.clone(), open(0))],
        entries: tables.iter().skip(start).take(TABLES).map(table).collect(),
        many: false,
        typed: None,
        pager: Pager {
            previous: (start > 0).then(|| open(start.saturating_sub(TABLES))),
            next: (start + TABLES < tables.len()).then(|| open(start + TABLES)),
            total: Some(tables.len() as u64),
        },
    };
    (inside, fault)
}

/// What was found, or nothing and why.
fn listed<T: Default>(found: Result<T, JobError>) -> (T, Option<String>) {
    match found {
        Ok(found) => (found, None),
        Err(error) => (T::default(), Some(error.to_string())),
    }
}

async fn in_directory(visit: &Visit, (picked, form): (&Picked, &Form), chosen: &Chosen, line: &ArtifactLine) -> (Inside, Option<String>) {
    let at = Path::new(&picked.at);
    let at = if at.starts_with(&line.name) { at } else { Path::new(&line.name) };
    let cursor = form.some("cursor").map(str::to_owned);
    let request = ContentsRequest {
        set: chosen.set,
        artifact: line.key.clone(),
        from: Some(picked.from.clone()).filter(|from| !from.is_empty()),
        path: Some(at.to_path_buf()),
        after: cursor.clone(),
    };
    let (found, mut fault) = listed(job::contents(&visit.context, &request).await.map(Some));
    let open = |at: &Path| {
        let at = at.to_string_lossy();
        picked.link(&["set", "from", "artifact"], &[("step", "what"), ("at", &at)])
    };
    let (entries, next, whole) = found.map_or((Vec::new(), None, true), |found| (found.entries, found.next, found.whole));
    if !whole {
        let text = visit
            .t("O arquivo tem entradas demais: algumas podem faltar aqui.", "The archive has too many entries: some may be missing here.");
        fault = Some(text.to_owned());
    }
    let further = |next: &String| {
        let at = at.to_string_lossy();
        picked.link(&["set", "from", "artifact"], &[("step", "what"), ("at", &at), ("cursor", next)])
    };
    let inside = Inside {
        path: crumbs(Path::new(&line.name), at).into_iter().map(|(name, path)| (name, open(path))).collect(),
        entries: entries.iter().map(|content| self::content(visit, picked, at, content)).collect(),
        many: true,
        typed: Some(format!("{}/", at.to_string_lossy().trim_end_matches('/'))),
        pager: Pager { previous: cursor.map(|_| open(at)), next: next.as_ref().map(further), total: None },
    };
    (inside, fault)
}

/// The directories from the artifact's own down to one.
fn crumbs<'a>(root: &'a Path, at: &'a Path) -> Vec<(String, &'a Path)> {
    let mut crumbs: Vec<_> = at
        .ancestors()
        .take_while(|above| above.starts_with(root))
        .map(|above| {
            let name = above.file_name().filter(|_| above != root).unwrap_or(above.as_os_str());
            (name.to_string_lossy().into_owned(), above)
        })
        .collect();
    crumbs.reverse();
    crumbs
}

fn content(visit: &Visit, picked: &Picked, at: &Path, content: &Content) -> Choosable {
    let path = at.join(&content.name).to_string_lossy().into_owned();
    let is_directory = content.kind == ContentKind::Directory;
    let value = match (content.exact, is_directory) {
        (false, _) => String::new(),
        (true, true) => format!("{path}/"),
        (true, false) => path.clone(),
    };
    let mut detail = match content.kind {
        ContentKind::File => vec![size(visit, content.size)],
        ContentKind::Directory => vec![format!("{} {}", content.below, visit.t("itens dentro", "things inside"))],
        ContentKind::Other => vec![visit.t("link ou arquivo especial", "link or special file").to_owned()],
    };
    detail.extend(content.modified.map(|modified| time(visit, modified)));
    if !content.exact {
        let text = visit.t("o nome não é texto: escolha o diretório", "its name is no text: choose the directory");
        detail.push(text.to_owned());
    }
    let open = picked.link(&["set", "from", "artifact"], &[("step", "what"), ("at", &path)]);
    Choosable {
        chosen: picked.items.contains(&value),
        value,
        label: content.name.clone(),
        detail: detail.join(" · "),
        kind: if is_directory { Thing::Directory } else { Thing::File },
        open: Some(open).filter(|_| is_directory && content.exact),
    }
}

fn time(visit: &Visit, at: Timestamp) -> String {
    let format = if visit.frame.locale == Locale::PtBr { "%d/%m/%Y %H:%M" } else { "%Y-%m-%d %H:%M" };
    at.to_zoned_datetime(visit.frame.zone.clone()).strftime(format).to_string()
}

/// Where it may go.
pub(super) fn place(visit: &Visit, picked: &Picked, (line, part): (&ArtifactLine, &Part)) -> Step {
    let names: Vec<&str> = servers(visit).collect();
    let is_schema = line.kind == "schema" && !names.is_empty();
    let own = if picked.server.is_empty() { &line.source } else { &picked.server };
    let suggested = || format!("{}{}", line.name.chars().take(STEM).collect::<String>(), visit.t("_restaurado", "_restored"));
    let schema = if picked.schema.is_empty() { suggested() } else { picked.schema.clone() };
    let directory = if picked.directory.is_empty() {
        visit.context.config.storage.state.join("restored").join(&picked.set).display().to_string()
    } else {
        picked.directory.clone()
    };
    let usual = if is_schema { "schema" } else { "directory" };
    let target = if picked.target.is_empty() { usual } else { &picked.target };
    Step::Where(PickWhere {
        servers: names.iter().map(|name| Choice { value: (*name).to_owned(), label: (*name).to_owned(), chosen: *name == own }).collect(),
        schema: Some(schema).filter(|_| is_schema),
        directory: Some(directory).filter(|_| !matches!(part, Part::Table(_))),
        replace: picked.replace,
        download: downloadable(part).map_err(|(portuguese, english)| visit.t(portuguese, english).to_owned()),
        target: target.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_begins_at_the_artifact() {
        let way = crumbs(Path::new("/var/www"), Path::new("/var/www/a/b"));
        let way: Vec<_> = way.into_iter().map(|(name, path)| (name, path.to_string_lossy().into_owned())).collect();
        let expected = [("/var/www", "/var/www"), ("a", "/var/www/a"), ("b", "/var/www/a/b")];
        assert_eq!(way, expected.map(|(name, path)| (name.to_owned(), path.to_owned())));
    }
}
