//! A listing walks the folders and looks into each as a whole, so that of files of one name only the newest is shown. The cursor is what
//! is still to be visited.

use cofre_sdk::{Context as _, Error, Object, Page, Result};
use serde::{Deserialize, Serialize};

use crate::client::{Client, File, Kind};
use crate::settings::check_key;
use crate::store::PROBE;
use crate::upload::by_change;

/// Objects after which a page is handed over.
const PAGE: usize = 250;

/// Objects of one folder that are handed over at once; the folder is looked at again for the rest.
const SLICE: usize = 5_000;

/// Folders that are looked into for one page: each costs a request or more.
const FOLDERS: usize = 60;

/// Where a listing stands.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Cursor {
    /// Folders still to be visited, as paths of keys with the identifiers of all folders of that path; the last is next.
    pending: Vec<(String, Vec<String>)>,
    /// Of the next one, only names after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
}

/// What lies in one folder.
#[derive(Default)]
struct Content {
    objects: Vec<Object>,
    folders: Vec<(String, Vec<String>)>,
    /// The last name of a folder that has more.
    more: Option<String>,
}

/// One page of the keys that begin with `prefix`.
pub(crate) fn page(client: &Client, prefix: &str, cursor: Option<&str>) -> Result<Page> {
    let mut cursor = match cursor {
        Some(text) => serde_json::from_str(text).map_err(|_| Error::invalid_config("the cursor is not one of this plug-in"))?,
        None => start(client, prefix)?,
    };
    let mut objects = Vec::new();
    for _ in 0..FOLDERS {
        let Some((path, ids)) = cursor.pending.pop() else { break };
        let content = look(client, (&path, &ids), prefix, cursor.after.take()).with_context(|| format!("cannot list {path}"))?;
        objects.extend(content.objects);
        match content.more {
            Some(name) => {
                cursor.pending.push((path, ids));
                cursor.after = Some(name);
            }
            None => cursor.pending.extend(content.folders),
        }
        if objects.len() >= PAGE {
            break;
        }
    }
    let rest = (!cursor.pending.is_empty()).then(|| serde_json::to_string(&cursor));
    let cursor = rest.transpose().map_err(|error| Error::other(format!("cannot write a cursor: {error}")))?;
    Ok(Page { objects, cursor })
}

/// Begins at the folder that every key with this prefix is in.
fn start(client: &Client, prefix: &str) -> Result<Cursor> {
    let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
    // No key is in a folder with such a path.
    if !folder.is_empty() && check_key(folder).is_err() {
        return Ok(Cursor::default());
    }
    let ids: Vec<String> = client.folders(&client.path(folder))?.into_iter().map(|folder| folder.id).collect();
    let pending = if ids.is_empty() { Vec::new() } else { vec![(folder.to_owned(), ids)] };
    Ok(Cursor { pending, after: None })
}

/// The objects of a folder with the prefix, and the folders in it that may have more.
fn look(client: &Client, (path, ids): (&str, &[String]), prefix: &str, after: Option<String>) -> Result<Content> {
    let key = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for id in ids {
        for file in client.children(id, None, Kind::Both)? {
            // A name with a slash in it is none of ours: it would be another key.
            if matches!(file.name.as_str(), "" | "." | "..") || file.name.contains('/') {
                continue;
            }
            match (file.is_folder(), file.size()) {
                (true, _) if leads_to(&key(&file.name), prefix) => folders.push(file),
                (false, Some(_)) if key(&file.name).starts_with(prefix) && key(&file.name) != PROBE => files.push(file),
                _ => {}
            }
        }
    }
    by_change(&mut files);
    // Stable: within a name the newest stays first.
    files.sort_by(|one, other| one.name.cmp(&other.name));
    files.dedup_by(|later, first| later.name == first.name);
    let from = after.map_or(0, |after| files.partition_point(|file| file.name <= after));
    let more = files.get(from + SLICE).and_then(|_| files.get(from + SLICE - 1)).map(|file| file.name.clone());
    let objects = files.into_iter().skip(from).take(SLICE).map(|file| file.object(key(&file.name))).collect();
    Ok(Content { objects, folders: together(folders, key), more })
}

/// Whether keys with the prefix may lie below a folder.
fn leads_to(folder: &str, prefix: &str) -> bool {
    let folder = format!("{folder}/");
    folder.starts_with(prefix) || prefix.starts_with(&folder)
}

/// Folders of one name are one folder; the last in the order of names first, as the walk takes from the end.
fn together(mut folders: Vec<File>, key: impl Fn(&str) -> String) -> Vec<(String, Vec<String>)> {
    folders.sort_by(|one, other| other.name.cmp(&one.name));
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for folder in folders {
        let path = key(&folder.name);
        match found.last_mut() {
            Some((last, ids)) if *last == path => ids.push(folder.id),
            _ => found.push((path, vec![folder.id])),
        }
    }
    found
}
