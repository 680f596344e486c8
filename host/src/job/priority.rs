//! Leaves the machine to others while a run reads and compresses, where `[run]` says so.
//!
//! On Linux both priorities are of a thread, and new threads have those of the one that makes them. So all threads that are there are
//! changed, until none is left that is not. What was given up comes back with another process only: nobody but root may take it back.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, getpriority_process, setpriority_process};

use crate::config::{IoPriority, Priority};
use crate::ports::Warnings;

/// Looks at the threads; one that is made meanwhile by one that was not changed yet is found by the next.
const ROUNDS: usize = 5;
/// How long ionice may take.
const IONICE: Duration = Duration::from_secs(10);

/// Takes the priorities of a run. What cannot be had is a warning: the backup is made all the same.
pub(super) async fn take(priority: Priority, warnings: &Warnings) {
    if priority == Priority::default() {
        return;
    }
    if let Err(why) = take_all(priority).await {
        warnings.push("run", format!("the priority of [run] could not be taken: {why}"));
    }
}

async fn take_all(Priority { nice, io }: Priority) -> Result<(), String> {
    let mut changed = BTreeSet::new();
    for _ in 0..ROUNDS {
        let fresh: Vec<i32> = threads()?.difference(&changed).copied().collect();
        if fresh.is_empty() {
            return Ok(());
        }
        if let Some(nice) = nice {
            fresh.iter().try_for_each(|thread| lower(*thread, nice))?;
        }
        if let Some(io) = io
            && let Err(why) = ionice(io, &fresh).await
        {
            let now = threads()?;
            if fresh.iter().all(|thread| now.contains(thread)) {
                return Err(why);
            }
            // One of them has ended, and ionice stopped there.
            continue;
        }
        changed.extend(fresh);
    }
    Ok(())
}

/// Numbers of this process's threads.
fn threads() -> Result<BTreeSet<i32>, String> {
    let failed = |error: std::io::Error| format!("cannot list the threads: {error}");
    let mut threads = BTreeSet::new();
    for entry in std::fs::read_dir("/proc/self/task").map_err(failed)? {
        threads.extend(entry.map_err(failed)?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    Ok(threads)
}

/// Makes a thread nice; one that is nicer already stays so.
fn lower(thread: i32, nice: i32) -> Result<(), String> {
    let thread = Pid::from_raw(thread);
    match getpriority_process(thread).and_then(|now| if now >= nice { Ok(()) } else { setpriority_process(thread, nice) }) {
        // It ended.
        Err(rustix::io::Errno::SRCH) => Ok(()),
        ended => ended.map_err(|error| format!("nice: {error}")),
    }
}

/// The kernel's own call has no safe form in any library that is kept; its program is part of every Debian.
async fn ionice(io: IoPriority, threads: &[i32]) -> Result<(), String> {
    let class = match io {
        IoPriority::Idle => vec!["-c3".to_owned()],
        IoPriority::BestEffort(level) => vec!["-c2".to_owned(), format!("-n{level}")],
    };
    let mut command = tokio::process::Command::new("ionice");
    command.args(class).arg("-p").args(threads.iter().map(ToString::to_string));
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(IONICE, command.output()).await.map_err(|_| "ionice does not end".to_owned())?;
    let output = output.map_err(|error| format!("cannot start ionice: {error}; it is in the package util-linux"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ionice: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
