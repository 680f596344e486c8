//! `cargo xtask conformance`: every destination through the one suite, against real servers, in one table.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use cofre_tests::conformance::{self, Candidate, Verdict};
use serde_json::json;

use crate::process::build;

/// Options of the run.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Also write the rows here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only these destinations
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Objects of 1 GB
    #[arg(long)]
    large: bool,
    /// Use the release build that is there
    #[arg(long)]
    no_build: bool,
}

/// Runs the suite on each trial of each destination.
///
/// # Errors
/// When a case failed, or a server did not start.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let mut candidates = conformance::all();
    let mut known: Vec<&str> = candidates.iter().map(|candidate| candidate.destination).collect();
    known.dedup();
    if let Some(unknown) = options.only.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("there is no destination `{unknown}`; there are: {}", known.join(", "));
    }
    candidates.retain(|candidate| options.only.is_empty() || options.only.iter().any(|name| name == candidate.destination));
    if !options.no_build {
        build(root)?;
    }
    let verdicts: Vec<Verdict> = candidates.iter().flat_map(|candidate| of(candidate, options)).collect();
    if let Some(path) = &options.json {
        let row = |verdict: &Verdict| json!({ "destination": verdict.destination, "server": verdict.server, "cases": verdict.cases, "failed": verdict.failed.len() });
        let text = serde_json::to_string_pretty(&verdicts.iter().map(row).collect::<Vec<_>>())?;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    show(&verdicts);
    let failed: usize = verdicts.iter().map(|verdict| verdict.failed.len()).sum();
    ensure!(failed == 0, "{failed} cases failed");
    Ok(())
}

/// What the suite says of one destination. One that cannot be tried is a failure of it and does not keep the others from being tried.
fn of(candidate: &Candidate, options: &Options) -> Vec<Verdict> {
    let name = candidate.destination;
    let untried = |server: String, why: String| Verdict {
        destination: name.to_owned(),
        server,
        cases: 0,
        failed: vec![("start".to_owned(), why)],
        skipped: Vec::new(),
        seconds: 0.0,
        slowest: Vec::new(),
    };
    println!("{name}: starting its servers");
    let trials = match (candidate.trials)() {
        Ok(trials) => trials,
        Err(error) => return vec![untried(String::new(), format!("{error:#}"))],
    };
    let arguments: &[&str] = if options.large { &["--large"] } else { &[] };
    let one = |trial: conformance::Trial| {
        println!("{name}: {}", trial.server);
        conformance::run(&trial, arguments).unwrap_or_else(|error| untried(trial.server.clone(), format!("{error:#}")))
    };
    trials.into_iter().map(one).collect()
}

fn show(verdicts: &[Verdict]) {
    println!("\n{:<12} {:<36} {:>6} {:>7} {:>8} {:>8}", "destination", "server", "cases", "failed", "skipped", "seconds");
    for Verdict { destination, server, cases, failed, skipped, seconds, .. } in verdicts {
        println!("{destination:<12} {server:<36} {cases:>6} {:>7} {:>8} {seconds:>8.1}", failed.len(), skipped.len());
    }
    for verdict in verdicts {
        let tell = |sign, cases: &[(String, String)]| {
            for (case, why) in cases {
                println!("{sign} {} on {}: {case}: {why}", verdict.destination, verdict.server);
            }
        };
        tell("➖", &verdict.skipped);
        tell("❌", &verdict.failed);
    }
}
