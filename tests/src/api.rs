//! The API as a script would call it: by curl, another client than ours.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cofre::Installation;
use crate::packages;

/// How long the server may take to say where it listens.
const PATIENCE: Duration = Duration::from_secs(60);

/// `cofre serve`, or a daemon that serves, ended with its owner.
pub struct Api {
    child: Child,
    /// Address of the server, without a path.
    pub address: String,
    /// What it said until it served.
    pub said: Vec<String>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers, as they came.
    pub headers: String,
    /// Its body.
    pub text: String,
}

impl Answer {
    /// Its body as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.text).with_context(|| format!("no JSON: {} {}", self.status, self.text))
    }

    /// A header, by its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let pairs = self.headers.lines().filter_map(|line| line.split_once(':'));
        pairs.map(|(known, value)| (known.trim(), value.trim())).find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl Api {
    /// Starts a command that serves, and waits until it says where.
    ///
    /// # Errors
    /// When it does not.
    pub fn start(cofre: &Installation, arguments: &[&str]) -> Result<Self> {
        packages::ensure(&["curl"])?;
        let mut child = cofre.command(arguments).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().context("cannot start cofre")?;
        let output = child.stdout.take().context("no output")?;
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let (deadline, mut said) = (Instant::now() + PATIENCE, Vec::new());
        loop {
            let line = lines.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let line = line.with_context(|| format!("cofre {arguments:?} did not say where it serves: {said:?}"));
            let Ok(line) = line else {
                let _ = child.kill();
                let _ = child.wait();
                return Err(line.err().context("no line")?);
            };
            let address = line.strip_prefix("API: ").and_then(|address| address.strip_suffix("/api/v1")).map(str::to_owned);
            said.push(line);
            if let Some(address) = address {
                return Ok(Self { child, address, said });
            }
        }
    }

    /// Asks: a method, a path, a token, a body, and further arguments of curl.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn ask(&self, what: (&str, &str), token: Option<&str>, body: Option<&Value>, further: &[&str]) -> Result<Answer> {
        ask_at(&self.address, what, token, body, further)
    }

    /// Bytes of memory that it holds now.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn memory(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let held = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Ok(held.context("no memory")? << 10)
    }

    /// Begins a task, follows its events to the end, and returns it with them.
    ///
    /// # Errors
    /// When it does not begin, or does not end.
    pub fn task(&self, path: &str, token: &str, body: &Value) -> Result<(Value, String)> {
        let begun = self.ask(("POST", path), Some(token), Some(body), &[])?;
        ensure!(begun.status == 202, "{path}: {} {}", begun.status, begun.text);
        let location = begun.header("location").context("no location")?.to_owned();
        let events = self.ask(("GET", &format!("{location}/events")), Some(token), None, &["--no-buffer"])?;
        ensure!(events.header("content-type") == Some("text/event-stream"), "{}", events.headers);
        let task = self.ask(("GET", &location), Some(token), None, &[])?.json()?;
        ensure!(task["finished"].is_string(), "its events ended before it did: {task}");
        Ok((task, events.text))
    }

    /// Tells it to stop, and waits until it has; its exit code.
    ///
    /// # Errors
    /// When it does not.
    pub fn stop(mut self) -> Result<Option<i32>> {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw).context("no process")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        Ok(self.child.wait()?.code())
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks at an address, which may be that of somebody in between: see [`Api::ask`].
///
/// # Errors
/// When there is no answer.
pub fn ask_at(base: &str, (method, path): (&str, &str), token: Option<&str>, body: Option<&Value>, further: &[&str]) -> Result<Answer> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--include", "--max-time", "300", "--path-as-is", "--request", method]);
    if let Some(token) = token {
        command.args(["--header", &format!("Authorization: Bearer {token}")]);
    }
    if let Some(body) = body {
        command.args(["--header", "Content-Type: application/json", "--data", &body.to_string()]);
    }
    let output = command.args(further).arg(format!("{base}{path}")).output().context("cannot run curl")?;
    ensure!(output.status.success(), "{method} {path}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (headers, text) = text.split_once("\r\n\r\n").with_context(|| format!("no head: {text}"))?;
    let status = headers.split(' ').nth(1).and_then(|code| code.parse().ok()).with_context(|| format!("no status: {headers}"))?;
    Ok(Answer { status, headers: headers.to_owned(), text: text.to_owned() })
}

/// Events as they come, by curl; ended with its owner.
pub struct Events {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Events {
    /// Listens at an address, for at most 100 seconds.
    ///
    /// # Errors
    /// When curl cannot be run.
    pub fn listen(address: &str, token: &str, further: &[&str]) -> Result<Self> {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--include", "--no-buffer", "--max-time", "100"]);
        command.args(["--header", &format!("Authorization: Bearer {token}")]).args(further).arg(address);
        let mut child = command.stdout(Stdio::piped()).spawn().context("cannot run curl")?;
        let lines = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Self { child, lines })
    }

    /// Reads on until a line that has these words, and returns it.
    ///
    /// # Errors
    /// When the stream ends before.
    pub fn until(&mut self, words: &str) -> Result<String> {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            ensure!(self.lines.read_line(&mut line)? > 0, "the events ended before: {words}");
        }
        Ok(line)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
