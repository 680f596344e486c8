//! One destination plug-in before one real server, as the conformance suite wants it, and the run of the suite.

use std::any::Any;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{azurite, cofre, drive, dropbox, ftpd, local, rest, s3, sshd, webdav};

/// What `cofre plugin test` is run with.
pub struct Trial {
    /// Name of the plug-in, as its file in the plug-in directory.
    pub destination: &'static str,
    /// The server, with its name as a person knows it: `OpenSSH 9.2`.
    pub server: String,
    /// The settings file, TOML: the keys of a `[[destination]]` without `name` and `plugin`, and `[[refusal]]` tables
    /// (`name`, `error`, and `settings`, `secrets`, `grants` laid over the others).
    pub settings: String,
    /// Environment variables that its secrets name.
    pub environment: Vec<(String, String)>,
    /// Where the server listens, for a proxy with faults in the path.
    pub address: Option<SocketAddr>,
    /// What keeps the server alive.
    pub keep: Vec<Box<dyn Any>>,
}

/// A destination, or one of its servers, and how its trials begin.
pub struct Candidate {
    /// Name of the plug-in.
    pub destination: &'static str,
    /// Which of its servers, where each is a candidate of its own.
    pub server: &'static str,
    /// Starts its servers.
    pub trials: fn() -> Result<Vec<Trial>>,
    /// What the suite is told among the tests. `cargo xtask conformance` leaves it out.
    pub arguments: &'static [&'static str],
}

/// Every destination that has trials. Servers are started one candidate at a time, by its `trials`. What takes long, storing objects until
/// the listing has a second page, is for the quickest servers of each destination; the others store few.
pub fn all() -> Vec<Candidate> {
    const FEW: &[&str] = &["--objects", "60"];
    // At this server each object is a login more; its second page is seen in `tests/tests/sftp.rs`.
    const SOME: &[&str] = &["--objects", "250"];
    let candidate = |destination, trials| Candidate { destination, server: "", trials, arguments: &[] };
    let on = |destination, server, trials, arguments| Candidate { destination, server, trials, arguments };
    vec![
        candidate("local", local::trials as fn() -> _),
        candidate("s3", s3::trials),
        on("sftp", "openssh-password", sshd::by_password, SOME),
        on("sftp", "openssh-key", sshd::by_key, FEW),
        on("sftp", "proftpd", sshd::without_extensions, FEW),
        on("ftp", "proftpd-explicit", ftpd::explicit, FEW),
        on("ftp", "proftpd-implicit", ftpd::implicit, FEW),
        on("ftp", "vsftpd", ftpd::vsftpd, FEW),
        on("ftp", "pure-ftpd", ftpd::plain, &[]),
        candidate("gdrive", drive::trials),
        candidate("dropbox", dropbox::trials),
        on("webdav", "wsgidav", webdav::wsgidav_trials, FEW),
        on("webdav", "rclone", webdav::rclone_trials, &[]),
        on("webdav", "apache", webdav::apache_trials, &[]),
        on("webdav", "nextcloud", webdav::nextcloud_trials, FEW),
        candidate("azure-blob", azurite::trials),
        candidate("rest", rest::trials),
    ]
}

/// What the suite said of one trial.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Name of the plug-in.
    pub destination: String,
    /// The server.
    pub server: String,
    /// Cases that were tried.
    pub cases: u64,
    /// Cases that do not hold, and why.
    pub failed: Vec<(String, String)>,
    /// Cases that could not be tried, and why.
    pub skipped: Vec<(String, String)>,
    /// Seconds it took.
    pub seconds: f64,
    /// The cases that took longest, and their seconds.
    pub slowest: Vec<(String, f64)>,
}

impl Verdict {
    /// Why a case failed, if it did.
    pub fn why(&self, case: &str) -> Option<&str> {
        self.failed.iter().find(|(name, _)| name == case).map(|(_, why)| why.as_str())
    }

    /// The failed cases, one a line.
    pub fn failures(&self) -> String {
        self.failed
            .iter()
            .map(|(name, why)| format!("{} on {}: {name}: {why}", self.destination, self.server))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// Runs `cofre plugin test` on a trial with the component of its destination.
///
/// # Errors
/// When the suite itself cannot run; a case that fails is none.
pub fn run(trial: &Trial, arguments: &[&str]) -> Result<Verdict> {
    run_with(&cofre::plugins().join(trial.destination).with_extension("wasm"), trial, arguments)
}

/// The same with another component.
///
/// # Errors
/// When the suite itself cannot run.
pub fn run_with(component: &Path, trial: &Trial, arguments: &[&str]) -> Result<Verdict> {
    let binary = cofre::target().join("release/cofre");
    ensure!(binary.exists(), "{} is missing: run `cargo build --release -p cofre` first", binary.display());
    ensure!(component.exists(), "{} is missing: run `cargo xtask plugins` first", component.display());
    let directory = tempfile::Builder::new().prefix("cofre-trial").tempdir()?;
    let settings = directory.path().join("settings.toml");
    std::fs::write(&settings, &trial.settings)?;
    let started = std::time::Instant::now();
    let output = Command::new(binary)
        .args(["plugin", "test", "--json"])
        .arg(component)
        .arg("--settings")
        .arg(&settings)
        .args(arguments)
        .envs(trial.environment.iter().map(|(name, value)| (name, value)))
        .env_remove("COFRE_LOG")
        .output()
        .context("cannot start cofre")?;
    let said = cofre::said(&output);
    let known = |secret: &&(String, String)| secret.1.len() >= 6 && said.contains(&secret.1);
    ensure!(trial.environment.iter().find(known).is_none(), "a secret was printed: {said}");
    ensure!(matches!(output.status.code(), Some(0 | 1)), "{} on {}: {}: {said}", trial.destination, trial.server, output.status);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).with_context(|| format!("the answer is no JSON: {said}"))?;
    let cases = document["result"]["cases"].as_array().with_context(|| format!("the answer has no cases: {said}"))?;
    let of = |outcome: &str| -> Vec<(String, String)> {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        cases.iter().filter(|case| case["outcome"] == outcome).map(|case| (text(&case["name"]), text(&case["detail"]))).collect()
    };
    let (failed, skipped) = (of("failed"), of("skipped"));
    ensure!((output.status.code() == Some(0)) == failed.is_empty(), "the exit code {} does not fit: {said}", output.status);
    Ok(Verdict {
        destination: trial.destination.to_owned(),
        server: trial.server.clone(),
        cases: (cases.len() - skipped.len()) as u64,
        failed,
        skipped,
        seconds: started.elapsed().as_secs_f64(),
        slowest: slowest(cases),
    })
}

fn slowest(cases: &[serde_json::Value]) -> Vec<(String, f64)> {
    let took = |case: &serde_json::Value| {
        (case["name"].as_str().unwrap_or_default().to_owned(), case["milliseconds"].as_f64().unwrap_or_default() / 1_000.0)
    };
    let mut slowest: Vec<(String, f64)> = cases.iter().map(took).collect();
    slowest.sort_unstable_by(|a, b| b.1.total_cmp(&a.1));
    slowest.truncate(5);
    slowest
}
