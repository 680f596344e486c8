//! Before the door: login, and the one-time page that makes the first administrator.

use askama::Template;
use jiff::Timestamp;

use super::frame::Frame;
use super::part::Tone;
use super::written;

/// Fewest characters of a password.
pub const PASSWORD_MIN: usize = 12;

/// What `/login` shows. Its form posts to `/login`: `name`, `password`, `code` (with `code_needed`), `next` (a path to go on to). With a
/// provider, a link leads to `/login/oidc`.
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
    /// What people call the provider of identities, where there is one.
    pub provider: Option<String>,
}

/// Why a login did not work. It does not say whether the user exists.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// The provider of identities knows somebody whom cofre does not.
    Stranger {
        /// As it calls them.
        name: String,
    },
    /// The provider of identities let nobody in.
    Provider {
        /// Why not.
        why: String,
    },
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

#[derive(Template)]
#[template(path = "page/entered.html")]
struct EnteredPage<'a> {
    frame: &'a Frame,
    next: &'a str,
}

/// Goes on to a page by itself. A browser that was sent here by another site does not send the new session's cookie where a redirect would
/// lead it; where this page leads it, it does.
pub fn render_entered(frame: &Frame, next: &str) -> String {
    written(&EnteredPage { frame, next })
}

/// `/login` as HTML.
pub fn render(frame: &Frame, view: &Login) -> String {
    written(&LoginPage { frame, view, title: frame.t("Entrar", "Log in") })
}

/// `/setup` as HTML.
pub fn render_setup(frame: &Frame, view: &Setup) -> String {
    written(&SetupPage { frame, view, title: frame.t("Primeiro administrador", "First administrator") })
}
