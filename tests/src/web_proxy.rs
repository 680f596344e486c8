//! nginx and Caddy before the page and the API, with the configuration that the documentation shows: only addresses, certificates and names of
//! files are the test's own.

use std::fs::File;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::cofre::root;
use crate::packages;
use crate::servers::{Owned, free_port, wait_until};

/// The address that the documentation has cofre at.
const UPSTREAM: &str = "127.0.0.1:8743";
/// The name that the documentation gives it.
pub const NAME: &str = "backup.example.com";

/// A proxy that speaks HTTPS.
pub struct WebProxy {
    directory: TempDir,
    port: u16,
    authority: PathBuf,
    _process: Owned,
}

/// The block of that language in `docs/api.md`.
fn documented(language: &str) -> Result<String> {
    let text = std::fs::read_to_string(root().join("docs/api.md"))?;
    let (_, block) = text.split_once(&format!("```{language}\n")).with_context(|| format!("docs/api.md has no {language}"))?;
    Ok(block.split_once("```").with_context(|| format!("the block {language} has no end"))?.0.to_owned())
}

/// One text for another, which must be there: a documentation that changed is noticed.
fn instead(text: &str, from: &str, to: &str) -> Result<String> {
    anyhow::ensure!(text.contains(from), "the documentation says nowhere `{from}`: {text}");
    Ok(text.replace(from, to))
}

impl WebProxy {
    /// nginx, before a cofre at that port.
    ///
    /// # Errors
    /// When it cannot be installed or does not start.
    pub fn nginx(cofre: u16) -> Result<Self> {
        packages::ensure(&["nginx-light"])?;
        let directory = tempfile::Builder::new().prefix("cofre-nginx").tempdir()?;
        let files = Certificates::make(directory.path())?;
        let port = free_port()?;
        let block = instead(&documented("nginx")?, UPSTREAM, &format!("127.0.0.1:{cofre}"))?;
        let block = instead(&block, "listen 443 ssl", &format!("listen 127.0.0.1:{port} ssl"))?;
        let block = instead(&block, &format!("/etc/ssl/{NAME}.pem"), &files.certificate.display().to_string())?;
        let block = instead(&block, &format!("/etc/ssl/{NAME}.key"), &files.key.display().to_string())?;
        let here = directory.path().display();
        let bodies = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path {here}/{kind};")).join("\n");
        let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
        let all = format!(
            "{user}daemon off;\npid {here}/pid;\nerror_log {here}/log;\nevents {{}}\nhttp {{\naccess_log off;\n{bodies}\n{block}}}\n"
        );
        let config = directory.path().join("nginx.conf");
        std::fs::write(&config, all)?;
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(directory.path()).arg("-e").arg(directory.path().join("log")).arg("-c").arg(&config);
        Self::start("nginx", command, (directory, port, files.authority))
    }

    /// Caddy, before a cofre at that port, with an authority of its own.
    ///
    /// # Errors
    /// When it cannot be installed or does not start.
    pub fn caddy(cofre: u16) -> Result<Self> {
        packages::ensure(&["caddy"])?;
        let directory = tempfile::Builder::new().prefix("cofre-caddy").tempdir()?;
        let (port, plain) = (free_port()?, free_port()?);
        let block = instead(&documented("caddy")?, UPSTREAM, &format!("127.0.0.1:{cofre}"))?;
        // What follows is about this test alone: where it listens, and who signs its certificate.
        let options =
            format!("{{\nadmin off\nlocal_certs\nskip_install_trust\nhttp_port {plain}\nhttps_port {port}\ndefault_bind 127.0.0.1\n}}\n");
        let config = directory.path().join("Caddyfile");
        std::fs::write(&config, options + &block)?;
        let mut command = Command::new("caddy");
        command.arg("run").arg("--config").arg(&config).args(["--adapter", "caddyfile"]);
        command.env("HOME", directory.path()).env("XDG_DATA_HOME", directory.path()).env("XDG_CONFIG_HOME", directory.path());
        let authority = directory.path().join("caddy/pki/authorities/local/root.crt");
        Self::start("caddy", command, (directory, port, authority))
    }

    fn start(name: &str, mut command: Command, (directory, port, authority): (TempDir, u16, PathBuf)) -> Result<Self> {
        let log = directory.path().join("output");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        let process = Owned(command.spawn().with_context(|| format!("cannot start {name}"))?);
        wait_until(name, &log, || authority.exists() && TcpStream::connect(("127.0.0.1", port)).is_ok())?;
        Ok(Self { directory, port, authority, _process: process })
    }

    /// Arguments of curl for asking it under its own name.
    pub fn curl(&self) -> [String; 5] {
        let there = format!("{NAME}:443:127.0.0.1:{}", self.port);
        // The one version of HTTP whose head `ask_at` reads whatever the proxy would rather speak.
        ["--http1.1", "--connect-to", &there, "--cacert", &self.authority.display().to_string()].map(str::to_owned)
    }

    /// A place for files of the test.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}
