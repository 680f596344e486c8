//! `cargo xtask demo`: the whole job on a sample, with a comparison that fails when one byte differs (`cofre_tests::demo`).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use cofre_tests::cofre::Installation;
use cofre_tests::demo::{Damage, Demo, Show};
use cofre_tests::packages;

use crate::process::{build, parse_size};

/// Size of the uploaded files, in bytes.
const UPLOADS: u64 = 40_000_000;

/// Options of the demo.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Size of the database, for example 200MB
    #[arg(long, default_value = "200MB", value_name = "SIZE")]
    size: String,
    /// Where the set is left to look at
    #[arg(long, default_value = "target/demo")]
    keep: PathBuf,
    /// Use the release build that is there
    #[arg(long)]
    no_build: bool,
    /// Damage something on the way: the demo must fail then
    #[arg(long, value_enum, hide = true)]
    corrupt: Option<Corrupt>,
}

/// What to damage.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Corrupt {
    /// One byte of an artifact at the destination
    Artifact,
    /// One value in a restored table
    Row,
    /// One byte of a restored file
    File,
}

pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    println!(
        "This demo installs what is missing (MariaDB, and a compiler for components where rustup has none), builds cofre,\nand works in temporary directories on loopback only."
    );
    packages::ensure(&["mariadb-server", "mariadb-client", "openssl", "attr", "acl"])?;
    let corrupt = options.corrupt.map(|what| match what {
        Corrupt::Artifact => Damage::Artifact,
        Corrupt::Row => Damage::Row,
        Corrupt::File => Damage::File,
    });
    let demo = Demo { database: parse_size(&options.size)?, files: UPLOADS, corrupt };
    let mut show = Show::default();
    if !options.no_build {
        show.step("build cofre and its plug-ins", || build(root).map(|()| ((), String::new())))?;
    }
    let (cofre, set) = demo.run(&mut show)?;
    let kept = keep(root, options, &cofre, &set)?;
    println!("\n{:<58} {:>8}  ", "what", "seconds");
    for step in &show.steps {
        println!("✅ {:<55} {:>8.1}  {}", step.what, step.seconds, step.detail);
    }
    println!("\nThe set is in {} (passphrase: passphrase.txt beside it); its RESTORE.md says how to open it.", kept.display());
    Ok(())
}

fn keep(root: &Path, options: &Options, cofre: &Installation, set: &str) -> Result<PathBuf> {
    let kept = root.join(&options.keep);
    std::fs::create_dir_all(&kept)?;
    let status = Command::new("cp").arg("-a").arg(cofre.path("copy").join(set)).arg(&kept).status()?;
    ensure!(status.success(), "the set could not be kept");
    std::fs::copy(cofre.path("passphrase"), kept.join("passphrase.txt"))?;
    Ok(kept.join(set))
}
