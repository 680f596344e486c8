//! Commands before and after: in a process group of their own, with a time limit that ends the whole group, and with an
//! environment that holds what the administrator wrote and what happened, and no secret.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::config::{HookCommand, HookMoment, HookSettings};

/// Bytes of a hook's output that are kept for a message.
const OUTPUT_KEPT: usize = 4 << 10;
/// How long the output of a hook that has ended is waited for.
const OUTPUT_TIME: Duration = Duration::from_secs(2);
/// Time between the request to end and the end.
const GRACE: Duration = Duration::from_secs(5);

/// What a hook is told.
#[derive(Debug, Clone, Default)]
pub struct HookContext {
    /// Name of the set.
    pub set: String,
    /// Source or destination.
    pub subject: String,
    /// `done`, `warnings`, `failed`; empty before.
    pub outcome: String,
}

/// Why a hook failed.
#[derive(Debug, thiserror::Error)]
#[error("hook `{hook}` ({moment}) {what}")]
pub struct HookError {
    hook: String,
    moment: &'static str,
    what: String,
}

/// Runs one hook to its end.
///
/// # Errors
/// When it cannot be started, fails, takes too long, or somebody cancels.
pub async fn run_hook(hook: &HookSettings, context: &HookContext, cancel: &CancellationToken) -> Result<(), HookError> {
    let (program, arguments) = match &hook.command {
        HookCommand::Program(words) => words.split_first().map(|(program, rest)| (program.clone(), rest.to_vec())).unwrap_or_default(),
        HookCommand::Shell(line) => ("/bin/sh".to_owned(), vec!["-c".to_owned(), line.clone()]),
    };
    let failed = |what: String| HookError { hook: program.clone(), moment: hook.moment.name(), what };
    let mut command = Command::new(&program);
    command.args(arguments).env_clear().envs(kept_environment()).envs(&hook.env);
    command.env("COFRE_EVENT", hook.moment.name()).env("COFRE_SET", &context.set);
    command.env("COFRE_SUBJECT", &context.subject).env("COFRE_OUTCOME", &context.outcome);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(|error| failed(format!("cannot be started: {error}")))?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let output = tokio::spawn(tail(child.stdout.take()));
    let errors = tokio::spawn(tail(child.stderr.take()));
    let ended = tokio::select! {
        ended = child.wait() => Some(ended),
        () = tokio::time::sleep(hook.timeout) => None,
        () = cancel.cancelled() => None,
    };
    let result = match ended {
        Some(Ok(status)) if status.success() => Ok(()),
        Some(Ok(status)) => Err(format!("failed ({status})")),
        Some(Err(error)) => Err(format!("cannot be waited for: {error}")),
        None => {
            Err(if cancel.is_cancelled() { "was cancelled".to_owned() } else { format!("took longer than {} s", hook.timeout.as_secs()) })
        }
    };
    // Whatever the hook left behind ends with it; a group that is empty already is no error.
    if let Some(group) = group {
        if result.is_err() {
            let _ = kill_process_group(group, Signal::TERM);
            let _ = tokio::time::timeout(GRACE, child.wait()).await;
        }
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait().await;
    let said = [ended_output(output).await, ended_output(errors).await].concat();
    result.map_err(|what| failed(if said.trim().is_empty() { what } else { format!("{what}: {}", said.trim()) }))
}

/// What was said; a descendant that left the group may hold the stream open for ever, and is not waited for.
async fn ended_output(mut tail: tokio::task::JoinHandle<String>) -> String {
    let ended = tokio::time::timeout(OUTPUT_TIME, &mut tail).await;
    tail.abort();
    ended.ok().and_then(Result::ok).unwrap_or_default()
}

/// Runs every hook of a moment that is meant for `context.subject`; returns the failures that are warnings.
///
/// # Errors
/// The first failure whose rule is to stop.
pub async fn run_hooks(
    hooks: &[HookSettings],
    moment: HookMoment,
    context: &HookContext,
    cancel: &CancellationToken,
) -> Result<Vec<String>, HookError> {
    use crate::config::FailureRule;
    let mut warnings = Vec::new();
    for hook in hooks.iter().filter(|hook| hook.moment == moment && hook.only_for.as_ref().is_none_or(|name| *name == context.subject)) {
        if let Err(error) = run_hook(hook, context, cancel).await {
            match hook.on_failure {
                FailureRule::Stop => return Err(error),
                FailureRule::Warn => warnings.push(error.to_string()),
                FailureRule::Ignore => tracing::info!(%error, "ignored"),
            }
        }
    }
    Ok(warnings)
}

fn kept_environment() -> impl Iterator<Item = (&'static str, std::ffi::OsString)> {
    ["PATH", "LANG", "LC_ALL", "HOME", "TZ"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)))
}

/// The last of a stream, with what a terminal could take for a command escaped.
async fn tail(stream: Option<impl tokio::io::AsyncRead + Unpin>) -> String {
    let Some(mut stream) = stream else { return String::new() };
    let (mut kept, mut buffer) = (Vec::new(), [0; 1_024]);
    while let Ok(count) = stream.read(&mut buffer).await {
        if count == 0 {
            break;
        }
        kept.extend_from_slice(&buffer[..count]);
        let over = kept.len().saturating_sub(OUTPUT_KEPT);
        kept.drain(..over);
    }
    String::from_utf8_lossy(&kept).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FailureRule;

    fn shell(line: &str, timeout: Duration) -> HookSettings {
        HookSettings {
            moment: HookMoment::BeforeRun,
            command: HookCommand::Shell(line.to_owned()),
            timeout,
            env: [("MINE".to_owned(), "yes".to_owned())].into(),
            on_failure: FailureRule::Stop,
            only_for: None,
        }
    }

    #[tokio::test]
    async fn a_hook_sees_the_event_and_its_own_environment_only() {
        let line = "test \"$COFRE_EVENT-$MINE-$COFRE_SET-$CARGO_MANIFEST_DIR\" = before-run-yes-s-";
        let context = HookContext { set: "s".into(), ..HookContext::default() };
        run_hook(&shell(line, Duration::from_secs(10)), &context, &CancellationToken::new()).await.expect("succeeds");
    }

    #[tokio::test]
    async fn a_time_out_ends_the_grandchildren_too() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("pid");
        let line = format!("sleep 300 & echo $! > {}; wait", file.display());
        let error = run_hook(&shell(&line, Duration::from_millis(400)), &HookContext::default(), &CancellationToken::new())
            .await
            .expect_err("too long");
        assert!(error.to_string().contains("took longer"), "{error}");
        let pid: i32 = std::fs::read_to_string(&file).expect("written").trim().parse().expect("a pid");
        // The signal is sent; a busy kernel takes its time to end the process. The sleep itself would last 300 s.
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        loop {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if state.is_empty() || state.contains(") Z ") || state.contains(") X ") {
                break;
            }
            assert!(std::time::Instant::now() < deadline, "still there: {state}");
            std::thread::yield_now();
        }
    }

    #[tokio::test]
    async fn a_descendant_that_left_the_group_cannot_hold_us_up() {
        let started = std::time::Instant::now();
        let line = "setsid sleep 20 & exit 0";
        run_hook(&shell(line, Duration::from_secs(10)), &HookContext::default(), &CancellationToken::new()).await.expect("succeeds");
        assert!(started.elapsed() < Duration::from_secs(15), "it waited for the descendant");
    }

    #[tokio::test]
    async fn a_failure_says_what_the_hook_said() {
        let error =
            run_hook(&shell("echo no disk >&2; exit 3", Duration::from_secs(10)), &HookContext::default(), &CancellationToken::new())
                .await
                .expect_err("fails");
        assert!(error.to_string().contains("exit status: 3") && error.to_string().contains("no disk"), "{error}");
    }
}
