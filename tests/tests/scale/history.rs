//! What is known after many days of many tenants: sets, copies, runs and what came of them, and the audit log.

use std::collections::BTreeMap;
use std::fs::File;

use anyhow::{Context, Result};
use cofre::audit::{Action, Actor, AuditLog, Event, Outcome};
use cofre::catalog::{Catalog, CopyState, Delivery, RunResult};
use cofre::set::{ArtifactKind, ArtifactRecord, CompressionRecord, EncryptionRecord, MANIFEST, Manifest, RESTORE_NOTES, SEAL, SetName};
use cofre_tests::cofre::Installation;
use jiff::{SignedDuration, Timestamp};

/// Tenants, with one schema each.
pub(crate) const TENANTS: usize = 500;
/// How long a backup takes.
const TAKES: SignedDuration = SignedDuration::from_mins(20);

/// The name of one tenant's schema.
pub(crate) fn schema(tenant: usize) -> String {
    format!("empresa{tenant:04}_erp")
}

/// A set of that many schemas that was made at a moment.
pub(crate) fn manifest(at: Timestamp, tenants: usize) -> Manifest {
    let artifact = |tenant| ArtifactRecord {
        key: format!("sql/{}.sql.tar.gz.enc", schema(tenant)),
        kind: ArtifactKind::Schema,
        name: schema(tenant),
        source: Some("main".to_owned()),
        tenant: None,
        plain: 10 << 20,
        compressed: 2 << 20,
        size: (2 << 20) + 32,
        sha256: "ab".repeat(32),
        md5: "cd".repeat(16),
        read: None,
    };
    Manifest {
        format: Manifest::format_name(),
        set: SetName::at(at.to_zoned_datetime(jiff::tz::TimeZone::UTC).datetime()),
        cofre: "0.1.0".to_owned(),
        host: "erp".to_owned(),
        started: at,
        finished: at + TAKES,
        encryption: EncryptionRecord {
            cipher: "aes-256-cbc".to_owned(),
            kdf: "pbkdf2".to_owned(),
            iterations: Some(600_000),
            digest: "sha256".to_owned(),
        },
        compression: CompressionRecord { algorithm: "gzip".to_owned(), level: 5 },
        artifacts: (0..tenants).map(artifact).collect(),
        missing: Vec::new(),
        files: Vec::new(),
        warnings: 0,
        selection: Vec::new(),
        tags: Vec::new(),
    }
}

/// When the backup of so many days ago began.
fn begun(day: u16) -> Timestamp {
    Timestamp::now() - SignedDuration::from_hours(24 * i64::from(day)) - SignedDuration::from_mins(30)
}

/// Daily sets, the newest of the last hour, in the catalogue and, where `files`, at the destination.
pub(crate) fn daily(cofre: &Installation, days: u16, files: bool) -> Result<()> {
    let catalog = Catalog::open(&cofre.path("state/catalog.db"))?;
    for day in (0..days).rev() {
        let manifest = manifest(begun(day), TENANTS);
        catalog.record_set(&manifest)?;
        catalog.record_copy(manifest.set, "disk", CopyState::Complete, "complete")?;
        let folder = cofre.path("disk").join(manifest.set.to_string());
        let keys = manifest.artifacts.iter().map(|artifact| artifact.key.as_str()).chain([MANIFEST, SEAL, RESTORE_NOTES]);
        for key in keys.filter(|_| files) {
            let path = folder.join(key);
            std::fs::create_dir_all(path.parent().context("a folder")?)?;
            File::create_new(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
    }
    Ok(())
}

/// The same with everything that a year of such days leaves behind: each day's run and what came of it at two destinations, a verification a
/// week, one bad day a month, and the audit log.
pub(crate) fn lived(cofre: &Installation, days: u16) -> Result<Vec<SetName>> {
    let catalog = Catalog::open(&cofre.path("state/catalog.db"))?;
    let (log, actor) = (AuditLog::new(&cofre.path("state")), Actor::new(0, Some("root"), None));
    let mut moments: BTreeMap<i64, Timestamp> = BTreeMap::new();
    let mut sets = Vec::new();
    for day in (0..days).rev() {
        let manifest = manifest(begun(day), TENANTS);
        let (set, good) = (manifest.set, day % 30 != 7);
        catalog.record_set(&manifest)?;
        let run = catalog.begin_run("run", Some(set))?;
        catalog.finish_run(run, if good { "done" } else { "failed" }, &format!("{TENANTS} schemas"))?;
        moments.insert(run, manifest.started);
        let (plain, stored) = (manifest.plain_bytes(), manifest.stored_bytes());
        let databases = TENANTS as u64;
        catalog.record_result(run, &RunResult { databases, plain, stored, ..RunResult::default() })?;
        for (destination, there) in [("disk", true), ("cloud", good)] {
            let state = if there { CopyState::Complete } else { CopyState::Incomplete };
            catalog.record_copy(set, destination, state, if there { "complete" } else { "the connection broke" })?;
            let (destination, detail) = (destination.to_owned(), String::new());
            let free = Some((u64::from(day) + 100) << 30);
            catalog.record_delivery(set, &Delivery { destination, complete: there, bytes: stored, seconds: 300.0, free, detail })?;
        }
        if day % 7 == 0 {
            catalog.record_verification(set, "disk", None)?;
            let verified = catalog.begin_run("verify", Some(set))?;
            catalog.finish_run(verified, "done", "")?;
            moments.insert(verified, manifest.finished);
        }
        for outcome in [Outcome::Begun, if good { Outcome::Done } else { Outcome::Failed }] {
            log.append(&actor, &Event::new(Action::Run, &set.to_string(), outcome), None)?;
        }
        sets.push(set);
    }
    drop(catalog);
    backdate(cofre, &moments)?;
    Ok(sets)
}

/// What was recorded just now is of another time.
fn backdate(cofre: &Installation, moments: &BTreeMap<i64, Timestamp>) -> Result<()> {
    let mut connection = rusqlite::Connection::open(cofre.path("state/catalog.db"))?;
    let all = connection.transaction()?;
    for (run, at) in moments {
        let (at, end) = (at.to_string(), (*at + TAKES).to_string());
        all.execute("UPDATE runs SET started = ?2, finished = ?3 WHERE id = ?1", (run, &at, &end))?;
        all.execute("UPDATE deliveries SET at = ?2 WHERE set_name = (SELECT set_name FROM runs WHERE id = ?1)", (run, &end))?;
    }
    Ok(all.commit()?)
}
