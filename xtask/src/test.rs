//! `cargo xtask test`: everything that must hold before a change is taken, each step timed, all of them in one table at the end.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use cofre_tests::packages;

use crate::process::{cargo, timed};

/// What tests and demo need from Debian besides a Rust toolchain.
pub(crate) const PACKAGES: [&str; 10] =
    ["mariadb-server", "mariadb-client", "openssl", "tar", "gzip", "zstd", "acl", "attr", "python3-venv", "build-essential"];

/// What of it to run.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only these parts
    #[arg(long, value_enum)]
    only: Vec<Part>,
}

/// A part of the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Formatting of all workspaces
    Fmt,
    /// Lints, warnings denied
    Clippy,
    /// The order of the host's modules, and the contracts that were released
    Layers,
    /// Licences, bans and sources of all that is linked
    Deny,
    /// Unit and documentation tests
    Unit,
    /// End-to-end tests against real servers
    E2e,
}

/// Runs the parts; goes on after a failure so that one run shows all of them.
///
/// # Errors
/// When a part failed.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let mut table: Vec<(String, Duration, String)> = Vec::new();
    for (part, name, step) in STEPS {
        if !options.only.is_empty() && !options.only.contains(&part) {
            continue;
        }
        println!("\n── {name} ──");
        let started = Instant::now();
        let said = match step(root) {
            Ok(()) => "passed".to_owned(),
            Err(error) => format!("FAILED: {error:#}"),
        };
        println!("── {name}: {said} ({:.1} s) ──", started.elapsed().as_secs_f64());
        table.push((name.to_owned(), started.elapsed(), said));
    }
    println!("\n{:<28} {:>8}  result", "step", "seconds");
    for (name, time, said) in &table {
        println!("{name:<28} {:>8.1}  {}", time.as_secs_f64(), said.lines().next().unwrap_or_default());
    }
    let failed = table.iter().filter(|(_, _, said)| said.starts_with("FAILED")).count();
    if failed > 0 {
        bail!("{failed} of {} steps failed", table.len());
    }
    println!("all {} steps are good", table.len());
    Ok(())
}

type Step = fn(&Path) -> Result<()>;

const STEPS: [(Part, &str, Step); 11] = [
    (Part::Fmt, "formatting", formatting),
    (Part::Layers, "layers", layers),
    (Part::Layers, "released contracts", contracts),
    (Part::Deny, "licences and bans", deny),
    (Part::E2e, "Debian packages", debian),
    (Part::Unit, "components", components),
    (Part::Clippy, "lints", lints),
    (Part::Clippy, "lints of the plug-ins", plugin_lints),
    (Part::Unit, "unit tests", unit),
    (Part::Unit, "documentation and plug-ins", documentation),
    (Part::E2e, "end-to-end tests", end_to_end),
];

fn formatting(root: &Path) -> Result<()> {
    timed(cargo(root).args(["fmt", "--all", "--check"]))?;
    passed(cargo(root).args(["fmt", "--all", "--check", "--manifest-path", "plugins/Cargo.toml"]))
}

fn layers(root: &Path) -> Result<()> {
    crate::layers::check(&root.join("host/src"))?;
    Ok(())
}

fn contracts(root: &Path) -> Result<()> {
    crate::wit::run(root, &crate::wit::Options::default())
}

fn deny(root: &Path) -> Result<()> {
    let tool = cargo_deny(root)?;
    for manifest in ["Cargo.toml", "plugins/Cargo.toml"] {
        let mut command = Command::new(&tool);
        command.current_dir(root).args(["--log-level", "error", "--manifest-path", manifest, "--config", "deny.toml"]);
        timed(command.args(["check", "licenses", "bans", "sources"]))?;
    }
    Ok(())
}

/// The one that is installed, or one of our own, compiled on first use.
fn cargo_deny(root: &Path) -> Result<PathBuf> {
    let own = root.join("target/tools/bin/cargo-deny");
    let works = |path: &Path| Command::new(path).arg("--version").output().is_ok_and(|output| output.status.success());
    if works(Path::new("cargo-deny")) {
        return Ok(PathBuf::from("cargo-deny"));
    }
    if !works(&own) {
        println!("compiling cargo-deny into target/tools, once: it checks licences and sources of everything that is linked");
        timed(cargo(root).args(["install", "--quiet", "--locked", "--debug", "cargo-deny", "--root", "target/tools"]))?;
    }
    Ok(own)
}

fn debian(_root: &Path) -> Result<()> {
    packages::ensure(&PACKAGES)?;
    Ok(())
}

fn components(root: &Path) -> Result<()> {
    crate::plugins::build(root, &crate::plugins::Options::default())?;
    Ok(())
}

fn lints(root: &Path) -> Result<()> {
    let deny = ["--all-targets", "--", "-D", "warnings"];
    timed(cargo(root).args(["clippy", "--release", "--workspace"]).args(deny))?;
    passed(cargo(root).args(["clippy", "--release", "--package", "cofre-sdk", "--features", "testing"]).args(deny))
}

fn plugin_lints(root: &Path) -> Result<()> {
    passed(plugin_command(root, "clippy").args(["--all-targets", "--", "-D", "warnings"]))
}

fn unit(root: &Path) -> Result<()> {
    packages::ensure(&PACKAGES)?;
    passed(tests(root).args(["--exclude", "cofre-tests"]))
}

fn documentation(root: &Path) -> Result<()> {
    timed(cargo(root).args(["test", "--release", "--workspace", "--doc", "--quiet"]))?;
    timed(cargo(root).args(["test", "--release", "--package", "cofre-sdk", "--features", "testing", "--quiet"]))?;
    passed(&mut plugin_command(root, "test"))
}

fn end_to_end(root: &Path) -> Result<()> {
    crate::process::build_for_tests(root)?;
    crate::package::make(root, &crate::package::Options::of_the_tests())?;
    let nextest_is_here = installed(root, "nextest");
    let mut command = if nextest_is_here { nextest(root) } else { plain(root) };
    let chosen: &[&str] = if nextest_is_here { &["--workspace", "-E", "package(cofre-tests)"] } else { &["--package", "cofre-tests"] };
    passed(command.args(chosen))
}

/// The plug-ins' own tests run natively, where a debugger and a fake server reach them.
fn plugin_command(root: &Path, verb: &str) -> Command {
    let mut command = cargo(root);
    command.args([verb, "--manifest-path", "plugins/Cargo.toml", "--target-dir", "target/plugins-native"]);
    for entry in std::fs::read_dir(root.join("plugins")).into_iter().flatten().flatten() {
        if entry.path().join("Cargo.toml").exists() {
            command.arg("--package").arg(format!("cofre-plugin-{}", entry.file_name().to_string_lossy()));
        }
    }
    command
}

fn tests(root: &Path) -> Command {
    let mut command = if installed(root, "nextest") { nextest(root) } else { plain(root) };
    command.arg("--workspace");
    command
}

fn nextest(root: &Path) -> Command {
    let mut command = cargo(root);
    command.args(["nextest", "run", "--release", "--no-fail-fast"]);
    command
}

/// One test at a time where they start servers: cargo's own runner knows no groups.
fn plain(root: &Path) -> Command {
    let mut command = cargo(root);
    command.args(["test", "--release", "--no-fail-fast", "--lib", "--bins", "--tests"]).env("RUST_TEST_THREADS", "2");
    command
}

fn passed(command: &mut Command) -> Result<()> {
    timed(command).map(drop)
}

fn installed(root: &Path, subcommand: &str) -> bool {
    let output = cargo(root).args([subcommand, "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    output.is_ok_and(|status| status.success())
}
