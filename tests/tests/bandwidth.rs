//! Bandwidth limits and priorities. Time is a lower bound only: so many bytes cannot have taken less, however slow the machine is.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cofre_tests::cofre::{Installation, said};
use cofre_tests::rest::{Make, RestServer, TOKEN};

/// Bytes that no compression makes smaller, a second and in all.
const RATE: u64 = 1_000_000;
const SIZE: u64 = 3_000_000;
/// What may be made good of idle time: an eighth of a second.
const BURST: u64 = RATE / 8;

/// The least that these bytes can take.
fn at_least(bytes: u64) -> Duration {
    Duration::from_secs_f64((bytes - BURST) as f64 / RATE as f64)
}

fn noise(cofre: &Installation) -> Result<()> {
    std::fs::create_dir(cofre.path("files"))?;
    let mut state = 88_172_645_463_325_252_u64;
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < SIZE {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    Ok(std::fs::write(cofre.path("files/noise"), bytes)?)
}

fn stored(cofre: &Installation, destination: &str) -> Result<u64> {
    let listed = cofre.json(0, &["list", "--from", destination])?;
    Ok(listed[0]["bytes"].as_u64().unwrap_or_default())
}

const HEAD: &str = "[encryption]\niterations = 10000\n[[directory]]\npath = \"@DIR@/files\"\n";

fn is_limited(cofre: &Installation, destination: &str) -> Result<()> {
    noise(cofre)?;
    let began = Instant::now();
    cofre.run(0, &["run"])?;
    let up = began.elapsed();
    let bytes = stored(cofre, destination)?;
    ensure!(bytes >= SIZE, "{bytes} bytes are there");
    ensure!(up >= at_least(bytes), "{bytes} bytes went up in {up:?}");
    let began = Instant::now();
    cofre.run(0, &["verify"])?;
    ensure!(began.elapsed() >= at_least(SIZE), "{SIZE} bytes came down in {:?}", began.elapsed());
    Ok(())
}

#[test]
fn a_limit_holds_over_http_in_both_directions() -> Result<()> {
    let server = RestServer::start(Make::Python)?;
    let cofre = Installation::new(HEAD)?;
    // Shorter than the transfer: waiting for its turn is no time of the plug-in's.
    let keys =
        server.destination(server.address().port(), "").replace("{ env = \"COFRE_T_TOKEN\" }", "{ command = [\"echo\", \"TOKEN\"] }");
    let keys = keys.replace("TOKEN", TOKEN);
    let destination =
        format!("[[destination]]\nname = \"web\"\nplugin = \"rest\"\n{keys}bandwidth = \"1MB/s\"\nlimits = {{ wall = \"2s\" }}\n");
    cofre.configure(&format!("{}{destination}", cofre.configuration()?))?;
    is_limited(&cofre, "web")
}

#[test]
fn a_limit_by_the_hour_holds_for_a_directory() -> Result<()> {
    let cofre = Installation::new(HEAD)?;
    let hours = "[{ between = \"00:00-12:00\", limit = \"1MB/s\" }, { between = \"12:00-00:00\", limit = \"8Mbit/s\" }]";
    cofre.configure(&format!("{}{}bandwidth = {hours}\n", cofre.configuration()?, cofre.local("disk")?))?;
    is_limited(&cofre, "disk")
}

#[test]
fn a_run_takes_the_priorities_that_it_was_told_to() -> Result<()> {
    let cofre = Installation::new(&format!("[run]\nnice = 19\nionice = \"idle\"\n{HEAD}"))?;
    let probe = "sh -c 'nice; ionice' > @DIR@/priority";
    let hook = format!("[[hook]]\nwhen = \"before-copy\"\nshell = \"{probe}\"\n");
    cofre.configure(&format!("{}{}{hook}", cofre.configuration()?, cofre.local("disk")?))?;
    noise(&cofre)?;
    let output = cofre.run(0, &["run"])?;
    let priority = std::fs::read_to_string(cofre.path("priority"))?;
    ensure!(priority == "19\nidle\n", "{priority}: {}", said(&output));
    Ok(())
}
