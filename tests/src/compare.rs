//! Judges: whether two schemas, or two trees of files, are the same.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use sha2::{Digest, Sha256};

use crate::servers::MariaDb;

/// `CHECKSUM TABLE … EXTENDED` of every table of a schema; of a table with history, over its history.
///
/// # Errors
/// When the server refuses.
pub fn checksums(server: &MariaDb, schema: &str) -> Result<BTreeMap<String, String>> {
    let listed = server.sql(&format!("SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA='{schema}' AND TABLE_TYPE IN ('BASE TABLE','SYSTEM VERSIONED','SEQUENCE')"))?;
    let mut sums = BTreeMap::new();
    for line in listed.lines() {
        let Some((name, kind)) = line.split_once('\t') else { continue };
        let table = format!("`{schema}`.`{}`", name.replace('`', "``"));
        let sum = match kind {
            "SYSTEM VERSIONED" => server.sql(&format!("SELECT * FROM {table} FOR SYSTEM_TIME ALL ORDER BY 1, 2"))?,
            "SEQUENCE" => server.sql(&format!("SELECT next_not_cached_value, increment FROM {table}"))?,
            _ => server.sql(&format!("CHECKSUM TABLE {table} EXTENDED"))?.split('\t').next_back().unwrap_or("").to_owned(),
        };
        sums.insert(name.to_owned(), sum);
    }
    Ok(sums)
}

/// Names and definitions of views, triggers, routines and events, with the schema's own name taken out.
///
/// # Errors
/// When the server refuses.
pub fn objects(server: &MariaDb, schema: &str) -> Result<String> {
    let queries = [
        format!("SELECT TABLE_NAME, VIEW_DEFINITION FROM information_schema.VIEWS WHERE TABLE_SCHEMA='{schema}' ORDER BY 1"),
        format!(
            "SELECT TRIGGER_NAME, ACTION_STATEMENT, SQL_MODE FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA='{schema}' ORDER BY 1"
        ),
        format!(
            "SELECT ROUTINE_NAME, ROUTINE_DEFINITION, SQL_MODE, DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA='{schema}' ORDER BY 1"
        ),
        format!(
            "SELECT EVENT_NAME, EVENT_DEFINITION, INTERVAL_VALUE, STATUS FROM information_schema.EVENTS WHERE EVENT_SCHEMA='{schema}' ORDER BY 1"
        ),
        format!(
            "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, EXTRA, CHARACTER_SET_NAME, COLLATION_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA='{schema}' ORDER BY 1, ORDINAL_POSITION"
        ),
        format!(
            "SELECT TABLE_NAME, INDEX_NAME, COLUMN_NAME, SEQ_IN_INDEX, INDEX_TYPE FROM information_schema.STATISTICS WHERE TABLE_SCHEMA='{schema}' ORDER BY 1,2,4"
        ),
        format!(
            "SELECT CONSTRAINT_NAME, TABLE_NAME, REFERENCED_TABLE_NAME, DELETE_RULE FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA='{schema}' ORDER BY 1,2"
        ),
    ];
    let mut all = String::new();
    for query in queries {
        all.push_str(&server.sql(&query)?.replace(&format!("`{schema}`."), "").replace(&format!("{schema}."), ""));
        all.push('\n');
    }
    Ok(all)
}

/// Fails where two schemas differ.
///
/// # Errors
/// With the first difference.
pub fn schemas(server: &MariaDb, one: &str, two: &str) -> Result<()> {
    let (a, b) = (checksums(server, one)?, checksums(server, two)?);
    ensure!(!a.is_empty(), "schema {one} holds no table");
    for (table, sum) in &a {
        ensure!(b.get(table) == Some(sum), "table {table}: {one} has {sum:?}, {two} has {:?}", b.get(table));
    }
    ensure!(a.len() == b.len(), "{one} has {} tables, {two} has {}", a.len(), b.len());
    let (a, b) = (objects(server, one)?, objects(server, two)?);
    let difference = a.lines().zip(b.lines()).find(|(x, y)| x != y);
    ensure!(a == b, "definitions of {one} and {two} differ: {difference:?}");
    Ok(())
}

/// Everything about the files below `root` that a restore must bring back, by path.
///
/// # Errors
/// When something cannot be read.
pub fn inventory(root: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut found = BTreeMap::new();
    let mut links: BTreeMap<(u64, u64), PathBuf> = BTreeMap::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(relative) = waiting.pop() {
        let path = root.join(&relative);
        let status = path.symlink_metadata()?;
        let kind = status.file_type();
        let mut facts =
            format!("mode {:o} owner {}:{} mtime {}.{:09}", status.mode(), status.uid(), status.gid(), status.mtime(), status.mtime_nsec());
        if kind.is_dir() {
            for entry in path.read_dir()? {
                waiting.push(relative.join(entry?.file_name()));
            }
        } else if kind.is_symlink() {
            write!(facts, " to {}", hex::encode(path.read_link()?.as_os_str().as_bytes()))?;
        } else if kind.is_file() {
            let holes = if status.blocks() * 512 < status.len() { "sparse" } else { "dense" };
            write!(facts, " size {} {holes} sha256 {}", status.len(), hex::encode(Sha256::digest(std::fs::read(&path)?)))?;
        } else {
            write!(facts, " device {}", status.rdev())?;
        }
        if !kind.is_symlink() {
            for name in xattr::list(&path)? {
                write!(facts, " xattr {}={}", name.to_string_lossy(), hex::encode(xattr::get(&path, &name)?.unwrap_or_default()))?;
            }
        }
        if !kind.is_dir() && status.nlink() > 1 {
            links
                .entry((status.dev(), status.ino()))
                .and_modify(|first| *first = relative.clone().min(first.clone()))
                .or_insert_with(|| relative.clone());
        }
        found.insert(relative, facts);
    }
    for ((device, inode), first) in links {
        for (path, facts) in &mut found {
            let status = root.join(path).symlink_metadata()?;
            if (status.dev(), status.ino()) == (device, inode) {
                write!(facts, " same file as {}", hex::encode(first.as_os_str().as_bytes()))?;
            }
        }
    }
    Ok(found)
}

/// Fails where two trees differ in anything.
///
/// # Errors
/// With the first difference.
pub fn trees(one: &Path, two: &Path) -> Result<()> {
    let (a, b) = (inventory(one)?, inventory(two)?);
    for (path, facts) in &a {
        ensure!(b.get(path) == Some(facts), "{}: {facts} became {:?}", path.display(), b.get(path));
    }
    let more = b.keys().find(|path| !a.contains_key(*path));
    ensure!(more.is_none(), "{more:?} is new");
    Ok(())
}
