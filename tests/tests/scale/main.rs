//! What stands beside the data where there are many tenants and many sets: schedule, manifest, retention and list of five hundred schemas,
//! the list of a year, and the pages over a year. `cargo xtask bench --only scale` reads how long each took out of `COFRE_SCALE_JSON`.
//!
//! The copies have every file of a real set, empty: whoever lists or judges sets looks at names and sizes only.

mod history;
mod pages;

use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use cofre::catalog::Catalog;
use cofre::set::{SealKey, SealedManifest};
use cofre_tests::cofre::Installation;
use history::{TENANTS, daily, manifest};
use jiff::Timestamp;
use serde_json::{Value, json};

/// More than the default retention of 30 days leaves.
const DAYS: u16 = 40;
const YEAR: u16 = 365;

/// Seconds of each piece of work, by its name.
#[derive(Default)]
struct Times(Vec<Value>);

impl Times {
    fn of<T>(&mut self, row: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let done = work()?;
        self.took(row, started.elapsed().as_secs_f64());
        Ok(done)
    }

    fn took(&mut self, row: &str, seconds: f64) {
        self.0.push(json!({ "row": row, "seconds": seconds }));
    }

    /// One line a time: the tests of this file write to the same file.
    fn write(&self) -> Result<()> {
        let Some(path) = std::env::var_os("COFRE_SCALE_JSON") else { return Ok(()) };
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
        self.0.iter().try_for_each(|time| Ok(writeln!(file, "{time}")?))
    }
}

fn installation() -> Result<Installation> {
    let cofre = Installation::new("[[directory]]\npath = \"@DIR@/data\"\n")?;
    cofre.configure(&format!("{}{}", cofre.configuration()?, cofre.local("disk")?))?;
    cofre.run(0, &["list"])?;
    Ok(cofre)
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
    ensure!(judged.len() == usize::from(DAYS) && (30..=31).contains(&kept), "{kept} of {} stay", judged.len());
    ensure!(times.of("list-500", || listed(&month))?.len() == usize::from(DAYS), "the list lost sets");
    let sets = times.of("list-year", || listed(&year))?;
    ensure!(sets.len() == usize::from(YEAR) && sets.iter().all(|set| set["artifacts"] == TENANTS), "the list lost sets");
    let catalog = Catalog::open(&month.path("state/catalog.db"))?;
    times.of("manifest-500", || sealed(&catalog))?;
    times.write()
}
