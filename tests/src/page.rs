//! A page over HTTPS: openssl's own little server, under an authority of the test's.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::servers::{Owned, free_port, wait_until};

/// A server that answers every request with a page about the connection.
pub struct Page {
    directory: TempDir,
    port: u16,
    _process: Owned,
}

impl Page {
    /// Starts one; its certificate holds for 30 days.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("cofre-page").tempdir()?;
        let files = Certificates::make(directory.path())?;
        let (port, log) = (free_port()?, directory.path().join("log"));
        let process = Command::new("openssl")
            .args(["s_server", "-quiet", "-www", "-accept", &format!("127.0.0.1:{port}")])
            .arg("-cert")
            .arg(&files.certificate)
            .arg("-key")
            .arg(&files.key)
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&log)?)
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start openssl s_server")?;
        let process = Owned(process);
        wait_until("openssl s_server", &log, || TcpStream::connect(("127.0.0.1", port)).is_ok())?;
        Ok(Self { directory, port, _process: process })
    }

    /// Its port on localhost.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate of its authority.
    pub fn authority(&self) -> PathBuf {
        Path::new(self.directory.path()).join("ca.pem")
    }
}
