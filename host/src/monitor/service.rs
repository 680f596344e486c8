//! Whether a service runs: a unit of systemd, or a process by its name.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::{Facts, Fault, Look, Verdict};

/// The kernel keeps so many bytes of a process's name (`TASK_COMM_LEN` without its end).
const NAME_MAX: usize = 15;
/// Longest answer of `systemctl show`, in bytes.
const ANSWER_MAX: usize = 64 << 10;

/// A service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Service {
    /// A unit of systemd, `apache2.service`.
    Unit(String),
    /// A process of this name, as `ps -o comm` shows it.
    Process(String),
}

/// Looks whether it runs.
pub async fn look(service: &Service) -> Look {
    match service {
        Service::Unit(unit) => unit_state(unit).await,
        Service::Process(name) => {
            let name = name.clone();
            let counted = tokio::task::spawn_blocking(move || running(Path::new("/proc"), &name)).await;
            match counted {
                Ok(Ok(number)) => {
                    let verdict = if number > 0 { Verdict::Good } else { Verdict::Bad(Fault::Inactive) };
                    Look { verdict, facts: Facts::Processes { number } }
                }
                Ok(Err(error)) => Look::failed(Fault::Unknown, format!("cannot list processes: {error}")),
                Err(_) => Look::failed(Fault::Unknown, "the look at processes ended unexpectedly"),
            }
        }
    }
}

async fn unit_state(unit: &str) -> Look {
    let mut command = Command::new("systemctl");
    command.args(["show", "--property=LoadState,ActiveState,SubState", "--"]).arg(unit).env("LC_ALL", "C");
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    match output {
        Err(error) => Look::failed(Fault::Unknown, format!("cannot run systemctl: {error}")),
        Ok(output) if output.status.success() && output.stdout.len() <= ANSWER_MAX => judge(&String::from_utf8_lossy(&output.stdout)),
        Ok(output) => {
            let said: String = String::from_utf8_lossy(&output.stderr).trim().chars().take(300).collect();
            Look::failed(Fault::Unknown, format!("systemctl ended with {}: {said}", output.status))
        }
    }
}

/// What `systemctl show` says: `Property=value` lines.
fn judge(answer: &str) -> Look {
    let property = |name: &str| answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or("unknown");
    let (load, active, sub) = (property("LoadState"), property("ActiveState"), property("SubState"));
    let state = if load == "loaded" { format!("{active} ({sub})") } else { load.to_owned() };
    let runs = load == "loaded" && matches!(active, "active" | "reloading" | "refreshing");
    Look { verdict: if runs { Verdict::Good } else { Verdict::Bad(Fault::Inactive) }, facts: Facts::Unit { state } }
}

/// Living processes of that name below `/proc`.
fn running(processes: &Path, name: &str) -> std::io::Result<usize> {
    let wanted = &name.as_bytes()[..name.len().min(NAME_MAX)];
    let mut number = 0;
    for entry in std::fs::read_dir(processes)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        // One that ended meanwhile does not run.
        let Ok(status) = std::fs::read(entry.path().join("stat")) else { continue };
        number += usize::from(is_alive(&status, wanted));
    }
    Ok(number)
}

/// Whether `/proc/PID/stat` (proc(5)) is of a living process of that name: `PID (name) state …`. A name may hold brackets itself.
fn is_alive(status: &[u8], name: &[u8]) -> bool {
    let (Some(open), Some(close)) = (status.iter().position(|byte| *byte == b'('), status.iter().rposition(|byte| *byte == b')')) else {
        return false;
    };
    let state = status.get(close + 2).copied().unwrap_or(b'X');
    status.get(open + 1..close) == Some(name) && !matches!(state, b'Z' | b'X' | b'x')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_unit_is_what_systemctl_says() {
        let one = |answer: &str| {
            let look = judge(answer);
            let Facts::Unit { state } = look.facts else { panic!("a unit") };
            (look.verdict, state)
        };
        let inactive = Verdict::Bad(Fault::Inactive);
        assert_eq!(one("LoadState=loaded\nActiveState=active\nSubState=running\n"), (Verdict::Good, "active (running)".to_owned()));
        assert_eq!(one("LoadState=loaded\nActiveState=failed\nSubState=failed\n"), (inactive, "failed (failed)".to_owned()));
        assert_eq!(one("LoadState=not-found\nActiveState=inactive\nSubState=dead\n"), (inactive, "not-found".to_owned()));
        assert_eq!(one(""), (inactive, "unknown".to_owned()));
    }

    #[test]
    fn a_process_is_found_by_its_name_and_a_dead_one_is_not() {
        assert!(is_alive(b"7 (apache2) S 1 7", b"apache2"));
        assert!(is_alive(b"7 (a) b (c)) R 1 7", b"a) b (c)"));
        assert!(!is_alive(b"7 (apache2) Z 1 7", b"apache2"));
        assert!(!is_alive(b"7 (apache2x) S 1 7", b"apache2"));
    }

    #[tokio::test]
    async fn this_process_runs() {
        let name = std::fs::read_to_string("/proc/self/comm").expect("a name");
        let look_at = |name: &str| Service::Process(name.to_owned());
        assert_eq!(look(&look_at(name.trim_end())).await.verdict, Verdict::Good);
        assert_eq!(look(&look_at("no-such-service")).await.verdict, Verdict::Bad(Fault::Inactive));
    }

    proptest! {
        #[test]
        fn whatever_stands_there_is_read(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = is_alive(&bytes, b"apache2");
        }
    }
}
