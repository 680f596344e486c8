//! The command line: what can be asked for ([`args`]), how it is answered ([`render`]), and one function a command.

mod account;
mod args;
mod audit;
mod commands;
mod init;
mod log;
mod login;
mod monitor;
mod notify;
mod plugins;
mod progress;
mod proofs;
mod render;
mod report;
mod scaffold;
mod schedule;
mod serve;
mod tenant;
mod token;
mod trial;
mod user;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use tokio_util::sync::CancellationToken;

pub use args::{Cli, Command};

use crate::access::AccessError;
use crate::config::Config;
use crate::job::JobError;

/// How a command ended; documented in `docs/configuration.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Wrong use, or a wrong configuration.
    Usage = 2,
    /// Done, with warnings.
    Warnings = 3,
    /// A verification found damage.
    Damage = 4,
    /// Another run is active.
    Busy = 5,
    /// Cancelled by a signal.
    Cancelled = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<&JobError> for Exit {
    fn from(error: &JobError) -> Self {
        match error {
            JobError::Config(_) | JobError::Request(_) | JobError::Access(AccessError::Refused(_)) => Self::Usage,
            JobError::Spool(crate::spool::SpoolError::Busy { .. }) => Self::Busy,
            JobError::Cancelled => Self::Cancelled,
            error if error.is_damage() => Self::Damage,
            _ => Self::Failed,
        }
    }
}

/// Parses the command line, runs it, and says how it ended.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // What is wrong with it is told by the command itself.
    let config = if cli.command.works_on_state() { Config::load(&cli.global.config).ok() } else { None };
    if let Some(Err(error)) = config.as_ref().map(|config| account::become_owner(&config.storage.state)) {
        eprintln!("cofre: the state belongs to another account, and this command cannot become it: {error}; run it as that account");
        return Exit::Failed.into();
    }
    log::start(&cli.global, config.as_ref().and_then(|config| config.log.as_ref()));
    let threads = std::thread::available_parallelism().map_or(4, |cores| cores.get().max(4));
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cofre: cannot start: {error}");
            return Exit::Failed.into();
        }
    };
    let cancel = CancellationToken::new();
    let signals = cancel.clone();
    runtime.spawn(async move { cancel_on_signal(&signals).await });
    let exit = runtime.block_on(commands::dispatch(cli, cancel));
    // Whatever still reads or writes was told to stop; nobody waits for it for long.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    exit.into()
}

async fn cancel_on_signal(cancel: &CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = term.recv() => {}
    }
    cancel.cancel();
}

/// The command line's definition, for completions and manual pages.
pub fn definition() -> clap::Command {
    Cli::command()
}
