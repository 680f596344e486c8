//! Azurite, Microsoft's emulator of Azure Storage, on loopback; and Microsoft's own client, which makes what a test needs and judges
//! what cofre stored.

use std::any::Any;
use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::conformance::Trial;
use crate::packages;
use crate::servers::{Owned, free_port, wait_until};

/// Name of the account.
pub const ACCOUNT: &str = "cofretest";

/// Its key.
pub const KEY: &str = "Y29mcmUtdGVzdC1hY2NvdW50LWtleS1vZi1zaXh0eS1mb3VyLWJ5dGVzLWFuZC1ub3QtYSBieXRlIG1vcmU=";

/// The container, which is there from the start.
pub const CONTAINER: &str = "copias";

/// An emulator with one account and one container.
pub struct Azurite {
    // Before the directory that it uses.
    _process: Owned,
    _directory: TempDir,
    port: u16,
}

impl Azurite {
    /// Starts one.
    ///
    /// # Errors
    /// When it cannot be installed or does not start.
    pub fn start() -> Result<Self> {
        let room = packages::node("azurite", &["azurite"])?;
        let directory = tempfile::Builder::new().prefix("cofre-azurite").tempdir()?;
        let port = free_port()?;
        let log = directory.path().join("log");
        let mut command = Command::new("node");
        command.arg(room.join("node_modules/azurite/dist/src/blob/main.js"));
        command.args(["--skipApiVersionCheck", "--silent", "--disableTelemetry", "--blobHost", "127.0.0.1", "--blobPort"]);
        command.arg(port.to_string()).arg("--location").arg(directory.path().join("data"));
        command.env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{KEY}"));
        let errors = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(errors.try_clone()?).stderr(errors);
        let process = command.spawn().context("cannot start Azurite")?;
        let server = Self { _process: Owned(process), _directory: directory, port };
        wait_until("Azurite", &log, || TcpStream::connect(server.address()).is_ok())?;
        server.client("service.create_container(container)")?;
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
            "settings = {{ account = \"{ACCOUNT}\", container = \"{CONTAINER}\", endpoint = \"http://localhost:{port}/{ACCOUNT}\"{more} }}\n\
             secrets = {{ account_key = {{ env = \"COFRE_T_KEY\" }} }}\ngrants = {{ network = [\"localhost:{port}\"], delete = true }}\n"
        )
    }

    /// Runs lines of Python with Microsoft's client as `service`, and what names the account; returns what they print.
    ///
    /// # Errors
    /// When they fail.
    pub fn client(&self, lines: &str) -> Result<String> {
        let python = packages::python("azure", &["azure-storage-blob"])?;
        let script = format!(
            "import datetime, hashlib, base64\nfrom azure.storage.blob import *\naccount, key, container = '{ACCOUNT}', '{KEY}', '{CONTAINER}'\n\
             service = BlobServiceClient('http://127.0.0.1:{}/{ACCOUNT}', credential=key, retry_total=0)\n{lines}",
            self.port
        );
        let output = Command::new(python).args(["-c", &script]).output().context("cannot run the client of Azure Storage")?;
        ensure!(output.status.success(), "the client of Azure Storage failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// A token for the container with these permissions, as `racwdl`, that ends in so many minutes.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn token(&self, permissions: &str, minutes: i32) -> Result<String> {
        self.client(&format!(
            "end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes={minutes})\n\
             print(generate_container_sas(account, container, account_key=key, permission='{permissions}', expiry=end))"
        ))
    }
}

/// The settings with which the conformance suite runs against Azurite: once by the account's key, once by a token.
///
/// # Errors
/// When it does not start.
pub fn trials() -> Result<Vec<Trial>> {
    Ok(vec![by_key()?, by_token()?])
}

fn by_key() -> Result<Trial> {
    let server = Azurite::start()?;
    let mut settings = server.destination(server.port, ", part_size = 4194304, prefix = \"pasta/ção\"");
    settings += "[[refusal]]\nname = \"wrong-key\"\nerror = \"access-denied\"\nsecrets = { account_key = { env = \"COFRE_T_WRONG\" } }\n\
                 [[refusal]]\nname = \"no-container\"\nerror = \"invalid-config\"\nsettings = { container = \"outro\" }\n";
    let environment = [("COFRE_T_KEY", KEY.to_owned()), ("COFRE_T_WRONG", KEY.replacen('Y', "Z", 1))];
    Ok(trial(server, settings, environment.to_vec(), "Azurite (account key)"))
}

fn by_token() -> Result<Trial> {
    let server = Azurite::start()?;
    let mut settings = server.destination(server.port, ", part_size = 4194304").replace("account_key", "sas_token");
    for (name, variable) in [("expired-token", "EXPIRED"), ("read-only-token", "READER")] {
        settings += &format!(
            "[[refusal]]\nname = \"{name}\"\nerror = \"access-denied\"\nsecrets = {{ sas_token = {{ env = \"COFRE_T_{variable}\" }} }}\n"
        );
    }
    let environment = [
        ("COFRE_T_KEY", server.token("racwdl", 600)?),
        ("COFRE_T_EXPIRED", server.token("racwdl", -60)?),
        ("COFRE_T_READER", server.token("rl", 600)?),
    ];
    Ok(trial(server, settings, environment.to_vec(), "Azurite (SAS token)"))
}

fn trial(server: Azurite, settings: String, environment: Vec<(&str, String)>, name: &str) -> Trial {
    Trial {
        destination: "azure-blob",
        server: name.to_owned(),
        settings,
        environment: environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        address: Some(server.address()),
        keep: vec![Box::new(server) as Box<dyn Any>],
    }
}
