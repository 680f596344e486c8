//! A certificate authority of a test's own, and a server certificate under it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Files of one authority and one server certificate for `localhost` and `backup.example.com`.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// The authority's certificate.
    pub authority: PathBuf,
    /// The server's certificate.
    pub certificate: PathBuf,
    /// The server's key.
    pub key: PathBuf,
}

impl Certificates {
    /// Makes them in `directory` with openssl.
    ///
    /// # Errors
    /// When openssl fails.
    pub fn make(directory: &Path) -> Result<Self> {
        Self::lasting(30, directory)
    }

    /// The same for so many days.
    ///
    /// # Errors
    /// When openssl fails.
    pub fn lasting(days: u32, directory: &Path) -> Result<Self> {
        let script = "set -e
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days \"$1\" -subj /CN=cofre-test-ca -keyout ca.key -out ca.pem \
              -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -keyout server.key -out server.csr
            printf 'subjectAltName=DNS:localhost,DNS:backup.example.com,IP:127.0.0.1\\nextendedKeyUsage=serverAuth\\n' > ext
            openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days \"$1\" -extfile ext -out server.pem
            chmod 644 server.key";
        let output = Command::new("sh")
            .args(["-c", script, "make", &days.to_string()])
            .current_dir(directory)
            .output()
            .context("cannot run openssl")?;
        ensure!(output.status.success(), "making certificates failed: {}", String::from_utf8_lossy(&output.stderr));
        let file = |name| directory.join(name);
        Ok(Self { authority: file("ca.pem"), certificate: file("server.pem"), key: file("server.key") })
    }
}
