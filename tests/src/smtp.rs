//! A real mail server on loopback (aiosmtpd, `tests/smtp/server.py`): STARTTLS and a login before anything else, or implicit TLS on a
//! second port; it answers recipients by their names, and gives back what it accepted, as it came and as Python's `email` understands it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::servers::{Owned, free_port, wait_until};
use crate::{cofre, packages};

/// Name of the account, and the sender.
pub const USER: &str = "backup@example.com";

/// Its password: what commands and encodings stumble over.
pub const PASSWORD: &str = "pä ss:w0rd%20";

/// A recipient whom the server refuses for good.
pub const REFUSED: &str = "refused@example.com";

/// A recipient whom the server does not take yet.
pub const LATER: &str = "later@example.com";

/// Bytes of the largest message that it takes.
pub const LIMIT: u64 = 32 << 20;

/// A mail server with one account.
pub struct Smtp {
    process: Option<Owned>,
    directory: TempDir,
    submission: u16,
    implicit: u16,
}

/// A message that it accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Whole, as it came.
    pub raw: Vec<u8>,
    /// Whether TLS protected it.
    pub tls: bool,
    /// Account that was logged in.
    pub login: String,
    /// Recipients of the envelope.
    pub recipients: Vec<String>,
    /// Headers in their order, decoded.
    pub headers: Vec<(String, String)>,
    /// Subject, decoded.
    pub subject: String,
    /// Senders with their names.
    pub from: Vec<String>,
    /// Recipients with their names.
    pub to: Vec<String>,
    /// Recipients of a copy with their names.
    pub cc: Vec<String>,
    /// Plain text, with the line ends of the transfer.
    pub text: Option<String>,
    /// HTML.
    pub html: Option<String>,
    /// Files, attached or shown by the HTML.
    pub files: Vec<Attached>,
    /// What is wrong with its form.
    pub defects: Vec<String>,
}

/// A file of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Name.
    pub name: String,
    /// Media type.
    pub media_type: String,
    /// How the HTML names it.
    pub content_id: Option<String>,
    /// Decoded.
    pub bytes: Vec<u8>,
}

impl Mail {
    /// The first header of a name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

impl Smtp {
    /// Starts one on 127.0.0.1.
    ///
    /// # Errors
    /// When it cannot be installed or does not start.
    pub fn start() -> Result<Self> {
        packages::ensure(&["openssl"])?;
        let directory = tempfile::Builder::new().prefix("cofre-smtp").tempdir()?;
        // Tests that set the clock on need it for longer.
        Certificates::lasting(800, directory.path())?;
        std::fs::create_dir(directory.path().join("mails"))?;
        let mut server = Self { process: None, directory, submission: free_port()?, implicit: free_port()? };
        server.revive()?;
        Ok(server)
    }

    /// Ends it; its ports answer nobody until it is revived, and what it accepted stays.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again on the same ports.
    ///
    /// # Errors
    /// When it does not start.
    pub fn revive(&mut self) -> Result<()> {
        let python = packages::python("smtp", &["aiosmtpd"])?;
        let log = self.path("log");
        let errors = File::create(&log)?;
        let mut command = Command::new(python);
        command.arg(script()).arg("serve").args(["--user", USER, "--password", PASSWORD, "--limit", &LIMIT.to_string()]);
        command.args(["--submission", &self.submission.to_string(), "--implicit", &self.implicit.to_string()]);
        for (option, name) in [("--certificate", "server.pem"), ("--key", "server.key"), ("--mails", "mails")] {
            command.arg(option).arg(self.path(name));
        }
        command.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null()).stdout(errors.try_clone()?).stderr(errors);
        self.process = Some(Owned(command.spawn().context("cannot start the mail server")?));
        wait_until("the mail server", &log, || self.log().contains("ready"))
    }

    /// Port of submission, with STARTTLS.
    pub fn submission(&self) -> u16 {
        self.submission
    }

    /// Port with implicit TLS.
    pub fn implicit(&self) -> u16 {
        self.implicit
    }

    /// The certificate of its authority.
    pub fn authority(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// The keys of a `[[notifier]]` over submission without its name; `more` are further settings, each with a comma before it. The
    /// environment needs [`PASSWORD`] as `COFRE_T_PASSWORD`.
    pub fn notifier(&self, more: &str) -> String {
        let (port, authority) = (self.submission, self.authority());
        format!(
            "plugin = \"email\"\n\
             settings = {{ host = \"localhost\", port = {port}, user = \"{USER}\", from = \"Backup <{USER}>\"{more} }}\n\
             secrets = {{ password = {{ env = \"COFRE_T_PASSWORD\" }} }}\ngrants = {{ network = [\"localhost:{port}\"] }}\nca_file = \"{}\"\n",
            authority.display()
        )
    }

    /// Answers every message with this reply from now on, as `451 4.3.0 not now`; with none, takes them again.
    ///
    /// # Errors
    /// When the order cannot be written.
    pub fn refuse_messages(&self, reply: Option<&str>) -> Result<()> {
        let (order, place) = (self.path("order.new"), self.path("mails/orders"));
        std::fs::write(&order, serde_json::json!({ "refuse": reply }).to_string())?;
        Ok(std::fs::rename(order, place)?)
    }

    /// What it accepted so far, in order.
    ///
    /// # Errors
    /// When a message cannot be understood.
    pub fn mails(&self) -> Result<Vec<Mail>> {
        let folder = self.path("mails");
        let python = packages::python("smtp", &["aiosmtpd"])?;
        let output = Command::new(python).arg(script()).arg("show").arg(&folder).output().context("cannot run Python")?;
        ensure!(output.status.success(), "a message cannot be understood: {}", String::from_utf8_lossy(&output.stderr));
        let shown: Vec<Value> = serde_json::from_slice(&output.stdout)?;
        shown.iter().enumerate().map(|(index, value)| mail(&folder.join(format!("{index:06}.eml")), value)).collect()
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

fn script() -> PathBuf {
    cofre::root().join("tests/smtp/server.py")
}

fn mail(raw: &Path, shown: &Value) -> Result<Mail> {
    let headers = shown["headers"].as_array().context("a message without headers")?;
    let files = shown["files"].as_array().context("a message without a list of files")?;
    let attached = |file: &Value| -> Result<Attached> {
        Ok(Attached {
            name: text(&file["name"]).unwrap_or_default(),
            media_type: text(&file["media_type"]).unwrap_or_default(),
            content_id: text(&file["content_id"]),
            bytes: BASE64.decode(file["base64"].as_str().unwrap_or_default())?,
        })
    };
    Ok(Mail {
        raw: std::fs::read(raw)?,
        tls: shown["envelope"]["tls"] == true,
        login: text(&shown["envelope"]["login"]).unwrap_or_default(),
        recipients: texts(&shown["envelope"]["recipients"]),
        headers: headers.iter().filter_map(|pair| Some((text(&pair[0])?, text(&pair[1])?))).collect(),
        subject: text(&shown["subject"]).unwrap_or_default(),
        from: texts(&shown["from"]),
        to: texts(&shown["to"]),
        cc: texts(&shown["cc"]),
        text: text(&shown["text"]),
        html: text(&shown["html"]),
        files: files.iter().map(attached).collect::<Result<_>>()?,
        defects: texts(&shown["defects"]),
    })
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(text).collect()
}
