//! `cargo xtask simulate`: weeks of an unattended server on a faked clock, and what came of them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use cofre_tests::{packages, simulation};

use crate::process::build;

/// What to live through.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Days
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(i64).range(1..=370))]
    days: i64,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Use the release build that is there
    #[arg(long)]
    no_build: bool,
}

/// Runs it; fails where something is wrong.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    packages::ensure(&["mariadb-server", "mariadb-client", "openssl"])?;
    if !options.no_build {
        build(root)?;
    }
    let outcome = simulation::run(options.days, |line| println!("{line}"))?;
    let value = outcome.json();
    if let Some(path) = &options.json {
        std::fs::write(path, format!("{value:#}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("{value:#}");
    ensure!(outcome.wrong.is_empty(), "{} things are wrong", outcome.wrong.len());
    Ok(())
}
