//! Services that nobody can run, as fakes of our own in Python: HTTPS, on a free port, with a second one that takes a test's orders.
//! The services' own clients judge them in the same test run.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::cofre::Installation;
use crate::proxy::FaultProxy;
use crate::sample::Random;
use crate::servers::{Owned, free_port, wait_until};
use crate::{cofre, packages};

/// What the fakes and their judges need of the Python package index.
const PACKAGES: [&str; 4] = ["cryptography", "dropbox", "google-api-python-client", "google-auth-httplib2"];

/// One fake that runs.
pub struct Fake {
    _process: Owned,
    directory: TempDir,
    python: PathBuf,
    port: u16,
    orders: u16,
}

impl Fake {
    /// Starts `tests/fakes/SCRIPT`.
    ///
    /// # Errors
    /// When Python's packages cannot be installed, or the script does not start.
    pub fn start(script: &str) -> Result<Self> {
        packages::ensure(&["openssl"])?;
        let python = packages::python("clouds", &PACKAGES)?;
        let directory = tempfile::Builder::new().prefix("cofre-fake").tempdir()?;
        let certificates = Certificates::make(directory.path())?;
        let (port, orders, log) = (free_port()?, free_port()?, directory.path().join("log"));
        let errors = File::create(&log)?;
        let process = Command::new(&python)
            .arg(path(script))
            .args(["--port", &port.to_string(), "--orders", &orders.to_string()])
            .arg("--directory")
            .arg(directory.path())
            .arg("--certificate")
            .arg(certificates.certificate)
            .arg("--key")
            .arg(certificates.key)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(errors.try_clone()?)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("cannot start {script}"))?;
        let fake = Self { _process: Owned(process), directory, python, port, orders };
        wait_until(script, &log, || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("ready")))?;
        Ok(fake)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// The certificate of its authority.
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Its directory, in which it may have left files for a test.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Gives an order (`tests/fakes/service.py` tells which there are) and returns the service's state.
    ///
    /// # Errors
    /// When the fake does not answer.
    pub fn order(&self, order: &Value) -> Result<Value> {
        let body = order.to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.orders)).context("the fake takes no orders")?;
        write!(stream, "POST / HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("the fake gave no answer")?;
        ensure!(head.contains(" 200 "), "the fake refused {order}: {head}; its log: {}", self.log());
        Ok(serde_json::from_str(body)?)
    }

    /// The lines of the requests so far that have a text.
    ///
    /// # Errors
    /// When the fake does not answer.
    pub fn requests(&self, text: &str) -> Result<usize> {
        let state = self.order(&serde_json::json!({}))?;
        let lines = state["lines"].as_array().context("the fake tells no requests")?;
        Ok(lines.iter().filter(|line| line.as_str().is_some_and(|line| line.contains(text))).count())
    }

    /// Runs a script with a service's own client against it; returns what it printed.
    ///
    /// # Errors
    /// When the client is not served as it expects.
    pub fn judge(&self, script: &str, extra: &[&str]) -> Result<String> {
        let origin = format!("https://localhost:{}", self.port);
        let output = Command::new(&self.python)
            .arg(path(script))
            .arg(origin)
            .arg(self.authority())
            .arg(format!("http://127.0.0.1:{}/", self.orders))
            .args(extra)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .with_context(|| format!("cannot run {script}"))?;
        let said = cofre::said(&output);
        ensure!(output.status.success(), "{script} is not served as it expects: {said}; the fake's log: {}", self.log());
        Ok(said)
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

fn path(script: &str) -> PathBuf {
    cofre::root().join("tests/fakes").join(script)
}

/// An installation that copies incompressible bytes to a fake through a proxy.
pub struct Scene {
    /// The proxy in the path.
    pub proxy: FaultProxy,
    /// The program.
    pub cofre: Installation,
    environment: Vec<(String, String)>,
}

impl Scene {
    /// One with `bytes` to copy; `destination` gives the configuration of a destination at a port.
    ///
    /// # Errors
    /// When something cannot be made.
    pub fn new(
        bytes: usize,
        server: SocketAddr,
        environment: Vec<(String, String)>,
        destination: impl FnOnce(u16) -> String,
    ) -> Result<Self> {
        let proxy = FaultProxy::start(server)?;
        let cofre = Installation::new("[encryption]\niterations = 10000\n[[directory]]\npath = \"@DIR@/files\"\n")?;
        std::fs::create_dir(cofre.path("files"))?;
        std::fs::write(cofre.path("files/noise"), Random::new(7).bytes(bytes))?;
        cofre.configure(&format!(
            "{}{}retry = {{ attempts = 3, first_pause = \"50ms\", longest_pause = \"200ms\" }}\nlimits = {{ wall = \"6s\" }}\n",
            cofre.configuration()?,
            destination(proxy.port())
        ))?;
        Ok(Self { proxy, cofre, environment })
    }

    /// A command line, not yet run.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.cofre.command(arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command line; returns its exit code and what it said, which is no secret.
    ///
    /// # Errors
    /// When it cannot be run, or told a secret.
    pub fn run(&self, arguments: &[&str]) -> Result<(Option<i32>, String)> {
        let output = self.command(arguments).output()?;
        let said = cofre::said(&output);
        let told = self.environment.iter().find(|(_, secret)| secret.len() > 8 && said.contains(secret.as_str()));
        ensure!(told.is_none(), "{arguments:?} told the secret {:?}", told.map(|(name, _)| name));
        Ok((output.status.code(), said))
    }

    /// Runs a command line that must succeed.
    ///
    /// # Errors
    /// When it does not.
    pub fn must(&self, arguments: &[&str]) -> Result<String> {
        let (code, said) = self.run(arguments)?;
        ensure!(code == Some(0), "{arguments:?}: {code:?} {said}");
        Ok(said)
    }

    /// A run that may fail and is then resumed, and whose set must be whole afterwards. Returns what it said where it did not succeed at
    /// once.
    ///
    /// # Errors
    /// When it ends otherwise.
    pub fn through(&self, fault: &str, break_it: impl FnOnce() -> Result<()>) -> Result<Option<String>> {
        break_it()?;
        let (code, said) = self.run(&["run"])?;
        self.proxy.heal();
        match code {
            Some(0) => {}
            Some(1) => drop(self.must(&["resume"]).with_context(|| format!("{fault}: {said}"))?),
            _ => anyhow::bail!("{fault}: {code:?} {said}"),
        }
        self.must(&["verify", "--deep"]).with_context(|| fault.to_owned())?;
        Ok((code != Some(0)).then_some(said))
    }

    /// Starts a run and kills it once so many bytes went up.
    ///
    /// # Errors
    /// When it ends before.
    pub fn killed_at(&self, bytes: u64) -> Result<()> {
        let begun = self.proxy.bytes_up();
        let mut child = self.command(&["run", "--quiet"]).spawn()?;
        let deadline = Instant::now() + Duration::from_mins(1);
        while self.proxy.bytes_up() - begun < bytes {
            ensure!(Instant::now() < deadline && child.try_wait()?.is_none(), "the run ended before {bytes} bytes went up");
            std::thread::yield_now();
        }
        child.kill()?;
        child.wait()?;
        Ok(())
    }
}

/// `cofre login` while it waits: what it asked is read from its standard error, the answer goes to its standard input.
pub struct Login {
    child: Child,
    questions: BufReader<ChildStderr>,
    asked: String,
}

impl Login {
    /// Starts it against a fake.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(cofre: &Installation, fake: &Fake, arguments: &[&str]) -> Result<Self> {
        let endpoint = format!("https://localhost:{}", fake.port());
        let mut command = cofre.command(&[&["--json", "login"], arguments, &["--endpoint", &endpoint, "--ca-file"]].concat());
        let mut child = command.arg(fake.authority()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let questions = BufReader::new(child.stderr.take().context("no standard error")?);
        Ok(Self { child, questions, asked: String::new() })
    }

    /// The next line that it indents: an address, or a code.
    ///
    /// # Errors
    /// When it says no such line.
    pub fn shown(&mut self) -> Result<String> {
        loop {
            let mut line = String::new();
            ensure!(self.questions.read_line(&mut line)? > 0, "it asked for nothing more: {}", self.asked);
            self.asked += &line;
            if let Some(shown) = line.strip_prefix("    ") {
                return Ok(shown.trim().to_owned());
            }
        }
    }

    /// Answers, waits for the end, and returns the exit code and all that was said.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn answer(mut self, line: &str) -> Result<(Option<i32>, String)> {
        if let Some(mut input) = self.child.stdin.take() {
            // It may have ended already, and then its exit code says why.
            let _ = writeln!(input, "{line}");
        }
        self.questions.read_to_string(&mut self.asked)?;
        let output = self.child.wait_with_output()?;
        Ok((output.status.code(), format!("{}{}", self.asked, String::from_utf8_lossy(&output.stdout))))
    }
}

/// Opens an address of a fake as a browser would that follows nothing: where it is led, and what the page says.
///
/// # Errors
/// When there is no answer.
pub fn browse(fake: &Fake, address: &str) -> Result<(String, String)> {
    packages::ensure(&["curl"])?;
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--noproxy", "*", "--write-out", "\n%{redirect_url}", "--cacert"])
        .arg(fake.authority())
        .arg(address)
        .output()
        .context("cannot run curl")?;
    ensure!(output.status.success(), "no page at {address}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (page, led) = text.rsplit_once('\n').context("curl said nothing")?;
    Ok((led.to_owned(), page.to_owned()))
}
