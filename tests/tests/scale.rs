//! What stands beside the data where there are many tenants and many sets: schedule, manifest, retention and list of five hundred schemas,
//! and the list of a year. `cargo xtask bench --only scale` reads how long each took out of `COFRE_SCALE_JSON`.
//!
//! The copies have every file of a real set, empty: whoever lists or judges sets looks at names and sizes only.

use std::fs::File;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use cofre::catalog::{Catalog, CopyState};
use cofre::set::{
    ArtifactKind, ArtifactRecord, CompressionRecord, EncryptionRecord, MANIFEST, Manifest, RESTORE_NOTES, SEAL, SealKey, SealedManifest,
    SetName,
};
use cofre_tests::cofre::Installation;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

const TENANTS: usize = 500;
/// More than the default retention of 30 days leaves.
const DAYS: i64 = 40;
const YEAR: i64 = 365;

/// The name of one tenant's schema.
fn schema(tenant: usize) -> String {
    format!("empresa{tenant:04}_erp")
}

/// A set of that many schemas that was made at a moment.
fn manifest(at: Timestamp, tenants: usize) -> Manifest {
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
        finished: at + SignedDuration::from_mins(20),
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

/// Seconds of each piece of work, by its name.
#[derive(Default)]
struct Times(Vec<Value>);

impl Times {
    fn of<T>(&mut self, row: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let done = work()?;
        self.0.push(json!({ "row": row, "seconds": started.elapsed().as_secs_f64() }));
        Ok(done)
    }

    fn write(&self) -> Result<()> {
        match std::env::var_os("COFRE_SCALE_JSON") {
            Some(path) => Ok(std::fs::write(path, serde_json::to_string(&self.0)?)?),
            None => Ok(()),
        }
    }
}

fn installation() -> Result<Installation> {
    let cofre = Installation::new("[[directory]]\npath = \"@DIR@/data\"\n")?;
    cofre.configure(&format!("{}{}", cofre.configuration()?, cofre.local("disk")?))?;
    cofre.run(0, &["list"])?;
    Ok(cofre)
}

/// Daily sets, the newest of the last hour, in the catalogue and, where `files`, at the destination.
fn daily(cofre: &Installation, days: i64, files: bool) -> Result<()> {
    let catalog = Catalog::open(&cofre.path("state/catalog.db"))?;
    for day in (0..days).rev() {
        let manifest = manifest(Timestamp::now() - SignedDuration::from_hours(24 * day) - SignedDuration::from_mins(30), TENANTS);
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

/// Seals a manifest, opens it again and records it: what a run does with it.
fn sealed(catalog: &Catalog) -> Result<()> {
    let sealed = SealedManifest::seal(manifest(Timestamp::now(), TENANTS), SealKey::fresh(b"x", 600_000)?)?;
    let opened = SealedManifest::open(sealed.bytes().to_vec(), sealed.seal_text().as_bytes(), b"x")?;
    ensure!(opened.manifest().artifacts.len() == TENANTS, "the manifest lost artifacts");
    Ok(catalog.record_set(opened.manifest())?)
}

fn listed(cofre: &Installation) -> Result<Vec<Value>> {
    Ok(cofre.json(0, &["list"])?.as_array().context("no list")?.clone())
}

#[test]
fn five_hundred_tenants_are_scheduled_sealed_judged_and_listed_and_so_is_a_year() -> Result<()> {
    let (mut times, month, year) = (Times::default(), installation()?, installation()?);
    daily(&month, DAYS, true)?;
    daily(&year, YEAR, false)?;
    let next = times.of("schedule-500", || month.json(0, &["schedule"]))?;
    ensure!(!next.as_array().context("no schedule")?.is_empty(), "{next}");
    let places = times.of("prune-500", || month.json(0, &["prune", "--dry-run"]))?;
    let judged = places[0]["sets"].as_array().context("no sets")?;
    let kept = judged.iter().filter(|set| set["keep"] == true).count();
    ensure!(judged.len() == DAYS as usize && (30..=31).contains(&kept), "{kept} of {} stay", judged.len());
    ensure!(times.of("list-500", || listed(&month))?.len() == DAYS as usize, "the list lost sets");
    let sets = times.of("list-year", || listed(&year))?;
    ensure!(sets.len() == YEAR as usize && sets.iter().all(|set| set["artifacts"] == TENANTS), "the list lost sets");
    let catalog = Catalog::open(&month.path("state/catalog.db"))?;
    times.of("manifest-500", || sealed(&catalog))?;
    times.write()
}
