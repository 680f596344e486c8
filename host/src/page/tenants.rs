//! The backup of one tenant: whom, to which address; and how earlier ones went. The passphrase is made with the file, and its task shows it.

use askama::Template;
use jiff::Timestamp;

use super::frame::{Frame, Section};
use super::part::{Choice, Pager, Tone};
use super::written;

/// What `/tenants` shows.
///
/// With `may_deliver` its form posts to `/tenants`: `tenant`, `email`, `via` (a destination to download from; empty: attached where it fits).
/// The answer leads to `/runs/{task}`, which shows the passphrase once, as soon as there is one.
#[derive(Debug, Clone)]
pub struct Tenants {
    /// Tenants: name, and what they have, such as `acme_erp, acme_loja`. At most a thousand.
    pub tenants: Vec<(String, String)>,
    /// What was filled in.
    pub filled: Filled,
    /// Destinations to download from; the first, empty, is for an attachment.
    pub ways: Vec<Choice>,
    /// Minutes within which it arrives.
    pub minutes: u64,
    /// Deliveries, newest first; about fifty.
    pub deliveries: Vec<Delivery>,
    /// Links to others.
    pub pager: Pager,
    /// Whether the user may ask for one.
    pub may_deliver: bool,
    /// The same as a command.
    pub command: String,
}

/// What was filled in, and what is wrong with it.
#[derive(Debug, Clone, Default)]
pub struct Filled {
    /// The tenant.
    pub tenant: String,
    /// The address.
    pub email: String,
    /// What is wrong with the tenant.
    pub tenant_fault: Option<String>,
    /// What is wrong with the address.
    pub email_fault: Option<String>,
}

/// One delivery.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// When it was asked for.
    pub at: Timestamp,
    /// Whose.
    pub tenant: String,
    /// To whom.
    pub recipient: String,
    /// By whom.
    pub by: String,
    /// How it stands.
    pub tone: Tone,
    /// In a word: "entregue", "na fila de envio", "falhou".
    pub word: String,
    /// The task, where it is still known.
    pub task: Option<String>,
}

#[derive(Template)]
#[template(path = "page/tenants.html")]
struct Page<'a> {
    frame: &'a Frame,
    view: &'a Tenants,
    title: &'a str,
}

/// `/tenants` as HTML.
pub fn render(frame: &Frame, view: &Tenants) -> String {
    written(&Page { frame, view, title: Section::Tenants.title(frame.locale) })
}
