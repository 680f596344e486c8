//! Before the door: login, and the one-time page that makes the first administrator.

use askama::Template;
use jiff::Timestamp;

use super::frame::Frame;
use super::part::Tone;
use super::written;

/// Fewest characters of a password.
pub const PASSWORD_MIN: usize = 12;

/// What `/login` shows. Its form posts to `/login`: `name`, `password`, `code` (with `code_needed`), `next` (a path to go on to).
#[derive(Debug, Clone, Default)]
pub struct Login {
    /// What was filled in as name.
    pub name: String,
    /// Where to go afterwards, from `/` on.
    pub next: String,
    /// Why it did not work.
    pub fault: Option<LoginFault>,
    /// Whether the code of the second factor is asked for.
    pub code_needed: bool,
}

/// Why a login did not work. It does not say whether the user exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginFault {
    /// Name, password or code is wrong.
    Refused,
    /// There were too many attempts.
    Throttled {
        /// When the next may be made.
        until: Timestamp,
    },
    /// The session ended.
    Ended,
}

/// What `/setup` shows. Its form posts to `/setup`: `secret`, `name`, `password`, `repeated`.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// The secret of the link; empty where the link is not good, which is then all that the page says.
    pub secret: String,
    /// What was filled in as name.
    pub name: String,
    /// What is wrong with what was filled in; in words.
    pub fault: Option<String>,
}

#[derive(Template)]
#[template(path = "page/login.html")]
struct LoginPage<'a> {
    frame: &'a Frame,
    view: &'a Login,
    title: &'a str,
}

#[derive(Template)]
#[template(path = "page/setup.html")]
struct SetupPage<'a> {
    frame: &'a Frame,
    view: &'a Setup,
    title: &'a str,
}

/// `/login` as HTML.
pub fn render(frame: &Frame, view: &Login) -> String {
    written(&LoginPage { frame, view, title: frame.t("Entrar", "Log in") })
}

/// `/setup` as HTML.
pub fn render_setup(frame: &Frame, view: &Setup) -> String {
    written(&SetupPage { frame, view, title: frame.t("Primeiro administrador", "First administrator") })
}
