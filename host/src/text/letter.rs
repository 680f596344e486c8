//! What is sent to people: a title, facts, notes, what to do, pictures; as plain text and as HTML for mail clients, of the same parts.
//!
//! Whatever comes from outside (names of schemas, words of errors) passes [`line()`] on its way in, and the template's escaping on its way out.

use std::fmt::Write as _;

use askama::Template;

use super::Locale;
use crate::notify::Severity;

/// Characters of a title and of a subject.
const TITLE_MAX: usize = 160;
/// Characters of any other text.
const TEXT_MAX: usize = 2_000;

/// Something to send to a person.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    severity: Severity,
    mark: &'static str,
    title: String,
    blocks: Vec<Block>,
    actions_title: &'static str,
    footer: String,
    locale: Locale,
}

/// A part of a letter.
#[derive(Debug, Clone)]
enum Block {
    Facts(Vec<Fact>),
    Text(String),
    Heading(String),
    Notes(Vec<String>),
    Actions(Vec<String>),
    Picture(Picture),
}

/// A label and its value.
#[derive(Debug, Clone)]
pub(super) struct Fact {
    label: String,
    value: String,
    tone: Tone,
}

/// What a value says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// Only what it says.
    Plain,
    /// That something is well.
    Good,
    /// That somebody should look.
    Warn,
    /// That something is wrong.
    Bad,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Plain => "text",
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }

    fn color(self) -> &'static str {
        match self {
            Self::Plain => "#1d2530",
            Self::Good => "#1b7a3d",
            Self::Warn => "#8a5a00",
            Self::Bad => "#b3261e",
        }
    }

    /// Colour alone tells nothing to whoever does not see it.
    fn sign(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "✅ ",
            Self::Warn => "⚠️ ",
            Self::Bad => "❌ ",
        }
    }
}

#[derive(Debug, Clone)]
struct Picture {
    source: String,
    caption: String,
}

#[derive(Template)]
#[template(path = "letter.html")]
struct Page<'a> {
    letter: &'a Letter,
    lang: &'static str,
    band: &'static str,
}

impl Fact {
    /// A value that only says what it says.
    pub(super) fn new(label: &str, value: &str) -> Self {
        Self::toned(label, value, Tone::Plain)
    }

    /// A value of which a reader must see at once how it is.
    pub(super) fn toned(label: &str, value: &str, tone: Tone) -> Self {
        Self { label: line(label, TITLE_MAX), value: line(value, TEXT_MAX), tone }
    }
}

impl Letter {
    /// A letter with a title and nothing else yet.
    pub(super) fn new(severity: Severity, (mark, title): (&'static str, &str), locale: Locale) -> Self {
        Self {
            severity,
            mark,
            title: line(title, TITLE_MAX),
            blocks: Vec::new(),
            actions_title: locale.pick("Ação necessária:", "What to do:"),
            footer: locale.pick("Enviado por cofre.", "Sent by cofre.").to_owned(),
            locale,
        }
    }

    /// Says on which machine.
    pub(super) fn host(&mut self, host: &str) {
        self.footer = match self.locale {
            Locale::PtBr => format!("Enviado por cofre em {}.", line(host, TITLE_MAX)),
            Locale::En => format!("Sent by cofre on {}.", line(host, TITLE_MAX)),
        };
    }

    /// Adds a table.
    pub(super) fn facts(&mut self, facts: Vec<Fact>) {
        if !facts.is_empty() {
            self.blocks.push(Block::Facts(facts));
        }
    }

    /// Adds a sentence.
    pub(super) fn text(&mut self, text: &str) {
        self.blocks.push(Block::Text(line(text, TEXT_MAX)));
    }

    /// Adds a heading.
    pub(super) fn heading(&mut self, text: &str) {
        self.blocks.push(Block::Heading(line(text, TITLE_MAX)));
    }

    /// Adds lines, each with a dot before it.
    pub(super) fn notes(&mut self, notes: impl IntoIterator<Item = String>) {
        let notes: Vec<String> = notes.into_iter().map(|note| line(&note, TEXT_MAX)).collect();
        if !notes.is_empty() {
            self.blocks.push(Block::Notes(notes));
        }
    }

    /// Adds what somebody is to do, in order.
    pub(super) fn actions(&mut self, actions: Vec<String>) {
        if !actions.is_empty() {
            self.blocks.push(Block::Actions(actions.iter().map(|action| line(action, TEXT_MAX)).collect()));
        }
    }

    /// Adds a picture at an address of ours, and what it shows. Plain text goes without both.
    pub(super) fn picture(&mut self, address: &str, caption: &str) {
        self.blocks.push(Block::Picture(Picture { source: address.to_owned(), caption: line(caption, TITLE_MAX) }));
    }

    /// The subject of its mail: `about` is the machine, where it is known.
    pub(super) fn subject(&self, about: Option<&str>) -> String {
        let from = about.map_or_else(|| "[cofre]".to_owned(), |host| format!("[cofre {}]", line(host, 64)));
        line(&format!("{from} {} {}", self.mark, self.title), TITLE_MAX)
    }

    /// As plain text.
    pub(super) fn plain(&self) -> String {
        let mut text = format!("{} {}\n", self.mark, self.title);
        let mut under_heading = false;
        for block in self.blocks.iter().filter(|block| !matches!(block, Block::Picture(_))) {
            if !under_heading {
                text.push('\n');
            }
            under_heading = matches!(block, Block::Heading(_));
            let _ = match block {
                Block::Facts(facts) => {
                    facts.iter().try_for_each(|fact| writeln!(text, "{}{}: {}", fact.tone.sign(), fact.label, fact.value))
                }
                Block::Text(line) | Block::Heading(line) => writeln!(text, "{line}"),
                Block::Notes(notes) => notes.iter().try_for_each(|note| writeln!(text, "- {note}")),
                Block::Actions(actions) => writeln!(text, "{}", self.actions_title)
                    .and_then(|()| actions.iter().enumerate().try_for_each(|(index, action)| writeln!(text, "{}. {action}", index + 1))),
                Block::Picture(_) => Ok(()),
            };
        }
        let _ = write!(text, "\n{}\n", self.footer);
        text
    }

    /// As HTML for a mail client: no outside resource, tables for layout, readable in light and dark.
    pub(super) fn html(&self) -> String {
        let band = match self.severity {
            Severity::Info => "#1b7a3d",
            Severity::Warning => "#8a5a00",
            Severity::Critical => "#b3261e",
        };
        let page = Page { letter: self, lang: self.locale.pick("pt-BR", "en"), band };
        // It writes into memory, and every value of it is a text.
        page.render().expect("writing into a String does not fail")
    }
}

/// One line of at most `most` characters, without anything that controls how it is shown.
pub(super) fn line(text: &str, most: usize) -> String {
    let shown = text.chars().filter(|letter| !is_format(*letter)).map(|letter| if letter.is_control() { ' ' } else { letter });
    let shown: String = shown.take(TEXT_MAX * 4).collect();
    let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(most) {
        None => words,
        Some(_) => words.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// Marks that turn the direction of what follows, or are not seen at all.
fn is_format(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn letter(text: &str) -> Letter {
        let mut letter = Letter::new(Severity::Critical, ("❌", text), Locale::En);
        letter.facts(vec![Fact::new(text, text), Fact::toned("x", text, Tone::Bad)]);
        letter.text(text);
        letter.heading(text);
        letter.notes([text.to_owned()]);
        letter.actions(vec![text.to_owned()]);
        letter.picture("cid:plot", text);
        letter.host(text);
        letter
    }

    /// The tags of a page, without what is between them.
    fn tags(html: &str) -> Vec<&str> {
        html.split('<').skip(1).map(|tag| tag.split(['>', ' ', '\n']).next().unwrap_or("")).collect()
    }

    #[test]
    fn a_line_is_one_line() {
        assert_eq!(line(" a\r\nBcc: x\t\u{0}b\u{202e}c ", 80), "a Bcc: x bc");
        assert_eq!(line("éééé", 3), "éé…");
        assert_eq!(line("abc", 4), "abc");
    }

    proptest! {
        #[test]
        fn no_text_gets_markup_through(text in "(?s).{0,60}|[<>&\"'a-z=/! -]{0,60}") {
            // The markup is that of a harmless text; so nothing that came in opened, closed or changed a tag.
            let (html, harmless) = (letter(&text).html(), letter("x").html());
            prop_assert_eq!(tags(&html), tags(&harmless));
            prop_assert_eq!(html.matches('"').count(), harmless.matches('"').count());
        }

        #[test]
        fn subjects_are_one_line_and_short(text in "(?s).{0,400}") {
            let subject = letter(&text).subject(Some(&text));
            prop_assert!(!subject.chars().any(char::is_control) && subject.chars().count() <= TITLE_MAX, "{}", subject);
        }

        #[test]
        fn a_line_is_never_longer_than_it_may_be(text in "(?s).{0,40}", most in 2_usize..20) {
            prop_assert!(line(&text, most).chars().count() <= most);
        }
    }
}
