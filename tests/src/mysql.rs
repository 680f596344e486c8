//! Oracle's MySQL, which Debian 12 does not have: taken from sid, unpacked and never installed, run with its own C library.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::cofre::tools;
use crate::packages;
use crate::servers::{Owned, free_port, run_as_root, wait_until};

/// The server, its client, and every library they name, so that none of this machine's is used.
const FROM_SID: [&str; 24] = [
    "mysql-server-core",
    "mysql-client-core",
    "mysql-server",
    "mysql-client",
    "libaio1t64",
    "libc6",
    "libcurl4t64",
    "libfido2-1",
    "libgcc-s1",
    "libgoogle-perftools4t64",
    "libicu78",
    "liblz4-1",
    "libmecab2",
    "libnuma1",
    "libprotobuf-lite32t64",
    "libprotobuf32t64",
    "libssl3t64",
    "libstdc++6",
    "libtirpc3t64",
    "libzstd1",
    "zlib1g",
    "libedit2",
    "libgssapi-krb5-2",
    "libkrb5-3",
];

/// A private MySQL: account `root` over the socket, `backup` with [`PASSWORD`] and all rights over TCP.
pub struct MySql {
    directory: TempDir,
    root: PathBuf,
    port: u16,
    _process: Owned,
}

/// Password of the account `backup`.
pub const PASSWORD: &str = "senha-do-mysql";

impl MySql {
    /// Starts one, empty.
    ///
    /// # Errors
    /// When sid cannot be reached, or it does not start; never a silent skip.
    pub fn start() -> Result<Self> {
        let root = unpacked()?;
        let directory = tempfile::Builder::new().prefix("cofre-mysql").tempdir()?;
        let log = directory.path().join("error.log");
        let output = server_command(&root, directory.path()).arg("--initialize-insecure").output().context("cannot run mysqld")?;
        ensure!(output.status.success(), "making MySQL's data directory failed: {}", String::from_utf8_lossy(&output.stderr));
        let port = free_port()?;
        let process = server_command(&root, directory.path())
            .args(["--bind-address=127.0.0.1", "--innodb-buffer-pool-size=128M"])
            .arg(format!("--port={port}"))
            .arg(format!("--socket={}", directory.path().join("s.sock").display()))
            .arg(format!("--pid-file={}", directory.path().join("pid").display()))
            .arg(format!("--log-error={}", log.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start mysqld")?;
        let server = Self { directory, root, port, _process: Owned(process) };
        wait_until("MySQL", &log, || server.sql("SELECT 1").is_ok())?;
        server.sql(&format!("CREATE USER backup@'%' IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON *.* TO backup@'%' WITH GRANT OPTION"))?;
        Ok(server)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("s.sock")
    }

    /// Its own client, as root over the socket.
    pub fn client(&self) -> Command {
        let mut command = own_loader(&self.root, "bin/mysql");
        command
            .args(["--no-defaults", "--default-character-set=utf8mb4", "-uroot", "-N", "-B"])
            .arg(format!("--socket={}", self.socket().display()));
        command
    }

    /// Runs SQL; returns what it printed.
    ///
    /// # Errors
    /// When a statement fails.
    pub fn sql(&self, script: &str) -> Result<String> {
        let output = self.client().arg("-e").arg(script).stdin(Stdio::null()).output().context("cannot run MySQL's client")?;
        let start: String = script.chars().take(300).collect();
        ensure!(output.status.success(), "SQL failed: {}; at: {start}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Every row of a table in the order of its first column, as the client prints it: MySQL's `CHECKSUM TABLE` differs on equal data.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn ordered_rows(&self, schema: &str, table: &str) -> Result<String> {
        self.sql(&format!("SELECT * FROM `{schema}`.`{}` ORDER BY 1", table.replace('`', "``")))
    }
}

/// A program of the unpacked tree, started by the loader that belongs to it.
fn own_loader(root: &Path, program: &str) -> Command {
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
    command.arg("--library-path").arg(libraries).arg(root.join("usr").join(program));
    command
}

fn server_command(root: &Path, directory: &Path) -> Command {
    let mut command = own_loader(root, "sbin/mysqld");
    command.args(["--no-defaults", "--mysqlx=0", "--secure-file-priv="]).args(run_as_root());
    for (option, path) in [("basedir", "usr"), ("lc-messages-dir", "usr/share/mysql"), ("plugin-dir", "usr/lib/mysql/plugin")] {
        command.arg(format!("--{option}={}", root.join(path).display()));
    }
    command.arg(format!("--datadir={}", directory.join("data").display()));
    command
}

/// The unpacked tree, made on first use and kept.
fn unpacked() -> Result<PathBuf> {
    let root = tools().join("mysql-sid");
    if root.exists() {
        return Ok(root);
    }
    packages::ensure(&["libxxhash0", "libunwind8", "liblzma5"])?;
    eprintln!("downloading MySQL from Debian sid (52 MB), for the tests against Oracle's server; nothing of it is installed");
    fs::create_dir_all(tools())?;
    let work = tempfile::Builder::new().prefix("mysql-new-").tempdir_in(tools())?;
    fs::create_dir_all(work.path().join("lists/partial"))?;
    fs::create_dir_all(work.path().join("cache/archives/partial"))?;
    fs::write(work.path().join("sources.list"), sid_source(&apt_sources()?)?)?;
    apt(work.path(), &["update"]).context("Debian sid cannot be reached, and MySQL comes from there")?;
    apt(
        work.path(),
        &[&["download"], FROM_SID.map(|package| format!("{package}/sid")).each_ref().map(String::as_str).as_slice()].concat(),
    )?;
    let fresh = work.path().join("root");
    for entry in fs::read_dir(work.path())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            let output = Command::new("dpkg").arg("-x").arg(&path).arg(&fresh).output().context("cannot run dpkg")?;
            ensure!(output.status.success(), "cannot unpack {}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
        }
    }
    match fs::rename(&fresh, &root) {
        Err(error) if !root.exists() => Err(error).context("cannot keep MySQL"),
        _ => Ok(root),
    }
}

fn apt(work: &Path, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    for (option, value) in [("Dir::Etc::SourceList", "sources.list"), ("Dir::State::Lists", "lists"), ("Dir::Cache", "cache")] {
        command.arg(format!("-o{option}={}", work.join(value).display()));
    }
    command.args(["-oDir::Etc::SourceParts=/dev/null", "-oAcquire::Languages=none", "-oAPT::Sandbox::User=root", "-qq"]);
    let output = command.args(arguments).current_dir(work).output().context("cannot run apt-get")?;
    ensure!(output.status.success(), "apt-get {} failed: {}", arguments[0], String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The machine's own sources of packages, in either notation.
fn apt_sources() -> Result<String> {
    let mut text = fs::read_to_string("/etc/apt/sources.list").unwrap_or_default();
    for entry in fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten() {
        text.push('\n');
        text.push_str(&fs::read_to_string(entry.path()).with_context(|| format!("cannot read {}", entry.path().display()))?);
    }
    Ok(text)
}

/// The machine's own Debian mirror, with the suite replaced by sid.
fn sid_source(sources: &str) -> Result<String> {
    for line in sources.lines().map(str::trim) {
        let words = line.strip_prefix("URIs:").or_else(|| line.strip_prefix("deb ")).unwrap_or("");
        let mirror = words.split_whitespace().find(|word| word.contains("://"));
        if let Some(mirror) = mirror.filter(|mirror| mirror.trim_end_matches('/').ends_with("/debian")) {
            return Ok(format!("deb {mirror} sid main\n"));
        }
    }
    anyhow::bail!("this machine's sources of packages name no Debian mirror")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sid_comes_from_the_machines_own_mirror_in_either_notation() {
        let old = "# a comment\ndeb [arch=amd64] http://mirror.example/debian-security bookworm-security main\ndeb [arch=amd64] http://mirror.example/debian bookworm main\n";
        assert_eq!(sid_source(old).unwrap(), "deb http://mirror.example/debian sid main\n");
        let new = "Types: deb\nURIs: http://mirror.example/debian/\nSuites: bookworm\n";
        assert_eq!(sid_source(new).unwrap(), "deb http://mirror.example/debian/ sid main\n");
        assert!(sid_source("deb http://mirror.example/ubuntu noble main").is_err());
    }
}
