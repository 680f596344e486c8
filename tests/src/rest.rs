//! Servers of the protocol in `plugins/rest/README.md` on loopback: one of Python's standard library, with tus or without, and one of
//! Node with `@tus/server`.

use std::any::Any;
use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::conformance::Trial;
use crate::servers::{Owned, free_port, wait_until};
use crate::{cofre, packages};

/// The token that may write.
pub const TOKEN: &str = "tok-3scr1b3-e-l3";

/// The others: one that may only read, one that has expired, and one with little space.
const TOKENS: [(&str, &str, &str); 3] =
    [("READER", "tok-so-le", "read"), ("EXPIRED", "tok-venceu", "nothing"), ("SMALL", "tok-pequeno", "write")];

/// Bytes that the token with little space may store.
const SMALL: u64 = 4_000_000;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Make {
    /// `tests/rest/server.py`
    Python,
    /// The same without tus.
    Plain,
    /// `tests/rest/server.mjs`, with `@tus/server`.
    Node,
}

/// A server with four tokens.
pub struct RestServer {
    // Before the directory that it uses.
    _process: Owned,
    directory: TempDir,
    port: u16,
}

impl RestServer {
    /// Starts one.
    ///
    /// # Errors
    /// When it cannot be installed or does not start.
    pub fn start(make: Make) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("cofre-rest").tempdir()?;
        let port = free_port()?;
        let tokens = directory.path().join("tokens.json");
        let mut accounts = serde_json::json!({ TOKEN: { "may": "write" } });
        for (_, token, may) in TOKENS {
            accounts[token] = serde_json::json!({ "may": may });
        }
        accounts[TOKENS[2].1]["quota"] = SMALL.into();
        std::fs::write(&tokens, accounts.to_string())?;
        let log = directory.path().join("log");
        let errors = File::create(&log)?;
        let mut command = make.command(directory.path())?;
        command.arg(port.to_string()).arg(directory.path().join("data")).arg(&tokens).args((make == Make::Plain).then_some("--plain"));
        command.stdin(Stdio::null()).stdout(errors.try_clone()?).stderr(errors);
        let process = command.spawn().with_context(|| format!("cannot start the server of {make:?}"))?;
        let server = Self { _process: Owned(process), directory, port };
        wait_until(&format!("the server of {make:?}"), &log, || TcpStream::connect(server.address()).is_ok())?;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// The keys of a `[[destination]]` without its name and plug-in, through `port`, which is its own or a proxy's; `more` are further
    /// settings, each with a comma before it.
    pub fn destination(&self, port: u16, more: &str) -> String {
        format!(
            "settings = {{ url = \"http://localhost:{port}/objects\"{more} }}\nsecrets = {{ token = {{ env = \"COFRE_T_TOKEN\" }} }}\n\
             grants = {{ network = [\"localhost:{port}\"], delete = true }}\n"
        )
    }

    /// Files of unfinished uploads.
    pub fn unfinished(&self) -> usize {
        std::fs::read_dir(self.directory.path().join("data/partial")).map_or(0, Iterator::count)
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Make {
    /// The server's program, for a server that has `directory`.
    fn command(self, directory: &Path) -> Result<Command> {
        let script = |name: &str| -> PathBuf { cofre::root().join("tests/rest").join(name) };
        if self != Self::Node {
            let mut command = Command::new("python3");
            command.arg(script("server.py"));
            return Ok(command);
        }
        // Node looks for packages beside the script.
        let room = packages::node("rest", &["@tus/server", "@tus/file-store"])?;
        symlink(room.join("node_modules"), directory.join("node_modules"))?;
        std::fs::copy(script("server.mjs"), directory.join("server.mjs"))?;
        let mut command = Command::new("node");
        command.arg(directory.join("server.mjs"));
        Ok(command)
    }
}

/// The settings with which the conformance suite runs against each.
///
/// # Errors
/// When a server does not start.
pub fn trials() -> Result<Vec<Trial>> {
    Ok(vec![trial(Make::Python, "Python, standard library")?, trial(Make::Node, "Node, @tus/server")?])
}

fn trial(make: Make, name: &str) -> Result<Trial> {
    let server = RestServer::start(make)?;
    let mut settings = server.destination(server.port, ", part_size = 1048576");
    for (name, error, secret) in [
        ("wrong-token", "access-denied", "WRONG"),
        ("expired-token", "access-denied", "EXPIRED"),
        ("read-only-token", "access-denied", "READER"),
        ("no-space", "out-of-space", "SMALL"),
    ] {
        let bytes = if secret == "SMALL" { "bytes = \"8MiB\"\n" } else { "" };
        settings += &format!(
            "[[refusal]]\nname = \"{name}\"\nerror = \"{error}\"\n{bytes}secrets = {{ token = {{ env = \"COFRE_T_{secret}\" }} }}\n"
        );
    }
    let mut environment = vec![("COFRE_T_TOKEN".to_owned(), TOKEN.to_owned()), ("COFRE_T_WRONG".to_owned(), "tok-errado".to_owned())];
    environment.extend(TOKENS.map(|(name, token, _)| (format!("COFRE_T_{name}"), token.to_owned())));
    let address = Some(server.address());
    Ok(Trial { destination: "rest", server: name.to_owned(), settings, environment, address, keep: vec![Box::new(server) as Box<dyn Any>] })
}
