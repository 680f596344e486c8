//! A small Debian in a directory, of the release and from the mirror of the system's own package sources: what a package is installed on.
//! Commands run in it with processes of their own; it can also be booted with its systemd, where this machine allows containers.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::cofre::said;
use crate::packages;

/// What a server has beyond the smallest Debian: an init that runs services.
const SERVER: [&str; 3] = ["systemd", "dbus", "adduser"];

/// How long a boot, what is done then, and the way down may take, in seconds.
const BOOT_TIME: &str = "240";

/// The unit that does what a test wants of a booted Debian.
const ERRAND: &str = "[Unit]\nAfter=multi-user.target\n[Service]\nType=oneshot\nExecStart=/bin/sh /errand.sh\nStandardOutput=file:/errand.out\nStandardError=file:/errand.out\nExecStopPost=/bin/systemctl --no-block poweroff\n";

/// A Debian that is gone with its owner.
pub struct Debian {
    directory: TempDir,
}

impl Debian {
    /// A fresh one. The first is made of packages, the others are copies.
    ///
    /// # Errors
    /// When it cannot be made; that takes root.
    pub fn new() -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "a Debian in a directory takes root");
        packages::ensure(&["debootstrap"])?;
        let (mirror, suite) = source()?;
        let base = packages::prepared(&format!("debian-{suite}"), &SERVER, |room| {
            let include = format!("--include={}", SERVER.join(","));
            ran(Command::new("debootstrap").args(["--variant=minbase", &include, &suite]).arg(room).arg(&mirror))?;
            ran(Command::new("rm").arg("-rf").arg(room.join("var/cache/apt/archives")).arg(room.join("var/lib/apt/lists")))
        })?;
        let directory = tempfile::Builder::new().prefix("cofre-debian").tempdir()?;
        ran(Command::new("cp").arg("--archive").arg("--reflink=auto").arg(base.join(".")).arg(directory.path()))?;
        std::fs::create_dir_all(directory.path().join("var/cache/apt/archives/partial"))?;
        Ok(Self { directory })
    }

    /// Where a path in it is, seen from outside.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.directory.path().join(inside.trim_start_matches('/'))
    }

    /// Runs a script of the shell as root; every command of it must succeed.
    ///
    /// # Errors
    /// When it fails, with all that it said.
    pub fn run(&self, script: &str) -> Result<String> {
        let output = self.tried(script)?;
        ensure!(output.status.success(), "`{script}` ended with {}: {}", output.status, said(&output));
        Ok(said(&output))
    }

    /// The same, however it ends.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn tried(&self, script: &str) -> Result<Output> {
        let mut command = Command::new("unshare");
        // Its own processes end with the script, and its mounts with them.
        command.args(["--mount", "--pid", "--fork", "--kill-child"]);
        command.arg(format!("--mount-proc={}", self.path("proc").display()));
        command.arg("chroot").arg(self.directory.path()).args(["sh", "-ec", script]);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root").env("LC_ALL", "C.UTF-8");
        command.env("DEBIAN_FRONTEND", "noninteractive").output().context("cannot run unshare")
    }

    /// Boots it, runs a script as root when it is up, and shuts it down. `None` where nothing can be booted here, which is said.
    ///
    /// # Errors
    /// When the script fails, with all that it said.
    pub fn boot(&self, script: &str) -> Result<Option<String>> {
        packages::ensure(&["systemd-container"])?;
        let outcome = self.path("errand.rc");
        std::fs::write(self.path("errand.sh"), format!("echo up > /errand.rc\n(set -e\n{script}\n)\necho $? > /errand.rc\n"))?;
        std::fs::write(self.path("etc/systemd/system/errand.service"), ERRAND)?;
        self.run("ln -sf ../errand.service /etc/systemd/system/multi-user.target.wants/")?;
        let mut container = Command::new("timeout");
        container.args([BOOT_TIME, "systemd-nspawn", "--boot", "--register=no", "--keep-unit", "--console=pipe", "--directory"]);
        let output = container.arg(self.directory.path()).stdin(Stdio::null()).output().context("cannot run systemd-nspawn")?;
        self.run("rm /etc/systemd/system/multi-user.target.wants/errand.service")?;
        let Ok(code) = std::fs::read_to_string(&outcome) else {
            let _ = writeln!(std::io::stderr(), "no systemd can be booted here, so the service was not started by one: {}", said(&output));
            return Ok(None);
        };
        let told = std::fs::read_to_string(self.path("errand.out")).unwrap_or_default();
        ensure!(code.trim() == "0", "in the booted system ({}): {told}", code.trim());
        Ok(Some(told))
    }
}

/// Mirror and suite of the first of the system's Debian sources.
fn source() -> Result<(String, String)> {
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).ok();
    if let Some(text) = read("/etc/apt/sources.list.d/debian.sources") {
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next().map(str::to_owned));
        return value("URIs:").zip(value("Suites:")).context("debian.sources names no mirror and suite");
    }
    let text = read("/etc/apt/sources.list").context("this system has no package sources of Debian")?;
    let line = text.lines().find_map(|line| line.trim().strip_prefix("deb ")).context("sources.list names no Debian source")?;
    let mut words = line.split(']').next_back().unwrap_or_default().split_whitespace().map(str::to_owned);
    words.next().zip(words.next()).context("sources.list names no mirror and suite")
}

fn ran(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed: {}", said(&output));
    Ok(())
}
