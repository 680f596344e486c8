//! Small pieces that many pages have: icons, states, plots, alerts, commands to copy, links to the next page of a list.

use std::fmt;

use askama::filters::{Html as Markup, HtmlSafe, escape};

use super::Given;
use super::asset::asset_address;
use super::frame::Frame;
use crate::text::Locale;

/// Markup that is put into a page as it is. Only this module's functions make it of texts, and escape those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Html(pub(super) String);

impl Html {
    /// Markup of a drawing that cofre made itself: a plot, a QR code. Nothing in it is escaped, and it must not contain `style` attributes.
    pub fn drawing(svg: String) -> Self {
        Self(svg)
    }
}

impl fmt::Display for Html {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HtmlSafe for Html {}

/// A text as it may stand in markup.
pub(super) fn escaped(text: &str) -> String {
    match escape(text, Markup) {
        Ok(safe) => safe.to_string(),
        Err(never) => match never {},
    }
}

/// How something is. It is always told by a sign and a word as well, never by colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tone {
    /// It says nothing of itself: skipped, off, unknown.
    Plain,
    /// Well.
    Good,
    /// At work.
    Busy,
    /// Somebody should look.
    Warn,
    /// Wrong.
    Bad,
}

impl Tone {
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Good => "good",
            Self::Busy => "busy",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }

    pub(super) fn icon(self) -> &'static str {
        match self {
            Self::Plain => "dash",
            Self::Good => "check",
            Self::Busy => "spin",
            Self::Warn => "alert",
            Self::Bad => "cross",
        }
    }

    /// The word for it, where there is no better one.
    pub(super) fn word(self, locale: impl Given<Locale>) -> &'static str {
        let (portuguese, english) = match self {
            Self::Plain => ("sem dados", "no data"),
            Self::Good => ("em ordem", "good"),
            Self::Busy => ("em andamento", "in progress"),
            Self::Warn => ("atenção", "attention"),
            Self::Bad => ("falha", "failed"),
        };
        locale.get().pick(portuguese, english)
    }
}

/// A label and its value.
#[derive(Debug, Clone)]
pub struct Fact {
    /// Label, in the page's language.
    pub label: String,
    /// Value.
    pub value: String,
    /// What the value says.
    pub tone: Tone,
}

/// A plot over time.
#[derive(Debug, Clone)]
pub struct Plot {
    /// What it shows.
    pub title: String,
    /// The drawing, as `report::Plot::svg` makes it.
    pub svg: Html,
    /// In a sentence, for who does not see it: from how much to how much, in which time.
    pub summary: String,
}

/// Something that is wrong, and what to do.
#[derive(Debug, Clone)]
pub struct Alert {
    /// `Warn` or `Bad`.
    pub tone: Tone,
    /// What kind of error it is, and of what.
    pub title: String,
    /// The error's own words.
    pub detail: String,
    /// Since when, where it is known.
    pub since: Option<jiff::Timestamp>,
    /// What to do, in order.
    pub actions: Vec<String>,
    /// Page of what it is about, from `/` on.
    pub address: Option<String>,
}

/// One of several values to choose from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What is posted or asked for.
    pub value: String,
    /// What is shown.
    pub label: String,
    /// Whether it is the chosen one.
    pub chosen: bool,
}

/// Links to the other pages of a list: full queries, beginning with `?`.
#[derive(Debug, Clone, Default)]
pub struct Pager {
    /// To the one before.
    pub previous: Option<String>,
    /// To the next one.
    pub next: Option<String>,
    /// Entries of all pages, where that is known.
    pub total: Option<u64>,
}

/// A line of a log.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// When.
    pub at: jiff::Timestamp,
    /// How grave.
    pub tone: Tone,
    /// What.
    pub text: String,
}

impl Frame {
    /// Address of a file beside the pages.
    #[expect(clippy::unused_self, reason = "templates call it as they call the others")]
    pub(super) fn asset(&self, name: &str) -> String {
        asset_address(name)
    }

    /// A drawing out of the sprite; it says nothing to who only hears the page.
    #[expect(clippy::unused_self, reason = "templates call it as they call the others")]
    pub(super) fn icon(&self, name: &str) -> Html {
        Html(format!("<svg class=\"icon i-{name}\" aria-hidden=\"true\"><use href=\"{}#{name}\"/></svg>", asset_address("cofre.svg")))
    }

    /// A state: sign, colour and word.
    pub(super) fn badge(&self, tone: impl Given<Tone>, word: &str) -> Html {
        let tone = tone.get();
        Html(format!("<span class=\"badge {}\">{}{}</span>", tone.class(), self.icon(tone.icon()), escaped(word)))
    }

    /// A state in its own word.
    pub(super) fn state(&self, tone: impl Given<Tone>) -> Html {
        let tone = tone.get();
        self.badge(tone, tone.word(self.locale))
    }

    /// A state where there is little room: the word is for who hears the page, and in its title.
    pub(super) fn sign(&self, tone: impl Given<Tone>, word: &str) -> Html {
        let tone = tone.get();
        let word = escaped(word);
        let (class, icon) = (tone.class(), self.icon(tone.icon()));
        Html(format!("<span class=\"sign {class}\" title=\"{word}\">{icon}<span class=\"hear\">{word}</span></span>"))
    }

    /// A sentence with commands in backticks, which become code.
    #[expect(clippy::unused_self, reason = "templates call it as they call the others")]
    pub(super) fn ticked(&self, text: &str) -> Html {
        let parts: Vec<&str> = text.split('`').collect();
        if parts.len().is_multiple_of(2) {
            return Html(escaped(text));
        }
        let part = |(index, part): (usize, &&str)| if index % 2 == 1 { format!("<code>{}</code>", escaped(part)) } else { escaped(part) };
        Html(parts.iter().enumerate().map(part).collect())
    }

    /// That a set is pinned.
    pub(super) fn pinned(&self) -> Html {
        Html(format!("<span class=\"badge\">{}{}</span>", self.icon("pin"), self.t("fixado", "pinned")))
    }

    /// The hidden field without which nothing that changes something is taken.
    pub(super) fn csrf(&self) -> Html {
        Html(format!("<input type=\"hidden\" name=\"csrf\" value=\"{}\">", escaped(&self.csrf)))
    }

    /// A command to copy.
    pub(super) fn command(&self, command: &str) -> Html {
        let (command, copy) = (escaped(command), self.t("Copiar", "Copy"));
        Html(format!(
            "<div class=\"command\"><code tabindex=\"0\">{command}</code>\
             <button type=\"button\" class=\"small quiet\" data-copy hidden>{}{copy}</button></div>",
            self.icon("copy")
        ))
    }

    /// A plot, with its words.
    #[expect(clippy::unused_self, reason = "templates call it as they call the others")]
    pub(super) fn plot(&self, plot: &Plot) -> Html {
        let (title, summary) = (escaped(&plot.title), escaped(&plot.summary));
        Html(format!(
            "<figure class=\"plot\"><figcaption><b>{title}</b> <span>{summary}</span></figcaption>\
             <div aria-hidden=\"true\">{}</div></figure>",
            plot.svg
        ))
    }

    /// How much of something is used, or done.
    #[expect(clippy::unused_self, reason = "templates call it as they call the others")]
    pub(super) fn meter(&self, share: impl Given<f64>, label: &str, tone: impl Given<Tone>) -> Html {
        let (share, label) = (share.get().clamp(0.0, 1.0) * 100.0, escaped(label));
        Html(format!(
            "<svg class=\"meter {}\" role=\"img\" aria-label=\"{label}\" viewBox=\"0 0 100 6\" preserveAspectRatio=\"none\">\
             <rect class=\"track\" width=\"100\" height=\"6\"/><rect class=\"fill\" width=\"{share:.1}\" height=\"6\"/></svg>",
            tone.get().class()
        ))
    }
}

/// A text as one part of an address.
pub(super) fn encoded(text: &str) -> String {
    match askama::filters::urlencode_strict(text) {
        Ok(encoded) => encoded.to_string(),
        Err(never) => match never {},
    }
}
