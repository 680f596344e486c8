//! The project's own commands: `cargo xtask plugins | test | check-layers | demo | bench | conformance | simulate | package`.
//!
//! Nothing here links the program under test: it is built and then driven from outside, as its users drive it.

mod bench;
mod conformance;
mod demo;
mod layers;
mod package;
mod plugins;
mod process;
mod simulate;
mod test;
mod wasm_toolchain;
mod wit;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build every component into target/plugins and target/guests
    Plugins(plugins::Options),
    /// Formatting, lints, layers, unit tests, and end-to-end tests against real servers
    Test(test::Options),
    /// Check that the host's modules depend one way
    CheckLayers,
    /// Check that released versions of the plug-in contract are unchanged
    CheckWit(wit::Options),
    /// Back up a sample ERP, verify, restore, compare, and open a set with openssl, tar and mariadb only
    Demo(demo::Options),
    /// Measure against the rivals
    Bench(bench::Options),
    /// Take every destination through the conformance suite, against real servers
    Conformance(conformance::Options),
    /// Live through weeks of an unattended server on a faked clock
    Simulate(simulate::Options),
    /// Make the Debian package
    Package(package::Options),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    let root = cofre_tests::cofre::root();
    match command {
        Command::Plugins(options) => {
            for file in plugins::build(&root, &options)? {
                println!("{}", file.display());
            }
            Ok(())
        }
        Command::Test(options) => test::run(&root, &options),
        Command::CheckLayers => layers::check(&root.join("host/src")),
        Command::CheckWit(options) => wit::run(&root, &options),
        Command::Demo(options) => demo::run(&root, &options),
        Command::Bench(options) => bench::run(&root, &options),
        Command::Conformance(options) => conformance::run(&root, &options),
        Command::Simulate(options) => simulate::run(&root, &options),
        Command::Package(options) => {
            println!("{}", package::make(&root, &options)?.display());
            Ok(())
        }
    }
}
