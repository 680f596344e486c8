//! Running cargo and other programs, where a failure names the command line; and sizes as people write and read them.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// Cargo, as it was called; its release profile is the only one that this project builds.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// Runs a command to its end and says how long it took.
///
/// # Errors
/// When it cannot start or fails.
pub(crate) fn timed(command: &mut Command) -> Result<Duration> {
    let started = Instant::now();
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(started.elapsed())
}

/// Builds the components and the program.
///
/// # Errors
/// When either does not build.
pub(crate) fn build(root: &Path) -> Result<()> {
    println!("building the components");
    crate::plugins::build(root, &crate::plugins::Options::default())?;
    println!("building cofre");
    // The whole workspace, as the tests do: with fewer packages cargo would choose other features and compile much of it again.
    timed(cargo(root).args(["build", "--release", "--workspace", "--bins"])).map(drop)
}

/// The same with the tests, whose libraries have other features: built apart, much would be compiled twice.
pub(crate) fn build_for_tests(root: &Path) -> Result<()> {
    println!("building the components");
    crate::plugins::build(root, &crate::plugins::Options::default())?;
    println!("building cofre and its tests");
    timed(cargo(root).args(["build", "--release", "--workspace", "--bins", "--tests"])).map(drop)
}

/// Reads `200MB`, `1.5GB` or a number of bytes.
///
/// # Errors
/// When it is none of these.
pub(crate) fn parse_size(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let factor = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 1.0,
        "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        unit => anyhow::bail!("`{unit}` is not a unit; use kB, MB or GB"),
    };
    let number: f64 = digits.parse().with_context(|| format!("`{text}` is not a size such as 200MB"))?;
    ensure!((1.0..1e13).contains(&(number * factor)), "`{text}` is out of range");
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // checked above
    Ok((number * factor) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(parse_size("200MB").unwrap(), 200_000_000);
        assert_eq!(parse_size("1.5gb").unwrap(), 1_500_000_000);
        assert_eq!(parse_size("7").unwrap(), 7);
        for nonsense in ["", "MB", "5 parsecs", "-1MB", "NaN", "1e300GB"] {
            assert!(parse_size(nonsense).is_err(), "{nonsense}");
        }
    }
}
