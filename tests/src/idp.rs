//! A provider of identities: oidc-provider of the npm registry, which is certified by the OpenID Foundation. It lets in whoever types a name.

use std::fs::File;
use std::net::TcpStream;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::packages;
use crate::servers::{Owned, free_port, wait_until};

/// What it gave cofre.
pub const CLIENT_SECRET: &str = "segredo-do-provedor-4d1f";
/// The program; by the letter of the standard it tells a name only where it is asked for it, and takes no login without PKCE.
const SCRIPT: &str = "
import { Provider } from 'oidc-provider';
const { PORT, REDIRECT, SECRET } = process.env;
const provider = new Provider(`http://127.0.0.1:${PORT}`, {
    clients: [{
        client_id: 'cofre', client_secret: SECRET, redirect_uris: [REDIRECT], response_types: ['code'], grant_types: ['authorization_code'],
    }],
    claims: { openid: ['sub'], profile: ['preferred_username'], email: ['email', 'email_verified'] },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, preferred_username: id, email: `${id}@empresa.example`, email_verified: true }) }),
    pkce: { required: () => true },
    cookies: { keys: ['of a test'] },
});
provider.listen(Number(PORT), '127.0.0.1');
";

/// A private provider.
pub struct Idp {
    _directory: TempDir,
    port: u16,
    _process: Owned,
}

impl Idp {
    /// Starts one that sends people back to that address.
    ///
    /// # Errors
    /// When it cannot be installed or does not start.
    pub fn start(redirect: &str) -> Result<Self> {
        // The newest that runs on Node 20.
        let room = packages::node("idp", &["oidc-provider@8"])?;
        let directory = tempfile::Builder::new().prefix("cofre-idp").tempdir()?;
        std::os::unix::fs::symlink(room.join("node_modules"), directory.path().join("node_modules"))?;
        let script = directory.path().join("idp.mjs");
        std::fs::write(&script, SCRIPT)?;
        let (port, log) = (free_port()?, directory.path().join("log"));
        let process = Command::new("node")
            .arg(&script)
            .env("PORT", port.to_string())
            .env("REDIRECT", redirect)
            .env("SECRET", CLIENT_SECRET)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("cannot start node")?;
        let process = Owned(process);
        wait_until("oidc-provider", &log, || TcpStream::connect(("127.0.0.1", port)).is_ok())?;
        Ok(Self { _directory: directory, port, _process: process })
    }

    /// Its address.
    pub fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}
