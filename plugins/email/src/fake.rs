//! A small mail server for this crate's own tests, on loopback, with TLS and with failures on demand; real servers answer elsewhere.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cofre_sdk::testing::FakeHost;
use cofre_sdk::{Message, Notifier as _, Result, Severity};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::notifier::Email;
use crate::settings::Settings;

pub(crate) const USER: &str = "backup@example.com";
pub(crate) const PASSWORD: &str = "pä ss:w0rd";

/// How the server behaves.
#[derive(Clone)]
pub(crate) struct Script {
    /// What it offers once TLS stands; `STARTTLS` is added before.
    pub(crate) offers: Vec<&'static str>,
    /// Whether TLS begins with the first byte.
    pub(crate) implicit: bool,
    /// Whether it knows TLS at all.
    pub(crate) knows_tls: bool,
    /// Replies instead of the usual ones, to lines that contain the text: none at all where it is empty.
    pub(crate) answers: Vec<(&'static str, &'static str)>,
    /// What it says after its consent to TLS, and before TLS.
    pub(crate) slips: &'static str,
}

impl Default for Script {
    fn default() -> Self {
        let offers = vec!["SIZE 1000000", "AUTH LOGIN PLAIN XOAUTH2", "ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8"];
        Self { offers, implicit: false, knows_tls: true, answers: Vec::new(), slips: "" }
    }
}

/// What reached it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// Lines of commands; those that were secured begin with `+`.
    pub(crate) lines: Vec<String>,
    /// Messages that were accepted, as they were before the transfer.
    pub(crate) mails: Vec<Vec<u8>>,
}

/// A server that ends with its owner.
pub(crate) struct Fake {
    port: u16,
    authority: Vec<u8>,
    seen: Arc<Mutex<Seen>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    pub(crate) fn start(script: Script) -> Self {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).expect("a key");
        let authority = certified.cert.der().to_vec();
        let tls = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .expect("a certificate and its key");
        let listener = TcpListener::bind("localhost:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (seen, ends) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
        let worker = Worker { script, tls: Arc::new(tls), seen: Arc::clone(&seen) };
        let stop = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(std::result::Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                // Whatever breaks the conversation is seen at the other end.
                let _ = worker.serve(&stream);
            }
        });
        Self { port, authority, seen, ends, thread: Some(thread) }
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A host that trusts it.
    pub(crate) fn host(&self) -> FakeHost {
        FakeHost::new().secret("password", PASSWORD).trust_root(self.authority.clone())
    }

    /// Settings for it; `more` win.
    pub(crate) fn settings(&self, more: &Value) -> Settings {
        let mut settings = json!({
            "host": "localhost", "port": self.port, "user": USER, "from": "Cópias <backup@example.com>", "to": ["ana@example.com"],
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            settings[name] = value.clone();
        }
        cofre_sdk::settings::parse(&settings.to_string()).expect("settings")
    }

    /// Opens the notifier and does something with it, on a host that trusts the server.
    pub(crate) fn with<T>(&self, more: &Value, work: impl FnOnce(&Email) -> Result<T>) -> Result<T> {
        self.host().run(|| work(&Email::open(self.settings(more))?))
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("localhost", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A message with every field.
pub(crate) fn message() -> Message {
    Message {
        id: "run-4711/failed".to_owned(),
        event: "run.failed".to_owned(),
        severity: Severity::Critical,
        at_unix_ms: 1_796_000_000_000,
        recipients: Vec::new(),
        language: "pt-BR".to_owned(),
        subject: "Falha no backup: ação necessária".to_owned(),
        text: "O backup não terminou.\n.\nFim\n".to_owned(),
        html: Some("<p>O backup <b>não</b> terminou.</p>".to_owned()),
        facts: "{}".to_owned(),
    }
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

struct Worker {
    script: Script,
    tls: Arc<ServerConfig>,
    seen: Arc<Mutex<Seen>>,
}

impl Worker {
    fn secured(&self, stream: TcpStream) -> std::io::Result<Box<dyn Stream>> {
        let connection = ServerConnection::new(Arc::clone(&self.tls)).map_err(std::io::Error::other)?;
        Ok(Box::new(StreamOwned::new(connection, stream)))
    }

    fn serve(&self, tcp: &TcpStream) -> std::io::Result<()> {
        let stream = if self.script.implicit { self.secured(tcp.try_clone()?)? } else { Box::new(tcp.try_clone()?) };
        let mut talk = Talk { stream: BufReader::new(stream), is_secured: self.script.implicit, worker: self };
        if !self.instead("greeting", &mut talk)? {
            talk.say("220 fake ESMTP")?;
        }
        while let Some(line) = talk.line()? {
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            if self.instead(&line, &mut talk)? {
                continue;
            }
            match verb.as_str() {
                "EHLO" => talk.say(&self.hello(talk.is_secured))?,
                "STARTTLS" => {
                    talk.stream.get_mut().write_all(format!("220 2.0.0 begin\r\n{}", self.script.slips).as_bytes())?;
                    talk = Talk { stream: BufReader::new(self.secured(tcp.try_clone()?)?), is_secured: true, worker: self };
                }
                "AUTH" => log_in(&line, &mut talk)?,
                "DATA" => self.take(&mut talk)?,
                "QUIT" => {
                    talk.say("221 2.0.0 bye")?;
                    return tcp.shutdown(Shutdown::Both);
                }
                _ => talk.say("250 2.0.0 fine")?,
            }
        }
        Ok(())
    }

    /// Says what the script has for this line, if anything.
    fn instead(&self, line: &str, talk: &mut Talk<'_>) -> std::io::Result<bool> {
        let Some((_, answer)) = self.script.answers.iter().find(|(text, _)| line.contains(text)) else { return Ok(false) };
        if !answer.is_empty() {
            talk.say(answer)?;
        }
        Ok(true)
    }

    fn hello(&self, is_secured: bool) -> String {
        let mut lines = vec!["fake"];
        lines.extend(self.script.offers.iter().filter(|offer| is_secured || !self.script.knows_tls || !offer.starts_with("AUTH")));
        if self.script.knows_tls && !is_secured {
            lines.push("STARTTLS");
        }
        let last = lines.len() - 1;
        lines
            .iter()
            .enumerate()
            .map(|(index, line)| format!("250{}{line}", if index == last { " " } else { "-" }))
            .collect::<Vec<_>>()
            .join("\r\n")
    }

    fn take(&self, talk: &mut Talk<'_>) -> std::io::Result<()> {
        talk.say("354 go on")?;
        let mut mail = Vec::new();
        loop {
            let mut line = Vec::new();
            if talk.stream.read_until(b'\n', &mut line)? == 0 || !line.ends_with(b"\r\n") {
                return Ok(());
            }
            if line == b".\r\n" {
                break;
            }
            mail.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
        if self.instead("verdict", talk)? {
            return Ok(());
        }
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).mails.push(mail);
        talk.say("250 2.0.0 taken")
    }
}

/// Judges a login of any kind.
fn log_in(line: &str, talk: &mut Talk<'_>) -> std::io::Result<()> {
    let mut words = line.split(' ').skip(1);
    let (mechanism, proof) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut ask = |question: &str| -> std::io::Result<String> {
        talk.say(question)?;
        Ok(talk.line()?.unwrap_or_default())
    };
    let is_right = match mechanism {
        "PLAIN" => proof == BASE64.encode(format!("\0{USER}\0{PASSWORD}")),
        "LOGIN" => {
            let (user, password) = (ask("334 VXNlcm5hbWU6")?, ask("334 UGFzc3dvcmQ6")?);
            user == BASE64.encode(USER) && password == BASE64.encode(PASSWORD)
        }
        _ => {
            let is_right = proof == BASE64.encode(format!("user={USER}\x01auth=Bearer {PASSWORD}\x01\x01"));
            is_right || !ask("334 eyJzdGF0dXMiOiI0MDAifQ==")?.is_empty()
        }
    };
    talk.say(if is_right { "235 2.7.0 welcome" } else { "535 5.7.8 no" })
}

struct Talk<'a> {
    stream: BufReader<Box<dyn Stream>>,
    is_secured: bool,
    worker: &'a Worker,
}

impl Talk<'_> {
    fn say(&mut self, line: &str) -> std::io::Result<()> {
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes())?;
        self.stream.get_mut().flush()
    }

    fn line(&mut self) -> std::io::Result<Option<String>> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end_matches(['\r', '\n']).to_owned();
        let shown = if self.is_secured { format!("+{line}") } else { line.clone() };
        self.worker.seen.lock().unwrap_or_else(PoisonError::into_inner).lines.push(shown);
        Ok(Some(line))
    }
}
