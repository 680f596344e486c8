//! The plug-ins: what each may do, in plain words; who signed it; what waits for approval.

use askama::Template;
use jiff::Timestamp;

use super::frame::{Frame, Section};
use super::part::Tone;
use super::written;
use crate::text::Locale;

/// What `/plugins` shows.
///
/// With `may_write` its forms post to `/plugins`: `action` = `approve` or `remove`, `name`, and `sha256` of the file that was
/// looked at; with `new_key` = `on` also where another key has signed it than before.
#[derive(Debug, Clone)]
pub struct Plugins {
    /// The plug-ins; those that wait come first.
    pub plugins: Vec<Plugin>,
    /// Where a file is put to be found.
    pub directory: String,
    /// Whether the user may approve.
    pub may_write: bool,
}

/// How it stands with a plug-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is used as it was approved.
    Approved,
    /// It lies there and does nothing until it is approved.
    Pending,
    /// The file is another one than was approved; it is refused.
    Changed,
    /// It was approved, and its file is gone.
    Missing,
    /// A signature is required and it has none that is trusted.
    Unsigned,
    /// It is no plug-in that cofre can load.
    Invalid,
}

/// One plug-in.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// What it is: destination, notifier; in words.
    pub kind: String,
    /// What it says of itself.
    pub summary: String,
    /// How it stands.
    pub state: State,
    /// SHA-256 of its file, hex.
    pub sha256: String,
    /// Who signed it; in words. `None`: nobody.
    pub signed_by: Option<String>,
    /// When it was approved.
    pub approved: Option<Timestamp>,
    /// What it may do.
    pub may: Vec<Capability>,
    /// What is different from what was approved; in words.
    pub differences: Vec<String>,
    /// Where it is used.
    pub used_by: Vec<String>,
    /// Why it cannot be used, with the mend.
    pub problem: Option<String>,
    /// Whether another key has signed it than before, or none.
    pub another_signer: bool,
}

/// What a plug-in asks for.
#[derive(Debug, Clone)]
pub enum Capability {
    /// To speak to these hosts.
    Network {
        /// `host:port`, with its patterns.
        target: String,
        /// Why, in the plug-in's words.
        reason: String,
        /// Whether an instance was granted it.
        granted: bool,
    },
    /// To be given a secret.
    Secret {
        /// Its name.
        name: String,
        /// What it is, in the plug-in's words.
        summary: String,
        /// Whether it can do without.
        optional: bool,
    },
    /// To use one directory of this machine.
    Directory {
        /// Which, where it was granted.
        path: Option<String>,
    },
    /// To remove what it stored.
    Delete,
}

#[derive(Template)]
#[template(path = "page/plugins.html")]
struct Page<'a> {
    frame: &'a Frame,
    view: &'a Plugins,
    title: &'a str,
}

/// `/plugins` as HTML.
pub fn render(frame: &Frame, view: &Plugins) -> String {
    written(&Page { frame, view, title: Section::Plugins.title(frame.locale) })
}

impl State {
    fn badge(self) -> (Tone, &'static str, &'static str) {
        match self {
            Self::Approved => (Tone::Good, "aprovado", "approved"),
            Self::Pending => (Tone::Warn, "aguarda aprovação", "waits for approval"),
            Self::Changed => (Tone::Bad, "arquivo alterado", "the file changed"),
            Self::Missing => (Tone::Bad, "arquivo ausente", "the file is missing"),
            Self::Unsigned => (Tone::Bad, "sem assinatura confiável", "without a trusted signature"),
            Self::Invalid => (Tone::Bad, "inválido", "invalid"),
        }
    }
}

impl Plugin {
    fn badge(&self, frame: &Frame) -> super::Html {
        let (tone, portuguese, english) = self.state.badge();
        frame.badge(tone, frame.t(portuguese, english))
    }

    fn can_approve(&self) -> bool {
        matches!(self.state, State::Pending | State::Changed)
    }

    fn sentences(&self, frame: &Frame) -> Vec<String> {
        self.may.iter().map(|capability| capability.sentence(frame.locale)).collect()
    }
}

impl Capability {
    fn sentence(&self, locale: Locale) -> String {
        let pt = locale == Locale::PtBr;
        match self {
            Self::Network { target, reason, granted } => {
                let state = match (granted, pt) {
                    (true, true) => "concedido",
                    (false, true) => "ainda não concedido",
                    (true, false) => "granted",
                    (false, false) => "not granted yet",
                };
                let verb = locale.pick("Conectar-se a", "Connect to");
                format!("{verb} `{target}` ({state}): {reason}")
            }
            Self::Secret { name, summary, optional } => {
                let verb = locale.pick("Receber o segredo", "Be given the secret");
                let rest = if *optional { locale.pick(" (opcional)", " (optional)") } else { "" };
                format!("{verb} `{name}`{rest}: {summary}")
            }
            Self::Directory { path: Some(path) } if pt => format!("Ler e gravar em um diretório deste servidor: `{path}`"),
            Self::Directory { path: Some(path) } => format!("Read and write one directory of this machine: `{path}`"),
            Self::Directory { path: None } => locale
                .pick(
                    "Ler e gravar em um diretório deste servidor, que você escolhe",
                    "Read and write one directory of this machine, which you choose",
                )
                .to_owned(),
            Self::Delete => locale.pick("Excluir do destino o que gravou", "Remove from the destination what it stored").to_owned(),
        }
    }
}
