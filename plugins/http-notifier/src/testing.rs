//! A service that answers as a test says and remembers what it was asked, and a message to send to it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use cofre_sdk::http::Response;
use cofre_sdk::testing::FakeHost;
use cofre_sdk::{Attachment, Body, Message, Notifier, Result, Severity};

/// One request as the service saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `POST` and so on.
    pub method: &'static str,
    /// Its whole address.
    pub url: String,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its whole body.
    pub body: Vec<u8>,
}

impl Asked {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Its body as JSON.
    ///
    /// # Panics
    /// Where it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    /// Its body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Status, headers and body.
type Said = (u16, Vec<(String, String)>, String);

/// The service's side.
#[derive(Debug, Clone, Default)]
pub struct Service {
    answers: Arc<Mutex<VecDeque<Said>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Service {
    /// A service without answers: a request that it does not expect fails the test.
    pub fn new() -> Self {
        Self::default()
    }

    /// What it answers to the next request.
    #[must_use]
    pub fn answers(self, status: u16, body: &str) -> Self {
        self.answers_with(status, &[], body)
    }

    /// The same with headers.
    #[must_use]
    pub fn answers_with(self, status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).push_back((status, headers, body.to_owned()));
        self
    }

    /// Whatever was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Calls a notifier as the host does, with this service as its network.
    ///
    /// # Errors
    /// Those of `open` and of `call`.
    ///
    /// # Panics
    /// Where it sends a request for which there is no answer.
    pub fn call<N: Notifier>(&self, given: Given<'_>, call: impl FnOnce(&N) -> Result<()>) -> Result<()> {
        let service = self.clone();
        let host = given.secrets.iter().fold(FakeHost::new(), |host, (name, secret)| host.secret(*name, *secret));
        let host = host.network(move |request, body| {
            let (method, url, headers) = (request.method().as_str(), request.url().to_owned(), request.headers().to_vec());
            let asked = Asked { method, url, headers, body: body.to_vec() };
            service.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
            let next = service.answers.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let (status, headers, body) = next.expect("the test has an answer to this request");
            Ok(Response::from_reader(status, headers, std::io::Cursor::new(body.into_bytes())))
        });
        host.run(|| call(&N::open(cofre_sdk::settings::parse(given.settings)?)?))
    }
}

/// What the administrator wrote.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// Settings, as JSON.
    pub settings: &'a str,
    /// Secrets by their names.
    pub secrets: &'a [(&'a str, &'a str)],
}

/// A message of an event, with a subject and a text that have letters beyond ASCII.
pub fn message(event: &str, severity: Severity) -> Message {
    Message {
        id: "01J9-principal".to_owned(),
        event: event.to_owned(),
        severity,
        at_unix_ms: 1_790_000_000_000,
        recipients: Vec::new(),
        language: "pt-BR".to_owned(),
        subject: "Cópia «principal» falhou 🛟".to_owned(),
        text: "Erro: <disco & fita>\nAção: libere espaço em /srv".to_owned(),
        html: Some("<p>Erro</p>".to_owned()),
        facts: r#"{"job":"noite","bytes":12}"#.to_owned(),
    }
}

/// A file; with a `content_id` where the message's HTML shows it.
pub fn file(name: &str, bytes: &'static [u8], content_id: Option<&str>) -> Attachment {
    let (media_type, content_id) = ("application/octet-stream".to_owned(), content_id.map(str::to_owned));
    Attachment { name: name.to_owned(), media_type, content_id, body: Body::from_reader(bytes, bytes.len() as u64) }
}
