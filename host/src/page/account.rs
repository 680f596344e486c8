//! One's own account: password, second factor, recovery codes, sessions.

use askama::Template;
use jiff::Timestamp;

use super::frame::{Frame, Section};
use super::login::PASSWORD_MIN;
use super::part::{Html, Tone};
use super::written;

/// What `/account` shows.
///
/// Its forms post to `/account`: `action` = `password` (`current`, `password`, `repeated`), `totp-begin`, `totp-confirm` (`code`),
/// `totp-disable` (`current`), `logout-one` (`session`), `logout-all`. An answer with recovery codes or a QR code is never kept by a browser.
#[derive(Debug, Clone)]
pub struct Account {
    /// Name.
    pub name: String,
    /// Role, in words.
    pub role: String,
    /// How it stands with the second factor.
    pub totp: Totp,
    /// Recovery codes, shown once after the second factor was confirmed.
    pub recovery: Vec<String>,
    /// Sessions of now, with where from and since when.
    pub sessions: Vec<Session>,
    /// What is wrong with what was filled in: the form's `action`, and in words.
    pub fault: Option<(String, String)>,
}

/// The second factor.
#[derive(Clone)]
pub enum Totp {
    /// There is none.
    Off,
    /// It was begun, and waits for its first code.
    Begun {
        /// QR code of the address, a drawing.
        qr: Html,
        /// The secret in base32, to be typed.
        secret: String,
    },
    /// It is on.
    On {
        /// Recovery codes that are left.
        recovery_left: u64,
    },
}

impl std::fmt::Debug for Totp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Off => "Off",
            Self::Begun { .. } => "Begun",
            Self::On { .. } => "On",
        })
    }
}

/// A session.
#[derive(Debug, Clone)]
pub struct Session {
    /// Its name.
    pub id: String,
    /// Address it came from; empty where that is not known.
    pub from: String,
    /// Since when.
    pub since: Timestamp,
    /// When it was last used.
    pub seen: Timestamp,
    /// Whether it is this one.
    pub this: bool,
}

#[derive(Template)]
#[template(path = "page/account.html")]
struct Page<'a> {
    frame: &'a Frame,
    view: &'a Account,
    title: &'a str,
}

/// `/account` as HTML.
pub fn render(frame: &Frame, view: &Account) -> String {
    written(&Page { frame, view, title: Section::Account.title(frame.locale) })
}

impl Account {
    /// What is wrong with one of the forms.
    fn fault_of(&self, action: &str) -> Option<&str> {
        self.fault.as_ref().filter(|(of, _)| of == action).map(|(_, text)| text.as_str())
    }
}
